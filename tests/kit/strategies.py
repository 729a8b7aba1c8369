"""Inputs for an operation, drawn from the words of its domain.

Everything that matters is drawn: shapes, values element by element, settings, layouts. So an
example is its arrays, and shrinks to few, small, round numbers. Values have at most 24 significant
bits: they are the same in float32, and a step of a numerical derivative adds to them exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc import Op
    from tinygrad_fc.domain import Domain

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

SIZES = (2, 3, 1, 4, 0)


@dataclass(frozen=True)
class Case:
    """A row, arrays and settings to call it with, and a number that directions are made of."""

    op: Op
    arrays: tuple[Array, ...]
    settings: dict[str, Any]
    salt: int = 0

    @property
    def floats(self) -> tuple[int, ...]:
        """Which arguments have a rule."""
        return differentiable(self.op)

    def forward(self, *arrays: Array) -> Array:
        """Return what the row's own function makes of `arrays`."""
        return np.asarray(self.op.forward(*(arrays or self.arrays), **self.settings))

    def cast(self, dtype: Any) -> Case:
        """Return the same numbers as `dtype`."""
        cast = (a.astype(dtype) if a.dtype.kind == "f" else a for a in self.arrays)
        return replace(self, arrays=tuple(cast))


def differentiable(op: Op) -> tuple[int, ...]:
    """Return which arguments of `op` have a rule: none where it is a constant."""
    if op.rules is None:
        return ()
    # A rule that is not there was filled in by one that says so.
    named = (
        getattr(getattr(op.rules[i], "func", None), "__name__", "") for i in range(len(op.domain))
    )
    return tuple(i for i, name in enumerate(named) if name != "_no_rule")


# Shapes. What draws is plain functions: strategies that are made anew for each draw cost more
# than all else.

_COMMON = st.sampled_from(SIZES[:-1])
_SIZE = st.integers(0, 9)
_RANK = st.sampled_from((0, 1, 2, 1, 2, 2))
_BATCH = st.sampled_from((0, 0, 0, 1, 1, 2))  # beside other axes
_EXTRA = st.integers(0, 2)
_BYTE = st.integers(0, 255)


def _shapes(draw: st.DrawFn, words: Sequence[Domain]) -> tuple[list[Shape], dict[str, int]]:
    """Draw a shape for each word, which fit together, and the sizes of the letters."""
    # Half of the sizes are the same, since the bugs of square arrays are others' blind spots.
    common = draw(_COMMON)
    letters: dict[str, int] = {}

    def size() -> int:
        k = draw(_SIZE)
        return common if k < 5 else SIZES[k - 5]

    patterns: list[Sequence[Any]] = [(...,) if w.shape is None else w.shape for w in words]
    several = sum(... in pattern for pattern in patterns) > 1
    rank = _RANK if all(len(p) == 1 for p in patterns) else _BATCH
    batch = tuple(size() for _ in range(draw(rank))) if any(... in p for p in patterns) else ()
    found = []
    for pattern in patterns:
        part = _part(draw(_BYTE), batch) if several and ... in pattern else batch
        shape: Shape = ()
        for axis in pattern:
            if axis is ...:
                shape += part
            elif isinstance(axis, int):
                shape += (axis + draw(_EXTRA),)
            elif not axis.endswith("?") or part or draw(_SIZE) < 7:
                letter = axis.rstrip("?")
                if letter not in letters:
                    letters[letter] = size()
                shape += (letters[letter],)
        found.append(shape)
    return found, letters


def _part(how: int, batch: Shape) -> Shape:
    """Return a shape that broadcasts to `batch`: fewer axes, and some of size 1."""
    cut = how // 8 % (len(batch) + 1) if how & 1 else 0
    return tuple(1 if how >> (k + 1) & 1 else n for k, n in enumerate(batch))[cut:]


# Values


def _unit(m: Array) -> Array:
    """Return numbers between -1 and 1, and neither of them nor 0, for bytes."""
    return (2.0 * m - 255) / 256


def _spread(kind: Array, m: Array) -> Array:
    """Return numbers of all sizes for bytes: eighths mostly, and decades from 2^-12 to 2^12."""
    decade = np.ldexp(1 + m % 8 / 8.0, (kind >> 2).astype(int) % 25 - 12) * np.where(m > 127, -1, 1)
    return np.where(kind % 4 == 3, decade, (m - 128.0) / 8)


def _within(word: Domain, kind: Array, m: Array) -> Array:
    """Return numbers of the interval that `word` names."""
    low, high = word.low, word.high
    if low == -np.inf and high == np.inf:
        return _spread(kind, m)
    if low > -np.inf and high < np.inf:
        near = np.ldexp(1.0, -1 - (kind >> 2).astype(int) % 16)
        share = np.where(kind % 4 == 3, np.copysign(1 - near, m - 127.5), _unit(m))
        return (low + high) / 2 + (high - low) / 2 * share
    size = np.abs(_spread(kind, m))
    size = np.where(size == 0, 1, size)
    return low + size if low > -np.inf else high - size


