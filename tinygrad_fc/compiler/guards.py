"""Guards on names that the user's code reads, and refusals of what a program could not repeat.

A program is valid while the names that the function's own code reads are as they were at the
trace: globals, closures, attributes of objects, and the contents of lists, dicts and sets, four
levels deep; numbers, strings and small arrays by value, everything else by identity. Reads by
other ways (`getattr` with a computed name, other installed packages) are not seen. A trace that
changes one of these, draws foreign random numbers, or calls one of a few impure functions of Python
is refused.
"""

from __future__ import annotations

import datetime as dt
import dis
import operator
import os
import queue
import random
import sys
import threading
import time
import types
from array import array
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, partial
from itertools import chain
from types import FunctionType, MappingProxyType, MethodType
from typing import Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler import ir
from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.node import Node
from tinygrad_fc.core.seam import observer
from tinygrad_fc.distributions import Distribution
from tinygrad_fc.nn.module import Module
from tinygrad_fc.optim.optimizer import Optimizer

COMPARED_BY_TEXT = (int, float, complex, bool, str, bytes, type(None), range, Decimal, Fraction)
_CALLS = (dt.datetime.now, dt.datetime.utcnow, dt.date.today, os.urandom, print, input, open)
_IMPURE = frozenset((*filter(callable, vars(time).values()), *_CALLS))
_RESTORED: Any = (list, dict, set, deque, bytearray)
_DRAWN = (np.random.Generator, np.random.RandomState)
_CONTAINERS = (*_RESTORED, *_DRAWN, tuple, MappingProxyType, array, np.ndarray)
_MANY = 256
"""The largest number of elements of an array, and of followed items of a container."""
_MOST = 4096
"""The largest number of items of a container that is compared."""
_DEPTH = 4
"""Levels of containers that are compared."""
_UNSEEN = (memoryview, queue.Queue, queue.SimpleQueue, random.Random, ContextVar)
"""Kinds whose changes guards do not see."""
_BY_NAME = {"getattr", "hasattr", "setattr", "delattr"}
_WHOLE = {"vars", "__dict__", "asdict", "astuple"}
"""Names by which code reads all attributes of an object."""
_CODE = (FunctionType, MethodType, classmethod, staticmethod, property, partial)
"""Functions, and what wraps one."""
_DICTS = (dict, MappingProxyType)
ABSENT = object()


class Read(NamedTuple):
    """A name that the code reads, and its value: an item of a namespace, or an attribute."""

    place: Any
    """A namespace, which has the item `key`, or a cell or function, which has that attribute."""
    key: str
    name: str
    value: Any


def value_of(place: Any, key: str) -> Any:
    """Return the present value of a name."""
    return place.get(key, ABSENT) if isinstance(place, _DICTS) else getattr(place, key, ABSENT)


class Watched(NamedTuple):
    """A container, what it held at the trace, and what messages call it.

    The attributes of a module and the options of an optimizer have a name: each call compares them
    with the copy `before` by ==. In other containers each call compares the items by `same`.
    """

    container: Any
    before: Any
    name: str


def same(a: Any, b: Any) -> bool:
    """Return whether `a` is `b`, or a plain value equal to it and of its type."""
    if a is b or type(a) is not type(b):
        return a is b
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, set | frozenset):
        return sorted(map(repr, a)) == sorted(map(repr, b)) and bool(a == b)
    if isinstance(a, MethodType):  # each access of `owner.method` creates another one
        return a.__self__ is b.__self__ and a.__func__ is b.__func__
    # by their text, since NaN is NaN and 0.0 is not -0.0
    return (type(a) in COMPARED_BY_TEXT or isinstance(a, np.generic)) and repr(a) == repr(b)


def contents(container: Any) -> list[Any]:
    """Return what a container or a small array holds, or the state of a random generator."""
    if isinstance(container, np.random.Generator):
        return [repr(container.bit_generator.state)]
    if isinstance(container, np.random.RandomState):
        return [repr(container.get_state(legacy=False))]
    if isinstance(container, np.ndarray):
        return [str(container.shape), container.tobytes()] if container.size <= _MANY else []
    return [*container, *container.values()] if isinstance(container, _DICTS) else list(container)


def same_contents(container: Any, before: Any) -> bool:
    """Return whether a container holds what it held."""
    if type(container) is set and not container:  # nearly all sets of modules, in each call
        return not before
    now, before = contents(container), contents(before)
    if len(now) != len(before):
        return False
    return all(map(operator.is_, now, before)) or all(map(same, now, before))


def names_in(code: types.CodeType) -> tuple[set[str], set[str], set[str], set[str]]:
    """Return the names of globals and of attributes that code and the functions in it use.

    The instruction tells them apart: `optimizer.step` does not read a global `step`. The third set
    has names of attributes that may not exist, as in `hasattr(x, "name")`, and the last names of
    modules that are imported. Tried on Python 3.11 to 3.15.
    """
    names, attributes, optional, imported = set[str](), set[str](), set[str](), set[str]()
    for inner in _codes(code):
        for instruction in dis.get_instructions(inner):
            operation = instruction.opname
            if "GLOBAL" in operation or operation == "LOAD_NAME":
                names.add(instruction.argval)
            elif operation.endswith("_ATTR") or operation in ("LOAD_METHOD", "IMPORT_FROM"):
                attributes.add(instruction.argval)
            elif operation == "IMPORT_NAME":
                imported.add(instruction.argval)
        if names & _BY_NAME:
            optional |= {x for x in inner.co_consts if isinstance(x, str) and x.isidentifier()}
    return names, attributes, optional, imported


