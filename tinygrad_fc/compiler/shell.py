"""The way into a kernel and out of it, written as straight code: what a call costs beside it.

For each program a function is generated that asks whether the program fits a call (its arguments,
the guards of the trace), gathers the inputs, calls the kernel and leaves behind what the function
leaves behind. Whatever can be known beforehand is a name of that function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import known
from tinygrad_fc.compiler.finding import MISS, UNFIT, Miss
from tinygrad_fc.compiler.program import Argument, Begin, Gradient, Leave, Replace, Same, State
from tinygrad_fc.compiler.tree import flatten, signature
from tinygrad_fc.compiler.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.program import Program

__all__ = ["MISS", "UNFIT", "Miss", "Shell"]


def _is_broken(guard: Any, left: dict[Any, Any]) -> bool:
    """Tell whether a guard may not hold after a step that leaves the gradients `left`."""
    kind, subject, value = guard
    if kind == "same":
        return any(isinstance(each, Gradient | State) for each in subject)
    after = left.get(known.key(subject), known) if kind == "grad" else known
    return after is not known and (after is not None) is not value


def _is_argument(result: Any) -> bool:
    return isinstance(result, Same) and isinstance(result.source, Argument)


class Shell:
    """A program with its kernel, to be called like the function that was traced."""

    def __init__(
        self, program: Program, kernel: Callable[..., Any], args: Any, kwargs: Any, flags: int
    ) -> None:
        self.program, self.kernel = program, kernel
        self.signature = signature(args, kwargs)
        writer = Writer(program, kernel, (args, kwargs), flags)
        self.text = writer.text()
        code = compile(self.text, f"<calls of {program.name}>", "exec")
        exec(code, writer.names)  # noqa: S102  it is ours
        self.call: Any = writer.names["call"]
        self.first: Any = writer.names["first"]
        self.epoch: Any = writer.names["epoch"]
        self.loop: Any = None

    @property
    def source(self) -> str:
        """The program, as the NumPy that one would have written."""
        kernel: Any = self.kernel
        return str(kernel.source)

    def steady(self) -> dict[int, int] | None:
        """Return which inputs take a value of the step before; None where no second step fits.

        After a step of a program, the program has to fit again: the gradients that it expects are
        there, and what an optimizer keeps is what it was.
        """
        program = self.program
        leaves, _ = flatten(program.result)
        if any(isinstance(each, np.ndarray) or _is_argument(each) for each in leaves):
            return None  # each step returns another one
        left = {known.key(w.of): w.number for w in program.writes if isinstance(w, Leave)}
        if any(_is_broken(guard, left) for guard in program.guards):
            return None
        begun = {
            known.key(w.optimizer, w.tensor, w.key): w.number
            for w in program.writes
            if isinstance(w, Begin)
        }
        carried: dict[int, int] = {}
        for number, source in program.inputs.items():
            found: int | None = number
            if isinstance(source, Gradient):
                found = left.get(known.key(source.of), number)
            elif isinstance(source, State):
                found = begun.get(known.key(*source), number)
            if found is None:
                return None
            if found != number:
                carried[number] = found
        if any(
            isinstance(w, Replace) or (isinstance(w, Begin) and w.number is None)
            for w in program.writes
        ):
            return None
        return carried
