"""What a failure says: which entry is wrong, by how much, perhaps why, and how to see it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.slopes import slope
from tinygrad_fc.testing.errors import GradientError
from tinygrad_fc.testing.hints import ZERO, Found, guess
from tinygrad_fc.testing.laws import zero

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.compare import Disagreement
    from tinygrad_fc.testing.plan import Plan

Array = np.ndarray[Any, Any]

MANY = 64
"""How many entries are measured one by one to find the wrong one."""
TIES = "where numbers are equal, what they share of g must add up to g"
SUM = (
    "it must lie between the slopes to both sides; where several kinks meet, as in relu(x) - "
    "relu(-x), the rules of the parts need not add up to that: kinks='skip' leaves kinks out"
)
OUTSIDE = (
    "for g = 0 a row must give exactly 0, and silently, outside of its domain too: 0 is what comes "
    "back through a branch that where() did not take. Keep what it divides by, or takes the "
    "logarithm of, inside: np.where(x > 0, x, 1) for x"
)
WORDS = {
    "value": "wrong value",
    "kink": "no legal slope at a kink",
    "imprecise": "less exact than it could be",
    "second-order": "wrong in the second order only",
}


def explained(error: GradientError, plan: Plan, right: str = "") -> GradientError:
    """Return `error` with all that can be told: the entry, a guess at the cause, a line to run.

    `right` is what sets apart the examples at which all was well.
    """
    case = error.case
    if case is None:
        return error
    told = error.disagreement is not None and not error.disagreement.forbidden
    found = _entries(error) if told else None
    text, hint, kink = str(error), OUTSIDE if _outside(error, plan) else "", ""
    if error.kind == "kink" and error.disagreement is not None and told:
        # One number alone has nobody to share with.
        several = sum(case.arrays[i].size for i in case.floats) > 1
        hint = TIES if several else SUM
        kink = hint if error.disagreement.in_step else SUM
    made = error
    if found is not None:
        k, at = found.at
        i = _argument(case, error, k)
        measured = float(found.numeric[k][at]), float(found.error[k][at])
        digits = 16 if error.kind == "imprecise" else 10
        text = (
            f"{WORDS[error.kind]}: {found.analytic[k][at]:.{digits}g} by the rule, "
            f"{measured[0]:.{digits}g} "
            f"+- {measured[1]:.2g} by differences"
        )
        text += f"; {found.others()} of {found.size} entries differ" if found.size > 1 else ""
        made = GradientError(
            "",
            kind=error.kind,
            argument=i,
            index=at,
            analytic=float(found.analytic[k][at]),
            numerical=measured[0],
            error=measured[1],
            case=case,
            g=error.g,
        )
        try:
            hint = guess(case, found, second=error.kind == "second-order")
        except Exception:  # noqa: BLE001  a guess that fails must not hide what was found
            hint = ""
        # At a kink 0 may be what a rule says there: that none is missing, other places tell.
        hint = kink if kink and (not hint or hint.startswith(ZERO)) else hint
    made.hint = hint
    drawn = error.drawn or case
    made.arrays, made.drawn = drawn.arrays, drawn
    # What hypothesis says of the example is said here, and shorter.
    made.__notes__, made.__traceback__ = [], None
    lines = [_told(case, made, text, hint), f"  right at: {right}"][: 1 + bool(right)]
    made.args = ("\n".join([*lines, f"  reproduce: {reproduction(drawn, plan)}"]),)
    return made


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


def _entries(error: GradientError) -> Found | None:
    """Return the gradients entry by entry, by the rule and by differences."""
    found: Disagreement | None = error.disagreement
    if found is None or sum(p.x.size for p in found.places) > MANY:
        return None
    point = [p.x for p in found.places]
    with np.errstate(all="ignore"):
        analytic = [np.asarray(a, float) for a in found.vjp(found.w)]
        numeric = [np.zeros(p.shape) for p in point]
        bound = [np.zeros(p.shape) for p in point]
        for k, place in enumerate(found.places):
            for at in np.ndindex(place.x.shape):
                v: Sequence[Array] = [np.zeros(p.shape) for p in point]
                v[k][at] = step = place.reach[at]
                one = slope(found.f, point, v, eps=found.eps)
                value, wide = one.summed(found.w)
                numeric[k][at], bound[k][at] = value / step, wide / step
    made = Found(found, analytic, numeric, bound, 0.0 if error.kind == "imprecise" else 1e-8)
    return made if made.wrong_somewhere() else None
