"""Slopes by differences: central ones at several steps, extrapolated to a step of zero."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS = 6
RATIO = 4.0


def slopes(f: Callable[[float], Any], at: float, eps: float) -> Any:
    """Return the derivative at `at` of every element of `f`, which returns a vector.

    The steps are `eps` and the powers of 4 of it up to 1024 `eps`. What is left of the error of a
    central difference is even in the step and goes in order, so that Richardson's extrapolation
    takes it away; of the candidates that one counts, element by element, whose neighbours agree
    with it best (Ridders, 1982), and that the finest difference does not contradict, as it would
    across a kink. Where none is finite the result is not.
    """
    steps = [eps * RATIO**k for k in range(LEVELS - 1, -1, -1)]
    table = []
    noise = []
    for h in steps:
        above, below = at + h, at - h  # as rounded: their distance is known exactly
        high, low = f(above), f(below)
        table.append((high - low) / (above - below))
        noise.append(4 * np.finfo(np.float64).eps * np.maximum(abs(high), abs(low)) / h)
    finest, before = table[-1], table[-2]
    allowed = 8 * noise[-1] + abs(finest - before)
    best, error = finest, np.where(np.isfinite(finest), allowed, np.inf)
    column = table
    for order in range(1, LEVELS):
        factor = RATIO ** (2 * order)
        finer = [(factor * b - a) / (factor - 1) for a, b in pairwise(column)]
        for k, candidate in enumerate(finer):
            moved = abs(candidate - column[k + 1])
            if k:
                moved = np.fmax(
                    moved, abs(candidate - finer[k - 1])
                )  # a level may be out of the domain
            bound = moved + noise[k + order]
            better = (bound < error) & (abs(candidate - finest) <= allowed)
            best, error = np.where(better, candidate, best), np.where(better, bound, error)
        column = finer
    return best
