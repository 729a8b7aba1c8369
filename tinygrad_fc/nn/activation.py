"""Activations as modules, and `FromFunction`, the base of modules that call a function."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

import numpy as np

from tinygrad_fc.core.node import Node
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn import init
from tinygrad_fc.nn.functional.loss import pop_reduction
from tinygrad_fc.nn.layer_error import check_size, warn_if_promoted
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import unfilled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tinygrad_fc.tensors import Tensor

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
    "LeakyReLU", "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "SiLU", "Sigmoid",
    "Softmax", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold",
]  # fmt: skip


class _Signature:
    """Descriptor that builds the signature of a class from its settings.

    The signature is built only when it is read, which makes imports faster.
    """

    def __get__(self, instance: Any, owner: Any) -> inspect.Signature:
        kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        tensors = owner._tensors
        defaults = {
            name: tensors.get(name, getattr(owner, name, empty)) for name in owner._settings
        }
        return inspect.Signature(
            [inspect.Parameter(name, kind, default=value) for name, value in defaults.items()]
        )


@dataclass_transform(eq_default=False)
class FromFunction(Module):
    """Base of a module whose `forward(*inputs)` is `function(*inputs, **settings)`.

    A subclass passes `function` and declares its settings as the fields of a dataclass. They are
    arguments of its constructor and attributes of the module; those that `tensors` names are
    buffers. The docstring of the function is appended to that of the class.

    >>> import tinygrad_fc as tg
    >>> def scaled(input, factor=2.0):
    ...     return input * factor
    >>> class Scaled(FromFunction, function=scaled):
    ...     factor: float = 2.0
    >>> Scaled(factor=3.0)(tg.ones(2))
    tensor([3., 3.])
    """

    _most_inputs: ClassVar[int | None] = None
    _settings: ClassVar[tuple[str, ...]] = ()
    _tensors: ClassVar[dict[str, Any]] = {}  # settings that may be tensors, and their defaults
    _function_name: ClassVar[str]
    __signature__: ClassVar[Any] = _Signature()

    def __init_subclass__(
        cls, function: Callable[..., Any] | None = None, tensors: tuple[str, ...] = ()
    ) -> None:
        super().__init_subclass__()
        cls._settings += tuple(inspect.get_annotations(cls))
        cls._tensors = {**cls._tensors, **{name: vars(cls).get(name) for name in tensors}}
        for name in vars(cls).keys() & set(tensors):  # a class attribute would hide the buffer
            delattr(cls, name)
        if function is None:
            return
        cls._function_name = f"nn.functional.{function.__name__}"
        if cls.__doc__ and function.__doc__:
            cls.__doc__ += f"\n\n    {cls._function_name} as a module: {function.__doc__}"
        cls.forward = _forward(function, cls._settings, cls._tensors)  # type: ignore[method-assign]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        if "reduction" in self._settings:
            if self._settings[0] == "reduction" and args and isinstance(args[0], bool):
                kwargs["size_average"], args = args[0], ()
            pop_reduction(kwargs)
        signature = f"{type(self).__name__}{self.__signature__}"
        named = {**dict(zip(self._settings, args, strict=False)), **kwargs}
        settings = [v for name, v in named.items() if name not in self._tensors]
        if any(isinstance(v, Node) for v in (*settings, *args[len(self._settings) :])):
            call = f"({', '.join('xyz'[: len(args) or 1])})"
            raise TypeError(
                f"{signature} got a tensor, expected settings. Construct the module first, "
                f"nn.{type(self).__name__}(...){call}, or {self._function_name}{call}"
            )
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{signature}: {error}. Pass settings of the signature") from None
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if name in self._tensors:
                self.register_buffer(name, value)
            else:
                # NumPy's numbers, as searches draw them, would promote float32 inputs.
                setattr(self, name, value.item() if isinstance(value, np.generic) else value)


def _forward(
    function: Callable[..., Tensor], settings: Sequence[str], tensors: Collection[str]
) -> Callable[..., Any]:
    passed = [name for name in settings if name not in {"inplace", *tensors}]
    function = getattr(function, "current", function)

    def forward(self: Any, *inputs: Any, **named_inputs: Any) -> Tensor:
        most, attributes = self._most_inputs, vars(self)
        if most is not None and len(inputs) > most:  # the function would take it for a setting
            raise TypeError(f"{type(self).__name__} takes {most} input; got {len(inputs)}")
        if named_inputs and (names := named_inputs.keys() & {*settings}):
            raise TypeError(f"{type(self).__name__}: {names.pop()} is set where it is constructed")
        for name in passed:
            named_inputs[name] = attributes[name]
        for name in tensors:
            named_inputs[name] = getattr(self, name)
        if attributes.get("inplace"):
            named_inputs["inplace"] = True
        return function(*inputs, **named_inputs)

    return forward


class Activation(FromFunction):
    """Base of activations: `repr` shows the settings, `inplace` only if it is set."""

    _most_inputs = 1

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in self._settings if name != "inplace"]
        return ", ".join([*shown, "inplace=True"] if getattr(self, "inplace", False) else shown)


class Sigmoid(Activation, function=F.sigmoid):
    """Logistic sigmoid, formula (2) of `tinygrad_fc/handderived.py`."""


class Tanh(Activation, function=F.tanh):
    """Hyperbolic tangent."""


class _InPlace(Activation):
    inplace: bool = False


class ReLU(_InPlace, function=F.relu):
    """Rectified linear unit."""


class LeakyReLU(Activation, function=F.leaky_relu):
    """Leaky rectified linear unit."""

    negative_slope: float = 0.01
    inplace: bool = False


class ReLU6(_InPlace, function=F.relu6):
    """Rectified linear unit with the upper bound 6."""


class SiLU(_InPlace, function=F.silu):
    """Sigmoid linear unit."""


class Mish(_InPlace, function=F.mish):
    """Mish activation."""


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


class SELU(_InPlace, function=F.selu):
    """Scaled exponential linear unit."""


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


class Hardsigmoid(_InPlace, function=F.hardsigmoid):
    """Piecewise linear sigmoid."""


class Hardswish(_InPlace, function=F.hardswish):
    """SiLU with the piecewise linear sigmoid."""


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

    _shown = ("num_parameters",)

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
        if self.num_parameters != 1:
            check_size(self, input, 1, self.num_parameters, "num_parameters")
        warn_if_promoted(self, input.dtype)
        return F.prelu(input, self.weight)
