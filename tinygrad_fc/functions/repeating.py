"""Tensors repeated, with or without a copy, in PyTorch's spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.functions.indexing import plain
from tinygrad_fc.functions.shape import expand, sizes, wrapped
from tinygrad_fc.graph import wrap
from tinygrad_fc.ops import shape as s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """Return the tensor repeated, without a copy, to the shape `size`; see `expand`.

    >>> import tinygrad_fc as tg
    >>> tg.broadcast_to(tg.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return expand(input, *sizes((size,)))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the tensor repeated, without a copy, to the shape of `other`.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(3, 1).expand_as(tg.zeros(2, 3, 4)).shape
    (2, 3, 4)
    """
    return expand(input, *other.shape)


def repeat(input: Tensor, *times: Any, repeats: Any = None) -> Tensor:
    """Return the tensor repeated as a whole so many times along each axis: `x.repeat(2, 3)`.

    Raises `ShapeError` for fewer numbers than it has axes; more repeat it along new ones.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    counts = sizes(times if repeats is None else (repeats,))
    if len(counts) < input.ndim or any(k < 0 for k in counts):
        message = (
            f"repeat needs a number from 0 on for each axis of a tensor {input.shape}, got {counts}"
        )
        raise ShapeError(message)
    shape = (1,) * (len(counts) - input.ndim) + input.shape
    # Each axis beside a new one, which is repeated and then made one with it.
    apart = tuple(m for n in shape for m in (1, n))
    wide = tuple(m for k, n in zip(counts, shape, strict=True) for m in (k, n))
    whole = tuple(k * n for k, n in zip(counts, shape, strict=True))
    return s.reshape(s.broadcast_to(s.reshape(input, shape=apart), shape=wide), shape=whole)


def tile(input: Tensor, *times: Any, dims: Any = None) -> Tensor:
    """Return the tensor repeated as a whole, along its last axes where `dims` are fewer.

    >>> import tinygrad_fc as tg
    >>> tg.tile(tg.tensor([[1], [2]]), (2,))
    tensor([[1, 1],
            [2, 2]])
    """
    counts = sizes(times if dims is None else (dims,))
    return repeat(input, *(1,) * (input.ndim - len(counts)), *counts)


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Return each element, or slice along `dim`, so many times: one number, or each its own.

    Without `dim` the tensor is flattened; without `repeats` it holds these, and its places are
    repeated. Raises `ShapeError` for counts that do not fit.

    >>> import tinygrad_fc as tg
    >>> tg.repeat_interleave(tg.tensor([5, 6]), tg.tensor([1, 2]))
    tensor([5, 6, 6])
    """
    if repeats is None:
        places: Tensor = wrap(np.arange(input.numel()))
        return repeat_interleave(places, input, 0, output_size=output_size)
    x, along = (input.reshape(-1), 0) if dim is None else (input, dim)
    x = x if x.ndim else x.reshape(1)
    along = wrapped(along, x.ndim, "repeat_interleave")
    n, counts = x.shape[along], np.array(plain(repeats))
    if (
        counts.dtype.kind not in "iu"
        or counts.ndim > 1
        or counts.size not in (1, n)
        or (counts < 0).any()
    ):
        message = (
            f"repeat_interleave needs one whole number from 0 on, or {n}, one for each along axis "
            f"{along}; got {counts.dtype} of shape {counts.shape}"
        )
        raise ShapeError(message)
    at = np.repeat(np.arange(n), counts.reshape(-1) if counts.size != 1 else int(counts.item()))
    if output_size is not None and output_size != at.size:
        message = f"repeat_interleave makes {at.size} of them, not the {output_size} that were told"
        raise ShapeError(message)
    return x[(slice(None),) * along + (at,)]


def meshgrid(*tensors: Tensor | Sequence[Tensor], indexing: str = "ij") -> tuple[Tensor, ...]:
    """Return the coordinates of a grid: for vectors (n,), (m,), ... tensors (n, m, ...).

    With `indexing="xy"` the first two axes are exchanged, as plotting has them. Raises
    `ShapeError` for more than vectors.

    >>> import tinygrad_fc as tg
    >>> rows, columns = tg.meshgrid(tg.arange(2), tg.arange(3))
    >>> columns
    tensor([[0, 1, 2],
            [0, 1, 2]])
    """
    # PyTorch takes one list of them as well.
    vectors: Any = tensors[0] if tensors and isinstance(tensors[0], tuple | list) else tensors
    if not vectors or any(v.ndim > 1 for v in vectors) or indexing not in ("ij", "xy"):
        message = (
            'meshgrid needs vectors, and indexing "ij" or "xy"; got shapes '
            f"{[v.shape for v in vectors]} and {indexing!r}"
        )
        raise ShapeError(message)
    count = len(vectors)
    places = list(range(count))
    if indexing == "xy" and count > 1:
        places[:2] = 1, 0
    shape = [1] * count
    for k, v in zip(places, vectors, strict=True):
        shape[k] = v.numel()
    return tuple(
        s.broadcast_to(
            s.reshape(v, shape=tuple(-1 if j == k else 1 for j in range(count))), shape=tuple(shape)
        )
        for k, v in zip(places, vectors, strict=True)
    )
