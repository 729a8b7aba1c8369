"""A check: laws are checked at given arrays, or at a fixed number of drawn inputs."""

from __future__ import annotations

import math
import sys
import time
import warnings
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import islice
from random import getrandbits
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import SkipTest

import numpy as np

from tinygrad_fc.testing import laws, layouts
from tinygrad_fc.testing.failure import explained
from tinygrad_fc.testing.float32 import float32
from tinygrad_fc.testing.function import Case
from tinygrad_fc.testing.report import (
    DRAW_THEM,
    Array,
    DiscardError,
    GradientError,
    NothingCheckedError,
    Report,
    first_line,
)
from tinygrad_fc.testing.value import Tolerance, finite_gradient, first_order, second_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.function import CheckedFunction
    from tinygrad_fc.testing.options import CheckOptions

__tracebackhide__ = True  # pytest shows the lines of the user

SHRINKS = 150
"""The most inputs that are tried to make a failure small. No clock decides when to stop."""
COMPILED = 50
"""The most examples of a function that is compiled for each shape."""
MOST_RESULTS = 2**16
"""Inputs with more results are left out: checking `x @ x.T` for a long axis takes minutes."""
LARGE = 128
"""Drawn arrays of more elements are checked by the essential laws alone."""


class Law(NamedTuple):
    """A property of a case, which is checked for one in `every` of them."""

    check: Callable[[Case], Report | None]
    every: int = 1
    essential: bool = False
    """Whether the law is checked for large arrays, too."""


class Plan(NamedTuple):
    """A function, its domains, the laws to check, and options."""

    function: CheckedFunction
    domains: tuple[Domain, ...]
    laws: tuple[Law, ...]
    options: CheckOptions
    settings: Mapping[str, Callable[..., Sequence[Any]]] = MappingProxyType({})
    """Of an op, the legal values of its keywords, for its arrays."""
    strict: bool = False
    """Whether the function is an op, which promises more than other functions."""
    notes: tuple[str, ...] = ()
    """What is not checked at any input."""

    def choices(self, arrays: Sequence[Array]) -> dict[str, list[Any]]:
        """Return the legal values of each setting for these arrays."""
        return {name: list(legal(*arrays)) for name, legal in self.settings.items()}

    def case(
        self, arrays: Sequence[Array], seed: int, settings: Mapping[str, Any] | None = None
    ) -> Case:
        """Return a case of this plan."""
        floats = tuple(i for i, d in enumerate(self.domains) if d.kind == "float")
        f = replace(self.function, settings=settings) if settings else self.function
        case = Case(f, self.domains, tuple(arrays), seed, self.strict, floats, self.options.where)
        mapping = self.options.mapping(self.domains)
        if mapping is None:
            return case
        return replace(case, mapping=mapping, unmapped=case.arrays, arrays=tuple(mapping(arrays)))


def laws_for(options: CheckOptions, function: CheckedFunction) -> tuple[Law, ...]:
    """Return the laws of a function in the order in which they are checked."""
    both = len(options.dtypes) > 1
    tolerance = Tolerance(float(options.rtol), options.kinks, float(options.noise))
    value = partial(first_order, tolerance=tolerance)
    if function.jvp is not None:
        narrow = Law(lambda case: value(case.cast(np.float32)), 3)
        linear, agree = Law(laws.tangents, essential=True), Law(value, essential=True)
        return (linear, agree, *[narrow] * both)
    chosen = [
        Law(laws.soundness, essential=True),
        Law(partial(finite_gradient, tolerance=tolerance)),
    ]
    chosen += [Law(laws.mixed_dtypes, 2)] * both
    chosen += [Law(laws.purity), Law(laws.linearity), Law(layouts.layout)]
    chosen += [Law(layouts.same_object, 2)]
    chosen += [Law(laws.passes, 2), Law(laws.alone, 2)] * function.of_library
    chosen += [Law(partial(laws.keyed, law=value)), Law(value, essential=True)]
    chosen += [Law(float32)] * both
    if function.has_second and options.order > 1:
        chosen.append(Law(partial(second_order, tolerance=tolerance)))
        if function.of_tensors:
            chosen.append(Law(laws.forward_mode, 2))
    return tuple(chosen)


