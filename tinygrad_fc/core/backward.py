"""The backward pass.

It visits tensors in decreasing order of their sequence numbers (a reverse topological order) and
adds the gradient that each vjp rule returns to the gradient of its argument. This module alone
decides which rules are called, undoes broadcasting, casts gradients, frees the graph, and has the
values checked that rules read.
"""

from __future__ import annotations

from _thread import allocate_lock  # `threading` costs an import half a millisecond
from contextlib import nullcontext
from heapq import heappop, heappush
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.device import is_non_numpy_array, keep_freed_memory
from tinygrad_fc.core.dtypes import widened
from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.graph import (
    change_in_place,
    check_usable,
    follow_assignments,
    freed_graph_error,
    mutation_lock,
    state,
    version,
)
from tinygrad_fc.core.node import (
    NO_GRADIENT,
    GradientHooks,
    Node,
    array_of,
    leaf_of,
    next_seq,
    scalar_to_array,
    sum_over,
    unobserved_leaf,
)
from tinygrad_fc.core.seam import observer

if TYPE_CHECKING:
    from collections.abc import Sequence

_flags, _OBSERVED = grad_mode.flags.get, grad_mode.OBSERVED
_ndarray = np.ndarray  # a global is read faster than an attribute of NumPy
_seq_of = attrgetter("_seq")
_accumulation_lock = allocate_lock()
_UNCHANGED = nullcontext()  # the grad mode as it is


def backward_pass(
    outputs: Sequence[Any],
    grad_outputs: Sequence[Any],
    inputs: Sequence[Any] | None = None,
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    require_all: bool = False,
    call_hooks_of_inputs: bool = True,
) -> list[list[Any]]:
    """Run the backward pass from `outputs` with cotangents `grad_outputs`; return its gradients.

    The result is a list of pairs [tensor, gradient]. With `inputs`, there is a pair for each of
    these tensors; only rules on a path to them are called, and tensors on the path that retain
    their gradient get it, too. Without `inputs`, there is a pair for each leaf that is reached and
    each tensor that retains its gradient. `call_hooks_of_inputs` is False in a pass inside of
    another one, which calls the hooks of these inputs. Gradients are unaliased arrays, or tensors
    if `create_graph` records the backward pass. `require_all` raises for an input that is not
    reached. If an error is raised, the graph is not freed.
    """
    if not state.last_backward:
        keep_freed_memory()
    if state.assigned:
        follow_assignments((*outputs, *(inputs or ())))
    before = state.last_change
    wanted = needed = None
    if inputs is not None:
        wanted = {id(t) for t in inputs}
        needed = _ids_between(outputs, wanted)
    flags = _flags()
    pass_ = _Pass(wanted, needed, flags, create_graph, call_hooks_of_inputs)
    for output, cotangent in zip(outputs, grad_outputs, strict=True):
        pass_.add(output, cotangent)
    run = grad_mode.enable_grad()(pass_.run) if create_graph else pass_.run
    run()
    pairs = pass_.gradients
    _check_changes_during(pass_, before)
    if require_all and inputs is not None:
        _check_all_reached(inputs, {id(t) for t, _ in pairs})
    state.last_backward = next_seq()
    if not (retain_graph or create_graph):
        for node in pass_.visited:
            if node._op.reads_values:
                node._parents = node._args = None
    if pass_.retained:
        accumulate_gradients(pass_.retained)
    return pairs


def _check_changes_during(pass_: _Pass, before: int) -> None:
    """Raise `GraphError` if another thread, or a rule, has changed a value that the pass read."""
    with mutation_lock:
        is_changed = state.last_change != before
    if is_changed:
        for node in pass_.visited:
            check_usable(node)


def _check_all_reached(inputs: Sequence[Any], reached: set[int]) -> None:
    for k, t in enumerate(inputs):
        if id(t) not in reached:
            raise GraphError(
                f"the outputs do not depend on input {k} (shape {t.shape}): pass allow_unused=True "
                "to get None as its gradient, or materialize_grads=True to get zeros"
            )


