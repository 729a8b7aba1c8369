"""Bugs of shapes: where the formula is right and the axes are not."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .case import RIGHT, fit, like, row, wrong
from .right_matrix import turned
from .right_rows import reverse_cumsum

broadcast = partial(wrong, "broadcast")
axis = partial(wrong, "axis")
single = partial(wrong, "size-1")
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


def exclusive(g: Any) -> Any:
    """Return the sum of those after each number."""
    return reverse_cumsum(g) - g


broadcast(
    "multiply", "only axes that are lacking", lambda g, out, x, y: (lead(x, g * y), lead(y, g * x))
)
broadcast("subtract", "last axes for the first", lambda g, out, x, y: (first(x, g), first(y, -g)))
broadcast(
    "divide", "axis lost", lambda g, out, x, y: (last_kept(x, g / y), last_kept(y, -g * out / y))
)

axis(
    "sum",
    "row for column",
    lambda g, out, x: (
        like(x, np.broadcast_to(row(g), x.shape))
        if np.ndim(g) and x.shape[-1] == np.shape(g)[-1]
        else RIGHT["sum"].vjp(g, out, x)[0],
    ),
)
axis(
    "cumsum", "along the first axis", lambda g, out, x: (g[::-1].cumsum(0)[::-1] if x.ndim else g,)
)
axis("cumsum", "without itself", lambda g, out, x: (exclusive(g),))
axis("softmax", "summed over all", lambda g, out, x: (like(x, out * (g - (g * out).sum())),))
axis("repeat", "as tiled", lambda g, out, x: (g.reshape(*x.shape[:-1], 2, x.shape[-1]).sum(-2),))
axis("tile", "as repeated", lambda g, out, x: (g.reshape(*x.shape, 2).sum(-1),))
axis(
    "sort",
    "as if its own inverse",
    lambda g, out, x: (np.take_along_axis(g, np.argsort(x, -1, kind="stable"), -1),),
)
axis("centre", "over all", lambda g, out, x: (g - g.mean(),))

single(
    "matmul",
    "taken for a dot product",
    lambda g, out, a, b: (
        fit(a, g * row(b.sum(-1)) if a.shape[-2] == 1 else g @ turned(b)),
        fit(b, turned(a) @ g),
    ),
)
