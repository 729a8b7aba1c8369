"""Reshaping, permuting and expanding axes, diagonals, with PyTorch's names and parameters."""

from __future__ import annotations

import math
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import ops
from tinygrad_fc.core.dtypes import real_dtype
from tinygrad_fc.core.errors import GraphError, ShapeError, check_argument, check_shapes
from tinygrad_fc.core.node import array_of, leaf_of, owner
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.arguments import accepts_arrays, as_shape, normalize_dim
from tinygrad_fc.ops.elementwise import where
from tinygrad_fc.ops.indexing import at_axis, scatter_add

if TYPE_CHECKING:
    from tinygrad_fc.core.dtypes import Sizes
    from tinygrad_fc.core.op import Dim
    from tinygrad_fc.tensors import Tensor


__all__ = ["broadcast_tensors", "broadcast_to", "diag", "diag_embed", "diagonal", "flatten"]
__all__ += ["flip", "movedim", "numel", "permute", "ravel", "reshape", "roll", "squeeze", "t"]
__all__ += ["transpose", "tril", "triu", "unflatten", "unsqueeze"]


def reshape(input: Tensor, *shape: int | Sizes) -> Tensor:
    """Return the same elements in another shape; one size may be -1, which is computed.

    Raises `ShapeError` if the numbers of elements differ, or for another negative size.

    >>> import tinygrad_fc as tg
    >>> tg.arange(6).reshape(2, -1).shape
    Size([2, 3])
    """
    sizes = as_shape(shape)
    expected = f"sizes of at least -1, not {sizes}"
    check_shapes(min(sizes, default=0) >= -1, "reshape", expected, input)
    return ops.shape.reshape(input, shape=sizes)


def view(input: Tensor, *shape: Any) -> Tensor:
    """Return a view of the memory in another shape, or, for a dtype, with its bits read as that.

    Raises `ShapeError` if `reshape` would have to copy, as after `transpose`, and `GraphError` for
    a dtype if the tensor requires grad.

    >>> import tinygrad_fc as tg
    >>> tg.arange(6).view(3, 2).shape
    Size([3, 2])
    """
    if len(shape) == 1 and isinstance(shape[0], np.dtype | type):
        if input.requires_grad:
            raise GraphError("view(dtype) has no gradient: use x.detach().view(dtype)")
        return leaf_of(array_of(input).view(real_dtype(shape[0])))
    out = reshape(input, *shape)
    if input.numel() and owner(array_of(out)) is not owner(array_of(input)):
        raise ShapeError(
            f"view: got shape {tuple(input.shape)}; expected axes that give {out.shape} without a "
            "copy: use reshape"
        )
    return out


@accepts_arrays("input")
def permute(input: Tensor, *axes: int | Sizes, dims: Sizes | None = None) -> Tensor:
    """Return the tensor with its axes in the order `dims`: `permute(x, (1, 0))`.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2, 3, 4).permute(2, 0, 1).shape
    Size([4, 2, 3])
    """
    return ops.shape.transpose(input, axes=as_shape(axes, dims))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return the tensor with two axes exchanged.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2, 3).transpose(0, 1).shape
    Size([3, 2])
    """
    axes = list(range(input.ndim or 1))
    first, second = (normalize_dim(k, len(axes), "transpose") for k in (dim0, dim1))
    axes[first], axes[second] = axes[second], axes[first]
    return ops.shape.transpose(input, axes=tuple(axes[: input.ndim]))


@accepts_arrays("input")
def numel(input: Tensor) -> int:
    """Return the number of elements.

    >>> import tinygrad_fc as tg
    >>> tg.numel(tg.zeros(2, 3))
    6
    """
    return input.numel()


@accepts_arrays("input")
def t(input: Tensor) -> Tensor:
    """Return the transpose of a matrix; a vector or 0-d tensor unchanged.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2, 3).t().shape
    Size([3, 2])
    """
    check_shapes(input.ndim <= 2, "t", "at most 2 dimensions: use .mT or permute", input)
    return ops.shape.transpose(input, axes=(1, 0)) if input.ndim == 2 else input


@accepts_arrays("input")
def squeeze(input: Tensor, dim: Dim = None) -> Tensor:
    """Return the tensor without its axes of size 1; `dim` (one or several) restricts them.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(1, 2, 1).squeeze(0).shape
    Size([2, 1])
    """
    dims = range(input.ndim) if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
    dims = [normalize_dim(k, input.ndim or 1, "squeeze") for k in dims]
    return ops.shape.reshape(
        input, shape=tuple(n for k, n in enumerate(input.shape) if n != 1 or k not in dims)
    )


@accepts_arrays("input")
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Return the tensor with a new axis of size 1 at `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(3).unsqueeze(-1).shape
    Size([3, 1])
    """
    at = normalize_dim(dim, input.ndim + 1, "unsqueeze")
    return ops.shape.reshape(input, shape=(*input.shape[:at], 1, *input.shape[at:]))


