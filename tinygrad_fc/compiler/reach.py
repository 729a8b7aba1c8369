"""What outside of a function its code goes by: names, attributes, containers, raw arrays.

A program holds for what it was traced with. Whatever Python alone reads (a number in a closure, a
list, an element of an array) leaves no instruction behind, so it becomes a guard. What cannot be
looked at in every call, an iterator or a large array, is refused.
"""

from __future__ import annotations

import functools
import gc
import io
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import FunctionType, MappingProxyType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from tinygrad_fc.compiler.arrays import Arrays
from tinygrad_fc.compiler.attributes import (
    KEEPING,
    Look,
    callers_of,
    is_users,
    modules_of,
    names_of,
    with_callers,
)
from tinygrad_fc.compiler.contents import contents, held, still
from tinygrad_fc.compiler.elements import Elements, is_array
from tinygrad_fc.compiler.escaped import name_of
from tinygrad_fc.compiler.finding import MISS
from tinygrad_fc.compiler.getters import KINDS, getter
from tinygrad_fc.compiler.identity import set_apart
from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.objects import CONTAINERS, RANDOM, Objects
from tinygrad_fc.compiler.program import Guard
from tinygrad_fc.compiler.refusal import adopt, line, line_of, refusal
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.compiler.unseen import behind, of_package, refuse_type
from tinygrad_fc.graph import Node
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from tinygrad_fc.compiler.watch import Watch

_DEEP = 100
"""How deep what the function goes by may be nested."""
_OF_OWNERS = ("cell", "contents", "global", "slot")
"""Kinds of guards whose subject begins with the object, or the dict of it, that they are about."""


