"""Modules that hold modules or parameters: in order, as a list, by name.

Their items are attributes like any other module's, under the names "0", "1", … or the given ones,
so nothing that goes through a model (parameters, state, repr) needs to know of containers.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from tinygrad_fc.nn.activation import ReLU, Sigmoid, Tanh
from tinygrad_fc.nn.error import rise
from tinygrad_fc.nn.linear import Linear
from tinygrad_fc.nn.module import Module, indented
from tinygrad_fc.nn.parameter import Parameter
from tinygrad_fc.ops import linalg
from tinygrad_fc.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_fc.op import Op

__all__ = ["ModuleDict", "ModuleList", "ParameterList", "Sequential"]

T = TypeVar("T")


def checked(owner: Module, value: Any) -> Module:
    """Return `value` if it is a module; else raise `TypeError` that says what to hand over."""
    if isinstance(value, Module):
        return value
    name = type(owner).__name__
    if isinstance(value, type):
        raise TypeError(
            f"{name} holds modules, got the class {value.__name__}: write {value.__name__}()"
        )
    if isinstance(value, list | tuple):
        raise TypeError(
            f"{name} holds modules, got a {type(value).__name__}: hand over its items, `*layers`"
        )
    if callable(value):
        raise TypeError(
            f"{name} holds modules, got the function {getattr(value, '__name__', value)}: use the "
            "module for it (nn.ReLU() for relu), or call it in a Module's forward"
        )
    raise TypeError(f"{name} holds modules, got a {type(value).__name__}: {value!r:.80}")


class _Numbered(Module, Generic[T]):
    """A module with items in an order, which are those of its attributes that `_is_item`."""

    def _is_item(self, name: str, value: object) -> bool:
        del name
        return isinstance(value, Module)

    def _checked(self, value: Any) -> T:
        """Return `value` as it is to be held; raise `TypeError` for what cannot be."""
        return checked(self, value)  # type: ignore[return-value]

    def _named_items(self) -> list[tuple[str, T]]:
        return [(name, value) for name, value in vars(self).items() if self._is_item(name, value)]

    def _replace(self, named: Iterable[tuple[str, Any]]) -> None:
        """Make `named` the items, in that order."""
        named = [(name, self._checked(value)) for name, value in named]
        for name, _ in self._named_items():
            delattr(self, name)
        for name, value in named:
            setattr(self, name, value)

    def _renumber(self, items: Iterable[Any]) -> None:
        self._replace((str(i), item) for i, item in enumerate(items))

    def _name(self, index: Any) -> str:
        names = [name for name, _ in self._named_items()]
        try:
            return names[operator.index(index)]
        except IndexError:
            raise IndexError(
                f"index {index} is out of range: this {type(self).__name__} has {len(names)} items"
            ) from None

    def _like(self, named: list[tuple[str, T]]) -> Self:
        """Return another container of this type with some of the items."""
        other = type(self)()
        other._replace(named)
        return other

    def __len__(self) -> int:
        return len(self._named_items())

    def __iter__(self) -> Iterator[T]:
        return iter([item for _, item in self._named_items()])

    @overload
    def __getitem__(self, idx: slice) -> Self: ...
    @overload
    def __getitem__(self, idx: int) -> T: ...
    def __getitem__(self, idx: slice | int) -> Self | T:
        if isinstance(idx, slice):
            return self._like(self._named_items()[idx])
        return vars(self)[self._name(idx)]  # type: ignore[no-any-return]

    def __setitem__(self, idx: int, item: Any) -> None:
        setattr(self, self._name(idx), self._checked(item))

    def __delitem__(self, idx: slice | int) -> None:
        items = list(self)
        del items[idx]
        self._renumber(items)

    def append(self, module: Any) -> Self:
        """Put `module` last; return the container."""
        setattr(self, str(len(self)), self._checked(module))
        return self

    def extend(self, modules: Iterable[Any]) -> Self:
        """Put each of `modules` last; return the container."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}.extend takes several at once, got a "
                f"{type(modules).__name__}: for one, append"
            )
        for module in [self._checked(module) for module in modules]:
            self.append(module)
        return self

    def insert(self, index: int, module: Any) -> Any:
        """Put `module` before the item at `index`; those after it get the next numbers."""
        items = list(self)
        if not -len(items) <= index <= len(items):
            raise IndexError(
                f"index {index} is out of range: this {type(self).__name__} has {len(items)} items"
            )
        items.insert(index, module)
        self._renumber(items)
        return self

    def pop(self, key: int = -1) -> T:
        """Take the item at `key` out and return it."""
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


# The op that computes a Linear and the activation after it at once.
_FUSED: dict[Any, Op] = {
    (Sigmoid, Sigmoid.forward): linalg.linear_sigmoid,
    (Tanh, Tanh.forward): linalg.linear_tanh,
    (ReLU, ReLU.forward): linalg.linear_relu,
}
_LINEAR_FORWARD: Any = Linear.forward


