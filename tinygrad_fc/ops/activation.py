"""Activations that are hot, or that no composition gets right for every finite input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.domain import real
from tinygrad_fc.op import quiet
from tinygrad_fc.op import row as op
from tinygrad_fc.ops.elementwise import clip, exp, sigmoid
from tinygrad_fc.ops.special import HALF_ROOT, PEAK, bell, distribution, ndtr

# Smooth


def softened(x: Any) -> Any:
    """Return log(1 + exp(-|x|)), by which softplus is above the ramp."""
    return np.log1p(np.exp(-np.abs(x)))


def _softplus(x: Any, *, beta: Any = 1.0) -> Any:
    if beta != 1:
        return _softplus(x * beta) / beta
    return np.maximum(x, 0) + softened(x)


softplus = op(
    quiet(_softplus),
    name="softplus",
    domain=(real,),
    settings={"beta": lambda *_: (1.0, 2.0, 0.5)},
    rules=(lambda g, _out, x, beta=1.0: g * sigmoid(x * beta),),
)
logsigmoid = op(
    lambda x: -_softplus(-x),
    name="logsigmoid",
    domain=(real,),
    rules=(lambda g, _out, x: g * sigmoid(-x),),
)
silu = op(
    quiet(lambda x: x / (1 + np.exp(-x))),
    name="silu",
    domain=(real,),
    # Of sigmoid(-x), which 1 - sigmoid(x) is, all digits are there.
    rules=(lambda g, out, x: g * (sigmoid(x) + out * sigmoid(-x)),),
)


def _mish_slope(g: Any, _out: Any, x: Any) -> Any:
    t = np.tanh(softplus(x))
    return g * (t + x * (1 - t * t) * sigmoid(x))


mish = op(
    lambda x: x * np.tanh(_softplus(x)),
    name="mish",
    domain=(real,),
    rules=(_mish_slope,),
)
gelu = op(
    lambda x: x * distribution(x),
    name="gelu",
    domain=(real,),
    rules=(lambda g, _out, x: g * (ndtr(x) + x * (bell(x * HALF_ROOT) * PEAK)),),
)
# The curve that stands for it, with the tangent written as the sigmoid that it is. Beyond the
# ends, where powers would overflow, that is 0 or 1 to the last digit.
ENDS = 40.0
STEEP = 2 * math.sqrt(2 / math.pi)
BENT = STEEP * 0.044715


def _rise(c: Any) -> Any:
    return c * (STEEP + BENT * c * c)


def _gelu_tanh_slope(g: Any, _out: Any, x: Any) -> Any:
    c = clip(x, -ENDS, ENDS)
    rise = _rise(c)
    slope = sigmoid(rise) * sigmoid(-rise) * (STEEP + 3 * BENT * c * c)
    return g * (sigmoid(rise) + c * slope)


def _gelu_tanh(x: Any) -> Any:
    return x * sigmoid(_rise(np.clip(x, -ENDS, ENDS)))


gelu_tanh = op(_gelu_tanh, name="gelu", domain=(real,), rules=(_gelu_tanh_slope,))


# Bent. Comparisons are multiplied with: where it depends on the data which one is taken, `np.where`
# guesses wrong half of the time, and costs as much as ten products.


def _elu(x: Any, *, alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0) -> Any:
    out = np.expm1(np.minimum(x, 0) * input_scale)
    out *= alpha * scale
    out += np.maximum(x, 0) * scale
    return out


def _elu_slope(
    g: Any, _out: Any, x: Any, alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0
) -> Any:
    left = exp(np.minimum(x, 0) * input_scale) * (alpha * scale * input_scale)
    return g * ((x > 0).astype(x.dtype) * scale + (x <= 0) * left)


# With its scales it is SELU and CELU too.
elu = op(
    quiet(_elu),
    name="elu",
    domain=(real,),
    settings={
        "alpha": lambda *_: (1.0, 0.5, 2.0),
        "scale": lambda *_: (1.0, 1.5),
        "input_scale": lambda *_: (1.0, 0.5),
    },
    rules=(_elu_slope,),
)
leaky_relu = op(
    lambda x, negative_slope: np.maximum(x, 0) + np.minimum(x, 0) * negative_slope,
    name="leaky_relu",
    domain=(real,),
    settings={"negative_slope": lambda *_: (0.01, 0.0, -0.5, 2.0)},
    rules=(
        lambda g, _out, x, negative_slope: (
            g * ((x > 0) + (x <= 0).astype(x.dtype) * negative_slope)
        ),
    ),
)
# At the bounds, unlike those of `clip`, the slope is 0.
hardtanh = op(
    lambda x, low, high: np.minimum(np.maximum(x, low), high),
    name="hardtanh",
    domain=(real,),
    settings={"low": lambda *_: (-1.0, 0.0), "high": lambda *_: (1.0, 6.0)},
    rules=(lambda g, _out, x, low, high: np.where((x > low) & (x < high), g, 0),),
)
