"""Indexing, scattering and sorting in PyTorch's spelling."""

from __future__ import annotations

from operator import index as whole
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import DtypeError, GraphError, RangeError, ShapeError
from tinygrad_fc.functional.arguments import as_array, normalize_dim, reduction_axes
from tinygrad_fc.functional.reduction import ValuesIndices
from tinygrad_fc.graph import Node, wrap
from tinygrad_fc.ops import comparison as c
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import index as i
from tinygrad_fc.ops import reduce as r
from tinygrad_fc.ops import shape as s

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

__all__ = ["argsort", "bincount", "gather", "index_add", "index_select", "masked_select", "median"]
__all__ += ["narrow", "nonzero", "quantile", "scatter", "scatter_add", "searchsorted", "select"]
__all__ += ["sort", "take_along_dim", "topk", "unique"]


def _indices(index: Any, n: int, what: str) -> Any:
    """Return `index` as an array of whole numbers, which are from 0 to below `n`."""
    at = as_array(index)
    if at.dtype.kind not in "iu":
        raise DtypeError(
            f"{what} needs whole numbers for indices, got {at.dtype}: use index.long()"
        )
    if at.size and (at.min() < 0 or at.max() >= n):
        raise RangeError(
            f"{what}: an index lies outside 0 to {n - 1}, the indices along that dimension"
        )
    return at


def _before(dim: int, *at: Any) -> tuple[Any, ...]:
    return (slice(None),) * dim + at


def _element_by_element(
    input: Any, dim: int, index: Any, what: str, *, within: Any
) -> tuple[int, Any]:
    """Return `dim` from the front and the indices, which are no larger than `within` elsewhere."""
    dim = normalize_dim(dim, input.ndim or 1, what)
    at = _indices(index, (input.shape or (1,))[dim], what)
    if not input.ndim == at.ndim == within.ndim:
        raise ShapeError(
            f"{what} needs as many dimensions in the index, {at.shape}, as in the tensors, "
            f"{input.shape} and {within.shape}"
        )
    fits = [n <= m for n, m in zip(at.shape, within.shape, strict=True)]
    elsewhere = [n <= m for n, m in zip(at.shape, input.shape, strict=True)]
    if at.size and not (
        all(fits[k] or (within is input and k == dim) for k in range(at.ndim))
        and all(elsewhere[k] or k == dim for k in range(at.ndim))
    ):
        raise ShapeError(
            f"{what}: index {at.shape} is larger than the tensors {input.shape} and "
            f"{within.shape} off axis {dim}"
        )
    return dim, at


