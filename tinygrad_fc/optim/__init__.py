"""Optimizers under PyTorch's names, and `lr_scheduler`, which changes their learning rates.

All but the base and `SGD` are loaded when they are named: an import costs what is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygrad_fc.optim.optimizer import Optimizer
from tinygrad_fc.optim.sgd import SGD

if TYPE_CHECKING:
    from tinygrad_fc.optim import lr_scheduler
    from tinygrad_fc.optim.adadelta import Adadelta
    from tinygrad_fc.optim.adagrad import Adagrad
    from tinygrad_fc.optim.adam import Adam, AdamW
    from tinygrad_fc.optim.adamax import Adamax
    from tinygrad_fc.optim.asgd import ASGD
    from tinygrad_fc.optim.lbfgs import LBFGS
    from tinygrad_fc.optim.nadam import NAdam
    from tinygrad_fc.optim.radam import RAdam
    from tinygrad_fc.optim.rmsprop import RMSprop
    from tinygrad_fc.optim.rprop import Rprop

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "lr_scheduler":
        return import_module(f"{__name__}.{name}")
    room = "adam" if name == "AdamW" else name.lower()
    found = globals()[name] = getattr(import_module(f"{__name__}.{room}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
