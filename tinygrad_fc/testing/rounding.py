"""Rounding of gradients: measured by moving their inputs by a few ulps, not assumed.

Also the cotangents that checks use, which are exact in every float dtype.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.autograd.numerical import EPS, longest_steps
from tinygrad_fc.testing.report import Array, DiscardError, GradientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tinygrad_fc.testing.function import Case

EPS32 = float(np.finfo(np.float32).eps)
FAR = 2.0**20 * EPS


def cotangent(like: Array, seed: int, *, zeros: bool = False) -> Array:
    """Return odd eighths in the shape and dtype of `like`, some of them 0 with `zeros`.

    Never ones, which hide rules that ignore the cotangent.
    """
    return np.array(_eighths(seed, like.shape, zeros), like.dtype)


@lru_cache(maxsize=256)
def _eighths(seed: int, shape: tuple[int, ...], zeros: bool) -> Array:
    rng = np.random.default_rng([seed, *shape])
    g = (2 * rng.integers(-16, 16, shape) + 1) / 8
    return np.asarray(g * (rng.random(shape) < 0.75) if zeros else g)


def split_like(w: Array, arrays: Sequence[Array]) -> list[Array]:
    """Return the parts of a flat array in the shapes of `arrays`."""
    pieces = np.split(w, np.cumsum([a.size for a in arrays])[:-1])
    return [p.reshape(a.shape) for p, a in zip(pieces, arrays, strict=True)]


class Perturbation(NamedTuple):
    """Moves each number by a few ulps up or down; equal numbers alike, so that ties stay ties."""

    pattern: int
    """Which numbers move up; an odd pattern moves them the other way than the even one before."""
    step: float
    """By how much, relative to the number; at least an ulp of its dtype."""
    times: int
    results: bool
    """Whether results and cotangents are moved too, besides the arguments."""

    def __call__(self, x: Array) -> Array:
        """Return `x` moved; integers and booleans stay."""
        if x.dtype.kind != "f":
            return x
        bits = np.frombuffer(x.astype(float).tobytes(), np.uint64)
        mixed = bits * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(48)
        up = (mixed >> np.uint64(self.pattern // 2) & np.uint64(1)).reshape(x.shape)
        sign = ((1 - 2 * (self.pattern % 2)) * (2.0 * up - 1)).astype(x.dtype)
        far = self.times * max(self.step, float(np.finfo(x.dtype).eps))
        return np.asarray(x + x * sign * x.dtype.type(far))


def spread(
    moved: Callable[[Perturbation], list[Array]], ulp: float, pattern: int = 0
) -> list[Array]:
    """Return how far gradients move where arguments, result and cotangent move by some ulps.

    That is their own rounding: `1 - out * out` loses digits in saturation. The point itself is
    left out and its two sides are not compared with each other, so that a rule that is wrong at
    one number only, or at a kink, does not look like rounding.
    """
    with np.errstate(all="ignore"):
        most = [
            (a.max(axis=1) - a.min(axis=1)).max(axis=0)
            for a in _both_sides(moved, ulp, pattern, results=True)
        ]
        if ulp == EPS:
            third_differences = roughness(moved, FAR, pattern)
            most = [np.maximum(r, m) for r, m in zip(third_differences, most, strict=True)]
        return [np.where(np.isnan(m), np.inf, m) for m in most]


def roughness(
    moved: Callable[[Perturbation], list[Array]], step: float, pattern: int = 0
) -> list[Array]:
    """Return the third differences of gradients along larger steps, in which smooth terms vanish.

    Larger steps change how every intermediate sum rounds.
    """
    with np.errstate(all="ignore"):
        sides = _both_sides(moved, step, pattern, results=False)
        return [np.abs(np.diff(a, 3, axis=1)).max(axis=(0, 1)) / 4 for a in sides]


def _both_sides(
    moved: Callable[[Perturbation], list[Array]], step: float, pattern: int, *, results: bool
) -> Iterator[Array]:
    """Yield each gradient at four steps to both sides."""
    patterns, times = (pattern, pattern + 1), (1, 2, 3, 4)
    all_moved = [moved(Perturbation(p, step, k, results)) for p in patterns for k in times]
    for one in zip(*all_moved, strict=True):
        yield np.array(one, float).reshape(2, 4, *one[0].shape)


def close(
    a: Array, b: Array, rounding: Callable[[], Array] | None = None, scale: Array | None = None
) -> bool:
    """Return whether `a` and `b` differ by rounding: of the largest entry, or as measured.

    Two orders of a sum of 256 terms, more than most examples have, differ by 256 eps at most. The
    rounding is measured at a few moves by ulps, so 32 times as much is allowed.
    """
    if same(a, b):
        return True
    with np.errstate(all="ignore"):
        eps = max(float(np.finfo(x.dtype).eps) for x in (a, b))
        far = distance(a, b)
        sizes = np.abs(b) if scale is None else scale
        if (far <= 256 * eps * largest(sizes) + 2.0**-1000).all():
            return True
        return rounding is not None and bool((far <= 32 * rounding()).all())


def distance(a: Array, b: Array) -> Array:
    """Return |a - b|, 0 where both are the same infinity or both are NaN."""
    with np.errstate(all="ignore"):
        return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))


def all_finite(arrays: Iterable[Array]) -> bool:
    """Return whether all entries of all arrays are finite."""
    return all(np.isfinite(a).all() for a in arrays)


def same(a: Array, b: Array) -> bool:
    """Return whether `a` and `b` are equal, entry by entry; NaN equals NaN."""
    return np.array_equal(a, b, equal_nan=True)


def largest(a: Array) -> float:
    """Return the largest absolute value of the finite entries, 0 if there is none."""
    return float(np.abs(a[np.isfinite(a)]).max(initial=0))


def worst_index(a: Array, b: Array) -> tuple[int, ...]:
    """Return the index at which `a` and `b` differ most."""
    far = np.nan_to_num(distance(np.asarray(a, float), np.asarray(b, float)), nan=np.inf)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(far)), far.shape))


# Of the gradients of a case


def of_gradient(case: Case, g: Array, k: int) -> Array:
    """Return the rounding error of the `k`-th gradient, with the errors of terms that cancel.

    Terms are rounded by an eps of their size, at each of up to 128 operations, and the ordinary
    sizes of `natural_sizes` by 8 eps, since most rules add few terms of that size.
    """
    usual, hidden = (sizes[k] for sizes in natural_sizes(case, g))
    third = np.asarray(g / 3, g.dtype)  # eighths may round alike wherever they move
    moves = spread(lambda p: case.gradients(g, perturbation=p), EPS)[k]
    moves = moves + 3 * spread(lambda p: case.gradients(third, perturbation=p), EPS)[k]
    sizes = 128 * _largest_term(case, g, k) + 8 * (usual + hidden)
    return np.asarray(moves + float(np.finfo(g.dtype).eps) * sizes)


def _largest_term(case: Case, g: Array, k: int) -> float:
    """Return how large the terms of the `k`-th gradient are, as other signs of `g` show."""
    rng = np.random.default_rng(g.shape)
    signs = [rng.choice((-1, 1), g.shape) for _ in range(4)]
    turned = [case.gradients(np.asarray(s * g, g.dtype), case.out)[k] for s in signs]
    return max(map(largest, turned))


def natural_sizes(case: Case, g: Array) -> tuple[list[Any], list[Any]]:
    """Return two sizes for each gradient, whose rounding error is about eps times each of them.

    The first is the size of the largest gradient at ordinary numbers. The second is the sum of
    |g * out|, divided by a step over all of `x`: rules that read `out` have its rounding error.
    """
    usual = [0.0] * len(case.floats)
    sizes = np.abs(np.asarray(case.out, float))
    for point in _ordinary_points(case):
        try:
            with np.errstate(all="ignore"):
                other = case.at_point(point)
                grads = other.gradients(g.astype(other.out.dtype))
        except (DiscardError, GradientError):
            continue
        usual = [max(m, largest(a)) for m, a in zip(usual, grads, strict=True)]
        out = np.abs(other.out)
        sizes = np.where(np.isfinite(out), np.maximum(sizes, out), sizes)
    with np.errstate(all="ignore"):
        terms = np.abs(np.asarray(g, float)) * sizes
    total = terms[np.isfinite(terms)].sum()
    return usual, [total / longest_steps(np.asarray(case.arrays[i], float)) for i in case.floats]


def _ordinary_points(case: Case) -> Iterator[list[Array]]:
    """Yield the arguments with ordinary numbers in place of all of them, and of each."""
    usual = case.ordinary_point()
    mine = [case.raw[i] for i in case.floats]
    yield usual
    for k, i in enumerate(case.floats):
        for sign in (1, -1)[: 1 + (case.domains[i].low < -1)]:
            yield [*mine[:k], sign * usual[k], *mine[k + 1 :]]