def _quiet(plan: Plan) -> AbstractContextManager[Any]:
    """Silence NumPy's warnings of empty means; ops must not cause any."""
    quiet = warnings.catch_warnings(action="ignore", category=RuntimeWarning)
    return nullcontext() if plan.strict else quiet


def check_case(case: Case, plan: Plan, count: int = 0, last: int | None = None) -> Report:
    """Check the laws of a plan up to the `last` one at the `count`-th case."""
    report, large = Report(), case.drawn and max(a.size for a in case.arrays) > LARGE
    raising: Any = {"all": "raise", "under": "ignore"} if plan.strict else {}
    for k, law in enumerate(plan.laws):
        if count % law.every or (last is not None and k > last) or (large and not law.essential):
            continue
        try:
            with np.errstate(**raising):
                part = law.check(case)
        except DiscardError:
            if not k:
                raise
            continue
        except GradientError as error:
            error.drawn, error.law = case, k
            raise
        if part is not None:
            report.add(part)
    return report


def check_at(plan: Plan, arrays: Sequence[Array], seeds: int) -> Report:
    """Check all laws at given arrays, with several sets of directions."""
    report = Report(examples=1, planned=1, notes=plan.notes)
    for seed in range(seeds):
        case = plan.case(arrays, seed)
        try:
            with _quiet(plan):
                _require_floats(plan, case.out)
                report.add(check_case(case, plan))
        except DiscardError:
            raise NothingCheckedError(
                f"{plan.function.name} is not finite at these arrays, where nothing can be checked"
            ) from None
        except GradientError as error:
            raise explained(error, plan) from error.__cause__
    if all(map(np.size, (*arrays, case.out))):  # of an empty array there is nothing to compare
        hypothesis = sys.modules.get("hypothesis")  # imported by a `@given` test
        if hypothesis and hypothesis.currently_in_test_context() and not report.compared:
            hypothesis.assume(report.kinks)  # the test fails if no other example is checked
        _require_compared(plan, report)
    return report


def _require_compared(plan: Plan, report: Report) -> None:
    """Raise unless a derivative was compared."""
    if not report.compared + report.kinks:
        raise NothingCheckedError(f"{plan.function.name}: nothing was compared. {report}")


def _require_floats(plan: Plan, out: Array) -> None:
    if out.dtype.kind not in "fiub":
        raise TypeError(
            f"{plan.function.name} returned {out.tolist()!r:.80}; expected tensors or arrays of "
            "real numbers"
        )
    if out.dtype.kind != "f" and not plan.strict:
        raise NothingCheckedError(
            f"{plan.function.name} returns {out.dtype}; expected floats: only these have a gradient"
        )


class StopCheckError(BaseException):
    """The check ends before its examples do: no Exception, which hypothesis takes for a failure."""


class _Search:
    """One run over drawn cases: what was checked, and what failed."""

    def __init__(self, plan: Plan, examples: int, seed: int) -> None:
        self.plan, self.report = plan, Report(planned=examples, seed=seed, notes=plan.notes)
        seconds = plan.options.seconds
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.failure: GradientError | None = None
        self.tries_after_failure = 0
        self.empty_checked = self.largest_refused = 0

    def check(self, case: Case) -> None:
        """Check one case; raise what is wrong."""
        if self.plan.options.drawn_dtype != np.float64:
            case = case.cast(self.plan.options.drawn_dtype)
        before = self.failure
        self.tries_after_failure += before is not None
        late = self.deadline is not None and time.monotonic() > self.deadline
        if late or self.tries_after_failure > SHRINKS:
            raise StopCheckError
        if not case.legal():
            self.report.rejected += before is None
            self.largest_refused = max(self.largest_refused, *(a.size for a in case.arrays))
            raise DiscardError
        count, last = (self.report.examples, None) if before is None else (0, before.law)
        try:
            with _quiet(self.plan):
                self._call(case)
                part = check_case(case, self.plan, count, last)
        except GradientError as error:
            if before is None or _rank(error) <= _rank(before):
                self.failure = error
            elif error.kind != before.kind:
                return  # another bug
            raise
        if before is None:
            self.report.examples += 1
            self.report.shapes[tuple(a.shape for a in case.arrays)] += 1
            self.empty_checked += _has_empty(case)
            self.report.add(part)

    def begin(self, cases: Iterator[Case]) -> None:
        """Check the first cases, up to one that fails, which hypothesis then makes small."""
        for case in cases:
            try:
                self.check(case)
            except DiscardError:
                continue
            except GradientError:
                return

    def _call(self, case: Case) -> None:
        """Count inputs at which the function raises or is not finite; discard the former."""
        if self.plan.strict:
            return
        try:
            out = case.out
        except GradientError as error:
            cause = error.__cause__ or error
            if self.plan.function.assertions and isinstance(cause, AssertionError):
                raise
            self.report.raised += not _has_empty(case)
            self.report.empty_unchecked += _has_empty(case)
            self.report.refusal = first_line(cause)
            raise DiscardError from error
        _require_floats(self.plan, out)
        if out.size > MOST_RESULTS:
            raise DiscardError
        if not np.isfinite(out).all():
            self.report.nonfinite += not _has_empty(case)
            self.report.empty_unchecked += _has_empty(case)


