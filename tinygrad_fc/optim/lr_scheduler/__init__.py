"""Learning rate schedulers, under PyTorch's names.

The constructor of a scheduler sets the initial learning rates of the optimizer. Call
`scheduler.step()` once per epoch or batch, after `optimizer.step()`, to set the next ones.
"""

from tinygrad_fc.optim.lr_scheduler import composite, cyclic, multiplier
from tinygrad_fc.optim.lr_scheduler.base import LRScheduler
from tinygrad_fc.optim.lr_scheduler.composite import *
from tinygrad_fc.optim.lr_scheduler.cyclic import *
from tinygrad_fc.optim.lr_scheduler.multiplier import *

__all__ = ["LRScheduler"]
__all__ += composite.__all__
__all__ += cyclic.__all__
__all__ += multiplier.__all__
