"""What objects that the user's code goes by have: those attributes that the code names."""

from __future__ import annotations

import random
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, MutableSequence, MutableSet
from types import BuiltinFunctionType, CellType, MemberDescriptorType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.attributes import holders, is_method, is_seen, is_users, of_users
from tinygrad_fc.compiler.finding import MISS
from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.graph import Node
from tinygrad_fc.nn.module import Module
from tinygrad_fc.random import Generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.attributes import Look
    from tinygrad_fc.compiler.elements import Elements
    from tinygrad_fc.compiler.watch import Watch

RANDOM = (np.random.Generator, np.random.RandomState, random.Random)
_NOT_LOOKED_INTO = (
    *(Module, MethodType, np.ndarray, CellType),
    *(*RANDOM, ModuleType, type, BuiltinFunctionType, Tracer, Number, Generator),
)
_IN_MODULES = (Node, str, int, float, type(None))
CONTAINERS = (list, dict, set, deque, Mapping, bytearray, array, MutableSequence, MutableSet)
_SIMPLE = (bool, int, float, str, bytes, type(None), tuple, np.ndarray, Node, Module, *CONTAINERS)
"""What is looked at of the classes of others, whose other attributes are methods."""


class Objects:
    """Notes attributes of objects, of classes and of modules as guards."""

    watch: Watch
    elements: Elements
    _chance: Callable[[Any, str], None]  # notes what numbers are drawn from
    _gone_by: Any  # notes something by a name, and what is in it: see `Reach`
    _inside: Any  # notes what is in a value

    def _object(self, owner: Any, look: Look) -> None:
        """Note the attributes that the code names, of an object, a class or a module."""
        if isinstance(owner, Module):
            self._module(owner, look)
        if isinstance(owner, _NOT_LOOKED_INTO) and not isinstance(owner, ModuleType | type):
            return
        own, places = holders(owner)
        if look.whole and own is not None and not isinstance(owner, ModuleType):
            self._inside(own, look)
        for name in sorted(look.of(owner, own, places)):
            at = next((k for k, each in enumerate(places) if name in each), None)
            if at is None:
                self._absent(owner, name, own, look)
                continue
            held, found = places[at], places[at][name]
            if not is_seen(owner, name, found):
                continue
            self._attribute(name, found, look)
            if isinstance(found, MemberDescriptorType):
                value = getattr(owner, name, MISS)
                self._attribute(name, value, look)
                self._gone_by("slot", (owner, name), value, look)
            elif held is own:
                self._gone_by("global", (held, name), found, look)
            elif self._of_class(held, name, found, look):
                self._not_in(places[:at], name)

    def _of_class(self, held: Any, name: str, found: Any, look: Look) -> bool:
        """Note what a class holds, if that is looked at."""
        simple = isinstance(found, _SIMPLE) or is_method(found)
        if simple or (name in look.names and _is_of_users(held)):
            self._gone_by("global", (held, name), found, look)
        elif _is_of_users(held):  # which code that reads any attribute may have, but not go into
            self.watch.guard("global", (held, name), found)
        else:
            return False
        return True

    def _attribute(self, name: str, value: Any, look: Look) -> None:
        """Note an attribute that may be an array, by how the code comes to have it."""
        self.elements.attribute(name, value)
        if name in look.unloaded:
            self.elements.held((value,))

    def _module(self, owner: Any, look: Look) -> None:
        """Note what is in the objects that a module and those in it have, such as their options.

        That a module has them is noted when the attribute is read: see `Guarding.attribute`.
        """
        own = object.__getattribute__(owner, "__dict__")
        for name, value in list(own.items()):
            if isinstance(value, RANDOM) and name in look.names:
                self._chance(value, name)
            elif isinstance(value, Iterator) and name not in look.names:
                continue
            elif isinstance(value, Module) or (
                (look.every or name in look.names) and not isinstance(value, _IN_MODULES)
            ):
                self._inside(value, look)

    def _not_in(self, places: list[Any], name: str) -> None:
        """Note that an object has no attribute, nor one of its classes that are the user's."""
        for place in places:
            if type(place) is dict or _is_of_users(place):
                self.watch.guard("global", (place, name), MISS)

    def _absent(self, owner: Any, name: str, own: Any, look: Look) -> None:
        """Note that an attribute is not there, where the code may ask whether it is."""
        if name in look.probed and is_seen(owner, name, None):
            if own is not None:
                self.watch.guard("global", (own, name), MISS)
            elif isinstance(owner, type) and is_users(owner):
                self.watch.guard("global", (vars(owner), name), MISS)


def _is_of_users(held: Any) -> bool:
    """Tell whether the dict of a class is that of one of the user's; classes in C lack the name."""
    return of_users(held.get("__module__", ""))
