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
    from tinygrad_fc.parallel import clients, worker
    from tinygrad_fc.parallel.clients import ChunkError
    from tinygrad_fc.parallel.data import batches, columns
    from tinygrad_fc.parallel.sweeps import Run, map  # noqa: A004
    from tinygrad_fc.parallel.worker import Replica, State, tensors_of
except ImportError as error:
    raise ImportError(
        "tinygrad_fc.parallel needs Dask, which is not installed: pip install 'tinygrad-fc[dask]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.tensors import Tensor

__all__ = ["ChunkError", "Run", "backward", "batches", "evaluate", "map"]


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
) -> Tensor:
    """Add the gradient of a loss over all rows of `arrays` to `.grad`; return the loss.

    `loss_fn(model, x, y)` gets some rows of each of the `arrays`: NumPy arrays, memory maps,
    tensors, Zarr or Dask arrays of shapes (N, ...). It returns the mean over these rows, or with
    `reduction="sum"` the sum. Where rows weigh differently (class weights, `ignore_index`), it
    returns the weighted mean and the sum of the weights. `client` is a `dask.distributed.Client`;
    None means threads of this process. A chunk is a chunk of the first array, or has `chunk_rows`.
    Chunks form `groups`; the chunks of a group run and are summed one after the other, so that at
    most `groups` chunks run at once.

    `check` compares the loss of some rows of all chunks with the losses of their parts, with batch
    norm in evaluation mode, and refuses a loss that does not separate over rows. Chunks then go
    through the step in blocks of up to 2,000 rows, which stay in caches. With `check=False`, and
    with batch norm in training, chunks stay whole: batch norm takes the statistics of each chunk,
    as DistributedDataParallel does. Each chunk draws random numbers (dropout) from its own seed.
    `compiled` compiles the step in the workers, by backend "numba" or "numpy"; True is Numba where
    it is installed here.

    Raises `ChunkError` for an error, a NaN or an infinite loss in a chunk, or a chunk that ended
    its worker; `ValueError` for arrays that do not match; `ConnectionError` for a client that is
    closed or cut off, has workers with other versions of the packages, or no worker that takes
    tasks for `timeout` seconds. Nothing is changed then. A worker that says nothing for `timeout`
    seconds is given up, and its rows go to others.

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
    replica = Replica(model, loss_fn, reduction, compiled or None, check)
    weight, loss, *sums = _sums(replica, arrays, chunk_rows, groups, client, timeout)
    divisor = 1.0 if reduction == "sum" else weight.item()
    for t, a in zip(tensors_of(model), sums, strict=True):
        if not isinstance(t, Parameter):
            t.copy_(leaf_of(np.asarray(a / weight.item() if t.is_floating_point() else a)))
        elif a is not None:
            accumulate_gradients([[t, np.asarray(a / divisor)]])
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
    replica = Replica(model, metric, separates=check, evaluates=True)
    weight, total = _sums(replica, arrays, chunk_rows, groups, client, timeout)
    return float(total / weight)


def _sums(replica: Replica, arrays: Any, chunk_rows: Any, groups: int, *where: Any) -> Any:
    """Return the weight, the loss, gradients and buffers, summed over all rows of the arrays.

    The tasks of a group add up its parts in order, and the groups are added in pairs.
    """
    groups = positive("groups", groups)
    clients.check_client(*where)
    graph, (rows, *chunks) = columns(arrays, chunk_rows)
    tensors = tensors_of(replica.model)
    code, values = clients.pickled(replica, tensors), [t._array for t in tensors]
    limit, count = 1, rows[-1].stop
    if replica.separates and not worker.norms_in_training(replica.model):
        # small chunks are joined until their rows take as much memory as one gradient
        row_bytes = sum(array_of(a).nbytes for a in arrays) / count or 1.0
        limit = max(1, min(int(sum(a.nbytes for a in values) / row_bytes), count // groups))
    joined = groupby(zip(rows, *chunks, strict=True), lambda chunk: chunk[0].start // limit)
    parts = [list(zip(*part, strict=True)) for _, part in joined]
    seed, stride = int(rng_of(None).integers(2**62)), max(1, count // worker.SAMPLE)
    state = State(code, values, seed, stride, clients.unique_name("chunk_sums"))
    levels: list[list[Any]] = [[]]
    ends = np.linspace(0, len(parts), min(groups, len(parts)) + 1).astype(int).tolist()
    for start, stop in pairwise(ends):
        before = None
        for part_rows, *data in parts[start:stop]:
            key = state.name, part_rows[0].start, part_rows[-1].stop
            chunks = [[*column] for column in data]
            graph[key] = (worker.chunk_sums, state.name, range(*key[1:]), before, *chunks)
            before = key
        levels[0].append(before)
    while len(below := levels[-1]) > 1:
        pairs = {(*below[k], "sum"): below[k : k + 2] for k in range(0, len(below), 2)}
        graph |= {key: (worker.add_sums, *pair) for key, pair in pairs.items()}
        levels.append([*pairs])
    sums = clients.computed(graph, levels, state, *where)
    while len(sums) > 1:
        sums = [worker.add_sums(*sums[k : k + 2]) for k in range(0, len(sums), 2)]
    weight, *sums = worker.checked(state, sums[0])
    if not weight > 0:
        raise ChunkError(f"the weights of all rows add up to {weight}; expected more than 0")
    return weight, *sums
