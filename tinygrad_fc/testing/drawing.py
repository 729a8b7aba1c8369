"""Inputs for an operation, drawn from the words of its domain.

Everything that matters is drawn: shapes, values element by element, settings. So an example is
its arrays, and shrinks to few, small, round numbers. Values have at most 24 significant bits:
they are the same in float32, and a step of a numerical derivative adds to them exactly.

What bugs need to be seen is drawn on purpose, since chance brings it too rarely: square arrays
beside one that broadcasts, single numbers, nothing at all, ties, large and small numbers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from tinygrad_fc.domain import least, named
from tinygrad_fc.testing.case import Case
from tinygrad_fc.testing.plan import SALTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.domain import Domain
    from tinygrad_fc.testing.plan import Plan

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

SIZES = (1, 2, 3, 4, 0)

# Shapes. What draws is plain functions: strategies that are made anew for each draw cost more
# than all else.

_COMMON = st.sampled_from((1, 2, 2, 3, 3, 4))
_TEN = st.integers(0, 9)
_RANK = st.sampled_from((1, 2, 2, 0, 1, 2, 2, 3))
_BATCH = st.sampled_from((0, 0, 0, 1, 1, 2))  # beside other axes
_BYTE = st.integers(0, 255)
_SALT = st.integers(0, SALTS - 1)
_FLAVOUR = st.integers(0, 11)


def _sizes(draw: st.DrawFn, flavour: int) -> Callable[[], int]:
    """Return what draws the size of one axis after another."""
    common = draw(_COMMON)
    odd = count(-(draw(_BYTE) % 2)) if flavour > 7 else count(1)

    def size() -> int:
        if flavour > 7:  # one axis of size 1, or of size 0
            return max(common, 2) if next(odd) else int(flavour < 10)
        if flavour < 3:
            return common
        k = draw(_TEN)
        return common if k < 5 else SIZES[k - 5]

    return size


def _shapes(draw: st.DrawFn, words: Sequence[Domain]) -> tuple[list[Shape], dict[str, int]]:
    """Draw a shape for each word, which fit together, and the sizes of the letters."""
    # Half of the sizes are the same, since the bugs of square arrays are others' blind spots.
    flavour = draw(_FLAVOUR)
    size = _sizes(draw, flavour)
    letters: dict[str, int] = {}
    shortest = least(words)
    patterns: list[Sequence[Any]] = [(...,) if w.shape is None else w.shape for w in words]
    several = sum(... in pattern for pattern in patterns) > 1
    rank = _RANK if all(len(p) == 1 for p in patterns) else _BATCH
    batch = tuple(size() for _ in range(draw(rank))) if any(... in p for p in patterns) else ()
    how = draw(_BYTE) if several and batch else 0
    if how and 0 in batch and flavour > 7:
        how = 5 + how // 8 % 8 * 8 + batch.index(0) * 64  # that axis is stretched
    found = []
    for i, pattern in enumerate(patterns):
        part = batch
        if how and ... in pattern:
            part = _part(how, i, len(patterns), batch, draw)
        shape: Shape = ()
        for axis in pattern:
            if axis is ...:
                shape += part
            elif isinstance(axis, int):
                shape += (axis,)
            else:
                letter, optional, _ = named(axis)
                if optional and not part and draw(_TEN) > 6:
                    continue
                if letter not in letters:
                    letters[letter] = long_enough(size(), shortest[letter])
                shape += (letters[letter],)
        found.append(shape)
    return found, letters


def long_enough(size: int, shortest: int) -> int:
    """Return `size`, or one that is at least the shortest, and not always that."""
    return size if size >= shortest else shortest + size % 3


def _part(how: int, i: int, count: int, batch: Shape, draw: st.DrawFn) -> Shape:
    """Return a shape that broadcasts to `batch`: fewer axes, and some of size 1.

    Mostly one argument alone is smaller than the others, which are whole.
    """
    kind, chosen = how % 8, how // 8 % count
    if kind == 0:
        return batch
    if kind == 7:
        cut = draw(_BYTE)
        stretched = tuple(1 if cut >> k & 1 else n for k, n in enumerate(batch))
        return stretched[cut // 8 % (len(batch) + 1) if cut & 128 else 0 :]
    if i != chosen:
        return batch
    if kind < 3:
        return batch[1:]
    if kind < 5:
        return ()
    axis = how // 64 % len(batch)
    return tuple(1 if k == axis else n for k, n in enumerate(batch))


# Values. They are made from two bytes each: what kind a number is of, and which one of these.


def _turns(k: int) -> tuple[int, bool]:
    return abs(k), k < 0


def _eighths(m: int) -> tuple[int, int, bool]:
    return 8 // math.gcd(m - 128, 8), *_turns(m - 128)


SIMPLE = np.array(sorted(range(256), key=_eighths))
"""Which one, for a byte that is drawn: 0, 1, -1, 2 and so on, then halves, quarters, eighths.

