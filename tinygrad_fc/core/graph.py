"""Record calls of ops in the graph, changes of arrays in place, and assignments.

A recorded tensor stores its op, the op's arguments and a sequence number, which increases with
every call. In-place changes take sequence numbers from the same counter. A value is stale if its
last change has a larger number than the call that read it. If nothing changed since the call, as
usual in training, the check is one comparison.
"""

from __future__ import annotations

from _thread import RLock  # `threading` costs an import half a millisecond
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.dtypes import float32, float64, get_default_dtype, operand_of
from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.core.node import (
    NOT_A_VIEW,
    UNDIFFERENTIATED,
    GradientHooks,
    Node,
    array_of,
    next_seq,
    operand,
    owner,
    scalar_to_array,
    set_array,
)
from tinygrad_fc.core.seam import observer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tinygrad_fc.core.op import Op
    from tinygrad_fc.tensors import Tensor

_new = object.__new__
_flags = grad_mode.flags.get
_RECORD, _DETECT_ANOMALY = grad_mode.RECORD, grad_mode.DETECT_ANOMALY
_SAVED_TENSORS_HOOKS, _OBSERVED = grad_mode.SAVED_TENSORS_HOOKS, grad_mode.OBSERVED
_ndarray = np.ndarray  # a global is read faster than an attribute of NumPy
_PYTHON_SCALARS = frozenset((float, int, bool, type(None)))
mutation_lock = RLock()
"""Held during an in-place change and its recording, since a backward pass checks at its end."""


class _State:
    """Sequence numbers of in-place changes (last, and per array) and of the last backward pass."""

    __slots__ = ("assigned", "changes", "last_backward", "last_change", "owners")

    def __init__(self) -> None:
        self.last_change = 0
        self.last_backward = 0  # for autograd.explain, which says why a `.grad` is None
        self.changes: dict[int, int] = {}  # last change by id of `owner(array)`
        self.owners: dict[int, Any] = {}  # weak references to these owners
        self.assigned: dict[int, int] = {}  # last recorded assignment, by id of the owner


state = _State()
"""The state of the process: an object, since Python sets attributes of classes slowly."""
_assigned = state.assigned
tensor_class: type[Any] = Node  # of results; `tensors` sets it


# Recording


def call_op(op: Op, args: Sequence[Any], settings: dict[str, Any]) -> Tensor:
    """Call `op`; return a tensor, which records the call if an argument requires grad.

    `op(*args, **settings)` is the same after a check of the arguments; functions that have checked
    them call `call_op`, which is faster.
    """
    if _assigned:
        follow_assignments(args)
    arrays, parents, dtype = _operands(op, args)
    undifferentiated = None
    if dtype is not float64 and dtype is not float32:
        if (promoted := _promoted(op, args, arrays, settings)) is not None:
            return call_op(op, promoted, settings)
        undifferentiated = _undifferentiated(op, args, parents)
    # The number is taken before the values are read, since another thread may change them.
    seq = next_seq() if parents is not None or _assigned else 0
    flags = _flags()
    try:
        if flags & _OBSERVED:
            out = _observed_call(op, args, arrays, settings)
        else:
            out = op.forward(*arrays, **settings) if settings else op.plain(*arrays)
    except Exception as error:
        op.raise_described(error, arrays, settings)  # returns if it has nothing to add
        raise
    out = out if out.__class__ is _ndarray else scalar_to_array(out)
    if flags & _DETECT_ANOMALY:
        op.check_finite(out, arrays)
    if settings and out.dtype.kind != "f":
        op.check_real(arrays, settings, out.dtype)
        parents = None  # dtype=int
    t: Tensor = _new(tensor_class)
    t._array = out
    t._grad = t._hooks = None
    if parents is not None and flags & _RECORD and op.rules is not None:
        t._op = op
        t._requires_grad = True
        t._parents = parents
        t._args = arrays
        t._settings = settings
        t._seq = seq
        return _with_saved_tensors_hooks(t) if flags & _SAVED_TENSORS_HOOKS else t
    t._op = op if undifferentiated is None else undifferentiated._op
    t._requires_grad = False
    t._parents = t._args = None
    t._seq = seq if _assigned else 0
    if getattr(out, "base", None) is not None:
        _set_base(t, args, arrays, settings, is_recording=bool(flags & _RECORD))
    return t


