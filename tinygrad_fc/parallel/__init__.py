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

import threading
from collections import Counter
from concurrent.futures import CancelledError
from contextlib import nullcontext, suppress
from functools import partial
from importlib.util import find_spec
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.backward import accumulate_gradients
from tinygrad_fc.core.node import array_of, leaf_of
from tinygrad_fc.nn import Module, Parameter
from tinygrad_fc.random import rng_of
from tinygrad_fc.utils.data.sampler import positive

try:
    import dask
    import distributed
    from dask.delayed import Delayed, delayed
    from dask.diagnostics.progress import ProgressBar
    from dask.highlevelgraph import HighLevelGraph

    from tinygrad_fc.parallel import clients, worker
    from tinygrad_fc.parallel.clients import ChunkError
    from tinygrad_fc.parallel.data import batches, columns
    from tinygrad_fc.parallel.sweeps import Run, map  # noqa: A004
    from tinygrad_fc.parallel.worker import State, Step, tensors_of
except ImportError as error:
    raise ImportError(
        "tinygrad_fc.parallel needs Dask, which is not installed: pip install 'tinygrad-fc[dask]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.tensors import Tensor

__all__ = ["ChunkError", "Run", "backward", "batches", "evaluate", "map"]

SCATTERED = 1 << 20
"""From how many bytes on parameters go to the workers directly."""
_TRIES = 3


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

    `check` compares the loss of some rows of all chunks with the losses of their parts, with batch
    norm in evaluation mode, and refuses a loss that does not separate over rows. Chunks then go
    through the step in blocks of up to 2,000 rows, which stay in caches. With `check=False`, and
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
            t.copy_(leaf_of(np.asarray(a / weight.item() if t.is_floating_point() else a)))
    return leaf_of(np.asarray(loss / divisor))


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


def _sums(
    model: Any, function: Any, arrays: Any, step: Step, chunk_rows: Any, groups: int, *where: Any
) -> Any:
    """Return the weight, the loss, gradients and buffers, summed over all rows of the arrays."""
    groups = positive("groups", groups)
    clients.check_client(*where[:2])
    rows, *chunks = columns(arrays, chunk_rows)
    tensors = tensors_of(model)
    code, values = clients.pickled((model, function), tensors), [t._array for t in tensors]
    limit, count = 1, rows[-1].stop
    if step.check and not worker.norms_in_training(model):
        # chunks may be cut and joined: one gradient for chunks that are smaller than it
        row_bytes = sum(array_of(a).nbytes for a in arrays) / count or 1.0
        limit = max(1, min(int(sum(a.nbytes for a in values) / row_bytes), count // groups))
    joined = groupby(zip(rows, *chunks, strict=True), lambda chunk: chunk[0].start // limit)
    parts = [list(zip(*part, strict=True)) for _, part in joined]
    name = f"chunk_sums-{np.random.default_rng().integers(2**63):x}"
    seed, stride = int(rng_of(None).integers(2**62)), max(1, count // worker.SAMPLE)
    state = State((code, step), values, seed, stride, name)
    weight, *sums = _computed(partial(_task, state, parts, groups), *where)
    if not weight > 0:
        raise ChunkError(f"the weights of all rows add up to {weight}; expected more than 0")
    return weight, *sums


def _task(state: State, parts: list[Any], groups: int, *where: Any) -> Delayed:
    """Return the task that adds up all parts: those of a group in order, and the groups in pairs.

    Consecutive groups are computed by the same worker, so that most of their sums need not travel;
    where the state is small, Dask chooses. The graph is written directly, since a call of `delayed`
    takes milliseconds.
    """
    shared, workers = _shared(state, *where)
    code = shared.key if isinstance(shared, Delayed) else shared
    graph, homes, sums = dict[Any, Any](), dict[Any, Any](), list[Any]()
    ends = np.linspace(0, len(parts), min(groups, len(parts)) + 1).astype(int).tolist()
    for k, (start, stop) in enumerate(pairwise(ends)):
        before = None
        for rows, *chunks in parts[start:stop]:
            key = state.name, rows[0].start, rows[-1].stop  # named if the worker dies
            data = [[getattr(c, "key", c) for c in column] for column in chunks]
            graph[key] = (worker.chunk_sums, code, range(*key[1:]), before, *data)
            homes[key] = workers[k * len(workers) // (len(ends) - 1) :][:1]
            before = key
        sums.append(before)
    while len(sums) > 1:
        pairs = list(zip(sums[::2], sums[1::2], strict=False))
        keys = [(f"sum-{state.name}", a[1], b[2]) for a, b in pairs]
        graph |= {key: (worker.add_sums, *pair) for key, pair in zip(keys, pairs, strict=True)}
        sums = keys + sums[2 * len(pairs) :]
    graph[state.name] = (worker.checked, code, sums[0])
    read = [c for c in (shared, *[column[0] for column in parts[0][1:]]) if isinstance(c, Delayed)]
    with dask.annotate(workers=homes.get, allow_other_workers=True) if workers else nullcontext():
        layers = HighLevelGraph.from_collections(state.name, graph, dependencies=read)
    return Delayed(state.name, layers)


# The client and its workers


def _shared(state: State, client: Any, timeout: float) -> tuple[Any, list[str]]:
    """Return a task or future with the code and arrays that all chunks share, and the workers.

    Small arrays are sent with the tasks, which Dask may run anywhere: there are no workers then.
    """
    workers = [] if client is None else clients.workers_of(client, timeout)
    if client is None or sum(a.nbytes for a in state.arrays) <= SCATTERED:
        return delayed(state, traverse=False), []
    future = client.scatter([state], broadcast=True, direct=True, hash=False, timeout=timeout)[0]
    return future, workers


def _computed(task: Callable[..., Any], client: Any, timeout: float, progress: bool) -> Any:
    """Return the result of `task(client, timeout)`, computed by the client or in threads.

    The task is sent again if data that it shares was lost with the workers that held it.
    """
    if client is None:
        with ProgressBar() if progress else nullcontext():
            return dask.base.compute(task(client, timeout), scheduler="threads")[0]
    with clients.connected(client, timeout):
        for _ in range(_TRIES):
            with suppress(CancelledError, distributed.comm.CommClosedError):
                if client.status == "running":
                    return _result(client, task, timeout, progress)
        raise CancelledError


def _result(client: Any, task: Any, timeout: float, progress: bool) -> Any:
    """Return the result of a task; cancel all that it needs where an error is raised."""
    futures: list[Any] = []
    try:
        futures.append(client.compute(task(client, timeout)))
        if progress:  # in a thread, since it waits without end where there is no worker
            show = partial(distributed.progress, futures, notebook=False)
            threading.Thread(target=show, daemon=True).start()
        clients.done(client, futures, timeout)
        return client.gather(futures, direct=True)[0]
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
