"""Where a tensor is kept that a traced function made, and the line that put it there."""

from __future__ import annotations

import dis
import gc
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_fc.compiler.contents import held
from tinygrad_fc.compiler.refusal import line_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType

    from tinygrad_fc.compiler.program import Guard, Program

_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "STORE_NAME", "LOAD_DEREF", "STORE_DEREF")
_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR")


class Place(NamedTuple):
    """How the user's code calls what keeps a tensor, and the line that names it last."""

    name: str
    line: str


def name_of(guard: Guard, guards: Iterable[Guard]) -> str:
    """Return by what name the function goes by what a guard is about, if that can be told."""
    names = _names(guard, guards)
    return names[0] if names else "something"


def _names(guard: Guard, guards: Iterable[Guard]) -> list[str]:
    """Return the names of something; those of a container are found by what leads to it."""
    of = [(guard.kind, guard.subject)]
    if guard.kind == "contents":
        of = [(kind, subject) for kind, subject, value in guards if value is guard.subject[0]]
    return [s[1] for kind, s in of if kind in ("global", "cell", "attribute", "slot")]


def place_of(tensor: Any, program: Program, codes: Iterable[CodeType]) -> Place | None:
    """Return where `tensor` is kept; None where that is nothing that the function goes by."""
    for _, name, value in program.attributes:
        if value is tensor:
            return _named(name, codes)
    holders, guards = gc.get_referrers(tensor), program.guards
    for guard in guards:
        kind, subject, _ = guard
        container: Any = subject[0] if kind in ("contents", "global", "cell") else None
        if not any(container is each for each in holders):
            continue
        if kind == "cell" and held(container) is not tensor:
            continue
        if kind == "global" and container.get(subject[1]) is not tensor:
            continue
        for name in _names(guard, guards):
            place = _named(name, codes)
            if place is not None:
                return place
    return None


def _named(name: str, codes: Iterable[CodeType]) -> Place | None:
    """Return the last line that names `name`, of those that store it if there are any."""
    found: list[tuple[bool, str, str]] = []
    for code in codes:
        for step in dis.get_instructions(code):
            attribute = step.opname in _ATTRIBUTE
            if step.argval == name and (attribute or step.opname in _GLOBAL) and step.positions:
                line = line_of(code.co_filename, step.positions.lineno or 0)
                shown = f".{name}" if attribute else name
                found.append((step.opname.startswith("STORE"), shown, line))
    stores = [each for each in found if each[0]] or found
    return Place(*stores[-1][1:]) if stores else None
