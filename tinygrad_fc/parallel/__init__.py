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

import hashlib
import io
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from importlib.util import find_spec
from itertools import groupby, pairwise
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from tinygrad_fc.core.graph import accumulate_gradients, array_of, wrap
from tinygrad_fc.nn import Module, Parameter
from tinygrad_fc.random import Generator, drawing_from, rng_of
from tinygrad_fc.serialization import load, save
from tinygrad_fc.utils.data.sampler import positive

try:
    import cloudpickle
    import dask
    import distributed
    from dask.delayed import delayed
    from dask.diagnostics.progress import ProgressBar
    from tornado.ioloop import PeriodicCallback
    from tqdm import tqdm

    from tinygrad_fc.parallel import worker
    from tinygrad_fc.parallel.data import batches, check_client, columns
    from tinygrad_fc.parallel.worker import ChunkError, Step, tensors_of
except ImportError as error:
    raise ImportError(
        "tinygrad_fc.parallel needs Dask, which is not installed: pip install 'tinygrad-fc[dask]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from tinygrad_fc.tensors import Tensor

__all__ = ["ChunkError", "Run", "backward", "batches", "evaluate", "map"]

SCATTERED = 1 << 20
"""From how many bytes on parameters go to the workers directly."""
_POLL_SECONDS, _TRIES = 0.5, 3
_checked: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
"""The workers of each client that have the same versions of the packages as this process."""


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
    or cut off, has workers with other versions of the packages, or no worker that takes tasks for
    `timeout` seconds. Nothing is changed then. A worker that says nothing for `timeout` seconds is
    given up, and its rows go to others.

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
    folder: Any = None,
    timeout: float = 60.0,
    progress: bool = False,
) -> list[Run]:
    """Return a `Run` for each of the `configurations`, with the result of `train(configuration)`.

    The runs are spread over the workers of `client`, or over threads. A run that raises has its
    `error` and the `line` that raised; one that ends its worker, as for want of memory, is tried
    again alone, and has an `error` if it does so again. The others go on. Random numbers are drawn
    from a seed per run, so that results do not depend on the workers. Each result is saved in
    `folder` as it comes, by `save`, and a later call takes it from there instead of running the
    same configuration: use another folder for another `train`. Raises `ConnectionError` like
    `backward`.

    >>> from tinygrad_fc import parallel
    >>> [run.result for run in parallel.map(lambda n: n * n, [2, 3])]
    [4, 9]
    """
    check_client(client, timeout)
    configurations, seed = list(configurations), int(rng_of(None).integers(2**62))
    paths = _paths(folder, configurations)
    runs = {k: Run(configurations[k], load(p)["result"]) for k, p in paths.items() if p.exists()}
    code = train if client is None else delayed(_pickled(train), traverse=False)
    calls = {k: (code, c, seed + k) for k, c in enumerate(configurations) if k not in runs}
    finished = _from_threads(calls) if client is None else _from_workers(client, calls, timeout)
    for k, run in tqdm(finished, total=len(calls), disable=not progress):
        runs[k] = run
        if paths and not run.error:
            try:
                save({"result": run.result}, paths[k])
            except TypeError as error:  # of a type that files do not hold
                runs[k] = run._replace(error=error)
    return [runs[k] for k in range(len(configurations))]


def _paths(folder: Any, configurations: list[Any]) -> dict[int, Path]:
    """Return the file of each run, by its configuration, and the number of the same before it."""
    if folder is None:
        return {}
    Path(folder).mkdir(parents=True, exist_ok=True)
    names = [hashlib.sha256(_pickled(c)).hexdigest()[:20] for c in configurations]
    paths, seen = {}, Counter[str]()
    for k, name in enumerate(names):
        paths[k] = Path(folder) / f"{name}-{seen[name]}.safetensors"
        seen[name] += 1
    return paths


