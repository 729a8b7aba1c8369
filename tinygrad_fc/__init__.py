"""Autograd for fully connected networks, on NumPy, under PyTorch's names.

Read in this order: `op` (what an operation is), `ops` (the table of formulas), `graph` (record a
call, walk back once), `tensor`; then `nn` and `optim`, and `handderived`, the derivation by hand
that all of it reproduces.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygrad_fc import autograd, linalg, nn, optim
from tinygrad_fc.absent import absent
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
from tinygrad_fc.functions.arranging import (
    diag,
    hstack,
    movedim,
    ravel,
    roll,
    tril,
    triu,
    unflatten,
    vstack,
)
from tinygrad_fc.functions.comparison import (
    allclose,
    equal,
    isclose,
)
from tinygrad_fc.functions.indexing import (
    gather,
    index_add,
    index_select,
    masked_select,
    narrow,
    nonzero,
    scatter,
    scatter_add,
    select,
    take_along_dim,
)
from tinygrad_fc.functions.linalg import (
    det,
    slogdet,
)
from tinygrad_fc.functions.linalg import inv as inverse
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
from tinygrad_fc.functions.norms import p_norm as norm
from tinygrad_fc.functions.order import (
    argsort,
    bincount,
    median,
    searchsorted,
    sort,
    topk,
    unique,
)
from tinygrad_fc.functions.pointwise import (
    add,
    addcdiv,
    addcmul,
    clamp,
    clamp_max,
    clamp_min,
    digamma,
    div,
    lerp,
    masked_fill,
    nan_to_num,
    polygamma,
    pow,
    round,
    sub,
    where,
)
from tinygrad_fc.functions.products import (
    addmm,
    bmm,
    dot,
    einsum,
    inner,
    kron,
    mm,
    mv,
    outer,
    tensordot,
    trace,
)
from tinygrad_fc.functions.reduction import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    count_nonzero,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    softmax,
    sum,
)
from tinygrad_fc.functions.repeating import (
    broadcast_to,
    meshgrid,
    repeat_interleave,
    tile,
)
from tinygrad_fc.functions.scan import (
    cumprod,
    cumsum,
    prod,
)
from tinygrad_fc.functions.shape import (
    cat,
    chunk,
    flatten,
    flip,
    numel,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    t,
    transpose,
    unbind,
    unsqueeze,
)
from tinygrad_fc.functions.spread import std, var, var_mean
from tinygrad_fc.mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from tinygrad_fc.nn import Linear, MSELoss, Sigmoid, summary
from tinygrad_fc.op import Op, op
from tinygrad_fc.ops.angle import arccos as acos
from tinygrad_fc.ops.angle import arcsin as asin
from tinygrad_fc.ops.angle import arctan as atan
from tinygrad_fc.ops.angle import arctan2 as atan2
from tinygrad_fc.ops.angle import cosh, hypot, sinh, tan
from tinygrad_fc.ops.constant import (
    ceil,
    floor,
    isfinite,
    isinf,
    isnan,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    sign,
    trunc,
)
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
    exp2,
    expm1,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    maximum,
    minimum,
    reciprocal,
    relu,
    rsqrt,
    sigmoid,
    sin,
    sqrt,
    square,
    tanh,
    xlogy,
)
from tinygrad_fc.ops.elementwise import multiply as mul
from tinygrad_fc.ops.elementwise import negative as neg
from tinygrad_fc.ops.gamma import lgamma
from tinygrad_fc.ops.linalg import matmul
from tinygrad_fc.ops.normal import erf
from tinygrad_fc.ops.remainder import floor_divide, fmod, remainder
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
    from tinygrad_fc import compiler, func, testing, utils
    from tinygrad_fc.compiler import compile  # noqa: A004  PyTorch's name
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
    "acos",
    "add",
    "addcdiv",
    "addcmul",
    "addmm",
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "as_tensor",
    "asin",
    "atan",
    "atan2",
    "autograd",
    "bernoulli",
    "bincount",
    "bmm",
    "bool",
    "broadcast_to",
    "cat",
    "ceil",
    "chunk",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clone",
    "compile",
    "compiler",
    "cos",
    "cosh",
    "count_nonzero",
    "cuda",
    "cumprod",
    "cumsum",
    "det",
    "detach",
    "device",
    "diag",
    "digamma",
    "div",
    "dot",
    "double",
    "einsum",
    "empty",
    "empty_like",
    "enable_grad",
    "eq",
    "equal",
    "erf",
    "exp",
    "exp2",
    "explain",
    "expm1",
    "eye",
    "flatten",
    "flip",
    "float",
    "float16",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "fmod",
    "from_numpy",
    "full",
    "full_like",
    "func",
    "gather",
    "ge",
    "get_default_dtype",
    "gt",
    "half",
    "hstack",
    "hypot",
    "index_add",
    "index_select",
    "inference_mode",
    "inner",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "inverse",
    "is_grad_enabled",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "kron",
    "le",
    "lerp",
    "lgamma",
    "linalg",
    "linspace",
    "load",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "long",
    "lt",
    "manual_seed",
    "masked_fill",
    "masked_select",
    "matmul",
    "max",
    "maximum",
    "mean",
    "median",
    "meshgrid",
    "min",
    "minimum",
    "mm",
    "movedim",
    "mul",
    "multinomial",
    "mv",
    "nan_to_num",
    "narrow",
    "ne",
    "neg",
    "nn",
    "no_grad",
    "nonzero",
    "norm",
    "normal",
    "numel",
    "ones",
    "ones_like",
    "op",
    "optim",
    "outer",
    "permute",
    "polygamma",
    "pow",
    "prod",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "ravel",
    "reciprocal",
    "relu",
    "remainder",
    "repeat_interleave",
    "reshape",
    "roll",
    "round",
    "rsqrt",
    "save",
    "scatter",
    "scatter_add",
    "searchsorted",
    "select",
    "set_default_dtype",
    "set_grad_enabled",
    "short",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "slogdet",
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
    "take_along_dim",
    "tan",
    "tanh",
    "tensor",
    "tensordot",
    "testing",
    "tile",
    "topk",
    "trace",
    "transpose",
    "tril",
    "triu",
    "trunc",
    "uint8",
    "unbind",
    "unflatten",
    "unique",
    "unsqueeze",
    "utils",
    "var",
    "var_mean",
    "vstack",
    "where",
    "xlogy",
    "zeros",
    "zeros_like",
]

__version__ = "0.1.0"

# What training does not need is imported when it is named.
_LATER = {
    "compile": "compiler",
    "compiler": "compiler",
    "func": "func",
    "load": "serialization",
    "save": "serialization",
    "testing": "testing",
    "utils": "utils",
}


if not TYPE_CHECKING:  # to a type checker, a module with this has every name

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise absent(__name__, name)
        module = import_module(f"{__name__}.{_LATER[name]}")
        return module if _LATER[name] == name else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