def _rank(error: GradientError) -> tuple[bool, int, int]:
    """Return how plain a failure is: the nearest to the cause is first, then the smallest."""
    empty = error.drawn is not None and _has_empty(error.drawn)
    return empty, error.law, sum(a.size for a in error.arrays)


def _has_empty(case: Case) -> bool:
    return not all(a.size for a in case.arrays)


def check_drawn(plan: Plan) -> Report:
    """Check the laws at inputs that hypothesis draws."""
    hy = import_module("hypothesis")  # whose import takes a second
    most = plan.options.max_examples or hy.settings().max_examples
    if plan.function.few_shapes:
        most = min(most, COMPILED)
    seed = plan.options.seed
    if seed is None:
        seed = 0 if hy.settings().derandomize else getrandbits(32)
    search = _Search(plan, most, seed)
    report = search.report
    try:
        _run_hypothesis(search, hy)
    except StopCheckError:
        report.not_checked = report.planned - report.examples
    except hy.errors.Flaky:
        if search.failure is None:
            raise
    except (GradientError, hy.errors.Unsatisfiable, SkipTest):
        pass  # the first cases may be all there are, as in a profile that generates none
    if search.failure is not None:
        raise explained(search.failure, plan, report.seed) from search.failure.__cause__
    return _finished(search)


def _run_hypothesis(search: _Search, hy: Any) -> None:
    """Check the first cases, then those that hypothesis draws."""
    strategies, report = import_module("tinygrad_fc.testing.strategies"), search.report
    search.begin(islice(strategies.first_cases(search.plan), report.planned // 2))

    def run(case: Case) -> None:
        try:
            search.check(case)
        except DiscardError:
            hy.reject()

    settings = hy.settings(
        max_examples=max(report.planned - report.examples, 1),
        deadline=None,
        database=None,  # its key is this function, so that all checks would share one entry
        derandomize=False,
        report_multiple_bugs=False,
        phases=[phase for phase in hy.settings().phases if phase is not hy.Phase.explain],
        suppress_health_check=list(hy.HealthCheck),
        print_blob=False,
    )
    with hy.reporting.with_reporter(lambda _: None):
        hy.seed(report.seed)(settings(hy.given(strategies.drawn_cases(search.plan))(run)))()


def _finished(search: _Search) -> Report:
    report, plan = search.report, search.plan
    name = plan.function.name
    if not report.examples or max(report.raised, report.nonfinite) > 9 * report.examples:
        refused = f"No input drawn meets the condition (where=). {DRAW_THEM}"
        raise NothingCheckedError(f"{name}: {'. '.join(report.warnings()) or refused}")
    largest = max(math.prod(s) for several in report.shapes for s in several)
    if search.largest_refused > 1 >= largest:
        raise NothingCheckedError(f"{name}: where= refused all but single numbers. {DRAW_THEM}")
    seen = report.compared + report.kinks + report.inconclusive.total()
    if plan.strict and not seen:
        raise NothingCheckedError(f"{name} has no finite value at any input drawn")
    if not plan.strict and report.examples > search.empty_checked:
        _require_compared(plan, report)
    if report.empty_unchecked and not search.empty_checked:
        report.notes += ("For every empty array the function raises or is NaN: none was checked",)
    return report
