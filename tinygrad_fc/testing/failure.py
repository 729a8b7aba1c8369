"""The message of a failure: which entry is wrong, by how much, a hint, and how to reproduce it."""

from __future__ import annotations

import ast
import linecache
import sys
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.op import Op, qualified_name
from tinygrad_fc.testing.report import GradientError, as_code
from tinygrad_fc.testing.rule import ordinary_point
from tinygrad_fc.testing.value import Mismatch, entry_derivatives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.testing.report import Report
    from tinygrad_fc.testing.rule import Case
    from tinygrad_fc.testing.run import Plan

__tracebackhide__ = True  # pytest shows the lines of the user

Array = np.ndarray[Any, Any]

MANY, FEW = 64, 16
"""How many entries are measured one by one in the failing case, and in others."""
KINK = (
    "at a kink any value between the slopes to both sides is legal, and this one is not; "
    "kinks='skip' leaves kinks out"
)


@dataclass(frozen=True)
class Entries:
    """Gradients entry by entry: of the rule, by differences, and the bounds of these."""

    mismatch: Mismatch
    analytic: list[Array]
    numeric: list[Array]
    error: list[Array]
    rtol: float

    def excess(self, k: int) -> Array:
        """Return by how much the `k`-th gradient leaves its bound, relative to its size."""
        a, n = self.analytic[k], self.numeric[k]
        known = np.isfinite(self.error[k])
        far = np.abs(a - n) - np.where(known, self.error[k], 0) - self.rtol * np.abs(n)
        scale = np.abs(n) + np.abs(a) + 2.0**-1000
        return np.where(known, np.where(np.isnan(far), np.inf, far / scale), -1.0)

    @property
    def worst(self) -> tuple[int, tuple[int, ...]]:
        """The number of the gradient that is the most wrong, and the index."""
        excess = [self.excess(k) for k in range(len(self.analytic))]
        k = int(np.argmax([e.max(initial=-2) for e in excess]))
        return k, tuple(int(i) for i in np.unravel_index(excess[k].argmax(), excess[k].shape))


def entries(error: GradientError, most: int = MANY) -> Entries | None:
    """Return the gradients entry by entry; None where there are too many, or none is wrong."""
    mismatch: Mismatch | None = error.mismatch
    if mismatch is None or sum(p.x.size for p in mismatch.problem.arguments) > most:
        return None
    problem = mismatch.problem
    with np.errstate(all="ignore"):
        analytic = [np.asarray(a, float) for a in problem.vjp(mismatch.w)]
    numeric = [np.zeros(p.x.shape) for p in problem.arguments]
    bound = [np.full(p.x.shape, np.inf) for p in problem.arguments]
    places = [(k, at) for k, p in enumerate(problem.arguments) for at in _indices(p.reach)]
    for (k, at), one in zip(places, entry_derivatives(problem, places), strict=True):
        numeric[k][at], bound[k][at] = one.weighted(mismatch.w)
    rtol = 0.0 if error.kind == "imprecise" else 1e-8
    result = Entries(mismatch, analytic, numeric, bound, rtol)
    return result if any((result.excess(k) > 0).any() for k in range(len(numeric))) else None


def _indices(reach: Array) -> list[tuple[int, ...]]:
    return [tuple(int(j) for j in index) for index in np.argwhere(reach)]


def explained(error: GradientError, plan: Plan, report: Report | None = None) -> GradientError:
    """Return `error` with its whole message: entry, arrays, hint, reproducer."""
    case = error.case
    if case is None:
        return error
    measured = entries(error)
    whole, text = (error, str(error)) if measured is None else _of_entry(error, case, measured)
    whole.hint = error.hint or hint(error, plan, measured)
    whole.arrays = (error.drawn or case).arrays
    whole.__notes__, whole.__traceback__ = [], None
    lines = [_headline(whole, case) + text, *_values(whole, case, error.mismatch)]
    lines += [f"  hint: {whole.hint}"] * bool(whole.hint)
    if report is not None and report.time_limit:
        lines.append(f"  {report.time_limit}")
    lines.append(f"  reproduce: {reproducer(error.drawn or case, plan)}")
    whole.args = ("\n".join(lines),)
    return whole


