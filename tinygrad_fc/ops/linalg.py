"""Products of matrices and vectors, linear equations, determinants, factorisations.

`solve`, `inv` and `cholesky` return NaN for a matrix without a result, and do not raise;
`functional.linalg` raises.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.node import Node, constant_like, sum_of_rows
from tinygrad_fc.core.op import Chain, VariadicRule, define
from tinygrad_fc.domain import interval, real
from tinygrad_fc.ops import elementwise, trigonometry
from tinygrad_fc.ops.arithmetic import multiply_no_nan, nan_of
from tinygrad_fc.ops.shape import broadcast_to

__all__ = ["matmul"]


def _matmul(x: Any, y: Any) -> Any:
    # For two matrices `dot` is the same product at half the cost of the call; also while tracing,
    # since the signs of zeros differ in products of single numbers. Tensors record the op.
    if x.ndim == 2 == y.ndim:
        try:
            if x.__class__ is y.__class__ is np.ndarray:
                return x.dot(y)
            if not (isinstance(x, Node) or isinstance(y, Node)):
                return np.dot(x, y)
        except ValueError as error:
            raise ValueError(
                f"axis 1 of the first has size {x.shape[1]} and axis 0 of the second {y.shape[0]}; "
                "expected equal sizes. Transpose one of them (x.T)"
            ) from error
    return x @ y


def _matmul_left_rule(g: Any, _out: Any, _x: Any, y: Any) -> Any:
    if y.ndim == 1:
        return g[..., None] * y
    if _x.ndim == 1:
        return (y @ g[..., None])[..., 0]
    return _matmul(g, y.swapaxes(-1, -2))


def _matmul_right_rule(g: Any, _out: Any, x: Any, _y: Any) -> Any:
    if x.ndim == 1:
        return x[:, None] * g[..., None, :] if _y.ndim > 1 else x * g
    if _y.ndim == 1:
        return (g[..., None, :] @ x)[..., 0, :]
    return _matmul(x.swapaxes(-1, -2), g)


@define(
    np.matmul,
    forward=_matmul,
    domain=(real(..., "n?", "k"), real(..., "k", "m?")),
    rules=(_matmul_left_rule, _matmul_right_rule),
)
def matmul(input: Any, other: Any) -> Any:
    """Return the product of matrices (..., n, k) and (..., k, m), or of vectors (k,).

    >>> import tinygrad_fc as tg
    >>> tg.matmul(tg.tensor([[1.0, 2.0]]), tg.tensor([3.0, 4.0]))
    tensor([11.])
    """


# Linear layers


def _rows(v: Any) -> Any:
    return v.reshape(math.prod(v.shape[:-1]), v.shape[-1])


def _linear_weight_rule(g: Any, _out: Any, x: Any, _weight: Any, _bias: Any) -> Any:
    if g.ndim != 2:
        g, x = _rows(g), _rows(x)
    return g.T.dot(x) if g.__class__ is x.__class__ is np.ndarray else _matmul(g.T, x)


def _linear_bias_rule(g: Any, _out: Any, _x: Any, _weight: Any, _bias: Any) -> Any:
    return sum_of_rows(g if g.ndim == 2 else _rows(g))


@define(
    domain=(real(..., "i"), real("o", "i"), real("o")),
    rules=(
        lambda g, _out, _x, weight, _bias: _matmul(g, weight),
        _linear_weight_rule,
        _linear_bias_rule,
    ),
)
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Return `input @ weight.T + bias`, formula (3) of `handderived.py` for a batch.

    `input` (..., in_features), `weight` (out_features, in_features), `bias` (out_features,);
    returns (..., out_features). Raises `ShapeError` if the sizes do not match.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.linear(tg.ones(4, 3), tg.ones(2, 3), tg.zeros(2)).shape
    Size([4, 2])
    """
    if not input.ndim:
        raise ValueError("the input has shape (); expected (..., in_features)")
    out = input.dot(weight.T)
    if bias is not None:
        out += bias
    return out


# Formula (4) of `handderived.py`: a linear layer fused with its activation.
linear_sigmoid, linear_tanh, linear_relu = (
    Chain(linear, act) for act in (elementwise.sigmoid, trigonometry.tanh, elementwise.relu)
)


def _einsum_rule(i: int, g: Any, _out: Any, *xs: Any, equation: str) -> Any:
    inputs, result = equation.split("->")
    terms = inputs.split(",")
    term = terms.pop(i)
    others = [x for k, x in enumerate(xs) if k != i]
    # An index that occurs nowhere else was summed over: broadcast along it.
    known = set(result).union(*terms)
    letters = "".join(k for k in term if k in known)
    gradient = einsum_(g, *others, equation=f"{','.join([result, *terms])}->{letters}")
    # An axis of size 1 was broadcast to the others' size: sum over it.
    sizes = dict(zip(term, xs[i].shape, strict=True))
    wide = tuple(j for j, k in enumerate(letters) if sizes[k] == 1 != gradient.shape[j])
    if wide:
        gradient = gradient.sum(axis=wide, keepdims=True)
    lengths = dict(zip(letters, gradient.shape, strict=False))
    return broadcast_to(gradient.reshape(tuple(lengths.get(k, 1) for k in term)), shape=xs[i].shape)


