"""The op of a `Function`, and what a call of it records.

A call records one node, whose last operand is a `FunctionCall`: the context and the results, freed
with the graph. With several results, the node represents their concatenation and each result is a
slice of the node (nothing is copied), so that the backward pass handles only ops with one result.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager, nullcontext
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from tinygrad_fc.core import grad_mode, graph
from tinygrad_fc.core.errors import GraphError, InPlaceError, ShapeError
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import NO_GRADIENT, Node, array_of, leaf_of, next_seq, owner
from tinygrad_fc.core.op import Op, VariadicRule, positional, readonly
from tinygrad_fc.core.pytree import flatten, mapped
from tinygrad_fc.ops.indexing import scatter_add
from tinygrad_fc.ops.shape import alias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NO_KWARGS: dict[str, Any] = {}


class ForwardMode(grad_mode.Switch):
    """Whether a backward pass is transposed, so that a `Function` with a `jvp` runs that."""

    bit = grad_mode.FORWARD_MODE


# Recording


class FunctionCall:
    """The context and the results of one call."""

    __array_function__ = None  # an operand that the recorder does not convert
    __slots__ = ("arrays", "ctx", "own", "results", "single", "size", "slices")

    def __init__(self, ctx: Any, args: Any, inputs: Any, results: Any) -> None:
        self.ctx, self.results = ctx, results
        self.own = {id(t) for t in (*inputs, *results)}
        arrays = {
            id(t): array_of(a) for a, t in zip(args, inputs, strict=True) if isinstance(a, Node)
        }
        self.arrays = [
            arrays.get(id(t), array_of(t)) if isinstance(t, Node) else None for t in results
        ]
        plain, self.size = {id(t) for t in ctx._non_differentiable}, 0
        self.slices: list[slice | None] = []  # of the node, None for a result without gradient
        for t, array in zip(results, self.arrays, strict=True):
            if array is None or array.dtype.kind != "f" or id(t) in plain:
                self.slices.append(None)
            else:
                self.slices.append(slice(self.size, self.size + array.size))
                self.size += array.size
        self.single = len(results) - self.slices.count(None) == 1

    def parts(self) -> list[Any]:
        """Return the arrays of the results that have a gradient."""
        return [a for a, at in zip(self.arrays, self.slices, strict=True) if at is not None]

    def node_array(self) -> Any:
        """Return the array of the node: a single result, or a placeholder of the total size."""
        if self.single:
            return self.parts()[0]
        dtype = np.result_type(*self.parts())
        return np.broadcast_to(np.zeros((), dtype), (self.size,))

    def result(self, op: FunctionOp, node: Any, k: int) -> Any:
        """Return result `k` as a part of `node`."""
        if self.single:
            return node
        return call_op(op.pick, (node, self.arrays[k]), {"at": self.slices[k]})

    def cotangents(self, g: Any) -> Iterator[Any]:
        """Yield the gradient of each result, zeros without one, from the gradient of the node."""
        for array, at in zip(self.arrays, self.slices, strict=True):
            if array is None:
                yield None
            elif at is None:
                yield leaf_of(np.zeros_like(array))
            else:
                part = g if self.single else g[at].reshape(array.shape)
                yield _protected(part.astype(array.dtype) if part.dtype != array.dtype else part)

    def of_tangents(self, op: FunctionOp, returned: Any, v: Any) -> Any:
        """Return the tangent of the node, from the results' tangents; an array if `v` is one."""
        tangents = returned if isinstance(returned, tuple) else (returned,)
        pairs = zip(tangents, self.slices, strict=False)
        used: list[Any] = [t for t, at in pairs if at is not None]
        shapes, expected = [getattr(t, "shape", None) for t in used], [*map(np.shape, self.parts())]
        if shapes != expected or len(tangents) != len(self.slices):
            raise ShapeError(f"jvp of {op.name} returned tangents of {shapes}; expected {expected}")
        parts = used if isinstance(v, Node) else [array_of(t) for t in used]
        return parts[0] if self.single else np.concatenate([t.reshape(-1) for t in parts])

    def context(self, op: FunctionOp, out: Any) -> Any:
        """Return the context for one run of `backward`; saved results become parts of `out`."""

        def restored(t: Any) -> Any:
            if not isinstance(t, Node):
                return t
            if t._requires_grad:
                leaf: Any = t._parents[0] if t._op is alias and t._parents else t
                if leaf is t or leaf is None or leaf._op is not None:
                    return t
                # `grad` takes this view for the leaf, which `backward` may reach directly, too.
                view = graph.copy_node(t)
                view._op = view_of_leaf
                return view
            if isinstance(out, Node):
                for k, r in enumerate(self.results):
                    if r is t and self.slices[k] is not None:
                        return self.result(op, out, k)
            return _protected(t)

        ctx = type(self.ctx)(self.ctx.needs_input_grad)
        for name, value in vars(self.ctx).items():
            setattr(ctx, name, mapped(restored, value))
        ctx._saved = tuple(map(restored, self.ctx._saved))
        ctx._forward = tuple(map(restored, self.ctx._forward))
        ctx._packed = None if isinstance(out, Node) else self.ctx._packed
        return ctx

    def reads(self) -> Iterator[tuple[str, Any]]:
        """Yield the arrays that `backward` may read, by name."""
        for j, t in enumerate(self.ctx._saved):
            if t is not None and self.ctx._packed is None:
                yield f"saved tensor {j}", array_of(t)
        for name, value in vars(self.ctx).items():
            for t in flatten(value)[0]:
                if isinstance(t, Node) and id(t) in self.own:
                    yield f"ctx.{name}", array_of(t)


