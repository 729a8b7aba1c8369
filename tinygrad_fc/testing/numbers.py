"""Numbers to weigh and to move results with, and how near two of them must be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.autograd.chance import kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Array = np.ndarray[Any, Any]

EPS = float(np.finfo(np.float64).eps)
FAR = 2.0**20 * EPS
EPS32 = float(np.finfo(np.float32).eps)
STILL = 2.0**16
"""How many ulps of the product of all arguments may be left of what cancels wherever they lie.

No place shows of what size it is: one number, normalised, is 0, and its gradient is a difference
of numbers that are 1 / sqrt(1e-5) times as large as the weight behind.
"""


def cotangent(like: Array, salt: int, *, zeros: bool = False) -> Array:
    """Return random odd eighths in the shape and dtype of `like`, some of them 0 with `zeros`.

    Never ones, which hide rules that forget their gradient, and exact in every float.
    """
    return np.array(_eighths(salt, like.shape, zeros), like.dtype)


@kept
def _eighths(salt: int, shape: tuple[int, ...], zeros: bool) -> Array:
    rng = np.random.default_rng([salt, *shape])
    g = (2 * rng.integers(-16, 16, shape) + 1) / 8
    return np.asarray(g * (rng.random(shape) < 0.75) if zeros else g)


NEIGHBOURS = 32
"""The pattern in which a number and the next larger one move apart, or towards each other."""


class Nudge(NamedTuple):
    """Moves each number by a few ulps, one way or the other; equal ones alike: ties stay."""

    pattern: int
    """Which numbers move up: even for some, odd for the others; each pair chooses by itself."""
    step: float
    """By how much, relative to the number: 1 or more ulps, of a coarse type its own."""
    times: int
    rounds: bool
    """Whether it is for rounding, by which results move, too. Farther these follow arguments."""

    def __call__(self, x: Array) -> Array:
        """Return `x` moved; as it is where it is not of floats."""
        if x.dtype.kind != "f":
            return x
        up = self._up(x).reshape(x.shape).astype(x.dtype)
        sign = (1 - 2 * (self.pattern % 2)) * (2 * up - 1)
        far = self.times * max(self.step, float(np.finfo(x.dtype).eps))
        return np.asarray(x + x * sign * x.dtype.type(far))

    def _up(self, x: Array) -> Array:
        """Return which numbers move up, 1 or 0, where the pattern is even."""
        if self.pattern >= NEIGHBOURS:
            return np.unique(x, return_inverse=True)[1] & 1
        bits = np.frombuffer(x.astype(float).tobytes(), np.uint64)
        mixed = bits * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(48)
        return mixed >> np.uint64(self.pattern // 2) & np.uint64(1)


def spread(found: Callable[[Nudge | None], list[Array]], ulp: float, first: int = 0) -> list[Array]:
    """Return how far gradients move where arguments, result and gradient do so by some ulps.

    That is their own rounding, which is nobody's fault: `1 - out * out` loses digits in
    saturation, whoever computes it. Gradients at the place itself are left out, and those to its
    two sides not compared with each other: a rule that is wrong at one number only, or at a kink,
    must not look like rounding. `first` chooses other directions.
    """
    with np.errstate(all="ignore"):
        most = [
            (a.max(axis=1) - a.min(axis=1)).max(axis=0)
            for a in _sides(found, ulp, first, rounds=True)
        ]
        if ulp == EPS:
            most = [np.maximum(r, m) for r, m in zip(rough(found, FAR, first), most, strict=True)]
        return [np.where(np.isnan(m), np.inf, m) for m in most]


def rough(found: Callable[[Nudge | None], list[Array]], far: float, first: int = 0) -> list[Array]:
    """Return what gradients move by at random where arguments do so by some steps of `far`.

    Farther steps change how every sum on the way rounds; what is smooth cancels.
    """
    with np.errstate(all="ignore"):
        sides = _sides(found, far, first, rounds=False)
        return [np.abs(np.diff(a, 3, axis=1)).max(axis=(0, 1)) / 4 for a in sides]


def _sides(
    found: Callable[[Nudge | None], list[Array]], step: float, first: int, *, rounds: bool
) -> Iterator[Array]:
    """Yield what each gradient is at four steps to the one side, and to the other."""
    patterns, times = (first, first + 1), (1, 2, 3, 4)
    moved = [found(Nudge(p, step, k, rounds)) for p in patterns for k in times]
    for each in zip(*moved, strict=True):
        yield np.array(each, float).reshape(2, 4, *each[0].shape)


def near(
    a: Array, b: Array, rounding: Callable[[], Array] | None = None, scale: Array | None = None
) -> bool:
    """Tell whether `a` and `b` differ by rounding: of the largest number, or as `rounding` says."""
    if _bits(a) == _bits(b):
        return True
    with np.errstate(all="ignore"):
        eps = max(float(np.finfo(x.dtype).eps) for x in (a, b))
        far = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))
        sizes = np.abs(b) if scale is None else scale
        largest = float(np.where(np.isfinite(sizes), sizes, 0).max(initial=0))
        if (far <= 256 * eps * largest + 2.0**-1000).all():
            return True
        return rounding is not None and bool((far <= 32 * rounding()).all())


def product(arrays: Iterable[Array]) -> float:
    """Return how large the product of all arrays can be, leaving out those of less than 1."""
    floats = (np.abs(a) for a in arrays if a.dtype.kind == "f")
    return math.prod(max(1.0, float(a.max(initial=0))) for a in floats)


def finite(arrays: Iterable[Array]) -> bool:
    """Tell whether all numbers are finite."""
    return all(np.isfinite(a).all() for a in arrays)


def _bits(a: Array) -> tuple[Any, ...]:
    """Return what is equal only of equal arrays, in less time than any look at their numbers."""
    return a.shape, a.dtype, a.tobytes()


def same(a: Array, b: Array) -> bool:
    """Tell whether `a` and `b` are the same, number by number."""
    return _bits(a) == _bits(b) or np.array_equal(a, b, equal_nan=True)


def worst(a: Array, b: Array) -> tuple[int, ...]:
    """Return where `a` and `b` differ most."""
    far = np.abs(np.asarray(a, float) - np.asarray(b, float))
    far = np.where(a == b, -1.0, np.where(np.isnan(far), np.inf, far))
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(far)), far.shape))
