"""What is put in place of the library's own while a trace runs, and taken out again after it.

A trace has to see what is read and made, and nothing may be paid for that when no trace runs. So
the slots of tensors, of operations and of a few other classes are properties for that time, and
the modules of this package find functions that know tracers under the names of those that do not
(`np.asarray`, `float`). Each answers for the tracing thread, and does what it stands for in others.
"""

from __future__ import annotations

import functools
import inspect
import sys
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

from tinygrad_fc import random
from tinygrad_fc.compiler.elements import is_array
from tinygrad_fc.compiler.kept import States
from tinygrad_fc.compiler.program import CompileError, Place
from tinygrad_fc.compiler.refusal import UnknownError, refusal, refuse_made
from tinygrad_fc.compiler.session import running, tracing
from tinygrad_fc.compiler.spelled import replacements
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.compiler.watch import SLOTS
from tinygrad_fc.graph import Node
from tinygrad_fc.nn.module import Module
from tinygrad_fc.op import Each, Op
from tinygrad_fc.ops.index import getitem
from tinygrad_fc.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.compiler.watch import Watch

# Slots


def _slot(name: str, read: str, write: str) -> property:
    slot = SLOTS[name]

    def get(self: Any) -> Any:
        watch = tracing()
        return slot.__get__(self) if watch is None else getattr(watch, read)(self)

    def put(self: Any, value: Any) -> None:
        watch = tracing()
        if watch is None:
            slot.__set__(self, value)
        else:
            getattr(watch, write)(self, value)

    return property(get, put)


# Operations

_FORWARD, _RULES = Op.__dict__["forward"], Op.__dict__["rules"]


def _forward(op: Any) -> Any:
    forward = _FORWARD.__get__(op)
    watch = tracing()
    return forward if watch is None else functools.partial(_noted, watch, op, forward, -1)


def _noted(watch: Watch, op: Any, function: Any, rule: int, *args: Any, **settings: Any) -> Any:
    """Call the function of an operation, or one of its rules; note it down whole if need be."""
    if any(isinstance(a, Node) for a in args):  # a recorded walk: its parts are operations
        return function(*args, **settings)
    if any(type(a) is Tracer for a in args):  # the methods of an array know no tracers
        args = tuple(watch.array(a) if is_array(a) else a for a in args)
    before, mark = watch.place, len(watch.program.instructions)
    call = watch.call_of(args[1]) if rule >= 0 else None
    watch.place = Place(watch.calls if call is None else call, op.name, rule)
    if rule < 0 and before is None:
        watch.calls += 1
    elif rule < 0 and before is not None:
        watch.place = before._replace(row=op.name)
    watch.depth += 1
    try:
        out = function(*args, **settings)
    except UnknownError as error:
        if op is getitem:  # of whose result not even the shape is known
            watch.refused = watch.refused or CompileError(str(error))
            raise watch.refused from None
        del watch.program.instructions[mark:]
        out = watch.generic(function, args, settings, "call")
    finally:
        watch.depth -= 1
        made_at, watch.place = watch.place, before
    if rule < 0 and type(out) is Tracer:
        watch.made_by[id(out)] = (out, made_at.call)
    return out


@functools.cache
def _rule(op: Any, i: int, rule: Any) -> Any:
    @functools.wraps(rule)
    def noted(*args: Any, **settings: Any) -> Any:
        watch = tracing()
        if watch is None:
            return rule(*args, **settings)
        return _noted(watch, op, rule, i, *args, **settings)

    noted.__signature__ = inspect.signature(rule)  # type: ignore[attr-defined]
    return noted


def _rules(op: Any) -> Any:
    rules = _RULES.__get__(op)
    if tracing() is None or rules is None or isinstance(rules, Each):
        return rules
    return [_rule(op, i, rule) for i, rule in enumerate(rules)]


# Modules

_SET, _DEL = Module.__setattr__, Module.__delattr__


def _attribute(self: Any, name: str) -> Any:
    watch = tracing()
    try:
        value = object.__getattribute__(self, name)
    except AttributeError:
        if watch is not None:
            watch.no_attribute(self, name)
        raise
    if watch is not None:
        watch.attribute(self, name, value)
    return value


