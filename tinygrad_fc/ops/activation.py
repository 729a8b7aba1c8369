"""Activations that are single ops, for speed or where a composition would be inaccurate.

Sigmoid, tanh and relu are in `elementwise`, softmax is in `reduce`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.domain import real
from tinygrad_fc.op import define, without_warnings
from tinygrad_fc.ops.elementwise import clip, exp, sigmoid
from tinygrad_fc.ops.special import ndtr, normal_pdf

# Smooth


def log1p_exp_neg_abs(x: Any) -> Any:
    """Return log(1 + exp(-|x|)), the difference of softplus and relu."""
    return np.log1p(np.exp(-np.abs(x)))


@define(
    domain=(real,),
    settings={"beta": lambda *_: (1.0, 2.0, 0.5)},
    rules=(lambda g, _out, x, beta=1.0: g * sigmoid(x * beta),),
)
@without_warnings
def softplus(input: Any, *, beta: Any = 1.0) -> Any:
    """Return log(1 + exp(beta * input)) / beta.

    >>> softplus(np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    x = input if beta == 1 else input * beta
    out = np.maximum(x, 0) + log1p_exp_neg_abs(x)
    return out if beta == 1 else out / beta


@define(domain=(real,), rules=(lambda g, _out, x: g * sigmoid(-x),))
def logsigmoid(input: Any) -> Any:
    """Return log(sigmoid(input)).

    >>> logsigmoid(np.array([0.0, -1000.0]))
    array([-6.93147181e-01, -1.00000000e+03])
    """
    return -softplus.forward(-input)


# sigmoid(-x) is 1 - sigmoid(x) without cancellation.
@define(domain=(real,), rules=(lambda g, out, x: g * (sigmoid(x) + out * sigmoid(-x)),))
@without_warnings
def silu(input: Any) -> Any:
    """Return input * sigmoid(input).

    >>> silu(np.array([0.0, 1.0]))
    array([0.        , 0.73105858])
    """
    return input / (1 + np.exp(-input))


def _mish_rule(g: Any, _out: Any, x: Any) -> Any:
    t = np.tanh(softplus(x))
    return g * (t + x * (1 - t * t) * sigmoid(x))


@define(domain=(real,), rules=(_mish_rule,))
def mish(input: Any) -> Any:
    """Return input * tanh(softplus(input)) (Misra, 2019).

    >>> mish(np.array([0.0, 1.0]))
    array([0.        , 0.86509839])
    """
    return input * np.tanh(softplus.forward(input))


@define(domain=(real,), rules=(lambda g, _out, x: g * (ndtr(x) + x * normal_pdf(x)),))
def gelu(input: Any) -> Any:
    """Return input * Phi(input), Phi the standard normal CDF (Hendrycks and Gimpel, 2016).

    >>> gelu(np.array([0.0, 1.0]))
    array([0.        , 0.84134475])
    """
    return input * ndtr.forward(input)


# The tanh approximation of gelu: (1 + tanh(u)) / 2 is written as sigmoid(z) with z = 2 * u. For
# |input| > 40 the sigmoid is exactly 0 or 1, so inputs are clipped there: x**3 does not overflow.
CLIP = 40.0
LINEAR = 2 * math.sqrt(2 / math.pi)
CUBIC = LINEAR * 0.044715


def _sigmoid_argument(c: Any) -> Any:
    return c * (LINEAR + CUBIC * c * c)


def _gelu_tanh_rule(g: Any, _out: Any, x: Any) -> Any:
    c = clip(x, -CLIP, CLIP)
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


# Piecewise. elu and leaky_relu multiply by boolean masks: for random signs, `np.where` mispredicts
# half of its branches, and takes as long as ten multiplications.


def _elu_rule(
    g: Any, _out: Any, x: Any, alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0
) -> Any:
    negative_part = exp(np.minimum(x, 0) * input_scale) * (alpha * scale * input_scale)
    return g * ((x > 0).astype(x.dtype) * scale + (x <= 0) * negative_part)


@define(
    domain=(real,),
    settings={
        "alpha": lambda *_: (1.0, 0.5, 2.0),
        "scale": lambda *_: (1.0, 1.5),
        "input_scale": lambda *_: (1.0, 0.5),
    },
    rules=(_elu_rule,),
)
@without_warnings
def elu(input: Any, *, alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0) -> Any:
    """Return scale * (input if input > 0 else alpha * (exp(input_scale * input) - 1)).

    SELU and CELU have other values of `scale` and `input_scale`.

    >>> elu(np.array([-1.0, 2.0]))
    array([-0.63212056,  2.        ])
    """
    out = np.expm1(np.minimum(input, 0) * input_scale)
    out *= alpha * scale
    out += np.maximum(input, 0) * scale
    return out


@define(
    domain=(real,),
    settings={"negative_slope": lambda *_: (0.01, 0.0, -0.5, 2.0)},
    rules=(
        lambda g, _out, x, negative_slope: (
            g * ((x > 0) + (x <= 0).astype(x.dtype) * negative_slope)
        ),
    ),
)
def leaky_relu(input: Any, *, negative_slope: Any) -> Any:
    """Return input if input > 0 else negative_slope * input.

    >>> leaky_relu(np.array([-1.0, 2.0]), negative_slope=0.5)
    array([-0.5,  2. ])
    """
    return np.maximum(input, 0) + np.minimum(input, 0) * negative_slope
