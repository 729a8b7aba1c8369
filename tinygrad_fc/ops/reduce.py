"""Reductions, row-wise functions built on them, running sums and products."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.domain import axes, axis, filled, flag, real
from tinygrad_fc.graph import as_plain
from tinygrad_fc.op import Op, quiet
from tinygrad_fc.op import row as op
from tinygrad_fc.ops.elementwise import joint, product, quotient
from tinygrad_fc.ops.shape import broadcast_to

if TYPE_CHECKING:
    from collections.abc import Sequence


WIDE = np.dtype("g")  # with more digits than float64, or on some machines just as many


def near_zero(rows: Any) -> Any:
    """Return the logarithm of the summed exponentials of each of `rows`."""
    largest = np.arange(len(rows)), rows.argmax(axis=-1)
    top = rows[largest].astype(WIDE)
    e = np.exp(rows - top[:, None])
    e[largest] = 0
    out = top + np.log1p(e.sum(axis=-1))
    spare = 8 * np.finfo(WIDE).eps / np.finfo(rows.dtype).eps
    lost = np.abs(out) < np.abs(top) * spare
    out[lost] = [_exactly(row) for row in rows[lost].tolist()]
    return out


def _exactly(row: Sequence[float]) -> float:
    # Fixed-point numbers of twice a float's digits, below the largest element's first.
    bits = 128 - min(math.frexp(max(row))[1], 0)
    excess = sum(_exp(x, bits) for x in row if x > -math.inf) - (1 << bits)
    return math.log1p(excess / (1 << bits))


def _exp(x: float, bits: int) -> int:
    """Return exp(x) * 2**bits: from the nearest 256th below, and a series for the rest."""
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
    from decimal import Context, Decimal, localcontext  # noqa: PLC0415  rare, and takes time

    with localcontext(Context(prec=bits // 3 + 9)):
        return int((Decimal(k) / 256).exp() * (1 << bits))


over = {"axis": axes, "keepdims": flag}
chosen = {"axis": filled, "keepdims": flag}
corrected = {**over, "correction": lambda *_: (0, 1)}
along = {"axis": axis}


def _kept(v: Any, shape: tuple[int, ...], axis: Any, keepdims: Any) -> Any:
    """Return a reduction `v` from `shape` with the reduced axes in place, of size 1."""
    return v if keepdims or v.ndim == len(shape) else v.reshape(_ones(shape, axis))


def _ones(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """Return `shape` with 1 for the reduced axes."""
    if axis is None:
        return (1,) * len(shape)
    gone = {k % len(shape) for k in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(1 if k in gone else n for k, n in enumerate(shape))


def spread(v: Any, shape: tuple[int, ...], axis: Any, keepdims: Any) -> Any:
    """Return a reduction `v` from `shape`, repeated over the reduced axes."""
    return broadcast_to(_kept(v, shape, axis, keepdims), shape=shape)


def _count(shape: tuple[int, ...], axis: Any) -> int:
    """Return how many elements of an array of `shape` are reduced to one."""
    if axis is None or not shape:
        return math.prod(shape)
    n = 1
    for k in axis if isinstance(axis, tuple) else (axis,):
        n *= shape[k]
    return n


def _sum(x: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    return np.add.reduce(x, axis=axis, keepdims=keepdims)


@quiet
def _mean(x: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    if x.dtype.char == "e":
        return x.mean(axis=axis, keepdims=keepdims)  # sums in float32, where ours would overflow
    return np.true_divide(np.add.reduce(x, axis=axis, keepdims=keepdims), _count(x.shape, axis))


sum_ = op(
    np.sum,
    forward=_sum,
    domain=(real,),
    settings=over,
    rules=(lambda g, _out, _x, axis=None, keepdims=False: spread(g, _x.shape, axis, keepdims),),
)
mean = op(
    np.mean,
    forward=_mean,
    domain=(real,),
    settings=over,
    rules=(
        lambda g, _out, _x, axis=None, keepdims=False: (
            spread(g, _x.shape, axis, keepdims) / max(_count(_x.shape, axis), 1)
        ),
    ),
)


def _extreme_slope(g: Any, out: Any, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
    # Ties share evenly.
    hit = x == spread(out, x.shape, axis, keepdims)
    ties = hit.sum(axis=axis, keepdims=True)
    return np.where(hit, spread(g, x.shape, axis, keepdims), 0) / np.maximum(ties, 1).astype(
        x.dtype
    )


amax = op(np.max, name="amax", domain=(real,), settings=chosen, rules=(_extreme_slope,))
amin = op(np.min, name="amin", domain=(real,), settings=chosen, rules=(_extreme_slope,))


def _median(x: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the middle one, of an even number the lower, as PyTorch does and NumPy does not."""
    ordered = np.sort(_rows(x, axis), axis=-1)
    middle = ordered[:, (ordered.shape[-1] - 1) // 2]
    if x.dtype.kind == "f":
        middle = np.where(np.isnan(ordered[:, -1]), ordered[:, -1], middle)
    out = middle.reshape(_ones(x.shape, axis))
    return out if keepdims else out.squeeze(axis)


def _no_three_equal(x: Any) -> bool:
    return all(np.unique(x, return_counts=True)[1] < 3)


# Of three equal ones none moves the median alone: its slope is 0 along each, and a share is not.
median = op(
    _median,
    name="median",
    domain=(real(where=_no_three_equal),),
    settings=chosen,
    rules=(_extreme_slope,),
)


def _degrees(shape: tuple[int, ...], axis: Any, correction: Any) -> Any:
    return max(_count(shape, axis) - correction, 0)


@quiet
def _var(x: Any, *, axis: Any = None, correction: Any = 0, keepdims: Any = False) -> Any:
    d = x - _mean(x, axis=axis, keepdims=True)
    return np.true_divide(
        _sum(d * d, axis=axis, keepdims=keepdims), _degrees(x.shape, axis, correction)
    )


def _var_slope(
    g: Any, _out: Any, x: Any, axis: Any = None, correction: Any = 0, keepdims: Any = False
) -> Any:
    d = x - mean(x, axis=axis, keepdims=True)
    share = spread(g, x.shape, axis, keepdims) * 2
    return product(d, quotient(share, _degrees(x.shape, axis, correction)))


def _std_slope(
    g: Any, out: Any, x: Any, axis: Any = None, correction: Any = 0, keepdims: Any = False
) -> Any:
    # Where all are equal the numerator is 0, and so is the slope. One element alone always is, and
    # has slope 0 in every order.
    d = x - mean(x, axis=axis, keepdims=True)
    below = spread(out, x.shape, axis, keepdims) * _degrees(x.shape, axis, correction)
    below = below + 1 if _count(x.shape, axis) == 1 else below
    return spread(g, x.shape, axis, keepdims) * quotient(d, below)


var = op(_var, name="var", domain=(real,), settings=corrected, rules=(_var_slope,))
std = op(
    lambda x, **settings: np.sqrt(_var(x, **settings)),
    name="std",
    domain=(real,),
    settings=corrected,
    rules=(_std_slope,),
)


# Sums of exponentials. All shift by the largest element, so that nothing overflows, and add the
# others to it through log1p, so that what is far below it keeps its digits.


def _largest(x: Any, axis: Any, empty: float) -> Any:
    """Return the largest elements over `axis`, which remains; `empty` where there are none."""
    if _count(x.shape, axis):
        return x.max(axis=axis, keepdims=True)
    return x.sum(axis=axis, keepdims=True) + empty


def _below(x: Any, axis: Any) -> tuple[Any, Any, Any]:
    """Return the largest elements, x minus them, and the log of 1 plus the others' exponentials.

    exp enlarges what the difference lost to rounding, so that is found (as in Knuth's two-sum)
    and put back.
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


@quiet
def _logsumexp(x: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    if x.dtype.char == "e":
        return _logsumexp(x.astype("f"), axis=axis, keepdims=keepdims).astype("e")
    top, _, rest = _below(x, axis)
    out = as_plain(top + rest)
    cancelled = np.abs(out) < np.abs(top) / 2
    if out.__class__ is np.ndarray and cancelled.any():  # other libraries have no wider floats
        out[cancelled] = near_zero(_rows(x, axis)[cancelled.ravel()])
    return out if keepdims else out.squeeze(axis)


def _rows(x: Any, axis: Any) -> Any:
    """Return `x` as a matrix: in each row the elements that a reduction makes one of."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    return last.reshape(-1, _count(x.shape, axis))


@quiet
def _log_softmax(x: Any, *, axis: Any = -1) -> Any:
    _, d, rest = _below(x, axis)
    return d - rest


@quiet
def _softmax(x: Any, *, axis: Any = -1) -> Any:
    if not x.size:
        return x.copy()
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / np.add.reduce(e, axis=axis, keepdims=True)


def _softmax_slope(g: Any, out: Any, _x: Any, axis: Any = -1) -> Any:
    return out * (g - (g * out).sum(axis=axis, keepdims=True))


logsumexp = op(
    _logsumexp,
    name="logsumexp",
    domain=(real,),
    settings=over,
    rules=(
        lambda g, _out, x, axis=None, keepdims=False: (
            spread(g, x.shape, axis, keepdims) * softmax(x, axis=axis)
        ),
    ),
)
softmax: Op = op(
    _softmax, name="softmax", domain=(real(..., "n"),), settings=along, rules=(_softmax_slope,)
)
log_softmax = op(
    _log_softmax,
    name="log_softmax",
    domain=(real(..., "n"),),
    settings=along,
    rules=(lambda g, out, _x, axis=-1: g - np.exp(out) * g.sum(axis=axis, keepdims=True),),
)


def _norm(x: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    # Scaled by the largest, so that squares neither overflow nor vanish.
    top = _largest(np.abs(x), axis, 0.0)
    scale = np.where((top > 0) & np.isfinite(top), top, 1).astype(x.dtype)
    out = scale * np.sqrt(np.square(x / scale).sum(axis=axis, keepdims=True))
    return out if keepdims else out.squeeze(axis)


norm = op(
    _norm,
    name="norm",
    domain=(real,),
    settings=over,
    rules=(
        lambda g, out, x, axis=None, keepdims=False: (
            spread(g, x.shape, axis, keepdims) * quotient(x, spread(out, x.shape, axis, keepdims))
        ),
    ),
)


cumsum = op(
    np.cumsum,
    domain=(real(..., "n"),),
    settings=along,
    rules=(
        lambda g, _out, _x, axis=-1: np.flip(
            np.cumsum(np.flip(g, axis=axis), axis=axis), axis=axis
        ),
    ),
)


def _before(x: Any) -> Any:
    """Return the product of what stands before each element of the last axis."""
    running = cumprod(x, axis=-1)
    return np.concatenate([np.ones_like(x[..., :1]), running[..., :-1]], axis=-1)


def _cumprod_slope(g: Any, _out: Any, x: Any, axis: Any = -1) -> Any:
    if not x.size:
        return g
    x, g = x.swapaxes(axis, -1), g.swapaxes(axis, -1)
    # A later result is what stands before an element, times the element, times the factors up to
    # there: their sum is share[i] = g[i] + x[i + 1] * share[i + 1], in steps of 1, 2, 4, ...
    share, factor, step = g[..., ::-1], x[..., ::-1], 1
    factor = np.concatenate([np.ones_like(factor[..., :1]), factor[..., :-1]], axis=-1)
    while step < x.shape[-1]:
        later = product(share[..., :-step], factor[..., step:])
        share = np.concatenate([share[..., :step], share[..., step:] + later], axis=-1)
        both = joint(factor[..., :-step], factor[..., step:])
        factor = np.concatenate([factor[..., :step], both], axis=-1)
        step *= 2
    return product(share[..., ::-1], _before(x)).swapaxes(axis, -1)


cumprod: Op = op(
    np.cumprod,
    forward=quiet(np.cumprod),
    domain=(real(..., "n"),),
    settings=along,
    rules=(_cumprod_slope,),
)


def _prod_slope(g: Any, _out: Any, x: Any, axis: Any = None, keepdims: Any = False) -> Any:
    if not x.size:
        return spread(g, x.shape, axis, keepdims)
    # The axes that are reduced, last and made one.
    over = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    gone = [k % x.ndim for k in over]
    order = (*(k for k in range(x.ndim) if k not in gone), *gone)
    row = np.transpose(x, order)
    flat = row.reshape((*row.shape[: x.ndim - len(gone)], math.prod(x.shape[k] for k in gone)))
    others: Any = joint(_before(flat), _before(flat[..., ::-1])[..., ::-1])
    back = tuple(np.argsort(order).tolist())
    others = np.transpose(others.reshape(row.shape), back)
    return product(spread(g, x.shape, axis, keepdims), others)


prod = op(
    np.prod,
    forward=quiet(
        lambda x, axis=None, keepdims=False: np.multiply.reduce(x, axis=axis, keepdims=keepdims)
    ),
    domain=(real,),
    settings={"axis": axes, "keepdims": flag},
    rules=(_prod_slope,),
)
