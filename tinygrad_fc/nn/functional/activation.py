"""Activation functions under PyTorch's names; all but `glu` preserve the shape of the input `x`.

At a kink the derivative equals PyTorch's. With `inplace=True` the input is changed to the
result, and returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.errors import ShapeError, check_argument
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import Node, operand
from tinygrad_fc.functional.arguments import normalize_dim
from tinygrad_fc.functional.joining import chunk
from tinygrad_fc.ops import activation, elementwise
from tinygrad_fc.ops.activation import (
    elu,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    silu,
    softplus,
)
from tinygrad_fc.ops.comparison import sign
from tinygrad_fc.ops.elementwise import relu, sigmoid
from tinygrad_fc.ops.promotion import FLOATS_ONLY
from tinygrad_fc.ops.reduce import log_softmax, softmax
from tinygrad_fc.ops.trigonometry import tanh

if TYPE_CHECKING:
    from tinygrad_fc.tensors import Tensor

__all__ = [
    "celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "leaky_relu", "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6", "selu",
    "sigmoid", "silu", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh",
    "tanhshrink", "threshold",
]  # fmt: skip

# With these, outputs keep mean 0 and variance 1: Klambauer et al. (2017), formula 14.
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def _check_floats(function: str, input: Tensor) -> None:
    FLOATS_ONLY.dtype(function, [(input.dtype, True)])


# Smooth


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Return `x * Phi(x)`, Phi the standard normal CDF. Hendrycks and Gimpel (2016).

    `approximate="tanh"` computes `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2`, which
    differs by less than 0.0005. Raises `ValueError` for another `approximate`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.gelu(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8413])
    """
    check_argument(
        approximate in ("none", "tanh"), "gelu", '"none" or "tanh"', approximate=approximate
    )
    return activation.gelu(input) if approximate == "none" else activation.gelu_tanh(input)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `1.0507 * elu(x, 1.6733)`, which keeps mean 0 and variance 1 through layers.

    Initialise weights with `nn.init.kaiming_normal_(w, nonlinearity="linear")`. Klambauer et al.
    (2017), "Self-normalizing neural networks".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.selu(tg.tensor([-1.0, 1.0]))
    tensor([-1.1113,  1.0507])
    """
    return in_place(
        input, call_op(elu, (input,), {"alpha": SELU_ALPHA, "scale": SELU_SCALE}), inplace
    )


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return `x` for `x > 0`, else `alpha * (exp(x / alpha) - 1)`. Barron (2017).

    The derivative is continuous. Raises `ZeroDivisionError` for `alpha = 0`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.celu(tg.tensor([-1.0, 1.0]), alpha=2.0)
    tensor([-0.7869,  1.    ])
    """
    return in_place(
        input, call_op(elu, (input,), {"alpha": alpha, "input_scale": 1 / alpha}), inplace
    )


def softsign(input: Tensor) -> Tensor:
    """Return `x / (1 + |x|)`, in (-1, 1).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.softsign(tg.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """
    return input / (elementwise.absolute(input) + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """Return `x - tanh(x)`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.tanhshrink(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.2384])
    """
    return input - tanh(input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return `a * sigmoid(b)`, where `a` and `b` are the halves of `x` along `dim`.

    `x` has shape (..., 2n, ...), the result (..., n, ...). Raises `ShapeError` if the size along
    `dim` is odd. Dauphin et al. (2016).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.glu(tg.tensor([3.0, 0.0]))
    tensor([1.5])
    """
    _check_floats("glu", input)
    if not input.ndim or input.shape[normalize_dim(dim, input.ndim, "glu")] % 2:
        raise ShapeError(
            f"glu: the input has shape {input.shape}, expected an even size along dim {dim}, which "
            "is halved. Make the layer before it return twice as many features"
        )
    first, second = chunk(input, 2, dim)
    return first * sigmoid(second)


def softmin(input: Tensor, dim: int | None = None, dtype: object = None) -> Tensor:
    """Return `softmax(-x)` over `dim`: values that sum to 1, largest for the smallest `x`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.softmin(tg.tensor([0.0, 1000.0]), dim=0)
    tensor([1., 0.])
    """
    return softmax(-input, dim, dtype)


# Piecewise linear


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return `x` for `x > 0`, else `weight * x`: leaky relu with a learned slope.

    `x` has shape (N, C, ...), `weight` (C,), one slope per channel, or (1,) or (), one slope for
    all. Raises `ShapeError` for another `weight`. He et al. (2015), "Delving deep into rectifiers".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.prelu(tg.tensor([[-1.0, -1.0]]), tg.tensor([0.5, 0.25]))
    tensor([[-0.5 , -0.25]])
    """
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(
            f"prelu: the weight has shape {weight.shape} and the input {input.shape}, expected one "
            f"slope, or one per channel: shape ({channels},). Use num_parameters={channels}"
        )
    if weight.numel() > 1 and input.ndim > 2:
        weight = weight.reshape((-1, *(1,) * (input.ndim - 2)))
    elif weight.ndim > input.ndim:
        weight = weight.reshape(())
    return elementwise.where(input > 0, input, weight * input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `x` clamped to [0, 6]; the derivative at a bound is 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.relu6(tg.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """
    return in_place(input, hardtanh(input, 0.0, 6.0), inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `x / 6 + 1 / 2` clamped to [0, 1], a piecewise linear sigmoid.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.hardsigmoid(tg.tensor([-4.0, 0.0, 1.5]))
    tensor([0.  , 0.5 , 0.75])
    """
    _check_floats("hardsigmoid", input)
    return in_place(input, (elementwise.clamp(input, -3.0, 3.0) + 3) / 6, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `x * hardsigmoid(x)`. Howard et al. (2019), "Searching for MobileNetV3".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.hardswish(tg.tensor([1.5, 3.0]))
    tensor([1.125, 3.   ])
    """
    _check_floats("hardswish", input)
    return in_place(input, input * hardsigmoid(input), inplace)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return 0 for `-lambd <= x <= lambd`, else `x`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.hardshrink(tg.tensor([0.5, 2.0]))
    tensor([0., 2.])
    """
    _check_floats("hardshrink", input)
    return elementwise.where((input >= -lambd) & (input <= lambd), 0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return `x - lambd` for `x > lambd`, `x + lambd` for `x < -lambd`, else 0.

    Raises `ValueError` for `lambd < 0`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.softshrink(tg.tensor([-2.0, 0.25]))
    tensor([-1.5,  0. ])
    """
    _check_floats("softshrink", input)
    check_argument(lambd >= 0, "softshrink", "at least 0", lambd=lambd)
    shrunk = input - sign(input) * lambd
    return elementwise.where((input >= -lambd) & (input <= lambd), 0, shrunk)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return `x` for `x > threshold`, else `value`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.threshold(tg.tensor([0.5, 2.0]), 1.0, -1.0)
    tensor([-1.,  2.])
    """
    value = operand(value, "threshold")
    return in_place(input, elementwise.where(input <= threshold, value, input), inplace)


def in_place(input: Any, result: Tensor, inplace: bool) -> Tensor:
    """Return `result`; with PyTorch's option `inplace`, the tensor `input` changed to it."""
    return input._become(result) if inplace and isinstance(input, Node) else result  # type: ignore[attr-defined]
