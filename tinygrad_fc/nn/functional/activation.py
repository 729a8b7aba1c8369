"""Smooth activations, element by element: an input of any shape gives an output of that shape.

`inplace` is taken for PyTorch's sake; what was handed in always stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.functional import reduction
from tinygrad_fc.functional.arguments import normalize_dim
from tinygrad_fc.functional.shape import chunk
from tinygrad_fc.graph import record
from tinygrad_fc.ops import activation as a
from tinygrad_fc.ops import elementwise as e

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

# The values at which SELU keeps mean 0 and variance 1.
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
# Where softplus may become the straight line that it tends to: PyTorch's default.
STRAIGHT = 20.0


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `x * sigmoid(x)`, also known as swish. Elfwing et al. (2017).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.silu(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.7311])
    """
    del inplace
    return a.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `x * tanh(softplus(x))`. Misra (2019).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.mish(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8651])
    """
    del inplace
    return a.mish(input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Return `x * P(x)`, with the normal distribution P. Hendrycks and Gimpel (2016).

    `approximate="tanh"` returns `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2`, which
    is within 0.0005 of it. Raises `ValueError` for another approximation.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.gelu(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'approximate is "none" or "tanh", got {approximate!r}')
    return a.gelu(input) if approximate == "none" else a.gelu_tanh(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = STRAIGHT) -> Tensor:
    """Return `log(1 + exp(beta * x)) / beta`, a smooth ramp.

    It is finite and has its last digits for every number, so it needs no threshold; one below 20
    makes it `x` where `beta * x` is above, as in PyTorch, and from 20 on, where that is off by at
    most 2e-9, the digits stay. Raises `ValueError` where `beta` is 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.softplus(tg.tensor([0.0, 1000.0]))
    tensor([6.9315e-01, 1.0000e+03])
    """
    if beta == 0:
        raise ValueError("softplus needs a beta other than 0")
    out = record(a.softplus, (input,), {"beta": beta})
    return out if threshold >= STRAIGHT else e.where(input * beta > threshold, input, out)


def logsigmoid(input: Tensor) -> Tensor:
    """Return `log(sigmoid(x))` (in nats), finite and with its last digits for every number.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.logsigmoid(tg.tensor([0.0, -1000.0]))
    tensor([-6.9315e-01, -1.0000e+03])
    """
    return a.logsigmoid(input)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return `x` where it is positive, `alpha * (exp(x) - 1)` elsewhere. Clevert et al. (2015).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.elu(tg.tensor([-1.0, 1.0]))
    tensor([-0.6321,  1.    ])
    """
    del inplace
    return record(a.elu, (input,), {"alpha": alpha})


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return 1.0507 times `elu(x, 1.6733)`: layers of it keep mean 0 and variance 1.

    Klambauer et al. (2017), "Self-normalizing neural networks".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.selu(tg.tensor([-1.0, 1.0]))
    tensor([-1.1113,  1.0507])
    """
    del inplace
    return record(a.elu, (input,), {"alpha": SELU_ALPHA, "scale": SELU_SCALE})


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return `x` where it is positive, `alpha * (exp(x / alpha) - 1)` elsewhere. Barron (2017).

    Its slope has no jump. Raises `ZeroDivisionError` where `alpha` is 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.celu(tg.tensor([-1.0, 1.0]), alpha=2.0)
    tensor([-0.7869,  1.    ])
    """
    del inplace
    return record(a.elu, (input,), {"alpha": alpha, "input_scale": 1 / alpha})


def softsign(input: Tensor) -> Tensor:
    """Return `x / (1 + |x|)`, in (-1, 1).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.softsign(tg.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """
    return input / (e.absolute(input) + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """Return `x - tanh(x)`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.tanhshrink(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.2384])
    """
    return input - e.tanh(input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return `a * sigmoid(b)`, where `a` and `b` are the halves of the input along `dim`.

    (..., 2n, ...) gives (..., n, ...). Raises `ShapeError` for an odd size. Dauphin et al. (2016).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.glu(tg.tensor([3.0, 0.0]))
    tensor([1.5])
    """
    if not input.ndim or input.shape[normalize_dim(dim, input.ndim, "glu")] % 2:
        raise ShapeError(f"glu halves axis {dim}, whose size must be even, of {input.shape}")
    first, second = chunk(input, 2, dim)
    return first * e.sigmoid(second)


def softmin(input: Tensor, dim: int | None = None, dtype: object = None) -> Tensor:
    """Return `softmax(-x)`: exponentials that sum to 1 over `dim`, the smallest number's largest.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.softmin(tg.tensor([0.0, 1000.0]), dim=0)
    tensor([1., 0.])
    """
    return reduction.softmax(-input, dim, dtype)
