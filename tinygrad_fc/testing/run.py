"""A check: laws are checked at given arrays, or at drawn inputs until one fails or time is up."""

from __future__ import annotations

import sys
import time
import warnings
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.testing import laws, tensors
from tinygrad_fc.testing import report as rp
from tinygrad_fc.testing.failure import explained
from tinygrad_fc.testing.float32 import float32
from tinygrad_fc.testing.function import Case
from tinygrad_fc.testing.report import DiscardError, GradientError, Report
from tinygrad_fc.testing.value import finite_gradient, first_order, second_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.function import CheckedFunction
    from tinygrad_fc.testing.options import Options

__tracebackhide__ = True  # pytest shows the lines of the user

Array = np.ndarray[Any, Any]

SEARCH_SHARE, SHRINK_SHARE = 0.64, 0.24
"""Shares of the seconds of a check: for laws, and for making a failure small; then come hints."""
LEAST, LEAST_COMPILED = 20, 50
"""How many examples are checked however long they take, the late ones by the essential laws.

More of a function that is compiled for each shape, since its time is that of the compiler.
"""
SMALL = 32
"""How many numbers an example may have however slow others were."""


class Law(NamedTuple):
    """A property of a case, which is checked for one in `every` of them."""

    check: Callable[[Case], Report | None]
    every: int = 1
    essential: bool = False
    """Whether it is checked when time is up, too."""


class Plan(NamedTuple):
    """A function, its domains, the laws to check, and options."""

    function: CheckedFunction
    domains: tuple[Domain, ...]
    laws: tuple[Law, ...]
    options: Options
    settings: Mapping[str, Callable[..., Sequence[Any]]]
    strict: bool = False
    """Whether it is an op, which promises more than a function does."""
    everywhere: bool = False
    """Whether inputs outside of the domain are drawn too."""
    notes: tuple[str, ...] = ()
    """What is not checked at any input."""

    def case(self, arrays: Sequence[Array], settings: Mapping[str, Any], seed: int) -> Case:
        """Return a case of this plan."""
        floats = tuple(i for i, d in enumerate(self.domains) if d.kind == "float")
        called = self.function, self.domains, tuple(arrays), settings
        return Case(*called, seed, self.strict, floats, self.options.where)


def laws_for(options: Options, function: CheckedFunction, *, second: bool) -> tuple[Law, ...]:
    """Return the laws of a function in the order in which they are checked."""
    both = len(options.dtypes) > 1
    value = partial(first_order, tolerance=options.tolerance)
    chosen = [Law(laws.soundness, essential=True), Law(finite_gradient)]
    chosen += [Law(laws.mixed_dtypes, 2)] * both
    chosen += [Law(laws.purity), Law(laws.linearity), Law(laws.layout)]
    chosen += [Law(laws.same_object, 2)]
    if function.of_tensors:
        chosen.append(Law(laws.ownership, 2))
    chosen += [Law(value, essential=True), Law(partial(laws.partly_equal, law=value), 3)]
    chosen += [Law(float32)] * both
    if second and options.order > 1:
        chosen.append(Law(partial(second_order, tolerance=options.tolerance)))
    return tuple(chosen)


def laws_for_op(options: Options, function: CheckedFunction) -> tuple[Law, ...]:
    """Return the laws of an op."""
    differentiable = laws_for(options, function, second=True) if function.differentiable else ()
    return (Law(tensors.op_result), *differentiable)


def _quiet(plan: Plan) -> AbstractContextManager[Any]:
    """Silence NumPy's warnings of empty means; ops must not cause any."""
    quiet = warnings.catch_warnings(action="ignore", category=RuntimeWarning)
    return nullcontext() if plan.strict else quiet


def check_case(
    case: Case, plan: Plan, count: int = 0, last: int | None = None, *, late: bool = False
) -> Report:
    """Check the laws of a plan up to the `last` one at the `count`-th case, few if it is `late`."""
    report = Report()
    raising: Any = {"all": "raise", "under": "ignore"} if plan.strict else {}
    for k, law in enumerate(plan.laws):
        if count % law.every or (last is not None and k > last) or late > law.essential:
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
    if report.inconclusive.total():
        for i in case.floats:
            x = case.arrays[i]
            far = float(np.abs(x[np.isfinite(x)]).max(initial=0))
            report.inconclusive_range[case.function.argument(i)] = far, far
    return report


def check_at(
    plan: Plan, arrays: Sequence[Array], settings: Mapping[str, Any], seeds: int
) -> Report:
    """Check all laws at given arrays, with several sets of directions."""
    report = Report()
    for seed in range(seeds):
        case = plan.case(arrays, settings, seed)
        try:
            with _quiet(plan):
                _require_floats(plan, case.out)
                report.add(check_case(case, plan))
        except DiscardError:
            raise rp.NothingCheckedError(
                f"{plan.function.name} is not finite at these arrays, where nothing can be checked"
            ) from None
        except GradientError as error:
            raise explained(error, plan) from error.__cause__
    report.examples = report.planned = 1
    report.notes += plan.notes
    if all(map(np.size, (*arrays, case.out))):  # of an empty array there is nothing to compare
        hypothesis = sys.modules.get("hypothesis")  # imported by a `@given` test
        if hypothesis and hypothesis.currently_in_test_context() and not report.compared:
            hypothesis.assume(report.kinks)  # the test fails if no other example is checked
        _require_compared(plan, report)
    return report


def _require_compared(plan: Plan, report: Report) -> None:
    """Raise unless a derivative was compared."""
    if not report.compared + report.kinks:
        raise rp.NothingCheckedError(f"{plan.function.name}: nothing was compared. {report}")


