"""Whether the user's code asks which tensor an argument is, by `is` or as a key.

An argument has a stand-in, which is no tensor of outside. Where the code compares by identity, the
arguments of a call must be none of the tensors that the function finds outside.
"""

from __future__ import annotations

import builtins
import dis
from collections.abc import Mapping
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

_UNKNOWN, _VARIABLE = object(), object()
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
        last: list[Any] = [_UNKNOWN, _UNKNOWN]  # what the last two instructions load
        for step in dis.get_instructions(code):
            if step.opname == "IS_OP" and not _tells(*last):
                number = step.positions.lineno if step.positions else None
                return line_of(code.co_filename, number or code.co_firstlineno)
            last = [last[-1], _loaded(step, last[-1], outside)]
        names = names_of(code)
        if not _FUNCTIONS.isdisjoint(names.globals | names.attributes):
            return line_of(code.co_filename, code.co_firstlineno)
    return None


def _loaded(step: dis.Instruction, before: Any, outside: Mapping[str, Any]) -> Any:
    """Return what an instruction loads, of constants, global names, and what is in classes."""
    if step.opname == "LOAD_CONST":
        return step.argval
    if step.opname == "LOAD_GLOBAL":
        return outside.get(step.argval, getattr(builtins, step.argval, _UNKNOWN))
    if step.opname == "LOAD_ATTR" and isinstance(before, ModuleType | type):
        return getattr(before, step.argval, _UNKNOWN)
    return _VARIABLE if step.opname == "LOAD_FAST" else _UNKNOWN


def _tells(first: Any, second: Any) -> bool:
    """Tell whether one side of a comparison is known to be no tensor: None, a class, an enum."""
    one = first if second is _VARIABLE else second
    return one is not _UNKNOWN and one is not _VARIABLE and not _is_one(one)


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
