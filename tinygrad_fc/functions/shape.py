"""Shapes, order and company in PyTorch's spelling."""

from __future__ import annotations

import math
from operator import index as whole
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import DtypeError, GraphError, RangeError, ShapeError
from tinygrad_fc.graph import Node, wrap
from tinygrad_fc.ops import shape as s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor


def sizes(given: tuple[Any, ...]) -> tuple[int, ...]:
    """Return a shape that was given as whole numbers or as one sequence of them."""
    try:
        if len(given) == 1 and not hasattr(given[0], "__index__"):
            given = tuple(given[0])
        return tuple(whole(n) for n in given)
    except TypeError as error:
        message = f"sizes, dims and shifts are whole numbers or a tuple of them, got {given!r:.60}"
        raise DtypeError(message) from error


def wrapped(dim: int, ndim: int, what: str) -> int:
    """Return `dim` counted from the front; raise `RangeError` where there is no such axis."""
    if not hasattr(dim, "__index__"):
        message = f"{what}: dim is one whole number, got {dim!r:.60}"
        raise DtypeError(message)
    if not -ndim <= dim < ndim:
        message = (
            f"{what}: dim {dim} is out of range, a tensor of {ndim} dimensions has {-ndim} to "
            f"{ndim - 1}"
        )
        raise RangeError(message)
    return dim % ndim


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """Return the same elements in another shape; one size may be -1, which is then found.

    Raises `ShapeError` where the counts of elements differ.

    >>> import tinygrad_fc as tg
    >>> tg.arange(6).reshape(2, -1).shape
    (2, 3)
    """
    return s.reshape(input, shape=sizes(shape))


def view(input: Tensor, *shape: Any) -> Tensor:
    """Return the same memory in another shape, or, for a dtype, its bits read as that dtype.

    Raises `ShapeError` where `reshape` would have to copy, since the order of the axes is another
    than that of the memory; and `GraphError` for the bits of a tensor that requires grad.

    >>> import tinygrad_fc as tg
    >>> tg.arange(6).view(3, 2).shape
    (3, 2)
    """
    if len(shape) == 1 and isinstance(shape[0], np.dtype | type):
        if input.requires_grad:
            message = (
                "the bits of a tensor have no gradient: use x.detach().view(dtype), or x.to(dtype)"
            )
            raise GraphError(message)
        return wrap(input._array.view(shape[0]))
    out = reshape(input, *shape)
    if input.numel() and not np.may_share_memory(out._array, input._array):
        message = (
            f"view cannot read a tensor {input.shape} as {out.shape} without a copy, since its "
            "axes lie in memory in another order: use reshape"
        )
        raise ShapeError(message)
    return out


