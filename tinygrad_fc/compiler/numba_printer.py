"""A program as the source of a function for Numba: loops, products of matrices and tests in order.

Statements over one shape share loops where they can; values pass between them without memory.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import types

from tinygrad_fc.compiler.ir import LARGE
from tinygrad_fc.compiler.numba_codegen import TYPES
from tinygrad_fc.compiler.numba_lowering import Lowering, Statement, code, literal, placeholder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.compiler.ir import Program, Value

FUSED = ("elementwise", "reduce")
"""Kinds of statements that may share loops with others."""
UNROLLED = 32
"""Terms up to which the sum of a product is the innermost loop."""
_NAMES = re.compile(r"\b(?:input|output|draw|constant|memory)\d+\b")
"""Names that functions of loops take as parameters."""


class Schedule:
    """Groups of statements that share loops, in order, and what is written to which targets.

    A target, which is an output or an input that changes, and its value are a pair.
    """

    def __init__(self, lowering: Lowering, targets: list[tuple[Value, Value]]) -> None:
        self.lowering = lowering
        self.groups: list[list[Statement]] = []
        self.producer: dict[Value, Statement] = {}
        self.readers: dict[Value, list[tuple[Value, Statement]]] = {}
        """By the value in whose memory they read: what they read, and the statements."""
        self.direct: dict[Value, Value] = {}
        """Values that are computed in the memory of a target, and that target."""
        computed = {statement.out for statement in lowering.statements}
        targets = [(t, v if v in computed else lowering.copy(v, t.dtype)) for t, v in targets]
        for statement in lowering.statements:
            self.add(statement)
        for target, value in targets:
            statement = self.producer[value]
            if value not in self.direct and (
                not target.is_input or self._is_direct(target, statement)
            ):
                self.direct[value] = target
            else:
                lowering.update(target, value)
                self.add(lowering.statements[-1])

    def add(self, statement: Statement) -> None:
        """Put a statement into the last group over its shape that it can join, or a new one."""
        first = 0
        for value in statement.args:
            producer = self.producer.get(self.lowering.root(value))
            if producer:
                passes = self._passes(value, statement, producer.group)
                first = max(first, producer.group + (not passes))
        fitting = [k for k in range(first, len(self.groups)) if self._fits(statement, k)]
        if not fitting:
            self.groups.append([])
        statement.group = fitting[-1] if fitting else len(self.groups) - 1
        self.groups[statement.group].append(statement)
        self.producer[statement.out] = statement
        for value in statement.args:
            self.readers.setdefault(self.lowering.root(value), []).append((value, statement))

    def _fits(self, statement: Statement, number: int) -> bool:
        """Return whether a statement may share the loops of a group."""
        one = self.groups[number][0]
        return statement.kind in FUSED and one.kind in FUSED and one.shape == statement.shape

    def _passes(self, value: Value, statement: Statement, number: int) -> bool:
        """Return whether `statement` can read a value of a group in its loops, without memory."""
        if not self._fits(statement, number) or (statement.at and value is statement.args[-1]):
            return False
        whole = self.lowering.root(value) is value and (value.shape or ()) == statement.shape
        return whole and (value.is_input or self.producer[value].kind == "elementwise")

    def _is_direct(self, target: Value, statement: Statement) -> bool:
        """Return whether a statement may compute into the memory of an input that changes."""
        tests = [n.group for n in self.lowering.statements if n.kind == "test" or n.at]
        later = [(v, n) for v, n in self.readers.get(target, []) if n.group >= statement.group]
        return (
            statement.kind == "elementwise"
            and self.lowering.where(statement.out) == self.lowering.where(target)
            and statement.group > max(tests, default=-1)
            and all(n.group == statement.group and self._passes(v, n, n.group) for v, n in later)
        )

    def temporaries(self) -> list[Value]:
        """Return the values that need memory, those that have it elsewhere too."""
        return [
            value
            for value, statement in self.producer.items()
            if statement.kind not in ("elementwise", "test")
            or any(n.group != statement.group for _, n in self.readers.get(value, []))
        ]

    def shared(self, values: list[Value]) -> list[list[Value]]:
        """Return lists of values that share memory: large ones of which no two live at once.

        This is linear scan (Poletto and Sarkar, 1999): in the order of their first groups, a value
        takes the memory of the closest size that no earlier value needs any more.
        """
        live: dict[Value, list[int]] = {}
        for k, group in enumerate(self.groups):
            for value in (v for statement in group for v in (statement.out, *statement.args)):
                live.setdefault(self.lowering.root(value), []).append(k)
        shared: list[list[Value]] = []
        for value in sorted((v for v in values if v.size >= LARGE), key=lambda v: live[v][0]):
            ended = [vs for vs in shared if live[vs[-1]][-1] < live[value][0]]
            free = [vs for vs in ended if vs[0].dtype == value.dtype]
            if free:
                min(free, key=lambda vs: abs(vs[0].size - value.size)).append(value)
            else:
                shared.append([value])
        return [*([v] for v in values if v.size < LARGE), *shared]


class Nest:
    """What is done in the loops of a group: loads, statements and sums, then stores."""

    def __init__(self, printer: NumbaPrinter, group: list[Statement]) -> None:
        self.printer, self.lowering, self.shape = printer, printer.lowering, group[0].shape
        self.axes = self._loops(group)
        self.names: dict[Any, str] = dict(printer.numbers)
        self.body: list[str] = []
        self.stores: list[str] = []
        self.before: list[list[str]] = [[] for _ in (*self.axes, None)]
        self.after: list[list[str]] = [[] for _ in (*self.axes, None)]
        for statement in group:
            self._add(statement)

    def _loops(self, group: list[Statement]) -> list[int]:
        """Return the axes of the loops, the outermost first.

        Most memory is read from one element to the next. The few terms of a small product are the
        innermost loop, which LLVM unrolls.
        """
        strides = [self._result(statement)[1] for statement in group if statement.kind != "update"]
        for statement in group:
            whole = statement.args[: -len(statement.at) - 1] if statement.at else statement.args
            strides += [self.lowering.where(value, self.shape)[1] for value in whole]
        axes = [k for k, n in enumerate(self.shape) if n != 1]
        inner = max(axes, key=lambda k: (sum(s[k] == 1 for s in strides), k), default=0)
        far = {k: max((abs(s[k]) for s in strides), default=0) for k in axes}
        unrolled = group[0].kind == "product" and self.shape[-1] <= UNROLLED
        last = len(self.shape) - 1 if unrolled else inner
        return sorted(axes, key=lambda k: (k == last, k == inner, -far[k], k))

    def _result(self, statement: Statement) -> Any:
        """Return where the result of a statement is."""
        dropped = len(statement.shape) > len(statement.out.shape or ())
        return self.lowering.where(
            statement.out, self.shape, sorted(statement.axes) if dropped else ()
        )

    def _add(self, statement: Statement) -> None:
        selected = self._selected(statement) if statement.at else None
        texts = [""] * len(statement.args)
        for k, value in enumerate(statement.args):
            if f"{{{k}}}" in statement.text:
                texts[k] = self._read(value, selected if value is statement.args[-1] else None)
        text = statement.text.format(*texts)
        if statement.kind == "test":
            self.body.append(f"stop({text}, 1)")
        elif statement.kind in ("reduce", "product"):
            self._reduce(statement, text)
        elif statement.kind == "update":
            self.body.append(f"{self._element(statement.args[-1], selected)} = {text}")
        else:
            name = self.names[statement.out] = f"v{len(self.names)}"
            self.body.append(f"{name} = {text}")
            if statement.out in self.printer.memory:
                self.stores.append(f"{self._element(statement.out)} = {name}")

    def _reduce(self, statement: Statement, text: str) -> None:
        """Add a reduction, in a variable where it is along the innermost loops."""
        axes, start = self.axes, len(self.axes)
        place = self._element(statement.out, self._result(statement))
        while start and axes[start - 1] in statement.axes:
            start -= 1
        if start < len(axes) and statement.axes.isdisjoint(axes[:start]):
            total = self.names[statement.out, "total"] = f"total{len(self.names)}"
            self.before[start].append(f"{total} = variable({statement.initial})")
            self.after[start].append(f"{place} = {total}[0]")
            place = f"{total}[0]"
        else:
            self.before[0].append(f"for k0 in range({math.prod(statement.out.shape or ())}):")
            memory = self.printer.place(statement.out)
            self.before[0].append(f"    {memory}[k0] = {statement.initial}")
        self.body.append(f"{place} = {statement.function.format(place, text)}")

    def _selected(self, statement: Statement) -> Any:
        """Read index arrays; return start, strides and index terms of the rows, for `_element`.

        Numbers of rows are checked, but those of constants, which are known to exist.
        """
        base, count, terms = statement.args[-1], len(statement.at), []
        start, strides = self.lowering.where(base)
        wide = len(self.shape) - len(strides) + count
        for index, size, stride in zip(statement.at, base.shape, strides, strict=False):
            first, along = self.lowering.where(index, self.shape[:wide])
            name = self._read(index, (first, (*along, *[0] * (len(self.shape) - wide))))
            if self.lowering.constant(index) is None:
                self.body.append(f"stop(({name} < -{size}) | ({name} >= {size}), 1)")
            terms.append(f"select({name} < 0, i8({name}) + {size}, i8({name})) * {stride}")
        return start, (*[0] * wide, *strides[count:]), *terms

    def _element(self, value: Value, where: Any = None) -> str:
        """Return the text of an element in loops."""
        start, strides, *terms = where or self.lowering.where(value, self.shape)
        terms += [f"k{k} * {strides[axis]}" for k, axis in enumerate(self.axes) if strides[axis]]
        terms = [term.removesuffix(" * 1") for term in (*terms, *[str(start)] * bool(start))]
        return f"{self.printer.place(value)}[{' + '.join(terms) or 0}]"

    def _read(self, value: Value, where: Any = None) -> str:
        """Return the name of an element in loops; load it where that was not done."""
        root = self.lowering.root(value)
        if root in self.names:
            return self.names[root]
        element = self._element(value, where)
        if element not in self.names:
            self.names[element] = f"v{len(self.names)}"
            self.body.append(f"{self.names[element]} = {element}")
        return self.names[element]

    def lines(self) -> list[str]:
        """Return the loops."""
        lines = list[str]()
        for k, axis in enumerate(self.axes):
            lines += indented([*self.before[k], f"for k{k} in range({self.shape[axis]}):"], k)
        lines += indented([*self.before[-1], *self.body, *self.stores], len(self.axes))
        for k in reversed(range(len(self.axes))):
            lines += indented(self.after[k], k)
        return lines


def indented(lines: Sequence[str], depth: int) -> list[str]:
    """Return lines that are `depth` loops deep."""
    return ["    " * depth + line for line in lines]


class Argument(NamedTuple):
    """An argument of the native function; `kind` is input, draw, output or constant."""

    name: str
    kind: str
    type: Any
    value: Any


class NumbaPrinter:
    """Writes `source`, the native function, which runs `count` steps.

    It returns the number of the step that the program does not fit, or `count`. Arguments of the
    user's function and what it returns are stacks, in which each step has its own array.
    """

    def __init__(self, program: Program) -> None:
        self.arguments: list[Argument] = []
        self.memory: dict[Value, str] = {}
        self.numbers: dict[Value, str] = {}
        self._lines: list[str] = []
        self._functions: list[str] = []
        self.lowering = Lowering(program)
        outputs = [placeholder(v.shape, v.dtype) for v in program.outputs]
        targets = [*zip(outputs, program.outputs, strict=True), *program.changes]
        self.schedule = Schedule(self.lowering, targets)
        for k, value in enumerate(program.inputs):
            if value.dtype is not None:  # no generator
                self._argument("input", value, k, in_stack=value.source.kind == "argument")
        for k, value in enumerate(outputs):
            self._argument("output", value, k, in_stack=k in program.returned)
        for value in self.lowering.draws:
            self._argument("draw", value, value)
        for value, target in self.schedule.direct.items():
            self.memory[value] = self.memory[target]
        temporaries = [v for v in self.schedule.temporaries() if v not in self.memory]
        for values in self.schedule.shared(temporaries):
            size = max(value.size for value in values)
            name = f"memory{len(self.memory)}"
            self._lines.append(f'{name} = temporary("{code(values[0].dtype)}", {size})')
            self.memory |= dict.fromkeys(values, name)
        for group in self.schedule.groups:
            self._group(group)
        names = ", ".join(argument.name for argument in self.arguments)
        lines = ["@function", f"def steps(count, {names}):"]
        if self._lines:
            lines += ["    for step in range(count):", *indented(self._lines, 2)]
        self.source = "".join(self._functions) + "\n".join([*lines, "    return count\n"])

    # Names and memory

    def _argument(self, kind: str, value: Value, what: Any, *, in_stack: bool = False) -> None:
        """Take a number or an array as an argument; or a stack of the arrays of all steps."""
        name, dtype = f"{kind}{len(self.arguments)}", TYPES[code(value.dtype)]
        (self.numbers if value.is_number else self.memory)[value] = name
        if in_stack:
            self._lines.append(f"{name} = stack_of_{name}.at(step * {value.size})")
            name = f"stack_of_{name}"
        given = dtype if value.is_number else types.CPointer(dtype)
        self.arguments.append(Argument(name, kind, given, what))

    def place(self, value: Value) -> str:
        """Return the memory that a value is in."""
        root = self.lowering.root(value)
        if root not in self.memory:
            self._argument("constant", root, np.array(self.lowering.constant(root), order="C"))
        return self.memory[root]

    def _group(self, group: list[Statement]) -> None:
        if group[0].kind != "gemm":
            self._call(Nest(self, group).lines())
            return
        (statement,) = group
        (x, y), (m, n), dtype = statement.args, statement.out.shape, statement.out.dtype
        (left, a), (right, b) = self.lowering.blas(x), self.lowering.blas(y)
        shape, alpha = f"{m}, {n}, {x.shape[1]}", literal(1, dtype)
        factors = f"{alpha}, {self.place(x)}, {a}, {self.place(y)}, {b}"
        result = f"{literal(0, dtype)}, {self.place(statement.out)}, {n}"
        self._lines.append(
            f"gemm_{code(dtype)}(101, {left}, {right}, {shape}, {factors}, {result})"
        )

    def _call(self, lines: list[str]) -> None:
        """Write a call of a function of these lines: LLVM knows that its memories are apart."""
        text = "\n".join(indented(lines, 1))
        names = ", ".join(dict.fromkeys(_NAMES.findall(text)))
        call = f"loops{len(self._functions)}({names})"
        self._functions.append(f"@function\ndef {call}:\n{text}\n\n\n")
        self._lines.append(f"stop({call}, step)" if "stop(" in text else call)
