"""Which names some code reads, and where Python looks for an attribute."""

from __future__ import annotations

import copy
import dis
import functools
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_fc.compiler.getters import BY_WORD, MAKERS, words_in
from tinygrad_fc.compiler.refusal import kind_of
from tinygrad_fc.graph import Node
from tinygrad_fc.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType

_DYNAMIC = frozenset(("getattr", "vars", "hasattr", "__dict__", "__getattribute__"))
"""Names by which code reads attributes that it does not name."""
_DICTS = frozenset(("vars", "__dict__"))
_FORMATS = frozenset(("format", "format_map"))
KEEPING = type(functools.lru_cache(None)(int))
"""The class of functions that keep their results, and need not be run."""
_LOADS = {
    **dict.fromkeys(("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"), 0),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR"), 1),
    **dict.fromkeys(("LOAD_SUPER_ATTR", "IMPORT_FROM"), 1),
}
MATCHED = "__match_args__"
"""The attribute of a class that names those which a pattern reads by their places."""


class Names(NamedTuple):
    """The names in some code: of globals and attributes, and of what may well not be there.

    Those that are `unloaded` are of attributes that no instruction of the code itself loads.
    """

    globals: frozenset[str]
    attributes: frozenset[str]
    probed: frozenset[str]
    unloaded: frozenset[str]
    imported: frozenset[tuple[int, str]]  # by how many dots, and name
    dynamic: bool
    makes: bool  # what reads attributes, perhaps elsewhere
    whole: bool  # dicts of attributes are taken as they are

    def and_read(self, names: frozenset[str]) -> Names:
        """Return the same with attributes that something else reads."""
        return self._replace(
            attributes=self.attributes | names,
            probed=self.probed | names,
            unloaded=self.unloaded | names,
        )


@functools.lru_cache(maxsize=1024)
def names_of(code: CodeType) -> Names:
    """Return the names that some code reads, or sets."""
    found: tuple[set[str], set[str]] = (set(), set())
    stored: set[str] = set()  # which may be new
    unloaded: set[str] = set()
    imported: set[tuple[int, str]] = set()
    handles = False
    steps = list(dis.get_instructions(code))
    for k, step in enumerate(steps):
        if step.opname in _LOADS:
            found[_LOADS[step.opname]].add(step.argval)
        if step.opname == "STORE_ATTR":
            stored.add(step.argval)
        elif step.opname == "IMPORT_FROM":
            unloaded.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            level = steps[k - 2].argval  # how many dots; what is loaded next are the names
            imported.add((level if isinstance(level, int) else 0, step.argval))
        elif step.opname == "MATCH_CLASS":
            unloaded |= _in_tuples(code) | {MATCHED}
        handles |= step.opname == "CHECK_EXC_MATCH"
    globals_ = frozenset(found[0])
    attributes = frozenset(found[1] | unloaded)
    if "get_last_lr" in attributes:  # of a schedule, whose own code is not looked at
        attributes |= {"_last_lr"}
    words: frozenset[str] = frozenset()
    every = globals_ | attributes
    if not BY_WORD.isdisjoint(every):
        words = words_in(code.co_consts)
        attributes |= words
        globals_ |= words if "globals" in globals_ else frozenset()
    return Names(
        globals=globals_,
        attributes=attributes,
        probed=words | attributes if handles else words | stored,
        unloaded=words | unloaded,
        imported=frozenset(imported),
        dynamic=not _DYNAMIC.isdisjoint(every) or _by_unknown_text(code, found[1]),
        makes=not MAKERS.isdisjoint(every),
        whole=not _DICTS.isdisjoint(every),
    )


def _in_tuples(code: CodeType) -> set[str]:
    """Return the words in tuples among the constants, as the attributes in a pattern are."""
    parts = (part for each in code.co_consts if type(each) is tuple for part in each)
    return {part for part in parts if isinstance(part, str)}


def _by_unknown_text(code: CodeType, attributes: set[str]) -> bool:
    """Tell whether a text is formatted that is not in the code, and may name attributes."""
    if _FORMATS.isdisjoint(attributes):
        return False
    return not any(isinstance(each, str) and "{" in each for each in code.co_consts)


def with_callers(names: Names, frame: FrameType) -> Names:
    """Return names with those of the code that has called: it may read of what is returned."""
    attributes, unloaded = names.attributes, names.unloaded
    for caller in callers_of(frame):
        found = names_of(caller.f_code)
        attributes |= found.attributes
        unloaded |= found.unloaded
    return names._replace(attributes=attributes, unloaded=unloaded)


def callers_of(frame: FrameType) -> Iterator[FrameType]:
    """Yield the frames of the user's code that wait for `frame`."""
    caller = frame.f_back
    while caller is not None and kind_of(caller.f_code.co_filename) != "compiler":
        if kind_of(caller.f_code.co_filename) == "user":
            yield caller
        caller = caller.f_back


def modules_of(frame: FrameType, names: Names) -> Iterator[ModuleType]:
    """Yield the modules that some code imports itself, of those that are there already."""
    for level, name in names.imported:
        package = frame.f_globals.get("__package__") or ""
        if level:
            base = package.rsplit(".", level - 1)[0] if level > 1 else package
            name = f"{base}.{name}" if name else base  # noqa: PLW2901  its full name
        while name:
            found = sys.modules.get(name)
            if isinstance(found, ModuleType):
                yield found
            name = name.rpartition(".")[0]  # noqa: PLW2901  `import a.b` is of both


class Look:
    """What is looked for in what some code goes by, and how deep one is in it."""

    def __init__(self, names: Names | None = None, *, every: bool = False) -> None:
        self.names = names.attributes if names else frozenset()
        self.probed = names.probed if names else frozenset()
        self.unloaded = names.unloaded if names else frozenset()
        self.whole = names.whole if names else False
        self.every = every
        self.seen: set[int] = set()
        self.deep = 0

    def anew(self) -> Look:
        """Return the same, to start from something else."""
        made = copy.copy(self)
        made.seen, made.deep = set(), 0
        return made

    def through(self, names: Names) -> Look:
        """Return the same look, at the names of other code."""
        made = Look(names, every=self.every)
        made.seen, made.deep = self.seen, self.deep
        return made

    def of(self, owner: Any, own: Any, places: list[Any]) -> frozenset[str]:
        """Return the attributes that may be read of an object, by all in which they are found."""
        if isinstance(owner, ModuleType):
            return self.names
        found = self.names
        if MATCHED in found:
            matched = found.union(*(_matched(place.get(MATCHED)) for place in places))
            self.unloaded |= matched - found
            found = matched
        if not self.every:
            return found
        looked_in = [p for p in places if p is own or of_users(p.get("__module__", ""))]
        return found.union(
            k for place in looked_in for k in place if isinstance(k, str) and k[:2] != "__"
        )


def _matched(names: Any) -> Iterator[str]:
    return (name for name in names if isinstance(name, str)) if type(names) is tuple else iter(())


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