@accepts_arrays("input")
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the tensor with the axes from `start_dim` to `end_dim` merged into one.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2, 3, 4).flatten(1).shape
    Size([2, 12])
    """
    first = normalize_dim(start_dim, input.ndim or 1, "flatten")
    last = normalize_dim(end_dim, input.ndim or 1, "flatten")
    check_argument(first <= last, "flatten", f"at most end_dim = {last}", start_dim=first)
    merged = math.prod(input.shape[first : last + 1])
    return ops.shape.reshape(input, shape=(*input.shape[:first], merged, *input.shape[last + 1 :]))


@accepts_arrays("input")
def expand(input: Tensor, *shape: Any) -> Tensor:
    """Return a view with axes of size 1 broadcast to the sizes of `shape`; -1 keeps a size.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(3, 1).expand(-1, 4).shape
    Size([3, 4])
    """
    sizes = as_shape(shape)
    extra = len(sizes) - input.ndim
    sizes = tuple(
        input.shape[k - extra] if n == -1 and k >= extra else n for k, n in enumerate(sizes)
    )
    return ops.shape.broadcast_to(input, shape=sizes)


@accepts_arrays("input")
def flip(input: Tensor, *axes: int | Sizes, dims: Sizes | None = None) -> Tensor:
    """Return the tensor with the order of elements along `dims` reversed: `flip(x, [0, 1])`.

    >>> import tinygrad_fc as tg
    >>> tg.flip(tg.arange(3), [0])
    tensor([2, 1, 0])
    """
    along = as_shape(axes, dims)
    if not input.ndim:
        return input.clone()
    return ops.shape.flip(input, axis=along)


@accepts_arrays("input")
def roll(input: Tensor, shifts: int | Sizes, dims: Dim = None) -> Tensor:
    """Return the tensor with elements shifted along `dims`; the last ones reappear at the front.

    Without `dims` the flattened tensor is shifted. Raises `ValueError` unless there are as many
    shifts as dims.

    >>> import tinygrad_fc as tg
    >>> tg.roll(tg.arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    steps, axes = as_shape((shifts,)), () if dims is None else as_shape((dims,))
    if not axes and len(steps) == 1:
        return roll(input.reshape(-1), steps, 0).reshape(input.shape)
    check_argument(len(axes) == len(steps), "roll", f"a shift for each of {axes}", shifts=steps)
    out = input
    for step, dim in zip(steps, axes, strict=True):
        along = normalize_dim(dim, input.ndim, "roll")
        n = input.shape[along]
        out = out[at_axis(along, (np.arange(n, like=like()) - step) % (n or 1))]
    return input.clone() if out is input else out


@accepts_arrays("input")
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Return the tensor with axes moved to new positions; the other axes keep their order.

    Raises `ShapeError` if `source` and `destination` differ in length, or name an axis twice.

    >>> import tinygrad_fc as tg
    >>> tg.movedim(tg.zeros(2, 3, 4), 0, -1).shape
    Size([3, 4, 2])
    """
    if not input.ndim:
        return input
    sizes = np.empty(range(input.ndim))  # which tell the axes apart; it has no elements
    return ops.shape.transpose(input, axes=np.moveaxis(sizes, source, destination).shape)


@accepts_arrays("input")
def ravel(input: Tensor) -> Tensor:
    """Return the elements as a vector: a view if they are contiguous in memory, else a copy.

    >>> import tinygrad_fc as tg
    >>> tg.ravel(tg.tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    return flatten(input.contiguous())


@accepts_arrays("input")
def unflatten(input: Tensor, dim: int, sizes: Sizes) -> Tensor:
    """Return the tensor with axis `dim` split into axes of `sizes`; one may be -1.

    Raises `ShapeError` unless their product is the size of the axis.

    >>> import tinygrad_fc as tg
    >>> tg.unflatten(tg.zeros(2, 6), 1, (3, -1)).shape
    Size([2, 3, 2])
    """
    at = normalize_dim(dim, input.ndim, "unflatten")
    parts, n = tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,), input.shape[at]
    known = math.prod(k for k in parts if k != -1)
    parts = tuple(n // (known or 1) if k == -1 else k for k in parts)
    fit = bool(parts) and math.prod(parts) == n and min(parts) >= 0
    check_shapes(fit, "unflatten", f"axis {at} to be the product of sizes {sizes}", input)
    return ops.shape.reshape(input, shape=(*input.shape[:at], *parts, *input.shape[at + 1 :]))


@accepts_arrays("input")
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return a diagonal of a matrix, or a matrix with a vector on a diagonal and zeros elsewhere.

    Diagonal 0 is the main one; positive numbers are above it. Raises `ShapeError` for more than 2
    dimensions.

    >>> import tinygrad_fc as tg
    >>> tg.diag(tg.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    diagonal = index(diagonal)
    check_shapes(input.ndim in (1, 2), "diag", "a vector (n,) or a matrix (n, m)", input)
    return diag_embed(input, diagonal) if input.ndim == 1 else _diagonal(input, diagonal).clone()


@accepts_arrays("input")
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return the diagonals of the matrices in two dims (..., n, m) as a last dim (..., k).

    `offset` is that of `diag`. The result is a view.

    >>> import tinygrad_fc as tg
    >>> tg.diagonal(tg.arange(6).reshape(2, 3), 1)
    tensor([1, 5])
    """
    matrices = movedim(input, (dim1, dim2), (-2, -1))
    return ops.shape.diagonal(matrices, offset=index(offset))


_diagonal = diagonal  # a parameter of `diag` has its name


@accepts_arrays("input")
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return matrices (..., n, n) with `input` (..., k) on a diagonal and zeros elsewhere.

    >>> import tinygrad_fc as tg
    >>> tg.diag_embed(tg.tensor([1.0, 2.0]), 1)
    tensor([[0., 1., 0.],
            [0., 0., 2.],
            [0., 0., 0.]])
    """
    k, n = np.arange(input.shape[-1], like=like()), input.shape[-1] + abs(offset)
    at = (..., k + max(-offset, 0), k + max(offset, 0))
    out = scatter_add(input, at=at, shape=(*input.shape[:-1], n, n))
    return movedim(out, (-2, -1), (dim1, dim2))


def _lower_triangle(input: Tensor, diagonal: int, what: str) -> Any:
    check_shapes(input.ndim >= 2, what, "matrices (..., n, m)", input)
    return np.tri(input.shape[-2], input.shape[-1], diagonal, dtype=bool)


@accepts_arrays("input")
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return a matrix (..., n, m) with zeros above a diagonal.

    >>> import tinygrad_fc as tg
    >>> tg.tril(tg.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return where(_lower_triangle(input, diagonal, "tril"), input, np.zeros((), input.dtype))


@accepts_arrays("input")
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return a matrix (..., n, m) with zeros below a diagonal.

    >>> import tinygrad_fc as tg
    >>> tg.triu(tg.ones(2, 2))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return where(_lower_triangle(input, diagonal - 1, "triu"), np.zeros((), input.dtype), input)


@accepts_arrays("input")
def broadcast_to(input: Tensor, size: Sizes) -> Tensor:
    """Return a view broadcast to the shape `size`; see `expand`.

    >>> import tinygrad_fc as tg
    >>> tg.broadcast_to(tg.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return expand(input, *as_shape((size,)))


@accepts_arrays(variadic=True)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return views of the tensors, expanded to the shape to which they broadcast.

    >>> import tinygrad_fc as tg
    >>> [t.tolist() for t in tg.broadcast_tensors(tg.tensor([1, 2]), tg.tensor(3))]
    [[1, 2], [3, 3]]
    """
    shape = np.broadcast_shapes(*(t.shape for t in tensors))
    return tuple(expand(t, *shape) for t in tensors)


@accepts_arrays("input", "other")
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Return a view broadcast to the shape of `other`; see `expand`.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(3, 1).expand_as(tg.zeros(2, 3, 4)).shape
    Size([2, 3, 4])
    """
    return expand(input, *other.shape)
