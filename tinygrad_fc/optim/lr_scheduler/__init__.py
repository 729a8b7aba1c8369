"""Schedulers of learning rates, under PyTorch's names.

A scheduler sets the learning rates of its optimizer at once; each `scheduler.step()`, one an epoch
or one a batch, sets the next ones. Call `optimizer.step()` before it.
"""

from tinygrad_fc.optim.lr_scheduler import composite, cyclic, decay, function
from tinygrad_fc.optim.lr_scheduler.base import LRScheduler
from tinygrad_fc.optim.lr_scheduler.composite import *
from tinygrad_fc.optim.lr_scheduler.cyclic import *
from tinygrad_fc.optim.lr_scheduler.decay import *
from tinygrad_fc.optim.lr_scheduler.function import *
from tinygrad_fc.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = ["LRScheduler", "ReduceLROnPlateau"]
__all__ += composite.__all__
__all__ += cyclic.__all__
__all__ += decay.__all__
__all__ += function.__all__
