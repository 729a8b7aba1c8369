"""Data-parallel training and sweeps on Dask: in threads, in processes, on a cluster.

    for x_batch, y_batch in parallel.batches(x, y, batch_size=10_000, seed=0, client=client):
        optimizer.zero_grad()
        loss = parallel.backward(model, loss_fn, x_batch, y_batch, client=client)
        optimizer.step()

Each chunk of rows runs an ordinary forward and backward pass in a worker, and the gradients are
summed, as in PyTorch's DistributedDataParallel. The chunks form a fixed number of groups: a group
is summed in order, one chunk after the other, and the groups in a binary tree. This order depends
on the chunks alone: neither the number of workers nor the death of one changes a bit of the result.
"""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import CancelledError
from contextlib import nullcontext, suppress
from functools import partial
from importlib.util import find_spec
from itertools import groupby, pairwise
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.core.graph import accumulate_gradients, array_of, wrap
from tinygrad_fc.nn import Module, Parameter
from tinygrad_fc.random import Generator, drawing_from, rng_of
from tinygrad_fc.utils.data.sampler import positive

try:
    import cloudpickle
    import dask
    import distributed
    from dask.delayed import delayed
    from dask.diagnostics.progress import ProgressBar

    from tinygrad_fc.parallel import worker
    from tinygrad_fc.parallel.data import batches, columns
    from tinygrad_fc.parallel.worker import ChunkError, Step, tensors_of
