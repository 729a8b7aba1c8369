"""Record calls of ops in the graph, and run the backward pass.

A recorded tensor stores its op, the op's arguments and a sequence number, which increases with
every call. The backward pass visits tensors in decreasing order of these numbers (a reverse
topological order) and adds the gradient that each vjp rule returns to the gradient of its argument.
This module alone decides which rules are called, undoes broadcasting, casts gradients, frees the
graph, and checks that the values that rules read have not changed since the forward pass.

In-place changes take sequence numbers from the same counter. A value is stale if its last change
has a larger number than the call that read it. If nothing changed since the call, as usual in
training, the check is one comparison.
"""

from __future__ import annotations

from _thread import RLock, allocate_lock  # `threading` costs an import half a millisecond
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from functools import lru_cache, partial
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.device import is_non_numpy_array, refuse_dask
from tinygrad_fc.core.dtypes import float32, float64, get_default_dtype, operand_of, widened
from tinygrad_fc.core.errors import DtypeError, GraphError, ShapeError
from tinygrad_fc.core.seam import observer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tinygrad_fc.core.op import Op
    from tinygrad_fc.tensors import Tensor

next_seq = count(1).__next__
UNRECORDED = -1  # the sequence number of `x.data`, whose changes are never recorded
_seq_of = attrgetter("_seq")
_new = object.__new__
_flags = grad_mode.flags.get
_RECORD, _DETECT_ANOMALY = grad_mode.RECORD, grad_mode.DETECT_ANOMALY
_SAVED_TENSORS_HOOKS, _OBSERVED = grad_mode.SAVED_TENSORS_HOOKS, grad_mode.OBSERVED
_ndarray = np.ndarray  # a global is read faster than an attribute of NumPy
_NUMBERS = frozenset((float, int, bool))
_PYTHON_SCALARS = _NUMBERS | {type(None)}
_SCALARS = (np.generic, float, int)
_accumulation_lock = allocate_lock()
mutation_lock = RLock()
"""Held during an in-place change and its recording, since a backward pass checks at its end."""

NO_GRADIENT = object()
"""Returned by a vjp rule if there is no gradient; the backward pass then skips the argument."""


class Node:
    """The array and autograd metadata of a tensor; `Tensor` adds the public methods.

    Lower layers test for it: `isinstance(x, Node)` is whether `x` is a tensor.
    """

    __slots__ = (
        *("__weakref__", "_args", "_array", "_grad", "_op", "_parents", "_requires_grad", "_seq"),
        *("_base", "_before", "_settings", "_hooks"),
    )

    _array: Any
    _requires_grad: bool
    _grad: Any  # a Tensor, or None
    _op: Op | None  # that returned it, recorded or not; `requires_grad_()` sets it to None
    _parents: list[Any] | None  # arguments of the call: a tensor that requires grad, or None
    _args: list[Any] | None  # arrays and numbers of the call; None for a leaf or a freed graph
    _settings: dict[str, Any]  # keyword arguments of the call, never differentiated
    _seq: int  # sequence number of the call, or of the creation of a leaf; 0 if not recorded
    _hooks: GradientHooks | None  # for the few tensors with hooks or `retain_grad`
    _before: Any  # its state before the last recorded assignment to its memory; unset without one
    _base: Any  # of an unrecorded view, the tensor viewed, None if unknown; else unset, or this:


NOT_A_VIEW = object()
"""The `_base` of a result of a change in place, whose first argument has the same memory."""


class GradientHooks:
    """The gradient hooks of a tensor, and whether it retains its gradient (`retain_grad`)."""

    __slots__ = ("after_accumulation", "functions", "retain")

    def __init__(self) -> None:
        self.functions: dict[int, Any] = {}  # by id of the handle
        self.after_accumulation: dict[int, Any] = {}  # called with the tensor itself
        self.retain = False

    def copies(self) -> tuple[dict[int, Any], dict[int, Any]]:
        """Return the functions that are registered now."""
        return dict(self.functions), dict(self.after_accumulation)