def accumulate_gradients(pairs: Sequence[list[Any]]) -> None:
    """Add each gradient to its tensor's `.grad`; then call the hooks for that."""
    by = observer() if _flags() & _OBSERVED else None
    new_leaf = unobserved_leaf if by is None else leaf_of
    hooked = []
    with _accumulation_lock:
        for t, gradient in pairs:
            old = t._grad if by is None else by.grad(t)
            if t._hooks is not None:
                hooked.append(t)
            if old is None:
                total = gradient if isinstance(gradient, Node) else new_leaf(gradient)
            elif isinstance(gradient, Node) or old._requires_grad:
                total = old + gradient
            elif change_in_place(array_of(old), "__iadd__", gradient):
                continue
            else:
                total = new_leaf(gradient + array_of(old))
            if by is None:
                t._grad = total
            else:
                changes = not (old is None or isinstance(gradient, Node) or old._requires_grad)
                by.set_grad(t, total, in_place=changes)
    for t in hooked:  # without the lock: a hook may run another backward pass
        for hook in list(t._hooks.after_accumulation.values()):
            hook(t)


def _ids_between(outputs: Sequence[Any], wanted: set[int]) -> set[int]:
    """Return the ids of all tensors on a path from `wanted` to `outputs`, `wanted` included."""
    nodes: list[Any] = []
    seen = set()
    reached = list(outputs)
    while reached:
        node = reached.pop()
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            if node._parents is not None:
                nodes.append(node)
                if state.last_change > node._seq:
                    node._parents[:] = [version(a, node._seq) for a in node._parents]
                reached += node._parents
            elif node._op is not None and id(node) not in wanted:
                raise freed_graph_error(node)
    needed = set(wanted)
    for node in sorted(nodes, key=_seq_of):
        if any(id(a) in needed for a in node._parents):
            needed.add(id(node))
    return needed