def permute(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """Return the tensor with its axes in the order `dims`: `permute(x, (1, 0))`.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2, 3, 4).permute(2, 0, 1).shape
    (4, 2, 3)
    """
    return s.transpose(input, axes=sizes(axes if dims is None else (dims,)))


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return the tensor with two axes exchanged.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2, 3).transpose(0, 1).shape
    (3, 2)
    """
    return s.swapaxes(input, axis1=dim0, axis2=dim1)


def numel(input: Tensor) -> int:
    """Return how many elements a tensor has.

    >>> import tinygrad_fc as tg
    >>> tg.numel(tg.zeros(2, 3))
    6
    """
    return input.numel()


def t(input: Tensor) -> Tensor:
    """Return the transposed matrix; a vector or 0-d tensor as it is.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2, 3).t().shape
    (3, 2)
    """
    if input.ndim > 2:
        message = f"t() is for at most 2 dimensions, got shape {input.shape}: use .mT or permute"
        raise ShapeError(message)
    return s.swapaxes(input, axis1=0, axis2=1) if input.ndim == 2 else input


def squeeze(input: Tensor, dim: Any = None, *, axis: Any = None) -> Tensor:
    """Return the tensor without its axes of size 1, or without those of them that `dim` names.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(1, 2, 1).squeeze(0).shape
    (2, 1)
    """
    dim = dim if axis is None else axis
    gone = range(input.ndim) if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
    gone = [wrapped(k, input.ndim or 1, "squeeze") for k in gone]
    return s.reshape(
        input, shape=tuple(n for k, n in enumerate(input.shape) if n != 1 or k not in gone)
    )


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Return the tensor with a new axis of size 1 at `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(3).unsqueeze(-1).shape
    (3, 1)
    """
    at = wrapped(dim, input.ndim + 1, "unsqueeze")
    return s.reshape(input, shape=(*input.shape[:at], 1, *input.shape[at:]))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the tensor with the axes from `start_dim` to `end_dim` made one.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2, 3, 4).flatten(1).shape
    (2, 12)
    """
    first = wrapped(start_dim, input.ndim or 1, "flatten")
    last = wrapped(end_dim, input.ndim or 1, "flatten")
    if first > last:
        message = f"flatten: start_dim {start_dim} comes after end_dim {end_dim}"
        raise ShapeError(message)
    shape = input.shape
    whole = math.prod(shape[first : last + 1])
    return s.reshape(input, shape=(*shape[:first], whole, *shape[last + 1 :]))


def expand(input: Tensor, *shape: Any) -> Tensor:
    """Return the tensor repeated, without a copy, along axes of size 1; -1 keeps a size.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(3, 1).expand(-1, 4).shape
    (3, 4)
    """
    wanted = sizes(shape)
    extra = len(wanted) - input.ndim
    kept = tuple(
        input.shape[k - extra] if n == -1 and k >= extra else n for k, n in enumerate(wanted)
    )
    return s.broadcast_to(input, shape=kept)


def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Return the tensors one after another along `dim`.

    Raises `ShapeError` where their other sizes differ, and `ValueError` for none.

    >>> import tinygrad_fc as tg
    >>> tg.cat([tg.zeros(2, 3), tg.ones(1, 3)]).shape
    (3, 3)
    """
    parts = tuple(tensors)
    if not parts:
        message = "cat needs at least one tensor, got none"
        raise ShapeError(message)
    dim = dim if axis is None else axis
    ends, end = [], 0
    for part in parts:
        shape = np.shape(part._array if isinstance(part, Node) else part)
        end += shape[wrapped(dim, len(shape), "cat")]
        ends.append(end)
    return s.concatenate(*parts, axis=dim, ends=tuple(ends))


def stack(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Return tensors of one shape side by side along a new axis `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.stack([tg.zeros(3), tg.ones(3)], dim=1).shape
    (3, 2)
    """
    parts = tuple(tensors)
    if not parts:
        message = "stack needs at least one tensor, got none"
        raise ShapeError(message)
    return s.stack(*parts, axis=dim if axis is None else axis)


def split(
    tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Return slices of a given size, the last one maybe smaller, or of given sizes, along `dim`.

    >>> import tinygrad_fc as tg
    >>> [part.tolist() for part in tg.arange(5).split(2)]
    [[0, 1], [2, 3], [4]]
    """
    dim = wrapped(dim, tensor.ndim, "split")
    n = tensor.shape[dim]
    if isinstance(split_size_or_sections, int | np.integer):
        size = int(split_size_or_sections)
        if size < 0 or (size == 0 and n):
            message = f"split needs a positive size, got {size}"
            raise ShapeError(message)
        counts = [size] * (n // size) + [n % size] * (n % size > 0) if n else [0]
    else:
        counts = [int(k) for k in split_size_or_sections]
        if math.fsum(counts) != n or any(k < 0 for k in counts):
            message = f"split sizes {counts} must add up to {n}, the size of axis {dim}"
            raise ShapeError(message)
    parts, start = [], 0
    for k in counts:
        parts.append(tensor[(slice(None),) * dim + (slice(start, start + k),)])
        start += k
    return tuple(parts)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return at most `chunks` slices of equal size, the last one maybe smaller, along `dim`.

    >>> import tinygrad_fc as tg
    >>> [part.tolist() for part in tg.arange(5).chunk(2)]
    [[0, 1, 2], [3, 4]]
    """
    if chunks < 1:
        message = f"chunk needs a positive number of chunks, got {chunks}"
        raise ShapeError(message)
    n = input.shape[wrapped(dim, input.ndim, "chunk")]
    return split(input, -(-n // chunks) if n else [0] * chunks, dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the slices along `dim`, without that axis.

    >>> import tinygrad_fc as tg
    >>> tg.unbind(tg.tensor([1.0, 2.0]))
    (tensor(1.), tensor(2.))
    """
    dim = wrapped(dim, input.ndim, "unbind")
    return tuple(input[(slice(None),) * dim + (k,)] for k in range(input.shape[dim]))


def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """Return the tensor with the order of elements along `dims` reversed: `flip(x, [0, 1])`.

    >>> import tinygrad_fc as tg
    >>> tg.flip(tg.arange(3), [0])
    tensor([2, 1, 0])
    """
    return s.flip(input, axis=sizes(axes if dims is None else (dims,)))
