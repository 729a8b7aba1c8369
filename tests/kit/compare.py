"""Gradients that somebody claims, held against slopes that were measured.

What is compared is a sum: the slopes of all results along a direction, weighted by random
numbers, and the same from the gradients. The tolerance is the bound on the slopes' errors, plus
what is demanded of the gradients: half of the digits of what they are summed from.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kit.calls import cotangent, spread
from kit.slopes import Slope, slope, steepness

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kit.strategies import Array

    Direction = Sequence[Array]

EPS = float(np.finfo(float).eps)
ACCURACY = EPS**0.5
RESOLVED = 2.0**-22
"""How well a slope must be known, relative to the largest, to be compared strictly."""


class Place(NamedTuple):
    """Where a function is differentiated, in one argument."""

    x: Array
    reach: Array
    """How far each number may move, in powers of 2."""
    ordinary: Array
    """Numbers of about 1, or what comes near to that in the argument's domain."""


class Claim(NamedTuple):
    """What gradients say about the slope of a weighted sum of results."""

    weights: Array
    total: float
    demand: float

    def allows(self, measured: Slope) -> bool:
        """Tell whether the claim is within the bound of what was measured."""
        numeric, error = measured.summed(self.weights)
        return math.isfinite(self.total) and abs(self.total - numeric) <= error + self.demand


def claim(gradients: Sequence[Array], v: Direction, w: Array, slack: float = 0.0) -> Claim:
    """Return what `gradients`, for the weights `w`, say about the slope along `v`."""
    each = (np.where(b == 0, 0, a * b) for a, b in zip(gradients, v, strict=True))
    shares = np.concatenate([s.ravel() for s in each])
    return Claim(w, float(shares.sum()), float(ACCURACY * np.abs(shares).sum() + slack))


@np.errstate(all="ignore")  # what is not finite is within no bound
def agree(
    f: Callable[..., Array],
    vjp: Callable[..., list[Array]],
    places: Sequence[Place],
    salt: int,
    eps: float = EPS,
    *,
    lines: int = 2,
    kinks: bool = True,
) -> int:
    """Hold `vjp`, the gradients at `places`, against slopes of `f`; return how many were compared.

    Results whose slope is well known are compared by themselves, so that those at a kink, whose
    bound is as large as the kink, hide nothing; these are compared among themselves. `eps` is
    that of the coarsest type that `f` computes in; `lines` tells along how many to compare, and
    `kinks` whether to judge at kinks too.
    """
    compared = 0
    steep = steepness(f, [p.x for p in places], [p.ordinary for p in places])
    measure = partial(slope, f, steep=steep, eps=eps)
    chosen = directions(places, salt)[salt % 2 : lines + salt % 2]
    for k, v in enumerate(chosen):
        found = measure([p.x for p in places], v)
        w = cotangent(found.value, salt + k)
        resolved = found.error <= RESOLVED * found.scale.max(initial=0)
        vague = np.isfinite(found.error) & ~resolved
        # Nothing at all is called back with, once: an empty result must have its gradient.
        for part in [resolved] * bool(resolved.any() or not k) + [vague] * bool(vague.any()):
            used = np.where(part, w, 0)
            if not claim(vjp(used), v, used).allows(found):
                _confirm(measure, vjp, used, places, v, found, kinks=kinks)
        if vague.any() and len(chosen) == lines:
            chosen.append(_in_step(places))
        compared += int((resolved & (found.value != 0)).sum())
    return compared


def _confirm(
    measure: Callable[..., Slope],
    vjp: Callable[..., list[Array]],
    w: Array,
    places: Sequence[Place],
    v: Direction,
    found: Slope,
    *,
    kinks: bool,
) -> None:
    """Raise unless other steps, the gradients' own rounding or a kink explain a disagreement.

    These cost more to find out, and are asked for only then.
    """
    other = measure([p.x for p in places], v, first=13 / 64)
    torn, rough = _around(measure, places, found)
    w = np.where(other.agrees(found) & ~(torn if kinks else torn | rough), w, 0)
    gradients = vjp(w)
    moves = zip(spread(partial(vjp, w), EPS), v, strict=True)
    own = sum(float((r * np.abs(d))[d != 0].sum()) for r, d in moves)
    mine = claim(gradients, v, w, slack=8 * own)
    if mine.allows(found) or mine.allows(other):
        return
    if rough.any() and mine.allows(_hull(measure, places, v, found, rough)):
        return
    numeric, error = found.summed(w)
    raise AssertionError(
        f"the gradients {gradients} for {w} give a slope of {mine.total} along {list(v)}; "
        f"it is {numeric} +- {error}"
    )


def directions(places: Sequence[Place], salt: int) -> list[list[Array]]:
    """Return directions: all arguments at random, one of them (or all in step), all again."""
    mixed = _mixed(places, salt)
    one = salt // 2 % (len(places) + 1)
    if one == len(places):
        return [mixed, _in_step(places), mixed]
    return [mixed, [m if i == one else 0 * m for i, m in enumerate(mixed)], mixed]


def _in_step(places: Sequence[Place]) -> list[Array]:
    """Return the direction in which ties stay ties: functions with a kink there are smooth."""
    least = min((p.reach.min() for p in places if p.reach.size), default=1.0)
    return [np.full(p.x.shape, least) for p in places]


def _mixed(places: Sequence[Place], seed: int) -> list[Array]:
    # Unequal sizes, so that no two contributions cancel.
    rng = np.random.default_rng([seed, *(p.x.size for p in places)])
    return [np.asarray(p.reach * rng.choice((-1, -0.5, 0.5, 0.75, 1), p.x.shape)) for p in places]


# Kinks


def _around(
    measure: Callable[..., Slope], places: Sequence[Place], found: Slope
) -> tuple[Array, Array]:
    """Tell which results jump at a place, and which have a kink there.

    Along one line they may look smooth: the middle of three that are equal does.
    """
    torn = np.isinf(found.error)
    rough = found.jump > ACCURACY * found.scale
    for seed in range(6):
        other = measure([p.x for p in places], _mixed(places, 1000 + seed))
        torn |= np.isinf(other.error)
        rough |= other.jump > ACCURACY * other.scale
    return torn, rough & ~torn


def _hull(
    measure: Callable[..., Slope],
    places: Sequence[Place],
    v: Direction,
    found: Slope,
    rough: Array,
) -> Slope:
    """Return `found`, wider where it is `rough`: there all slopes along `v` nearby are legal."""
    rough = rough & np.isfinite(found.error)
    bound = np.where(rough, found.error, 0)
    low, high = found.value - bound, found.value + bound
    for seed in range(32):
        rng = np.random.default_rng(seed)
        aside = [p.x + p.reach * rng.uniform(-1, 1, p.x.shape) / 1024 for p in places]
        near = measure(aside, v, first=2.0**-14)
        known = rough & np.isfinite(near.error)
        low = np.where(known, np.minimum(low, near.value - near.error), low)
        high = np.where(known, np.maximum(high, near.value + near.error), high)
    wide = np.where(rough, (high - low) / 2, found.error)
    return found._replace(value=(low + high) / 2, error=wide)
