"""Matrix products, norms, linear equations and factorisations, with PyTorch's names."""

from __future__ import annotations

import math
import string
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.core.dtypes import widened
from tinygrad_fc.core.errors import LinAlgError, check_argument, check_dtypes, check_shapes
from tinygrad_fc.core.graph import array_of, leaf_of
from tinygrad_fc.core.op import as_axes
from tinygrad_fc.functional.arguments import accepts_arrays, normalize_dim
from tinygrad_fc.functional.shape import diag, diagonal, movedim, roll
from tinygrad_fc.ops import linalg, reduce
from tinygrad_fc.ops.elementwise import absolute, where
from tinygrad_fc.ops.norm import lp_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.core.dtypes import DTypeLike
    from tinygrad_fc.core.op import Dim
    from tinygrad_fc.tensors import Tensor

__all__ = ["addmm", "bmm", "cdist", "cross", "det", "dot", "einsum", "inner", "kron", "mm", "mv"]
__all__ += ["outer", "slogdet", "tensordot", "trace"]


_LETTERS = string.ascii_letters  # name axes in equations of `einsum`


@accepts_arrays("input", "mat2")
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the product of two matrices, (n, k) and (k, m).

    >>> import tinygrad_fc as tg
    >>> tg.mm(tg.ones(2, 3), tg.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    check_shapes(input.ndim == mat2.ndim == 2, "mm", "matrices; else use matmul", input, mat2)
    return linalg.matmul(input, mat2)


@accepts_arrays("input", "vec")
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix (n, k) and a vector (k,).

    >>> import tinygrad_fc as tg
    >>> tg.mv(tg.ones(2, 3), tg.ones(3))
    tensor([3., 3.])
    """
    fit = input.ndim == 2 and vec.ndim == 1
    check_shapes(fit, "mv", "a matrix and a vector; else use matmul", input, vec)
    return linalg.matmul(input, vec)


@accepts_arrays("input", "tensor")
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Return the inner product of two vectors (k,).

    >>> import tinygrad_fc as tg
    >>> tg.dot(tg.ones(3), tg.ones(3))
    tensor(3.)
    """
    fit = input.ndim == tensor.ndim == 1
    check_shapes(fit, "dot", "vectors; else use matmul", input, tensor)
    return linalg.matmul(input, tensor)


@accepts_arrays("input", "mat2")
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of a batch of matrices, (b, n, k) and (b, k, m).

    >>> import tinygrad_fc as tg
    >>> tg.bmm(tg.ones(5, 2, 3), tg.ones(5, 3, 4)).shape
    Size([5, 2, 4])
    """
    fit = input.ndim == mat2.ndim == 3 and len(input) == len(mat2)
    check_shapes(fit, "bmm", "batches of one size (b, n, k) and (b, k, m)", input, mat2)
    return linalg.matmul(input, mat2)


@accepts_arrays("input", "vec2")
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return the outer product (n, m) of two vectors (n,) and (m,).

    >>> import tinygrad_fc as tg
    >>> tg.outer(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    check_shapes(input.ndim == vec2.ndim == 1, "outer", "vectors (n,) and (m,)", input, vec2)
    return input[:, None] * vec2


@accepts_arrays("input", "mat1", "mat2")
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return `beta * input + alpha * (mat1 @ mat2)`.

    >>> import tinygrad_fc as tg
    >>> tg.addmm(tg.ones(1), tg.ones(1, 2), tg.ones(2, 1))
    tensor([[3.]])
    """
    out = mm(mat1, mat2)
    out = out if alpha == 1 else out * alpha
    return out if beta == 0 else out + (input if beta == 1 else input * beta)


@accepts_arrays("input", "other")
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Return the inner products along the last axes of `input` (..., k) and `other` (***, k).

    The result is (..., ***). A 0-d tensor is a factor. Raises `ShapeError` for unequal last sizes.

    >>> import tinygrad_fc as tg
    >>> tg.inner(tg.ones(2, 3), tg.ones(3))
    tensor([3., 3.])
    """
    if not input.ndim or not other.ndim:
        return input * other
    fit = input.shape[-1] == other.shape[-1]
    check_shapes(fit, "inner", "equal sizes of the last axes", input, other)
    return tensordot(input, other, ([-1], [-1]))


@accepts_arrays("a", "b")
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Return the sums of products over axes of `a` paired with axes of `b`.

    `dims` is a number n, for the last n axes of `a` and the first n of `b`, or a list of axes of
    each. The result has the other axes of `a`, then those of `b`. Raises `ShapeError` if paired
    sizes differ and neither is 1.

    >>> import tinygrad_fc as tg
    >>> tg.tensordot(tg.ones(2, 3, 4), tg.ones(4, 3), dims=([1, 2], [1, 0]))
    tensor([12., 12.])
    """
    if isinstance(dims, int) and dims >= 0:
        dims = range(a.ndim - dims, a.ndim), range(dims)
    left, right = ([k] if isinstance(k, int) else list(k) for k in dims)
    left = [normalize_dim(k, a.ndim, "tensordot") for k in left]
    right = [normalize_dim(k, b.ndim, "tensordot") for k in right]
    fit = len(left) == len(right) == len(set(left)) == len(set(right))
    check_argument(fit, "tensordot", "as many axes of a as of b, and none twice", dims=dims)
    first, second = list(_LETTERS[: a.ndim]), list(_LETTERS[a.ndim : a.ndim + b.ndim])
    for x, y in zip(left, right, strict=True):
        n, m = a.shape[x], b.shape[y]
        fit = n == m or 1 in (n, m)
        check_shapes(fit, "tensordot", f"equal sizes of axes {x} and {y}, not {n}, {m}", a, b)
        second[y] = first[x]
    rest = [c for c in first if c not in second] + [c for c in second if c not in first]
    return linalg.einsum_(a, b, equation=f"{''.join(first)},{''.join(second)}->{''.join(rest)}")


@accepts_arrays("input", "other")
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product: each element of `input` is replaced by it times `other`.

    Shapes (n, m, ...) and (k, l, ...) give (n * k, m * l, ...).

    >>> import tinygrad_fc as tg
    >>> tg.kron(tg.tensor([1.0, 10.0]), tg.tensor([1.0, 2.0]))
    tensor([ 1.,  2., 10., 20.])
    """
    ndim = max(input.ndim, other.ndim)
    first, second = ((1,) * (ndim - x.ndim) + x.shape for x in (input, other))
    left = input.reshape(tuple(m for n in first for m in (n, 1)))
    right = other.reshape(tuple(m for n in second for m in (1, n)))
    return (left * right).reshape(tuple(n * m for n, m in zip(first, second, strict=True)))


@accepts_arrays("input")
def trace(input: Tensor) -> Tensor:
    """Return the sum of the diagonal of a matrix (n, m).

    >>> import tinygrad_fc as tg
    >>> tg.trace(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    check_shapes(input.ndim == 2, "trace", "a matrix (n, m)", input)
    return diag(input).sum()


@accepts_arrays("input", "other")
def cross(input: Tensor, other: Tensor, dim: int = -1) -> Tensor:
    """Return the vector products along the axis `dim` of size 3, broadcast over the others.

    `dim` is the last axis by default, as in NumPy and `torch.linalg.cross`.

    >>> import tinygrad_fc as tg
    >>> tg.cross(tg.tensor([0.0, 1.0, 0.0]), tg.tensor([1.0, 0.0, 0.0]))
    tensor([ 0.,  0., -1.])
    """
    fit = input.shape[dim] == other.shape[dim] == 3
    check_shapes(fit, "cross", f"size 3 of axis {dim}", input, other)
    return roll(input, -1, dim) * roll(other, 1, dim) - roll(input, 1, dim) * roll(other, -1, dim)


@accepts_arrays(variadic=True)
def einsum(equation: str, *operands: Tensor | Sequence[Tensor]) -> Tensor:
    """Return the Einstein summation `equation` of the operands, as `np.einsum`.

    Letters name axes; axes that the result does not name are summed over; `...` is any number of
    axes that broadcast; a letter twice in one operand is its diagonal. Raises `ShapeError` if the
    equation does not fit the operands.

    >>> import tinygrad_fc as tg
    >>> tg.einsum("ij,j->i", tg.ones(2, 3), tg.ones(3))
    tensor([3., 3.])
    """
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    tensors: Any = operands
    terms, result = _without_ellipsis(equation, [x.ndim for x in tensors])
    pairs = [_diagonal(x, term) for x, term in zip(tensors, terms, strict=True)]
    operand_terms = ",".join(term for _, term in pairs)
    return linalg.einsum_(*(x for x, _ in pairs), equation=f"{operand_terms}->{result}")


def _without_ellipsis(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """Return the terms and the result of `equation`, with letters in place of `...`."""
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    fit = len(terms) == len(ndims)
    check_argument(fit, "einsum", f"one that names {len(ndims)} operands", equation=equation)
    free = [c for c in _LETTERS if c not in equation]
    extra = [n - len(term.replace("...", "")) for term, n in zip(terms, ndims, strict=True)]
    batch = free[: max(extra, default=0)]
    terms = [
        term.replace("...", "".join(batch[len(batch) - n :]))
        for term, n in zip(terms, extra, strict=True)
    ]
    if arrow:
        return terms, result.replace("...", "".join(batch))
    once = sorted(c for c in set(inputs) if c.isalpha() and inputs.count(c) == 1)
    return terms, "".join([*batch, *once])


def _diagonal(x: Any, term: str) -> tuple[Any, str]:
    """Return the diagonal of `x` for each letter that occurs twice in `term`, and the new term."""
    for c in term:
        while term.count(c) > 1:
            first, second = term.index(c), term.rindex(c)
            fit = x.shape[first] == x.shape[second]
            check_shapes(fit, "einsum", f"equal sizes of the axes that {c!r} names", x)
            x = diagonal(x, 0, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + c
    return x, term


def _largest(x: Any, **settings: Any) -> Any:
    """Return the largest of non-negative numbers; 0 if there are none, for empty matrices."""
    return (reduce.amax if x.shape[settings["dim"]] else reduce.sum)(x, **settings)


@accepts_arrays("x")
def vector_norm(
    x: Tensor, ord: Any = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the `ord`-norm over `dim` (all, one or several axes): `(|x|**ord).sum() ** (1 / ord)`.

    For infinity it is the largest |x|, for minus infinity the smallest, for 0 the number of nonzero
    elements. The derivative of a norm of 0 is 0.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.vector_norm(tg.tensor([3.0, 4.0]))
    tensor(5.)
    """
    x = x if dtype is None else x.to(dtype)
    check_dtypes(x.dtype.kind == "f", "norm", "floats: use x.double() or x.float()", x)
    check_argument(isinstance(ord, int | float), "vector_norm", "a number", ord=ord)
    settings = {"dim": dim, "keepdim": keepdim}
    if ord == 2:
        return reduce.l2_norm(x, **settings)
    if x.dtype == np.float16:
        return vector_norm(widened(x), ord, dim, keepdim).to(np.float16)
    magnitude = absolute(x)
    if ord in (math.inf, -math.inf):
        return (reduce.amax if ord > 0 else reduce.amin)(magnitude, **settings)
    if ord == 0:
        return reduce.sum(where(x == 0, 0.0, 1.0).to(x.dtype), **settings)
    if ord == 1:
        return reduce.sum(magnitude, **settings)
    return lp_norm(x, **settings, ord=ord)


@accepts_arrays("A")
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the norm of a matrix (n, m), or of each matrix of a batch.

    `ord` is "fro", the root of the summed squares; 1 or -1, the largest or smallest sum of |A| over
    a column; infinity or minus infinity, the same for rows; 2 or -2, the largest or smallest
    singular value; "nuc", the sum of singular values. Raises `ShapeError` for another order.

    >>> import math, tinygrad_fc as tg
    >>> tg.linalg.matrix_norm(tg.tensor([[1.0, -2.0], [3.0, 4.0]]), math.inf)
    tensor(7.)
    """
    fit = ord in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf) and np.shape(dim) == (2,)
    expected = '("fro", "nuc", 1, -1, 2, -2, inf or -inf, two axes)'
    check_argument(fit, "matrix_norm", expected, ord_and_dim=(ord, dim))
    if ord == "fro":
        return vector_norm(A, 2, tuple(dim), keepdim, dtype=dtype)
    rows, columns = (normalize_dim(k, A.ndim, "norm") for k in dim)
    if ord in (2, -2, "nuc"):
        values = svdvals(movedim(A if dtype is None else A.to(dtype), (rows, columns), (-2, -1)))
        reduced: Any = {2: _largest, -2: reduce.amin, "nuc": reduce.sum}[ord]
        out = reduced(values, dim=-1)
        shape = tuple(1 if k in (rows, columns) else n for k, n in enumerate(A.shape))
        return out.reshape(shape) if keepdim else out  # type: ignore[no-any-return]
    summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = vector_norm(A, 1, summed, keepdim=True, dtype=dtype)
    out = (_largest if ord > 0 else reduce.amin)(sums, dim=other, keepdim=True)
    return out if keepdim else out.squeeze((rows, columns))


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

    The columns of U and the rows of Vh are orthonormal, S is in descending order. Gradients need
    singular values that are distinct and not 0, and a result that does not depend on the signs of
    the vectors (Townsend, 2016). Raises `ShapeError` for `full_matrices` unless n = m.

    >>> import tinygrad_fc as tg
    >>> U, S, Vh = tg.linalg.svd(tg.tensor([[0.0, 3.0], [4.0, 0.0]]))
    >>> S, tg.allclose(U * S @ Vh, tg.tensor([[0.0, 3.0], [4.0, 0.0]]))
    (tensor([4., 3.]), True)
    """
    values, n = svdvals(A), A.shape[-2]
    fit = n == A.shape[-1] or not full_matrices
    check_shapes(fit, "svd", "square matrices, or full_matrices=False", A)
    vectors = linalg.singular_vectors(A)
    return SVD(vectors[..., :n, :], values, vectors[..., n:, :].swapaxes(-1, -2))


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


@accepts_arrays("A")
def norm(
    A: Tensor, ord: Any = None, dim: Dim = None, keepdim: bool = False, *, dtype: DTypeLike = None
) -> Tensor:
    """Return `matrix_norm` if `A` is a matrix or `dim` names two axes, else `vector_norm`.

    Without `ord` it is the root of the summed squares over `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.norm(tg.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    axes = as_axes(dim)
    check_shapes(axes is not None or A.ndim <= 2, "norm", "a matrix, or dim, one or two axes", A)
    if (isinstance(axes, tuple) and len(axes) == 2) or (axes is None and A.ndim == 2):
        return matrix_norm(A, ord, axes or (0, 1), keepdim, dtype=dtype)
    return vector_norm(A, ord, axes, keepdim, dtype=dtype)


@accepts_arrays("input")
def p_norm(
    input: Tensor, p: Any = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Return the `p`-norm of the elements over `dim`, as `torch.norm`; "nuc" is that of a matrix.

    >>> import tinygrad_fc as tg
    >>> tg.norm(tg.tensor([[3.0, 4.0], [0.0, 0.0]]), dim=1)
    tensor([5., 0.])
    """
    if p == "nuc":
        return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


p_norm.__name__ = "norm"  # its public name, `tg.norm`


class SignLog(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Any
    logabsdet: Any


# Linear equations


def _check_square(x: Any, what: str) -> None:
    fit = x.ndim >= 2 and x.shape[-1] == x.shape[-2]
    expected = "square matrices (..., n, n); for more equations than unknowns use lstsq"
    check_shapes(fit, what, expected, x)


def _check_matrices(x: Any, result: Any, what: str, reason: str) -> None:
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


NOT_POSITIVE = (
    "is not positive definite: it has an eigenvalue <= 0. Add a small number to the diagonal "
    "(A + 1e-6 * eye(n)), or, for A = X.T @ X, check that X has enough rows"
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
    _check_square(A, "inv")
    out = linalg.inv(A)
    _check_matrices(A, array_of(out), "inv", SINGULAR)
    return out


@accepts_arrays("A", "B")
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """Return X with `A @ X = B`, or `X @ A = B` if not `left`.

    `A` (..., n, n); `B` (..., n, k), a vector (n,), or a vector per matrix of `A` (..., n). Raises
    `LinAlgError` if a matrix is singular, `ShapeError` for other shapes.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.solve(tg.tensor([[2.0, 0.0], [0.0, 4.0]]), tg.tensor([2.0, 2.0]))
    tensor([1. , 0.5])
    """
    _check_square(A, "solve")
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])
    if vector and left:
        return solve(A, B[..., None])[..., 0]
    check_shapes(not vector, "solve", "matrices B (..., k, n), with left=False", B)
    if not left:
        return solve(A.mT, B.mT).mT
    out = linalg.solve(A, B)
    if np.isnan(array_of(out)).any() or not B.shape[-1]:
        _check_matrices(A, linalg.inv.forward(array_of(A)), "solve", SINGULAR)
    return out


class LstsqResult(NamedTuple):
    """The solution of `lstsq`, squared residuals (k,), the rank of `A` and its singular values."""

    solution: Tensor
    residuals: Any
    rank: Any
    singular_values: Any


@accepts_arrays("A", "B")
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None) -> LstsqResult:
    """Return X (m, k) with the smallest |A X - B| for `A` (n, m) and `B` (n, k).

    The solution has gradients if `A` has full rank, by the normal equations. Raises `ShapeError`
    for batches of matrices.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.lstsq(tg.tensor([[1.0], [1.0]]), tg.tensor([[1.0], [3.0]])).solution
    tensor([[2.]])
    """
    check_shapes(A.ndim == B.ndim == 2, "lstsq", "matrices (n, m) and (n, k)", A, B)
    x, *rest = map(leaf_of, map(np.asarray, np.linalg.lstsq(array_of(A), array_of(B), rcond)))
    if A.requires_grad or B.requires_grad:  # the derivative of the normal equations
        tall = len(A) >= A.shape[1]
        normal = solve(A.mT @ A, A.mT @ B) if tall else A.mT @ solve(A @ A.mT, B)
        x = normal + (x - normal).detach()
    return LstsqResult(x, *rest)


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
    _check_square(A, "det")
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
    _check_square(A, "slogdet")
    return SignLog(linalg.det_sign(A), linalg.logabsdet(A))


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
    _check_square(A, "cholesky")
    out = linalg.cholesky(A)
    _check_matrices(A, array_of(out), "cholesky", NOT_POSITIVE)
    return out.mT if upper else out


@accepts_arrays("x1", "x2")
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """Return the distances (..., n, m), in the `p`-norm, of rows (..., n, k) and (..., m, k).

    The derivative of a distance of 0 is 0.

    >>> import tinygrad_fc as tg
    >>> tg.cdist(tg.tensor([[0.0, 0.0]]), tg.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    fit = x1.ndim >= 2 <= x2.ndim and x1.shape[-1] == x2.shape[-1]
    check_shapes(fit, "cdist", "rows of equal length, (..., n, k) and (..., m, k)", x1, x2)
    return vector_norm(x1[..., :, None, :] - x2[..., None, :, :], p, dim=-1)
