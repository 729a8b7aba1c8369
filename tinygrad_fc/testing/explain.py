"""What a failure says: which entry is wrong, by how much, perhaps why, and how to see it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.op import Op
from tinygrad_fc.testing.errors import GradientError
from tinygrad_fc.testing.hints import guess
from tinygrad_fc.testing.laws import zero
from tinygrad_fc.testing.orders import misordered
from tinygrad_fc.testing.probes import elsewhere, entries
from tinygrad_fc.testing.smaller import smaller
from tinygrad_fc.testing.texts import between, of_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.common import Seen
    from tinygrad_fc.testing.plan import Plan
    from tinygrad_fc.testing.probes import Found, Probe

Array = np.ndarray[Any, Any]

TIES = "where numbers are equal, what they share of g must add up to g"
SUM = (
    "where several kinks meet, as in relu(x) - relu(-x), the rules of the parts need not add up to "
    "a slope between those to both sides"
)
LEGAL = (
    "at a kink any value between the slopes to both sides is legal, and this one is not; where "
    "kinks are not to be judged, kinks='skip' leaves them out"
)
WIDE = (
    "float32 times an array of whole numbers, as np.where(x > 0, 1, 0), or of float64 is float64: "
    "end with .astype(x.dtype)"
)
OUTSIDE = (
    "for g = 0 a row must give exactly 0, and silently, outside of its domain too: 0 is what comes "
    "back through a branch that where() did not take. Keep what it divides by, or takes the "
    "logarithm of, inside: np.where(x > 0, x, 1) for x"
)
STEPS = 2.0 ** np.array([-8, -16, -24, -32])
"""How far from 0 a slope is looked at that may be infinite there."""
WORDS = {
    "value": "wrong value",
    "kink": "no legal slope at a kink",
    "imprecise": "less exact than it could be",
    "second-order": "wrong in the second order only",
}


def explained(error: GradientError, plan: Plan, seen: Seen | None = None) -> GradientError:
    """Return `error` with all that can be told: the entry, a guess at the cause, a line to run.

    `seen` knows what sets it apart from the examples at which all was well.
    """
    if seen is not None and error.drawn is not None and not plan.strict:
        error = smaller(error, plan)
    case = error.case
    if case is None:
        return error
    told = error.disagreement is not None and not error.disagreement.forbidden
    found = entries(error) if told else None
    probes = elsewhere(error, plan) if told else []
    made, text = error, str(error)
    if found is not None:
        made, text = _measured(error, case, found)
    drawn = _pasted(error, case)
    made.hint = misordered(error.kind, drawn, plan)
    made.hint = made.hint or _hint(error, case, found, probes) or _hint_besides(error, plan)
    made.arrays, made.drawn = drawn.arrays, drawn
    # What hypothesis says of the example is said here, and shorter.
    made.__notes__, made.__traceback__ = [], None
    lines = [_told(case, made, text, made.hint)]
    lines += [f"  {LEGAL}"] * (error.kind == "kink" and told)
    right = seen.said([p.case for p in probes if p.found is not None]) if seen else ""
    lines += [f"  right at: {right}"] * bool(right)
    made.args = ("\n".join([*lines, f"  reproduce: {reproduction(drawn, plan)}"]),)
    return made


def _pasted(error: GradientError, case: Case) -> Case:
    """Return where it is seen again: in float32 where that alone fails, beside nothing else."""
    drawn = error.drawn or case
    narrow = error.kind in {"dtype", "raises"} and _narrowed(case, drawn)
    return case if narrow else drawn


def _measured(error: GradientError, case: Case, found: Found) -> tuple[GradientError, str]:
    """Return the error of the entry that is the most wrong, and what is said of it."""
    k, at = found.at
    analytic = float(found.analytic[k][at])
    numeric, bound = float(found.numeric[k][at]), float(found.error[k][at])
    digits = 16 if error.kind == "imprecise" else 10
    text = f"{WORDS[error.kind]}: {analytic:.{digits}g} by the rule, "
    if error.kind == "kink":
        text += f"{between(numeric, bound)}, g times the slopes to both sides, by differences"
    else:
        text += f"{numeric:.{digits}g} +- {bound:.2g} by differences"
    size = found.analytic[k].size
    text += f"; {found.wrong(k)} of its {size} entries differ" if size > 1 else ""
    made = GradientError(
        "",
        kind=error.kind,
        argument=_argument(case, error, k),
        index=at,
        analytic=analytic,
        numerical=numeric,
        error=bound,
        case=case,
        g=error.g,
    )
    return made, text


def _hint(error: GradientError, case: Case, found: Found | None, probes: Sequence[Probe]) -> str:
    """Return a guess at why a gradient is not what differences say, nothing where none holds."""
    if error.disagreement is None or error.disagreement.forbidden:
        return ""
    if error.kind != "kink":
        second = error.kind == "second-order"
        return "" if found is None else guess(case, found, probes, second=second)
    # One number alone has nobody to share with.
    several = sum(case.arrays[i].size for i in case.floats) > 1
    if several and (found is None or error.disagreement.in_step):
        return TIES
    return SUM if case.rule.own and not isinstance(case.rule.forward, Op) else ""


def _hint_besides(error: GradientError, plan: Plan) -> str:
    """Return what follows from the law that failed by itself."""
    if _outside(error, plan):
        return OUTSIDE
    case = error.case
    if error.kind == "raises" and case is not None:
        return _refused(error, case)
    if error.kind == "dtype" and error.argument is not None and case and not case.rule.own:
        return WIDE if case.arrays[error.argument].dtype == np.float32 else _narrow(case)
    return _beyond(error) if error.kind in {"nonlinear", "nonfinite"} else ""


def _refused(error: GradientError, case: Case) -> str:
    """Return which float type the function takes, where it takes one alone."""
    if error.drawn is not None and _narrowed(case, error.drawn):
        return 'it raises in float32 alone: dtypes="float64" leaves that out'
    if not of_types(str(error)):
        return ""
    mine = case.arrays[case.floats[0]].dtype
    other = np.dtype(np.float64 if mine == np.float32 else np.float32)
    return f'its own numbers are {other}: check it with dtypes="{other}", or at arrays of {other}'


def _narrow(case: Case) -> str:
    """Return why a gradient may be of float32 where the argument is of float64."""
    if case.rule.spelled.startswith("check(from_jax("):
        return (
            'JAX computes in float32 until jax.config.update("jax_enable_x64", True) is called: '
            'do that first, or check with dtypes="float32"'
        )
    return 'some of its own numbers are of float32: dtypes="float32" checks it in that type alone'


def _narrowed(case: Case, drawn: Case) -> bool:
    """Tell whether a case is one that was drawn, in float32."""
    pairs = zip(case.arrays, drawn.arrays, strict=True)
    return any(a.dtype != b.dtype and a.dtype == np.float32 for a, b in pairs)


def _beyond(error: GradientError) -> str:
    """Return which domain leaves out a number at which the function has no slope."""
    case, i, at = error.case, error.argument, error.index
    if case is None or i is None or at is None or np.isfinite(error.analytic) or case.strict:
        return ""
    if case.arrays[i][at]:
        return ""
    here, above, below = (_results(case, i, at, h) for h in (0.0, STEPS, -STEPS))
    slopes = np.abs(above - here) / STEPS[:, None]
    if not (slopes[1:] > 2 * slopes[:-1]).all(0).any():
        return ""
    word = "nonzero" if np.isfinite(below).all() else "positive"
    return f"the function has no finite slope at 0: {word} is a domain that leaves 0 out"


def _results(case: Case, i: int, at: tuple[int, ...], steps: Any) -> Array:
    """Return the results with numbers in place of one of an argument's."""
    found = []
    for h in np.atleast_1d(steps):
        moved = list(case.arrays)
        moved[i] = moved[i].copy()
        moved[i][at] = h
        with np.errstate(all="ignore"):
            found.append(np.asarray(case.rule.result(moved, case.settings), float).ravel())
    return np.array(found)


