"""Guesses at the cause of a failure: each explains all that is wrong at several inputs."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from itertools import chain, permutations, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.testing.entries import Entries, entries_of_case
from tinygrad_fc.testing.report import GradientError
from tinygrad_fc.testing.rule import ordinary_point

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.testing.rule import Case
    from tinygrad_fc.testing.run import Plan

__tracebackhide__ = True  # pytest shows the lines of the user

Array = np.ndarray[Any, Any]

SHARE = 0.1
"""Share of the seconds of a check in which other inputs are tried that may confirm a hint."""
FEW = 16
"""The most entries of other inputs."""
TIES = "where numbers are equal, their shares of g must add up to g"
BRANCH = "it is 0 wherever it is wrong, and not elsewhere: a branch leaves something out"
MISSING = "it is 0 everywhere: the rule is missing or returns None, or what it reads is detached"
SIZE = ", where n is "
FORMULA = "by differences it is"
AVERAGED = "it is averaged over the axes along which the argument was broadcast: sum over them"


class Sample(NamedTuple):
    """One gradient at one input: `a` of the rule, `n` by differences with a bound `error`."""

    case: Case
    i: int
    """The argument; -1 for `g`, in second derivatives."""
    a: Array
    n: Array
    error: Array
    wrong: Array
    """Which entries are wrong."""
    g: Array
    others: dict[str, Array]
    """The gradients of the other arguments by differences."""

    @property
    def right(self) -> Array:
        """Which entries are right and not 0, and known well enough to say so."""
        known: Array = self.error <= 1e-3 * np.abs(self.n)
        return np.asarray(~self.wrong & (self.n != 0) & known)

    @property
    def known(self) -> dict[str, Array]:
        """The result and the arguments by name, in shapes that fit the gradient."""
        named = {self.case.rule.short_name(i): x for i, x in enumerate(self.case.arrays)}
        arrays = {"out": self.case.out, **named}
        fitting = {name: _beside(x, self.a) for name, x in arrays.items() if x.dtype.kind == "f"}
        return {name: x for name, x in fitting.items() if x is not None}


def _beside(x: Array, a: Array) -> Array | None:
    """Return `x` in a shape that broadcasts to that of `a`, as by keepdims; None if none does."""
    x = np.asarray(x, float)
    if x.shape == a.shape[:-1] and a.ndim:
        x = x[..., None]
    if x.ndim > a.ndim or any(n not in {1, m} for n, m in zip(x.shape[::-1], a.shape[::-1])):  # noqa: B905  fewer axes broadcast
        return None
    return np.asarray(x + np.zeros(a.shape))


def hint(error: GradientError, plan: Plan, measured: Entries | None) -> str:
    """Return a guess at the cause of a failure; empty where none is confirmed."""
    case: Any = error.case
    if error.kind == "kink":
        several = sum(case.arrays[i].size for i in case.floats) > 1
        return TIES if several and (measured is None or error.mismatch.in_step) else ""
    with np.errstate(all="ignore"):
        if measured is None:
            wrong: list[Case] = [error.drawn or case]
            right: list[Case] = []
            for other in _other_cases(error, plan):
                (wrong if _fails(other, error, plan) else right).append(other)
            return _condition(wrong, right, "this does not happen")
        k = measured.worst[0]
        second = error.kind == "second-order"
        samples = [_sample(case, measured, k, second=second)]
        for other in _other_cases(error, plan):
            if not all(a.size for a in other.arrays):
                continue
            try:
                there = entries_of_case(other, plan.options.noise, second=second)
                samples.append(_sample(other, there, k, second=second))
            except Exception:  # noqa: BLE001, S112  it may raise anything at other arrays
                continue
        return _cause(samples)


def _fails(case: Case, error: GradientError, plan: Plan) -> bool:
    """Return whether the law of `error` fails alike at another case."""
    try:
        plan.laws[error.law].holds(case)
    except GradientError as other:
        return other.kind == error.kind
    except Exception:  # noqa: BLE001  it may raise anything at other arrays
        return False
    return False


def _sample(case: Case, measured: Entries, k: int, *, second: bool) -> Sample:
    names = [case.rule.argument(i) for i in case.floats] * (not second)
    n = measured.numeric[k]
    others = {name: x for name, x in zip(names, measured.numeric, strict=False) if x is not n}
    i = -1 if k < second else case.floats[k - second]
    g = case.g if second else measured.w.reshape(case.out.shape)
    error, wrong = measured.error[k], measured.excess(k) > 0
    return Sample(case, i, measured.analytic[k], n, error, wrong, g, others)


def _other_cases(error: GradientError, plan: Plan) -> Iterator[Case]:
    """Yield other inputs, until time is up: the same shapes with other numbers, and small ones."""
    until = time.monotonic() + SHARE * plan.options.seconds
    case = error.drawn or error.case
    if case is None:
        return
    for other in chain(*zip_longest(_moved(case), _other_shapes(case, plan))):
        if time.monotonic() > until:
            return
        if other is not None:
            yield other


def _moved(case: Case) -> Iterator[Case]:
    """Yield the same shapes with other numbers."""
    usual = ordinary_point(case)
    for k, (scale, shift) in enumerate(((1.25, 0), (0.75, 1), (0, 1.5))):
        mine = (case.arrays[i] for i in case.floats)
        point = [(scale * x + shift * u).astype(x.dtype) for x, u in zip(mine, usual, strict=True)]
        other = replace(case.at_point(point), seed=case.seed + k + 1)
        if other.inside():
            yield other
    for change in (_distinct_indices, np.abs):
        arrays = [change(a) if a.dtype.kind in "iu" else a for a in case.arrays]
        if any(map(np.any, map(np.not_equal, arrays, case.arrays))):
            yield case.at(arrays)


def _other_shapes(case: Case, plan: Plan) -> Iterator[Case]:
    """Yield small cases of other shapes, of those that a check begins with."""
    try:
        from tinygrad_fc.testing.strategies import first_cases  # noqa: PLC0415  which needs hypothesis
    except ImportError:
        return
    shapes = [a.shape for a in case.arrays]
    for other in first_cases(plan, 24):
        sizes = [a.size for a in other.arrays]
        if sum(sizes) <= FEW and [a.shape for a in other.arrays] != shapes:
            yield other.cast(case.arrays[case.floats[0]].dtype)


def _distinct_indices(a: Array) -> Array:
    return np.arange(a.size, dtype=a.dtype).reshape(a.shape)


# Causes


def _cause(samples: Sequence[Sample]) -> str:
    """Return what is wrong with a gradient, and where."""
    wrong = [s for s in samples if s.wrong.any()]
    if len(wrong) < 2 or sum(int(s.wrong.sum()) for s in wrong) < 3:
        return ""
    right = [s for s in samples if s.right.any()]
    if not any(s.a[s.wrong].any() for s in wrong):
        return BRANCH if any(s.a.any() for s in samples) else MISSING
    everywhere = [s._replace(wrong=s.wrong | s.right) for s in samples]
    shapes = [{s.g.shape, *(s.case.arrays[i].shape for i in s.case.floats)} for s in everywhere]
    plain = [s for s, several in zip(everywhere, shapes, strict=True) if len(several) == 1]
    what = _repair(everywhere) or _repair(plain * (len(plain) > 1))
    if what and not what.startswith(FORMULA):
        return what
    where = _region(samples) or _condition(
        [s.case for s in wrong], [s.case for s in right if not s.wrong.any()]
    )
    if not what and len(wrong) > 3 and (what := _repair(wrong, sizes=False)) and not where:
        what = f"where it is wrong, {what}"
    return "; ".join(filter(None, (what, where)))


def _repair(wrong: Sequence[Sample], *, sizes: bool = True) -> str:
    """Return the first change, from the simplest on, that makes all wrong entries right."""
    low, high = _bounds([(s.a, s.n, s) for s in wrong])
    if not wrong or low <= 1 <= high:
        return ""
    if factor := _lacks(low, high):
        return factor
    for name in wrong[0].others:
        if all(_equal(s.a, s.others[name]) for s in wrong):
            return f"it is the gradient of {name}"
    for sentence, candidates in CANDIDATES.items():
        tables = [candidates(s) for s in wrong]
        for text in (text for text in tables[0] if all(text in t for t in tables)):
            target = [s.n - s.a if candidates is _terms else s.n for s in wrong]
            c = _number([(t[text], n, s) for t, n, s in zip(tables, target, wrong, strict=True)])
            if (
                c is not None
                and (sizes or SIZE not in text)
                and (c == 1 or candidates is not _changes)
            ):
                return sentence.format(_times(c, text))
    return ""


Row = tuple[Array, Array, Sample]


def _bounds(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the least and the greatest number by which to multiply one array to get another.

    At the entries that are wrong, and within the bounds of these.
    """
    low, high = -np.inf, np.inf
    for base, target, s in rows:
        if base.shape != target.shape:
            return np.inf, -np.inf
        b, t = base[s.wrong], target[s.wrong]
        eps = max(float(np.finfo(s.case.arrays[i].dtype).eps) for i in s.case.floats)
        off = 2 * s.error[s.wrong] + max(1e-8, 64 * eps) * np.abs(s.n[s.wrong])
        zero = b == 0
        if not np.isfinite(b).all() or (np.abs(t) > off)[zero].any():
            return np.inf, -np.inf
        ends = np.stack([t - off, t + off])[:, ~zero] / b[~zero]
        low = max(low, float(ends.min(axis=0).max(initial=-np.inf)))
        high = min(high, float(ends.max(axis=0).min(initial=np.inf)))
    return low, high


