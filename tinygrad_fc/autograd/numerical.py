"""Numerical derivatives with a bound on their error.

The truncation error of a central difference grows with its step, and the rounding error as the step
shrinks, so no single step can be trusted. The step is halved fifteen times, the differences are
extrapolated to a step of 0 (Richardson), and each entry of the tableau gets an error bound: its
distance from the two entries that it is computed from, plus the measured rounding of the function.
An entry is valid only if no finer step contradicts it, since coarse steps may agree although the
function oscillates. The result is the valid entry with the smallest bound; without a valid entry
the bound is infinite and the derivative inconclusive.

At a kink the slopes on the left and on the right differ. Half of this jump is added to the bound,
so that it contains every subgradient along the direction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, Any]
    Function = Callable[..., Array]  # takes arrays, returns a flat array
    Line = tuple[Sequence[Array], Sequence[Array]]  # a point and a direction

EPS = float(np.finfo(float).eps)
LEVELS, FINER = 16, 4
"""Number of steps, and of additional steps in float32, where tiny steps change no number."""
CENTRAL = (4.0, 16.0, 64.0, 256.0, 1024.0)
"""Factors by which halving the step divides the error terms of a central difference: h^2, ..."""
JUMP = (2.0, 8.0, 32.0, 128.0)
"""The same for the difference of the two one-sided slopes: h, h^3, ..."""
ONE_SIDED = (2.0, 4.0, 8.0, 16.0)
"""The same for a one-sided difference: h, h^2, ..."""
DAMPING = 2.0**-54
"""Factor for cotangents if intermediate numbers overflow: times this, 1 / x is always finite."""
COARSEST = 2.0**-16
"""Largest rounding, relative to the change of a result; a larger difference is a jump."""
LOW_STAIR = 2.0**-10
"""Height of a stair, relative to the result, up to which it may be rounding."""
FINE = 2.0**-42
"""Length of the finest steps at which jumps are looked for, relative to the longest."""
AT_ONCE = 4096
"""Number of elements per batch: the cost of a NumPy call hardly grows up to this size."""


class Derivative(NamedTuple):
    """Derivatives of the results of a function along a direction, and bounds on their errors."""

    value: Array
    error: Array
    jump: Array
    """Least difference between the slopes on both sides; at most 0 if they may be equal."""
    scale: Array
    """Size of the results, their changes and derivatives, to which rounding is relative."""
    staircase: Array
    """Whether results change by low stairs alone, which the function or its rounding has."""

    def weighted(self, weights: Array) -> tuple[float, float]:
        """Return the derivative of the weighted sum of the results, and its error bound."""
        used = weights != 0  # 0 times an infinite bound is 0
        w, value, error = weights[used], self.value[used], self.error[used]
        return float((w * value).sum()), float((np.abs(w) * error).sum())


def derivative(
    f: Function,
    point: Sequence[Array],
    direction: Sequence[Array],
    *,
    first: float = 0.25,
    rounding: Array | float = 0.0,
    eps: float = EPS,
    noise: float = 0.0,
) -> Derivative:
    """Return the derivatives of `f` at `point` along `direction`, with error bounds.

    `f` takes arrays as in `point` and returns a flat array. It is called at `point + t *
    direction` for |t| up to `first`; outside of its domain, only shorter steps or one side are
    used. `eps` is the machine epsilon of the coarsest dtype that `f` computes in, `noise` the
    relative accuracy of `f`, and `rounding` an additional absolute error of the results.
    """
    line = _line(f, point, direction)
    count = LEVELS if eps <= EPS else LEVELS + FINER
    with np.errstate(all="ignore"):
        samples = _sampled(line, first * 0.5 ** np.arange(count), point, direction)
        near = _near(line, samples.here, 4 * first, 2 * eps * samples.ratio)
        if eps <= EPS:
            near = near._replace(lost=_lost(f, near, samples, point, direction))
        bounds = _rounding(samples, near, eps, noise, rounding)
        value, error = extrapolated(samples.central, bounds.differences / samples.h, CENTRAL)
        # The second difference of a result adds up its rounding four times, with weights 1, -2, 1.
        gap, doubt = extrapolated(samples.one_sided_gap, 4 * bounds.differences / samples.h, JUMP)
        error = error + (np.abs(gap) + doubt) / 2
        stairs = [near.flat & _stair(side, bounds.differences) for side in samples.sides]
        discontinuous = stairs[0] | stairs[1] | near.contradicts(value, error, samples, bounds)
        for side in samples.sides:
            discontinuous |= _discontinuous(side, bounds.at_jumps)
        error = np.where(discontinuous, np.inf, error)
        value, error = _at_boundary(samples, value, error, max(eps, noise))
        jump = np.nan_to_num(np.abs(gap) - doubt, nan=-np.inf)
        return _derivative_of(samples, value, error, jump, stairs[0] & stairs[1])


def _derivative_of(
    samples: _Samples, value: Array, error: Array, jump: Array, stairs: Array
) -> Derivative:
    """Return finite values with their error bounds, and the scale of the results."""
    error = np.where(np.isfinite((np.abs(value) + error) / DAMPING), error, np.inf)
    value = np.where(np.isfinite(error), value, 0)
    here, changes = np.abs(samples.here), samples.changes
    largest = np.nan_to_num(changes, posinf=0).max(axis=0, initial=0)
    scale = np.nan_to_num(here, posinf=0) + np.abs(value) + largest
    lowest = np.where(changes == 0, np.inf, changes).min(axis=0, initial=np.inf)
    return Derivative(value, error, jump, scale, stairs & (lowest < LOW_STAIR * here))


def _at_boundary(
    samples: _Samples, value: Array, error: Array, noise: float
) -> tuple[Array, Array]:
    """Use the derivative and error of one side where the other side is outside of the domain."""
    right, left = samples.sides
    for side, other, sign in ((right, left, 1), (left, right, -1)):
        edge = np.isfinite(side[-1]) & ~np.isfinite(other).any(axis=0)
        if edge.any():
            # Both results are rounded by at most half an eps of their size; the factor 8 leaves
            # room for a function that loses three bits.
            noises = 8 * noise * (np.abs(side) + 2 * np.abs(samples.here)) / samples.h
            one_sided, bound = extrapolated(sign * side / samples.h, noises, ONE_SIDED)
            bound = np.where(_irregular(side / samples.h, noises), np.inf, bound)
            value, error = np.where(edge, one_sided, value), np.where(edge, bound, error)
    return value, error


def derivatives(
    f: Function, lines: Sequence[Line], *, rounding: Array | float = 0.0, **options: float
) -> list[Derivative]:
    """Return the derivatives along several lines, measured together to save time."""

    def together(*arrays: Array) -> Array:
        return np.concatenate([f(*point) for point in zip(*arrays, strict=True)])

    results: list[Derivative] = []
    size = sum(x.size for x in lines[0][0]) if lines else 1
    many = max(AT_ONCE // max(size, 1), 1)
    for some in (lines[k : k + many] for k in range(0, len(lines), many)):
        sides = zip(*some, strict=True)
        points, directions = ([np.stack(a) for a in zip(*s, strict=True)] for s in sides)
        blur = np.tile(rounding, len(some) if np.ndim(rounding) else 1)
        whole = derivative(together, points, directions, rounding=blur, **options)
        parts = (np.split(a, len(some)) for a in whole)
        results += [Derivative(*part) for part in zip(*parts, strict=True)]
    return results


def longest_steps(x: Array) -> Array:
    """Return the longest step of each element of `x`: its size, or the largest, up to 1, for 0."""
    size = np.abs(x)
    return np.asarray(np.where(size == 0, min(size.max(initial=0) or 1.0, 1.0), size))


def power_of_two(x: Array) -> Array:
    """Return the largest powers of 2 up to `x`: steps of these add to a number exactly."""
    return np.asarray(np.ldexp(1.0, np.frexp(x)[1] - 1))


# Differences


class _Samples(NamedTuple):
    """Results at a point (`here`) and at steps `h` to both sides, with one row per step."""

    h: Array
    here: Array
    up: Array
    down: Array
    sides: tuple[Array, Array]
    """Changes of the results: `up - here` and `down - here`."""
    changes: Array
    """The larger absolute change of the two sides."""
    ratio: float
    """The largest quotient of a number and its step: the sum of both is rounded to the number."""

    @property
    def central(self) -> Array:
        """Central differences."""
        return np.asarray((self.up - self.down) / (2 * self.h))

    @property
    def one_sided_gap(self) -> Array:
        """Differences between the slopes on both sides."""
        return np.asarray((self.up - 2 * self.here + self.down) / self.h)

    def rounding_of_results(self, eps: float, noise: float) -> Array:
        """Return the error of the results due to the relative accuracy of `f`."""
        # A difference has two results, each rounded by up to an eps of the largest.
        largest = np.maximum(np.maximum(np.abs(self.up), np.abs(self.down)), np.abs(self.here))
        return np.asarray(2 * max(eps, noise) * largest)

    def rounding(self, eps: float, noise: float) -> Array:
        """Return the error of the results due to the relative accuracy of `f` and of the steps."""
        # The factor 8 leaves room for a function that loses three bits.
        slopes = np.abs(self.central)
        if eps <= EPS:  # there the steps of numbers with 24 bits are exact
            return np.asarray(self.rounding_of_results(eps, noise) + 8 * eps * slopes)
        # A step of less than 16 roundings becomes a much longer one or none, whatever the slope.
        shortest = max(int((self.h >= 16 * eps * self.ratio).sum()) - 1, 0)
        slopes[shortest:] = np.maximum(slopes[shortest:], slopes[shortest])
        steps = max(8, 2 * self.ratio) * eps * slopes
        return np.asarray(self.rounding_of_results(eps, noise) + steps)


def _line(
    f: Function, point: Sequence[Array], direction: Sequence[Array]
) -> Callable[[float], Array]:
    pairs = list(zip(point, direction, strict=True))
    return lambda t: f(*[x + t * v for x, v in pairs])


def _sampled(
    line: Callable[[float], Array], h: Array, point: Sequence[Array], direction: Sequence[Array]
) -> _Samples:
    steps = h.tolist()  # Python's floats add to arrays faster than NumPy's
    up, down = (np.array([line(s * t) for t in steps], float) for s in (1, -1))
    here = line(0.0)
    sides = up - here, down - here
    changes = np.fmax(np.abs(sides[0]), np.abs(sides[1]))
    pairs = zip(point, direction, strict=True)
    ratios = (np.abs(x / np.where(v == 0, np.inf, v)).max(initial=0) for x, v in pairs)
    ratio = float(max(np.nan_to_num(list(ratios)), default=0.0))
    return _Samples(h[:, None], here, up, down, sides, changes, ratio)


def extrapolated(column: Array, noise: Array, powers: Sequence[float]) -> tuple[Array, Array]:
    """Return the limits of `column`, which has a row per step, each half of the last, and bounds.

    `noise` is the rounding of each entry. Halving the step divides the k-th error term by
    `powers[k]`.
    """
    raw, blur = column, 3 * noise
    values, errors = (np.full((len(powers), *column.shape), x) for x in (0.0, np.inf))
    for j, p in enumerate(powers):
        parents, column = column, column[1:] + (column[1:] - column[:-1]) / (p - 1)
        noise = (p * noise[1:] + noise[:-1]) / (p - 1)
        distance = np.maximum(np.abs(column - parents[1:]), np.abs(column - parents[:-1]))
        values[j, j + 1 :], errors[j, j + 1 :] = column, 2 * distance + 3 * noise
    finite = np.isfinite(values) & np.isfinite(errors)
    errors, values = np.where(finite, errors, np.inf), np.where(finite, values, 0)
    least, most = values - errors, values + errors
    low, high = _allowed_by_finer(least.max(axis=0), most.min(axis=0))
    errors = np.where((least > high) | (most < low), np.inf, errors)
    # Differences approach the limit as the step shrinks. Reject a limit from
    # which finer differences move away, or which the finest one has not come near to, as beside a
    # jump that is nearer than all steps. A fourth more is allowed, since error terms of higher
    # order may cancel a part of the distance at the longer step, and less of it at shorter ones.
    low, high = _allowed_by_finer(raw - blur, raw + blur)
    far = np.abs(values - raw)
    far[:, 1:] = np.maximum(far[:, 1:], np.abs(values[:, 1:] - raw[:-1]))
    shrunk = far * 1.25 * 0.5 ** np.arange(len(raw))[::-1, None]
    far = far * 1.25 + blur
    diverges = np.abs(values - raw[-1]) > errors + shrunk + blur[-1]
    errors = np.where((values - far > high) | (values + far < low) | diverges, np.inf, errors)
    count = raw.shape[1]
    errors, values = (a.reshape(len(powers) * len(raw), count) for a in (errors, values))
    best = errors.argmin(axis=0), np.arange(count)
    return values[best], errors[best]


def _allowed_by_finer(low: Array, high: Array) -> tuple[Array, Array]:
    """Return for each level the intersection of the intervals of all finer (later) levels."""
    lowest, highest = np.full_like(low, -np.inf), np.full_like(high, np.inf)
    np.fmax.accumulate(low[:0:-1], out=lowest[-2::-1])
    np.fmin.accumulate(high[:0:-1], out=highest[-2::-1])
    return lowest, highest


class _Near(NamedTuple):
    """A function at two tiny steps, a row for each."""

    steps: Array
    slopes: Array
    rounding: Array
    """The rounding of the steps, relative to the steps."""
    third_differences: Array
    """Third differences, which are only rounding for a smooth function."""
    flat: Array
    """Whether all results are equal: a constant, or a stair of rounded intermediate numbers."""
    grain: Array
    """The largest power of 2 that divides all results: the rounding of their differences."""
    lost: Array | float = np.inf
    """The most that slopes may lack where steps of some numbers are lost in their rounding."""

    def contradicts(
        self, value: Array, error: Array, samples: _Samples, bounds: _Rounding
    ) -> Array:
        """Return where slopes differ from `value`: a staircase looks smooth at large steps."""
        rounding, steepest = bounds.steps[-1], samples.changes[-1] / samples.h[-1]
        noise = np.maximum(self.third_differences, rounding)
        off = np.abs(self.slopes - value) - error
        off -= np.minimum(self.rounding * np.abs(self.slopes), self.lost)
        # A jump is far above all rounding, and above what the slope gains in a few tiny steps.
        leaps = self.third_differences > 2.0**16 * rounding + 16 * self.steps * steepest
        return np.asarray(((off > 2 * noise / self.steps) | leaps).any(axis=0))


class _Rounding(NamedTuple):
    """Absolute errors of the results by rounding, with one row per step."""

    steps: Array
    """By the accuracy of the function, and by steps that are rounded themselves."""
    differences: Array
    """As measured by third differences near the point, within limits."""
    at_jumps: Array
    """The part by which results may differ although no jump lies between them."""


def _rounding(
    samples: _Samples, near: _Near, eps: float, noise: float, added: Array | float
) -> _Rounding:
    """Return the rounding of results; `added` is an absolute error that the caller knows of.

    Third differences measure the rounding, but a function with kinks or jumps has large ones, too.
    They count up to 2^32 times the least rounding that is expected, which is 2 eps, or 2^-51, of
    the results: a function that loses 32 more of its 51 bits has 19 left. In float32, 2^12 times
    2^-22 leaves 10 bits.
    """
    of_results = samples.rounding_of_results(eps, noise) + added
    least = of_steps = samples.rounding(eps, noise) + added
    limit = 2.0 ** (32 if eps <= EPS else 12) * np.nan_to_num(least, posinf=0).max(axis=0)
    is_rounding = near.grain <= samples.changes.max(axis=0, initial=0) * COARSEST
    least = np.maximum(least, np.where(is_rounding, near.grain, 0))
    measured = near.third_differences.max(axis=0)
    differences = np.clip(measured, least, np.maximum(least, limit))
    if eps <= EPS:
        return _Rounding(of_steps, differences, differences)
    # Steps that are rounded are no excuse for a jump: it is as high at steps of any length.
    return _Rounding(of_steps, differences, np.clip(measured, of_results, 2.0**12 * of_results))


def _near(line: Callable[[float], Array], here: Array, scale: float, rounding: float) -> _Near:
    """Return results at tiny steps, asymmetric since the rounding of odd functions is odd too.

    `rounding` is the absolute rounding of a step; relative to a step it grows as the step shrinks.
    """
    # No powers of 2: their multiples would not be rounded at all.
    steps = scale * np.array([2.0**-42 * 1398101, 2.0**-45 * 43691])
    y = np.array(
        [[line(k * u) if k else here for k in range(-2, 4)] for u in steps.tolist()], float
    )
    h = steps[:, None]
    slopes = (8 * (y[:, 3] - y[:, 1]) - (y[:, 4] - y[:, 0])) / (12 * h)
    # By the weights 1, -3, 3, -1, four roundings make about 4.5 times one; half is twice one.
    third_differences = np.abs(np.diff(y, 3, axis=1)).max(axis=1, initial=0) / 2
    flat = (y == here).all(axis=(0, 1))
    grain = np.where(flat, 0, _grain(y.reshape(12, here.size)))
    return _Near(h, slopes, 2.0**-20 + rounding / h, third_differences, flat, grain)


def _lost(
    f: Function, near: _Near, samples: _Samples, point: Sequence[Array], direction: Sequence[Array]
) -> Array:
    """Return the most that the rounding of tiny steps changes slopes.

    A number that hardly moves for its size, as next to an edge of its domain, loses its tiny steps.
    The slope along such numbers alone, at steps that are exact, bounds their part.
    """
    # Rounding takes at most a 1,024th of the other steps, hence a 512th of a difference of two.
    least = 2.0**10 * 2 * EPS / near.steps[-1, 0]
    pairs = list(zip(point, direction, strict=True))
    alone = [np.where(np.abs(x) * least > np.abs(v), v, 0) for x, v in pairs]
    kept = 2.0**-9 * np.abs(near.slopes)
    if not any(v.any() for v in alone):
        return kept
    line = _line(f, point, alone)
    h = [float(samples.h[k, 0]) for k in (0, -1)]
    slopes = [np.abs(line(t) - line(-t)) / (2 * t) for t in h]
    return np.asarray(kept + 4 * np.maximum(*slopes))


def _grain(numbers: Array) -> Array:
    """Return the largest power of 2 that divides all numbers of a column; 0 for zeros."""
    mantissa, exponent = np.frexp(np.where(np.isfinite(numbers), numbers, 0))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = np.ldexp((whole & -whole).astype(float), exponent - 53)
    least = np.where(whole == 0, np.inf, lowest).min(axis=0, initial=np.inf)
    return np.asarray(np.where(np.isinf(least), 0, least))


def _discontinuous(gap: Array, noise: Array) -> Array:
    """Return where results do not converge as the step vanishes."""
    # At a slope, four halvings divide the gap by 16; next to a maximum a single gap may be 0.
    last, before = np.abs(gap[-1]), np.abs(gap[-6:-4]).max(axis=0)
    return np.asarray((last > before / 4) & (last > 8 * noise[-1]))


def _irregular(slopes: Array, noise: Array) -> Array:
    """Return where one-sided slopes approach no limit, or more slowly than a multiple of the step.

    The slopes of `x ** 1.5` at 0 approach 0 as the root of the step; the slopes of `sqrt` grow.
    """
    moved = np.abs(np.diff(slopes, axis=0))[-8:]
    slow = (moved[3:] > moved[:-3] / 4) & (moved[3:] > 8 * noise[-5:])
    return np.asarray(slow.any(axis=0))


def _stair(gap: Array, noise: Array) -> Array:
    """Return where a function that is constant nearby is a staircase of rounded numbers.

    An example is 1 - tanh(x)^2 at 16, which changes by an eps or not at all. Beyond the edge of the
    first stair, a staircase grows like a line, by twice as much for twice the step; a function
    beside a constant part grows faster.
    """
    moved = gap != 0
    last = np.where(moved.any(axis=0), len(gap) - 1 - moved[::-1].argmax(axis=0), 0)[None]
    # A step that reaches one stair, while its half reaches none, reaches at most three if doubled;
    # the half more is for stairs of unequal height.
    tread, before = (np.abs(np.take_along_axis(gap, k, 0)) for k in (last, np.maximum(last - 1, 0)))
    return np.asarray(((tread > 4 * noise[-1]) & (before <= 3.5 * tread))[0])


def gained_by_jumps(
    f: Function, point: Sequence[Array], v: Sequence[Array], w: Array, missing: float, eps: float
) -> bool:
    """Return whether jumps along `v` change the results, weighted by `w`, at the rate `missing`.

    `missing` is a gradient minus a measured derivative whose steps are shorter than the stairs; or
    the reverse, where its steps are longer than the stairs and a gradient is right between them.

    `log(1 - sigmoid(x)) + x * x` at 30 looks smooth, with the derivative of `x * x`, since the
    logarithm is a staircase whose stairs are longer than the finest steps. The jumps show in the
    change over a longer interval, which differs from the integral of the derivatives. These need
    steps well above `eps`, the epsilon of the coarsest dtype: shorter ones change nothing.
    """
    nodes, coefficients = np.polynomial.legendre.leggauss(16)
    line, used = _line(f, point, v), w != 0

    def gain(low: float, high: float) -> float:
        return float(w[used] @ (line(high) - line(low))[used]) / (high - low)

    def jumps(way: float, fine: float, missing: float) -> bool:
        slopes = [gain(t - fine, t + fine) for t in (way * nodes).tolist()]
        gained = gain(-way, way) - float(coefficients @ slopes) / 2
        noise = (eps - EPS) * size / fine
        # Of the two or three jumps in the shortest interval that counts, one may lie at an end.
        return bool(abs(gained - missing) <= 0.4 * abs(missing) - noise)

    ways, size = (0.75 * 0.5 ** np.arange(8)).tolist(), float(np.abs(w * line(0.0))[used].sum())
    # at two lengths at least: at one of them, the integral may be wrong by chance
    if sum(jumps(way, way * 2 * eps**0.5, missing) for way in ways) > 1:
        return True
    # The stairs of floor(x) * x at 1e9 are shorter than these steps, and than those measured.
    ways = [way for way in ways if 64 * eps * size < way * FINE * abs(missing)]
    return sum(jumps(way, way * FINE, -missing) for way in ways) > 1