def _operands(op: Op, args: Sequence[Any]) -> tuple[list[Any], list[Any] | None, Any]:
    """Return the arrays and numbers of `args`, the parents, and the one dtype of the arrays.

    The parents are None if no argument requires grad. The dtype is None if dtypes differ, or if an
    argument is the result of a compiled function, through which no gradient flows.
    """
    arrays: list[Any] = []
    parents: list[Any] = []
    is_recorded = is_special = False
    dtype: Any = None
    for a in args:
        if a.__class__ is tensor_class or isinstance(a, Node):
            array = a._array  # until `_observed_call`
            arrays.append(array)
            if dtype is None:
                dtype = array.dtype
            elif array.dtype is not dtype:
                is_special = True
            if a._requires_grad:
                is_recorded = True
                parents.append(a)
                continue
            if a._op is UNDIFFERENTIATED:
                is_special = True
        elif a.__class__ in _PYTHON_SCALARS:
            arrays.append(a)
        else:
            array = operand(a, op.name)
            arrays.append(array)
            is_special = is_special or getattr(array, "dtype", dtype) is not dtype
        parents.append(None)
    return arrays, parents if is_recorded else None, None if is_special else dtype


def _undifferentiated(op: Op, args: Sequence[Any], parents: list[Any] | None) -> Any:
    """Return an argument that is the result of a compiled function, or None.

    Raises `GraphError` if there is one and the call is recorded, since its gradient would be lost.
    """
    t = next((a for a in args if getattr(a, "_op", None) is UNDIFFERENTIATED), None)
    if t is not None and parents is not None and _flags() & _RECORD and op.rules is not None:
        raise GraphError(
            f"{op.name}: a tensor of shape {t._array.shape} is the result of a compiled function, "
            "through which no gradient flows to the parameters that the function read. Compile the "
            "whole step with its backward(), or pass result.detach(), or call it under no_grad()"
        )
    return t


def _with_saved_tensors_hooks(t: Any) -> Tensor:
    t._op = grad_mode.saved_tensors_hooks.get().op_of(t)
    return t  # type: ignore[no-any-return]


def _observed_call(op: Op, args: Sequence[Any], arrays: list[Any], settings: dict[str, Any]) -> Any:
    """Return the result of an observed call; the observer reads the arrays of tensors."""
    by = observer()
    for k, a in enumerate(args):
        if isinstance(a, Node):
            arrays[k] = by.read(a)
    return by.call(op, arrays, settings)


def _set_base(
    t: Any, args: Sequence[Any], arrays: list[Any], settings: dict[str, Any], *, is_recording: bool
) -> None:
    """Store which tensor the unrecorded result `t` is a view of: None under `no_grad`."""
    memory = owner(t._array)
    if any(isinstance(a, Node) and owner(array_of(a)) is memory for a in args):
        t._base = args[0] if is_recording and len(args) == 1 else None
        t._args, t._settings = arrays, settings


def _promoted(
    op: Op, args: Sequence[Any], arrays: list[Any], settings: Mapping[str, Any]
) -> list[Any] | None:
    """Return the arguments in the dtype in which `op` computes; None if they have it."""
    if op.promotion is None or (settings and settings.get("dtype") is not None):
        return None
    operands = tuple([operand_of(x) for x in arrays])
    dtype, casts, low, high = _plan(op, operands, get_default_dtype())
    wrap_at = [i for i, x in enumerate(arrays) if x.__class__ is int and not low <= x <= high]
    if not casts and not wrap_at:
        return None
    changed = list(args)
    # Both numbers of `where` become arrays on the device of its condition.
    like = arrays[0] if hasattr(arrays[0], "__array_function__") else None
    for i in casts:
        x: Any = args[i] if isinstance(args[i], Node) else arrays[i]
        changed[i] = x.astype(dtype) if hasattr(x, "astype") else np.asarray(x, dtype, like=like)
    for i in wrap_at:
        changed[i] = np.asarray(arrays[i] % 2 ** (8 * dtype.itemsize)).astype(dtype)
    return changed


