"""Right rules for what moves, picks and repeats numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.domain import index, real

from .case import column, fit, like, right
from .right_matrix import turned
from .right_rows import hot


def gather(x: Any, i: Any) -> Any:
    """Return the numbers of each row that the indices name."""
    return np.where(hot(x[..., None, :], i), x[..., None, :], 0).sum(-1)


def gather_vjp(g: Any, _out: Any, x: Any, i: Any) -> Any:
    """Add up what was picked more than once."""
    return fit(x, (column(g) * hot(x[..., None, :], i)).sum(-2)), None


def embedding_vjp(g: Any, _out: Any, w: Any, i: Any) -> Any:
    """Add the rows up."""
    grad = np.zeros_like(w)
    np.add.at(grad, i, g)
    return grad, None


def bins(x: Any, i: Any) -> Any:
    """Return the sums of the numbers with the same index."""
    out = np.zeros(5, x.dtype)
    np.add.at(out, i, x)
    return out


def correlate(x: Any, w: Any) -> Any:
    """Return the products of `w` with all stretches of `x`."""
    return np.lib.stride_tricks.sliding_window_view(x, len(w)) @ w


def correlate_vjp(g: Any, _out: Any, x: Any, w: Any) -> Any:
    """Convolve."""
    windows = np.lib.stride_tricks.sliding_window_view(x, len(w))
    return np.convolve(g, w), g @ windows


def diff_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Give each gap to both its ends."""
    grad = np.zeros_like(x)
    grad[..., 1:] += g
    grad[..., :-1] -= g
    return (grad,)


def neighbours_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Share where two neighbours are tied."""
    grad = np.zeros_like(x)
    left = like(x, 0.5 * (1 + np.sign(x[..., :-1] - x[..., 1:])))
    grad[..., :-1] += g * left
    grad[..., 1:] += g * (1 - left)
    return (grad,)


right("transpose", turned, lambda g, out, a: (turned(g),), real, sig="(n,m)->(m,n)")
right("flatten", np.ravel, lambda g, out, x: (g.reshape(x.shape),), real)
right("flip", lambda x: x[..., ::-1], lambda g, out, x: (g[..., ::-1],), real, sig="(n)->(n)")
right(
    "roll",
    lambda x: np.roll(x, 1, -1),
    lambda g, out, x: (np.roll(g, -1, -1),),
    real,
    sig="(n)->(n)",
)
right(
    "broadcast_to", lambda x: np.broadcast_to(x, (3, *x.shape)), lambda g, out, x: (g.sum(0),), real
)
right(
    "tile", lambda x: np.tile(x, 2), lambda g, out, x: (g.reshape(2, *x.shape).sum(0),), real("n")
)
right(
    "repeat",
    lambda x: np.repeat(x, 2, -1),
    lambda g, out, x: (g.reshape(*x.shape, 2).sum(-1),),
    real("n", "m"),
)
right(
    "concatenate",
    lambda x, y: np.concatenate([x, y]),
    lambda g, out, x, y: (g[: len(x)], g[len(x) :]),
    real("n"),
    real("m"),
)
right(
    "stack",
    lambda x, y: np.stack([x, y], -1),
    lambda g, out, x, y: (g[..., 0], g[..., 1]),
    real("n", "m"),
    real("n", "m"),
)
right("pad", lambda x: np.pad(x, 1), lambda g, out, x: (g[1:-1, 1:-1],), real("n", "m"))
right("diff", lambda x: np.diff(x, axis=-1), diff_vjp, real("n", "p>=1"))
right(
    "larger neighbour",
    lambda x: np.maximum(x[..., :-1], x[..., 1:]),
    neighbours_vjp,
    real("n", "p>=1"),
)
right(
    "gather",
    gather,
    gather_vjp,
    real,
    index("n"),
    sig="(n),(k)->(k)",
    where=lambda x, i: x.shape[-1] > 0,
)
right(
    "embedding",
    lambda w, i: w[i],
    embedding_vjp,
    real("v", "d"),
    index("v")("k"),
    where=lambda w, i: len(w) > 0,
)
right("bins", bins, lambda g, out, x, i: (g[i], None), real("k"), index(5)("k"))
right(
    "correlate",
    correlate,
    correlate_vjp,
    real("n"),
    real("k"),
    where=lambda x, w: 0 < len(w) <= len(x),
)
