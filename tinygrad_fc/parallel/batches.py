"""Shuffled mini-batches of arrays that are larger than memory."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
from dask.delayed import delayed

from tinygrad_fc.graph import Node
from tinygrad_fc.parallel.chunks import columns, loaded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class batches:  # noqa: N801  called like a function, as `map` and `backward` are
    """Yield mini-batches of `arrays` (N, ...) as Dask arrays, shuffled anew in each epoch.

    Each `for` loop is an epoch; one that was left goes on where it stopped. The order of the chunks
    is shuffled, then the rows within each window of `window` chunks, by `seed` and the number of
    the epoch alone: it is the same for any number of workers. Rows meet in a batch only if their
    chunks are in one window or in consecutive ones. The workers of `client` hold these windows and
    the next one in memory. A batch has `pieces` chunks, which `parallel.backward` runs side by
    side. The chunks that are read are those of the first array, or have `chunk_rows`.

    `state_dict()` has seed, epoch and position; a loop after `load_state_dict` yields the batches
    that are left. Raises `ValueError` for arrays that do not match and sizes below 1.

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
        sizes = {"batch_size": batch_size, "window": window, "pieces": pieces}
        if wrong := [f"{name}={n}" for name, n in sizes.items() if n < 1]:
            raise ValueError(f"expected sizes of at least 1, got {', '.join(wrong)}")
        self.arrays = [a._array if isinstance(a, Node) else a for a in arrays]
        rows, *self._chunks = columns(self.arrays, chunk_rows)
        self._sizes = [len(r) for r in rows]
        self.batch_size, self.seed, self.client = batch_size, seed, client
        self.window, self.pieces, self.drop_last = window, pieces, drop_last
        self.epoch, self.position = 0, 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(sum(self._sizes), self.batch_size)
        return full + bool(rest and not self.drop_last)

    def state_dict(self) -> dict[str, int]:
        """Return the seed, the epoch, and the number of batches that were yielded in it."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from a state of `state_dict`, of a loader with the same arrays and sizes."""
        self.seed, self.epoch, self.position = (
            int(state[name]) for name in ("seed", "epoch", "position")
        )

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        epoch = _Epoch(self)
        while self.position < len(self):
            start = self.position * self.batch_size
            self.position += 1
            yield epoch.batch(start, min(start + self.batch_size, sum(self._sizes)))
        self.epoch, self.position = self.epoch + 1, 0


class _Epoch:
    """The windows of one epoch, of which two are in the workers' memory at a time."""

    def __init__(self, loader: batches) -> None:
        self.loader = loader
        chunks = np.random.default_rng((loader.seed, loader.epoch)).permutation(len(loader._sizes))
        step = loader.window
        self.windows = [chunks[k : k + step].tolist() for k in range(0, len(chunks), step)]
        counts = [sum(loader._sizes[c] for c in window) for window in self.windows]
        self.ends = [0, *np.cumsum(counts).tolist()]
        self.held: dict[int, Any] = {}

    def batch(self, start: int, stop: int) -> tuple[Any, ...]:
        """Return the rows from `start` to `stop` of this epoch, of each array."""
        windows = [k for k, (a, b) in enumerate(pairwise(self.ends)) if a < stop and b > start]
        ahead = min(windows[-1] + 1, len(self.windows) - 1)
        self.held = {k: self.held.get(k) or self._read(k) for k in [*windows, ahead]}
        size = -(-(stop - start) // self.loader.pieces)
        edges = [*range(start, stop, size), stop]
        return tuple(
            dask.array.concatenate([self._piece(column, *piece) for piece in pairwise(edges)])
            for column in range(len(self.loader.arrays))
        )

    def _read(self, k: int) -> Any:
        """Begin to read a window into the workers' memory; return its chunks of each array."""
        read = delayed(loaded, pure=False)
        columns = [[read(chunks[c]) for c in self.windows[k]] for chunks in self.loader._chunks]
        client = self.loader.client
        if client is None:
            return dask.base.persist(columns, scheduler="threads")[0]
        return [client.persist(column) for column in columns]

    def _piece(self, column: int, start: int, stop: int) -> Any:
        """Return the rows from `start` to `stop` of one array."""
        spans, chunks = [], []
        for k, (a, b) in enumerate(pairwise(self.ends)):
            if a < stop and b > start:
                seed = (self.loader.seed, self.loader.epoch, k)
                spans.append((seed, max(start - a, 0), min(stop, b) - a, len(self.windows[k])))
                chunks += self.held[k][column]
        array = self.loader.arrays[column]
        shape = (stop - start, *array.shape[1:])
        return dask.array.from_delayed(
            delayed(_taken, pure=False)(spans, *chunks), shape, array.dtype
        )


def _taken(spans: list[Any], *chunks: Any) -> Any:
    """Return rows of shuffled windows: of each span those from its start to its stop."""
    parts, remaining = [], list(chunks)
    for seed, start, stop, count in spans:
        window, remaining = remaining[:count], remaining[count:]
        ends = np.cumsum([0, *map(len, window)])
        rows = np.random.default_rng(seed).permutation(ends[-1])[start:stop]
        part = np.empty((len(rows), *window[0].shape[1:]), window[0].dtype)
        for chunk, (a, b) in zip(window, pairwise(ends), strict=True):
            inside = (rows >= a) & (rows < b)
            part[inside] = chunk[rows[inside] - a]
        parts.append(part)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
