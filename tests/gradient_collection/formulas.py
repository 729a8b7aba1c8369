"""Functions and rules of the collection that need more than a line."""

import math
from typing import Any

import numpy as np

from .case import column, like, matrix, row

GELU = math.sqrt(2 / math.pi)

# Numbers


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)), which cannot overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def ratio(a: Any, b: Any) -> Any:
    """Return a / b, and 0 where b is 0."""
    return np.where(b == 0, 0, a / np.where(b == 0, 1, b))


def half_at_ties(x: Any, y: Any) -> Any:
    """Return how much of a maximum is due to `x`."""
    return 0.5 * (1 + np.sign(x - y))


def bessel(x: Any, _: Any = None, *, terms: int = 25, slope: bool = False) -> Any:
    """Return the Bessel function J0 or its slope, by its power series."""
    term, total, slopes = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    for k in range(1, terms):
        slopes = slopes - term * 0.5 * x / k
        term = term * (-0.25 * x * x / k**2)
        total = total + term
    return slopes if slope else total


def iterated(step: Any, slope: Any, times: int) -> tuple[Any, Any]:
    """Return a function applied several times, and its slope."""

    def f(x: Any) -> Any:
        for _ in range(times):
            x = step(x)
        return x

    def slope_of_f(x: Any, _: Any) -> Any:
        total = 1.0
        for _ in range(times):
            total, x = total * slope(x), step(x)
        return total

    return f, slope_of_f


def newton(f: Any, slope: Any) -> Any:
    """Return the solution y of f(y) = x, by Newton's method from x on."""

    def root(x: Any) -> Any:
        y = x
        for _ in range(60):
            y = y - (f(y) - x) / slope(y)
        return y

    return root


def spline(x: Any) -> Any:
    """Return the cubic B-spline, of whose derivatives the third jumps."""
    a = np.abs(x)
    inner = (4 - 6 * a**2 + 3 * a**3) / 6
    return like(x, np.where(a < 1, inner, np.maximum(2 - a, 0) ** 3 / 6))


def spline_slope(x: Any, _: Any) -> Any:
    """Return the slope of `spline`."""
    a = np.abs(x)
    return np.sign(x) * np.where(a < 1, -2 * a + 1.5 * a**2, -(np.maximum(2 - a, 0) ** 2) / 2)


def gelu_tanh(x: Any) -> Any:
    """Return the form of gelu that is computed by tanh."""
    return 0.5 * x * (1 + np.tanh(GELU * (x + 0.044715 * x**3)))


