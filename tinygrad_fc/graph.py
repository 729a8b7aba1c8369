"""Record a call; run the backward pass.

A recorded result keeps the op that made it, its arguments and its number in the order of all calls.
The backward pass needs nothing else: later calls come first, each rule's gradient is added to that
of its argument. Only here is it decided which rules are called, how broadcasting is undone, which
dtype and shape a gradient has, what is freed, and whether a value that a rule reads is still the
one of the forward pass.

In-place changes take a number from the same counter. A value that changed after the call that
needs it was recorded has the larger number; where nothing at all has changed since, which is the
rule in training, that one comparison is the whole cost.
"""

from __future__ import annotations

from _thread import RLock, allocate_lock  # `threading` costs an import half a millisecond
from contextlib import nullcontext, suppress
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter
from sys import getrefcount
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.device import computes_elsewhere, refuse_lazy
from tinygrad_fc.errors import DtypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinygrad_fc.op import Op
    from tinygrad_fc.tensor import Tensor

tick = count(1).__next__
_number = attrgetter("_seq")
_new = object.__new__
_flags = grad_mode.flags.get
_RECORD, _WATCH = grad_mode.RECORD, grad_mode.WATCH
_PLAIN = frozenset((float, int, bool, type(None)))
_SCALARS = (np.generic, float, int)
_delivery = allocate_lock()
changing = RLock()
"""Held while memory is changed in place and the change noted: no backward pass ends in between."""

NOTHING = object()
"""What a rule returns that has no gradient for its argument, which is then not reached."""


class Node:
    """What the graph knows of a tensor; `Tensor` adds what its users see."""

    __slots__ = (
        *("__weakref__", "_args", "_array", "_grad", "_op", "_parents", "_requires_grad", "_seq"),
        *("_settings", "_watch"),
    )

    _array: Any
    _requires_grad: bool
    _grad: Any  # a Tensor, or None
    _op: Op | None  # the op that made it, for messages when the rest is freed; None for a leaf
    _parents: list[Any] | None  # its arguments that require grad, None for one that does not
    _args: list[Any] | None  # the arrays and numbers of the call; None for a leaf, or when freed
    _settings: dict[str, Any]
    _seq: int
    _watch: Watch | None  # hooks and retained gradients; few tensors have any


class Watch:
    """What happens to a tensor's gradient when the backward pass has all of it."""

    __slots__ = ("hooks", "retain")

    def __init__(self) -> None:
        self.hooks: dict[int, Any] = {}
        self.retain = False


class state:  # noqa: N801  a namespace of the process
    """Numbers of the last in-place change, in all and by array, and of the last backward pass."""

    changed = 0
    walked = 0
    changes: dict[int, int] = {}  # noqa: RUF012  by id of the owner of the memory, while it lives
    owners: dict[int, Any] = {}  # noqa: RUF012  weak references to these owners
    tensor: type[Any] = Node


# Recording


def record(op: Op, args: Sequence[Any], settings: dict[str, Any]) -> Tensor:
    """Call `op` on the arrays of `args`; return a tensor that remembers the call if it matters."""
    arrays: list[Any] = []
    parents: list[Any] = []
    tracked = False
    for a in args:
        if isinstance(a, Node):
            arrays.append(a._array)
            if a._requires_grad:
                tracked = True
                parents.append(a)
                continue
        else:
            arrays.append(a if a.__class__ in _PLAIN else operand(a, op))
        parents.append(None)
    seq = tick() if tracked else 0  # before the values are read: another thread may change them
    try:
        out = op.forward(*arrays, **settings) if settings else op.forward(*arrays)
    except Exception as error:
        op.refuse(error, arrays, settings)
        raise
    if out.__class__ is not np.ndarray and isinstance(out, _SCALARS):
        out = np.asarray(out)
    t: Tensor = _new(state.tensor)
    t._array = out
    t._op = op
    t._grad = t._watch = None
    flags = _flags()
    if flags & _WATCH:
        op.watch(out, arrays)
    if tracked and flags & _RECORD and op.rules is not None:
        t._requires_grad = True
        t._parents = parents
        t._args = arrays
        t._settings = settings
        t._seq = seq
        if state.changed > seq:
            _forget_own_changes(out, arrays)
    else:
        t._requires_grad = False
        t._parents = t._args = None
        t._seq = 0
    return t


def wrap(array: Any) -> Tensor:
    """Return a leaf around `array`."""
    t: Tensor = _new(state.tensor)
    t._array = array
    t._op = t._parents = t._args = t._grad = t._watch = None
    t._requires_grad = False
    t._seq = tick()
    return t


