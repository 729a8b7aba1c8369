"""How generated code finds things: tensors, gradients, what an optimizer keeps, options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.program import Argument, Gradient, Held, Option, State
from tinygrad_fc.compiler.tree import flatten
from tinygrad_fc.graph import owner

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Program


class Miss:
    """What a shell returns where its program does not fit the call, and nothing was changed."""


MISS, UNFIT = Miss(), Miss()
"""For the kinds and the guards; and for values that the kernel saw."""
_WIDE = 1e300
"""Beyond that, numbers may have no literal: infinity, or one of too many digits."""


class Finding:
    """Lines of a function, the names that it has, and expressions for what is to be found."""

    def __init__(self, program: Program, arguments: Any) -> None:
        self.program = program
        self.leaves, self.spec = flatten(arguments)
        self.names: dict[str, Any] = {"MISS": MISS, "NONE": {}, "known": self.like}
        self.lines: list[tuple[str, bool]] = []
        self.ids: dict[int, str] = {}
        self.done: dict[Any, str] = {}
        self.changed: list[str] = []  # names of arrays that are known, and changed by every call
        self.steady: list[str] = []  # names of all arrays that are known
        self.owners: set[int] = set()  # ids of what owns their memory

    def like(self, name: str, array: Any) -> bool:
        """Tell whether `array` is like the one of before, and take its place if it is."""
        before = self.names[name]
        if array.shape != before.shape or array.dtype != before.dtype:
            return False
        for other in self.steady if name in self.changed else self.changed:
            if other != name and np.may_share_memory(array, self.names[other]):
                return False
        self.names[name] = array
        self.names["i" + name] = id(owner(array))
        self.owners.clear()
        for changed in (self.names[name] for name in self.changed):
            self.owners.update(map(id, (changed, changed.base, owner(changed))))
        self.owners.discard(id(None))
        return True

    def shared(self, array: Any) -> bool:
        """Tell whether memory that is changed is seen by `array`, of the same owner."""
        return any(np.may_share_memory(array, self.names[name]) for name in self.changed)

    def name(self, thing: Any, letter: str) -> str:
        """Return a name for an object."""
        if id(thing) not in self.ids:
            self.ids[id(thing)] = f"{letter}{len(self.ids)}"
            self.names[self.ids[id(thing)]] = thing
        return self.ids[id(thing)]

    def add(self, line: str) -> None:
        """Write a line."""
        self.lines.append((line, False))

    def check(self, condition: str) -> None:
        """Write that the program does not fit where `condition` holds; the first call need not."""
        self.lines.append((f"if {condition}: return MISS", True))

    def same(self, found: str, value: Any) -> None:
        """Write that something must be what it was: a number by value, the rest by identity."""
        kind = type(value)
        if kind not in (int, float):
            self.check(f"{found} is not {self.name(value, 'z')}")
            return
        self.names.setdefault(kind.__name__, kind)
        self.lines.append((f"n = {found}", True))
        if value != value:  # noqa: PLR0124  NaN
            changed = "n == n"
        elif kind is float and value == 0:
            changed = f"n or repr(n) != {repr(value)!r}"  # there are two zeros
        else:
            changed = f"n != {repr(value) if abs(value) < _WIDE else self.name(value, 'z')}"
        self.check(f"n.__class__ is not {kind.__name__} or {changed}")

    def local(self, key: Any, letter: str, expression: str) -> str:
        """Return the local variable for an expression, which is evaluated once."""
        if key not in self.done:
            self.done[key] = name = f"{letter}_{len(self.done)}"
            self.add(f"{name} = {expression}")
        return self.done[key]

    def tensor(self, source: Any) -> str:
        """Return the expression for the tensor (or array) at a source."""
        match source:
            case Argument(index):
                return f"a{index}"
            case Held(tensor):
                return self.name(tensor, "t")
            case Gradient(of):
                return self.local(("grad", self.tensor(of)), "g", f"{self.tensor(of)}._grad")
            case State(optimizer, tensor, key):
                kept = self.kept(optimizer, tensor)
                return self.local((kept, key), "k", f"{kept}[{key!r}]")
        raise TypeError(f"no tensor is found at {source!r}")

    def kept(self, optimizer: Any, tensor: Any) -> str:
        """Return the variable for what an optimizer keeps for a tensor."""
        of = self.name(optimizer, "o")
        held = self.local((of, "state"), "s", f"{of}.state")
        return self.local((of, id(tensor)), "s", f"{held}.get({self.name(tensor, 't')}, NONE)")

    def group(self, optimizer: Any, number: int) -> str:
        """Return the variable for a group of an optimizer."""
        of = self.name(optimizer, "o")
        groups = self.local((of, "groups"), "q", f"{of}.param_groups")
        return self.local((of, "groups", number), "q", f"{groups}[{number}]")

    def option(self, source: Option) -> str:
        """Return the expression for an option."""
        found = f"{self.group(source.optimizer, source.group)}[{source.key!r}]"
        if source.item is None:
            return found
        return f"{self.local((found,), 'q', found)}[{source.item}]"
