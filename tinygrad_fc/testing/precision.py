"""The law of float32: there a gradient is what float64 says, to the rounding of float32."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.slopes import CALM, room
from tinygrad_fc.testing.errors import DiscardError, GradientError, Tally
from tinygrad_fc.testing.kinks import kinked
from tinygrad_fc.testing.laws import ONE, elsewhere, invisible, products, sound, told, usual
from tinygrad_fc.testing.numbers import EPS, EPS32, NEIGHBOURS, STILL, cotangent, rough, spread
from tinygrad_fc.testing.places import places
from tinygrad_fc.testing.values import flat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.numbers import Nudge

Array = np.ndarray[Any, Any]

COARSER = EPS32 / EPS
DIRECTIONS, FACTOR = 4, 64
"""In how many directions arguments are moved where gradients are ill-conditioned, and how much
more than by these moves they may be off."""
SPARSE = tuple(EPS * 2.0**k for k in (22.3, 25.1, 27.7))
"""By how much arguments are moved, too, to see how numbers on the way are rounded: by no power of
two, of which numbers on the way may move by whole ulps, so that nothing is rounded."""
FARTHER = tuple(2.0**k for k in range(-3, 18, 2))
"""By how many ulps, and up to four times as many, too, without a gap: where a gradient turns there,
an ulp moves it by that part of the turn."""


def small(case: Case) -> Tally:
    """In float32, the gradients are of float32, whatever the others are where tensors promote."""
    for mixed in (False, True)[: 1 + case.rule.own]:
        which = [not mixed or bool(case.salt >> k & 1) for k in range(len(case.arrays))]
        other = case.cast(np.float32, which)
        try:
            with np.errstate(all="ignore"):
                finite = np.isfinite(other.out).all()
        except GradientError:
            if mixed and not case.strict:
                continue  # a function may refuse arguments of several types
            raise
        if finite:
            sound(other)
    return ONE


def float32(case: Case) -> Tally:
    """In float32 the gradient is what float64 says, to float32's rounding."""
    narrow = case.cast(np.float32)
    with case.watched():
        out, wide = narrow.out, case.out
    told(narrow)
    told(case)
    if not (out.size or case.strict):
        sound(narrow)  # which leaves what overflows in float32 alone
    if case.strict:
        fixed = wide.dtype != np.float64 or "dtype" in case.settings
        if out.dtype != (wide.dtype if fixed else np.float32):
            raise narrow.wrong("dtype", f"for float32 the function returns {out.dtype}")
    g = cotangent(out, case.salt)
    with np.errstate(all="ignore"):
        plain = case.gradients(g.astype(wide.dtype))
    # What is next to the largest float may be beyond it on the way, however small g is.
    beyond = [np.abs(a) > np.finfo(np.float32).max / 64 for a in plain]
    heard = case.strict and not any(b.any() for b in beyond)
    with np.errstate(all="raise" if heard else "ignore", under="ignore"):
        found = narrow.gradients(g)
        if not all((np.isfinite(a) | b).all() for a, b in zip(found, beyond, strict=True)):
            g = g * np.float32(CALM)
            plain, found = case.gradients(g.astype(wide.dtype)), narrow.gradients(g)
    with np.errstate(invalid="ignore"):  # at the edge of a domain both may be infinite
        off = [_apart(a, b) for a, b in zip(plain, found, strict=True)]
    sizes = (np.nan_to_num(np.abs(a), posinf=np.inf) for a in plain)
    near = (o <= 16 * EPS32 * a for o, a in zip(off, sizes, strict=True))
    close = [n | b for n, b in zip(near, beyond, strict=True)]
    if all(c.all() for c in close):
        return Tally()
    allowed = _explained(case, g.astype(wide.dtype), out, plain)
    right = [c | (o <= e) for c, o, e in zip(close, off, allowed, strict=True)]
    explained, bounds = allowed, _ill(case, g.astype(wide.dtype))
    while not all(r.all() for r in right) and (more := next(bounds, None)) is not None:
        allowed = [e + m for e, m in zip(explained, more, strict=True)]
        right = [c | (o <= e) for c, o, e in zip(close, off, allowed, strict=True)]
    for i, a, b, r, e in zip(case.floats, plain, found, right, allowed, strict=True):
        if not r.all():
            if _lies_apart(case, out):
                raise DiscardError
            at = tuple(int(j) for j in np.argwhere(~r)[0])
            raise narrow.wrong(
                "float32",
                f"the gradient of {case.rule.argument(i)} at {at} is {b[at]} in float32 and "
                f"{a[at]} in float64; float32's rounding explains {e[at]:.2g}",
                argument=i,
                index=at,
                analytic=b[at],
                numerical=a[at],
                error=e[at],
                g=g,
            )
    return Tally()


