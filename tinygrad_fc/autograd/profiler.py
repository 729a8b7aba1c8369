"""Times of ops in a block of code, with PyTorch's names: `profile` and `record_function`.

The clock is what a profile reports; nothing is decided by it.
"""

from __future__ import annotations

from _thread import allocate_lock
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from tinygrad_fc.core.seam import Observer, start, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.core.op import Op

__all__ = ["EventList", "FunctionEvent", "profile", "record_function"]

_running: ContextVar[profile | None] = ContextVar("running", default=None)
_inner: ContextVar[list[float]] = ContextVar("inner")  # time of the calls inside of the running one


@dataclass
class FunctionEvent:
    """The number of calls of an op, and their time in microseconds.

    `self_cpu_time_total` excludes the calls inside, which have their own rows.
    """

    key: str
    count: int
    cpu_time_total: float
    self_cpu_time_total: float

    @property
    def cpu_time(self) -> float:
        """The mean time of a call."""
        return self.cpu_time_total / self.count


class EventList(list[FunctionEvent]):
    """Events by name; `table()` is a text with a row for each."""

    def table(self, sort_by: str = "self_cpu_time_total", row_limit: int = 100, **_: Any) -> str:
        """Return a table of the first `row_limit` events in descending order of `sort_by`."""
        rows = sorted(self, key=lambda event: -getattr(event, sort_by, 0))[:row_limit]
        whole = sum(event.self_cpu_time_total for event in self) or 1.0
        width = max([4, *(len(event.key) for event in rows)])
        names = (f"{name:>10}" for name in ("Self CPU %", "Self CPU", "CPU total", "CPU time"))
        lines = ["  ".join(["Name".ljust(width), *names, "Calls"])]
        lines.append("-" * len(lines[0]))
        for event in rows:
            share = f"{event.self_cpu_time_total / whole:10.1%}"
            times = (event.self_cpu_time_total, event.cpu_time_total, event.cpu_time)
            columns = [event.key.ljust(width), share, *map("{:8.0f}us".format, times)]
            lines.append("  ".join([*columns, f"{event.count:5d}"]))
        return "\n".join([*lines, f"Self CPU time total: {whole / 1000:.3f}ms"])


class profile(Observer):  # noqa: N801  PyTorch's name
    """A context that measures the calls of ops, of their vjp rules, and of `record_function`.

    It measures its own thread or task. Other arguments of PyTorch's class have no effect. Raises
    `RuntimeError` inside another one.

    >>> import tinygrad_fc as tg
    >>> w = tg.ones(3, requires_grad=True)
    >>> with tg.autograd.profiler.profile() as prof:
    ...     (w + w).sum().backward()
    >>> {event.key: event.count for event in prof.key_averages()}["add backward"]
    2
    """

    def __init__(self, enabled: bool = True, **_: Any) -> None:
        self.enabled = enabled
        self._events: dict[str, FunctionEvent] = {}
        self._adding = allocate_lock()

    def __enter__(self) -> Self:
        if self.enabled:
            if _running.get():
                raise RuntimeError("profile runs already. Leave its block before another one")
            self._tokens = _running.set(self), _inner.set([0.0])
            self._before = start(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self.enabled:
            stop(self._before)
            running, inner = self._tokens
            _running.reset(running)
            _inner.reset(inner)

    def call(self, op: Op[...], arrays: Any, settings: Any) -> Any:
        """Measure a call of an op."""
        with record_function(op.name):
            return super().call(op, arrays, settings)

    def rules(self, op: Op[...]) -> Any:
        """Return vjp rules whose calls are measured."""
        if not isinstance(op.rules, tuple):
            return op.rules
        return tuple(rule and self._timed(f"{op.name} backward", rule) for rule in op.rules)

    def _timed(self, name: str, function: Callable[..., Any]) -> Any:
        def timed(*args: Any, **settings: Any) -> Any:
            with record_function(name):
                return function(*args, **settings)

        return timed

    def add(self, name: str, seconds: float, inner: float) -> None:
        """Add a call, and the time of the calls inside of it."""
        with self._adding:
            event = self._events.setdefault(name, FunctionEvent(name, 0, 0.0, 0.0))
            event.count += 1
            event.cpu_time_total += 1e6 * seconds
            event.self_cpu_time_total += 1e6 * (seconds - inner)

    def key_averages(self, **_: Any) -> EventList:
        """Return the sums over the calls of each name, in the order of the first calls."""
        return EventList(self._events.values())

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all calls in microseconds."""
        return sum(event.self_cpu_time_total for event in self._events.values())

    def table(self, **settings: Any) -> str:
        """Return `key_averages().table(...)`."""
        return self.key_averages().table(**settings)

    def __str__(self) -> str:
        return self.table()


class record_function:  # noqa: N801  PyTorch's name
    """A context whose time is measured under `name` in a running `profile`.

    >>> import tinygrad_fc as tg
    >>> with profile() as run, record_function("forward"):
    ...     _ = tg.ones(2).exp()
    >>> "forward" in {event.key for event in run.key_averages()}
    True
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        del args
        self.name = name

    def __enter__(self) -> Self:
        self._profile = _running.get()
        if self._profile:
            self._outer = _inner.get()
            self._token = _inner.set([0.0])
            self._start = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self._profile:
            seconds, inner = perf_counter() - self._start, _inner.get()[0]
            _inner.reset(self._token)
            self._outer[0] += seconds
            self._profile.add(self.name, seconds, inner)
