"""Guesses at the cause of a failure: each explains all that is wrong at several inputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.testing.problem import Entries, entries_of_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.testing.function import Case
    from tinygrad_fc.testing.report import Array, GradientError
    from tinygrad_fc.testing.run import Plan
    from tinygrad_fc.testing.value import Mismatch


OTHERS = 16
"""The most other inputs at which a hint is tried."""
FEW = 16
"""The most entries that an input of another shape may have."""
TIES = "where numbers are equal, their gradients must add up to g"
BRANCH = "the gradient is 0 wherever it is wrong, and only there"
INFINITE = "the slope is infinite there: leave the number out (nonzero, where=)"
MISSING = "the gradient is 0 everywhere"
AVERAGED = "it is averaged over the axes along which the argument was broadcast: sum over them"


class Sample(NamedTuple):
    """One gradient at one input: of the rule, and by differences with a bound `error`."""

    case: Case
    analytic: Array
    numerical: Array
    error: Array
    wrong: Array
    """Which entries are wrong."""
    g: Array
    others: dict[str, Array]
    """The gradients of the other arguments by differences."""


def hint(error: GradientError, plan: Plan, measured: Entries | None) -> str:
    """Return a guess at the cause of a failure; empty where none is confirmed."""
    case: Any = error.case
    if error.kind == "kink":
        return TIES * _counts_ties(error.mismatch)
    if measured is None:
        return ""
    if not np.isfinite(error.analytic) and _is_infinite(error.mismatch, measured):
        return INFINITE
    k, second = measured.worst[0], error.kind == "second-order"
    samples = [_sample(case, measured, k, second=second)]
    drawn = error.drawn or case
    others = chain(*zip_longest(_moved(drawn), _other_shapes(drawn, plan)))
    with np.errstate(all="ignore"):
        for other in islice(filter(None, others), OTHERS):
            try:
                there = entries_of_case(other, plan.options.noise, second=second)
                sample = _sample(other, there, k, second=second)
            except Exception:  # noqa: BLE001, S112  it may raise anything at other arrays
                continue
            if sample.analytic.shape == sample.numerical.shape:
                samples.append(sample)
        return _cause(samples)


def _counts_ties(mismatch: Mismatch) -> bool:
    """Return whether the gradient is right if it is divided by how many numbers are equal."""
    numbers = np.concatenate([a.ravel() for a in mismatch.problem.point])
    ties = range(2, int(np.unique(numbers, return_counts=True)[1].max(initial=1)) + 1)
    off = (abs(mismatch.total / n - mismatch.numerical) - mismatch.error for n in ties)
    return any(far <= 1e-8 * abs(mismatch.numerical) for far in off)


def _is_infinite(mismatch: Mismatch, measured: Entries) -> bool:
    """Return whether the slope at the worst entry grows as the step vanishes."""
    problem = mismatch.problem
    v = problem.along_entry(*measured.worst)
    here = problem.f(*problem.point)
    with np.errstate(all="ignore"):
        far, near = (
            np.abs(problem.f(*(x + h * a for x, a in zip(problem.point, v, strict=True))) - here)
            / h
            for h in (2.0**-10, 2.0**-30)
        )
    return bool((near > 8 * far).any())


def _sample(case: Case, measured: Entries, k: int, *, second: bool) -> Sample:
    names = [case.function.argument(i) for i in case.floats] * (not second)
    n = measured.numerical[k]
    others = {name: x for name, x in zip(names, measured.numerical, strict=False) if x is not n}
    g = case.g if second else measured.w.reshape(case.out.shape)
    return Sample(
        case, measured.analytic[k], n, measured.error[k], measured.excess(k) > 0, g, others
    )


def _moved(case: Case) -> Iterator[Case]:
    """Yield the same shapes with other numbers."""
    usual = case.ordinary_point()
    for k, (scale, shift) in enumerate(((1.25, 0), (0.75, 1), (0, 1.5))):
        mine = (case.arrays[i] for i in case.floats)
        point = [(scale * x + shift * u).astype(x.dtype) for x, u in zip(mine, usual, strict=True)]
        other = replace(case.at_point(point), seed=case.seed + k + 1)
        if other.inside():
            yield other
    if any(a.dtype.kind in "iu" for a in case.arrays):
        distinct = (np.arange(a.size, dtype=a.dtype).reshape(a.shape) for a in case.arrays)
        pairs = zip(case.arrays, distinct, strict=True)
        yield case.at([i if a.dtype.kind in "iu" else a for a, i in pairs])


def _other_shapes(case: Case, plan: Plan) -> Iterator[Case]:
    """Yield small cases of other shapes, of those that a check begins with."""
    try:
        from tinygrad_fc.testing.strategies import first_cases  # noqa: PLC0415  which needs hypothesis
    except ImportError:
        return
    shapes = [a.shape for a in case.arrays]
    for other in islice(first_cases(plan), 24):
        sizes = [a.size for a in other.arrays]
        if (
            all(sizes)
            and sum(sizes) <= FEW
            and other.legal()
            and [a.shape for a in other.arrays] != shapes
        ):
            yield other.cast(case.arrays[case.floats[0]].dtype)


# Causes


def _cause(samples: Sequence[Sample]) -> str:
    """Return the hint that explains all wrong entries; empty if none does."""
    wrong = [s for s in samples if s.wrong.any()]
    if len(wrong) < 2 or sum(int(s.wrong.sum()) for s in wrong) < 3:
        return ""
    if not any(s.analytic[s.wrong].any() for s in wrong):
        return BRANCH if any(s.analytic.any() for s in samples) else MISSING
    known = [(s.numerical != 0) & (s.error <= 1e-3 * np.abs(s.numerical)) for s in samples]
    pairs = zip(samples, known, strict=True)
    return _repair([s._replace(wrong=s.wrong | k) for s, k in pairs])


def _repair(samples: Sequence[Sample]) -> str:
    """Return the first change, from the simplest on, that makes all wrong entries right."""
    if factor := _multiple([(s.analytic, s.numerical, s) for s in samples]):
        return _of_factor(factor)
    tables = [_candidates(s) for s in samples]
    for text in tables[0]:
        if all(text in t for t in tables):
            c = _multiple([(*t[text], s) for t, s in zip(tables, samples, strict=True)])
            # An agreement of another multiple is a coincidence.
            if c == "1" or ("{}" in text and c in {"-1", "2", "-2", "0.5", "-0.5"}):
                return text.format({"1": "", "-1": "-"}.get(c, f"{c} * "))
    return ""


def _of_factor(factor: str) -> str:
    if factor == "-1":
        return "the sign is wrong"
    if 0 < float(factor) < 1:
        return f"it is {1 / float(factor):.9g} times too large"
    return f"it lacks the factor {factor}"


def _multiple(rows: Sequence[tuple[Array, Array, Sample]]) -> str:
    """Return the shortest number by which to multiply arrays to get others; empty if none is.

    At the entries that are wrong, and within the bounds of these.
    """
    low, high = -np.inf, np.inf
    for base, target, s in rows:
        if not base.shape == target.shape == s.numerical.shape:
            return ""
        b, t = base[s.wrong], target[s.wrong]
        eps = max(float(np.finfo(s.case.arrays[i].dtype).eps) for i in s.case.floats)
        off = 2 * s.error[s.wrong] + max(1e-8, 64 * eps) * np.abs(s.numerical[s.wrong])
        if not np.isfinite(b).all() or (np.abs(t) > off)[b == 0].any():
            return ""
        ends = np.stack([t - off, t + off])[:, b != 0] / b[b != 0]
        low = max(low, float(ends.min(axis=0).max(initial=-np.inf)))
        high = min(high, float(ends.max(axis=0).min(initial=np.inf)))
    if not 0 <= high - low <= 1e-2 * abs(low):
        return ""
    texts = (f"{(low + high) / 2:.{digits}g}" for digits in range(1, 18))
    return next((text for text in texts if low <= float(text) <= high), "")


def _candidates(s: Sample) -> dict[str, tuple[Array, Array]]:
    """Return sentences about the cause, each with two arrays.

    The sentence is true if the arrays are equal, or multiples of each other for one with `{}`.
    """
    a, expected = s.analytic, s.numerical
    table = {f"it is the gradient of {name}": (a, n) for name, n in s.others.items()}
    pairs = zip(a.shape[::-1], s.case.out.shape[::-1], strict=False)
    if a.ndim <= s.case.out.ndim and all(n in {1, m} for n, m in pairs):
        table[AVERAGED] = a * (s.case.out.size / a.size), expected
    if a.ndim:
        table["it is right when its last axis is reversed"] = a[..., ::-1], expected
        length = a.shape[-1]
        table["it lacks the factor n, the length of its last axis"] = a * length, expected
        table["it lacks the factor 1 / n, of the length n of its last axis"] = a / length, expected
    if a.ndim > 1:
        table["it is right when transposed"] = a.swapaxes(-1, -2), expected
    functions: dict[str, Array] = {}
    named = {s.case.function.short_name(i): s.case.arrays[i] for i in s.case.floats}
    for name, x in {"out": s.case.out, **named}.items():
        if x.shape == a.shape:
            functions |= {name: x, f"1 / {name}": 1 / x, f"(1 - {name})": 1 - x}
            functions |= {f"{f.__name__}({name})": f(x) for f in (np.exp, np.sin, np.cos)}
    table |= {f"it lacks the factor {{}}{text}": (a * x, expected) for text, x in functions.items()}
    if s.g.shape == a.shape:
        terms = {"g": s.g, **{f"g * {text}": s.g * x for text, x in functions.items()}}
        table |= {f"it lacks the term {{}}{text}": (x, expected - a) for text, x in terms.items()}
    return table