class _Pass:
    """One backward pass: a queue of nodes to visit, latest call first, and the gradients so far."""

    __slots__ = (
        "call_hooks_of_inputs", "create_graph", "detects_anomaly", "gradients", "leaves", "needed",
        "observer", "owned", "pending", "queue", "retained", "visited", "wanted",
    )  # fmt: skip

    def __init__(
        self,
        wanted: set[int] | None,
        needed: set[int] | None,
        flags: int,
        create_graph: bool,
        call_hooks_of_inputs: bool,
    ) -> None:
        self.create_graph = create_graph
        self.detects_anomaly = bool(flags & grad_mode.DETECT_ANOMALY)
        self.observer = observer() if flags & _OBSERVED else None
        self.wanted = wanted  # ids of the inputs; None: all leaves reached
        self.call_hooks_of_inputs = call_hooks_of_inputs
        self.needed = needed  # ids of the tensors on a path to an input; None: all
        self.pending: dict[int, Any] = {}  # the gradient so far, by id of the tensor
        self.owned: set[int] = set()  # ids of tensors to whose gradient surely nothing else refers
        self.queue: list[tuple[int, int, Any]] = []  # (-sequence number, id, tensor), to be visited
        self.leaves: list[Any] = []
        self.visited: list[Any] = []
        self.gradients: list[list[Any]] = []  # pairs [tensor, gradient] of inputs, or of leaves
        self.retained: list[list[Any]] = []  # pairs of others that retain their gradient

    def add(self, a: Any, gradient: Any, is_owned: bool = False) -> None:
        """Add to the gradient of `a`, and queue it for a visit after all later calls.

        `is_owned` says that nothing else refers to the memory of `gradient`.
        """
        key = id(a)
        if key in self.pending:
            total = self.pending[key] + gradient
            self.pending[key] = np.asarray(total) if isinstance(total, np.generic) else total
            self.owned.add(key)
            return
        self.pending[key] = gradient
        if is_owned:
            self.owned.add(key)
        if a._op is None:
            self.leaves.append(a)
        else:
            heappush(self.queue, (-a._seq, key, a))

    def is_needed(self, a: Any) -> bool:
        """Return whether the pass computes the gradient of the argument `a`."""
        return a is not None and (self.needed is None or id(a) in self.needed)

    def changeable(self, a: Any, array: Any) -> Any:
        """Return the gradient of `a` so far, zeros at first, as an array that may be changed."""
        key = id(a)
        if key not in self.pending:
            self.add(a, np.zeros(array.shape, array.dtype), is_owned=True)
        elif key not in self.owned:
            self.pending[key] = self.pending[key].copy()
            self.owned.add(key)
        return self.pending[key]

    def unaliased(self, a: Any, g: Any) -> Any:
        """Return `g`, the complete gradient of `a`, or a copy if something else refers to it."""
        return g if id(a) in self.owned else g.copy()

    def run(self) -> None:  # noqa: C901, PLR0912, PLR0915  one loop, for speed
        """Visit all nodes: call their rules, and add what these return to the arguments."""
        queue, pending, needed, leaves = self.queue, self.pending, self.needed, self.leaves
        visited, owned, create_graph = self.visited.append, self.owned, self.create_graph
        calls_finish = self.wanted is not None
        # The class of gradients that are used as they are, if shape and dtype are right.
        usual = None if create_graph or self.detects_anomaly else _ndarray
        last_change = state.last_change
        by = self.observer
        while queue:
            node = heappop(queue)[2]
            g = pending.pop(id(node))
            if needed is not None and self.ends_at(node):
                self.finish(node, g)
                continue
            op, out, parents, settings = node._op, node._array, node._parents, node._settings
            if parents is None or last_change > node._seq:
                check_usable(node)
            visited(node)
            if calls_finish or node._hooks is not None:
                g = self.finish(node, g, is_visited=True)
            if op.run_in_place is not None and g.__class__ is usual:
                op.run_in_place(self, node, g)
                continue
            values = args = node._args
            if create_graph:
                out = node
                values = [v if a is None else a for v, a in zip(args, parents, strict=True)]
            if op.outer is not None:
                # A `Chain`, such as linear and sigmoid in one node: first the rule of the outer
                # op, then those of the inner op, which are `op.rules` and must not read `out`.
                outer_rules = op.outer.rules if by is None else by.rules(op.outer)
                g = outer_rules[0](g, out, None)
            rules = op.rules if by is None else by.rules(op)
            if rules.__class__ is not tuple and not rules.reads_arguments:
                values = ()
            values = (g, out, *values)
            for a, rule, array in zip(parents, rules, args):  # noqa: B905  endless for a VariadicRule
                if a is None or (needed is not None and id(a) not in needed):
                    continue
                gradient = rule(*values, **settings) if settings else rule(*values)
                if (
                    gradient.__class__ is not usual
                    or gradient.shape != array.shape
                    or gradient.dtype is not array.dtype
                ):
                    if gradient is NO_GRADIENT:
                        continue
                    gradient = self.fitted(gradient, g, array, node, a)
                key = id(a)
                if key in pending:
                    self.add(a, gradient)
                    continue
                pending[key] = gradient  # as in `add`, whose call costs 1 % of a small step
                if a._op is not None:
                    heappush(queue, (-a._seq, key, a))
                    continue
                leaves.append(a)
                is_new = gradient is not g and op.is_builtin and not create_graph
                if is_new and (gradient.base is None or _is_owned_on_gpu(gradient)):
                    owned.add(key)
        self.finish_leaves()

    def finish_leaves(self) -> None:
        """Store the gradients of the leaves, which are complete when all nodes are visited."""
        pending, owned = self.pending, self.owned
        calls_finish = self.wanted is not None or self.create_graph
        for a in self.leaves:
            g = pending.pop(id(a))
            if calls_finish or a._hooks is not None or id(a) not in owned:
                self.finish(a, g)
            else:  # the usual case
                self.gradients.append([a, g])

    def ends_at(self, node: Any) -> bool:
        """Return whether `node` is an input, or an output, that depends on no other input."""
        return not any(id(a) in self.needed for a in node._parents or ())  # type: ignore[operator]

    def fitted(self, gradient: Any, g: Any, array: Any, node: Any, a: Any) -> Any:
        """Return `gradient`, the result of a rule, in the shape and dtype of the argument `a`."""
        gradient = _unbroadcast(gradient, array, node, a, create_graph=self.create_graph)
        if self.detects_anomaly:
            node._op.check_finite(gradient, (g,), _argument_name(node, a))
        return gradient

    def finish(self, a: Any, g: Any, *, is_visited: bool = False) -> Any:
        """Call the hooks of `a` with its complete gradient; store and return the result.

        For an input between other inputs and the outputs, the stored gradient is that before the
        hooks, as in PyTorch.
        """
        hooks, before = a._hooks, g
        is_called = self.call_hooks_of_inputs or self.wanted is None or id(a) not in self.wanted
        if hooks is not None and hooks.functions and is_called:
            g = _call_hooks(a, hooks, g, create_graph=self.create_graph)
            self.owned.discard(id(a))  # a hook may keep what it gets and returns
        if self.wanted is not None:
            if id(a) in self.wanted:
                self.store(self.gradients, a, before if is_visited else g, is_visited)
            if hooks is not None and hooks.retain:
                self.store(self.retained, a, g, is_visited)
        elif a._op is None or (hooks is not None and hooks.retain):
            self.store(self.gradients, a, g, is_visited)
        return g

    def store(self, pairs: list[list[Any]], a: Any, g: Any, is_visited: bool) -> None:
        """Append the unaliased gradient of `a` to `pairs`: a copy if the pass reads it further."""
        if self.create_graph:
            g = g.clone()
        elif is_visited:
            g = g.copy()
        else:
            g = self.unaliased(a, g)
            self.owned.discard(id(a))
        pairs.append([a, g])


