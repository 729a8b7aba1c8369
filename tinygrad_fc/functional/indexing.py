"""Indexing, gathering and scattering, with PyTorch's names and parameters."""

from __future__ import annotations

from operator import index as as_int
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc import ops
from tinygrad_fc.core.dtypes import promote_types
from tinygrad_fc.core.errors import (
    GraphError,
    RangeError,
    check_argument,
    check_dtypes,
    check_shapes,
)
from tinygrad_fc.core.node import Node, array_of, as_array, leaf_of, operand, owner
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.arguments import accepts_arrays, normalize_dim
from tinygrad_fc.functional.shape import expand
from tinygrad_fc.ops.indexing import at_axis, elements, flat_index

if TYPE_CHECKING:
    from tinygrad_fc.tensors import Tensor


__all__ = ["as_strided", "gather", "index_add", "index_fill", "index_select", "masked_select"]
__all__ += ["narrow", "nonzero", "scatter", "scatter_add", "select", "take", "take_along_dim"]


EQUAL_DTYPES = "equal ones: use source.type_as(input)"


class ValuesIndices(NamedTuple):
    """Values along a dimension, and their indices."""

    values: Any
    indices: Any


def values_at(input: Any, dim: int, keepdim: bool, at: Any) -> ValuesIndices:
    """Return the elements at the indices `at` along `dim`, and the indices."""
    if not input.ndim:
        return ValuesIndices(input.clone(), at)
    axis = dim % input.ndim
    values = elements(input, places=flat_index(as_array(at), axis, input.shape))
    if keepdim:
        return ValuesIndices(values, at)
    return ValuesIndices(values.squeeze(axis), at.squeeze(axis))


def _indices(index: Any, n: int, what: str) -> Any:
    """Return `index` as an array of integers from 0 to `n` - 1."""
    at = as_array(index)
    check_dtypes(at.dtype.kind in "iu", what, "an index of integers: use index.long()", at)
    if at.size and (at.min() < 0 or at.max() >= n):
        raise RangeError(f"{what}: an index is out of range, expected 0 to {n - 1}")
    return at


def _of_one_dtype(what: str, input: Any, source: Any) -> tuple[Any, Any]:
    """Return both tensors, floats promoted; raise `DtypeError` for others of two dtypes."""
    if source.dtype == input.dtype:
        return input, source
    floats = input.dtype.kind == source.dtype.kind == "f"
    check_dtypes(floats, what, EQUAL_DTYPES, source, input)
    dtype = promote_types(input.dtype, source.dtype)
    return input.to(dtype), source.to(dtype)


def _elementwise_indices(
    input: Any, dim: int, index: Any, what: str, source: Any = None
) -> tuple[int, Any]:
    """Return `dim` from 0 on and the index array, for functions such as `gather` and `scatter`.

    Raises `ShapeError` if the index is larger than `input` on an axis other than `dim`, or larger
    than `source` on any axis.
    """
    dim = normalize_dim(dim, input.ndim or 1, what)
    at = _indices(index, (input.shape or (1,))[dim], what)
    limit = [at.size if k == dim else n for k, n in enumerate(input.shape)]
    others = () if source is None else (source,)
    limits = [limit, *(x.shape for x in others)]
    fit = all(
        len(m) == at.ndim and not (at.size and np.any(np.greater(at.shape, m))) for m in limits
    )
    expected = "the first, of the index, no larger than the others but along dim"
    check_shapes(fit, what, expected, at, input, *others)
    return dim, at


@accepts_arrays("input", "index")
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the elements at `index` along `dim`: `out[i][j] = input[index[i][j]][j]` for `dim=0`.

    `index` has as many dimensions as `input`, and only along `dim` may it be larger. Raises
    `ShapeError` for other shapes, `RangeError` for an index out of range.

    >>> import tinygrad_fc as tg
    >>> tg.gather(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, tg.tensor([[1], [0]]))
    tensor([[2.],
            [3.]])
    """
    dim, at = _elementwise_indices(input, dim, index, "gather")
    if not input.ndim:
        return input.clone()
    return elements(input, places=flat_index(at, dim, input.shape))


@accepts_arrays("input", "indices")
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Return the elements at `indices` along `dim`, for example those that `argsort` returns.

    All axes except `dim` broadcast. Without `dim`, both tensors are flattened.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([[3.0, 1.0, 2.0]])
    >>> tg.take_along_dim(x, x.argsort(1), 1)
    tensor([[1., 2., 3.]])
    """
    if dim is None:
        return input.reshape(-1)[_indices(indices, input.numel(), "take_along_dim").reshape(-1)]
    fit = indices.ndim == input.ndim
    check_shapes(fit, "take_along_dim", "equal numbers of axes", input, indices)
    dim = normalize_dim(dim, input.ndim, "take_along_dim")
    both = [(*x.shape[:dim], 1, *x.shape[dim + 1 :]) for x in (input, indices)]
    shape = np.broadcast_shapes(*both)
    x, at = (expand(x, *shape[:dim], x.shape[dim], *shape[dim + 1 :]) for x in (input, indices))
    return gather(x, dim, at)


