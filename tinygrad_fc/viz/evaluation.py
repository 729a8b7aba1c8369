"""What a model computes in evaluation, where that differs from a training step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.instructions import rng_call

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Value
    from tinygrad_fc.viz.lesson import Call, Lesson

__all__ = ["evaluation"]


def evaluation(lesson: Lesson) -> dict[Value, list[Any]]:
    """Return, for results that differ in evaluation, the value that they are there.

    Of batch norm: what it normalises, the running mean, the running variance, and eps.
    """
    values: dict[Value, list[Any]] = {}
    for call in lesson.forward:
        source = _before_dropout(lesson, call)
        if source is not None:
            values[call.result] = [source]
        elif call.origin.op == "normalized" and (read := _running_statistics(lesson, call)):
            values[call.result] = [*read, call.origin.settings["eps"]]
    return values


def _before_dropout(lesson: Lesson, call: Call) -> Value | None:
    """Return what a dropout reads; alpha dropout chooses x a + b by a random mask."""
    read = lesson.arguments(call)
    if call.origin.op == "dropout":
        return read[0]
    inner = {c.result: c for c in lesson.forward}
    drawn = {v for v in lesson.program.instructions if v.function is rng_call}
    if call.origin.op != "where" or drawn.isdisjoint(lesson.ancestors(read[:1])):
        return None
    source = read[-1]
    for op in ("add", "multiply"):
        before = inner.get(source)
        own = lesson.arguments(before) if before and before.origin.op == op else []
        if len(own) != 1:
            return None
        source = own[0]
    return source


def _running_statistics(lesson: Lesson, call: Call) -> list[Value]:
    """Return what a batch norm reads, and its running mean and variance, if it has them."""
    centered = call.result.args[0]
    if centered.function is not np.subtract:
        return []
    mean = centered.args[1]
    first: dict[bool, Value] = {}  # of the mean, and of the variance, which needs differences
    for old, new in sorted(lesson.program.changes, key=lambda pair: lesson.position[pair[1]]):
        needed = lesson.ancestors([new])
        if mean in needed and not old.of and old not in lesson.gradients:
            first.setdefault(centered in needed, old)
    return [centered.args[0], first[False], first[True]] if len(first) == 2 else []
