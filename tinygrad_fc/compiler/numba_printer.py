"""A program as the source of a function for Numba: loops, products of matrices and tests in order.

Nodes over one shape share loops where they can: values pass from one to the next without memory.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.numba_plan import Node, Plan, Where, code, literal, placeholder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.compiler.ir import Program, Value

    Target = tuple[Value, Value]

LINE = 64
"""Bytes of a cache line, to which temporaries are aligned."""
FUSED = ("elementwise", "reduce")
"""Kinds of nodes that may share loops with others."""
UNROLLED = 32
"""Terms up to which the sum of a product is the innermost loop."""


class Schedule:
    """Groups of nodes that share loops, in order, and which values are written to which targets.

    A target, which is an output or an input that changes, and its value are a pair.
    """

    def __init__(self, plan: Plan, targets: list[Target]) -> None:
        self.plan = plan
        self.groups: list[list[Node]] = []
        self.producer: dict[Value, Node] = {}
        self.writer: dict[Value, int] = {}
        self.readers: dict[Value, list[tuple[Value, Node, int]]] = {}
        self.direct: dict[Value, Value] = {}
        """Values that are computed in the memory of a target, and that target."""
        computed = {node.out for node in plan.nodes}
        targets = [(t, v if v in computed else plan.copy(v, t.dtype)) for t, v in targets]
        for node in plan.nodes:
            self.add(node)
        for target, value in targets:
            if value not in self.direct and self._is_direct(target, value):
                self.direct[value] = target
        for target, value in targets:
            if self.direct.get(value) is not target:
                plan.overwrite(target, value)
                self.add(plan.nodes[-1])

    def add(self, node: Node) -> None:
        """Put a node into the last group over its shape that it can join, or into a new one."""
        first = 0
        for value in node.args:
            k = self.writer.get(self.plan.root(value), -1)
            first = max(first, k if self._passes(value, node, k) else k + 1)
        fitting = [k for k in range(first, len(self.groups)) if self._fits(node, k)]
        if not fitting:
            self.groups.append([])
        number = fitting[-1] if fitting else len(self.groups) - 1
        self.groups[number].append(node)
        self.producer[node.out], self.writer[node.out] = node, number
        for value in node.args:
            self.readers.setdefault(self.plan.root(value), []).append((value, node, number))

    def _fits(self, node: Node, number: int) -> bool:
        """Tell whether a node may share the loops of a group."""
        one = self.groups[number][0]
        return node.kind in FUSED and one.kind in FUSED and one.shape == node.shape

    def _passes(self, value: Value, node: Node, number: int) -> bool:
        """Tell whether `node` can read a value of a group in its loops, without memory."""
        if number < 0 or not self._fits(node, number) or (node.at and value is node.args[-1]):
            return False
        whole = value not in self.plan.base and (value.shape or ()) == node.shape
        return whole and (value.is_input or self.producer[value].kind == "elementwise")

    def _is_direct(self, target: Value, value: Value) -> bool:
        """Tell whether a value may be computed in the memory of a target."""
        number, node = self.writer[value], self.producer[value]
        if not target.is_input:
            return True
        tested = any(n.kind == "test" for group in self.groups[number:] for n in group)
        return (
            node.kind == "elementwise"
            and node.shape == target.shape
            and not tested
            and all(
                k == number and self._passes(v, n, number)
                for v, n, k in self.readers.get(target, [])
                if k >= number
            )
        )

    def temporaries(self) -> list[Value]:
        """Return the values that need memory, those that have it elsewhere too."""
        return [
            value
            for value, node in self.producer.items()
            if node.kind not in ("elementwise", "test")
            or any(k != self.writer[value] for *_, k in self.readers.get(value, []))
        ]


class Access(NamedTuple):
    """An element in loops, `offset` beyond its place; it is called `name`."""

    name: str
    memory: str
    where: Where
    offset: str = ""

    def place(self, axes: list[int]) -> str:
        """Return the memory and the place of the element; `axes` are those of the loops."""
        start, strides = self.where
        terms = [f"k{k} * {strides[axis]}" for k, axis in enumerate(axes) if strides[axis]]
        terms += [self.offset] * bool(self.offset)
        return f"{self.memory}, {' + '.join([*terms, str(start)])}"


class Nest:
    """What is done in the loops of a group: loads and statements, then stores and reductions."""

    def __init__(self, printer: Printer, group: list[Node]) -> None:
        self.printer, self.plan, self.shape = printer, printer.plan, group[0].shape
        self.kind = group[0].kind
        self.names: dict[Any, str] = {}
        self.body: list[Access | str] = []
        self.stores: list[Access] = []
        self.totals: list[tuple[Access, Node, str]] = []
        for node in group:
            self._add(node)

    def _add(self, node: Node) -> None:
        selected = self._selected(node) if node.at else None
        last = len(node.args) - 1
        texts = [
            self._read(v, selected if k == last else None) if f"{{{k}}}" in node.text else ""
            for k, v in enumerate(node.args)
        ]
        text, memory = node.text.format(*texts), self.printer.memory.get(node.out, "")
        if node.kind == "test":
            self.body += [f"if {text}:", f"    return {node.function}"]
        elif node.kind in ("reduce", "product"):
            dropped = len(node.shape) > len(node.out.shape or ())
            where = self.plan.where(node.out, node.shape, sorted(node.axes) if dropped else ())
            self.totals.append((Access(f"s_{memory}", memory, where), node, text))
        else:
            name = f"v{len(self.names)}"
            self.names[name if node.kind == "update" else node.out] = name
            self.body.append(f"{name} = {text}")
            if node.kind == "update":
                self.stores.append(self._access(name, node.args[-1], selected))
            elif memory:
                self.stores.append(self._access(name, node.out))

    def _selected(self, node: Node) -> tuple[Where, str]:
        """Read index arrays; return where the first of the rows is, and how far from it theirs."""
        base, count, terms = node.args[-1], len(node.at), []
        start, strides = self.plan.where(base)
        wide = len(self.shape) - len(strides) + count
        for index, size, stride in zip(node.at, base.shape, strides, strict=False):
            first, along = self.plan.where(index, self.shape[:wide])
            where = Where(first, (*along, *[0] * (len(self.shape) - wide)))
            name = self._read(index, (where, ""))
            terms.append(f"select({name} < 0, i8({name}) + {size}, i8({name})) * {stride}")
        return Where(start, (*[0] * wide, *strides[count:])), " + ".join(terms)

    def _access(self, name: str, value: Value, selected: tuple[Where, str] | None = None) -> Access:
        """Return an element of a value, or of the rows of it that index arrays select."""
        where, offset = selected or (self.plan.where(value, self.shape), "")
        return Access(name, self.printer.place(value), where, offset)

    def _read(self, value: Value, selected: tuple[Where, str] | None = None) -> str:
        """Return the name of an element in loops; load it where that was not done."""
        root = self.plan.root(value)
        if value.shape is None and value.is_input:
            return self.printer.memory[value]
        if root in self.names:
            return self.names[root]
        access = self._access(f"v{len(self.names)}", value, selected)
        if access[1:] not in self.names:
            self.names[access[1:]] = access.name
            self.body.append(access)
        return self.names[access[1:]]

    def write(self) -> None:
        """Write the loops; reductions along the innermost ones are done in variables."""
        axes = self._loops()
        body = [p if isinstance(p, str) else f"{p.name} = load({p.place(axes)})" for p in self.body]
        body += [f"store({access.place(axes)}, {access.name})" for access in self.stores]
        before: list[list[str]] = [[] for _ in (*axes, None)]
        after: list[list[str]] = [[] for _ in (*axes, None)]
        for access, node, text in self.totals:
            start, place = _start(node, axes), access.place(axes)
            if start is None:
                before[0].append(f"for k0 in range({math.prod(node.out.shape or ())}):")
                before[0].append(f"    store({access.memory}, k0, {node.initial})")
                body.append(f"store({place}, {node.function.format(f'load({place})', text)})")
            else:
                before[start].append(f"{access.name} = {node.initial}")
                body.append(f"{access.name} = {node.function.format(access.name, text)}")
                after[start].append(f"store({place}, {access.name})")
        for k, axis in enumerate(axes):
            self.printer.write([*before[k], f"for k{k} in range({self.shape[axis]}):"], k)
        self.printer.write([*before[-1], *body], len(axes))
        for k in reversed(range(len(axes))):
            self.printer.write(after[k], k)

    def _loops(self) -> list[int]:
        """Return the axes of the loops, the outermost first.

        Most memory is read from one element to the next. The few terms of a small product are the
        innermost loop, which LLVM unrolls.
        """
        accesses = [p for p in self.body if isinstance(p, Access)] + self.stores
        strides = [a.where.strides for a in (*accesses, *(t[0] for t in self.totals))]
        axes = [k for k, n in enumerate(self.shape) if n != 1]
        inner = max(axes, key=lambda k: (sum(s[k] == 1 for s in strides), k), default=0)
        far = {k: max((abs(s[k]) for s in strides), default=0) for k in axes}
        unrolled = self.kind == "product" and self.shape[-1] <= UNROLLED
        last = len(self.shape) - 1 if unrolled else inner
        return sorted(axes, key=lambda k: (k == last, k == inner, -far[k], k))


def _start(node: Node, axes: list[int]) -> int | None:
    """Return the loop within which a reduction begins; None where it is done in memory."""
    start = len(axes)
    while start and axes[start - 1] in node.axes:
        start -= 1
    return start if start < len(axes) and node.axes.isdisjoint(axes[:start]) else None


class Argument(NamedTuple):
    """An argument of the native function; `kind` is input, draw, output, stack or constant."""

    name: str
    kind: str
    dtype: str
    ndim: int | None
    value: Any = None


class Printer:
    """Writes one function: a step, or a loop of steps if `rows` are inputs that have a batch each.

    The loop is over rows of `order`, which select the batches; results of each step go to stacks.
    """

    def __init__(self, program: Program, rows: frozenset[int] | None, gemms: Any) -> None:
        self.program, self.rows, self.gemms = program, rows, gemms
        self.arguments: list[Argument] = []
        self.memory: dict[Value, str] = {}
        self.work, self._scopes = 0, 0
        self._lines: list[str] = []
        self._gaps: list[str] = []
        """Conditions under which inputs are not in C order, or have gaps."""
        self.plan = Plan(program, gemms)
        inputs = self._batches()
        outputs = [placeholder(v.shape, v.dtype) for v in program.outputs]
        stacks = {k: placeholder(outputs[k].shape, outputs[k].dtype) for k in program.returned}
        stacks = {} if rows is None else stacks
        targets = [*zip(outputs, program.outputs, strict=True), *program.changes]
        targets += [(stack, program.outputs[k]) for k, stack in stacks.items()]
        self.schedule = Schedule(self.plan, targets)
        for k, value in enumerate(inputs):
            self._argument("input", value, k, program.inputs[k])
        for k, value in enumerate(outputs):
            self._argument("output", value, k, program.outputs[k])
        for value in self.plan.draws:
            self._argument("draw", value, value, value)
        for k, value in stacks.items():
            self._argument("stack", value, k, program.outputs[k])
        for value, target in self.schedule.direct.items():
            self.memory[value] = self.memory[target]
        for value in self.schedule.temporaries():
            if value not in self.memory:
                self._take(value, "t", value, "work", self.work)
                size = math.prod(value.shape or ()) * value.dtype.itemsize
                self.work += -(-size // LINE) * LINE

    def _batches(self) -> list[Value]:
        """Add nodes that gather the batches; return the inputs, whole data sets among them."""
        inputs = list(self.program.inputs)
        for k in self.rows or ():
            value = inputs[k]
            whole = inputs[k] = placeholder((2, *value.shape[1:]), value.dtype)
            at = placeholder(value.shape[:1], np.int64)
            self._take(at, "rows", None, "order", f"step * {8 * value.shape[0]}")
            node = Node("elementwise", value, [at, whole], value.shape, "{1}", at=(at,))
            self.plan.nodes.insert(0, node)
        return inputs

    # Names and memory

    def write(self, lines: Sequence[str], depth: int = 0) -> None:
        """Write some lines, `depth` loops deep."""
        indent = "    " * (depth + 1 + (self.rows is not None))
        self._lines += [indent + line for line in lines]

    def _take(self, value: Value, prefix: str, named: Any, argument: str, start: Any) -> None:
        """Let a value be in the memory that begins `start` bytes into an argument."""
        known = re.sub(r"\W", "_", self.program.names.get(id(named), ""), flags=re.ASCII)
        name = self.memory[value] = f"{prefix}{self._scopes}" + f"_{known}" * bool(known)
        scope = f"{self._scopes}, SCOPES"
        self.write([f'{name} = memory({argument}, {start}, "{code(value.dtype)}", {scope})'])
        self._scopes += 1

    def _argument(self, kind: str, value: Value, what: Any, named: Any = None) -> None:
        """Take an argument: a number, an array, or a stack with an array for each step."""
        if value.dtype is None:
            return
        name, shape, size = f"{kind}{len(self.arguments)}", value.shape, value.dtype.itemsize
        stacked = kind == "stack"
        ndim = None if value.is_number and kind == "input" else len(shape or ()) + stacked
        self.arguments.append(Argument(name, kind, code(value.dtype), ndim, what))
        if ndim is None:
            self.memory[value] = name
            return
        start = f"step * {math.prod(shape or ()) * size}" if stacked else 0
        self._take(value, {"input": "x"}.get(kind, kind[0]), named, name, start)
        strides = np.empty(shape or (), value.dtype).strides if kind == "input" else ()
        pairs = enumerate(zip(shape or (), strides, strict=False))
        self._gaps += [f"({name}.strides[{k}] != {s})" for k, (n, s) in pairs if n != 1 and s]

    def place(self, value: Value) -> str:
        """Return the memory that a value is in."""
        root = self.plan.root(value)
        if root not in self.memory:
            self._argument("constant", root, np.array(self.plan.constant(root), order="C"))
        return self.memory[root]

    # The whole text

    def source(self) -> str:
        """Return the source of the function."""
        for group in self.schedule.groups:
            if group[0].kind == "gemm":
                self._gemm(group[0])
            else:
                Nest(self, group).write()
        name = re.sub(r"\W", "_", self.program.name, flags=re.ASCII)[:40]
        names, lines = [a.name for a in self.arguments], self._lines
        if self.rows is not None:
            names = ["first", "last", "order", *names]
            lines = [re.sub(r"(return [A-Z]+)$", r"\1 + 8 * step", line) for line in lines]
            lines = ["    for step in range(first, last):", *lines]
        gaps = [f"    if {' | '.join(self._gaps)}:", "        return GAPS"] * bool(self._gaps)
        text = "\n".join([f"def native_{name}({', '.join([*names, 'work'])}):", *gaps, *lines])
        return text.replace("SCOPES", str(self._scopes)) + "\n    return 0\n"

    def _gemm(self, node: Node) -> None:
        (x, y), (m, n), dtype, plan = node.args, node.out.shape, node.out.dtype, self.plan
        (left, a), (right, b) = plan.blas(x), plan.blas(y)
        at = [f"address({self.place(v)}, {plan.where(v).start})" for v in (x, y, node.out)]
        one, zero, shape = literal(1, dtype), literal(0, dtype), f"{m}, {n}, {x.shape[1]}"
        factors = f"101, {left}, {right}, {shape}, {one}, {at[0]}, {a}, {at[1]}, {b}"
        self.write([f"{self.gemms[code(dtype)]}({factors}, {zero}, {at[2]}, {n})"])
