"""Numerical derivatives that say how far they may be off.

A central difference is as wrong as its step is long, and as noisy as its step is short, so no
single step is to be trusted. Here the step is halved fifteen times (in float32 nineteen), the
differences extrapolated to a step of 0 (Richardson), and each value of that tableau is given a
bound: its disagreement with the values that it comes from, plus the rounding of the function,
measured. A value counts only if no finer step contradicts it: coarse steps agree with each other
by luck where the function oscillates. Of what is left the smallest bound wins; where nothing is
left it is infinite, and nobody is alarmed.

Rounding that no step shows is in no bound: beside a slope a staircase whose stairs are longer than
the finest steps is not seen, see `testing.stairs`.

At a kink the slopes to the left and to the right differ. Half of that jump is added to the bound,
without asking whether there is one: differentiable or not, a legal slope lies within.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.autograd.chance import kept
from tinygrad_fc.autograd.differences import EPS, LOPSIDED, SYMMETRIC, along, seen
from tinygrad_fc.autograd.richardson import extrapolated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, Any]
    Function = Callable[..., Array]  # arrays to a flat array
    Line = tuple[Sequence[Array], Sequence[Array]]  # a point and a direction

LEVELS, FINER = 16, 4
"""How many steps there are, and how many more where steps of next to nothing move no number."""
STEP = 2.0**-8
COARSEST = 2.0**-16
"""How coarse rounding may be, beside how far results move: what is coarser is a jump."""
CALM = 2.0**-16
"""How much smaller cotangents are taken where numbers on the way are larger than any float."""
TINY = 2.0**-100  # the imaginary step: its square vanishes beside 1
AT_ONCE = 4096
"""How many results are measured at once: each of NumPy's calls costs little for more of them."""


class Slope(NamedTuple):
    """The derivatives of a function's results along a direction, and bounds on their errors."""

    value: Array
    error: Array
    jump: Array
    """How much the slopes to both sides differ at least; at most 0 where they may be the same."""
    scale: Array
    """How large the results and their slopes are: what their rounding is measured against."""

    def summed(self, weights: Array) -> tuple[float, float]:
        """Return the slope of the weighted sum of the results, and the bound on its error."""
        used = weights != 0  # 0 times an infinite bound is nothing
        w, value, error = weights[used], self.value[used], self.error[used]
        return float((w * value).sum()), float((np.abs(w) * error).sum())

    def agrees(self, other: Slope) -> Array:
        """Tell for each result whether `other` is the same, to the bounds of both."""
        return np.asarray(np.abs(self.value - other.value) <= self.error + other.error)


def slope(
    f: Function,
    point: Sequence[Array],
    direction: Sequence[Array],
    *,
    first: float = 0.25,
    steep: Array | float = 0.0,
    eps: float = EPS,
    noise: float = 0.0,
    here: Array | None = None,
) -> Slope:
    """Return the derivatives of `f` at `point` along `direction`, from steps of `first` and less.

    `f` takes arrays as in `point` and returns a flat array. `point + t * direction` must lie
    within the domain of `f` for |t| up to `first`. `steep` are the slopes that `f` has at ordinary
    places, see `steepness`: where it is much flatter, what it comes from was rounded all the same
    (1 - tanh(x)^2 at 16 is a staircase). `eps` is that of the coarsest type that `f` computes in,
    and `noise` how exact it is, relative to its results, if worse than that. `here` are its results
    at `point`, where these are known.
    """
    line = along(f, point, direction)
    with np.errstate(all="ignore"):
        h = first * 0.5 ** np.arange(LEVELS if eps <= EPS else LEVELS + FINER)[:, None]
        found = seen(line, h, here)
        here, central = found.here, found.central
        near = _near(line, here)
        least = found.rounding(eps, noise)
        right, left = found.up - here, found.down - here
        far = np.fmax(np.abs(right), np.abs(left)).max(axis=0, initial=0)
        least = np.maximum(least, np.where(near.grain <= far * COARSEST, near.grain, 0))
        size = max((float(np.abs(a).max(initial=0)) for a in (*point, *direction)), default=0)
        rounding = least + 2 * eps * steep * size
        blur, visible = _blurred(_rougher(near, central, h), rounding, least)
        unseen = np.nan_to_num(blur - visible) / h
        value, error = extrapolated(central, visible / h, unseen, SYMMETRIC)
        jump, doubt = extrapolated(found.lopsided, 4 * visible / h, 4 * unseen, LOPSIDED)
        error = error + (np.abs(jump) + doubt) / 2
        torn = _torn(right, blur) | _torn(left, blur)
        steepest = np.maximum(np.abs(right[-1]), np.abs(left[-1])) / h[-1]
        torn |= near.flat & (_stair(right, blur) | _stair(left, blur))
        if eps > EPS:
            torn |= _steady_elsewhere(central[-4:], value, error)
        torn |= near.contradicts(value, error, rounding[-1], steepest)
        beyond = ~np.isfinite((np.abs(value) + error) / CALM)  # in sums of these, all is infinite
        error = np.where(torn | beyond, np.inf, error)
        value = np.where(np.isfinite(error), value, 0)
        scale = np.where(np.isfinite(here), np.abs(here), 0) + np.abs(value)
        measured = Slope(value, error, np.abs(jump) - doubt, scale)
        other = _imaginary(f, point, direction, here, blur[-1])
        return measured if other is None else _closer(measured, *other)


