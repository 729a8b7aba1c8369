"""Reductions in PyTorch's spelling. Each also takes NumPy's `axis` and `keepdims`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import Node, operand, wrap
from tinygrad_fc.ops import constant
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import index as i
from tinygrad_fc.ops import reduce as r

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

Dim = int | tuple[int, ...] | list[int] | None


class ValuesIndices(NamedTuple):
    """What is found along a dimension, and where."""

    values: Any
    indices: Any


def over(dim: Any, keepdim: bool, axis: Any, keepdims: Any) -> dict[str, Any]:
    """Return the settings of a reduction from PyTorch's and NumPy's names for them."""
    if axis is not None:
        if dim is not None:
            message = f"give dim or axis, not both: got dim={dim!r} and axis={axis!r}"
            raise TypeError(message)
        dim = axis
    elif isinstance(dim, tuple | list) and not dim:
        dim = None  # as in PyTorch; for NumPy's `axis=()` nothing is reduced
    if isinstance(dim, tuple | list):  # NumPy has axis 0 of a 0-d array, but not axes (0,)
        dim = dim[0] if len(dim) == 1 else tuple(dim)
    return {"axis": dim, "keepdims": keepdim if keepdims is None else bool(keepdims)}


def counted(input: Tensor, dtype: Any) -> Tensor:
    """Return `input` as `dtype`; where none is given, sums and products of whole numbers are int64.

    NumPy does so by itself for all but unsigned ones.
    """
    if dtype is None and input.dtype.kind == "u":
        dtype = np.int64
    return input if dtype is None else input.to(dtype)


def sum(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the sum over `dim` (all, one or several), of `input` cast to `dtype` if given.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(dim=0)
    tensor([4., 6.])
    """
    try:
        input = counted(input, dtype)
    except AttributeError:  # of numbers and lists
        input = counted(wrap(operand(input, r.sum_)), dtype)
    return r.sum_(input, **over(dim, keepdim, axis, keepdims))


def mean(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the mean over `dim` (all, one or several), of `input` cast to `dtype` if given.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(dim=0)
    tensor([2., 3.])
    """
    if dtype is not None:
        input = input.to(dtype)
    return r.mean(input, **over(dim, keepdim, axis, keepdims))


def amax(
    input: Tensor,
    dim: Dim = (),
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the largest values over `dim`; equal ones share the gradient evenly.

    Raises `ShapeError` over no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).amax(dim=1)
    tensor([2., 4.])
    """
    return r.amax(input, **over(dim if dim != () else None, keepdim, axis, keepdims))


def amin(
    input: Tensor,
    dim: Dim = (),
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the smallest values over `dim`; equal ones share the gradient evenly.

    Raises `ShapeError` over no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).amin(dim=1)
    tensor([1., 3.])
    """
    return r.amin(input, **over(dim if dim != () else None, keepdim, axis, keepdims))


def _extreme(
    full: Any,
    pick: Any,
    pair: Any,
    input: Tensor,
    dim: Any,
    keepdim: bool,
    axis: Any,
    keepdims: Any,
) -> Any:
    if dim is None and axis is None:
        return full(input, axis=None, keepdims=bool(keepdims))
    if isinstance(dim, Node | np.ndarray):
        return pair(input, dim)
    one = dim if axis is None else axis
    if isinstance(one, tuple | list):
        message = f"max and min with indices take one dim, got {one}: use amax or amin"
        raise ShapeError(message)
    settings = over(dim, keepdim, axis, keepdims)
    at = pick(input, axis=settings["axis"], keepdims=True)
    values = i.gather(input, at, axis=settings["axis"] % input.ndim) if input.ndim else input
    if not settings["keepdims"] and input.ndim:
        values, at = values.squeeze(settings["axis"]), at.squeeze(settings["axis"])
    return ValuesIndices(values, at)


def max(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """Return the largest element; over a `dim`, a pair of values and indices.

    Of the whole, equal elements share the gradient evenly; over a `dim` it goes to the chosen
    index. `max(x, y)` of two tensors is `maximum`. Raises `ShapeError` over no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).max(dim=1).indices
    tensor([1, 0])
    """
    return _extreme(r.amax, constant.argmax, e.maximum, input, dim, keepdim, axis, keepdims)


def min(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """Return the smallest element; over a `dim`, a pair of values and indices. See `max`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [3.0, 4.0]]).min(dim=1).values
    tensor([1., 3.])
    """
    return _extreme(r.amin, constant.argmin, e.minimum, input, dim, keepdim, axis, keepdims)


def argmax(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the index of the largest element, over `dim` or in the flattened tensor.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).argmax(dim=1)
    tensor([1, 0])
    """
    return constant.argmax(input, **over(dim, keepdim, axis, keepdims))


def argmin(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the index of the smallest element, over `dim` or in the flattened tensor.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).argmin(dim=1)
    tensor([0, 1])
    """
    return constant.argmin(input, **over(dim, keepdim, axis, keepdims))


def all(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Tell whether all elements over `dim` are true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).all()
    tensor(False)
    """
    return constant.all_(input, **over(dim, keepdim, axis, keepdims))


def any(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Tell whether any element over `dim` is true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).any()
    tensor(True)
    """
    return constant.any_(input, **over(dim, keepdim, axis, keepdims))


def count_nonzero(input: Tensor, dim: Dim = None, *, axis: Dim = None) -> Tensor:
    """Return how many elements over `dim` are not 0.

    >>> import tinygrad_fc as tg
    >>> tg.count_nonzero(tg.tensor([[1.0, 0.0], [2.0, 3.0]]), dim=0)
    tensor([2, 1])
    """
    chosen = over(dim, keepdim=False, axis=axis, keepdims=None)["axis"]
    return constant.count_nonzero(input, axis=chosen)


def logsumexp(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the logarithm of the summed exponentials over `dim`: no overflow, no lost digits.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1000.0, 1000.0]).logsumexp(dim=0)
    tensor(1000.6931)
    """
    return r.logsumexp(input, **over(dim, keepdim, axis, keepdims))


def _row(input: Any, dim: Any, axis: Any, what: str) -> int:
    chosen = dim if axis is None else axis
    if not isinstance(chosen, int):
        message = f"{what} needs the dimension that sums to 1, such as dim=-1; got {chosen!r}"
        raise ShapeError(message)
    return chosen if input.ndim else 0


def softmax(
    input: Tensor, dim: int | None = None, dtype: Any = None, *, axis: int | None = None
) -> Tensor:
    """Return exponentials that sum to 1 over `dim`: probabilities from scores.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([0.0, 0.0]).softmax(dim=0)
    tensor([0.5, 0.5])
    """
    if dtype is not None:
        input = input.to(dtype)
    return r.softmax(input, axis=_row(input, dim, axis, "softmax"))


def log_softmax(
    input: Tensor, dim: int | None = None, dtype: Any = None, *, axis: int | None = None
) -> Tensor:
    """Return the logarithm of `softmax` (in nats), to the last digits.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([0.0, -50.0]).log_softmax(dim=0)
    tensor([-1.9287e-22, -5.0000e+01])
    """
    if dtype is not None:
        input = input.to(dtype)
    return r.log_softmax(input, axis=_row(input, dim, axis, "log_softmax"))