def _fraction(low: float, high: float) -> Fraction | None:
    """Return the simplest fraction between two numbers close to each other."""
    if not (np.isfinite([low, high]).all() and 0 <= high - low <= 1e-2 * abs(low)):
        return None
    for d in range(1, 13):
        if low <= round((low + high) / 2 * d) / d <= high:
            return Fraction(round((low + high) / 2 * d), d)
    return None


def _number(rows: Sequence[Row]) -> Fraction | None:
    """Return the number in front of a factor or a term; None if it is no simple one."""
    c = _fraction(*_bounds(rows))
    return c if c and max(abs(c.numerator), c.denominator) <= 4 else None


def _times(number: Fraction, text: str) -> str:
    """Return a multiple as code."""
    signs = {Fraction(1): "", Fraction(-1): "-"}
    return signs.get(number, f"{number} * ") + text


def _lacks(low: float, high: float) -> str:
    if not (np.isfinite([low, high]).all() and 0 <= high - low <= 1e-2 * abs(low)):
        return ""
    exact, factor = _fraction(low, high), (low + high) / 2
    digits = int(np.clip(2 - np.log10((high - low) / abs(factor) + 1e-12), 2, 9))
    if exact == -1:
        return "the sign is wrong"
    if 0 < factor < 1:
        return f"it is {float(1 / exact if exact else 1 / factor):.{digits}g} times too large"
    return f"it lacks the factor {exact or f'{factor:.{digits}g}'}"