def operand(value: Any, op: Op) -> Any:
    """Return an operand of `op` as an array of numbers; an array of another library as it is."""
    if not isinstance(value, np.ndarray) and hasattr(value, "__array_function__"):
        refuse_lazy(value, op.name)
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DtypeError(
            f"{op.name} takes tensors, arrays and lists of real numbers, got {value!r:.80}, "
            "whose rows must have one length"
        ) from error
    if array.dtype.kind not in "fiub":
        raise DtypeError(
            f"{op.name} takes tensors, arrays and lists of real numbers, got {value!r:.80}, "
            f"whose elements are {array.dtype}"
        )
    return array


# In-place changes


def owner(array: Any) -> Any:
    """Return the object that owns the memory of `array`, which all views of it gradient."""
    while True:
        base = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
        if base is None:
            return array
        array = base


def changed(*arrays: Any) -> None:
    """Note that the memory of `arrays` has been changed in place.

    The caller holds `changing` until this is done.
    """
    state.changed = now = tick()
    changes = state.changes
    for array in arrays:
        of = array if array.base is None else owner(array)
        key = id(of)
        if key not in changes:
            with suppress(TypeError):  # memory of another library, whose entry stays
                state.owners[key] = ref(of, _Forget(key))
        changes[key] = now


def changed_again(keys: Iterable[int]) -> None:
    """Note changes of memory that `changed` has noted before, by the ids of its owners."""
    state.changed = now = tick()
    state.changes.update(dict.fromkeys(keys, now))


class _Forget:
    """Callback that forgets the changes of memory that is freed."""

    __slots__ = ("key",)

    def __init__(self, key: int) -> None:
        self.key = key

    def __call__(self, _: Any, state: Any = state) -> None:  # a module is emptied at exit
        state.owners.pop(self.key, None)
        state.changes.pop(self.key, None)


def _forget_own_changes(out: Any, arrays: Sequence[Any]) -> None:
    """Forget that a forward function changed its result before it returned it."""
    key = id(owner(out))
    if key not in {id(owner(a)) for a in arrays}:
        state.changes.pop(key, None)


def _unchanged(node: Any) -> None:
    """Raise where a rule of `node` that will be called reads a value that changed since."""
    op = node._op
    for i, a in enumerate(node._parents):
        if a is None:
            continue
        then, now = node._args[i], a._array
        if (then.shape, then.dtype) != (now.shape, now.dtype):
            raise GraphError(
                f"{op.name} was computed from a tensor of shape {then.shape} and dtype "
                f"{then.dtype}, whose data have shape {now.shape} and dtype {now.dtype} now: "
                "compute the result again, or call backward() before the change."
            )
        for what, array in op.reads(i, node._array, node._args):
            if state.changes.get(id(owner(array)), 0) > node._seq:
                raise GraphError(
                    f"{op.name} needs its {what} of shape {np.shape(array)} for the derivative, "
                    "and that was changed in place since the forward pass. Write the change out of "
                    "place (`x = x + 1` for `x += 1` or `x.add_(1)`), change a copy "
                    "(`x.clone()`), or call backward() before the change."
                )


# The backward pass


def backward(
    roots: Sequence[Any],
    seeds: Sequence[Any],
    inputs: Sequence[Any] | None = None,
    *,
    retain: bool = False,
    create: bool = False,
    every: bool = False,
) -> list[list[Any]]:
    """Return pairs of a tensor and its gradient, from the gradients `seeds` of `roots`.

    The pairs are for `inputs` if there are any, and no rule is called that leads to none of them;
    else for the leaves that were reached and the results that retain their gradient. A gradient is
    an unaliased array; with `create`, which records the backward pass, a tensor. With `every`, an
    input that is not reached is an error. On an error nothing is changed: the graph may be used
    again.
    """
    before = state.changed
    wanted = needed = None
    if inputs is not None:
        wanted = {id(t) for t in inputs}
        needed = _leading_to(roots, wanted)
    pass_ = _Pass(wanted, needed)
    for root, seed in zip(roots, seeds, strict=True):
        pass_.add(root, seed)
    del seeds
    if create:
        with grad_mode.enable_grad():
            pass_.run(create=True)
            found = [[t, g.clone()] for t, g in pass_.gradients]
    else:
        pass_.run(create=False)
        found = pass_.gradients
        _own(found)
    with changing:
        moved = state.changed != before  # by another thread, or by a rule
    if moved:
        for node in pass_.done:
            _unchanged(node)
    if every and inputs is not None:
        _all_reached(inputs, {id(t) for t, _ in found})
    state.walked = tick()
    if not (retain or create):
        for node in pass_.done:
            node._parents = node._args = None
    return found


