"""Optimizers and, in `lr_scheduler`, schedules of their learning rates, under PyTorch's names."""

from tinygrad_fc.optim import adagrad, adam, lr_scheduler, sgd
from tinygrad_fc.optim.adagrad import *
from tinygrad_fc.optim.adam import *
from tinygrad_fc.optim.lbfgs import LBFGS
from tinygrad_fc.optim.optimizer import Optimizer
from tinygrad_fc.optim.sgd import *

__all__ = ["LBFGS", "Optimizer", "lr_scheduler"]
__all__ += adagrad.__all__
__all__ += adam.__all__
__all__ += sgd.__all__
