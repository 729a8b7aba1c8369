"""Activations that are single ops, for speed or where a composition would be inaccurate.

Sigmoid, tanh and relu are in `elementwise`, softmax is in `reduce`, compositions are in
`nn.functional.activation`. In formulas `x` is the input.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.op import define
from tinygrad_fc.domain import real
from tinygrad_fc.ops.arithmetic import multiply_no_nan
from tinygrad_fc.ops.elementwise import clamp, exp, sigmoid
from tinygrad_fc.ops.special import ndtr, normal_pdf

__all__ = ["elu", "hardtanh", "leaky_relu", "logsigmoid", "mish", "silu", "softplus"]

# Smooth


def log1p_exp_neg_abs(x: Any) -> Any:
    """Return log(1 + exp(-|x|)), the difference of softplus and relu."""
    return np.log1p(np.exp(-np.abs(x)))


def _softplus_rule(g: Any, _out: Any, x: Any, beta: Any = 1.0, threshold: Any = 20.0) -> Any:
    gradient = g * sigmoid(x * beta)
    return gradient if threshold >= 20 else np.where(x * beta > threshold, g, gradient)


@define(domain=(real,), settings={"beta": (1.0, 2.0, 0.5)}, rules=(_softplus_rule,))
@without_warnings
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """Return `log(1 + exp(beta * x)) / beta`, a smooth approximation of relu.

    Where `beta * x > threshold` and `threshold < 20` the result is `x`, as in PyTorch. A
    `threshold` of 20 or more has no effect, since the formula is accurate for all `x`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.softplus(tg.tensor([0.0, 1000.0]))
    tensor([6.9315e-01, 1.0000e+03])
    """
    x = input if beta == 1 else input * beta
    out = np.maximum(x, 0) + log1p_exp_neg_abs(x)
    out = out if beta == 1 else out / beta
    return out if threshold >= 20 else np.where(x > threshold, input, out)


@define(domain=(real,), rules=(lambda g, _out, x: g * sigmoid(-x),))
def logsigmoid(input: Any) -> Any:
    """Return `log(sigmoid(x))`, finite and accurate for every finite `x`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.logsigmoid(tg.tensor([0.0, -1000.0]))
    tensor([-6.9315e-01, -1.0000e+03])
    """
    return -softplus.forward(-input)


def _silu_rule(g: Any, out: Any, x: Any) -> Any:
    e = exp(-x)
    s = 1 / (1 + e)
    return g * (s + out * multiply_no_nan(s, e))  # s * e is 1 - s without cancellation


@define(domain=(real,), rules=(_silu_rule,))
@without_warnings
def silu(input: Any, inplace: bool = False) -> Any:
    """Return `x * sigmoid(x)`, also called swish. Elfwing et al. (2017).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.silu(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.7311])
    """
    return input / (1 + np.exp(-input))


def _mish_rule(g: Any, _out: Any, x: Any) -> Any:
    t = np.tanh(softplus(x))
    return g * (t + x * (1 - t * t) * sigmoid(x))


@define(domain=(real,), rules=(_mish_rule,))
def mish(input: Any, inplace: bool = False) -> Any:
    """Return `x * tanh(softplus(x))`. Misra (2019).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.mish(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8651])
    """
    return input * np.tanh(softplus.forward(input))


@define(domain=(real,), rules=(lambda g, _out, x: g * (ndtr(x) + x * normal_pdf(x)),))
def gelu(input: Any) -> Any:
    """Return input * Phi(input), Phi the standard normal CDF (Hendrycks and Gimpel, 2016).

    >>> gelu(np.array([0.0, 1.0]))
    array([0.        , 0.84134475])
    """
    return input * ndtr(input)


# The tanh approximation of gelu: (1 + tanh(u)) / 2 is written as sigmoid(z) with z = 2 * u. For
# |input| > 40 the sigmoid is exactly 0 or 1, so inputs are clipped there: x**3 does not overflow.
CLIP = 40.0
LINEAR = 2 * math.sqrt(2 / math.pi)
CUBIC = LINEAR * 0.044715


def _sigmoid_argument(c: Any) -> Any:
    return c * (LINEAR + CUBIC * c * c)


def _gelu_tanh_rule(g: Any, _out: Any, x: Any) -> Any:
    c = clamp(x, -CLIP, CLIP)
    z = _sigmoid_argument(c)
    derivative = sigmoid(z) * sigmoid(-z) * (LINEAR + 3 * CUBIC * c * c)
    return g * (sigmoid(z) + c * derivative)


@define(name="gelu", domain=(real,), rules=(_gelu_tanh_rule,))
def gelu_tanh(input: Any) -> Any:
    """Return input * sigmoid(1.595769 * (input + 0.044715 * input**3)), close to `gelu`.

    >>> gelu_tanh(np.array([0.0, 1.0]))
    array([0.        , 0.84119199])
    """
    return input * sigmoid(_sigmoid_argument(np.clip(input, -CLIP, CLIP)))


# Piecewise, by boolean masks, as in `elementwise`.


def _times(x: Any, factor: Any) -> Any:
    return x if factor == 1 else x * factor


def _elu_rule(
    g: Any, _out: Any, x: Any, alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0
) -> Any:
    exponential = exp(_times(np.minimum(x, 0), input_scale))  # 1 where x > 0
    negative_part = _times(exponential, alpha * scale * input_scale)
    if alpha * input_scale == 1:
        return g * negative_part
    return g * ((x > 0).astype(x.dtype) * scale + (x <= 0) * negative_part)


@define(
    domain=(real,),
    settings={"alpha": (1.0, 0.5, 2.0), "scale": (1.0, 1.5), "input_scale": (1.0, 0.5)},
    rules=(_elu_rule,),
)
@without_warnings
def elu(
    input: Any,
    alpha: float = 1.0,
    inplace: bool = False,
    *,
    scale: float = 1.0,
    input_scale: float = 1.0,
) -> Any:
    """Return `x` for `x > 0`, else `alpha * (exp(x) - 1)`. Clevert et al. (2015).

    SELU and CELU have other values of `scale` and `input_scale`: the result is `scale * x` or
    `scale * alpha * (exp(input_scale * x) - 1)`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.elu(tg.tensor([-1.0, 1.0]))
    tensor([-0.6321,  1.    ])
    """
    negative_part = _times(np.expm1(_times(np.minimum(input, 0), input_scale)), alpha * scale)
    return negative_part + _times(np.maximum(input, 0), scale)


def _leaky_relu_rule(g: Any, _out: Any, x: Any, negative_slope: Any = 0.01) -> Any:
    positive = (x > 0).astype(x.dtype)
    return g * (positive + (1 - positive) * negative_slope)


@define(
    domain=(real,), settings={"negative_slope": (0.01, 0.0, -0.5, 2.0)}, rules=(_leaky_relu_rule,)
)
def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """Return `x` for `x > 0`, else `negative_slope * x`. Maas et al. (2013).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.leaky_relu(tg.tensor([-1.0, 2.0]))
    tensor([-0.01,  2.  ])
    """
    if 0 < negative_slope <= 1:  # half the work
        return np.maximum(input, input * negative_slope)
    return np.maximum(input, 0) + np.minimum(input, 0) * negative_slope


def _hardtanh_rule(g: Any, _out: Any, x: Any, min_val: Any = -1.0, max_val: Any = 1.0) -> Any:
    return multiply_no_nan(~((x <= min_val) | (x >= max_val)), g)  # NaN is inside, as in PyTorch


@define(
    domain=(real,),
    settings={"min_val": (-1.0, 0.5), "max_val": (1.0, 6.0)},
    rules=(_hardtanh_rule,),
)
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Return `x` clamped to [min_val, max_val]; the derivative at a bound is 0.

    Raises `ValueError` for `min_val > max_val`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.hardtanh(tg.tensor([-2.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    check_argument(min_val <= max_val, "hardtanh", f"at most max_val = {max_val}", min_val=min_val)
    return input.clip(min_val, max_val)
