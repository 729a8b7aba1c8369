"""Which arrays from outside the user's code takes whole, and of which it reads elements as well.

An array of NumPy's that the library computes with is an input, read anew at every call. What Python
takes out of it (`float(a[0])`, a loop, an `if`) leaves no instruction behind. Neither does it leave
an event, so the code is looked at: whatever loads the array hands it on to one instruction, and at
that one the library must have been seen to take the array, or another function of the user's to
get it. Where that cannot be told, elements may have been read.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.refusal import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FrameType

_SHAPES = frozenset(("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides", "flags"))
"""Attributes of an array that tell nothing of its elements."""
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR")
_NO_VARIABLES = (*_ATTRIBUTES, "LOAD_CONST", "LOAD_CLOSURE")
_STORES = ("STORE_FAST", "STORE_DEREF", "STORE_GLOBAL", "STORE_NAME")
HARMLESS = (len, isinstance, id)
"""Functions that read no elements."""


def is_array(value: Any) -> bool:
    """Tell whether it is an array of NumPy's: a tracer says that it is one."""
    return issubclass(type(value), np.ndarray)


class Elements:
    """What is seen of each array while a function is traced."""

    def __init__(self) -> None:
        self.dynamic = False  # attributes are read that the code does not name
        self.codes: dict[CodeType, None] = {}
        self._variables: dict[int, set[tuple[CodeType, str]]] = defaultdict(set)
        self._attributes: dict[int, set[str]] = defaultdict(set)
        self._loose: set[int] = set()  # found in containers, whose elements have no name
        self._whole: dict[int, set[tuple[CodeType, int]]] = defaultdict(set)
        self._harmless: set[tuple[CodeType, int]] = set()

    # What is seen

    def entered(self, frame: FrameType, named: Iterable[tuple[str, Any]]) -> None:
        """Take note of the variables of a frame that are arrays."""
        self.codes[frame.f_code] = None
        for name, value in named:
            if is_array(value):
                self._variables[id(value)].add((frame.f_code, name))
        for value in list(frame.f_locals.values()):
            if is_array(value):
                self.whole(value, frame.f_back)
            elif type(value) in (tuple, list, dict):
                self.held(value.values() if type(value) is dict else value)

    def attribute(self, name: str, value: Any) -> None:
        """Take note of an attribute that is an array."""
        if is_array(value):
            self._attributes[id(value)].add(name)

    def held(self, parts: Iterable[Any]) -> None:
        """Take note of what is in a container."""
        self._loose.update(id(part) for part in parts if is_array(part))

    def whole(self, array: Any, frame: FrameType | None = None) -> None:
        """Take note that an array is taken whole by what the lines that run now call."""
        frame = frame or sys._getframe(1)
        while frame is not None:
            if kind_of(frame.f_code.co_filename) == "user":
                self._whole[id(array)].add((frame.f_code, frame.f_lasti))
            frame = frame.f_back

    def harmless(self, frame: FrameType) -> None:
        """Take note of a call that reads no elements."""
        self._harmless.add((frame.f_code, frame.f_lasti))

    # What follows

    def may_be_read(self, array: Any) -> bool:
        """Tell whether elements of an array that was taken whole may have been read as well."""
        if self.dynamic or id(array) in self._loose:
            return True
        places = self._whole[id(array)] | self._harmless
        todo = [(code, name, False) for code, name in self._variables[id(array)]]
        todo += [(code, n, True) for n in self._attributes[id(array)] for code in self.codes]
        done = set(todo)
        for code, name, attribute in todo:
            for alias, takers in _loads(code, name, attribute=attribute):
                if alias is None:
                    if not any(_is_whole(code, taker, places) for taker in takers):
                        return True
                elif (code, alias, False) not in done:
                    done.add((code, alias, False))
                    todo.append((code, alias, False))
        return False


def _is_whole(code: CodeType, taker: tuple[int, int, bool], places: Any) -> bool:
    start, end, blind = taker
    return blind or any(of is code and start <= at < end for of, at in places)


@functools.lru_cache(maxsize=256)
def _steps(code: CodeType) -> list[tuple[dis.Instruction, int, Any]]:
    """Return the instructions of some code: where each ends, and what part of the text it is."""
    steps = list(dis.get_instructions(code))
    ends = [*(step.offset for step in steps[1:]), len(code.co_code)]
    return [(step, end, _span(step)) for step, end in zip(steps, ends, strict=True)]


def _span(step: dis.Instruction) -> Any:
    at = step.positions
    if at is None or None in at:
        return None
    return (at.lineno, at.col_offset), (at.end_lineno, at.end_col_offset)


def _loads(code: CodeType, name: str, *, attribute: bool) -> Iterator[tuple[str | None, list[Any]]]:
    """Yield for each load of a name the variable that gets the value, or what may take it."""
    steps = _steps(code)
    for k, (step, _, span) in enumerate(steps):
        kind, two = step.opname, type(step.argval) is tuple
        named = name in step.argval if two else step.argval == name
        if not named or not (two or kind.startswith("LOAD_")):
            continue
        if (kind not in _ATTRIBUTES) if attribute else (kind in _NO_VARIABLES):
            continue
        after = steps[k + 1][0]
        if two:  # two loads in one, of which the text tells one only
            yield None, [_taker(steps[k + 1])]
        elif after.opname in _STORES:
            yield after.argval, []
        else:
            yield None, [_taker(found) for found in _innermost(steps[k + 1 :], span)]


def _innermost(steps: Any, span: Any) -> list[Any]:
    """Return the instructions for the smallest part of the text around `span`."""
    around = [
        found
        for found in steps
        if span and found[2] and found[2][0] <= span[0] and span[1] <= found[2][1]
    ]
    if not around:
        return []
    start, end = max(found[2][0] for found in around), min(found[2][1] for found in around)
    return [found for found in around if found[2] == (start, end)]


def _taker(found: Any) -> tuple[int, int, bool]:
    """Return where an instruction starts and ends, and whether it reads no elements."""
    step, end, _ = found
    of_shape = step.opname in _ATTRIBUTES and step.argval in _SHAPES
    return step.offset, end, of_shape or step.opname == "IS_OP" or "NONE" in step.opname
