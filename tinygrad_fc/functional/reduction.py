"""Reductions that are compositions of ops: with indices, of two results, quantiles.

NumPy's `axis` and `keepdims` are accepted in place of `dim` and `keepdim`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.errors import RangeError, check_argument, check_shapes
from tinygrad_fc.core.node import Node, as_array, leaf_of
from tinygrad_fc.functional.arguments import accepts_arrays, normalize_dim
from tinygrad_fc.functional.indexing import ValuesIndices, values_at
from tinygrad_fc.functional.joining import cat
from tinygrad_fc.functional.shape import movedim
from tinygrad_fc.functional.sorting import argsort, sort
from tinygrad_fc.ops import reduce
from tinygrad_fc.ops.comparison import argmax, argmin
from tinygrad_fc.ops.elementwise import lerp, maximum, minimum, where
from tinygrad_fc.ops.indexing import at_axis
from tinygrad_fc.ops.reduce import amax, amin, mean, var
from tinygrad_fc.ops.shape import reshape

if TYPE_CHECKING:
    import numpy.typing as npt

    from tinygrad_fc.core.op import Dim
    from tinygrad_fc.tensors import Tensor

__all__ = ["cummax", "diff", "kthvalue", "max", "median", "min", "nanmean", "quantile", "var_mean"]


def _extreme(input: Tensor, dim: Any, keepdim: bool, reduce: Any, index: Any, pair: Any) -> Any:
    if dim is None:
        return reduce(input, None, keepdim)
    if isinstance(dim, Node | np.ndarray):
        return pair(input, dim)
    return values_at(input, dim, keepdim, index(input, dim, True))


@accepts_arrays("input")
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the largest element; with `dim`, the values and their indices.

    Without `dim`, ties share the gradient evenly; with `dim`, the element at the index gets it.
    `max(x, y)` of two tensors is `maximum`. Raises `ShapeError` if there are no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).max(dim=1).indices
    tensor([1, 0])
    """
    return _extreme(input, dim, keepdim, amax, argmax, maximum)


@accepts_arrays("input")
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the smallest element; with `dim`, the values and their indices. See `max`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [3.0, 4.0]]).min(dim=1).values
    tensor([1., 3.])
    """
    return _extreme(input, dim, keepdim, amin, argmin, minimum)


@accepts_arrays("input")
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median; with `dim`, the values and their indices.

    For an even count it is the lower of the two middle elements; it is NaN if any element is.
    Without `dim`, elements equal to it share the gradient evenly; with `dim`, the element at the
    index gets it. Raises `ShapeError` if there are no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0, 4.0, 2.0]]).median(dim=1)
    ValuesIndices(values=tensor([2.]), indices=tensor([3]))
    """
    if dim is None:
        return reduce.median(input, None, keepdim) if input.numel() else input.sum() * np.nan
    along = normalize_dim(dim, input.ndim or 1, "median")
    if not input.ndim:
        return ValuesIndices(input.clone(), argmax(input))
    n = input.shape[along]
    check_shapes(n > 0, "median", f"elements along axis {along}", input)
    x, k = as_array(input), (n - 1) // 2
    is_middle = x == np.partition(x, k, axis=along).take([k], along)
    rank = is_middle + 2 * (x != x)  # noqa: PLR0124  NaN first
    return values_at(input, along, keepdim, leaf_of(rank.argmax(along, keepdims=True)))


@accepts_arrays("input")
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """Return the `k`-th smallest elements along `dim`, from 1 on, and their indices; NaN is last.

    Raises `RangeError` unless 1 <= k <= n.

    >>> import tinygrad_fc as tg
    >>> tg.kthvalue(tg.tensor([5.0, 4.0, 7.0]), 2)
    ValuesIndices(values=tensor(5.), indices=tensor(0))
    """
    along = normalize_dim(dim, input.ndim or 1, "kthvalue")
    n = (input.shape or (1,))[along]
    if not 1 <= k <= n:
        raise RangeError(f"kthvalue: k is {k}, expected 1 to {n}, the size of axis {along}")
    at = argsort(input, along)
    return values_at(input, along, keepdim, at.narrow(along, k - 1, 1) if input.ndim else at)


