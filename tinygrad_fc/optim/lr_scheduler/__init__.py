"""Schedules of learning rates, under PyTorch's names.

A schedule is made for an optimizer, whose learning rates it sets at once; each of its `step()`s,
one an epoch or one a batch, sets the next ones. A step of the optimizer belongs before it: the
first learning rates are there from the start.
"""

from tinygrad_fc.optim.lr_scheduler.base import LRScheduler
from tinygrad_fc.optim.lr_scheduler.composite import ChainedScheduler, SequentialLR
from tinygrad_fc.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from tinygrad_fc.optim.lr_scheduler.cycle import CyclicLR
from tinygrad_fc.optim.lr_scheduler.decay import (
    ConstantLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from tinygrad_fc.optim.lr_scheduler.function import LambdaLR, MultiplicativeLR
from tinygrad_fc.optim.lr_scheduler.onecycle import OneCycleLR
from tinygrad_fc.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
