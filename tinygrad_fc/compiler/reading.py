"""Operands in the order in which one reads them: `1 + x`, and what is known first, first.

How an operation is written in a row may owe its order to speed. Sums and products of two are the
same bits either way, and lie alike: where two arrays lie differently, C order wins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_fc.compiler.boxes import boxed
from tinygrad_fc.compiler.passes import optimized

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Instruction, Program


def ready(program: Program) -> Program:
    """Return `program` as its source is to be: optimized, and easy for NumPy and for readers."""
    return boxed(arranged(optimized(program)))


def arranged(program: Program) -> Program:
    """Return `program` with the operands of its sums and products in reading order."""

    def turned(step: Instruction) -> Instruction:
        if step.kind != "ufunc" or len(step.args) != 2:
            return step
        first, second = step.args
        if step.function is np.add and second in program.constants:
            return step._replace(args=(second, first))
        shape = program.values[step.out].shape
        whole = shape and all(program.values[n].shape == shape for n in step.args)
        if step.function is np.multiply and whole and second < first:
            return step._replace(args=(second, first))
        return step

    return replace(program, instructions=[turned(step) for step in program.instructions])
