"""Right rules for functions of two and three numbers that broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from tinygrad_fc.domain import boolean, interval, nonzero, positive, real

from .case import fit, right, sigmoid

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.domain import Domain


def binary(
    name: str,
    f: Callable[..., Any],
    slopes: Callable[..., tuple[Any, Any]],
    x: Domain,
    y: Domain,
    where: Callable[..., bool] | None = None,
) -> None:
    """Add a function of two arrays, with a function that returns both its slopes."""

    def vjp(g: Any, out: Any, x: Any, y: Any) -> Any:
        a, b = slopes(x, y, out)
        return fit(x, g * a), fit(y, g * b)

    right(name, f, vjp, x, y, where=where)


def _part(numerator: Any, denominator: Any) -> Any:
    """Return a quotient that is 0 where the denominator is."""
    zero = denominator == 0
    return np.where(zero, 0, numerator / np.where(zero, 1, denominator))


def _halves(x: Any, y: Any) -> Any:
    """Return how much of a maximum is due to `x`: half at a tie."""
    return 0.5 * (1 + np.sign(x - y))


def _apart_from_zero(x: Any, y: Any) -> bool:
    return bool(np.all(np.maximum(*np.broadcast_arrays(np.abs(x), np.abs(y))) > 1e-3))


def _mse(x: Any, y: Any) -> Any:
    return np.square(x - y).mean()


def _mse_slopes(x: Any, y: Any, _: Any) -> Any:
    d = 2 * (x - y) / np.size(x - y)
    return d, -d


binary("add", np.add, lambda x, y, out: (np.ones_like(out), np.ones_like(out)), real, real)
binary(
    "subtract", np.subtract, lambda x, y, out: (np.ones_like(out), -np.ones_like(out)), real, real
)
binary("multiply", np.multiply, lambda x, y, out: (y, x), real, real)
binary("divide", np.divide, lambda x, y, out: (1 / y, -out / y), real, nonzero)
binary(
    "power",
    np.power,
    lambda x, y, out: (y * x ** (y - 1), np.log(x) * out),
    interval(0.001, 50, (1.0, 0.5, 2.0)),
    interval(-8, 8, (0.0, 1.0, 2.0, 0.5)),
)
binary("xlogy", special.xlogy, lambda x, y, out: (np.log(y), x / y), real, positive)
binary("maximum", np.maximum, lambda x, y, out: (_halves(x, y), _halves(y, x)), real, real)
binary("minimum", np.minimum, lambda x, y, out: (_halves(y, x), _halves(x, y)), real, real)
binary(
    "atan2",
    np.arctan2,
    lambda x, y, out: (y / (x * x + y * y), -x / (x * x + y * y)),
    real,
    real,
    _apart_from_zero,
)
binary("hypot", np.hypot, lambda x, y, out: (_part(x, out), _part(y, out)), real, real)
binary("logaddexp", np.logaddexp, lambda x, y, out: (sigmoid(x - y), sigmoid(y - x)), real, real)
binary(
    "mod",
    np.mod,
    lambda x, y, out: (np.ones_like(out), -np.floor_divide(x, y)),
    interval(-50, 50, (0.0, 1.0, 0.5)),
    interval(0.25, 8, (1.0, 0.5, 2.0)),
)
binary(
    "squared distance",
    lambda x, y: (x - y) ** 2,
    lambda x, y, out: (2 * (x - y), 2 * (y - x)),
    real,
    real,
)
binary(
    "mean squared error",
    _mse,
    _mse_slopes,
    real,
    real,
    where=lambda x, y: np.size(x) * np.size(y) > 0,
)
binary(
    "binary cross entropy",
    lambda x, t: np.logaddexp(0, x) - x * t,
    lambda x, t, out: (sigmoid(x) - t, -x),
    real,
    interval(0, 1, (0.5,)),
)
binary(
    "x exp(-y^2)",
    lambda x, y: x * np.exp(-y * y),
    lambda x, y, out: (np.exp(-y * y), -2 * y * out),
    real,
    real,
)
binary(
    "copysign",
    np.copysign,
    lambda x, y, out: (np.sign(x) * np.sign(y), np.zeros_like(out)),
    nonzero,
    nonzero,
)

right(
    "select",
    np.where,
    lambda g, out, c, x, y: (None, fit(x, np.where(c, g, 0)), fit(y, np.where(c, 0, g))),
    boolean,
    real,
    real,
)
right(
    "lerp",
    lambda a, b, t: a + t * (b - a),
    lambda g, out, a, b, t: (fit(a, g * (1 - t)), fit(b, g * t), fit(t, g * (b - a))),
    real,
    real,
    interval(-2, 2, (0.0, 1.0, 0.5)),
)
right(
    "multiply and add",
    lambda a, b, c: a * b + c,
    lambda g, out, a, b, c: (fit(a, g * b), fit(b, g * a), fit(c, g)),
    real,
    real,
    real,
)
right(
    "clip to bounds",
    lambda x, low, width: np.minimum(np.maximum(x, low), low + width),
    lambda g, out, x, low, width: (
        fit(x, g * ((x >= low) & (x <= low + width))),
        fit(low, g * ((x < low) | (x > low + width))),
        fit(width, g * (x > low + width)),
    ),
    real,
    real,
    interval(0.5, 8, (1.0,)),
)
