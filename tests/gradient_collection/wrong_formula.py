"""Bugs of the formula: a wrong term, sign, factor, argument or transpose."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .case import RIGHT, column, fit, like, row, sigmoid, wrong
from .right_matrix import bilinear_vjp, cofactors, solve, turned
from .right_rows import centred, hot, long, norm, ratio, reverse_cumsum, softmax

if TYPE_CHECKING:
    from collections.abc import Callable

    from .case import Rule

_rng = np.random.default_rng(7)
A, B = _rng.standard_normal((2, 3, 3))
X, Y, Z = _rng.uniform(0.5, 2, (3, 4))
assert long(X, Y, Z)

formula = partial(wrong, "formula")
sign = partial(wrong, "sign")
factor = partial(wrong, "factor")
term = partial(wrong, "forgotten term")
swapped = partial(wrong, "swapped arguments")
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


def solve_wrong(g: Any, out: Any, a: Any, b: Any) -> Any:
    v = solve(a, g)
    return fit(a, -column(v) * row(out)), fit(b, v)


formula("sin", "sin for cos", by(lambda x, y: np.sin(x)), X)
formula("tanh by its result", "1 - x^2", by(lambda x, y: 1 - x * x), X)
formula("sigmoid", "y (1 - x)", by(lambda x, y: y * (1 - x)), X)
formula("arcsin", "no square root", by(lambda x, y: 1 / (1 - x * x)), 0.5)
formula("arctan", "1/(1 + x)^2", by(lambda x, y: 1 / (1 + x) ** 2), X)
formula(
    "log softmax",
    "result for its exponential",
    lambda g, out, x: (g - out * g.sum(-1, keepdims=True),),
    X,
)
formula(
    "atan2",
    "distance not squared",
    both(lambda x, y, out: (y / np.hypot(x, y), -x / np.hypot(x, y))),
    X,
    Y,
)
formula("normalise", "only divides", lambda g, out, x: (like(x, g / column(norm(x))),), X)
formula(
    "cdist",
    "not divided by the distance",
    lambda g, out, x, y: (
        fit(x, (column(g) * (x[..., :, None, :] - y[..., None, :, :])).sum(-2)),
        fit(y, -(column(g) * (x[..., :, None, :] - y[..., None, :, :])).sum(-3)),
    ),
    A,
    B,
)
formula(
    "quadratic form",
    "as of a symmetric matrix",
    lambda g, out, x, a: (
        fit(x, column(g) * 2 * (a @ column(x))[..., 0]),
        fit(a, matrix(g) * column(x) * row(x)),
    ),
    X[:3],
    A,
)
formula(
    "cumprod",
    "as of a product",
    lambda g, out, x: (like(x, ratio(reverse_cumsum(g), x) * out[..., -1:]),),
    X,
)
formula("cbrt", "cube root of x for x^(2/3)", by(lambda x, y: 1 / (3 * y)), X)

sign("1 - cos", "minus", by(lambda x, y: -np.sin(x)), X)
sign("subtract", "plus", both(lambda x, y, out: (np.ones_like(out), np.ones_like(out))), X, Y)
sign("divide", "plus", both(lambda x, y, out: (1 / y, out / y)), X, Y)
sign(
    "cross entropy",
    "turned",
    lambda g, out, x, t: (fit(x, column(g) * (hot(x, t) - softmax(x))), None),
    X,
    1,
)
sign(
    "solve",
    "plus in the matrix",
    lambda g, out, a, b: (
        fit(a, column(solve(turned(a), g)) * row(out)),
        fit(b, solve(turned(a), g)),
    ),
    A,
    X[:3],
)
sign("binary cross entropy", "t - sigmoid", both(lambda x, t, out: (t - sigmoid(x), -x)), X, 0.5)
sign("log sigmoid", "sigmoid(x)", by(lambda x, y: sigmoid(x)), X)

factor("mean", "not divided", lambda g, out, x: (np.broadcast_to(column(g), x.shape),), X)
factor(
    "mean",
    "n - 1",
    lambda g, out, x: (np.broadcast_to(column(g) / max(x.shape[-1] - 1, 1), x.shape),),
    X,
)
factor("square", "x", by(lambda x, y: x), X)
factor(
    "var",
    "n - 1",
    lambda g, out, x: (like(x, column(g) * 2 * centred(x) / max(x.shape[-1] - 1, 1)),),
    X,
)
factor(
    "mean squared error",
    "length for size",
    lambda g, out, x, y: (
        fit(x, g * 2 * (x - y) / len(np.atleast_1d(x - y))),
        fit(y, g * 2 * (y - x) / len(np.atleast_1d(x - y))),
    ),
    A,
    B,
)
factor(
    "log det of a Gram matrix",
    "half",
    lambda g, out, a: (
        matrix(g) * np.linalg.solve(np.eye(a.shape[-1], dtype=a.dtype) + a @ turned(a), a),
    ),
    A,
)
factor("erf", "1/sqrt(pi)", by(lambda x, y: np.exp(-x * x) / math.sqrt(math.pi)), X)
factor(
    "std",
    "n - 1",
    lambda g, out, x: (
        like(x, column(g) * ratio(centred(x), column(out) * max(x.shape[-1] - 1, 1))),
    ),
    X,
)
factor("sin 50x", "49", by(lambda x, y: 49 * np.cos(50 * x)), X)
factor("Frobenius", "1", lambda g, out, a: (matrix(g) * a,), A)

term("silu", "no sigmoid", by(lambda x, y: x * sigmoid(x) * sigmoid(-x)), X)
term("gelu", "no density", by(lambda x, y: ratio(y, x) + 0.5 * (x == 0)), X)
term("x^x", "no 1", by(lambda x, y: y * np.log(x)), X)
term("softmax", "no sum", lambda g, out, x: (out * g,), X)
term("layer norm", "no mean", layer(mean=False), X, Y, Z)
term("layer norm", "nothing along the row", layer(along=False), X, Y, Z)
term("cosine similarity", "lengths held", cosine_partly, X, Y)
term(
    "lerp",
    "weight times b",
    lambda g, out, a, b, t: (fit(a, g * (1 - t)), fit(b, g * t), fit(t, g * b)),
    X,
    Y,
    0.5,
)
term(
    "trapezoid",
    "no gradient of x",
    lambda g, out, y, x: (RIGHT["trapezoid"].vjp(g, out, y, x)[0], np.zeros_like(x)),
    X,
    Y,
)
term(
    "logistic map",
    "one step fewer",
    by(lambda x, y: RIGHT["logistic map"].vjp(1.0, y, x)[0] / (3.7 * (1 - 2 * x) + 1e-30)),
    0.3,
)
term(
    "attention",
    "softmax's sum",
    lambda g, out, q, k, v: (
        fit(q, (softmax(q @ turned(k)) * (g @ turned(v))) @ k),
        *RIGHT["attention"].vjp(g, out, q, k, v)[1:],
    ),
    A,
    B,
    A,
)
term(
    "mod",
    "no gradient of the divisor",
    both(lambda x, y, out: (np.ones_like(out), np.zeros_like(out))),
    5.0,
    0.75,
)

swapped(
    "dot", "own factor", lambda g, out, x, y: (fit(x, column(g) * x), fit(y, column(g) * y)), X, Y
)
swapped("multiply", "own factor", both(lambda x, y, out: (x, y)), X, Y)
swapped(
    "atan2",
    "other way round",
    both(lambda x, y, out: (-x / (x * x + y * y), y / (x * x + y * y))),
    X,
    Y,
)
swapped(
    "lerp",
    "ends",
    lambda g, out, a, b, t: (fit(a, g * t), fit(b, g * (1 - t)), fit(t, g * (b - a))),
    X,
    Y,
    0.25,
)
swapped("stack", "parts", lambda g, out, x, y: (g[..., 1], g[..., 0]), A, B)
swapped("concatenate", "parts", lambda g, out, x, y: (g[len(y) :], g[: len(y)]), X, Y)
swapped(
    "select",
    "branches",
    lambda g, out, c, x, y: (None, fit(x, np.where(c, 0, g)), fit(y, np.where(c, g, 0))),
    X > 1,
    X,
    Y,
)
swapped(
    "bilinear",
    "outer factors",
    lambda g, out, x, a, y: bilinear_vjp(g, out, x, a, y)[::-1],
    X[:3],
    A,
    Y[:3],
)

transposed(
    "matmul",
    "b not transposed",
    lambda g, out, a, b: (
        fit(a, g @ b if b.shape[-1] == b.shape[-2] else g @ turned(b)),
        fit(b, turned(a) @ g),
    ),
    A,
    B,
)
transposed(
    "matvec",
    "right for square ones only",
    lambda g, out, a, x: (fit(a, column(g) * row(x)), fit(x, (a @ column(g))[..., 0])),
    A[:2],
    X[:3],
)
transposed(
    "det", "cofactors turned", lambda g, out, a: (like(a, matrix(g) * turned(cofactors(a))),), A
)
transposed("inv", "not turned", lambda g, out, a: (-out @ g @ out,), A)
transposed("solve", "not turned", solve_wrong, A, X[:3])
transposed("transpose", "reshaped", lambda g, out, a: (g.reshape(a.shape),), A[:2])
transposed(
    "outer",
    "sums exchanged where square",
    lambda g, out, x, y: (
        (fit(x, (g * column(y)).sum(-2)), fit(y, (g * row(x)).sum(-1)))
        if x.shape == y.shape
        else RIGHT["outer"].vjp(g, out, x, y)
    ),
    X,
    Y,
)
