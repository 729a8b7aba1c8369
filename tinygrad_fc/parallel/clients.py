"""Clients and their workers: which take tasks, have the same versions, or say nothing any more."""

from __future__ import annotations

import io
import platform
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from types import CodeType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import cloudpickle
import distributed
import numpy as np
from tornado.ioloop import PeriodicCallback

import tinygrad_fc

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

_POLL_SECONDS = 0.5
_checked: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
"""The workers of each client that have the same versions of the packages as this process."""


class ChunkError(RuntimeError):
    """A chunk failed in a worker: the message names its rows and the line that raised."""


def check_client(client: Any, timeout: float) -> None:
    """Raise `TypeError` unless the client is one of Dask, `ValueError` for a timeout <= 0."""
    if client is not None and not isinstance(client, distributed.Client):
        raise TypeError(f"client is a dask.distributed.Client, got {client!r:.80}: Client(address)")
    if not timeout > 0:
        raise ValueError(f"timeout is a number of seconds above 0, got {timeout!r}")


def versions() -> str:
    """Return the versions on which the bits of results depend."""
    python = ".".join(platform.python_version_tuple()[:2])
    return f"tinygrad_fc {tinygrad_fc.__version__}, NumPy {np.__version__}, Python {python}"


def done(client: Any, futures: Any, timeout: float, which: str = "ALL_COMPLETED") -> Any:
    """Return the futures that are done, once all are, or the first one."""
    while True:
        with suppress(TimeoutError), client.as_current():
            return distributed.wait(futures, timeout=_POLL_SECONDS, return_when=which).done
        workers_of(client, timeout)


@contextmanager
def connected(client: Any, timeout: float) -> Iterator[None]:
    """Raise `ConnectionError` where the client loses its scheduler, or data of workers."""
    try:
        with _without_silent_workers(client, timeout):
            yield
    except (CancelledError, distributed.comm.CommClosedError) as error:
        raise ConnectionError(
            f"the client is {client.status}: it was closed, or the scheduler or workers with data "
            "went away. Nothing changed. Connect again, Client(address), and persist the data again"
        ) from error


@contextmanager
def _without_silent_workers(client: Any, timeout: float) -> Iterator[None]:
    """Remove workers from the scheduler that it does not hear from for `timeout` seconds."""
    if client.status != "running":
        raise distributed.comm.CommClosedError("the client is closed")
    heard: dict[str, tuple[float, float]] = {}

    async def look() -> None:
        workers = (await client.scheduler.identity())["workers"]
        for address, state in workers.items():
            last, since = heard.get(address, (None, 0.0))
            if last != state["last_seen"]:
                heard[address] = state["last_seen"], time.monotonic()
            elif time.monotonic() - since > timeout:
                await client.scheduler.unregister(address=address, stimulus_id="silent")
                client.rpc.remove(address)

    watch = PeriodicCallback(look, 1000 * min(timeout / 4, 5.0))
    client.loop.add_callback(watch.start)
    try:
        yield
    finally:
        client.loop.add_callback(watch.stop)


def workers_of(client: Any, timeout: float) -> list[str]:
    """Return the workers that take tasks, once there is one: Dask pauses those short of memory.

    Raises `ConnectionError` after `timeout` seconds without one, and for other versions in one.
    """
    started = time.monotonic()
    while not (workers := _running(client)):
        if time.monotonic() - started > timeout:
            left = [a for a, e in client.get_events("all") if e.get("action") == "remove-worker"]
            last = time.strftime("%X", time.localtime(left[-1])) if left else "never"
            raise ConnectionError(
                f"no worker takes tasks for {timeout:g} s: {len(client.nthreads())} are paused for "
                f"their memory, {len(left)} left, the last at {last}. Nothing changed. Start one: "
                f"dask worker {client.scheduler.address}, give them memory, or a longer timeout"
            )
        time.sleep(_POLL_SECONDS)
    if new := workers - _checked.setdefault(client, set()):
        answers, own = client.run(versions, workers=[*new], on_error="return"), versions()
        for address, answer in answers.items():
            if answer != own and not isinstance(answer, OSError):  # one that has just left
                lacks = "cannot import the package: " * isinstance(answer, Exception)
                raise ConnectionError(
                    f"worker {address} {lacks}{answer}, and this process has {own}. Install the "
                    "same versions there"
                )
        _checked[client] |= new
    return sorted(workers)


def _running(client: Any) -> set[str]:
    try:
        return set(client.sync(client.scheduler.ncores_running, workers=None))
    except Exception as error:  # of several types, by how far the scheduler has closed
        raise distributed.comm.CommClosedError("the scheduler does not answer") from error


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Leaves the values of tensors out, and keeps the names of files, which cloudpickle drops."""

    emptied: Container[int] = ()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, CodeType):
            build, values = self.dispatch_table[CodeType](obj)
            return build, tuple(obj.co_filename if v == "<dynamic-code>" else v for v in values)
        if id(obj) in self.emptied:
            build, parts = obj.__reduce__()
            return build, tuple(np.zeros(0) if isinstance(p, np.ndarray) else p for p in parts)
        return super().reducer_override(obj)


def pickled(value: Any, tensors: Iterable[Any] = ()) -> bytes:
    """Return a pickle without the values of `tensors`: the same bytes for every step."""
    pickler = _Pickler(file := io.BytesIO())
    pickler.emptied = {id(t) for t in tensors}
    try:
        pickler.dump(value)
    except Exception as error:
        what = "workers get a pickle of the function and the model"
        raise ChunkError(f"{what}: {type(error).__name__}: {error}") from error
    return file.getvalue()
