"""Run a function once with tracers; return what it did as a program."""

from __future__ import annotations

import gc
import sys
import traceback
import weakref
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.compiler import standins
from tinygrad_fc.compiler.boundary import Boundary
from tinygrad_fc.compiler.contents import taken_back
from tinygrad_fc.compiler.escaped import place_of
from tinygrad_fc.compiler.program import (
    Argument,
    Change,
    CompileError,
    Held,
    Option,
    State,
)
from tinygrad_fc.compiler.refusal import kind_of, line_of, refusal
from tinygrad_fc.compiler.returned import returned
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.compiler.tree import flatten, unflatten
from tinygrad_fc.compiler.watch import SLOTS, Watch
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType

    from tinygrad_fc.compiler.program import Program

_SOMEWHERE = "a list, an attribute or a global name"
one_at_a_time = RLock()
"""Held while a trace runs: the stand-ins answer for one thread at a time."""


def trace(function: Callable[..., Any], args: Any, kwargs: Any, name: str) -> Program:
    """Return the program of `function` for arguments like these; nothing is changed.

    Raises `CompileError` for what no program can replay, and what the function raises.
    """
    watch = Watch(name)
    try:
        return _traced(watch, function, args, kwargs)
    except BaseException as error:
        watch.over, watch.broken = True, (str(error) or type(error).__name__).split("\n")[0]
        if isinstance(error, CompileError) or watch.refused is not None:
            for guard in watch.guards.values() or watch.program.guards:
                taken_back(guard)
        _let_go(watch)
        foreign = _of_another_library(error)
        if foreign is not None:
            raise foreign from error
        raise


def _of_another_library(error: BaseException) -> CompileError | None:
    """Return what to raise where another library did not know what to do with a stand-in."""
    if isinstance(error, CompileError) or Tracer.__name__ not in str(error):
        return None
    at = "an unknown line"
    for frame, number in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if kind_of(code.co_filename) == "user":
            at = line_of(code.co_filename, number, frame.f_globals)
    return CompileError(
        f"{at}\nanother library was handed an array that stands for others in later calls, and "
        f"raised {type(error).__name__}. Call it outside of the compiled function, and hand over "
        "what it returns."
    )


def _traced(watch: Watch, function: Callable[..., Any], args: Any, kwargs: Any) -> Program:
    leaves, spec = flatten((args, kwargs))
    watch.program.leaves = len(leaves)
    watch.argument_names = _argument_names(function, args)
    stand_ins = _stand_ins(watch, leaves)
    boundary = Boundary(watch, function)
    boundary.reach.handed(leaves)
    with one_at_a_time:
        with standins.placed(watch):
            before, flags = sys.getprofile(), grad_mode.flags.get()
            sys.setprofile(boundary.event)
            try:
                given, named = unflatten(spec, stand_ins)
                made = function(*given, **named)
                watch.heed()
                at = boundary.reach.line
                _same_mode(flags, at)
                _same_arguments(flatten((given, named)), (stand_ins, spec), at)
            except BaseException:
                grad_mode.flags.set(flags)
                boundary.reach.undo()
                raise
            finally:
                _profiled(before)
                watch.restore()
            watch.program.result = returned(watch, made, at)
            watch.program.writes = list(watch.writes())
            watch.lying()
            _apart(watch)
        watch.over = True
        del made, given, named
        boundary.close(function)
    _close(watch, stand_ins, boundary.reach.elements.codes)
    return watch.program


def _same_arguments(after: Any, before: Any, at: str | None) -> None:
    (leaves, spec), (stand_ins, same) = after, before
    if spec != same or any(a is not b for a, b in zip(leaves, stand_ins, strict=True)):
        raise refusal(
            "a list or a dict that is an argument gets other contents in the function, which "
            "would be done to a copy.",
            "Return what is new, and put it there outside of the compiled function.",
            at,
        )


def _same_mode(before: int, at: str | None) -> None:
    if grad_mode.flags.get() != before:
        raise refusal(
            "the function turns gradients on or off for what follows it, which would be done by "
            "its first call only.",
            "Do it outside, or within the function: with tinygrad_fc.set_grad_enabled(mode): ...",
            at,
        )


def _profiled(by: Any) -> None:
    """Have the interpreter tell of its events whom it told before."""
    if by is None or callable(by):
        sys.setprofile(by)
    else:  # cProfile, which is no function of Python's
        sys.setprofile(None)
        by.enable()


def _apart(watch: Watch) -> None:
    """Refuse to change memory that another input sees."""
    memory = watch.memories()
    for write in watch.program.writes:
        if isinstance(write, Change):
            mine = memory[write.target]
            for number, array in memory.items():
                if number != write.target and np.may_share_memory(array, mine):
                    raise refusal(
                        f"an array of shape {mine.shape} is changed, and another one, of shape "
                        f"{array.shape}, that the function goes by shares its memory.",
                        "Make one of them a copy: clone().",
                    )