def gelu_tanh_slope(x: Any, _: Any) -> Any:
    """Return the slope of `gelu_tanh`."""
    t = np.tanh(GELU * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU * (1 + 0.134145 * x * x)


def sinc_slope(x: Any, _: Any) -> Any:
    """Return the slope of sin(pi x)/(pi x), by its series near 0."""
    t = math.pi * np.asarray(x)
    safe = np.where(np.abs(t) < 0.5, 1.0, t)
    far = (np.cos(safe) - np.sin(safe) / safe) / safe
    s = t * t
    near = -t / 3 * (1 - s / 10 * (1 - s / 28 * (1 - s / 54 * (1 - s / 88 * (1 - s / 130)))))
    return math.pi * np.where(np.abs(t) < 0.5, near, far)


def bump(x: Any, *, slope: bool = False) -> Any:
    """Return exp(-1/(1 - x^2)), which is flat at its ends, and 0 beyond, or its slope."""
    d = 1 - x * x
    safe = np.where(d > 0, d, 1)
    return like(x, np.where(d > 0, np.exp(-1 / safe) * (-2 * x / safe**2 if slope else 1), 0))


def apart_from_zero(x: Any, y: Any) -> bool:
    """Return whether nowhere both numbers are close to 0."""
    return bool(np.all(np.maximum(*np.broadcast_arrays(np.abs(x), np.abs(y))) > 1e-3))


# Rows


def largest(x: Any) -> Any:
    """Return the maximum of each row, with its axis kept."""
    return x.max(-1, keepdims=True)


def softmax(x: Any) -> Any:
    """Return the softmax of each row."""
    e = np.exp(x - largest(x))
    return e / e.sum(-1, keepdims=True)


def logsumexp(x: Any) -> Any:
    """Return the logarithm of the sum of exponentials of each row."""
    m = largest(x)
    return (m + np.log(np.exp(x - m).sum(-1, keepdims=True)))[..., 0]


def norm(x: Any) -> Any:
    """Return the length of each row, which neither overflows nor underflows."""
    m = np.abs(x).max(-1, keepdims=True, initial=0)
    safe = np.where(m == 0, 1, m)
    return (safe * np.sqrt(np.square(x / safe).sum(-1, keepdims=True)))[..., 0]


def without(x: Any, i: int) -> Any:
    """Return a copy of `x` with ones at the place `i` of each row."""
    x = x.copy()
    x[..., i] = 1
    return x


def prod_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Multiply all the others: right with zeros as well."""
    parts = [without(x, i).prod(-1) for i in range(x.shape[-1])]
    return column(g) * np.stack(parts, -1) if parts else np.zeros_like(x)


def cumprod_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Sum over the products in which each number stands: right with zeros as well."""
    parts = [(g * without(x, i).cumprod(-1))[..., i:].sum(-1) for i in range(x.shape[-1])]
    return np.stack(parts, -1) if parts else np.zeros_like(x)


def reverse_cumsum(g: Any) -> Any:
    """Return the sum of each number and those after it."""
    return g[..., ::-1].cumsum(-1)[..., ::-1]


def max_vjp(g: Any, out: Any, x: Any) -> Any:
    """Share among those that are tied."""
    tied = x == column(out)
    return like(x, column(g) * tied / tied.sum(-1, keepdims=True))


def centred(x: Any) -> Any:
    """Return rows of mean 0."""
    return x - x.mean(-1, keepdims=True)


def middle(x: Any) -> Any:
    """Return the weights of the numbers that the median is the mean of."""
    n = x.shape[-1]
    place = np.argsort(np.argsort(x, -1, kind="stable"), -1, kind="stable")
    return like(x, ((place == (n - 1) // 2) * 0.5 + (place == n // 2) * 0.5))


def sort_vjp(g: Any, _out: Any, x: Any) -> Any:
    """Put each gradient where its number came from."""
    grad = np.zeros_like(x)
    places = np.argsort(x, -1, kind="stable")[..., x.shape[-1] - g.shape[-1] :]
    np.put_along_axis(grad, places, g, -1)
    return grad


def standard(x: Any, epsilon: float = 1e-5) -> tuple[Any, Any]:
    """Return rows of mean 0 and deviation 1, and the deviations."""
    deviation = np.sqrt(np.square(centred(x)).mean(-1, keepdims=True) + epsilon)
    return centred(x) / deviation, deviation


def layer_norm_vjp(*, along: bool = True, epsilon: float = 1e-5) -> Any:
    """Return the rule of layer normalisation, with or without its last term."""

    def vjp(g: Any, _out: Any, x: Any, w: Any, _b: Any) -> Any:
        y, deviation = standard(x, epsilon)
        v = g * w
        v = v - v.mean(-1, keepdims=True) - along * y * (v * y).mean(-1, keepdims=True)
        return v / deviation, g * y, g

    return vjp


def hot(x: Any, t: Any) -> Any:
    """Return which place of a row of `x` each index names, counted from either end."""
    n = x.shape[-1]
    return np.arange(n) == column(t % n if n else t)


def logcumsumexp_vjp(g: Any, out: Any, x: Any) -> Any:
    """Share each result among the numbers before it; in the order of sums, so nothing overflows."""
    shares = np.exp(np.minimum(row(x) - column(out), 0)) * np.tri(x.shape[-1], dtype=x.dtype)
    return (column(g) * shares).sum(-2)


def cummax_vjp(g: Any, out: Any, x: Any) -> Any:
    """Give each to the last place that holds the maximum so far."""
    n = x.shape[-1]
    places = np.where(x == out, np.arange(n), 0)
    places = np.maximum.accumulate(places, axis=-1) if n else places
    return (column(g) * (column(places) == np.arange(n))).sum(-2)


def recurrent_states(x: Any, w: Any) -> list[Any]:
    """Return h = tanh(w h + x) before each number of a row and after the last."""
    states = [np.zeros(np.broadcast_shapes(x.shape[:-1], w.shape), w.dtype)]
    for k in range(x.shape[-1]):
        states.append(np.tanh(w * states[-1] + x[..., k]))
    return states


def recurrent_vjp(g: Any, _out: Any, x: Any, w: Any) -> Any:
    """Go back through all steps."""
    states, shape = recurrent_states(x, w), np.shape(g)
    gx, gw = np.zeros((*shape, x.shape[-1])), np.zeros(shape)
    for k in reversed(range(x.shape[-1])):
        g = g * (1 - states[k + 1] ** 2)
        gx[..., k] = g
        gw, g = gw + g * states[k], g * w
    return gx, gw


# Matrices


def turned(a: Any) -> Any:
    """Return the transpose of each matrix."""
    return a.swapaxes(-1, -2)


def well_posed(a: Any, *_: Any) -> bool:
    """Return whether equations with the matrices `a` lose at most four digits."""
    return a.size == 0 or bool(np.all(np.linalg.cond(a) < 1e4))


def solve(a: Any, b: Any) -> Any:
    """Return the solution of a x = b for rows b."""
    return np.linalg.solve(a, column(b))[..., 0]


def solve_vjp(g: Any, out: Any, a: Any, _b: Any) -> Any:
    """Solve with the transpose."""
    v = solve(turned(a), g)
    return -column(v) * row(out), v


def cofactors(a: Any) -> Any:
    """Return the matrix of cofactors, of singular matrices as well."""
    u, s, v = np.linalg.svd(a)
    others = [np.delete(s, i, -1).prod(-1) for i in range(s.shape[-1])]
    rest = np.stack(others, -1) if others else s
    return matrix(np.linalg.det(u) * np.linalg.det(v)) * (u * row(rest)) @ v


def apart(x: Any, y: Any) -> Any:
    """Return the differences of the rows of two matrices."""
    return x[..., :, None, :] - y[..., None, :, :]


def cdist_vjp(g: Any, out: Any, x: Any, y: Any) -> Any:
    """Pull along the lines between the points, and not at all where they coincide."""
    pull = column(g) * ratio(apart(x, y), column(out))
    return pull.sum(-2), -pull.sum(-3)


def attention_vjp(g: Any, _out: Any, q: Any, k: Any, v: Any) -> Any:
    """Go back through the mixing, the softmax and the products."""
    p = softmax(q @ turned(k))
    back = g @ turned(v)
    back = p * (back - (back * p).sum(-1, keepdims=True))
    return back @ k, turned(back) @ q, turned(p) @ g


def bilinear(x: Any, a: Any, y: Any) -> Any:
    """Return x' a y."""
    return np.einsum("...i,...ij,...j->...", x, a, y)


# Indices


def named(x: Any, i: Any) -> Any:
    """Return which numbers of each row the indices name."""
    return hot(x[..., None, :], i)


def added(x: Any, i: Any, g: Any, *, over: bool = False) -> Any:
    """Return zeros like `x` to which `g` is added at the indices `i`, or assigned."""
    grad = np.zeros_like(x)
    if over:
        grad[i] = g
    else:
        np.add.at(grad, i, g)
    return grad
