"""How lines become a page: what stands above a function, its first and last line, headings."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tinygrad_fc.compiler.program import Place

LINE = 100
"""How long a line gets before its parts get lines of their own, as a formatter does it."""


@dataclass
class Line:
    """One statement: what it computes, in which lines of text, and whose memory it reads."""

    number: int | None
    text: list[str]
    reads: frozenset[int]
    kind: str = ""
    stores: int | None = None
    """The input that is changed in place."""
    place: Place | None = None


@dataclass
class Source:
    """The text, and what it speaks of that it cannot say."""

    text: str
    bound: dict[str, Any] = field(default_factory=dict)


def asked_at_once(lines: list[Line]) -> Iterator[Line]:
    """Yield the lines with the conditions of successive `expect`s as one."""
    for expected, run in groupby(lines, key=lambda line: line.kind == "expect"):
        if not expected:
            yield from run
            continue
        asked: list[Line] = []
        for line in run:
            if asked and len(_condition(*asked, line)) > LINE - len("    if :"):
                yield _asked(asked)
                asked = []
            asked.append(line)
        yield _asked(asked)


def _asked(lines: list[Line]) -> Line:
    reads = frozenset[int]().union(*(line.reads for line in lines))
    return Line(None, [f"if {_condition(*lines)}:", "    raise Unfit"], reads, "expect")


def _condition(*lines: Line) -> str:
    return " or ".join(line.text[0].removeprefix("if ").removesuffix(":") for line in lines)


def with_headings(lines: list[Line], *, network: bool) -> Iterator[str]:
    """Yield the text of the lines, with a heading where another part of a training step starts."""
    last = max((i for i, line in enumerate(lines) if _is_rule(line)), default=None)
    updates = any(line.stores is not None for line in lines)
    part: str | None = None
    here: str | None
    forward = "Forward, formula (4)" if network else "Forward"
    for i, line in enumerate(lines):
        if last is not None and i > last and updates:
            here = "Update"
        elif line.place is None:
            here = part
        else:
            here = "Backward" if line.place.rule >= 0 else forward
        if here is not None and here != part and last is not None:
            yield f"# {here}"
        part = here
        yield from line.text


def _is_rule(line: Line) -> bool:
    return line.place is not None and line.place.rule >= 0


def returning(parts: Sequence[str]) -> list[str]:
    """Return the lines that return these expressions as a tuple."""
    line = f"return {', '.join(parts) or '()'}{',' if len(parts) == 1 else ''}"
    if len(line) <= LINE - 4:
        return [line]
    return ["return (", *(f"    {part}," for part in parts), ")"]


def definition(name: str, inputs: Sequence[str], quiet: Collection[str]) -> list[str]:
    """Return the lines that start a function, in which NumPy is quiet about `quiet`."""
    lines = [f"def {name}({', '.join(inputs)}):"]
    if len(lines[0]) > LINE:
        row = f"    {', '.join(inputs)}"
        rows = [row] if len(row) <= LINE else [f"    {each}," for each in inputs]
        lines = [f"def {name}(", *rows, "):"]
    kinds = ", ".join(f'{kind}="ignore"' for kind in sorted(quiet))
    kinds = kinds if len(quiet) < len(np.geterr()) else 'all="ignore"'
    return [f"@np.errstate({kinds})", *lines] if quiet else lines


def imported(modules: Collection[str], *, unfit: bool) -> list[str]:
    """Return the lines that import these modules, NumPy, and, if needed, `Unfit`."""
    plain = [f"import {module}" for module in sorted(modules) if "." not in module]
    ours = [f"import {module}" for module in sorted(modules) if "." in module]
    if unfit:
        ours.append("from tinygrad_fc.compiler.program import Unfit")
    lines = [*plain, ""] if plain else []
    return [*lines, "import numpy as np", *(["", *ours] if ours else [])]
