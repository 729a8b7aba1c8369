"""Reductions, softmax, cumulative sums and products.

`axis` is None, an int or a tuple of ints; of `cumsum` and `cumprod` it is an int. The rules of
`prod` and `cumprod` do not divide, so that derivatives of every order are correct also for elements
equal to 0.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.domain import axes, axis, nonempty_axes, real, true_or_false
from tinygrad_fc.graph import scalar_to_array
from tinygrad_fc.op import define, without_warnings
from tinygrad_fc.ops.elementwise import divide_no_nan, multiply_no_nan, multiply_no_nan_symmetric
from tinygrad_fc.ops.shape import broadcast_to

if TYPE_CHECKING:
    from collections.abc import Sequence

_REDUCTION_SETTINGS = {"axis": axes, "keepdims": true_or_false}
_EXTREMUM_SETTINGS = {"axis": nonempty_axes, "keepdims": true_or_false}
_VARIANCE_SETTINGS = {**_REDUCTION_SETTINGS, "correction": lambda *_: (0, 1)}
_AXIS_SETTINGS = {"axis": axis}


def _with_reduced_axes(v: Any, shape: tuple[int, ...], axis: Any, keepdims: Any) -> Any:
    """Return `v`, reduced from an array of `shape`, reshaped as with keepdims=True."""
    return v if keepdims or v.ndim == len(shape) else v.reshape(_ones(shape, axis))


def _ones(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """Return `shape` with 1 for the reduced axes."""
    if axis is None:
        return (1,) * len(shape)
    reduced = {k % len(shape) for k in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(1 if k in reduced else n for k, n in enumerate(shape))


def broadcast_back(v: Any, shape: tuple[int, ...], axis: Any, keepdims: Any) -> Any:
    """Return `v`, reduced from an array of `shape`, broadcast back to `shape`."""
    return broadcast_to(_with_reduced_axes(v, shape, axis, keepdims), shape=shape)


def _count(shape: tuple[int, ...], axis: Any) -> int:
    """Return how many elements of an array of `shape` are reduced to one."""
    if axis is None or not shape:
        return math.prod(shape)
    n = 1
    for k in axis if isinstance(axis, tuple) else (axis,):
        n *= shape[k]
    return n


def _rows(x: Any, axis: Any) -> Any:
    """Return `x` as a matrix; each row holds the elements that are reduced to one."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    return last.reshape(-1, _count(x.shape, axis))


# Sums and means


