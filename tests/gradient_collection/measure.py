"""One check of a case by the kit, under a seed, and what came of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from hypothesis import core

from tinygrad_fc.testing import GradientError, check, check_vjp
from tinygrad_fc.testing.errors import KINDS

from .case import Case, Function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    undecided: int = 0

    @property
    def alarmed(self) -> bool:
        """Whether a wrong gradient was reported."""
        return self.kind in KINDS


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Let hypothesis draw by a seed, as `pytest --hypothesis-seed` does."""
    before, core.global_force_seed = core.global_force_seed, seed
    try:
        yield
    finally:
        core.global_force_seed = before


def outcome(check: Callable[[], Report], seed: int | None) -> Outcome:
    """Run a check under a seed; its seconds are those of the processor, busy or not."""
    start = time.process_time()
    try:
        with seeded(seed), np.errstate(all="ignore"):
            report = check()
    except GradientError as error:
        return Outcome(error.kind, str(error), time.process_time() - start)
    except Exception as error:  # noqa: BLE001  to be listed with the others, and not to end them
        return Outcome(type(error).__name__, str(error), time.process_time() - start)
    seconds = time.process_time() - start
    return Outcome(None, str(report), seconds, report.compared, report.undecided)


def checked(case: Case | Function, seed: int | None, max_examples: int | None = None) -> Outcome:
    """Check a case with the kit."""
    if isinstance(case, Function):
        return outcome(lambda: check(case.f, *case.domains, max_examples=max_examples), seed)
    options: dict[str, Any] = {"sig": case.sig, "where": case.where, "vjp2": case.vjp2}
    return outcome(
        lambda: check_vjp(
            case.forward, case.vjp, *case.domains, max_examples=max_examples, **options
        ),
        seed,
    )
