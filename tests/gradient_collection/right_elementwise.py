"""Right rules for functions of one number, many with a kink, a jump, a flat or a steep part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from tinygrad_fc.domain import interval, nonzero, positive, real

from .case import like, right, sigmoid

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.domain import Domain

GELU = math.sqrt(2 / math.pi)
SPLINE = (-2.0, -1.0, 0.0, 1.0, 2.0)


def unary(
    name: str,
    f: Callable[..., Any],
    slope: Callable[..., Any],
    domain: Domain,
    bend: Callable[..., Any] | None = None,
) -> None:
    """Add a function with its first derivative, of x and f(x), and perhaps its second, of x."""

    def vjp(g: Any, y: Any, x: Any) -> Any:
        return (like(x, g * slope(x, y)),)

    def vjp2(h: Any, g: Any, x: Any) -> Any:
        assert bend is not None
        return like(g, h[0] * slope(x, f(x))), like(x, h[0] * g * bend(x))

    right(name, f, vjp, domain, vjp2=vjp2 if bend else None)


def _power_series(x: Any) -> Any:
    """Return the Bessel function J0."""
    term, total = np.ones_like(x), np.ones_like(x)
    for k in range(1, 25):
        term = term * (-0.25 * x * x / k**2)
        total = total + term
    return total


def _power_series_slope(x: Any, _: Any) -> Any:
    term, total = np.ones_like(x), np.zeros_like(x)
    for k in range(1, 25):
        previous, term = term, term * (-0.25 * x * x / k**2)
        total = total - previous * 0.5 * x / k
    return total


def _logistic(x: Any) -> Any:
    for _ in range(5):
        x = 3.7 * x * (1 - x)
    return x


def _logistic_slope(x: Any, _: Any) -> Any:
    slope = 1.0
    for _ in range(5):
        slope, x = slope * 3.7 * (1 - 2 * x), 3.7 * x * (1 - x)
    return slope


def _cosines(x: Any) -> Any:
    for _ in range(6):
        x = np.cos(x)
    return x


def _cosines_slope(x: Any, _: Any) -> Any:
    slope = 1.0
    for _ in range(6):
        slope, x = -slope * np.sin(x), np.cos(x)
    return slope


def _spline(x: Any) -> Any:
    """Return the cubic B-spline, of whose derivatives the third jumps."""
    a = np.abs(x)
    inner = (4 - 6 * a**2 + 3 * a**3) / 6
    return like(x, np.where(a < 1, inner, np.maximum(2 - a, 0) ** 3 / 6))


def _spline_slope(x: Any, _: Any) -> Any:
    a = np.abs(x)
    return np.sign(x) * np.where(a < 1, -2 * a + 1.5 * a**2, -(np.maximum(2 - a, 0) ** 2) / 2)


def _gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(GELU * (x + 0.044715 * x**3)))


def gelu_tanh_slope(x: Any, _: Any) -> Any:
    t = np.tanh(GELU * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU * (1 + 0.134145 * x * x)


def _silu_slope(x: Any, _: Any) -> Any:
    s = sigmoid(x)
    return s + x * s * (1 - s)


def _sinc_slope(x: Any, _: Any) -> Any:
    """Return the slope of sin(pi x)/(pi x), by its series near 0."""
    t = math.pi * np.asarray(x)
    safe = np.where(np.abs(t) < 0.5, 1.0, t)
    far = (np.cos(safe) - np.sin(safe) / safe) / safe
    s = t * t
    near = -t / 3 * (1 - s / 10 * (1 - s / 28 * (1 - s / 54 * (1 - s / 88 * (1 - s / 130)))))
    return math.pi * np.where(np.abs(t) < 0.5, near, far)


unary("sin", np.sin, lambda x, y: np.cos(x), real, lambda x: -np.sin(x))
unary("exp", np.exp, lambda x, y: y, interval(-800, 800, (0.0, 1.0, 700.0)), np.exp)
unary("tanh", np.tanh, lambda x, y: 1 / np.cosh(x) ** 2, interval(-300, 300, (0.0,)))
unary("tanh by its result", np.tanh, lambda x, y: 1 - y * y, real)
unary("sigmoid", sigmoid, lambda x, y: sigmoid(x) * sigmoid(-x), real)
unary("log", np.log, lambda x, y: 1 / x, positive, lambda x: -1 / x**2)
unary("sqrt", np.sqrt, lambda x, y: 0.5 / y, positive, lambda x: -0.25 * x**-1.5)
unary("abs", np.abs, lambda x, y: np.sign(x), real)
unary("relu", lambda x: np.maximum(x, 0), lambda x, y: x > 0, real)
unary("softplus", lambda x: np.logaddexp(x, 0), lambda x, y: sigmoid(x), real)
unary("log1p(exp)", lambda x: np.log1p(np.exp(x)), lambda x, y: 1 / (1 + np.exp(-x)), real)
unary("square", lambda x: x * x, lambda x, y: 2 * x, real, lambda x: 2.0)
unary("cube", lambda x: x**3, lambda x, y: 3 * x**2, real, lambda x: 6 * x)
unary("reciprocal", lambda x: 1 / x, lambda x, y: -y * y, nonzero, lambda x: 2 / x**3)
unary("expm1", np.expm1, lambda x, y: np.exp(x), interval(-800, 700, (0.0,)))
unary("log1p", np.log1p, lambda x, y: 1 / (1 + x), interval(-1, 1e300, (0.0, 1.0)))
unary("arctan", np.arctan, lambda x, y: 1 / (1 + x * x), real)
unary("arcsin", np.arcsin, lambda x, y: 1 / np.sqrt((1 - x) * (1 + x)), interval(-1, 1, (0.0,)))
unary("sinc", np.sinc, _sinc_slope, real)
unary("floor", np.floor, lambda x, y: 0 * x, real)
unary("sign", np.sign, lambda x, y: 0 * x, real)
unary("round", np.round, lambda x, y: 0 * x, real)
unary("fraction", lambda x: x - np.floor(x), lambda x, y: 1.0, real)
unary("clip", lambda x: np.clip(x, -1, 1), lambda x, y: np.abs(x) <= 1, real)
unary("where", lambda x: np.where(x > 0, x * x, -x), lambda x, y: np.where(x > 0, 2 * x, -1), real)
unary("x 1e-9", lambda x: x * 1e-9, lambda x, y: 1e-9, real)
unary("x 1e12", lambda x: x * 1e12, lambda x, y: 1e12, real)
unary("x^2 1e-7", lambda x: 1e-7 * x * x, lambda x, y: 2e-7 * x, real, lambda x: 2e-7)
unary("1 - cos", lambda x: 1 - np.cos(x), lambda x, y: np.sin(x), real)
unary(
    "gelu",
    lambda x: like(x, x * special.ndtr(x)),
    lambda x, y: special.ndtr(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    real,
)
unary("gelu tanh", _gelu_tanh, gelu_tanh_slope, real)
unary(
    "huber",
    lambda x: like(x, np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5)),
    lambda x, y: np.clip(x, -1, 1),
    real,
)
unary(
    "leaky relu",
    lambda x: like(x, np.where(x > 0, x, 0.1 * x)),
    lambda x, y: np.where(x > 0, 1, 0.1),
    real,
)
unary(
    "elu",
    lambda x: like(x, np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    lambda x, y: np.exp(np.minimum(x, 0)),
    real,
)
unary("silu", lambda x: x * sigmoid(x), _silu_slope, real)
unary("log sigmoid", lambda x: -np.logaddexp(0, -x), lambda x, y: sigmoid(-x), real)
unary("sin 50x", lambda x: np.sin(50 * x), lambda x, y: 50 * np.cos(50 * x), interval(-30, 30))
unary(
    "Chebyshev 9",
    lambda x: x * (9 + x**2 * (-120 + x**2 * (432 + x**2 * (-576 + 256 * x**2)))),
    lambda x, y: 9 + x**2 * (-360 + x**2 * (2160 + x**2 * (-4032 + 2304 * x**2))),
    interval(-2, 2, (0.0, 1.0, -1.0, 0.5)),
)
unary("Bessel series", _power_series, _power_series_slope, interval(-4, 4, (0.0,)))
unary("logistic map", _logistic, _logistic_slope, interval(0, 1, (0.5,)))
unary("cos of cos", _cosines, _cosines_slope, real)
unary("erf", special.erf, lambda x, y: 2 / math.sqrt(math.pi) * np.exp(-x * x), real)
unary("Gauss", lambda x: np.exp(-x * x), lambda x, y: -2 * x * y, real)
unary(
    "smoothstep",
    lambda x: np.clip(x, 0, 1) ** 2 * (3 - 2 * np.clip(x, 0, 1)),
    lambda x, y: 6 * np.clip(x, 0, 1) * (1 - np.clip(x, 0, 1)),
    real,
)
unary("cubic spline", _spline, _spline_slope, interval(-4, 4, SPLINE))
unary("softsign", lambda x: x / (1 + np.abs(x)), lambda x, y: 1 / (1 + np.abs(x)) ** 2, real)
unary("cbrt", np.cbrt, lambda x, y: 1 / (3 * y * y), nonzero)
unary("log |x|", lambda x: np.log(np.abs(x)), lambda x, y: 1 / x, nonzero)
unary("rsqrt", lambda x: 1 / np.sqrt(x), lambda x, y: -0.5 * y / x, positive)
unary("tan", np.tan, lambda x, y: 1 + y * y, interval(-1.5, 1.5, (0.0, 1.0)))
unary("x |x|", lambda x: x * np.abs(x), lambda x, y: 2 * np.abs(x), real)
unary("x^x", lambda x: x**x, lambda x, y: y * (np.log(x) + 1), interval(0, 100, (1.0,)))
unary("power 1.5", lambda x: x**1.5, lambda x, y: 1.5 * np.sqrt(x), positive)
unary("x/(1 + x^2)", lambda x: x / (1 + x * x), lambda x, y: (1 - x * x) / (1 + x * x) ** 2, real)
right("identity", lambda x: x, lambda g, y, x: (g,), real)
right("copy of a constant", np.ones_like, lambda g, y, x: (np.zeros_like(x),), real)
