"""The normal distribution and the error function, for which NumPy has none.

W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation
23 (1969), 631-637, with the coefficients for the normal distribution far from 0 that he published
in ANORM (Algorithm 715, ACM Transactions on Mathematical Software 19 (1993), 22-32). Numerators
and denominators begin with the highest power.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.domain import real
from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.graph import as_plain
from tinygrad_fc.op import quiet
from tinygrad_fc.op import row as op

# For |x| < NEAR / sqrt(2), in x**2: what the error function divided by x is above 1. Fitted at
# Chebyshev's points in 60 digits; so small beside 1 that its own rounding hardly counts.
NEAR = 0.66291
CENTRE = (
    (
        *(-0.004951229096210269, -0.02664417645021071, -0.3258630246314575),
        0.1283791670955126,
    ),
    (
        *(7.512395999069756e-05, 0.004129010277090527, 0.060601301416432427),
        *(0.3915227488817303, 1.0),
    ),
)
# From there to FAR, in x: what is left above x, divided by exp(-x**2 / 2).
FAR = math.sqrt(32)
SLOPE = (
    (
        *(1.0765576773720192317e-8, 0.39894151208813466764, 8.8831497943883759412),
        *(93.506656132177855979, 597.27027639480026226, 2494.5375852903726711),
        *(6848.1904505362823326, 11602.651437647350124, 9842.7148383839780218),
    ),
    (
        *(1.0, 22.266688044328115691, 235.38790178262499861, 1519.377599407554805),
        *(6485.558298266760755, 18615.571640885098091, 34900.952721145977266),
        *(38912.003286093271411, 19685.429676859990727),
    ),
)
# Beyond, in 1 / x**2: how much the same, times x, falls short of 1 / sqrt(2 pi), times x**2.
TAIL = (
    (
        *(0.02307344176494017303, 0.21589853405795699, 0.1274011611602473639),
        *(0.022235277870649807, 0.001421619193227893466, 2.9112874951168792e-5),
    ),
    (
        *(1.0, 1.28426009614491121, 0.468238212480865118, 0.0659881378689285515),
        *(0.00378239633202758244, 7.29751555083966205e-5),
    ),
)
# So many numbers at once that all steps between find them in the cache.
BLOCK = 1 << 14
# Nothing is left above that a float could hold.
END = 40.0
PEAK = 1 / math.sqrt(2 * math.pi)
HALF_ROOT = math.sqrt(0.5)


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    out = coefficients[0] * x
    for c in coefficients[1:-1]:
        out += c
        out *= x
    out += coefficients[-1]
    return out


def _ratio(of: tuple[tuple[float, ...], tuple[float, ...]], x: Any) -> Any:
    out = _polynomial(of[0], x)
    out /= _polynomial(of[1], x)
    return out


def _centre(x: Any) -> Any:
    """Return the error function, where it is near to 0."""
    out = x * _ratio(CENTRE, x * x)
    out += x
    return out


def _above(x: Any) -> Any:
    """Return how much of the normal distribution lies above each of `x`, a row from NEAR on."""
    x = np.minimum(x, END)
    # exp would enlarge what x**2 loses to rounding: the square of a short number loses nothing.
    short = np.trunc(x * 16)
    short *= 1 / 16
    rest = x - short
    rest *= x + short
    short *= short
    out = _ratio(SLOPE, np.minimum(x, FAR))
    rest *= -0.5
    short *= -0.5
    np.exp(rest, out=rest)
    np.exp(short, out=short)
    out *= rest
    out *= short
    far = np.flatnonzero(x > FAR)
    if far.size:
        y = x.take(far)
        t = 1 / np.square(y)
        out[far] = (PEAK - t * _ratio(TAIL, t)) / y * short.take(far) * rest.take(far)
    return out


def _pieces(x: Any, scale: float, near: Any, above: Any) -> Any:
    """Return what `near` makes of the centre of `x`, and `above` of the rest and what is above.

    What is above `scale` times `x`, that is, in the normal distribution.
    """
    x = as_plain(x)
    wide = x.astype(float, copy=False).ravel()
    out = np.empty_like(wide)
    for start in range(0, wide.size, BLOCK):
        part = wide[start : start + BLOCK]
        small = np.abs(part) < NEAR / scale
        # By number: picking by truth values that are as good as random costs several times as much.
        inner, outer = np.flatnonzero(small), np.flatnonzero(~small)
        rest = part.take(outer)
        out[start + inner] = near(part.take(inner))
        out[start + outer] = above(rest, _above(np.abs(rest) * scale))
    dtype = x.dtype if x.dtype.kind == "f" else get_default_dtype()
    return out.reshape(x.shape).astype(dtype, copy=False)


def _below(x: Any, above: Any) -> Any:
    right = np.flatnonzero(x > 0)
    above[right] = 1 - above.take(right)
    return above


@quiet
def _erf(x: Any) -> Any:
    return _pieces(x, 1 / HALF_ROOT, _centre, lambda x, above: np.copysign(1 - 2 * above, x))


def distribution(x: Any) -> Any:
    """Return how much of the normal distribution lies below each of `x`."""
    return _pieces(x, 1.0, lambda x: 0.5 + 0.5 * _centre(x * HALF_ROOT), _below)


bell = op(
    quiet(lambda x: np.exp(-x * x)),
    name="bell",
    domain=(real,),
    rules=(lambda g, out, x: g * (out * x * -2),),
)
erf = op(
    _erf,
    name="erf",
    domain=(real,),
    rules=(lambda g, out, x: g * (bell(x) * (2 / math.sqrt(math.pi))),),
)
ndtr = op(
    distribution,
    name="ndtr",
    domain=(real,),
    rules=(lambda g, out, x: g * (bell(x * HALF_ROOT) * PEAK),),
)
