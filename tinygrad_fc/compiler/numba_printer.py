"""A program as the source of a function for Numba: loops, products of matrices and tests in order.

Nodes over one shape share loops where they can: values pass from one to the next without memory.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.numba_plan import Plan
from tinygrad_fc.compiler.numba_schedule import Group, Node, Schedule, Where, placeholder
from tinygrad_fc.compiler.numba_spelling import SPELLED, TRUTHS, cast, code, literal

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program, Value

LINE = 64
"""Bytes of a cache line, to which temporaries are aligned."""
TERMS = 8
"""Terms that are added to an element in one go in a product of matrices."""


class Lines(list[str]):
    """Source that is being written."""

    depth = 1

    def __call__(self, line: str, deeper: int = 0) -> None:
        """Add a line, indented by the depth and `deeper` more."""
        self.append("    " * (self.depth + deeper) + line)


class Access(NamedTuple):
    """An element in loops, `offset` beyond its place; it is called `name`."""

    name: str
    memory: str
    where: Where
    offset: str = ""

    def text(self, loops: list[tuple[int, int]]) -> str:
        """Return how to write the element; `loops` are those of a nest."""
        start, strides = self.where
        terms = [
            f"k{k}" if strides[axis] == 1 else f"k{k} * {strides[axis]}"
            for k, (axis, _) in enumerate(loops)
            if strides[axis]
        ]
        terms += [self.offset] * bool(self.offset)
        terms += [str(start)] * (start != 0 or not terms)
        return f"{self.memory}[{' + '.join(terms).replace('+ -', '- ')}]"


@dataclass
class Total:
    """A reduction in loops: how values are taken into the element `access`."""

    access: Access
    node: Node
    values: str
    start: int = 0
    """The loop within which it begins."""
    partial: bool = False
    """Whether what these loops yield is taken into the element, which has a first value."""

    def taken(self, total: str, values: str) -> str:
        """Return a total into which values are taken."""
        function, dtype = self.node.function, self.node.out.dtype
        if values is self.values and ", " in self.node.text:
            return f"madd({total}, {values})"
        form = TRUTHS[function] if dtype.kind == "b" else SPELLED[function]
        text = f"plus({total}, {values})" if function is np.add else form.format(total, values)
        return text if dtype.kind in "fb" else f"{code(dtype)}({text})"


@dataclass
class Nest:
    """What is done in loops over a shape: loads and statements, then stores and reductions."""

    shape: tuple[int, ...]
    body: list[Access | str] = field(default_factory=list)
    stores: list[Access] = field(default_factory=list)
    totals: list[Total] = field(default_factory=list)

    def write(self, lines: Lines) -> None:
        """Write the loops."""
        loops = self._loops()
        for total in self.totals:
            self._begin(total, loops, lines)
        if 0 in self.shape:
            return
        for k, (_, count) in enumerate(loops):
            for total in (t for t in self.totals if t.start == k):
                lines(f"{total.access.name} = {literal(total.node.initial, total.node.out.dtype)}")
            lines(f"for k{k} in range({count}):")
            lines.depth += 1
        for part in self.body:
            lines(part if isinstance(part, str) else f"{part.name} = {part.text(loops)}")
        for store in self.stores:
            lines(f"{store.text(loops)} = {store.name}")
        for total in self.totals:
            inside = total.start < len(loops)
            held = total.access.name if inside else total.access.text(loops)
            lines(f"{held} = {total.taken(held, total.values)}")
        for k in range(len(loops) - 1, -1, -1):
            lines.depth -= 1
            for total in (t for t in self.totals if t.start == k):
                place, value = total.access.text(loops), total.access.name
                lines(f"{place} = {total.taken(place, value) if total.partial else value}")

    def _begin(self, total: Total, loops: list[tuple[int, int]], lines: Lines) -> None:
        """Find the loop within which a reduction begins, and set elements to their first value."""
        node, total.start = total.node, len(loops)
        while total.start and loops[total.start - 1][0] in node.axes:
            total.start -= 1
        outside = any(axis in node.axes for axis, _ in loops[: total.start])
        total.partial = outside or total.start == len(loops) or 0 in self.shape
        if total.partial:
            lines(f"for i in range({math.prod(node.out.shape)}):")
            lines(f"{total.access.memory}[i] = {literal(node.initial, node.out.dtype)}", 1)

    def _loops(self) -> list[tuple[int, int]]:
        """Return the axes of the loops with how often they go round, the outermost first.

        Most memory is read from one element to the next; adjacent axes without gaps are one.
        """
        accesses = [*(p for p in self.body if isinstance(p, Access)), *self.stores]
        strides = [a.where.strides for a in (*accesses, *(t.access for t in self.totals))]
        axes = [k for k, n in enumerate(self.shape) if n != 1]
        inner = max(axes, key=lambda k: (sum(s[k] == 1 for s in strides), k), default=0)
        far = {k: max((abs(s[k]) for s in strides), default=0) for k in axes}
        outer = sorted((k for k in axes if k != inner), key=lambda k: (-far[k], k))
        loops: list[tuple[int, int]] = []
        for axis in (*outer, *[inner] * bool(axes)):
            count = self.shape[axis]
            before = loops[-1][0] if loops else axis
            gone = all((before in t.node.axes) == (axis in t.node.axes) for t in self.totals)
            if loops and gone and all(s[before] == s[axis] * count for s in strides):
                count *= loops.pop()[1]
            loops.append((axis, count))
        return loops


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
        self.work = 0
        """Bytes of temporaries."""
        self._names: set[str] = set()
        self._scopes = 0
        self.lines = Lines()
        self.lines.depth += rows is not None
        self.plan = Plan(program)
        data = self._batches()
        self.schedule = Schedule(self.plan)
        self.layout = self.plan.layout
        self._inputs(data)
        self._outputs()
        self._temporaries()

    def _batches(self) -> dict[Value, int]:
        """Add nodes that gather the batches; return the whole data sets."""
        data: dict[Value, int] = {}
        for k in self.rows or ():
            value = self.program.inputs[k]
            whole = placeholder((2, *value.shape[1:]), value.dtype)
            at = placeholder(value.shape[:1], np.int64)
            self.memory[at] = "m_order"
            self.plan.nodes.insert(0, Node("gather", value, [whole, at], value.shape, "", at=(at,)))
            data[whole] = k
        return data

    # Names and memory

    def _name(self, prefix: str, value: Any = None) -> str:
        known = re.sub(r"\W", "_", self.program.names.get(id(value), ""), flags=re.ASCII)
        name = stem = f"{prefix}_{known}" if known else prefix
        count = 1
        while name in self._names:
            count += 1
            name = f"{stem}_{count}"
        self._names.add(name)
        return name

    def _take(self, value: Value, name: str, argument: str, start: Any) -> None:
        """Let a value be in the memory that begins `start` bytes into an argument."""
        self.memory[value] = name
        dtype, scope = code(value.dtype), f"{self._scopes}, SCOPES"
        self.lines(f"{name} = memory({argument}, {start}, D{dtype}, {scope})")
        self._scopes += 1

    def _argument(
        self, kind: str, value: Value, what: Any, step: str = "", named: Any = None
    ) -> None:
        """Take an array as an argument, or for each `step` one of a stack of arrays."""
        stacked = self.rows is not None and bool(step)
        name = self._name({"input": "x", "constant": "c"}.get(kind, kind), named or value)
        argument = Argument(
            f"{name}_", kind, code(value.dtype), len(value.shape or ()) + stacked, what
        )
        self.arguments.append(argument)
        start = f"{step} * {math.prod(value.shape or ()) * value.dtype.itemsize}" if stacked else 0
        self._take(value, name, argument.name, start)

    def _inputs(self, data: dict[Value, int]) -> None:
        """Take the inputs: a batch has memory of its own, and its data set is an argument."""
        inputs, batches = self.program.inputs, set(data.values())
        if batches:
            size = 8 * inputs[min(batches)].shape[0]
            self.lines(f"m_order = memory(order, step * {size}, Di8, 0, SCOPES)")
            self._scopes += 1
        for value, k in data.items():
            self._argument("input", value, k, named=inputs[k])
        for k, value in enumerate(inputs):
            if value.is_number:
                name = self.memory[value] = self._name("n", value)
                self.arguments.append(Argument(name, "input", code(value.dtype), None, k))
            elif value.dtype is not None and k not in batches:
                self._argument("input", value, k)

    def _outputs(self) -> None:
        """Take arrays for outputs, random numbers and stacks of the results of steps."""
        outputs = {number: value for value, number in self.schedule.outputs.items()}
        for number, value in outputs.items():
            self._argument("output", value, number, named=self.program.outputs[number])
        for node in [n for group in self.schedule.groups for n in group.nodes if n.kind == "draw"]:
            self._argument("draw", node.out, node.out, "(step - first)")
        for number in self.program.returned if self.rows is not None else ():
            stack = placeholder(outputs[number].shape, outputs[number].dtype)
            self._argument("stack", stack, number, "step", self.program.outputs[number])
            self.plan.update(stack, ..., outputs[number])
            self.schedule.add(self.plan.nodes[-1])
        for value, old in self.schedule.over.items():
            self.memory[value] = self.memory[old]

    def _temporaries(self) -> None:
        for value in self.schedule.temporaries():
            if value not in self.memory:
                self._take(value, self._name("t", value), "work", self.work)
                size = math.prod(value.shape or ()) * value.dtype.itemsize
                self.work += -(-size // LINE) * LINE

    def place(self, value: Value) -> str:
        """Return the memory that a value is in."""
        root = self.layout.root(value)
        if root not in self.memory:
            self._argument("constant", root, self.plan.array(root))
        return self.memory[root]

    def source(self) -> str:
        """Return the source of the function."""
        for group in self.schedule.groups:
            if group.nodes[0].kind == "product":
                self._product(group.nodes[0])
            elif group.nodes[0].kind != "draw":
                self._nest(group)
        name = re.sub(r"\W", "_", self.program.name, flags=re.ASCII)[:40]
        names, lines = [a.name for a in self.arguments], list(self.lines)
        if self.rows is not None:
            names = ["first", "last", "order", *names]
            lines = [re.sub(r"(return [A-Z]+)$", r"\1 + 8 * step", line) for line in lines]
            lines = ["    for step in range(first, last):", *lines]
        text = "\n".join([f"def native_{name}({', '.join([*names, 'work'])}):", *lines])
        return text.replace("SCOPES", str(self._scopes)) + "\n    return 0\n"

    # Loops

    def _nest(self, group: Group) -> None:
        """Write the loops of a group."""
        nest, names = Nest(group.shape), dict[Any, str]()
        loads: list[Access | str] = []
        for node in group.nodes:
            target = self._target(node, names, nest)
            texts = [
                self._read(v, node, names, loads) if f"{{{k}}}" in node.text else ""
                for k, v in enumerate(node.args)
            ]
            if node.kind == "reduce":
                nest.totals.append(self._total(node, node.text.format(*texts)))
            elif node.kind == "test":
                nest.body += [f"if {node.text.format(*texts)}:", f"    return {node.function}"]
            elif node.kind == "gather":
                memory = self.place(node.args[0])
                nest.body.append(Access(target.name, memory, *self._picked(node, nest)))
            else:
                if "{old}" in node.text:
                    nest.body.append(target._replace(name="old"))
                nest.body.append(f"{target.name} = {node.text.format(*texts, old='old')}")
            if node.kind == "update" or (
                node.kind in ("elementwise", "gather") and node.out in self.memory
            ):
                nest.stores.append(target)
        nest.body = [*loads, *nest.body]
        nest.write(self.lines)

    def _target(self, node: Node, names: dict[Any, str], nest: Nest) -> Access:
        """Return the element that a node computes."""
        name = names.setdefault(node.out, f"v{len(names)}")
        if node.kind == "update":
            return Access(name, self.memory[node.out], *self._picked(node, nest))
        return Access(name, self.memory.get(node.out, ""), self.layout.where(node.out))

    def _picked(self, node: Node, nest: Nest) -> tuple[Where, str]:
        """Load index arrays; return where the selected elements are and what they are beyond."""
        base = node.out if node.kind == "update" else node.args[0]
        _, place, arrays = self.layout.picked(base, node.at)
        terms = []
        for k, (index, where, size, stride) in enumerate(arrays):
            nest.body += [Access(f"a{k}", self.place(index), where), f"a{k} = i8(a{k})"]
            terms.append(f"select(a{k} < 0, a{k} + {size}, a{k}) * {stride}")
        return place, " + ".join(terms)

    def _read(self, value: Value, node: Node, names: dict[Any, str], loads: Any) -> str:
        """Return the name of an element in loops; load it where that was not done."""
        root = self.layout.root(value)
        if value.shape is None and value.is_input:
            return self.memory[value]
        if root in names and node.kind != "update":
            return names[root]
        key = root, self.layout.where(value, node.shape)
        if key not in names:
            names[key] = f"v{len(names)}"
            loads.append(Access(names[key], self.place(root), key[1]))
        return names[key]

    def _total(self, node: Node, values: str) -> Total:
        memory, dropped = self.memory[node.out], len(node.shape) > len(node.out.shape or ())
        where = self.layout.where(node.out, node.shape, sorted(node.axes) if dropped else [])
        return Total(Access(f"s_{memory}", memory, where), node, values)

    # Products of matrices

    def _product(self, node: Node) -> None:
        """Write a product of matrices, for each of a stack."""
        (x, y), out, depth = node.args, node.out, self.lines.depth
        m, n = (x.shape[-2:-1] or (1,))[0], y.shape[-1] if len(y.shape) > 1 else 1
        stack = out.shape[: len(out.shape) - (len(x.shape) > 1) - (len(y.shape) > 1)]
        for s, count in enumerate(stack):
            self.lines(f"for s{s} in range({count}):")
            self.lines.depth += 1
        left = self._factor(x, out, len(stack), rows=len(x.shape) > 1)
        right = self._factor(y, out, len(stack), columns=len(y.shape) > 1)
        result = self._factor(out, out, len(stack), len(x.shape) > 1, len(y.shape) > 1)
        product = Product(left, right, result, (m, n, x.shape[-1]), literal(0, out.dtype))
        gemm = None if node.small or 0 in x.shape else self.gemms.get(code(out.dtype))
        if gemm is None or not product.write_gemm(self.lines, gemm):
            product.write_loops(self.lines)
        self.lines.depth = depth

    def _factor(
        self, value: Value, out: Value, stacked: int, rows: bool = True, columns: bool = True
    ) -> Factor:
        start, strides = self.layout.where(value)
        axes = list(strides)
        across = axes.pop() if columns else 0
        down = axes.pop() if rows else 0
        outer = (*[0] * (stacked - len(axes)), *axes)
        form = cast("{0}", value.dtype, out.dtype)
        return Factor(self.place(value), start, down, across, outer, form)


@dataclass(frozen=True)
class Factor:
    """A matrix, or a stack of them: its start, and the distances of rows, columns, matrices."""

    memory: str
    start: int
    rows: int
    columns: int
    stack: tuple[int, ...]
    form: str
    """How an element is cast."""

    def place(self, row: str, column: str) -> str:
        """Return the place of an element, of the matrix s0, s1 ... of a stack."""
        steps = [(row, self.rows), (column, self.columns)]
        steps += [(f"s{k}", stride) for k, stride in enumerate(self.stack)]
        start = self.start + sum(int(n) * stride for n, stride in steps if n.isdigit())
        terms = [n if s == 1 else f"{n} * {s}" for n, s in steps if s and not n.isdigit()]
        return " + ".join([*terms, *[str(start)] * (start > 0 or not terms)])

    def element(self, row: str, column: str) -> str:
        """Return how to write an element."""
        return self.form.format(f"{self.memory}[{self.place(row, column)}]")

    @property
    def transposed(self) -> Factor:
        """The transposed matrix."""
        return replace(self, rows=self.columns, columns=self.rows)

    def blas(self, rows: int, columns: int) -> tuple[int, int]:
        """Return whether BLAS reads it as it is (111), transposed (112) or not, and its step."""
        if (self.columns == 1 or columns == 1) and (rows == 1 or self.rows >= columns):
            return 111, max(self.rows, columns)
        if (self.rows == 1 or rows == 1) and (columns == 1 or self.columns >= rows):
            return 112, max(self.columns, rows)
        return 0, 0


@dataclass(frozen=True)
class Product:
    """out = left (m, k) times right (k, n)."""

    left: Factor
    right: Factor
    out: Factor
    sizes: tuple[int, int, int]
    zero: str

    @property
    def transposed(self) -> Product:
        """The same product, transposed."""
        m, n, k = self.sizes
        right, left = self.left.transposed, self.right.transposed
        return Product(left, right, self.out.transposed, (n, m, k), self.zero)

    def write_gemm(self, lines: Any, gemm: str) -> bool:
        """Write a call of BLAS; return False if it cannot read the matrices."""
        p = self.transposed if self.sizes[1] > 1 and self.out.columns != 1 else self
        m, n, k = p.sizes
        (left, a), (right, b) = p.left.blas(m, k), p.right.blas(k, n)
        out, c = p.out.blas(m, n)
        if out != 111 or 0 in (left, right):
            return False
        x, y, z = (f"address({f.memory}, {f.place('0', '0')})" for f in (p.left, p.right, p.out))
        one = p.zero.replace("0.0", "1.0")
        shape = f"101, {left}, {right}, {m}, {n}, {k}"
        lines(f"{gemm}({shape}, {one}, {x}, {a}, {y}, {b}, {p.zero}, {z}, {c})")
        return True

    def write_loops(self, lines: Any) -> None:
        """Write loops."""
        m, n, k = self.sizes
        down = m if self.left.rows == self.out.rows == 1 else 0
        across = n if self.right.columns == self.out.columns == 1 else 0
        along = k if self.left.columns == self.right.rows == 1 else 0
        if k and (max(down, across) >= min(4, max(along, 1)) or not along):
            by_rows = down >= across and (down or m >= n)
            (self if by_rows else self.transposed)._write_columns(lines)
            return
        lines(f"for i in range({m}):")
        lines(f"for j in range({n}):", 1)
        lines(f"total = {self.zero}", 2)
        lines(f"for k in range({k}):", 2)
        left, right = self.left.element("i", "k"), self.right.element("k", "j")
        lines(f"total = madd(total, {left}, {right})", 3)
        lines(f"{self.out.memory}[{self.out.place('i', 'j')}] = total", 2)

    def _write_columns(self, lines: Any) -> None:
        """Write a loop over the columns of the result."""
        n, k = self.sizes[1:]
        lines(f"for j in range({n}):")
        lines.depth += 1
        head = k if k <= TERMS else k % TERMS or TERMS
        self._write_terms(lines, [str(t) for t in range(head)])
        if k > head:
            lines(f"for k in range({head}, {k}, {TERMS}):")
            lines.depth += 1
            self._write_terms(lines, [f"(k + {t})" for t in range(TERMS)])
            lines.depth -= 1
        lines.depth -= 1

    def _write_terms(self, lines: Any, terms: list[str]) -> None:
        """Write how some terms are added to a column of the result; the first ones begin it."""
        for t, term in enumerate(terms):
            lines(f"c{t} = {self.right.element(term, 'j')}")
        place = f"{self.out.memory}[{self.out.place('i', 'j')}]"
        lines(f"for i in range({self.sizes[0]}):")
        lines(f"total = {self.zero if terms[0] == '0' else place}", 1)
        for t, term in enumerate(terms):
            lines(f"total = madd(total, c{t}, {self.left.element('i', term)})", 1)
        lines(f"{place} = total", 1)
