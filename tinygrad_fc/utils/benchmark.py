"""Times of statements, with PyTorch's names: `Timer` and its `Measurement`."""

from __future__ import annotations

import statistics
import timeit
from typing import Any

__all__ = ["Measurement", "Timer"]


class Measurement:
    """Times of runs of a statement: `times` are seconds per run, one for each repetition.

    Its text has the median and the number of runs.
    """

    def __init__(self, number_per_run: int, raw_times: list[float], title: str) -> None:
        self.number_per_run, self.raw_times, self.title = number_per_run, raw_times, title
        self.times = [seconds / number_per_run for seconds in raw_times]

    @property
    def mean(self) -> float:
        """The mean of the times."""
        return statistics.fmean(self.times)

    @property
    def median(self) -> float:
        """The median of the times."""
        return statistics.median(self.times)

    def __repr__(self) -> str:
        unit, scale = next(
            (u for u in (("s", 1), ("ms", 1e3)) if self.median * u[1] >= 1), ("us", 1e6)
        )
        count = f"{len(self.times)} measurement{'s' * (len(self.times) > 1)}"
        return (
            f"{self.title}\n  {self.median * scale:.2f} {unit}\n"
            f"  {count}, {self.number_per_run} runs per measurement"
        )


class Timer:
    """Measures the statement `stmt`, with the names of `globals`, after `setup`.

    `label`, `sub_label` and `description` are shown with the result; `num_threads` has no effect.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.utils.benchmark import Timer
    >>> Timer("x.exp()", globals={"x": tg.ones(3)}).timeit(10).median < 1
    True
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Any = timeit.default_timer,
        globals: dict[str, Any] | None = None,  # noqa: A002  PyTorch's name
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        num_threads: int = 1,
    ) -> None:
        del num_threads
        self._timer = timeit.Timer(stmt, f"{global_setup}\n{setup}", timer, globals)
        self._title = ": ".join(filter(None, (label or stmt, sub_label, description)))

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """Return the time of `number` runs, after two that are not measured."""
        self._timer.timeit(2)
        return Measurement(number, [self._timer.timeit(number)], self._title)

    def blocked_autorange(self, callback: Any = None, min_run_time: float = 0.2) -> Measurement:
        """Return the times of repeated blocks of runs, of at least `min_run_time` seconds."""
        del callback
        number, seconds = 1, 0.0
        while seconds < min_run_time / 10:
            number, seconds = number * 2, self._timer.timeit(number * 2)
        times = [self._timer.timeit(number) for _ in range(10)]
        return Measurement(number, times, self._title)
