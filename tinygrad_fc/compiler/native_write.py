"""A program as the source of a function for Numba: memories, then group after group."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler import native_index, native_loops, native_product
from tinygrad_fc.compiler.native_each import DIVISIONS, NUMBERS, cast, code
from tinygrad_fc.compiler.native_fuse import FUSED, Group, Schedule
from tinygrad_fc.compiler.native_loops import Access, Lines, Nest, Statement
from tinygrad_fc.compiler.native_places import Given, Loop, Native, Places
from tinygrad_fc.compiler.native_read import planned
from tinygrad_fc.compiler.native_sums import Total, first_of, reduced_where
from tinygrad_fc.compiler.native_views import Where, strides_of
from tinygrad_fc.compiler.program import Change

if TYPE_CHECKING:
    from tinygrad_fc.compiler.native_plan import Node, Plan
    from tinygrad_fc.compiler.program import Instruction, Program


class Writer:
    """Writes one function."""

    def __init__(self, program: Program, bits: int | None, loop: Loop | None = None) -> None:
        self.loop, self.bits, self.program = loop, bits, program
        if loop is not None:
            values = program.values
            kept = [Change(t, n) for t, n in loop.carried.items() if values[t].shape is not None]
            program = replace(program, writes=[*program.writes, *kept])
        self.plan: Plan = planned(program)
        self.schedule = Schedule(self.plan)
        self.places = Places(self.program, self.plan, self.schedule, loop)
        self.homes, self.memory = self.places.homes, self.places.memory
        self.draws: list[Instruction] = []
        self.blas: dict[str, str] = {}

    # The function

    def written(self) -> Native:
        """Return the function."""
        body = Lines(2 if self.loop else 1)
        self._begin(body)
        for group in self.schedule.groups:
            self._group(group, body)
        self._end(body)
        self.places.givens += [Given(name, "blas", "i8", None) for name in self.blas.values()]
        if self.places.work:
            self.places.givens.append(Given("work", "work", "u1", 1))
        text = self._text(body)
        outputs = [(self.plan.values[n].shape, self.plan.dtype(n)) for n in self.program.outputs()]
        constants = {n: self.plan.constants[n] for n in self.homes if n in self.plan.constants}
        return Native(text, self.places.givens, constants, self.draws, self.places.work, outputs)

    def _text(self, body: Lines) -> str:
        name = re.sub(r"\W", "_", self.program.name, flags=re.ASCII)[:40]
        head = ["first", "last", "order"] if self.loop else []
        names = ", ".join([*head, *(given.name for given in self.places.givens)])
        # The prefix keeps it apart from what it calls.
        lines = [f"def native_{name}({names}):"]
        lines += [f"    {head}" for head in self.places.heads]
        if self.loop:
            lines.append("    for step in range(first, last):")
        failed = r"(return [A-Z]+)$"
        lines += [re.sub(failed, r"\1 + 8 * step", b) if self.loop else b for b in body.lines]
        lines.append("    return 0")
        return "\n".join(line.replace("SCOPES", str(self.places.scopes)) for line in lines) + "\n"

    def _begin(self, lines: Lines) -> None:
        loop = self.loop
        if loop is None:
            return
        for n in loop.carried:
            if not self.plan.is_array(n):
                lines(f"n{n} = c{n}[0]")
        outputs = self.program.outputs()
        for position in range(self.places.results, len(outputs)):
            size = math.prod(self.plan.values[outputs[position]].shape or ())
            lines(f"p{position} = shifted(o{position}, step * {size})")
        for n in self.program.inputs:
            if n in loop.rows:
                self._rows(n, lines)

    def _rows(self, n: int, lines: Lines) -> None:
        """Write how the rows of a batch are fetched from all the data."""
        shape = self.plan.shape(n)
        size = math.prod(shape[1:])
        self.places.heads.insert(0, f"size{n} = r{n}.shape[0]")
        lines(f"for i in range({shape[0]}):")
        lines(f"row = from_end(order[step, i], size{n})", 1)
        lines("if row < 0:", 1)
        lines("return OUTSIDE", 2)
        lines.depth += 1
        nest = Nest(shape[1:])
        inner = strides_of(shape[1:])
        source = Where(0, tuple(0 if m == 1 else s for m, s in zip(shape[1:], inner, strict=True)))
        where = self.plan.where(n)
        into = Where(0, where.strides[1:])
        nest.loads.append(Access("v", f"r{n}", source, f"row * {size}"))
        nest.stores.append(Access("v", self.homes[n], into, f"i * {where.strides[0]}"))
        native_loops.write(nest, lines)
        lines.depth -= 1

    def _end(self, lines: Lines) -> None:
        for value, target in self.schedule.late:
            where = self.plan.where(target)
            native_index.copy_into(self.plan, value, self.homes[target], where, lines, self.memory)
        outputs = self.program.outputs()
        for position, n in enumerate(outputs):
            if not self.plan.is_array(n):
                stacked = self.loop is not None and position >= self.places.results
                lines(f"{'p' if stacked else 'o'}{position}[0] = {self._plain(n)}")
        for n, value in self.loop.carried.items() if self.loop else ():
            if not self.plan.is_array(n):
                kind = code(self.plan.dtype(n))
                lines(f"c{n}[0] = {kind}({self._plain(value)})")

    def _plain(self, number: int) -> str:
        """Return how to write a plain number."""
        return self.plan.literals.get(number, f"n{number}")

    # Groups

    def _group(self, group: Group, lines: Lines) -> None:
        node = group.nodes[0]
        if node.kind in FUSED:
            for out, target in group.homes.items():
                self.homes[out] = self.homes[target]
            native_loops.write(self._nest(group), lines)
        elif node.kind == "product":
            product = native_product.product_of(self.plan, node, self.memory)
            native_product.write(product, lines, self._blas(node))
        elif node.kind == "draw":
            self._draw(node, lines)
        elif node.kind in ("number", "item", "expect"):
            getattr(self, f"_{node.kind}")(node, lines)
        else:
            getattr(native_index, f"write_{node.kind}")(self.plan, node, lines, self.memory)

    def _blas(self, node: Node) -> tuple[str, int] | None:
        kind = code(self.plan.dtype(node.out))
        same = all(self.plan.dtype(n) == self.plan.dtype(node.out) for n in node.args)
        if node.settings["small"] or self.bits is None or not same:
            return None
        return self.blas.setdefault(kind, f"gemm_{kind}"), self.bits

    def _draw(self, node: Node, lines: Lines) -> None:
        step = node.step
        assert step is not None  # noqa: S101  every draw is a step's
        shape, dtype = self.plan.shape(node.out), self.plan.dtype(node.out)
        self.draws.append(step)
        name = f"d{node.out}"
        stacked = self.loop is not None
        self.places.argument(name, "draw", node.out, ((0,) * (len(shape) + stacked), dtype))
        self.homes[node.out] = name
        if stacked:
            self.homes[node.out] = f"e{node.out}"
            lines(f"e{node.out} = shifted({name}, (step - first) * {math.prod(shape)})")

    def _number(self, node: Node, lines: Lines) -> None:
        step = node.step
        assert step is not None  # noqa: S101  as above
        names = [self._plain(n) for n in node.args]
        if step.function in DIVISIONS:
            lines(f"if {names[1]} == 0:")
            lines("return DIVISION", 1)
        to = self.plan.dtype(node.out)
        if to.kind == "f" and all(self.plan.dtype(n).kind != "f" for n in node.args):
            names = [f"f8({name})" for name in names]
        lines(f"n{node.out} = {code(to)}({NUMBERS[step.function].format(*names)})")

    def _element(self, number: int) -> str:
        """Return how to read the only element of an array, or a plain number."""
        if number in self.plan.literals or not self.plan.is_array(number):
            return self._plain(number)
        root = self.plan.root(number)
        return f"{self.memory(root)}[{self.plan.where(number).start}]"

    def _item(self, node: Node, lines: Lines) -> None:
        lines(f"n{node.out} = {code(self.plan.dtype(node.out))}({self._element(node.args[0])})")

    def _expect(self, node: Node, lines: Lines) -> None:
        step = node.step
        assert step is not None  # noqa: S101  as above
        lines(f"if b1({self._element(node.args[0])}) != {step.settings['value']}:")
        lines("return UNFIT", 1)

    def _nest(self, group: Group) -> Nest:
        nest = Nest(group.nodes[0].shape)
        names: dict[Any, str] = {}
        kept = {n for n in self.homes if n in group.outs}
        for node in group.nodes:
            if node.step is not None and node.step.kind == "getitem" and node.kind == "each":
                self._picked(nest, node)
            else:
                read = [self._read(nest, names, group, n, node.shape) for n in node.args]
                if node.kind == "reduce":
                    nest.totals.append(self._total(node, read))
                    continue
                needs = tuple(name for name in read if name.isidentifier())
                nest.statements.append(Statement(f"v{node.out}", node.spelled(read), needs))
            if node.out in kept:
                own = strides_of(node.shape) if node.out in self.plan.uneven else None
                where = self.plan.where(node.out) if own is None else _without_ones(node.shape, own)
                nest.stores.append(Access(f"v{node.out}", self.homes[node.out], where))
        return nest

    def _read(
        self, nest: Nest, names: dict[Any, str], group: Group, number: int, shape: tuple[int, ...]
    ) -> str:
        """Return the name of an element of a value in a nest; load it where that was not done."""
        if number in self.plan.literals:
            return self.plan.literals[number]
        if not self.plan.is_array(number):
            return f"n{number}"
        root = self.plan.root(number)
        if root in group.outs:
            return f"v{root}"
        where = self.plan.where(number, shape)
        key = (root, where)
        if key not in names:
            again = sum(known[0] == root for known in names)
            names[key] = f"v{root}_{again}" if again else f"v{root}"
            nest.loads.append(Access(names[key], self.memory(root), where))
        return names[key]

    def _total(self, node: Node, names: list[str]) -> Total:
        dtype, settings = self.plan.dtype(node.out), node.settings
        sources = map(self.plan.dtype, node.args)
        function = settings["function"]
        return Total(
            self.homes[node.out],
            reduced_where(self.plan, node),
            settings["gone"],
            function,
            dtype,
            first_of(function, dtype, settings["initial"]),
            tuple(cast(name, s, dtype) for name, s in zip(names, sources, strict=True)),
            math.prod(self.plan.shape(node.out)),
        )

    def _picked(self, nest: Nest, node: Node) -> None:
        base = node.args[0]
        found = native_index.picked(self.plan, node, base)
        name = f"v{node.out}"
        loads, texts, dynamic = native_index.fetched(self.plan, found.picks, self.memory, name)
        nest.loads += loads
        for load, text in zip(loads, texts, strict=True):
            nest.statements.append(Statement(f"{load.name}a", text, (load.name,), checked=True))
        needs = tuple(f"{load.name}a" for load in loads)
        memory = self.memory(self.plan.root(base))
        nest.statements.append(Access(name, memory, found.where, dynamic, needs))


def _without_ones(shape: tuple[int, ...], strides: tuple[int, ...]) -> Where:
    return Where(0, tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True)))
