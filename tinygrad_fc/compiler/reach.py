"""What outside of a function its code goes by: names, attributes, containers, raw arrays.

A program holds for what it was traced with. Whatever Python alone reads (a number in a closure, a
list, an element of an array) leaves no instruction behind, so it becomes a guard. What cannot be
looked at in every call, an iterator or a large array, is refused.
"""

from __future__ import annotations

import dis
import functools
import gc
import io
import random
import sys
from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from operator import attrgetter, methodcaller
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import known
from tinygrad_fc.compiler.contents import contents, held, still
from tinygrad_fc.compiler.elements import Elements, is_array
from tinygrad_fc.compiler.finding import MISS
from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.program import Change
from tinygrad_fc.compiler.refusal import kind_of, line, refusal
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.generator import Generator
from tinygrad_fc.graph import Node
from tinygrad_fc.nn.module import Module
from tinygrad_fc.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from tinygrad_fc.compiler.watch import Watch

_DEEP = 3
_SMALL = 1 << 16
"""Up to how many bytes an array is looked at in every call."""
RANDOM = (np.random.Generator, np.random.RandomState, random.Random)
_NO_GUARD = (ModuleType, type, BuiltinFunctionType, Tracer, Number, Generator)
_NOT_LOOKED_INTO = (
    *(Node, Module, Optimizer, MethodType, np.ndarray, CellType),
    *(*RANDOM, *_NO_GUARD),
)
_CONTAINERS = (list, dict, set, deque, Mapping, bytearray, array)
_SIMPLE = (bool, int, float, str, bytes, type(None), tuple, np.ndarray, Node, Module, *_CONTAINERS)
"""What is looked at of classes, whose other attributes are methods."""
_DYNAMIC = frozenset(("getattr", "vars", "hasattr", "__dict__"))
_GETTERS = (attrgetter, methodcaller)
"""Names, and objects, by which code reads attributes that it does not name."""