def _codes(code: types.CodeType) -> list[types.CodeType]:
    """Return the code object and the code objects of the functions defined in it."""
    inner = (_codes(x) for x in code.co_consts if isinstance(x, types.CodeType))
    return [code, *chain.from_iterable(inner)]


class Captured:
    """What the user's code reads outside: `names`, and `containers` with their contents."""

    def __init__(self, function: Any, arguments: Iterable[Any]) -> None:
        kind, is_function = type(function), hasattr(function, "__code__")
        call = function if is_function else getattr(kind, "forward", kind.__call__)
        code = getattr(call, "__code__", None)
        self.line = f"{code.co_filename}:{code.co_firstlineno}" if code else "the function"
        self.names: dict[tuple[int, str], Read] = {}
        self.containers: dict[int, Watched] = {}
        self.flags = grad_mode.flags.get() & ~grad_mode.OBSERVED
        self._random_states = _random_states()
        self._functions: list[Any] = []
        self._objects: list[Any] = []
        self._attributes = {"__call__"}  # which is called without that name
        self._optional: set[str] = set()
        self._seen: set[int] = set()
        self.follow(function, call, *arguments)

    def watch(self, container: Any, name: str = "") -> bool:
        """Note what a container holds; return whether it was not known."""
        if id(container) in self.containers:
            return False
        before = dict(container) if isinstance(container, _DICTS) else contents(container)
        self.containers[id(container)] = Watched(container, before, name)
        return True

    def watch_module(self, module: Module) -> None:
        """Note the attributes of a module that is called, and of those below it."""
        for inner in Module.modules(module):
            kind = type(inner)
            for attributes in (*_registries(inner), vars(inner)):
                self._watch_attributes(attributes, kind)
            for owner in filter(_is_users_object, kind.__mro__):
                self._read(owner, "forward")

    def _watch_attributes(self, attributes: dict[str, Any], kind: type) -> None:
        """Note all attributes of an object of a class, and what they lead to."""
        if self.watch(attributes, f"an attribute of a {kind.__name__}"):
            for item in (kind, *attributes.values()):
                self._reach(item)

    def follow(self, *values: Any) -> None:
        """Note what the functions read that are reached from `values`."""
        for value in values:
            self._reach(value)
        known = (-1, -1)
        while known != (known := (len(self._attributes), len(self._seen))):
            for value in list(self._objects):  # code that came later may read objects from before
                self._follow_object(value)
            while self._functions:
                self._follow_function(self._functions.pop())

    def _follow_function(self, function: FunctionType) -> None:
        code = function.__code__
        if not ir.is_users(code):  # a decorator of the library, for example
            self._reach(getattr(function, "__wrapped__", None))
            return
        names, attributes, optional, imported = names_in(code)
        self._attributes |= attributes | optional | (names & _WHOLE)
        self._optional |= optional
        if attributes & {"train", "eval"}:
            self._attributes.add("training")
        for name in names & function.__globals__.keys():
            self._read(function.__globals__, name)
        for name in imported:
            self._reach(sys.modules.get(name))
        for cell, name in zip(function.__closure__ or (), code.co_freevars, strict=True):
            self._read(cell, name, "cell_contents")
        for name in ("__defaults__", "__kwdefaults__", *vars(function)):
            self._read(function, name)
        if self._attributes & {"environ", "getenv"}:
            self.watch(os.environ._data, "the environment")  # type: ignore[attr-defined]

    def _follow_object(self, value: Any) -> None:
        # groups are watched where they are read (`Trace.groups`), state in a step
        unread = {"state", "param_groups"} if isinstance(value, Optimizer) else set()
        unread |= set() if isinstance(value, type) else {"__init__", "__new__"}
        inner = {"data", "maps"} if isinstance(value, UserDict | UserList | ChainMap) else set()
        kinds = value.__mro__ if isinstance(value, type) else ()
        for owner in (value, *_registries(value), *kinds, *type(value).__mro__):
            space = owner if isinstance(owner, dict) else getattr(owner, "__dict__", {})
            special = {n for n in space if n.startswith("__") and type(space[n]) is FunctionType}
            for name in (self._attributes | inner | special) & space.keys() - unread:
                if isinstance(space[name], cached_property):
                    with suppress(Exception):  # the function raises it
                        getattr(value, name)
                if not isinstance(space[name], _CODE) or _is_users_object(owner):
                    self._read(owner, name)
                    self._read(value, name)  # an attribute of the object may hide it
        if isinstance(value, Module):
            if hasattr(value, "__getitem__") or "forward" in self._attributes:
                self.watch_module(value)
        elif hasattr(value, "__dict__") and not isinstance(value, Optimizer | type):
            for name in self._optional:
                self._read(value, name)
            if isinstance(value, Distribution) or not self._attributes.isdisjoint(_WHOLE):
                self._watch_attributes(vars(value), type(value))

    def _read(self, owner: Any, name: str, key: str = "") -> None:
        if (id(owner), name) in self.names:
            return
        is_slot = isinstance(getattr(type(owner), name, None), types.MemberDescriptorType)
        is_place = is_slot or isinstance(owner, dict | types.CellType | FunctionType)
        place, key = owner if is_place else getattr(owner, "__dict__", {}), key or name
        value = value_of(place, key)
        if not isinstance(value, types.ModuleType) or _is_users_object(value):
            self.names[id(owner), name] = Read(place, key, name, value)
        if value is os.environ or value is os.getenv:
            self._attributes.add("environ")
        self._reach(value, name)

    def _reach(self, value: Any, name: str = "", depth: int = _DEPTH) -> None:
        """Follow what is read by a name, or is part of that: a function, an object, a container."""
        if name and isinstance(value, (Iterator, *_UNSEEN)):
            kind = "an iterator" if isinstance(value, Iterator) else f"a {type(value).__name__}"
            what = f"the function reads {name}, {kind}, whose changes calls do not see"
            advice = "Pass what it holds as an argument, as a tensor if it changes often"
            raise ir.CompileError(f"{self.line}: {what}. {advice}")
        if isinstance(value, _CONTAINERS):
            items = contents(value)
            size = len(value) if isinstance(value, dict) else len(items)
            if size <= _MOST and depth and self.watch(value):
                for item in items if size <= _MANY else ():
                    self._reach(item, f"an item of a {type(value).__name__}", depth - 1)
        elif isinstance(value, _CODE) and not isinstance(value, FunctionType):
            for part in ("__self__", "__func__", "fget", "func", "args", "keywords"):
                self._reach(getattr(value, part, None))
        elif id(value) not in self._seen and _is_users_object(value):
            self._seen.add(id(value))
            if isinstance(value, FunctionType):
                self._functions.append(value)
            elif hasattr(value, "__dict__") or hasattr(type(value), "__slots__"):
                self._objects.append(value)

    def ids(self) -> set[int]:
        """Return the ids of all values that were read."""
        known = {id(read.value) for read in self.names.values()}
        return known.union(id(x) for w in self.containers.values() for x in contents(w.before))

    def check(self, others: Iterable[Watched], free: Collection[str]) -> None:
        """Raise where the function has changed what it reads, or one of some other containers.

        Containers whose names are `free` may change.
        """
        # All threads share these states: in a worker thread, another one may have drawn.
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and self._random_states != _random_states():
            what = "the function draws random numbers of another library"
            raise ir.not_repeated(self.line, what, "Use tinygrad_fc.rand or tinygrad_fc.randn")
        reads = self.names.values()
        changed = [r.name for r in reads if not same(value_of(r.place, r.key), r.value)]
        for container, before, name in (*others, *self.containers.values()):
            if name not in free and not same_contents(container, before):
                what = name or f"a {type(container).__name__} from outside"
                keys = [*container, *before] if isinstance(before, dict) else ()
                items = (k for k in keys if not same(container.get(k), before.get(k)))
                changed += [f"{item!r}, {what}" for item in items] or [what]
        if changed:
            advice = "Change it outside, or change a tensor in place: steps.add_(1)"
            raise ir.not_repeated(self.line, f"the function changes {changed[0]}", advice)

    def restore(self) -> None:
        """Undo what the function changed of containers, such as the attributes of modules."""
        for container, before, _ in self.containers.values():
            if isinstance(container, _RESTORED) and not same_contents(container, before):
                container.clear()
                (container.extend if hasattr(container, "extend") else container.update)(before)