def _set_attribute(self: Any, name: str, value: Any) -> None:
    watch = tracing()
    if watch is not None:
        if isinstance(value, Node) and not watch.is_outside(value):
            refuse_made(self, name)
        watch.assign_attribute(self, name, value)
    _SET(self, name, value)


def _del_attribute(self: Any, name: str) -> None:
    if tracing() is not None:
        raise refusal(
            f"the attribute {name!r} of a module is deleted:",
            "Set it to None, or delete it outside of the compiled function.",
        )
    _DEL(self, name)


# Optimizers


def _groups_of(self: Any) -> Any:
    real = self.__dict__["param_groups"]
    watch = tracing()
    if watch is None or id(self) in watch.own:
        return real
    return watch.groups(self, real)


def _set_groups(self: Any, value: Any) -> None:
    watch = tracing()
    if watch is not None:
        if "param_groups" in self.__dict__ and id(self) not in watch.own:
            raise refusal(
                "the groups of an optimizer are set:", "Load its state outside of the function."
            )
        watch.own[id(self)] = self
    self.__dict__["param_groups"] = value


def _state_of(self: Any) -> Any:
    real = self.__dict__["state"]
    watch = tracing()
    if watch is None or id(self) in watch.own:
        return real
    return States(watch, self, real)


def _set_state(self: Any, value: Any) -> None:
    watch = tracing()
    if watch is not None:
        watch.own[id(self)] = self
    self.__dict__["state"] = value


def _refused(original: Any, what: str, advice: str) -> Any:
    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        watch = tracing()
        if watch is None or id(self) in watch.own:
            return original(self, *args, **kwargs)
        raise refusal(what, advice)

    return method


# Random numbers

_RNG = random.Generator.__dict__["rng"]


def _rng(self: Any) -> Any:
    watch = tracing()
    return _RNG.fget(self) if watch is None else watch.random(self, _RNG.fget(self))


_ABSENT = object()


@contextmanager
def placed(watch: Watch) -> Iterator[None]:
    """Put all stand-ins in place, and take them out at the end. One trace runs at a time."""
    undo: list[tuple[Any, str, Any]] = []
    try:
        for owner, name, value in [*_classes(), *replacements()]:
            undo.append((owner, name, vars(owner).get(name, _ABSENT)))
            setattr(owner, name, value)
        running.thread = get_ident()  # first: it is asked of where there is a trace
        running.watch = watch
        yield
    finally:
        running.watch = None
        for owner, name, value in reversed(undo):
            if value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


def _classes() -> Iterator[tuple[Any, str, Any]]:
    """Yield attributes of classes, and what is put in their place."""
    for name in ("_array", "_grad", "_requires_grad"):
        yield Node, name, _slot(name, f"read{name}", f"set{name}")
    yield Op, "forward", property(_forward, _FORWARD.__set__)
    yield Op, "rules", property(_rules, _RULES.__set__)
    yield Optimizer, "param_groups", property(_groups_of, _set_groups)
    yield Optimizer, "state", property(_state_of, _set_state)
    yield Module, "__getattribute__", _attribute
    yield Module, "__setattr__", _set_attribute
    yield Module, "__delattr__", _del_attribute
    yield random.Generator, "rng", property(_rng)
    for owner, name, what, advice in _refusals():
        yield owner, name, _refused(vars(owner)[name], what, advice)


def _refusals() -> Iterator[tuple[Any, str, str, str]]:
    """Yield methods that no program can replay, and what to do instead."""
    outside = "Call it outside of the compiled function."
    yield random.Generator, "manual_seed", "a generator is seeded:", outside
    yield random.Generator, "set_state", "the state of a generator is set:", outside
    yield Optimizer, "load_state_dict", "the state of an optimizer is loaded:", outside
    yield Optimizer, "add_param_group", "an optimizer gets another group:", outside
    for path, base, what in (
        ("tinygrad_fc.optim.lbfgs", "LBFGS", "LBFGS decides by values how far it goes:"),
        ("tinygrad_fc.optim.lr_scheduler", "LRScheduler", "a scheduler takes its step:"),
    ):
        classes = [getattr(sys.modules.get(path), base, None)]
        while classes:
            found = classes.pop()
            if found is not None:
                classes += found.__subclasses__()
                if "step" in vars(found):
                    yield found, "step", what, outside
