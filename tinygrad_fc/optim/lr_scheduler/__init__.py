"""Learning rate schedulers, under PyTorch's names.

The constructor of a scheduler sets the initial learning rates of the optimizer. Call
`scheduler.step()` once per epoch or batch, after `optimizer.step()`, to set the next ones.
"""

from tinygrad_fc.optim.lr_scheduler import base, cyclic, multiplier
from tinygrad_fc.optim.lr_scheduler.base import *
from tinygrad_fc.optim.lr_scheduler.cyclic import *
from tinygrad_fc.optim.lr_scheduler.multiplier import *

_LRScheduler = base.LRScheduler  # its older name

__all__: list[str] = []
__all__ += base.__all__
__all__ += cyclic.__all__
__all__ += multiplier.__all__
