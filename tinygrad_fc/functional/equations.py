"""Linear equations, inverses and determinants: names of `tinygrad_fc.linalg`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.core.errors import LinAlgError, check_dtypes, check_shapes
from tinygrad_fc.core.node import array_of
from tinygrad_fc.functional.arguments import accepts_arrays
from tinygrad_fc.functional.shape import tril, triu
from tinygrad_fc.ops import linalg

if TYPE_CHECKING:
    from tinygrad_fc.tensors import Tensor

__all__ = ["det", "inverse", "slogdet"]


class SignLog(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Any
    logabsdet: Any


# Linear equations


def check_square(x: Any, what: str) -> None:
    fit = x.ndim >= 2 and x.shape[-1] == x.shape[-2]
    expected = "square matrices (..., n, n); for more equations than unknowns use lstsq"
    check_shapes(fit, what, expected, x)


def check_floats(x: Any, what: str) -> None:
    check_dtypes(x.dtype.kind == "f", what, "floats: convert it first, x.double()", x)


def check_matrices(x: Any, result: Any, what: str, reason: str) -> None:
    """Raise `LinAlgError` if `result`, a batch of arrays, has a NaN for a finite matrix of `x`."""
    failed = np.isnan(result).any(axis=(-2, -1)) & np.isfinite(array_of(x)).all(axis=(-2, -1))
    if not failed.any():
        return
    at = tuple(int(k) for k in np.argwhere(failed)[0])
    which = f"matrix {at} of the batch" if at else "the matrix"
    raise LinAlgError(f"{what}: {which} of shape {x.shape[-2:]} {reason}")


SINGULAR = (
    "is singular: a row or column is a linear combination of the others, or all zeros. Remove "
    "repeated rows, or add a small number to the diagonal (A + 1e-6 * eye(n))"
)


@accepts_arrays("A")
def inv(A: Tensor) -> Tensor:
    """Return the inverse of a matrix (..., n, n).

    `solve(A, B)` is faster and more accurate than `inv(A) @ B`. Raises `LinAlgError` for a singular
    matrix, `ShapeError` for one that is not square.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.inv(tg.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    check_square(A, "inv")
    out = linalg.inv(A)
    check_matrices(A, array_of(out), "inv", SINGULAR)
    return out


inverse = inv  # its name in the package


@accepts_arrays("A", "B")
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """Return X with `A @ X = B`, or `X @ A = B` if not `left`.

    `A` (..., n, n); `B` (..., n, k), a vector (n,), or a vector per matrix of `A` (..., n). Raises
    `LinAlgError` if a matrix is singular, `ShapeError` for other shapes.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.solve(tg.tensor([[2.0, 0.0], [0.0, 4.0]]), tg.tensor([2.0, 2.0]))
    tensor([1. , 0.5])
    """
    check_square(A, "solve")
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])
    if vector and left:
        return solve(A, B[..., None])[..., 0]
    check_shapes(not vector, "solve", "matrices B (..., k, n), with left=False", B)
    if not left:
        return solve(A.mT, B.mT).mT
    out = linalg.solve(A, B)
    if np.isnan(array_of(out)).any() or not B.shape[-1]:
        check_matrices(A, linalg.inv.forward(array_of(A)), "solve", SINGULAR)
    return out


@accepts_arrays("A")
def det(A: Tensor) -> Tensor:
    """Return the determinant of a matrix (..., n, n).

    Derivatives of every order are correct also for singular matrices. A recorded first one takes
    n**2 times as long as a plain one: for large matrices use `slogdet`.

    >>> import tinygrad_fc as tg
    >>> A = tg.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    >>> tg.linalg.det(A).backward()
    >>> A.grad
    tensor([[ 4., -2.],
            [-2.,  1.]])
    """
    check_square(A, "det")
    return linalg.det(A)


@accepts_arrays("A")
def slogdet(A: Tensor) -> SignLog:
    """Return the sign of the determinant, and the logarithm of its absolute value, (...) each.

    They do not overflow or underflow. For a singular matrix they are 0 and minus infinity, without
    a finite gradient.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.slogdet(-tg.eye(3))
    SignLog(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    check_square(A, "slogdet")
    return SignLog(linalg.det_sign(A), linalg.logabsdet(A))


@accepts_arrays("A", "B")
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Return X with `A @ X = B`, or `X @ A = B` if not `left`, for a triangular `A` (..., n, n).

    Only the upper or the lower triangle of `A` is read; if `unitriangular`, the diagonal counts
    as 1, and is not read either. Raises `LinAlgError` for a 0 on the diagonal.

    >>> import tinygrad_fc as tg
    >>> A, B = tg.tensor([[2.0, 9.0], [1.0, 1.0]]), tg.tensor([[2.0], [3.0]])
    >>> tg.linalg.solve_triangular(A, B, upper=False)
    tensor([[1.],
            [2.]])
    """
    check_square(A, "solve_triangular")
    triangle = triu(A, int(unitriangular)) if upper else tril(A, -int(unitriangular))
    if unitriangular:
        triangle = triangle + np.eye(A.shape[-1], dtype=A.dtype)
    return solve(triangle, B, left=left)
