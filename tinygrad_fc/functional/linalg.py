"""Factorisations and powers of matrices; the module is `tinygrad_fc.linalg`.

It has the names of `equations`, `norms` and `products.cross`, too.
"""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.core.errors import check_argument, check_shapes
from tinygrad_fc.core.node import array_of, leaf_of
from tinygrad_fc.functional.arguments import accepts_arrays
from tinygrad_fc.functional.equations import (  # noqa: F401  names of `tinygrad_fc.linalg`
    SignLog,
    check_floats,
    check_matrices,
    check_square,
    det,
    inv,
    slogdet,
    solve,
    solve_triangular,
)  # fmt: skip
from tinygrad_fc.functional.joining import cat
from tinygrad_fc.functional.norms import matrix_norm, norm, p_norm, vector_norm  # noqa: F401
from tinygrad_fc.functional.products import cross  # noqa: F401
from tinygrad_fc.functional.shape import diagonal, triu
from tinygrad_fc.ops import linalg
from tinygrad_fc.ops.elementwise import where

if TYPE_CHECKING:
    from tinygrad_fc.tensors import Tensor

__all__ = ["pinverse"]

_PUBLIC = ["cholesky", "cross", "det", "eigh", "eigvalsh", "inv", "lstsq", "matrix_norm"]
_PUBLIC += ["matrix_exp", "matrix_power", "matrix_rank", "norm", "pinv", "qr", "slogdet", "solve"]
_PUBLIC += ["solve_triangular", "svd", "svdvals", "vector_norm"]


def __dir__() -> list[str]:
    return _PUBLIC


@accepts_arrays("A")
def svdvals(A: Tensor) -> Tensor:
    """Return the singular values (..., min(n, m)) of a matrix (..., n, m), in descending order.

    At equal singular values the gradient is not unique; one is chosen, as in PyTorch.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.svdvals(tg.tensor([[0.0, 3.0], [4.0, 0.0]]))
    tensor([4., 3.])
    """
    check_shapes(A.ndim >= 2, "svd", "matrices (..., n, m)", A)
    return linalg.singular_values(A)


class SVD(NamedTuple):
    """Left singular vectors in columns, singular values, and right singular vectors in rows."""

    U: Any
    S: Any
    Vh: Any


@accepts_arrays("A")
def svd(A: Tensor, full_matrices: bool = True) -> SVD:
    """Return U (..., n, k), S (..., k) and Vh (..., k, m) with A = U @ diag(S) @ Vh; k = min(n, m).

    The columns of U and the rows of Vh are orthonormal, S is in descending order. With
    `full_matrices`, U is (..., n, n) and Vh (..., m, m); what it adds to a basis has no gradient.
    Gradients need singular values that are distinct and not 0, and a result that does not depend on
    the signs of the vectors (Townsend, 2016).

    >>> import tinygrad_fc as tg
    >>> U, S, Vh = tg.linalg.svd(tg.tensor([[0.0, 3.0], [4.0, 0.0]]))
    >>> S, tg.allclose(U * S @ Vh, tg.tensor([[0.0, 3.0], [4.0, 0.0]]))
    (tensor([4., 3.]), True)
    """
    values, (n, m) = svdvals(A), A.shape[-2:]
    vectors = linalg.singular_vectors(A)
    left, right = vectors[..., :n, :], vectors[..., n:, :].mT
    if full_matrices and n != m:
        full = np.linalg.svd(array_of(A))
        left = cat([left, leaf_of(full.U[..., m:])], dim=-1)
        right = cat([right, leaf_of(full.Vh[..., n:, :])], dim=-2)
    return SVD(left, values, right)


class ThinSVD(NamedTuple):
    """Left singular vectors, singular values and right singular vectors, vectors in columns."""

    U: Any
    S: Any
    V: Any


@accepts_arrays("input")
def thin_svd(input: Tensor, some: bool = True) -> ThinSVD:
    """Return U, S and V with `input` = U @ diag(S) @ V.mT, as `torch.svd`; see `linalg.svd`.

    >>> import tinygrad_fc as tg
    >>> tg.svd(tg.tensor([[3.0], [4.0]])).S
    tensor([5.])
    """
    left, values, right = svd(input, full_matrices=not some)
    return ThinSVD(left, values, right.swapaxes(-1, -2))


thin_svd.__name__ = "svd"  # its public name, `tg.svd`


NOT_POSITIVE = (
    "is not positive definite: it has an eigenvalue <= 0. Add a small number to the diagonal "
    "(A + 1e-6 * eye(n)), or, for A = X.T @ X, check that X has enough rows"
)


@accepts_arrays("A")
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """Return the lower triangular L with `L @ L.mT = A`, or its transpose if `upper`.

    `A` (..., n, n) is symmetric (only its symmetric part is used). Raises `LinAlgError` unless it
    is positive definite.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.cholesky(tg.tensor([[4.0, 2.0], [2.0, 10.0]]))
    tensor([[2., 0.],
            [1., 3.]])
    """
    check_square(A, "cholesky")
    out = linalg.cholesky(A)
    check_matrices(A, array_of(out), "cholesky", NOT_POSITIVE)
    return out.mT if upper else out


