"""A program that is being written anew, in order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.layout import indifferent, ordered
from tinygrad_fc.compiler.program import Result, Same, Value

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Instruction, Program


class Rewriting:
    """A program that is being written anew, in order, with values taking the place of others."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.values = list(program.values)
        self.constants = dict(program.constants)
        self.instructions: list[Instruction] = []
        self.made: dict[int, Instruction] = {}
        self.instead: dict[int, int] = {}
        self.ordered = ordered(program)
        self.indifferent = indifferent(program)

    def moved(self, step: Instruction) -> Instruction:
        """Return `step` reading what takes the place of its arguments."""
        return step._replace(args=tuple(self.instead.get(n, n) for n in step.args))

    def keep(self, step: Instruction) -> None:
        """Take `step` over."""
        self.instructions.append(step)
        self.made[step.out] = step

    def alike(self, number: int, out: int) -> bool:
        """Tell whether a value that equals `out` can stand for it: in shape, dtype and layout."""
        same = self.values[number] == self.values[out]
        return same and (number in self.ordered or out in self.indifferent)

    def names(self, number: int, same: int) -> None:
        """From now on `same` stands for `number`, which is its equal."""
        self.instead[number] = same

    def constant(self, value: Any) -> int:
        """Return the number of a new constant."""
        self.values.append(Value(None, None))
        if isinstance(value, np.ndarray):
            self.values[-1] = Value(value.shape, value.dtype)
        self.constants[len(self.values) - 1] = value
        return len(self.values) - 1

    def done(self) -> Program:
        """Return the program as it has become."""
        program = self.program
        instead = self.instead
        writes = [
            w if w.number is None else w._replace(number=instead.get(w.number, w.number))
            for w in program.writes
        ]
        names = {instead.get(n, n): name for n, name in program.names.items()}
        return replace(
            program,
            values=self.values,
            constants=self.constants,
            instructions=self.instructions,
            writes=writes,
            result=_renumbered(program.result, instead),
            own=frozenset(instead.get(n, n) for n in program.own),
            names={**names, **{n: s for n, s in program.names.items() if n not in instead}},
        )


def _renumbered(tree: Any, instead: dict[int, int]) -> Any:
    if isinstance(tree, Result):
        return tree._replace(number=instead.get(tree.number, tree.number))
    if isinstance(tree, Same):
        return tree
    if isinstance(tree, dict):
        return {key: _renumbered(part, instead) for key, part in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_renumbered(part, instead) for part in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(_renumbered(part, instead) for part in tree)
    return tree
