"""What a trace holds for, as guards, and the attributes of modules that it goes by or sets.

A module is looked at through its attributes, each of which the function may go by; one that it
sets, every call is to set.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

from tinygrad_fc.compiler import known
from tinygrad_fc.compiler.attributes import is_users
from tinygrad_fc.compiler.contents import contents, same_contents
from tinygrad_fc.compiler.finding import MISS
from tinygrad_fc.compiler.program import Guard
from tinygrad_fc.compiler.recorder import Recorder


class Guarding(Recorder):
    """A recorder that notes what must be as it was."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.guards: dict[Any, Guard] = {}
        self.modules: dict[int, Any] = {}
        self.assigned: dict[tuple[int, str], list[Any]] = {}
        self.inside: Any = nothing  # notes what is in an attribute of a module: see `reach`

    def guard(self, kind: str, subject: Any, value: Any) -> None:
        """Note that the trace is for this `value` only."""
        self.guards.setdefault(
            known.key(kind, type(subject).__name__, subject), Guard(kind, subject, value)
        )

    # Modules

    def attribute(self, module: Any, name: str, value: Any) -> None:
        """Note that the function goes by an attribute of a module."""
        if (id(module), name) in self.assigned:
            return
        if type(value) is MethodType:
            self._method(module, name)
            self.inside(name, value.__func__)  # which may keep its results
            return
        if name == "__dict__":
            for key in [k for k in value if (id(module), k) not in self.assigned]:
                self.attribute(module, key, value[key])
            self.guard("names", (module,), tuple(value))
            return
        if name.startswith("__"):
            return
        self._gone_by_module(module)
        self.guard("attribute", (module, name), value)
        if name not in object.__getattribute__(module, "__dict__"):
            self._of_class(module, name)
        if name not in ("_buffer_names", "_hooks"):  # which raise `state.structure`
            self.inside(name, value)
        elif type(value) is dict:
            self.guard("contents", (value,), contents(value))

    def _gone_by_module(self, module: Any) -> None:
        """Note that the function goes by a module, whose class says what it does."""
        self.modules.setdefault(id(module), module)
        self.guard("attribute", (module, "__class__"), type(module))

    def _of_class(self, module: Any, name: str) -> None:
        """Note an attribute of the class of a module, of which `state.structure` knows nothing."""
        for kind in filter(is_users, type(module).__mro__):
            if name[0] == "_" and name not in vars(kind):  # as each call of a module asks for some
                continue
            self.guard("global", (vars(kind), name), vars(kind).get(name, MISS))
            if name in vars(kind):
                break

    def _method(self, module: Any, name: str) -> None:
        """Note that a method is that of the class, or which one the module has instead."""
        if name.startswith("__"):
            return
        own = object.__getattribute__(module, "__dict__").get(name, MISS)
        self._gone_by_module(module)
        self.guard("method", (module, name), own)
        if own is MISS:
            self._of_class(module, name)

    def no_attribute(self, module: Any, name: str) -> None:
        """Note that the function may go by an attribute that a module has not."""
        if (id(module), name) not in self.assigned and not name.startswith("__"):
            self.guard("method", (module, name), MISS)

    def assign_attribute(self, module: Any, name: str, value: Any) -> None:
        """Note that the function sets an attribute of a module, which every call is to do."""
        key = (id(module), name)
        before = vars(module).get(name, MISS)
        if key not in self.assigned:
            self.assigned[key] = [module, name, before, value]
        self.assigned[key][3] = value

    def changing(self) -> str:
        """Return an attribute of a module that the function goes by, and sets to something else."""
        for kind, subject, value in self.guards.values():
            if kind == "attribute":
                set_to = self.assigned.get((id(subject[0]), subject[1]), (value,))[-1]
                if not same_contents((set_to,), (value,)):
                    return str(subject[1])
        return ""

    def restore(self) -> None:
        """Set attributes of modules back to what they were."""
        for module, name, before, _ in self.assigned.values():
            if before is MISS:
                vars(module).pop(name, None)
            else:
                vars(module)[name] = before


def nothing(*_: Any) -> None:
    """Stand for what there is to note before anybody can."""


def hooks_of(tensor: Any) -> tuple[Any, ...]:
    """Return what is done with the gradient of a tensor."""
    watch = tensor._watch
    return () if watch is None else (watch.retain, *watch.hooks.values())
