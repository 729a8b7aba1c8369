"""Autograd for fully connected networks, on NumPy, under PyTorch's names.

Read in this order: `op` (what an operation is), `ops` (the table of formulas), `graph` (record a
call, walk back once), `tensor`; then `nn` and `optim`, and `handderived`, the derivation by hand
that all of it reproduces.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygrad_fc import autograd, nn, optim
from tinygrad_fc.autograd import explain
from tinygrad_fc.device import cuda, device
from tinygrad_fc.dtypes import bool_ as bool
from tinygrad_fc.dtypes import (
    double,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    int8,
    int16,
    int32,
    int64,
    long,
    set_default_dtype,
    short,
    uint8,
)
from tinygrad_fc.dtypes import float32 as float
from tinygrad_fc.dtypes import int32 as int
from tinygrad_fc.functions.making import (
    arange,
    as_tensor,
    clone,
    detach,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from tinygrad_fc.functions.pointwise import add, clamp, div, masked_fill, pow, sub, where
from tinygrad_fc.functions.products import addmm, bmm, dot, einsum, mm, mv, outer
from tinygrad_fc.functions.reduction import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    softmax,
    std,
    sum,
    var,
)
from tinygrad_fc.functions.shape import (
    argsort,
    cat,
    chunk,
    flatten,
    flip,
    gather,
    numel,
    permute,
    reshape,
    sort,
    split,
    squeeze,
    stack,
    t,
    topk,
    transpose,
    unbind,
    unsqueeze,
)
from tinygrad_fc.mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from tinygrad_fc.nn import Linear, MSELoss, Sigmoid, summary
from tinygrad_fc.op import Op, op
from tinygrad_fc.ops.constant import equal as eq
from tinygrad_fc.ops.constant import greater as gt
from tinygrad_fc.ops.constant import greater_equal as ge
from tinygrad_fc.ops.constant import less as lt
from tinygrad_fc.ops.constant import less_equal as le
from tinygrad_fc.ops.constant import not_equal as ne
from tinygrad_fc.ops.elementwise import absolute as abs
from tinygrad_fc.ops.elementwise import (
    cos,
    exp,
    log,
    maximum,
    minimum,
    relu,
    sigmoid,
    sin,
    sqrt,
    square,
    tanh,
)
from tinygrad_fc.ops.elementwise import multiply as mul
from tinygrad_fc.ops.elementwise import negative as neg
from tinygrad_fc.ops.linalg import matmul
from tinygrad_fc.optim import SGD
from tinygrad_fc.random import (
    Generator,
    bernoulli,
    manual_seed,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
)
from tinygrad_fc.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_fc import func, utils
    from tinygrad_fc.serialization import load, save

__all__ = [
    "SGD",
    "Generator",
    "Linear",
    "MSELoss",
    "Op",
    "Sigmoid",
    "Tensor",
    "abs",
    "add",
    "addmm",
    "all",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "as_tensor",
    "autograd",
    "bernoulli",
    "bmm",
    "bool",
    "cat",
    "chunk",
    "clamp",
    "clone",
    "cos",
    "cuda",
    "detach",
    "device",
    "div",
    "dot",
    "double",
    "einsum",
    "empty",
    "empty_like",
    "enable_grad",
    "eq",
    "exp",
    "explain",
    "eye",
    "flatten",
    "flip",
    "float",
    "float16",
    "float32",
    "float64",
    "from_numpy",
    "full",
    "full_like",
    "func",
    "gather",
    "ge",
    "get_default_dtype",
    "gt",
    "half",
    "inference_mode",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_grad_enabled",
    "le",
    "linspace",
    "load",
    "log",
    "log_softmax",
    "logsumexp",
    "long",
    "lt",
    "manual_seed",
    "masked_fill",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mm",
    "mul",
    "multinomial",
    "mv",
    "ne",
    "neg",
    "nn",
    "no_grad",
    "normal",
    "numel",
    "ones",
    "ones_like",
    "op",
    "optim",
    "outer",
    "permute",
    "pow",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "relu",
    "reshape",
    "save",
    "set_default_dtype",
    "set_grad_enabled",
    "short",
    "sigmoid",
    "sin",
    "softmax",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "summary",
    "t",
    "tanh",
    "tensor",
    "topk",
    "transpose",
    "uint8",
    "unbind",
    "unsqueeze",
    "utils",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

__version__ = "0.1.0"

# What training does not need is imported when it is named.
_LATER = {"func": "func", "load": "serialization", "save": "serialization", "utils": "utils"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_LATER[name]}")
    return module if _LATER[name] == name else getattr(module, name)
