"""Matrix products, norms, linear equations and factorisations in PyTorch's spelling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.errors import DtypeError, LinAlgError, ShapeError
from tinygrad_fc.functional.arguments import Dim, normalize_dim, reduction_axes
from tinygrad_fc.functional.shape import diag, movedim
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import linalg as l
from tinygrad_fc.ops import reduce as r

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor

__all__ = ["addmm", "bmm", "cdist", "det", "dot", "einsum", "inner", "kron", "mm", "mv", "outer"]
__all__ += ["slogdet", "tensordot", "trace"]


def _ranked(name: str, *pairs: tuple[Any, int]) -> None:
    for k, (x, ndim) in enumerate(pairs):
        if x.ndim != ndim:
            kind = {1: "a vector", 2: "a matrix", 3: "a batch of matrices"}[ndim]
            raise ShapeError(
                f"{name}: argument {k} must be {kind} ({ndim} dimensions), got shape "
                f"{tuple(x.shape)}; matmul takes any"
            )


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the product of two matrices, (n, k) and (k, m).

    >>> import tinygrad_fc as tg
    >>> tg.mm(tg.ones(2, 3), tg.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    _ranked("mm", (input, 2), (mat2, 2))
    return l.matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix (n, k) and a vector (k,).

    >>> import tinygrad_fc as tg
    >>> tg.mv(tg.ones(2, 3), tg.ones(3))
    tensor([3., 3.])
    """
    _ranked("mv", (input, 2), (vec, 1))
    return l.matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Return the inner product of two vectors (k,).

    >>> import tinygrad_fc as tg
    >>> tg.dot(tg.ones(3), tg.ones(3))
    tensor(3.)
    """
    _ranked("dot", (input, 1), (tensor, 1))
    return l.matmul(input, tensor)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of a batch of matrices, (b, n, k) and (b, k, m).

    >>> import tinygrad_fc as tg
    >>> tg.bmm(tg.ones(5, 2, 3), tg.ones(5, 3, 4)).shape
    (5, 2, 4)
    """
    _ranked("bmm", (input, 3), (mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(
            f"bmm: batches differ, {input.shape} and {mat2.shape}: sizes of axis 0 must be equal"
        )
    return l.matmul(input, mat2)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return all products of an element of (n,) and one of (m,), as (n, m).

    >>> import tinygrad_fc as tg
    >>> tg.outer(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    _ranked("outer", (input, 1), (vec2, 1))
    return input[:, None] * vec2


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


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Return the inner products of the last axes: (..., k) and (***, k) give (..., ***).

    A 0-d tensor multiplies. Raises `ShapeError` where the last sizes differ.

    >>> import tinygrad_fc as tg
    >>> tg.inner(tg.ones(2, 3), tg.ones(3))
    tensor([3., 3.])
    """
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(
            f"inner: the last axes differ, {input.shape} and {other.shape}: they must be one size"
        )
    return tensordot(input, other, ([-1], [-1]))


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Return the sum of products over `dims`: of the last axes of `a` with the first of `b`.

    `dims` says how many, or which: a list of axes of `a` and one of `b`. The other axes of `a`
    come first, then those of `b`. Raises `ShapeError` where the sizes differ and neither is 1.

    >>> import tinygrad_fc as tg
    >>> tg.tensordot(tg.ones(2, 3, 4), tg.ones(4, 3), dims=([1, 2], [1, 0]))
    tensor([12., 12.])
    """
    left, right = _paired(a, b, dims)
    for x, y in zip(left, right, strict=True):
        n, m = a.shape[x], b.shape[y]
        if n != m and 1 in (n, m):  # as PyTorch does: the one is repeated, so the other is summed
            a = a if n == 1 else a.sum(x, keepdim=True)
            b = b if m == 1 else b.sum(y, keepdim=True)
        elif n != m:
            raise ShapeError(
                f"tensordot: axis {x} of {a.shape} and axis {y} of {b.shape} have sizes {n} and "
                f"{m}, and they must be one"
            )
    rest = [k for k in range(a.ndim) if k not in left], [k for k in range(b.ndim) if k not in right]
    shape = tuple([a.shape[k] for k in rest[0]] + [b.shape[k] for k in rest[1]])
    count = math.prod(a.shape[k] for k in left)
    rows, columns = (math.prod(shape[: len(rest[0])]), math.prod(shape[len(rest[0]) :]))
    flat = a.permute(*rest[0], *left).reshape(rows, count)
    other = b.permute(*right, *rest[1]).reshape(count, columns)
    return l.matmul(flat, other).reshape(shape)


def _paired(a: Tensor, b: Tensor, dims: Any) -> tuple[list[int], list[int]]:
    """Return the axes of both that `tensordot` sums over, counted from the front."""
    if hasattr(dims, "tolist"):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ShapeError(
                f"tensordot: dims={dims} is out of range for shapes {a.shape} and {b.shape}"
            )
        dims = range(a.ndim - dims, a.ndim), range(dims)
    left, right = ([k] if isinstance(k, int) else list(k) for k in dims)
    left = [normalize_dim(k, a.ndim, "tensordot") for k in left]
    right = [normalize_dim(k, b.ndim, "tensordot") for k in right]
    if len(left) != len(right) or len(set(left)) < len(left) or len(set(right)) < len(right):
        raise ShapeError(
            f"tensordot needs as many axes of one as of the other, none twice: got {dims}"
        )
    return left, right


def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return Kronecker's product: each element of `input` in turn times the whole of `other`.

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


def trace(input: Tensor) -> Tensor:
    """Return the sum of the diagonal of a matrix (n, m).

    >>> import tinygrad_fc as tg
    >>> tg.trace(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    _ranked("trace", (input, 2))
    return diag(input).sum()


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `input @ weight.T + bias`, formula (3) for a batch.

    `input` (..., in_features), `weight` (out_features, in_features), `bias` (out_features,);
    returns (..., out_features). Raises `ShapeError` where the widths differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.linear(tg.ones(4, 3), tg.ones(2, 3), tg.zeros(2)).shape
    (4, 2)
    """
    if bias is None:
        return l.linear_without_bias(input, weight)
    return l.linear(input, weight, bias)


def einsum(equation: str, *operands: Tensor | Sequence[Tensor]) -> Tensor:
    """Return the sums of products that `equation` names, in Einstein's convention.

    Letters name axes; those that the result does not name are summed over; `...` stands for
    axes that broadcast; a letter that stands twice in one operand takes its diagonal.
    Raises `ShapeError` where the equation does not fit the operands.

    >>> import tinygrad_fc as tg
    >>> tg.einsum("ij,j->i", tg.ones(2, 3), tg.ones(3))
    tensor([3., 3.])
    """
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    tensors: Any = operands
    terms, result = _explicit(equation, [x.ndim for x in tensors])
    plain = [_diagonal(x, term) for x, term in zip(tensors, terms, strict=True)]
    operand_terms = ",".join(term for _, term in plain)
    return l.einsum_(*(x for x, _ in plain), equation=f"{operand_terms}->{result}")


def _explicit(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """Return the terms and the result of `equation`, spelled out with a letter an axis."""
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        raise ShapeError(f"einsum: {equation!r} names {len(terms)} operands, got {len(ndims)}")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in equation]
    extra = [n - len(term.replace("...", "")) for term, n in zip(terms, ndims, strict=True)]
    for term, n, ndim in zip(terms, extra, ndims, strict=True):
        if n < 0 or (n and "..." not in term):
            raise ShapeError(
                f"einsum: the term {term!r} of {equation!r} does not fit an operand of {ndim} "
                "dimensions"
            )
    most = free[: max(extra, default=0)]
    spelled = [
        term.replace("...", "".join(most[len(most) - n :]))
        for term, n in zip(terms, extra, strict=True)
    ]
    if arrow:
        return spelled, result.replace("...", "".join(most))
    once = sorted(c for c in set(inputs) if c.isalpha() and inputs.count(c) == 1)
    return spelled, "".join([*most, *once])


def _diagonal(x: Any, term: str) -> tuple[Any, str]:
    """Return `x` with the diagonal for each letter that stands twice, and its term."""
    for c in term:
        while term.count(c) > 1:
            first = term.index(c)
            second = term.index(c, first + 1)
            n = x.shape[first]
            if x.shape[second] != n:
                raise ShapeError(f"einsum: {c!r} names axes of sizes {n} and {x.shape[second]}")
            rest = [k for k in range(x.ndim) if k not in (first, second)]
            x = np.transpose(x, (first, second, *rest))[np.arange(n), np.arange(n)]
            term = c + "".join(term[k] for k in rest)
    return x, term


def _largest(x: Any, **settings: Any) -> Any:
    """Return the largest of numbers from 0 on: 0 among none, as of a matrix without rows."""
    return (r.amax if x.shape[settings["axis"]] else r.sum_)(x, **settings)


def _floats(x: Any) -> None:
    if x.dtype.kind != "f":
        raise DtypeError(f"a norm needs floats, got {x.dtype}: use x.double() or x.float()")


def vector_norm(
    x: Tensor, ord: Any = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the `ord`-norm over `dim` (all, one or several): `(|x|**ord).sum() ** (1 / ord)`.

    The largest for infinity, the smallest for minus infinity, the count of others than 0 for 0.
    Where it is 0, so is its derivative.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.vector_norm(tg.tensor([3.0, 4.0]))
    tensor(5.)
    """
    x = x if dtype is None else x.to(dtype)
    _floats(x)
    if not isinstance(ord, int | float):
        raise ShapeError(f"the order of the norm of a vector is a number, got {ord!r}")
    settings = reduction_axes(dim, keepdim)
    if ord == 2:
        return r.norm(x, **settings)
    size = e.absolute(x)
    if ord in (math.inf, -math.inf):
        return (r.amax if ord > 0 else r.amin)(size, **settings)
    if ord == 0:
        return r.sum_(e.where(x == 0, 0.0, 1.0).to(x.dtype), **settings)
    if ord == 1:
        return r.sum_(size, **settings)
    # At 0 neither a power below 1 nor a root has a finite derivative: PyTorch's convention is 0.
    zero = x == 0
    powers = e.where(zero, math.inf if ord < 0 else 0.0, e.where(zero, 1.0, size) ** ord)
    total = r.sum_(powers, **settings)
    flat = (total == 0) | (total == math.inf)
    edge = total.detach() if ord > 0 else e.where(total == 0, math.inf, np.zeros((), x.dtype))
    return e.where(flat, edge, e.where(flat, 1.0, total) ** (1 / ord))


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the norm of a matrix (n, m), or of each of a batch.

    `ord` is `"fro"`, the root of the summed squares; 1 or infinity (-1 or minus infinity), the
    largest (smallest) sum of a column or row; 2 (-2), the largest (smallest) singular value;
    `"nuc"`, their sum. Raises `ShapeError` for another.

    >>> import math, tinygrad_fc as tg
    >>> tg.linalg.matrix_norm(tg.tensor([[1.0, -2.0], [3.0, 4.0]]), math.inf)
    tensor(7.)
    """
    if ord not in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf) or np.shape(dim) != (2,):
        raise ShapeError(
            'the norm of a matrix is of order "fro", "nuc", 1, -1, 2, -2, inf or -inf, over 2 '
            f"dims; got {ord!r} over {dim}"
        )
    if ord == "fro":
        return vector_norm(A, 2, tuple(dim), keepdim, dtype=dtype)
    lines, columns = (normalize_dim(k, A.ndim, "norm") for k in dim)
    if ord in (2, -2, "nuc"):
        _floats(A if dtype is None else A.to(dtype))
        values = svdvals(movedim(A if dtype is None else A.to(dtype), (lines, columns), (-2, -1)))
        row: Any = {2: _largest, -2: r.amin, "nuc": r.sum_}[ord]
        out = row(values, axis=-1)
        shape = tuple(1 if k in (lines, columns) else n for k, n in enumerate(A.shape))
        return out.reshape(shape) if keepdim else out  # type: ignore[no-any-return]
    summed, over = (lines, columns) if abs(ord) == 1 else (columns, lines)
    sums = vector_norm(A, 1, summed, keepdim=True, dtype=dtype)
    out = (_largest if ord > 0 else r.amin)(sums, axis=over, keepdims=True)
    return out if keepdim else out.squeeze((lines, columns))


def svdvals(A: Tensor) -> Tensor:
    """Return the singular values of a matrix (..., n, m), the largest first: (..., min(n, m)).

    Where two are equal their derivatives are one choice among many, as in PyTorch.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.svdvals(tg.tensor([[0.0, 3.0], [4.0, 0.0]]))
    tensor([4., 3.])
    """
    _floats(A)
    if A.ndim < 2:
        raise ShapeError(f"singular values are those of a matrix (..., n, m), got shape {A.shape}")
    return l.singular_values(A)


def norm(
    A: Tensor, ord: Any = None, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the norm of a vector, or of a matrix where `A` is one or `dim` names two.

    Without `ord`, the root of the summed squares over `dim`. See `vector_norm` and `matrix_norm`.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.norm(tg.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    axes = reduction_axes(dim, keepdim)["axis"]
    if axes is None and A.ndim > 2:
        raise ShapeError(f"the norm of order {ord!r} of a tensor {A.shape} needs dim, one or two")
    if (isinstance(axes, tuple) and len(axes) == 2) or (axes is None and A.ndim == 2):
        return matrix_norm(A, ord, axes or (0, 1), keepdim, dtype=dtype)
    return vector_norm(A, ord, axes, keepdim, dtype=dtype)


def p_norm(
    input: Tensor, p: Any = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Return the `p`-norm over `dim`, `torch.norm`: for any `p` of all elements of a matrix.

    >>> import tinygrad_fc as tg
    >>> tg.norm(tg.tensor([[3.0, 4.0], [0.0, 0.0]]), dim=1)
    tensor([5., 0.])
    """
    if p == "nuc":
        return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


p_norm.__name__ = "norm"  # which is what its users call it


class SignLog(NamedTuple):
    """A determinant by its sign and the logarithm of its size."""

    sign: Any
    logabsdet: Any


# Linear equations


def _square(x: Any, what: str) -> None:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"{what} needs square matrices (..., n, n), got shape {x.shape}; for more equations "
            "than unknowns solve (A.T @ A) x = A.T @ b"
        )
    if x.dtype not in (np.float64, np.float32):
        raise DtypeError(
            f"{what} needs float64 or float32, got {x.dtype}: use x.double() or x.float()"
        )


def _refuse(x: Any, bad: Any, what: str, because: str) -> None:
    """Raise where any of `bad`, a flag a matrix of `x`, is set though its numbers are finite."""
    bad = bad & np.isfinite(x._array).all(axis=(-2, -1))
    if not bad.any():
        return
    at = tuple(int(k) for k in np.argwhere(bad)[0])
    which = f"matrix {at} of the batch" if at else "the matrix"
    raise LinAlgError(f"{what}: {which} of shape {x.shape[-2:]} {because}")


SINGULAR = (
    "is singular: a row or column is a combination of the others, or all zeros. Take what is there "
    "twice out, or add a small number to the diagonal (A + 1e-6 * eye(n))"
)


def _without_solution(A: Any) -> Any:
    """Return which matrices of `A` are singular to the last digit."""
    return np.isnan(l.inv.forward(A._array)).any(axis=(-2, -1))


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
    out = l.inv(A)
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
        raise ShapeError(f"solve with left=False needs matrices B (..., k, n), got shape {B.shape}")
    if not left:
        return solve(A.mT, B.mT).mT
    if B.ndim < 2 or B.shape[-2] != A.shape[-1]:
        raise ShapeError(
            f"solve: the matrix {A.shape} needs a right side of {A.shape[-1]} rows, got {B.shape}"
        )
    if A.dtype != B.dtype:
        raise DtypeError(f"solve needs one dtype, got {A.dtype} and {B.dtype}: use B.type_as(A)")
    out = l.solve(A, B)
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
    return l.det(A)


def slogdet(A: Tensor) -> SignLog:
    """Return the sign of the determinant and the logarithm of its size: (...) each.

    They neither overflow nor vanish where the determinant does. Of a singular matrix they are 0
    and minus infinity, which has no gradient.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.slogdet(-tg.eye(3))
    SignLog(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    _square(A, "slogdet")
    return SignLog(l.det_sign(A), l.logabsdet(A))


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
    out = l.cholesky(A)
    _refuse(
        A,
        np.isnan(out._array).any(axis=(-2, -1)),
        "cholesky",
        "is not positive definite: it has an eigenvalue of 0 or below. Add a small number to the "
        "diagonal (A + 1e-6 * eye(n)), or see whether it is a product X.T @ X of enough rows",
    )
    return out.mT if upper else out


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """Return the `p`-norm distances (..., n, m) of the rows (..., n, k) from the rows (..., m, k).

    The derivative of a distance that is 0 is 0.

    >>> import tinygrad_fc as tg
    >>> tg.cdist(tg.tensor([[0.0, 0.0]]), tg.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"cdist needs rows of one width, (..., n, k) and (..., m, k), got {x1.shape} and "
            f"{x2.shape}"
        )
    return vector_norm(x1[..., :, None, :] - x2[..., None, :, :], p, dim=-1)