def _all_reached(inputs: Sequence[Any], reached: set[int]) -> None:
    for k, t in enumerate(inputs):
        if id(t) not in reached:
            raise GraphError(
                f"the outputs do not depend on input {k} (shape {t.shape}): pass allow_unused=True "
                "for None in its place, or materialize_grads=True for zeros"
            )


def deliver(found: Iterable[list[Any]]) -> None:
    """Add each gradient to its tensor's `.grad`."""
    with _delivery:
        for t, gradient in found:
            g, old = gradient, t._grad
            if old is None:
                t._grad = g if isinstance(g, Node) else wrap(g)
            elif isinstance(g, Node) or old._requires_grad:
                t._grad = old + g
            else:
                g += old._array  # ours alone, and not seen by anybody yet
                t._grad = wrap(g)


def _leading_to(roots: Sequence[Any], wanted: set[int]) -> set[int]:
    """Return the ids of all that `roots` depend on and that depends on the `wanted`, or is one."""
    nodes: list[Any] = []
    seen = set()
    reached = list(roots)
    while reached:
        node = reached.pop()
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            if node._parents is not None:
                nodes.append(node)
                reached += node._parents
            elif node._op is not None and id(node) not in wanted:
                raise _used(node)
    needed = set(wanted)
    for node in sorted(nodes, key=_number):
        if any(id(a) in needed for a in node._parents):
            needed.add(id(node))
    return needed


class _Pass:
    """One backward pass: the nodes still to visit, later calls first, and the gradients found."""

    __slots__ = ("done", "ends", "gradients", "needed", "pending", "queue", "wanted")

    def __init__(self, wanted: set[int] | None, needed: set[int] | None) -> None:
        self.wanted, self.needed = wanted, needed
        self.pending: dict[int, Any] = {}  # the gradient so far, by id of the tensor
        self.queue: list[tuple[int, Any]] = []
        self.ends: list[Any] = []
        self.done: list[Any] = []
        self.gradients: list[list[Any]] = []

    def add(self, a: Any, gradient: Any) -> None:
        """Add to the gradient of `a`, which is visited when all later calls are."""
        key = id(a)
        if key in self.pending:
            total = self.pending[key] + gradient
            self.pending[key] = np.asarray(total) if isinstance(total, np.generic) else total
            return
        self.pending[key] = gradient
        if a._op is None:
            self.ends.append(a)
        else:
            heappush(self.queue, (-a._seq, a))

    def run(self, *, create: bool) -> None:  # noqa: C901, PLR0912  one loop, for speed
        """Visit all nodes, filling `gradients` and `done`."""
        queue, pending, needed, ends = self.queue, self.pending, self.needed, self.ends
        done, any_wanted = self.done.append, self.wanted is not None
        watching, last_change = _flags() & _WATCH, state.changed
        while queue:
            node = heappop(queue)[1]
            g = pending.pop(id(node))
            op, out, parents, args = node._op, node._array, node._parents, node._args
            settings = node._settings
            if needed is not None and not any(id(b) in needed for b in parents or ()):
                self.finish(node, g, create=create)  # an input: the op that made it is not used
                continue
            if parents is None:
                raise _used(node)
            if last_change > node._seq:
                _unchanged(node)
            done(node)
            if any_wanted or node._watch is not None:
                g = self.finish(node, g, create=create)
            values = args
            if create:
                out = node
                values = [v if a is None else a for v, a in zip(args, parents, strict=True)]
            if op.outer is not None:
                g = op.outer.rules[0](g, out, None)
            for a, rule, array in zip(parents, op.rules, args):  # noqa: B905  Each has no end
                if a is None or (needed is not None and id(a) not in needed):
                    continue
                gradient = rule(g, out, *values, **settings) if settings else rule(g, out, *values)
                if (
                    gradient.__class__ is not np.ndarray
                    or gradient.shape != array.shape
                    or gradient.dtype is not array.dtype
                ):
                    if gradient is NOTHING:
                        continue
                    gradient = _fitted(gradient, array, node, a, create=create)
                if watching:
                    op.watch_rule(gradient, g, _named(node, a))
                key = id(a)
                if key in pending:
                    self.add(a, gradient)
                else:
                    pending[key] = gradient
                    if a._op is None:
                        ends.append(a)
                    else:
                        heappush(queue, (-a._seq, a))
        for a in ends:
            if a._watch is None and not any_wanted:
                self.gradients.append([a, pending.pop(id(a))])
            else:
                self.finish(a, pending.pop(id(a)), create=create)

    def finish(self, a: Any, g: Any, *, create: bool) -> Any:
        """Keep the whole gradient of `a` if it is wanted; return it as its hooks changed it."""
        watch = a._watch
        if watch is not None and watch.hooks:
            g = _shown(a, watch, g, create=create)
        if self.wanted is not None:
            keep = id(a) in self.wanted
        else:
            keep = a._op is None or (watch is not None and watch.retain)
        if keep:
            self.gradients.append([a, g])
        return g


