"""Bugs of the formula: a wrong term, sign, factor, argument or transpose."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .case import column, fit, like, row, sigmoid, wrong
from .right_rows import centred, norm, ratio, reverse_cumsum

if TYPE_CHECKING:
    from collections.abc import Callable

    from .case import Rule

formula = partial(wrong, "formula")
sign = partial(wrong, "sign")
factor = partial(wrong, "factor")
term = partial(wrong, "forgotten term")
transposed = partial(wrong, "transposed")


def by(slope: Callable[..., Any]) -> Rule:
    """Return the rule of an elementwise function with this slope, of x and f(x)."""
    return lambda g, y, x: (like(x, g * slope(x, y)),)


def both(slopes: Callable[..., Any]) -> Rule:
    """Return the rule of a function of two numbers with these slopes, of x, y and f(x, y)."""

    def vjp(g: Any, out: Any, x: Any, y: Any) -> Any:
        a, b = slopes(x, y, out)
        return fit(x, g * a), fit(y, g * b)

    return vjp


def matrix(g: Any) -> Any:
    """Return numbers with two axes more."""
    return np.asarray(g)[..., None, None]


def layer(*, mean: bool = True, along: bool = True, epsilon: float = 1e-5) -> Rule:
    """Return the rule of layer normalisation, with or without its terms."""

    def vjp(g: Any, _out: Any, x: Any, w: Any, b: Any) -> Any:
        d = np.sqrt(np.square(centred(x)).mean(-1, keepdims=True) + epsilon)
        y, v = centred(x) / d, g * w
        v = v - mean * v.mean(-1, keepdims=True) - along * y * (v * y).mean(-1, keepdims=True)
        return fit(x, v / d), fit(w, g * y), fit(b, g)

    return vjp


def cosine_partly(g: Any, _out: Any, x: Any, y: Any) -> Any:
    u, v = x / column(norm(x)), y / column(norm(y))
    return fit(x, column(g) * v / column(norm(x))), fit(y, column(g) * u / column(norm(y)))


formula("sin", "sin for cos", by(lambda x, y: np.sin(x)))
formula("tanh by its result", "1 - x^2", by(lambda x, y: 1 - x * x))
formula("sigmoid", "y (1 - x)", by(lambda x, y: y * (1 - x)))
formula("arcsin", "no square root", by(lambda x, y: 1 / (1 - x * x)))
formula("arctan", "1/(1 + x)^2", by(lambda x, y: 1 / (1 + x) ** 2))
formula(
    "atan2",
    "distance not squared",
    both(lambda x, y, out: (y / np.hypot(x, y), -x / np.hypot(x, y))),
)
formula("normalise", "only divides", lambda g, out, x: (like(x, g / column(norm(x))),))
formula(
    "quadratic form",
    "as of a symmetric matrix",
    lambda g, out, x, a: (
        fit(x, column(g) * 2 * (a @ column(x))[..., 0]),
        fit(a, matrix(g) * column(x) * row(x)),
    ),
)
formula(
    "cumprod",
    "as of a product",
    lambda g, out, x: (like(x, ratio(reverse_cumsum(g), x) * out[..., -1:]),),
)
formula("cbrt", "cube root of x for x^(2/3)", by(lambda x, y: 1 / (3 * y)))

sign("log sigmoid", "sigmoid(x)", by(lambda x, y: sigmoid(x)))


term("silu", "no sigmoid", by(lambda x, y: x * sigmoid(x) * sigmoid(-x)))
term("gelu", "no density", by(lambda x, y: ratio(y, x) + 0.5 * (x == 0)))
term("x^x", "no 1", by(lambda x, y: y * np.log(x)))
term("softmax", "no sum", lambda g, out, x: (out * g,))
term("layer norm", "no mean", layer(mean=False))
term("layer norm", "nothing along the row", layer(along=False))
term("cosine similarity", "lengths held", cosine_partly)
term(
    "lerp",
    "weight times b",
    lambda g, out, a, b, t: (fit(a, g * (1 - t)), fit(b, g * t), fit(t, g * b)),
)


transposed(
    "matvec",
    "right for square ones only",
    lambda g, out, a, x: (fit(a, column(g) * row(x)), fit(x, (a @ column(g))[..., 0])),
)
transposed("transpose", "reshaped", lambda g, out, a: (g.reshape(a.shape),))
