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

from contextlib import nullcontext
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.graph import Node, accumulate_gradients, wrap
from tinygrad_fc.nn import Module, Parameter
from tinygrad_fc.random import Generator, drawing_from, rng_of

try:
    import cloudpickle
    import dask
    from dask.delayed import delayed

    from tinygrad_fc.parallel.batches import batches
    from tinygrad_fc.parallel.chunks import columns
    from tinygrad_fc.parallel.cluster import computed, pickled, shared
    from tinygrad_fc.parallel.worker import ChunkError, Step, add_sums, chunk_sums, line_of
except ImportError as error:
    raise ImportError(
        "tinygrad_fc.parallel needs Dask, which is not installed: pip install 'tinygrad-fc[dask]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tinygrad_fc.tensor import Tensor

__all__ = ["ChunkError", "Run", "backward", "batches", "evaluate", "map"]


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

    `check` compares the loss of the first rows with that of their parts, and refuses a loss that
    does not separate over rows. Chunks then go through the step in blocks of up to 2,000 rows,
    which stay in the processor's caches. With `check=False`, and with batch norm in training, whose
    loss is not checked, chunks stay whole: batch norm takes the statistics of each chunk, as
    DistributedDataParallel does. Each chunk draws random numbers (dropout) from a seed of its own.
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
    step = Step(reduction, compiled or None, check, evaluate=False)
    sums = _sums(model, loss_fn, arrays, step, client, chunk_rows, groups, timeout, progress)
    weight, loss, *sums = sums
    divisor = 1.0 if reduction == "sum" else weight.item()
    for t, a in zip(_tensors(model), sums, strict=True):
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
    timeout: float = 60.0,
    progress: bool = False,
) -> float:
    """Return the mean of `metric(model, x, y)` over all rows, with the model in evaluation mode.

    `metric` gets rows of `arrays` (N, ...) like the loss of `backward`, without recording, and
    returns the mean over them, or that and its weight. Chunks, errors and other settings are those
    of `backward`. The model itself keeps its mode.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc import nn, parallel
    >>> model, x = nn.Dropout(0.5), tg.arange(6.0).reshape(6, 1).numpy()
    >>> parallel.evaluate(model, lambda model, x: model(x).mean(), x, chunk_rows=4)
    2.5
    """
    step = Step("mean", None, check=False, evaluate=True)
    sums = _sums(model, metric, arrays, step, client, chunk_rows, groups, timeout, progress)
    return float(sums[1] / sums[0])


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
    seed = _seed()
    code = delayed(train if client is None else pickled(train), traverse=False)
    run = delayed(_attempt, pure=False)
    tasks = [run(code, c, seed + k) for k, c in enumerate(configurations)]
    return list(computed(lambda: tasks, client, timeout, progress=progress))


def _attempt(code: Any, configuration: Any, seed: int) -> Run:
    train = cloudpickle.loads(code) if isinstance(code, bytes) else code
    try:
        with drawing_from(Generator().manual_seed(seed)):
            return Run(configuration, train(configuration))
    except Exception as error:  # noqa: BLE001  a run of the user's, whose error is the result
        return Run(configuration, error=error, line=line_of(error))


def _tensors(model: Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _seed() -> int:
    return int(rng_of(None).integers(2**62))


def _sums(
    model: Module,
    function: Callable[..., Any],
    arrays: tuple[Any, ...],
    step: Step,
    client: Any,
    chunk_rows: int | None,
    groups: int,
    timeout: float,
    progress: bool,
) -> list[Any]:
    """Return the weight, the loss, gradients and buffers, summed over all chunks."""
    if groups < 1:
        raise ValueError(f"groups is {groups}; expected at least 1")
    parts = columns([a._array if isinstance(a, Node) else a for a in arrays], chunk_rows)
    chunks = list(zip(*parts, strict=True))
    tensors, seed = _tensors(model), _seed()
    code = pickled((model, function, tensors), tensors)

    def tasks() -> list[Any]:
        state, workers = shared((code, [t._array for t in tensors]), client, timeout)
        return [_tree(_groups(state, step, seed, chunks, groups, workers))]

    (sums,) = computed(tasks, client, timeout, progress=progress)
    if not sums[0] > 0:
        raise ChunkError(f"the weights of all rows add up to {sums[0]}; expected more than 0")
    return list(sums)


def _groups(
    state: Any, step: Step, seed: int, chunks: list[Any], groups: int, workers: list[str]
) -> list[Any]:
    """Return a task for each group of consecutive chunks, which adds up its chunks in order.

    Consecutive groups are computed by the same one of the `workers`, so that most of their sums
    need not travel; without workers Dask chooses.
    """
    run = delayed(chunk_sums, pure=False)
    name = f"chunk_sums-{np.random.default_rng().integers(2**63):x}"
    ends = np.linspace(0, len(chunks), min(groups, len(chunks)) + 1).astype(int).tolist()
    sums = []
    for k, (start, stop) in enumerate(pairwise(ends)):
        before, at = None, nullcontext()
        if workers:
            worker = workers[k * len(workers) // (len(ends) - 1)]  # others, if it goes away
            at = dask.annotate(workers=worker, allow_other_workers=True)
        with at:
            for rows, *arrays in chunks[start:stop]:
                key = (name, rows.start, rows.stop)  # which a message names if the worker dies
                before = run(state, step, seed, rows, before, *arrays, dask_key_name=key)
        sums.append(before)
    return sums


def _tree(parts: list[Any]) -> Any:
    """Return one task that adds up all `parts` in pairs, which depend on their number alone."""
    add = delayed(add_sums, pure=False)
    while len(parts) > 1:
        pairs = [parts[k : k + 2] for k in range(0, len(parts), 2)]
        parts = [add(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]