def _used(node: Any) -> GraphError:
    return GraphError(
        f"the graph was already used: a backward pass went through the {node._op.name} that made "
        f"the tensor of shape {node._array.shape}, and freed it. Compute the result anew for each "
        "backward(); where a value is carried from one iteration to the next, cut it off with "
        "detach(); or keep the graph with backward(retain_graph=True)."
    )


def _fitted(gradient: Any, array: Any, node: Any, a: Any, *, create: bool) -> Any:
    """Return the gradient that a rule returned for `array`, with its shape, dtype and kind."""
    if create:
        gradient = gradient if isinstance(gradient, Node) else wrap(as_plain(gradient))
    elif isinstance(gradient, Node):
        gradient = gradient._array
    else:
        gradient = as_plain(gradient)
    if not hasattr(gradient, "astype") or gradient.dtype.kind not in "fiub":
        raise GraphError(
            f"the rule of {_named(node, a)} returned {gradient!r:.80}; expected an array of real "
            f"numbers, the gradient of that argument, of shape {array.shape}"
        )
    if gradient.shape != array.shape:
        if not _broadcast(array.shape, gradient.shape, node._array.shape):
            raise ShapeError(
                f"the rule of {_named(node, a)} returned a gradient of shape {gradient.shape}; "
                f"expected {array.shape}, the shape of that argument (or what it broadcasts to in "
                f"the result, which has shape {node._array.shape})"
            )
        extra = gradient.ndim - array.ndim
        stretched = [extra + k for k, n in enumerate(array.shape) if n != gradient.shape[extra + k]]
        with np.errstate(invalid="ignore"):  # infinities that cancel say so by themselves
            gradient = gradient.sum(axis=(*range(extra), *stretched), keepdims=True).reshape(
                array.shape
            )
    return gradient if gradient.dtype == array.dtype else gradient.astype(array.dtype)


def as_plain(value: Any) -> Any:
    """Return a scalar as an array, and an array of any library as it is."""
    return np.asarray(value) if isinstance(value, _SCALARS) else value


def constant_like(array: Any, other: Any) -> Any:
    """Return a constant NumPy array with the dtype of `other` and in its library."""
    like = other._array if isinstance(other, Node) else other
    if computes_elsewhere(like):
        return np.asarray(array, like.dtype, like=like)
    return array.astype(like.dtype)


def _named(node: Any, a: Any) -> str:
    i = next(k for k, parent in enumerate(node._parents) if parent is a)
    return f"{node._op.name} for {node._op.argument(i)}"


def _broadcast(shape: tuple[int, ...], to: tuple[int, ...], result: tuple[int, ...]) -> bool:
    """Return whether `shape` became `to` by the broadcasting that gave `result`."""
    if len(shape) > len(to):
        return False
    padded = (1,) * (len(to) - len(shape)) + shape
    aligned = (-1,) * (len(to) - len(result)) + result[max(0, len(result) - len(to)) :]
    return all(n == m or (n == 1 and m == r) for n, m, r in zip(padded, to, aligned, strict=True))


def _shown(node: Any, watch: Watch, g: Any, *, create: bool) -> Any:
    """Return the whole gradient of `node` as its hooks changed it."""
    # A copy, since the memory may be that of the seed or of other gradients.
    shown = g.clone() if create else wrap(g.copy())
    with nullcontext() if create else grad_mode.no_grad():
        for hook in list(watch.hooks.values()):
            given = hook(shown)
            if given is None:
                continue
            if not isinstance(given, Node) or given._array.shape != node._array.shape:
                raise ShapeError(
                    f"a hook returned {given!r:.80} in place of a gradient; expected None, or a "
                    f"tensor of shape {node._array.shape}"
                )
            if given._array.dtype != node._array.dtype:
                given = given.to(node._array.dtype)  # type: ignore[attr-defined]
            shown = given
    return shown if create else shown._array


def _own(found: list[list[Any]]) -> None:
    """Copy each gradient whose memory something else refers to."""
    for pair in found:
        g = pair[1]
        # An array that a rule has just created has one reference.
        if (
            g.__class__ is not np.ndarray
            or getrefcount(g) != _ALONE
            or g.base is not None
            or not g.flags.writeable
        ):
            pair[1] = g.copy()


def _references() -> int:
    """Return the number of references to an array that only such a pair holds."""
    pair: list[Any] = [None, np.zeros(1)]
    g = pair[1]
    return getrefcount(g)


_ALONE = _references()
