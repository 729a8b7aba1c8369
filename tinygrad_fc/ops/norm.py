"""What layers with their own statistics or chance are made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.domain import axes, boolean, flag, real
from tinygrad_fc.op import row as op


def _mean(x: Any, axis: Any) -> Any:
    total = x.sum(axis=axis, keepdims=True)
    return total / max(math.prod(x.shape) // max(math.prod(total.shape), 1), 1)


def _deviation(x: Any, axis: Any, eps: Any, centred: Any) -> tuple[Any, Any]:
    """Return how far `x` is from its mean, or from 0, and how far that is typically."""
    d = x - _mean(x, axis) if centred else x
    return d, np.sqrt(_mean(d * d, axis) + eps)


def _normalized(x: Any, *, axis: Any, eps: Any, centred: Any = True) -> Any:
    d, typical = _deviation(x, axis, eps, centred)
    return d / typical


def _normalized_slope(g: Any, out: Any, x: Any, axis: Any, eps: Any, centred: Any = True) -> Any:
    share = g - out * _mean(g * out, axis)
    if centred:
        share = share - _mean(g, axis)
    return share / _deviation(x, axis, eps, centred)[1]


# Batch norm (Ioffe and Szegedy, 2015), layer norm (Ba et al., 2016) and their kin differ in `axis`;
# RMS norm (Zhang and Sennrich, 2019) is not centred.
normalized = op(
    _normalized,
    name="norm",
    domain=(real,),
    settings={"axis": axes, "eps": lambda *_: (0.5, 1e-5), "centred": flag},
    rules=(_normalized_slope,),
)
affine = op(
    lambda x, weight, bias: x * weight + bias,
    name="affine",
    domain=(real, real, real),
    rules=(
        lambda g, _out, _x, weight, _bias: g * weight,
        lambda g, _out, x, _weight, _bias: g * x,
        lambda g, _out, _x, _weight, _bias: g,
    ),
)
dropout = op(
    lambda x, kept, scale: x * kept * scale,
    name="dropout",
    domain=(real, boolean),
    settings={"scale": lambda *_: (2.0, 1.25)},
    rules=(lambda g, _out, _x, kept, scale: g * kept * scale, None),
)