def _require_floats(plan: Plan, out: Array) -> None:
    if out.dtype.kind not in "fiub":
        raise TypeError(
            f"{plan.function.name} returned {out.tolist()!r:.80}; expected tensors or arrays of "
            "real numbers"
        )
    if out.dtype.kind != "f" and not plan.strict:
        raise rp.NothingCheckedError(
            f"{plan.function.name} returns {out.dtype}; expected floats: only these have a gradient"
        )


class TimeUp(BaseException):
    """The time of a check is over: no Exception, which hypothesis would take for a failure."""


class _Search:
    """One run over drawn cases: what was checked, and what failed."""

    def __init__(self, plan: Plan, examples: int) -> None:
        self.plan, self.report = plan, Report(planned=examples)
        self.shrink_seconds = SHRINK_SHARE * plan.options.seconds
        self.deadline = time.monotonic() + SEARCH_SHARE * plan.options.seconds
        self.pace = 0.0  # the most seconds for each number of an example
        self.failure: GradientError | None = None
        self.empty_checked = 0

    def check(self, case: Case) -> None:
        """Check one case; raise what is wrong."""
        if self.plan.options.drawn_dtype != np.float64:
            case = case.cast(self.plan.options.drawn_dtype)
        before, start = self.failure, time.monotonic()
        late = start > self.deadline
        least = LEAST_COMPILED if self.plan.function.few_shapes else LEAST
        if late and (before is not None or self.report.examples >= least):
            raise TimeUp
        size = sum(a.size for a in case.arrays)
        if before is None and size > SMALL and self.pace * size > self.deadline - start:
            raise DiscardError  # it would take longer than what is left
        count, last = (self.report.examples, None) if before is None else (0, before.law)
        try:
            with _quiet(self.plan):
                self._call(case)
                part = check_case(case, self.plan, count, last, late=late)
        except GradientError as error:
            if before is None or _rank(error) <= _rank(before):
                self.failure = error
            elif error.kind != before.kind:
                return  # another bug
            self.deadline = min(self.deadline, time.monotonic() + self.shrink_seconds)
            raise
        if before is not None:
            return
        self.pace = max(self.pace, (time.monotonic() - start) / max(size, SMALL))
        self.report.examples += 1
        self.empty_checked += _has_empty(case)
        self.report.add(part)

    def begin(self, cases: Iterator[Case]) -> None:
        """Check the first cases, up to one that fails."""
        for case in cases:
            try:
                self.check(case)
            except DiscardError:
                continue
            except TimeUp:  # as the next example does again
                return
            except GradientError:
                # It is made small where hypothesis finds it again.
                self.deadline = time.monotonic() + self.shrink_seconds
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
            self.report.refusal = rp.first_line(cause)
            raise DiscardError from error
        _require_floats(self.plan, out)
        if not np.isfinite(out).all():
            self.report.nonfinite += not _has_empty(case)
            self.report.empty_unchecked += _has_empty(case)


def _rank(error: GradientError) -> tuple[bool, int, int]:
    """Return how plain a failure is: the nearest to the cause is first, then the smallest."""
    empty = error.drawn is not None and _has_empty(error.drawn)
    return empty, error.law, sum(a.size for a in error.arrays)


def _has_empty(case: Case) -> bool:
    return not all(a.size for a in case.arrays)


def check_drawn(plan: Plan, one_in: int = 1) -> Report:
    """Check the laws at inputs that hypothesis draws: one in `one_in` of `max_examples`."""
    strategies = import_module("tinygrad_fc.testing.strategies")
    hy = import_module("hypothesis")  # whose import takes a second
    most = max((plan.options.max_examples or hy.settings().max_examples) // one_in, 1)
    search = _Search(plan, most)
    search.begin(islice(strategies.first_cases(plan), most // 2))

    def run(case: Case) -> None:
        try:
            search.check(case)
        except DiscardError:
            hy.reject()

    settings = hy.settings(
        max_examples=max(most - search.report.examples, 1),
        deadline=None,
        database=None,  # its key would be that of this function, for every check
        report_multiple_bugs=False,
        phases=[phase for phase in hy.settings().phases if phase is not hy.Phase.explain],
        suppress_health_check=list(hy.HealthCheck),
        print_blob=False,
    )
    drawn = settings(hy.given(strategies.drawn_cases(plan))(run))
    if plan.options.seed is not None:
        drawn = hy.seed(plan.options.seed)(drawn)
    try:
        with hy.reporting.with_reporter(lambda _: None):
            drawn()
    except TimeUp:
        search.report.not_checked = most - search.report.examples if search.failure is None else 0
    except hy.errors.Flaky:
        if search.failure is None:
            raise
    except (GradientError, hy.errors.Unsatisfiable):  # the first cases may be all there are
        pass
    if search.failure is not None:
        raise explained(search.failure, plan, search.report) from search.failure.__cause__
    return _finished(search)


def _finished(search: _Search) -> Report:
    report, plan = search.report, search.plan
    name = plan.function.name
    if not report.examples or max(report.raised, report.nonfinite) > 9 * report.examples:
        reasons = ". ".join(report.warnings()) or "No input drawn meets the conditions (where=)"
        raise rp.NothingCheckedError(f"{name}: {reasons}")
    report.notes += plan.notes
    seen = report.compared + report.kinks + report.inconclusive.total()
    if plan.strict and len(plan.laws) > 1 and not seen:
        raise rp.NothingCheckedError(f"{name} has no finite value at any input drawn")
    if not plan.strict and report.examples > search.empty_checked:
        _require_compared(plan, report)
    if report.empty_unchecked and not search.empty_checked:
        report.notes += ("For every empty array the function raises or is NaN: none was checked",)
    return report
