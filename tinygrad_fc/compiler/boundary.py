"""What the user's code hands over to the library, and goes by, while it is traced."""

from __future__ import annotations

import dis
import functools
import random
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.refusal import kind_of, line, line_of, refusal
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
_CLOCKS = frozenset(
    ("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "process_time", "urandom")
)
_RANDOM = (np.random.Generator, np.random.RandomState, random.Random)
_NO_GUARD = (ModuleType, type, BuiltinFunctionType, Tracer, Number, Generator, *_RANDOM)
_NOT_LOOKED_INTO = (Node, Module, Optimizer, FunctionType, MethodType, np.ndarray, *_NO_GUARD)
_SIMPLE = (bool, int, float, str, bytes, type(None), tuple, list, dict, Node, Module)
"""What is looked at of classes, whose other attributes are methods."""
_MANY = 64


class Boundary:
    """Sees the calls from the user's code into the library: a profile function, for one trace.

    An array that comes from there is none of the library's constants. It was there before, and is
    read anew at every call; or the function made it, and that is refused. What the user's code
    goes by (global names, attributes of objects, numbers in closures) becomes a guard.
    """

    def __init__(self, watch: Watch, function: Callable[..., Any]) -> None:
        self.watch = watch
        self.chances: dict[int, tuple[Any, Any, str]] = {}
        self.scalars: dict[int, tuple[Any, str]] = {}
        function = getattr(function, "__wrapped__", function)
        if isinstance(function, MethodType):
            function = function.__func__
        self.cells: dict[str, Any] = {}
        self.code: Any = getattr(function, "__code__", None)
        if isinstance(function, FunctionType):
            self.cells = dict(
                zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
            )
        for source, name in ((random._inst, "random"), (np.random.mtrand._rand, "np.random")):
            self._chance(source, name)

    def event(self, frame: FrameType, event: str, arg: Any) -> None:
        """Take note of one event of the interpreter."""
        kind = kind_of(frame.f_code.co_filename)
        if event == "call":
            if kind in ("library", "compiler"):
                caller = _user(frame.f_back)
                if caller is not None:
                    self._drawn(line(caller))
                    for value in list(frame.f_locals.values()):
                        self._handed(value, caller, _DEEP)
            elif kind == "user":
                self._entered(frame)
        elif event == "return" and kind == "user":
            for name, value in list(frame.f_locals.items()):
                if isinstance(value, _RANDOM) and id(value) not in self.chances:
                    raise self._by_chance(name, line(frame))
        elif event == "c_call" and kind == "user":
            self._asked(frame, arg)

    # What is handed over

    def _handed(self, value: Any, caller: FrameType, deep: int) -> None:
        if type(value) is Tracer:
            return
        if isinstance(value, np.generic):
            self.scalars.setdefault(id(value), (value, line(caller)))
        elif isinstance(value, np.ndarray):
            self.watch.supplied.setdefault(id(value), (None, line(caller)))
        elif deep and type(value) in (tuple, list):
            for part in value:
                self._handed(part, caller, deep - 1)
        elif deep and type(value) is dict:
            for part in value.values():
                self._handed(part, caller, deep - 1)

    # What is gone by

    def _entered(self, frame: FrameType) -> None:
        code, names = frame.f_code, frame.f_globals
        there = frame.f_locals
        globals_, attributes = _names_of(code)
        for name in sorted(globals_ & names.keys()):
            self._gone_by("global", (names, name), names[name])
        for name in code.co_freevars:
            if code is self.code and name in self.cells:
                self._gone_by("cell", (self.cells[name],), there.get(name))
        for name in (*code.co_varnames, *code.co_freevars):
            if name in there:
                self._object(there[name], attributes)
        for name in sorted(globals_ & names.keys()):
            self._object(names[name], attributes)

    def _object(self, owner: Any, attributes: frozenset[str], deep: int = _DEEP) -> None:
        """Note the attributes that the code names, of an object, a class or a module."""
        if isinstance(owner, ModuleType):
            ours = kind_of(getattr(owner, "__file__", None) or "<frozen") == "user"
            holders: list[Any] = [vars(owner)] if ours else []
        elif isinstance(owner, type):
            holders = [vars(kind) for kind in owner.__mro__[:-1]]
        elif isinstance(owner, _NOT_LOOKED_INTO):
            return
        else:
            own = getattr(owner, "__dict__", None)
            holders = [own] if isinstance(own, dict) else []
            holders += [vars(kind) for kind in type(owner).__mro__[:-1]]
        for name in sorted(attributes):
            held = next((each for each in holders if name in each), None)
            if held is None or (type(held) is not dict and not isinstance(held[name], _SIMPLE)):
                continue
            self._gone_by("global", (held, name), held[name])
            if deep and type(held) is dict:
                self._object(held[name], attributes, deep - 1)

    def _gone_by(self, kind: str, subject: Any, value: Any) -> None:
        if isinstance(value, _RANDOM):
            self._chance(value, str(subject[-1]))
        if isinstance(value, _NO_GUARD):
            return
        self.watch.guard(kind, subject, value)
        if type(value) in (list, dict, set) and len(value) <= _MANY:
            self.watch.guard("contents", (value,), contents(value))

    # Chance, and the clock

    def _chance(self, source: Any, name: str) -> None:
        if id(source) not in self.chances:
            self.chances[id(source)] = (source, _state(source), name)

    def _asked(self, frame: FrameType, arg: Any) -> None:
        name = getattr(arg, "__name__", "")
        module = getattr(arg, "__module__", "") or ""
        if name in _CLOCKS and module in ("time", "posix", "nt"):
            raise refusal(
                f"{module}.{name}() tells another value in every call, and the program would keep "
                "that of the first.",
                "Call it outside of the compiled function.",
                line(frame),
            )
        if isinstance(getattr(arg, "__self__", None), random.Random):
            raise self._by_chance("random", line(frame))

    def _by_chance(self, name: str, at: str) -> Exception:
        return refusal(  # type: ignore[no-any-return]
            f"numbers are drawn from {name} inside of the function, and the program would keep "
            "those of the first call.",
            "Draw them with tinygrad_fc.rand or randn, which draw anew at every call, or outside, "
            "and hand them over.",
            at,
        )

    def close(self, function: Any) -> None:
        """Refuse what went by chance."""
        code = self.code
        self._drawn(line_of(code.co_filename, code.co_firstlineno) if code else str(function))
        self.chances.clear()
        there = {id(guard.value) for guard in self.watch.guards.values()}
        for guard in self.watch.guards.values():
            if guard.kind == "contents":
                parts = [p[1] if type(p) is tuple and len(p) == 2 else p for p in guard.value]
                there.update(map(id, parts))
        for value, at in self.scalars.values():
            if id(value) not in there and id(value) not in self.watch.given:
                raise refusal(
                    f"a number of NumPy's, {value!r:.40}, is made inside of the function, and the "
                    "program would keep that of the first call.",
                    "Make it outside, or from tensors; write a constant as a plain number.",
                    at,
                )

    def _drawn(self, at: str) -> None:
        for source, before, name in self.chances.values():
            if not _same(before, _state(source)):
                raise self._by_chance(name, at)


@functools.lru_cache(maxsize=1024)
def _names_of(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Return the global names and the attributes that some code reads."""
    steps = list(dis.get_instructions(code))
    loads = {"global": set[str](), "attribute": set[str]()}
    for step in steps:
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            loads["global"].add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            loads["attribute"].add(step.argval)
    return frozenset(loads["global"]), frozenset(loads["attribute"])


def contents(value: Any) -> Any:
    """Return what a container holds, to be compared by identity."""
    return tuple(value.items()) if isinstance(value, dict) else tuple(value)


def same_contents(value: Any, before: Any) -> bool:
    """Tell whether a container holds what it held."""
    now = contents(value)
    if len(now) != len(before):
        return False
    if isinstance(value, dict):
        pairs = zip(now, before, strict=True)
        return all(a[0] == b[0] and _one(a[1], b[1]) for a, b in pairs)
    return all(map(_one, now, before))


def alike(now: Any, before: Any) -> bool:
    """Tell whether two sequences hold the same objects."""
    return len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True))


def _one(a: Any, b: Any) -> bool:
    if a is b:
        return True
    return type(a) is type(b) and isinstance(a, int | float | str | bytes) and a == b


def _user(frame: FrameType | None) -> FrameType | None:
    while frame is not None and kind_of(frame.f_code.co_filename) == "other":
        frame = frame.f_back
    found = frame is not None and kind_of(frame.f_code.co_filename) in ("user", "third")
    return frame if found else None


def _state(source: Any) -> Any:
    if isinstance(source, random.Random):
        return source.getstate()
    if isinstance(source, np.random.Generator):
        return source.bit_generator.state
    return source.get_state(legacy=False)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(_same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    return bool(a == b)