def _floats(draw: st.DrawFn, word: Domain, shape: Shape) -> Array:
    """Draw an array of `shape` of numbers in `word`, exact in float32."""
    n = math.prod(shape)
    # Two bytes an element, in one draw: that is fast, and shrinks element by element all the same.
    raw = np.frombuffer(draw(st.binary(min_size=2 * n, max_size=2 * n)), np.uint8).reshape(n, 2)
    kind, m = raw[:, 0].astype(int), raw[:, 1].astype(int)
    if draw(_SIZE) == 9:
        kind[:] = 0  # few different numbers: many of them are equal
    middle = np.array(word.special or (_within(word, np.int64(1), np.int64(192)),), float)
    x = np.where(kind % 4 == 0, middle[m % len(middle)], _within(word, kind, m))
    x = x.astype(np.float32).astype(float)
    outside = (x <= word.low) | (x >= word.high) | np.isin(x, word.without)
    x = np.where(outside, middle[0], x)
    if word.distinct:
        order = np.argsort(x, kind="stable")
        x[order] += np.arange(n)
    return x.reshape(shape)


def _whole(draw: st.DrawFn, shape: Shape, low: int, high: int) -> Array:
    """Draw an array of whole numbers from `low` to below `high`, repeats included."""
    n = math.prod(shape)
    if n and high <= low:
        reject()
    raw = np.frombuffer(draw(st.binary(min_size=n, max_size=n)), np.uint8).astype(np.intp)
    return (low + raw % max(high - low, 1)).reshape(shape)


def _values(draw: st.DrawFn, word: Domain, shape: Shape, letters: dict[str, int]) -> Array:
    if word.kind == "bool":
        return _whole(draw, shape, 0, 2).astype(bool)
    if word.kind == "index":
        n = letters[word.size] if isinstance(word.size, str) else int(word.size or 0)
        return _whole(draw, shape, -n, n)
    return _floats(draw, word, shape)


def ordinary(word: Domain, shape: Shape) -> Array:
    """Return numbers in `word` that are neither large nor near to an edge: about 1, if they may."""
    rng = np.random.default_rng(shape)
    m = 128 + rng.choice((-7, -5, -3, 2, 4, 6, 8), shape)
    return np.asarray(_within(word, np.ones(shape, int), m))


def ordinaries(case: Case) -> list[Array]:
    """Return such numbers for the arguments of `case` that have a rule."""
    return [ordinary(case.op.domain[i], case.arrays[i].shape) for i in case.floats]


def reach(word: Domain, x: Array) -> Array:
    """Return how far each number may move, in powers of 2: by its own size, and inside `word`."""
    size = np.abs(x)
    room = np.where(size == 0, size.max(initial=0) or 1.0, size)
    for edge in (word.low, word.high, *word.without):
        if np.isfinite(edge):
            room = np.minimum(room, np.abs(x - edge))
    return np.asarray(np.ldexp(1.0, np.frexp(room)[1] - 1))


def anywhere(word: Domain) -> Domain:
    """Return all numbers in place of `word`, its edges foremost: for what a branch leaves out."""
    edges = [v for v in (word.low, word.high, *word.without) if np.isfinite(v)]
    special = (0.0, *edges, *word.special)
    return replace(word, low=-np.inf, high=np.inf, without=(), special=special)


# Cases


@st.composite
def cases(draw: st.DrawFn, op: Op, *, everywhere: bool = False) -> Case:
    """Draw arrays and settings for `op`: inside its domain, or `everywhere`, edges foremost."""
    words = [anywhere(w) if everywhere and w.kind == "float" else w for w in op.domain]
    shapes, letters = _shapes(draw, words)
    arrays = tuple(_values(draw, w, s, letters) for w, s in zip(words, shapes, strict=True))
    settings = {}
    for name, legal in op.settings.items():
        choices = list(legal(*arrays))
        if not choices:
            reject()
        settings[name] = choices[draw(_BYTE) % len(choices)]
    return Case(op, arrays, settings, draw(_BYTE))


# Layouts


def _strided(x: Array) -> Array:
    buffer = np.full((*x.shape, 3), 7, x.dtype)
    buffer[..., 1] = x
    return buffer[..., 1]


def _readonly(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "contiguous": lambda x: x.copy(order="C"),
    "Fortran": lambda x: x.copy(order="F"),
    "transposed": lambda x: x.swapaxes(0, -1).copy().swapaxes(0, -1) if x.ndim > 1 else x,
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "strided": _strided,
    "read-only": _readonly,
}
"""The same array in another layout of memory, by its name."""


def held(x: Array) -> Array:
    """Return the first part of `x`, repeated with a stride of 0."""
    return np.broadcast_to(x[:1], x.shape) if x.ndim else x
