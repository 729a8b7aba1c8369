"""Data-parallel training and sweeps on Dask: in threads, in processes, on a cluster.

    loss = parallel.backward(model, loss_fn, x, y, client=Client("tcp://scheduler:8786"))
    optimizer.step()

Each chunk of rows runs an ordinary forward and backward pass in a worker, and the gradients are
summed, as in PyTorch's DistributedDataParallel. The sums are taken in a tree whose order depends on
the chunks alone: neither the number of workers nor the death of one changes a bit of the result.
"""

from __future__ import annotations

import io
import math
import mmap
import threading
import traceback
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext
from functools import partial, reduce
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler import compile as compile_step
from tinygrad_fc.errors import GraphError, ShapeError
from tinygrad_fc.grad_mode import no_grad
from tinygrad_fc.graph import Node, accumulate_gradients, as_array, wrap
from tinygrad_fc.nn import BatchNorm1d, Module, Parameter
from tinygrad_fc.random import rng_of, seeded

try:
    import cloudpickle
    import dask.array
    import distributed
    from dask.delayed import delayed
    from dask.diagnostics.progress import ProgressBar
except ImportError as error:
    raise ImportError(
        "tinygrad_fc.parallel needs Dask, which is not installed: pip install 'tinygrad-fc[dask]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from tinygrad_fc.tensor import Tensor

FAN_IN = 16
"""The number of sums that one task adds up."""
SCATTERED, CHUNK_BYTES = 1 << 20, 1 << 24
"""From how many bytes on parameters go to the workers directly; the size of a chunk by default."""
BLOCK_ROWS = 2000
"""The number of rows of a chunk that a worker processes at a time, to stay in its caches."""
NOT_SEPARABLE = "It does not separate over rows: return (loss, weight), or pass check=False"
_FOREIGN = (__file__.removesuffix("parallel.py"), "-packages")
_thread = threading.local()


class ChunkError(RuntimeError):
    """A chunk failed in a worker: the message names its rows and the line that raised."""


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
    check: bool = True,
    compiled: bool = False,
    progress: bool = False,
) -> Tensor:
    """Add the gradient of a loss over all rows of `arrays` to `.grad`; return the loss.

    `loss_fn(model, x, y)` gets some rows of each of the `arrays`: NumPy arrays, memory maps,
    tensors, Zarr or Dask arrays of shapes (N, ...). It returns the mean over these rows, or with
    `reduction="sum"` the sum. Where rows weigh differently (class weights, `ignore_index`), it
    returns the weighted mean and the sum of the weights. `client` is a `dask.distributed.Client`;
    None means threads of this process. Chunks are those of the first array, or have `chunk_rows`.

    `check` compares the loss of the first rows with that of their parts, and refuses a loss that
    does not separate over rows. Chunks then go through the step in blocks of up to 2,000 rows,
    which stay in the processor's caches. With `check=False`, and with batch norm in training, whose
    loss is not checked, chunks stay whole: batch norm takes the statistics of each chunk, as
    DistributedDataParallel does. Each chunk draws random numbers (dropout) from a seed of its own.
    `compiled` compiles the step in the workers; `progress` shows a bar.

    Raises `ChunkError` for an error, a NaN or an infinite loss in a chunk, `ValueError` for arrays
    that do not match, `ConnectionError` for a client that is closed or cut off. Parameters,
    buffers and gradients are unchanged then.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc import nn, parallel
    >>> model, data = nn.Linear(2, 1), tg.ones(6, 2).numpy()
    >>> loss = parallel.backward(model, lambda model, x: model(x).mean(), data, chunk_rows=4)
    >>> model.weight.grad
    tensor([[1., 1.]])
    """
    if reduction not in {"mean", "sum"}:
        raise ValueError(f"reduction is 'mean' or 'sum', got {reduction!r}")
    seed = _start(client)
    columns = _columns([a._array if isinstance(a, Node) else a for a in arrays], chunk_rows)
    tensors = [*model.parameters(), *model.buffers()]
    step = _sent(_pickled((model, loss_fn, tensors), tensors), [t._array for t in tensors], client)
    run, options = delayed(_chunk_sums, pure=False), (reduction, compiled, check, seed)
    parts = [run(step, options, rows, *chunks) for rows, *chunks in zip(*columns, strict=True)]
    ((weight, loss, *sums),) = _computed([_tree(parts)], client, progress=progress)
    if not weight > 0:
        raise ChunkError(f"the weights of all rows add up to {weight}; expected more than 0")
    divisor = 1.0 if reduction == "sum" else weight.item()
    for t, a in zip(tensors, sums, strict=True):
        if isinstance(t, Parameter):
            accumulate_gradients([[t, np.asarray(a / divisor)]] if a is not None else ())
        else:
            t.copy_(wrap(np.asarray(a / weight.item() if t.is_floating_point() else a)))
    return wrap(np.asarray(loss / divisor))


