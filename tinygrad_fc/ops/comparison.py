"""Comparisons, logic, rounding, argmax, argsort: ops whose results never require grad."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.core.op import Dim, define
from tinygrad_fc.domain import axis, boolean, index, nonempty_axes, real, true_or_false

__all__ = ["all", "any", "argmax", "argmin", "bitwise_and", "bitwise_left_shift", "bitwise_not"]
__all__ += ["bitwise_or", "bitwise_right_shift"]
__all__ += ["bitwise_xor", "ceil", "count_nonzero", "eq", "floor", "ge", "gt", "isclose"]
__all__ += ["isfinite", "isinf", "isnan", "le", "logical_and", "logical_not", "logical_or"]
__all__ += ["logical_xor", "lt", "ne", "round", "sign", "trunc"]

# Comparisons


@define(np.equal, name="equal", domain=(real, real))
def eq(input: Any, other: Any) -> Any:
    """Return whether input == other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.eq(tg.tensor([1.0, 2.0]), 2)
    tensor([False,  True])
    """


@define(np.not_equal, name="not_equal", domain=(real, real))
def ne(input: Any, other: Any) -> Any:
    """Return whether input != other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.ne(tg.tensor([1.0, 2.0]), 2)
    tensor([ True, False])
    """


@define(np.less, name="less", domain=(real, real))
def lt(input: Any, other: Any) -> Any:
    """Return whether input < other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.lt(tg.tensor([1.0, 2.0]), 2)
    tensor([ True, False])
    """


@define(np.less_equal, name="less_equal", domain=(real, real))
def le(input: Any, other: Any) -> Any:
    """Return whether input <= other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.le(tg.tensor([1.0, 3.0]), 2)
    tensor([ True, False])
    """


@define(np.greater, name="greater", domain=(real, real))
def gt(input: Any, other: Any) -> Any:
    """Return whether input > other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.gt(tg.tensor([1.0, 3.0]), 2)
    tensor([False,  True])
    """


@define(np.greater_equal, name="greater_equal", domain=(real, real))
def ge(input: Any, other: Any) -> Any:
    """Return whether input >= other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.ge(tg.tensor([1.0, 2.0]), 2)
    tensor([False,  True])
    """


@define(
    numpy=np.isclose,
    domain=(real, real),
    settings={"rtol": (1e-5, 0.5), "atol": (1e-8, 0.0), "equal_nan": true_or_false},
)
def isclose(
    input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Any:
    """Return whether `|input - other| <= atol + rtol * |other|`, elementwise and broadcast.

    Equal infinities are close; NaN is close to NaN if `equal_nan`. Raises `ValueError` for negative
    tolerances.

    >>> import tinygrad_fc as tg
    >>> tg.isclose(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    check_argument(rtol >= 0 and atol >= 0, "isclose", "at least 0", tolerances=(rtol, atol))
    return np.isclose(input, other, float(rtol), float(atol), equal_nan)


# Logic


@define(np.logical_and, domain=(real, real))
def logical_and(input: Any, other: Any) -> Any:
    """Return the logical and, elementwise; nonzero numbers are true.

    >>> import tinygrad_fc as tg
    >>> tg.logical_and(tg.tensor([True, False]), True)
    tensor([ True, False])
    """


@define(np.logical_or, domain=(real, real))
def logical_or(input: Any, other: Any) -> Any:
    """Return the logical or, elementwise; nonzero numbers are true.

    >>> import tinygrad_fc as tg
    >>> tg.logical_or(tg.tensor([True, False]), False)
    tensor([ True, False])
    """


@define(np.logical_xor, domain=(real, real))
def logical_xor(input: Any, other: Any) -> Any:
    """Return the logical exclusive or, elementwise; nonzero numbers are true.

    >>> import tinygrad_fc as tg
    >>> tg.logical_xor(tg.tensor([True, False]), True)
    tensor([False,  True])
    """


@define(np.logical_not, domain=(real,))
def logical_not(input: Any) -> Any:
    """Return the logical not, elementwise; nonzero numbers are true.

    >>> import tinygrad_fc as tg
    >>> tg.logical_not(tg.tensor([1.0, 0.0]))
    tensor([False,  True])
    """


# Integers and booleans only.


@define(np.bitwise_and, domain=(boolean, boolean))
def bitwise_and(input: Any, other: Any) -> Any:
    """Return the bitwise and of integers or booleans, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.bitwise_and(tg.tensor([1, 5, 11]), 3)
    tensor([1, 1, 3])
    """


@define(np.bitwise_or, domain=(boolean, boolean))
def bitwise_or(input: Any, other: Any) -> Any:
    """Return the bitwise or of integers or booleans, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.bitwise_or(tg.tensor([1, 5, 11]), 3)
    tensor([ 3,  7, 11])
    """


@define(np.bitwise_xor, domain=(boolean, boolean))
def bitwise_xor(input: Any, other: Any) -> Any:
    """Return the bitwise exclusive or of integers or booleans, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.bitwise_xor(tg.tensor([1, 5, 11]), 3)
    tensor([2, 6, 8])
    """


@define(np.left_shift, domain=(index(64, negative=False), index(63, negative=False)))
def bitwise_left_shift(input: Any, other: Any) -> Any:
    """Return `input * 2**other` of integers, elementwise; bits beyond the dtype are lost.

    >>> import tinygrad_fc as tg
    >>> tg.bitwise_left_shift(tg.tensor([1, 5, 11]), 3)
    tensor([ 8, 40, 88])
    """


@define(np.right_shift, domain=(index(64, negative=False), index(63, negative=False)))
def bitwise_right_shift(input: Any, other: Any) -> Any:
    """Return `input / 2**other` of integers, elementwise, rounded down.

    >>> import tinygrad_fc as tg
    >>> tg.bitwise_right_shift(tg.tensor([1, 5, -11]), 1)
    tensor([ 0,  2, -6])
    """


@define(np.invert, domain=(boolean,))
def invert(input: Any) -> Any:
    """Return the bitwise complement of integers or booleans, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.bitwise_not(tg.tensor([True, False])), tg.bitwise_not(tg.tensor([0, 5]))
    (tensor([False,  True]), tensor([-1, -6]))
    """


# NaN, infinity, sign


@define(np.isnan, domain=(real,))
def isnan(input: Any) -> Any:
    """Return whether an element is NaN.

    >>> import tinygrad_fc as tg
    >>> tg.isnan(tg.tensor([1.0, float("nan")]))
    tensor([False,  True])
    """


@define(np.isinf, domain=(real,))
def isinf(input: Any) -> Any:
    """Return whether an element is infinite.

    >>> import tinygrad_fc as tg
    >>> tg.isinf(tg.tensor([1.0, float("inf")]))
    tensor([False,  True])
    """


@define(np.isfinite, domain=(real,))
def isfinite(input: Any) -> Any:
    """Return whether an element is neither infinite nor NaN.

    >>> import tinygrad_fc as tg
    >>> tg.isfinite(tg.tensor([1.0, float("inf")]))
    tensor([ True, False])
    """


@define(np.sign, forward=lambda x: x.copy() if x.dtype.kind == "b" else np.sign(x), domain=(real,))
def numpy_sign(input: Any) -> Any:
    """Return NumPy's sign of `input`: -1, 0 or 1, and NaN for NaN.

    >>> np.sign(np.array([-2.0, np.nan]))
    array([-1., nan])
    """


@define(domain=(real,))
def sign(input: Any) -> Any:
    """Return the sign of `input`: -1, 0 or 1, and 0 for NaN, as PyTorch does.

    >>> import tinygrad_fc as tg
    >>> tg.sign(tg.tensor([-2.0, 0.0]))
    tensor([-1.,  0.])
    """
    if input.dtype.kind != "f":
        return numpy_sign.forward(input)
    return np.where(input == input, np.sign(input), 0)  # noqa: PLR0124  false for NaN


# Rounding


def _floats_only(function: Any) -> Any:
    """Return `function` for floats, the identity for integers and booleans."""
    return lambda x: function(x) if x.dtype.kind == "f" else x.copy()


@define(np.floor, forward=_floats_only(np.floor), domain=(real,))
def floor(input: Any) -> Any:
    """Return the largest integer less than or equal to `input`.

    >>> import tinygrad_fc as tg
    >>> tg.floor(tg.tensor([1.5, -1.5]))
    tensor([ 1., -2.])
    """


@define(np.ceil, forward=_floats_only(np.ceil), domain=(real,))
def ceil(input: Any) -> Any:
    """Return the smallest integer greater than or equal to `input`.

    >>> import tinygrad_fc as tg
    >>> tg.ceil(tg.tensor([1.5, -1.5]))
    tensor([ 2., -1.])
    """


@define(np.trunc, forward=_floats_only(np.trunc), domain=(real,))
def trunc(input: Any) -> Any:
    """Return `input` rounded toward 0.

    >>> import tinygrad_fc as tg
    >>> tg.trunc(tg.tensor([1.5, -1.5]))
    tensor([ 1., -1.])
    """


_rint = _floats_only(np.rint)


@define(np.rint, forward=_rint, domain=(real,))
def rint(input: Any) -> Any:
    """Return the nearest integer; halves round to even.

    >>> rint(np.array([0.5, 1.5, 2.2]))
    array([0., 2., 2.])
    """


@define(numpy=np.round, domain=(real,), settings={"decimals": (0, 1, -1)})
def round(input: Any, *, decimals: int = 0) -> Any:
    """Return `input` rounded to `decimals` decimal places; halves round to even.

    The result never requires grad, since the derivative is 0 almost everywhere.

    >>> import tinygrad_fc as tg
    >>> tg.round(tg.tensor([0.5, 1.5, 2.25]))
    tensor([0., 2., 2.])
    """
    return np.round(input, decimals) if decimals else _rint(input)


# Functions of axes


def _axis_or_none(x: Any) -> Any:
    """Return the valid values of `dim` for argmax: None and the axes that are not empty."""
    return [a for a in nonempty_axes(x) if not isinstance(a, tuple)]


_INDEX_SETTINGS = {"dim": _axis_or_none, "keepdim": true_or_false}
_SETTINGS: dict[str, Any] = {"dim": axis, "keepdim": true_or_false}


@define(numpy=np.argmax, domain=(real(..., "n"),), settings=_INDEX_SETTINGS)
def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the index of the first largest element, over `dim` or in the flattened tensor.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).argmax(dim=1)
    tensor([1, 0])
    """
    return input.argmax(axis=dim, keepdims=keepdim)


@define(numpy=np.argmin, domain=(real(..., "n"),), settings=_INDEX_SETTINGS)
def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the index of the first smallest element, over `dim` or in the flattened tensor.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).argmin(dim=1)
    tensor([0, 1])
    """
    return input.argmin(axis=dim, keepdims=keepdim)