def _equal(a: Array, n: Array) -> bool:
    scale = np.abs(n).max(initial=0)
    return a.shape == n.shape and bool((np.abs(a - n) <= 1e-5 * (np.abs(n) + 1e-3 * scale)).all())


def _changes(s: Sample) -> dict[str, Array]:
    """Return gradients that would be right, by what is wrong then."""
    changes = {AVERAGED: s.a * (s.case.out.size / s.a.size)}
    if s.g.shape == s.a.shape:
        changes["it is right when subtracted from g"] = s.g - s.a
    if s.a.ndim > 1:
        changes["it is right when transposed"] = s.a.swapaxes(-1, -2)
    if s.a.ndim:
        changes["it is right when its last axis is reversed"] = s.a[..., ::-1]
    return changes


def _functions(s: Sample) -> dict[str, Array]:
    """Return functions of the result and of the arguments, in the shape of the gradient."""
    table: dict[str, Array] = {}
    for name, x in s.known.items():
        square, root = x * x, np.sqrt(x)
        powers = {name: x, f"{name}**2": square, f"1 / {name}": 1 / x, f"1 / {name}**2": 1 / square}
        powers |= {f"sqrt({name})": root, f"1 / sqrt({name})": 1 / root}
        for sign, one in (("-", -1), ("+", 1)):
            for inner, y in ((name, x), (f"{name}**2", square)):
                powers[f"(1 {sign} {inner})"] = 1 + one * y
                powers[f"1 / (1 {sign} {inner})"] = 1 / (1 + one * y)
        powers[f"1 / sqrt(1 - {name}**2)"] = 1 / np.sqrt(1 - square)
        powers |= {f"{f.__name__}({name})": f(x) for f in (np.exp, np.log, np.sin, np.cos)}
        powers[f"{name} * (1 - {name})"] = x * (1 - x)
        table |= powers
    for (name, x), (other, y) in permutations(s.known.items(), 2):
        table |= {f"{name} * {other}": x * y, f"{name} / {other}": x / y}
    return table


def _factors(s: Sample) -> dict[str, Array]:
    """Return factors that a gradient may lack: sizes, and functions of known arrays."""
    sizes = {"the number of its entries": s.a.size, "the number of results": s.case.out.size}
    if s.a.ndim:
        sizes = {"the length of its last axis": s.a.shape[-1]} | sizes
    factors = {}
    for what, n in ((what, np.float64(size)) for what, size in sizes.items()):
        values = {"n": n, "1 / n": 1 / n, "(n - 1)": n - 1, "n / (n - 1)": n / (n - 1)}
        values |= {"1 / (n - 1)": 1 / (n - 1), "(n - 1) / n": 1 - 1 / n}
        for text, value in {**values, "(n + 1) / n": 1 + 1 / n}.items():
            factors[f"{text}{SIZE}{what}"] = s.a * value
    return factors | {text: s.a * x for text, x in _functions(s).items()}


