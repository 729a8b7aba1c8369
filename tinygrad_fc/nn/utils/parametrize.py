"""Parameters that are functions of others, under the names of `torch.nn.utils.parametrize`.

`register_parametrization(module, "weight", f)` makes `module.weight` a property: the value of the
module f at the original parameter, which is at `module.parametrizations.weight.original`. To assign
to the property, f needs a `right_inverse`. The module gets a subclass of its class with that
property: save its `state_dict()`, since it cannot be pickled.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.core.grad_mode import no_grad
from tinygrad_fc.nn.container import ModuleDict, ModuleList
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.nn.module import Module

__all__ = ["ParametrizationList", "cached", "is_parametrized", "register_parametrization"]
__all__ += ["remove_parametrizations", "type_before_parametrizations"]


def derive(
    module: Any, name: str, compute: Callable[[Any], Any] | None, assign: Any = None
) -> None:
    """Make the attribute `name` a property of `module`; without `compute`, an attribute again."""
    base, properties = type_before_parametrizations(module), getattr(module, "_properties", {})
    properties = {key: value for key, value in properties.items() if key != name}
    if compute is not None:
        properties[name] = property(compute, assign)
    members = {**properties, "_properties": properties}
    name = ("Parametrized" if hasattr(module, "parametrizations") else "") + base.__name__
    module.__class__ = type(name, (base,), members) if properties else base


def restore(module: Any, name: str, value: Any, *parts: str) -> Any:
    """Make a property of `derive` a parameter with this value, and delete what it is made of."""
    for part in parts:
        delattr(module, f"{name}_{part}")
    derive(module, name, None)
    module.register_parameter(name, Parameter(value.detach(), value.requires_grad))
    return module


def type_before_parametrizations(module: Module) -> type[Any]:
    """Return the class of `module` without its parametrizations.

    >>> from tinygrad_fc import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 1))
    >>> nn.utils.parametrize.type_before_parametrizations(layer) is nn.Linear
    True
    """
    kind = type(module)
    return kind.__bases__[0] if "_properties" in vars(kind) else kind


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied one after the other, and its `original`.

    If `right_inverse` of the first one returns several tensors, these are `original0`, `original1`,
    ... and the arguments of its `forward`. The shape of the value is not checked, so that `unsafe`
    has no effect.
    """

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        del unsafe
        super().__init__(modules)
        values = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    values = module.right_inverse(values)
        self.is_tensor = isinstance(values, Tensor)
        if self.is_tensor:
            original.data, self.original = values.data, original
        else:
            for k, value in enumerate(values):
                setattr(self, f"original{k}", Parameter(value, original.requires_grad))

    def _originals(self) -> list[Any]:
        # Not by `parameters()`: `functional_call` puts other tensors in their place.
        return list(self._parameters.values())

    def forward(self) -> Any:
        """Return the tensor."""
        value = self[0](*self._originals())
        for module in list(self)[1:]:
            value = module(value)
        return value

    def right_inverse(self, value: Any) -> None:
        """Change the originals in place so that the tensor becomes `value`.

        Raises `AttributeError` if a parametrization has no `right_inverse`.
        """
        parametrizations: list[Any] = list(self)
        with no_grad():
            for parametrization in reversed(parametrizations):
                value = parametrization.right_inverse(value)
            values = [value] if self.is_tensor else value
            for original, part in zip(self._originals(), values, strict=True):
                original.copy_(part)


def register_parametrization(
    module: Any, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Any:
    """Compute the parameter `tensor_name` by the module `parametrization`; return `module`.

    A second one is applied to the value of the first. `unsafe` has no effect, since the shape of
    the value is not checked. Raises `ValueError` for a name without a parameter.

    >>> import tinygrad_fc as tg
    >>> class Symmetric(tg.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = register_parametrization(tg.nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        module.parametrizations[tensor_name].append(parametrization)
        return module
    parameter = module._parameters.get(tensor_name)
    has_parameter = isinstance(parameter, Parameter)
    check_argument(has_parameter, "parametrize", "the name of a parameter", tensor_name=tensor_name)
    parametrizations = ParametrizationList([parametrization], parameter, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = parametrizations
    at = attrgetter(f"parametrizations.{tensor_name}")
    derive(module, tensor_name, lambda m: at(m)(), lambda m, value: at(m).right_inverse(value))
    return module


def cached() -> AbstractContextManager[None]:
    """Return a context without effect: a parametrization is computed each time it is read.

    >>> with cached():
    ...     pass
    """
    return nullcontext()


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Return whether the tensor, by default any tensor, of `module` is parametrized.

    >>> from tinygrad_fc import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 1))
    >>> nn.utils.parametrize.is_parametrized(layer, "weight")
    True
    """
    names = module._modules.get("parametrizations") or ()
    return bool(names) if tensor_name is None else tensor_name in names


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Any:
    """Make a parametrized tensor a parameter again, with its value; return `module`.

    With `leave_parametrized=False` it gets the value of `original`. Raises `ValueError` for a
    tensor that is not parametrized.

    >>> from tinygrad_fc import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 1))
    >>> nn.utils.parametrize.remove_parametrizations(layer, "weight")
    Linear(in_features=2, out_features=1, bias=True)
    """
    fits = is_parametrized(module, tensor_name)
    check_argument(fits, "parametrize", "a parametrized tensor", tensor_name=tensor_name)
    value, parametrizations = getattr(module, tensor_name), module.parametrizations[tensor_name]
    if not leave_parametrized:
        value = parametrizations.original
    del module.parametrizations[tensor_name]
    if not is_parametrized(module):
        del module.parametrizations
    return restore(module, tensor_name, value)
