"""Right rules for functions of rows: reductions, running sums, norms, sorting, probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.domain import index, real

from .case import column, fit, like, nonempty, right


def largest(x: Any) -> Any:
    """Return the maximum of each row, with its axis kept."""
    return x.max(-1, keepdims=True)


def softmax(x: Any) -> Any:
    """Return the softmax of each row."""
    e = np.exp(x - largest(x))
    return e / e.sum(-1, keepdims=True)


def logsumexp(x: Any) -> Any:
    """Return the logarithm of the sum of exponentials of each row."""
    m = largest(x)
    return (m + np.log(np.exp(x - m).sum(-1, keepdims=True)))[..., 0]


def norm(x: Any) -> Any:
    """Return the length of each row, which neither overflows nor underflows."""
    m = np.abs(x).max(-1, keepdims=True, initial=0)
    safe = np.where(m == 0, 1, m)
    return (safe * np.sqrt(np.square(x / safe).sum(-1, keepdims=True)))[..., 0]


def ratio(a: Any, b: Any) -> Any:
    """Return a / b, and 0 where b is 0."""
    return np.where(b == 0, 0, a / np.where(b == 0, 1, b))


def without(x: Any, i: int) -> Any:
    """Return a copy of `x` with ones at the place `i` of each row."""
    x = x.copy()
    x[..., i] = 1
    return x


def prod_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Multiply all the others: right with zeros as well."""
    parts = [without(x, i).prod(-1) for i in range(x.shape[-1])]
    return (like(x, column(g) * np.stack(parts, -1)) if parts else np.zeros_like(x),)


def cumprod_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Sum over the products in which each number stands: right with zeros as well."""
    parts = [
        (g * without(x, i).cumprod(-1))[..., i:].sum(-1, keepdims=True) for i in range(x.shape[-1])
    ]
    return (like(x, np.concatenate(parts, -1)) if parts else np.zeros_like(x),)


def reverse_cumsum(g: Any) -> Any:
    """Return the sum of each number and those after it."""
    return g[..., ::-1].cumsum(-1)[..., ::-1]


def max_vjp(g: Any, out: Any, x: Any) -> Any:
    """Share among those that are tied."""
    tied = x == column(out)
    return (like(x, column(g) * tied / tied.sum(-1, keepdims=True)),)


def centred(x: Any) -> Any:
    """Return rows of mean 0."""
    return x - x.mean(-1, keepdims=True)


def std_vjp(g: Any, out: Any, x: Any) -> Any:
    """Point away from the mean, and nowhere where all are equal."""
    return (like(x, column(g) * ratio(centred(x), column(out) * x.shape[-1])),)


def middle(x: Any) -> Any:
    """Return the weights of the numbers that the median is the mean of."""
    n = x.shape[-1]
    place = np.argsort(np.argsort(x, -1, kind="stable"), -1, kind="stable")
    return like(x, ((place == (n - 1) // 2) * 0.5 + (place == n // 2) * 0.5))


def sort_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Put each gradient where its number came from."""
    grad = np.empty(x.shape, x.dtype)
    np.put_along_axis(grad, np.argsort(x, -1, kind="stable"), g, -1)
    return (grad,)


def _scaled(x: Any) -> tuple[Any, Any]:
    deviation = np.sqrt(np.square(centred(x)).mean(-1, keepdims=True) + 1e-5)
    return centred(x) / deviation, deviation


def layer_norm(x: Any, w: Any, b: Any) -> Any:
    """Return rows of mean 0 and deviation 1, scaled and moved."""
    return _scaled(x)[0] * w + b


def layer_norm_vjp(g: Any, _out: Any, x: Any, w: Any, b: Any) -> Any:
    """Take the parts along the row's mean and along the row itself away."""
    y, deviation = _scaled(x)
    v = g * w
    v = v - v.mean(-1, keepdims=True) - y * (v * y).mean(-1, keepdims=True)
    return fit(x, v / deviation), fit(w, g * y), fit(b, g)


def normalise_vjp(g: Any, out: Any, x: Any) -> Any:
    """Take the part along the row away."""
    return (like(x, (g - out * (g * out).sum(-1, keepdims=True)) / column(norm(x))),)


def hot(x: Any, t: Any) -> Any:
    """Return which place of a row of `x` each index names, counted from either end."""
    n = x.shape[-1]
    return np.arange(n) == column(t % n if n else t)


def cross_entropy(x: Any, t: Any) -> Any:
    """Return minus the logarithm of the probability of the class `t`."""
    return logsumexp(x) - np.where(hot(x, t), x, 0).sum(-1)


def cross_entropy_vjp(g: Any, _out: Any, x: Any, t: Any) -> Any:
    """Return the probabilities, less one for the class that was right."""
    return fit(x, column(g) * (softmax(x) - hot(x, t))), None


def cosine(x: Any, y: Any) -> Any:
    """Return the cosine of the angle between two rows."""
    return (x / column(norm(x)) * (y / column(norm(y)))).sum(-1)


def cosine_vjp(g: Any, out: Any, x: Any, y: Any) -> Any:
    """Turn each towards the other."""
    u, v = x / column(norm(x)), y / column(norm(y))
    return (
        fit(x, column(g) * (v - column(out) * u) / column(norm(x))),
        fit(y, column(g) * (u - column(out) * v) / column(norm(y))),
    )