MANY_TERMS = 1 << 14
"""The number of terms above which `einsum` computes matrix products of pairs of operands."""


@define(
    domain=(real("n", "k"), real("k", "m")),
    settings={"equation": ("ij,jk->ik", "ij,jk->", "ij,jk->kji", "ij,jk->k")},
    rules=VariadicRule(_einsum_rule),
)
def einsum_(*xs: Any, equation: str) -> Any:
    """Return the Einstein summation `equation` of the arrays.

    It has "->", no ellipsis and no index twice in a term; `functional.einsum` rewrites others.

    >>> einsum_(np.ones((2, 3)), np.ones(3), equation="ij,j->i")
    array([3., 3.])
    """
    letters = equation.partition("->")[0].replace(",", "")
    lengths = dict(zip(letters, chain.from_iterable(x.shape for x in xs), strict=False))
    optimize = math.prod(lengths.values()) > MANY_TERMS
    return np.einsum(equation, *xs, optimize=optimize, order="C")  # so that `view` takes it


# Linear equations

# Up to this size, cofactors are computed from minors: cheap, and more accurate than by an SVD.
SMALL = 4


def well_conditioned(a: Any) -> bool:
    """Return whether all matrices `a` have a Skeel condition number below 30."""
    try:
        condition = np.abs(np.linalg.inv(a)) @ np.abs(a)
    except np.linalg.LinAlgError:
        return False
    return bool((condition.sum(axis=-1) < 30).all())


def positive_definite(a: Any) -> bool:
    """Return whether all eigenvalues of the symmetric parts of `a` exceed 1/16, for the tests."""
    return bool((np.linalg.eigvalsh(a + a.swapaxes(-1, -2)) > 0.125).all())


def map_matrices(function: Any, shape: Any, *stacks: Any) -> Any:
    """Return `function(*stacks)`, of shape `shape`, with NaN for matrices that it raises for."""
    try:
        return function(*stacks)
    except np.linalg.LinAlgError:
        result = np.full(shape, np.nan, np.result_type(*stacks))
        broadcast = [np.broadcast_to(s, (*shape[:-2], *s.shape[-2:])) for s in stacks]
        for at in np.ndindex(shape[:-2]):
            try:
                result[at] = function(*(s[at] for s in broadcast))
            except np.linalg.LinAlgError:
                continue
        return result


def _matrix_rule(g: Any, out: Any, a: Any, _b: Any) -> Any:
    return -solve(a.swapaxes(-1, -2), g) @ out.swapaxes(-1, -2)


def _right_hand_side_rule(g: Any, _out: Any, a: Any, _b: Any) -> Any:
    return solve(a.swapaxes(-1, -2), g)


@define(
    domain=(real(..., "n", "n", where=well_conditioned), real(..., "n", "k")),
    rules=(_matrix_rule, _right_hand_side_rule),
)
@without_warnings
def solve(a: Any, b: Any) -> Any:
    """Return x with a @ x = b for a (..., n, n) and b (..., n, k).

    >>> solve(np.array([[2.0]]), np.array([[6.0]]))
    array([[3.]])
    """
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return map_matrices(np.linalg.solve, (*batch, *b.shape[-2:]), a, b)


def _inv_rule(g: Any, out: Any, _a: Any) -> Any:
    return -(out.swapaxes(-1, -2) @ g @ out.swapaxes(-1, -2))


@define(domain=(real(..., "n", "n", where=well_conditioned),), rules=(_inv_rule,))
@without_warnings
def inv(a: Any) -> Any:
    """Return the inverse of a (..., n, n).

    >>> inv(np.array([[2.0]]))
    array([[0.5]])
    """
    return map_matrices(np.linalg.inv, a.shape, a)


# The gradient of a determinant is the cofactor matrix, whose entries are minors with signs. So
# derivatives of every order exist also for singular matrices, which have no inverse.


@lru_cache(16)
def _minors(n: int) -> tuple[Any, Any, Any]:
    """Return row and column indices of all minors, and the signs (n, n) of the cofactors.

    The indices broadcast to (n, n, n - 1, n - 1).
    """
    others = np.nonzero(~np.eye(n, dtype=bool))[1].reshape(n, max(n - 1, 0))
    rows, columns = others[:, None, :, None], others[None, :, None, :]
    return rows, columns, (-1.0) ** np.add.outer(np.arange(n), np.arange(n))


