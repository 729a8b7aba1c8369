"""Many steps of a program as the source of one function, with a loop in it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_fc.compiler.page import returning
from tinygrad_fc.compiler.program import results
from tinygrad_fc.compiler.reading import ready
from tinygrad_fc.compiler.source import Writer

if TYPE_CHECKING:
    from tinygrad_fc.compiler.page import Source
    from tinygrad_fc.compiler.program import Program


class Carry(NamedTuple):
    """Something that a step leaves to the next: the value of an input."""

    target: int
    number: int


def written_loop(program: Program, rows: frozenset[int], carried: dict[int, int]) -> Source:
    """Return the source for `numpy_backend.build_loop`."""
    carries = [Carry(*item) for item in carried.items() if item[0] != item[1]]
    program = ready(replace(program, writes=[*carries, *program.writes]))
    return _LoopWriter(program, rows, len(carries)).source()


class _LoopWriter(Writer):
    def __init__(self, program: Program, rows: frozenset[int], carries: int) -> None:
        super().__init__(program)
        self.rows, self.carries = rows, carries

    def source(self) -> Source:
        """Return the whole text."""
        variables, fresh = self.names.variables, self.names.fresh
        order, k, batch = fresh("order"), fresh("k"), fresh("batch")
        whole = {n: fresh(f"all_{variables[n]}") for n in self.program.inputs if n in self.rows}
        inputs = [order, *(whole.get(n, variables[n]) for n in self.program.inputs)]
        body = self.body()
        start = [f"{variables[n]} = {name}.take({batch}, axis=0)" for n, name in whole.items()]
        stacked, made = self.stacks(order)
        end = [f"{name}[{k}] = {text}" for name, text in made]
        last = self.outputs[self.carries : len(self.outputs) - len(stacked)]
        end += self.handed_on(last)
        lines = [*stacked, f"for {k}, {batch} in enumerate({order}):"]
        lines += [f"    {line}" for line in [*start, *body, *end]]
        lines += returning([*last, *(name for name, _ in made)])
        return self.assembled(self.head(*inputs), lines)

    def stacks(self, order: str) -> tuple[list[str], list[tuple[str, str]]]:
        """Return the lines that make arrays for the results of all steps, and what goes there."""
        lines, made = [], []
        leaves = results(self.program.result)
        texts = self.outputs[len(self.outputs) - len(leaves) :]
        for leaf, text in zip(leaves, texts, strict=True):
            value: Any = self.program.values[leaf.number]
            variable = self.names.variables.get(leaf.number, "result")
            name = self.names.fresh(f"all_{variable}")
            shape = self.speller.literal(value.shape or ())[1:-1].rstrip(",")
            shape = f"(len({order}), {shape})" if shape else f"len({order})"
            dtype = f", {self.speller.literal(value.dtype)}" if value.dtype is not None else ""
            lines.append(f"{name} = np.empty({shape}{dtype})")
            # What is memory of its own is copied there in any case.
            own = self.owners[leaf.number] == {leaf.number} - self.program.inputs.keys()
            made.append((name, self.value(leaf.number) if own else text))
        return lines, made

    def handed_on(self, last: list[str]) -> list[str]:
        """Return the lines by which inputs take their values of the next step.

        Where one of `last`, the outputs of the last step, is such an input, its old value is kept.
        """
        if not self.carries:
            return []
        lines = []
        targets = [self.names.variables[c.target] for c in self.program.writes[: self.carries]]
        for i, text in enumerate(last):
            about = next((name for name in targets if re.search(rf"\b{name}\b", text)), None)
            if about is not None:
                last[i] = self.names.fresh(f"last_{about}")
                lines.append(f"{last[i]} = {text}")
        return [*lines, f"{', '.join(targets)} = {', '.join(self.outputs[: self.carries])}"]
