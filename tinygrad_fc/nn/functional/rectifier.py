"""Activations made of straight lines, element by element.

An input of any shape gives an output of that shape. At a kink the slope is PyTorch's. `inplace` is
taken for PyTorch's sake; what was handed in always stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import record
from tinygrad_fc.ops import activation as a
from tinygrad_fc.ops import elementwise as e

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `max(x, 0)`; the slope at 0 is 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.relu(tg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    del inplace
    return e.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return `x` where it is positive, `negative_slope * x` elsewhere. Maas et al. (2013).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.leaky_relu(tg.tensor([-1.0, 2.0]))
    tensor([-0.01,  2.  ])
    """
    del inplace
    return record(a.leaky_relu, (input,), {"negative_slope": negative_slope})


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return `x` where it is positive, `weight * x` elsewhere, with a learned slope.

    `input` (N, C, ...), `weight` (C,), or one slope for all: (1,) or (). Raises `ShapeError` for
    another number of slopes. He et al. (2015), "Delving deep into rectifiers".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.prelu(tg.tensor([[-1.0, -1.0]]), tg.tensor([0.5, 0.25]))
    tensor([[-0.5 , -0.25]])
    """
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(
            f"prelu needs one slope, or one for each of the {channels} channels of an input of "
            f"shape {input.shape}, and got slopes of shape {tuple(weight.shape)}"
        )
    if weight.numel() > 1 and input.ndim > 2:
        weight = weight.reshape((-1, *(1,) * (input.ndim - 2)))
    elif weight.ndim > input.ndim:
        weight = weight.reshape(())
    return e.where(input > 0, input, weight * input)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """Return `x` kept within `min_val` and `max_val`; the slope at a bound is 0.

    Raises `ValueError` where the bounds cross.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.hardtanh(tg.tensor([-2.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    del inplace
    if min_val > max_val:
        raise ValueError(f"hardtanh needs min_val <= max_val, got {min_val} and {max_val}")
    return record(a.hardtanh, (input,), {"low": min_val, "high": max_val})


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `x` kept within 0 and 6; the slope at either is 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.relu6(tg.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """
    return hardtanh(input, 0.0, 6.0, inplace)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `x / 6 + 1 / 2` kept within 0 and 1, a sigmoid of straight lines.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.hardsigmoid(tg.tensor([-4.0, 0.0, 1.5]))
    tensor([0.  , 0.5 , 0.75])
    """
    return (hardtanh(input, -3.0, 3.0, inplace) + 3) / 6


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return `x * hardsigmoid(x)`. Howard et al. (2019), "Searching for MobileNetV3".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.hardswish(tg.tensor([1.5, 3.0]))
    tensor([1.125, 3.   ])
    """
    return input * hardsigmoid(input, inplace)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return 0 from `-lambd` to `lambd`, and `x` elsewhere.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.hardshrink(tg.tensor([0.5, 2.0]))
    tensor([0., 2.])
    """
    return e.where((input >= -lambd) & (input <= lambd), 0, input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return `x` moved towards 0 by `lambd`, and 0 where it is nearer than that.

    Raises `ValueError` for `lambd` below 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.softshrink(tg.tensor([-2.0, 0.25]))
    tensor([-1.5,  0. ])
    """
    if not lambd >= 0:
        raise ValueError(f"softshrink needs a lambd of at least 0, got {lambd}")
    return input - e.clip(input, -lambd, lambd)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return `x` where it is above `threshold`, `value` elsewhere.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.threshold(tg.tensor([0.5, 2.0]), 1.0, -1.0)
    tensor([-1.,  2.])
    """
    del inplace
    return e.where(input <= threshold, value, input)