class UNDIFFERENTIATED:
    """The op of results of compiled functions that read parameters: no gradient flows through."""

    name, rules = "compiled function", None


class state:  # noqa: N801  a namespace of the process
    """Sequence numbers of in-place changes (last, and per array) and of the last backward pass."""

    last_change = 0
    last_backward = 0  # for autograd.explain, which says why a `.grad` is None
    changes: dict[int, int] = {}  # noqa: RUF012  last change by id of `owner(array)`
    owners: dict[int, Any] = {}  # noqa: RUF012  weak references to these owners
    assigned: dict[int, int] = {}  # noqa: RUF012  last recorded assignment, as `changes`


_assigned = state.assigned
tensor_class: type[Any] = Node  # of results; tensor.py sets it


# Recording


def call_op(op: Op, args: Sequence[Any], settings: dict[str, Any]) -> Tensor:
    """Call `op`; return a tensor, which records the call if an argument requires grad.

    `op(*args, **settings)` is the same after a check of the arguments; functions that have checked
    them call `call_op`, which is faster.
    """
    if _assigned:
        follow_assignments(args)
    arrays, parents, dtype, undifferentiated = _operands(op, args)
    is_usual = dtype is float64 or dtype is float32
    if not is_usual and (promoted := _promoted(op, args, arrays, settings)) is not None:
        return call_op(op, promoted, settings)
    # Before the values are read: another thread may change them.
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
    t._op = op if undifferentiated is None else undifferentiated._op
    t._grad = t._hooks = None
    if parents is not None and flags & _RECORD and op.rules is not None:
        if undifferentiated is not None:
            raise _undifferentiated_error(op, undifferentiated)
        t._requires_grad = True
        t._parents = parents
        t._args = arrays
        t._settings = settings
        t._seq = seq
        return _with_saved_tensors_hooks(t) if flags & _SAVED_TENSORS_HOOKS else t
    t._requires_grad = False
    t._parents = t._args = None
    t._seq = seq if _assigned else 0
    if getattr(out, "base", None) is not None:
        _set_base(t, args, arrays, settings, is_recording=bool(flags & _RECORD))
    return t


def _undifferentiated_error(op: Op, t: Any) -> GraphError:
    return GraphError(
        f"{op.name}: a tensor of shape {t._array.shape} is the result of a compiled function, "
        "through which no gradient flows to the parameters that the function read. Compile the "
        "whole step with its backward(), or pass result.detach(), or call it under no_grad()"
    )


def _with_saved_tensors_hooks(t: Any) -> Tensor:
    t._op = grad_mode.saved_tensors_hooks.get().op_of(t)
    return t  # type: ignore[no-any-return]


def _operands(op: Op, args: Sequence[Any]) -> tuple[list[Any], list[Any] | None, Any, Any]:
    """Return the arrays and numbers of `args`, the parents, and the one dtype of the arrays.

    The parents are None if no argument requires grad, and the dtype is None if there are several.
    The last is an argument through which no gradient flows, as a compiled function returns it.
    """
    arrays: list[Any] = []
    parents: list[Any] = []
    is_tracked = is_mixed = False
    dtype = undifferentiated = None
    for a in args:
        if a.__class__ is tensor_class or isinstance(a, Node):
            array = a._array  # until `_observed_call`
            arrays.append(array)
            other = array.dtype
            if other is not dtype:
                if dtype is None:
                    dtype = other
                else:
                    is_mixed = True
            if a._requires_grad:
                is_tracked = True
                parents.append(a)
                continue
            if a._op is UNDIFFERENTIATED:
                undifferentiated = a
        elif a.__class__ in _PYTHON_SCALARS:
            arrays.append(a)
        else:
            array = operand(a, op.name)
            arrays.append(array)
            is_mixed = is_mixed or getattr(array, "dtype", dtype) is not dtype
        parents.append(None)
    tracked = parents if is_tracked else None
    return arrays, tracked, None if is_mixed else dtype, undifferentiated


