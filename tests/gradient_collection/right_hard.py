"""Right rules for functions that are hard on differences: noisy, flat, cut, implicit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from tinygrad_fc.domain import boolean, interval, nonzero, positive, real

from .case import column, fit, like, nonempty, right, row
from .right_elementwise import unary
from .right_matrix import turned
from .right_rows import largest, softmax


def newton_root(x: Any) -> Any:
    """Return the root of y^3 + y = x, by Newton's method until nothing changes."""
    y = np.zeros_like(x)
    for _ in range(60):
        y = y - (y**3 + y - x) / (3 * y * y + 1)
    return y


def kepler(m: Any) -> Any:
    """Return the solution of e - sin(e)/2 = m."""
    e = m
    for _ in range(30):
        e = e - (e - 0.5 * np.sin(e) - m) / (1 - 0.5 * np.cos(e))
    return e


def bump(x: Any) -> Any:
    """Return exp(-1/(1 - x^2)), which is flat at its ends, and 0 beyond."""
    d = 1 - x * x
    return like(x, np.where(d > 0, np.exp(-1 / np.where(d > 0, d, 1)), 0))


def bump_slope(x: Any, y: Any) -> Any:
    """Return the slope of `bump`."""
    d = 1 - x * x
    return np.where(d > 0, -2 * x * y / np.where(d > 0, d, 1) ** 2, 0)


def triangle(x: Any) -> Any:
    """Return the distance to the nearest even number."""
    return np.abs(x - 2 * np.round(x / 2))


def cubes_apart(x: Any, _: Any) -> Any:
    """Return the slope of x - sin(x), by half angles, so that nothing cancels."""
    return 2 * np.sin(x / 2) ** 2


def logcumsumexp(x: Any) -> Any:
    """Return the logarithm of the running sum of exponentials."""
    return np.logaddexp.accumulate(x, axis=-1)


def logcumsumexp_vjp(g: Any, out: Any, x: Any) -> Any:
    """Share each result among the numbers before it; in the order of sums, so nothing overflows."""
    n = x.shape[-1]
    shares = np.exp(np.minimum(row(x) - column(out), 0)) * np.tri(n, dtype=x.dtype)
    return (like(x, (column(g) * shares).sum(-2)),)


def cummax_vjp(g: Any, out: Any, x: Any) -> Any:
    """Give each to the last place that holds the maximum so far."""
    n = x.shape[-1]
    places = np.where(x == out, np.arange(n), 0)
    places = np.maximum.accumulate(places, axis=-1) if n else places
    return (like(x, (column(g) * (column(places) == np.arange(n))).sum(-2)),)


def top_two(x: Any) -> Any:
    """Return the two largest numbers of each row, the larger one first."""
    return np.sort(x, -1)[..., :-3:-1]


def top_two_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Put each gradient where its number came from."""
    grad = np.zeros_like(x)
    np.put_along_axis(grad, np.argsort(x, -1, kind="stable")[..., :-3:-1], g, -1)
    return (grad,)


def hinge(x: Any) -> Any:
    """Return how far each number but the first is from being 1 below the first."""
    return np.maximum(x[..., 1:] - x[..., :1] + 1, 0).sum(-1)


def hinge_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Push those that are too near."""
    near = column(g) * (x[..., 1:] - x[..., :1] + 1 > 0)
    return (like(x, np.concatenate([-near.sum(-1, keepdims=True), near], -1)),)


def entropy(x: Any) -> Any:
    """Return the entropy of the softmax of each row."""
    m = largest(x)
    log = x - m - np.log(np.exp(x - m).sum(-1, keepdims=True))
    return -(np.exp(log) * log).sum(-1)


def entropy_vjp(g: Any, out: Any, x: Any) -> Any:
    """Raise what is likely by how much less than usual it surprises."""
    m = largest(x)
    log = x - m - np.log(np.exp(x - m).sum(-1, keepdims=True))
    return (like(x, -column(g) * softmax(x) * (log + column(out))),)


