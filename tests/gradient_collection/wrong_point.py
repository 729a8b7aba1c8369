"""Bugs that show at single values only: at one number, at ties, for repeated indices."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .case import RIGHT, column, fit, like, wrong
from .right_matrix import turned, well_posed
from .right_rows import hot, ratio, reverse_cumsum
from .wrong_formula import both, by

point = partial(wrong, "one point")
ties = partial(wrong, "ties")
repeats = partial(wrong, "repeated indices")
boundary = partial(wrong, "not finite")


def first_only(x: Any, i: Any) -> Any:
    """Return which places are named, each at the first index that names it."""
    named = hot(x[..., None, :], i)
    return named & (named.cumsum(-2) == 1)


def embedding_set(g: Any, _out: Any, w: Any, i: Any) -> Any:
    grad = np.zeros_like(w)
    grad[i] = g
    return grad, None


def embedding_positive(g: Any, _out: Any, w: Any, i: Any) -> Any:
    grad = np.zeros_like(w)
    np.add.at(grad, i[i >= 0], g[i >= 0])
    return grad, None


def embedding_averaged(g: Any, out: Any, w: Any, i: Any) -> Any:
    grad = RIGHT["embedding"].vjp(g, out, w, i)[0]
    count = np.bincount(i % len(w), minlength=len(w)) if len(i) else np.ones(len(w))
    return like(w, grad / column(np.maximum(count, 1))), None


def sort_by_value(g: Any, out: Any, x: Any) -> Any:
    """Look each number up among the sorted ones: a tie finds the first only."""
    grad = np.empty(x.shape, x.dtype)
    for at in np.ndindex(x.shape[:-1]):
        grad[at] = g[at][np.searchsorted(out[at], x[at])]
    return (grad,)


point("abs", "2 at 0", by(lambda x, y: np.where(x == 0, 2, np.sign(x))))
point("relu", "-1 at 0", by(lambda x, y: np.where(x == 0, -1, x > 0)))
point("expm1", "nothing at 0", by(lambda x, y: ratio(np.exp(x) * x, x)))
point(
    "prod",
    "as if no factor were 0",
    lambda g, out, x: (like(x, column(g) * ratio(column(out), x)),),
)
point(
    "multiply",
    "nothing where a factor is 0",
    both(lambda x, y, out: (ratio(out, x), ratio(out, y))),
)
point(
    "det",
    "nothing for a singular matrix",
    lambda g, out, a: (
        like(
            a,
            np.asarray(g)[..., None, None]
            * (
                np.asarray(out)[..., None, None] * turned(np.linalg.inv(a))
                if a.size and well_posed(a)
                else 0 * a
            ),
        ),
    ),
)
point("xlogy", "nothing at 0", both(lambda x, y, out: (np.log(y) * (x != 0), x / y)))

ties("max", "all of them", lambda g, out, x: (like(x, column(g) * (x == column(out))),))
ties(
    "max",
    "none of them",
    lambda g, out, x: (
        like(
            x, column(g) * ((x == column(out)) & ((x == column(out)).sum(-1, keepdims=True) == 1))
        ),
    ),
)
ties("maximum", "both", both(lambda x, y, out: (x >= y, y >= x)))
ties("maximum", "none", both(lambda x, y, out: (x > y, y > x)))
ties("sort", "all to the first", sort_by_value)
ties(
    "median",
    "all of them",
    lambda g, out, x: (
        like(x, column(g) * (x == column(out)))
        if x.shape[-1] % 2
        else RIGHT["median"].vjp(g, out, x)[0],
    ),
)
ties(
    "largest gap",
    "all of them",
    lambda g, out, x: (
        like(
            x, column(g) * (1.0 * (x == x.max(-1, keepdims=True)) - (x == x.min(-1, keepdims=True)))
        ),
    ),
)

repeats(
    "gather",
    "counted once",
    lambda g, out, x, i: (fit(x, (column(g) * first_only(x, i)).sum(-2)), None),
)
repeats("embedding", "set", embedding_set)
repeats("embedding", "averaged", embedding_averaged)
repeats("embedding", "negative ones forgotten", embedding_positive)
repeats(
    "bins",
    "shared",
    lambda g, out, x, i: (like(x, g[i] / np.bincount(i % 5, minlength=5)[i]), None),
)
repeats(
    "cross entropy",
    "negative class forgotten",
    lambda g, out, x, t: RIGHT["cross entropy"].vjp(g, out, x, np.maximum(t, 0)),
)

boundary("norm", "nan at 0", lambda g, out, x: (like(x, column(g) * x / column(out)),))
boundary("hypot", "nan at 0", both(lambda x, y, out: (x / out, y / out)))
boundary(
    "std",
    "nan for equal numbers",
    lambda g, out, x: (
        like(x, column(g) * (x - x.mean(-1, keepdims=True)) / (column(out) * x.shape[-1])),
    ),
)
boundary("prod", "nan with a 0", lambda g, out, x: (like(x, column(g) * column(out) / x),))
boundary("cumprod", "nan with a 0", lambda g, out, x: (like(x, reverse_cumsum(g * out) / x),))
boundary(
    "logsumexp",
    "not shifted",
    lambda g, out, x: (like(x, column(g) * np.exp(x) / np.exp(x).sum(-1, keepdims=True)),),
)
boundary("sinc", "nan at 0", by(lambda x, y: (np.cos(np.pi * x) - y) / x))
boundary("cube", "3 y/x", by(lambda x, y: 3 * y / x))
boundary("x |x|", "2 y/x", by(lambda x, y: 2 * y / x))
boundary("1 - cos", "through tan", by(lambda x, y: y * np.sin(x) / (1 - np.cos(x))))
