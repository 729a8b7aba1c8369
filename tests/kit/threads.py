"""Threads that do the same at once."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def at_once(work: Callable[[], object], times: int, *, threads: int = 4) -> list[BaseException]:
    """Do `work` so many `times` in each of the `threads`; return what was raised."""
    errors: list[BaseException] = []

    def repeated() -> None:
        try:
            for _ in range(times):
                work()
        except BaseException as error:  # noqa: BLE001  told to the test
            errors.append(error)

    running = [Thread(target=repeated) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return errors