def slopes(
    f: Function,
    lines: Sequence[Line],
    measure: Callable[..., Slope] = slope,
    *,
    steep: Array | float | None = None,
    **options: float,
) -> list[Slope]:
    """Return what `measure` does for each of several points and directions, in less time."""

    def together(*arrays: Array) -> Array:
        return np.concatenate([f(*each) for each in zip(*arrays, strict=True)])

    found: list[Slope] = []
    if not lines:
        return found
    point = lines[0][0]
    here = np.array(f(*point))
    one = all(p is point for p, _ in lines)
    many = max(AT_ONCE // max(here.size, 1), 1)
    for some in (lines[k : k + many] for k in range(0, len(lines), many)):
        sides = zip(*some, strict=True)
        points, directions = ([np.stack(a) for a in zip(*s, strict=True)] for s in sides)
        each: Any = {} if steep is None else {"steep": np.tile(steep, len(some))}
        if one:
            each["here"] = np.tile(here, len(some))
        whole = measure(together, points, directions, **each, **options)
        parts = (np.split(a, len(some)) for a in whole)
        found += [Slope(*part) for part in zip(*parts, strict=True)]
    return found


def steepness(f: Function, point: Sequence[Array], ordinary: Sequence[Array]) -> Array:
    """Return the largest slope of each result where numbers are about 1: all, or one argument's."""
    found = []
    with np.errstate(all="ignore"):
        for k in range(-1, len(point) if len(point) > 1 else 0):
            place, moved = list(point), list(point)
            for i in range(len(point)) if k < 0 else (k,):
                # Not in step, along which many a function is flat.
                place[i] = ordinary[i]
                moved[i] = ordinary[i] + STEP * _unequal(k + 1, i, point[i].shape)
            found.append(np.abs(f(*moved) - f(*place)) / STEP)
    return np.asarray(np.max(np.where(np.isfinite(found), found, 0), axis=0))


def roughness(f: Function, point: Sequence[Array], direction: Sequence[Array]) -> Array:
    """Return how rough each result is at a place, from steps of next to nothing; kinks are not."""
    with np.errstate(all="ignore"):
        line = along(f, point, direction)
        longer, shorter = _near(line, line(0.0)).rough
    rounding = np.isfinite(longer) & (shorter > longer / 64)
    return np.where(rounding, shorter, 0)


@kept
def _unequal(k: int, i: int, shape: tuple[int, ...]) -> Array:
    rng = np.random.default_rng([k, i, math.prod(shape)])
    return np.asarray(rng.uniform(-1, 1, shape))


def room(x: Array) -> Array:
    """Return how far each number of `x` may move: by its own size, and 0 as far as the largest."""
    size = np.abs(x)
    return np.asarray(np.where(size == 0, size.max(initial=0) or 1.0, size))


def power(far: Array) -> Array:
    """Return the powers of 2 that are at most `far`: steps of these add to a number exactly."""
    return np.asarray(np.ldexp(1.0, np.frexp(far)[1] - 1))


class _Near(NamedTuple):
    """What a function looks like at steps that are next to nothing, a row for each."""

    steps: Array
    slopes: Array
    rough: Array
    """Third differences, of which a smooth function has none here."""
    jumps: Array
    """How much the slopes to both sides differ."""
    middles: Array
    """What lies between these: at a kink the curves beside it do not cancel in `slopes`."""
    flat: Array
    """Whether nothing changes at all: a flat place, or a stair of rounded numbers."""
    grain: Array
    """What all results are whole multiples of: of a difference of large numbers, their rounding."""

    def contradicts(self, value: Array, error: Array, rounding: Array, steepest: Array) -> Array:
        """Tell where slopes are not `value`: a staircase looks smooth from far away."""
        # A kink is rough as well, but as much less as the step is shorter.
        kink = np.abs(self.jumps[0] - self.jumps[1]) <= self.jumps[0] / 64
        kink &= self.rough[1] <= self.rough[0] / 64
        kink &= self.jumps[0] > np.abs(self.middles - self.slopes)[0]  # a cubic at 0 has none
        noise = np.maximum(np.where(kink, self.rough[1], self.rough), rounding)
        slopes, half = (
            np.where(kink, *each) for each in ((self.middles, self.slopes), (self.jumps[0] / 2, 0))
        )
        off = np.abs(slopes - value) + half - error - (np.abs(slopes) + half) / 4096
        leaps = self.rough > 2.0**16 * rounding + 16 * self.steps * steepest
        return np.asarray(((off > 2 * noise / self.steps) | leaps).any(axis=0))


def _near(line: Callable[[float], Array], here: Array) -> _Near:
    """Return what is seen at steps of next to nothing.

    How rough it is is seen from steps that are not centred: an odd function's rounding is odd too.
    The slope is centred, and exact to the fourth order: at a minimum it must be 0.
    """
    # Whole multiples of what is rounded to are not rounded at all: these have more digits.
    steps = np.array([2.0**-42 * 1398101, 2.0**-45 * 43691])
    seen = np.array(
        [[line(k * u) if k else here for k in range(-2, 4)] for u in steps.tolist()], float
    )
    slopes = (8 * (seen[:, 3] - seen[:, 1]) - (seen[:, 4] - seen[:, 0])) / (12 * steps[:, None])
    rough = np.abs(np.diff(seen, 3, axis=1)).max(axis=1, initial=0) / 2
    right = (4 * seen[:, 3] - 3 * here - seen[:, 4]) / (2 * steps[:, None])
    left = (3 * here - 4 * seen[:, 1] + seen[:, 0]) / (2 * steps[:, None])
    flat = (seen == here).all(axis=(0, 1))
    grain = np.where(flat, 0, _grain(seen.reshape(12, here.size)))
    jumps, middles = np.abs(right - left), (left + right) / 2
    return _Near(steps[:, None], slopes, rough, jumps, middles, flat, grain)


def _grain(numbers: Array) -> Array:
    """Return the power of 2 that all numbers of a column are whole multiples of, 0 for none."""
    mantissa, exponent = np.frexp(np.where(np.isfinite(numbers), numbers, 0))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = np.ldexp((whole & -whole).astype(float), exponent - 53)
    least = np.where(whole == 0, np.inf, lowest).min(axis=0, initial=np.inf)
    return np.asarray(np.where(np.isinf(least), 0, least))


def _rougher(near: _Near, central: Array, h: Array) -> Array:
    """Return how rough a function is by its finest differences, whose errors are h^4 and nothing.

    Steps of next to nothing round alike, and see less of it. Where they see far less, in slopes
    too, it is no rounding, but what a function does between steps as long as the finest. Three
    differences may all be small by chance; eight, with errors of h^6, are not.
    """
    fine = (4 * central[1:] - central[:-1]) / 3
    finer = (16 * fine[1:] - fine[:-1]) / 15
    rough = near.rough.max(axis=0)
    apart = (np.abs(near.slopes - central[-1]) * near.steps).max(axis=0)
    found = rough
    for few in (fine[-4:], finer[-9:]):
        scatter = (np.abs(np.diff(few, axis=0)) * h[1 - len(few) :]).max(axis=0) / 1.5
        noise = scatter <= 64 * np.maximum(rough, apart)
        found = np.where(noise, np.maximum(found, scatter), found)
    return np.asarray(found)


def _blurred(rough: Array, rounding: Array, least: Array) -> tuple[Array, Array]:
    """Return how far off results may be that are `rough`, and as much of it as is seen."""
    # What is rougher by far is no rounding, but a jump. Of sums that cancel, little is left.
    around = np.where(np.isfinite(rounding), rounding, 0).max(axis=0)
    blur = np.clip(rough, rounding, np.maximum(rounding, 2.0**32 * around))
    return blur, np.clip(rough, least, blur)


def _stair(gap: Array, noise: Array) -> Array:
    """Tell where a function that does not change near by may be rounded by far more than `noise`.

    What is rounded on the way is a staircase, flat from near: 1 - tanh(x)^2 at 16 moves by eps or
    not at all. Beyond the edge of its stair it goes on as a slope does, by twice as much for twice
    the way; beyond the edge of a place that is flat indeed it takes more than that to catch up.
    """
    moved = gap != 0
    last = np.where(moved.any(axis=0), len(gap) - 1 - moved[::-1].argmax(axis=0), 0)[None]
    tread, before = (np.abs(np.take_along_axis(gap, k, 0)) for k in (last, np.maximum(last - 1, 0)))
    return np.asarray(((tread > 4 * noise[-1]) & (before <= 3.5 * tread))[0])


def _torn(gap: Array, noise: Array) -> Array:
    """Tell where results do not come together as the step vanishes: at a jump of the function."""
    # Four halvings divide the gap by 16 where there is a slope; next to a crest one may be 0.
    last, before = np.abs(gap[-1]), np.abs(gap[-6:-4]).max(axis=0)
    return np.asarray((last > before / 4) & (last > 8 * noise[-1]))


def _steady_elsewhere(fine: Array, value: Array, error: Array) -> Array:
    """Tell where the finest differences are alike, and `value` is not like them.

    In float32 steps of next to nothing move no number, and a function that goes from one plateau
    to the next within a few ulps looks rough from them, and flat from far away.
    """
    least, most = np.abs(fine).min(axis=0), np.abs(fine).max(axis=0)
    alike = (np.sign(fine) == np.sign(fine[-1])).all(axis=0) & (most <= 8 * least)
    return np.asarray(alike & (np.abs(fine - value).min(axis=0) > 4 * error))


def _imaginary(
    f: Function, point: Sequence[Array], direction: Sequence[Array], here: Array, noise: Array
) -> tuple[Array, Array] | None:
    """Return slopes and bounds by an imaginary step, where the function takes complex numbers."""
    try:
        with warnings.catch_warnings(action="error", category=np.exceptions.ComplexWarning):
            out = f(*(x + 1j * TINY * v for x, v in zip(point, direction, strict=True)))
    except (TypeError, ValueError, ArithmeticError, RuntimeWarning, np.exceptions.ComplexWarning):
        return None
    if out.dtype.kind != "c":
        return None
    value = out.imag / TINY
    scale = np.abs(here) + np.abs(value)
    same = np.isfinite(value) & (np.abs(out.real - here) <= 8 * EPS * np.abs(here))
    return value, np.where(same, 64 * (noise + EPS * scale), np.inf)


def _closer(found: Slope, value: Array, error: Array) -> Slope:
    """Return `found`, closer where another opinion agrees and there is no kink.

    A function that ignores half of a complex number (abs, comparisons) lies without a word, so
    the imaginary step is never trusted alone.
    """
    agree = (np.abs(value - found.value) <= found.error) & (found.jump <= 0)
    told = found.error <= np.abs(found.value) / 1024  # a lie does not agree to three digits
    error = np.maximum(error, 2 * np.abs(value - found.value))  # nor is one of what adds little
    better = agree & told & (error < found.error)
    return found._replace(
        value=np.where(better, value, found.value),
        error=np.where(better, error, found.error),
    )
