"""What a function gives at steps to both sides of a place, and what its slope seems to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, Any]

EPS = float(np.finfo(float).eps)
SYMMETRIC = (4.0, 16.0, 64.0, 256.0, 1024.0)
"""What a halved step divides the errors of `central` by: h^2, h^4, ..."""
LOPSIDED = (2.0, 8.0, 32.0, 128.0)
"""Likewise those of `lopsided`: h, h^3, ..."""


class Differences(NamedTuple):
    """Results at a place and beside it; in all but `here` a row for each step."""

    h: Array
    here: Array
    up: Array
    down: Array

    @property
    def central(self) -> Array:
        """The slopes from one side to the other."""
        return np.asarray((self.up - self.down) / (2 * self.h))

    @property
    def lopsided(self) -> Array:
        """How much the slopes to both sides differ."""
        return np.asarray((self.up - 2 * self.here + self.down) / self.h)

    def rounding(self, eps: float, noise: float) -> Array:
        """Return how far results are off: they are as exact as `noise`, and steps as `eps`."""
        largest = np.maximum(np.maximum(np.abs(self.up), np.abs(self.down)), np.abs(self.here))
        return np.asarray(2 * max(eps, noise) * largest + 8 * eps * np.abs(self.central))


def along(
    f: Callable[..., Array], point: Sequence[Array], direction: Sequence[Array]
) -> Callable[[float], Array]:
    """Return `f` as a function of how far one goes from `point`, in units of `direction`."""
    pairs = list(zip(point, direction, strict=True))

    def moved(t: float) -> Array:
        return f(*[x + t * v for x, v in pairs])

    return moved


def seen(line: Callable[[float], Array], h: Array, here: Array | None = None) -> Differences:
    """Return what `line` gives at steps of `h`, a column, to both sides of 0; `here` is that at 0.

    That is found out unless it is told.
    """
    steps = h[:, 0].tolist()  # which add to arrays in less time than NumPy's own numbers
    if here is None:
        here = line(0.0)
    up = np.array([line(t) for t in steps], float)
    return Differences(h, here, up, np.array([line(-t) for t in steps], float))