def _cofactors_by_svd(a: Any) -> Any:
    u, s, v = np.linalg.svd(a)
    others = np.stack([np.delete(s, k, -1).prod(-1) for k in range(s.shape[-1])], -1)
    return (np.linalg.det(u) * np.linalg.det(v))[..., None, None] * ((u * others[..., None, :]) @ v)


def cofactors(a: Any) -> Any:
    """Return the cofactor matrix of a (..., n, n)."""
    n = a.shape[-1]
    if n > SMALL and not isinstance(a, Node):
        return map_matrices(_cofactors_by_svd, a.shape, a)
    # Each further order of differentiation takes n**2 times as long, since there are n**2 minors;
    # `logabsdet` has no such cost.
    rows, columns, signs = _minors(n)
    return det(a[..., rows, columns]) * constant_like(signs, a)


def _det_rule(g: Any, _out: Any, a: Any) -> Any:
    return multiply_no_nan(g[..., None, None], cofactors(a)) + _nan_of_matrix(a)


def _nan_of_matrix(a: Any) -> Any:
    """Return NaN for a matrix with a NaN, for which LAPACK may return a number, else 0."""
    return nan_of(a).sum(axis=(-2, -1), keepdims=True)


@define(numpy=np.linalg.det, domain=(real(..., "n", "n"),), rules=(_det_rule,))
@without_warnings
def det(a: Any) -> Any:
    """Return the determinant of a (..., n, n).

    >>> float(det(np.array([[2.0]])))
    2.0
    """
    return np.linalg.det(a) + _nan_of_matrix(a)[..., 0, 0]


# `slogdet` has two results: an op for each.


@define(domain=(real(..., "n", "n"),))
@without_warnings
def det_sign(a: Any) -> Any:
    """Return the sign of the determinant of a (..., n, n).

    >>> float(det_sign(np.array([[-2.0]])))
    -1.0
    """
    return np.linalg.slogdet(a).sign


def _logabsdet_rule(g: Any, _out: Any, a: Any) -> Any:
    return multiply_no_nan(g[..., None, None], inv(a).swapaxes(-1, -2))


@define(domain=(real(..., "n", "n", where=well_conditioned),), rules=(_logabsdet_rule,))
@without_warnings
def logabsdet(a: Any) -> Any:
    """Return the logarithm of the absolute value of the determinant of a (..., n, n).

    >>> float(logabsdet(np.array([[-1.0]])))
    0.0
    """
    return np.linalg.slogdet(a).logabsdet + _nan_of_matrix(a)[..., 0, 0]


def _symmetric(a: Any) -> Any:
    return (a + a.swapaxes(-1, -2)) / 2


# I. Murray, "Differentiation of the Cholesky decomposition" (2016), formula (10).


def _tril_with_half_diagonal(x: Any) -> Any:
    n = x.shape[-1]
    halves = np.tril(np.ones((n, n))) - np.eye(n) / 2
    return x * constant_like(halves, x)


def _cholesky_rule(g: Any, out: Any, _a: Any) -> Any:
    upper = out.swapaxes(-1, -2)
    half = _tril_with_half_diagonal(upper @ g)
    gradient = solve(upper, solve(upper, half).swapaxes(-1, -2))
    return _symmetric(gradient)


# Only the symmetric part of a is factorised, so the gradient is symmetric.
@define(
    domain=(interval(0, 4, special=(1, 0.25, 2))(..., "n", "n", where=positive_definite),),
    rules=(_cholesky_rule,),
)
@without_warnings
def cholesky(a: Any) -> Any:
    """Return the lower triangular factor of the symmetric part of a (..., n, n).

    >>> cholesky(np.array([[4.0]]))
    array([[2.]])
    """
    return map_matrices(np.linalg.cholesky, a.shape, _symmetric(a))


# Singular values and vectors are not registered, since property tests assume derivatives on the
# whole domain: where two values are equal, the former have kinks and the latter no derivative.

_MATRIX, _SQUARE = (real(..., "n", "m"),), (real(..., "n", "n"),)