def recorded(op: FunctionOp, args: Sequence[Any], call: FunctionCall) -> list[Any]:
    """Return the results as tensors that are part of the graph."""
    operands = [a if isinstance(a, Node) else None for a in args]
    node = call_op(op, (*operands, call), NO_KWARGS) if call.parts() else None
    tensors = list(call.results)
    for k, (array, at) in enumerate(zip(call.arrays, call.slices, strict=True)):
        if at is not None:
            tensors[k] = call.result(op, node, k)
        elif array is not None:
            tensors[k] = leaf_of(array)
            tensors[k]._op = op
    return tensors


class FunctionOp(Op):
    """The op of a `Function`: one run of its `backward` computes the gradients of all arguments."""

    def __init__(self, kind: Any, *, separate: bool) -> None:
        self.kind, self.separate = kind, separate
        name = kind.__name__
        _unregistered(name, lambda *operands: operands[-1].node_array(), None, self)
        self.pick = _unregistered(name, lambda _node, array, **_: array, (_pick_rule, None))
        self.linear = _unregistered(f"the gradient of {name}", _zeros, (_tangent,))
        cut = VariadicRule(functools.partial(_cut, name))
        self.cut = _unregistered(f"the gradient of {name}", lambda gradient, *_: gradient, cut)

    @property
    def rules(self) -> Any:
        """The vjp rules for one node; every node of a backward pass gets its own."""
        return _Rules(self)

    @rules.setter
    def rules(self, _: Any) -> None:
        """Ignore the rules that `Op` sets."""

    @property
    def operands(self) -> tuple[str, ...]:
        """The names of the arguments of `apply`."""
        return positional(self.kind.forward)[0][not self.separate :]

    reads_values = True

    def values_read_by(self, i: int, out: Any, arrays: Sequence[Any]) -> Iterable[tuple[str, Any]]:
        """Yield the arrays that were saved."""
        del i, out
        return arrays[-1].reads()  # type: ignore[no-any-return]

    def check_finite(self, out: Any, arrays: Sequence[Any], gradient_of: str = "") -> None:
        """Raise if a result is not finite although all arguments are, or as `Op.check_finite`."""
        if gradient_of:
            super().check_finite(out, arrays, gradient_of)
            return
        for array in arrays[-1].parts():
            super().check_finite(array, [a for a in arrays[:-1] if a is not None])


def _unregistered(name: str, forward: Any, rules: Any, op: Any = None) -> Op:
    """Initialize an op that is not registered for any NumPy function."""
    op = op or Op.__new__(Op)
    Op.__init__(op, forward, forward=forward, domain=(), rules=rules, name=name)
    return cast("Op", op)


view_of_leaf: Any = _unregistered("saved tensor", readonly, (lambda g, _out, _x: g,))
"""The op of a read-only view of a saved leaf, which `backward` cannot change in place."""
view_of_leaf.aliases_leaf = True


def _zeros(_g: Any, *, like: Any, **_: Any) -> Any:
    return np.zeros_like(like._array)


def _tangent(v: Any, _out: Any, _g: Any, *, jvp: Any, **_: Any) -> Any:
    return jvp(v)


def _pick_rule(g: Any, _out: Any, _node: Any, _array: Any, *, at: slice) -> Any:
    return scatter_add(g.reshape(-1), at=at, shape=_node.shape)


# The backward pass


