"""Modules that hold modules or parameters: in sequence, in a list, in a dict.

Items are registered as submodules are, under the names "0", "1", ... or the keys, so that
traversals of a model (parameters, state, repr) need no special case for containers.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from tinygrad_fc.core.grad_mode import OBSERVED, flags
from tinygrad_fc.core.seam import observer
from tinygrad_fc.nn.activation import ReLU, Sigmoid, Tanh
from tinygrad_fc.nn.layer_error import add_path
from tinygrad_fc.nn.linear import Linear, linear_by
from tinygrad_fc.nn.module import Module, indented
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.ops import linalg
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from tinygrad_fc.core.op import Op

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]

T = TypeVar("T")


class _Container(Module, Generic[T]):
    """Base of all containers: `_named_items` returns the items, `_as_item` converts a new one."""

    def _as_item(self, value: Any) -> Any:
        if isinstance(value, Module):
            return value
        name, kind = type(self).__name__, type(value).__name__
        fix = "Use the module for a function (nn.ReLU() for relu)"
        if isinstance(value, type):
            kind, fix = f"class {value.__name__}", f"Write {value.__name__}()"
        elif isinstance(value, list | tuple):
            fix = "Pass its items: *layers"
        raise TypeError(f"{name} got a {kind}, expected modules. {fix}")

    def _named_items(self) -> dict[str, Any]:
        """Return the items by name, in their order."""
        return self._modules

    def __len__(self) -> int:
        return len(self._named_items())


class _ParameterItems(_Container[Any]):
    """Mixin: items may be any values; tensors are converted to parameters."""

    def _as_item(self, value: Any) -> Any:
        plain = isinstance(value, Tensor) and not isinstance(value, Parameter)
        return Parameter(value) if plain else value

    def extra_repr(self) -> str:
        return "\n".join(
            f"  ({name}): {_described(value)}" for name, value in self._named_items().items()
        )


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        return f"{kind} containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}]"
    return f"Object of type: {type(value).__name__}"


class _List(_Container[T]):
    """Base of containers that index, slice, append, extend, insert, pop and add as a list does."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def _renumber(self, items: Iterable[Any]) -> None:
        """Set the items to `items`, with the names 0, 1, ..."""
        items = [self._as_item(item) for item in items]
        for name in list(self._named_items()):
            delattr(self, name)
        for i, item in enumerate(items):
            setattr(self, str(i), item)

    def _name(self, index: Any) -> str:
        try:
            return list(self._named_items())[operator.index(index)]
        except IndexError:
            raise IndexError(
                f"index {index} is out of range: this {type(self).__name__} has {len(self)} items"
            ) from None

    def _part(self, named: list[tuple[str, T]]) -> Self:
        """Return a container of this type with the items in `named`."""
        part = type(self)()
        part._renumber(value for _, value in named)
        return part

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._named_items().values()))

    @overload
    def __getitem__(self, idx: slice) -> Self: ...
    @overload
    def __getitem__(self, idx: int) -> T: ...
    def __getitem__(self, idx: slice | int) -> Self | T:
        if isinstance(idx, slice):
            return self._part(list(self._named_items().items())[idx])
        return self._named_items()[self._name(idx)]  # type: ignore[no-any-return]

    def __setitem__(self, idx: int, item: Any) -> None:
        setattr(self, self._name(idx), self._as_item(item))

    def __delitem__(self, idx: slice | int) -> None:
        items = list(self)
        del items[idx]
        self._renumber(items)

    def append(self, module: Any) -> Self:
        """Add `module` as the last item; return the container."""
        setattr(self, str(len(self)), self._as_item(module))
        return self

    def extend(self, modules: Iterable[Any]) -> Self:
        """Add `modules` as the last items; return the container."""
        for module in [self._as_item(module) for module in modules]:
            self.append(module)
        return self

    def insert(self, index: int, module: Any) -> Any:
        """Insert `module` before the item at `index`; those after it are renumbered."""
        items = list(self)
        items.insert(index, module)
        self._renumber(items)
        return self

    def pop(self, key: int = -1) -> T:
        """Remove the item at `key` and return it."""
        item = self[key]
        del self[key]
        return item

    def __iadd__(self, other: Iterable[Any]) -> Self:
        return self.extend(other)

    def __add__(self, other: Iterable[Any]) -> Self:
        if not isinstance(other, Iterable):
            return NotImplemented
        both = type(self)()
        both._renumber([*self, *other])
        return both


_flags = flags.get

# Maps the `forward` of an activation to its class and to the op that fuses it with a linear layer.
_FUSED: dict[Any, tuple[type[Module], Op]] = {
    Sigmoid.forward: (Sigmoid, linalg.linear_sigmoid),
    Tanh.forward: (Tanh, linalg.linear_tanh),
    ReLU.forward: (ReLU, linalg.linear_relu),
}
_LINEAR_FORWARD: Any = Linear.forward


