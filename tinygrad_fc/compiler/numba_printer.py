"""A program as the source of a function for Numba: loops, products of matrices and tests in order.

Nodes over one shape share loops where they can: values pass from one to the next without memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba.core import types

from tinygrad_fc.compiler.numba_math import TYPES
from tinygrad_fc.compiler.numba_plan import Node, Plan, code, literal, placeholder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.compiler.ir import Program, Value

FUSED = ("elementwise", "reduce")
"""Kinds of nodes that may share loops with others."""
UNROLLED = 32
"""Terms up to which the sum of a product is the innermost loop."""


class Schedule:
    """Groups of nodes that share loops, in order, and which values are written to which targets.

    A target, which is an output or an input that changes, and its value are a pair.
    """

    def __init__(self, plan: Plan, targets: list[tuple[Value, Value]]) -> None:
        self.plan = plan
        self.groups: list[list[Node]] = []
        self.producer: dict[Value, Node] = {}
        self.readers: dict[Value, list[tuple[Value, Node]]] = {}
        """By the value in whose memory they read: what they read, and the nodes."""
        self.direct: dict[Value, Value] = {}
        """Values that are computed in the memory of a target, and that target."""
        computed = {node.out for node in plan.nodes}
        targets = [(t, v if v in computed else plan.copy(v, t.dtype)) for t, v in targets]
        for node in plan.nodes:
            self.add(node)
        for target, value in targets:
            node = self.producer[value]
            if value not in self.direct and (not target.is_input or self._is_direct(target, node)):
                self.direct[value] = target
            else:
                plan.update(target, value)
                self.add(plan.nodes[-1])

    def add(self, node: Node) -> None:
        """Put a node into the last group over its shape that it can join, or into a new one."""
        first = 0
        for value in node.args:
            producer = self.producer.get(self.plan.root(value))
            if producer:
                passes = self._passes(value, node, producer.group)
                first = max(first, producer.group + (not passes))
        fitting = [k for k in range(first, len(self.groups)) if self._fits(node, k)]
        if not fitting:
            self.groups.append([])
        node.group = fitting[-1] if fitting else len(self.groups) - 1
        self.groups[node.group].append(node)
        self.producer[node.out] = node
        for value in node.args:
            self.readers.setdefault(self.plan.root(value), []).append((value, node))

    def _fits(self, node: Node, number: int) -> bool:
        """Tell whether a node may share the loops of a group."""
        one = self.groups[number][0]
        return node.kind in FUSED and one.kind in FUSED and one.shape == node.shape

    def _passes(self, value: Value, node: Node, number: int) -> bool:
        """Tell whether `node` can read a value of a group in its loops, without memory."""
        if not self._fits(node, number) or (node.at and value is node.args[-1]):
            return False
        whole = self.plan.root(value) is value and (value.shape or ()) == node.shape
        return whole and (value.is_input or self.producer[value].kind == "elementwise")

    def _is_direct(self, target: Value, node: Node) -> bool:
        """Tell whether a node may compute its value in the memory of an input that changes."""
        tests = [n.group for n in self.plan.nodes if n.kind == "test" or n.at]
        later = [(v, n) for v, n in self.readers.get(target, []) if n.group >= node.group]
        return (
            node.kind == "elementwise"
            and self.plan.where(node.out) == self.plan.where(target)
            and node.group > max(tests, default=-1)
            and all(n.group == node.group and self._passes(v, n, n.group) for v, n in later)
        )

    def temporaries(self) -> list[Value]:
        """Return the values that need memory, those that have it elsewhere too."""
        return [
            value
            for value, node in self.producer.items()
            if node.kind not in ("elementwise", "test")
            or any(n.group != node.group for _, n in self.readers.get(value, []))
        ]


class Nest:
    """What is done in the loops of a group: loads, statements and sums, then stores."""

    def __init__(self, printer: Printer, group: list[Node]) -> None:
        self.printer, self.plan, self.shape = printer, printer.plan, group[0].shape
        self.axes = self._loops(group)
        self.names: dict[Any, str] = dict(printer.numbers)
        self.body: list[str] = []
        self.stores: list[str] = []
        self.before: list[list[str]] = [[] for _ in (*self.axes, None)]
        self.after: list[list[str]] = [[] for _ in (*self.axes, None)]
        for node in group:
            self._add(node)

    def _loops(self, group: list[Node]) -> list[int]:
        """Return the axes of the loops, the outermost first.

        Most memory is read from one element to the next. The few terms of a small product are the
        innermost loop, which LLVM unrolls.
        """
        strides = [self._result(node)[1] for node in group if node.kind != "update"]
        for node in group:
            whole = node.args[: -len(node.at) - 1] if node.at else node.args
            strides += [self.plan.where(value, self.shape)[1] for value in whole]
        axes = [k for k, n in enumerate(self.shape) if n != 1]
        inner = max(axes, key=lambda k: (sum(s[k] == 1 for s in strides), k), default=0)
        far = {k: max((abs(s[k]) for s in strides), default=0) for k in axes}
        unrolled = group[0].kind == "product" and self.shape[-1] <= UNROLLED
        last = len(self.shape) - 1 if unrolled else inner
        return sorted(axes, key=lambda k: (k == last, k == inner, -far[k], k))

    def _result(self, node: Node) -> Any:
        """Return where the result of a node is."""
        dropped = len(node.shape) > len(node.out.shape or ())
        return self.plan.where(node.out, self.shape, sorted(node.axes) if dropped else ())

    def _add(self, node: Node) -> None:
        selected = self._selected(node) if node.at else None
        texts = [""] * len(node.args)
        for k, value in enumerate(node.args):
            if f"{{{k}}}" in node.text:
                name = self._read(value, selected if value is node.args[-1] else None)
                texts[k] = f"({name} != 0)" if value.dtype == bool else name
        text = node.text.format(*texts)
        if node.kind == "test":
            self.body += [f"if {text}:", "    return step"]
        elif node.kind in ("reduce", "product"):
            self._reduce(node, text)
        elif node.kind == "update":
            self.body.append(f"{self._element(node.args[-1], selected)} = {text}")
        else:
            name = self.names[node.out] = f"v{len(self.names)}"
            self.body.append(f"{name} = {text}")
            if node.out in self.printer.memory:
                self.stores.append(f"{self._element(node.out)} = {name}")

    def _reduce(self, node: Node, text: str) -> None:
        """Add a reduction, in a variable where it is along the innermost loops."""
        axes, start = self.axes, len(self.axes)
        memory, place = self.printer.place(node.out), self._element(node.out, self._result(node))
        while start and axes[start - 1] in node.axes:
            start -= 1
        if start < len(axes) and node.axes.isdisjoint(axes[:start]):
            self.before[start].append(f"s_{memory} = {node.initial}")
            self.after[start].append(f"{place} = s_{memory}")
            place = f"s_{memory}"
        else:
            self.before[0].append(f"for k0 in range({math.prod(node.out.shape or ())}):")
            self.before[0].append(f"    {memory}[k0] = {node.initial}")
        self.body.append(f"{place} = {node.function.format(place, text)}")

    def _selected(self, node: Node) -> Any:
        """Read index arrays; return where the first of the rows is, and how far from it theirs.

        Numbers of rows are checked, but those of constants and batches, which are known to exist.
        """
        base, count, terms = node.args[-1], len(node.at), []
        start, strides = self.plan.where(base)
        wide = len(self.shape) - len(strides) + count
        for index, size, stride in zip(node.at, base.shape, strides, strict=False):
            first, along = self.plan.where(index, self.shape[:wide])
            name = self._read(index, (first, (*along, *[0] * (len(self.shape) - wide))))
            if index.function is not placeholder and self.plan.constant(index) is None:
                self.body += [f"if ({name} < -{size}) | ({name} >= {size}):", "    return step"]
            terms.append(f"select({name} < 0, i8({name}) + {size}, i8({name})) * {stride}")
        return start, (*[0] * wide, *strides[count:]), *terms

    def _element(self, value: Value, where: Any = None) -> str:
        """Return the text of an element in loops."""
        start, strides, *terms = where or self.plan.where(value, self.shape)
        terms += [f"k{k} * {strides[axis]}" for k, axis in enumerate(self.axes) if strides[axis]]
        if value in self.printer.stacks:
            terms.append(f"step * {value.size}")
        return f"{self.printer.place(value)}[{' + '.join([*terms, str(start)])}]"

    def _read(self, value: Value, where: Any = None) -> str:
        """Return the name of an element in loops; load it where that was not done."""
        root = self.plan.root(value)
        if root in self.names:
            return self.names[root]
        element = self._element(value, where)
        if element not in self.names:
            self.names[element] = f"v{len(self.names)}"
            self.body.append(f"{self.names[element]} = {element}")
        return self.names[element]

    def write(self) -> None:
        """Write the loops."""
        for k, axis in enumerate(self.axes):
            self.printer.write([*self.before[k], f"for k{k} in range({self.shape[axis]}):"], k)
        self.printer.write([*self.before[-1], *self.body, *self.stores], len(self.axes))
        for k in reversed(range(len(self.axes))):
            self.printer.write(self.after[k], k)


class Argument(NamedTuple):
    """An argument of the native function; `kind` is input, draw, output, stack or constant.

    A stack has an array for each step: numbers of rows, or results.
    """

    name: str
    kind: str
    type: Any
    value: Any


class Printer:
    """Writes `source`, the native function, which runs steps `first` to `last`.

    It returns the number of the step that the program does not fit, or `last`. `batches` are the
    numbers of inputs of which each step selects rows; results of all steps are stacked then.
    """

    def __init__(self, program: Program, batches: frozenset[int] = frozenset()) -> None:
        self.arguments: list[Argument] = []
        self.memory: dict[Value, str] = {}
        self.numbers: dict[Value, str] = {}
        self.stacks: list[Value] = []
        self._lines: list[str] = []
        self.plan = Plan(program)
        inputs = self._inputs(program, batches)
        outputs = [placeholder(v.shape, v.dtype) for v in program.outputs]
        targets = [*zip(outputs, program.outputs, strict=True), *program.changes]
        for k in program.returned if batches else ():
            result = placeholder(outputs[k].shape, outputs[k].dtype)
            targets.append((self._stack(result, k), program.outputs[k]))
        self.schedule = Schedule(self.plan, targets)
        for k, value in enumerate(inputs):
            if value.dtype is not None:  # no generator
                self._argument("input", value, k)
        for k, value in enumerate(outputs):
            self._argument("output", value, k)
        for value in self.plan.draws:
            self._argument("draw", value, value)
        for value, target in self.schedule.direct.items():
            self.memory[value] = self.memory[target]
        for value in self.schedule.temporaries():
            if value not in self.memory:
                size = math.prod(value.shape or ())
                self._take(value, f'temporary("{code(value.dtype)}", {size})')
        for group in self.schedule.groups:
            self._group(group)
        names = ", ".join(["first", "last", *(argument.name for argument in self.arguments)])
        lines = [f"def steps({names}):", "    for step in range(first, last):", *self._lines]
        self.source = "\n".join([*lines, "    return last\n"])

    def _inputs(self, program: Program, batches: frozenset[int]) -> list[Value]:
        """Return the inputs; take whole data sets for batches, and add nodes that select rows."""
        inputs = list(program.inputs)
        for k in batches:
            value = inputs[k]
            whole = inputs[k] = placeholder((2, *value.shape[1:]), value.dtype)
            if not self.stacks:
                at = self._stack(placeholder(value.shape[:1], np.int64), None)
            node = Node("elementwise", value, [at, whole], value.shape, "{1}", at=(at,))
            self.plan.nodes.insert(0, node)
        return inputs

    # Names and memory

    def write(self, lines: Sequence[str], depth: int = 0) -> None:
        """Write some lines, `depth` loops deep."""
        self._lines += ["    " * (depth + 2) + line for line in lines]

    def _take(self, value: Value, memory: str) -> None:
        """Let a value be in some memory, which has a name."""
        name = self.memory[value] = f"m{len(self.memory)}"
        self.write([f"{name} = {memory}"])

    def _argument(self, kind: str, value: Value, what: Any) -> None:
        """Take a number or an array as an argument."""
        name, dtype = f"{kind}{len(self.arguments)}", TYPES[code(value.dtype)]
        if value.is_number:
            self.numbers[value] = name
        else:
            dtype = types.Array(dtype, len(value.shape) + (kind == "stack"), "A")
            self._take(value, f"memory({name})")
        self.arguments.append(Argument(name, kind, dtype, what))

    def _stack(self, value: Value, what: Any) -> Value:
        self.stacks.append(value)
        self._argument("stack", value, what)
        return value

    def place(self, value: Value) -> str:
        """Return the memory that a value is in."""
        root = self.plan.root(value)
        if root not in self.memory:
            self._argument("constant", root, np.array(self.plan.constant(root), order="C"))
        return self.memory[root]

    def _group(self, group: list[Node]) -> None:
        if group[0].kind != "gemm":
            Nest(self, group).write()
            return
        (node,) = group
        (x, y), (m, n), dtype = node.args, node.out.shape, node.out.dtype
        (left, a), (right, b) = self.plan.blas(x), self.plan.blas(y)
        one, zero, shape = literal(1, dtype), literal(0, dtype), f"{m}, {n}, {x.shape[1]}"
        factors = (
            f"101, {left}, {right}, {shape}, {one}, {self.place(x)}, {a}, {self.place(y)}, {b}"
        )
        self.write([f"gemm_{code(dtype)}({factors}, {zero}, {self.place(node.out)}, {n})"])