class _Rules:
    """The vjp rules of one node, which share one run of `backward`."""

    reads_arguments = True

    def __init__(self, op: FunctionOp) -> None:
        self.op = op
        self.gradients: list[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        # Not a `VariadicRule`, whose signature would be cached, and keep the gradients alive.
        return map(self.__getitem__, count())

    def __getitem__(self, i: int) -> Any:
        return functools.partial(self.gradient, i)

    def gradient(self, i: int, g: Any, out: Any, *values: Any) -> Any:
        """Return the gradient of argument `i`."""
        if self.gradients is None:
            self.gradients = _gradients(self.op, g, out, values)
        return self.gradients[i]


def _gradients(op: FunctionOp, g: Any, out: Any, values: Sequence[Any]) -> list[Any]:
    """Run the `backward` of a call; return the gradient of each argument."""
    call, start, name = values[-1], next_seq(), f"backward of {op.name}"
    if grad_mode.flags.get() & ForwardMode.bit and op.kind.jvp:
        return _transposed(op, g, out, values)
    ctx, cotangents = call.context(op, out), list(call.cotangents(g))
    with user_code(name, g):
        returned = op.kind.backward(ctx, *cotangents)
        if any(
            t is not None and graph.state.changes.get(id(owner(array_of(t))), 0) > start
            for t in cotangents
        ):
            raise InPlaceError("a cotangent was changed")
    gradients = list(returned) if isinstance(returned, tuple | list) else [returned]
    count = len(values) - 1
    if len(gradients) < count or any(gradient is not None for gradient in gradients[count:]):
        raise GraphError(
            f"{name} returned {len(gradients)} gradients; expected {count}, one per argument of "
            "forward after ctx. Return None for an argument without gradient"
        )
    for i, gradient in enumerate(gradients[:count]):
        if gradient is None:
            gradients[i] = NO_GRADIENT
        elif not isinstance(gradient, Node):
            raise TypeError(
                f"{name} returned {type(gradient).__name__} for {op.argument(i)}; expected a "
                "tensor, or None for no gradient. Wrap an array as tensor(array)"
            )
        elif isinstance(g, Node):
            gradients[i] = _checked_recording(op, gradient, g, values)
    return gradients


def _transposed(op: FunctionOp, g: Any, out: Any, values: Sequence[Any]) -> list[Any]:
    """Return zeros, linear in `g`, whose derivatives `jvp` computes: see `transposed`."""
    *operands, call = values
    pairs = [(t, t is not None and t._array.dtype.kind == "f") for t in operands]

    def tangent(i: int, v: Any) -> Any:
        tangents = [leaf_of(np.zeros_like(t._array)) if f else None for t, f in pairs]
        tangents[i] = _protected(v)
        ctx = call.context(op, out)
        if ctx._forward:
            ctx._saved, ctx._packed = ctx._forward, None
        with user_code(f"jvp of {op.name}", v):
            return call.of_tangents(op, op.kind.jvp(ctx, *tangents), v)

    def linear(i: int, t: Any) -> Any:
        return call_op(op.linear, (g,), {"like": t, "jvp": functools.partial(tangent, i)})

    return [linear(i, t) if f else NO_GRADIENT for i, (t, f) in enumerate(pairs)]


def _checked_recording(op: FunctionOp, gradient: Any, g: Any, values: Sequence[Any]) -> Any:
    """Return `gradient`; if it was computed outside the graph, differentiating it raises an error.

    A gradient is linear in `g`. So if `g` is recorded, a nonzero gradient must be recorded too.
    """
    if gradient._requires_grad:
        return gradient
    sources = [g] if g._requires_grad and array_of(gradient).any() else []
    if getattr(op.kind.backward, "once", False):
        sources = [t for t in (g, *values) if isinstance(t, Node) and t._requires_grad]
    return call_op(op.cut, (gradient, *sources), NO_KWARGS) if sources else gradient


def _cut(name: str, *_: Any) -> NoReturn:
    raise GraphError(
        f"the gradient of {name} was computed outside the graph (with numpy(), detach(), item(), "
        "or once_differentiable), so it cannot be differentiated. Compute it in backward by "
        "operations on tensors, from g and the saved tensors"
    )


def _protected(t: Any) -> Any:
    """Return a tensor or array as a tensor that `backward` cannot change in place."""
    if isinstance(t, Node):
        if t._requires_grad:
            return t
        t = array_of(t)
    return leaf_of(readonly(t))


@contextmanager
def user_code(name: str, g: Any) -> Iterator[None]:
    """Run the user's function `name`, recorded if `g` is a tensor; explain in-place changes."""
    recording = nullcontext() if isinstance(g, Node) else grad_mode.no_grad()
    try:
        with recording, ForwardMode(on=False):
            yield
    except (ValueError, GraphError) as error:
        if not isinstance(error, InPlaceError) and "read-only" not in str(error):  # NumPy's
            raise
        raise GraphError(
            f"{name} changes an argument in place, which other code may need. Write `g = g * 2` "
            "for `g *= 2` or `g.mul_(2)`, or change a copy (g.clone())"
        ) from error
