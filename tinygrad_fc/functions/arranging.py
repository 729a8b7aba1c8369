"""Axes and elements in another place, and parts put together, in PyTorch's spelling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.functions.shape import cat, flatten, sizes, wrapped
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import index as i
from tinygrad_fc.ops import shape as s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors side by side: vectors one after another, others along axis 1.

    >>> import tinygrad_fc as tg
    >>> tg.hstack([tg.zeros(2, 1), tg.ones(2, 2)])
    tensor([[0., 1., 1.],
            [0., 1., 1.]])
    """
    parts = [x if x.ndim else x.reshape(1) for x in tensors]
    return cat(parts, 0 if parts and parts[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors one below the other: along axis 0, vectors as rows.

    >>> import tinygrad_fc as tg
    >>> tg.vstack([tg.zeros(2), tg.ones(2)])
    tensor([[0., 0.],
            [1., 1.]])
    """
    return cat([x if x.ndim > 1 else x.reshape(1, -1) for x in tensors], 0)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Return the tensor with elements moved on, and the last ones brought to the front.

    Without `dims`, in the flattened tensor. Raises `ShapeError` where there are not as many shifts
    as dims.

    >>> import tinygrad_fc as tg
    >>> tg.roll(tg.arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    steps = sizes((shifts,))
    if dims is None or (isinstance(dims, tuple | list) and not dims):
        if len(steps) != 1:
            message = f"roll of the flattened tensor takes one shift, got {steps}"
            raise ShapeError(message)
        return s.reshape(roll(input.reshape(-1), steps[0], 0), shape=input.shape)
    axes = sizes((dims,))
    if len(axes) != len(steps):
        message = f"roll needs a shift for each dim, got {steps} for {axes}"
        raise ShapeError(message)
    for step, dim in zip(steps, axes, strict=True):
        along = wrapped(dim, input.ndim, "roll")
        before = (slice(None),) * along
        k = -step % (input.shape[along] or 1)
        if k:
            input = cat([input[(*before, slice(k, None))], input[(*before, slice(k))]], along)
    return input if any(steps) else input.clone()


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Return the tensor with axes moved to other places, the others in their order.

    Raises `ShapeError` where the two are not as many, or name an axis twice.

    >>> import tinygrad_fc as tg
    >>> tg.movedim(tg.zeros(2, 3, 4), 0, -1).shape
    (3, 4, 2)
    """
    old, new = (
        [wrapped(k, input.ndim or 1, "movedim") for k in sizes((v,))] for v in (source, destination)
    )
    if len(old) != len(new) or len(set(old)) != len(old) or len(set(new)) != len(new):
        message = (
            f"movedim needs a place for each axis, and no axis twice: {source} to {destination}"
        )
        raise ShapeError(message)
    if not input.ndim:
        return input
    order = [k for k in range(input.ndim) if k not in old]
    for place, axis in sorted(zip(new, old, strict=True)):
        order.insert(place, axis)
    return s.transpose(input, axes=tuple(order))


def ravel(input: Tensor) -> Tensor:
    """Return the elements as a vector.

    >>> import tinygrad_fc as tg
    >>> tg.ravel(tg.tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    return flatten(input)


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Return the tensor with axis `dim` made several, of `sizes`; one may be -1.

    Raises `ShapeError` where their product is not the size of the axis.

    >>> import tinygrad_fc as tg
    >>> tg.unflatten(tg.zeros(2, 6), 1, (3, -1)).shape
    (2, 3, 2)
    """
    at = wrapped(dim, input.ndim, "unflatten")
    parts, n = tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,), input.shape[at]
    known = math.prod(k for k in parts if k != -1)
    fits = parts.count(-1) == 1 and known and n % known == 0
    if not parts or not (fits or (-1 not in parts and known == n)) or min(parts) < -1:
        message = (
            f"unflatten: {parts} do not multiply to {n}, the size of axis {at} of {input.shape}"
        )
        raise ShapeError(message)
    parts = tuple(n // known if k == -1 else k for k in parts)
    return s.reshape(input, shape=(*input.shape[:at], *parts, *input.shape[at + 1 :]))


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return a diagonal of a matrix, or a matrix with a vector on a diagonal and zeros elsewhere.

    `diagonal` counts from the main one, up and to the right. Raises `ShapeError` for more
    dimensions.

    >>> import tinygrad_fc as tg
    >>> tg.diag(tg.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    if input.ndim not in (1, 2):
        message = f"diag needs a vector or a matrix, got shape {input.shape}"
        raise ShapeError(message)
    down, right = max(-diagonal, 0), max(diagonal, 0)
    if input.ndim == 1:
        n = input.shape[0]
        k = np.arange(n)
        return i.scatter(input, at=(k + down, k + right), shape=(n + abs(diagonal),) * 2)
    k = np.arange(max(min(input.shape[0] - down, input.shape[1] - right), 0))
    return input[k + down, k + right]


def _triangle(input: Tensor, diagonal: int, what: str) -> Any:
    if input.ndim < 2:
        message = f"{what} needs a matrix or a batch of them, got shape {input.shape}"
        raise ShapeError(message)
    n, m = input.shape[-2:]
    return np.tri(n, m, diagonal, dtype=bool)


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return a matrix (..., n, m) with zeros above a diagonal.

    >>> import tinygrad_fc as tg
    >>> tg.tril(tg.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]])
    """
    return e.where(_triangle(input, diagonal, "tril"), input, np.zeros((), input.dtype))


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return a matrix (..., n, m) with zeros below a diagonal.

    >>> import tinygrad_fc as tg
    >>> tg.triu(tg.ones(2, 2))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return e.where(_triangle(input, diagonal - 1, "triu"), np.zeros((), input.dtype), input)
