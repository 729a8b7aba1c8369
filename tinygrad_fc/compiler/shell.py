"""The way into a kernel and out of it, written as straight code: what a call costs beside it.

For each program a function is generated that asks whether the program fits a call (its arguments,
the guards of the trace), gathers the inputs, calls the kernel and leaves behind what the function
leaves behind. Whatever can be known beforehand is a name of that function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler import known
from tinygrad_fc.compiler.finding import MISS, UNFIT, Miss
from tinygrad_fc.compiler.program import Begin, Gradient, Leave, Replace, State
from tinygrad_fc.compiler.tree import signature
from tinygrad_fc.compiler.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.program import Program

__all__ = ["MISS", "UNFIT", "Miss", "Shell"]


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
        left = {known.key(w.of): w.number for w in program.writes if isinstance(w, Leave)}
        for kind, subject, value in program.guards:
            after = left.get(known.key(subject), known) if kind == "grad" else known
            if after is not known and (after is not None) is not value:
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
