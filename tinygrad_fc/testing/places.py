"""Where in its domain an argument lies: what is ordinary there, and how far it may move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.chance import kept
from tinygrad_fc.autograd.slopes import power, room
from tinygrad_fc.testing.directions import Place

if TYPE_CHECKING:
    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.case import Case

Array = np.ndarray[Any, Any]


def ordinary(word: Domain, shape: tuple[int, ...]) -> Array:
    """Return numbers in `word` that are neither large nor near to an edge: about 1, if they may."""
    x = _about_one(shape)
    low, high = word.low, word.high
    if high - low <= 64 and not low < -1 < 1 < high:
        x = (low + high) / 2 + (high - low) / 2 * (x - 1 / 16)
    elif low > -np.inf and not low < -1:
        x = low + np.abs(x)
    elif high < np.inf and not high > 1:
        x = high - np.abs(x)
    if word.without:
        x = np.where(np.isin(x, word.without), 0.875 * x + 0.03125, x)
    return np.array(x)


@kept
def _about_one(shape: tuple[int, ...]) -> Array:
    return np.asarray(np.random.default_rng(shape).choice((-7, -5, -3, 2, 4, 6, 8), shape) / 8.0)


def ordinaries(case: Case) -> list[Array]:
    """Return such numbers for the arguments of `case` that have a gradient."""
    return [ordinary(case.words[i], case.arrays[i].shape) for i in case.floats]


def reach(word: Domain, x: Array) -> Array:
    """Return how far each number may move, in powers of 2: by its own size, and inside `word`."""
    far = room(x)
    for edge in (word.low, word.high, *word.without):
        if np.isfinite(edge):
            far = np.minimum(far, np.abs(x - edge))
    return power(far)


def places(case: Case) -> list[Place]:
    """Return where the arguments of `case` that have a gradient lie."""
    words = [(case.words[i], np.asarray(case.arrays[i], float)) for i in case.floats]
    return [Place(x, reach(word, x), ordinary(word, x.shape)) for word, x in words]
