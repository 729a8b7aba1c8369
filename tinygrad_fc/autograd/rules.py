"""How the `backward` of a `Function` runs, as the rules of an op, and the errors it raises."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd.calls import NONE, Call, op
from tinygrad_fc.errors import GraphError, ShapeError
from tinygrad_fc.graph import NOTHING, Node, owner, record, state, tick
from tinygrad_fc.op import Each, Op, numbered, positional
from tinygrad_fc.ops.index import scatter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinygrad_fc.autograd.function import Function


def _whole(*operands: Any) -> Any:
    return operands[-1].whole()


def _pick(node: Any, array: Any, *, part: slice, mark: int | None) -> Any:
    """Return a result as it is, not copied out of the node that stands for all."""
    del node, part, mark
    return array


def _pick_rule(g: Any, _out: Any, _node: Any, _array: Any, *, part: slice, mark: int | None) -> Any:
    gradient = scatter(g.reshape(-1), at=part, shape=_node.shape)
    if mark is None:
        return gradient
    reached = np.zeros(_node.shape, g.dtype)
    reached[mark] = 1
    return gradient + reached


class FunctionOp(Op):
    """The op of a `Function`: one run of its `backward` is the rules for all arguments."""

    __slots__ = ("cut", "kind", "pick", "separate")

    def __init__(self, kind: type[Function], *, separate: bool) -> None:
        self.kind = kind
        self.separate = separate
        name = kind.__name__
        whole = _whole
        super().__init__(whole, forward=whole, domain=(), rules=None, settings={}, name=name)
        self.pick = op(name, _pick, (_pick_rule, None))
        self.cut = op(
            f"the gradient of {name}", lambda gradient, *_: gradient, Each(partial(_cut, name))
        )

    @property
    def rules(self) -> Any:
        """The rules for one node, new for each node of a backward pass."""
        return _Shares(self)

    @rules.setter
    def rules(self, _: Any) -> None:
        """Ignore the rules that `Op` sets."""

    def argument(self, i: int) -> str:
        """Return how to speak of argument `i` of `apply`."""
        names = positional(self.kind.forward)[0][not self.separate :]
        return numbered(i, names[i] if i < len(names) else "")

    def reads(self, i: int, out: Any, arrays: Sequence[Any]) -> Iterable[tuple[str, Any]]:
        """Yield what was kept."""
        del i, out
        return arrays[-1].kept(arrays)  # type: ignore[no-any-return]

    def watch(self, out: Any, arrays: Sequence[Any]) -> None:
        """Raise where a result is not finite though all arguments are."""
        del out
        for r in arrays[-1].parts:
            super().watch(r.array, [a for a in arrays[:-1] if a is not None])


class _Shares:
    """The rules of one node: one run of `backward`, and a gradient of it for each argument."""

    __slots__ = ("given", "gradients", "op")

    def __init__(self, op: FunctionOp) -> None:
        self.op = op
        self.given: Any = None
        self.gradients: list[Any] = []

    def __getitem__(self, i: int) -> Any:
        return partial(self.gradient, i)

    def gradient(self, i: int, g: Any, out: Any, *values: Any) -> Any:
        """Return the gradient of argument `i`."""
        if self.given is not g:
            self.given, self.gradients = g, _run(self.op, g, out, values)
        return self.gradients[i]


# One run of `backward`


def in_place(error: Exception) -> bool:
    """Tell whether `error` is about a change of memory that was lent, or is recorded."""
    return any(words in str(error) for words in ("read-only", "would change"))


def _run(op: FunctionOp, g: Any, out: Any, values: Sequence[Any]) -> list[Any]:
    """Run the `backward` of a call; return a gradient for each argument, checked."""
    call: Call = values[-1]
    start = tick()
    ctx = call.opened(op, out, values)
    cotangents = list(call.cotangents(g))
    try:
        with nullcontext() if isinstance(g, Node) else grad_mode.no_grad():
            found = op.kind.backward(ctx, *cotangents)
    except (ValueError, GraphError) as error:
        if in_place(error):
            raise GraphError(_changes(op.name)) from error
        raise
    for t in cotangents:
        if t is not None and state.changes.get(id(owner(t._array)), 0) > start:
            raise GraphError(_changes(op.name))
    gradients = _counted(op, found, len(values) - 1)
    for i, gradient in enumerate(gradients):
        gradients[i] = _checked(op, i, gradient, values[i], needed=call.needs[i])
        if gradients[i] is not NOTHING:
            gradients[i] = (
                _tied(op, gradient, g, values) if isinstance(g, Node) else gradient._array
            )
    return gradients


def _changes(name: str) -> str:
    return (
        f"backward of {name} changes in place what it was handed (a gradient, or a saved tensor), "
        "and others need that: write `g = g * 2` for `g *= 2` or `g.mul_(2)`, or change a copy "
        "(g.clone())"
    )


def _counted(op: FunctionOp, found: Any, count: int) -> list[Any]:
    gradients = list(found) if isinstance(found, tuple | list) else [found]
    if len(gradients) < count or any(gradient is not None for gradient in gradients[count:]):
        raise GraphError(
            f"backward of {op.name} returned {len(gradients)} gradients; expected {count}, one for "
            "each argument of forward after ctx: None for one that has no gradient"
        )
    return gradients[:count]


def _checked(op: FunctionOp, i: int, gradient: Any, value: Any, *, needed: bool) -> Any:
    """Return the gradient `gradient` of argument `i`, `NOTHING` where there is none to pass on."""
    if gradient is None or (value is not None and not needed):
        return NOTHING
    if value is None:
        raise GraphError(
            f"{_returned(op, i)} a gradient, though that is no tensor: return None in its place"
        )
    if not isinstance(gradient, Node):
        raise TypeError(
            f"{_returned(op, i)} {type(gradient).__name__}; expected a tensor of shape "
            f"{value.shape}, or None where there is no gradient: wrap an array as tensor(array)"
        )
    if gradient._array.shape != value.shape:
        raise ShapeError(
            f"{_returned(op, i)} a gradient of shape {gradient._array.shape}; expected "
            f"{value.shape}, the shape of that argument: sum over the axes that forward broadcast, "
            "or reshape"
        )
    return gradient


def _returned(op: FunctionOp, i: int) -> str:
    return f"backward of {op.name} returned, for {op.argument(i)},"


def _tied(op: FunctionOp, gradient: Any, g: Any, values: Sequence[Any]) -> Any:
    """Return `gradient`, refusing to be differentiated where it was computed outside the graph.

    A gradient is linear in `g`: if it is not zero, and `g` is recorded, it must be recorded too.
    """
    if gradient._requires_grad:
        return gradient
    sources = [g] if g._requires_grad and gradient._array.any() else []
    if getattr(op.kind.backward, "once", False):
        sources = [t for t in (g, *values) if isinstance(t, Node) and t._requires_grad]
    return record(op.cut, (gradient, *sources), NONE) if sources else gradient


def _cut(name: str, *_: Any) -> NoReturn:
    raise GraphError(
        f"the gradient of {name} was computed outside the graph (with numpy(), detach(), item(), "
        "or once_differentiable), and so cannot be differentiated: compute it in backward with "
        "operations of tensors, from g and the saved tensors"
    )
