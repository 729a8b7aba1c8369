"""Whether the user's code asks which tensor an argument is, by `is` or as a key.

An argument has a stand-in, which is no tensor of outside. Where the code compares by identity, the
arguments of a call must be none of the tensors that the function finds outside.
"""

from __future__ import annotations

import dis
from collections.abc import Mapping
from enum import Enum, EnumMeta
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.attributes import names_of
from tinygrad_fc.compiler.program import Held
from tinygrad_fc.compiler.refusal import line_of, refusal
from tinygrad_fc.graph import Node
from tinygrad_fc.op import Op

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
            name = dict(enumerate(watch.argument_names)).get(number, f"argument {number}")
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
            if step.opname == "IS_OP" and not _tells(steps[:k], step, outside):
                number = step.positions.lineno if step.positions else None
                return line_of(code.co_filename, number or code.co_firstlineno)
        names = names_of(code)
        if not _FUNCTIONS.isdisjoint(names.globals | names.attributes):
            return line_of(code.co_filename, code.co_firstlineno)
    return None


def _tells(before: list[Any], comparison: Any, outside: Mapping[str, Any]) -> bool:
    """Tell whether one side is known to be no tensor: None, a class, a function, an enum.

    Nothing is run to find out: only what stands in dicts is looked at. Where one jumps to, another
    value may have come from elsewhere.
    """
    if comparison.is_jump_target or not before:
        return False
    if before[-1].opname == "LOAD_FAST":
        variable, before = before[-1], before[:-1]
        constant = bool(before) and before[-1].opname == "LOAD_CONST"
        return constant and not variable.is_jump_target
    names = []
    while before and before[-1].opname == "LOAD_ATTR" and not before[-1].is_jump_target:
        names.append(before.pop().argval)
    if not before or (before[-1].opname == "LOAD_CONST" and names):
        return False
    if before[-1].opname == "LOAD_CONST":
        return True
    if before[-1].opname != "LOAD_GLOBAL":
        return False
    found = outside.get(before[-1].argval)
    for name in reversed(names):
        found = _attribute(found, name)
    return isinstance(found, type | FunctionType | BuiltinFunctionType | Enum | Op)


def _attribute(owner: Any, name: str) -> Any:
    """Return what a class or a module holds, as far as that is known without asking it."""
    if isinstance(owner, EnumMeta):
        return owner.__members__.get(name)
    if isinstance(owner, ModuleType) and owner.__name__.partition(".")[0] == "tinygrad_fc":
        return getattr(owner, name, None)  # which reads some of its files when they are asked for
    return vars(owner).get(name) if isinstance(owner, ModuleType | type) else None


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
