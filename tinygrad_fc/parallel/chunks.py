"""Chunks of rows of arrays in memory, on disk, or on Dask."""

from __future__ import annotations

import math
import mmap
from functools import partial
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK_BYTES = 1 << 24
"""The size of a chunk by default."""


def columns(arrays: Sequence[Any], chunk_rows: int | None) -> list[Any]:
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


def _read(source: Any, rows: range) -> Any:
    """Return the rows of an array that is on disk."""
    array = np.memmap(*source) if isinstance(source, tuple) else source
    return np.asarray(array[rows.start : rows.stop])


def loaded(chunk: Any) -> Any:
    """Return the array of a chunk in a worker."""
    return chunk() if callable(chunk) else chunk