class Reach:
    """Notes as guards what the frames of the user's code go by, when they are entered."""

    def __init__(self, watch: Watch, root: Any, chance: Callable[[Any, str], None]) -> None:
        self.watch, self._chance = watch, chance
        watch.inside = self.inside
        self.elements = Elements()
        watch.taken_whole = self.elements.whole
        self.arrays: dict[int, tuple[Any, Any, str]] = {}  # with what is in them
        self._functions: dict[Any, list[Any]] = {}
        self._passing: list[tuple[Any, list[Any]]] = []  # handed over, and the guards of it
        self._at = ""
        while isinstance(root, functools.partial | MethodType) or hasattr(root, "__wrapped__"):
            if isinstance(root, functools.partial):
                self._inside((root.args, root.keywords), frozenset(), _DEEP)
                root = root.func
            else:
                root = root.__func__ if isinstance(root, MethodType) else root.__wrapped__
        self.code: Any = getattr(root, "__code__", None)
        if isinstance(root, FunctionType):
            self._functions[self.code] = [root]

    def entered(self, frame: FrameType) -> None:
        """Note what the code of a frame goes by."""
        code, names, there = frame.f_code, frame.f_globals, frame.f_locals
        self._at = line(frame)
        globals_, attributes = _names_of(code)
        found = [(name, names[name]) for name in globals_ & names.keys()] + list(there.items())
        getter = any(isinstance(value, _GETTERS) for _, value in found)
        if getter or not _DYNAMIC.isdisjoint(globals_ | attributes):
            attributes = _Every(attributes)
            self.elements.dynamic = True
        self.elements.entered(frame, found)
        for name in sorted(globals_ & names.keys()):
            self._gone_by("global", (names, name), names[name], attributes)
        for function in self._those(code, there):
            for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
                if name in there:
                    self._gone_by("cell", (cell,), there[name], attributes)
            for kind in ("__defaults__", "__kwdefaults__"):
                self.watch.guard("defaults", (function, kind), getattr(function, kind))
                self._inside(getattr(function, kind), attributes, _DEEP)
        for name in (*code.co_varnames, *code.co_freevars):
            if name in there:
                before = len(self.watch.guards)
                self._object(there[name], attributes, _DEEP)
                if code is not self.code and len(self.watch.guards) > before:
                    self._passing.append((there[name], list(self.watch.guards)[before:]))

    def _those(self, code: CodeType, there: Any) -> list[Any]:
        """Return the functions of some code that may run in a frame: a frame does not tell."""
        if code not in self._functions:
            plain = not code.co_freevars and not any(
                isinstance(value, (*_CONTAINERS, np.ndarray)) for value in there.values()
            )
            found = [] if plain else gc.get_referrers(code)
            self._functions[code] = [f for f in found if isinstance(f, FunctionType)]
        return [
            function
            for function in self._functions[code]
            if all(
                held(cell) is there.get(name, MISS)
                for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
            )
        ]

    def _object(self, owner: Any, attributes: frozenset[str], deep: int) -> None:
        """Note the attributes that the code names, of an object, a class or a module."""
        if isinstance(owner, _NOT_LOOKED_INTO) and not isinstance(owner, ModuleType | type):
            return
        holders = _holders(owner)
        if isinstance(attributes, _Every) and holders:
            attributes = attributes.with_those_of(holders[0])
        for name in sorted(attributes):
            held = next((each for each in holders if name in each), None)
            if held is None:
                continue
            found = held[name]
            self.elements.attribute(name, found)
            if isinstance(found, MemberDescriptorType):
                value = getattr(owner, name, MISS)
                self.elements.attribute(name, value)
                self._gone_by("slot", (owner, name), value, attributes, deep)
            elif type(held) is dict:
                self._gone_by("global", (held, name), found, attributes, deep)
            elif isinstance(found, _SIMPLE):
                self._gone_by("global", (held, name), found, attributes, deep)
                if type(holders[0]) is dict:  # the object may get one of its own
                    self.watch.guard("global", (holders[0], name), MISS)

    def _gone_by(
        self, kind: str, subject: Any, value: Any, attributes: frozenset[str], deep: int = _DEEP
    ) -> None:
        if self._fresh(value):
            return
        if isinstance(value, RANDOM):
            self._chance(value, str(subject[-1]))
            return
        if not isinstance(value, _NO_GUARD):
            self.watch.guard(kind, subject, value)
        self._inside(value, attributes, deep)

    def _inside(self, value: Any, attributes: frozenset[str], deep: int) -> None:
        """Note what is in a value."""
        if is_array(value):
            if id(value) not in self.arrays:
                self.arrays[id(value)] = (value, value.copy(), self._at)
        elif isinstance(value, (*_CONTAINERS, tuple)):
            parts = list(value.values() if isinstance(value, Mapping) else value)
            if any(map(self._fresh, parts)):
                return
            self.elements.held(parts)
            if not isinstance(value, tuple):
                self.watch.guard("contents", (value,), contents(value))
            if deep and not all(isinstance(part, str | int | float | Node) for part in parts):
                for part in parts:
                    self._inside(part, attributes, deep - 1)
        elif isinstance(value, Iterator) and not isinstance(value, io.IOBase | Tracer):
            raise refusal(
                f"the function goes by an iterator, {value!r:.60}, which goes on in every call, "
                "and the program would keep what it gave in the first.",
                "Take the next outside of the compiled function, and hand it over.",
                self._at,
            )
        elif deep:
            self._object(value, attributes, deep - 1)

    def inside(self, name: str, value: Any) -> None:
        """Note what is in an attribute of a module, which the code of its class may read."""
        self.elements.attribute(name, value)
        if isinstance(value, (*_CONTAINERS, tuple, np.ndarray)):
            self._inside(value, frozenset(), _DEEP)

    def _fresh(self, value: Any) -> bool:
        """Tell whether it is a tensor that the trace made, which nothing may keep."""
        return isinstance(value, Node) and not self.watch.is_outside(value)

    def close(self) -> None:
        """Look at what was there before: arrays that Python alone reads, and objects."""
        self._forget()
        for found, before, at in self.arrays.values():
            if not known.alike(found, before):
                self.undo()
                raise refusal(
                    f"{_told(found)} is changed by NumPy inside of the function, which would be "
                    "done by its first call only.",
                    "Make it a tensor, and change that, or do it outside.",
                    at,
                )
            box, _ = self.watch.supplied.get(id(found), (None, ""))
            whole = box is not None or id(found) in self.watch.boxes
            if not whole or self.elements.may_be_read(found):
                self._read(found, at, whole=whole)
        self.watch.program.once = not all(map(still, self.watch.guards.values()))

    def undo(self) -> None:
        """Give arrays from outside back what was in them."""
        for found, before, _ in self.arrays.values():
            if not known.alike(found, before):
                found[...] = before

    def _read(self, array: Any, at: str, *, whole: bool) -> None:
        """Note that the program goes by elements of an array."""
        if array.nbytes > _SMALL and not whole:  # of one that is whole, all is read anyway
            raise refusal(
                f"the function goes by what is in {_told(array)}, which is too large to be looked "
                "at in every call.",
                "Make it a tensor, or take what is needed of it outside, and hand that over.",
                at,
            )
        writes, memories = self.watch.program.writes, self.watch.memories()
        changed = [memories[w.target] for w in writes if isinstance(w, Change)]
        if any(np.may_share_memory(array, memory) for memory in changed):
            raise refusal(
                f"elements of {_told(array)} are taken out of it, and the function changes its "
                "memory.",
                "Return the tensor that is changed, and look at its values outside.",
                at,
            )
        self.watch.guard("values", (array,), array.tobytes())

    def _forget(self) -> None:
        """Take back the guards of objects that the function made itself: nobody has them now."""
        left = -1
        while left != len(self._passing):
            left = len(self._passing)
            for _ in range(left):
                found = self._passing.pop(0)
                guards = {key: self.watch.guards.pop(key) for key in found[1]}
                if sys.getrefcount(found[0]) > 2:  # the tuple, and the argument
                    self._passing.append(found)
                    self.watch.guards.update(guards)
                del found, guards
        self._passing.clear()


class _Every(frozenset[str]):
    """The attributes that some code names, where it may read others as well."""

    def with_those_of(self, there: Any) -> _Every:
        """Return those, and the ones that there are."""
        return _Every({*self, *(k for k in there if isinstance(k, str) and k[:2] != "__")})


def _holders(owner: Any) -> list[Any]:
    """Return the dicts in which Python looks for an attribute, but for what is no user's."""
    if isinstance(owner, ModuleType):
        ours = kind_of(getattr(owner, "__file__", None) or "<frozen") == "user"
        return [vars(owner)] if ours else []
    if isinstance(owner, type):
        return [vars(kind) for kind in owner.__mro__[:-1]]
    own = getattr(owner, "__dict__", None)
    kinds = [vars(kind) for kind in type(owner).__mro__[:-1]]
    return [own, *kinds] if isinstance(own, dict) else kinds


@functools.lru_cache(maxsize=1024)
def _names_of(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Return the global names and the attributes that some code reads, or sets."""
    loads = {"global": set[str](), "attribute": set[str]()}
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"):
            loads["global"].add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR"):
            loads["attribute"].add(step.argval)
    return frozenset(loads["global"]), frozenset(loads["attribute"])


def _told(array: Any) -> str:
    return f"an array of NumPy's from outside, of shape {array.shape},"
