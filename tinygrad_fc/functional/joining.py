"""Joining, splitting and repeating, with PyTorch's names and parameters."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import ops
from tinygrad_fc.core.errors import check_argument, check_shapes
from tinygrad_fc.core.node import array_of, as_array, leaf_of, owner
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.arguments import accepts_arrays, as_shape, normalize_dim
from tinygrad_fc.ops.indexing import at_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.core.dtypes import Sizes
    from tinygrad_fc.tensors import Tensor

__all__ = ["cat", "chunk", "concat", "concatenate", "hstack", "meshgrid", "repeat_interleave"]
__all__ += ["split", "stack", "tile", "unbind", "vstack"]


@accepts_arrays(sequence="tensors")
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors joined along `dim`.

    Raises `ShapeError` if their other sizes differ, or for an empty list.

    >>> import tinygrad_fc as tg
    >>> tg.cat([tg.zeros(2, 3), tg.ones(1, 3)]).shape
    Size([3, 3])
    """
    shapes = [array_of(x).shape for x in tensors]
    sizes = [shape[normalize_dim(dim, len(shape), "cat")] for shape in shapes]
    return ops.shape.concatenate(*tensors, axis=dim, ends=tuple(itertools.accumulate(sizes)))


@accepts_arrays(sequence="tensors")
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return tensors of equal shape joined along a new axis `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.stack([tg.zeros(3), tg.ones(3)], dim=1).shape
    Size([3, 2])
    """
    return ops.shape.stack(*tensors, axis=dim)


@accepts_arrays("tensor")
def split(
    tensor: Tensor,
    split_size_or_sections: int | Sequence[int] = (),
    dim: int = 0,
    *,
    split_size: int | Sequence[int] = (),
) -> tuple[Tensor, ...]:
    """Return slices along `dim` of one size (the last may be smaller), or of the sizes in a list.

    `split_size` is the name of the first setting in the method of PyTorch.

    >>> import tinygrad_fc as tg
    >>> [part.tolist() for part in tg.arange(5).split(2)]
    [[0, 1], [2, 3], [4]]
    """
    dim = normalize_dim(dim, tensor.ndim, "split")
    n, sizes = tensor.shape[dim], split_size_or_sections or split_size
    if isinstance(sizes, int | np.integer):
        check_argument(sizes > 0 or (sizes == n == 0), "split", "a positive size", size=sizes)
        ends = [*range(0, n, sizes), n] if n else [0, 0]
    else:
        ends = [*itertools.accumulate(map(int, sizes), initial=0)]
        fit = ends[-1] == n and ends == sorted(ends)
        check_shapes(fit, "split", f"sizes {sizes} that add up to axis {dim}", tensor)
    return tuple(tensor[at_axis(dim, slice(*part))] for part in itertools.pairwise(ends))


@accepts_arrays("input")
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return at most `chunks` slices of equal size along `dim`; the last may be smaller.

    >>> import tinygrad_fc as tg
    >>> [part.tolist() for part in tg.arange(5).chunk(2)]
    [[0, 1, 2], [3, 4]]
    """
    check_argument(chunks > 0, "chunk", "at least 1", chunks=chunks)
    n = input.shape[normalize_dim(dim, input.ndim, "chunk")]
    return split(input, -(-n // chunks) if n else [0] * chunks, dim)


@accepts_arrays("input")
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the slices along `dim`, without that axis.

    >>> import tinygrad_fc as tg
    >>> tg.unbind(tg.tensor([1.0, 2.0]))
    (tensor(1.), tensor(2.))
    """
    dim = normalize_dim(dim, input.ndim, "unbind")
    return tuple(input[at_axis(dim, k)] for k in range(input.shape[dim]))


@accepts_arrays(sequence="tensors")
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors joined along axis 1; vectors along axis 0.

    >>> import tinygrad_fc as tg
    >>> tg.hstack([tg.zeros(2, 1), tg.ones(2, 2)])
    tensor([[0., 1., 1.],
            [0., 1., 1.]])
    """
    parts = [x if x.ndim else x.reshape(1) for x in tensors]
    return cat(parts, 0 if parts and parts[0].ndim == 1 else 1)


@accepts_arrays(sequence="tensors")
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors joined along axis 0; a vector is one row.

    >>> import tinygrad_fc as tg
    >>> tg.vstack([tg.zeros(2), tg.ones(2)])
    tensor([[0., 0.],
            [1., 1.]])
    """
    return cat([x if x.ndim > 1 else x.reshape(1, -1) for x in tensors], 0)


@accepts_arrays("input")
def repeat(input: Tensor, *times: Any, repeats: Any = None) -> Tensor:
    """Return copies of the tensor joined along each axis, their number per axis: `x.repeat(2, 3)`.

    Additional numbers add axes at the front. Raises `ShapeError` for fewer numbers than axes.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    counts = as_shape(times, repeats)
    fit = len(counts) >= input.ndim and min(counts, default=0) >= 0
    check_shapes(fit, "repeat", f"at most as many axes as numbers >= 0, {counts}", input)
    shape = (1,) * (len(counts) - input.ndim) + input.shape
    # An axis of size 1 is inserted before each axis, broadcast, and merged with it.
    inserted = tuple(m for n in shape for m in (1, n))
    wide = tuple(m for k, n in zip(counts, shape, strict=True) for m in (k, n))
    merged = tuple(k * n for k, n in zip(counts, shape, strict=True))
    wider = ops.shape.broadcast_to(ops.shape.reshape(input, shape=inserted), shape=wide)
    out = ops.shape.reshape(wider, shape=merged)
    return out.clone() if owner(array_of(out)) is owner(array_of(input)) else out


@accepts_arrays("input")
def tile(input: Tensor, *times: int | Sizes, dims: Sizes | None = None) -> Tensor:
    """Return `repeat` with 1 in front of `dims` if they are fewer than the axes.

    >>> import tinygrad_fc as tg
    >>> tg.tile(tg.tensor([[1], [2]]), (2,))
    tensor([[1, 1],
            [2, 2]])
    """
    counts = as_shape(times, dims)
    return repeat(input, *(1,) * (input.ndim - len(counts)), *counts)


@accepts_arrays("input")
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Return each element (or slice along `dim`) `repeats` times in a row.

    `repeats` is a number, or one number per element. Without `dim` the tensor is flattened.
    `repeat_interleave(repeats)` repeats the indices; `output_size` has no effect. Raises
    `ShapeError` for another number of `repeats`.

    >>> import tinygrad_fc as tg
    >>> tg.repeat_interleave(tg.tensor([5, 6]), tg.tensor([1, 2]))
    tensor([5, 6, 6])
    """
    if repeats is None:
        return repeat_interleave(leaf_of(np.arange(input.numel(), like=like())), input, 0)
    x, along = (input.reshape(-1), 0) if dim is None else (input, dim)
    x = x if x.ndim else x.reshape(1)
    along = normalize_dim(along, x.ndim, "repeat_interleave")
    at = np.repeat(np.arange(x.shape[along], like=like()), as_array(repeats))
    return x[at_axis(along, at)]


@accepts_arrays(variadic=True)
def meshgrid(*tensors: Tensor | Sequence[Tensor], indexing: str = "ij") -> tuple[Tensor, ...]:
    """Return the coordinates of a grid: tensors (n, m, ...) for vectors (n,), (m,), ...

    With `indexing="xy"` the first two axes are exchanged, as for plots.

    >>> import tinygrad_fc as tg
    >>> rows, columns = tg.meshgrid(tg.arange(2), tg.arange(3))
    >>> columns
    tensor([[0, 1, 2],
            [0, 1, 2]])
    """
    # PyTorch also accepts one list of vectors.
    vectors: Any = tensors[0] if tensors and isinstance(tensors[0], tuple | list) else tensors
    check_argument(indexing in ("ij", "xy"), "meshgrid", ("ij", "xy"), indexing=indexing)
    shape = tuple(v.numel() for v in vectors)
    grid = [
        ops.shape.broadcast_to(v[(..., *(None,) * (len(shape) - k - 1))], shape=shape)
        for k, v in enumerate(vectors)
    ]
    swapped = indexing == "xy" and len(shape) > 1
    return tuple(x.transpose(0, 1) for x in grid) if swapped else tuple(grid)


concat = concatenate = cat
