"""Guesses at why a gradient is wrong.

A hint is given only if it explains every wrong entry of the failing case and of at least one
other case: one that misleads is worse than none.
"""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.testing.failure import FEW, Entries, entries
from tinygrad_fc.testing.report import GradientError
from tinygrad_fc.testing.rounding import cotangent
from tinygrad_fc.testing.rule import ordinary_point

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.testing.rule import Case
    from tinygrad_fc.testing.run import Plan

Array = np.ndarray[Any, Any]

RTOL = 1e-5
"""How near two gradients are that count as equal."""
SECONDS = 0.5
"""How long other cases are tried that may confirm a hint."""
TIES = "where numbers are equal, their shares of g must add up to g"
WIDE = (
    "float32 times an array of integers, as np.where(x > 0, 1, 0), or of float64 is float64: end "
    "with .astype(x.dtype)"
)
BRANCH = "it is 0 wherever it is wrong, and not elsewhere: a branch leaves something out"
MISSING = "it is 0 everywhere: the rule is missing or returns None, or what it reads is detached"
IGNORED = "it does not depend on g, or not entry by entry: multiply by g"


class Wrong:
    """One gradient that is wrong, in one case."""

    def __init__(self, case: Case, measured: Entries, k: int, *, second: bool) -> None:
        self.case, self.mismatch, self.k = case, measured.mismatch, k
        self.a, self.n = measured.analytic[k], measured.numeric[k]
        self.i = -1 if k < second else case.floats[k - second]
        self.entries = measured.excess(k) > 0

    def again(self, w: Array) -> Array:
        """Return the gradient for other weights."""
        return np.asarray(self.mismatch.problem.vjp(w)[self.k], float)


def hint(error: GradientError, plan: Plan, measured: Entries | None) -> str:
    """Return a guess at the cause of a failure; empty where none is confirmed."""
    case = error.case
    if case is None or error.kind in {"kink", "dtype"}:
        return "" if case is None else _hint_of_kind(error, case, measured)
    if measured is None:
        return ""
    k, second = measured.worst[0], error.kind == "second-order"
    wrong, right = [Wrong(case, measured, k, second=second)], []
    for other, found in _other_cases(error, plan):
        if found is None:
            right.append(other)
        elif k < len(found.analytic) and (found.excess(k) > 0).any():
            wrong.append(Wrong(other, found, k, second=second))
    if len(wrong) < 2 or any(map(_only_digits, wrong)):
        return ""
    with np.errstate(all="ignore"):
        return _zero(wrong, right) or _ignored(wrong) or _repaired(wrong)


def _hint_of_kind(error: GradientError, case: Case, measured: Entries | None) -> str:
    if error.kind == "kink":
        several = sum(case.arrays[i].size for i in case.floats) > 1
        return TIES if several and (measured is None or error.mismatch.in_step) else ""
    narrow = error.argument is not None and case.arrays[error.argument].dtype == np.float32
    return WIDE if narrow and not case.rule.of_tensors else ""


def _other_cases(error: GradientError, plan: Plan) -> Iterator[tuple[Case, Entries | None]]:
    """Yield other cases at which the law was checked, with the entries where it fails alike."""
    law, started = plan.laws[error.law].holds, time.process_time()
    case = error.drawn or error.case
    for other in (*_moved(case), *_other_shapes(case, plan)) if case is not None else ():
        if time.process_time() - started > SECONDS:
            return
        try:
            with np.errstate(all="ignore"):
                law(other)
        except GradientError as failure:
            same = entries(failure, FEW) if failure.kind == error.kind else None
            if same is not None:
                yield other, same
        except Exception:  # noqa: BLE001, S112  it may raise anything at other arrays
            continue
        else:
            yield other, None


def _moved(case: Case) -> Iterator[Case]:
    """Yield the same shapes with other numbers."""
    usual, mine = ordinary_point(case), [case.arrays[i] for i in case.floats]
    points = (
        [1.25 * x for x in mine],
        [0.75 * x + u for x, u in zip(mine, usual, strict=True)],
        [1.5 * np.abs(u) for u in usual],
    )
    for k, point in enumerate(points):
        typed = [np.asarray(x, a.dtype) for x, a in zip(point, mine, strict=True)]
        other = replace(case.at_point(typed), salt=case.salt + k + 1)
        if other.inside():
            yield other


