"""Tasks on the workers of a client: what they share, their results, and lost workers."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext
from types import CodeType
from typing import TYPE_CHECKING, Any

import cloudpickle
import dask
import distributed
import numpy as np
from dask.delayed import delayed
from dask.diagnostics.progress import ProgressBar

from tinygrad_fc.parallel.worker import STARTED, ChunkError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

SCATTERED = 1 << 20
"""From how many bytes on parameters go to the workers directly."""
_POLL_SECONDS, _TRIES = 0.5, 3


def shared(step: tuple[bytes, list[Any]], client: Any, timeout: float) -> tuple[Any, list[str]]:
    """Return a task or future with the code and arrays that all chunks share, and the workers.

    Small arrays are sent with the tasks, which Dask may run anywhere: there are no workers then.
    """
    if client is None or sum(a.nbytes for a in step[1]) <= SCATTERED:
        return delayed(step, traverse=False), []
    wait_for_workers(client, timeout)
    state = client.scatter([step], broadcast=True, direct=True, hash=False, timeout=timeout)[0]
    return state, sorted(_workers(client))


def computed(tasks: Callable[[], list[Any]], client: Any, timeout: float, *, progress: bool) -> Any:
    """Return the results of `tasks()`, computed by the client or in threads.

    The tasks are sent again if data that they share was lost with the workers that held it.
    """
    if client is None:
        with ProgressBar() if progress else nullcontext():
            return dask.base.compute(*tasks(), scheduler="threads")
    for _ in range(_TRIES):
        with _errors_explained(client):
            try:
                return _results(client, tasks(), timeout, progress=progress)
            except CancelledError:
                if client.status != "running":
                    raise
    raise ConnectionError(
        "workers with data of the step went away in each of three tries. Nothing changed. Load the "
        "data again, as with client.persist(x), and repeat the step"
    )


@contextmanager
def _errors_explained(client: Any) -> Iterator[None]:
    """Replace errors of Dask's by errors that say what happened to the step."""
    if client.status != "running":
        raise ConnectionError(f"the client is {client.status}. Connect again: Client(address)")
    try:
        yield
    except (CancelledError, distributed.comm.CommClosedError) as error:
        if isinstance(error, CancelledError) and client.status == "running":
            raise
        message = "the scheduler or workers with data went away. Nothing changed. Connect again"
        raise ConnectionError(message) from error
    except distributed.KilledWorker as error:
        worker, count = error.last_worker.address, error.allowed_failures + 1
        events = [m for _, m in client.get_events(STARTED) if m["worker"] == worker]
        rows = ":".join(map(str, events[-1]["rows"] if events else error.task[1:]))
        raise ChunkError(
            f"rows {rows}: {count} workers ended while they ran this chunk. Parameters and "
            "gradients are unchanged. Look at the memory, since Dask ends workers that exceed a "
            "limit, and run loss_fn on these rows in this process"
        ) from error


def _results(client: Any, tasks: list[Any], timeout: float, *, progress: bool) -> Any:
    """Return the results of tasks; cancel all of them where an error is raised."""
    futures = client.compute(tasks)
    if progress:  # in a thread, since it waits without end where there is no worker
        shown = {"target": distributed.progress, "args": (futures,), "kwargs": {"notebook": False}}
        threading.Thread(daemon=True, **shown).start()
    try:
        while True:
            try:
                with client.as_current():
                    distributed.wait(futures, timeout=_POLL_SECONDS)
            except TimeoutError:
                wait_for_workers(client, timeout)
            else:
                return client.gather(futures, direct=True)
    except BaseException:
        if client.status == "running":
            client.cancel(futures, force=True)
        raise


def wait_for_workers(client: Any, timeout: float) -> None:
    """Return once a worker takes tasks; raise `ConnectionError` after `timeout` seconds."""
    left = time.monotonic()
    while not _workers(client):
        if time.monotonic() - left > timeout:
            known = client.get_events("all")
            ended = [at for at, event in known if event.get("action") == "remove-worker"]
            last = time.strftime("%X", time.localtime(ended[-1])) if ended else "never"
            raise ConnectionError(
                f"no worker takes tasks for {timeout:g} s: {len(client.nthreads())} are paused for "
                f"their memory, {len(ended)} left, the last at {last}. Nothing changed. Start "
                f"workers (dask worker {client.scheduler.address}), or give them more memory, and "
                "repeat the step; timeout= sets how long to wait"
            )
        time.sleep(_POLL_SECONDS)


def _workers(client: Any) -> Any:
    """Return the workers that take tasks: Dask pauses one that is near its memory limit."""
    try:
        return client.sync(client.scheduler.ncores_running, workers=None)
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
            return type(obj), (np.zeros(0), obj.requires_grad)
        return super().reducer_override(obj)


def pickled(value: Any, tensors: Iterable[Any] = ()) -> bytes:
    """Return a pickle without the values of `tensors`: the same bytes for every step."""
    pickler = _Pickler(file := io.BytesIO())
    pickler.emptied = {id(t) for t in tensors}
    pickler.dump(value)
    return file.getvalue()
