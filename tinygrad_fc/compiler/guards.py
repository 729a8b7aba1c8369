"""Guards on names that the user's code reads, and refusals of what a program could not repeat.

A program is valid while the names that the function's own code reads are as they were at the
trace: globals, closures, attributes of objects, and the contents of lists, dicts and sets, two
levels deep; numbers, strings and small arrays by value, everything else by identity. Reads by
other ways (`getattr` with a computed name, slots, other installed packages) are not seen. A trace
that changes one of these, draws foreign random numbers, or calls one of a few impure functions of
Python is refused.
"""

from __future__ import annotations

import dis
import inspect
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.ir import OTHERS, CompileError, is_users, refusal, user_line
from tinygrad_fc.graph import Node
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLAIN = (int, float, complex, bool, str, bytes, tuple, type(None))
_CLOCKS = (time.time, time.perf_counter, time.monotonic, time.process_time, time.time_ns)
_IMPURE = frozenset((*_CLOCKS, time.perf_counter_ns, print, input, open, os.urandom))
_IMPURE_METHODS = frozenset(("datetime.now", "datetime.utcnow", "date.today"))
_RANDOM = (np.random.RandomState, np.random.Generator, random.Random)
_STANDARD = str(Path(os.__file__).parent)
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")
_MANY = 256
"""Items up to which a container, or an array, is compared."""
_DEPTH = 2
"""Levels of containers that are compared."""
ABSENT = object()


class Read:
    """A name that the code reads: the namespace or cell that has it, and its value at the trace."""

    def __init__(self, place: Any, name: str) -> None:
        self.place, self.name = place, name
        self.value = self.now()

    def now(self) -> Any:
        """Return the present value."""
        if isinstance(self.place, CellType):
            try:
                return self.place.cell_contents
            except ValueError:  # empty
                return ABSENT
        return self.place.get(self.name, ABSENT)

    def restore(self) -> None:
        """Set the name to its value at the trace."""
        if isinstance(self.place, CellType):
            self.place.cell_contents = self.value
        elif isinstance(self.place, dict):  # else the attributes of a class
            self.place[self.name] = self.value


@dataclass
class Reads:
    """What code reads: names, containers with their contents, and NumPy generators."""

    names: dict[Any, Read] = field(default_factory=dict)
    containers: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    generators: dict[int, Any] = field(default_factory=dict)


def same(a: Any, b: Any) -> bool:
    """Tell whether `a` is `b`, or a plain value equal to it and of its type."""
    if a is b:
        return True
    if type(a) is not type(b) or type(a) not in PLAIN:
        return False
    if type(a) is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b or a) and repr(a) == repr(b)  # NaN is NaN, and 0.0 is not -0.0


def contents(container: Any) -> Any:
    """Return a copy of what a container or an array holds."""
    if isinstance(container, np.ndarray):
        return container.copy()
    if isinstance(container, dict):
        return [*container, *container.values()]
    return list(container)


def same_contents(container: Any, before: Any) -> bool:
    """Tell whether a container or an array holds what it held."""
    if isinstance(container, np.ndarray):
        same_bytes = container.tobytes() == before.tobytes()
        return bool(same_bytes and container.shape == before.shape)
    now = contents(container)
    return len(now) == len(before) and all(map(same, now, before))


def unchanged_attributes(module: Any, before: dict[str, Any]) -> str | None:
    """Return the name of an attribute that differs from `before`; None where none does."""
    now = vars(module)
    names = [*now, *before]
    return next((n for n in names if not same(now.get(n, ABSENT), before.get(n, ABSENT))), None)


