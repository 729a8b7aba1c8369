"""Functions without a slope: their results never require grad."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.domain import axis, boolean, filled, flag, real
from tinygrad_fc.op import row as op

equal, not_equal, less, less_equal, greater, greater_equal = (
    op(f, domain=(real, real))
    for f in (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)
)
logical_and, logical_or, logical_xor = (
    op(f, domain=(real, real)) for f in (np.logical_and, np.logical_or, np.logical_xor)
)
isnan, isinf, isfinite, signbit, logical_not = (
    op(f, domain=(real,)) for f in (np.isnan, np.isinf, np.isfinite, np.signbit, np.logical_not)
)


def _whole(function: Any) -> Any:
    """Return `function` that gives whole numbers and truth values back as they are."""
    return lambda x: function(x) if x.dtype.kind == "f" else np.array(x)


floor, ceil, trunc, rint = (
    op(f, forward=_whole(f), domain=(real,)) for f in (np.floor, np.ceil, np.trunc, np.rint)
)
sign = op(
    np.sign,
    forward=lambda x: np.array(x) if x.dtype.kind == "b" else np.sign(x),
    domain=(real,),
)
round_ = op(np.round, domain=(real,), settings={"decimals": lambda *_: (0, 1, -1)})
isclose = op(
    np.isclose,
    domain=(real, real),
    settings={
        "rtol": lambda *_: (1e-5, 0.5),
        "atol": lambda *_: (1e-8, 0.0),
        "equal_nan": flag,
    },
)
# Whole numbers and truth values only, for which the bits are what they combine.
bitwise_and, bitwise_or, bitwise_xor = (
    op(f, domain=(boolean, boolean)) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)
)
invert = op(np.invert, domain=(boolean,))


def _one(x: Any) -> Any:
    """One axis of `x` along which there is an element to choose, or all of them."""
    return [a for a in filled(x) if not isinstance(a, tuple)]


argmax, argmin = (
    op(f, domain=(real(..., "n"),), settings={"axis": _one, "keepdims": flag})
    for f in (np.argmax, np.argmin)
)


def _argsort(x: Any, *, axis: int = -1, descending: bool = False) -> Any:
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # From the back, so that equal elements keep their order when the result is turned round.
    back = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.flip(x.shape[axis] - 1 - back, axis)


argsort = op(
    np.argsort,
    forward=_argsort,
    domain=(real(..., "n"),),
    settings={"axis": axis, "descending": flag},
)
all_, any_ = (
    op(f, domain=(real,), settings={"axis": axis, "keepdims": flag}) for f in (np.all, np.any)
)
count_nonzero = op(np.count_nonzero, domain=(real,), settings={"axis": axis})


def _cast(x: Any, *, dtype: Any) -> Any:
    return x.astype(dtype)


whole = op(
    _cast,
    name="astype",
    domain=(real,),
    settings={"dtype": lambda *_: (np.dtype("l"), np.dtype("?"))},
)
"""Casts to whole numbers and truth values; between floats a cast has a slope, see `ops.shape`."""
