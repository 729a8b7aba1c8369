"""Where a function is differentiated, and along which directions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.autograd.chance import kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, Any]
    Direction = Sequence[Array]


class Place(NamedTuple):
    """Where a function is differentiated, in one argument."""

    x: Array
    reach: Array
    """How far each number may move, in powers of 2."""
    ordinary: Array
    """Numbers of about 1, or what comes near to that in the argument's domain."""


def directions(places: Sequence[Place], salt: int) -> list[list[Array]]:
    """Return directions: all arguments at random, then another kind, told by `salt`."""
    by_chance = mixed(places, salt)
    kinds = [in_step(places), _one_number(by_chance, salt), by_chance]
    if len(places) > 1:
        kinds += [only(by_chance, i) for i in range(len(places))]
    second = kinds[salt % len(kinds)]
    return [by_chance, second, mixed(places, salt + 16)]


def only(v: Direction, i: int) -> list[Array]:
    """Return `v` for argument `i`, and 0 for all others."""
    return [a if k == i else 0 * a for k, a in enumerate(v)]


def _one_number(v: Direction, salt: int) -> list[Array]:
    """Return `v` in one of its numbers, and 0 in all others."""
    found = [np.zeros_like(a) for a in v]  # 0 * a were no array where a has no axes
    at = salt * 5 % max(sum(a.size for a in v), 1)
    for a, b in zip(found, v, strict=True):
        if at < a.size:
            a.flat[at] = b.flat[at]
            break
        at -= a.size
    return found


def in_step(places: Sequence[Place]) -> list[Array]:
    """Return the direction in which ties stay ties: functions with a kink there are smooth."""
    least = min((p.reach.min() for p in places if p.reach.size), default=1.0)
    return [np.full(p.x.shape, least) for p in places]


def mixed(places: Sequence[Place], seed: int) -> list[Array]:
    """Return a direction at random, in unequal sizes: contributions seldom cancel."""
    unequal = _unequal(seed, *(p.x.shape for p in places))
    return [np.asarray(p.reach * v) for p, v in zip(places, unequal, strict=True)]


def uneven(places: Sequence[Place], seed: int) -> list[Array]:
    """Return a direction in which now one number, now another moves by far more than the rest.

    Of x^2 and y^2 next to 0 the one that moves more is the larger, wherever both are equal.
    """
    sizes = _sizes(seed, *(p.x.shape for p in places))
    return [np.asarray(a * s) for a, s in zip(mixed(places, seed), sizes, strict=True)]


@kept
def _sizes(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng([seed, 1, *map(math.prod, shapes)])
    return [np.asarray(rng.choice((1, 2.0**-3, 2.0**-9), shape)) for shape in shapes]


@kept
def _unequal(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng([seed, *map(math.prod, shapes)])
    return [np.asarray(rng.choice((-1, -0.5, 0.5, 0.75, 1), shape)) for shape in shapes]
