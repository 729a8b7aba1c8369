"""Activations as modules: each calls its function of `nn.functional`, which has the formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn import init
from tinygrad_fc.nn.from_function import FromFunction
from tinygrad_fc.nn.layer_error import LayerError
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import unfilled

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
    "LeakyReLU", "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "SiLU",
    "Sigmoid", "Softmax", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
    "Threshold",
]  # fmt: skip


class Activation(FromFunction):
    """Base of activations: `repr` shows the settings, `inplace` only if it is set."""

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in self._settings if name != "inplace"]
        return ", ".join([*shown, "inplace=True"] if getattr(self, "inplace", False) else shown)


class Sigmoid(Activation, function=F.sigmoid):
    """Logistic sigmoid, formula (2) of `handderived.py`."""


class Tanh(Activation, function=F.tanh):
    """Hyperbolic tangent."""


class ReLU(Activation, function=F.relu):
    """Rectified linear unit."""

    inplace: bool = False


class LeakyReLU(Activation, function=F.leaky_relu):
    """Leaky rectified linear unit."""

    negative_slope: float = 0.01
    inplace: bool = False


class ReLU6(Activation, function=F.relu6):
    """Rectified linear unit with the upper bound 6."""

    inplace: bool = False


class SiLU(Activation, function=F.silu):
    """Sigmoid linear unit."""

    inplace: bool = False


class Mish(Activation, function=F.mish):
    """Mish activation."""

    inplace: bool = False


class GELU(Activation, function=F.gelu):
    """Gaussian error linear unit."""

    approximate: str = "none"


class Softplus(Activation, function=F.softplus):
    """Softplus, a smooth approximation of ReLU."""

    beta: float = 1.0
    threshold: float = 20.0


class LogSigmoid(Activation, function=F.logsigmoid):
    """Logarithm of the sigmoid."""


class ELU(Activation, function=F.elu):
    """Exponential linear unit."""

    alpha: float = 1.0
    inplace: bool = False


class SELU(Activation, function=F.selu):
    """Scaled exponential linear unit."""

    inplace: bool = False


class CELU(Activation, function=F.celu):
    """Continuously differentiable exponential linear unit."""

    alpha: float = 1.0
    inplace: bool = False


class Softsign(Activation, function=F.softsign):
    """Softsign, `x / (1 + |x|)`."""


class Tanhshrink(Activation, function=F.tanhshrink):
    """Difference of the input and its hyperbolic tangent."""


class Hardtanh(Activation, function=F.hardtanh):
    """Clamp to an interval."""

    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False


class Hardsigmoid(Activation, function=F.hardsigmoid):
    """Piecewise linear sigmoid."""

    inplace: bool = False


class Hardswish(Activation, function=F.hardswish):
    """SiLU with the piecewise linear sigmoid."""

    inplace: bool = False


class _Shrink(Activation):
    lambd: float = 0.5

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink, function=F.hardshrink):
    """Hard shrinkage."""


class Softshrink(_Shrink, function=F.softshrink):
    """Soft shrinkage."""


class Threshold(Activation, function=F.threshold):
    """Replace values at or below a threshold."""

    threshold: float
    value: float
    inplace: bool = False


class GLU(Activation, function=F.glu):
    """Gated linear unit."""

    dim: int = -1


class Softmax(Activation, function=F.softmax):
    """Softmax over an axis. `CrossEntropyLoss` takes logits: do not apply it before."""

    dim: int | None = None


class LogSoftmax(Activation, function=F.log_softmax):
    """Logarithm of the softmax over an axis."""

    dim: int | None = None


class Softmin(Activation, function=F.softmin):
    """Softmax of the negative input over an axis."""

    dim: int | None = None


class PReLU(Module):
    """Leaky ReLU with learned slopes, `nn.functional.prelu`. He et al. (2015).

    `weight` (num_parameters,) is initialized to `init`: one slope for all, or one per channel of an
    input (N, C, ...). Raises `LayerError` for another number of channels.

    >>> import tinygrad_fc as tg
    >>> tg.nn.PReLU()(tg.tensor([-1.0, 2.0])).detach()
    tensor([-0.25,  2.  ])
    """

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
        n = self.num_parameters
        if input.ndim > 1 and n not in (1, input.shape[1]):
            raise LayerError(self, input, axis=1, expected=n, setting="num_parameters")
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
