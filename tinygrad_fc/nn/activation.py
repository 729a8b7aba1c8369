"""Smooth activations and the softmax as layers: see `nn.rectifier` for those of straight lines.

They have no parameters, and the shape of the input is the shape of the output. `inplace` is taken
and shown for PyTorch's sake; the input always stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.graph import record
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn.module import Module
from tinygrad_fc.ops import activation as a
from tinygrad_fc.ops import elementwise as e

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

NONE: dict[str, Any] = {}


class Activation(Module):
    """What activations share: settings, kept as attributes, of which `repr` shows those `shown`."""

    shown: tuple[str, ...] = ()
    inplace = False

    def extra_repr(self) -> str:
        told = [f"{name}={getattr(self, name)!r}" for name in self.shown]
        return ", ".join([*told, "inplace=True"] if self.inplace else told)


class InPlace(Activation):
    """What activations share whose only setting is `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Sigmoid(Activation):
    """`1 / (1 + exp(-x))`, element by element: outputs in (0, 1). Formula (1).

    >>> import tinygrad_fc as tg
    >>> tg.nn.Sigmoid()(tg.tensor([0.0]))
    tensor([0.5])
    """

    def forward(self, input: Tensor) -> Tensor:
        return record(e.sigmoid, (input,), NONE)


class Tanh(Activation):
    """The hyperbolic tangent, element by element: outputs in (-1, 1).

    >>> import tinygrad_fc as tg
    >>> tg.nn.Tanh()(tg.tensor([0.0]))
    tensor([0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return record(e.tanh, (input,), NONE)


class SiLU(InPlace):
    """`x * sigmoid(x)`, element by element, also known as swish. Elfwing et al. (2017).

    >>> import tinygrad_fc as tg
    >>> tg.nn.SiLU()(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.7311])
    """

    def forward(self, input: Tensor) -> Tensor:
        return record(a.silu, (input,), NONE)


class Mish(InPlace):
    """`x * tanh(softplus(x))`, element by element. Misra (2019).

    >>> import tinygrad_fc as tg
    >>> tg.nn.Mish()(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8651])
    """

    def forward(self, input: Tensor) -> Tensor:
        return record(a.mish, (input,), NONE)


class GELU(Activation):
    """`x * P(x)`, with the normal distribution P, element by element. Hendrycks and Gimpel (2016).

    `approximate="tanh"` is the faster curve of `nn.functional.gelu`, within 0.0005 of it. Raises
    `ValueError` for another, when called.

    >>> import tinygrad_fc as tg
    >>> tg.nn.GELU()(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8413])
    """

    shown = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)


class Softplus(Activation):
    """`log(1 + exp(beta * x)) / beta`, element by element: a smooth ramp.

    Above a `threshold` below 20 of `beta * x` it is `x`; else exact, see `nn.functional.softplus`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Softplus()(tg.tensor([0.0]))
    tensor([0.6931])
    """

    shown = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)


class LogSigmoid(Activation):
    """`log(sigmoid(x))` (in nats), element by element: outputs below 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.LogSigmoid()(tg.tensor([0.0]))
    tensor([-0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class ELU(Activation):
    """`x` where it is positive, `alpha * (exp(x) - 1)` elsewhere. Clevert et al. (2015).

    >>> import tinygrad_fc as tg
    >>> tg.nn.ELU()(tg.tensor([-1.0, 1.0]))
    tensor([-0.6321,  1.    ])
    """

    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha)


class SELU(InPlace):
    """1.0507 times `ELU(1.6733)`: keeps mean 0 and variance 1. Klambauer et al. (2017).

    Initialise weights with `nn.init.kaiming_normal_(w, nonlinearity="linear")` for it.

    >>> import tinygrad_fc as tg
    >>> tg.nn.SELU()(tg.tensor([-1.0, 1.0]))
    tensor([-1.1113,  1.0507])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input)


class CELU(Activation):
    """`x` where it is positive, `alpha * (exp(x / alpha) - 1)` elsewhere. Barron (2017).

    Raises `ZeroDivisionError` where `alpha` is 0, when called.

    >>> import tinygrad_fc as tg
    >>> tg.nn.CELU(alpha=2.0)(tg.tensor([-1.0, 1.0]))
    tensor([-0.7869,  1.    ])
    """

    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha)


class Softsign(Activation):
    """`x / (1 + |x|)`, element by element: outputs in (-1, 1).

    >>> import tinygrad_fc as tg
    >>> tg.nn.Softsign()(tg.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


class Tanhshrink(Activation):
    """`x - tanh(x)`, element by element.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Tanhshrink()(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.2384])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)


class GLU(Activation):
    """`a * sigmoid(b)` of the halves `a` and `b` of the input along `dim`. Dauphin et al. (2016).

    (..., 2n, ...) gives (..., n, ...). Raises `ShapeError` for an odd size.

    >>> import tinygrad_fc as tg
    >>> tg.nn.GLU()(tg.tensor([3.0, 0.0]))
    tensor([1.5])
    """

    shown = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)


class _Along(Activation):
    """What is done along one axis."""

    shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class Softmax(_Along):
    """Exponentials that sum to 1 over `dim`: probabilities from scores.

    Raises `ShapeError` for a `dim` that is None or not there, when called. `CrossEntropyLoss`
    takes scores without it.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Softmax(dim=0)(tg.tensor([0.0, 0.0]))
    tensor([0.5, 0.5])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class LogSoftmax(_Along):
    """The logarithm of `Softmax` (in nats), to the last digits.

    >>> import tinygrad_fc as tg
    >>> tg.nn.LogSoftmax(dim=0)(tg.tensor([0.0, 0.0]))
    tensor([-0.6931, -0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class Softmin(_Along):
    """`Softmax` of `-x`: the smallest number gets the most.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Softmin(dim=0)(tg.tensor([0.0, 1000.0]))
    tensor([1., 0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)