def _terms(s: Sample) -> dict[str, Array]:
    """Return terms that a gradient may lack."""
    terms = {}
    if s.a.ndim > 1 and s.a.shape[-1] == s.a.shape[-2]:
        terms["its own transpose"] = s.a.swapaxes(-1, -2)
    if s.a.ndim:
        terms["its own mean along the last axis"] = s.a.mean(-1, keepdims=True) + 0 * s.a
        terms["its own sum along the last axis"] = s.a.sum(-1, keepdims=True) + 0 * s.a
        for name, x in s.known.items():
            terms[f"{name} * (its own sum along the last axis)"] = x * s.a.sum(-1, keepdims=True)
    g = _beside(s.g, s.a)
    if g is not None and s.i >= 0:
        terms |= {"g": g, **{f"g * {text}": g * x for text, x in _functions(s).items()}}
    return terms


def _formulas(s: Sample) -> dict[str, Array]:
    """Return the gradients of plain elementwise functions."""
    if s.g.shape != s.a.shape or s.i < 0:
        return {}
    return {f"g * {text}": s.g * x for text, x in _functions(s).items()}


CANDIDATES: dict[str, Callable[[Sample], dict[str, Array]]] = {
    "{}": _changes,
    "it lacks the factor {}": _factors,
    "it lacks the term {}": _terms,
    FORMULA + " {}": _formulas,
}
"""What may be wrong, from the simplest on."""


# Where


def _region(samples: Sequence[Sample]) -> str:
    """Return at which numbers the entries of a gradient are wrong, and at no others."""
    for name in (*[name for name in samples[0].known if name != "out"], "out", "g"):
        arrays = [{**s.known, "g": s.g}.get(name) for s in samples]
        pairs = [(s, np.asarray(x)) for s, x in zip(samples, arrays, strict=True) if x is not None]
        if not pairs or any(x.shape != s.a.shape for s, x in pairs):
            continue
        wrong, right = (
            np.concatenate([x[m] for (_, x), m in zip(pairs, masks, strict=True)])
            for masks in ([s.wrong for s, _ in pairs], [s.right for s, _ in pairs])
        )
        if text := _between(name, wrong, right):
            return text
    return ""


def _between(name: str, wrong: Array, right: Array) -> str:
    """Return what numbers of wrong entries, and none of right ones, have in common."""
    if right.size < 5:
        return ""
    if not wrong.any() and right.all() and name != "out":
        return f"it is right where {name} is not 0"
    if min(np.unique(wrong).size, np.unique(right).size) < 4:
        return ""
    for text, w, r in ((name, wrong, right), (f"|{name}|", np.abs(wrong), np.abs(right))):
        if w.min() > r.max():
            return f"it is right where {text} is up to {r.max():.3g}, wrong from {w.min():.3g} on"
        if w.max() < r.min():
            return f"it is right where {text} is from {r.min():.3g} on, wrong up to {w.max():.3g}"
    return ""


def _condition(wrong: Sequence[Case], right: Sequence[Case], good: str = "it is right") -> str:
    """Return what all wrong cases, and none of the right ones, have in common."""
    if len(wrong) < 2 or len(right) < 3:
        return ""
    for text, holds in CONDITIONS.items():
        if all(map(holds, wrong)) and not any(map(holds, right)):
            return f"{good} where {text}"
    longest = [
        [max(chain(*(a.shape for a in c.arrays)), default=0) for c in s] for s in (wrong, right)
    ]
    if min(longest[0]) > max(longest[1]):
        return f"{good} for axes up to a length of {max(longest[1])}, but from {min(longest[0])} on"
    return ""


def _any(test: Callable[[Array], Any], kinds: str) -> Callable[[Case], bool]:
    return lambda case: any(test(a) for a in case.arrays if a.dtype.kind in kinds)


CONDITIONS: dict[str, Callable[[Case], bool]] = {
    "no index repeats: add up the cotangents (np.add.at), do not assign": _any(
        lambda a: len(np.unique(a)) < a.size, "iu"
    ),
    "no index is negative: count these from the end": _any(lambda a: (a < 0).any(), "iu"),
    "no array is empty": _any(lambda a: not a.size, "fiub"),
    "no argument is 0-d": _any(lambda a: not a.ndim, "f"),
    "no axis has the length 1": _any(lambda a: 1 in a.shape, "f"),
    "no argument is broadcast": lambda c: len({c.arrays[i].shape for i in c.floats}) > 1,
    "no number is 0": _any(lambda a: (a == 0).any(), "f"),
    "no two numbers are equal": _any(lambda a: len(np.unique(a)) < a.size, "f"),
}
"""Properties of inputs, by the words for where they do not hold."""
