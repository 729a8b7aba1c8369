"""Autograd for fully connected networks, on NumPy, under PyTorch's names.

Read in this order: `op` (what an op is), `ops` (the formulas), `graph` (record a call, the backward
pass), `tensor`; then `nn` and `optim`, and `handderived`, the derivation by hand that all of it
reproduces. Each module lists in `__all__` which of its names are PyTorch's, and so are here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygrad_fc import autograd as autograd
from tinygrad_fc import nn as nn
from tinygrad_fc import optim as optim
from tinygrad_fc import random as random
from tinygrad_fc.device import accelerator as accelerator
from tinygrad_fc.device import backends as backends
from tinygrad_fc.device import check as _check
from tinygrad_fc.device import cuda as cuda
from tinygrad_fc.device import device as device
from tinygrad_fc.dtypes import *
from tinygrad_fc.functional import linalg as linalg
from tinygrad_fc.functional.creation import *
from tinygrad_fc.functional.elementwise import *
from tinygrad_fc.functional.indexing import *
from tinygrad_fc.functional.linalg import *
from tinygrad_fc.functional.reduction import *
from tinygrad_fc.functional.shape import *
from tinygrad_fc.grad_mode import *
from tinygrad_fc.legacy import *
from tinygrad_fc.nn import Linear as Linear
from tinygrad_fc.nn import MSELoss as MSELoss
from tinygrad_fc.nn import Sigmoid as Sigmoid
from tinygrad_fc.op import Op as Op
from tinygrad_fc.op import op as op
from tinygrad_fc.ops.comparison import *
from tinygrad_fc.ops.elementwise import *
from tinygrad_fc.ops.linalg import *
from tinygrad_fc.ops.reduce import *
from tinygrad_fc.ops.special import *
from tinygrad_fc.optim import SGD as SGD
from tinygrad_fc.random import *
from tinygrad_fc.tensor import *
from tinygrad_fc.tensor import Tensor as Tensor

if TYPE_CHECKING:
    from tinygrad_fc import compiler as compiler
    from tinygrad_fc import distributions as distributions
    from tinygrad_fc import func as func
    from tinygrad_fc import parallel as parallel
    from tinygrad_fc import testing as testing
    from tinygrad_fc import utils as utils
    from tinygrad_fc import viz as viz
    from tinygrad_fc.compiler import compile as compile  # noqa: A004  PyTorch's name
    from tinygrad_fc.nn.summary import summary as summary
    from tinygrad_fc.serialization import load as load
    from tinygrad_fc.serialization import save as save
    from tinygrad_fc.viz.explain import explain as explain

inverse, norm, svd = linalg.inv, linalg.p_norm, linalg.thin_svd  # other names in `linalg`
set_default_device = _check  # which raises for a GPU

__version__ = "0.1.0"

# What training does not need is imported when it is named.
_LATER = {"compile": "compiler", "explain": "viz", "load": "serialization", "save": "serialization"}
_LATER |= {"summary": "nn.summary"}
_LATER |= {name: name for name in ("compiler", "distributions", "func", "parallel")}
_LATER |= {name: name for name in ("testing", "utils", "viz")}

if not TYPE_CHECKING:  # to a type checker, a module with this has every name

    def __getattr__(name: str) -> Any:
        if name.endswith("_") and name[:-1] in globals() and hasattr(Tensor, name):
            return getattr(Tensor, name)  # in-place functions: sin_(x) is x.sin_()
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(f"{__name__}.{_LATER[name]}")
        return module if _LATER[name] == name else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
