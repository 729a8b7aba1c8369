"""Whether two tensors are alike, in PyTorch's spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.functions.indexing import plain
from tinygrad_fc.ops import constant

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def isclose(
    input: Tensor, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Tell where `|input - other| <= atol + rtol * |other|`, broadcast.

    Infinities of one sign are close, and NaN is close to NaN with `equal_nan`. Raises `ShapeError`
    for negative tolerances.

    >>> import tinygrad_fc as tg
    >>> tg.isclose(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    if not (rtol >= 0 and atol >= 0):
        message = f"isclose needs tolerances from 0 on, got rtol={rtol} and atol={atol}"
        raise ShapeError(message)
    return constant.isclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


def allclose(
    input: Tensor, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Tell whether all elements are close, see `isclose`.

    >>> import tinygrad_fc as tg
    >>> tg.allclose(tg.tensor([1.0]), tg.tensor([1.0 + 1e-9]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors have one shape and the same elements; NaN equals nothing.

    >>> import tinygrad_fc as tg
    >>> tg.equal(tg.ones(2), tg.ones(2, 1))
    False
    """
    return bool(np.array_equal(plain(input), plain(other)))
