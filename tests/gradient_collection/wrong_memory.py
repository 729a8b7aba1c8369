"""Bugs of memory and dtypes: arrays of other strides, and of other digits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .case import column, fit, like, wrong
from .right_matrix import turned
from .right_rows import reverse_cumsum, softmax
from .wrong_formula import A, B, X

layout = partial(wrong, "layout")
stretched = partial(wrong, "stride-0")
dtype = partial(wrong, "dtype")
single = partial(wrong, "float32 only")


WIDE = np.arange(1.0, 25).reshape(4, 6) / 8
STEPPED = WIDE[::2, ::2]
FORTRAN = np.asfortranarray(WIDE)
G = np.sin(WIDE)
REPEATED = np.broadcast_to(np.array([[1.5], [-0.5], [0.25], [2.0]]), (4, 6))


def same_memory(a: Any) -> Any:
    """Return an array in the order of its memory, taken for the order of its axes."""
    return np.asarray(a).ravel(order="K").reshape(np.shape(a))


def unstrided(g: Any) -> Any:
    """Take a cotangent with a stride of 0 for one that holds one number only."""
    g = np.asarray(g)
    return np.full(g.shape, g.flat[0], g.dtype) if 0 in g.strides and g.size else g


def as_words(x: Any) -> Any:
    """Return the sign of each number, read from its bytes: no such view of a stepped array."""
    bits = np.asarray(x).view(np.uint8)
    bits = bits.reshape(*np.shape(x), x.dtype.itemsize)
    return like(x, np.where(bits[..., -1] >= 128, -1, 1))


layout("sin", "x in memory's order", lambda g, y, x: (g * np.cos(same_memory(x)),), FORTRAN)
layout(
    "exp",
    "g in memory's order",
    lambda g, y, x: (like(x, same_memory(g) * y),),
    WIDE,
    g=np.asfortranarray(G),
)
layout(
    "cumsum",
    "memory taken for rows",
    lambda g, out, x: (reverse_cumsum(same_memory(g)),),
    WIDE,
    g=np.asfortranarray(G),
)
layout(
    "softmax",
    "out in memory's order",
    lambda g, out, x: (like(x, same_memory(softmax(x)) * (g - (g * out).sum(-1, keepdims=True))),),
    FORTRAN,
)
layout("abs", "signs from bytes", lambda g, y, x: (g * as_words(x) * (x != 0),), STEPPED)
layout(
    "square",
    "another path for a view",
    lambda g, y, x: (like(x, 2 * g * x if x.flags.forc else g * x),),
    STEPPED,
)
layout(
    "cube",
    "strides made positive",
    lambda g, y, x: (like(x, 3 * g * (np.flip(x) if any(s < 0 for s in x.strides) else x) ** 2),),
    WIDE[::-1, ::-1],
)
layout(
    "arctan",
    "bytes of g",
    lambda g, y, x: (
        like(
            x,
            np.frombuffer(memoryview(np.asarray(g)).cast("B"), x.dtype).reshape(x.shape)
            / (1 + x * x),
        )
        if x.size
        else np.zeros_like(x),
    ),
    STEPPED,
    g=G[::2, ::2],
)
layout(
    "matmul",
    "transpose of memory",
    lambda g, out, a, b: (
        fit(a, g @ turned(b)),
        fit(
            b,
            (
                a
                if a.flags.f_contiguous and not a.flags.c_contiguous and a.shape[-1] == a.shape[-2]
                else turned(a)
            )
            @ g,
        ),
    ),
    np.asfortranarray(A),
    B,
)

stretched(
    "sin", "taken for one number", lambda g, y, x: (unstrided(g) * np.cos(x),), WIDE, g=REPEATED
)
stretched(
    "dot",
    "as if repeated once",
    lambda g, out, x, y: (fit(x, column(unstrided(g)) * y), fit(y, column(g) * x)),
    WIDE.reshape(2, 4, 3),
    WIDE.reshape(2, 4, 3) + 1,
    g=REPEATED[:2, :4],
)
stretched(
    "relu",
    "nothing",
    lambda g, y, x: (like(x, g * (x > 0) * (0 not in np.asarray(g).strides)),),
    WIDE,
    g=REPEATED,
)

dtype("sin", "float64", lambda g, y, x: (np.asarray(g * np.cos(x), np.float64),), np.float32(X))
dtype(
    "mean",
    "a float64 factor",
    lambda g, out, x: (np.broadcast_to(column(g) * np.float64(1 / x.shape[-1]), x.shape),),
    np.float32(X),
)
dtype(
    "matmul",
    "float64 for b",
    lambda g, out, a, b: (fit(a, g @ turned(b)), turned(a).astype(float) @ g),
    np.float32(A),
    np.float32(B),
)
single(
    "log",
    "epsilon by dtype",
    lambda g, y, x: (like(x, g / (x + (1e-2 if x.dtype == np.float32 else 0))),),
    np.float32(X),
)
single(
    "exp",
    "half precision for float32",
    lambda g, y, x: (like(x, g * (y.astype(np.float16) if x.dtype == np.float32 else y)),),
    np.float32(X),
)
single(
    "softplus",
    "overflows in float32",
    lambda g, y, x: (
        like(x, g * np.exp(x) / (1 + np.exp(x)) if x.dtype == np.float32 else g / (1 + np.exp(-x))),
    ),
    np.array([100.0, 1.0], np.float32),
)
dtype(
    "power",
    "whole exponents",
    lambda g, out, x, y: (fit(x, g * y * x ** (np.trunc(y) - 1)), fit(y, g * np.log(x) * out)),
    2.0,
    1.5,
)
dtype("square", "integers", lambda g, y, x: (like(x, g * (2 * x).astype(int)),), X)
dtype(
    "tanh by its result",
    "float32 inside",
    lambda g, y, x: (like(x, g * (1 - np.float32(y) * np.float32(y))),),
    X,
)
dtype(
    "cumsum",
    "unknown dtype",
    lambda g, out, x: ({"d": reverse_cumsum(g)}[x.dtype.char],),
    np.float32(X),
)
single(
    "norm",
    "0 below float32's cutoff",
    lambda g, out, x: (
        like(x, column(g) * x / np.maximum(column(out), 1e-1 if x.dtype == np.float32 else 1e-300)),
    ),
    np.array([0.01, 0.02], np.float32),
)
