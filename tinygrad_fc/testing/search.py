"""Laws held at given arrays, and at arrays that hypothesis draws until one fails."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.domain import boolean, real
from tinygrad_fc.testing.case import Case
from tinygrad_fc.testing.common import Seen
from tinygrad_fc.testing.errors import (
    DiscardError,
    GradientError,
    NothingToldError,
    Report,
    Tally,
)
from tinygrad_fc.testing.explain import explained
from tinygrad_fc.testing.options import returned
from tinygrad_fc.testing.plan import SALTS
from tinygrad_fc.testing.texts import counted, said

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.testing.plan import Plan

CALLS, SHRINKING = 60_000, 30_000
"""For 100 examples: after how many calls only cheap laws are held, and no smaller one is sought.

Calls come first, not seconds: what is found is the same on a busy machine.
"""
SLOPES, SECONDS = 3.5, 4.5
"""For 100 examples of a slow function: how long slopes are measured, and how long anything is done.

These are the processor's seconds, so that other programs take nothing away.
"""


@contextmanager
def _quiet(plan: Plan) -> Iterator[None]:
    """Keep still what Python says of means of nothing, where NumPy is kept so as well."""
    with warnings.catch_warnings():
        if not plan.strict:
            warnings.simplefilter("ignore", RuntimeWarning)
        yield


def held(case: Case, plan: Plan, *, count: int = 0, cheap: bool = False, since: int = 0) -> Tally:
    """Hold a case, the `count`-th that is drawn, to the laws of a plan, `since` one of them."""
    tally = Tally()
    warned: Any = {"all": "raise", "under": "ignore"} if plan.strict else {}
    for k, law in enumerate(plan.laws):
        if k < since or (cheap and law.costly) or count % law.every:
            continue
        try:
            with np.errstate(**warned):
                found = law.holds(case)
        except DiscardError:
            if not k:
                raise
            continue
        except GradientError as error:
            error.drawn, error.law = case, k
            raise
        if law.costly:
            tally = tally.plus(found)
    return tally


def at(plan: Plan, arrays: Sequence[Any], settings: dict[str, Any]) -> Report:
    """Hold the laws at given arrays, with every set of directions."""
    __tracebackhide__ = True
    given = tuple(np.array(a) for a in arrays)
    of = {"f": real, "b": boolean}
    index = replace(boolean, name="index", kind="index")
    words = plan.words or tuple(of.get(a.dtype.kind, index) for a in given)
    if len(words) != len(given):
        raise ValueError(f"{plan.rule.name} takes {counted(len(words), 'array')}, got {len(given)}")
    plan = plan._replace(words=words)
    tally = Tally()
    for salt in range(SALTS):
        case = Case(
            *(plan.rule, plan.words, given, settings, salt, plan.strict, plan.floats),
            plan.options.where,
        )
        try:
            with _quiet(plan):
                returned(plan.rule.name, case.out)
                if not plan.strict and case.out.dtype.kind != "f":
                    raise _no_floats(plan.rule.name, case.out.dtype)
                tally = tally.plus(held(case, plan))
        except DiscardError:
            raise NothingToldError(
                f"{plan.rule.name} is not finite at these arrays, where nothing can be told"
            ) from None
        except GradientError as error:
            raise explained(error, plan) from error.__cause__
    return Report(1, *tally)


class _Search:
    """One run over drawn cases: what was seen, and what failed."""

    def __init__(self, plan: Plan, share: float) -> None:
        self.plan = plan
        self.limit, self.shrinking = CALLS * share, SHRINKING * share
        share *= plan.rule.patience
        self.slopes, self.seconds = SLOPES * share, SECONDS * share
        self.tally, self.examples, self.discarded = Tally(), 0, 0
        self.flat, self.left_out = 0, 0
        self.started, self.called = time.process_time(), plan.rule.calls["all"]
        self.until = np.inf
        self.known: dict[bytes, GradientError | None] = {}
        """What came of each case since one failed: to make it small, many are drawn again."""
        self.last: GradientError | None = None
        self.raised, self.refusal, self.nonfinite = 0, "", 0
        self.empty, self.raised_empty = 0, 0
        self.dtypes: set[np.dtype[Any]] = set()
        self.seen = Seen()

    def hold(self, case: Case) -> None:
        """Hold one case; raise what is wrong."""
        __tracebackhide__ = True
        if self.plan.dtype != np.float64:
            case = case.cast(self.plan.dtype)
        key = _key(case)
        calls = self.plan.rule.calls["all"] - self.called
        if key in self.known:
            self._again(self.known[key], calls)
            return
        spent = time.process_time() - self.started
        if calls > self.until or spent > self.seconds:
            self.left_out += 1  # enough: what is known to fail is small by now
            return
        cheap = self.last is None and (calls > self.limit or spent > self.slopes)
        try:
            with _quiet(self.plan):
                self._told(case)
                told = self._held(case, cheap=cheap)
            self.tally = self.tally.plus(told)
        except GradientError as error:
            # Of what the first cases showed, the nearest to the cause is made small.
            nearer = self.until == np.inf and self.last and error.law < self.last.law
            if self.last and error.kind != self.last.kind and not nearer:
                self.known[key] = None
                return  # another bug, or the same one from afar: shrinking keeps to the first
            if self.last and error.kind != self.last.kind:
                self.known.clear()
            self.known[key] = self.last = error
            self.seen.add(case, wrong=True)
            self._again(error, calls)
        if self.last is not None:
            self.known[key] = None
        if cheap:
            self.flat += 1
        else:
            self.seen.add(case, wrong=False)
        self.examples += 1
        self.discarded += bool(case.out.size and not any(told))

    def _again(self, error: GradientError | None, calls: int) -> None:
        """Raise what is wrong with a case, if anything, which is made small from here on."""
        if error is not None:
            self.until = min(self.until, calls + self.shrinking)
            raise error

    def _held(self, case: Case, *, cheap: bool) -> Tally:
        """Hold a case to all laws, or to those up to the one that has failed."""
        if self.last is None:
            return held(case, self.plan, count=self.examples, cheap=cheap)
        first, failed = (self.plan.laws[: self.last.law + k] for k in (0, 1))
        if self.until == np.inf:
            return held(case, self.plan._replace(laws=failed))
        # To be made small it must fail at the same law again, which most of what is tried does not.
        try:
            return held(case, self.plan._replace(laws=failed), since=self.last.law)
        except GradientError as found:
            error = found
        held(case, self.plan._replace(laws=first))  # what is nearer to the cause
        raise error

    def begin(self, cases: Iterator[Case]) -> None:
        """Hold the cases that each check begins with, up to the first that fails."""
        __tracebackhide__ = True
        for case in cases:
            try:
                self.hold(case)
            except DiscardError:
                self.discarded += 1
            except GradientError:
                self.until = np.inf  # making it small begins where it is found again
                return

    def _told(self, case: Case) -> None:
        """Leave what the function refuses to take: it is not defined there."""
        __tracebackhide__ = True
        if self.plan.strict:
            return
        try:
            returned(self.plan.rule.name, case.out)
        except GradientError as error:
            cause = error.__cause__ or error
            if self.plan.rule.asserts and isinstance(cause, AssertionError):
                raise
            self.raised, self.refusal = self.raised + 1, said(cause)
            self.raised_empty += _hollow(case)
            raise DiscardError from error
        self.dtypes.add(case.out.dtype)
        if not np.isfinite(case.out).all():
            self.nonfinite += 1
            self.empty += _hollow(case)


def _no_floats(name: str, dtype: Any) -> NothingToldError:
    return NothingToldError(
        f"{name} returns {dtype} wherever it was called: only floats have a gradient"
    )


def _hollow(case: Case) -> bool:
    return not all(a.size for a in case.arrays)


def _key(case: Case) -> bytes:
    parts = [repr((a.shape, a.dtype.str)).encode() + a.tobytes() for a in case.arrays]
    return b"".join(parts) + repr((case.settings, case.salt)).encode()


def drawn(plan: Plan, *, everywhere: bool = False, share: int = 1) -> Report:
    """Hold the laws on cases that hypothesis draws: 1 in `share` of as many as the profile says."""
    __tracebackhide__ = True  # what failed is told, and the way here is nobody's matter
    try:
        from hypothesis import HealthCheck, Phase, errors, given, reject, settings  # noqa: PLC0415
        from hypothesis.reporting import with_reporter  # noqa: PLC0415

        from tinygrad_fc.testing.drawing import cases  # noqa: PLC0415
        from tinygrad_fc.testing.fixed import fixed  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "drawing inputs needs hypothesis, which is not installed: pip install "
            "'tinygrad-fc[testing]'. With arrays in place of the domains nothing is drawn"
        ) from error
    most = max((plan.options.max_examples or settings().max_examples) // share, 1)
    search = _Search(plan, max(most / 100, 1))
    search.begin(fixed(plan, most // 2, wide=everywhere))
    # What fails there is sought again among what is drawn, which is made small.

    @settings(
        max_examples=max(most - search.examples - search.left_out, 1),
        deadline=None,
        database=None,
        report_multiple_bugs=False,  # so that shrinking does not slip from one bug to another
        # What sets failures apart is told here; to explain them hypothesis traces every line.
        phases=[phase for phase in settings().phases if phase is not Phase.explain],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(cases(plan, everywhere=everywhere))
    def run(case: Case) -> None:
        try:
            search.hold(case)
        except DiscardError:
            search.discarded += 1
            reject()

    failed = search.last
    try:
        # All that is told is told here: what hypothesis prints are seeds, and cases without names.
        with with_reporter(lambda _: None):
            run()
    except GradientError as error:
        failed = error
    except errors.Flaky:
        if search.last is None:
            raise
        failed = search.last
    except errors.Unsatisfiable:  # where the first cases have told all that there is, well
        pass
    if failed is not None:
        raise explained(failed, plan, search.seen) from failed.__cause__
    return _report(search)


def _report(search: _Search) -> Report:
    __tracebackhide__ = True
    report = Report(
        *(search.examples, *search.tally),
        raised=search.raised,
        refusal=search.refusal,
        left_out=search.flat + search.left_out,
        nonfinite=search.nonfinite,
        empty=search.empty,
        raised_empty=search.raised_empty,
    )
    slopes = any(law.costly for law in search.plan.laws)
    # Where all results are empty there is nothing to tell, and nothing wrong.
    empty = slopes and search.discarded and not any(search.tally)
    name = search.plan.rule.name
    if report.unfit() and (empty or not report.told):
        raise NothingToldError(f"{name}: {'. '.join(report.unfit())}")
    if empty and search.dtypes and not {d.kind for d in search.dtypes} & {"f"}:
        raise _no_floats(name, " or ".join(sorted(map(str, search.dtypes))))
    if empty or not search.examples:
        raise NothingToldError(
            f"{name} has no finite value at any input drawn, or none meets `where`: choose "
            "domains inside which it is defined"
        )
    return report
