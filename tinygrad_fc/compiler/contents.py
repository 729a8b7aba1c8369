"""Whether what the user's code went by is what it was."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from operator import is_
from typing import Any

from tinygrad_fc.compiler.finding import MISS


def still(guard: Any) -> bool:
    """Tell whether what the function went by is at its end what it was."""
    kind, subject, value = guard
    match kind:
        case "global":
            return same_contents((subject[0].get(subject[1], MISS),), (value,))
        case "cell":
            return same_contents((held(subject[0]),), (value,))
        case "slot":
            return same_contents((getattr(subject[0], subject[1], MISS),), (value,))
        case "contents":
            return same_contents(subject[0], value)
        case _:
            return True


def taken_back(guard: Any) -> None:
    """Make what the function went by what it was before."""
    kind, subject, value = guard
    if still(guard):
        return
    match kind:
        case "global" if type(subject[0]) is dict:
            if value is MISS:
                subject[0].pop(subject[1], None)
            else:
                subject[0][subject[1]] = value
        case "cell" if value is not MISS:
            subject[0].cell_contents = value
        case "slot" if value is not MISS:
            setattr(subject[0], subject[1], value)
        case "contents" if isinstance(subject[0], list | bytearray):
            subject[0][:] = value
        case "contents" if isinstance(subject[0], dict | set):
            subject[0].clear()
            subject[0].update(value)
        case "contents" if isinstance(subject[0], deque):
            subject[0].clear()
            subject[0].extend(value)


def held(cell: Any) -> Any:
    """Return what a name of an enclosing function stands for."""
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return MISS


def contents(value: Any) -> Any:
    """Return what a container holds, to be compared by identity."""
    return tuple(value.items()) if isinstance(value, Mapping) else tuple(value)


def same_contents(value: Any, before: Any) -> bool:
    """Tell whether a container holds what it held."""
    now = contents(value)
    if len(now) != len(before):
        return False
    if isinstance(value, Mapping):
        pairs = zip(now, before, strict=True)
        return all(_key(a[0], b[0]) and _one(a[1], b[1]) for a, b in pairs)
    return alike(now, before) or all(map(_one, now, before))


def alike(now: Any, before: Any) -> bool:
    """Tell whether two sequences hold the same objects."""
    return len(now) == len(before) and all(map(is_, now, before))


def _key(a: Any, b: Any) -> bool:
    """Tell whether two keys are one: `==` of tensors tells something of their elements."""
    if type(a) is tuple and type(b) is tuple and len(a) == len(b):
        return all(map(_key, a, b))
    return _one(a, b)


def _one(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b) or not isinstance(a, int | float | str | bytes):
        return False
    return bool(a == b) and (a != 0 or repr(a) == repr(b))  # 0.0 is -0.0, but for its sign
