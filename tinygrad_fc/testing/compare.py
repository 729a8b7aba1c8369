"""Gradients that somebody claims, held against slopes that were measured.

What is compared is a sum: the slopes of all results along a direction, weighted by random
numbers, and the same from the gradients. The tolerance is the bound on the slopes' errors, plus
the gradients' own rounding, plus what is demanded of them: half of the digits of what they are
summed from, unless it is told otherwise.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.autograd.glance import glance
from tinygrad_fc.autograd.slopes import CALM, Slope, slopes, steepness
from tinygrad_fc.testing.directions import directions, in_step, only
from tinygrad_fc.testing.errors import Tally
from tinygrad_fc.testing.kinks import around, bent, hull
from tinygrad_fc.testing.numbers import EPS, STILL, cotangent, product, spread
from tinygrad_fc.testing.stairs import climbs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.testing.directions import Direction, Place

    Array = np.ndarray[Any, Any]

ACCURACY = EPS**0.5
RESOLVED = 2.0**-22
"""How well a slope must be known, relative to the largest, to be compared strictly."""
INNER = 2.0**-4
"""How much smaller than ordinary numbers are that are as good, next to 0."""


class Disagreement(Exception):  # noqa: N818  what is found, before anybody has called it an error
    """Gradients that no slope allows: what they give along a direction, and what was measured."""

    f: Callable[..., Array]
    vjp: Callable[..., list[Array]]
    places: Sequence[Place]
    eps: float
    forbidden = False
    """Whether it is that there is a kink at all."""

    def __init__(
        self, w: Array, v: Direction, total: float, measured: tuple[float, float], kind: str
    ) -> None:
        super().__init__(kind)
        self.in_step = len(np.unique(np.concatenate([a.ravel() for a in v]))) == 1
        self.w, self.total = w, total
        self.numeric, self.error = measured
        self.kind = kind


class Demand(NamedTuple):
    """What is asked of gradients: how exact they are, and how they are judged at kinks."""

    accuracy: float = ACCURACY
    """Of the gradient, relative to what it is summed from; 0 for what can be told."""
    kinks: str = "subgradient"
    """`"subgradient"`: between the slopes beside it; `"skip"`: anything; `"forbid"`: no kinks."""
    eps: float = EPS
    """That of the coarsest type that the function computes in."""
    lines: int = 2
    """Along how many directions to compare."""
    noise: float = 0.0
    """How exact the function is, relative to its values, if worse than its type."""

    @property
    def blur(self) -> float:
        """How exact what is measured is at best."""
        return max(self.eps, self.noise)


class Claim(NamedTuple):
    """What gradients say about the slope of a weighted sum of results."""

    weights: Array
    total: float
    size: float
    """What the total is summed from: its rounding is relative to that."""
    slack: float

    def allows(self, measured: Slope, accuracy: float) -> bool:
        """Tell whether the claim is within the bound of what was measured."""
        numeric, error = measured.summed(self.weights)
        allowed = error + self.slack + accuracy * self.size
        return math.isfinite(self.total) and abs(self.total - numeric) <= allowed


def claim(gradients: Sequence[Array], v: Direction, w: Array, slack: float = 0.0) -> Claim:
    """Return what `gradients`, for the weights `w`, say about the slope along `v`."""
    each = (np.where(b == 0, 0, a * b) for a, b in zip(gradients, v, strict=True))
    shares = np.concatenate([s.ravel() for s in each])
    return Claim(w, float(shares.sum()), float(np.abs(shares).sum()), slack)


@np.errstate(all="ignore")  # what is not finite is within no bound
def agree(
    f: Callable[..., Array],
    vjp: Callable[..., list[Array]],
    places: Sequence[Place],
    salt: int,
    demand: Demand,
    lost: Callable[[], Array],
) -> Tally:
    """Hold `vjp`, the gradients at `places`, against slopes of `f`; raise `Disagreement`.

    Results whose slope is well known are compared by themselves, so that those at a kink, whose
    bound is as large as the kink, hide nothing; these are compared among themselves. Where they
    disagree, `lost` tells how steep what results come from is: see `steep` of `slopes.slope`.
    """
    tally = Tally()
    here = [p.x for p in places]
    chosen = directions(places, salt)[: demand.lines]
    if (size := _at_a_glance(f, vjp, here, chosen, salt, demand)) is not None:
        return Tally(size)
    steep, inner = (steepness(f, here, [n * p.ordinary for p in places]) for n in (1, INNER))
    # Behind large weights a network has its slopes near 0, and is flat where numbers are about 1.
    steepest = np.maximum(steep, inner)
    measure = partial(slopes, f, steep=steepest, eps=demand.eps, noise=demand.noise)
    held = _Held(
        *(f, vjp, places, demand, measure),
        careful=lambda lines: measure(lines, steep=np.maximum(steepest, lost())),
    )
    found_along = measure([(here, v) for v in chosen])
    coarse = demand.blur**0.5
    for k, v in enumerate(chosen):
        found = found_along[k]
        w = weights(found.value, salt, k)
        natural = steep * max((np.abs(a).max(initial=0) for a in v), default=0)
        resolved = found.error <= max(RESOLVED, coarse) * max(
            found.scale.max(initial=0), natural.max(initial=0)
        )
        vague = np.isfinite(found.error) & ~resolved
        # Nothing at all is called back with, once: an empty result must have its gradient.
        for part in [resolved] * bool(resolved.any() or not k) + [vague] * bool(vague.any()):
            used = np.where(part, w, 0)
            if not _told(held, used, v, found):
                resolved = resolved & ~part
        if vague.any() and len(chosen) == demand.lines:
            chosen.append(in_step(places))
            found_along += measure([(here, chosen[-1])])
        rough = ~resolved & bent(found, coarse)
        tally = tally.plus(
            Tally(int(resolved.sum()), int((~resolved & ~rough).sum()), int(rough.sum()))
        )
        if rough.any() and demand.kinks == "forbid":
            refused = Disagreement(w, v, math.nan, found.summed(w), "kink")
            refused.forbidden = True
            raise refused
    return tally


def _at_a_glance(
    f: Callable[..., Array],
    vjp: Callable[..., list[Array]],
    here: Sequence[Array],
    chosen: Sequence[Direction],
    salt: int,
    demand: Demand,
) -> int | None:
    """Return how many slopes are as claimed; None where a closer look has to tell.

    They are known to within what is demanded of gradients, so that a closer look would allow the
    same claims.
    """
    glances = slopes(f, [(here, v) for v in chosen], glance, eps=demand.eps, noise=demand.noise)
    for k, (v, found) in enumerate(zip(chosen, glances, strict=True)):
        if not np.isfinite(found.error).all():
            return None
        w = weights(found.value, salt, k)
        mine = claim(vjp(w), v, w)
        numeric, error = found.summed(w)
        if not abs(mine.total - numeric) + error <= demand.accuracy * mine.size:
            return None
    return sum(found.value.size for found in glances)


def weights(value: Array, salt: int, k: int) -> Array:
    """Return what results are weighed with: at random, or one alone where there are few."""
    w = cotangent(value, salt + k)
    if k and salt % 4 == 3 and 1 < value.size <= 8:
        w = np.where(np.arange(value.size) == salt // 4 % value.size, w, 0)
    return w


class _Held(NamedTuple):
    """What is held against what, and the two ways in which it is measured."""

    f: Callable[..., Array]
    vjp: Callable[..., list[Array]]
    places: Sequence[Place]
    demand: Demand
    measure: Callable[..., list[Slope]]
    careful: Callable[..., list[Slope]]
    """With what is lost on the way, which takes longer."""


def _told(held: _Held, w: Array, v: Direction, found: Slope) -> bool:
    """Tell whether slopes tell what gradients say; raise `Disagreement` where that is wrong."""
    # With an accuracy of 0 the gradients' own rounding is asked for, which costs more.
    demand, mine = held.demand, claim(held.vjp(w), v, w)
    if not math.isfinite(mine.total):
        w = w * CALM
        mine = claim(held.vjp(w), v, w)
    if mine.allows(found, demand.accuracy):
        return True
    (blurred,) = held.careful([([p.x for p in held.places], v)])
    if mine.allows(blurred, max(demand.accuracy, 64 * demand.blur)):
        return True
    return _confirmed(held, w, v, found)


def _confirmed(held: _Held, w: Array, v: Direction, found: Slope) -> bool:
    """Raise unless other steps, the gradients' own rounding or a kink explain a disagreement.

    These cost more to find out, and are asked for only then. Where jumps explain it, slopes tell
    nothing: it is False.
    """
    f, vjp, places, demand, measure, _ = held
    point = [p.x for p in places]
    (other,) = measure([(point, v)], first=13 / 64)
    # Sums and products round as well, whose numbers no nudge of the arguments shows.
    accuracy = max(demand.accuracy, 64 * demand.blur)
    w = np.where(other.agrees(found), w, 0)
    mine = _rounded(vjp, w, v, demand.blur)
    if mine.allows(found, accuracy) or mine.allows(other, accuracy):
        return True
    unseen = _unseen(measure, w, point, v, demand.blur)
    mine = mine._replace(slack=mine.slack + unseen)
    if mine.allows(found, accuracy) or mine.allows(other, accuracy):
        return True
    torn, rough = around(measure, places, found, demand.blur**0.5)
    left_out = torn | rough if demand.kinks == "skip" else torn
    if left_out.any():
        w = np.where(left_out, 0, w)
        mine = _rounded(vjp, w, v, demand.blur, unseen)
        if mine.allows(found, accuracy) or mine.allows(other, accuracy):
            return True
    if rough.any() and mine.allows(hull(measure, places, v, found, rough), accuracy):
        return True
    numeric, error = found.summed(w)
    if climbs(f, point, v, w, mine.total - numeric):
        return False
    kind = "kink" if (rough & (w != 0)).any() else "value"
    if demand.accuracy < ACCURACY and mine.allows(found, ACCURACY):
        kind = "imprecise"
    raise Disagreement(w, v, mine.total, (numeric, error), kind)


def _rounded(
    vjp: Callable[..., list[Array]], w: Array, v: Direction, eps: float, unseen: float = 0.0
) -> Claim:
    """Return what gradients say; their own rounding is granted, and what is `unseen`."""
    moves = zip(spread(partial(vjp, w), eps), v, strict=True)
    own = sum(float((r * np.abs(d))[d != 0].sum()) for r, d in moves)
    return claim(vjp(w), v, w, slack=4 * own + unseen)


def _unseen(
    measure: Callable[..., list[Slope]], w: Array, point: Sequence[Array], v: Direction, eps: float
) -> float:
    """Return how much gradients may be off that are 0: where an argument moves nothing at all."""
    alone = measure([(point, only(v, i)) for i in range(len(point))])
    still = sum(float(np.abs(w[found.value == 0]).sum()) for found in alone)
    return STILL * eps * still * product(point)
