"""Functions whose results are floats, on whole numbers and truth values."""

from __future__ import annotations

from typing import Any

from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.op import Op, quiet
from tinygrad_fc.op import row as op


def floats(function: Any, count: int = 1) -> Any:
    """Return `function` that takes whole numbers and truth values for floats of the default dtype.

    NumPy would take small ones for float16. `count` arrays, where it is no ufunc, which tells.
    """

    # What floats give is of their dtype, so that one comparison is all that it costs them. What
    # whole numbers give is not, and is not used.
    def of_one(x: Any) -> Any:
        out = function(x)
        dtype = getattr(x, "dtype", None)
        return out if out.dtype is dtype else _anew(function, out, x)

    def of_several(*arrays: Any) -> Any:
        out = function(*arrays)
        dtype = out.dtype
        for a in arrays:
            if getattr(a, "dtype", None) is dtype:
                return out
        return _anew(function, out, *arrays)

    return of_one if getattr(function, "nin", count) == 1 else of_several


def _anew(function: Any, out: Any, *arrays: Any) -> Any:
    """Return `out`, or where no array holds floats what `function` makes of them as floats."""
    dtypes = [getattr(a, "dtype", None) for a in arrays]
    if all(d is None for d in dtypes) or any(d is not None and d.kind == "f" for d in dtypes):
        return out
    dtype = get_default_dtype()
    return function(*(a.astype(dtype) if hasattr(a, "dtype") else a for a in arrays))


def curve(function: Any, *, overflows: bool = False, **row: Any) -> Op:
    """Add the row of a ufunc that gives floats; one that `overflows` does so without a word."""
    forward = floats(function)
    return op(function, forward=quiet(forward) if overflows else forward, **row)
