"""Numbers between two others, and numbers in place of what is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.domain import real
from tinygrad_fc.op import row as op


def _lerp(x: Any, y: Any, weight: Any) -> Any:
    # From the nearer end, so that both ends are met.
    d, near = y - x, np.abs(weight) < 0.5
    return np.where(near, x + weight * d, y - d * (1 - weight))


lerp = op(
    _lerp,
    name="lerp",
    domain=(real, real, real),
    rules=(
        lambda g, out, x, y, weight: g * (1 - weight),
        lambda g, out, x, y, weight: g * weight,
        lambda g, out, x, y, weight: g * (y - x),
    ),
)
nan_to_num = op(
    np.nan_to_num,
    forward=lambda x, nan=0.0, posinf=None, neginf=None: np.nan_to_num(
        x, nan=nan, posinf=posinf, neginf=neginf
    ),
    domain=(real,),
    settings={
        "nan": lambda *_: (0.0, 2.5),
        "posinf": lambda *_: (None, 3.0),
        "neginf": lambda *_: (None, -3.0),
    },
    rules=(lambda g, out, x, nan=0.0, posinf=None, neginf=None: np.where(np.isfinite(x), g, 0),),
)