# Decompositions of symmetric matrices, orthogonal factors, least squares


class Eigh(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors in columns."""

    eigenvalues: Any
    eigenvectors: Any


@accepts_arrays("A")
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Return the eigenvalues (..., n), ascending, of symmetric matrices (..., n, n).

    Only the symmetric part of `A` is used, whatever `UPLO`. At equal eigenvalues the gradient is
    not unique; one is chosen, as in PyTorch.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.eigvalsh(tg.tensor([[0.0, 2.0], [2.0, 0.0]]))
    tensor([-2.,  2.])
    """
    check_square(A, "eigvalsh")
    check_floats(A, "eigvalsh")
    check_argument(UPLO in ("L", "U"), "eigvalsh", ("L", "U"), UPLO=UPLO)
    return linalg.eigenvalues(A)


@accepts_arrays("A")
def eigh(A: Tensor, UPLO: str = "L") -> Eigh:
    """Return eigenvalues L, as `eigvalsh`, and V (..., n, n) with A = V @ diag(L) @ V.mT.

    Gradients need distinct eigenvalues, and a result that does not depend on the signs of the
    vectors (Giles, 2008).

    >>> import tinygrad_fc as tg
    >>> A = tg.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> L, V = tg.linalg.eigh(A)
    >>> L, tg.allclose(V * L @ V.mT, A)
    (tensor([1., 3.]), True)
    """
    return Eigh(eigvalsh(A, UPLO), linalg.eigenvectors(A))


class QR(NamedTuple):
    """A matrix with orthonormal columns, and an upper triangular one."""

    Q: Any
    R: Any


@accepts_arrays("A")
def qr(A: Tensor, mode: str = "reduced") -> QR:
    """Return Q (..., n, k) and R (..., k, m) with A = Q @ R; k = min(n, m).

    The columns of Q are orthonormal, R is upper triangular. Gradients need linearly independent
    first k columns. Raises `ShapeError` for `mode="complete"` unless n <= m; "r" omits Q.

    >>> import tinygrad_fc as tg
    >>> Q, R = tg.linalg.qr(tg.tensor([[3.0], [4.0]]))
    >>> Q * R.sign(), R.abs()
    (tensor([[0.6],
            [0.8]]), tensor([[5.]]))
    """
    modes = ("reduced", "complete", "r")
    check_argument(mode in modes, "qr", modes, mode=mode)
    check_shapes(A.ndim >= 2, "qr", "matrices (..., n, m)", A)
    check_floats(A, "qr")
    n, m = A.shape[-2:]
    check_shapes(mode != "complete" or n <= m, "qr", 'n <= m, or mode="reduced"', A)
    q, r = map(leaf_of, np.linalg.qr(array_of(A)))
    if A.requires_grad:  # R.mT @ R = A.mT @ A, by Cholesky's factor with the signs of R
        first = A[..., : min(n, m)]
        signs = where(diagonal(r, 0, -2, -1) < 0, -1.0, 1.0).to(A.dtype)[..., None]
        square = signs * linalg.cholesky(first.mT @ first).mT
        recorded = solve(square, first, left=False)
        q = recorded + (q - recorded).detach()
        r = triu(q.mT @ A)
    return QR(leaf_of(np.empty(0, A.dtype)) if mode == "r" else q, r)


@accepts_arrays("input")
def reduced_qr(input: Tensor, some: bool = True) -> QR:
    """Return Q and R with `input` = Q @ R, as `torch.qr`; see `linalg.qr`.

    >>> import tinygrad_fc as tg
    >>> tg.qr(tg.tensor([[3.0], [4.0]])).R.abs()
    tensor([[5.]])
    """
    return qr(input, "reduced" if some else "complete")


reduced_qr.__name__ = "qr"  # its public name, `tg.qr`


@accepts_arrays("A")
def pinv(
    A: Tensor, rcond: float | None = None, hermitian: bool = False, *, rtol: float | None = None
) -> Tensor:
    """Return the pseudo-inverse (..., m, n) of matrices (..., n, m).

    Singular values up to `rtol` (by default max(n, m) times the dtype's eps) times the largest
    count as 0. The gradient is that of matrices of one rank (Golub and Pereyra, 1973).

    >>> import tinygrad_fc as tg
    >>> tg.linalg.pinv(tg.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. ],
            [0. , 0. ]])
    """
    del hermitian
    check_shapes(A.ndim >= 2, "pinv", "matrices (..., n, m)", A)
    check_floats(A, "pinv")
    limit = rcond if rtol is None else rtol
    return linalg.pinv(A, rtol=_eps_of(A) if limit is None else float(limit))


@accepts_arrays("input")
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """Return the pseudo-inverse of matrices, as `linalg.pinv` with another default of `rcond`.

    >>> import tinygrad_fc as tg
    >>> tg.pinverse(tg.tensor([[2.0, 0.0]]))
    tensor([[0.5],
            [0. ]])
    """
    return pinv(input, rcond)


def _eps_of(A: Any) -> float:
    return float(max(A.shape[-2:]) * np.finfo(A.dtype).eps)


@accepts_arrays("A")
def matrix_rank(
    A: Tensor,
    tol: float | None = None,
    hermitian: bool = False,
    *,
    atol: float | None = None,
    rtol: float | None = None,
) -> Tensor:
    """Return how many singular values exceed max(`atol`, `rtol` * the largest); no gradient.

    `rtol` is by default as in `pinv`, or 0 if `atol` is positive; `tol` is `atol`.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.matrix_rank(tg.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1)
    """
    del hermitian
    values = array_of(svdvals(A.detach()))
    absolute = (tol if atol is None else atol) or 0.0
    relative = (0.0 if absolute > 0 else _eps_of(A)) if rtol is None else rtol
    largest = values.max(axis=-1, keepdims=True, initial=0.0)
    return leaf_of(np.asarray((values > np.maximum(absolute, relative * largest)).sum(axis=-1)))


@accepts_arrays("A")
def matrix_power(A: Tensor, n: int) -> Tensor:
    """Return the product of `n` matrices `A` (..., m, m), of -`n` inverses for a negative `n`.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.matrix_power(tg.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    check_square(A, "matrix_power")
    n = index(n)
    if n == 0:  # with a gradient of zeros
        return where(np.ones(A.shape, bool), np.eye(A.shape[-1], dtype=A.dtype), A)
    if n < 0:
        return matrix_power(inv(A), -n)
    if n == 1:
        return A.clone()
    half = matrix_power(A, n // 2)
    return half @ half @ A if n % 2 else half @ half


@accepts_arrays("input")
def matrix_exp(input: Tensor) -> Tensor:
    """Return the exponential, the sum of `A**k / k!`, of square matrices (..., n, n).

    By a Pade approximant of the scaled matrix, squared (Golub and Van Loan, algorithm 9.3.1).

    >>> import tinygrad_fc as tg
    >>> tg.linalg.matrix_exp(tg.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    check_square(input, "matrix_exp")
    check_floats(input, "matrix_exp")
    sums = input.detach().abs().sum(-1).numpy().max(-1, initial=0)
    doublings = np.maximum(np.frexp(sums)[1] + 1, 0)[..., None, None]
    A = input * (0.5**doublings).astype(input.dtype)  # whose rows have sums of at most 1 / 2
    power: Any = np.eye(A.shape[-1], dtype=A.dtype)
    above = below = power
    for k in range(1, 7):
        power = A @ power * ((7 - k) / (k * (13 - k)))
        above, below = above + power, below + (-1) ** k * power
    out = solve(below, above)
    for k in range(doublings.max(initial=0)):
        out = where(k < doublings, out @ out, out)
    return out


@accepts_arrays("input")
def integer_power(input: Tensor, n: int) -> Tensor:
    """Return the `n`-th power of square matrices, as `torch.matrix_power`; see `linalg`.

    >>> import tinygrad_fc as tg
    >>> tg.matrix_power(tg.tensor([[2.0]]), -1)
    tensor([[0.5]])
    """
    return matrix_power(input, n)


class LstsqResult(NamedTuple):
    """The solution of `lstsq`, squared residuals (..., k), ranks and singular values of `A`."""

    solution: Tensor
    residuals: Any
    rank: Any
    singular_values: Any


@accepts_arrays("A", "B")
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: Any = None) -> LstsqResult:
    """Return X (..., m, k) with the smallest |A X - B| for `A` (..., n, m) and `B` (..., n, k).

    `B` may also be a vector (n,), or one vector per matrix (..., n); X is then (..., m). Where
    several X have the smallest error, the result is the one with the smallest norm,
    `pinv(A, rcond) @ B`. `residuals` is empty unless n > m and all ranks are m. `driver` has no
    effect.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.lstsq(tg.tensor([[1.0], [1.0]]), tg.tensor([[1.0], [3.0]])).solution
    tensor([[2.]])
    """
    del driver
    if A.ndim >= 2 and (B.ndim == 1 or B.shape == A.shape[:-1]):
        result = lstsq(A, B[..., None], rcond)
        return result._replace(solution=result.solution[..., 0])
    fit = A.ndim >= 2 <= B.ndim and A.shape[-2] == B.shape[-2] and 0 <= A.ndim - B.ndim <= 1
    check_shapes(fit, "lstsq", "matrices (..., n, m) and (..., n, k)", A, B)
    x: Any = pinv(A, rcond) @ B
    rank, residuals = matrix_rank(A, rtol=rcond), leaf_of(np.zeros(0, x.dtype))
    n, m = A.shape[-2:]
    if n > m and bool((array_of(rank) == m).all()):
        residuals = ((A @ x - B) ** 2).sum(dim=-2)
    return LstsqResult(x, residuals, rank, svdvals(A.detach()))
