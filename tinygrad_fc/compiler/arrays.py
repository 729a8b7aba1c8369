"""Raw arrays of NumPy's that the user's code goes by, whose elements Python alone may read.

What it takes out of one leaves no instruction behind: a small array becomes a guard of what is in
it. One that the function changes is refused, and given back what was in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import known
from tinygrad_fc.compiler.program import Change
from tinygrad_fc.compiler.refusal import refusal

if TYPE_CHECKING:
    from tinygrad_fc.compiler.elements import Elements
    from tinygrad_fc.compiler.watch import Watch

_SMALL = 1 << 16
"""Up to how many bytes an array is looked at in every call."""


class Arrays:
    """The arrays from outside that the user's code can see, with what was in them at first."""

    def __init__(self, watch: Watch, elements: Elements) -> None:
        self._watch, self._elements = watch, elements
        self._known: dict[int, tuple[Any, Any, str]] = {}
        self._memory: dict[int, Any] = {}

    def note(self, array: Any, at: str) -> None:
        """Note that the line `at` can see an array."""
        if id(array) not in self._known:
            self._known[id(array)] = (array, array.copy(), at)

    def note_memory(self, value: Any, at: str) -> bool:
        """Note memory that Python reads without NumPy: a memoryview, an array of ctypes'."""
        if isinstance(value, bytes | np.generic):  # which nobody changes
            return False
        if id(value) not in self._memory:
            try:
                found = np.frombuffer(value, np.uint8)
            except (TypeError, ValueError, BufferError):  # it has none, or none in one piece
                return False
            self._memory[id(value)] = value
            self.note(found, at)
        return True

    def close(self) -> None:
        """Look at what was there before, after the function has run."""
        for found, before, at in self._known.values():
            if not known.alike(found, before):
                self.undo()
                raise refusal(
                    f"{_told(found)} is changed by NumPy inside of the function, which would be "
                    "done by its first call only.",
                    "Make it a tensor, and change that, or do it outside.",
                    at,
                )
            box, _ = self._watch.supplied.get(id(found), (None, ""))
            whole = box is not None or id(found) in self._watch.boxes
            if not whole or self._elements.may_be_read(found):
                self._read(found, at, whole=whole)

    def undo(self) -> None:
        """Give arrays from outside back what was in them."""
        for found, before, _ in self._known.values():
            if not known.alike(found, before):
                found[...] = before

    def _read(self, array: Any, at: str, *, whole: bool) -> None:
        """Note that the program goes by elements of an array."""
        if array.nbytes > _SMALL and not whole:  # of one that is whole, all is read anyway
            raise refusal(
                f"the function goes by what is in {_told(array)} which is too large to be looked "
                "at in every call.",
                "Make it a tensor, or take what is needed of it outside, and hand that over.",
                at,
            )
        writes, memories = self._watch.program.writes, self._watch.memories()
        changed = [memories[w.target] for w in writes if isinstance(w, Change)]
        if any(np.may_share_memory(array, memory) for memory in changed):
            raise refusal(
                f"elements of {_told(array)} are taken out of it, and the function changes its "
                "memory.",
                "Return the tensor that is changed, and look at its values outside.",
                at,
            )
        self._watch.guard("values", (array,), array.tobytes())


def _told(array: Any) -> str:
    return f"an array of NumPy's from outside, of shape {array.shape},"