class Sequential(_List[Module]):
    """A chain of layers: each one is called with the output of the previous one.

    Pass them in order, `Sequential(Linear(4, 3), ReLU())`, or with names in a dict,
    `Sequential(OrderedDict(hidden=Linear(4, 3), act=ReLU()))`. A slice is a Sequential of the same
    layers. Raises `TypeError` for an item that is not a module.

    >>> import tinygrad_fc as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU(), tg.nn.Linear(3, 2))
    >>> net(tg.zeros(5, 4)).shape
    Size([5, 2])
    >>> net[:2]
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping) and not isinstance(args[0], Module):
            for name, module in args[0].items():
                self.add_module(name, self._as_item(module))
        else:
            self._renumber(args)

    def _part(self, named: list[tuple[str, Module]]) -> Self:
        return type(self)(dict(named))

    def forward(self, input: Tensor) -> Tensor:
        """Return the output of the last layer."""
        current_name = ""
        fused_ops = {} if _flags() & OBSERVED and not observer().fuses else _FUSED
        pending: Any = None  # a Linear, which is fused with the next layer if that has a fused op
        try:
            for name, layer in self._modules.items():
                # Fuse only original layers: no subclasses, no patched `forward`, no hooks.
                kind, attributes = type(layer), layer.__dict__
                is_original = "forward" not in attributes and "_hook_registries" not in attributes
                forward = kind.forward if is_original else None
                if pending is not None:
                    fused = fused_ops.get(forward)
                    if fused is not None and fused[0] is kind:
                        input, pending = linear_by(fused[1], pending, input), None
                        continue
                    input, pending = pending(input), None
                current_name = name
                is_linear = kind is Linear and forward is _LINEAR_FORWARD
                if is_linear and attributes["_parameters"].get("bias") is not None:
                    pending = layer
                else:
                    input = layer(input)
            if pending is not None:
                input = pending(input)
        except Exception as error:
            items = list(self._named_items().items())
            i = [name for name, _ in items].index(current_name)
            # For the message: name, layer and output shape of the layer before this one.
            previous = (*items[i - 1], getattr(input, "shape", ())) if i else None
            add_path(error, self, current_name, previous)
            raise
        return input


class ModuleList(_List[Module]):
    """A list of modules, without `forward`: index, slice, append, extend, insert, pop, add.

    Layers in a plain list are not part of the model. Raises `TypeError` for an item that is not a
    module.

    >>> import tinygrad_fc as tg
    >>> tg.nn.ModuleList(tg.nn.Linear(2, 2) for _ in range(3))
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Any] | None = None) -> None:
        super().__init__(modules)

    def _lines(self) -> list[str]:
        lines, start = [], 0
        for text, run in groupby(self, indented):
            count = len(list(run))
            label = f"({start}-{start + count - 1}): {count} x" if count > 1 else f"({start}):"
            lines.append(f"{label} {text}")
            start += count
        return lines


class ParameterList(_ParameterItems, _List[Any]):
    """A list of parameters; tensors become parameters, other values are stored unchanged.

    Index, slice, append, extend, insert, pop and add work as for a list.

    >>> import tinygrad_fc as tg
    >>> tg.nn.ParameterList([tg.ones(2, 3)])
    ParameterList(  (0): Parameter containing: [float64 of size 2x3])
    """

    def _named_items(self) -> dict[str, Any]:
        names = [name for name in (*self._parameters, *vars(self)) if name.isdigit()]
        return {name: getattr(self, name) for name in sorted(names, key=int)}


class _Dict(_Container[T], MutableMapping[str, T]):
    """Base of containers with the methods of a dict; items are attributes too."""

    def __init__(self, values: Mapping[str, T] | Iterable[tuple[str, T]] | None = None) -> None:
        super().__init__()
        self.update(values or {})

    def __getitem__(self, key: str) -> T:
        return self._named_items()[key]  # type: ignore[no-any-return]

    def __setitem__(self, key: str, value: T) -> None:
        self.add_module(key, self._as_item(value))

    def __delitem__(self, key: str) -> None:
        if key not in self._named_items():  # not `delattr` alone: it may be another attribute
            raise KeyError(key)
        delattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._named_items())

    def setdefault(self, key: str, default: Any = None) -> T:
        """Return the item at `key`; set it to `default` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    # Mapping defines comparison by items; modules compare by identity.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class ModuleDict(_Dict[Module]):
    """A dict of modules, in the order of insertion. Those in a plain dict are no part of a model.

    It has the methods of a `MutableMapping`, and its items are attributes too. Raises `TypeError`
    for a value that is not a module, `KeyError` for a key that is empty, has a dot, or is an
    attribute already.

    >>> import tinygrad_fc as tg
    >>> acts = tg.nn.ModuleDict({"relu": tg.nn.ReLU(), "tanh": tg.nn.Tanh()})
    >>> acts["tanh"]
    Tanh()
    """

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        super().__init__(modules)


class ParameterDict(_ParameterItems, _Dict[Any]):
    """A dict of parameters; tensors become parameters, other values are stored unchanged.

    It has the methods of a `MutableMapping`, and its items are attributes too. Raises `KeyError`
    for a key that is empty, has a dot, or is an attribute already.

    >>> import tinygrad_fc as tg
    >>> tg.nn.ParameterDict({"scale": tg.ones(2)})
    ParameterDict(  (scale): Parameter containing: [float64 of size 2])
    """

    def __init__(
        self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None
    ) -> None:
        self._keys: list[str] = []  # in order, of parameters and of other values
        super().__init__(parameters)

    def _named_items(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in self._keys}

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self._keys:
            self.register_parameter(key, None)  # raises for an invalid key
            delattr(self, key)
            self._keys.append(key)
        setattr(self, key, self._as_item(value))

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._keys.remove(key)