def _headline(error: GradientError, case: Case) -> str:
    argument = "" if error.argument is None else f", {_argument(case, error.argument)}"
    index = "" if error.index is None else f", entry {error.index}"
    return f"[{error.kind}] in {case.rule.name}{argument}{index}: "


def _values(error: GradientError, case: Case, mismatch: Mismatch | None) -> list[str]:
    """Return lines of the arrays, settings and cotangents as code."""
    named = [(case.rule.short_name(i), as_code(a)) for i, a in enumerate(case.arrays)]
    named += [(name, as_code(value)) for name, value in case.settings.items()]
    if error.g is not None:
        named.append(("g", as_code(error.g)))
    if error.kind == "second-order" and mismatch is not None:
        named.append(("h", _cotangents(case, mismatch.w)))
    return [f"  {name} = {code}" for name, code in named]


def _of_entry(error: GradientError, case: Case, measured: Entries) -> tuple[GradientError, str]:
    """Return the error of the entry that is the most wrong, and its text."""
    k, at = measured.worst
    analytic, numeric, bound = (
        float(a[k][at]) for a in (measured.analytic, measured.numeric, measured.error)
    )
    digits = 16 if error.kind == "imprecise" else 10
    expected = f"{numeric + 0:.{digits}g} +- {bound:.2g} by differences"
    if error.kind == "kink":
        expected = f"a number {_between(numeric, bound)}, the slopes to both sides"
    what = "the derivative of the gradient" if error.kind == "second-order" else "the gradient"
    text = f"{what} is {analytic + 0:.{digits}g}; expected {expected}"
    size, wrong = measured.analytic[k].size, int((measured.excess(k) > 0).sum())
    text += f"; {wrong} of {size} entries differ" if size > 1 else ""
    text += f". {KINK[0].upper()}{KINK[1:]}" if error.kind == "kink" else ""
    i = k - (error.kind == "second-order")
    whole = GradientError(
        "",
        kind=error.kind,
        argument=i if i < 0 else case.floats[i],
        index=at,
        analytic=analytic,
        numerical=numeric,
        error=bound,
        case=case,
        g=error.g,
    )
    return whole, text


def _between(middle: float, bound: float) -> str:
    """Return the two slopes at a kink, of which one is often 0."""
    low, high = (0.0 if abs(s) < 1e-3 * bound else s for s in (middle - bound, middle + bound))
    return f"between {low:.3g} and {high:.3g}"


def _argument(case: Case, i: int) -> str:
    return "g" if i < 0 else case.rule.argument(i)


def _cotangents(case: Case, w: Array) -> str:
    """Return the cotangents of the gradients as code."""
    floats = [case.arrays[i] for i in case.floats]
    pieces = np.split(w, np.cumsum([a.size for a in floats])[:-1])
    codes = [as_code(h.reshape(a.shape)) for h, a in zip(pieces, floats, strict=True)]
    return codes[0] if len(codes) == 1 else f"({', '.join(codes)})"


def reproducer(case: Case, plan: Plan) -> str:
    """Return the call that checks at the very arrays of `case`."""
    settings = ", ".join(f"{k}={as_code(v)}" for k, v in case.settings.items())
    parts = [case.rule.code, *map(as_code, case.arrays)]
    if settings:
        parts.append(f"settings=dict({settings})")
    options = plan.options.as_code(() if plan.strict else plan.domains)
    return ", ".join(parts) + f"{case.rule.ending}{options}){case.rule.note}"


# Hints

RTOL = 1e-5
"""How near two gradients are that count as equal."""
SHARE = 0.1
"""Share of the seconds of a check in which other cases are tried that may confirm a hint."""
TIES = "where numbers are equal, their shares of g must add up to g"
REPEATED = "it is right where no index repeats: add up the cotangents (np.add.at), do not assign"
NEGATIVE = "it is right where no index is negative: count these from the end"
AVERAGED = "it is averaged over the axes along which the argument was broadcast: sum over them"
BRANCH = "it is 0 wherever it is wrong, and not elsewhere: a branch leaves something out"
MISSING = "it is 0 everywhere: the rule is missing or returns None, or what it reads is detached"


