"""Element by element, in PyTorch's spelling: what is more than a row of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.graph import Node, record, wrap
from tinygrad_fc.ops import constant
from tinygrad_fc.ops import elementwise as e

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def add(input: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """Return `input + alpha * other`, broadcast.

    >>> import tinygrad_fc as tg
    >>> tg.add(tg.tensor([1.0, 2.0]), 3, alpha=10)
    tensor([31., 32.])
    """
    return e.add(input, other if alpha == 1 else e.multiply(other, alpha))


def sub(input: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """Return `input - alpha * other`, broadcast.

    >>> import tinygrad_fc as tg
    >>> tg.sub(tg.tensor([1.0, 2.0]), 3)
    tensor([-2., -1.])
    """
    return e.subtract(input, other if alpha == 1 else e.multiply(other, alpha))


def div(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Return `input / other`, broadcast; rounded towards zero (`"trunc"`) or down (`"floor"`).

    A rounded quotient has no gradient. Raises `ValueError` for another rounding mode.

    >>> import tinygrad_fc as tg
    >>> tg.div(tg.tensor([7.0, -7.0]), 2, rounding_mode="trunc")
    tensor([ 3., -3.])
    """
    if rounding_mode is None:
        return e.divide(input, other)
    if rounding_mode == "floor":
        return constant.floor_divide(input, other)
    if rounding_mode == "trunc":
        return constant.trunc(e.divide(input, other)).type_as(input)
    message = f'rounding_mode is None, "trunc" or "floor", got {rounding_mode!r}'
    raise ValueError(message)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Return `input` kept within `min` and `max`, numbers or tensors; the slope at a bound is 1.

    Where the bounds cross, `max` wins. Raises `ValueError` where neither is given.

    >>> import tinygrad_fc as tg
    >>> tg.clamp(tg.tensor([-2.0, 0.5, 2.0]), min=-1, max=1)
    tensor([-1. ,  0.5,  1. ])
    """
    if min is None and max is None:
        message = "clamp needs a bound: pass min, max or both"
        raise ValueError(message)
    limits = np.finfo if input.dtype.kind == "f" else np.iinfo
    low = -np.inf if limits is np.finfo else int(np.iinfo(input.dtype).min)
    high = np.inf if limits is np.finfo else int(np.iinfo(input.dtype).max)
    return e.clip(input, low if min is None else min, high if max is None else max)


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """Return `input` where `condition` holds and `other` elsewhere, broadcast.

    The branch that is not taken gets a gradient of exactly zero. With a condition alone, the
    indices where it holds, one tensor an axis. Raises `TypeError` for one of the two others.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([-1.0, 4.0])
    >>> tg.where(x > 0, x.sqrt(), 0.0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        array = condition._array if isinstance(condition, Node) else np.asarray(condition)
        return tuple(wrap(k) for k in np.nonzero(np.atleast_1d(array)))
    if input is None or other is None:
        message = "where takes a condition alone, or a condition and what to choose from, both"
        raise TypeError(message)
    if isinstance(condition, Node) and condition._array.dtype != bool:
        condition = record(constant.whole, (condition,), {"dtype": np.dtype(bool)})
    return e.where(condition, input, other)


def pow(input: Any, exponent: Any) -> Tensor:
    """Return `input` to the power of `exponent`, broadcast; either may be a number.

    >>> import tinygrad_fc as tg
    >>> tg.pow(tg.tensor([2.0, 3.0]), 2)
    tensor([4., 9.])
    """
    return e.power(input, exponent)


def masked_fill(input: Tensor, mask: Any, value: Any) -> Tensor:
    """Return `input` with `value` where `mask`, which broadcasts to it, is true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0]).masked_fill(tg.tensor([True, False]), 0)
    tensor([0., 2.])
    """
    return e.where(mask, value, input)
