"""Reductions, softmax, cumulative sums and products.

To these functions `dim` is None (all axes), an int or a tuple of ints: calls of an op convert lists
and PyTorch's `dim=()`. The rules of `prod` and `cumprod` divide plain numbers only where no product
is 0, so that derivatives of every order are correct also for elements equal to 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.core.dtypes import widened
from tinygrad_fc.core.errors import DtypeError, warn_deprecated
from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.node import scalar_to_array
from tinygrad_fc.core.op import Dim, define
from tinygrad_fc.domain import axes, axis, nonempty_axes, real, true_or_false
from tinygrad_fc.ops.arithmetic import (
    divide_no_nan,
    multiply_no_nan,
    multiply_no_nan_symmetric,
    nan_of,
)
from tinygrad_fc.ops.shape import broadcast_to

__all__ = ["amax", "amin", "cumprod", "cumsum", "log_softmax", "logsumexp", "mean", "prod"]
__all__ += ["softmax", "std", "sum", "var"]

_add_reduce: Any = np.add.reduce
_multiply_reduce: Any = np.multiply.reduce
_REDUCTION_SETTINGS = {"dim": axes, "keepdim": true_or_false}
_EXTREMUM_SETTINGS = {"dim": nonempty_axes, "keepdim": true_or_false}
_VARIANCE_SETTINGS = {
    **_REDUCTION_SETTINGS,
    # Of a single element, without degrees of freedom, variance and gradient are NaN.
    "correction": lambda x: (0, 1) if min(x.shape, default=1) > 1 else (0,),
}
_AXIS_SETTINGS = {"dim": axis}


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the axes, from 0 on, of an array of `ndim` dimensions that `axis` reduces."""
    if axis is None or not ndim:
        return tuple(range(ndim))
    return tuple([k % ndim for k in (axis if isinstance(axis, tuple) else (axis,))])