def _outside(error: GradientError, plan: Plan) -> bool:
    """Tell whether it is that a row of the table gives something for nothing."""
    law: Any = plan.laws[error.law].holds
    silent = error.kind != "raises" or isinstance(error.__cause__, FloatingPointError)
    return plan.strict and getattr(law, "func", law) is zero and silent


def _told(case: Case, error: GradientError, text: str, hint: str) -> str:
    where = "" if error.argument is None else f", {_named(case, error.argument)}"
    if error.index is not None:
        where += f", entry {error.index}"
    lines = [f"[{error.kind}] in {case.rule.name}{where}: {text}"]
    names = case.rule.names
    for i, a in enumerate(case.arrays):
        lines.append(f"  {names[i] if i < len(names) else f'argument {i}'} = {spelled(a)}")
    lines += [f"  {name} = {value!r}" for name, value in case.settings.items()]
    if error.g is not None:
        lines.append(f"  g = {spelled(error.g)}")
    if hint:
        lines.append(f"  hint: {hint}")
    return "\n".join(lines)


def _named(case: Case, i: int) -> str:
    return "g" if i < 0 else case.rule.argument(i)


def reproduction(case: Case, plan: Plan) -> str:
    """Return the call that checks at this very place."""
    settings = ", ".join(
        f"{k}={spelled(v) if isinstance(v, np.ndarray) else repr(v)}"
        for k, v in case.settings.items()
    )
    parts = [case.rule.spelled, *map(spelled, case.arrays)]
    if settings:
        parts.append(f"settings=dict({settings})")
    return ", ".join(parts) + f"{case.rule.ending}{plan.ending()}){case.rule.note}"


def spelled(a: Array) -> str:
    """Return `a` as code."""
    kind = "" if a.dtype in {np.dtype(float), np.dtype(int), np.dtype(bool)} else f"np.{a.dtype}"
    if a.size == 0:
        told = kind or {"f": "", "i": "int", "b": "bool"}[a.dtype.kind]
        return f"np.zeros({a.shape}{', ' + told if told else ''})"
    return f"np.array({a.tolist()!r}{', ' + kind if kind else ''})"


def _argument(case: Case, error: GradientError, k: int) -> int:
    """Return which argument has the `k`-th gradient; -1 for `g`, by which there is a second."""
    if error.kind == "second-order":
        k -= 1
    return k if k < 0 else case.floats[k]
