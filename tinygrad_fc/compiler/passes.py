"""What a program does not have to do: the same values, with fewer instructions.

Each pass takes a program and returns another with the same inputs, outputs and writes, whose
results are the same bit for bit: no sum is reordered, no rule holds but for rounding. (Which NaN
comes of several, and its sign, no pass keeps: NumPy does not either.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.algebra import simpler
from tinygrad_fc.compiler.layout import memory
from tinygrad_fc.compiler.program import Part, evaluate
from tinygrad_fc.compiler.rewriting import Rewriting

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from tinygrad_fc.compiler.program import Instruction, Program

LARGEST = 4096
"""Up to so many elements a constant is worked out once and kept."""
EFFECTS = frozenset(("draw", "expect"))
"""Kinds that do something beside their result."""


def optimized(program: Program) -> Program:
    """Return `program` after all passes, again and again until nothing gets simpler.

    What is asked of inputs (`expect`) comes first then. Inputs, outputs and writes are as before;
    instructions, constants and the numbers of values may be others.
    """
    owners = memory(program)
    own = (n for n in program.outputs() if owners[n].isdisjoint(program.inputs))
    program = replace(program, own=frozenset(own))
    while True:
        before = program.instructions
        for one in passes:
            program = one(program)
        if len(program.instructions) == len(before) and all(
            map(_alike, program.instructions, before)
        ):
            return early(program)


def _alike(a: Instruction, b: Instruction) -> bool:
    return (a.kind, a.function, a.args, a.out) == (b.kind, b.function, b.args, b.out)


# One pass each


def folded(program: Program) -> Program:
    """Work out now what follows from constants alone."""
    work = Rewriting(program)
    for before in program.instructions:
        step = work.moved(before)
        if step.kind == "expect" and _known_truth(work, step):
            continue
        made = _constant(work, step)
        if made is None:
            work.keep(step)
        else:
            work.constants[step.out] = made
    return work.done()


def simplified(program: Program) -> Program:
    """Leave out what algebra makes needless, such as a factor of 1 or a view of a view."""
    work = Rewriting(program)
    for before in program.instructions:
        step = work.moved(before)
        found = simpler(step, work)
        if not isinstance(found, int):
            work.keep(found)
        elif found in program.inputs and step.out in program.own:
            work.keep(step)
        else:
            work.names(step.out, found)
    return work.done()


def shared(program: Program) -> Program:
    """Compute once what is computed several times: common subexpressions, equal constants."""
    work = Rewriting(program)
    first: dict[Hashable, int] = {}
    for number, value in program.constants.items():
        key = _constant_key(value)
        if first.setdefault(key, number) != number:
            work.names(number, first[key])
    asked: set[Hashable] = set()
    for before in program.instructions:
        step = work.moved(before)
        same = None if step.kind == "draw" else _key(step)
        if step.kind == "expect" and same in asked:
            continue
        if step.kind == "expect":
            asked.add(same)
            work.keep(step)
        elif same is not None and first.setdefault(same, step.out) != step.out:
            work.names(step.out, first[same])
        else:
            work.keep(step)
    return work.done()


def alive(program: Program) -> Program:
    """Leave out what nothing needs; draws stay, since they move the generator on."""
    needed = program.used()
    kept: list[Instruction] = []
    for step in reversed(program.instructions):
        if step.kind in EFFECTS or step.out in needed:
            needed.update(step.args)
            kept.append(step)
    constants = {n: value for n, value in program.constants.items() if n in needed}
    return replace(program, instructions=kept[::-1], constants=constants)


passes: tuple[Callable[[Program], Program], ...] = (simplified, folded, shared, alive)


def early(program: Program) -> Program:
    """Ask first what is asked of the inputs, such as whether momentum is 0."""
    known = {*program.inputs, *program.constants}
    small: list[Instruction] = []
    for step in program.instructions:
        if _asks(program, step) and known.issuperset(step.args):
            small.append(step)
            known.add(step.out)
    asked: set[int] = set()
    moved: list[Instruction] = []
    for step in reversed(small):
        # What only the arithmetic further down needs stays there.
        if step.kind == "expect" or step.out in asked:
            asked.update(step.args)
            moved.append(step)
    gone = {id(step) for step in moved}
    rest = [step for step in program.instructions if id(step) not in gone]
    return replace(program, instructions=moved[::-1] + rest)


def _asks(program: Program, step: Instruction) -> bool:
    """Tell whether `step` may be part of a question, being about one number."""
    if step.kind in ("expect", "number", "item"):
        return True
    return step.kind in ("ufunc", "reduce") and program.values[step.out].shape == ()


def operations(program: Program) -> int:
    """Return how many operations of arrays `program` does: views and plain numbers are none.

    >>> from tinygrad_fc.compiler import Program
    >>> operations(Program("nothing"))
    0
    """
    return sum(step.kind not in _FREE for step in program.instructions)


_FREE = frozenset(("reshape", "transpose", "expand", "getitem", "number", "item", "expect", "fill"))


# Constants


def _constant(work: Rewriting, step: Instruction) -> Any:
    """Return what `step` makes of constants; None where it is to be done at each call."""
    if step.kind in EFFECTS or not all(n in work.constants for n in step.args):
        return None
    shape = work.values[step.out].shape
    if shape is not None and np.prod(shape, dtype=float) > LARGEST:
        return None
    args = [work.constants[n] for n in step.args]
    try:
        # What warns or fails does so at each call, as it would have without us.
        with np.errstate(divide="raise", over="raise", invalid="raise", under="ignore"):
            made = evaluate(step.kind, step.function, args, step.settings)
    except Exception:  # noqa: BLE001  whatever it is, the call is going to raise it
        return None
    if shape is None:
        return made
    made = np.array(made)
    made.flags.writeable = False
    return made


def _known_truth(work: Rewriting, step: Instruction) -> bool:
    (number,) = step.args
    return number in work.constants and bool(work.constants[number]) is step.settings["value"]


# What tells equal instructions


def _constant_key(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        in_order = value.flags.c_contiguous
        return ("array", value.dtype.str, value.shape, in_order or id(value), value.tobytes())
    if isinstance(value, bool | int | float):
        return ("number", type(value), repr(value))
    return ("object", id(value))


def _key(step: Instruction) -> Hashable | None:
    args = step.args
    if step.function in (np.add, np.multiply) and step.kind == "ufunc":
        args = tuple(sorted(args))
    return (step.kind, _hashable(step.function), args, _settings_key(step.settings))


def _settings_key(part: Any) -> Hashable:
    match part:
        case Part(index):
            return ("part", index)
        case dict():
            return ("dict", *((key, _settings_key(x)) for key, x in sorted(part.items())))
        case tuple() | list():
            return (type(part).__name__, *map(_settings_key, part))
        case slice():
            return ("slice", *map(_settings_key, (part.start, part.stop, part.step)))
        case bool() | int() | float() | np.ndarray():
            return _constant_key(part)
    return (type(part).__name__, _hashable(part))


def _hashable(thing: Any) -> Hashable:
    try:
        hash(thing)
    except TypeError:
        return id(thing)
    return thing  # type: ignore[no-any-return]