def _keepdims_shape(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """Return `shape` with 1 for the reduced axes."""
    if axis is None:
        return (1,) * len(shape)
    reduced = _axes(axis, len(shape))
    return tuple([1 if k in reduced else n for k, n in enumerate(shape)])


def broadcast_back(v: Any, shape: tuple[int, ...], axis: Any, keepdims: Any) -> Any:
    """Return `v`, reduced from an array of `shape`, broadcast back to `shape`."""
    v = v if keepdims or v.ndim == len(shape) else v.reshape(_keepdims_shape(shape, axis))
    return broadcast_to(v, shape=shape)


def _count(shape: tuple[int, ...], axis: Any) -> int:
    """Return how many elements of an array of `shape` are reduced to one."""
    if axis is None:
        return math.prod(shape)
    return math.prod([shape[k] for k in _axes(axis, len(shape))])


def _rows(x: Any, axis: Any) -> Any:
    """Return `x` as a matrix; each row holds the elements that are reduced to one."""
    axes = _axes(axis, x.ndim)
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    return last.reshape(-1, _count(x.shape, axis))


# Sums and means


def _sum_rule(g: Any, _out: Any, _x: Any, dim: Any = None, keepdim: Any = False, **_: Any) -> Any:
    return broadcast_back(g, _x.shape, dim, keepdim)


@define(numpy=np.sum, domain=(real,), settings=_REDUCTION_SETTINGS, rules=(_sum_rule,))
def sum(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the sum over `dim` (all, one or several axes); `dtype` casts `input` first.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(dim=0)
    tensor([4., 6.])
    """
    if dtype is not None:
        input = input.astype(dtype)
    if input.dtype.char == "e":
        return _add_reduce(widened(input), axis=dim, keepdims=keepdim).astype("e")
    return _add_reduce(input, axis=dim, keepdims=keepdim)


def _mean_rule(g: Any, _out: Any, _x: Any, dim: Any = None, keepdim: Any = False, **_: Any) -> Any:
    return broadcast_back(g / max(_count(_x.shape, dim), 1), _x.shape, dim, keepdim)


@define(numpy=np.mean, domain=(real,), settings=_REDUCTION_SETTINGS, rules=(_mean_rule,))
@without_warnings
def mean(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the mean over `dim` (all, one or several axes); `dtype` casts `input` first.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(dim=0)
    tensor([2., 3.])
    """
    x = input if dtype is None else input.astype(dtype)
    if x.dtype.char == "e":
        return mean.forward(widened(x), dim, keepdim).astype("e")
    total = _add_reduce(x, axis=dim, keepdims=keepdim)
    return np.true_divide(total, x.size // max(total.size, 1))


def _degrees_of_freedom(shape: tuple[int, ...], axis: Any, correction: Any) -> Any:
    return max(_count(shape, axis) - correction, 0)


def _correction(settings: dict[str, Any]) -> dict[str, Any]:
    """Return `settings` with PyTorch's `unbiased`, also in `var(x, unbiased)`, as `correction`."""
    unbiased, correction = settings.pop("unbiased", None), settings.pop("correction", None)
    if isinstance(settings.get("dim"), bool):
        unbiased = settings.pop("dim")
    if unbiased is None:
        return settings if correction is None else settings | {"correction": correction}
    if correction is not None:
        raise TypeError("pass correction or unbiased, not both")
    return settings | {"correction": int(unbiased)}


def _var_rule(
    g: Any, _out: Any, x: Any, dim: Any = None, keepdim: Any = False, correction: Any = 1
) -> Any:
    x, g = widened(x), broadcast_back(widened(g), x.shape, dim, keepdim)
    d = x - mean(x, dim=dim, keepdim=True)
    divisor = _degrees_of_freedom(x.shape, dim, correction)
    if not divisor:  # the variance is NaN, or infinite
        return multiply_no_nan(g, np.where((d < 0) | (d > 0), np.inf, np.nan))
    return multiply_no_nan(d, g * (2 / divisor))  # 0 for equal elements


@define(domain=(real,), settings=_VARIANCE_SETTINGS, prepare=_correction, rules=(_var_rule,))
@without_warnings
def var(
    input: Any,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = 1,
) -> Any:
    """Return the sum of squared deviations over `dim`, divided by count - `correction` (default 1).

    `unbiased=False` is `correction=0`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0, 3.0]).var()
    tensor(1.)
    """
    x = widened(input)
    d = x - mean.forward(x, dim=dim, keepdim=True)
    squares = _add_reduce(d * d, axis=dim, keepdims=keepdim)
    out = np.true_divide(squares, _degrees_of_freedom(x.shape, dim, correction))
    return out if x is input else out.astype("e")


def _std_rule(
    g: Any, out: Any, x: Any, dim: Any = None, keepdim: Any = False, correction: Any = 1
) -> Any:
    # Where all elements are equal, d is 0 and so is the gradient. For a single element d is always
    # 0; adding 1 to the denominator makes all derivatives of the quotient 0.
    g, out, x = widened(g), widened(out), widened(x)
    d = x - mean(x, dim=dim, keepdim=True)
    divisor = _degrees_of_freedom(x.shape, dim, correction)
    if not divisor:
        return multiply_no_nan(broadcast_back(g, x.shape, dim, keepdim), d * np.nan)
    denominator = out * divisor + 1 if _count(x.shape, dim) == 1 else out * divisor
    scaled = divide_no_nan(g, denominator)
    return multiply_no_nan(d, broadcast_back(scaled, x.shape, dim, keepdim))


@define(domain=(real,), settings=_VARIANCE_SETTINGS, prepare=_correction, rules=(_std_rule,))
def std(
    input: Any,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = 1,
) -> Any:
    """Return the standard deviation over `dim`; see `var`. The gradient of equal elements is 0.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0, 3.0]).std()
    tensor(1.)
    """
    x = widened(input)  # a variance above 65504 has a root below
    out = np.sqrt(var.forward(x, dim=dim, keepdim=keepdim, correction=correction))
    return out if x is input else out.astype("e")


# Extremes


def _extreme_rule(g: Any, out: Any, x: Any, dim: Any = None, keepdim: Any = False) -> Any:
    # Ties divide the gradient evenly. If the extreme is NaN, the elements that are NaN get the
    # gradient in a reduction of all elements; else the gradients of the row are NaN, as in PyTorch.
    is_extreme = x == broadcast_back(out, x.shape, dim, keepdim)
    if dim is None:
        is_extreme = is_extreme | (x != x)  # noqa: PLR0124  true for NaN
    ties = is_extreme.sum(axis=dim, keepdims=True).astype(x.dtype)
    divisor = np.where(ties == 0, np.nan, ties)
    return multiply_no_nan(is_extreme | (ties == 0), divide_no_nan(g.reshape(ties.shape), divisor))


@define(numpy=np.max, domain=(real,), settings=_EXTREMUM_SETTINGS, rules=(_extreme_rule,))
def amax(input: Any, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return the largest elements over `dim`; ties share the gradient evenly.

    Raises `ShapeError` if there are no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).amax(dim=1)
    tensor([2., 4.])
    """
    return input.max(axis=dim, keepdims=keepdim)


@define(numpy=np.min, domain=(real,), settings=_EXTREMUM_SETTINGS, rules=(_extreme_rule,))
def amin(input: Any, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return the smallest elements over `dim`; ties share the gradient evenly.

    Raises `ShapeError` if there are no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).amin(dim=1)
    tensor([1., 3.])
    """
    return input.min(axis=dim, keepdims=keepdim)


def _no_three_equal(x: Any) -> bool:
    return all(np.unique(x, return_counts=True)[1] < 3)


# If three elements are equal to the median, each derivative is 0 or does not exist, but the rule
# returns a third of the gradient. Such inputs are outside the domain.
@define(domain=(real(where=_no_three_equal),), settings=_EXTREMUM_SETTINGS, rules=(_extreme_rule,))
def median(input: Any, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return the median over `dim`, of an even number of elements the lower, as in PyTorch.

    >>> float(median(np.array([1.0, 4.0, 3.0, 2.0])))
    2.0
    """
    rows = _rows(input, dim)
    k, largest = (rows.shape[-1] - 1) // 2, rows.max(axis=-1)  # NaN if there is one
    middle = np.partition(rows, k, axis=-1)[:, k]
    middle = np.where(largest == largest, middle, largest)  # noqa: PLR0124
    out: Any = middle.reshape(_keepdims_shape(input.shape, dim))
    return out if keepdim else out.squeeze(dim)


# Sums of exponentials. The maximum is subtracted first, so that exp does not overflow; log1p adds
# the other terms, so that small ones are not rounded off.


def largest_along(x: Any, axis: Any, empty: float) -> Any:
    """Return the maximum over `axis`, keeping it; `empty` if there are no elements."""
    if _count(x.shape, axis):
        return x.max(axis=axis, keepdims=True)
    return x.sum(axis=axis, keepdims=True) + empty


def _shifted_logits(x: Any, axis: Any) -> tuple[Any, Any, Any]:
    """Return the maximum m, d = x - m, and log(1 + sum of exp(d) over all others).

    exp magnifies the rounding error of x - m; Knuth's two-sum computes this error, and the
    exponentials are corrected for it.
    """
    x = x if x.dtype.kind == "f" else x.astype(float)
    top = largest_along(x, axis, -np.inf)
    top = np.where(np.isfinite(top), top, 0)
    d = x - top
    shift = d - x
    lost = (x - (d - shift)) - (top + shift)
    e = np.exp(d) * (1 + np.where(np.isfinite(lost), lost, 0))
    largest = d == 0
    others = np.where(largest, 0, e).sum(axis=axis, keepdims=True)
    return top, d, np.log1p(others + (largest.sum(axis=axis, keepdims=True) - 1).astype(x.dtype))


def _logsumexp_rule(g: Any, _out: Any, x: Any, dim: Any = None, keepdim: Any = False) -> Any:
    over = tuple(range(x.ndim)) if dim is None else dim
    return broadcast_back(g, x.shape, dim, keepdim) * softmax(x, axis=over)


@define(domain=(real,), settings=_REDUCTION_SETTINGS, rules=(_logsumexp_rule,))
@without_warnings
def logsumexp(input: Any, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return `log(sum(exp(input)))` over `dim`, without overflow.

    Where the result is near 0, as for log-probabilities, its error is that of the largest element.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1000.0, 1000.0]).logsumexp(dim=0)
    tensor(1000.6931)
    """
    if input.dtype.char == "e":
        return logsumexp.forward(input.astype("f"), dim, keepdim).astype("e")
    top, _, rest = _shifted_logits(input, dim)
    out = scalar_to_array(top + rest)
    return out if keepdim else out.squeeze(dim)


# Softmax


def _softmax_dim(x: Any, dim: Any, function: str = "") -> Any:
    """Return `dim`, or for None PyTorch's choice, with a warning if `function` is named."""
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
        if function:
            message = f"{function} without dim is deprecated. Pass the dim to sum over: dim={dim}"
            warn_deprecated(message, 6)
    return dim


def softmax_rule(g: Any, out: Any, _x: Any, dim: Any = None, dtype: Any = None) -> Any:
    g, out = widened(g), widened(out)
    return out * (g - (g * out).sum(axis=_softmax_dim(g, dim), keepdims=True))


def _log_softmax_rule(g: Any, out: Any, _x: Any, dim: Any = None, dtype: Any = None) -> Any:
    g, out = widened(g), widened(out)
    return g - np.exp(out) * g.sum(axis=_softmax_dim(g, dim), keepdims=True)


@define(domain=(real(..., "n"),), settings=_AXIS_SETTINGS, rules=(softmax_rule,))
@without_warnings
def softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """Return `exp(input) / exp(input).sum(dim)`: probabilities from logits.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([0.0, 0.0]).softmax(dim=0)
    tensor([0.5, 0.5])
    """
    dim = _softmax_dim(input, dim, "softmax")
    x = input if dtype is None else input.astype(dtype)
    if not x.size:
        return x.copy()
    if x.dtype.char == "e":
        return softmax.forward(widened(x), dim).astype("e")
    shifted = x - x.max(axis=dim, keepdims=True)
    exponentials = np.exp(shifted)
    total = _add_reduce(exponentials, axis=dim, keepdims=True)
    return exponentials / total


@define(domain=(real(..., "n"),), settings=_AXIS_SETTINGS, rules=(_log_softmax_rule,))
@without_warnings
def log_softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """Return the natural logarithm of `softmax`, without cancellation.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([0.0, -50.0]).log_softmax(dim=0)
    tensor([-1.9287e-22, -5.0000e+01])
    """
    dim = _softmax_dim(input, dim, "log_softmax")
    x = input if dtype is None else input.astype(dtype)
    if x.dtype.char == "e":
        return log_softmax.forward(widened(x), dim).astype("e")
    _, d, rest = _shifted_logits(x, dim)
    return d - np.where(rest < np.inf, rest, np.nan)  # of an infinite logit, as in PyTorch


# Cumulative sums and products


def _running(function: Any, x: Any, dim: Any, dtype: Any) -> Any:
    if dim is None:
        raise DtypeError(f"{function.__name__} needs a dim, such as dim=-1")
    x = x if dtype is None else x.astype(dtype)
    is_small = x.dtype.kind == "f" and x.dtype.itemsize < 8  # PyTorch, too, adds up in float64
    out = function(x.astype(np.float64) if is_small else x, axis=dim)
    return (out if x.ndim else out.reshape(())).astype(x.dtype if is_small else out.dtype)


def _cumsum_rule(g: Any, _out: Any, _x: Any, dim: Any, dtype: Any = None) -> Any:
    return np.flip(cumsum(np.flip(g, axis=dim), dim=dim), axis=dim) if _x.ndim else g


@define(numpy=np.cumsum, domain=(real(..., "n"),), settings=_AXIS_SETTINGS, rules=(_cumsum_rule,))
def cumsum(input: Any, dim: int | None = None, *, dtype: Any = None) -> Any:
    """Return the cumulative sum along `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.cumsum(tg.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 3., 6.])
    """
    return _running(np.cumsum, input, dim, dtype)


def _exclusive_cumprod(x: Any) -> Any:
    """Return, for each element, the product of those before it on the last axis."""
    running = cumprod(x, dim=-1)
    return np.concatenate([np.ones_like(x[..., :1]), running[..., :-1]], axis=-1)


def _may_be_divided(out: Any) -> bool:
    """Return whether the products `out` are plain numbers, neither 0 nor subnormal, NaN, infinite.

    The factors then are not 0 either, and a quotient by one of them is the product of the others.
    """
    if out.__class__ is not np.ndarray or out.dtype.kind != "f":
        return False
    sizes = np.abs(out)
    return bool(sizes.min() >= np.finfo(out.dtype).tiny and sizes.max() < np.inf)


def _cumprod_rule(g: Any, out: Any, x: Any, dim: Any, dtype: Any = None) -> Any:
    if 0 in x.shape or not x.ndim:
        return g
    if g.__class__ is np.ndarray and _may_be_divided(out):
        total = _cumsum_rule(g * out, None, x, dim)
        if np.isfinite(total.take(0, axis=dim)).all():  # each of these contains a whole row
            return total / x
    x, g = x.swapaxes(dim, -1), g.swapaxes(dim, -1)
    # The gradient of x[i] is prod(x[:i]) * carry[i] with carry[i] = g[i] + x[i + 1] * carry[i + 1],
    # a recurrence that is computed by a parallel scan with steps of 1, 2, 4, ... The arrays are
    # reversed, so that the scan runs forwards; `factor` is x[i + 1].
    carry, factor, step = g[..., ::-1], x[..., ::-1], 1
    factor = np.concatenate([np.ones_like(factor[..., :1]), factor[..., :-1]], axis=-1)
    while step < x.shape[-1]:
        later = multiply_no_nan(carry[..., :-step], factor[..., step:])
        carry = np.concatenate([carry[..., :step], carry[..., step:] + later], axis=-1)
        both = multiply_no_nan_symmetric(factor[..., :-step], factor[..., step:])
        factor = np.concatenate([factor[..., :step], both], axis=-1)
        step *= 2
    gradient = multiply_no_nan(carry[..., ::-1], _exclusive_cumprod(x)) + nan_of(x)
    return gradient.swapaxes(dim, -1)


@define(numpy=np.cumprod, domain=(real(..., "n"),), settings=_AXIS_SETTINGS, rules=(_cumprod_rule,))
@without_warnings
def cumprod(input: Any, dim: int | None = None, *, dtype: Any = None) -> Any:
    """Return the cumulative product along `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.cumprod(tg.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    return _running(np.cumprod, input, dim, dtype)


def _prod_rule(g: Any, out: Any, x: Any, dim: Any = None, keepdim: Any = False, **_: Any) -> Any:
    if 0 in x.shape or not x.ndim:
        return broadcast_back(g, x.shape, dim, keepdim)
    if g.__class__ is np.ndarray and _may_be_divided(out):
        others = broadcast_back(out, x.shape, dim, keepdim) / x
        return broadcast_back(g, x.shape, dim, keepdim) * others
    # Move the reduced axes to the end and merge them into one.
    last = _axes(dim, x.ndim)
    order = (*(k for k in range(x.ndim) if k not in last), *last)
    moved = np.transpose(x, order)
    rows = moved.reshape((-1, _count(x.shape, dim)))
    before, after = _exclusive_cumprod(rows), _exclusive_cumprod(rows[..., ::-1])[..., ::-1]
    others = multiply_no_nan_symmetric(before, after).reshape(moved.shape)
    others = np.transpose(others, tuple(np.argsort(order).tolist()))
    gradient = multiply_no_nan(broadcast_back(g, x.shape, dim, keepdim), others)
    return gradient + nan_of(x).sum(axis=dim, keepdims=True)


@define(numpy=np.prod, domain=(real,), settings=_REDUCTION_SETTINGS, rules=(_prod_rule,))
@without_warnings
def prod(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the product over `dim` (all, one or several axes); `dtype` casts `input` first.

    Derivatives of every order are correct also for elements equal to 0.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> x.prod().backward()
    >>> x.grad
    tensor([0., 6., 0.])
    """
    x = input if dtype is None else input.astype(dtype)
    return _multiply_reduce(x, axis=dim, keepdims=keepdim)