class Wrong:
    """One gradient that is wrong, in one case."""

    def __init__(self, case: Case, measured: Entries, k: int, *, second: bool) -> None:
        self.case, self.mismatch, self.k = case, measured.mismatch, k
        self.a, self.n = measured.analytic[k], measured.numeric[k]
        self.i = -1 if k < second else case.floats[k - second]
        self.entries = measured.excess(k) > 0
        names = [case.rule.argument(i) for i in case.floats] * (not second)
        self.others = {
            n: x for n, x in zip(names, measured.numeric, strict=False) if x is not self.n
        }
        self.g = case.g if second else np.asarray(measured.mismatch.w).reshape(case.out.shape)


def hint(error: GradientError, plan: Plan, measured: Entries | None) -> str:
    """Return a guess at the cause of a failure; empty where none is confirmed."""
    case: Any = error.case
    if error.kind == "kink":
        several = sum(case.arrays[i].size for i in case.floats) > 1
        return TIES if several and (measured is None or error.mismatch.in_step) else ""
    if measured is None:
        return ""
    k, second = measured.worst[0], error.kind == "second-order"
    wrong, right = [Wrong(case, measured, k, second=second)], []
    for other, there in _other_cases(error, plan):
        if there is None:
            right.append(other)
        elif k < len(there.analytic) and (there.excess(k) > 0).any():
            wrong.append(Wrong(other, there, k, second=second))
    if len(wrong) < 2 or any(map(_only_digits, wrong)):
        return ""
    with np.errstate(all="ignore"):
        causes = _zero(wrong, right), _repaired(wrong), _of_indices([w.case for w in wrong], right)
        return next(filter(None, causes), "")


def _other_cases(error: GradientError, plan: Plan) -> Iterator[tuple[Case, Entries | None]]:
    """Yield other cases at which the law was checked, with the entries where it fails alike."""
    law, started = plan.laws[error.law].holds, time.monotonic()
    case = error.drawn or error.case
    for other in (*_moved(case), *_other_shapes(case, plan)) if case is not None else ():
        if time.monotonic() - started > SHARE * plan.options.seconds:
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
        if min(sizes) and sum(sizes) <= FEW and [a.shape for a in other.arrays] != shapes:
            yield other.cast(case.arrays[case.floats[0]].dtype)


def _distinct_indices(a: Array) -> Array:
    return np.arange(a.size, dtype=a.dtype).reshape(a.shape)


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


def _of_indices(wrong: Sequence[Case], right: Sequence[Case]) -> str:
    """Return what all wrong cases, and none of the right ones, have in their indices."""

    def holds(test: Callable[[Array], Any], case: Case) -> bool:
        return any(test(a) for a in case.arrays if a.dtype.kind in "iu")

    tests: dict[str, Callable[[Array], Any]] = {
        REPEATED: lambda a: len(np.unique(a)) < a.size,
        NEGATIVE: lambda a: (a < 0).any(),
    }
    for text, test in tests.items():
        if right and all(holds(test, c) for c in wrong) and not any(holds(test, c) for c in right):
            return text
    return ""


def _repaired(wrong: Sequence[Wrong]) -> str:
    """Return the first repair, of those that the failing case has, that is right in all cases."""
    first = next((w for w in wrong if w.n.any()), None)
    if first is None:
        return ""
    at = int(np.argmax(np.abs(first.n)))
    factor = float(first.n.flat[at] / first.a.flat[at])
    if np.isfinite(factor) and all(equal(factor * w.a, w.n) for w in wrong):
        return _lacks(factor)
    several = [(w, dict(_repairs(w))) for w in wrong]
    for text in several[0][1]:
        if all(text in repairs and equal(repairs[text], w.n) for w, repairs in several):
            return text
    return ""


def _lacks(factor: float) -> str:
    if abs(factor + 1) < RTOL:
        return "the sign is wrong"
    if 0 < factor < 1:
        return f"it is {1 / factor:.6g} times too large"
    fraction = Fraction(factor).limit_denominator(12)
    number = str(fraction) if abs(fraction - factor) < RTOL else f"{factor:.7g}"
    return f"it lacks the factor {number}"


