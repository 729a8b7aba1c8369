"""Chunks of rows of arrays in memory, on disk, or on Dask; shuffled mini-batches of them."""

from __future__ import annotations

import math
import mmap
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import dask.array
import distributed
import numpy as np
from dask._task_spec import Alias
from dask.core import flatten
from dask.optimization import cull

from tinygrad_fc.core.node import array_of
from tinygrad_fc.parallel.clients import check_client, unique_name
from tinygrad_fc.utils.data.sampler import count_batches, positive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CHUNK_BYTES = 1 << 24
"""The size of a chunk by default."""
_reader = ThreadPoolExecutor(1, "tinygrad_fc-reader")
"""The thread that reads the next window where there is no client, beside the computation."""


def columns(arrays: Sequence[Any], chunk_rows: int | None) -> tuple[dict[Any, Any], list[Any]]:
    """Return tasks of Dask arrays, and the ranges of rows of all chunks with the chunks of each.

    A chunk is an array, a function that reads it, a task, or the key of one.
    """
    chunk_rows = None if chunk_rows is None else positive("chunk_rows", chunk_rows)
    arrays = [array_of(a) for a in arrays]
    shapes = [getattr(a, "shape", ()) for a in arrays]
    if len({str(shape[:1]) for shape in shapes}) != 1 or not shapes[0]:
        raise ValueError(f"expected arrays with the same number of rows, got shapes {shapes}")
    sizes = _sizes(arrays[0], chunk_rows)
    if not sizes or 0 in sizes or math.isnan(sum(sizes)):
        message = f"expected at least one row in each chunk, got chunks of {sizes} rows"
        raise ValueError(f"{message}: use x.compute_chunk_sizes().rechunk((1000, -1))")
    rows = [range(stop - n, stop) for n, stop in zip(sizes, np.cumsum(sizes).tolist(), strict=True)]
    graph: dict[Any, Any] = {}
    return graph, [rows, *(_chunks(a, rows, graph) for a in arrays)]