def _observed_call(op: Op, args: Sequence[Any], arrays: list[Any], settings: dict[str, Any]) -> Any:
    """Return the result for `arrays`, after those of tensors are replaced by what is read."""
    by = observer()
    for k, a in enumerate(args):
        if isinstance(a, Node):
            arrays[k] = by.read(a)
    return by.call(op, arrays, settings)


def _set_base(
    t: Any, args: Sequence[Any], arrays: list[Any], settings: dict[str, Any], *, is_recording: bool
) -> None:
    """Note of which tensor the unrecorded result `t` is a view; unknown if under `no_grad`."""
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


def leaf_of(array: Any) -> Tensor:
    """Return a leaf around `array`."""
    t: Tensor = _new(tensor_class)
    t._array = observer().stored(array) if _flags() & _OBSERVED else array
    t._op = t._parents = t._args = t._grad = t._hooks = None
    t._requires_grad = False
    t._seq = next_seq()
    return t


def undifferentiated_leaf(array: Any) -> Tensor:
    """Return a leaf that raises where a recorded computation uses it, unless it is detached."""
    t = leaf_of(array)
    t._op = UNDIFFERENTIATED  # type: ignore[assignment]
    return t


def array_of(value: Any) -> Any:
    """Return the array of a tensor; anything else as it is."""
    if not isinstance(value, Node):
        return value
    return observer().read(value) if _flags() & _OBSERVED else value._array


def set_array(t: Any, array: Any) -> None:
    """Give a tensor another array."""
    if _flags() & _OBSERVED:
        observer().write(t, array)
    else:
        t._array = array


def grad_of(t: Any) -> Any:
    """Return the `.grad` of a tensor."""
    return observer().grad(t) if _flags() & _OBSERVED else t._grad


def set_grad(t: Any, grad: Any) -> None:
    """Set the `.grad` of a tensor."""
    if _flags() & _OBSERVED:
        observer().set_grad(t, grad)
    else:
        t._grad = grad


def number_of(value: Any) -> Any:
    """Return a number, or a tensor or array of one element, as a float; or the number of a tracer.

    Where the library reads numbers by this function, and not by `float`, a program may read them
    in each call.
    """
    if value.__class__ is float or value.__class__ is int:
        return float(value)
    array = array_of(value)
    return array.as_number() if hasattr(array, "as_number") else float(array)


def _arrays_in(data: Any) -> Any:
    """Return nested lists with arrays in place of tensors.

    A tensor of one element is a number, as in PyTorch, which refuses others.
    """
    if isinstance(data, Node):
        # By the protocol, which refuses to drop a gradient.
        return array_of(data).reshape(()) if data._array.size == 1 else np.asarray(data)
    if isinstance(data, list | tuple) and any(
        issubclass(kind, Node | list | tuple) for kind in set(map(type, data))
    ):
        return [_arrays_in(v) for v in data]
    return data


def as_array(
    data: Any, dtype: Any = None, *, copy: bool | None = None, what: str = "a tensor"
) -> Any:
    """Return `data` as an array of numbers; Python floats become the default dtype.

    Raises `DtypeError`, which names `what`, unless `data` are real numbers or booleans.
    """
    data = _arrays_in(data) if isinstance(data, list | tuple) else array_of(data)
    if is_non_numpy_array(data):
        return data.astype(data.dtype if dtype is None else dtype, copy=bool(copy))
    refuse_dask(data[0] if isinstance(data, list | tuple) and data else data, what)
    like = observer().like if _flags() & _OBSERVED else None
    try:
        # Without the dtype first: NumPy would convert None, text and complex numbers to it.
        is_array = isinstance(data, np.ndarray | np.generic)
        array = source = data if is_array else np.array(data, copy=copy, like=like)
        if source.dtype.kind in "fiub" and (is_array or dtype is not None):
            array = np.array(data, dtype, copy=copy, like=like)
    except (ValueError, TypeError, OverflowError) as error:
        raise DtypeError(
            f"cannot make {what} of {data!r:.80}; expected real numbers or booleans, in rows of "
            f"equal length. To join tensors, use stack or cat ({error})"
        ) from error
    if source.dtype.kind not in "fiub":
        raise DtypeError(
            f"cannot make {what} of {data!r:.80}: its elements are {source.dtype}; expected real "
            "numbers or booleans, in rows of equal length"
        )
    if not array.dtype.isnative:  # for example from a file with the other byte order
        array = array.astype(array.dtype.newbyteorder("="))
    if dtype is None and array.dtype == np.float64 and not hasattr(data, "dtype"):
        first = data
        while isinstance(first, list | tuple) and len(first):
            first = first[0]
        if not isinstance(first, np.ndarray | np.generic):
            array = array.astype(get_default_dtype(), copy=False)
    return array


