"""Sorting, searching and counting, with PyTorch's names and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc import ops
from tinygrad_fc.core.errors import check_argument, check_shapes
from tinygrad_fc.core.node import array_of, as_array, leaf_of
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.arguments import accepts_arrays, normalize_dim
from tinygrad_fc.functional.indexing import ValuesIndices, gather
from tinygrad_fc.ops.indexing import at_axis

if TYPE_CHECKING:
    import numpy.typing as npt

    from tinygrad_fc.tensors import Tensor

__all__ = ["argsort", "bincount", "bucketize", "histogram", "searchsorted", "sort", "topk"]
__all__ += ["unique"]


@accepts_arrays("input")
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> ValuesIndices:
    """Return the elements sorted along `dim`, and their indices; equal elements keep their order.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([3.0, 1.0, 2.0]).sort().indices
    tensor([1, 2, 0])
    """
    at = argsort(input, dim, descending)
    return ValuesIndices(gather(input, dim, at) if input.ndim else input.clone(), at)


@accepts_arrays("input")
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return the indices that sort `input` along `dim`; equal elements keep their order.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([3.0, 1.0, 2.0]).argsort(descending=True)
    tensor([0, 2, 1])
    """
    dim = normalize_dim(dim, input.ndim or 1, "sort")
    if not input.ndim:
        return ops.comparison.argmax(input)
    return ops.comparison.argsort(input, axis=dim, descending=bool(descending))


PARTITIONED = 8
"""`topk` selects the largest elements before it sorts them if `k` is at most n // PARTITIONED."""


@accepts_arrays("input")
def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """Return the `k` largest (or smallest) elements along `dim`, sorted, and their indices.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([3.0, 1.0, 2.0]).topk(2).values
    tensor([3., 2.])
    """
    axis = normalize_dim(dim, input.ndim or 1, "topk")
    fit = 0 <= k <= (input.shape or (1,))[axis]
    check_shapes(fit, "topk", f"at least k = {k} elements along axis {dim}", input)
    if not input.ndim:
        return ValuesIndices(input.clone(), argsort(input, dim))
    array, n = array_of(input), input.shape[axis]
    if array.__class__ is np.ndarray and 0 < k <= n // PARTITIONED:
        part = slice(n - k, None) if largest else slice(k)
        kth = np.argpartition(array, n - k if largest else k - 1, axis=axis)
        chosen = leaf_of(np.sort(kth[at_axis(axis, part)], axis=axis))
        at = gather(chosen, dim, argsort(gather(leaf_of(array), dim, chosen), dim, largest))
    else:
        at = argsort(input, dim, largest)[at_axis(axis, slice(k))]
    return ValuesIndices(gather(input, dim, at), at)


@accepts_arrays("input")
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Return the distinct elements (or slices along `dim`), sorted.

    `return_inverse` adds the index of each element among them, `return_counts` the number of its
    occurrences. The first of equal elements gets the gradient.

    >>> import tinygrad_fc as tg
    >>> tg.unique(tg.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    if dim is not None:
        dim = normalize_dim(dim, input.ndim, "unique")
    parts: Any = dict.fromkeys(("return_index", "return_inverse", "return_counts"), True)
    _, first, inverse, counts = np.unique(array_of(input), axis=dim, equal_nan=False, **parts)
    flat = input.reshape(-1) if dim is None else input
    values = flat[at_axis(dim or 0, first)]
    shape = input.shape if dim is None else (input.shape[dim],)
    extra = [leaf_of(inverse.reshape(shape))] * return_inverse + [leaf_of(counts)] * return_counts
    return (values, *extra) if extra else values


@accepts_arrays("input")
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Return how often each of 0, 1, ... occurs in `input` (k,), or the sum of its weights.

    Gradients flow to `weights` (k,). Raises `ShapeError` for a negative integer.

    >>> import tinygrad_fc as tg
    >>> tg.bincount(tg.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    at = np.array(as_array(input), like=like())
    counts = np.bincount(at, minlength=minlength)
    if weights is None:
        return leaf_of(counts)
    check_shapes(weights.shape == at.shape, "bincount", f"weights of shape {at.shape}", weights)
    weights = weights if weights.dtype == np.float32 else weights.to(np.float64)
    return ops.indexing.scatter_add(weights, at=at, shape=counts.shape)


class Histogram(NamedTuple):
    """Counts or densities (bins,), and the edges (bins + 1,) of the bins."""

    hist: Any
    bin_edges: Any


@accepts_arrays("input")
def histogram(
    input: Tensor, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False
) -> Histogram:
    """Return how many elements lie in each bin, or with `density` a density of integral 1.

    `bins` is a number of bins of equal width in `range`, (low, high), by default the range of the
    elements, or the increasing edges. Only the last bin includes its upper edge. `weight` has the
    shape of `input`: an element counts as its weight. The result never requires grad.

    >>> import tinygrad_fc as tg
    >>> tg.histogram(tg.tensor([1.0, 2.0, 1.0]), bins=2, range=(0.0, 2.0)).hist
    tensor([0., 3.])
    """
    x, weights = as_array(input), None if weight is None else as_array(weight)
    options: dict[str, Any] = {"range": range, "density": density, "weights": weights}
    arrays = np.histogram(x, as_array(bins), **options)
    return Histogram(*(leaf_of(a.astype(np.result_type(x, np.float32))) for a in arrays))


@accepts_arrays("sorted_sequence")
def searchsorted(
    sorted_sequence: Tensor,
    input: npt.ArrayLike,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Return the indices at which `input` would be inserted to keep a sequence sorted.

    `sorted_sequence` is (n,) for `input` of any shape, or (..., n) for (..., k). The index is
    before equal elements, or after them with `right=True` or `side="right"`. `sorter` holds the
    indices that sort the sequence. Raises `ShapeError` for other shapes.

    >>> import tinygrad_fc as tg
    >>> tg.searchsorted(tg.tensor([1.0, 3.0, 5.0]), tg.tensor([3.0, 6.0]))
    tensor([1, 3])
    """
    check_argument(not (right and side == "left"), "searchsorted", '"right" or None', side=side)
    rows, values = as_array(sorted_sequence), as_array(input)
    if sorter is not None:
        rows = np.take_along_axis(rows, as_array(sorter), -1)
    where: Any = side or ("right" if right else "left")
    fit = rows.ndim == 1 or (rows.ndim > 1 and rows.shape[:-1] == values.shape[:-1])
    check_shapes(fit, "searchsorted", "a sequence (n,), or (..., n) and (..., k)", rows, values)
    indices = np.empty(values.shape, np.int64)
    for k in np.ndindex(rows.shape[:-1]):
        indices[k] = rows[k].searchsorted(values[k], where)
    return leaf_of(indices.astype(np.int32 if out_int32 else np.int64))


@accepts_arrays("boundaries")
def bucketize(
    input: npt.ArrayLike, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Return the bucket of each element between sorted `boundaries` (n,): 0 to n.

    A boundary belongs to the bucket before it, or to the one after it with `right=True`.

    >>> import tinygrad_fc as tg
    >>> tg.bucketize(tg.tensor([0.5, 1.0, 9.0]), tg.tensor([1.0, 2.0]))
    tensor([0, 0, 2])
    """
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
