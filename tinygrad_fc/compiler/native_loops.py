"""A nest of loops, written down: loads, operations, stores and sums over the axes of one shape.

Axes are ordered so that most memory is read from one element to the next, and adjacent axes that
lie without gaps in all that is read or written become one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.native_each import literal
from tinygrad_fc.compiler.native_sums import Total, combined

if TYPE_CHECKING:
    from tinygrad_fc.compiler.native_views import Where

BLOCK = 256
"""A longer sum is one of the sums of such blocks, whose rounding errors are added up, too."""


class Lines:
    """Source that is being written."""

    def __init__(self, depth: int = 1) -> None:
        self.lines: list[str] = []
        self.depth = depth

    def __call__(self, line: str, deeper: int = 0) -> None:
        """Add a line, indented by the depth and `deeper` more."""
        self.lines.append("    " * (self.depth + deeper) + line)


class Access(NamedTuple):
    """An element of a memory, in the loops of a nest."""

    name: str
    memory: str
    where: Where
    dynamic: str = ""
    """What is added to its place: a sum of numbers that are known in the loop only."""
    needs: tuple[str, ...] = ()
    """Those numbers."""


class Statement(NamedTuple):
    """`name = text`, from others, and the memories that it reads."""

    name: str
    text: str
    needs: tuple[str, ...]
    checked: bool = False
    """Whether a negative number means that an index is out of range."""


@dataclass
class Nest:
    """What is in a nest: see `write`."""

    shape: tuple[int, ...]
    loads: list[Access] = field(default_factory=list)
    statements: list[Statement | Access] = field(default_factory=list)
    stores: list[Access] = field(default_factory=list)
    totals: list[Total] = field(default_factory=list)


def index(where: Where, names: list[tuple[str, int]], dynamic: str = "") -> str:
    """Return the index of an element, with a variable and an axis for each loop."""
    terms = [
        name if where.strides[axis] == 1 else f"{name} * {where.strides[axis]}"
        for name, axis in names
        if where.strides[axis]
    ]
    if where.start or not (terms or dynamic):
        terms.append(str(where.start))
    if dynamic:
        terms.append(dynamic)
    return " + ".join(terms).replace("+ -", "- ")


def arranged(shape: tuple[int, ...], places: list[Where]) -> list[int]:
    """Return the axes of a nest from the outermost loop to the innermost."""
    axes = [k for k, n in enumerate(shape) if n != 1]
    if not axes:
        return []
    unit = {k: sum(p.strides[k] == 1 for p in places) for k in axes}
    inner = max(axes, key=lambda k: (unit[k], k))
    far = {k: max((abs(p.strides[k]) for p in places), default=0) for k in axes}
    outer = sorted((k for k in axes if k != inner), key=lambda k: (-far[k], k))
    return [*outer, inner]


def merged(
    shape: tuple[int, ...], order: list[int], places: list[Where], totals: list[Total]
) -> list[tuple[int, int]]:
    """Return loops, each with the axis that tells its strides and how often it goes round."""
    loops: list[tuple[int, int]] = []
    for axis in order:
        if loops:
            before, count = loops[-1]
            if all(p.strides[before] == p.strides[axis] * shape[axis] for p in places) and all(
                (before in t.gone) == (axis in t.gone) for t in totals
            ):
                loops[-1] = (axis, count * shape[axis])
                continue
        loops.append((axis, shape[axis]))
    return loops


class _Writing:
    """A nest that is being written."""

    def __init__(self, nest: Nest, lines: Lines) -> None:
        self.nest, self.lines = nest, lines
        dynamic = [s for s in nest.statements if isinstance(s, Access)]
        accesses = [*nest.loads, *dynamic, *nest.stores]
        places = [a.where for a in accesses] + [t.where for t in nest.totals]
        order = arranged(nest.shape, places)
        self.loops = merged(nest.shape, order, places, nest.totals)
        self.names = [(f"i{k}", axis) for k, (axis, _) in enumerate(self.loops)]
        self.levels: dict[str, int] = {a.name: self._level(a.where) for a in nest.loads}
        for s in nest.statements:
            needed = [self.levels.get(name, 0) for name in s.needs]
            own = self._level(s.where) if isinstance(s, Access) else 0
            self.levels[s.name] = max([own, *needed])
        for total in nest.totals:
            total.start = len(self.loops)
            while total.start and self.loops[total.start - 1][0] in total.gone:
                total.start -= 1
            outside = any(axis in total.gone for axis, _ in self.loops[: total.start])
            total.partial = outside or total.start == len(self.loops)

    def _level(self, where: Where) -> int:
        used = [k for k, (axis, _) in enumerate(self.loops) if where.strides[axis]]
        return max(used) + 1 if used else 0

    def place(self, access: Any) -> str:
        """Return how to write the element that an access or a total is about."""
        dynamic = getattr(access, "dynamic", "")
        return f"{access.memory}[{index(access.where, self.names, dynamic)}]"

    def begin(self) -> None:
        """Set sums to 0 that are kept in memory while the loops go on."""
        for total in self.nest.totals:
            if total.partial and self.loops:
                self.lines(f"for i in range({total.size}):")
                self.lines(f"{total.memory}[i] = {total.first}", 1)

    def level(self, k: int) -> None:
        """Write what is done within k loops."""
        for access in self.nest.loads:
            if self.levels[access.name] == k:
                self.lines(f"{access.name} = {self.place(access)}")
        for s in self.nest.statements:
            if self.levels[s.name] == k:
                text = self.place(s) if isinstance(s, Access) else s.text
                self.lines(f"{s.name} = {text}")
                if isinstance(s, Statement) and s.checked:
                    self.lines(f"if {s.name} < 0:")
                    self.lines("return OUTSIDE", 1)
        if k == len(self.loops):
            self._innermost()
            return
        inside = [t for t in self.nest.totals if t.start == k]
        for total in inside:
            self.lines(f"{_sum(total)} = {total.first}")
        self._loop(k)
        for total in inside:
            self._finish(total)

    def _innermost(self) -> None:
        for store in self.nest.stores:
            self.lines(f"{self.place(store)} = {store.name}")
        for total in self.nest.totals:
            if not self.loops:
                value = combined(total.function, total.dtype, total.first, *total.names)
                self.lines(f"{self.place(total)} = {value}")
                continue
            held = self.place(total) if total.start == len(self.loops) else self._running(total)
            value = combined(total.function, total.dtype, held, *total.names)
            self.lines(f"{held} = {value}")

    def _running(self, total: Total) -> str:
        return f"p_{total.memory}" if self._blocked(total) else _sum(total)

    def _blocked(self, total: Total) -> bool:
        return (
            total.function is np.add
            and total.dtype.kind == "f"
            and total.start < len(self.loops)
            and self.loops[-1][1] > 2 * BLOCK
        )

    def _loop(self, k: int) -> None:
        lines, count = self.lines, self.loops[k][1]
        blocked = [t for t in self.nest.totals if self._blocked(t)]
        for total in blocked:
            if total.start == k:
                lines(f"e_{total.memory} = {literal(0, total.dtype)}")
        if k < len(self.loops) - 1 or not blocked:
            lines(f"for i{k} in range({count}):")
            self._deeper(k)
            return
        lines(f"for block in range(0, {count}, {BLOCK}):")
        lines.depth += 1
        for total in blocked:
            lines(f"{self._running(total)} = {literal(0, total.dtype)}")
        lines(f"for i{k} in range(block, min(block + {BLOCK}, {count})):")
        self._deeper(k)
        for total in blocked:
            _add_exactly(lines, _sum(total), f"e_{total.memory}", self._running(total))
        lines.depth -= 1

    def _deeper(self, k: int) -> None:
        self.lines.depth += 1
        self.level(k + 1)
        self.lines.depth -= 1

    def _finish(self, total: Total) -> None:
        name = _sum(total)
        if self._blocked(total):
            error = f"e_{total.memory}"
            self.lines(f"{name} = select({error} == {error}, {name} + {error}, {name})")
        place = self.place(total)
        if total.partial:
            name = combined(total.function, total.dtype, place, name)
        self.lines(f"{place} = {name}")


def _sum(total: Total) -> str:
    return f"s_{total.memory}"


def _add_exactly(lines: Lines, total: str, error: str, value: str) -> None:
    """Add `value` to `total`, and what that loses to rounding to `error` (Knuth's two-sum)."""
    new, change = f"n{error}", f"d{error}"
    lines(f"{new} = {total} + {value}")
    lines(f"{change} = {new} - {total}")
    lines(f"{error} += ({total} - ({new} - {change})) + ({value} - {change})")
    lines(f"{total} = {new}")


def write(nest: Nest, lines: Lines) -> None:
    """Write the loops of a nest."""
    writing = _Writing(nest, lines)
    if math.prod(nest.shape) == 0:
        for total in nest.totals:
            lines(f"for i in range({total.size}):")
            lines(f"{total.memory}[i] = {total.first}", 1)
        return
    writing.begin()
    writing.level(0)