def map(  # noqa: A001  the name that Client and executors have
    train: Callable[[Any], Any],
    configurations: Iterable[Any],
    *,
    client: Any = None,
    progress: bool = False,
) -> list[Run]:
    """Return a `Run` for each of the `configurations`, with the result of `train(configuration)`.

    The runs are spread over the workers of `client`, or over threads. A run that raises has its
    `error` and the `line` that raised, and the others go on. Random numbers are drawn from a seed
    per run, so that results do not depend on the workers.

    >>> from tinygrad_fc import parallel
    >>> [run.result for run in parallel.map(lambda n: n * n, [2, 3])]
    [4, 9]
    """
    seed = _start(client)
    code = delayed(train if client is None else _pickled(train), traverse=False)
    run = delayed(_attempt, pure=False)
    tasks = [run(code, c, seed + k) for k, c in enumerate(configurations)]
    return list(_computed(tasks, client, progress=progress))


def _attempt(code: Any, configuration: Any, seed: int) -> Run:
    train = cloudpickle.loads(code) if isinstance(code, bytes) else code
    try:
        with seeded(seed):
            return Run(configuration, train(configuration))
    except Exception as error:  # noqa: BLE001  a run of the user's, whose error is the result
        return Run(configuration, error=error, line=_line(error))


# Chunks and tasks


def _columns(arrays: Sequence[Any], chunk_rows: int | None) -> list[Any]:
    """Return the ranges of rows of all chunks, and then the chunks of each array."""
    shapes = [getattr(a, "shape", ()) for a in arrays]
    if len({str(shape[:1]) for shape in shapes}) != 1 or not shapes[0]:
        raise ValueError(f"expected arrays with the same number of rows, got shapes {shapes}")
    sizes = _sizes(arrays[0], chunk_rows)
    if not sizes or 0 in sizes or math.isnan(sum(sizes)):
        message = f"expected at least one row in each chunk, got chunks of {sizes} rows"
        raise ValueError(f"{message}: use x.compute_chunk_sizes().rechunk((1000, -1))")
    rows = [range(stop - n, stop) for n, stop in zip(sizes, np.cumsum(sizes).tolist(), strict=True)]
    return [rows, *(_chunks(a, rows) for a in arrays)]