def _singular_vectors_rule(g: Any, out: Any, a: Any) -> Any:
    (u, v), (gu, gv) = ((x[..., : a.shape[-2], :], x[..., a.shape[-2] :, :]) for x in (out, g))
    values = (u * (a @ v)).sum(axis=-2)
    row, column = values[..., None, :], values[..., :, None]
    # Vectors of equal singular values are unique up to a rotation, and those of 0 up to a rotation
    # of each side. A function that is differentiable there does not depend on the rotation, so the
    # terms that divide by 0 are left out.
    smallest = np.abs(row[..., :1]) * (16 * float(np.finfo(a.dtype).eps))

    def divided(x: Any, by: Any) -> Any:
        zero = np.abs(by) <= smallest
        return np.where(zero, 0, x / np.where(zero, 1, by))

    def projected(vectors: Any, cotangent: Any) -> Any:
        """Return V.T @ cotangent minus its transpose, and the part outside the span of V / row."""
        inside = vectors.swapaxes(-1, -2) @ cotangent
        return inside - inside.swapaxes(-1, -2), divided(cotangent - vectors @ inside, row)

    (p, left), (q, right) = projected(u, gu), projected(v, gv)
    # Partial fractions of Townsend's formula, so that it holds for equal values where p + q is 0.
    inside = (divided(p + q, row - column) + divided(p - q, row + column)) / 2
    return (u @ inside + left) @ v.swapaxes(-1, -2) + u @ right.swapaxes(-1, -2)


# J. Townsend, "Differentiating the singular value decomposition" (2016)
@define(domain=_MATRIX, rules=(_singular_vectors_rule,), registered=False)
@without_warnings
def singular_vectors(a: Any) -> Any:
    """Return the left singular vectors of a (..., n, m) in columns, above the right ones.

    Singular values are in descending order.
    """
    left, _, right = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([left, right.swapaxes(-1, -2)], axis=-2)


def _singular_values_rule(g: Any, _out: Any, a: Any) -> Any:
    vectors, n = singular_vectors(a), a.shape[-2]
    return (vectors[..., :n, :] * g[..., None, :]) @ vectors[..., n:, :].swapaxes(-1, -2)


@define(domain=_MATRIX, rules=(_singular_values_rule,), registered=False)
@without_warnings
def singular_values(a: Any) -> Any:
    """Return the singular values of a (..., n, m), in descending order."""
    return np.linalg.svd(a, compute_uv=False)


# Eigenvalues and eigenvectors of symmetric matrices are not registered either, for the same reason.


def _eigenvectors_rule(g: Any, out: Any, a: Any) -> Any:
    values = (out * (_symmetric(a) @ out)).sum(axis=-2)
    row, column = values[..., None, :], values[..., :, None]
    # Vectors of equal eigenvalues are unique up to a rotation: the terms that divide by 0 are left
    # out, as for singular vectors.
    gap = row - column
    largest = np.abs(row[..., :1]) + np.abs(row[..., -1:])
    is_zero = np.abs(gap) <= largest * (16 * float(np.finfo(a.dtype).eps))
    inside = np.where(is_zero, 0, out.swapaxes(-1, -2) @ g / np.where(is_zero, 1, gap))
    return _symmetric(out @ inside @ out.swapaxes(-1, -2))


# M. Giles, "Collected matrix derivative results" (2008), section 3.1
@define(domain=_SQUARE, rules=(_eigenvectors_rule,), registered=False)
@without_warnings
def eigenvectors(a: Any) -> Any:
    """Return the eigenvectors of the symmetric part in columns, by ascending eigenvalue."""
    return np.linalg.eigh(_symmetric(a))[1]


def _eigenvalues_rule(g: Any, _out: Any, a: Any) -> Any:
    vectors = eigenvectors(a)
    return (vectors * g[..., None, :]) @ vectors.swapaxes(-1, -2)


@define(domain=_SQUARE, rules=(_eigenvalues_rule,), registered=False)
@without_warnings
def eigenvalues(a: Any) -> Any:
    """Return the eigenvalues of the symmetric part, in ascending order."""
    return np.linalg.eigvalsh(_symmetric(a))


def _pinv_rule(g: Any, out: Any, a: Any, **_: Any) -> Any:
    g, back = g.swapaxes(-1, -2), out.swapaxes(-1, -2)
    left, right = g - a @ (out @ g), g - (g @ out) @ a
    return left @ (out @ back) + (back @ out) @ right - back @ (g.swapaxes(-1, -2) @ back)


def well_conditioned_columns(a: Any) -> bool:
    """Return whether all singular values of `a` are at least a fifth of the largest, for tests."""
    values = np.linalg.svd(a, compute_uv=False)
    return bool((values[..., -1:] > 0.2 * values[..., :1]).all() and (values > 0.1).all())


# G. Golub, V. Pereyra, "The differentiation of pseudo-inverses" (1973), equation 4.12: for matrices
# of constant rank.
@define(
    numpy=np.linalg.pinv,
    domain=(real(..., "n", "m", where=well_conditioned_columns),),
    settings={"rtol": (1e-15,)},
    rules=(_pinv_rule,),
)
@without_warnings
def pinv(a: Any, *, rtol: float = 1e-15) -> Any:
    """Return the pseudo-inverse (..., m, n); singular values up to `rtol` * the largest are 0.

    >>> pinv(np.array([[2.0], [0.0]]))
    array([[0.5, 0. ]])
    """
    return np.linalg.pinv(a, rtol)
