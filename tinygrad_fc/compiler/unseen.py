"""What a function goes by that none of its own calls shows, found in the code itself."""

from __future__ import annotations

import dis
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler.attributes import KEEPING, Names, names_of
from tinygrad_fc.compiler.contents import held
from tinygrad_fc.compiler.finding import MISS
from tinygrad_fc.compiler.refusal import kind_of, line_of, refusal
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_PLAIN = (bool, int, float, str)


def behind(function: Any) -> Iterator[tuple[str, Any, Any, Names]]:
    """Yield what a function of the user's goes by, and those it calls, without running it."""
    todo, done = [function], set[Any]()
    while todo:
        found = todo.pop()
        found = getattr(found, "__wrapped__", found) if type(found) is KEEPING else found
        if type(found) is not FunctionType or found in done:
            continue
        done.add(found)
        if kind_of(found.__code__.co_filename) != "user":
            continue
        yield "defaults", (found, "__defaults__"), found.__defaults__, names_of(found.__code__)
        for name, cell in zip(found.__code__.co_freevars, found.__closure__ or (), strict=True):
            yield "cell", (cell, name), held(cell), names_of(found.__code__)
            todo.append(held(cell))
        for code in _codes(found.__code__):
            names = names_of(code)
            for name in sorted(names.globals):
                value = found.__globals__.get(name, MISS)
                yield "global", (found.__globals__, name), value, names
                todo.append(value)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def of_package(frame: FrameType) -> Iterator[tuple[Any, str, Any]]:
    """Yield the numbers and words that the code of another package reads of its global names.

    What it holds in containers is its own business: most are caches, which change all the time.
    """
    names, outside = names_of(frame.f_code), frame.f_globals
    for name in sorted(names.globals):
        value = outside.get(name, MISS)
        if isinstance(value, _PLAIN) and name[:2] != "__":
            yield outside, name, value
        own = getattr(value, "__dict__", None)
        if type(own) is dict and not isinstance(value, FunctionType | Node):
            yield from (
                (own, n, own[n])
                for n in sorted(names.attributes & own.keys())
                if isinstance(own[n], _PLAIN)
            )


def refuse_type(frame: FrameType) -> None:
    """Refuse code that compares the type of an array to NumPy's, which a tracer's is not."""
    code, there = frame.f_code, frame.f_locals.values()
    names = names_of(code)
    if "type" not in names.globals or "ndarray" not in names.globals | names.attributes:
        return
    arrays = any(type(value) is Tracer for value in there)
    if not arrays and not ("numpy" in names.attributes and any(isinstance(v, Node) for v in there)):
        return
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL" and step.argval == "type" and step.positions:
            raise refusal(
                "type() of an array is not np.ndarray while the function is traced, which another "
                "class stands in for.",
                "Write isinstance(x, np.ndarray), which is true of both.",
                line_of(code.co_filename, step.positions.lineno or 0, frame.f_globals),
            )