class _Finder:
    """Finds what code reads, starting from functions and objects."""

    def __init__(self, line: str) -> None:
        self.reads, self.line = Reads(), line
        self._functions: list[Any] = []
        self._objects: list[Any] = []
        self._names: set[str] = set()
        self._seen: set[int] = set()

    def find(self, functions: Iterable[Any], objects: Iterable[Any]) -> Reads:
        """Return what `functions` read, with attributes of `objects` and of what is reached."""
        self._functions.extend(functions)
        for each in objects:
            self._reach(each)
        known = (-1, -1)
        while known != (known := (len(self._names), len(self._seen))):
            while self._functions:
                self._function(self._functions.pop())
            for each in list(self._objects):  # code that came later may read objects from before
                self._attributes(each)
        return self.reads

    def _function(self, function: Any) -> None:
        if isinstance(function, MethodType):
            self._reach(function.__self__)
            function = function.__func__
        if not isinstance(function, FunctionType) or id(function) in self._seen:
            return
        self._seen.add(id(function))
        function = inspect.unwrap(function)
        code: Any = getattr(function, "__code__", None)
        if not is_users(code):
            return
        codes: list[Any] = [code]
        for each in codes:
            codes += [c for c in each.co_consts if isinstance(c, CodeType)]
        self._names |= {name for each in codes for name in each.co_names}
        loads = (step for each in codes for step in dis.get_instructions(each))
        names = {step.argval for step in loads if step.opname in _GLOBALS}
        for name in names & function.__globals__.keys():
            self._name(function.__globals__, name)
        for cell, name in zip(function.__closure__ or (), code.co_freevars, strict=True):
            self._name(cell, name)
        self._functions.extend(function.__defaults__ or ())

    def _name(self, place: Any, name: str) -> None:
        key, read = (id(place), name), Read(place, name)
        if key in self.reads.names:
            return
        if isinstance(read.value, Iterator):
            raise CompileError(
                f"{self.line}: the function reads {name}, an iterator, which only its first call "
                "would move on. "
                "Pass what it yields as an argument"
            )
        if not isinstance(read.value, ModuleType | type):
            self.reads.names[key] = read
        self._reach(read.value)

    def _reach(self, value: Any, depth: int = _DEPTH) -> None:
        """Follow a value: a function, an object, a container."""
        if isinstance(value, np.random.Generator):
            self.reads.generators[id(value)] = value.bit_generator
        if isinstance(value, np.ndarray):
            if value.size <= _MANY and value.dtype != object:
                self.reads.containers[id(value)] = (value, value.copy())
        elif isinstance(value, list | dict | set | tuple):
            if len(value) <= _MANY and id(value) not in self.reads.containers and depth:
                items = contents(value)
                self.reads.containers[id(value)] = (value, items)
                for each in items:
                    self._reach(each, depth - 1)
        elif isinstance(value, FunctionType | MethodType):
            self._functions.append(value)
        elif self._is_new_object(value):
            self._seen.add(id(value))
            self._objects.append(value)
            self._functions.append(_called_method(value))

    def _is_new_object(self, value: Any) -> bool:
        if not hasattr(value, "__dict__") or isinstance(value, Module | Node):
            return False
        return id(value) not in self._seen and _is_users_object(value)

    def _attributes(self, value: Any) -> None:
        kinds = value.__mro__ if isinstance(value, type) else type(value).__mro__
        own = vars(value)
        for space in (own, *map(vars, kinds)):
            for name in self._names & space.keys() - {"param_groups", "state"}:
                attribute = space[name]
                attribute = attribute.fget if isinstance(attribute, property) else attribute
                method = isinstance(attribute, FunctionType | classmethod | staticmethod)
                if method and (space is not own or isinstance(value, type)):
                    self._functions.append(attribute)
                else:
                    self._name(space, name)


def _is_users_object(value: Any) -> bool:
    """Tell whether a module or class is the user's; any other object is."""
    if isinstance(value, ModuleType):
        return not (getattr(value, "__file__", None) or "<frozen").startswith(OTHERS)
    module = sys.modules.get(value.__module__) if isinstance(value, type) else None
    return module is None or _is_users_object(module)


