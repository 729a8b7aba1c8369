"""How a call of a `Function` is recorded.

A call is one node, whose last operand is a `Call`: what the context keeps, which is freed with the
graph. Arguments and results are kept as places, since a result would hold the node that holds it,
and since a backward pass that is recorded needs the tensors of the graph. Of several results the
node stands for all, end to end, and each result is a part of it that is not copied: the backward
pass meets no op of more than one result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.autograd import pytree
from tinygrad_fc.autograd.context import FunctionCtx
from tinygrad_fc.graph import Node, record, wrap
from tinygrad_fc.op import Op, _readonly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.autograd.rules import FunctionOp

NONE: dict[str, Any] = {}


def op(name: str, forward: Callable[..., Any], rules: Any) -> Op:
    """Return an op that is not registered, since no function of NumPy leads to it."""
    return Op(forward, forward=forward, domain=(), rules=rules, settings={}, name=name)


def _same_rule(g: Any, _out: Any, _x: Any) -> Any:
    return g


_same = op("argument", _readonly, (_same_rule,))


def lent(t: Any) -> Any:
    """Return `t` for `forward`: its memory cannot be changed through it.

    It is recorded, so that wherever `forward` keeps it, it is part of the graph.
    """
    return record(_same, (t,), NONE)


def _shown(value: Any, *, requires_grad: bool = False) -> Any:
    """Return `value` for `backward`: of the graph if it is, else with memory that cannot change."""
    if isinstance(value, Node):
        if value._requires_grad:
            return value
        value = value._array
    made = wrap(_readonly(value))
    made._requires_grad = requires_grad  # which code that differentiates inside asks for
    return made


@dataclass(frozen=True, slots=True)
class _Place:
    """Stands for an argument or a result."""

    result: bool
    k: int


class _Result(NamedTuple):
    """A result, and which part it is of all that are differentiable; or something else."""

    array: Any
    part: slice | None
    other: Any = None


class Call:
    """What is left of one call: what its context keeps, and its results."""

    __array_function__ = None  # an operand that the recorder leaves as it is
    __slots__ = ("ctx", "materialize", "needs", "parts", "results", "saved", "size")

    def __init__(
        self, ctx: FunctionCtx, args: Sequence[Any], inputs: Sequence[Any], results: Sequence[Any]
    ) -> None:
        arrays = {id(t): a._array for a, t in zip(args, inputs, strict=True) if isinstance(a, Node)}
        plain = {id(t) for t in ctx._plain}
        self.results: list[_Result] = []
        self.size = 0
        for t in results:
            if not isinstance(t, Node):
                self.results.append(_Result(None, None, t))
                continue
            array, part = arrays.get(id(t), t._array), None
            if array.dtype.kind == "f" and id(t) not in plain:
                part = slice(self.size, self.size + array.size)
                self.size += array.size
            self.results.append(_Result(array, part))
        self.parts = [r for r in self.results if r.part is not None]
        self.needs, self.materialize = ctx.needs_input_grad, ctx._materialize
        self._keep(ctx, args, inputs, results)

    def _keep(self, ctx: FunctionCtx, args: Any, inputs: Any, results: Any) -> None:
        places: dict[int, Any] = {}
        for result, tensors in ((True, results), (False, args), (False, inputs)):
            for k, t in enumerate(tensors):
                if isinstance(t, Node):
                    places[id(t)] = _Place(result, k)

        def placed(t: Any) -> Any:
            return places.get(id(t), t)

        self.saved = tuple(map(placed, ctx._saved))
        self.ctx = {}
        for name, value in vars(ctx).items():
            inside = any(id(t) in places for t in pytree.flatten(value)[0])
            self.ctx[name] = pytree.mapped(placed, value) if inside else value

    def whole(self) -> Any:
        """Return the array of the node: that of the one result, or one that only has a size.

        Of several results the elements come first, then a mark for each that a gradient came from.
        """
        if len(self.parts) == 1:
            return self.parts[0].array
        dtype = np.result_type(*(r.array.dtype for r in self.parts))
        return np.broadcast_to(np.zeros((), dtype), (self.size + len(self.results),))

    def recorded(self, op: FunctionOp, args: Sequence[Any]) -> list[Any]:
        """Return the results as tensors: recorded if something requires grad."""
        operands = [a if isinstance(a, Node) else None for a in args]
        node = record(op, (*operands, self), NONE) if self.parts else None
        made = []
        for k, r in enumerate(self.results):
            if r.array is None:
                made.append(r.other)
            elif r.part is None:
                made.append(wrap(r.array))
                made[-1]._op = op
            else:
                made.append(self.result(op, node, k))
        return made

    def result(self, op: FunctionOp, node: Any, k: int) -> Any:
        """Return result `k` as a tensor, given the node that stands for all of them."""
        if len(self.parts) == 1:
            return node
        r = self.results[k]
        mark = None if self.materialize else self.size + k
        return record(op.pick, (node, r.array), {"part": r.part, "mark": mark})

    def cotangents(self, g: Any) -> Iterator[Any]:
        """Yield the gradient of each result, given the one of the node."""
        single = len(self.parts) == 1
        marks = (g._array if isinstance(g, Node) else g)[self.size :] if not single else ()
        for k, r in enumerate(self.results):
            if r.part is not None and (single or self.materialize or marks[k]):
                mine = g if single else g[r.part].reshape(r.array.shape)
                yield _shown(mine if mine.dtype == r.array.dtype else mine.astype(r.array.dtype))
            elif r.array is not None and self.materialize:
                yield _shown(np.zeros(r.array.shape, r.array.dtype))
            else:
                yield None

    def opened(self, op: FunctionOp, out: Any, values: Sequence[Any]) -> FunctionCtx:
        """Return the context for one run of `backward`; of the graph, where the run is recorded."""
        ctx = FunctionCtx(self.needs)

        def found(t: Any) -> Any:
            if not isinstance(t, _Place):
                return t
            if not t.result:
                return _shown(values[t.k], requires_grad=self.needs[t.k])
            r = self.results[t.k]
            if r.part is not None and isinstance(out, Node):
                return self.result(op, out, t.k)
            return _shown(r.array, requires_grad=r.part is not None)

        for name, value in self.ctx.items():
            inside = any(isinstance(t, _Place) for t in pytree.flatten(value)[0])
            setattr(ctx, name, pytree.mapped(found, value) if inside else value)
        ctx._saved = tuple(_shown(t) if isinstance(t, Node) else found(t) for t in self.saved)
        return ctx

    def kept(self, arrays: Sequence[Any]) -> Iterator[tuple[str, Any]]:
        """Yield the arrays that `backward` may read, by name."""
        named = [(f"saved tensor {j}", t) for j, t in enumerate(self.saved)]
        for name, value in self.ctx.items():
            named += [(f"ctx.{name}", t) for t in pytree.flatten(value)[0] if isinstance(t, _Place)]
        for name, t in named:
            if isinstance(t, _Place):
                yield name, self.results[t.k].array if t.result else arrays[t.k]
            elif t is not None:
                yield name, t._array
