"""Where values lie in memory: which may share it, and which are known to be in C order.

Sums and products of matrices depend, in their last bits, on how an array lies in memory. So one
array may only stand for another of the same values where both lie alike, or where nobody asks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_fc.compiler.program import VIEWS, Change, Instruction, Program

if TYPE_CHECKING:
    from collections.abc import Iterable

FRESH = frozenset(
    (np.dot, np.vdot, np.where, np.concatenate, np.stack, np.cumsum, np.cumprod, np.matmul)
)
"""Functions whose result is memory of its own; of others that is not known."""
JOINING = frozenset((np.concatenate, np.stack))
"""Functions whose result lies as what they are given, where all of that lies alike."""


def elementwise(step: Instruction) -> bool:
    """Tell whether each element of the result depends on one element of each argument."""
    return step.kind == "ufunc" and step.function.signature is None


def ordered(program: Program) -> set[int]:
    """Return the numbers of the values that are known to lie in C order, whatever the inputs."""
    found = {n for n, value in enumerate(program.values) if math.prod(value.shape or ()) <= 1}
    found |= {
        n
        for n, a in program.constants.items()
        if isinstance(a, np.ndarray) and a.flags.c_contiguous
    }
    # What is made of an array that is changed may be made in its memory, and lies as that does.
    changed = {w.target for w in program.writes if isinstance(w, Change)}
    for step in program.instructions:
        shape, of = program.values[step.out].shape, changed.intersection(step.args)
        same = elementwise(step) and any(program.values[n].shape == shape for n in of)
        if same or (of and step.kind in VIEWS):
            changed.add(step.out)
        elif _in_order(step, program, found):
            found.add(step.out)
    return found


def _in_order(step: Instruction, program: Program, found: set[int]) -> bool:
    if step.kind in ("draw", "fill", "put"):
        return True
    if elementwise(step):
        # Where arguments lie in several orders, NumPy takes C order.
        shape = program.values[step.out].shape
        return any(n in found and program.values[n].shape == shape for n in step.args)
    if step.kind in ("reduce", "reshape", "cast"):
        return step.args[0] in found
    if step.kind == "ufunc":
        return step.function is np.matmul
    if step.kind != "function":
        return False
    return step.function is np.dot or (step.function in JOINING and found.issuperset(step.args))


def readers(program: Program) -> dict[int, list[Instruction]]:
    """Return for each value that instructions read which these are."""
    found: dict[int, list[Instruction]] = {}
    for step in program.instructions:
        for n in step.args:
            found.setdefault(n, []).append(step)
    return found


def indifferent(program: Program) -> set[int]:
    """Return the values of which no bit of what is computed depends on how they lie."""
    read_by = readers(program)
    found: set[int] = set()
    for n in reversed(
        [*program.inputs, *program.constants, *(s.out for s in program.instructions)]
    ):
        if all(
            (_only_moves(step) and step.out in found) or step.kind in ("expect", "item")
            for step in read_by.get(n, ())
        ):
            found.add(n)
    return found


def _only_moves(step: Instruction) -> bool:
    """Tell whether elements are taken one by one, whatever order they lie in."""
    if step.kind == "function":
        return step.function is np.where or step.function in JOINING
    moves = step.kind in VIEWS or step.kind in ("getitem", "put", "cast")
    return moves or elementwise(step)


def memory(program: Program) -> dict[int, frozenset[int]]:
    """Return for each value whose memory it may lie in: its own, or that of others."""
    owners: dict[int, frozenset[int]] = {
        n: frozenset((n,)) for n in (*program.inputs, *program.constants)
    }
    for step in program.instructions:
        own: Iterable[int] = (step.out,)
        if step.kind in VIEWS or step.kind == "getitem":
            owners[step.out] = owners[step.args[0]]
        elif step.kind == "call" or (step.kind == "function" and step.function not in FRESH):
            owners[step.out] = frozenset(own).union(*(owners[n] for n in step.args))
        else:
            owners[step.out] = frozenset(own)
    return owners


def nbytes(program: Program, number: int) -> int:
    """Return how large a value is."""
    shape, dtype = program.values[number]
    return 0 if shape is None or dtype is None else math.prod(shape) * dtype.itemsize
