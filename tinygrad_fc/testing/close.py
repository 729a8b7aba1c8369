"""`assert_close`, which compares tensors and containers of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.core.node import Node, as_array
from tinygrad_fc.core.pytree import flatten

TOLERANCES = {"e": (1e-3, 1e-5), "f": (1.3e-6, 1e-5), "d": (1e-7, 1e-7)}
"""PyTorch's relative and absolute tolerances, by the character of a float dtype."""


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
    msg: Any = None,
    **_unused: Any,
) -> None:
    """Raise `AssertionError` unless `|actual - expected| <= atol + rtol * |expected|`.

    They are tensors of one shape and dtype (unless `check_dtype` is false), arrays, numbers, or
    lists, tuples and dicts of these. The tolerances are PyTorch's for the less precise dtype, 0 for
    integers. `msg` is another message, or a function of the message. Other options of
    PyTorch's have no effect.

    >>> import tinygrad_fc as tg
    >>> tg.testing.assert_close(tg.ones(2), tg.ones(2) + 1e-9)
    >>> tg.testing.assert_close(tg.ones(2), tg.tensor([1.0, 2.0]))
    Traceback (most recent call last):
    AssertionError: 1 of 2 elements are not close: at (1,) there is 1.0, expected 2.0
    """
    (found, structure), (wanted, other) = flatten(actual), flatten(expected)
    messages = [f"the structure is {structure}, expected {other}"]
    if structure == other:
        messages = [
            _difference(a, b, rtol, atol, equal_nan=equal_nan, check_dtype=check_dtype)
            for a, b in zip(found, wanted, strict=True)
        ]
    if message := "; ".join(filter(None, messages)):
        raise AssertionError(message if msg is None else msg(message) if callable(msg) else msg)


def _difference(
    actual: Any, expected: Any, rtol: Any, atol: Any, *, equal_nan: bool, check_dtype: bool
) -> str:
    """Return how two tensors or numbers differ, or an empty text."""
    a, b = as_array(actual), as_array(expected)
    if a.shape != b.shape:
        return f"the shape is {a.shape}, expected {b.shape}"
    if check_dtype and isinstance(actual, Node) and a.dtype != b.dtype:
        return f"the dtype is {a.dtype}, expected {b.dtype}"
    defaults = [TOLERANCES.get(x.dtype.char, (0.0, 0.0)) for x in (a, b)]
    relative, absolute = map(max, zip(*defaults, strict=True))
    rtol, atol = relative if rtol is None else rtol, absolute if atol is None else atol
    close = np.isclose(a.astype("d"), b.astype("d"), rtol, atol, equal_nan)
    if close.all():
        return ""
    at = tuple(int(k) for k in np.argwhere(~close)[0])
    where = f"at {at} there is {a[at]}, expected {b[at]}"
    return f"{int((~close).sum())} of {close.size} elements are not close: {where}"
