"""Bugs of what a rule does besides: what it changes, remembers, ignores, or leaves to chance."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .case import column, fit, like, wrong
from .right_matrix import turned
from .right_rows import reverse_cumsum, softmax
from .wrong_formula import A, B, X, Y, by

purity = partial(wrong, "purity")
memory = partial(wrong, "aliasing")
cotangent = partial(wrong, "cotangent")
chance = partial(wrong, "nondeterminism")
raises = partial(wrong, "raises")

_chance = np.random.default_rng()
_buffers: dict[Any, Any] = {}
_cache: dict[Any, Any] = {}
_calls = [0]
_readonly = np.array([2.0, 0.5])
_readonly.flags.writeable = False


def scales_g(g: Any, _y: Any, x: Any) -> Any:
    g *= like(x, np.cos(x))
    return (g,)


def flattens_g(g: Any, _out: Any, _x: Any) -> Any:
    """Return the right gradient, and leave the cotangent cumulated."""
    g = np.asarray(g)
    grad = reverse_cumsum(g)
    np.copyto(g, grad)
    return (grad.copy(),)


def sorts_x(g: Any, _out: Any, x: Any) -> Any:
    grad = like(x, column(g) * (np.arange(x.shape[-1]) >= 0) * 0.0)
    np.put_along_axis(grad, np.expand_dims(x.argmax(-1), -1), column(g), -1)
    x.sort(-1)
    return (grad,)


def centres_x(g: Any, _out: Any, x: Any) -> Any:
    if x.ndim:
        x -= x.mean(-1, keepdims=True)
    return (like(x, column(g) * 2 * x / x.shape[-1]),)


def squares_out(g: Any, y: Any, x: Any) -> Any:
    np.multiply(y, y, out=y)
    return (like(x, g * (1 - y)),)


def wraps_index(g: Any, _out: Any, w: Any, i: Any) -> Any:
    grad = np.zeros_like(w)
    i %= len(w)
    np.add.at(grad, i, g)
    return grad, None


def buffered(g: Any, _y: Any, x: Any) -> Any:
    """Write to an array that is kept for each shape."""
    key = x.shape, x.dtype
    out = _buffers.setdefault(key, np.empty(x.shape, x.dtype))
    np.copyto(out, g * np.cos(x))
    return (out,)


def accumulated(g: Any, _y: Any, x: Any) -> Any:
    key = "sum", x.shape, x.dtype
    _buffers[key] = _buffers.get(key, 0) + like(x, g * 2 * x)
    return (_buffers[key],)


def cached_by_shape(g: Any, _y: Any, x: Any) -> Any:
    """Remember the slope, and ask for no more than a shape again."""
    slope = _cache.setdefault((x.shape, x.dtype), like(x, 1 / (1 + x * x)))
    return (like(x, g * slope),)


def cached_by_sum(g: Any, _out: Any, x: Any) -> Any:
    """Remember the softmax by the sum of its row: another order has the same."""
    p = _cache.setdefault((x.shape, x.dtype, round(float(x.sum()), 6)), softmax(x))
    return (like(x, p * (g - (g * p).sum(-1, keepdims=True))),)


def every_other(g: Any, _y: Any, x: Any) -> Any:
    _calls[0] += 1
    return (like(x, g * 2 * x * (1 + 1e-3 * (_calls[0] % 2))),)


def drops(g: Any, _y: Any, x: Any) -> Any:
    return (like(x, g * np.cos(x) * (_chance.random(x.shape) > 0.02)),)


def noisy(size: float) -> Any:
    """Return a rule with relative noise."""
    return by(lambda x, y: y * (1 + size * _chance.standard_normal(np.shape(x))))


def overwrites_x(g: Any, _y: Any, x: Any) -> Any:
    """Work in the array of x, and put back what was there."""
    copy = x.copy()
    np.copyto(x, np.abs(x) <= 1)
    grad = like(x, g * x)
    np.copyto(x, copy)
    return (grad,)


def unit(g: Any) -> Any:
    """Return a cotangent of length 1."""
    return g / max(float(np.sqrt(np.square(g).sum())), 1e-30)


purity("sin", "scales g in place", scales_g, X)
purity("cumsum", "leaves its work in g", flattens_g, X)
purity("max", "sorts x", sorts_x, [1.0, 3.0, 2.0])
purity("var", "centres x", centres_x, X)
purity("tanh by its result", "squares the result", squares_out, X)
purity("embedding", "wraps the index", wraps_index, A, [1, -1, 0])
memory("sin", "one buffer a shape", buffered, X)
memory("square", "accumulates", accumulated, X)
memory("arctan", "cached by shape", cached_by_shape, X)
memory("softmax", "cached by the sum", cached_by_sum, [1.0, 3.0, 2.0])
purity(
    "add",
    "sums into g",
    lambda g, out, x, y: (fit(x, np.multiply(g, 1, out=g)), fit(y, np.add(g, g, out=g) / 2)),
    X,
    Y,
)

cotangent("sin", "ignored", lambda g, y, x: (like(x, np.cos(x)),), X)
cotangent("exp", "its sum", lambda g, y, x: (like(x, np.sum(g) * y),), X)
cotangent("square", "its size", lambda g, y, x: (like(x, abs(g) * 2 * x),), X, g=-X)
cotangent("tanh by its result", "its square", lambda g, y, x: (like(x, g * g * (1 - y * y)),), X)
cotangent("log", "clipped", lambda g, y, x: (like(x, np.clip(g, -1, 1) / x),), X, g=3 * X)
cotangent("sum", "its mean", lambda g, out, x: (np.full_like(x, np.mean(g)),), A)
cotangent("cube", "a little added", lambda g, y, x: (like(x, (g + 1e-4) * 3 * x * x),), X)
cotangent(
    "matmul",
    "of length 1",
    lambda g, out, a, b: (like(a, unit(g) @ turned(b)), fit(b, turned(a) @ g)),
    A,
    B,
)
cotangent(
    "softmax",
    "assumed to be ones",
    lambda g, out, x: (like(x, out * (1 - out.sum(-1, keepdims=True))),),
    X,
)
cotangent(
    "cross entropy",
    "ignored",
    lambda g, out, x, t: (
        fit(x, softmax(x) - (np.arange(x.shape[-1]) == column(t % x.shape[-1]))),
        None,
    ),
    X,
    1,
)
cotangent(
    "sin",
    "small ones dropped",
    lambda g, y, x: (like(x, g * (abs(g) > 0.2) * np.cos(x)),),
    X,
    g=np.full(4, 0.1),
)
cotangent("sqrt", "integers", lambda g, y, x: (like(x, np.trunc(g) * 0.5 / y),), X)
cotangent(
    "concatenate",
    "nothing where negative",
    lambda g, out, x, y: (g[: len(x)], np.maximum(g[len(x) :], 0)),
    X,
    Y,
    g=-np.arange(1.0, 9),
)
cotangent(
    "mean squared error",
    "taken for 1",
    lambda g, out, x, y: (
        fit(x, 2 * (x - y) / np.size(x - y)),
        fit(y, 2 * (y - x) / np.size(x - y)),
    ),
    X,
    Y,
)

chance("exp", "noise of 1e-3", noisy(1e-3), X)
chance("exp", "noise of 1e-7", noisy(1e-7), X)
chance("sin", "two in a hundred dropped", drops, np.ones((20, 20)))
chance("square", "every other call", every_other, X)

raises(
    "correlate",
    "as long as the row",
    lambda g, out, x, w: (
        np.convolve(g, w),
        np.array([g @ x[i : i + len(g)] for i in range(len(w))]) if len(w) < len(x) else 1 // 0,
    ),
    [1.0, 2.0],
    [3.0, 4.0],
)
raises(
    "gather",
    "negative index",
    lambda g, out, x, i: (
        fit(
            x,
            (
                column(g)
                * np.eye(x.shape[-1])[
                    [list(range(x.shape[-1])).index(int(k)) for k in i.flat]
                ].reshape(*i.shape, -1)
            ).sum(-2),
        ),
        None,
    ),
    X,
    [1, -1],
)
raises(
    "sigmoid",
    "not a float32",
    lambda g, y, x: (g * y * (1 - y) if x.dtype == float else np.matmul(g, None),),
    np.float32(X),
)
raises(
    "matmul",
    "one batch for each",
    lambda g, out, a, b: (
        np.stack([p @ q.T for p, q in zip(g, b, strict=True)])
        if a.ndim == 3
        else fit(a, g @ turned(b)),
        fit(b, turned(a) @ g),
    ),
    np.stack([A, B]),
    B,
)
raises("clip", "a read-only array", overwrites_x, _readonly)