@accepts_arrays("input", "index")
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the slices along `dim` with the indices `index` (k,).

    >>> import tinygrad_fc as tg
    >>> tg.index_select(tg.tensor([1.0, 2.0, 3.0]), 0, tg.tensor([2, 0, 2]))
    tensor([3., 1., 3.])
    """
    dim = normalize_dim(dim, input.ndim or 1, "index_select")
    at = _indices(index, (input.shape or (1,))[dim], "index_select")
    if at.ndim > 1 or (not input.ndim and at.size != 1):  # an IndexError in PyTorch, too
        raise RangeError(
            f"index_select: index has shape {at.shape}, expected (k,), or (1,) for a 0-d tensor"
        )
    return input[at_axis(dim, at.reshape(-1))] if input.ndim else input.clone()


@accepts_arrays("input")
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Return the slice with the given index along `dim`, without that axis.

    >>> import tinygrad_fc as tg
    >>> tg.select(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, -1)
    tensor([2., 4.])
    """
    return input[at_axis(normalize_dim(dim, input.ndim, "select"), as_int(index))]


@accepts_arrays("input")
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """Return the slices `start` to `start + length - 1` along `dim`, a view of `input`.

    Raises `RangeError` if they exceed the size of the axis.

    >>> import tinygrad_fc as tg
    >>> tg.narrow(tg.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    dim = normalize_dim(dim, input.ndim, "narrow")
    n, first = input.shape[dim], as_int(start)
    first = first + n if first < 0 else first
    if not 0 <= first <= first + length <= n:
        raise RangeError(f"narrow: elements {start} to {start} + {length} exceed axis {dim} of {n}")
    return input[at_axis(dim, slice(first, first + length))]


@accepts_arrays("input", "mask")
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where `mask` is true, as a vector; the two broadcast.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, -2.0, 3.0])
    >>> tg.masked_select(x, x > 0)
    tensor([1., 3.])
    """
    chosen = as_array(mask)
    check_dtypes(chosen.dtype == bool, "masked_select", "a mask of bool: mask.bool()", chosen)
    shape = np.broadcast_shapes(input.shape, chosen.shape)
    return ops.shape.broadcast_to(input, shape=shape)[np.broadcast_to(chosen, shape)]


