"""Which gradients of the last call give their memory back before the next call begins.

Where new gradients lie as the ones before them lay, they lie in memory that is in the caches still.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_fc.compiler.inplace import PIECE
from tinygrad_fc.compiler.layout import nbytes
from tinygrad_fc.compiler.program import VIEWS, Leave

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Instruction, Program

_KINDS = VIEWS | {"reduce", "cast", "fill", "draw", "item", "expect"}
_PRODUCTS = (np.dot, np.vdot)
_DIVIDING = (operator.truediv, operator.floordiv, operator.mod, operator.pow)


def given_back(program: Program) -> list[int]:
    """Return which of the writes of `program` are large gradients.

    Of these, one that a call reads or asks for is in a variable, and so is not given back. None
    where an instruction may raise: then all is to be as it was.
    """
    if not all(_cannot_fail(step, program) for step in program.instructions):
        return []
    return [
        k
        for k, write in enumerate(program.writes)
        if isinstance(write, Leave)
        and write.number is not None
        and nbytes(program, write.number) >= PIECE
    ]


def _cannot_fail(step: Instruction, program: Program) -> bool:
    if step.kind == "ufunc":
        dtype = program.values[step.out].dtype
        return dtype is not None and dtype.kind in "fb"  # whole numbers are divided by 0
    if step.kind == "number":
        return step.function not in _DIVIDING
    return step.kind in _KINDS or step.function in _PRODUCTS
