"""The exercises of the course: `check` says that an answer is right, or which step to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Conditions = Sequence[tuple[Callable[[Any], Any], str]]

__all__ = ["exercises"]


def exercises(conditions: Mapping[int, Conditions]) -> Callable[[int, Any], None]:
    """Return `check(number, answer)` for the exercises of a chapter.

    `conditions` maps the number of an exercise to pairs: a condition, a function of the answer, and
    the step to look at where it fails. `check` prints the step of the first one that is false or
    raises an error.

    >>> square = [
    ...     (lambda answer: answer > 0, "step 1, the sign"),
    ...     (lambda answer: answer == 9, "step 2"),
    ... ]
    >>> check = exercises({1: square})
    >>> check(1, ...)
    Exercise 1: no answer yet. Write it in place of the three dots, and run the cell again.
    >>> check(1, -9)
    Exercise 1: not yet. Look again at step 1, the sign.
    >>> check(1, 9)
    Exercise 1: right.
    """

    def check(number: int, answer: Any) -> None:
        print(f"Exercise {number}: {_verdict(conditions[number], answer)}.")  # noqa: T201

    return check


def _verdict(conditions: Conditions, answer: Any) -> str:
    if answer is ...:
        return "no answer yet. Write it in place of the three dots, and run the cell again"
    for condition, step in conditions:
        try:
            holds = np.all(condition(answer))
        except Exception as error:  # noqa: BLE001  of the answer, which is the learner's
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            return f"not yet. {reason}. Look again at {step}"
        if not holds:
            return f"not yet. Look again at {step}"
    return "right"
