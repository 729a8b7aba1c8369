"""Modules made from functions of `nn.functional`: activations, losses, distances."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from tinygrad_fc.graph import Node
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _Signature:
    """Descriptor that builds the signature of a class from its settings.

    The signature is built only when it is read, which makes imports faster.
    """

    def __get__(self, instance: Any, owner: Any) -> inspect.Signature:
        kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        defaults = {name: getattr(owner, name, empty) for name in owner._settings}
        return inspect.Signature(
            [inspect.Parameter(name, kind, default=value) for name, value in defaults.items()]
        )


@dataclass_transform(eq_default=False)
class FromFunction(Module):
    """Base of a module whose `forward(*inputs)` is `function(*inputs, **settings)`.

    A subclass passes `function` and declares its settings as the fields of a dataclass. They are
    arguments of its constructor and attributes of the module; those annotated with Tensor are
    buffers. The docstring of the function is appended to that of the class.

    >>> import tinygrad_fc as tg
    >>> def scaled(input, factor=2.0):
    ...     return input * factor
    >>> class Scaled(FromFunction, function=scaled):
    ...     factor: float = 2.0
    >>> Scaled(factor=3.0)(tg.ones(2))
    tensor([3., 3.])
    """

    _settings: ClassVar[tuple[str, ...]] = ()
    _tensors: ClassVar[tuple[str, ...]] = ()  # settings that may be tensors
    _function_name: ClassVar[str]
    __signature__: ClassVar[Any] = _Signature()

    def __init_subclass__(cls, function: Callable[..., Any] | None = None) -> None:
        super().__init_subclass__()
        fields = {
            name: annotation
            for name, annotation in inspect.get_annotations(cls).items()
            if not annotation.startswith("ClassVar")
        }
        cls._settings += tuple(fields)
        cls._tensors += tuple(name for name, annotation in fields.items() if "Tensor" in annotation)
        if function is None:
            return
        cls._function_name = f"nn.functional.{function.__name__}"
        if cls.__doc__ and function.__doc__:
            cls.__doc__ += f"\n\n    {cls._function_name} as a module: {function.__doc__}"
        cls.forward = _forward(function, cls._settings)  # type: ignore[method-assign]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        signature = f"{type(self).__name__}{self.__signature__}"
        named = {**dict(zip(self._settings, args, strict=False)), **kwargs}
        settings = [v for name, v in named.items() if name not in self._tensors]
        if any(isinstance(v, Node) for v in (*settings, *args[len(self._settings) :])):
            raise TypeError(
                f"{signature} got a tensor, expected settings. Construct the module first, "
                f"nn.{type(self).__name__}(...)(x), or {self._function_name}(x)"
            )
        try:
            bound = self.__signature__.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{signature}: {error}. Pass settings of the signature") from None
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            setattr(self, name, value)
            if name in self._tensors:
                self.register_buffer(name, value)


def _forward(function: Callable[..., Any], settings: Sequence[str]) -> Callable[..., Any]:
    passed = [name for name in settings if name != "inplace"]  # `inplace` has no effect
    if not passed:
        return lambda _, *inputs: function(*inputs)

    def forward(self: Module, *inputs: Any) -> Any:
        attributes = vars(self)
        return function(*inputs, **{name: attributes[name] for name in passed})

    return forward
