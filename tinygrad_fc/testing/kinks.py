"""Results that have a kink or a jump at a place, and the slopes that are legal there."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.glance import glance
from tinygrad_fc.autograd.slopes import Slope, slopes
from tinygrad_fc.testing.directions import mixed, uneven

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.testing.directions import Direction, Place

    Array = np.ndarray[Any, Any]


LINES = 12
"""Along how many lines slopes are measured, and as often along what is between two of them."""


def around(
    measure: Callable[..., list[Slope]], places: Sequence[Place], found: Slope, coarse: float
) -> tuple[Array, Array]:
    """Tell which results jump at a place, and which have a kink there.

    Along one line they may look smooth: the middle of three that are equal does.
    """
    torn, rough = np.isinf(found.error), bent(found, coarse)
    point = [p.x for p in places]
    tried = [uneven(places, 1000 + seed) for seed in range(LINES)]
    pairs = list(pairwise((*range(LINES), 0)))
    tried += [[(a + b) / 2 for a, b in zip(tried[j], tried[k], strict=True)] for j, k in pairs]
    lines = [(point, v) for v in tried]
    # Where a glance is sure that both sides are alike a closer look says nothing else.
    along = measure(lines, glance, steep=None)
    if not all((one.error <= coarse / 4 * one.scale).all() for one in along):
        along = measure(lines)
    # Slopes must add up: at three ties the middle one is smooth along every line, and no slope.
    for (j, k), both in zip(pairs, along[LINES:], strict=True):
        one, other = along[j], along[k]
        apart = np.abs(one.value + other.value - 2 * both.value)
        scale = np.maximum(np.maximum(one.scale, other.scale), both.scale)
        rough = rough | (apart > one.error + other.error + 2 * both.error + coarse * scale)
    for other in along:
        torn |= np.isinf(other.error)
        rough |= bent(other, coarse)
    return torn, rough & ~torn


def kinked(f: Callable[..., Array], places: Sequence[Place], eps: float) -> bool:
    """Tell whether `f` jumps or has a kink at `places`, in any of its results."""
    measure = partial(slopes, f, eps=eps)
    (found,) = measure([([p.x for p in places], mixed(places, 1000))])
    return any(a.any() for a in around(measure, places, found, eps**0.5))


def bent(found: Slope, coarse: float) -> Array:
    """Tell which results have a kink, of slopes that were measured along one line."""
    return np.asarray(found.jump > coarse * found.scale)


def hull(
    measure: Callable[..., list[Slope]],
    places: Sequence[Place],
    v: Direction,
    found: Slope,
    rough: Array,
) -> Slope:
    """Return `found`, wider where it is `rough`: there all slopes along `v` nearby are legal."""
    rough = rough & np.isfinite(found.error)
    bound = np.where(rough, found.error, 0)
    low, high = found.value - bound, found.value + bound
    aside = [
        [p.x + p.reach * rng.uniform(-1, 1, p.x.shape) / 1024 for p in places]
        for rng in map(np.random.default_rng, range(32))
    ]
    for near in measure([(point, v) for point in aside], first=2.0**-14):
        known = rough & np.isfinite(near.error)
        low = np.where(known, np.minimum(low, near.value - near.error), low)
        high = np.where(known, np.maximum(high, near.value + near.error), high)
    wide = np.where(rough, (high - low) / 2, found.error)
    return found._replace(value=(low + high) / 2, error=wide)
