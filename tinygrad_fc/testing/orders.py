"""Whether a rule is wrong because its arguments stand in another order than it is called with."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.testing.errors import DiscardError
from tinygrad_fc.testing.functions import names_of
from tinygrad_fc.testing.laws import linear, sound
from tinygrad_fc.testing.places import ordinaries
from tinygrad_fc.testing.values import values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.plan import Plan

GRADIENTS = {"g", "grad", "gradient", "grad_out", "grad_output", "gout", "gy", "dy", "dout"}
RESULTS = {"out", "output", "res", "result", "ans"}
"""What people call the gradient of the result, and the result."""
USUAL = ("g", "out", "arrays")
ORDERS = [order for order in permutations(USUAL) if order != USUAL]
SKIPPED = {"mutation", "aliasing", "nondeterministic", "layout"}
"""Kinds of failures that no order of arguments explains."""


def misordered(kind: str, case: Case, plan: Plan) -> str:
    """Return in which order the arguments of a rule in plain NumPy make it right, or seem to be."""
    rule = case.rule
    if not rule.spelled.startswith("check_vjp(") or kind in SKIPPED:
        return ""
    mine, own = names_of(rule.vjp), rule.names[: len(case.arrays)]
    odd = _odd(mine, own)
    if not odd and (mine[:1] == USUAL[:1] or mine[2:] == own):
        return ""
    groups = {"g": ("g",), "out": ("out",), "arrays": own or ("*arrays",)}
    called = f"it is called as {_call(USUAL, groups)}, with g the gradient of the result"
    for order in ORDERS:
        if _right(case, partial(_turned, rule.vjp, order), plan):
            return f"it would be right called as {_call(order, groups)}: {called}"
    return f"{called}, and its parameters are ({', '.join(mine)})" if odd else ""


def _call(order: Sequence[str], groups: Mapping[str, Sequence[str]]) -> str:
    return f"vjp({', '.join(name for part in order for name in groups[part])})"


def _odd(mine: Sequence[str], names: Sequence[str]) -> bool:
    """Tell whether the parameters of a rule are called what stands in another place."""
    first, second, *rest = [*mine, "", ""]
    others = set(rest) - set(names)
    return bool(
        {first, second} & set(names)
        or first in RESULTS
        or second in GRADIENTS
        or others & (GRADIENTS | RESULTS)
    )


def _turned(vjp: Callable[..., Any], order: Sequence[str], g: Any, out: Any, *arrays: Any) -> Any:
    given = {"g": (g,), "out": (out,), "arrays": arrays}
    return vjp(*(a for part in order for a in given[part]))


def _right(case: Case, vjp: Callable[..., Any], plan: Plan) -> bool:
    """Tell whether another rule is right at a place and at ordinary numbers."""
    made = replace(case, rule=replace(case.rule, vjp=vjp))
    compared = 0
    for other in (made.at(made.placed(ordinaries(made))), made):
        for law in (sound, linear, partial(values, demand=plan.options.demand)):
            try:
                with np.errstate(all="ignore"):
                    compared += law(other).compared * isinstance(law, partial)
            except DiscardError:
                continue
            except Exception:  # noqa: BLE001  a rule is called with what it was not made for
                return False
    return compared > 0