def operand(value: Any, function: str) -> Any:
    """Return an operand of `function` as an array or number; tracers and CuPy arrays unchanged.

    Raises `DtypeError` unless it is real numbers or booleans.
    """
    value = array_of(value)
    if value.__class__ in _NUMBERS or (value.__class__ is _ndarray and value.dtype.kind in "fiub"):
        return value
    if hasattr(value, "__array_function__") and not isinstance(value, np.ndarray):
        refuse_dask(value, function)
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return value.item()  # a number does not promote
    return as_array(value, what=f"an operand of {function}")


# In-place changes

changed_memory: ContextVar[list[int] | None] = ContextVar("changed_memory", default=None)
"""A list to which changes in this thread or task append the id of each owner; `vmap` sets it."""


def owner(array: Any) -> Any:
    """Return the object that owns the memory of `array`; all views of one array have the same."""
    while True:
        base = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
        if base is None:
            return array
        array = base


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
            with suppress(TypeError):  # a type without weak references: its entry is never removed
                state.owners[key] = ref(memory_owner, partial(_remove_entries, key))
        changes[key] = seq
        if changed is not None:
            changed.append(key)


def record_changes_by_id(owner_ids: Iterable[int]) -> None:
    """Do as `record_change` for owners that it has seen before; compiled programs call this."""
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


def _check_unchanged(node: Any) -> None:
    """Raise `GraphError` if a value that the rules of `node` read has changed since the call."""
    op = node._op
    for i, a in enumerate(node._parents):
        if a is None:
            continue
        if a._seq > node._seq:
            a = node._parents[i] = _version(a, node._seq)  # noqa: PLW2901
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


def _version(t: Any, seq: int) -> Any:
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
    """Return the tensor of which the result `t` is a view, or None if it is none.

    Raises `GraphError` if it is a view of an unknown tensor, or of a memory that the tensor left.
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
        raise _freed_graph_error(view)
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


# The backward pass


def backward(
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

    The result is a list of pairs [tensor, gradient]. With `inputs`, they are for these tensors, and
    only rules on a path to them are called; tensors on it that retain their gradient get it, too.
    Without, they are for all leaves reached and all tensors that retain their gradient.
    `call_hooks_of_inputs` is False in a pass inside of another one, which calls the hooks of these
    inputs. Gradients are unaliased arrays, or tensors if `create_graph` records the backward pass.
    `require_all` raises for an input that is not reached. If an error is raised, the graph is not
    freed.
    """
    if _assigned:
        follow_assignments((*outputs, *(inputs or ())))
    before = state.last_change
    wanted = needed = None
    if inputs is not None:
        wanted = {id(t) for t in inputs}
        needed = _ids_between(outputs, wanted)
    pass_ = _Pass(
        wanted, needed, create_graph=create_graph, call_hooks_of_inputs=call_hooks_of_inputs
    )
    for output, cotangent in zip(outputs, grad_outputs, strict=True):
        pass_.add(output, cotangent)
    pass_.run()
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
            _check_unchanged(node)


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
    with _accumulation_lock:
        for t, gradient in pairs:
            g, old = gradient, t._grad if by is None else by.grad(t)
            if old is None:
                g = g if isinstance(g, Node) else leaf_of(g)
            elif isinstance(g, Node) or old._requires_grad:
                g = old + g
            elif change_in_place(array_of(old), "__iadd__", g):
                continue
            else:
                g += array_of(old)  # in place, since `g` is unaliased
                g = leaf_of(g)
            if by is None:
                t._grad = g
            else:
                by.set_grad(t, g)
    for t, _ in pairs:  # without the lock: a hook may run another backward pass
        if t._hooks is not None:
            for hook in list(t._hooks.after_accumulation.values()):
                hook(t)