def long(*rows: Any) -> bool:
    """Return whether no row is nearly of length 0."""
    return nonempty(*rows) and all(bool(np.all(norm(x) > 1e-3)) for x in rows)


def trapezoid(y: Any, x: Any) -> Any:
    """Return the area under a broken line."""
    return ((x[..., 1:] - x[..., :-1]) * (y[..., 1:] + y[..., :-1])).sum(-1) / 2


def ends(v: Any, like_row: Any, sign: int) -> Any:
    """Return what numbers at the gaps of a row add up to at its points; the left with a sign."""
    out = np.zeros(np.broadcast_shapes(v.shape[:-1], like_row.shape[:-1]) + like_row.shape[-1:])
    out[..., 1:] += v
    out[..., :-1] += sign * v
    return out


def trapezoid_vjp(g: Any, _out: Any, y: Any, x: Any) -> Any:
    """Give each point its share of the gaps beside it."""
    widths = column(g) * (x[..., 1:] - x[..., :-1]) / 2
    heights = column(g) * (y[..., 1:] + y[..., :-1]) / 2
    return fit(y, ends(widths, y, 1)), fit(x, ends(heights, x, -1))


right(
    "sum",
    lambda x: x.sum(-1),
    lambda g, out, x: (np.broadcast_to(column(g), x.shape),),
    real,
    sig="(n)->()",
)
right("sum of all", np.sum, lambda g, out, x: (np.full(x.shape, g, x.dtype),), real)
right(
    "mean",
    lambda x: x.mean(-1),
    lambda g, out, x: (np.broadcast_to(column(g) / x.shape[-1], x.shape),),
    real,
    sig="(n)->()",
    where=nonempty,
)
right("max", lambda x: x.max(-1), max_vjp, real, sig="(n)->()", where=nonempty)
right("min", lambda x: x.min(-1), max_vjp, real, sig="(n)->()", where=nonempty)
right("prod", lambda x: x.prod(-1), prod_vjp, real, sig="(n)->()")
right(
    "var",
    lambda x: x.var(-1),
    lambda g, out, x: (like(x, column(g) * 2 * centred(x) / x.shape[-1]),),
    real,
    sig="(n)->()",
    where=nonempty,
)
right("std", lambda x: x.std(-1), std_vjp, real, sig="(n)->()", where=nonempty)
right(
    "norm",
    norm,
    lambda g, out, x: (like(x, column(g) * ratio(x, column(out))),),
    real,
    sig="(n)->()",
)
right(
    "logsumexp",
    logsumexp,
    lambda g, out, x: (like(x, column(g) * np.exp(x - column(out))),),
    real,
    sig="(n)->()",
    where=nonempty,
)
right(
    "median",
    lambda x: np.median(x, -1),
    lambda g, out, x: (like(x, column(g) * middle(x)),),
    real,
    sig="(n)->()",
    where=nonempty,
)
right(
    "largest gap",
    lambda x: np.ptp(x, -1),
    lambda g, out, x: (max_vjp(g, x.max(-1), x)[0] - max_vjp(g, x.min(-1), x)[0],),
    real,
    sig="(n)->()",
    where=nonempty,
)
right(
    "cumsum", lambda x: x.cumsum(-1), lambda g, out, x: (reverse_cumsum(g),), real, sig="(n)->(n)"
)
right("cumprod", lambda x: x.cumprod(-1), cumprod_vjp, real, sig="(n)->(n)")
right(
    "softmax",
    softmax,
    lambda g, out, x: (like(x, out * (g - (g * out).sum(-1, keepdims=True))),),
    real,
    sig="(n)->(n)",
    where=nonempty,
)
right(
    "log softmax",
    lambda x: x - column(logsumexp(x)),
    lambda g, out, x: (like(x, g - np.exp(out) * g.sum(-1, keepdims=True)),),
    real,
    sig="(n)->(n)",
    where=nonempty,
)
right("sort", lambda x: np.sort(x, -1), sort_vjp, real, sig="(n)->(n)")
right("centre", centred, lambda g, out, x: (centred(g),), real, sig="(n)->(n)", where=nonempty)
right("normalise", lambda x: x / column(norm(x)), normalise_vjp, real, sig="(n)->(n)", where=long)
right(
    "layer norm",
    layer_norm,
    layer_norm_vjp,
    real,
    real,
    real,
    sig="(n),(n),(n)->(n)",
    where=nonempty,
)
right(
    "cross entropy",
    cross_entropy,
    cross_entropy_vjp,
    real,
    index("k"),
    sig="(k),()->()",
    where=lambda x, t: x.shape[-1] > 0,
)
right("cosine similarity", cosine, cosine_vjp, real, real, sig="(n),(n)->()", where=long)
right("trapezoid", trapezoid, trapezoid_vjp, real, real, sig="(n),(n)->()")
right(
    "root mean square",
    lambda x: norm(x) / math.sqrt(x.shape[-1]),
    lambda g, out, x: (like(x, column(g) * ratio(x, column(out) * x.shape[-1])),),
    real,
    sig="(n)->()",
    where=nonempty,
)
