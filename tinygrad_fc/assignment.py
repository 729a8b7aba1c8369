"""Assignment of recorded values: `x[i] = y` makes `x` a result of `index_put`, in the same memory.

Calls before the assignment refer to the same object: for each of them, `graph.version` returns the
state of `x` that it read, the latest one before it. A view knows its base, `x`, whether or not it
is recorded: it gets its values from the memory, and its graph when it is next used. As in PyTorch,
the backward pass raises if an earlier call needs a value that was changed, except for calls that
computed `y`: they get copies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.core import graph
from tinygrad_fc.core.errors import InPlaceError
from tinygrad_fc.core.node import NOT_A_VIEW, UNRECORDED, Node, array_of, next_seq, owner, set_array
from tinygrad_fc.functional import shape
from tinygrad_fc.ops import indexing
from tinygrad_fc.ops.shape import alias


def assign_elements(array: Any, steps: tuple[Any, ...], values: Any) -> None:
    """Assign `values` to the elements of `array` at the successive indices `steps`."""
    array, last = _elements(array, steps[:-1]), steps[-1]
    if indexing.is_basic(last):
        indexing.getitem.forward(array, at=last)[...] = values  # a 0-d view takes values (1,), too
    else:
        array[last] = values


def record_assignment(t: Any, steps: tuple[Any, ...], value: Any) -> None:
    """Make `t`, or the base of a view, the result of assigning `value` to elements of `t`."""
    graph.follow_assignments((t, value))
    array, (base, views) = array_of(t), _base_and_views(t)
    if base._requires_grad and base.is_leaf:
        raise InPlaceError(
            "x[...] = y would change a view of a tensor that requires grad, and the change cannot "
            "be recorded. Assign inside `with no_grad():`, or to a copy (`x.clone()`)"
        )
    value = _fitted(value, _elements(array, steps).shape)
    at, elements = steps[0], array_of(value)
    if (views or len(steps) > 1) and base.shape:
        at = tuple(_elements_of_view(grid, views, steps) for grid in np.indices(base.shape))
    elif views:  # the base has no axes: the last value is that of its one element
        at = np.array(elements.size > 0)
        value = indexing.getitem(shape.reshape(value, -1), at=slice(-1, None))
    before = graph.keep_state(base) if base._requires_grad else None
    value = _with_earlier_state(value, base, before)
    with graph.mutation_lock:
        assign_elements(array, steps, elements)
        graph.record_change(array)
        base._op, base._settings, base._requires_grad = indexing.index_put, {"at": at}, True
        recorded = isinstance(value, Node) and value._requires_grad
        base._parents = [before, value if recorded else None]
        base._args = [array_of(base), array_of(value)]
        graph.state.assigned[id(owner(array_of(base)))] = base._seq = next_seq()
    graph.follow_assignments((t,))


def record_change_to(t: Any, result: Any) -> None:
    """Make `t`, in its memory, the recorded `result`, which an op has just returned.

    A view of another tensor assigns it to the elements of that tensor.
    """
    graph.follow_assignments((t,))
    array, out, (base, _) = array_of(t), array_of(result), _base_and_views(t)
    if (
        base is not t
        or not result._requires_grad
        or (out.shape, out.dtype) != (array.shape, array.dtype)
        or owner(out) is owner(array)
    ):
        record_assignment(t, (...,), result)
        return
    before = graph.keep_state(t) if t._requires_grad else None
    result = _with_earlier_state(result, t, before)
    with graph.mutation_lock:
        array[...] = out
        graph.record_change(array)
        for name in ("_op", "_parents", "_args", "_settings", "_requires_grad"):
            setattr(t, name, getattr(result, name))
        t._base = NOT_A_VIEW
        graph.state.assigned[id(owner(array))] = t._seq = next_seq()


def own_argument(t: Any) -> None:
    """Give `t`, if it is an argument of `Function.forward`, a copy that may be changed.

    The `.data` of an argument gets the copy of the argument.
    """
    if t._op is alias:
        if t._seq == UNRECORDED:
            own_argument(t._parents[0])
            set_array(t, array_of(t._parents[0]))
        else:
            set_array(t, array_of(t).copy())
        t._requires_grad = False
        t._op = t._parents = t._args = None


def _base_and_views(t: Any) -> tuple[Any, list[Any]]:
    """Return the tensor that `t` is a view of, and the views that lead to `t`, outermost first."""
    views: list[Any] = []
    while t._op is not indexing.index_put and (base := graph.base_of(t)) is not None:
        views.append(t)
        t = base
    return t, views


def _elements(array: Any, steps: tuple[Any, ...]) -> Any:
    for at in steps:
        array = indexing.getitem.forward(array, at=at)
    return array


def _elements_of_view(array: Any, views: list[Any], steps: tuple[Any, ...]) -> Any:
    for view in reversed(views):
        array = view._op.forward(array, **view._settings)
    return _elements(array, steps)


def _fitted(value: Any, to: tuple[int, ...]) -> Any:
    """Return `value` in the shape of the elements to which it is assigned."""
    old = sizes = np.shape(array_of(value))
    while len(sizes) > len(to) and sizes[0] == 1:
        sizes = sizes[1:]
    value = value if sizes == old else shape.reshape(value, sizes)
    return value if sizes == to else shape.broadcast_to(value, to)


def _with_earlier_state(value: Any, t: Any, before: Any) -> Any:
    """Return `value` with `before` in place of `t` in its graph, and copies of what rules read.

    Only calls since the last assignment to `t` are searched. Without references to `t` there is no
    reference cycle.
    """
    if not isinstance(value, Node) or not value._requires_grad:
        return value
    memory, states = id(owner(array_of(t))), {id(t): before}
    if value._op is not None and id(owner(array_of(value))) == memory:
        return _state_of(value, memory, states)
    nodes: list[Any] = [value]
    seen = set[int]()
    for node in nodes:
        if node._parents is not None and node._seq >= t._seq and id(node) not in seen:
            seen.add(id(node))
            shared = [k for k, array in enumerate(node._args) if id(owner(array)) == memory]
            nodes += [p for k, p in enumerate(node._parents) if p is not None and k not in shared]
            for k in shared:
                _refer_to_earlier_state(node, k, memory, states)
    return value


def _refer_to_earlier_state(node: Any, k: int, memory: int, states: dict[int, Any]) -> None:
    parent, array = node._parents[k], node._args[k]
    if parent is None:
        node._args[k] = graph.copy_of_memory(array)
    elif parent._op is not None:  # a leaf must not be replaced
        is_read = _reads(node, array)
        earlier = node._parents[k] = _state_of(parent, memory, states)
        if is_read:
            if id(owner(array_of(earlier))) == memory:
                earlier._array = graph.copy_of_memory(array)
            node._args[k] = array_of(earlier)


def _state_of(view: Any, memory: int, states: dict[int, Any]) -> Any:
    """Return a copy of `view` for earlier calls, which refers to the earlier state of its base."""
    if id(view) not in states:
        states[id(view)] = earlier = graph.copy_node(view)
        earlier._parents = [
            p
            if p is None or p._op is None or id(owner(array_of(p))) != memory
            else _state_of(p, memory, states)
            for p in view._parents or ()
        ]
    return states[id(view)]


def _reads(node: Any, array: Any) -> bool:
    """Return whether a rule of `node` reads `array`."""
    return any(
        array is value
        for k, parent in enumerate(node._parents)
        if parent is not None
        for _, value in node._op.values_read_by(k, array_of(node), node._args)
    )