def _registries(value: Any) -> tuple[dict[str, Any], ...]:
    """Return the dicts that have attributes of a module, besides its `__dict__`."""
    is_module = isinstance(value, Module)
    return (value._parameters, value._buffers, value._modules) if is_module else ()


def _is_users_object(value: Any) -> bool:
    """Return whether a Python module or class is the user's; any other object but a tensor is."""
    if isinstance(value, type):
        value = sys.modules.get(value.__module__)
    if isinstance(value, types.ModuleType):
        return not (getattr(value, "__file__", None) or "<frozen").startswith(ir.OTHERS)
    return not isinstance(value, Node)


def _random_states() -> Any:
    return random.getstate(), repr(np.random.get_state(legacy=False))  # noqa: NPY002  if it is used


def refuse_impure_calls(_frame: Any, event: str, function: Any) -> None:
    """Raise for a clock, file or print that the user's code calls; the interpreter calls this."""
    if event != "c_call" or function not in _IMPURE:
        return
    if observer() is None:  # an interruption has left this function behind
        sys.setprofile(None)
        return
    if ir.is_users(ir.frame_outside((ir.COMPILER, *ir.STANDARD)).f_code):
        advice = "Call it outside, with what the function returns, or pass what it yields"
        raise ir.not_repeated(ir.user_line(), f"{function.__qualname__}() is called", advice)
