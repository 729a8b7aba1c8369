"""What reads attributes for the user's code: `attrgetter`, `getattr` in a partial, `str.format`.

Such a read is made by code in C, of which no event tells. Whatever may do so is known by what it
is: the names of the attributes are in it, or it may read every one.
"""

from __future__ import annotations

import re
from operator import attrgetter, methodcaller
from types import (
    BuiltinFunctionType,
    MethodDescriptorType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

BY_WORD = frozenset(
    (
        *("getattr", "hasattr", "globals", "vars", "__dict__", "__getattribute__"),
        *("attrgetter", "methodcaller", "format", "format_map"),
    )
)
"""Names by which code reads attributes that it has as words, if it has them at all."""
MAKERS = frozenset(("attrgetter", "methodcaller"))
"""Names by which code makes what reads attributes, perhaps elsewhere."""
KINDS = (attrgetter, methodcaller, BuiltinFunctionType, MethodWrapperType)
"""Classes of objects that read attributes, or that hold an object whose method they are."""
_READING = (getattr, hasattr, vars)
_FORMATS = ("format", "format_map")
_ATTRIBUTE = re.compile(r"\.([^\W\d]\w*)")


class Getter(NamedTuple):
    """The attributes that something reads, whether it may be any, and the object that it has."""

    names: frozenset[str]
    every: bool = False
    of: Any = None


def words_in(constants: Any) -> frozenset[str]:
    """Return the names of attributes that words may stand for, such as `a.b` and `{0.a}`."""
    return frozenset(_words(constants))


def _words(constant: Any) -> Iterator[str]:
    if isinstance(constant, tuple | frozenset):
        for part in constant:
            yield from _words(part)
    elif isinstance(constant, str) and "{" in constant:
        yield from _ATTRIBUTE.findall(constant)
    elif isinstance(constant, str):
        yield from (part for part in constant.split(".") if part.isidentifier())


def getter(value: Any) -> Getter | None:
    """Return what is read by something that reads attributes, or has an object that it is of."""
    kind = type(value)
    if kind is attrgetter:
        return Getter(words_in(value.__reduce__()[1]))
    if kind is methodcaller:
        made, args = value.__reduce__()[:2]  # with named arguments, `made` is a partial
        args = tuple(getattr(made, "args", ())) + tuple(args)
        return Getter(words_in(args), every=args[0] == "__getattribute__")
    if kind in (WrapperDescriptorType, MethodDescriptorType):  # such as `str.format`
        every = value.__name__ in ("__getattribute__", *_FORMATS)
        return Getter(frozenset(), every=True) if every else None
    if kind in (BuiltinFunctionType, MethodWrapperType):
        return _bound(value, value.__name__, value.__self__)
    return None


def _bound(value: Any, name: str, of: Any) -> Getter | None:
    """Return what is read by a method in C of an object, or by a function in C."""
    if any(value is each for each in _READING):
        return Getter(frozenset(), every=True)
    if type(of) is str:
        return Getter(words_in((of,))) if name in _FORMATS else None
    if of is None or isinstance(of, ModuleType | type):
        return None
    return Getter(frozenset(), name == "__getattribute__", of)
