"""Activations made of straight lines, as layers: see `nn.activation` for smooth ones.

The shape of the input is the shape of the output. `inplace` is taken and shown for PyTorch's
sake; the input always stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.graph import record
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn import init
from tinygrad_fc.nn.activation import NONE, Activation, InPlace
from tinygrad_fc.nn.error import LayerError
from tinygrad_fc.nn.parameter import unfilled
from tinygrad_fc.ops import elementwise as e

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


class ReLU(InPlace):
    """`max(x, 0)`, element by element; its slope at 0 is 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.ReLU()(tg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return record(e.relu, (input,), NONE)


class LeakyReLU(Activation):
    """`x` where it is positive, `negative_slope * x` elsewhere. Maas et al. (2013).

    >>> import tinygrad_fc as tg
    >>> tg.nn.LeakyReLU()(tg.tensor([-1.0, 2.0]))
    tensor([-0.01,  2.  ])
    """

    shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)


class PReLU(Activation):
    """`x` where it is positive, `weight * x` elsewhere, with slopes that are learned.

    `weight` (num_parameters,) starts at `init`: one slope for all, or one for each channel of an
    input (N, C, ...). Raises `LayerError` for another number of channels. He et al. (2015).

    >>> import tinygrad_fc as tg
    >>> tg.nn.PReLU()(tg.tensor([-1.0, 2.0])).detach()
    tensor([-0.25,  2.  ])
    """

    shown = ("num_parameters",)

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = unfilled(num_parameters, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all slopes to `init`."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim > 1 and self.num_parameters not in (1, input.shape[1]):
            raise LayerError(
                self, input, axis=1, wanted=self.num_parameters, setting="num_parameters"
            )
        return F.prelu(input, self.weight)


class Hardtanh(Activation):
    """`x` kept within `min_val` and `max_val`; the slope at a bound is 0.

    Raises `ValueError` unless `min_val < max_val`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Hardtanh()(tg.tensor([-2.0, 0.5]))
    tensor([-1. ,  0.5])
    """

    shown: tuple[str, ...] = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ValueError(f"Hardtanh needs min_val < max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val)


class ReLU6(Hardtanh):
    """`x` kept within 0 and 6; the slope at either is 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.ReLU6()(tg.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """

    shown = ()

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)


class Hardsigmoid(InPlace):
    """`x / 6 + 1 / 2` kept within 0 and 1: a sigmoid of straight lines.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Hardsigmoid()(tg.tensor([-4.0, 0.0, 1.5]))
    tensor([0.  , 0.5 , 0.75])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input)

    def extra_repr(self) -> str:
        return ""


class Hardswish(InPlace):
    """`x * hardsigmoid(x)`, element by element. Howard et al. (2019).

    >>> import tinygrad_fc as tg
    >>> tg.nn.Hardswish()(tg.tensor([1.5, 3.0]))
    tensor([1.125, 3.   ])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input)

    def extra_repr(self) -> str:
        return ""


class _Shrink(Activation):
    """What has one bound, on both sides of 0."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """0 from `-lambd` to `lambd`, and `x` elsewhere.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Hardshrink()(tg.tensor([0.5, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """`x` moved towards 0 by `lambd`, and 0 where it is nearer than that.

    Raises `ValueError` for `lambd` below 0, when called.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Softshrink()(tg.tensor([-2.0, 0.25]))
    tensor([-1.5,  0. ])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)


class Threshold(Activation):
    """`x` where it is above `threshold`, `value` elsewhere.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Threshold(1.0, -1.0)(tg.tensor([0.5, 2.0]))
    tensor([-1.,  2.])
    """

    shown = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value)
