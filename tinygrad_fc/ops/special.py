"""Gamma and error functions, which NumPy lacks.

M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions" (1964): for large x, lgamma and
polygamma are the series 6.1.41, 6.3.18 and 6.4.11; the recurrences 6.1.15 and 6.4.6 increase
smaller x to their range, and below 0 are the reflections 6.1.17, 6.3.7 and 6.4.7. Near their zeros,
lgamma and digamma have an absolute error of some eps.

W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation
23 (1969), 631-637, with the coefficients for the normal distribution far from 0 that he published
in ANORM (Algorithm 715, ACM Transactions on Mathematical Software 19 (1993), 22-32).

Coefficients of rational functions are in descending powers, those of series in ascending powers.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.node import scalar_to_array
from tinygrad_fc.core.op import define
from tinygrad_fc.domain import interval, positive, real
from tinygrad_fc.ops.arithmetic import divide_no_nan, multiply_no_nan

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["erf", "lgamma", "logit"]

# From here on the asymptotic series are accurate to double precision.
FAR = 10.0
# Bernoulli's numbers of even index from 2 on, as fractions.
BERNOULLI = (
    *((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66)),
    *((-691, 2730), (7, 6), (-3617, 510), (43867, 798), (-174611, 330)),
)
LARGEST_ORDER = 100  # of polygamma; above 130 or so, factorials and powers overflow


def _elementwise(function: Any) -> Any:
    """Return `function` of a 1-d float64 array, extended to all shapes and float dtypes."""

    @without_warnings
    @functools.wraps(function)
    def forward(x: Any, **settings: Any) -> Any:
        x = scalar_to_array(x)
        out = function(x.astype(float, copy=False).ravel(), **settings).reshape(x.shape)
        return out.astype(x.dtype, copy=False) if x.dtype.kind == "f" else out

    return forward


def _increased(x: Any, low: float, term: Any) -> tuple[Any, Any]:
    """Return x, increased in steps of 1 to at least `low`, and the sum of `term(x)` before each."""
    x, total = x.copy(), np.zeros_like(x)
    for _ in range(math.ceil(low)):
        near = x < low
        total += np.where(near, term(x), 0)
        x += near
    return x, total


def _cot_pi(x: Any) -> Any:
    """Return cot(pi * x), accurate also near its poles (integers) and zeros (halfway)."""
    rest = x - np.rint(x)
    far = np.abs(rest) > 0.25
    tangent = np.tan(np.pi * np.where(far, 0.5 - np.abs(rest), rest))
    return np.where(far, np.copysign(tangent, rest), 1 / tangent)


# lgamma, which has no setting n, is order -1 of polygamma.
def _polygamma_rule(g: Any, _out: Any, x: Any, n: int = -1) -> Any:
    return multiply_no_nan(g, polygamma(x, n=n + 1))


def _lgamma_positive(x: Any) -> Any:
    x, logs = _increased(x, FAR, np.log)
    t = 1 / x
    series = [p / (q * 2 * k * (2 * k - 1)) for k, (p, q) in enumerate(BERNOULLI, 1)]
    start = (x - 0.5) * (np.log(x) - 1) + (math.log(2 * math.pi) - 1) / 2
    return start + t * _polynomial(series[::-1], t * t) - logs


@define(domain=(positive,), rules=(_polygamma_rule,))
@_elementwise
def lgamma(input: Any) -> Any:
    """Return `log(abs(gamma(input)))`; the gamma function of an integer n is (n - 1)!.

    >>> import tinygrad_fc as tg
    >>> tg.lgamma(tg.tensor([1.0, 4.0]))
    tensor([0.    , 1.7918])
    """
    below = input < 0
    out = _lgamma_positive(np.where(below, 1 - input, input))
    sine = np.abs(np.sin(np.pi * (input - np.rint(input))))
    out = np.where(below, np.log(np.pi / sine) - out, out)
    return np.where(input == -np.inf, np.inf, out)


# digamma, the derivative of lgamma, is polygamma of order 0


def _polygamma_positive(x: Any, n: int) -> Any:
    x, total = _increased(x, FAR + n, lambda x: 1 / x ** (n + 1))
    t = 1 / x
    series = [
        p * math.factorial(2 * k + n - 1) / (q * math.factorial(2 * k) * math.factorial(n))
        for k, (p, q) in enumerate(BERNOULLI, 1)
    ]
    first = 1 / n if n else -np.log(x)
    tail = first + t / 2 + t * t * _polynomial(series[::-1], t * t)
    return (-1) ** (n + 1) * math.factorial(n) * (total + t**n * tail)


def _cot_pi_derivative(x: Any, n: int) -> Any:
    """Return derivative `n` of pi cot(pi x), a polynomial in c = cot(pi x).

    Since c' = -pi * (1 + c**2), each derivative is one; the powers of pi are multiplied at the end.
    """
    p = [0, 1]  # lowest power first
    for _ in range(n):
        derivative = [k * v for k, v in enumerate(p)][1:]
        p = [-a - b for a, b in zip([*derivative, 0, 0], [0, 0, *derivative], strict=True)]
    return np.pi ** (n + 1) * _polynomial([float(v) for v in p[::-1]], _cot_pi(x))


@define(domain=(positive,), settings={"n": (0, 1, 2)}, rules=(_polygamma_rule,))
@_elementwise
def polygamma(input: Any, *, n: Any) -> Any:
    """Return derivative `n` of the digamma function.

    >>> polygamma(np.array([1.0]), n=1)
    array([1.64493407])
    """
    check_argument(0 <= n <= LARGEST_ORDER, "polygamma", f"0 to {LARGEST_ORDER}", n=n)
    below = input < 0
    out = _polygamma_positive(np.where(below, 1 - input, input), n)
    out = np.where(below, (-1) ** n * out - _cot_pi_derivative(input, n), out)
    pole = np.nan if n == 0 else (-1) ** (n + 1) * np.inf  # digamma is infinite at 0 only
    return np.where((input == np.rint(input)) & (below | (input == 0) & (n > 0)), pole, out)


# The error function and the normal distribution

# erf(x) / x - 1 for |x| < NEAR / sqrt(2): numerator and denominator, in x**2. Fitted at Chebyshev
# nodes with 60 digits; small compared with 1, so that its rounding errors hardly matter.
NEAR = 0.66291
ERF_NEAR = (
    (*(-0.004951229096210269, -0.02664417645021071, -0.3258630246314575), 0.1283791670955126),
    (
        *(7.512395999069756e-05, 0.004129010277090527, 0.060601301416432427),
        *(0.3915227488817303, 1.0),
    ),
)
# (1 - Phi(x)) / exp(-x**2 / 2) for NEAR <= x <= TAIL_FAR_FROM, in x; Phi is the standard normal
# CDF.
TAIL_FAR_FROM = math.sqrt(32)
TAIL_MIDDLE = (
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
# For x > TAIL_FAR_FROM: x**2 * (1 / sqrt(2 pi) - x * q) with q = (1 - Phi(x)) / exp(-x**2 / 2), a
# rational function of 1 / x**2.
TAIL_FAR = (
    (
        *(0.02307344176494017303, 0.21589853405795699, 0.1274011611602473639),
        *(0.022235277870649807, 0.001421619193227893466, 2.9112874951168792e-5),
    ),
    (
        *(1.0, 1.28426009614491121, 0.468238212480865118, 0.0659881378689285515),
        *(0.00378239633202758244, 7.29751555083966205e-5),
    ),
)
# Elements per block, so that all temporary arrays fit into the cache.
BLOCK = 1 << 14
# 1 - Phi(LARGEST) underflows to 0.
LARGEST = 40.0
INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)
SQRT_HALF = math.sqrt(0.5)


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    out = coefficients[0] * x
    for c in coefficients[1:-1]:
        out += c
        out *= x
    out += coefficients[-1]
    return out


def _rational(coefficients: tuple[Sequence[float], Sequence[float]], x: Any) -> Any:
    out = _polynomial(coefficients[0], x)
    out /= _polynomial(coefficients[1], x)
    return out


def _erf_near(x: Any) -> Any:
    """Return erf(x) for |x| < NEAR / sqrt(2)."""
    out = x * _rational(ERF_NEAR, x * x)
    out += x
    return out


def _upper_tail(x: Any) -> Any:
    """Return 1 - Phi(x), the upper tail probability, of a 1-d array x >= NEAR."""
    x = np.minimum(x, LARGEST)
    density = np.exp(x * x * -0.5)
    out = _rational(TAIL_MIDDLE, np.minimum(x, TAIL_FAR_FROM))
    out *= density
    far = np.flatnonzero(x > TAIL_FAR_FROM)
    if far.size:
        y = x.take(far)
        t = 1 / np.square(y)
        out[far] = (INV_SQRT_2PI - t * _rational(TAIL_FAR, t)) / y * density.take(far)
    return out


def _by_tail_probability(x: Any, scale: float, near: Any, far: Any) -> Any:
    """Return near(x) for |x| < NEAR / scale, else far(x, 1 - Phi(scale * |x|)), by blocks."""
    out = np.empty_like(x)
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        small = np.abs(part) < NEAR / scale
        # By integers: boolean indexing with irregular masks takes several times as long.
        inner, outer = np.flatnonzero(small), np.flatnonzero(~small)
        rest = part.take(outer)
        out[start + inner] = near(part.take(inner))
        out[start + outer] = far(rest, _upper_tail(np.abs(rest) * scale))
    return out


def _lower_tail(x: Any, tail: Any) -> Any:
    """Return Phi(x) from `tail`, which is 1 - Phi(|x|) and is overwritten."""
    right = np.flatnonzero(x > 0)
    tail[right] = 1 - tail.take(right)
    return tail


@define(domain=(real,), rules=(lambda g, out, x: multiply_no_nan(g, out * x * -2),))
@without_warnings
def gaussian(input: Any) -> Any:
    """Return exp(-input**2).

    >>> gaussian(np.array([0.0, 1.0]))
    array([1.        , 0.36787944])
    """
    return np.exp(-input * input)


def normal_pdf(x: Any) -> Any:
    """Return the density of the standard normal distribution; it calls an op, for tensors."""
    return gaussian(x * SQRT_HALF) * INV_SQRT_2PI


@define(domain=(real,), rules=(lambda g, _out, x: g * (gaussian(x) * (2 / math.sqrt(math.pi))),))
@_elementwise
def erf(input: Any) -> Any:
    """Return the error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to `input`.

    >>> import tinygrad_fc as tg
    >>> tg.erf(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8427])
    """
    return _by_tail_probability(
        input, 1 / SQRT_HALF, _erf_near, lambda x, tail: np.copysign(1 - 2 * tail, x)
    )


@define(domain=(real,), rules=(lambda g, _out, x: g * normal_pdf(x),))
@_elementwise
def ndtr(input: Any) -> Any:
    """Return the CDF of the standard normal distribution, as `scipy.special.ndtr`.

    >>> ndtr(np.array([0.0, 1.0]))
    array([0.5       , 0.84134475])
    """
    return _by_tail_probability(
        input, 1.0, lambda x: 0.5 + 0.5 * _erf_near(x * SQRT_HALF), _lower_tail
    )


@define(domain=(interval(0, 1),), rules=(lambda g, out, _x: divide_no_nan(g, normal_pdf(out)),))
@_elementwise
def ndtri(input: Any) -> Any:
    """Return the quantile function of the standard normal distribution, NaN outside of [0, 1].

    >>> ndtri(np.array([0.0, 0.5]))
    array([-inf,   0.])
    """
    from statistics import NormalDist  # noqa: PLC0415  which takes 10 ms to import

    inside, quantile = (input > 0) & (input < 1), NormalDist().inv_cdf  # Wichura's algorithm AS241
    out = np.where(input == 0, -np.inf, np.where(input == 1, np.inf, np.nan)).astype(input.dtype)
    out[inside] = [quantile(p) for p in input[inside].tolist()]
    return out


# The inverse of sigmoid


def _logit_rule(g: Any, _out: Any, x: Any, eps: Any = None) -> Any:
    low, beyond = (0.0, np.nan) if eps is None else (eps, np.inf)  # infinite: the derivative is 0
    outside = (x < low) | (x > 1 - low)
    return divide_no_nan(g, np.where(outside, beyond, x * (1 - x)))


@define(domain=(interval(0, 1),), settings={"eps": (None, 0.125)}, rules=(_logit_rule,))
def logit(input: Any, eps: float | None = None) -> Any:
    """Return `log(input / (1 - input))`, the inverse of `sigmoid`, NaN outside of [0, 1].

    With `eps`, `input` is first limited to [eps, 1 - eps].

    >>> import tinygrad_fc as tg
    >>> tg.logit(tg.tensor([0.5, 0.75]))
    tensor([0.    , 1.0986])
    """
    x = input if eps is None else input.clip(eps, 1 - eps)
    return np.log(x / (1 - x))
