"""Clients and their workers: which take tasks, have the same versions, or say nothing any more."""

from __future__ import annotations

import io
import platform
import time
from collections import Counter
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import cloudpickle
import dask
import dask.threaded
import distributed
import numpy as np
from dask.optimization import cull
from dask.system import CPU_COUNT
from tornado.ioloop import PeriodicCallback

import tinygrad_fc

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

POLL_SECONDS = 0.5
SCATTERED = 1 << 20
"""The size in bytes above which parameters are sent to the workers directly."""
STARTED = "tinygrad_fc-chunks"
"""The topic of the events by which workers report the rows that they begin with."""
_TRIES = 3
"""How often tasks are sent before a lost connection is an error."""
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


def unique_name(name: str) -> str:
    """Return a name for the tasks of one call."""
    return f"{name}-{uuid4().hex}"


def computed(graph: Any, levels: list[list[Any]], state: Any, client: Any, timeout: float) -> Any:
    """Return the values of the keys of one of the `levels`, computed by the client or in threads.

    Each level of keys follows from the one before. Each key of the chosen level is a task, which
    computes all that the key needs. All are sent again if a worker with data for them was lost.
    """
    if client is None:
        tasks = _tasks(graph, levels, state.name, dask.config.get("num_workers", None) or CPU_COUNT)
        calls: Any = {str(k): (task, state, {}) for k, (task, _) in enumerate(tasks)}
        return dask.threaded.get(calls, [*calls])
    with connected(client, timeout):
        for _ in range(_TRIES):
            with suppress(CancelledError, distributed.comm.CommClosedError):
                if client.status == "running":
                    return _results(graph, levels, state, client, timeout)
        raise CancelledError


def _tasks(graph: Any, levels: list[list[Any]], name: str, threads: int) -> list[Any]:
    """Return a function for each key of a level, and the data on workers that it needs.

    The last level is taken that keeps the threads busy.
    """
    busy = (k for k in reversed(levels) if not len(k) % threads or len(k) >= 2 * threads)
    graph, tasks = {**graph, name: None}, []
    for key in next(busy, levels[0]):
        own, _ = cull(graph, key)
        data = {k: v for k, v in own.items() if isinstance(v, distributed.Future)}
        own = {k: v for k, v in own.items() if k not in data}
        tasks.append((partial(_value, own, key, name), data))
    return tasks


def _value(graph: Any, key: Any, name: str, state: Any, data: Any) -> Any:
    """Return the value of a key of the graph, computed in this thread."""
    return dask.get({**graph, **data, name: state}, key)


def _results(graph: Any, levels: Any, state: Any, client: Any, timeout: float) -> list[Any]:
    """Return the values of the keys of a level; cancel their tasks where an error is raised."""
    futures: list[Any] = []
    try:
        threads, shared = sum(workers_of(client, timeout).values()), state
        if sum(a.nbytes for a in state.arrays) > SCATTERED:
            options = {"broadcast": True, "direct": True, "hash": False, "timeout": timeout}
            (shared,) = client.scatter([state], **options)
        for task, data in _tasks(graph, levels, state.name, threads):
            futures.append(client.submit(task, shared, data, pure=False))
        values = {f: client.gather(f, direct=True) for f in finished(futures, client, timeout)}
        return [values[future] for future in futures]
    except distributed.KilledWorker as error:
        raise ChunkError(
            f"{_rows_that_ended(client, state.name, error)}: {error.allowed_failures + 1} workers "
            "ended while they ran this chunk. Parameters and gradients are unchanged. Look at the "
            "memory: Dask ends workers that exceed a limit. Or run loss_fn on these rows in this "
            "process"
        ) from error
    except (ChunkError, ConnectionError, CancelledError, distributed.comm.CommClosedError):
        raise
    except Exception as error:  # in sending or reading
        message = f"{type(error).__name__}: {error}. Parameters and gradients are unchanged"
        raise ChunkError(message) from error
    finally:
        if client.status == "running":
            client.cancel(futures, force=True)


