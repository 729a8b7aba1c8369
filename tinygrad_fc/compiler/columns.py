"""Large layers with a sample in each column, as the document writes them.

Of a matrix by the transpose of another, such as `x.dot(w.T)`, BLAS makes a product with more
effort than otherwise. Where every other layer keeps its results, and all that is made of them
element by element, as their transposes, half of these products are gone: a turned layer still is
`w.dot(x.T)`, but the one after it `y.T.dot(w.T)`. Sums are then added up in another order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.layout import elementwise, readers
from tinygrad_fc.compiler.passes import alive
from tinygrad_fc.compiler.program import Instruction, Part, Value
from tinygrad_fc.compiler.rewriting import Rewriting

if TYPE_CHECKING:
    from tinygrad_fc.compiler.naming import Names
    from tinygrad_fc.compiler.program import Program

LARGE = 1 << 18
"""From so many multiplications on, a layer is turned: below, views cost more than is gained."""


def in_columns(program: Program, names: Names) -> Program:
    """Return `program` with large layers turned; `names` then speak of what is turned."""
    turned = _turned(program)
    if not turned:
        return program
    work = _Turning(program, turned)
    for step in program.instructions:
        work.take(step)
    for number, instead in work.columns.items():
        for known in (names.variables, names.formulas):
            if number in known:
                known[instead] = known.pop(number)
    return alive(work.done())


def _turned(program: Program) -> set[int]:
    """Return the values that are to be kept as their transposes."""
    made = {step.out: step for step in program.instructions}
    read_by = readers(program)
    found: set[int] = set()
    for step in program.instructions:
        if _is_large_layer(program, step, made) and found.isdisjoint((step.out, step.args[0])):
            found |= _with_all_beside(program, step.out, made, read_by)
    return found


def _is_large_layer(program: Program, step: Instruction, made: dict[int, Instruction]) -> bool:
    if not _is_product(program, step) or step.place is None or step.place.rule >= 0:
        return False
    weight = made.get(step.args[1])
    shape = program.values[step.args[1]].shape or ()
    work = math.prod(program.values[step.out].shape or ()) * shape[0]
    return work >= LARGE and weight is not None and weight.kind == "transpose"


def _is_product(program: Program, step: Instruction) -> bool:
    """Tell whether `step` is a product of two matrices."""
    if step.function is not np.dot or step.settings["named"]:
        return False
    two = tuple(step.settings["inputs"]) == (Part(0), Part(1)) and len(step.args) == 2
    return two and all(len(program.values[n].shape or ()) == 2 for n in step.args)


def _with_all_beside(
    program: Program,
    start: int,
    made: dict[int, Instruction],
    read_by: dict[int, list[Instruction]],
) -> set[int]:
    """Return `start` and whatever meets it element by element; none where not all can be turned."""
    shape = program.values[start].shape
    used = program.used()
    found, todo = {start}, [start]
    while todo:
        n = todo.pop()
        step = made.get(n)
        if step is None or n in used:
            return set()
        if elementwise(step):
            beside = [a for a in step.args if program.values[a].shape == shape]
            rest = [program.values[a].shape or () for a in step.args if a not in beside]
            if any(len(s) > 1 for s in rest):
                return set()
            todo += [a for a in beside if a not in found]
        elif not _is_product(program, step):
            return set()
        after = [s.out for s in read_by.get(n, ()) if elementwise(s)]
        if any(program.values[out].shape != shape for out in after):
            return set()
        todo += [out for out in after if out not in found]
        found.update(todo)
    return found


class _Turning(Rewriting):
    """A program in which the values in `turned` are made as their transposes."""

    def __init__(self, program: Program, turned: set[int]) -> None:
        super().__init__(program)
        self.turned, self.used = turned, program.used()
        self.columns: dict[int, int] = {}  # of a value, the number of its transpose

    def take(self, step: Instruction) -> None:
        """Take a step over, or what is done in its place."""
        if step.out in self.turned:
            self._turn(step)
        elif step.kind == "transpose" and step.args[0] in self.turned and step.out not in self.used:
            self.names(step.out, self.columns[step.args[0]])
        else:
            moved = self.moved(step)
            if step.function is np.dot and step.args[-1] in self.turned and self._is_row(step):
                moved = step._replace(args=(self.columns[step.args[1]], moved.args[0]))
            self.keep(moved)

    def _is_row(self, product: Instruction) -> bool:
        return len(self.values[product.args[0]].shape or ()) == 1

    def _turn(self, step: Instruction) -> None:
        shape, dtype = self.values[step.out]
        assert shape is not None  # noqa: S101  it is a matrix
        if elementwise(step):
            args = tuple(self._beside(n, step) for n in step.args)
        else:
            args = tuple(self._transpose(n, step) for n in step.args[::-1])
        out = self._new(step._replace(args=args), shape[::-1], dtype)
        self.columns[step.out] = out
        self.keep(Instruction("transpose", None, (out,), {"axes": None}, step.out))

    def _beside(self, number: int, step: Instruction) -> int:
        if number in self.turned:
            return self.columns[number]
        shape, dtype = self.values[number]
        if not shape:
            return number
        at = {"at": (slice(None), None)}
        down = Instruction("getitem", None, (number,), at, -1, step.place)
        return self._new(down, (*shape, 1), dtype)

    def _transpose(self, number: int, step: Instruction) -> int:
        if number in self.turned:
            return self.columns[number]
        number = self.instead.get(number, number)
        inner = self.made.get(number)
        if inner is not None and inner.kind == "transpose":
            return inner.args[0]
        shape, dtype = self.values[number]
        assert shape is not None  # noqa: S101  it is a matrix
        view = Instruction("transpose", None, (number,), {"axes": None}, -1, step.place)
        return self._new(view, shape[::-1], dtype)

    def _new(self, step: Instruction, shape: tuple[int, ...], dtype: Any) -> int:
        self.values.append(Value(shape, dtype))
        number = len(self.values) - 1
        self.keep(step._replace(out=number))
        return number
