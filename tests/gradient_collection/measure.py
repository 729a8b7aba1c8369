"""One check of a case by the kit, under a seed, and what came of it."""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

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


def checked(
    case: Case | Function | Twin, seed: int | None, max_examples: int | None = None
) -> Outcome:
    """Check a case with the kit; the seconds are those of the processor, busy or not."""
    if isinstance(case, Twin):
        call: Callable[..., Report] = case.check
    elif isinstance(case, Function):
        call = partial(check, case.f, *case.domains)
    else:
        rules = {"where": case.where, "vjp2": case.vjp2}
        call = partial(check_vjp, case.forward, case.vjp, *case.domains, **rules)
    start = time.process_time()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            report = call(max_examples=max_examples, seed=seed)
    except GradientError as error:
        return Outcome(error.kind, str(error), time.process_time() - start)
    except Exception as error:  # noqa: BLE001  to be listed with the others, and not to end them
        return Outcome(type(error).__name__, str(error), time.process_time() - start)
    seconds = time.process_time() - start
    return Outcome(None, str(report), seconds, report.compared, report.inconclusive.total())
