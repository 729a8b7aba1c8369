"""Whether the user's code asks which tensor an argument is, by `is` or as a key.

An argument has a stand-in, which is no tensor of outside. Where the code compares by identity, the
arguments of a call must be none of the tensors that the function finds outside.
"""

from __future__ import annotations

import builtins
import dis
from collections.abc import Mapping
from enum import EnumMeta
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.attributes import names_of
from tinygrad_fc.compiler.program import Held
from tinygrad_fc.compiler.refusal import line_of, refusal
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType

    from tinygrad_fc.compiler.program import Guard
    from tinygrad_fc.compiler.watch import Watch

_FUNCTIONS = frozenset(("is_", "is_not"))


def set_apart(
    watch: Watch,
    codes: Mapping[CodeType, Mapping[str, Any]],
    given: dict[int, int],
    first: str | None,
) -> None:
    """Guard that arguments are none of the tensors from outside, where the code may ask for that.

    `codes` are those of the user, with their global names, `given` the numbers of the arguments by
    their ids, and `first` is the line to name if no other is known. Raises `CompileError` where an
    argument is one of these tensors already.
    """
    at = _compared(codes)
    if at is None and not _is_keyed(watch.guards.values()):
        return
    found = _found_outside(watch)
    for each in found:
        number = given.get(id(each))
        if number is not None:
            name = watch.argument_name(number, f"argument {number}")
            raise refusal(
                f"the function finds {name} outside as well, and asks which tensor an argument is, "
                "by `is`, or as a key of a dict or a set: one that stands for it in every call is "
                "another.",
                "Ask outside of the compiled function, and hand over the answer, as in "
                f"{watch.program.name}(x, x is weight).",
                at or first,
            )
    if found:
        watch.guard("apart", tuple(found), None)


def _compared(codes: Mapping[CodeType, Mapping[str, Any]]) -> str | None:
    """Return a line of the code that may compare tensors by identity."""
    for code, outside in codes.items():
        steps = list(dis.get_instructions(code))
        for k, step in enumerate(steps):
            if step.opname == "IS_OP" and not _tells(steps, k, outside):
                number = step.positions.lineno if step.positions else None
                return line_of(code.co_filename, number or code.co_firstlineno)
        names = names_of(code)
        if not _FUNCTIONS.isdisjoint(names.globals | names.attributes):
            return line_of(code.co_filename, code.co_firstlineno)
    return None


def _tells(steps: list[Any], k: int, outside: Mapping[str, Any]) -> bool:
    """Tell whether one side of comparison `k` is known to be no tensor: a class, a constant.

    Nothing is run to find out: only what stands in dicts is looked at. Where one jumps to, another
    value may have come from elsewhere; and what is None may be a tensor at another time.
    """
    before = steps[:k]
    if steps[k].is_jump_target or not before:
        return False
    if before[-1].opname == "LOAD_FAST":
        variable, before = before[-1], before[:-1]
        constant = bool(before) and before[-1].opname == "LOAD_CONST"
        return constant and not variable.is_jump_target
    names = []
    while before and before[-1].opname == "LOAD_ATTR" and not before[-1].is_jump_target:
        names.append(before.pop().argval)
    if before and before[-1].opname == "LOAD_CONST":
        return not names
    if not before or before[-1].opname != "LOAD_GLOBAL":
        return False
    root = before[-1].argval
    if any(step.opname == "STORE_GLOBAL" and step.argval == root for step in steps):
        return False
    found = outside.get(root, vars(builtins).get(root))
    for name in reversed(names):
        found = _attribute(found, name)
    return found is not None and not _is_one(found)


def _attribute(owner: Any, name: str) -> Any:
    """Return what a class or a module holds, as far as that is known without asking it."""
    if isinstance(owner, EnumMeta):
        return owner.__members__.get(name)
    if isinstance(owner, ModuleType):
        ours = owner.__name__.partition(".")[0] == "tinygrad_fc"  # some of it is read when asked
        return getattr(owner, name, None) if ours else vars(owner).get(name)
    if not isinstance(owner, type):
        return None
    meta: type = type(owner)
    return None if any(name in vars(k) for k in meta.__mro__[:-2]) else vars(owner).get(name)


def _is_keyed(guards: Iterable[Guard]) -> bool:
    """Tell whether tensors are keys of a dict, or in a set, that the function goes by."""
    for kind, subject, value in guards:
        if kind == "contents" and not isinstance(subject[0], list | tuple):
            keyed = isinstance(subject[0], Mapping)
            keys = [part[0] for part in value] if keyed else value
            if (keyed or isinstance(subject[0], set)) and any(isinstance(k, Node) for k in keys):
                return True
    return False


def _found_outside(watch: Watch) -> list[Any]:
    """Return the tensors and arrays that the function can compare an argument to."""
    found = {id(each): each for guard in watch.guards.values() for each in _in(guard[1:])}
    for source in watch.sources.values():
        if isinstance(source, Held) and _is_one(source.tensor):
            found[id(source.tensor)] = source.tensor
    return list(found.values())


def _in(value: Any) -> Iterator[Any]:
    if _is_one(value):
        yield value
    elif type(value) is tuple:
        for part in value:
            yield from _in(part)


def _is_one(value: Any) -> bool:
    return isinstance(value, Node) or issubclass(type(value), np.ndarray)
