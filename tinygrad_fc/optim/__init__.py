"""Optimizers and, in `lr_scheduler`, schedules of their learning rates, under PyTorch's names.

The adaptive ones and LBFGS are imported when they are first used.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygrad_fc.optim.optimizer import *
from tinygrad_fc.optim.sgd import *

if TYPE_CHECKING:
    from tinygrad_fc.optim import lr_scheduler as lr_scheduler
    from tinygrad_fc.optim.adaptive import *
    from tinygrad_fc.optim.lbfgs import *

# PyTorch's paths of the same classes: `from tinygrad_fc.optim.adam import Adam`
for _path in (
    "adadelta", "adagrad", "adam", "adamax", "adamw", "asgd", "nadam", "radam", "rmsprop",
):  # fmt: skip
    sys.modules[f"{__name__}.{_path}"] = sys.modules[__name__]


def __getattr__(name: str) -> Any:
    if name == "lr_scheduler":
        return import_module(f"{__name__}.{name}")
    names = ["lr_scheduler"]
    for path in ("adaptive", "lbfgs", "optimizer", "sgd"):
        module = import_module(f"{__name__}.{path}")
        globals().update({public: getattr(module, public) for public in module.__all__})
        names += module.__all__
    if name == "__all__":
        return sorted(names)
    if name not in globals():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})
