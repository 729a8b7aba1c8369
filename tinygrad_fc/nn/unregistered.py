"""A warning for layers in plain lists, tuples and dicts, which are not part of their module."""

from __future__ import annotations

import warnings
from itertools import islice
from typing import TYPE_CHECKING, Any

from tinygrad_fc.nn.parameter import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.nn.module import Module

CONTAINERS = (list, tuple, dict)
_LOOKED_AT = 16
"""Items of a container that are looked at: lists of layers are short, and lists of data long."""


def warn_of_layers_in_containers(model: Module, stacklevel: int) -> None:
    """Warn once of each attribute of a module in `model` that hides layers in a plain container.

    Layers that are part of `model` under another name are not hidden.
    """
    modules = [module for _, module in model.named_modules()]  # `modules` may be an attribute
    if not any(module._plain_containers for module in modules):
        return
    known = {id(p) for module in modules for p in module._parameters.values()}
    known.update(map(id, modules))
    for module in modules:
        for name in tuple(module._plain_containers):
            value = vars(module).get(name)
            hidden = [item for item in _layers(value, 2) if id(item) not in known]
            if hidden:
                module._plain_containers.discard(name)
                warnings.warn(_message(module, name, value, hidden), stacklevel=stacklevel + 1)


def _layers(value: Any, depth: int) -> Iterator[Any]:
    """Yield the modules and parameters in a plain container, also in those inside of it."""
    if not isinstance(value, CONTAINERS):
        return
    for item in islice(value.values() if isinstance(value, dict) else value, _LOOKED_AT):
        if hasattr(item, "named_parameters") or isinstance(item, Parameter):
            yield item
        elif depth > 1:
            yield from _layers(item, depth - 1)


def _message(module: Module, name: str, value: Any, hidden: list[Any]) -> str:
    parameters = all(isinstance(item, Parameter) for item in hidden)
    what, count = "parameter" if parameters else "layer", len(hidden)
    container = "Parameter" if parameters else "Module"
    container += "Dict" if isinstance(value, dict) else "List"
    return (
        f"{name!r} of {type(module).__name__} is a {type(value).__name__} with {count} {what}"
        f"{'s' * (count > 1)}, not part of the module: parameters(), to() and state_dict() leave "
        f"out what is in it. Write self.{name} = nn.{container}({name}); if it is meant, write "
        f"object.__setattr__(self, {name!r}, {name})"
    )
