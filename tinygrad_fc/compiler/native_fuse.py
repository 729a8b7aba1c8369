"""Which nodes share a loop, in which order all is done, and where every value is kept.

A nest is a set of nodes over one shape that lead to each other or read the same: they become one
loop, in which values pass from one to the next without memory. What changes an input comes last,
and is written over the old value where nobody reads that any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinygrad_fc.compiler.native_plan import Node, Plan
from tinygrad_fc.compiler.program import Change

if TYPE_CHECKING:
    from collections.abc import Iterable

SCALARS = frozenset(("number", "item", "expect", "draw"))
FUSED = frozenset(("each", "reduce"))


@dataclass
class Group:
    """Nodes that are done in one loop, or one node of another kind."""

    nodes: list[Node]
    homes: dict[int, int] = field(default_factory=dict)
    """Values that are written over an input, each with the input's number."""

    @property
    def outs(self) -> set[int]:
        """The values that are made here."""
        return {node.out for node in self.nodes}


class Schedule:
    """The groups of a plan in the order in which they are done."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.groups: list[Group] = []
        self.outputs: dict[int, int] = {}
        """Values that are kept in an output's memory, each with the output's position."""
        self.late: list[tuple[int, int]] = []
        """Values that are copied into an input at the very end: the value, and the input."""
        self.changing: dict[int, int] = {}
        self._claim()
        made = {node.out for node in plan.nodes}
        known = {*plan.program.inputs, *plan.program.constants, *plan.literals, *plan.constants}
        self.done = {n for n in known if n not in made}
        self.last = self._last()
        self._order()
        Sinking(self).all()

    # Who is kept where

    def _claim(self) -> None:
        plan = self.plan
        # What is drawn has memory of its own: NumPy has made it.
        made = {node.out for node in plan.nodes if node.kind != "draw"}
        for position, number in enumerate(plan.program.outputs()):
            if plan.is_array(number):
                own = number in made and number not in self.outputs
                self.outputs[number if own else self._copy(number, number)] = position
        last = {w.target: w.number for w in plan.program.writes if isinstance(w, Change)}
        for target, number in last.items():
            if plan.root(number) == target and plan.is_whole(number, plan.shape(target)):
                continue
            own = (
                number in made
                and number not in self.outputs
                and number not in self.changing
                and number not in plan.uneven
                and plan.values[number] == plan.values[target]
            )
            self.changing[number if own else self._copy(number, target)] = target

    def _copy(self, number: int, like: int) -> int:
        """Return a new value: `number` in the shape and dtype of `like`."""
        plan = self.plan
        shape, dtype, source = plan.shape(like), plan.dtype(like), plan.dtype(number)
        new = plan.add(shape, dtype)
        cast = f"{dtype.str[1:]}({{}})" if dtype != source else "{}"
        node = Node("each", new, (number,), shape, spelled=lambda names: cast.format(*names))
        plan.nodes.append(node)
        return new

    def _last(self) -> set[int]:
        """Return the values that change inputs, and those that nothing but these reads."""
        readers: dict[int, set[int]] = {}
        for node in self.plan.nodes:
            for n in node.args:
                readers.setdefault(self.plan.root(n), set()).add(node.out)
        last = set(self.changing) - set(self.outputs)
        for node in reversed(self.plan.nodes):
            seen = readers.get(node.out, set())
            if node.step is not None and node.step.kind == "getitem":
                continue  # an index that is outside has to be found before anything is changed
            if node.kind == "each" and node.out not in self.outputs and seen and seen <= last:
                last.add(node.out)
        return last

    # The order

    def _order(self) -> None:
        left = list(self.plan.nodes)
        while left:
            now = [node for node in left if node.kind in SCALARS and self._ready(node)]
            groups = [Group([node]) for node in now] if now else [self._next(left)]
            for group in groups:
                self.groups.append(group)
                self.done |= group.outs
            gone = {id(node) for group in groups for node in group.nodes}
            left = [node for node in left if id(node) not in gone]
            for group in groups:
                self._settle(group, left)

    def _next(self, left: list[Node]) -> Group:
        ready = [node for node in left if self._ready(node)]
        seed = min(ready, key=lambda node: node.out in self.last)
        group = Group([seed])
        if seed.kind in FUSED:
            self._grow(group, left, last=seed.out in self.last)
        return group

    def _grow(self, group: Group, left: list[Node], *, last: bool) -> None:
        shape = group.nodes[0].shape
        growing = True
        while growing:
            growing = False
            for node in left:
                if (
                    node.kind in FUSED
                    and node.shape == shape
                    and not any(node is other for other in group.nodes)
                    and (last or node.out not in self.last)
                    and self._connected(node, group)
                    and self._ready(node, group)
                ):
                    group.nodes.append(node)
                    growing = True

    def _ready(self, node: Node, group: Group | None = None) -> bool:
        """Tell whether all that `node` reads is there, or passes it by in the loop of `group`."""
        for k, number in enumerate(node.args):
            root = self.plan.root(number)
            if root in self.done or number in self.plan.literals:
                continue
            if group is None or root not in group.outs or not self._passes(node, k, group):
                return False
        return True

    def _passes(self, node: Node, k: int, group: Group) -> bool:
        root = self.plan.root(node.args[k])
        maker = next(other for other in group.nodes if other.out == root)
        picked = node.step is not None and node.step.kind == "getitem"
        return maker.kind == "each" and not picked and self.plan.is_whole(node.args[k], node.shape)

    def _connected(self, node: Node, group: Group) -> bool:
        near = group.outs
        for other in group.nodes:
            near |= self._large(other.args)
        return bool(near & self._large(node.args))

    def _large(self, numbers: Iterable[int]) -> set[int]:
        plan = self.plan
        return {
            plan.root(n) for n in numbers if n not in plan.literals and plan.is_array(plan.root(n))
        }

    # Writing over inputs

    def _settle(self, group: Group, left: list[Node]) -> None:
        waiting = {self.plan.root(n) for node in left for n in node.args}
        expecting = any(node.kind == "expect" for node in left)
        for node in group.nodes:
            target = self.changing.get(node.out)
            if target is None:
                continue
            over = self._over(group, target, whole=node.kind == "each")
            if not expecting and target not in waiting and over:
                group.homes[node.out] = target
            else:
                self.late.append((node.out, target))

    def _over(self, group: Group, target: int, *, whole: bool) -> bool:
        """Tell whether a loop may write over what it reads of `target`.

        It may, element by element, if it stores a `whole` array so, and reads in the same order.
        """
        for node in group.nodes:
            if node.kind not in FUSED:
                return False
            for n in node.args:
                if self.plan.root(n) == target and (
                    not whole
                    or not self.plan.is_whole(n, node.shape)
                    or (node.step is not None and node.step.kind == "getitem")
                ):
                    return False
        return True

    # Who needs memory

    def kept(self) -> dict[int, tuple[int, int]]:
        """Return the values that need memory of their own: the first and last group with it."""
        plan = self.plan
        made: dict[int, int] = {}
        last: dict[int, int] = {}
        over = {n for group in self.groups for n in group.homes}
        needed: set[int] = set()
        for k, group in enumerate(self.groups):
            for node in group.nodes:
                for n in node.args:
                    root = plan.root(n)
                    last[root] = k
                    if root not in group.outs:
                        needed.add(root)
                if node.kind not in SCALARS:
                    made[node.out] = k
                    if node.kind != "each":
                        needed.add(node.out)
        for n, _ in self.late:
            needed.add(n)
            last[n] = len(self.groups)
        return {
            n: (k, last.get(n, k))
            for n, k in made.items()
            if n in needed and n not in over and n not in self.outputs
        }


class Sinking:
    """Moves what one later loop alone reads into that loop, where it needs no memory."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.plan = schedule, schedule.plan
        self.at = {n.out: k for k, group in enumerate(schedule.groups) for n in group.nodes}
        self.readers: dict[int, list[Node]] = {}
        for group in schedule.groups:
            for node in group.nodes:
                for n in node.args:
                    self.readers.setdefault(self.plan.root(n), []).append(node)
        self.written = set(schedule.changing.values())
        self.busy = {*schedule.outputs, *schedule.changing, *(n for n, _ in schedule.late)}

    def all(self) -> None:
        """Move all that can be moved, from the last loop to the first."""
        for k, group in reversed(list(enumerate(self.schedule.groups))):
            for node in reversed(group.nodes):
                to = self._goal(node)
                if to is not None and to > k and self._moves(node, k, to):
                    self._move(node, k, to)
        self.schedule.groups = [group for group in self.schedule.groups if group.nodes]

    def _goal(self, node: Node) -> int | None:
        """Return the only group that reads what `node` makes, if it could be made there."""
        readers = self.readers.get(node.out, [])
        goals = {self.at[reader.out] for reader in readers}
        if len(goals) != 1 or node.kind != "each" or node.out in self.busy:
            return None
        group = self.schedule.groups[next(iter(goals))]
        fits = all(
            reader.kind in FUSED
            and reader.shape == node.shape
            and self.schedule._passes(reader, k, Group([node]))
            for reader in readers
            for k, n in enumerate(reader.args)
            if self.plan.root(n) == node.out
        )
        return self.at[group.nodes[0].out] if fits else None

    def _moves(self, node: Node, k: int, to: int) -> bool:
        """Tell whether what `node` reads is in memory anyhow, or can be moved with it."""
        own = self.schedule.groups[k]
        if node.step is not None and node.step.kind == "getitem":
            return False
        for n in node.args:
            root = self.plan.root(n)
            if root in self.written:
                return False
            if root not in own.outs:
                continue
            others = [r for r in self.readers[root] if r is not node]
            stays = root in self.busy or any(self.at[r.out] not in (k, to) for r in others)
            maker = next(m for m in own.nodes if m.out == root)
            if stays or maker.kind == "reduce":
                continue
            if any(self.at[r.out] == k for r in others) or not self._moves(maker, k, to):
                return False
        return True

    def _move(self, node: Node, k: int, to: int) -> None:
        groups = self.schedule.groups
        groups[k].nodes = [other for other in groups[k].nodes if other is not node]
        groups[to].nodes.insert(0, node)
        self.at[node.out] = to