class Sequential(_Numbered[Module]):
    """Layers one after the other: each is given what the one before it returned.

    Give them in order, `Sequential(Linear(4, 3), ReLU())`, or named in a dict,
    `Sequential(OrderedDict(hidden=Linear(4, 3), act=ReLU()))`. Slices are Sequentials of the same
    layers. Raises `TypeError` for what is not a module.

    >>> import tinygrad_fc as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(4, 3), tg.nn.ReLU(), tg.nn.Linear(3, 2))
    >>> net(tg.zeros(5, 4)).shape
    (5, 2)
    >>> net[:2]
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, self._checked(module))
        else:
            self._renumber(args)

    def _like(self, named: list[tuple[str, Module]]) -> Self:
        return type(self)(dict(named))

    def forward(self, input: Any) -> Any:
        """Return what the last layer returns for what those before it made of `input`."""
        at = ""
        waiting: Any = None  # fused with the activation if one follows
        try:
            layer: Any
            for name, layer in tuple(self.__dict__.items()):
                if not isinstance(layer, Module):
                    continue
                # Classes and forwards as they are here: no subclass, no patch, no hook.
                kind = layer.__class__
                code = None if layer._hooks or "forward" in layer.__dict__ else kind.forward
                if waiting is not None:
                    op = _FUSED.get((kind, code))
                    if op is not None:
                        input, waiting = waiting.forward(input, op=op), None
                        continue
                    input, waiting = waiting(input), None
                at = name
                if (
                    kind is Linear
                    and code is _LINEAR_FORWARD
                    and getattr(layer, "bias", None) is not None
                ):
                    waiting = layer
                else:
                    input = layer(input)
            if waiting is not None:
                input = waiting(input)
        except Exception as error:
            items = self._named_items()
            place = [name for name, _ in items].index(at)
            before = (*items[place - 1], getattr(input, "shape", ())) if place else None
            rise(error, self, at, before)
            raise
        return input

    def __add__(self, other: Iterable[Any]) -> Self:
        if not isinstance(other, Sequential):
            raise TypeError(f"a Sequential adds to a Sequential, not to a {type(other).__name__}")
        return super().__add__(other)


class ModuleList(_Numbered[Module]):
    """Modules in a list. A plain list does as well here; this one is written by number in `repr`.

    It indexes, slices, appends, extends, inserts, pops and adds as a list does, and has no
    `forward`: the module that holds it says what is done with its items. Raises `TypeError` for
    what is not a module.

    >>> import tinygrad_fc as tg
    >>> tg.nn.ModuleList(tg.nn.Linear(2, 2) for _ in range(3))
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _like(self, named: list[tuple[str, Module]]) -> Self:
        return type(self)([module for _, module in named])

    def _lines(self) -> list[str]:
        texts: list[list[Any]] = []  # first number, last number, text of equal neighbours
        for i, module in enumerate(self):
            text = indented(module)
            if texts and texts[-1][2] == text:
                texts[-1][1] = i
            else:
                texts.append([i, i, text])
        return [
            f"({first}): {text}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in texts
        ]


class ModuleDict(Module):
    """Modules by name, in the order in which they came; what a dict does, it does.

    A plain dict does as well here; this one is an attribute of its own in `repr`, and reaches its
    items as attributes too. Raises `TypeError` for what is not a module, `KeyError` for a name
    that is empty, has a dot, or is an attribute already.

    >>> import tinygrad_fc as tg
    >>> acts = tg.nn.ModuleDict({"relu": tg.nn.ReLU(), "tanh": tg.nn.Tanh()})
    >>> acts["tanh"]
    Tanh()
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def _items(self) -> dict[str, Module]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Module)}

    def __getitem__(self, key: str) -> Module:
        return self._items()[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, checked(self, module))

    def __delitem__(self, key: str) -> None:
        del self._items()[key]  # raises KeyError where it should
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __contains__(self, key: object) -> bool:
        return key in self._items()

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._items().keys()

    def values(self) -> Iterable[Module]:
        """Return the modules."""
        return self._items().values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Return the pairs of a name and its module."""
        return self._items().items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add each of `modules`, a dict or pairs; one under a name that is there replaces it."""
        for key, module in dict(modules).items():
            self[key] = module

    def pop(self, key: str) -> Module:
        """Take the module at `key` out and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in self._items():
            delattr(self, key)


class ParameterList(_Numbered[Any]):
    """Parameters in a list; a tensor put in becomes one, and other values are held as they are.

    It indexes, slices, appends, extends and pops as a list does.

    >>> import tinygrad_fc as tg
    >>> tg.nn.ParameterList([tg.ones(2, 3)])
    ParameterList(  (0): Parameter containing: [float64 of size 2x3])
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def _is_item(self, name: str, value: object) -> bool:
        del value
        return name.isdigit()

    def _checked(self, value: Any) -> Any:
        plain = isinstance(value, Tensor) and not isinstance(value, Parameter)
        return Parameter(value) if plain else value

    def _like(self, named: list[tuple[str, Any]]) -> Self:
        return type(self)([value for _, value in named])

    def extra_repr(self) -> str:
        """Return a line for each item."""
        return "\n".join(f"  ({i}): {_held(value)}" for i, value in enumerate(self))


def _held(value: object) -> str:
    if isinstance(value, Tensor):
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        return f"{kind} containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}]"
    return f"Object of type: {type(value).__name__}"