except ImportError as error:
    raise ImportError(
        "tinygrad_fc.parallel needs Dask, which is not installed: pip install 'tinygrad-fc[dask]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from tinygrad_fc.tensors import Tensor

__all__ = ["ChunkError", "Run", "backward", "batches", "evaluate", "map"]

SCATTERED = 1 << 20
"""From how many bytes on parameters go to the workers directly."""
_POLL_SECONDS, _TRIES = 0.5, 3


class Run(NamedTuple):
    """A run of a sweep: its configuration, and its result, or its error and the line of code."""

    configuration: Any
    result: Any = None
    error: Exception | None = None
    line: str = ""


def backward(
    model: Module,
    loss_fn: Callable[..., Any],
    *arrays: Any,
    client: Any = None,
    reduction: str = "mean",
    chunk_rows: int | None = None,
    groups: int = 8,
    check: bool = True,
    compiled: bool | str = False,
    timeout: float = 60.0,
    progress: bool = False,
) -> Tensor:
    """Add the gradient of a loss over all rows of `arrays` to `.grad`; return the loss.

    `loss_fn(model, x, y)` gets some rows of each of the `arrays`: NumPy arrays, memory maps,
    tensors, Zarr or Dask arrays of shapes (N, ...). It returns the mean over these rows, or with
    `reduction="sum"` the sum. Where rows weigh differently (class weights, `ignore_index`), it
    returns the weighted mean and the sum of the weights. `client` is a `dask.distributed.Client`;
    None means threads of this process. Chunks are those of the first array, or have `chunk_rows`.
    They form `groups`, of which each is summed in order: at most so many chunks run at once.

    `check` compares the loss of some random rows of all chunks with the losses of their parts, in
    evaluation mode, and refuses a loss that does not separate over rows. Chunks then go through the
    step in blocks of up to 2,000 rows, which stay in caches. With `check=False`, and
    with batch norm in training, chunks stay whole: batch norm takes the statistics of each chunk,
    as DistributedDataParallel does. Each chunk draws random numbers (dropout) from its own seed.
    `compiled` compiles the step in the workers, by backend "numba" or "numpy"; True is Numba where
    it is installed here. `progress` shows a bar.

    Raises `ChunkError` for an error, a NaN or an infinite loss in a chunk, or one that ended its
    worker; `ValueError` for arrays that do not match; `ConnectionError` for a client that is closed
    or cut off, or has no worker that takes tasks for `timeout` seconds. Nothing is changed then.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc import nn, parallel
    >>> model, data = nn.Linear(2, 1), tg.ones(6, 2).numpy()
    >>> loss = parallel.backward(model, lambda model, x: model(x).mean(), data, chunk_rows=4)
    >>> model.weight.grad
    tensor([[1., 1.]])
    """
    if reduction not in {"mean", "sum"}:
        raise ValueError(f"reduction is 'mean' or 'sum', got {reduction!r}")
    if compiled is True:
        compiled = "numba" if find_spec("numba") else "numpy"
    step = Step(reduction, compiled or None, check)
    sizes = chunk_rows, groups, client, timeout, progress
    weight, loss, *sums = _sums(model, loss_fn, arrays, step, *sizes)
    divisor = 1.0 if reduction == "sum" else weight.item()
    for t, a in zip(tensors_of(model), sums, strict=True):
        if isinstance(t, Parameter):
            accumulate_gradients([[t, np.asarray(a / divisor)]] if a is not None else ())
        else:
            t.copy_(wrap(np.asarray(a / weight.item() if t.is_floating_point() else a)))
    return wrap(np.asarray(loss / divisor))


def evaluate(
    model: Module,
    metric: Callable[..., Any],
    *arrays: Any,
    client: Any = None,
    chunk_rows: int | None = None,
    groups: int = 8,
    check: bool = True,
    timeout: float = 60.0,
    progress: bool = False,
) -> float:
    """Return the mean of `metric(model, x, y)` over all rows, with the model in evaluation mode.

    `metric` gets rows of `arrays` (N, ...) like the loss of `backward`, without recording, and
    returns the mean over them, or that and its weight. Chunks, errors, the check and other settings
    are those of `backward`. The model itself keeps its mode.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc import nn, parallel
    >>> model, x = nn.Dropout(0.5), tg.arange(6.0).reshape(6, 1).numpy()
    >>> parallel.evaluate(model, lambda model, x: model(x).mean(), x, chunk_rows=4)
    2.5
    """
    sizes = chunk_rows, groups, client, timeout, progress
    step = Step("mean", None, check, evaluate=True)
    weight, total = _sums(model, metric, arrays, step, *sizes)
    return float(total / weight)


def map(  # noqa: A001  the name that Client and executors have
    train: Callable[[Any], Any],
    configurations: Iterable[Any],
    *,
    client: Any = None,
    timeout: float = 60.0,
    progress: bool = False,
) -> list[Run]:
    """Return a `Run` for each of the `configurations`, with the result of `train(configuration)`.

    The runs are spread over the workers of `client`, or over threads. A run that raises has its
    `error` and the `line` that raised, and the others go on. Random numbers are drawn from a seed
    per run, so that results do not depend on the workers. Raises `ConnectionError` like `backward`.

    >>> from tinygrad_fc import parallel
    >>> [run.result for run in parallel.map(lambda n: n * n, [2, 3])]
    [4, 9]
    """
    seed = int(rng_of(None).integers(2**62))
    code = delayed(train if client is None else _pickled(train), traverse=False)
    run = delayed(_attempt, pure=False)
    tasks = [run(code, c, seed + k) for k, c in enumerate(configurations)]
    return list(_computed(lambda: tasks, client, timeout, progress))


def _attempt(code: Any, configuration: Any, seed: int) -> Run:
    train = cloudpickle.loads(code) if isinstance(code, bytes) else code
    try:
        with drawing_from(Generator().manual_seed(seed)):
            return Run(configuration, train(configuration))
    except Exception as error:  # noqa: BLE001  a run of the user's, whose error is the result
        return Run(configuration, error=error, line=worker.line_of(error))


def _sums(
    model: Any, function: Any, arrays: Any, step: Step, chunk_rows: Any, groups: int, *where: Any
) -> Any:
    """Return the weight, the loss, gradients and buffers, summed over all rows of the arrays."""
    groups = positive("groups", groups)
    rows, *chunks = columns(arrays, chunk_rows)
    seed, tensors = int(rng_of(None).integers(2**62)), tensors_of(model)
    pickle, values = _pickled((model, function), tensors), [t._array for t in tensors]
    limit, count = 1, rows[-1].stop
    if worker.may_be_cut(model, step):  # one gradient for chunks that are smaller than it
        row_bytes = sum(array_of(a).nbytes for a in arrays) / count or 1.0
        limit = max(1, min(int(sum(a.nbytes for a in values) / row_bytes), count // groups))
    joined = groupby(zip(rows, *chunks, strict=True), lambda chunk: chunk[0].start // limit)
    parts = [list(zip(*part, strict=True)) for _, part in joined]

    def tasks() -> list[Any]:
        state, workers = _shared((pickle, values), *where[:2])
        return [
            _tree(
                _groups([state, step, seed, max(1, count // worker.SAMPLE)], parts, groups, workers)
            )
        ]

    ((samples, *sums),) = _computed(tasks, *where)
    if not sums[0] > 0:
        raise ChunkError(f"the weights of all rows add up to {sums[0]}; expected more than 0")
    if step.check:
        rows_of_all = [wrap(np.concatenate(parts)) for parts in zip(*samples, strict=True)]
        try:
            worker.check_loss(function, model, rows_of_all, step, seed)
        except Exception as error:
            raise ChunkError(f"{error}. Parameters and gradients are unchanged") from error
    return sums


def _groups(shared: list[Any], parts: list[Any], groups: int, workers: Any) -> list[Any]:
    """Return a task for each group of consecutive parts, which adds up its parts in order.

    Consecutive groups are computed by the same one of the `workers`, so that most of their sums
    need not travel; without workers Dask chooses.
    """
    run = delayed(worker.chunk_sums, pure=False)
    name = f"chunk_sums-{np.random.default_rng().integers(2**63):x}"
    ends = np.linspace(0, len(parts), min(groups, len(parts)) + 1).astype(int).tolist()
    sums = []
    for k, (start, stop) in enumerate(pairwise(ends)):
        before, at = None, workers[k * len(workers) // (len(ends) - 1) :][:1]
        with dask.annotate(workers=at, allow_other_workers=True) if at else nullcontext():
            for rows, *chunks in parts[start:stop]:
                span = rows[0].start, rows[-1].stop  # which a message names if the worker dies
                before = run(shared, range(*span), before, *chunks, dask_key_name=(name, *span))
        sums.append(before)
    return sums


def _tree(parts: list[Any]) -> Any:
    """Return one task that adds up all `parts` in pairs, which depend on their number alone."""
    add = delayed(worker.add_sums, pure=False)
    while len(parts) > 1:
        pairs = [add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[2 * len(pairs) :]
    return parts[0]


# The client and its workers


def _shared(state: Any, client: Any, timeout: float) -> tuple[Any, list[str]]:
    """Return a task or future with the code and arrays that all chunks share, and the workers.

    Small arrays are sent with the tasks, which Dask may run anywhere: there are no workers then.
    """
    if client is None or sum(a.nbytes for a in state[1]) <= SCATTERED:
        return delayed(state, traverse=False), []
    _wait_for_workers(client, timeout)
    future = client.scatter([state], broadcast=True, direct=True, hash=False, timeout=timeout)[0]
    return future, sorted(_workers(client))


def _computed(tasks: Callable[[], Any], client: Any, timeout: float, progress: bool) -> Any:
    """Return the results of `tasks()`, computed by the client or in threads.

    The tasks are sent again if data that they share was lost with the workers that held it.
    """
    if client is None:
        with ProgressBar() if progress else nullcontext():
            return dask.base.compute(*tasks(), scheduler="threads")
    for _ in range(_TRIES):
        with suppress(CancelledError, distributed.comm.CommClosedError):
            if client.status == "running":
                return _results(client, tasks(), timeout, progress)
    raise ConnectionError(
        f"the client is {client.status}: it was closed, or the scheduler or workers with data went "
        "away. Nothing changed. Connect again, Client(address), and persist the data again"
    )


def _results(client: Any, tasks: Any, timeout: float, progress: bool) -> Any:
    """Return the results of tasks; cancel all of them where an error is raised."""
    futures = client.compute(tasks)
    if progress:  # in a thread, since it waits without end where there is no worker
        show = partial(distributed.progress, futures, notebook=False)
        threading.Thread(target=show, daemon=True).start()
    try:
        while True:
            try:
                with client.as_current():
                    distributed.wait(futures, timeout=_POLL_SECONDS)
                return client.gather(futures, direct=True)
            except TimeoutError:
                _wait_for_workers(client, timeout)
    except distributed.KilledWorker as error:
        last, count = error.last_worker.address, error.allowed_failures + 1
        events = [m["rows"] for _, m in client.get_events(worker.STARTED) if m["worker"] == last]
        start, stop = events[-1] if events else error.task[1:]
        raise ChunkError(
            f"rows {start}:{stop}: {count} workers ended while they ran this chunk. Parameters and "
            "gradients are unchanged. Look at the memory, since Dask ends workers that exceed a "
            "limit, and run loss_fn on these rows in this process"
        ) from error
    finally:
        if client.status == "running":
            client.cancel(futures, force=True)


def _wait_for_workers(client: Any, timeout: float) -> None:
    """Return once a worker takes tasks; raise `ConnectionError` after `timeout` seconds."""
    started = time.monotonic()
    while not _workers(client):
        if time.monotonic() - started > timeout:
            left = [a for a, e in client.get_events("all") if e.get("action") == "remove-worker"]
            last = time.strftime("%X", time.localtime(left[-1])) if left else "never"
            raise ConnectionError(
                f"no worker takes tasks for {timeout:g} s: {len(client.nthreads())} are paused for "
                f"their memory, {len(left)} left, the last at {last}. Nothing changed. Start one: "
                f"dask worker {client.scheduler.address}, give them memory, or a longer timeout"
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
            build, parts = obj.__reduce__()
            return build, tuple(np.zeros(0) if isinstance(p, np.ndarray) else p for p in parts)
        return super().reducer_override(obj)


def _pickled(value: Any, tensors: Iterable[Any] = ()) -> bytes:
    """Return a pickle without the values of `tensors`: the same bytes for every step."""
    pickler = _Pickler(file := io.BytesIO())
    pickler.emptied = {id(t) for t in tensors}
    pickler.dump(value)
    return file.getvalue()
