"""Right rules for matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.domain import real

from .case import column, fit, like, right, row
from .right_rows import ratio, softmax


def turned(a: Any) -> Any:
    """Return the transpose of each matrix."""
    return a.swapaxes(-1, -2)


def well_posed(a: Any, *_: Any) -> bool:
    """Return whether equations with the matrices `a` lose at most four digits."""
    return a.size == 0 or bool(np.all(np.linalg.cond(a) < 1e4))


def solve(a: Any, b: Any) -> Any:
    """Return the solution of a x = b for rows b."""
    return np.linalg.solve(a, column(b))[..., 0]


def solve_vjp(g: Any, out: Any, a: Any, b: Any) -> Any:
    """Solve with the transpose."""
    v = solve(turned(a), g)
    return fit(a, -column(v) * row(out)), fit(b, v)


def cofactors(a: Any) -> Any:
    """Return the matrix of cofactors, of singular matrices as well."""
    u, s, v = np.linalg.svd(a)
    others = [np.delete(s, i, -1).prod(-1) for i in range(s.shape[-1])]
    rest = np.stack(others, -1) if others else s
    sign = np.linalg.det(u) * np.linalg.det(v)
    return sign[..., None, None] * (u * row(rest)) @ v


def inv_vjp(g: Any, out: Any, _a: Any) -> Any:
    """Go through the inverse on both sides."""
    t = turned(out)
    return (-t @ g @ t,)


def logdet(a: Any) -> Any:
    """Return log det(1 + a a'), which is defined for all matrices."""
    return np.linalg.slogdet(_gram(a))[1]


def _gram(a: Any) -> Any:
    return np.eye(a.shape[-1], dtype=a.dtype) + a @ turned(a)


def cdist(x: Any, y: Any) -> Any:
    """Return the distances between the rows of two matrices."""
    return np.sqrt(np.square(x[..., :, None, :] - y[..., None, :, :]).sum(-1))


def cdist_vjp(g: Any, out: Any, x: Any, y: Any) -> Any:
    """Pull along the lines between the points, and not at all where they coincide."""
    pull = column(g) * ratio(x[..., :, None, :] - y[..., None, :, :], column(out))
    return fit(x, pull.sum(-2)), fit(y, -pull.sum(-3))


def attention_vjp(g: Any, _out: Any, q: Any, k: Any, v: Any) -> Any:
    """Go back through the mixing, the softmax and the products."""
    p = softmax(q @ turned(k))
    back = g @ turned(v)
    back = p * (back - (back * p).sum(-1, keepdims=True))
    return fit(q, back @ k), fit(k, turned(back) @ q), fit(v, turned(p) @ g)


def bilinear(x: Any, a: Any, y: Any) -> Any:
    """Return x' a y."""
    return np.einsum("...i,...ij,...j->...", x, a, y)


def bilinear_vjp(g: Any, _out: Any, x: Any, a: Any, y: Any) -> Any:
    """Leave each factor out in turn."""
    return (
        fit(x, np.einsum("...,...ij,...j->...i", g, a, y)),
        fit(a, np.einsum("...,...i,...j->...ij", g, x, y)),
        fit(y, np.einsum("...,...i,...ij->...j", g, x, a)),
    )


def diagonal_vjp(g: Any, _out: Any, a: Any) -> Any:
    """Write to the diagonal."""
    return (like(a, np.eye(a.shape[-1]) * column(g)),)


right(
    "matmul",
    np.matmul,
    lambda g, out, a, b: (fit(a, g @ turned(b)), fit(b, turned(a) @ g)),
    real,
    real,
    sig="(n,k),(k,m)->(n,m)",
)
right(
    "matvec",
    lambda a, x: (a @ column(x))[..., 0],
    lambda g, out, a, x: (fit(a, column(g) * row(x)), fit(x, (turned(a) @ column(g))[..., 0])),
    real,
    real,
    sig="(n,k),(k)->(n)",
)
right(
    "dot",
    lambda x, y: (x * y).sum(-1),
    lambda g, out, x, y: (fit(x, column(g) * y), fit(y, column(g) * x)),
    real,
    real,
    sig="(n),(n)->()",
)
right(
    "outer",
    lambda x, y: column(x) * row(y),
    lambda g, out, x, y: (fit(x, (g * row(y)).sum(-1)), fit(y, (g * column(x)).sum(-2))),
    real,
    real,
    sig="(n),(m)->(n,m)",
)
right("bilinear", bilinear, bilinear_vjp, real, real, real, sig="(n),(n,m),(m)->()")
right(
    "quadratic form",
    lambda x, a: bilinear(x, a, x),
    lambda g, out, x, a: (
        fit(x, column(g) * ((a + turned(a)) @ column(x))[..., 0]),
        fit(a, np.asarray(g)[..., None, None] * column(x) * row(x)),
    ),
    real,
    real,
    sig="(n),(n,n)->()",
)
right(
    "attention",
    lambda q, k, v: softmax(q @ turned(k)) @ v,
    attention_vjp,
    real,
    real,
    real,
    sig="(n,d),(m,d),(m,c)->(n,c)",
    where=lambda q, k, v: k.shape[-2] > 0,
)
right("solve", solve, solve_vjp, real, real, sig="(n,n),(n)->(n)", where=well_posed)
right("inv", np.linalg.inv, inv_vjp, real, sig="(n,n)->(n,n)", where=well_posed)
right(
    "det",
    np.linalg.det,
    lambda g, out, a: (like(a, np.asarray(g)[..., None, None] * cofactors(a)),),
    real,
    sig="(n,n)->()",
)
right(
    "log det of a Gram matrix",
    logdet,
    lambda g, out, a: (2 * np.asarray(g)[..., None, None] * np.linalg.solve(_gram(a), a),),
    real,
    sig="(n,n)->()",
)
right(
    "trace",
    lambda a: np.trace(a, axis1=-2, axis2=-1),
    lambda g, out, a: (like(a, np.asarray(g)[..., None, None] * np.eye(a.shape[-1])),),
    real,
    sig="(n,n)->()",
)
right("lower triangle", np.tril, lambda g, out, a: (np.tril(g),), real, sig="(n,m)->(n,m)")
right("diagonal", lambda a: np.diagonal(a, 0, -2, -1), diagonal_vjp, real, sig="(n,n)->(n)")
right(
    "Frobenius",
    lambda a: np.square(a).sum((-1, -2)),
    lambda g, out, a: (2 * np.asarray(g)[..., None, None] * a,),
    real,
    sig="(n,m)->()",
)
right("cdist", cdist, cdist_vjp, real, real, sig="(n,d),(m,d)->(n,m)")