def change_in_place(array: Any, method: str, value: Any) -> bool:
    """Call a method of a NumPy array that changes it; return whether it can be changed."""
    if array.__class__ is not _ndarray or not array.flags.writeable:
        return False
    with mutation_lock:
        getattr(array, method)(value)
        record_change(array)
    return True


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
                    node._parents[:] = [_version(a, node._seq) for a in node._parents]
                reached += node._parents
            elif node._op is not None and id(node) not in wanted:
                raise _freed_graph_error(node)
    needed = set(wanted)
    for node in sorted(nodes, key=_seq_of):
        if any(id(a) in needed for a in node._parents):
            needed.add(id(node))
    return needed


class _Pass:
    """One backward pass: a queue of nodes to visit, latest call first, and the gradients so far."""

    __slots__ = (
        *("call_hooks_of_inputs", "create_graph", "detects_anomaly", "gradients", "is_checked"),
        *("leaves", "needed", "owned", "pending", "queue", "retained", "visited", "wanted"),
    )

    def __init__(
        self,
        wanted: set[int] | None,
        needed: set[int] | None,
        *,
        create_graph: bool,
        call_hooks_of_inputs: bool,
    ) -> None:
        self.create_graph = create_graph
        self.detects_anomaly = bool(_flags() & _DETECT_ANOMALY)
        self.is_checked = create_graph or self.detects_anomaly  # each gradient, by `fitted`
        self.wanted = wanted  # ids of the inputs; None: all leaves reached
        self.call_hooks_of_inputs = call_hooks_of_inputs
        self.needed = needed  # ids of the tensors on a path to an input; None: all
        self.pending: dict[int, Any] = {}  # the gradient so far, by id of the tensor
        self.owned: set[int] = set()  # ids of tensors to whose gradient nothing else refers
        self.queue: list[tuple[int, int, Any]] = []  # the ids decide between states of a tensor
        self.leaves: list[Any] = []
        self.visited: list[Any] = []
        self.gradients: list[list[Any]] = []  # pairs [tensor, gradient] of inputs, or of leaves
        self.retained: list[list[Any]] = []  # beside inputs, of tensors that retain their gradient

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

    def run(self) -> None:
        """Visit all nodes, and complete the gradients; record that if `create_graph`."""
        if self.create_graph:
            with grad_mode.enable_grad():
                self.visit_all()
        else:
            self.visit_all()

    def visit_all(self) -> None:  # noqa: C901, PLR0912  one loop, for speed
        """Visit all nodes: call their rules, and add what these return to the arguments."""
        queue, pending, needed, add = self.queue, self.pending, self.needed, self.add
        visited, calls_finish = self.visited.append, self.wanted is not None
        create_graph, is_checked = self.create_graph, self.is_checked
        last_change = state.last_change
        by = observer() if _flags() & _OBSERVED else None
        while queue:
            node = heappop(queue)[2]
            g = pending.pop(id(node))
            if needed is not None and self.ends_at(node):
                self.finish(node, g)
                continue
            op, out, parents, settings = node._op, node._array, node._parents, node._settings
            if parents is None or last_change > node._seq:
                _check_usable(node)
            visited(node)
            if calls_finish or node._hooks is not None:
                g = self.finish(node, g, is_visited=True)
            if op.run_in_place is not None and g.__class__ is _ndarray and not is_checked:
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
            is_trusted = op.is_builtin and not create_graph
            if rules.__class__ is not tuple and not rules.reads_arguments:
                values = ()
            for a, rule, array in zip(parents, rules, args):  # noqa: B905  endless for a VariadicRule
                if a is None or (needed is not None and id(a) not in needed):
                    continue
                gradient = rule(g, out, *values, **settings) if settings else rule(g, out, *values)
                if (
                    is_checked
                    or gradient.__class__ is not _ndarray
                    or gradient.shape != array.shape
                    or gradient.dtype is not array.dtype
                ):
                    if gradient is NO_GRADIENT:
                        continue
                    gradient = self.fitted(gradient, g, array, node, a)
                is_new = is_trusted and gradient is not g
                add(a, gradient, is_new and (gradient.base is None or _owns_memory(gradient)))
        for a in self.leaves:
            g = pending.pop(id(a))
            if calls_finish or create_graph or a._hooks is not None or id(a) not in self.owned:
                self.finish(a, g)
            else:  # the usual case
                self.gradients.append([a, g])

    def ends_at(self, node: Any) -> bool:
        """Return whether `node` is an input, or an output, that depends on no other input."""
        return not any(id(a) in self.needed for a in node._parents or ())  # type: ignore[operator]

    def fitted(self, gradient: Any, g: Any, array: Any, node: Any, a: Any) -> Any:
        """Return what a rule of `node` returned in the shape and dtype of `array`, that of `a`."""
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
        """Append the gradient of `a` to `pairs`, unaliased: after a visit, the pass reads it on."""
        if self.create_graph:
            g = g.clone()
        elif is_visited:
            g = g.copy()
        else:
            g = self.unaliased(a, g)
            self.owned.discard(id(a))
        pairs.append([a, g])