def _attempt(code: Any, configuration: Any, seed: int) -> Run:
    train = cloudpickle.loads(code) if isinstance(code, bytes) else code
    try:
        with drawing_from(Generator().manual_seed(seed)):
            return Run(configuration, train(configuration))
    except (Exception, SystemExit) as error:  # noqa: BLE001  a run of the user's, whose error is the result
        error = error if isinstance(error, Exception) else RuntimeError(f"exit, {error}")
        return Run(configuration, error=error, line=worker.line_of(error))


def _from_threads(calls: dict[int, Any]) -> Iterator[tuple[int, Run]]:
    """Yield the number of each call and its run, as they finish."""
    executor = ThreadPoolExecutor(dask.config.get("num_workers", None))
    futures = {executor.submit(_attempt, *call): k for k, call in calls.items()}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        executor.shutdown(cancel_futures=True)


def _from_workers(
    client: Any, calls: dict[int, Any], timeout: float, *, alone: bool = False
) -> Iterator[tuple[int, Run]]:
    """Yield the number of each call and its run, as they finish; those that end workers last."""
    run, ended = delayed(_attempt, pure=False), []
    with _connected(client, timeout):
        _workers_of(client, timeout)
        futures = client.compute([run(*call) for call in calls.values()])
        left = dict(zip(futures, calls, strict=True))
        try:
            while left:
                for future in _done(client, [*left], timeout, "FIRST_COMPLETED"):
                    k, error = left.pop(future), future.exception()
                    if isinstance(error, distributed.KilledWorker):
                        ended.append(k)  # or it waited on a worker that another run ended
                    else:
                        yield k, Run(calls[k][1], error=error) if error else future.result()
        finally:
            if client.status == "running":
                client.cancel(list(left), force=True)
    for k in ended:
        if alone:
            text = "it ended its worker, also when it ran alone: look at the memory, and for exits"
            yield k, Run(calls[k][1], error=RuntimeError(text))
        else:
            yield from _from_workers(client, {k: calls[k]}, timeout, alone=True)


