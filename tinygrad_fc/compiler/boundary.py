"""What the user's code hands over to the library, and goes by, while it is traced."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.elements import HARMLESS
from tinygrad_fc.compiler.impure import Impure, asking, kept
from tinygrad_fc.compiler.objects import RANDOM
from tinygrad_fc.compiler.reach import Reach
from tinygrad_fc.compiler.refusal import kind_of, line, refusal
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from tinygrad_fc.compiler.watch import Watch

_DEEP = 3


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
        self._impure = Impure()
        self.reach = Reach(watch, function, self._chance)
        for source, name in ((random._inst, "random"), (np.random.mtrand._rand, "np.random")):
            self._chance(source, name)

    def event(self, frame: FrameType, event: str, arg: Any) -> None:
        """Take note of one event of the interpreter."""
        kind = kind_of(frame.f_code.co_filename)
        if kind == "user" and str(frame.f_globals.get("__name__")).startswith("namedtuple_"):
            return  # Python's own code, which is in no file
        if event == "call" and kind == "user":
            self.reach.entered(frame)
        elif event == "call":
            if kind == "third":
                self._called_package(frame)
            self._called(frame, kind)
        elif event == "return" and kind == "user":
            self.reach.imported(frame)
            for name, value in list(frame.f_locals.items()):
                if isinstance(value, RANDOM) and id(value) not in self.chances:
                    raise self._by_chance(name, line(frame))
        elif event == "c_call":
            self._asked(frame, arg, kind)

    def _called_package(self, frame: FrameType) -> None:
        """Take note of a call in another package: in a model of one, as if it were the user's."""
        owner = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
        if isinstance(owner, Module):
            self.reach.entered(frame)
        else:
            self.reach.entered_package(frame)

    def _called(self, frame: FrameType, kind: str) -> None:
        """Take note of a call of what is no user's code."""
        caller = _caller(frame.f_back)
        if caller is None:
            return
        self._impure.called(frame)
        if kind == "other" and caller is frame.f_back:
            self.reach.read_whole(frame)
        if kind in ("library", "compiler"):
            self._drawn(line(caller))
            for value in list(frame.f_locals.values()):
                self._handed(value, caller, _DEEP)

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

    # Chance, and the clock

    def _chance(self, source: Any, name: str) -> None:
        if id(source) not in self.chances:
            self.chances[id(source)] = (source, _state(source), name)

    def _asked(self, frame: FrameType, arg: Any, kind: str) -> None:
        if getattr(arg, "__name__", "") == "urandom":
            user = asking(frame)
            if user is not None:
                raise self._by_chance("the system", line(user))
        self._impure.called_c(frame, arg)
        if kind == "user" and arg in HARMLESS:
            self.reach.elements.harmless(frame)
        if kind == "user" and isinstance(getattr(arg, "__self__", None), random.Random):
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
        self.reach.close()
        self._drawn(self.reach.line or str(function))
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
                if isinstance(source, io.IOBase):
                    raise refusal(*kept(f"what the file {name} gives"), at)
                raise self._by_chance(name, at)


def _caller(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the code, the user's or a package's, that calls by Python's own code."""
    while frame is not None and kind_of(frame.f_code.co_filename) == "other":
        frame = frame.f_back
    found = frame is not None and kind_of(frame.f_code.co_filename) in ("user", "third")
    return frame if found else None


def _state(source: Any) -> Any:
    if isinstance(source, io.IOBase):
        try:
            return source.tell() if source.readable() else None
        except (OSError, ValueError):  # it is a terminal, or closed, or in the middle of a loop
            return None
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