@define(
    np.sum,
    forward=lambda x, axis=None, keepdims=False: np.add.reduce(x, axis=axis, keepdims=keepdims),
    domain=(real,),
    settings=_REDUCTION_SETTINGS,
    rules=(
        lambda g, _out, _x, axis=None, keepdims=False: broadcast_back(g, _x.shape, axis, keepdims),
    ),
)
def sum_(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the sum over `axis`.

    >>> sum_(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([4., 6.])
    """


@without_warnings
def _mean(x: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    if x.dtype.char == "e":
        return x.mean(axis=axis, keepdims=keepdims)  # sums in float32; float16 would overflow
    return np.true_divide(np.add.reduce(x, axis=axis, keepdims=keepdims), _count(x.shape, axis))


@define(
    np.mean,
    forward=_mean,
    domain=(real,),
    settings=_REDUCTION_SETTINGS,
    rules=(
        lambda g, _out, _x, axis=None, keepdims=False: (
            broadcast_back(g, _x.shape, axis, keepdims) / max(_count(_x.shape, axis), 1)
        ),
    ),
)
def mean(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the mean over `axis`.

    >>> mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([2., 3.])
    """


def _degrees_of_freedom(shape: tuple[int, ...], axis: Any, correction: Any) -> Any:
    return max(_count(shape, axis) - correction, 0)


def _var_rule(
    g: Any, _out: Any, x: Any, axis: Any = None, correction: Any = 0, keepdims: Any = False
) -> Any:
    d = x - mean(x, axis=axis, keepdims=True)
    scaled = broadcast_back(g, x.shape, axis, keepdims) * 2
    # 0 for equal elements, also with 0 degrees of freedom.
    return multiply_no_nan(d, divide_no_nan(scaled, _degrees_of_freedom(x.shape, axis, correction)))


@define(domain=(real,), settings=_VARIANCE_SETTINGS, rules=(_var_rule,))
@without_warnings
def var(input: Any, *, axis: Any = None, correction: Any = 0, keepdims: Any = False) -> Any:
    """Return the sum of squared deviations over `axis`, divided by count - `correction`.

    >>> float(var(np.array([1.0, 3.0])))
    1.0
    """
    d = input - _mean(input, axis=axis, keepdims=True)
    squares = sum_.forward(d * d, axis=axis, keepdims=keepdims)
    return np.true_divide(squares, _degrees_of_freedom(input.shape, axis, correction))


def _std_rule(
    g: Any, out: Any, x: Any, axis: Any = None, correction: Any = 0, keepdims: Any = False
) -> Any:
    # Where all elements are equal, d is 0 and so is the gradient. For a single element d is always
    # 0; adding 1 to the denominator makes all derivatives of the quotient 0.
    d = x - mean(x, axis=axis, keepdims=True)
    divisor = _degrees_of_freedom(x.shape, axis, correction)
    denominator = broadcast_back(out, x.shape, axis, keepdims) * divisor
    denominator = denominator + 1 if _count(x.shape, axis) == 1 else denominator
    return broadcast_back(g, x.shape, axis, keepdims) * divide_no_nan(d, denominator)


@define(domain=(real,), settings=_VARIANCE_SETTINGS, rules=(_std_rule,))
def std(input: Any, *, axis: Any = None, correction: Any = 0, keepdims: Any = False) -> Any:
    """Return the standard deviation over `axis`; the gradient of equal elements is 0.

    >>> float(std(np.array([1.0, 3.0])))
    1.0
    """
    return np.sqrt(var.forward(input, axis=axis, correction=correction, keepdims=keepdims))


# Extremes


def _extreme_rule(g: Any, out: Any, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
    # Ties divide the gradient evenly.
    is_extreme = x == broadcast_back(out, x.shape, axis, keepdims)
    ties = np.maximum(is_extreme.sum(axis=axis, keepdims=True), 1).astype(x.dtype)
    return np.where(is_extreme, broadcast_back(g, x.shape, axis, keepdims), 0) / ties


@define(np.max, domain=(real,), settings=_EXTREMUM_SETTINGS, rules=(_extreme_rule,))
def amax(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the largest elements over `axis`; ties share the gradient evenly.

    >>> amax(np.array([[1.0, 4.0], [3.0, 2.0]]), axis=0)
    array([3., 4.])
    """


@define(np.min, domain=(real,), settings=_EXTREMUM_SETTINGS, rules=(_extreme_rule,))
def amin(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the smallest elements over `axis`; ties share the gradient evenly.

    >>> amin(np.array([[1.0, 4.0], [3.0, 2.0]]), axis=0)
    array([1., 2.])
    """


def _no_three_equal(x: Any) -> bool:
    return all(np.unique(x, return_counts=True)[1] < 3)


# If three elements are equal to the median, each derivative is 0 or does not exist, but the rule
# returns a third of the gradient. Such inputs are outside the domain.
@define(
    domain=(real(where=_no_three_equal),),
    settings=_EXTREMUM_SETTINGS,
    rules=(_extreme_rule,),
)
def median(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the median over `axis`, of an even number of elements the lower, as in PyTorch.

    >>> float(median(np.array([1.0, 4.0, 3.0, 2.0])))
    2.0
    """
    ordered = np.sort(_rows(input, axis), axis=-1)
    middle = ordered[:, (ordered.shape[-1] - 1) // 2]
    if input.dtype.kind == "f":
        middle = np.where(np.isnan(ordered[:, -1]), ordered[:, -1], middle)
    out = middle.reshape(_ones(input.shape, axis))
    return out if keepdims else out.squeeze(axis)


# Sums of exponentials. The maximum is subtracted first, so that exp does not overflow; log1p adds
# the other terms, so that small ones are not rounded off.


def _largest(x: Any, axis: Any, empty: float) -> Any:
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
    top = _largest(x, axis, -np.inf)
    top = np.where(np.isfinite(top), top, 0)
    d = x - top
    shift = d - x
    lost = (x - (d - shift)) - (top + shift)
    e = np.exp(d) * (1 + np.where(np.isfinite(lost), lost, 0))
    largest = d == 0
    others = np.where(largest, 0, e).sum(axis=axis, keepdims=True)
    return top, d, np.log1p(others + (largest.sum(axis=axis, keepdims=True) - 1).astype(x.dtype))


def _logsumexp_rule(g: Any, _out: Any, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
    return broadcast_back(g, x.shape, axis, keepdims) * softmax(x, axis=axis)


@define(domain=(real,), settings=_REDUCTION_SETTINGS, rules=(_logsumexp_rule,))
@without_warnings
def logsumexp(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return log(exp(input).sum(axis)), without overflow or cancellation.

    >>> float(logsumexp(np.array([1000.0, 1000.0])))
    1000.6931471805599
    """
    if input.dtype.char == "e":
        return logsumexp.forward(input.astype("f"), axis=axis, keepdims=keepdims).astype("e")
    top, _, rest = _shifted_logits(input, axis)
    out = scalar_to_array(top + rest)
    cancelled = np.abs(out) < np.abs(top) / 2
    if out.__class__ is np.ndarray and cancelled.any():  # CuPy has no wider floats
        out[cancelled] = _logsumexp_long_double(_rows(input, axis)[cancelled.ravel()])
    return out if keepdims else out.squeeze(axis)


# If the sum of exponentials is near 1, as for log-probabilities, the maximum and the log1p term
# cancel. Such rows are computed again in long double; rows where too few digits remain even then
# are computed in integer (fixed-point) arithmetic.

LONG_DOUBLE = np.dtype("g")  # long double, the same as float64 on some platforms


def _logsumexp_long_double(rows: Any) -> Any:
    """Return log(sum(exp(row))) of each of `rows`."""
    largest = np.arange(len(rows)), rows.argmax(axis=-1)
    top = rows[largest].astype(LONG_DOUBLE)
    e = np.exp(rows - top[:, None])
    e[largest] = 0
    out = top + np.log1p(e.sum(axis=-1))
    tolerance = 8 * np.finfo(LONG_DOUBLE).eps / np.finfo(rows.dtype).eps
    lost = np.abs(out) < np.abs(top) * tolerance
    out[lost] = [_logsumexp_fixed_point(row) for row in rows[lost].tolist()]
    return out


def _logsumexp_fixed_point(row: Sequence[float]) -> float:
    # Fixed-point numbers with 128 bits after the binary point, or more if the largest element is
    # small, so that it has 128 significant bits.
    bits = 128 - min(math.frexp(max(row))[1], 0)
    excess = sum(_exp(x, bits) for x in row if x > -math.inf) - (1 << bits)
    return math.log1p(excess / (1 << bits))


def _exp(x: float, bits: int) -> int:
    """Return exp(x) * 2**bits as exp(k / 256) times the Taylor series of the remainder."""
    n, d = x.as_integer_ratio()
    scaled = (n << bits) // d
    k = scaled >> (bits - 8)
    rest = scaled - (k << (bits - 8))
    total = term = 1 << bits
    j = 0
    while term:
        j += 1
        term = (term * rest >> bits) // j
        total += term
    return total * _power(k, bits) >> bits


@lru_cache(1 << 14)
def _power(k: int, bits: int) -> int:
    """Return exp(k / 256) * 2**bits."""
    from decimal import Context, Decimal, localcontext  # noqa: PLC0415  rarely needed, and slow

    with localcontext(Context(prec=bits // 3 + 9)):
        return int((Decimal(k) / 256).exp() * (1 << bits))


# Softmax and norm


def _softmax_rule(g: Any, out: Any, _x: Any, axis: Any = -1) -> Any:
    return out * (g - (g * out).sum(axis=axis, keepdims=True))


@define(domain=(real(..., "n"),), settings=_AXIS_SETTINGS, rules=(_softmax_rule,))
@without_warnings
def softmax(input: Any, *, axis: Any = -1) -> Any:
    """Return exp(input) / exp(input).sum(axis).

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    if not input.size:
        return input.copy()
    e = np.exp(input - input.max(axis=axis, keepdims=True))
    return e / np.add.reduce(e, axis=axis, keepdims=True)


@define(
    domain=(real(..., "n"),),
    settings=_AXIS_SETTINGS,
    rules=(lambda g, out, _x, axis=-1: g - np.exp(out) * g.sum(axis=axis, keepdims=True),),
)
@without_warnings
def log_softmax(input: Any, *, axis: Any = -1) -> Any:
    """Return log(softmax(input)), without cancellation.

    >>> log_softmax(np.array([0.0, 0.0]))
    array([-0.69314718, -0.69314718])
    """
    _, d, rest = _shifted_logits(input, axis)
    return d - rest


@define(
    domain=(real,),
    settings=_REDUCTION_SETTINGS,
    rules=(
        lambda g, out, x, axis=None, keepdims=False: (
            broadcast_back(g, x.shape, axis, keepdims)
            * divide_no_nan(x, broadcast_back(out, x.shape, axis, keepdims))
        ),
    ),
)
def norm(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the root of the summed squares over `axis`; where it is 0, the gradient is 0.

    >>> float(norm(np.array([3.0, 4.0])))
    5.0
    """
    # Scaled by the largest, so that squares neither overflow nor underflow.
    top = _largest(np.abs(input), axis, 0.0)
    scale = np.where((top > 0) & np.isfinite(top), top, 1).astype(input.dtype)
    out = scale * np.sqrt(np.square(input / scale).sum(axis=axis, keepdims=True))
    return out if keepdims else out.squeeze(axis)


# Cumulative sums and products


@define(
    np.cumsum,
    domain=(real(..., "n"),),
    settings=_AXIS_SETTINGS,
    rules=(
        lambda g, _out, _x, axis=-1: np.flip(
            np.cumsum(np.flip(g, axis=axis), axis=axis), axis=axis
        ),
    ),
)
def cumsum(input: Any, *, axis: Any = -1) -> Any:
    """Return the cumulative sum along `axis`.

    >>> cumsum(np.array([1.0, 2.0, 3.0]), axis=0)
    array([1., 3., 6.])
    """


def _exclusive_cumprod(x: Any) -> Any:
    """Return, for each element, the product of those before it on the last axis."""
    running = cumprod(x, axis=-1)
    return np.concatenate([np.ones_like(x[..., :1]), running[..., :-1]], axis=-1)


def _cumprod_rule(g: Any, _out: Any, x: Any, axis: Any = -1) -> Any:
    if not x.size:
        return g
    x, g = x.swapaxes(axis, -1), g.swapaxes(axis, -1)
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
    return multiply_no_nan(carry[..., ::-1], _exclusive_cumprod(x)).swapaxes(axis, -1)


@define(
    np.cumprod,
    forward=without_warnings(np.cumprod),
    domain=(real(..., "n"),),
    settings=_AXIS_SETTINGS,
    rules=(_cumprod_rule,),
)
def cumprod(input: Any, *, axis: Any = -1) -> Any:
    """Return the cumulative product along `axis`.

    >>> cumprod(np.array([1.0, 2.0, 3.0]), axis=0)
    array([1., 2., 6.])
    """


def _prod_rule(g: Any, _out: Any, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
    if not x.size:
        return broadcast_back(g, x.shape, axis, keepdims)
    # Move the reduced axes to the end and merge them into one.
    over = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    last = [k % x.ndim for k in over]
    order = (*(k for k in range(x.ndim) if k not in last), *last)
    row = np.transpose(x, order)
    flat = row.reshape((*row.shape[: x.ndim - len(last)], math.prod(x.shape[k] for k in last)))
    before, after = _exclusive_cumprod(flat), _exclusive_cumprod(flat[..., ::-1])[..., ::-1]
    others: Any = multiply_no_nan_symmetric(before, after)
    back = tuple(np.argsort(order).tolist())
    others = np.transpose(others.reshape(row.shape), back)
    return multiply_no_nan(broadcast_back(g, x.shape, axis, keepdims), others)


@define(
    np.prod,
    forward=without_warnings(
        lambda x, axis=None, keepdims=False: np.multiply.reduce(x, axis=axis, keepdims=keepdims)
    ),
    domain=(real,),
    settings=_REDUCTION_SETTINGS,
    rules=(_prod_rule,),
)
def prod(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the product over `axis`.

    >>> prod(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    array([3., 8.])
    """
