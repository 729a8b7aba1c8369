"""What a division leaves over, and how often the divisor fits in."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.domain import interval, nonzero, real
from tinygrad_fc.errors import DivisionError
from tinygrad_fc.op import row as op
from tinygrad_fc.ops.elementwise import product, quotient


def whole(function: Any) -> Any:
    """Return `function` that refuses whole numbers divided by 0, which NumPy says are 0."""

    def forward(x: Any, y: Any) -> Any:
        floats = any(getattr(a, "dtype", np.dtype(type(a))).kind == "f" for a in (x, y))
        if not floats and not np.all(y):
            raise DivisionError(
                f"{function.__name__} of whole numbers divides by 0, which has no result: use "
                "floats (x.double()), whose quotient is infinite, or leave the zeros out"
            )
        return function(x, y)

    return forward


def _count_slope(g: Any, out: Any, x: Any, y: Any) -> Any:
    # How often y was taken from x, which is a whole number up to rounding. That of x / y is not
    # for sure: 1.0 / 0.1 is 10, and 1.0 % 0.1 has taken 9 of them.
    return product(g, -np.rint(quotient(x - out, y)))


# Few wraps: among many, their slope is lost from sight.
dividend, divisor = interval(-16, 16, (0, 1, -1)), interval(-4, 4, (1, -1, 0.5), without=(0,))
fmod = op(
    np.fmod,
    forward=whole(np.fmod),
    domain=(dividend, divisor),
    rules=(lambda g, out, x, y: g, _count_slope),
)
remainder = op(
    np.remainder,
    forward=whole(np.remainder),
    domain=(dividend, divisor),
    rules=(lambda g, out, x, y: g, _count_slope),
)
floor_divide = op(np.floor_divide, forward=whole(np.floor_divide), domain=(real, nonzero))
