"""The message of a failure: which entry is wrong, by how much, a hint, and how to reproduce it."""

from __future__ import annotations

import ast
import linecache
import sys
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.op import Op, qualified_name
from tinygrad_fc.testing.entries import Entries, entries_of_failure
from tinygrad_fc.testing.hints import hint
from tinygrad_fc.testing.report import GradientError, as_code

if TYPE_CHECKING:
    from tinygrad_fc.testing.report import Report
    from tinygrad_fc.testing.rule import Case
    from tinygrad_fc.testing.run import Plan
    from tinygrad_fc.testing.value import Mismatch

__tracebackhide__ = True  # pytest shows the lines of the user

Array = np.ndarray[Any, Any]

KINK = (
    "at a kink any value between the slopes to both sides is legal, and this one is not; "
    "kinks='skip' leaves kinks out"
)


def explained(error: GradientError, plan: Plan, report: Report | None = None) -> GradientError:
    """Return `error` with its whole message: entry, arrays, hint, reproducer."""
    case = error.case
    if case is None:
        return error
    measured = entries_of_failure(error)
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
    complete = np.isfinite(measured.error[k]).all()
    text += f"; {wrong} of {size} entries differ" if size > 1 and complete else ""
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
    for module in LIBRARIES:
        for name, value in list(getattr(sys.modules.get(module), "__dict__", {}).items()):
            if value is function and not name.startswith("_"):
                return f"{module.replace('tinygrad_fc', 'tg')}.{name}"
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
    positions = [p for p in code.co_positions() if None not in p and p[2] != p[3]]
    first = min(((p[0], p[2]) for p in positions), default=None)
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
