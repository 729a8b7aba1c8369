"""Which trace runs now, in which thread."""

from __future__ import annotations

from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class running:  # noqa: N801  the one record of its kind
    """The trace that runs, None where there is none, and its thread."""

    watch: Any = None
    thread = 0


def tracing() -> Any:
    """Return the trace that runs in this thread, or None."""
    watch = running.watch
    return watch if watch is not None and running.thread == get_ident() else None


@contextmanager
def suspended() -> Iterator[None]:
    """Compute with real arrays for a while."""
    watch, running.watch = running.watch, None
    try:
        yield
    finally:
        running.watch = watch