def _repairs(w: Wrong) -> Iterator[tuple[str, Array]]:
    """Yield hints, and the gradient that would be right if they hold."""
    if w.a.ndim > 1:
        yield "it is right when transposed", w.a.swapaxes(-1, -2)
    if w.a.size and w.case.out.size > w.a.size:
        yield AVERAGED, w.a * (w.case.out.size / w.a.size)
    for name, n in w.others.items():
        if n.shape == w.a.shape:
            yield f"it is the gradient of {name}", w.n if equal(w.a, n) else w.a
    known = {w.case.rule.short_name(i): x for i, x in enumerate(w.case.arrays)}
    known = {k: x for k, x in {"out": w.case.out, **known}.items() if x.dtype.kind == "f"}
    for name, x in known.items():
        if x.shape == w.a.shape:
            powers = {name: x, f"2 {name}": 2 * x, f"{name}^2": x * x, f"1 / {name}": 1 / x}
            for factor, value in {**powers, f"1 / (2 {name})": 0.5 / x, f"-{name}": -x}.items():
                yield f"it lacks the factor {factor}", w.a * value
    for name, x in {"1": np.ones(w.a.shape), **known}.items():
        if w.i >= 0 and w.g.shape == w.a.shape == x.shape:
            yield f"it lacks the term g * {name}", w.a + w.g * x
            yield f"it lacks the term -g * {name}", w.a - w.g * x


# Functions as code


class Code(NamedTuple):
    """A function as it is written in a line to paste, and a comment on the names in it."""

    text: str
    note: str = ""


LIBRARIES = (
    *("tinygrad_fc", "tinygrad_fc.nn.functional", "autograd.numpy", "jax.numpy", "jax.nn"),
    *("jax.scipy.special", "torch", "torch.nn.functional", "torch.special", "torch.linalg"),
)
"""Where the functions of libraries are looked up."""


def function_code(function: Any, fallback: str) -> Code:
    """Return how to write `function`; `fallback` stands for one that cannot be written."""
    name = "" if isinstance(function, Op) else qualified_name(function)
    if not name.startswith(("np.", "scipy.")):
        name = _in_library(function) or _qualified_name(function)
    if name == "<lambda>":
        return _lambda_code(function) or Code(fallback, fallback)
    legal = all(map(str.isidentifier, name.split(".")))
    return Code(name) if legal else Code(fallback, fallback)


def _in_library(function: Any) -> str:
    for place in LIBRARIES:
        for name, value in list(getattr(sys.modules.get(place), "__dict__", {}).items()):
            if value is function and not name.startswith("_"):
                return f"{place.replace('tinygrad_fc', 'tg')}.{name}"
    return ""


def _qualified_name(function: Any) -> str:
    if isinstance(function, Op):
        return function.name
    name = str(getattr(function, "__name__", ""))
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, ModuleType):
        return str(getattr(function, "__qualname__", name)).rpartition("<locals>.")[2]
    return f"{owner.__name__}.{name}" if isinstance(owner, type) else ""


def code_note(*codes: Code) -> str:
    """Return a comment that says which names in code stand for something; empty if none does."""
    names = list(dict.fromkeys(c.note for c in codes if c.note))
    return f"  # with {' and '.join(names)} as in the check" if names else ""


def _lambda_code(function: Any) -> Code | None:
    """Return the source of a lambda; None where it cannot be read or is long."""
    code = function.__code__
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    places = [p for p in code.co_positions() if None not in p and p[2] != p[3]]
    first = min(((p[0], p[2]) for p in places), default=None)
    nodes = [n for n in _lambdas(source) if (n.body.lineno, n.body.col_offset) == first]
    names = [a.arg for n in nodes for a in (*n.args.posonlyargs, *n.args.args)]
    if len(nodes) != 1 or names != list(code.co_varnames[: code.co_argcount]):
        return None  # its file has changed since
    text = ast.unparse(nodes[0])
    free = [n for n in code.co_freevars if n != "__class__"]
    return Code(text, " and ".join(free)) if len(text) <= 100 else None


@lru_cache(maxsize=16)
def _lambdas(source: str) -> tuple[ast.Lambda, ...]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # not Python, as a notebook's magic
        return ()
    return tuple(n for n in ast.walk(tree) if isinstance(n, ast.Lambda))
