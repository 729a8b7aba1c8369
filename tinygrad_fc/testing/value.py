"""The law of the value: gradients agree with numerical derivatives, in first and second order.

What is compared is a sum: the derivatives of all results along a direction, weighted with random
numbers, and the same from the gradients. The tolerance is the error bound of the numerical
derivative, the gradients' own rounding, and `rtol` of the terms of the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.autograd import numerical
from tinygrad_fc.autograd.numerical import DAMPING, EPS, Derivative
from tinygrad_fc.testing import rounding
from tinygrad_fc.testing.laws import require_finite
from tinygrad_fc.testing.problem import (
    directions,
    first_problem,
    in_step,
    mixed,
    second_problem,
    uneven,
)
from tinygrad_fc.testing.report import Array, DiscardError, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.testing.function import Case
    from tinygrad_fc.testing.problem import Argument, Direction, Problem

    Measure = Callable[..., list[Derivative]]


RTOL = EPS**0.5
"""The relative accuracy that is demanded of a gradient: half of the digits."""
RESOLVED = 2.0**-22
"""Error bound, relative to the largest derivative, up to which a derivative is compared alone.

That is 16 times `RTOL`. The bounds of results that are compared together add up, so wider ones,
such as those at kinks, would hide errors of the other results.
"""
OPERATIONS = 64
"""Number of eps by which a right gradient may be off, relative to its terms, if `rtol` is 0.

A rule of up to 64 operations rounds by an eps for each of them at most.
"""
UNDERFLOW, UNDERFLOW32 = 2.0**-512, 2.0**-64
"""Derivatives up to this may be 0: squares of intermediate numbers as small underflow.