@accepts_arrays("input")
def cummax(input: Tensor, dim: int) -> ValuesIndices:
    """Return the largest element so far along `dim`, of equal ones the last, and its index.

    From the first NaN on, the values are NaN.

    >>> import tinygrad_fc as tg
    >>> tg.cummax(tg.tensor([1.0, 3.0, 2.0]), 0).indices
    tensor([0, 1, 1])
    """
    along = normalize_dim(dim, input.ndim or 1, "cummax")
    x = np.atleast_1d(as_array(input))
    is_largest = (x == np.maximum.accumulate(x, along)) | (x != x)  # noqa: PLR0124  true for NaN
    places = np.moveaxis(np.arange(x.shape[along]).reshape(-1, *(1,) * (x.ndim - 1)), 0, along)
    at = np.maximum.accumulate(np.where(is_largest, places, 0), along)
    return values_at(input, along, keepdim=True, at=leaf_of(at.reshape(input.shape)))


@accepts_arrays("input")
def nanmean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the mean over `dim` of the elements that are not NaN; NaN if there are none.

    >>> import tinygrad_fc as tg
    >>> tg.nanmean(tg.tensor([1.0, tg.nan, 3.0]))
    tensor(2.)
    """
    known = input == input  # noqa: PLR0124  false for NaN
    total = reduce.sum(where(known, input, 0), dim, keepdim, dtype=dtype)
    return total / reduce.sum(known, dim, keepdim)


@accepts_arrays("input")
def quantile(
    input: Tensor,
    q: npt.ArrayLike,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Return the `q`-quantiles over `dim`, or of all elements; a vector `q` adds a first axis.

    `interpolation` between two elements is "linear", "lower", "higher", "nearest" or "midpoint". A
    quantile is NaN if any element is. Raises `ShapeError` if there are no elements, `ValueError`
    unless 0 <= q <= 1, and for another interpolation.

    >>> import tinygrad_fc as tg
    >>> tg.quantile(tg.tensor([1.0, 2.0, 4.0]), 0.75)
    tensor(3.)
    """
    at = as_array(q, input.dtype)
    along = 0 if dim is None else normalize_dim(dim, input.ndim, "quantile")
    x = input.reshape(-1) if dim is None else input
    n = x.shape[along]
    check_shapes(n > 0 and at.ndim <= 1, "quantile", "elements, and q (k,)", x, at)
    check_argument(bool(np.all((at >= 0) & (at <= 1))), "quantile", "in [0, 1]", q=q)
    rounding: Any = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}
    rounding |= {"linear": np.positive, "midpoint": np.positive}
    known = interpolation in rounding
    check_argument(known, "quantile", f"one of {', '.join(rounding)}", interpolation=interpolation)
    position = rounding[interpolation](at * (n - 1))
    low, high = np.floor(position).astype(np.intp), np.ceil(position).astype(np.intp)
    weight = np.asarray(0.5, x.dtype) if interpolation == "midpoint" else position - low
    ordered = sort(movedim(x, along, -1)).values
    out = lerp(ordered[..., low], ordered[..., high], weight.astype(x.dtype))
    last = ordered[..., -1:] if at.ndim else ordered[..., -1]
    out = where(np.isnan(as_array(last)), last, out)  # NaN is sorted last
    out = movedim(out, -1, 0) if at.ndim else out
    if not keepdim:
        return out
    rest = tuple(1 if dim is None or k == along else m for k, m in enumerate(input.shape))
    return reshape(out, shape=(*at.shape, *rest))


@accepts_arrays("input")
def var_mean(
    input: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean over `dim`; see `var`.

    >>> import tinygrad_fc as tg
    >>> tg.var_mean(tg.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    if isinstance(dim, bool):  # PyTorch's var_mean(x, unbiased)
        dim, unbiased = None, dim
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    return variance, mean(input, dim, keepdim)


@accepts_arrays("input")
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """Return the differences of adjacent elements along `dim`, taken `n` times.

    `prepend` and `append` are joined to `input` first. Raises `ValueError` for a negative `n`.

    >>> import tinygrad_fc as tg
    >>> tg.diff(tg.tensor([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    """
    check_argument(n >= 0, "diff", "at least 0", n=n)
    along = normalize_dim(dim, input.ndim, "diff")
    parts = [x for x in (prepend, input, append) if x is not None]
    out = cat(parts, along) if len(parts) > 1 or not n else input  # with n = 0, it is a copy
    for _ in range(n):
        later, earlier = out[at_axis(along, slice(1, None))], out[at_axis(along, slice(-1))]
        out = later != earlier if out.dtype.kind == "b" else later - earlier
    return out
