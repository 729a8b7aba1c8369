"""Linear equations, determinants and Cholesky's factor, of a matrix or a batch of them.

A row has a value everywhere: what a singular matrix does not determine is NaN, and whoever calls
the row for a user says so (`functions.linalg`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_fc.domain import interval, real
from tinygrad_fc.graph import constant_like
from tinygrad_fc.op import Op, quiet
from tinygrad_fc.op import row as op
from tinygrad_fc.ops.elementwise import product
from tinygrad_fc.ops.index import scatter

# Up to this size a minor is cheap, and has more digits than what comes out of singular values.
SMALL = 4


def regular(a: Any) -> bool:
    """Tell whether the matrices `a` are far from singular, whichever way their numbers move."""
    try:
        grown = np.abs(np.linalg.inv(a)) @ np.abs(a)
    except np.linalg.LinAlgError:
        return False
    return bool((grown.sum(axis=-1) < 30).all())


def definite(a: Any) -> bool:
    """Tell whether the symmetric parts of `a` are positive definite."""
    return bool((np.linalg.eigvalsh(a + a.swapaxes(-1, -2)) > 0.125).all())


def each(function: Any, out: Any, *stacks: Any) -> Any:
    """Return what `function` makes of whole stacks, NaN for those matrices that it refuses."""
    try:
        return function(*stacks)
    except np.linalg.LinAlgError:
        made = np.full(out, np.nan, np.result_type(*stacks))
        spread = [np.broadcast_to(s, (*out[:-2], *s.shape[-2:])) for s in stacks]
        for at in np.ndindex(out[:-2]):
            try:
                made[at] = function(*(s[at] for s in spread))
            except np.linalg.LinAlgError:
                continue
        return made


def _flat(x: Any) -> Any:
    """Return which columns are zeros."""
    return (x == 0).all(axis=-2, keepdims=True)


# Minus the product of p (..., n, k) and the transposed of x (..., m, k): a sum over k columns, of
# which one of zeros on either side wins over one on the other that is not finite.
@quiet
def _minus_outer(p: Any, x: Any) -> Any:
    left, right = np.where(_flat(x), 0, p), np.where(_flat(p), 0, x)
    return -(left @ right.swapaxes(-1, -2))


minus_outer: Op = op(
    _minus_outer,
    name="minus_outer",
    domain=(real(..., "n", "k"), real(..., "m", "k")),
    rules=(
        lambda g, out, p, x: minus_outer(g, x.swapaxes(-1, -2)),
        lambda g, out, p, x: minus_outer(g.swapaxes(-1, -2), p.swapaxes(-1, -2)),
    ),
)


@quiet
def _solve(a: Any, b: Any) -> Any:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return each(np.linalg.solve, (*batch, *b.shape[-2:]), a, b)


_SOLVE: dict[str, Any] = {
    # a (..., n, n), b (..., n, k).
    "domain": (real(..., "n", "n", where=regular), real(..., "n", "k")),
    "rules": (
        lambda g, out, a, b: minus_outer(back(a.swapaxes(-1, -2), g), out),
        lambda g, out, a, b: back(a.swapaxes(-1, -2), g),
    ),
}
solve: Op = op(_solve, name="solve", **_SOLVE)
# The same for gradients, of which zeros give zeros, whatever a is. No row of the table: where its
# result is finite its own gradient need not be, and what it does is seen in that of `solve`.
back: Op = Op(
    _solve,
    forward=quiet(lambda a, b: np.where(_flat(b), 0, _solve(a, b))),
    settings={},
    name="solve",
    **_SOLVE,
)
inv = op(
    quiet(lambda a: each(np.linalg.inv, a.shape, a)),
    name="inv",
    domain=(real(..., "n", "n", where=regular),),
    rules=(lambda g, out, a: minus_outer(back(a.swapaxes(-1, -2), g), out),),
)


# The derivative of a determinant is the matrix of cofactors, which are determinants of minors: so
# there are derivatives of every order, at singular matrices too, where the inverse has none.


@lru_cache(16)
def _minors(n: int) -> tuple[Any, Any, Any]:
    """Return rows and columns (n, n, n - 1, n - 1) of all minors, and the signs of cofactors."""
    kept = np.array([[k for k in range(n) if k != i] for i in range(n)], np.intp).reshape(
        n, max(n - 1, 0)
    )
    rows, columns = kept[:, None, :, None], kept[None, :, None, :]
    return rows, columns, (-1.0) ** np.add.outer(np.arange(n), np.arange(n))


def _by_singular_values(a: Any) -> Any:
    u, s, v = np.linalg.svd(a)
    others = np.stack([np.delete(s, k, -1).prod(-1) for k in range(s.shape[-1])], -1)
    return (np.linalg.det(u) * np.linalg.det(v))[..., None, None] * ((u * others[..., None, :]) @ v)


@quiet
def _cofactors(a: Any) -> Any:
    n = a.shape[-1]
    if not n:
        return a.copy()
    rows, columns, signs = _minors(n)
    if n <= SMALL:
        return np.linalg.det(a[..., rows, columns]) * constant_like(signs, a)
    return each(_by_singular_values, a.shape, a)


def _cofactors_slope(g: Any, out: Any, a: Any) -> Any:
    # n**2 minors, so the next order takes n**3 times as long as this one: `slogdet` does not.
    if not a.shape[-1]:
        return g
    rows, columns, signs = _minors(a.shape[-1])
    at = (..., rows, columns)
    shares = product((g * constant_like(signs, a))[..., None, None], cofactors(a[at]))
    return scatter(shares, at=at, shape=a.shape)


cofactors: Op = op(
    _cofactors, name="cofactors", domain=(real(..., "n", "n"),), rules=(_cofactors_slope,)
)
det = op(
    np.linalg.det,
    forward=quiet(np.linalg.det),
    domain=(real(..., "n", "n"),),
    rules=(lambda g, out, a: product(g[..., None, None], cofactors(a)),),
)
# `slogdet` gives two results: a row for each.
det_sign = op(
    quiet(lambda a: np.linalg.slogdet(a).sign), name="det_sign", domain=(real(..., "n", "n"),)
)
logabsdet = op(
    quiet(lambda a: np.linalg.slogdet(a).logabsdet),
    name="logabsdet",
    domain=(real(..., "n", "n", where=regular),),
    rules=(lambda g, out, a: product(g[..., None, None], inv(a).swapaxes(-1, -2)),),
)


# I. Murray, "Differentiation of the Cholesky decomposition" (2016), formula (10).


@quiet
def _cholesky(a: Any) -> Any:
    return each(np.linalg.cholesky, a.shape, (a + a.swapaxes(-1, -2)) / 2)


def _lower_half(x: Any) -> Any:
    n = x.shape[-1]
    halves = np.tril(np.ones((n, n))) - np.eye(n) / 2
    return x * constant_like(halves, x)


def _cholesky_slope(g: Any, out: Any, a: Any) -> Any:
    upper = out.swapaxes(-1, -2)
    half = _lower_half(-minus_outer(upper, g.swapaxes(-1, -2)))
    share = back(upper, back(upper, half).swapaxes(-1, -2))
    return (share + share.swapaxes(-1, -2)) / 2


# The symmetric part of a counts, and so the gradient is symmetric.
cholesky = op(
    _cholesky,
    name="cholesky",
    domain=(interval(0, 4, special=(1, 0.25, 2))(..., "n", "n", where=definite),),
    rules=(_cholesky_slope,),
)