class Outside:
    """What the function reads, as it is before a trace, to refuse and undo changes of it."""

    def __init__(self, function: Any, arguments: Sequence[Any]) -> None:
        self._function, self._arguments = function, arguments
        code = getattr(_functions(function)[0], "__code__", None)
        self.line = f"{code.co_filename}:{code.co_firstlineno}" if code else "the function"
        self._touched: dict[int, str] = {}
        self._before = _Finder(self.line).find(_functions(function), arguments)
        self._states = self._random_states()

    def reads_of(self, modules: Iterable[Any]) -> Reads:
        """Return what is to be guarded, reads of the `modules` that were called included."""
        functions, objects = _functions(self._function), list(self._arguments)
        for module in modules:
            functions.append(type(module).forward)
            objects.append(type(module))
            objects.extend(vars(module).values())
        return _Finder(self.line).find(functions, objects)

    def _random_states(self) -> Any:
        numpy_state = repr(np.random.get_state(legacy=False))  # noqa: NPY002  whether it was used
        drawn = [repr(bits.state) for bits in self._before.generators.values()]
        return drawn, random.getstate(), numpy_state

    def check(self, lines: dict[int, str]) -> None:
        """Raise where the function has changed what it reads.

        `lines` are those that computed tensors, by the ids of these.
        """
        for read in self._before.names.values():
            if not same(now := read.now(), read.value):
                raise CompileError(
                    f"{lines.get(id(now), self.line)}: the function changes {read.name}, which "
                    "only its first call would do. Change it outside, or keep numbers in a tensor"
                )
        for key, (container, before) in self._before.containers.items():
            if not same_contents(container, before):
                names = [r.name for r in self._before.names.values() if r.value is container]
                raise CompileError(
                    f"{self._touched.get(key, self.line)}: the function changes a "
                    f"{type(container).__name__} from outside, {'/'.join(names)}, which only its "
                    "first call would do. Return the new items, or keep numbers in a tensor"
                )
        if self._random_states() != self._states:
            raise CompileError(
                f"{self.line}: the function draws random numbers that are not tinygrad_fc's, and "
                "they would be the same in every call. Use tinygrad_fc.rand or randn"
            )

    def restore(self) -> None:
        """Undo changes of names and containers."""
        for read in self._before.names.values():
            if not same(read.now(), read.value):
                read.restore()
        for container, before in self._before.containers.values():
            if same_contents(container, before):
                continue
            if isinstance(container, np.ndarray):
                container[...] = before
            elif isinstance(container, list):
                container[:] = before
            else:
                half = len(before) // 2
                container.clear()
                pairs = zip(before[:half], before[half:], strict=True)
                container.update(pairs if isinstance(container, dict) else before)

    @contextmanager
    def refusing_impure_calls(self) -> Iterator[None]:
        """Refuse clocks, files, printing and foreign random numbers while a trace runs."""
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _profile(self, frame: Any, event: str, function: Any) -> None:
        """Raise for an impure function that the user's code calls; the interpreter calls this."""
        if event != "c_call":
            return
        while frame.f_back and frame.f_code.co_filename.startswith(_STANDARD):
            frame = frame.f_back  # the standard library called by other code
        if not is_users(frame.f_code):
            return
        owner, name = getattr(function, "__self__", None), getattr(function, "__qualname__", "")
        if id(owner) in self._before.containers:
            self._touched[id(owner)] = user_line()
        drawn = isinstance(owner, _RANDOM)
        if drawn or function in _IMPURE or name in _IMPURE_METHODS:
            sys.setprofile(None)
            what = "for random numbers of another library, " if drawn else ""
            module = {"builtins": "", None: ""}.get(function.__module__, f"{function.__module__}.")
            raise refusal(
                f"{what}{module}{function.__name__}() is called, which only the first call of a "
                "compiled function would do",
                "Return the tensor and call it outside, or pass what it yields as an argument",
            )


def _functions(function: Any) -> list[Any]:
    if isinstance(function, FunctionType | MethodType):
        return [function]
    if isinstance(function, Module):
        return [type(function).forward]
    return [_called_method(function)]


def _called_method(value: Any) -> Any:
    """Return what calling an object calls."""
    return vars(type(value)).get("__call__")