def _is_owned_on_gpu(array: Any) -> bool:
    """Return whether an array of another library, whose views have no base, owns its memory."""
    return is_non_numpy_array(array) and bool(array.flags.owndata)


def _unbroadcast(gradient: Any, array: Any, node: Any, a: Any, *, create_graph: bool) -> Any:
    """Return `gradient` summed to the shape of `array` and cast to its dtype."""
    gradient = scalar_to_array(gradient)
    if isinstance(gradient, Node) is not create_graph:
        gradient = leaf_of(gradient) if create_graph else array_of(gradient)
    if not hasattr(gradient, "astype") or gradient.dtype.kind not in "fiub":
        raise GraphError(
            f"the rule of {_argument_name(node, a)} returned {gradient!r:.80}; expected an array "
            f"of real numbers, the gradient of that argument, of shape {array.shape}"
        )
    if gradient.shape != array.shape:
        if not _broadcasts_to(array.shape, gradient.shape, node._array.shape):
            raise ShapeError(
                f"the rule of {_argument_name(node, a)} returned a gradient of shape "
                f"{gradient.shape}; expected {array.shape}, the shape of that argument, or its "
                f"broadcast to the result's shape {node._array.shape}"
            )
        extra = gradient.ndim - array.ndim
        broadcast_axes = [
            extra + k for k, n in enumerate(array.shape) if n != gradient.shape[extra + k]
        ]
        axes = (*range(extra), *broadcast_axes)
        total = _sum_over(widened(gradient), axes, keepdims=False)
        gradient = scalar_to_array(total).reshape(array.shape)
    return gradient if gradient.dtype == array.dtype else gradient.astype(array.dtype)


_sum_over = without_warnings(sum_over)  # inf - inf is NaN, visible without one


def _argument_name(node: Any, a: Any) -> str:
    i = next(k for k, parent in enumerate(node._parents) if parent is a)
    return f"{node._op.name} for {node._op.argument(i)}"


def _broadcasts_to(shape: tuple[int, ...], to: tuple[int, ...], result: tuple[int, ...]) -> bool:
    """Return whether `shape` broadcasts to `to`, where an axis may grow to its size in `result`."""
    if len(shape) > len(to):
        return False
    padded = (1,) * (len(to) - len(shape)) + shape
    aligned = (-1,) * (len(to) - len(result)) + result[max(0, len(result) - len(to)) :]
    return all(n == m or (n == 1 and m == r) for n, m, r in zip(padded, to, aligned, strict=True))


def _call_hooks(node: Any, hooks: GradientHooks, g: Any, *, create_graph: bool) -> Any:
    """Call the hooks of `node` with its complete gradient `g`, and return the result."""
    # A copy, since the memory may be that of the cotangent or of other gradients.
    shown = g.clone() if create_graph else leaf_of(g.copy())
    with _UNCHANGED if create_graph else grad_mode.no_grad():
        for hook in list(hooks.functions.values()):
            returned = hook(shown)
            if returned is None:
                continue
            if not isinstance(returned, Node) or returned._array.shape != node._array.shape:
                raise ShapeError(
                    f"a hook returned {returned!r:.80}; expected None, or a tensor of shape "
                    f"{node._array.shape}"
                )
            if returned._array.dtype != node._array.dtype:
                returned = returned.to(node._array.dtype)  # type: ignore[attr-defined]
            shown = returned
    return shown if create_graph else array_of(shown)
