"""The logarithm of the gamma function and its derivatives, for which NumPy has nothing.

M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions" (1964): Stirling's series 6.1.41,
6.3.18 and 6.4.11 far from 0, the recurrences 6.1.15, 6.3.5 and 6.4.6 to get there, the reflections
6.1.17, 6.3.7 and 6.4.7 below 0. Where the logarithm and the digamma function are 0, at 1 and 2 and
at ROOT, quotients of polynomials take over, in which that zero is a factor: they were fitted at
Chebyshev's points in 60 digits, with an error below 3e-17. They begin with the highest power.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_fc.domain import positive
from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.graph import as_plain
from tinygrad_fc.op import Op, quiet
from tinygrad_fc.op import row as op
from tinygrad_fc.ops.elementwise import product

# From here on the series below are exact to the last digit.
FAR = 10.0
# For x in [1.5, 2.5]: the logarithm divided by its zeros (x - 1)(x - 2), in x - 1.
LOGARITHM = (
    (
        *(4.750143615731859e-06, 0.001743910918783751, 0.043686984704423906),
        *(0.32925051902499664, 0.9961132917827409, 1.2771737554565734, 0.5772156648550949),
    ),
    (
        *(0.00047226051325705926, 0.020068159176085714, 0.23865713274157846),
        *(1.1546278234682121, 2.5770913696975004, 2.637532582203266, 1.0),
    ),
)
# For x in [1, 2]: the digamma function divided by its distance from its zero, in x - 1.
DIGAMMA = (
    (
        *(0.00022205476047991614, 0.012282771527360986, 0.1674321822097703),
        *(0.8563282382526716, 1.7811904023777358, 1.2503801375034054),
    ),
    (
        *(3.918857595782627e-05, 0.0034081071889811372, 0.06589990402253255),
        *(0.4784894928792091, 1.5240244625242985, 2.108065926448982, 1.0),
    ),
)
ROOT, ROOT_REST = 1.4616321449683622, 9.549995429965697e-17
# Bernoulli's numbers of even index from 2 on, as fractions.
BERNOULLI = (
    *((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66)),
    *((-691, 2730), (7, 6), (-3617, 510), (43867, 798), (-174611, 330)),
)
STIRLING = [p / (q * 2 * k * (2 * k - 1)) for k, (p, q) in enumerate(BERNOULLI[:7], 1)]
DIGAMMA_FAR = [p / (q * 2 * k) for k, (p, q) in enumerate(BERNOULLI[:8], 1)]
LEVEL = (math.log(2 * math.pi) - 1) / 2
LARGEST_ORDER = 100  # of a derivative, before factorials leave the range of floats


def _horner(coefficients: Any, x: Any) -> Any:
    out = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        out *= x
        out += c
    return out


def _ratio(of: Any, x: Any) -> Any:
    return _horner(of[0], x) / _horner(of[1], x)


def _shifted(x: Any, low: float, most: int) -> tuple[Any, Any]:
    """Return `x` less as many ones as leave it at `low` or above, and how many these are."""
    n = np.clip(np.floor(x - low), 0, most)
    return x - n, n


def _in_parts(x: Any, *parts: tuple[Any, Any]) -> Any:
    """Return for each of `x` what the function beside the first mask that holds for it gives."""
    out, left = np.full_like(x, np.nan), np.ones_like(x, dtype=bool)
    for mask, function in parts:
        # By number: picking by truth values that are as good as random costs several times as much.
        chosen = np.flatnonzero(mask & left)
        left &= ~mask
        if chosen.size:
            out[chosen] = function(x.take(chosen))
    return out


def _elementwise(function: Any) -> Any:
    """Return `function`, of a row of float64, for arrays of any shape and float."""

    @quiet
    def forward(x: Any, **settings: Any) -> Any:
        x = as_plain(x)
        out = function(x.astype(float, copy=False).ravel(), **settings).reshape(x.shape)
        return out.astype(x.dtype if x.dtype.kind == "f" else get_default_dtype(), copy=False)

    return forward


def _cotangent(x: Any) -> Any:
    """Return the cotangent of pi times `x`: infinite at whole numbers, 0 halfway, exact beside."""
    rest = x - np.rint(x)
    far = np.abs(rest) > 0.25
    tangent = np.tan(np.pi * np.where(far, 0.5 - np.abs(rest), rest))
    return np.where(far, np.copysign(tangent, rest), 1 / tangent)


# The logarithm


def _far_logarithm(x: Any) -> Any:
    t = 1 / x
    return (x - 0.5) * (np.log(x) - 1) + LEVEL + t * _horner(STIRLING[::-1], t * t)


def _near_logarithm(x: Any) -> Any:
    y, n = _shifted(x, 1.5, 8)
    passed = np.ones_like(x)
    for k in range(1, 9):
        passed *= np.where(n >= k, x - k, 1)
    return (y - 1) * (y - 2) * _ratio(LOGARITHM, y - 1) + np.log(passed)


def _positive_logarithm(x: Any) -> Any:
    return _in_parts(
        x,
        (x >= FAR, _far_logarithm),
        (x >= 1.5, _near_logarithm),
        # The zeros as they are for x itself: nothing is lost beside 1 by adding 1 to it.
        (x >= 0.5, lambda x: x * (x - 1) * _ratio(LOGARITHM, x) - np.log(x)),
        (x > -0.5, lambda x: _near_logarithm(x + 2) - np.log(np.abs(x) * (x + 1))),
    )


def _reflected_logarithm(x: Any) -> Any:
    sine = np.abs(np.sin(np.pi * (x - np.rint(x))))
    return np.log(np.pi / sine) - _positive_logarithm(1 - x)


@_elementwise
def _lgamma(x: Any) -> Any:
    return _in_parts(
        x,
        (np.isinf(x) | ((x <= 0) & (x == np.rint(x))), lambda x: np.full_like(x, np.inf)),
        (x <= -0.5, _reflected_logarithm),
        (~np.isnan(x), _positive_logarithm),
    )


# Its derivative


def _near_digamma(x: Any) -> Any:
    y, n = _shifted(x, 1.0, 9)
    passed = np.zeros_like(x)
    for k in range(1, 10):
        passed += np.where(n >= k, 1 / (x - k), 0)
    return ((y - ROOT) - ROOT_REST) * _ratio(DIGAMMA, y - 1) + passed


def _far_digamma(x: Any) -> Any:
    t = 1 / x
    return np.log(x) - (t / 2 + t * t * _horner(DIGAMMA_FAR[::-1], t * t))


def _positive_digamma(x: Any) -> Any:
    return _in_parts(
        x,
        (x >= FAR, _far_digamma),
        (x >= 1, _near_digamma),
        (x >= 0, lambda x: _near_digamma(x + 1) - 1 / x),
    )


def _digamma(x: Any) -> Any:
    return _in_parts(
        x,
        # Beside a pole below 0 the two sides are infinite, and not alike.
        ((x < 0) & (x == np.rint(x)), lambda x: np.full_like(x, np.nan)),
        (x < 0, lambda x: _positive_digamma(1 - x) - np.pi * _cotangent(x)),
        (x >= 0, _positive_digamma),
    )


# And the derivatives of that


def _positive_polygamma(x: Any, n: int) -> Any:
    total, start = np.zeros_like(x), FAR + n
    x = x.copy()
    for _ in range(math.ceil(start)):
        near = x < start
        if not near.any():
            break
        total += np.where(near, 1 / x ** (n + 1), 0)
        x += near
    t = 1 / x
    series = [
        p * math.factorial(2 * k + n - 1) / (q * math.factorial(2 * k) * math.factorial(n))
        for k, (p, q) in enumerate(BERNOULLI, 1)
    ]
    tail = 1 / n + t / 2 + t * t * _horner(series[::-1], t * t)
    return (-1) ** (n + 1) * math.factorial(n) * (total + t**n * tail)


def _cotangent_slope(x: Any, n: int) -> Any:
    """Return derivative `n` of pi cot(pi x), a polynomial in the cotangent c, as c' is."""
    p = [0, 1]  # lowest power first
    for _ in range(n):
        slope = [k * v for k, v in enumerate(p)][1:]
        p = [-a - b for a, b in zip([*slope, 0, 0], [0, 0, *slope], strict=True)]
    return np.pi ** (n + 1) * _horner([float(v) for v in p[::-1]], _cotangent(x))


def _reflected_polygamma(x: Any, n: int) -> Any:
    return (-1) ** n * _positive_polygamma(1 - x, n) - _cotangent_slope(x, n)


@_elementwise
def _polygamma(x: Any, *, n: int) -> Any:
    if not 0 <= n <= LARGEST_ORDER:
        raise ValueError(f"n, the order of the derivative, is from 0 to {LARGEST_ORDER}")
    if n == 0:
        return _digamma(x)
    pole = np.full_like(x, np.inf if n % 2 else np.nan)
    return _in_parts(
        x,
        ((x < 0) & (x == np.rint(x)), lambda x: pole[: x.size]),
        (x < 0, lambda x: _reflected_polygamma(x, n)),
        (x >= 0, lambda x: _positive_polygamma(x, n)),
    )


polygamma: Op = op(
    _polygamma,
    name="polygamma",
    domain=(positive,),
    settings={"n": lambda *_: (0, 1, 2)},
    rules=(lambda g, out, x, n: product(g, polygamma(x, n=n + 1)),),
)
lgamma = op(
    _lgamma,
    name="lgamma",
    domain=(positive,),
    rules=(lambda g, out, x: product(g, polygamma(x, n=0)),),
)