def _sizes(array: Any, chunk_rows: int | None) -> tuple[Any, ...]:
    """Return the numbers of rows of the chunks."""
    count, lazy = array.shape[0], isinstance(array, dask.array.Array)
    if lazy and (not chunk_rows or math.isnan(count)):
        return array.chunks[0]  # type: ignore[no-any-return]
    stored = getattr(array, "chunks", None) or (CHUNK_BYTES * count // (array.nbytes or 1) or 1,)
    step = chunk_rows or stored[0]
    return tuple(min(step, count - start) for start in range(0, count, step))


def _chunks(array: Any, rows: list[range]) -> Sequence[Any]:
    """Return the chunks of an array: parts of it in memory, or tasks and calls that read them."""
    if isinstance(array, dask.array.Array):
        sizes = tuple(len(r) for r in rows)
        return array.rechunk((sizes, *[-1] * (array.ndim - 1))).to_delayed().ravel()  # type: ignore[no-any-return]
    if isinstance(getattr(array, "base", None), mmap.mmap) and getattr(array, "mode", "c") != "c":
        # Workers open the file: a memory map that is pickled is copied whole.
        order = "F" if array.flags.fnc else "C"
        array = (array.filename, array.dtype, "r", array.offset, array.shape, order)
    elif isinstance(array, np.ndarray):
        return [array[r.start : r.stop] for r in rows]
    return [partial(_read, array, r) for r in rows]


def _tree(parts: list[Any]) -> Any:
    """Return one task that adds up all `parts`, in an order that depends on their number alone."""
    add = delayed(_added, pure=False)
    while len(parts) > 1:
        parts = [add(*parts[k : k + FAN_IN]) for k in range(0, len(parts), FAN_IN)]
    return parts[0]


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except (CancelledError, distributed.comm.CommClosedError) as error:
        message = "the scheduler or workers with data went away. Nothing changed. Connect again"
        raise ConnectionError(message) from error


@_connected()
def _sent(code: bytes, state: list[Any], client: Any) -> Any:
    """Return one task or future with what all chunks of a step share."""
    if client is None or sum(a.nbytes for a in state) <= SCATTERED:
        return delayed((code, state), traverse=False)
    return client.scatter([(code, state)], broadcast=True, hash=False)[0]


@_connected()
def _computed(tasks: list[Any], client: Any, *, progress: bool) -> Any:
    """Return the results of tasks, computed by the client or in threads."""
    if client is None:
        with ProgressBar() if progress else nullcontext():
            return dask.base.compute(*tasks, scheduler="threads")
    futures = client.compute(tasks)
    if progress:
        distributed.progress(futures, notebook=False)
    return client.gather(futures)


def _start(client: Any) -> int:
    """Check that the client is connected, and return a random seed."""
    if client is not None and client.status != "running":
        raise ConnectionError(f"the client is {client.status}. Connect again: Client(address)")
    return int(rng_of(None).integers(2**62))


# In a worker


def _added(*parts: Sequence[Any]) -> list[Any]:
    return [reduce(_plus, column) for column in zip(*parts, strict=True)]


def _plus(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return a + b if a.dtype.kind == "f" else a  # a counter of batches advances once a step


def _read(source: Any, rows: range) -> Any:
    """Return the rows of an array that is on disk."""
    array = np.memmap(*source) if isinstance(source, tuple) else source
    return np.asarray(array[rows.start : rows.stop])


def _chunk_sums(step: Any, options: Any, rows: range, *chunks: Any) -> list[Any]:
    """Return the weight, the loss, gradients and buffers of a chunk, summed over its samples."""
    (code, state), (reduction, compiled, check, seed) = step, options
    try:
        tensors = [wrap(as_array(c() if callable(c) else c)) for c in chunks]
        if getattr(_thread, "code", None) != (code, compiled):  # one a thread, for its `.grad`
            _thread.replica, _thread.code = _Replica(code, compiled=compiled), (code, compiled)
        replica: _Replica = _thread.replica
        if check and not rows.start:
            replica.load(state)
            replica.check(tensors, seed, reduction)
        size = BLOCK_ROWS if check and not replica.has_batch_norm else len(rows)
        blocks = ([t[k : k + size] for t in tensors] for k in range(0, len(rows), size))
        with seeded(seed + rows.start):
            return reduce(_added, (replica.sums(block, state, reduction) for block in blocks))
    except Exception as error:
        message = f"rows {rows.start}:{rows.stop}: {type(error).__name__}: {error}."
        at = f" At {line}." if (line := _line(error)) else ""
        raise ChunkError(f"{message}{at} Parameters and gradients are unchanged") from error


class _Replica:
    """A copy of the model and the loss of a step, for one worker thread."""

    def __init__(self, code: bytes, *, compiled: bool) -> None:
        self.model, self.loss_fn, self.tensors = cloudpickle.loads(code)
        self.step: Any = compile_step(self._step, check=False) if compiled else self._step
        norms = [m for m in self.model.modules() if isinstance(m, BatchNorm1d)]
        self.has_batch_norm = any(m.training for m in norms)

    def load(self, state: Sequence[Any]) -> None:
        """Set the parameters, and the buffers to copies, since a step changes them."""
        for t, array in zip(self.tensors, state, strict=True):
            t._array = array if isinstance(t, Parameter) else array.copy()
            t._grad = None

    def value(self, *tensors: Tensor) -> tuple[Any, Any]:
        """Return the loss of rows, and their weight."""
        loss = self.loss_fn(self.model, *tensors)
        loss, weight = loss if isinstance(loss, tuple) else (loss, len(tensors[0]))
        if getattr(loss, "shape", True):
            raise ShapeError(f"loss_fn returned {getattr(loss, 'shape', loss)}; expected shape ()")
        return loss, weight

    def _step(self, *tensors: Tensor) -> tuple[Any, Any]:
        loss, weight = self.value(*tensors)
        loss.backward()
        return loss, weight

    def sums(self, tensors: Sequence[Tensor], state: Sequence[Any], reduction: str) -> list[Any]:
        """Run a forward and a backward pass, and return the sums over the samples."""
        self.load(state)
        loss, weight = self.step(*tensors)
        weight = np.float64(float(weight))
        scale = 1.0 if reduction == "sum" else weight.item()
        sums: list[Any] = [weight, np.float64(scale * loss.item() if scale else 0.0)]
        for t in self.tensors:
            if isinstance(t, Parameter):  # where no row counts, the mean is NaN
                sums.append(scale * t._grad._array if t._grad is not None and scale else None)
            else:
                sums.append(weight.item() * t._array if t.is_floating_point() else t._array)
        if not all(np.isfinite(a).all() for a in sums if a is not None):
            raise FloatingPointError(f"the loss is {loss.item()}, or a gradient is not finite")
        if not any(isinstance(t, Parameter) and t._grad is not None for t in self.tensors):
            raise GraphError("no parameter has a gradient: use the model that loss_fn gets")
        return sums

    def check(self, tensors: Sequence[Tensor], seed: int, reduction: str) -> None:
        """Raise `ValueError` where the loss of rows does not follow from those of two parts."""
        count = min(len(tensors[0]), 64)
        if self.has_batch_norm or count < 2:
            return

        def value(start: int, stop: int, seed: int) -> tuple[float, float]:
            with seeded(seed), no_grad():
                loss, weight = self.value(*(t[start:stop] for t in tensors))
            return loss.item() if weight else 0.0, float(weight)

        whole, again = (value(0, count, seed + k)[0] for k in range(2))
        if whole != again:  # random, as with dropout
            return
        part = max(count // 3, 1)
        (a, m), (b, n) = value(0, part, seed), value(part, count, seed)
        expected = {"sum": a + b, "mean": (m * a + n * b) / (m + n or 1.0)}
        error = 1e-3 if any(t.dtype.itemsize < 8 for t in self.tensors) else 1e-9
        fits = [k for k, v in expected.items() if abs(whole - v) <= error * (abs(a) + abs(b))]
        if reduction not in fits:
            advice = f"Pass reduction={fits[0]!r}" if fits else NOT_SEPARABLE
            parts = f"{whole:g}, but {expected[reduction]:g} by two parts"
            raise ValueError(f"the loss of {count} rows is {parts}. {advice}")


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


def _pickled(value: Any, tensors: Iterable[Any] = ()) -> bytes:
    """Return a pickle without the values of `tensors`: the same bytes for every step."""
    pickler = _Pickler(file := io.BytesIO())
    pickler.emptied = {id(t) for t in tensors}
    pickler.dump(value)
    return file.getvalue()


def _line(error: Exception) -> str:
    """Return the last line of the user's code in the traceback, with its file and number."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(part in f.filename for part in _FOREIGN)]
    return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""
