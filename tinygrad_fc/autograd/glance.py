"""Numerical derivatives from a quarter of the steps, where a function is smooth around a place.

Nearly all places are such: there a few differences extrapolate to a slope that is known to twelve
digits. Where they don't, because of a kink, of rounding, of large curvature, the bound is infinite,
and `slopes.slope` has to look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.differences import EPS, LOPSIDED, SYMMETRIC, along, seen
from tinygrad_fc.autograd.richardson import extrapolated
from tinygrad_fc.autograd.slopes import Slope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, Any]

LEVELS, TERMS = 4, 3
FINE, COARSE = (2.0**-5, 1398101 * 2.0**-42), (2.0**-2, 683 * 2.0**-18)
"""The longest step, and one of next to nothing: in float64, and where numbers are coarser.

The second is a whole multiple of no rounding: a staircase must not look like a slope from it.
"""


def glance(
    f: Callable[..., Array],
    point: Sequence[Array],
    direction: Sequence[Array],
    *,
    eps: float = EPS,
    noise: float = 0.0,
    here: Array | None = None,
) -> Slope:
    """Return the derivatives of `f` at `point` along `direction`, where that takes little.

    Arguments are as those of `slopes.slope`. Where the slopes to both sides may differ, or what
    is next to the place goes another way, the error is infinite.
    """
    longest, least = FINE if eps <= EPS else COARSE
    steps = [longest * 0.5**k for k in range(LEVELS)]
    with np.errstate(all="ignore"):
        found = seen(along(f, point, direction), np.array([*steps, least])[:, None], here)
        blur = found.rounding(eps, noise) / found.h
        central, known = found.central, blur[:-1]
        value, error = extrapolated(central[:-1], known, None, SYMMETRIC[:TERMS])
        jump, doubt = extrapolated(found.lopsided[:-1], 4 * known, None, LOPSIDED[:TERMS])
        error = error + (np.abs(jump) + doubt) / 2
        smooth = (np.abs(central[-1] - value) <= error + 4 * blur[-1]) & (np.abs(jump) <= doubt)
        error = np.where(smooth, error, np.inf)
        value = np.where(np.isfinite(error), value, 0)
        return Slope(value, error, np.abs(jump) - doubt, np.abs(found.here) + np.abs(value))