def _one_dtype(source: Any, input: Any, what: str) -> None:
    if source.dtype != input.dtype:
        raise DtypeError(
            f"{what} brings {source.dtype} to {input.dtype}: cast one, source.type_as(x)"
        )


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return `out[i][j] = input[index[i][j]][j]` (for `dim=0`): an element for each index.

    `index` has as many dimensions as `input`, and is no larger but along `dim`. Raises `ShapeError`
    where it is, `RangeError` for an index that is not there.

    >>> import tinygrad_fc as tg
    >>> tg.gather(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, tg.tensor([[1], [0]]))
    tensor([[2.],
            [3.]])
    """
    dim, at = _element_by_element(input, dim, index, "gather", within=input)
    if not input.ndim:
        return input.reshape(1)[at.reshape(-1)].reshape(())
    return i.gather(input, at, axis=dim)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Return an element for each of `indices` along `dim`, which broadcast with `input` elsewhere.

    Without `dim` both are flattened. It undoes `argsort` and `argmax(keepdim=True)`.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([[3.0, 1.0, 2.0]])
    >>> tg.take_along_dim(x, x.argsort(1), 1)
    tensor([[1., 2., 3.]])
    """
    if dim is None:
        return input.reshape(-1)[_indices(indices, input.numel(), "take_along_dim").reshape(-1)]
    at = as_array(indices)
    if at.ndim != input.ndim:
        raise ShapeError(
            f"take_along_dim needs indices of {input.ndim} dimensions, as the tensor "
            f"{input.shape} has, got {at.shape}"
        )
    dim = normalize_dim(dim, input.ndim, "take_along_dim")
    _indices(at, input.shape[dim], "take_along_dim")
    try:
        both = np.broadcast_shapes(*((*x.shape[:dim], 1, *x.shape[dim + 1 :]) for x in (input, at)))
    except ValueError as error:
        raise ShapeError(
            f"take_along_dim: indices {at.shape} do not broadcast with {input.shape} off axis {dim}"
        ) from error
    wide, at = ((*both[:dim], x.shape[dim], *both[dim + 1 :]) for x in (input, at))
    return gather(s.broadcast_to(input, shape=wide), dim, np.broadcast_to(as_array(indices), at))  # type: ignore[arg-type]


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the slices along `dim` that `index`, a vector of whole numbers, names.

    >>> import tinygrad_fc as tg
    >>> tg.index_select(tg.tensor([1.0, 2.0, 3.0]), 0, tg.tensor([2, 0, 2]))
    tensor([3., 1., 3.])
    """
    dim = normalize_dim(dim, input.ndim or 1, "index_select")
    at = _indices(index, (input.shape or (1,))[dim], "index_select")
    if at.ndim > 1:
        raise RangeError(f"index_select needs a vector of indices, got shape {at.shape}")
    if not input.ndim:
        if at.size != 1:
            raise RangeError(f"index_select of a 0-d tensor takes one index, got {at.size}")
        return input
    return input[_before(dim, at.reshape(-1))]


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Return one slice along `dim`, without that axis.

    >>> import tinygrad_fc as tg
    >>> tg.select(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, -1)
    tensor([2., 4.])
    """
    return input[_before(normalize_dim(dim, input.ndim, "select"), whole(index))]


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """Return the `length` slices from `start` on along `dim`, which share memory with `input`.

    Raises `RangeError` where they are not all there.

    >>> import tinygrad_fc as tg
    >>> tg.narrow(tg.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    dim = normalize_dim(dim, input.ndim, "narrow")
    n, first = input.shape[dim], whole(start)
    first = first + n if first < 0 else first
    if not 0 <= first <= first + length <= n:
        raise RangeError(
            f"narrow: {length} slices from {start} on are not in a tensor {input.shape}, which "
            f"has {n} along axis {dim}"
        )
    return input[_before(dim, slice(first, first + length))]


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where `mask` is true, as a vector; the two broadcast.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, -2.0, 3.0])
    >>> tg.masked_select(x, x > 0)
    tensor([1., 3.])
    """
    chosen = as_array(mask)
    if chosen.dtype != bool:
        raise DtypeError(f"masked_select needs truth values, got {chosen.dtype}: use mask.bool()")
    try:
        shape = np.broadcast_shapes(input.shape, chosen.shape)
    except ValueError as error:
        raise ShapeError(
            f"masked_select: the mask {chosen.shape} does not broadcast with {input.shape}"
        ) from error
    return s.broadcast_to(input, shape=shape)[np.broadcast_to(chosen, shape)]


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Return the indices of elements that are not 0: (k, ndim), or a vector for each axis.

    >>> import tinygrad_fc as tg
    >>> tg.nonzero(tg.tensor([[0.0, 2.0], [3.0, 0.0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    array = as_array(input)
    if as_tuple:
        return tuple(wrap(k) for k in np.nonzero(np.atleast_1d(array)))
    return wrap(np.argwhere(array))


def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """Return `input` with `alpha` times the slices of `source` added to those that `index` names.

    `index` (k,), and `source` of `input`'s shape but k along `dim`. Repeated indices add up.

    >>> import tinygrad_fc as tg
    >>> tg.index_add(tg.zeros(3), 0, tg.tensor([0, 2, 0]), tg.tensor([1.0, 2.0, 3.0]))
    tensor([4., 0., 2.])
    """
    dim = normalize_dim(dim, input.ndim or 1, "index_add")
    at = _indices(index, (input.shape or (1,))[dim], "index_add").reshape(-1).copy()
    wanted = (*input.shape[:dim], at.size, *input.shape[dim + 1 :]) if input.ndim else ()
    if source.shape != wanted:
        raise ShapeError(
            f"index_add to a tensor {input.shape} along axis {dim} needs a source of shape "
            f"{wanted} for {at.size} indices, got {source.shape}"
        )
    _one_dtype(source, input, "index_add")
    if input.dtype.kind in "iub" and not isinstance(alpha, int | np.integer):
        raise DtypeError(
            f"index_add of {input.dtype} takes a whole alpha, got {alpha}: use x.double()"
        )
    share = source if alpha == 1 else source * alpha
    if not input.ndim:
        return input + share
    return input + i.scatter(share, at=_before(dim, at), shape=input.shape)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Return `input` with each element of `src` added where its index says: `gather`'s contrary.

    `out[index[i][j]][j] += src[i][j]` for `dim=0`. Repeated indices add up.

    >>> import tinygrad_fc as tg
    >>> tg.scatter_add(tg.zeros(3), 0, tg.tensor([0, 2, 0]), tg.tensor([1.0, 2.0, 3.0]))
    tensor([4., 0., 2.])
    """
    dim, at = _element_by_element(input, dim, index, "scatter_add", within=src)
    _one_dtype(src, input, "scatter_add")
    part = src[tuple(slice(n) for n in at.shape)]
    if not input.ndim:
        return input + part
    return input + i.put_along_axis(part, at, axis=dim, shape=input.shape)


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """Return `input` with each element of `src`, or one `value`, put where its index says.

    `out[index[i][j]][j] = src[i][j]` for `dim=0`. Of those with one index the last wins, and it
    alone has a gradient. `reduce="add"` is `scatter_add`, `"multiply"` has no gradient. Raises
    `ValueError` for another.

    >>> import tinygrad_fc as tg
    >>> tg.scatter(tg.zeros(3), 0, tg.tensor([2, 0]), tg.tensor([5.0, 6.0]))
    tensor([6., 0., 5.])
    """
    source = src if value is None else value
    if source is None:
        raise TypeError("scatter needs what to put: src, a tensor, or value, a number")
    if not isinstance(source, Node):
        if isinstance(source, float) and input.dtype.kind != "f":
            raise DtypeError(
                f"scatter puts {source} into {input.dtype}: use a whole number, or x.double()"
            )
        source = wrap(np.full(np.shape(as_array(index)), source, input.dtype))
    if reduce == "add":
        return scatter_add(input, dim, index, source)
    if reduce not in (None, "multiply"):
        raise ValueError(f'scatter: reduce is None, "add" or "multiply", got {reduce!r}')
    _one_dtype(source, input, "scatter")
    dim, at = _element_by_element(input, dim, index, "scatter", within=source)
    if not input.ndim:
        out: Tensor = source.clone()
        return out
    if reduce is not None:
        return _multiplied(input, i.along(at, dim), source, at.shape)
    winner = np.full(input.shape, -1)
    winner[i.along(at, dim)] = np.arange(at.size).reshape(at.shape)
    part = source[tuple(slice(n) for n in at.shape)].reshape(-1)
    if not at.size:
        return input.clone()
    return e.where(winner >= 0, part[np.maximum(winner, 0)], input)


def _multiplied(input: Tensor, at: Any, source: Any, shape: tuple[int, ...]) -> Tensor:
    if input.requires_grad or source.requires_grad:
        raise GraphError(
            'scatter with reduce="multiply" has no gradient, as in PyTorch: hand it x.detach(), or '
            "add logarithms with scatter_add"
        )
    out = input._array.copy()
    np.multiply.at(out, at, source._array[tuple(slice(n) for n in shape)])
    return wrap(out)


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
    dim = normalize_dim(dim, input.ndim or 1, "sort")
    if not input.ndim:
        return c.argmax(input)
    return c.argsort(input, axis=dim, descending=bool(descending))


def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """Return the `k` largest (or smallest) elements along `dim` in order, and where they were.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([3.0, 1.0, 2.0]).topk(2).values
    tensor([3., 2.])
    """
    del sorted  # they always are
    axis = normalize_dim(dim, input.ndim or 1, "topk")
    if not 0 <= k <= (input.shape or (1,))[axis]:
        raise ShapeError(f"topk: k = {k} is out of range for axis {dim} of shape {input.shape}")
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
    along = normalize_dim(one, input.ndim or 1, "median")
    settings = reduction_axes(dim, keepdim, axis, keepdims)
    if not input.ndim:
        return ValuesIndices(input, c.argmax(input))
    n = input.shape[along]
    if not n:
        raise ShapeError(
            f"median over axis {along} of a tensor {input.shape} has no elements to choose"
        )
    ordered = as_array(argsort(input, along))
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
        dim = normalize_dim(dim, input.ndim, "unique")
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
    at = np.array(as_array(input))
    if at.ndim != 1 or at.dtype.kind not in "iu" or (at.size and at.min() < 0) or minlength < 0:
        raise ShapeError(
            f"bincount needs a vector of whole numbers from 0 on, and minlength >= 0; got "
            f"{at.dtype} of shape {at.shape} and minlength {minlength}"
        )
    if weights is None:
        return wrap(np.bincount(at, minlength=minlength))
    if weights.shape != at.shape:
        raise ShapeError(f"bincount needs a weight for each number: {weights.shape} for {at.shape}")
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
        raise ShapeError(
            f'searchsorted: side is "left" or "right", got {side!r} with right={right}'
        )
    rows, wanted = as_array(sorted_sequence), as_array(input)
    if sorter is not None:
        order = as_array(sorter)
        if order.shape != rows.shape or order.dtype.kind not in "iu":
            raise ShapeError(
                f"searchsorted: a sorter of {rows.shape} whole numbers, got {order.shape}"
            )
        if order.size and not 0 <= order.min() <= order.max() < rows.shape[-1]:
            raise RangeError(
                f"searchsorted: the sorter has numbers outside 0 to {rows.shape[-1] - 1}"
            )
        rows = np.take_along_axis(rows, order, -1)
    where = "right" if right or side == "right" else "left"
    if rows.ndim == 1:
        found = np.asarray(rows.searchsorted(wanted, where))
    elif rows.ndim and rows.shape[:-1] == wanted.shape[:-1]:
        found = np.empty(wanted.shape, np.int64)
        for k in np.ndindex(rows.shape[:-1]):
            found[k] = rows[k].searchsorted(wanted[k], where)
    else:
        raise ShapeError(
            f"searchsorted needs one row, or a row for each of the rows of values: got "
            f"{rows.shape} for {wanted.shape}"
        )
    return wrap(found.astype(np.int32 if out_int32 else np.int64))


def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Return the `q`-quantiles over `dim`, of all elements without it; a vector `q` adds an axis.

    Between two elements the result is interpolated, or for `interpolation` "lower", "higher",
    "nearest" and "midpoint" it is that of them. Where there is a NaN, it is the quantile. Raises
    `ShapeError` for no elements, `ValueError` for `q` outside [0, 1].

    >>> import tinygrad_fc as tg
    >>> tg.quantile(tg.tensor([1.0, 2.0, 4.0]), 0.75)
    tensor(3.)
    """
    at = as_array(q, input.dtype)
    along = 0 if dim is None else normalize_dim(dim, input.ndim, "quantile")
    x = input.reshape(-1) if dim is None else input
    n = x.shape[along]
    if not n or at.ndim > 1:
        raise ShapeError(f"quantile needs elements and q (k,), got shapes {x.shape} and {at.shape}")
    if not np.all((at >= 0) & (at <= 1)):
        raise ValueError(f"quantile: q lies in [0, 1], got {q!r:.60}")
    rounding = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}
    place = rounding.get(interpolation, np.positive)(at * (n - 1))
    low, high = np.floor(place).astype(np.intp), np.ceil(place).astype(np.intp)
    weight = np.asarray(0.5, x.dtype) if interpolation == "midpoint" else place - low
    last = (*(k for k in range(x.ndim) if k != along), along)
    ordered = sort(s.transpose(x, axes=last)).values
    out = e.lerp(ordered[..., low], ordered[..., high], weight.astype(x.dtype))
    missing = np.isnan(ordered._array[..., -1:] if at.ndim else ordered._array[..., -1])
    out = e.where(missing, np.nan, out)
    if at.ndim:
        out = s.transpose(out, axes=(out.ndim - 1, *range(out.ndim - 1)))
    if not keepdim:
        return out
    kept = tuple(1 if dim is None or k == along else m for k, m in enumerate(input.shape))
    return s.reshape(out, shape=(*at.shape, *kept))
