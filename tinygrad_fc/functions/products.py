"""Products of matrices and vectors in PyTorch's spelling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.functions.arranging import diag
from tinygrad_fc.functions.shape import wrapped
from tinygrad_fc.ops import linalg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor


def _ranked(name: str, *pairs: tuple[Any, int]) -> None:
    for k, (x, ndim) in enumerate(pairs):
        if x.ndim != ndim:
            kind = {1: "a vector", 2: "a matrix", 3: "a batch of matrices"}[ndim]
            message = (
                f"{name}: argument {k} must be {kind} ({ndim} dimensions), got shape "
                f"{tuple(x.shape)}; matmul takes any"
            )
            raise ShapeError(message)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the product of two matrices, (n, k) and (k, m).

    >>> import tinygrad_fc as tg
    >>> tg.mm(tg.ones(2, 3), tg.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    _ranked("mm", (input, 2), (mat2, 2))
    return linalg.matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix (n, k) and a vector (k,).

    >>> import tinygrad_fc as tg
    >>> tg.mv(tg.ones(2, 3), tg.ones(3))
    tensor([3., 3.])
    """
    _ranked("mv", (input, 2), (vec, 1))
    return linalg.matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Return the inner product of two vectors (k,).

    >>> import tinygrad_fc as tg
    >>> tg.dot(tg.ones(3), tg.ones(3))
    tensor(3.)
    """
    _ranked("dot", (input, 1), (tensor, 1))
    return linalg.matmul(input, tensor)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of a batch of matrices, (b, n, k) and (b, k, m).

    >>> import tinygrad_fc as tg
    >>> tg.bmm(tg.ones(5, 2, 3), tg.ones(5, 3, 4)).shape
    (5, 2, 4)
    """
    _ranked("bmm", (input, 3), (mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        message = (
            f"bmm: batches differ, {input.shape} and {mat2.shape}: sizes of axis 0 must be equal"
        )
        raise ShapeError(message)
    return linalg.matmul(input, mat2)


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
        message = (
            f"inner: the last axes differ, {input.shape} and {other.shape}: they must be one size"
        )
        raise ShapeError(message)
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
            message = (
                f"tensordot: axis {x} of {a.shape} and axis {y} of {b.shape} have sizes {n} and "
                f"{m}, and they must be one"
            )
            raise ShapeError(message)
    rest = [k for k in range(a.ndim) if k not in left], [k for k in range(b.ndim) if k not in right]
    shape = tuple([a.shape[k] for k in rest[0]] + [b.shape[k] for k in rest[1]])
    count = math.prod(a.shape[k] for k in left)
    rows, columns = (math.prod(shape[: len(rest[0])]), math.prod(shape[len(rest[0]) :]))
    flat = a.permute(*rest[0], *left).reshape(rows, count)
    other = b.permute(*right, *rest[1]).reshape(count, columns)
    return linalg.matmul(flat, other).reshape(shape)


def _paired(a: Tensor, b: Tensor, dims: Any) -> tuple[list[int], list[int]]:
    """Return the axes of both that `tensordot` sums over, counted from the front."""
    if hasattr(dims, "tolist"):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            message = f"tensordot: dims={dims} is out of range for shapes {a.shape} and {b.shape}"
            raise ShapeError(message)
        dims = range(a.ndim - dims, a.ndim), range(dims)
    left, right = ([k] if isinstance(k, int) else list(k) for k in dims)
    left = [wrapped(k, a.ndim, "tensordot") for k in left]
    right = [wrapped(k, b.ndim, "tensordot") for k in right]
    if len(left) != len(right) or len(set(left)) < len(left) or len(set(right)) < len(right):
        message = f"tensordot needs as many axes of one as of the other, none twice: got {dims}"
        raise ShapeError(message)
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
        return linalg.product_linear(input, weight)
    return linalg.linear(input, weight, bias)


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
    given: Any = operands
    terms, result = _explicit(equation, [x.ndim for x in given])
    plain = [_diagonal(x, term) for x, term in zip(given, terms, strict=True)]
    kept = ",".join(term for _, term in plain)
    return linalg.einsum_(*(x for x, _ in plain), equation=f"{kept}->{result}")


def _explicit(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """Return the terms and the result of `equation`, spelled out with a letter an axis."""
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ndims):
        message = f"einsum: {equation!r} names {len(terms)} operands, got {len(ndims)}"
        raise ShapeError(message)
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in equation]
    extra = [n - len(term.replace("...", "")) for term, n in zip(terms, ndims, strict=True)]
    for term, n, ndim in zip(terms, extra, ndims, strict=True):
        if n < 0 or (n and "..." not in term):
            message = (
                f"einsum: the term {term!r} of {equation!r} does not fit an operand of {ndim} "
                "dimensions"
            )
            raise ShapeError(message)
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
    """Return `x` with the axes of each letter that stands twice made one, and its term."""
    for c in term:
        while term.count(c) > 1:
            first = term.index(c)
            second = term.index(c, first + 1)
            n = x.shape[first]
            if x.shape[second] != n:
                message = f"einsum: {c!r} names axes of sizes {n} and {x.shape[second]}"
                raise ShapeError(message)
            rest = [k for k in range(x.ndim) if k not in (first, second)]
            x = np.transpose(x, (first, second, *rest))[np.arange(n), np.arange(n)]
            term = c + "".join(term[k] for k in rest)
    return x, term
