"""Tensors of one file that share memory: their places in it, for the JSON, and views at places.

A place is `[name, offset, *strides]`: the array with the memory, and where the elements are in it,
counted in elements. Each tensor is also stored whole, for other readers of the file.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.lib.stride_tricks import as_strided

from tinygrad_fc.core.node import owner


def shared_places(arrays: dict[str, Any]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Return the places, by name, of those `arrays` whose memory overlaps, and further arrays.

    A further array holds memory that none of the overlapping arrays covers.
    """
    places: dict[str, list[Any]] = {}
    memories: dict[str, Any] = {}
    for group in _overlapping(arrays):
        low, high = group[0][1], max(map(itemgetter(2), group))
        names = [name for *_, name in group]
        contiguous = (s for s in group if arrays[s[3]].flags.c_contiguous)
        whole = next((s[3] for s in contiguous if s[1:3] == (low, high)), "")
        if not whole:
            whole, first = f"{names[0]}#memory", arrays[names[0]]
            ascending = first[tuple(slice(None, None, -1 if s < 0 else 1) for s in first.strides)]
            count = (high - low) // first.itemsize
            memories[whole] = as_strided(ascending, (count,), (first.itemsize,))
        for name in names:
            a = arrays[name]
            offsets = (_address(a) - low, *a.strides)
            if name != whole:
                places[name] = [whole, *(n // a.itemsize for n in offsets)]
    return places, memories


def _overlapping(arrays: dict[str, Any]) -> list[list[tuple[Any, int, int, str]]]:
    """Return groups of (memory, begin, end, name) whose bytes overlap, in order of begin."""
    spans = []
    for name, a in arrays.items():
        if a.size and all(stride % a.itemsize == 0 for stride in a.strides):
            memory = (id(owner(a)), a.dtype.str, _address(a) % a.itemsize)
            spans.append((memory, *byte_bounds(a), name))
    groups: list[list[tuple[Any, int, int, str]]] = []
    last, end = None, 0
    for span in sorted(spans):
        if span[0] == last and span[1] < end:
            groups[-1].append(span)
        else:
            groups.append([span])
            last, end = span[0], 0
        end = max(end, span[2])
    return [group for group in groups if len(group) > 1]


def _address(array: Any) -> int:
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def view_at(place: Any, arrays: dict[str, Any], array: Any) -> Any:
    """Return the view at `place` into one of `arrays`; None if it is not equal to `array`."""
    fits = isinstance(place, list) and len(place) == array.ndim + 2 and isinstance(place[0], str)
    if fits and place[0] in arrays and all(type(n) is int for n in place[1:]):
        memory, (offset, *strides) = arrays[place[0]], place[1:]
        steps = [s if n > 1 else 0 for s, n in zip(strides, array.shape, strict=True)]
        spans = [s * (n - 1) for s, n in zip(steps, array.shape, strict=True)]
        low, high = (offset + sum(end(0, span) for span in spans) for end in (min, max))
        if low >= 0 and high < memory.size and memory.dtype == array.dtype:
            start, *steps = (n * array.itemsize for n in (offset, *steps))
            view: Any = np.ndarray(array.shape, array.dtype, memory, start, steps)
            if view.tobytes() == array.tobytes():
                return view
    return None