def _sizes(array: Any, chunk_rows: int | None) -> tuple[Any, ...]:
    """Return the numbers of rows of the chunks."""
    count, lazy = array.shape[0], isinstance(array, dask.array.Array)
    if lazy and (not chunk_rows or math.isnan(count)):
        return array.chunks[0]  # type: ignore[no-any-return]
    stored = getattr(array, "chunks", None) or (CHUNK_BYTES * count // (array.nbytes or 1) or 1,)
    step = chunk_rows or stored[0]
    return tuple(min(step, count - start) for start in range(0, count, step))


def _chunks(array: Any, rows: list[range], graph: dict[Any, Any]) -> list[Any]:
    """Return the chunks of an array, and add the tasks of a Dask array to the graph."""
    if isinstance(array, dask.array.Array):
        sizes = tuple(len(r) for r in rows)
        array = array.rechunk((sizes, *[-1] * (array.ndim - 1)))
        keys, tasks = [*flatten(array.__dask_keys__())], array.dask
        graph |= tasks if len(tasks.layers) == 1 else array.__dask_optimize__(tasks, keys)
        # A task runs as a part of that which takes its chunk, so that the scheduler has fewer.
        return [graph.get(key, Alias(key)) for key in keys]
    if isinstance(getattr(array, "base", None), mmap.mmap) and getattr(array, "mode", "c") != "c":
        # Workers open the file: a memory map that is pickled is copied whole.
        array = (array.filename, array.dtype, "r", array.offset, array.shape, "CF"[array.flags.fnc])
    elif isinstance(array, np.ndarray):
        return [array[r.start : r.stop] for r in rows]
    return [partial(_read, array, r) for r in rows]


def _read(source: Any, rows: range) -> Any:
    """Return the rows of an array that is on disk."""
    array = np.memmap(*source) if isinstance(source, tuple) else source
    return np.asarray(array[rows.start : rows.stop])


def loaded(*chunks: Any) -> Any:
    """Return the array of consecutive chunks in a worker."""
    arrays = [chunk() if callable(chunk) else chunk for chunk in chunks]
    return np.concatenate(arrays) if arrays[1:] else arrays[0]


class batches:  # noqa: N801  called like a function, as `map` and `backward` are
    """Yield mini-batches of `arrays` (N, ...) as Dask arrays, shuffled in each epoch.

    Each `for` loop is an epoch; one that was left goes on where it stopped. The order of the chunks
    is shuffled, then the rows within each window of `window` chunks, by `seed` and the number of
    the epoch alone: it is the same for any number of workers. Rows meet in a batch only if their
    chunks are in one window or in consecutive ones. The workers of `client` hold these windows and
    the next one in memory. A batch has `pieces` chunks, which `parallel.backward` runs side by
    side. The chunks that are read are those of the first array, or have `chunk_rows`.

    `state_dict()` has seed, epoch, position and sizes; a loop after `load_state_dict` yields the
    batches that are left. Raises `ValueError` for arrays that do not match, sizes below 1, and the
    state of a loader with other settings.

    >>> import numpy as np
    >>> from tinygrad_fc import parallel
    >>> loader = parallel.batches(np.arange(6.0), batch_size=4, seed=0)
    >>> [batch.shape for (batch,) in loader], loader.epoch
    ([(4,), (2,)], 1)
    """

    def __init__(
        self,
        *arrays: Any,
        batch_size: int,
        seed: int = 0,
        client: Any = None,
        chunk_rows: int | None = None,
        window: int = 4,
        pieces: int = 8,
        drop_last: bool = False,
    ) -> None:
        self.batch_size = positive("batch_size", batch_size)
        self.window, self.pieces = positive("window", window), positive("pieces", pieces)
        self.seed, self.client, self.drop_last = seed, client, drop_last
        check_client(client, 1.0)
        self._graph, (rows, *self._chunks) = columns(arrays, chunk_rows)
        self._sizes = [len(r) for r in rows]
        self._kinds = [(a.shape[1:], a.dtype) for a in map(array_of, arrays)]
        self.epoch, self.position = 0, 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return count_batches(sum(self._sizes), self.batch_size, drop_last=self.drop_last)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, the number of batches that were yielded in it, and the settings."""
        chunks = zlib.crc32(str(self._sizes).encode())
        own = {"epoch": self.epoch, "position": self.position, "seed": int(self.seed)}
        own |= {"rows": sum(self._sizes), "chunks": chunks, "batch_size": self.batch_size}
        return own | {"window": self.window, "drop_last": int(self.drop_last)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of `state_dict`, of a loader with the same data and settings.

        Raises `ValueError` for other data or settings, or a position that does not exist.
        """
        ranges = {"epoch": range(2**63), "position": range(len(self) + 1)}
        for name, own in self.state_dict().items():
            value, expected = state.get(name), ranges.get(name, range(own, own + 1))
            if type(value) is not int or value not in expected:
                raise ValueError(
                    f"load_state_dict: the state has {name} {value}, and this loader {own}, with "
                    f"{len(self)} batches. Create it with the data and settings of the saved one"
                )
        self.epoch, self.position = state["epoch"], state["position"]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        count = len(self._sizes)
        order = np.random.default_rng((self.seed, self.epoch)).permutation(count).tolist()
        windows = [order[k : k + self.window] for k in range(0, count, self.window)]
        ends = np.cumsum([0] + [sum(self._sizes[c] for c in w) for w in windows]).tolist()
        held: dict[int, Any] = {}
        while self.position < len(self):
            start = self.position * self.batch_size
            stop = min(start + self.batch_size, ends[-1])
            inside = [k for k, (a, b) in enumerate(pairwise(ends)) if a < stop and b > start]
            ahead = min(inside[-1] + 1, len(windows) - 1)
            held = {k: held.get(k) or self._read(k, windows[k]) for k in (*inside, ahead)}
            self.position += 1
            read = [held[k] if self.client else held[k].result() for k in inside]
            yield tuple(self._batches(start, stop, [ends[k] for k in inside], read))
        self.epoch, self.position = self.epoch + 1, 0

    def _batches(self, start: int, stop: int, begins: list[int], windows: Any) -> Iterator[Any]:
        """Yield a Dask array of each column of a batch, whose chunks are parts of the windows."""
        cuts = [*range(start, stop, -(-(stop - start) // self.pieces)), stop]
        for column, (shape, dtype) in enumerate(self._kinds):
            name = unique_name("batch")
            graph = {
                (name, i, *[0] * len(shape)): (_part, column, a, b, begins, *windows)
                for i, (a, b) in enumerate(pairwise(cuts))
            }
            chunks = (tuple(b - a for a, b in pairwise(cuts)), *((n,) for n in shape))
            yield dask.array.Array(graph, name, chunks, dtype)

    def _read(self, k: int, chunks: list[int]) -> Any:
        """Begin to read and shuffle a window into memory; return a future of its arrays."""
        name = unique_name("window")
        parts = [[column[c] for c in chunks] for column in self._chunks]
        graph, _ = cull(
            {**self._graph, name: (_shuffled, (self.seed, self.epoch, k), *parts)}, name
        )
        if self.client is None:
            return _reader.submit(dask.get, graph, name)
        return self.client.get(graph, name, sync=False)


def _shuffled(seed: Any, *columns: Any) -> list[Any]:
    """Return the rows of consecutive chunks of each column in another order, copied once."""
    with suppress(ValueError):  # in a worker, which computes beside it; threads have none
        distributed.secede()
    results = []
    for chunks in columns:
        arrays = [np.asarray(loaded(chunk)) for chunk in chunks]
        ends = np.cumsum([len(array) for array in arrays])
        places = np.argsort(np.random.default_rng(seed).permutation(ends[-1]))
        result = np.empty((ends[-1], *arrays[0].shape[1:]), arrays[0].dtype)
        for array, rows in zip(arrays, np.split(places, ends[:-1]), strict=True):
            result[rows] = array
        results.append(result)
    return results


def _part(column: int, start: int, stop: int, begins: list[int], *windows: Any) -> Any:
    """Return the rows of an epoch from `start` to `stop`, from the windows that have them."""
    spans = [(max(start - k, 0), max(stop - k, 0)) for k in begins]
    parts = [w[column][a:b] for w, (a, b) in zip(windows, spans, strict=True)]
    return loaded(*[part for part in parts if len(part)])