def _sums(
    model: Any, function: Any, arrays: Any, step: Step, chunk_rows: Any, groups: int, *where: Any
) -> Any:
    """Return the weight, the loss, gradients and buffers, summed over all rows of the arrays."""
    groups = positive("groups", groups)
    check_client(*where[:2])
    rows, *chunks = columns(arrays, chunk_rows)
    seed, tensors = int(rng_of(None).integers(2**62)), tensors_of(model)
    pickle, values = _pickled((model, function), tensors), [t._array for t in tensors]
    limit, count = 1, rows[-1].stop
    if worker.may_be_cut(model, step):  # one gradient for chunks that are smaller than it
        row_bytes = sum(array_of(a).nbytes for a in arrays) / count or 1.0
        limit = max(1, min(int(sum(a.nbytes for a in values) / row_bytes), count // groups))
    joined = groupby(zip(rows, *chunks, strict=True), lambda chunk: chunk[0].start // limit)
    parts = [list(zip(*part, strict=True)) for _, part in joined]

    name = f"chunk_sums-{np.random.default_rng().integers(2**63):x}"

    def tasks() -> list[Any]:
        state, workers = _shared((pickle, values), *where[:2])
        return [
            _tree(
                _groups(
                    [state, step, seed, max(1, count // worker.SAMPLE), name],
                    parts,
                    groups,
                    workers,
                )
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
    ends = np.linspace(0, len(parts), min(groups, len(parts)) + 1).astype(int).tolist()
    sums = []
    for k, (start, stop) in enumerate(pairwise(ends)):
        before, at = None, workers[k * len(workers) // (len(ends) - 1) :][:1]
        with dask.annotate(workers=at, allow_other_workers=True) if at else nullcontext():
            for rows, *chunks in parts[start:stop]:
                span = rows[0].start, rows[-1].stop  # which a message names if the worker dies
                before = run(
                    shared, range(*span), before, *chunks, dask_key_name=(shared[-1], *span)
                )
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
    workers = [] if client is None else _workers_of(client, timeout)
    if client is None or sum(a.nbytes for a in state[1]) <= SCATTERED:
        return delayed(state, traverse=False), []
    future = client.scatter([state], broadcast=True, direct=True, hash=False, timeout=timeout)[0]
    return future, workers


def _computed(tasks: Callable[[], Any], client: Any, timeout: float, progress: bool) -> Any:
    """Return the results of `tasks()`, computed by the client or in threads.

    The tasks are sent again if data that they share was lost with the workers that held it.
    """
    if client is None:
        with ProgressBar() if progress else nullcontext():
            return dask.base.compute(*tasks(), scheduler="threads")
    for _ in range(_TRIES - 1):
        with suppress(CancelledError, distributed.comm.CommClosedError):
            return _results(client, tasks, timeout, progress)
    with _connected(client, timeout):
        return _results(client, tasks, timeout, progress)


def _results(client: Any, tasks: Callable[[], Any], timeout: float, progress: bool) -> Any:
    """Return the results of tasks; cancel all of them where an error is raised."""
    futures: list[Any] = []
    try:
        with _without_silent_workers(client, timeout):
            futures += client.compute(tasks())
            if progress:  # in a thread, since it waits without end where there is no worker
                show = partial(distributed.progress, futures, notebook=False)
                threading.Thread(target=show, daemon=True).start()
            _done(client, futures, timeout)
            return client.gather(futures, direct=True)
    except distributed.KilledWorker as error:
        raise ChunkError(
            f"{_rows_that_ended(client, error)}: {error.allowed_failures + 1} workers ended while "
            "they ran this chunk. Parameters and gradients are unchanged. Look at the memory: Dask "
            "ends workers that exceed a limit. Or run loss_fn on these rows in this process"
        ) from error
    except (ChunkError, ConnectionError, CancelledError, distributed.comm.CommClosedError):
        raise
    except Exception as error:  # in sending or reading
        message = f"{type(error).__name__}: {error}. Parameters and gradients are unchanged"
        raise ChunkError(message) from error
    finally:
        if client.status == "running":
            client.cancel(futures, force=True)


def _rows_that_ended(client: Any, error: Any) -> str:
    """Return the rows that most workers which ended had begun with last, or the name of the task.

    The task that Dask names may have waited on a worker that another one ended.
    """
    if not isinstance(error.task, tuple) or len(error.task) != 3:
        return f"task {error.task}"
    step, start, stop = error.task
    alive, last = client.nthreads(), {}
    for _, event in client.get_events(worker.STARTED):
        if event["step"] == step and event["worker"] not in alive:
            last[event["worker"]] = tuple(event["rows"])
    ((start, stop), _), *_ = Counter([(start, stop), *last.values()]).most_common()
    return f"rows {start}:{stop}"


def _done(client: Any, futures: Any, timeout: float, which: str = "ALL_COMPLETED") -> Any:
    """Return the futures that are done, once all are, or the first one."""
    while True:
        with suppress(TimeoutError), client.as_current():
            return distributed.wait(futures, timeout=_POLL_SECONDS, return_when=which).done
        _workers_of(client, timeout)


@contextmanager
def _connected(client: Any, timeout: float) -> Iterator[None]:
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
                await client.rpc.remove(address)

    watch = PeriodicCallback(look, 1000 * min(timeout / 4, 5.0))
    client.loop.add_callback(watch.start)
    try:
        yield
    finally:
        client.loop.add_callback(watch.stop)


def _workers_of(client: Any, timeout: float) -> list[str]:
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
        answers, own = (
            client.run(worker.versions, workers=[*new], on_error="return"),
            worker.versions(),
        )
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


def _pickled(value: Any, tensors: Iterable[Any] = ()) -> bytes:
    """Return a pickle without the values of `tensors`: the same bytes for every step."""
    pickler = _Pickler(file := io.BytesIO())
    pickler.emptied = {id(t) for t in tensors}
    try:
        pickler.dump(value)
    except Exception as error:
        message = (
            f"workers get a pickle of the function and the model: {type(error).__name__}: {error}"
        )
        raise ChunkError(message) from error
    return file.getvalue()