@accepts_arrays("input")
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Return the indices of the nonzero elements: (k, ndim), or `as_tuple` one vector per axis.

    >>> import tinygrad_fc as tg
    >>> tg.nonzero(tg.tensor([[0.0, 2.0], [3.0, 0.0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    array = as_array(input)
    if as_tuple:
        return tuple(leaf_of(k) for k in np.nonzero(np.atleast_1d(array)))
    return leaf_of(np.argwhere(array))


@accepts_arrays("input", "index", "source")
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """Return `input` with `alpha * source` added to its slices `index` (k,) along `dim`.

    `source` has the shape of `input`, with size k along `dim`. Repeated indices add up.

    >>> import tinygrad_fc as tg
    >>> tg.index_add(tg.zeros(3), 0, tg.tensor([0, 2, 0]), tg.tensor([1.0, 2.0, 3.0]))
    tensor([4., 0., 2.])
    """
    dim = normalize_dim(dim, input.ndim or 1, "index_add")
    at = _indices(index, (input.shape or (1,))[dim], "index_add").reshape(-1).copy()
    expected = (*input.shape[:dim], at.size, *input.shape[dim + 1 :]) if input.ndim else ()
    check_shapes(source.shape == expected, "index_add", f"a source of shape {expected}", source)
    source = source if alpha == 1 else source * alpha
    input, source = _of_one_dtype("index_add", input, source)
    if not input.ndim:
        return input + source
    return input + ops.indexing.scatter_add(source, at=at_axis(dim, at), shape=input.shape)


@accepts_arrays("input", "index", "src")
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Return `input` with `out[index[i][j]][j] += src[i][j]` (for `dim=0`).

    Repeated indices add up. It is the adjoint of `gather`.

    >>> import tinygrad_fc as tg
    >>> tg.scatter_add(tg.zeros(3), 0, tg.tensor([0, 2, 0]), tg.tensor([1.0, 2.0, 3.0]))
    tensor([4., 0., 2.])
    """
    dim, at = _elementwise_indices(input, dim, index, "scatter_add", src)
    input, src = _of_one_dtype("scatter_add", input, src)
    part = src[tuple(slice(n) for n in at.shape)]
    if not input.ndim:
        return input + part
    places = flat_index(at, dim, input.shape)
    total = ops.indexing.scatter_add(part, at=places, shape=(input.numel(),))
    return input + total.reshape(input.shape)


@accepts_arrays("input", "index")
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """Return `input` with `out[index[i][j]][j] = src[i][j]` (for `dim=0`), or one `value`.

    The last of repeated indices counts, and it alone has a gradient. `reduce="add"` is
    `scatter_add`; `"multiply"` has no gradient. Raises `ValueError` for another `reduce`.

    >>> import tinygrad_fc as tg
    >>> tg.scatter(tg.zeros(3), 0, tg.tensor([2, 0]), tg.tensor([5.0, 6.0]))
    tensor([6., 0., 5.])
    """
    source = src if value is None else value
    if source is None:
        raise TypeError("scatter needs a source: pass src, a tensor, or value, a number")
    if not isinstance(source, Node):
        fit = input.dtype.kind == "f" or not isinstance(source, float)
        check_dtypes(fit, "scatter", f"floats for the value {source}: use x.double()", input)
        value = operand(source, "scatter")
        source = leaf_of(np.full(np.shape(as_array(index)), value, input.dtype, like=like()))
    if reduce == "add":
        return scatter_add(input, dim, index, source)
    known = reduce in (None, "multiply")
    check_argument(known, "scatter", 'None, "add" or "multiply"', reduce=reduce)
    input, source = _of_one_dtype("scatter", input, source)
    dim, at = _elementwise_indices(input, dim, index, "scatter", source)
    if not input.ndim:
        return source.clone()  # type: ignore[no-any-return]
    if not at.size:
        return input.clone()
    part, where = source[tuple(slice(n) for n in at.shape)], flat_index(at, dim, input.shape)
    if reduce == "multiply":
        if input.requires_grad or source.requires_grad:
            raise GraphError(
                'scatter with reduce="multiply" has no gradient, as in PyTorch: pass x.detach(), '
                "or add logarithms with scatter_add"
            )
        product = array_of(input).copy()
        np.multiply.at(product.reshape(-1), where, array_of(part))
        return leaf_of(product)
    # The position in the flattened source of each element of the result
    position = np.full(input.numel(), -1, like=like())
    position[where] = np.arange(at.size, like=like()).reshape(at.shape)
    position = position.reshape(input.shape)
    return ops.elementwise.where(position >= 0, part.reshape(-1)[np.maximum(position, 0)], input)


@accepts_arrays("input")
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Return a view of the memory of `input` of shape `size`, with steps of `stride` elements.

    It begins at the first element of `input`, or at `storage_offset` of its memory. With gradients
    it is a copy, and `input` must be contiguous. Raises `RangeError` for elements outside of the
    memory, or of the contiguous `input`.

    >>> import tinygrad_fc as tg
    >>> tg.as_strided(tg.arange(4), (3, 2), (1, 1)).tolist()
    [[0, 1], [1, 2], [2, 3]]
    """
    x, memory = array_of(input), owner(array_of(input)).reshape(-1, order="A")
    shape, steps = tuple(map(as_int, size)), tuple(map(as_int, stride))
    check_shapes(len(shape) == len(steps), "as_strided", "as many strides as sizes", shape, steps)
    own, base = (a.__array_interface__["data"][0] for a in (x, memory))
    first = (own - base) // x.itemsize
    start = first if storage_offset is None else as_int(storage_offset)
    at = np.full(shape, start)
    for axis, step in enumerate(steps):
        at += step * np.arange(shape[axis]).reshape(-1, *(1,) * (len(shape) - axis - 1))
    low, high = (first, first + x.size) if input.requires_grad else (0, memory.size)
    check_shapes(not input.requires_grad or x.flags.c_contiguous, "as_strided", "contiguous", x)
    if at.size and not low <= at.min() <= at.max() < high:
        raise RangeError(f"as_strided: elements {at.min()} to {at.max()} of {high}, from {low} on")
    if input.requires_grad:
        return input.reshape(-1)[leaf_of(at - first)]
    strides = [step * x.itemsize for step in steps]
    return leaf_of(np.lib.stride_tricks.as_strided(memory[start:], shape, strides))


@accepts_arrays("input", "index")
def take(input: Tensor, index: Tensor) -> Tensor:
    """Return the elements of the flattened `input` at `index`, in the shape of `index`.

    >>> import tinygrad_fc as tg
    >>> tg.take(tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.tensor([0, 3]))
    tensor([1., 4.])
    """
    return input.reshape(-1)[index]


@accepts_arrays("input", "index")
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """Return `input` with `value` in the slices along `dim` with the indices `index`.

    >>> import tinygrad_fc as tg
    >>> tg.index_fill(tg.zeros(2, 3), 1, tg.tensor([0, 2]), 5)
    tensor([[5., 0., 5.],
            [5., 0., 5.]])
    """
    out = input.clone()
    out[at_axis(normalize_dim(dim, input.ndim, "index_fill"), index)] = value
    return out
