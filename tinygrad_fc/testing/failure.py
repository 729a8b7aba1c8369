"""The message of a failure: which entry is wrong, by how much, a hint, and how to reproduce it."""

from __future__ import annotations

from types import BuiltinMethodType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.core.op_errors import qualified_name
from tinygrad_fc.testing.hints import hint
from tinygrad_fc.testing.problem import Entries, entries_of_failure
from tinygrad_fc.testing.report import GradientError, as_code
from tinygrad_fc.testing.rounding import split_like

if TYPE_CHECKING:
    from tinygrad_fc.testing.function import Case
    from tinygrad_fc.testing.run import Plan


MOST_SHOWN = 12
"""How many entries of an array a message shows."""
KINK = (
    ". At a kink any value between the slopes to both sides is legal, and this one is not; "
    "kinks='skip' leaves kinks out"
)


def explained(error: GradientError, plan: Plan, seed: int | None = None) -> GradientError:
    """Return `error` with its whole message: entry, arrays, hint, reproducer."""
    case = error.case
    if case is None:
        return error
    measured = entries_of_failure(error)
    text = str(error) if measured is None else _set_entry(error, case, measured)
    error.hint = error.hint or hint(error, plan, measured)
    error.arrays = (error.drawn or case).arrays
    error.__notes__, error.__traceback__ = [], None
    lines = [_headline(error, case) + text, *_values(error, case)]
    lines += [f"  hint: {error.hint}"] * bool(error.hint)
    lines.append(f"  reproduce: {reproducer(error.drawn or case, plan, seed)}")
    error.args = ("\n".join(lines),)
    return error


def _headline(error: GradientError, case: Case) -> str:
    i = error.argument
    argument = "" if i is None else ", g" if i < 0 else f", {case.function.argument(i)}"
    index = "" if error.index is None else f", entry {error.index}"
    return f"[{error.kind}] in {case.function.name}{argument}{index}: "


def _values(error: GradientError, case: Case) -> list[str]:
    """Return lines of the arrays, settings and cotangents as code."""
    named = {case.function.short_name(i): a for i, a in enumerate(case.arrays)} | {
        **case.function.settings
    }
    if error.g is not None:
        named["g"] = error.g
    if error.kind == "second-order" and error.mismatch is not None:
        several = split_like(error.mismatch.w, [case.arrays[i] for i in case.floats])
        named |= {"h" if len(several) == 1 else f"h[{k}]": h for k, h in enumerate(several)}
    return [f"  {name} = {_shown(value)}" for name, value in named.items()]


def _shown(value: Any) -> str:
    """Return an array as code, shortened if it is long."""
    if not isinstance(value, np.ndarray) or value.size <= MOST_SHOWN:
        return as_code(value)
    first = ", ".join(map(repr, value.ravel()[:MOST_SHOWN].tolist()))
    return f"array of {value.dtype}, shape {value.shape}: {first}, ..."


def _set_entry(error: GradientError, case: Case, measured: Entries) -> str:
    """Set the fields of `error` to the entry that is the most wrong, and return its text."""
    k, at = measured.worst
    analytic, numerical, bound = (
        float(a[k][at]) for a in (measured.analytic, measured.numerical, measured.error)
    )
    i = k - (error.kind == "second-order")
    error.argument, error.index = i if i < 0 else case.floats[i], at
    error.analytic, error.numerical, error.error = analytic, numerical, bound
    digits = 16 if error.kind == "imprecise" else 10
    expected = f"{numerical + 0:.{digits}g} +- {bound:.2g} by differences"
    if error.kind == "kink":
        expected = f"a number between {numerical - bound:.3g} and {numerical + bound:.3g}"
    what = "the derivative of the gradient" if error.kind == "second-order" else "the gradient"
    text = f"{what} is {analytic + 0:.{digits}g}; expected {expected}"
    size, wrong = measured.analytic[k].size, int((measured.excess(k) > 0).sum())
    complete = np.isfinite(measured.error[k]).all()
    text += f"; {wrong} of {size} entries differ" if size > 1 and complete else ""
    return text + KINK * (error.kind == "kink")


def reproducer(case: Case, plan: Plan, seed: int | None) -> str:
    """Return the call that checks at the very arrays of `case`, or draws them again."""
    if seed is not None and (plan.options.map or any(a.size > MOST_SHOWN for a in case.raw)):
        return f"the same check with seed={seed} finds it again"
    count = case.function.inputs
    settings = {k: as_code(v) for k, v in case.function.settings.items()}
    parts = [*map(as_code, case.raw[:count])]
    if count is not None:
        pairs = zip(case.function.names[count:], case.raw[count:], strict=True)
        settings = {name: as_code(a) for name, a in pairs}
    if settings:
        parts.append(f"settings={{{', '.join(f'{k!r}: {v}' for k, v in settings.items())}}}")
    parts += plan.options.as_code(() if plan.strict else plan.domains[:count])
    return case.function.call.format(", ".join(parts))


# Functions as source code


class Code(NamedTuple):
    """A function as it is written in a line to paste."""

    text: str
    placeholder: str = ""
    """The name in it that stands for a function without a name, as a lambda."""


def source_of(function: Any, fallback: str) -> Code:
    """Return the name of `function`; `fallback` stands for one that has none, as a lambda."""
    name, owner = qualified_name(function), getattr(function, "__self__", None)
    importable = name.startswith(("np.", "scipy.")) or not isinstance(function, BuiltinMethodType)
    if not name.startswith(("np.", "scipy.")):
        path = str(getattr(function, "__qualname__", "")).rpartition("<locals>.")[2]
        name = f"{owner.__name__}.{function.__name__}" if isinstance(owner, type) else path
    bound = not (owner is None or isinstance(owner, ModuleType | type | np.ufunc))
    legal = importable and not bound and all(map(str.isidentifier, name.split(".")))
    return Code(name) if legal else Code(fallback, fallback)


def placeholder_comment(*sources: Code) -> str:
    """Return a comment that says which names in code stand for something; empty if none does."""
    names = list(dict.fromkeys(s.placeholder for s in sources if s.placeholder))
    return f"  # with {' and '.join(names)} as in the check" if names else ""
