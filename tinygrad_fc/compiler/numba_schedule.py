"""Where values lie in memory, which nodes share loops, and what is written over inputs."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.ir import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.compiler.numba_plan import Plan

SMALL = 1 << 15
"""Multiplications up to which a product is done by loops, which then beat a call of BLAS."""


class Where(NamedTuple):
    """Where elements lie: the first, and the distance from one to the next along each axis."""

    start: int
    strides: tuple[int, ...]


class Pick(NamedTuple):
    """An index array, where it is read in the loops, and the size and stride of its axis."""

    array: Value
    where: Where
    size: int
    stride: int


class Picks(NamedTuple):
    """The elements that an index selects: their shape, and where they are."""

    shape: tuple[int, ...]
    where: Where
    arrays: list[Pick]


@dataclass(eq=False)
class Node:
    """What computes or updates the root `out` from the values `args`, in loops over `shape`.

    `kind` is "elementwise" (written as `text` with an element of each argument), "gather" (of
    elements of the first argument), "reduce" (by `function` over `axes`), "product" (of matrices),
    "update" (of elements of `out`, `{old}` in its text), "test" (returns the status `function`
    where `text` is true) or "draw" (of random numbers). The index `at` selects the elements that
    are gathered or updated.
    """

    kind: str
    out: Value
    args: list[Value]
    shape: tuple[int, ...] = ()
    text: str = "{0}"
    function: Any = None
    axes: frozenset[int] = frozenset()
    at: Any = None
    initial: Any = None

    @property
    def fused(self) -> bool:
        """Whether the node may share its loops with others."""
        return self.kind in ("elementwise", "gather", "reduce")

    @property
    def small(self) -> bool:
        """Whether a product of matrices is done by loops."""
        terms = self.args[0].shape[-1]
        return bool(math.prod(self.shape[-2:]) * terms <= SMALL or self.out.dtype.kind != "f")


def placeholder(shape: tuple[int, ...], dtype: Any) -> Value:
    """Return a new value that no instruction of the program computes."""
    return Value(placeholder, (), {}, np.broadcast_to(np.zeros((), dtype), shape))


class Layout:
    """The memory of values: which root they are in, and where."""

    def __init__(self) -> None:
        self.base: dict[Value, Value] = {}
        self.columns: set[Value] = set()
        """Roots that are column-major."""
        self._dummies: dict[Value, Any] = {}

    def root(self, value: Value) -> Value:
        """Return the value in whose memory a value is."""
        while value in self.base:
            value = self.base[value]
        return value

    def where(self, value: Value, over: Any = None, axes: Sequence[int] = ()) -> Where:
        """Return where the elements of a value are, with new axes, broadcast to a shape."""
        view = np.expand_dims(self._dummy(value), tuple(axes))
        view = np.broadcast_to(view, view.shape if over is None else over)
        return _where(self._dummy(self.root(value)), view)

    def is_whole(self, value: Value, shape: tuple[int, ...]) -> bool:
        """Tell whether a value is its root, element by element, in loops over `shape`."""
        root = self.root(value)
        same = (root.shape or ()) == shape and self.where(value, shape) == self.where(root)
        return bool(same)

    def add_view(self, value: Value, base: Value) -> bool:
        """Take a value as a view of its first argument, or a copy of it; return whether it is."""
        self.base[value] = base
        if self._dummy(value) is None:
            del self.base[value], self._dummies[value]
        return value in self.base

    def make_columns(self, root: Value) -> None:
        """Make a root column-major, if all its views remain views."""
        self.columns.add(root)
        self._dummies.clear()
        if any(self._dummy(v) is None for v in self.base if self.root(v) is root):
            self.columns.remove(root)
            self._dummies.clear()

    def picked(self, base: Value, at: Any) -> Picks:
        """Return the elements of `base` that an index selects."""
        parts = _expanded(at, len(base.shape))
        static = tuple(0 if isinstance(p, Value) else p for p in parts)
        start, inner = _where(self._dummy(self.root(base)), self._dummy(base)[(*static, ...)])
        rest = self._dummy(base)[(*static, ...)].shape
        wide = np.broadcast_shapes(*(p.shape for p in parts if isinstance(p, Value)))
        chosen = [k for k, p in enumerate(parts) if isinstance(p, Value | int | np.integer)]
        adjacent = bool(chosen) and chosen[-1] - chosen[0] < len(chosen)
        front = chosen[0] if adjacent else 0
        arrays = []
        for axis, part in enumerate(p for p in parts if p is not None):
            if isinstance(part, Value):
                first, along = self.where(part, wide)
                over = (*[0] * front, *along, *[0] * (len(inner) - front))
                stride = self.where(base).strides[axis]
                arrays.append(Pick(part, Where(first, over), base.shape[axis], stride))
        where = Where(start, (*inner[:front], *[0] * len(wide), *inner[front:]))
        return Picks((*rest[:front], *wide, *rest[front:]), where, arrays)

    def _dummy(self, value: Value) -> Any:
        """Return an array of bytes that lies in memory as a value does; it is never read."""
        if value not in self._dummies:
            order: Any = "F" if value in self.columns else "C"
            dummy: Any = np.empty(value.shape or (), np.int8, order=order)
            if value in self.base:
                base = self._dummy(self.base[value])
                dummy = None if base is None else _view(value, base)
            self._dummies[value] = dummy
        return self._dummies[value]


def _view(value: Value, base: Any) -> Any:
    """Return the view that an instruction makes of an array; None if it must be a copy."""
    if value.function is operator.getitem:
        at = value.args[1] if isinstance(value.args[1], tuple) else (value.args[1],)
        view = base[at if Ellipsis in at else (*at, ...)]
    else:
        view = value.function(base, *value.args[1:], **value.kwargs)
    return view if not view.size or np.may_share_memory(view, base) else None


def _where(root: Any, view: Any) -> Where:
    start = view.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    strides = tuple(0 if n == 1 else s for n, s in zip(view.shape, view.strides, strict=True))
    return Where(start if view.size else 0, strides)


def _expanded(at: tuple[Any, ...], ndim: int) -> list[Any]:
    """Return the parts of an index, one for each axis and new axis."""
    parts = list(at)
    missing = [slice(None)] * (ndim - sum(p is not None and p is not Ellipsis for p in parts))
    if not any(p is Ellipsis for p in parts):
        return parts + missing
    k = next(k for k, p in enumerate(parts) if p is Ellipsis)
    return parts[:k] + missing + parts[k + 1 :]


class Group:
    """Nodes that share loops over one shape, or one node of another kind."""

    def __init__(self, node: Node) -> None:
        self.nodes = [node]
        self.shape, self.fused = node.shape, node.fused


class Schedule:
    """The groups of a plan in order, and which value is in which memory."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.layout = plan, plan.layout
        self.outputs: dict[Value, int] = {}
        """The values that are computed in the memory of an output, and its number."""
        self.changes: list[tuple[Value, Value]] = []
        """Inputs that change, and values with memory of their own that take their places."""
        self.busy: set[Value] = set()
        """Values that are returned or take the places of inputs."""
        self.over: dict[Value, Value] = {}
        """The values that are written over an input in their loops, and that input."""
        self._claim()
        self._choose_columns()
        self.groups: list[Group] = []
        self.of: dict[Node, Group] = {}
        self.writer: dict[Value, Group] = {}
        self.readers: dict[Value, list[Node]] = {}
        for node in plan.nodes:
            self.add(node)
        for group in reversed(self.groups):
            for node in reversed(group.nodes.copy()):
                self._sink(node)
        self.groups = [group for group in self.groups if group.nodes]
        self._change()

    def _claim(self) -> None:
        """Choose which values are computed in the memory of outputs; copy the others there."""
        plan = self.plan
        computed = {n.out for n in plan.nodes if n.kind not in ("draw", "test")}
        for number, value in enumerate(plan.program.outputs):
            own = value in computed and value not in self.outputs
            self.outputs[value if own else plan.copy(value, value.dtype)] = number
        changed = {old for old, _ in plan.program.changes}
        taken: set[Value] = set()
        for old, value in plan.program.changes:
            own = value in computed and (value.shape, value.dtype) == (old.shape, old.dtype)
            own = own and value not in taken and self.layout.root(value) not in changed
            taken.add(value)
            self.changes.append((old, value if own else plan.copy(value, old.dtype)))
        self.busy = {*self.outputs, *(value for _, value in self.changes)}

    def _choose_columns(self) -> None:
        """Let small products read and write column-major matrices where these are tall."""
        small = [node for node in self.plan.nodes if node.kind == "product" and node.small]
        values = [self.layout.root(v) for node in small for v in (*node.args, node.out)]
        tall = [v for v in values if len(v.shape) == 2 and v.shape[0] > v.shape[1]]
        shapes, copies = {v.shape for v in tall}, dict[Value, Value]()
        for node in self.plan.nodes:
            free = node.kind in ("elementwise", "gather", "product") and node.out not in self.busy
            if free and node.out.shape in shapes:
                self.layout.make_columns(node.out)
        for value in dict.fromkeys(tall):
            if value.is_input and value not in self.layout.columns and value.shape[1] > 1:
                copies[value] = placeholder(value.shape, value.dtype)
                self.plan.nodes.insert(0, Node("elementwise", copies[value], [value], value.shape))
                self.layout.columns.add(copies[value])
        for node in small:
            node.args = [self._moved(v, copies) for v in node.args]

    def _moved(self, value: Value, copies: dict[Value, Value]) -> Value:
        """Return a value, or the same view of the copy of its root."""
        if self.layout.root(value) not in copies:
            return value
        if value in copies:
            return copies[value]
        view = placeholder(value.shape, value.dtype)
        view.function, view.args, view.kwargs = value.function, value.args, value.kwargs
        self.layout.base[view] = self._moved(self.layout.base[value], copies)
        return view

    def add(self, node: Node) -> None:
        """Put a node into the last group over its shape that it can join, or into a new one."""
        first = 0
        for value in node.args:
            root = self.layout.root(value)
            self.readers.setdefault(root, []).append(node)
            if root in self.writer:
                k = self.groups.index(self.writer[root])
                first = max(first, k if self._passes(value, node, self.writer[root]) else k + 1)
        fitting = [
            g for g in self.groups[first:] if g.fused and node.fused and g.shape == node.shape
        ]
        if fitting:
            fitting[-1].nodes.append(node)
        else:
            fitting = [Group(node)]
            self.groups += fitting
        self.of[node] = self.writer[node.out] = fitting[-1]

    def _passes(self, value: Value, node: Node, group: Group) -> bool:
        """Tell whether `node` can read a value of `group` in its loops, without memory."""
        producer = next((n for n in group.nodes if n.out is self.layout.root(value)), None)
        return (
            group.fused
            and node.fused
            and group.shape == node.shape
            and (producer is None or producer.kind in ("elementwise", "gather"))
            and not (node.kind == "gather" and node.args[0] is value)
            and self.layout.is_whole(value, node.shape)
        )

    def _sink(self, node: Node) -> None:
        """Move a node to the one later group that reads it, where it needs no memory."""
        group, readers = self.of[node], self.readers.get(node.out, [])
        goal = self.of[readers[0]] if readers else group
        inputs = {self.layout.root(v) for v in node.args}
        if (
            (node.kind != "elementwise" or goal is group or not goal.fused)
            or node.out in self.busy
            or any(old in inputs for old, _ in self.changes)
            or any(self.of[r] is not goal for r in readers)
        ):
            return
        reads = [(v, r) for r in readers for v in r.args if self.layout.root(v) is node.out]
        local = [v for v in inputs if self.writer.get(v) is group and self._is_local(v, node)]
        if len(local) <= 1 and all(
            self._passes(v, r, goal) and r.shape == node.shape for v, r in reads
        ):
            group.nodes.remove(node)
            goal.nodes.insert(0, node)
            self.of[node] = self.writer[node.out] = goal

    def _is_local(self, value: Value, node: Node) -> bool:
        """Tell whether a value has no memory, and would need it if `node` were moved."""
        others = [self.of[n] for n in self.readers[value] if n is not node]
        return bool(others) and all(g is self.of[node] for g in others)

    def _change(self) -> None:
        """Write new values over inputs: in their loops where that is safe, otherwise in the end."""
        for old, value in self.changes:
            group = self.writer[value]
            after = [n for g in self.groups[self.groups.index(group) :] for n in g.nodes]
            reads = [(v, n) for n in after for v in n.args if self.layout.root(v) is old]
            producer = next(n for n in group.nodes if n.out is value)
            tested = any(n.kind == "test" for n in after)
            if (
                producer.kind == "elementwise"
                and value not in self.outputs
                and not tested
                and all(self.of[n] is group and self._passes(v, n, group) for v, n in reads)
            ):
                self.over[value] = old
        for old, value in self.changes:
            if value not in self.over:
                self.plan.update(old, ..., value)
                self.add(self.plan.nodes[-1])

    def temporaries(self) -> list[Value]:
        """Return the values that need memory, those that have it elsewhere too."""
        own: dict[Value, None] = {}
        for group in self.groups:
            for node in group.nodes:
                local = node.kind in ("elementwise", "gather") and all(
                    self.of[r] is group for r in self.readers.get(node.out, [])
                )
                if not local or node.out in self.busy:
                    own.setdefault(node.out)
                if node.kind in ("draw", "test"):
                    own.pop(node.out)
        return list(own)