def finished(futures: Iterable[Any], client: Any, timeout: float) -> Iterator[Any]:
    """Yield the futures as they finish; raise `ConnectionError` as `workers_of` does."""
    left = set(futures)
    while left:
        try:
            with client.as_current():
                done, left = distributed.wait(left, POLL_SECONDS, "FIRST_COMPLETED")
        except TimeoutError:
            workers_of(client, timeout)
        else:
            yield from done


def _rows_that_ended(client: Any, step: str, error: Any) -> str:
    """Return the rows that most workers which ended had begun with last, or the name of the task.

    The task that Dask names may have waited on a worker that another one ended.
    """
    alive, last = client.nthreads(), {}
    for _, event in client.get_events(STARTED):
        if event["step"] == step and event["worker"] not in alive:
            last[event["worker"]] = "rows {}:{}".format(*event["rows"])
    return Counter(last.values()).most_common(1)[0][0] if last else f"task {error.task}"


@contextmanager
def connected(client: Any, timeout: float) -> Iterator[None]:
    """Raise `ConnectionError` where the client loses its scheduler, or data of workers.

    Workers that the scheduler does not hear from for `timeout` seconds are removed from it.
    """
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
    except (CancelledError, distributed.comm.CommClosedError) as error:
        raise ConnectionError(
            f"the client is {client.status}: it was closed, or the scheduler or workers with data "
            "went away. Nothing changed. Connect again, Client(address), and persist the data again"
        ) from error
    finally:
        client.loop.add_callback(watch.stop)


def workers_of(client: Any, timeout: float) -> dict[str, int]:
    """Return the threads of the workers that take tasks; Dask pauses those short of memory.

    Raises `ConnectionError` after `timeout` seconds in which none takes tasks, and none comes or
    goes, and for other versions in one.
    """
    seen, started = 0, time.monotonic()
    while not (workers := _running(client)):
        moves = _moves(client)
        left = [at for at, action in moves if action == "remove-worker"]
        if len(moves) != seen:
            seen, started = len(moves), time.monotonic()
        if time.monotonic() - started > timeout:
            last = time.strftime("%X", time.localtime(left[-1])) if left else "never"
            raise ConnectionError(
                f"no worker takes tasks for {timeout:g} s: {len(client.nthreads())} are paused for "
                f"their memory, {len(left)} left, the last at {last}. Nothing changed. Start one: "
                f"dask worker {client.scheduler.address}, give them memory, or a longer timeout"
            )
        time.sleep(POLL_SECONDS)
    if new := {*workers} - _checked.setdefault(client, set()):
        answers, own = client.run(versions, workers=[*new], on_error="return"), versions()
        for address, answer in answers.items():
            if answer != own and not isinstance(answer, OSError):  # one that has just left
                lacks = "cannot import the package: " * isinstance(answer, Exception)
                raise ConnectionError(
                    f"worker {address} {lacks}{answer}, and this process has {own}. Install the "
                    "same versions there"
                )
        _checked[client] |= new
    return workers


@contextmanager
def _asking() -> Iterator[None]:
    """Raise `CommClosedError` where the scheduler does not answer a question."""
    try:
        yield
    except Exception as error:  # of several types, by how far the scheduler has closed
        raise distributed.comm.CommClosedError("the scheduler does not answer") from error


@_asking()
def _running(client: Any) -> dict[str, int]:
    return dict(client.sync(client.scheduler.ncores_running, workers=None))


@_asking()
def _moves(client: Any) -> list[tuple[float, str]]:
    """Return when workers came and left, also those that a run ended at once.

    The events are read in the scheduler, since some of the others cannot be sent.
    """
    return list(
        client.run_on_scheduler(
            lambda dask_scheduler: [
                (at, event.get("action"))
                for at, event in dask_scheduler.get_events("all")
                if event.get("action") in {"add-worker", "remove-worker"}
            ]
        )
    )


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
