"""Bugs of shapes: where the formula is right and the axes are not."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .case import RIGHT, column, fit, like, row, wrong
from .right_matrix import turned
from .right_rows import centred, ratio, reverse_cumsum
from .wrong_formula import A, B, X, Y

broadcast = partial(wrong, "broadcast")
axis = partial(wrong, "axis")
single = partial(wrong, "size-1")
scalar = partial(wrong, "0-d")
empty = partial(wrong, "empty")


def lead(x: Any, value: Any) -> Any:
    """Sum over the axes that `x` lacks, and forget those of size 1."""
    value = np.asarray(value)
    return like(x, value.sum(tuple(range(value.ndim - np.ndim(x)))))


def first(x: Any, value: Any) -> Any:
    """Sum over the first axes where a stretched one is meant."""
    value = np.asarray(value)
    for _ in range(value.ndim - np.ndim(x)):
        value = value.sum(-1)
    return like(x, value)


def last_kept(x: Any, value: Any) -> Any:
    """Sum as one should, but lose the axis that has to stay."""
    value = np.asarray(value)
    value = value.sum(tuple(range(value.ndim - np.ndim(x))))
    for k in reversed(range(value.ndim)):
        if np.shape(x)[k] == 1 and value.shape[k] != 1:
            value = value.sum(k)
    return like(x, value)


def averaged(x: Any, value: Any) -> Any:
    """Take the mean along what was stretched."""
    size = max(np.size(x), 1)
    return fit(x, value) * like(x, size / max(np.size(value), 1))


def exclusive(g: Any) -> Any:
    """Return the sum of those after each number."""
    return reverse_cumsum(g) - g


broadcast("add", "not summed", lambda g, out, x, y: (g, g), A, X[:1])
broadcast(
    "multiply",
    "only axes that are lacking",
    lambda g, out, x, y: (lead(x, g * y), lead(y, g * x)),
    A,
    A[:, :1],
)
broadcast(
    "subtract", "last axes for the first", lambda g, out, x, y: (first(x, g), first(y, -g)), A, B[0]
)
broadcast(
    "divide",
    "axis lost",
    lambda g, out, x, y: (last_kept(x, g / y), last_kept(y, -g * out / y)),
    A,
    2 + abs(A[:, :1]),
)
broadcast(
    "multiply and add",
    "mean of the bias",
    lambda g, out, a, b, c: (fit(a, g * b), fit(b, g * a), averaged(c, g)),
    A,
    B,
    A[0],
)
broadcast(
    "squared distance",
    "first argument only",
    lambda g, out, x, y: (fit(x, 2 * g * (x - y)), np.broadcast_to(2 * g * (y - x), np.shape(out))),
    A,
    B[0],
)
broadcast(
    "lerp",
    "weight not summed",
    lambda g, out, a, b, t: (
        fit(a, g * (1 - t)),
        fit(b, g * t),
        like(t, np.mean(g * (b - a)) * np.ones_like(t)),
    ),
    A,
    B,
    0.5,
)
broadcast(
    "matmul",
    "batch not summed",
    lambda g, out, a, b: (g @ turned(b), turned(a) @ g),
    A,
    np.stack([A, B]),
)
broadcast(
    "layer norm",
    "weight of the first row only",
    lambda g, out, x, w, b: (
        RIGHT["layer norm"].vjp(g, out, x, w, b)[0],
        fit(w, np.reshape(g * (out - b) / w, (-1, x.shape[-1]))[:1])
        if w.ndim == 1 and x.ndim > 1
        else fit(w, g * (out - b) / w),
        fit(b, g),
    ),
    A,
    X[:3],
    Y[:3],
)

axis(
    "sum",
    "row for column",
    lambda g, out, x: (
        like(x, np.broadcast_to(row(g), x.shape))
        if np.ndim(g) and x.shape[-1] == np.shape(g)[-1]
        else RIGHT["sum"].vjp(g, out, x)[0],
    ),
    A,
)
axis("cumsum", "not reversed", lambda g, out, x: (g.cumsum(-1),), X)
axis(
    "cumsum",
    "along the first axis",
    lambda g, out, x: (g[::-1].cumsum(0)[::-1] if x.ndim else g,),
    A,
)
axis("cumsum", "without itself", lambda g, out, x: (exclusive(g),), X)
axis("softmax", "summed over all", lambda g, out, x: (like(x, out * (g - (g * out).sum())),), A)
axis(
    "log softmax",
    "summed over the first axis",
    lambda g, out, x: (like(x, g - np.exp(out) * g.sum(0, keepdims=True)),),
    A,
)
axis("flip", "all axes", lambda g, out, x: (np.flip(g),), A)
axis("roll", "same way", lambda g, out, x: (np.roll(g, 1, -1),), X)
axis("repeat", "as tiled", lambda g, out, x: (g.reshape(*x.shape[:-1], 2, x.shape[-1]).sum(-2),), A)
axis("tile", "as repeated", lambda g, out, x: (g.reshape(*x.shape, 2).sum(-1),), X)
axis(
    "max",
    "of all rows",
    lambda g, out, x: (like(x, column(g) * (x == x.max(initial=-math.inf))),),
    A,
)
axis(
    "sort",
    "as if its own inverse",
    lambda g, out, x: (np.take_along_axis(g, np.argsort(x, -1, kind="stable"), -1),),
    [2.0, 3.0, 1.0],
)
axis("centre", "over all", lambda g, out, x: (g - g.mean(),), A)

single(
    "var",
    "n - 1 and a correction",
    lambda g, out, x: (
        like(x, column(g) * 2 * centred(x) / (x.shape[-1] - 1) * ((x.shape[-1] - 1) / x.shape[-1])),
    ),
    [2.0],
)
single(
    "layer norm",
    "rows of one pass through",
    lambda g, out, x, w, b: (
        (g, *RIGHT["layer norm"].vjp(g, out, x, w, b)[1:])
        if x.shape[-1] == 1 and x.ndim == 1
        else RIGHT["layer norm"].vjp(g, out, x, w, b)
    ),
    [2.0],
    [3.0],
    [1.0],
)
single(
    "softmax",
    "axes of one lost",
    lambda g, out, x: (like(x, out * (g - (g * out).sum(-1, keepdims=True))).squeeze(),),
    A[:, :1],
)
single(
    "dot",
    "axes of one lost",
    lambda g, out, x, y: (fit(x, column(g) * y).squeeze(), fit(y, column(g) * x)),
    [2.0],
    [3.0],
)
single(
    "normalise",
    "ones for a row of one",
    lambda g, out, x: (
        np.ones_like(x) if x.shape[-1] == 1 else RIGHT["normalise"].vjp(g, out, x)[0],
    ),
    [2.0],
)
single(
    "matmul",
    "taken for a dot product",
    lambda g, out, a, b: (
        fit(a, g * row(b.sum(-1)) if a.shape[-2] == 1 else g @ turned(b)),
        fit(b, turned(a) @ g),
    ),
    A[:1],
    B,
)

scalar("sin", "one axis", lambda g, y, x: (np.atleast_1d(like(x, g * np.cos(x))),), 0.5)
scalar(
    "relu",
    "a number has no length",
    lambda g, y, x: (like(x, np.reshape([g[i] * (x[i] > 0) for i in range(len(x))], x.shape)),),
    0.5,
)
scalar(
    "exp",
    "a float of Python",
    lambda g, y, x: (float(g * y) if x.ndim == 0 else like(x, g * y),),
    np.float32(0.5),
)
scalar(
    "sum of all",
    "number left alone",
    lambda g, out, x: (np.zeros_like(x) if x.ndim == 0 else np.full(x.shape, g, x.dtype),),
    0.5,
)
scalar(
    "multiply",
    "numbers not summed for",
    lambda g, out, x, y: (fit(x, g * y), like(y, g * x) if y.ndim == 0 else fit(y, g * x)),
    A,
    2.0,
)

empty(
    "sin",
    "looks for the largest",
    lambda g, y, x: (like(x, g * np.cos(x) if abs(x).max() < 1e300 else 0 * g),),
    np.zeros((2, 0)),
)
empty(
    "flatten",
    "-1 for an axis",
    lambda g, out, x: (g.reshape(*x.shape[:-1], -1) if x.ndim else g.reshape(()),),
    np.zeros((0, 3)),
)
empty(
    "square",
    "a list",
    lambda g, y, x: (
        np.array([2 * b * a for a, b in zip(x.flat, np.ravel(g), strict=True)], x.dtype).reshape(
            x.shape
        )
        if x.size
        else np.zeros(0, x.dtype),
    ),
    np.zeros((2, 0)),
)
empty(
    "add",
    "one for the sum of nothing",
    lambda g, out, x, y: (fit(x, g) if np.size(g) else np.ones_like(x), fit(y, g)),
    [2.0],
    np.zeros(0),
)
empty(
    "norm",
    "looks for the largest",
    lambda g, out, x: (like(x, 0 * x if abs(x).max() == 0 else column(g) * ratio(x, column(out))),),
    np.zeros((2, 0)),
)
