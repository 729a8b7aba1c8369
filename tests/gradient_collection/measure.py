"""One check of a case by the kit, under a seed, and what came of it."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.testing import GradientError, check, check_vjp
from tinygrad_fc.testing.report import FAILURE_KINDS

from .case import Case, Function
from .projects import Twin

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.testing import Report


class Outcome(NamedTuple):
    """What came of a check: `kind` is that of the failure, and None where there was none.

    Where something other than a `GradientError` came, which is a fault of the kit or of the case,
    `kind` is the name of its class. `text` is the whole message.
    """

    kind: str | None
    text: str
    seconds: float
    compared: int = 0
    inconclusive: int = 0

    @property
    def failed(self) -> bool:
        """Whether a wrong gradient was reported."""
        return self.kind in FAILURE_KINDS


def outcome(check: Callable[[], Report]) -> Outcome:
    """Run a check; its seconds are those of the processor, busy or not."""
    start = time.process_time()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            report = check()
    except GradientError as error:
        return Outcome(error.kind, str(error), time.process_time() - start)
    except Exception as error:  # noqa: BLE001  to be listed with the others, and not to end them
        return Outcome(type(error).__name__, str(error), time.process_time() - start)
    seconds = time.process_time() - start
    return Outcome(None, str(report), seconds, report.compared, report.inconclusive.total())


def checked(
    case: Case | Function | Twin, seed: int | None, max_examples: int | None = None
) -> Outcome:
    """Check a case with the kit."""
    options: dict[str, Any] = {"max_examples": max_examples, "seed": seed}
    if isinstance(case, Twin):
        return outcome(lambda: case.check(**options))
    if isinstance(case, Function):
        return outcome(lambda: check(case.f, *case.domains, **options))
    options |= {"where": case.where, "vjp2": case.vjp2}
    return outcome(lambda: check_vjp(case.forward, case.vjp, *case.domains, **options))