@lru_cache(4096)
def _plan(op: Op, operands: tuple[Any, ...], _default: Any) -> tuple[Any, list[int], Any, Any]:
    """Return the dtype in which `op` computes, what to cast to it, and which numbers it holds."""
    promotion: Any = op.promotion
    dtype = promotion.dtype(op.name, operands)
    rest = range(promotion.skipped, len(operands))
    casts = [i for i in rest if operands[i].__class__ is tuple and operands[i][0] != dtype]
    if not any(operands[i].__class__ is tuple for i in rest):  # two numbers in `where`
        casts = list(rest)
    if not promotion.wraps or dtype.kind not in "iu":
        return dtype, casts, -np.inf, np.inf
    return dtype, casts, np.iinfo(dtype).min, np.iinfo(dtype).max


# In-place changes

changed_memory: ContextVar[list[int] | None] = ContextVar("changed_memory", default=None)
"""A list to which changes in this thread or task append the id of each owner; `vmap` sets it."""


def record_change(*arrays: Any) -> None:
    """Record that the memory of `arrays` has been changed in place.

    The caller holds `mutation_lock` while it changes the arrays and calls this function.
    """
    state.last_change = seq = next_seq()
    changes, changed = state.changes, changed_memory.get()
    for array in arrays:
        memory_owner = array if array.base is None else owner(array)
        key = id(memory_owner)
        if key not in changes:
            _watch(memory_owner)
        changes[key] = seq
        if changed is not None:
            changed.append(key)


def copy_of_memory(array: Any) -> Any:
    """Return a copy of `array` that has changed for earlier calls if the memory of `array` has."""
    copy = array.copy()
    if (seq := state.changes.get(id(owner(array)))) is not None:
        _watch(copy)
        state.changes[id(copy)] = seq
    return copy


def _watch(memory_owner: Any) -> None:
    """Have the entries of an owner of memory removed when it is freed."""
    with suppress(TypeError):  # a type without weak references: its entries are never removed
        key = id(memory_owner)
        state.owners[key] = ref(memory_owner, partial(_remove_entries, key))


def record_changes_by_id(owner_ids: Iterable[int]) -> None:
    """Record changes of owners that `record_change` knows; compiled programs call this."""
    state.last_change = seq = next_seq()
    changes = state.changes
    for key in owner_ids:  # for a few of them, faster than an update by another dict
        changes[key] = seq
    if (changed := changed_memory.get()) is not None:
        changed.extend(owner_ids)


def _remove_entries(key: int, _: Any, state: Any = state) -> None:  # globals may be None at exit
    """Remove the entries of a freed owner; the callback of its weak reference."""
    state.owners.pop(key, None)
    state.changes.pop(key, None)
    state.assigned.pop(key, None)


def change_in_place(array: Any, method: str, value: Any) -> bool:
    """Call a method of a NumPy array that changes it; return whether it can be changed."""
    if array.__class__ is not _ndarray or not array.flags.writeable:
        return False
    with mutation_lock:
        getattr(array, method)(value)
        record_change(array)
    return True


def check_usable(node: Any) -> None:
    """Raise `GraphError` if the graph of `node` was freed, or a value that it needs has changed."""
    if node._parents is None:
        raise freed_graph_error(node)
    op = node._op
    for i, a in enumerate(node._parents):
        if a is None:
            continue
        if a._seq > node._seq:
            a = node._parents[i] = version(a, node._seq)  # noqa: PLW2901
        old, new = node._args[i], a._array
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise GraphError(
                f"{op.name}: an argument had shape {old.shape} and dtype {old.dtype} in the "
                f"forward pass, and its data now have shape {new.shape} and dtype {new.dtype}. "
                "Run the forward pass again, or call backward() before the change."
            )
        for what, array in op.values_read_by(i, node._array, node._args):
            if state.changes.get(id(owner(array)), 0) > node._seq:
                raise GraphError(
                    f"{op.name} needs its {what} of shape {np.shape(array)} in the backward pass, "
                    "but it was changed in place after the forward pass. Write `h = h + b` for "
                    "`h += b` or `h.add_(b)`, change a copy (`h.clone()`), or call backward() "
                    "before the change."
                )