def _check_usable(node: Any) -> None:
    """Raise `GraphError` if the graph of `node` was freed, or a value that it needs has changed."""
    if node._parents is None:
        raise _freed_graph_error(node)
    _check_unchanged(node)


def _owns_memory(array: Any) -> bool:
    return is_non_numpy_array(array) and bool(array.flags.owndata)


def _freed_graph_error(node: Any) -> GraphError:
    return GraphError(
        f"the graph was freed by an earlier backward pass, at the {node._op.name} that returned a "
        f"tensor of shape {node._array.shape}. Run the forward pass again before each backward(); "
        "detach() values that are carried from one iteration to the next; or keep the graph with "
        "backward(retain_graph=True)."
    )


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
        gradient = widened(gradient)
        with np.errstate(invalid="ignore"):  # inf - inf is NaN, visible without a warning
            gradient = gradient.sum(axis=(*range(extra), *broadcast_axes), keepdims=True).reshape(
                array.shape
            )
    return gradient if gradient.dtype == array.dtype else gradient.astype(array.dtype)


def scalar_to_array(value: Any) -> Any:
    """Return a scalar as an array, and an array of any library unchanged."""
    return np.asarray(value) if isinstance(value, _SCALARS) else value


def constant_like(array: Any, other: Any) -> Any:
    """Return the NumPy array `array`, a constant, in the library and dtype of `other`."""
    other = array_of(other)
    if is_non_numpy_array(other):
        return np.asarray(array, other.dtype, like=other)
    return array.astype(other.dtype)


def _argument_name(node: Any, a: Any) -> str:
    i = next(k for k, parent in enumerate(node._parents) if parent is a)
    return f"{node._op.name} for {node._op.argument(i)}"


def _broadcasts_to(shape: tuple[int, ...], to: tuple[int, ...], result: tuple[int, ...]) -> bool:
    """Return whether `shape` broadcasts to `to`, by sizes of the axes of the op's `result` only."""
    if len(shape) > len(to):
        return False
    padded = (1,) * (len(to) - len(shape)) + shape
    aligned = (-1,) * (len(to) - len(result)) + result[max(0, len(result) - len(to)) :]
    return all(n == m or (n == 1 and m == r) for n, m, r in zip(padded, to, aligned, strict=True))


def _call_hooks(node: Any, hooks: GradientHooks, g: Any, *, create_graph: bool) -> Any:
    """Call the hooks of `node` with its complete gradient `g`, and return the result."""
    # A copy, since the memory may be that of the cotangent or of other gradients.
    shown = g.clone() if create_graph else leaf_of(g.copy())
    with nullcontext() if create_graph else grad_mode.no_grad():
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
