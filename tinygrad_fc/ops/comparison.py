"""Comparisons, logic, rounding, argmax, argsort: ops whose results never require grad."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.domain import axis, boolean, nonempty_axes, real, true_or_false
from tinygrad_fc.op import define

__all__ = ["bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "ceil", "eq", "floor", "ge"]
__all__ += ["gt", "isfinite", "isinf", "isnan", "le", "logical_and", "logical_not", "logical_or"]
__all__ += ["logical_xor", "lt", "ne", "sign", "trunc"]

# Comparisons


@define(np.equal, domain=(real, real))
def equal(input: Any, other: Any) -> Any:
    """Return whether input == other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.eq(tg.tensor([1.0, 2.0]), 2)
    tensor([False,  True])
    """


@define(np.not_equal, domain=(real, real))
def not_equal(input: Any, other: Any) -> Any:
    """Return whether input != other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.ne(tg.tensor([1.0, 2.0]), 2)
    tensor([ True, False])
    """


@define(np.less, domain=(real, real))
def less(input: Any, other: Any) -> Any:
    """Return whether input < other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.lt(tg.tensor([1.0, 2.0]), 2)
    tensor([ True, False])
    """


@define(np.less_equal, domain=(real, real))
def less_equal(input: Any, other: Any) -> Any:
    """Return whether input <= other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.le(tg.tensor([1.0, 3.0]), 2)
    tensor([ True, False])
    """


@define(np.greater, domain=(real, real))
def greater(input: Any, other: Any) -> Any:
    """Return whether input > other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.gt(tg.tensor([1.0, 3.0]), 2)
    tensor([False,  True])
    """


@define(np.greater_equal, domain=(real, real))
def greater_equal(input: Any, other: Any) -> Any:
    """Return whether input >= other, elementwise.

    >>> import tinygrad_fc as tg
    >>> tg.ge(tg.tensor([1.0, 2.0]), 2)
    tensor([False,  True])
    """


@define(
    np.isclose,
    domain=(real, real),
    settings={
        "rtol": lambda *_: (1e-5, 0.5),
        "atol": lambda *_: (1e-8, 0.0),
        "equal_nan": true_or_false,
    },
)
def isclose(
    input: Any, other: Any, *, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: Any = False
) -> Any:
    """Return whether |input - other| <= atol + rtol * |other|, elementwise.

    >>> isclose(np.array([1.0, 2.0]), np.array([1.0, 2.1]))
    array([ True, False])
    """


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


@define(np.signbit, domain=(real,))
def signbit(input: Any) -> Any:
    """Return whether the sign bit is set, as in -0.0.

    >>> signbit(np.array([1.0, -0.0]))
    array([False,  True])
    """


@define(
    np.sign,
    forward=lambda x: np.array(x) if x.dtype.kind == "b" else np.sign(x),
    domain=(real,),
)
def sign(input: Any) -> Any:
    """Return the sign of `input`: -1, 0 or 1.

    >>> import tinygrad_fc as tg
    >>> tg.sign(tg.tensor([-2.0, 0.0]))
    tensor([-1.,  0.])
    """


# Rounding


def _floats_only(function: Any) -> Any:
    """Return `function` for floats, the identity for integers and booleans."""
    return lambda x: function(x) if x.dtype.kind == "f" else np.array(x)


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


@define(np.rint, forward=_floats_only(np.rint), domain=(real,))
def rint(input: Any) -> Any:
    """Return the nearest integer; halves round to even.

    >>> rint(np.array([0.5, 1.5, 2.2]))
    array([0., 2., 2.])
    """


@define(np.round, domain=(real,), settings={"decimals": lambda *_: (0, 1, -1)})
def round_(input: Any, *, decimals: Any = 0) -> Any:
    """Return `input` rounded to `decimals`.

    >>> round_(np.array([1.26]), decimals=1)
    array([1.3])
    """


# Functions of axes


def _axis_or_none(x: Any) -> Any:
    """Return the valid values of `axis` for argmax: None and the axes that are not empty."""
    return [a for a in nonempty_axes(x) if not isinstance(a, tuple)]


@define(
    np.argmax, domain=(real(..., "n"),), settings={"axis": _axis_or_none, "keepdims": true_or_false}
)
def argmax(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the index of the first largest element, over `axis` or in the flattened array.

    >>> int(argmax(np.array([1.0, 3.0, 2.0])))
    1
    """


@define(
    np.argmin, domain=(real(..., "n"),), settings={"axis": _axis_or_none, "keepdims": true_or_false}
)
def argmin(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return the index of the first smallest element, over `axis` or in the flattened array.

    >>> int(argmin(np.array([1.0, 3.0, 2.0])))
    0
    """


def _argsort(x: Any, *, axis: int = -1, descending: bool = False) -> Any:
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # The flipped array is sorted, and the result flipped, so that the sort is stable.
    back = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - back, axis)


@define(
    np.argsort,
    forward=_argsort,
    domain=(real(..., "n"),),
    settings={"axis": axis, "descending": true_or_false},
)
def argsort(input: Any, *, axis: Any = -1, descending: Any = False) -> Any:
    """Return the indices that sort along `axis`; equal elements keep their order.

    >>> argsort(np.array([3.0, 1.0, 2.0]))
    array([1, 2, 0])
    """


@define(np.all, domain=(real,), settings={"axis": axis, "keepdims": true_or_false})
def all_(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return whether all elements over `axis` are nonzero.

    >>> bool(all_(np.array([1.0, 0.0])))
    False
    """


@define(np.any, domain=(real,), settings={"axis": axis, "keepdims": true_or_false})
def any_(input: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    """Return whether any element over `axis` is nonzero.

    >>> bool(any_(np.array([1.0, 0.0])))
    True
    """


@define(np.count_nonzero, domain=(real,), settings={"axis": axis})
def count_nonzero(input: Any, *, axis: Any = None) -> Any:
    """Return the number of nonzero elements over `axis`.

    >>> int(count_nonzero(np.array([1.0, 0.0])))
    1
    """


@define(
    name="astype",
    domain=(real,),
    settings={"dtype": lambda *_: (np.dtype("l"), np.dtype("?"))},
)
def astype_integer(input: Any, *, dtype: Any) -> Any:
    """Return `input` cast to an integer or boolean dtype; `ops.shape.astype` casts to floats.

    >>> astype_integer(np.array([1.5, 0.0]), dtype=bool)
    array([ True, False])
    """
    return input.astype(dtype)


# PyTorch's names

eq, ne, lt, le, gt, ge = equal, not_equal, less, less_equal, greater, greater_equal
bitwise_not = invert