def _other_shapes(case: Case, plan: Plan) -> Iterator[Case]:
    """Yield small cases of other shapes, of those that a check begins with."""
    try:
        from tinygrad_fc.testing.strategies import first_cases  # noqa: PLC0415  which needs hypothesis
    except ImportError:
        return
    shapes = [a.shape for a in case.arrays]
    for other in first_cases(plan, 24):
        size = sum(other.arrays[i].size for i in other.floats)
        if 0 < size <= FEW and [a.shape for a in other.arrays] != shapes:
            yield other.cast(case.arrays[case.floats[0]].dtype)


def _only_digits(w: Wrong) -> bool:
    """Return whether only digits are wrong, which has other causes."""
    return bool((np.abs(w.a - w.n) <= 1e-3 * np.abs(w.n))[w.entries].all())


def equal(a: Array, n: Array) -> bool:
    """Return whether two gradients are equal to a few digits."""
    scale = np.abs(n).max(initial=0)
    return a.shape == n.shape and bool((np.abs(a - n) <= RTOL * (np.abs(n) + 1e-3 * scale)).all())


# Causes: each returns a hint if it explains all that is wrong


def _zero(wrong: Sequence[Wrong], right: Sequence[Case]) -> str:
    if any(w.a[w.entries].any() for w in wrong):
        return ""
    k = wrong[0].k
    elsewhere = any(w.a.any() for w in wrong)
    if wrong[0].i < 0 or elsewhere:
        return BRANCH if elsewhere else MISSING
    return BRANCH if any(c.gradients(c.g)[k].any() for c in right if k < len(c.floats)) else MISSING


def _ignored(wrong: Sequence[Wrong]) -> str:
    for w in wrong:
        weights = w.mismatch.w
        used = weights != 0
        other, ones = np.where(used, cotangent(weights, 99), 0), used.astype(weights.dtype)
        for_ones = len(weights) > 1 and equal(w.a, w.again(ones))
        if not (for_ones or np.array_equal(w.again(other), w.a)):
            return ""
    return IGNORED


def _repaired(wrong: Sequence[Wrong]) -> str:
    """Return the first repair, of those that the failing case has, that is right in all cases."""
    first = next((w for w in wrong if w.n.any()), None)
    if first is None:
        return ""
    at = int(np.argmax(np.abs(first.n)))
    factor = float(first.n.flat[at] / first.a.flat[at])
    if np.isfinite(factor) and all(equal(factor * w.a, w.n) for w in wrong):
        fraction = Fraction(factor).limit_denominator(12)
        number = str(fraction) if abs(fraction - factor) < RTOL else f"{factor:.7g}"
        return "the sign is wrong" if number == "-1" else f"it lacks the factor {number}"
    several = [(w, dict(_repairs(w))) for w in wrong]
    for text in several[0][1]:
        if all(text in repairs and equal(repairs[text], w.n) for w, repairs in several):
            return text
    return ""


def _repairs(w: Wrong) -> Iterator[tuple[str, Array]]:
    """Yield hints, and the gradient that would be right if they hold."""
    if w.a.ndim > 1:
        yield "it is right when transposed", w.a.swapaxes(-1, -2)
    if w.a.size and w.case.out.size > w.a.size:
        averaged = (
            "it is averaged over the axes along which the argument was broadcast: sum over them"
        )
        yield averaged, w.a * (w.case.out.size / w.a.size)
    bases = {"out": w.case.out}
    bases |= {w.case.rule.short_name(i): x for i, x in enumerate(w.case.arrays)}
    for name, x in bases.items():
        if x.shape == w.a.shape and x.dtype.kind == "f":
            powers = {name: x, f"2 {name}": 2 * x, f"{name}^2": x * x, f"1 / {name}": 1 / x}
            for factor, value in {**powers, f"1 / (2 {name})": 0.5 / x, f"-{name}": -x}.items():
                yield f"it lacks the factor {factor}", w.a * value