def freed_graph_error(node: Any) -> GraphError:
    """Return the error for a node without arguments, which a backward pass has freed."""
    return GraphError(
        f"the graph was freed by an earlier backward pass, at the {node._op.name} that returned a "
        f"tensor of shape {node._array.shape}. Run the forward pass again before each backward(); "
        "detach() values that are carried from one iteration to the next; or keep the graph with "
        "backward(retain_graph=True)."
    )


# Recorded assignments: `x[i] = y` makes `x` a result of `index_put`, in the same memory.
#
# Calls before the assignment refer to the same object; its earlier state is that with the largest
# sequence number below theirs. A view made before gets its values from the memory, and its graph
# when it is next used, as the same op of its base.


def copy_node(t: Any) -> Any:
    """Return a tensor with the array and the autograd metadata of `t`."""
    copy: Any = _new(tensor_class)
    become(copy, t)
    copy._grad, copy._hooks = None, t._hooks
    return copy


def become(t: Any, other: Any) -> None:
    """Give `t` the array and the place in the graph of `other`."""
    set_array(t, array_of(other))
    for name in ("_op", "_parents", "_args", "_settings", "_requires_grad", "_seq"):
        setattr(t, name, getattr(other, name))
    if hasattr(other, "_base"):
        t._base = other._base
    elif hasattr(t, "_base"):
        del t._base


def keep_state(t: Any) -> Any:
    """Return a copy of `t` for earlier calls, before it becomes another result.

    Hooks that are functions stay with that copy, `retain_grad` with `t`, as in PyTorch.
    """
    before = copy_node(t)
    if hasattr(t, "_before"):
        before._before = t._before
    if t._hooks is not None:
        t._hooks = GradientHooks()
        t._hooks.retain, before._hooks.retain = before._hooks.retain, False
    t._before = before
    return before


def version(t: Any, seq: int) -> Any:
    """Return the state of `t` that a call with sequence number `seq` read."""
    while t is not None and t._seq > seq and hasattr(t, "_before"):
        t = t._before
    return t


def follow_assignments(values: Iterable[Any]) -> None:
    """Renew the graph of those tensors that are views of memory with a later assignment."""
    for t in values:
        if isinstance(t, Node) and t._op is not None:
            key = id(owner(array_of(t)))
            if _assigned.get(key, 0) > t._seq:
                _renew(t)


def base_of(t: Any) -> Any:
    """Return the tensor whose memory the result `t` views, or None if `t` is not a view.

    Raises `GraphError` if that tensor is unknown, or has another array by now.
    """
    array = array_of(t)
    if t._op is None or getattr(array, "base", None) is None:
        return None
    if getattr(t, "_base", None) is NOT_A_VIEW:
        return None
    base = t._parents[0] if t._parents else getattr(t, "_base", t)
    if base is t:  # a view of an array, or of a tensor whose graph was freed
        return None
    if base is not None and t._args[0] is array_of(base):
        return base if owner(t._args[0]) is owner(array) else None
    if base is not None and owner(t._args[0]) is not owner(array):
        return None
    raise GraphError(
        f"the result of {t._op.name} shares memory with a tensor to whose elements a recorded "
        "value is assigned, and cannot follow, since it was taken under `no_grad`, or the other "
        "tensor was reshaped in place. Take it after the assignment, or use a copy (x.clone())"
    )


def _renew(view: Any) -> None:
    if view._requires_grad and view._parents is None:
        raise freed_graph_error(view)
    base = base_of(view)
    if base is None:
        return
    follow_assignments((base,))
    if view._requires_grad:
        keep_state(view)
        view._parents = [base, *view._parents[1:]]
    elif base._requires_grad and view._op.rules is not None:
        view._parents, view._requires_grad = [base], True
    view._seq = next_seq()
