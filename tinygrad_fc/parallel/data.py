"""Chunks of rows of arrays in memory, on disk, or on Dask; shuffled mini-batches of them."""

from __future__ import annotations

import math
import mmap
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import dask.array
import distributed
import numpy as np
from dask.core import flatten
from dask.optimization import cull

from tinygrad_fc.core.node import array_of
from tinygrad_fc.parallel.clients import unique_name
from tinygrad_fc.utils.data.sampler import count_batches, positive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CHUNK_BYTES = 1 << 24
"""The size of a chunk by default."""
LOADERS = 2
"""The number of loaders whose chunks a process holds."""
_readers = ThreadPoolExecutor(2, "tinygrad_fc-reader")
"""The threads that read chunks of the next window beside the computation."""
_held: dict[str, dict[tuple[int, int, int], Any]] = {}
"""The chunks of each loader that this process holds or reads, by epoch, chunk and column."""
_lock = threading.Lock()


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
        graph |= array.dask  # optimized, it would lack the data that workers hold
        return [*flatten(array.__dask_keys__())]
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


def _source(chunk: Any, graph: Any) -> Any:
    """Return an array, a function that reads one, or a graph with data of a client, and its key."""
    if isinstance(chunk, np.ndarray) or callable(chunk):
        return chunk
    graph, _ = cull(graph, chunk)
    persisted = any(isinstance(task, distributed.Future) for task in graph.values())
    return (graph, chunk) if persisted else partial(dask.get, graph, chunk)


@lru_cache(16)
def _order(seed: tuple[int, int, int], rows: int) -> Any:
    # 1 is the stream of rows in a chunk, 2 that of rows in a window
    return np.random.default_rng((*seed, 1)).permutation(rows)


def _shuffled(seed: tuple[int, int, int], first: int, last: int, chunk: Any) -> Any:
    """Return rows `first` to `last` of a shuffled chunk, which are in one batch."""
    return chunk if last - first == len(chunk) else chunk[_order(seed, len(chunk))[first:last]]


def _held_chunk(loader: str, needed: set[tuple[int, int]], sources: dict[Any, Any]) -> Any:
    """Return the chunk of the first source; this process reads and holds it and the others.

    The keys of sources are epoch, chunk and column; only `needed` epochs and chunks are held.
    """
    with _lock:
        held = {
            key: future
            for key, future in _held.pop(loader, {}).items()
            if key[:2] in needed and not (future.done() and future.exception())
        }
        for key, source in sources.items():
            held[key] = held.get(key) or _readers.submit(source)
        _held[loader] = held
        while len(_held) > LOADERS:
            del _held[next(iter(_held))]
    return held[next(iter(sources))].result()


class batches:  # noqa: N801  called like a function, as `map` and `backward` are
    """Yield mini-batches of `arrays` (N, ...) as Dask arrays, shuffled in each epoch.

    Each `for` loop is an epoch; one that was left goes on where it stopped. The order of the chunks
    is shuffled, then the rows within each window of `window` chunks, by `seed` and the number of
    the epoch alone. Rows meet in a batch only if their chunks are in one window or in consecutive
    ones. The rows of a batch that come from one chunk are a chunk of it: `parallel.backward` runs
    them side by side. Its workers, or the threads of this process, read what they need of this
    window and the next one, and hold it in memory. The chunks that are read are those of the first
    array, or have `chunk_rows`.

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
        chunk_rows: int | None = None,
        window: int = 4,
        drop_last: bool = False,
    ) -> None:
        self.batch_size = positive("batch_size", batch_size)
        self.window = positive("window", window)
        self.seed, self.drop_last, self._name = seed, drop_last, unique_name("batches")
        graph, (rows, *chunks) = columns(arrays, chunk_rows)
        self._sizes = [len(r) for r in rows]
        self._chunks = [[_source(chunk, graph) for chunk in column] for column in chunks]
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
        count, width, key = len(self._sizes), self.window, (self.seed, self.epoch)
        order: Any = np.random.default_rng(key).permutation(count)
        sizes = np.array(self._sizes)[order]
        starts: Any = np.append(0, sizes.cumsum())[[*range(0, count, width), count]]

        @lru_cache(2)
        def chunk_of_row(k: int) -> Any:  # of window k, as its place in the order
            window = slice(k * width, (k + 1) * width)
            chunks = np.arange(count)[window].repeat(sizes[window])
            return np.random.default_rng((*key, k, 2)).permutation(chunks)

        while self.position < len(self):
            start = self.position * self.batch_size
            stop = min(start + self.batch_size, starts[-1])
            first, last = starts.searchsorted(start, "right") - 1, starts.searchsorted(stop)
            rows = np.concatenate([chunk_of_row(k) for k in range(first, last)])
            ends = np.array([start, stop]) - starts[first]
            begin, end = (np.bincount(rows[:n], minlength=count).tolist() for n in ends)
            needed = {(self.epoch, c) for c in order[first * width : (last + 1) * width].tolist()}
            places, pieces = range(first * width, min(last * width, count)), []
            # a worker gets the same places of each window, and reads no chunk that others read
            for i in sorted(places, key=lambda i: i % width):
                if end[i] > begin[i]:
                    ahead = order[last * width :][i % width :][:1]
                    pieces.append((begin[i], end[i], [int(order[i]), *ahead.tolist()]))
            self.position += 1
            yield tuple(self._batch(k, pieces, needed) for k in range(len(self._kinds)))
        self.epoch, self.position = self.epoch + 1, 0

    def _batch(self, column: int, pieces: list[Any], needed: set[tuple[int, int]]) -> Any:
        """Return a Dask array of a column of a batch, whose chunks are the pieces.

        A piece has the first and last of its rows, its chunk, and one that is read ahead, if any.
        """
        name, (shape, dtype), graph = unique_name("batch"), self._kinds[column], dict[Any, Any]()
        for i, (first, last, chunks) in enumerate(pieces):
            source, key = self._chunks[column][chunks[0]], (name, i, *[0] * len(shape))
            rows = partial(_shuffled, (self.seed, self.epoch, chunks[0]), first, last)
            if isinstance(source, np.ndarray):
                graph[key] = rows(source)
            elif callable(source):
                sources = {(self.epoch, c, column): self._chunks[column][c] for c in chunks}
                graph[key] = (rows, (partial(_held_chunk, self._name, needed, sources),))
            else:
                graph |= {**source[0], key: (rows, source[1])}
        sizes = tuple(last - first for first, last, _ in pieces)
        return dask.array.Array(graph, name, (sizes, *((n,) for n in shape)), dtype)