@define(
    numpy=np.argsort, domain=(real(..., "n"),), settings={"axis": axis, "descending": true_or_false}
)
def argsort(input: Any, *, axis: Any = -1, descending: Any = False) -> Any:
    """Return the indices that sort along `axis`; equal elements keep their order.

    >>> argsort(np.array([3.0, 1.0, 2.0]))
    array([1, 2, 0])
    """
    if not descending:
        return np.argsort(input, axis=axis, kind="stable")
    # The flipped array is sorted, and the result flipped, so that the sort is stable.
    back = np.argsort(np.flip(input, axis), axis=axis, kind="stable")
    return np.flip(input.shape[axis] - 1 - back, axis)


@define(numpy=np.all, domain=(real,), settings=_SETTINGS, empty_dim=())
def all(input: Any, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return whether all elements over `dim` are true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).all()
    tensor(False)
    """
    return input.all(axis=dim, keepdims=keepdim)


@define(numpy=np.any, domain=(real,), settings=_SETTINGS, empty_dim=())
def any(input: Any, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return whether any element over `dim` is true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).any()
    tensor(True)
    """
    return input.any(axis=dim, keepdims=keepdim)


@define(numpy=np.count_nonzero, domain=(real,), settings={"dim": axis})
def count_nonzero(input: Any, dim: Dim = None) -> Any:
    """Return the number of nonzero elements over `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.count_nonzero(tg.tensor([[1.0, 0.0], [2.0, 3.0]]), dim=0)
    tensor([2, 1])
    """
    return np.count_nonzero(input, axis=dim)


# PyTorch's names

bitwise_not = invert
