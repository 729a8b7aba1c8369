"""A failure in fewer entries: what hypothesis leaves of shapes, whose axes it makes small together.

Where all axes are drawn to be of one size, as half of them are, none becomes smaller alone.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.domain import least, named
from tinygrad_fc.testing.errors import GradientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.plan import Plan

SECONDS = 0.3
"""How long fewer entries are sought."""


def smaller(error: GradientError, plan: Plan) -> GradientError:
    """Return the same failure with as few entries along each axis as show it."""
    started = time.process_time()
    for label in dict.fromkeys(name for _, _, name in _axes(error.drawn)):
        for case in _cut(error.drawn, label):
            if time.process_time() - started > SECONDS:
                return error
            found = _failure(case, error, plan)
            if found is not None:
                error = found
                break
    return error


def _axes(case: Case | None) -> Iterator[tuple[int, int, Any]]:
    """Yield all axes that may be shorter: of which array, which one, and what it is called."""
    for i, (word, a) in enumerate(zip(case.words, case.arrays, strict=True) if case else ()):
        for axis, name in enumerate(_names(word, a.ndim)):
            if name is not None and a.shape[axis] > 1:
                yield i, axis, name


def _names(word: Domain, ndim: int) -> list[Any]:
    """Return what each axis of an array is called, None where its size is a number."""
    pattern: list[Any] = [...] if word.shape is None else list(word.shape)
    if ... not in pattern and len(pattern) > ndim:
        pattern = [a for a in pattern if not (isinstance(a, str) and named(a).optional)]
    if ... in pattern:
        at, many = pattern.index(...), ndim - len(pattern) + 1
        if many < 0:  # an axis that may be left out was
            return []
        pattern[at : at + 1] = [(k - many,) for k in range(many)]  # that broadcast, from the end
    return [
        None if isinstance(a, int) else named(a).letter if isinstance(a, str) else a
        for a in pattern
    ]


def _cut(case: Case | None, label: Any) -> Iterator[Case]:
    """Yield the case with fewer entries along an axis, the first of them or the last."""
    if case is None:
        return
    axes = [(i, axis) for i, axis, name in _axes(case) if name == label]
    shortest = max(1, least(case.words).get(label, 1))
    for n in range(shortest, max(case.arrays[i].shape[axis] for i, axis in axes)):
        for first in (True, False):
            arrays = list(case.arrays)
            for i, axis in axes:
                kept = range(n) if first else range(-n, 0)
                arrays[i] = np.take(arrays[i], kept, axis)
            for i, word in enumerate(case.words):
                if word.kind == "index" and word.size == label:
                    arrays[i] = arrays[i] % n
            yield replace(case, arrays=tuple(arrays))


def _failure(case: Case, error: GradientError, plan: Plan) -> GradientError | None:
    """Return what fails at a case in the same way as `error`, None where nothing does."""
    try:
        with np.errstate(all="ignore"):
            if case.legal():
                plan.laws[error.law].holds(case)
    except GradientError as found:
        if found.kind == error.kind and found.argument == error.argument:
            found.drawn, found.law = case, error.law
            return found
    except Exception:  # noqa: BLE001  what raises there is no matter of the failure
        return None
    return None