class Reach(Objects):
    """Notes as guards what the frames of the user's code go by, when they are entered."""

    def __init__(self, watch: Watch, root: Any, chance: Callable[[Any, str], None]) -> None:
        self.watch, self._chance = watch, chance
        watch.inside = self.inside
        self.elements = Elements()
        watch.taken_whole = self.elements.whole
        self.arrays = Arrays(watch, self.elements)
        self._functions: dict[Any, list[Any]] = {}
        self._packages: dict[Any, Guard] = {}
        self._outside: dict[CodeType, dict[str, Any]] = {}  # the global names of code
        self._given: dict[int, int] = {}  # numbers of the arguments by their ids
        self._at = ""
        self._read, self._every = frozenset[str](), False  # what getters read, wherever that is
        while isinstance(root, functools.partial | MethodType) or hasattr(root, "__wrapped__"):
            if isinstance(root, functools.partial):
                self._inside((root.args, root.keywords), Look())
                root = root.func
            else:
                root = root.__func__ if isinstance(root, MethodType) else root.__wrapped__
        self.code: Any = getattr(root, "__code__", None)
        if self.code is not None:
            adopt(self.code.co_filename)
        if isinstance(root, FunctionType):
            self._functions[self.code] = [root]

    @property
    def line(self) -> str | None:
        """The line where the function begins."""
        return line_of(self.code.co_filename, self.code.co_firstlineno) if self.code else None

    def entered(self, frame: FrameType) -> None:
        """Note what the code of a frame goes by."""
        refuse_type(frame)
        before = self._read, self._every
        self._entered(frame)
        while before != (self._read, self._every):  # a getter that is here is handed what is there
            before = self._read, self._every
            for each in (frame, *callers_of(frame)):
                self._entered(each, again=True)
        self._at = line(frame)

    def _entered(self, frame: FrameType, *, again: bool = False) -> None:
        code, there, outside = frame.f_code, frame.f_locals, frame.f_globals
        self._at = line(frame)
        known = self._outside.setdefault(code, outside)
        self._outside[code] = outside if known is outside else {}
        names = names_of(code)
        if names.makes:
            self._reads(names.unloaded, every=True)
        found = [(name, outside[name]) for name in names.globals & outside.keys()]
        found += there.items()
        every = names.dynamic or self._every or any(value is getattr for _, value in found)
        self.elements.dynamic |= every
        if not again:
            self.elements.entered(frame, found)
        look = Look(with_callers(names, frame).and_read(self._read), every=every)
        for name in sorted(names.globals):
            self._gone_by("global", (outside, name), outside.get(name, MISS), look.anew())
        for function in self._those(code, there):
            self._held(function, there, look)
        for name in (*code.co_varnames, *code.co_freevars):
            if name in there:
                self._local(there[name], look.anew())
        self.imported(frame)

    def imported(self, frame: FrameType) -> None:
        """Note what code goes by of modules that it imports itself, once they are there."""
        names = names_of(frame.f_code)
        for module in modules_of(frame, names):
            self._object(module, Look(with_callers(names, frame)))

    def _reads(self, names: frozenset[str], *, every: bool) -> None:
        """Note that something reads attributes, which may be handed any object."""
        self._read |= names
        self._every |= every

    def _local(self, value: Any, look: Look) -> None:
        """Note what is in a variable: containers there may be the function's own."""
        if type(value) in (list, tuple, dict):
            if id(value) not in look.seen and look.deep < _DEEP:
                look.seen.add(id(value))
                look.deep += 1
                for part in list(value.values() if type(value) is dict else value):
                    self._local(part, look)
                look.deep -= 1
        elif (read := getter(value)) is not None:
            self._reads(read.names, every=read.every)
            self._local(read.of, look)
        else:
            self._object(value, look)

    def _held(self, function: Any, there: Any, look: Look) -> None:
        """Note what a function holds: its closure, and the defaults of its arguments."""
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if name in there:
                self._gone_by("cell", (cell, name), there[name], look.anew())
        for kind in ("__defaults__", "__kwdefaults__"):
            value = getattr(function, kind)
            if value is not None:  # where there are none, others would be of no use
                self.watch.guard("defaults", (function, kind), value)
                self._inside(value, look.anew())

    def entered_package(self, frame: FrameType) -> None:
        """Note the numbers and words that the code of another package goes by."""
        for of, name, value in of_package(frame):
            self._packages.setdefault((id(of), name), Guard("global", (of, name), value))

    def _those(self, code: CodeType, there: Any) -> list[Any]:
        """Return the functions of some code that may run in a frame: a frame does not tell."""
        if code not in self._functions:
            plain = not code.co_freevars and not any(
                isinstance(value, (*CONTAINERS, np.ndarray)) for value in there.values()
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

    def _gone_by(self, kind: str, subject: Any, value: Any, look: Look) -> None:
        if self._fresh(value):
            return
        if isinstance(value, RANDOM):
            self._chance(value, str(subject[-1]))
            return
        if isinstance(value, io.IOBase):
            self._chance(value, str(subject[-1]))
        if not _stays(kind, subject, value):
            self.watch.guard(kind, subject, value)
        if value is not MISS:
            self._inside(value, look)

    def _inside(self, value: Any, look: Look) -> None:
        """Note what is in a value."""
        if is_array(value):
            self.arrays.note(value, self._at)
            return
        if id(value) in look.seen:
            return
        look.seen.add(id(value))
        look.deep += 1
        if look.deep > _DEEP:
            raise refusal(
                f"the function goes by objects that are nested more than {_DEEP} deep, which are "
                "too many to be looked at in every call.",
                "Take what is needed of them outside, and hand that over.",
                self._at,
            )
        self._parts(value, look)
        look.deep -= 1

    def _parts(self, value: Any, look: Look) -> None:
        if isinstance(value, (*CONTAINERS, tuple)) and not isinstance(value, Module):
            parts = list(value.values() if isinstance(value, Mapping) else value)
            if any(map(self._fresh, parts)):
                return
            self.elements.held(parts)
            if not isinstance(value, tuple):
                self.watch.guard("contents", (value,), contents(value))
            if not all(isinstance(part, str | int | float | Node) for part in parts):
                for part in parts:
                    self._inside(part, look)
        elif isinstance(value, Iterator) and not isinstance(value, io.IOBase | Tracer):
            raise refusal(
                f"the function goes by an iterator, {value!r:.60}, which goes on in every call, "
                "and the program would keep what it gave in the first.",
                "Take the next outside of the compiled function, and hand it over.",
                self._at,
            )
        elif not self._through(value, look) and not self.arrays.note_memory(value, self._at):
            self._object(value, look)

    def _through(self, value: Any, look: Look) -> bool:
        """Note what is behind a value that stands for others; return False if it does not."""
        if isinstance(value, functools.partial):
            for part in (value.args, value.keywords, value.func):
                self._inside(part, look)
        elif (read := getter(value)) is not None:
            self._reads(read.names, every=read.every)
            if isinstance(read.of, RANDOM):
                self._chance(read.of, value.__name__)
            elif not isinstance(read.of, Tracer | Number | Node):
                self._inside(read.of, look)
        elif type(value) is KEEPING:
            for kind, subject, found, names in behind(value):
                self._gone_by(kind, subject, found, look.through(names))
        elif isinstance(value, FunctionType) and "registry" in vars(value):  # singledispatch
            self._inside(vars(value)["registry"], look)
        elif isinstance(value, ref):
            self._inside(value(), look)
        else:
            return False
        return True

    def read_whole(self, frame: FrameType) -> None:
        """Note all that is in objects that are handed to code that is not looked at."""
        for value in list(frame.f_locals.values()):
            parts = value.values() if type(value) is dict else value
            for part in list(parts) if type(value) in (dict, tuple) else [value]:
                if is_users(type(part)):
                    self._object(part, Look(every=True))

    def handed(self, leaves: list[Any]) -> None:
        """Note what is in arguments that are containers of a kind of their own."""
        for number, leaf in enumerate(leaves):
            self._given.setdefault(id(leaf), number)
            if isinstance(leaf, (*CONTAINERS, functools.partial, *KINDS)):
                self._inside(leaf, Look())

    def inside(self, name: str, value: Any) -> None:
        """Note what is in an attribute of a module, which the code of its class may read."""
        self.elements.attribute(name, value)
        if isinstance(value, (*CONTAINERS, tuple, np.ndarray, KEEPING, *KINDS)):
            self._inside(value, Look())

    def _fresh(self, value: Any) -> bool:
        """Tell whether it is a tensor that the trace made, which nothing may keep."""
        return isinstance(value, Node) and not self.watch.is_outside(value)

    def close(self) -> None:
        """Look at what was there before: arrays that Python alone reads, and objects."""
        self._functions.clear()  # which may hold tensors in their closures
        self._forget()
        self.arrays.close()
        # What a package has changed meanwhile is a count, or a clock, of its own.
        for guard in filter(still, self._packages.values()):
            self.watch.guard(*guard)
        set_apart(self.watch, self._outside, self._given, self.line)
        guards = list(self.watch.guards.values())
        changed = [guard for guard in guards if not still(guard)]
        self.watch.program.once = bool(changed)
        if changed:
            self.watch.program.changing = name_of(changed[0], guards)

    def undo(self) -> None:
        """Give arrays from outside back what was in them."""
        self.arrays.undo()

    def _forget(self) -> None:
        """Take back the guards of what the function made itself: nobody else has it now.

        That is for variables that a comprehension or an inner function shares, for containers, and
        for objects, by their dicts; what was found in them may be of outside, and stays.
        """
        guards, left = self.watch.guards, -1
        while left != len(guards):  # what something held that is gone may be next
            left = len(guards)
            about: dict[int, list[Any]] = defaultdict(list)
            for key, guard in guards.items():
                if guard.kind in _OF_OWNERS and type(guard.subject[0]) is not MappingProxyType:
                    about[id(guard.subject[0])].append(key)
            for keys in about.values():
                if sys.getrefcount(guards[keys[0]].subject[0]) == len(keys) + 1:  # the argument
                    for key in keys:
                        del guards[key]


def _stays(kind: str, subject: Any, value: Any) -> bool:
    """Tell whether a name is not looked at in every call: those of what a file imports."""
    if isinstance(value, Tracer | Number):
        return True
    imported = kind == "global" and "__name__" in subject[0]
    return imported and (
        isinstance(value, ModuleType) or (isinstance(value, type) and not is_users(value))
    )
