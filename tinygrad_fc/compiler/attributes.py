"""Which names some code reads, and where Python looks for an attribute."""

from __future__ import annotations

import dis
import functools
import sys
from operator import attrgetter, methodcaller
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_fc.compiler.refusal import kind_of
from tinygrad_fc.graph import Node
from tinygrad_fc.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from types import CodeType, FrameType

_DYNAMIC = frozenset(("getattr", "vars", "hasattr", "__dict__"))
"""Names by which code reads attributes that it does not name."""
_BY_WORD = frozenset(("getattr", "hasattr", "globals"))
KEEPING = type(functools.lru_cache(None)(int))
"""The class of functions that keep their results, and need not be run."""
GETTERS = (attrgetter, methodcaller)
"""Objects by which code reads attributes that it does not name."""
_LOADS = {
    **dict.fromkeys(("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"), 0),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR"), 1),
}


class Names(NamedTuple):
    """The names in some code: of globals and attributes, and of what may well not be there."""

    globals: frozenset[str]
    attributes: frozenset[str]
    probed: frozenset[str]
    dynamic: bool


@functools.lru_cache(maxsize=1024)
def names_of(code: CodeType) -> Names:
    """Return the names that some code reads, or sets."""
    found: tuple[set[str], set[str]] = (set(), set())
    stored: set[str] = set()  # which may be new
    handles = False
    for step in dis.get_instructions(code):
        if step.opname in _LOADS:
            found[_LOADS[step.opname]].add(step.argval)
        if step.opname == "STORE_ATTR":
            stored.add(step.argval)
        handles |= step.opname == "CHECK_EXC_MATCH"
    globals_, attributes = map(frozenset, found)
    if "get_last_lr" in attributes:  # of a schedule, whose own code is not looked at
        attributes |= {"_last_lr"}
    words: frozenset[str] = frozenset()
    if not _BY_WORD.isdisjoint(globals_ | attributes):
        words = frozenset(c for c in code.co_consts if isinstance(c, str) and c.isidentifier())
        attributes |= words
        globals_ |= words if "globals" in globals_ else frozenset()
    probed = words | attributes if handles else words | stored
    return Names(globals_, attributes, probed, not _DYNAMIC.isdisjoint(globals_ | attributes))


def with_callers(names: Names, frame: FrameType) -> Names:
    """Return names with those of the code that has called: it may read of what is returned."""
    attributes: set[str] = set()
    caller = frame.f_back
    while caller is not None and kind_of(caller.f_code.co_filename) != "compiler":
        if kind_of(caller.f_code.co_filename) == "user":
            attributes |= names_of(caller.f_code).attributes
        caller = caller.f_back
    return names._replace(attributes=names.attributes | attributes)


class Look:
    """What is looked for in what some code goes by, and how deep one is in it."""

    def __init__(self, names: Names | None = None, *, every: bool = False) -> None:
        self.names = names.attributes if names else frozenset()
        self.probed = names.probed if names else frozenset()
        self.every = every
        self.seen: set[int] = set()
        self.deep = 0

    def anew(self) -> Look:
        """Return the same, to start from something else."""
        made = Look(every=self.every)
        made.names, made.probed = self.names, self.probed
        return made

    def through(self, names: Names) -> Look:
        """Return the same look, at the names of other code."""
        made = Look(names, every=self.every)
        made.seen, made.deep = self.seen, self.deep
        return made

    def of(self, there: Any) -> frozenset[str]:
        """Return the attributes that may be read of an object, which has those of a dict."""
        if not self.every:
            return self.names
        return self.names | {k for k in there if isinstance(k, str) and k[:2] != "__"}


def is_users(kind: type) -> bool:
    """Tell whether a class is the user's."""
    return of_users(kind.__module__)


def of_users(module: str) -> bool:
    """Tell whether a module is the user's."""
    file = getattr(sys.modules.get(module), "__file__", None)
    # What is run as it is typed is in no file.
    return kind_of(file or "") == "user" if file or module == "__main__" else False


def is_method(found: Any) -> bool:
    """Tell whether what a class holds is a method, or a property, of the user's."""
    for name in ("__func__", "fget", "func"):
        found = getattr(found, name, found)
    if type(found) is KEEPING:
        found = found.__wrapped__
    return type(found) is FunctionType and kind_of(found.__code__.co_filename) == "user"


def holders(owner: Any) -> tuple[Any, list[Any]]:
    """Return the dict of an object itself, and all in which Python looks for its attributes."""
    if isinstance(owner, ModuleType):
        return vars(owner), [vars(owner)]
    if isinstance(owner, type):
        meta: type = type(owner)
        return None, [vars(kind) for kind in (*owner.__mro__[:-1], *meta.__mro__[:-2])]
    own = getattr(owner, "__dict__", None)
    own = own if type(own) is dict else None
    kinds = [] if isinstance(owner, Node) else [vars(kind) for kind in type(owner).__mro__[:-1]]
    return own, kinds if own is None else [own, *kinds]


def is_seen(owner: Any, name: str, value: Any) -> bool:
    """Tell whether an attribute is looked at: the trace sees some in any case."""
    if isinstance(owner, Optimizer):
        return name not in ("param_groups", "state")
    if isinstance(owner, ModuleType):
        kind = kind_of(getattr(owner, "__file__", None) or "<frozen")
        # Of the modules of others, what is there to be changed, such as `sys.argv`.
        if kind == "other":
            return type(value) in (list, dict, set) and name != "modules"
        code = (type, ModuleType, FunctionType, BuiltinFunctionType)
        return kind == "user" or (kind == "third" and not isinstance(value, code))
    return True
