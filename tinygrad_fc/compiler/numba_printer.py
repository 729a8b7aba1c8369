"""A program as a native function: loops, products of matrices and tests in order.

Statements over one shape share loops where they can; values pass between them without memory.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from tinygrad_fc.compiler.numba_codegen import TYPES
from tinygrad_fc.compiler.numba_lowering import COPY, Lowering, placeholder

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program, Value
    from tinygrad_fc.compiler.numba_codegen import Number, Writer
    from tinygrad_fc.compiler.numba_lowering import Statement

FUSIBLE = {"elementwise", "reduce"}
"""Kinds of statements that may share loops with others."""
LARGE = 1 << 18
"""Bytes from which a temporary is large."""
UNROLLED = 32
"""Terms up to which the sum of a product is the innermost loop."""


class NumbaPrinter:
    """Writes the native function, which runs `count` steps.

    It takes `count` and `arguments`: inputs, random numbers, outputs, constants, and the large
    temporaries, which the caller allocates for each call; small ones belong to the native module.
    It returns the number of the step that the program does not fit, or `count`. Arguments of the
    user's function and what it returns are stacks, in which each step has its own array.
    """

    def __init__(self, program: Program) -> None:
        self.lowering = Lowering(program)
        self.groups: list[list[Statement]] = []
        """Statements that share loops, in order."""
        self.producer: dict[Value, Statement] = {}
        self.uses: dict[Value, list[tuple[Value, Statement]]] = {}
        """For each value that owns memory: the values in it, and the statements that use them."""
        inputs = [value for value in program.inputs if value.dtype is not None]  # no generator
        outputs = [placeholder(v.shape, v.dtype) for v in program.outputs]
        self.arguments = [*inputs, *self.lowering.draws, *outputs]
        self.stacked = [v for v in inputs if v.source.kind == "argument"]
        self.stacked += [outputs[k] for k in program.returned]
        self.buffers = {value: value for value in self.arguments}
        """For each value that is stored: the value whose memory it has."""
        self._schedule([*zip(outputs, program.outputs, strict=True), *program.changes])
        self.temporaries = self._temporaries()
        sizes = self.temporaries.items()
        self.large = {v: n for v, n in sizes if n * v.dtype.itemsize >= LARGE}
        """Temporaries that each call creates, and their sizes."""
        pairs = ((owner, self.lowering.constant(owner)) for owner in self.uses if owner.shape)
        self.constants = {v: np.array(x, order="C") for v, x in pairs if x is not None}
        self.arguments += [*self.constants, *self.large]
        self.buffers |= {value: value for value in self.constants}

    # Loops in order

    def _schedule(self, targets: list[tuple[Value, Value]]) -> None:
        """Group the statements; add what writes values to targets: outputs and changed inputs."""
        statements, copy = self.lowering.statements, self.lowering.copy
        computed = {statement.out for statement in statements}
        targets = [(t, v if v in computed else copy(v, t.dtype)) for t, v in targets]
        for statement in statements:
            self._add(statement)
        tested = max((n.group + 1 for n in statements if n.kind == "test" or n.at), default=0)
        for target, value in targets:
            if value not in self.buffers and not target.is_input:
                self.buffers[value] = target
            else:
                self.lowering.emit("elementwise", target, COPY, [value])
                self._add(statements[-1], tested if target.is_input else 0)

    def _add(self, statement: Statement, first: int = 0) -> None:
        """Put a statement into the last group over its shape that it can join, or a new one."""
        for value in statement.reads:
            producer = self.producer.get(self.lowering.owner(value))
            if producer:
                first = max(first, producer.group + (not self._passes(value, statement)))
        for value, reader in self.uses.get(statement.out, []):  # of what is overwritten
            first = max(first, reader.group + (not self._passes(value, reader)))
        statement.group = len(self.groups)
        for k, (one, *_) in enumerate(self.groups[first:], first):
            if {one.kind, statement.kind} <= FUSIBLE and one.shape == statement.shape:
                statement.group = k
        if statement.group == len(self.groups):
            self.groups.append([])
        self.groups[statement.group].append(statement)
        self.producer[statement.out] = statement
        for value in (*statement.reads, statement.out):
            self.uses.setdefault(self.lowering.owner(value), []).append((value, statement))

    def _passes(self, value: Value, statement: Statement) -> bool:
        """Return whether a statement could read a value in its own loops, without memory."""
        if self.lowering.owner(value) is not value or value is statement.base:
            return False
        elementwise = value.is_input or self.producer[value].kind == "elementwise"
        return elementwise and (value.shape or ()) == statement.shape

    # Memory

    def _temporaries(self) -> dict[Value, int]:
        """Return the buffer of each value that has no memory yet and needs it; note their sizes.

        Values whose lifetimes do not overlap share a buffer. This is linear scan (Poletto and
        Sarkar, 1999): in the order of their first groups, a value takes the free buffer of the
        closest size.
        """
        last: dict[Value, int] = {}
        sizes: dict[Value, int] = {}
        groups = {v: [n.group for _, n in self.uses[v]] for v in self.producer}
        for value in sorted(self.producer, key=lambda v: min(groups[v])):
            kind, group = self.producer[value].kind, self.producer[value].group
            passed = kind in ("elementwise", "test") and {*groups[value]} == {group}
            if value in self.buffers or passed:
                continue
            free = [v for v in sizes if v.dtype == value.dtype and last[v] < min(groups[value])]
            buffer = min(free, key=lambda v: abs(v.size - value.size), default=value)
            self.buffers[value], last[buffer] = buffer, max(groups[value])
            sizes[buffer] = max(buffer.size, value.size, sizes.get(buffer, 0))
        return sizes

    # LLVM

    def write(self, writer: Writer, count: Number, *arguments: Number) -> Number:
        """Write the body of the function."""
        places = dict(zip(self.arguments, arguments, strict=True))
        for value, size in self.temporaries.items():
            if value not in self.large:
                places[value] = writer.temporary(TYPES[value.dtype], size)
        for step in writer.loop(count):
            own = places | {v: places[v].at(step * v.size) for v in self.stacked}
            for group in self.groups:
                if group[0].kind == "gemm":
                    self._gemm(writer, group[0], own)
                else:
                    nest = Nest(self, group)
                    used = [own[value] for value in nest.used]
                    writer.stop(writer.function(partial(nest.write, writer), used), step)
        return count

    def _gemm(self, writer: Writer, statement: Statement, places: dict[Value, Number]) -> None:
        """Write a product of matrices, with the result by rows (101) or by columns (102)."""
        (x, y), out, (m, n) = statement.args, statement.out, statement.shape
        (left, a), (right, b), (order, c) = map(self.lowering.blas, (x, y, out))
        # for a result by columns the flags exchange: 223 - flag maps 111 to 112, and back
        flags = (left, right) if order == 111 else (223 - left, 223 - right)
        first, second, result = (places[self.buffers[self.lowering.owner(v)]] for v in (x, y, out))
        terms, factors = x.shape[1], (first, a, second, b)
        writer.gemm(out.dtype, order - 10, *flags, m, n, terms, 1, *factors, 0, result, c)


class Nest:
    """Writes the loops of a group: loads, statements and sums, then stores."""

    def __init__(self, printer: NumbaPrinter, group: list[Statement]) -> None:
        self.lowering, self.buffers, self.group = printer.lowering, printer.buffers, group
        self.shape = group[0].shape
        values = [v for statement in group for v in (*statement.reads, statement.out)]
        buffers = (self.buffers.get(self.lowering.owner(v)) for v in values)
        self.used = [*dict.fromkeys(v for v in buffers if v)]
        """Numbers and memories that the function takes."""
        self.axes = self._loops()
        self.indices: dict[int, Number] = {}
        self.loads: dict[Value, Number] = {}
        self.totals: dict[Statement, Number] = {}
        self.inner: dict[Statement, int] = {}
        """Reductions in variables: the innermost loops are along their axes, from this one on."""
        for statement in group:
            along = [axis in statement.axes for axis in self.axes]
            if True in along and along == sorted(along):
                self.inner[statement] = along.index(True)

    def _loops(self) -> list[int]:
        """Return the axes of the loops, the outermost first.

        Most memory is read from one element to the next. The few terms of a small product are the
        innermost loop, which LLVM unrolls.
        """
        values = [s.out for s in self.group if s.kind in ("elementwise", "test")]
        values += [v for statement in self.group if not statement.at for v in statement.reads]
        strides = [self.lowering.offset_and_strides(v, self.shape)[1] for v in values]
        axes = [k for k, n in enumerate(self.shape) if n != 1]
        inner = max(axes, key=lambda k: (sum(s[k] == 1 for s in strides), k), default=0)
        far = {k: max((abs(s[k]) for s in strides), default=0) for k in axes}
        unrolled = self.group[0].kind == "product" and self.shape[-1] <= UNROLLED
        last = len(self.shape) - 1 if unrolled else inner
        return sorted(axes, key=lambda k: (k == last, k == inner, -far[k], k))

    def write(self, writer: Writer, *places: Number) -> int:
        """Write the body of the function; it returns 1 where the program does not fit."""
        self.writer, self.places = writer, dict(zip(self.used, places, strict=True))
        pairs = self.places.items()
        self.numbers = {v: x for v, x in pairs if not isinstance(x.kind, types.CPointer)}
        for statement in self.group:
            if statement.initial is not None and statement not in self.inner:
                for k in writer.loop(statement.out.size):
                    self._place(statement.out).at(k).write(statement.initial)
        self._write(0)
        return 0

    def _write(self, depth: int) -> None:
        """Write the loops that are inside of some others, and what is before and after them."""
        begun = [statement for statement, first in self.inner.items() if first == depth]
        for statement in begun:
            kind = TYPES[statement.dtype]
            self.totals[statement] = self.writer.variable(kind, statement.initial)
        if depth < len(self.axes):
            for index in self.writer.loop(self.shape[self.axes[depth]]):
                self.indices[self.axes[depth]] = index
                self._write(depth + 1)
        else:
            for statement in self.group:
                self._compute(statement)
            for out in (s.out for s in self.group if s.kind == "elementwise"):
                if out in self.buffers:
                    self._element(out).write(self.numbers[out])
        for statement in begun:
            self._element(statement.base).write(self.totals[statement].read())

    def _compute(self, statement: Statement) -> None:
        """Write what a statement does with elements."""
        base, place = statement.base, self.totals.get(statement)
        row = self._row(statement) if statement.at else None
        args = [self._read(x, row if x is base else None) for x in statement.args]
        args = [self.writer.cast(x, TYPES[statement.dtype]) for x in args]
        if statement.kind in ("reduce", "product", "update"):
            place = place or self._element(base, row)
            args = args if statement.initial is None else [place.read(), *args]
        self.writer.wraps = True
        result = statement.function(*args)
        self.writer.wraps = False
        if place:
            place.write(result)
        elif statement.kind == "test":
            self.writer.stop(result, 1)
        else:
            self.numbers[statement.out] = result

    def _row(self, statement: Statement) -> Any:
        """Read index arrays; return start, strides and index terms of rows, for `_element`.

        The indices are checked in each call, except for constants, which were checked before.
        """
        base, count, terms = statement.base, len(statement.at), list[Any]()
        start, strides = self.lowering.offset_and_strides(base)
        wide = len(self.shape) - len(strides) + count
        for index, size, stride in zip(statement.at, base.shape, strides, strict=False):
            first, along = self.lowering.offset_and_strides(index, self.shape[:wide])
            at = self._read(index, (first, (*along, *[0] * (len(self.shape) - wide))))
            if self.lowering.constant(index) is None:
                self.writer.stop((at < -size) | (at >= size), 1)
            at = self.writer.cast(at, types.int64)
            terms.append(self.writer.select(at < 0, at + size, at) * stride)
        return start, (*[0] * wide, *strides[count:]), *terms

    def _element(self, value: Value, where: Any = None) -> Number:
        """Return the address of an element in loops."""
        start, strides, *terms = where or self.lowering.offset_and_strides(value, self.shape)
        terms += [k * strides[axis] for axis, k in self.indices.items() if strides[axis]]
        return self._place(value).at(sum(terms, start))

    def _place(self, value: Value) -> Number:
        return self.places[self.buffers[self.lowering.owner(value)]]

    def _read(self, value: Value, where: Any = None) -> Number:
        """Return an element in loops; load it where that was not done."""
        owner = self.lowering.owner(value)
        if owner in self.numbers:
            return self.numbers[owner]
        if owner.is_constant and not owner.shape:
            return self.writer.cast(owner.sample.item())
        if where:
            return self._element(value, where).read()
        if value not in self.loads:
            self.loads[value] = self._element(value).read()
        return self.loads[value]
