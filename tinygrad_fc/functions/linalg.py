"""Linear equations, determinants and Cholesky's factor, as in `torch.linalg`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.errors import DtypeError, LinAlgError, ShapeError, evidence
from tinygrad_fc.ops import solve as rows

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


class SignLog(NamedTuple):
    """A determinant by its sign and the logarithm of its size."""

    sign: Any
    logabsdet: Any


# Linear equations


def _square(x: Any, what: str) -> None:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        message = (
            f"{what} needs square matrices (..., n, n), got shape {x.shape}; for more equations "
            "than unknowns solve (A.T @ A) x = A.T @ b"
        )
        raise ShapeError(message)
    if x.dtype not in (np.float64, np.float32):
        message = f"{what} needs float64 or float32, got {x.dtype}: use x.double() or x.float()"
        raise DtypeError(message)


def _refuse(x: Any, bad: Any, what: str, because: str) -> None:
    """Raise where any of `bad`, a flag a matrix of `x`, is set though its numbers are finite."""
    bad = bad & np.isfinite(x._array).all(axis=(-2, -1))
    if not bad.any():
        return
    at = tuple(int(k) for k in np.argwhere(evidence(bad))[0])
    which = f"matrix {at} of the batch" if at else "the matrix"
    raise LinAlgError(f"{what}: {which} of shape {x.shape[-2:]} {because}")


SINGULAR = (
    "is singular: a row or column is a combination of the others, or all zeros. Take what is there "
    "twice out, or add a small number to the diagonal (A + 1e-6 * eye(n))"
)


def _without_solution(A: Any) -> Any:
    """Return which matrices of `A` are singular to the last digit."""
    return np.isnan(rows.inv.forward(A._array)).any(axis=(-2, -1))


def inv(A: Tensor) -> Tensor:
    """Return the inverse of a matrix (..., n, n), or of each of a batch.

    For `inv(A) @ B`, `solve(A, B)` is faster and has more digits. Raises `LinAlgError` for a
    singular matrix, `ShapeError` for one that is not square.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.inv(tg.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    _square(A, "inv")
    out = rows.inv(A)
    _refuse(A, np.isnan(out._array).any(axis=(-2, -1)), "inv", SINGULAR)
    return out


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """Return X with `A @ X = B`, or `X @ A = B` where not `left`.

    `A` (..., n, n); `B` (..., n, k), or a vector (n,) or a batch of them (..., n) in the shape of
    that of `A`. Raises `LinAlgError` where a matrix is singular, `ShapeError` where shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.solve(tg.tensor([[2.0, 0.0], [0.0, 4.0]]), tg.tensor([2.0, 2.0]))
    tensor([1. , 0.5])
    """
    _square(A, "solve")
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])
    if vector and left:
        return solve(A, B[..., None])[..., 0]
    if vector:
        message = f"solve with left=False needs matrices B (..., k, n), got shape {B.shape}"
        raise ShapeError(message)
    if not left:
        return solve(A.mT, B.mT).mT
    if B.ndim < 2 or B.shape[-2] != A.shape[-1]:
        message = (
            f"solve: the matrix {A.shape} needs a right side of {A.shape[-1]} rows, got {B.shape}"
        )
        raise ShapeError(message)
    if A.dtype != B.dtype:
        message = f"solve needs one dtype, got {A.dtype} and {B.dtype}: use B.type_as(A)"
        raise DtypeError(message)
    out = rows.solve(A, B)
    if np.isnan(out._array).any() or not B.shape[-1]:
        _refuse(A, _without_solution(A), "solve", SINGULAR)
    return out


def det(A: Tensor) -> Tensor:
    """Return the determinant of a matrix (..., n, n), or of each of a batch.

    Its derivatives of every order are right for singular matrices too. That of the second order
    takes n**2 times as long as the first: for larger matrices use `slogdet`.

    >>> import tinygrad_fc as tg
    >>> A = tg.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    >>> tg.linalg.det(A).backward()
    >>> A.grad
    tensor([[ 4., -2.],
            [-2.,  1.]])
    """
    _square(A, "det")
    return rows.det(A)


def slogdet(A: Tensor) -> SignLog:
    """Return the sign of the determinant and the logarithm of its size: (...) each.

    They neither overflow nor vanish where the determinant does. Of a singular matrix they are 0
    and minus infinity, which has no gradient.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.slogdet(-tg.eye(3))
    SignLog(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    _square(A, "slogdet")
    return SignLog(rows.det_sign(A), rows.logabsdet(A))


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """Return the lower triangular L with `L @ L.mT = A`, or its transposed where `upper`.

    `A` (..., n, n), symmetric (its symmetric part counts) and positive definite; else
    `LinAlgError`.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.cholesky(tg.tensor([[4.0, 2.0], [2.0, 10.0]]))
    tensor([[2., 0.],
            [1., 3.]])
    """
    _square(A, "cholesky")
    out = rows.cholesky(A)
    _refuse(
        A,
        np.isnan(out._array).any(axis=(-2, -1)),
        "cholesky",
        "is not positive definite: it has an eigenvalue of 0 or below. Add a small number to the "
        "diagonal (A + 1e-6 * eye(n)), or see whether it is a product X.T @ X of enough rows",
    )
    return out.mT if upper else out
