"""Order, and what is found by it, in PyTorch's spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import RangeError, ShapeError
from tinygrad_fc.functions.indexing import gather, plain
from tinygrad_fc.functions.reduction import ValuesIndices, over
from tinygrad_fc.functions.shape import wrapped
from tinygrad_fc.graph import wrap
from tinygrad_fc.ops import constant
from tinygrad_fc.ops import index as i
from tinygrad_fc.ops import reduce as r

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> ValuesIndices:
    """Return the elements in order along `dim`, and where they were; equal ones keep their order.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([3.0, 1.0, 2.0]).sort().indices
    tensor([1, 2, 0])
    """
    del stable  # it always is
    at = argsort(input, dim, descending)
    return ValuesIndices(gather(input, dim, at) if input.ndim else input, at)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return the indices that sort along `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([3.0, 1.0, 2.0]).argsort(descending=True)
    tensor([0, 2, 1])
    """
    del stable
    dim = wrapped(dim, input.ndim or 1, "sort")
    if not input.ndim:
        return constant.argmax(input)
    return constant.argsort(input, axis=dim, descending=bool(descending))


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """Return the `k` largest (or smallest) elements along `dim` in order, and where they were.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([3.0, 1.0, 2.0]).topk(2).values
    tensor([3., 2.])
    """
    del sorted  # they always are
    axis = wrapped(dim, input.ndim or 1, "topk")
    if not 0 <= k <= (input.shape or (1,))[axis]:
        message = f"topk: k = {k} is out of range for axis {dim} of shape {input.shape}"
        raise ShapeError(message)
    at = argsort(input, dim, descending=largest)
    if input.ndim:
        at = at[(slice(None),) * axis + (slice(k),)]
    return ValuesIndices(gather(input, dim, at) if input.ndim else input, at)


def median(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Any:
    """Return the median, the lower of two; over a `dim`, a pair of values and indices.

    Of the whole, equal elements share the gradient evenly; over a `dim` it goes to the chosen
    index. Where there is a NaN, it is the median. Raises `ShapeError` over no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0, 4.0, 2.0]]).median(dim=1)
    ValuesIndices(values=tensor([2.]), indices=tensor([3]))
    """
    if dim is None and axis is None:
        if not input.numel():
            return input.sum() * np.nan
        return r.median(input, axis=None, keepdims=bool(keepdims))
    one: Any = dim if axis is None else axis
    along = wrapped(one, input.ndim or 1, "median")
    settings = over(dim, keepdim, axis, keepdims)
    if not input.ndim:
        return ValuesIndices(input, constant.argmax(input))
    n = input.shape[along]
    if not n:
        message = f"median over axis {along} of a tensor {input.shape} has no elements to choose"
        raise ShapeError(message)
    ordered = plain(argsort(input, along))
    middle = ordered.take([(n - 1) // 2], along)
    if input.dtype.kind == "f":
        missing = np.isnan(input._array)
        some = missing.any(along, keepdims=True)
        middle = np.where(some, missing.argmax(along, keepdims=True), middle)
    values, at = i.gather(input, middle, axis=along), wrap(middle)
    if not settings["keepdims"]:
        values, at = values.squeeze(along), at.squeeze(along)
    return ValuesIndices(values, at)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Return the elements (or slices along `dim`) without repeats, in order.

    With `return_inverse` also where each element is among them, with `return_counts` how often.
    A gradient goes to the first of equal elements.

    >>> import tinygrad_fc as tg
    >>> tg.unique(tg.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    del sorted  # they always are
    if dim is not None:
        dim = wrapped(dim, input.ndim, "unique")
    _, first, inverse, counts = np.unique(
        input._array,
        return_index=True,
        return_inverse=True,
        return_counts=True,
        axis=dim,
        equal_nan=False,
    )
    flat = input.reshape(-1) if dim is None else input
    values = flat[(slice(None),) * (dim or 0) + (first,)]
    shape = input.shape if dim is None else (input.shape[dim],)
    more = [wrap(inverse.reshape(shape))] * return_inverse + [wrap(counts)] * return_counts
    return (values, *more) if more else values


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Return how often each whole number from 0 on stands in a vector, or the sum of its weights.

    Gradients flow to the `weights` (k,). Raises `ShapeError` for what is no vector of whole numbers
    from 0 on.

    >>> import tinygrad_fc as tg
    >>> tg.bincount(tg.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    at = np.array(plain(input))
    if at.ndim != 1 or at.dtype.kind not in "iu" or (at.size and at.min() < 0) or minlength < 0:
        message = (
            f"bincount needs a vector of whole numbers from 0 on, and minlength >= 0; got "
            f"{at.dtype} of shape {at.shape} and minlength {minlength}"
        )
        raise ShapeError(message)
    if weights is None:
        return wrap(np.bincount(at, minlength=minlength))
    if weights.shape != at.shape:
        message = f"bincount needs a weight for each number: {weights.shape} for {at.shape}"
        raise ShapeError(message)
    weights = weights if weights.dtype == np.float32 else weights.to(np.float64)
    most = int(at.max()) + 1 if at.size else 0
    return i.scatter(weights, at=at, shape=(max(most, minlength),))


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Any:
    """Return where in a row in order each of `input` would stand, before equal ones (or after).

    `sorted_sequence` (n,) for `input` of any shape, or (..., n) for (..., k). `right=True` and
    `side="right"` are the same; `sorter` gives the order of a sequence that has none.
    Raises `ShapeError` where the rows differ.

    >>> import tinygrad_fc as tg
    >>> tg.searchsorted(tg.tensor([1.0, 3.0, 5.0]), tg.tensor([3.0, 6.0]))
    tensor([1, 3])
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        message = f'searchsorted: side is "left" or "right", got {side!r} with right={right}'
        raise ShapeError(message)
    rows, wanted = plain(sorted_sequence), plain(input)
    if sorter is not None:
        order = plain(sorter)
        if order.shape != rows.shape or order.dtype.kind not in "iu":
            message = f"searchsorted: a sorter of {rows.shape} whole numbers, got {order.shape}"
            raise ShapeError(message)
        if order.size and not 0 <= order.min() <= order.max() < rows.shape[-1]:
            message = f"searchsorted: the sorter has numbers outside 0 to {rows.shape[-1] - 1}"
            raise RangeError(message)
        rows = np.take_along_axis(rows, order, -1)
    where = "right" if right or side == "right" else "left"
    if rows.ndim == 1:
        found = np.asarray(rows.searchsorted(wanted, where))
    elif rows.ndim and rows.shape[:-1] == wanted.shape[:-1]:
        found = np.empty(wanted.shape, np.int64)
        for k in np.ndindex(rows.shape[:-1]):
            found[k] = rows[k].searchsorted(wanted[k], where)
    else:
        message = (
            f"searchsorted needs one row, or a row for each of the rows of values: got "
            f"{rows.shape} for {wanted.shape}"
        )
        raise ShapeError(message)
    return wrap(found.astype(np.int32 if out_int32 else np.int64))