def _apart(a: Array, b: Array) -> Array:
    """Return how far apart numbers are: not at all where both are infinite, or neither is any."""
    return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))


def _ill(case: Case, g: Array) -> Iterator[list[Array]]:
    """Yield how far gradients may be off where they hang by a few digits of their arguments.

    What they move by is another thing in every direction, and the largest of several is taken:
    that of float32's ulps, and the rounding of sums on the way, which cancel, as much coarser.
    Bounds grow, and few are asked for where the first ones are wide enough.
    """

    def nudged(nudge: Nudge | None) -> list[Array]:
        return case.gradients(g, nudge=nudge)

    moved, finer = partial(spread, nudged), COARSER * FACTOR / 4
    most = [np.zeros(case.arrays[i].shape) for i in case.floats]
    for first in range(0, 2 * DIRECTIONS, 2):
        both = zip(most, moved(EPS32, first), moved(EPS, first), strict=True)
        most = [np.maximum(m, np.maximum(FACTOR * c, finer * f)) for m, c, f in both]
        yield most
    # In saturation many ulps of float64 may lie between one number on the way and the next.
    for far in SPARSE:
        for first in range(0, 2 * DIRECTIONS, 2):
            pairs = zip(most, rough(nudged, far, first), strict=True)
            most = [np.fmax(m, finer * f) for m, f in pairs]
            yield most
    # The std of two numbers has one gradient, which no ulp moves, until they change places.
    for times in FARTHER:
        for first in (NEIGHBOURS, 0, 2):
            turned = moved(times * EPS32, first)
            most = [np.maximum(m, FACTOR / times * t) for m, t in zip(most, turned, strict=True)]
            yield most
    # Sums that cancel to nothing in one place do not in the next.
    yield [np.maximum(m, np.nan_to_num(m, posinf=0).max(initial=0) / 4) for m in most]


def _explained(case: Case, g: Array, out: Array, plain: list[Array]) -> list[Array]:
    """Return how far from the gradients of float64 those of float32 may be."""
    rounding = spread(lambda nudge: case.gradients(g, nudge=nudge), EPS32)
    loose = 64 * EPS32 if case.strict else 2.0**-12
    shaken, lost = (0.0, 0.0) if case.strict else (_shaken(case, out), _lost(case, g))
    allowed = []
    sizes = usual(case, g), invisible(case, g, case.out), products(case, g)
    for i, a, r, u, o, p in zip(case.floats, plain, rounding, *sizes, strict=True):
        # A difference of numbers of about 1 is rounded as these are (1 - out * out).
        floor = EPS32 * (64 * u + 8 * o) + 2.0**-100 + shaken * np.abs(a).max(initial=0)
        floor = floor + lost / np.minimum(room(case.arrays[i]), 1)
        floor = floor + np.where(np.abs(a) <= STILL * EPS * p, STILL / 16 * EPS32 * p, 0)
        allowed.append(24 * r + loose * np.abs(a) + floor)
    return allowed


def _lies_apart(case: Case, out: Array) -> bool:
    """Tell whether in float32 the function is at another side of a kink, or no digit of it left."""
    off = np.abs(np.asarray(out, float) - case.out)
    return bool((off > np.abs(case.out) / 2).any()) or kinked(flat(case), places(case), EPS)


def _shaken(case: Case, out: Array) -> float:
    """Return how much less exact the function itself is in float32 than that type could be."""
    scale = np.abs(case.out).max(initial=0)
    off = np.abs(np.asarray(out, float) - case.out).max(initial=0)
    return float(32 * off / scale) if scale else 0.0


def _lost(case: Case, g: Array) -> float:
    """Return how far gradients may be off because results are, by an ulp or by more.

    `log(1 - tanh(x)^2 + 1e-6)` at 11 is constant in float32, and off by 1e-3: digits are lost on
    the way that no ulp of `x` moves. Factors may hide that here, which ordinary numbers do not.
    """
    off = EPS32 * np.abs(case.out)
    for point in ([case.arrays[i] for i in case.floats], *elsewhere(case)):
        wide = case.at(case.placed(point))
        try:
            with np.errstate(all="ignore"):
                apart = np.abs(wide.cast(np.float32).out - wide.out)
        except (DiscardError, GradientError):
            continue
        off = np.maximum(off, np.where(np.isfinite(apart), apart, 0))
    return 32 * float((np.abs(g) * off).sum())
