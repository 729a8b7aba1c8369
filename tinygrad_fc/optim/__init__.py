"""Optimizers and, in `lr_scheduler`, schedules of their learning rates, under PyTorch's names.

The adaptive ones and LBFGS are imported when they are first used.
"""

from typing import TYPE_CHECKING

from tinygrad_fc.core.lazy import lazy_names
from tinygrad_fc.optim.optimizer import *
from tinygrad_fc.optim.sgd import *

if TYPE_CHECKING:
    from tinygrad_fc.optim import lr_scheduler as lr_scheduler
    from tinygrad_fc.optim import swa_utils as swa_utils
    from tinygrad_fc.optim.adaptive import *
    from tinygrad_fc.optim.lbfgs import *

_MODULES = ("adaptive", "optimizer", "sgd")
_NAMES = {"LBFGS": "lbfgs:LBFGS", "lr_scheduler": "lr_scheduler", "swa_utils": "swa_utils"}
__getattr__ = lazy_names(__name__, _NAMES, _MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
