"""Ops of normalization and dropout layers, and norms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.core.dtypes import widened
from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.node import scalar_to_array, sum_over
from tinygrad_fc.core.op import Dim, define
from tinygrad_fc.domain import axes, boolean, nonzero, real, true_or_false
from tinygrad_fc.ops.arithmetic import divide, infinite_at_0, multiply
from tinygrad_fc.ops.elementwise import absolute, power
from tinygrad_fc.ops.reduce import broadcast_back, largest_along

_SETTINGS = {"dim": axes, "keepdim": true_or_false}


def _mean(x: Any, axis: Any) -> Any:
    total = sum_over(x, axis)
    count = math.prod(x.shape) // max(math.prod(total.shape), 1)
    return total / max(count, 1)


def _center_and_std(x: Any, axis: Any, eps: Any, centered: Any) -> tuple[Any, Any]:
    """Return d, `x` minus its mean if `centered`, else `x`; and sqrt(mean(d * d) + eps)."""
    d = x - _mean(x, axis) if centered else x
    std = np.sqrt(_mean(d * d, axis) + eps)
    return d, std


def _normalize_rule(g: Any, out: Any, x: Any, axis: Any, eps: Any, centered: Any = True) -> Any:
    g, out, x = widened(g), widened(out), widened(x)
    gradient = g - out * _mean(g * out, axis)
    if centered:
        gradient = gradient - _mean(g, axis)
    return gradient / _center_and_std(x, axis, eps, centered)[1]


@define(
    domain=(real,),
    settings={"axis": axes, "eps": (0.5, 1e-5), "centered": true_or_false},
    rules=(_normalize_rule,),
)
def normalized(input: Any, *, axis: Any, eps: Any, centered: Any = True) -> Any:
    """Return (input - mean) / sqrt(variance + eps) over `axis`; without the mean if not `centered`.

    Batch norm (Ioffe and Szegedy, 2015) and layer norm (Ba et al., 2016) differ in `axis`; RMS norm
    (Zhang and Sennrich, 2019) is not centered.

    >>> normalized(np.array([1.0, 3.0]), axis=0, eps=0.0)
    array([-1.,  1.])
    """
    d, scale = _center_and_std(widened(input), axis, eps, centered)
    out = d / scale
    return out if out.dtype == input.dtype else out.astype(input.dtype)


@define(
    domain=(real, real, real),
    rules=(
        lambda g, _out, _x, weight, _bias: g * weight,
        lambda g, _out, x, _weight, _bias: g * x,
        lambda g, _out, _x, _weight, _bias: g,
    ),
)
def affine(input: Any, weight: Any, bias: Any) -> Any:
    """Return `input * weight + bias`, broadcast.

    >>> affine(np.array([1.0, 2.0]), 3.0, 1.0)
    array([4., 7.])
    """
    return input * weight + bias


@define(
    domain=(real, boolean),
    settings={"scale": (2.0, 1.25)},
    rules=(lambda g, _out, _x, mask, scale: g * mask * scale, None),
)
def dropout(input: Any, mask: Any, *, scale: Any) -> Any:
    """Return `input * mask * scale` (Srivastava et al., 2014).

    >>> dropout(np.array([1.0, 2.0]), np.array([True, False]), scale=2.0)
    array([2., 0.])
    """
    return input * mask * scale


def _norm_rule(g: Any, out: Any, x: Any, dim: Any = None, keepdim: Any = False) -> Any:
    unit = divide(x, broadcast_back(infinite_at_0(out), x.shape, dim, keepdim))
    return broadcast_back(g, x.shape, dim, keepdim) * unit  # g / out may overflow


@define(name="norm", domain=(real,), settings=_SETTINGS, rules=(_norm_rule,))
def l2_norm(input: Any, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return the root of the summed squares over `dim`; where it is 0, the gradient is 0.

    >>> float(l2_norm(np.array([3.0, 4.0])))
    5.0
    """
    if input.dtype.char == "e":
        return scalar_to_array(l2_norm.forward(widened(input), dim, keepdim)).astype("e")
    squares = np.square(input).sum(axis=dim, keepdims=True)
    out, limits = np.sqrt(squares), np.finfo(input.dtype)
    normal = (squares > limits.tiny / limits.eps**2) & (squares < np.inf)
    if not normal.all():
        # Scaled by the largest, so that squares neither overflow nor underflow.
        top = largest_along(np.abs(input), dim, 0.0)
        scale = np.where((top > 0) & np.isfinite(top), top, 1).astype(input.dtype)
        out = scale * np.sqrt(np.square(input / scale).sum(axis=dim, keepdims=True))
    return out if keepdim else out.squeeze(dim)


def _lp_norm_rule(g: Any, out: Any, x: Any, ord: Any, dim: Any = None, keepdim: Any = False) -> Any:
    out = broadcast_back(out, x.shape, dim, keepdim)
    slope: Any = power(divide(absolute(x), infinite_at_0(out)), ord - 1)
    # At 0, powers below 1 and roots have infinite derivatives: PyTorch's derivative is 0.
    slope = np.where(((x == 0) | (out == 0)) & (out == out), 0, slope)  # noqa: PLR0124  not NaN
    return multiply(broadcast_back(g, x.shape, dim, keepdim) * np.sign(x), slope)


@define(domain=(nonzero,), settings={"ord": (3, 1.5, 0.5, -1), **_SETTINGS}, rules=(_lp_norm_rule,))
@without_warnings
def lp_norm(input: Any, *, ord: Any, dim: Any = None, keepdim: Any = False) -> Any:
    """Return `(|x|**ord).sum() ** (1 / ord)` over `dim`; where it is 0, the gradient is 0.

    >>> float(lp_norm(np.array([3.0, -4.0]), ord=1))
    7.0
    """
    total = (np.abs(input) ** ord).sum(axis=dim, keepdims=keepdim)
    return total ** (1 / ord)
