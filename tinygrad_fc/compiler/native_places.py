"""Where a native function keeps its values: arguments, memory on the stack, one stretch of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler.native_each import code
from tinygrad_fc.compiler.program import results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinygrad_fc.compiler.native_fuse import Schedule
    from tinygrad_fc.compiler.native_plan import Plan
    from tinygrad_fc.compiler.program import Instruction, Program

STACK = 1 << 16
"""Up to so many bytes temporaries are kept on the stack, where LLVM knows all about them."""
LINE = 64


@dataclass
class Given:
    """An argument of the native function: an array, or a plain number, where `ndim` is None.

    `kind` is "input", "draw", "constant", "output", "work", "order", "number" or "blas"; `number`
    is that of the value, or the output's position.
    """

    name: str
    kind: str
    dtype: str
    ndim: int | None
    number: int = -1


@dataclass
class Native:
    """A function for Numba, and what to call it with."""

    source: str
    givens: list[Given]
    constants: dict[int, Any]
    draws: list[Instruction]
    work: int
    outputs: list[tuple[tuple[int, ...] | None, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Loop:
    """How a program is repeated: see `compiler.native.build_loop`."""

    rows: frozenset[int]
    carried: Mapping[int, int]


class Places:
    """The memories of a function, by the roots that are in them, and its arguments."""

    def __init__(self, program: Program, plan: Plan, schedule: Schedule, loop: Loop | None) -> None:
        self.program, self.plan, self.schedule, self.loop = program, plan, schedule, loop
        self.results = len(program.outputs()) - len(results(program.result))
        """The position of the first output that is a result."""
        self.homes: dict[int, str] = {}
        self.givens: list[Given] = []
        self.heads: list[str] = []
        """The lines with which the function begins."""
        self.scopes = 0
        self.work = 0
        self._inputs()
        self._outputs()
        self._temporaries()

    def _scoped(self) -> str:
        self.scopes += 1
        return f"{self.scopes - 1}, SCOPES"

    def argument(self, name: str, kind: str, number: int, array: Any) -> str:
        """Take an array as an argument, and return the name of its memory."""
        shape, dtype = array
        self.givens.append(Given(name, kind, code(dtype), len(shape), number))
        self.heads.append(f"{name} = memory({name}, {self._scoped()})")
        return name

    def memory(self, root: int) -> str:
        """Return the name of the memory of a root."""
        if root not in self.homes:
            self.plan.real(root)
            if root not in self.plan.constants:
                raise AssertionError(f"value {root} has no memory")
            value = self.plan.constants[root]
            self.homes[root] = self.argument(
                f"k{root}", "constant", root, (value.shape, value.dtype)
            )
        return self.homes[root]

    def _inputs(self) -> None:
        rows, carried = (self.loop.rows, self.loop.carried) if self.loop else ((), {})
        for n in self.program.inputs:
            value = self.plan.values[n]
            if value.shape is not None:
                dimensions = (0,) * len(value.shape)
                name = f"r{n}" if n in rows else f"m{n}"
                self.argument(name, "input", n, (dimensions, value.dtype))
                if n not in rows:
                    self.homes[n] = name
            elif value.dtype is not None:
                ndim = 0 if n in carried else None
                name = f"c{n}" if n in carried else f"n{n}"
                self.givens.append(Given(name, "input", code(value.dtype), ndim, n))
                if n in carried:
                    self.heads.append(f"{name} = memory({name}, {self._scoped()})")

    def _outputs(self) -> None:
        where = {position: n for n, position in self.schedule.outputs.items()}
        for position, n in enumerate(self.program.outputs()):
            value = self.plan.values[n]
            shape = value.shape or ()
            stacked = self.loop is not None and position >= self.results
            name = self.argument(
                f"o{position}",
                "output",
                position,
                ((0,) * (len(shape) + stacked), self.plan.dtype(n)),
            )
            if position in where:
                self.homes[where[position]] = f"p{position}" if stacked else name

    def _temporaries(self) -> None:
        kept = self.schedule.kept()
        rows = self.loop.rows if self.loop else ()
        last = len(self.schedule.groups)
        kept |= dict.fromkeys(rows, (0, last))
        sizes = {
            n: -(-math.prod(self.plan.shape(n)) * self.plan.dtype(n).itemsize // LINE) * LINE
            for n in kept
        }
        stacked = sum(sizes.values()) <= STACK
        places = {} if stacked else self._shared(kept, sizes)
        for n in kept:
            dtype, count = code(self.plan.dtype(n)), math.prod(self.plan.shape(n))
            self.homes[n] = f"t{n}"
            if stacked:
                self.heads.append(f"t{n} = stack(D{dtype}, {count}, {self._scoped()})")
            else:
                start, scope = places[n]
                self.heads.append(f"t{n} = within(work, {start}, D{dtype}, {scope}, SCOPES)")

    def _shared(
        self, kept: dict[int, tuple[int, int]], sizes: dict[int, int]
    ) -> dict[int, tuple[int, int]]:
        """Return where in one stretch of memory each value is, and its scope.

        What is needed at different times has the same place, and then the same scope.
        """
        free: list[tuple[int, int, int, int]] = []  # size, start, scope, last use
        places: dict[int, tuple[int, int]] = {}
        for n, (first, last) in sorted(kept.items(), key=lambda item: item[1]):
            fitting = [slot for slot in free if slot[0] >= sizes[n] and slot[3] < first]
            if fitting:
                slot = min(fitting)
                free.remove(slot)
            else:
                slot = (sizes[n], self.work, int(self._scoped().split(",")[0]), -1)
                self.work += sizes[n]
            places[n] = slot[1], slot[2]
            free.append((*slot[:3], last))
        return places