Hypothesis makes bytes small, and so numbers simple.
"""
ORDER = SIMPLE.argsort()
KINDS = np.array(
    [4 * q + k for q in sorted(range(64), key=lambda q: _turns(q % 33 - 16)) for k in range(4)]
)
"""What kind, likewise: special values first, and decades from 1 on."""


def _unit(m: Array) -> Array:
    """Return numbers between -1 and 1, and neither of them nor 0, for bytes."""
    return (2.0 * m - 255) / 256


def _spread(kind: Array, m: Array) -> Array:
    """Return numbers of all sizes for bytes: eighths mostly, and decades from 2^-16 to 2^16."""
    decade = np.ldexp(1 + m % 8 / 8.0, (kind >> 2).astype(int) % 33 - 16)
    return np.where(kind % 4 == 3, decade * np.where(m > 127, 1, -1), (m - 128.0) / 8)


def _within(word: Domain, kind: Array, m: Array) -> Array:
    """Return numbers of the interval that `word` names."""
    low, high = word.low, word.high
    free = _spread(kind, m)
    if low == -np.inf and high == np.inf:
        return free
    if high - low <= 64:
        near = np.ldexp(1.0, -1 - (kind >> 2).astype(int) % 16)
        share = np.where(kind % 4 == 3, np.copysign(1 - near, m - 127.5), _unit(m))
        return (low + high) / 2 + (high - low) / 2 * share
    size = np.where(free == 0, 1, np.abs(free))
    edged = low + size if low > -np.inf else high - size
    return np.where((free > low) & (free < high), free, edged)


def _kinds(draw: st.DrawFn, kind: Array, m: Array) -> tuple[Array, Array]:
    """Return what numbers are made from, all of one kind at times."""
    flavour = draw(_TEN)
    if flavour < 5:
        return kind, m
    if flavour == 5:
        return 0 * kind, m  # special values: many are equal
    if flavour == 6:
        return 0 * kind + 1, 128 + 8 * ((m // 8 + 4) % 8 - 4)  # small whole numbers
    if flavour == 7:
        return kind | 3, m  # all sizes
    if flavour == 8:
        return 4 * (26 + (kind // 4 + 5) % 7) + 3, m  # 2^10 and more
    return 0 * kind + 1, 128 + (m + 16) % 32 - 16  # ordinary


def _floats(draw: st.DrawFn, word: Domain, shape: Shape) -> Array:
    """Draw an array of `shape` of numbers in `word`, exact in float32."""
    n = math.prod(shape)
    # Two bytes an element, in one draw: that is fast, and shrinks element by element all the same.
    raw = np.frombuffer(draw(st.binary(min_size=2 * n, max_size=2 * n)), np.uint8).reshape(n, 2)
    kind, m = _kinds(draw, KINDS[raw[:, 0]], SIMPLE[raw[:, 1]])
    return numbers(word, kind, m).reshape(shape)


def special(word: Domain) -> tuple[float, ...]:
    """Return the values of `word` that are worth trying, or any one of it."""
    return word.special or (float(_within(word, np.array(1), np.array(192))),)


def numbers(word: Domain, kind: Array, m: Array) -> Array:
    """Return numbers in `word` for bytes: what kind each is of, and which of these."""
    middle = np.array(special(word), float)
    x = np.where(kind % 4 == 0, middle[ORDER[m % 256] % len(middle)], _within(word, kind, m))
    x = x.astype(np.float32).astype(float)
    outside = (x <= word.low) | (x >= word.high) | np.isin(x, word.without)
    x = np.where(outside, middle[0], x)
    if word.distinct:
        order = np.argsort(x, kind="stable")
        x[order] += np.arange(x.size)
    return np.asarray(x)


def _whole(draw: st.DrawFn, shape: Shape, low: int, high: int) -> Array:
    """Draw an array of whole numbers from `low` to below `high`, repeats included."""
    n = math.prod(shape)
    if n and high <= low:
        reject()
    raw = np.frombuffer(draw(st.binary(min_size=n, max_size=n)), np.uint8).astype(np.intp)
    if n and draw(_TEN) > 6:
        raw = 0 * raw + raw[0]
    return (low + raw % max(high - low, 1)).reshape(shape)


def _values(draw: st.DrawFn, word: Domain, shape: Shape, letters: dict[str, int]) -> Array:
    if word.kind == "bool":
        return _whole(draw, shape, 0, 2).astype(bool)
    if word.kind == "index":
        n = letters[word.size] if isinstance(word.size, str) else int(word.size or 0)
        return _whole(draw, shape, -n if word.low < 0 else 0, n)
    return _floats(draw, word, shape)


def anywhere(word: Domain) -> Domain:
    """Return all numbers in place of `word`, its edges foremost: for what a branch leaves out."""
    edges = [v for v in (word.low, word.high, *word.without) if np.isfinite(v)]
    special = (0.0, *edges, *word.special)
    return replace(word, low=-np.inf, high=np.inf, without=(), special=special, condition=None)


# Cases


def arrays_of(draw: st.DrawFn, words: Sequence[Domain]) -> tuple[Array, ...]:
    """Draw an array for each word."""
    shapes, letters = _shapes(draw, words)
    arrays = tuple(_values(draw, w, s, letters) for w, s in zip(words, shapes, strict=True))
    return _near(draw, words, arrays) if draw(_TEN) > 7 else arrays


def _near(draw: st.DrawFn, words: Sequence[Domain], arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return numbers that are all near to each other, in all arrays: for what compares them."""
    centre, scale = (draw(_BYTE) - 128) / 8, 2.0 ** -(4 + draw(_BYTE) % 7)
    found = []
    for word, x in zip(words, arrays, strict=True):
        moved = centre + scale * np.clip(x, -8, 8) if word.kind == "float" else x
        inside = (moved > word.low) & (moved < word.high) & ~np.isin(moved, word.without)
        plain = word.kind != "float" or word.distinct
        found.append(x if plain else np.where(inside, np.float32(moved), x).astype(float))
    return tuple(found)


@st.composite
def cases(draw: st.DrawFn, plan: Plan, *, everywhere: bool = False) -> Case:
    """Draw arrays and settings for a rule: inside its domain, or `everywhere`, edges foremost."""
    words = plan.words
    if everywhere:
        words = tuple(anywhere(w) if w.kind == "float" else w for w in words)
    arrays = arrays_of(draw, words)
    chosen: dict[str, Any] = {}
    for name, legal in plan.settings.items():
        choices = list(legal(*arrays))
        if not choices:
            reject()
        chosen[name] = choices[draw(_BYTE) % len(choices)]
    case = Case(
        *(plan.rule, words, arrays, chosen, draw(_SALT), plan.strict, plan.floats),
        plan.options.where,
    )
    if not case.legal():
        reject()
    return case
