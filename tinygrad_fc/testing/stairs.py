"""Functions that climb by jumps as well: part of what they are computed from was rounded.

`log(1 - sigmoid(x)) + x * x` at 30 is smooth from near, and its slope there is that of `x * x`: the
logarithm is a staircase whose stairs are longer than the finest steps. No slope shows that, but the
way does, of which slopes make only a part: the integral of the slopes, and what jumps add to it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.differences import along

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, Any]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
WAYS = 0.75 * 0.5 ** np.arange(8)
"""How long the ways are, in units of the direction: those that leave the domain are left out."""
ALIKE, TRIED = 2, 6
"""On how many ways jumps must add what is missing, and of how many.

Where the integral fails they may do so by chance, and a slope may be that of a jump.
"""
NEAR = 2.0**-25
"""How far to both sides slopes are measured, relative to the way: less than a stair is long."""


def climbs(
    f: Callable[..., Array],
    point: Sequence[Array],
    v: Sequence[Array],
    w: Array,
    missing: float,
) -> bool:
    """Tell whether the sum of results, weighted by `w`, climbs `missing` by jumps along `v`."""
    line, used = along(f, point, v), w != 0

    def gained(low: float, high: float) -> float:
        return float(w[used] @ (line(high) - line(low))[used]) / (high - low)

    alike = tried = 0
    for way in WAYS.tolist():
        slopes = [gained(way * (t - NEAR), way * (t + NEAR)) for t in NODES.tolist()]
        jumps = gained(-way, way) - float(WEIGHTS @ slopes) / 2
        tried += math.isfinite(jumps)
        alike += abs(jumps - missing) <= abs(missing) / 2
        if alike == ALIKE or tried == TRIED:
            break
    return alike == ALIKE
