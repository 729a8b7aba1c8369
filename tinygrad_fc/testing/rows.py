"""Rows of the table held to the laws: what they claim, on the domain that they name."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.graph import wrap
from tinygrad_fc.op import Op, ours, table
from tinygrad_fc.testing import laws
from tinygrad_fc.testing.errors import DiscardError, Report, Tally
from tinygrad_fc.testing.functions import of_op
from tinygrad_fc.testing.laws import ONE
from tinygrad_fc.testing.numbers import near, worst
from tinygrad_fc.testing.options import FLOATS, NAMES, ONLY, arrays_of, asked, known
from tinygrad_fc.testing.plan import Law, Plan, laws_for
from tinygrad_fc.testing.search import at, drawn
from tinygrad_fc.testing.texts import said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.options import Options


def check_op(
    name: Any, *arrays: Any, settings: Mapping[str, Any] | None = None, **options: Any
) -> Report:
    """Check a row of the table by its `name`, or the row itself: all laws, on its own domain.

    Besides what `check` holds functions to: the row gives what the function that it stands for
    gives, sends back exactly 0 for a `g` of 0 even outside of its domain, and NumPy has nothing to
    complain of. `options` are those of `check`. With `arrays` and `settings` it is checked at
    these. Of rows of one's own that have the same name, the last is meant. Raises `GradientError`,
    and `ValueError` where there is no such row.

    >>> check_op("tanh", max_examples=20).examples
    20
    """
    __tracebackhide__ = True
    known("check_op", options, [n for n in NAMES if n not in {"sig", "domains"}])  # the row's own
    told, given, total = asked(**options), arrays_of(arrays), Report(0, 0, 0, 0)
    if not isinstance(name, str | Op):
        raise TypeError(
            f"check_op takes the name of a row, such as 'tanh', or the row; got {name!r:.80}"
        )
    if settings is not None and not (isinstance(settings, Mapping) and arrays):
        raise TypeError(
            "settings is a dict of a row's settings at given arrays, as in check_op('sum', "
            f"np.ones((2, 3)), settings={{'axis': 1}}); got {settings!r:.80}"
            + (" and no arrays: without these all settings are tried" if not arrays else "")
        )
    for op in [name] if isinstance(name, Op) else rows_named(name):
        total = total.plus(_checked(op, given, dict(settings or {}), told))
    return total


def rows() -> list[Op]:
    """Return every row of the table once, in the order in which they were added."""
    return list(dict.fromkeys(table.values()))


def rows_named(name: str) -> list[Op]:
    """Return the rows of the table that have this name, of those of users' own the last."""
    __tracebackhide__ = True
    found = [op for op in rows() if op.name == name]
    # A cell that is run again adds its row again. A row is in the table by itself, in order.
    own = [op for op in table if op in found and op not in ours]
    found = [op for op in found if op not in own[:-1]]
    if not found:
        alike = difflib.get_close_matches(name, sorted({op.name for op in rows()}))
        raise ValueError(
            f"no row of the table is called {name!r}"
            + (f"; there is {' and '.join(alike)}" if alike else "")
        )
    return found


def differentiable(op: Op) -> tuple[int, ...]:
    """Return which arguments of `op` have a rule: none where it is a constant."""
    if op.rules is None:
        return ()
    # A rule that is not there was filled in by one that says so.
    named = (
        getattr(getattr(op.rules[i], "func", None), "__name__", "") for i in range(len(op.domain))
    )
    return tuple(i for i, name in enumerate(named) if name != "_no_rule")


def _checked(op: Op, arrays: Sequence[Any], settings: dict[str, Any], options: Options) -> Report:
    __tracebackhide__ = True
    floats = differentiable(op)
    rule = replace(of_op(op), needing=floats)
    words = tuple(
        w if i in floats or w.kind != "float" else replace(w, kind="constant")
        for i, w in enumerate(op.domain)
    )
    held = (Law(result), *(laws_for(options, rule, second=True) if floats else ()))
    plan = Plan(rule, words, held, options, op.settings, strict=True)
    if arrays:
        for i in floats[: len(arrays)]:
            if arrays[i].dtype not in FLOATS:
                raise ValueError(f"{rule.argument(i)} of {op.name} is of {arrays[i].dtype}: {ONLY}")
        return at(plan, arrays, settings)
    report = drawn(plan, share=1 if floats else 4)
    if floats:
        zero = Law(partial(laws.zero, order=options.order))
        drawn(plan._replace(laws=(zero,)), everywhere=True, share=4)
    return report


def result(case: Case) -> Tally:
    """A row gives what the function that it stands for gives, on arrays and on tensors."""
    op: Any = case.rule.forward
    tensors = [wrap(a).requires_grad_(a.dtype.kind == "f") for a in case.arrays]
    needing = any(tensors[i].requires_grad for i in case.floats)
    with case.watched():
        try:
            out = op(*tensors, **case.settings)
            plain = np.asarray(op(*case.arrays, **case.settings))
        except Exception as error:
            if isinstance(error, FloatingPointError) and "overflow" in str(error):
                raise DiscardError from error
            # What a formula lacks is told as Python tells it, not as an argument of another type.
            inner = error.__cause__ if isinstance(error.__cause__, AttributeError) else error
            raise case.wrong("raises", f"the function raises {said(inner)}") from error
    if out.requires_grad is not needing:
        raise case.wrong("value", f"the result has requires_grad={out.requires_grad}")
    _must_be(case, out.numpy(), plain, "for tensors")
    if op.function is op.forward or not _takes(op.function, case):
        return ONE
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        expected = np.asarray(op.function(*case.arrays, **case.settings))
    if plain.dtype != expected.dtype:
        raise case.wrong("dtype", f"the result is {plain.dtype}; NumPy's {expected.dtype}")
    _must_be(case, plain, expected, f"where {op.function} gives another,")
    return ONE


def _must_be(case: Case, got: Any, expected: Any, what: str) -> None:
    if got.shape != expected.shape:
        raise case.wrong("shape", f"the result {what} has shape {got.shape}, not {expected.shape}")
    if (got.dtype.kind == "f" and not near(got, expected)) or (
        got.dtype.kind != "f" and not np.array_equal(got, expected)
    ):
        k = worst(got, expected)
        raise case.wrong("value", f"the result {what} is {got[k]} at {k}, not {expected[k]}")


def _takes(function: Any, case: Case) -> bool:
    """Tell whether NumPy's function has the settings of the row under the same names."""
    try:
        names = inspect.signature(function).parameters
    except ValueError:
        return not case.settings
    joined = next(iter(names)) == "arrays"  # concatenate and stack, which take one sequence
    return not joined and all(name in names for name in case.settings)