def _argument_names(function: Any, args: Any) -> list[str]:
    """Return the names of arguments by position, as long as each is one leaf."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    found = list(code.co_varnames[: code.co_argcount]) if code else []
    plain = [not isinstance(a, tuple | list | dict) for a in args]
    return found[: plain.index(False) if False in plain else len(plain)]


def _stand_ins(watch: Watch, leaves: list[Any]) -> list[Any]:
    """Return what the function gets in place of its arguments: tensors of tracers."""
    known: dict[int, Any] = {}
    made = []
    for index, leaf in enumerate(leaves):
        if id(leaf) in known:
            made.append(known[id(leaf)])
            continue
        stand_in = leaf
        if isinstance(leaf, Node):
            stand_in = _tensor(watch, index, leaf)
        elif isinstance(leaf, np.ndarray):
            stand_in = watch.enter(Argument(index), leaf)
        elif isinstance(leaf, np.generic):
            watch.given[id(leaf)] = index
        known[id(leaf)] = stand_in
        made.append(stand_in)
    return made


def _tensor(watch: Watch, index: int, given: Any) -> Any:
    if not given.is_leaf:
        raise refusal(
            f"argument {index} is the result of {given._op.name}, whose graph the compiled "
            "function does not see.",
            "Hand over x.detach(), or compute it inside.",
        )
    t = object.__new__(type(given))
    t._array = watch.enter(Argument(index), given._array)
    t._op = t._parents = t._args = t._grad = None
    t._watch = given._watch
    t._requires_grad, t._seq = given._requires_grad, given._seq
    watch.arguments[id(t)] = (index, given)
    watch.given[id(given)] = index
    watch.outside[id(t)] = t
    watch.made.append((weakref.ref(t), None))
    return t


def names(watch: Watch) -> dict[int, str]:
    """Return what to call the inputs in the source: parameters by their paths in the model."""
    below = {id(m) for top in watch.modules.values() for m in top.modules() if m is not top}
    found: dict[int, str] = {}
    for top in watch.modules.values():
        if id(top) not in below:
            for path, tensor in (*top.named_parameters(), *top.named_buffers()):
                found.setdefault(id(tensor), path)
    named: dict[int, str] = {}
    for number, source in watch.program.inputs.items():
        match source:
            case Held(tensor) if id(tensor) in found:
                named[number] = found[id(tensor)]
            case State(_, tensor, key) if id(tensor) in found:
                named[number] = f"{found[id(tensor)]}.{key}"
            case Option(_, group, key, item):
                named[number] = f"{key}{group or ''}" + ("" if item is None else f"_{item + 1}")
            case Argument(index) if index < len(watch.argument_names):
                named[number] = watch.argument_names[index]
    return named


def _close(watch: Watch, stand_ins: list[Any], codes: Iterable[CodeType]) -> None:
    """Look for what escaped: tensors of the trace that somebody still has."""
    program = watch.program
    program.attributes = [(m, name, value) for m, name, _, value in watch.assigned.values()]
    program.names = names(watch)
    program.guards = list(watch.guards.values())
    program.changing = program.changing or watch.changing()
    program.once |= any(kept.fresh for kept in watch.kept.values())
    temporary, made = watch.temporary, watch.made
    inputs = program.inputs
    _let_go(watch)
    stand_ins.clear()
    for reference, at, number in temporary:
        array = reference()
        if array is None:
            raise refusal(
                f"an array of shape {program.values[number].shape} is made by NumPy inside of the "
                "function, and its values would be those of the first call for ever.",
                "Make it outside, or from tensors; for random numbers use tinygrad_fc.rand or "
                "randn, which draw anew at every call.",
                at,
            )
        inputs[number] = Held(array)
        del array
    alive = _alive(made)
    if alive:
        del alive
        gc.collect()
        alive = _alive(made)
    if alive:
        raise _escaped(program, alive, codes)


def _escaped(program: Program, alive: list[Any], codes: Iterable[CodeType]) -> Any:
    """Return the error for tensors of the trace that somebody keeps, themselves or their graph."""
    found = ((t, place_of(t, program, codes)) for t, _ in reversed(alive))
    t, place = next((each for each in found if each[1]), (alive[-1][0], None))
    by, at = SLOTS["_op"].__get__(t), next(at for each, at in alive if each is t)
    module = None if place else _module_of(t, program)
    if module is not None and at:
        return refusal(
            f"a {type(module).__name__} is copied or made inside of the function, in every call "
            "another one.",
            "Copy it, or make it, outside of the compiled function, and call it inside.",
            line_of(*at),
        )
    made = f"{f', the result of {by.name},' if by else ''} that the function made"
    return refusal(
        f"a tensor of shape {SLOTS['_array'].__get__(t).shape}{made if at else ', an argument,'} "
        f"is kept outside of the function, in {place.name if place else _SOMEWHERE}, where later "
        "calls would not renew it.",
        "Return it, and keep what the compiled function returns, as in "
        f"kept.append({program.name}(...)); or copy its values into a tensor that is there "
        "already, kept.copy_(t).",
        place.line if place else line_of(*(at or _start(next(iter(codes))))),
    )


def _module_of(tensor: Any, program: Program) -> Any:
    """Return the module that has a tensor, of those that the function goes by."""
    modules = (s[0] for kind, s, _ in program.guards if kind in ("attribute", "method"))
    return next((m for m in modules if any(v is tensor for v in vars(m).values())), None)


def _start(code: CodeType) -> tuple[str, int]:
    return code.co_filename, code.co_firstlineno


def _let_go(watch: Watch) -> None:
    """Let go of what a trace has seen: something that escaped from it may live on."""
    for name in (
        *("arrays", "memory", "grads", "kept", "made_by", "boxes", "inputs", "supplied"),
        *("generators", "arguments", "outside", "sources", "own", "modules", "assigned", "guards"),
    ):
        vars(watch)[name] = {}
    watch.inside = watch.taken_whole = watch.refused = None


def _alive(made: list[Any]) -> list[Any]:
    """Return the tensors that are still there, and the lines that made them."""
    return [(t, at) for t, at in ((reference(), at) for reference, at in made) if t is not None]
