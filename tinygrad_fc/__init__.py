"""Autograd for fully connected networks, on NumPy, under PyTorch's names.

Read it in one evening, in this order:

1. `core`, the graph, its backward pass, and what an op is (2,000 lines of code);
2. `ops`, the formulas and their derivatives (1,850);
3. `tensors`, `methods`, `conversions`, `assignment`, `numpy_dispatch`, which make a `Tensor` of
   them (1,100);
4. `nn.linear`, `optim.sgd`, and `handderived`, the derivation by hand that all of it reproduces.

Functions composed of ops are in `functional`; what is left is above: `autograd`, `nn`, `optim`,
`distributions`, the tests of gradients in `testing`, `compiler`, `viz`, `parallel`. Each module
lists in `__all__` which of its names are PyTorch's, and so are here.
"""

from typing import TYPE_CHECKING, Any

from tinygrad_fc import autograd as autograd
from tinygrad_fc import nn as nn
from tinygrad_fc import optim as optim
from tinygrad_fc import random as random
from tinygrad_fc.compat import *
from tinygrad_fc.conversions import *
from tinygrad_fc.core import errors as errors
from tinygrad_fc.core.device import accelerator as accelerator
from tinygrad_fc.core.device import backends as backends
from tinygrad_fc.core.device import cuda as cuda
from tinygrad_fc.core.device import device as device
from tinygrad_fc.core.device import set_default_device as set_default_device
from tinygrad_fc.core.dtypes import *
from tinygrad_fc.core.grad_mode import *
from tinygrad_fc.core.lazy import lazy_names as _lazy_names
from tinygrad_fc.core.op import Op as Op
from tinygrad_fc.core.op import op as op
from tinygrad_fc.core.printing import set_printoptions as set_printoptions
from tinygrad_fc.functional import linalg as linalg
from tinygrad_fc.functional import norms as norms
from tinygrad_fc.functional.creation import *
from tinygrad_fc.functional.elementwise import *
from tinygrad_fc.functional.equations import *
from tinygrad_fc.functional.indexing import *
from tinygrad_fc.functional.joining import *
from tinygrad_fc.functional.linalg import *
from tinygrad_fc.functional.norms import *
from tinygrad_fc.functional.products import *
from tinygrad_fc.functional.reduction import *
from tinygrad_fc.functional.shape import *
from tinygrad_fc.functional.sorting import *
from tinygrad_fc.nn import Linear as Linear
from tinygrad_fc.nn import MSELoss as MSELoss
from tinygrad_fc.nn import Sigmoid as Sigmoid
from tinygrad_fc.ops.arithmetic import *
from tinygrad_fc.ops.comparison import *
from tinygrad_fc.ops.elementwise import *
from tinygrad_fc.ops.linalg import *
from tinygrad_fc.ops.reduce import *
from tinygrad_fc.ops.special import *
from tinygrad_fc.ops.trigonometry import *
from tinygrad_fc.optim import SGD as SGD
from tinygrad_fc.random import *
from tinygrad_fc.tensors import Tensor as Tensor

if TYPE_CHECKING:
    from tinygrad_fc import compiler as compiler
    from tinygrad_fc import distributions as distributions
    from tinygrad_fc import func as func
    from tinygrad_fc import parallel as parallel
    from tinygrad_fc import testing as testing
    from tinygrad_fc import utils as utils
    from tinygrad_fc import viz as viz
    from tinygrad_fc.compat import torch as torch
    from tinygrad_fc.compiler import compile as compile  # noqa: A004  PyTorch's name
    from tinygrad_fc.nn.summary import summary as summary
    from tinygrad_fc.serialization import load as load
    from tinygrad_fc.serialization import save as save
    from tinygrad_fc.viz.explanation import explain as explain

norm, svd = norms.p_norm, linalg.thin_svd  # other names in `linalg`
matrix_exp, matrix_power, qr = linalg.matrix_exp, linalg.integer_power, linalg.reduced_qr

__version__ = "0.2.0"

# What training does not need is imported when it is named.
_LAZY = {"compile": "compiler:compile", "explain": "viz:explain", "summary": "nn.summary:summary"}
_LAZY |= {"jit": "compat.unsupported", "load": "serialization:load", "save": "serialization:save"}
_LAZY |= {name: name for name in ("compiler", "distributions", "func", "parallel")}
_LAZY |= {name: name for name in ("testing", "torch", "utils", "viz")}

if not TYPE_CHECKING:  # to a type checker, a module with this has every name
    _lazy = _lazy_names(__name__, _LAZY)

    def __getattr__(name: str) -> Any:
        if name.endswith("_") and name[:-1] in globals() and hasattr(Tensor, name):
            return getattr(Tensor, name)  # in-place functions: sin_(x) is x.sin_()
        return _lazy(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