The smallest normal numbers are 2^-1022 in float64 and 2^-126 in float32.
"""
KNOWN = 2.0**-6
"""The largest relative error bound of a derivative that counts as compared."""
SHORTER = 2.0**-10
"""Factor by which all steps are shortened for functions that oscillate within the usual steps."""
LINES = 12
"""Number of lines through the point along which kinks are looked for, besides means of two."""
NEARBY = 96
"""Number of points beside a kink at which slopes are measured: of many ties any may be first."""


class Tolerance(NamedTuple):
    """Tolerances of gradients."""

    rtol: float = RTOL
    """Relative to the sum of absolute terms; 0 demands all digits that differences resolve."""
    kinks: str = "subgradient"
    """At a kink, `"subgradient"` demands a value between the slopes, and `"skip"` nothing."""
    noise: float = 0.0
    """The relative accuracy of the function, if worse than that of its dtype."""
    eps: float = EPS
    """The machine epsilon of the coarsest dtype that the function computes in."""
    lines: int = 2
    """The number of directions along which gradients are compared."""

    @property
    def accuracy(self) -> float:
        """The relative accuracy of the function that is measured."""
        return max(self.eps, self.noise)


# Laws


def finite_gradient(case: Case, tolerance: Tolerance) -> None:
    """A gradient is finite wherever the function has a derivative, or slopes to both sides."""
    grads = case.gradients(case.g, case.out)
    if rounding.all_finite(grads):
        return
    grads = case.gradients(case.g * DAMPING, case.out)  # intermediate numbers may overflow
    for i, a in zip(case.floats, grads, strict=True):
        x = case.arrays[i]
        for at in map(tuple, np.argwhere(np.isnan(a) & ~np.isfinite(x)).tolist()):
            text = f"the gradient of {case.function.argument(i)} is {a[at]} at {at}; expected "
            text += f"a number, since the function is finite at {x[at]}"
            raise case.wrong("nonfinite", text, argument=i, index=at, analytic=a[at], g=case.g)
    first_order(case, tolerance)


def first_order(case: Case, tolerance: Tolerance) -> Report:
    """The gradient is the derivative, as measured without it."""
    require_finite(case)
    return _agree_at(case, first_problem(case), tolerance, None)


def second_order(case: Case, tolerance: Tolerance) -> Report:
    """A rule is differentiable: the gradient of the gradient is its derivative."""
    require_finite(case)
    # Zeros in g show a rule that treats them apart, whose derivative differs from that beside.
    g = rounding.cotangent(case.out, case.seed, zeros=True)
    if not rounding.all_finite(case.gradients(case.g, case.out)):
        raise DiscardError
    # Where the result has a kink, no convention says what the gradient of its gradient is.
    return _agree_at(case, second_problem(case, g), tolerance._replace(lines=1, kinks="skip"), g)


def _agree_at(case: Case, problem: Problem, tolerance: Tolerance, g: Array | None) -> Report:
    """Compare gradients at a case; `g` is the cotangent in second order."""

    def cancelled() -> Array:
        """Return the size of intermediate numbers: 1 - tanh(x)^2 at 13 is a difference of ones.

        Its own size, 2e-11, says nothing about its rounding. At ordinary numbers nothing cancels,
        so the results there are about as large as the terms of the difference. A 16th of these
        numbers is tried, too, since terms may grow near 0, as 1 / x does.
        """
        if g is not None:
            return 16 * np.concatenate([a.ravel() for a in rounding.natural_sizes(case, case.g)[1]])
        scales = (1, 2.0**-4)
        usual = [problem.f(*(t * p.ordinary for p in problem.arguments)) / t for t in scales]
        return np.asarray(np.nan_to_num(np.abs(usual), posinf=0).max(axis=0))

    tolerance = tolerance._replace(eps=problem.eps)
    if tolerance.accuracy > EPS and tolerance.rtol:
        tolerance = tolerance._replace(rtol=max(tolerance.rtol, tolerance.accuracy**0.5))
    with case.errstate():
        try:
            return agree(problem, case.seed, tolerance, cancelled)
        except FloatingPointError as error:
            raise DiscardError from error
        except Mismatch as mismatch:
            if g is not None and has_kink(case):
                raise DiscardError from None
            mismatch.problem = problem._replace(eps=tolerance.accuracy)
            what = "the gradients" if g is None else "the gradients of the gradients"
            kind = mismatch.kind if math.isfinite(mismatch.total) else "nonfinite"
            failure = case.wrong(
                kind if g is None else "second-order",
                f"{what} give a derivative of {mismatch.total:.10g} along one direction; expected "
                f"{mismatch.numerical:.10g} +- {mismatch.error:.2g} by differences",
                analytic=mismatch.total,
                numerical=mismatch.numerical,
                error=mismatch.error,
                g=np.asarray(mismatch.w).reshape(case.out.shape) if g is None else g,
            )
            failure.mismatch = mismatch
            raise failure from None


# Comparing


class Mismatch(Exception):  # noqa: N818  turned into a GradientError, which knows the case
    """Gradients that no derivative within the bounds allows, along a direction."""

    problem: Problem

    def __init__(
        self, w: Array, v: Direction, total: float, measured: tuple[float, float], kind: str
    ) -> None:
        super().__init__(kind)
        self.w, self.v, self.total, self.kind = w, v, total, kind
        self.numerical, self.error = measured


@np.errstate(all="ignore")  # what is not finite lies within no bound
def agree(
    problem: Problem, seed: int, tolerance: Tolerance, cancelled: Callable[[], Array]
) -> Report:
    """Compare gradients with derivatives along directions; raise `Mismatch`.

    `cancelled` returns the size of intermediate numbers that cancel, needed where they disagree.
    Results whose derivative is well known are compared by themselves, so that those at a kink,
    whose bound is as large as the kink, do not hide an error; these are compared among themselves.
    """
    chosen = directions(problem.arguments, seed, tolerance.eps)[: tolerance.lines]
    report, measure, coarse = Report(), _measuring(problem.f, tolerance), tolerance.accuracy**0.5
    # In float32, too, the factor is 16: see `RESOLVED`.
    resolution = max(RESOLVED, coarse if tolerance.eps <= EPS else 16 * coarse)
    along = measure([(problem.point, v) for v in chosen])
    for k, v in enumerate(chosen):
        measured = along[k]
        w = weights(measured.value, seed, k)
        resolved = measured.error <= resolution * measured.scale.max(initial=0)
        imprecise = ~resolved & ~np.isinf(measured.error)
        # An empty result is compared once: it must have its gradient.
        parts = [resolved] * bool(resolved.any() or not w.size)
        parts += [imprecise] * bool(imprecise.any())
        for part in parts:
            part_of_w = np.where(part, w, 0)
            _Comparison(problem, tolerance, measure, cancelled, v, measured, part_of_w).require()
        if imprecise.any() and len(chosen) == tolerance.lines:
            chosen.append(in_step(problem.arguments, tolerance.eps))
            along += measure([(problem.point, chosen[-1])])
        non_smooth = imprecise & is_kink(measured, coarse)
        known = ~non_smooth & (measured.error <= KNOWN * np.abs(measured.value))
        depends = (measured.value != 0) | all(a.all() for a in v)  # on the entries that move
        report.compared += int(((resolved | known) & depends).sum())
        report.kinks += int(non_smooth.sum())
        if k < tolerance.lines:  # the direction of equal steps is for kinks alone
            report.inconclusive["jump or noise"] += int(np.isinf(measured.error).sum())
            report.inconclusive["wide bound"] += int((imprecise & ~non_smooth & ~known).sum())
    return report


def _measuring(f: numerical.Function, tolerance: Tolerance) -> Measure:
    """Return a function that measures derivatives along lines, where needed by shorter steps."""
    options: Any = {"eps": tolerance.eps, "noise": tolerance.noise}

    def measure(
        lines: Sequence[numerical.Line], first: float = 0.25, **more: Any
    ) -> list[Derivative]:
        along = numerical.derivatives(f, lines, first=first, **options, **more)
        # Around 1e9 steps of about 1 are still exact.
        largest = max(float(np.abs(a).max(initial=1)) for _, v in lines for a in v)
        may_shorten = tolerance.accuracy <= EPS and first > SHORTER
        for shorter in (SHORTER, 1 / largest) if may_shorten else ():
            unknown = [np.isinf(d.error) & ~d.staircase for d in along]
            if not any(u.any() for u in unknown):
                break
            again = numerical.derivatives(f, lines, first=first * shorter, **options, **more)
            along = [
                Derivative(*(np.where(u, new, old) for old, new in zip(a, b, strict=True)))
                for u, a, b in zip(unknown, along, again, strict=True)
            ]
        return along

    return measure


def weights(value: Array, seed: int, k: int) -> Array:
    """Return the weights of the results: random ones, or one alone where there are few."""
    w = rounding.cotangent(value, seed + k)
    if k and seed % 4 == 3 and 1 < value.size <= 8:
        w = np.where(np.arange(value.size) == seed // 4 % value.size, w, 0)
    return w


@dataclass
class _Comparison:
    """The gradients and the derivatives along `v`, for weights of the results."""

    problem: Problem
    tolerance: Tolerance
    measure: Measure
    cancelled: Callable[[], Array]
    v: Direction
    measured: Derivative
    w: Array
    slack: float = 0.0
    """How far the sum may be off by rounding."""

    def require(self) -> None:
        """Raise `Mismatch` unless the gradients agree, or something explains that they do not.

        Other steps, the gradients' own rounding, kinks and jumps cost more to measure; they are
        measured in turn where gradients disagree.
        """
        eps = self.tolerance.eps
        self.slack = UNDERFLOW if eps <= EPS else UNDERFLOW32
        if not math.isfinite(self.total()[0]):
            self.w = self.w * DAMPING
        if self._agrees(self.measured, rtol=self.tolerance.rtol) or self._cancels():
            return
        (other,) = self.measure([(self.problem.point, self.v)], first=13 / 64)
        self.slack += self._rounding()
        if self._agrees(self.measured, other):
            return
        non_smooth = self._smooth_part()
        if self._agrees(self.measured, other) or self._is_subgradient(non_smooth):
            return
        total, measured = self.total()[0], self.measured.weighted(self.w)
        missing = total - measured[0]
        if numerical.gained_by_jumps(
            self.problem.f, self.problem.point, self.v, self.w, missing, eps
        ):
            return
        kind = "kink" if (non_smooth & (self.w != 0)).any() else "value"
        if self.tolerance.rtol < RTOL and self._agrees(self.measured, rtol=RTOL):
            kind = "imprecise"
        raise Mismatch(self.w, self.v, total, measured, kind)

    @cached_property
    def moves(self) -> tuple[Direction, Direction]:
        """How the arguments of the function move along `v`, and error bounds."""
        if self.problem.moved is None:
            return self.v, [0 * a for a in self.v]
        count = len(self.v) - len(self.problem.plain)
        along = self.problem.moved(self.v[count:])
        parts = (rounding.split_like(a, self.problem.plain) for a in (along.value, along.error))
        value, error = ([*self.v[:count], *several] for several in parts)
        return value, [*(0 * a for a in self.v[:count]), *error[count:]]

    def total(self) -> tuple[float, float]:
        """Return the derivative according to the rule, and the sum of its absolute terms."""
        several = self.problem.terms(self.w, self.moves[0])
        terms = np.concatenate([a.ravel() for a in several])
        return float(terms.sum()), float(np.abs(terms).sum())

    def _rounding(self) -> float:
        """Return four times the rounding of the rule along `v`, and of the moves.

        It is measured by moving the inputs by ulps in one pattern of signs. The rounding inside of
        the rule has other signs, which may add up to more.
        """
        (moves, errors), terms = self.moves, partial(self.problem.terms, self.w)
        spread = rounding.spread(lambda p: terms(moves, p), self.tolerance.accuracy)
        off = terms(errors) if self.problem.moved is not None else []
        # An error bound of infinity is one, also of a gradient that is 0.
        off = [np.where(np.isnan(a), np.inf, np.abs(a)) for a in off]
        return 4 * sum(float(np.abs(a).sum()) for a in (*spread, *off))

    def _agrees(self, *candidates: Derivative, rtol: float | None = None) -> bool:
        """Return whether the gradients agree with one of several estimates."""
        if rtol is None:
            rtol = max(self.tolerance.rtol, OPERATIONS * self.tolerance.accuracy)
        total, size = self.total()
        estimates = (one.weighted(self.w) for one in candidates)
        return math.isfinite(total) and any(
            abs(total - value) <= error + self.slack + rtol * size for value, error in estimates
        )

    def _cancels(self) -> bool:
        """Return whether intermediate numbers that cancel explain the difference."""
        point = self.problem.point
        # Near 0 terms that cancel, as in 1 - cos(x), may be as large as at ordinary numbers. Both
        # terms of a difference are rounded by an eps, hence the factor 2.
        size = max(1.0, *map(rounding.largest, (*point, *self.v)))
        blur = 2 * self.tolerance.eps * size * self.cancelled()
        return self._agrees(*self.measure([(point, self.v)], rounding=blur))

    def _smooth_part(self) -> Array:
        """Set the weights of discontinuous results to 0, and return which results have a kink."""
        arguments, coarse = self.problem.arguments, self.tolerance.accuracy**0.5
        discontinuous, non_smooth = kinks_around(self.measure, arguments, self.measured, coarse)
        left_out = discontinuous | (non_smooth & (self.tolerance.kinks == "skip"))
        self.w = np.where(left_out, 0, self.w)
        return non_smooth

    def _is_subgradient(self, non_smooth: Array) -> bool:
        """Return whether the gradients lie between the slopes around a kink."""
        arguments, measure = self.problem.arguments, self.measure
        return bool(non_smooth.any()) and self._agrees(
            subgradients(measure, arguments, self.v, self.measured, non_smooth)
        )


# Kinks


def is_kink(measured: Derivative, coarse: float) -> Array:
    """Return which results have a kink along the line that was measured."""
    return np.asarray(measured.jump > coarse * measured.scale)


def kinks_around(
    measure: Measure, arguments: Sequence[Argument], measured: Derivative, coarse: float
) -> tuple[Array, Array]:
    """Return which results are discontinuous at a point, and which have a kink there.

    Along one line they may look smooth: the middle one of three equal numbers does.
    """
    discontinuous, non_smooth = np.isinf(measured.error), is_kink(measured, coarse)
    point = [p.x for p in arguments]
    lines = [uneven(arguments, 1000 + seed) for seed in range(LINES)]
    pairs = list(pairwise((*range(LINES), 0)))
    lines += [[(a + b) / 2 for a, b in zip(lines[j], lines[k], strict=True)] for j, k in pairs]
    tried = [(point, v) for v in lines]
    along = measure(tried)
    # Derivatives must add up: of three ties the middle one is smooth along every line.
    for (j, k), both in zip(pairs, along[LINES:], strict=True):
        one, other = along[j], along[k]
        far = np.abs(one.value + other.value - 2 * both.value)
        scale = np.maximum(np.maximum(one.scale, other.scale), both.scale)
        non_smooth = non_smooth | (far > one.error + other.error + 2 * both.error + coarse * scale)
    for other in along:
        discontinuous |= np.isinf(other.error)
        non_smooth |= is_kink(other, coarse)
    return discontinuous, non_smooth & ~discontinuous


def has_kink(case: Case) -> bool:
    """Return whether the function has a kink or a jump at `case`, in any of its results."""
    problem = first_problem(case)
    arguments, eps = problem.arguments, problem.eps
    measure = partial(numerical.derivatives, problem.f, eps=eps)
    (measured,) = measure([([p.x for p in arguments], mixed(arguments, 1000))])
    return any(a.any() for a in kinks_around(measure, arguments, measured, eps**0.5))


def subgradients(
    measure: Measure,
    arguments: Sequence[Argument],
    v: Direction,
    measured: Derivative,
    non_smooth: Array,
) -> Derivative:
    """Return `measured` with a bound that spans the slopes nearby, at `non_smooth` results."""
    non_smooth = non_smooth & np.isfinite(measured.error)
    bound = np.where(non_smooth, measured.error, 0)
    low, high = measured.value - bound, measured.value + bound
    nearby = [
        [p.x + p.reach * rng.uniform(-1, 1, p.x.shape) / 1024 for p in arguments]
        for rng in map(np.random.default_rng, range(NEARBY))
    ]
    for one in measure([(point, v) for point in nearby], first=2.0**-14):
        finite = non_smooth & np.isfinite(one.error)
        low = np.where(finite, np.minimum(low, one.value - one.error), low)
        high = np.where(finite, np.maximum(high, one.value + one.error), high)
    wide = np.where(non_smooth, (high - low) / 2, measured.error)
    return measured._replace(value=(low + high) / 2, error=wide)