def rosenbrock(x: Any) -> Any:
    """Return the function with the narrow valley."""
    return (100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(-1)


def rosenbrock_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Take both ends of each pair."""
    rest = x[..., 1:] - x[..., :-1] ** 2
    grad = np.zeros_like(x)
    grad[..., 1:] += 200 * rest
    grad[..., :-1] += -400 * rest * x[..., :-1] - 2 * (1 - x[..., :-1])
    return (column(g) * grad,)


def eigenvalues_vjp(g: Any, _out: Any, a: Any) -> Any:
    """Take the outer products of the vectors."""
    v = np.linalg.eigh(a + turned(a))[1]
    return (2 * (v * row(g)) @ turned(v),)


def spread(a: Any) -> bool:
    """Return whether no two eigenvalues of a + a' are near."""
    gaps = np.diff(np.linalg.eigvalsh(a + turned(a)))
    return bool(np.all(gaps > 0.05))


def power_four(a: Any) -> Any:
    """Return the fourth power of each matrix."""
    return a @ a @ a @ a


def power_four_vjp(g: Any, _out: Any, a: Any) -> Any:
    """Leave each factor out in turn."""
    t = turned(a)
    return (g @ t @ t @ t + t @ g @ t @ t + t @ t @ g @ t + t @ t @ t @ g,)


def fourier(x: Any) -> Any:
    """Return the power at each frequency of a row."""
    return like(x, np.abs(np.fft.rfft(x, axis=-1)) ** 2)


def fourier_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Go through the matrix of the transform."""
    n = x.shape[-1]
    phase = 2 * math.pi / n * np.outer(np.arange(n // 2 + 1), np.arange(n))
    c, s = np.cos(phase), np.sin(phase)
    both = (2 * g * (x @ c.T)) @ c + (2 * g * (x @ s.T)) @ s
    return (like(x, both),)


def pick_last(x: Any) -> Any:
    """Return the last number of each row."""
    return x[..., -1]


def recurrent(x: Any, w: Any) -> Any:
    """Return h = tanh(w h + x) after the whole row."""
    h = np.zeros(np.broadcast_shapes(x.shape[:-1], w.shape), w.dtype)
    for k in range(x.shape[-1]):
        h = np.tanh(w * h + x[..., k])
    return h


def recurrent_vjp(g: Any, _out: Any, x: Any, w: Any) -> Any:
    """Walk back through all steps."""
    states = [0 * w]
    for k in range(x.shape[-1]):
        states.append(np.tanh(w * states[-1] + x[..., k]))
    shape = np.shape(g)
    gx, gw = np.zeros((*shape, x.shape[-1])), np.zeros(shape)
    for k in reversed(range(x.shape[-1])):
        g = g * (1 - states[k + 1] ** 2)
        gx[..., k] = g
        gw, g = gw + g * states[k], g * w
    return fit(x, gx), fit(w, gw)


def masked_mean(x: Any, m: Any) -> Any:
    """Return the mean of the numbers that are asked for, 0 of none."""
    count = np.maximum(m.sum(-1), 1).astype(x.dtype)
    return np.where(m, x, 0).sum(-1) / count


def masked_mean_vjp(g: Any, _out: Any, x: Any, m: Any) -> Any:
    """Share among those that are asked for."""
    count = np.maximum(m.sum(-1), 1)
    return fit(x, np.where(m, column(g / count), 0)), None


unary("cubic root by Newton", newton_root, lambda x, y: 1 / (3 * y * y + 1), real)
unary("Kepler", kepler, lambda x, y: 1 / (1 - 0.5 * np.cos(y)), interval(-30, 30, (0.0, 1.0)))
unary("bump", bump, bump_slope, interval(-3, 3, (0.0, 1.0, -1.0)))
unary("triangle wave", triangle, lambda x, y: np.sign(x - 2 * np.round(x / 2)), real)
unary("x - sin x", lambda x: x - np.sin(x), cubes_apart, real)
unary(
    "(x - 1)^7 expanded",
    lambda x: ((((((x - 7) * x + 21) * x - 35) * x + 35) * x - 21) * x + 7) * x - 1,
    lambda x, y: 7 * (x - 1) ** 6,
    interval(0.5, 2, (1.0,)),
)
unary(
    "log cosh",
    lambda x: np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - math.log(2),
    lambda x, y: np.tanh(x),
    real,
)
unary("log gamma", special.gammaln, lambda x, y: special.digamma(x), positive)
unary(
    "logit", lambda x: np.log(x / (1 - x)), lambda x, y: 1 / (x * (1 - x)), interval(0, 1, (0.5,))
)
unary("arccosh", np.arccosh, lambda x, y: 1 / np.sqrt((x - 1) * (x + 1)), interval(1, 1e3, (2.0,)))
unary("x log |x|", lambda x: x * np.log(np.abs(x)), lambda x, y: np.log(np.abs(x)) + 1, nonzero)
unary("Runge", lambda x: 1 / (1 + 25 * x * x), lambda x, y: -50 * x * y * y, real)
unary("thousands", lambda x: 1000 + 1e-3 * np.sin(x), lambda x, y: 1e-3 * np.cos(x), real)
unary("two steps", lambda x: np.floor(x) + np.floor(2 * x) / 2, lambda x, y: 0 * x, real)
unary("relu minus relu", lambda x: np.maximum(x, 0) - np.maximum(-x, 0), lambda x, y: 1.0, real)
right("logcumsumexp", logcumsumexp, logcumsumexp_vjp, real, sig="(n)->(n)", where=nonempty)
right("cummax", lambda x: np.maximum.accumulate(x, axis=-1), cummax_vjp, real, sig="(n)->(n)")
right("two largest", top_two, top_two_vjp, real("n", "p>=2"))
right("hinge", hinge, hinge_vjp, real("n", "p>=1"))
right("entropy", entropy, entropy_vjp, real, sig="(n)->()", where=nonempty)
right("Rosenbrock", rosenbrock, rosenbrock_vjp, real("n", "p>=1"))
right(
    "eigenvalues",
    lambda a: np.linalg.eigvalsh(a + turned(a)),
    eigenvalues_vjp,
    real,
    sig="(n,n)->(n)",
    where=spread,
)
right("fourth power", power_four, power_four_vjp, real, sig="(n,n)->(n,n)")
right("power spectrum", fourier, fourier_vjp, real("n", "p>=1"))
right("recurrent", recurrent, recurrent_vjp, real, real, sig="(n),()->()")
right("masked mean", masked_mean, masked_mean_vjp, real, boolean, sig="(n),(n)->()")
right(
    "last of a row",
    pick_last,
    lambda g, out, x: (like(x, column(g) * (np.arange(x.shape[-1]) == x.shape[-1] - 1)),),
    real("n", "p>=1"),
)
right("axis added", lambda x: x[..., None], lambda g, out, x: (g[..., 0],), real)
right(
    "difference of sums",
    lambda x, y: np.sum(x) - np.sum(y),
    lambda g, out, x, y: (np.full(x.shape, g, x.dtype), np.full(y.shape, -g, y.dtype)),
    real("n"),
    real("m", "k"),
)
