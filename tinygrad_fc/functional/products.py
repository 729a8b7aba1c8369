"""Products of matrices and vectors, with PyTorch's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.errors import check_argument, check_shapes
from tinygrad_fc.functional.arguments import accepts_arrays, normalize_dim
from tinygrad_fc.functional.shape import diag, diagonal, roll
from tinygrad_fc.ops import linalg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensors import Tensor

__all__ = ["addmm", "bmm", "cross", "dot", "einsum", "inner", "kron", "mm", "mv", "outer"]
__all__ += ["tensordot", "trace"]


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # of axes in `einsum`


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
    sizes differ and neither is 1, `ValueError` for axes that do not pair.

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
    axes that broadcast; a letter twice in one operand is its diagonal. Raises `ValueError` for
    another number of operands, `ShapeError` if their sizes do not fit.

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
