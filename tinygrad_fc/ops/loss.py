"""Losses as single calls: one node, one residual."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.domain import index, interval, real
from tinygrad_fc.op import quiet
from tinygrad_fc.op import row as op
from tinygrad_fc.ops.activation import softened
from tinygrad_fc.ops.elementwise import clip, log, log1p, product, sigmoid
from tinygrad_fc.ops.reduce import log_softmax, softmax

SMALL = 4096


def _squared(x: Any, y: Any, *, count: Any) -> Any:
    d = x - y
    # A small sum is a product of vectors at a third of the cost; a large one is summed pairwise.
    return (np.vdot(d, d) if d.size < SMALL else np.add.reduce(d * d, axis=None)) / count


# The squared distance of formula (5), summed and divided by `count`: the batch's cost (6) where
# that is the number of samples.
squared_error = op(
    _squared,
    name="mse_loss",
    domain=(real("n", "m"), real("n", "m")),
    settings={"count": lambda x, *_: (1, max(len(x), 1), max(x.size, 1))},
    rules=(
        lambda g, _out, x, y, count: (x - y) * (g * (2 / count)),
        lambda g, _out, x, y, count: (y - x) * (g * (2 / count)),
    ),
)


def _huber(x: Any, y: Any, *, delta: Any) -> Any:
    d = np.abs(x - y)
    short = np.minimum(d, delta)
    return short * (d - short * 0.5)


huber = op(
    _huber,
    name="huber_loss",
    domain=(real, real),
    settings={"delta": lambda *_: (1.0, 0.5, 2.0)},
    rules=(
        lambda g, _out, x, y, delta: g * clip(x - y, -delta, delta),
        lambda g, _out, x, y, delta: g * clip(y - x, -delta, delta),
    ),
)


# Two classes. PyTorch's limits keep a certain mistake finite: a logarithm is at least -100.

LEAST = -100.0
NEAR = 1e-12


def _cross(x: Any, y: Any) -> Any:
    no, yes = np.maximum(np.log1p(-x), LEAST), np.maximum(np.log(x), LEAST)
    return (y - 1) * no - y * yes


binary_cross_entropy = op(
    _cross,
    name="binary_cross_entropy",
    domain=(interval(0, 1), real),
    rules=(
        lambda g, _out, x, y: g * ((x - y) / np.maximum((1 - x) * x, NEAR)),
        lambda g, _out, x, _y: product(g, np.maximum(log1p(-x), LEAST) - np.maximum(log(x), LEAST)),
    ),
)
# A sum of numbers of one sign: nothing cancels.
binary_cross_entropy_with_logits = op(
    lambda x, y: softened(x) + np.maximum(x, 0) * (1 - y) + np.maximum(-x, 0) * y,
    name="binary_cross_entropy_with_logits",
    domain=(real, real),
    rules=(
        lambda g, _out, x, y: g * (sigmoid(x) - y),
        lambda g, _out, x, _y: g * -x,
    ),
)


# Many classes: x (n, classes); of each row, or all of them summed and divided by `count`.

counts = {"count": lambda x, *_: (None, 1, max(len(x), 1))}


def _below(x: Any) -> tuple[Any, Any]:
    """Return `x` minus each row's largest, and the logarithm of those exponentials' sum."""
    if not x.size:
        return x, x.sum(axis=1)
    rows, top = np.arange(len(x)), x.argmax(axis=1)
    d = x - x[rows, top][:, None]
    e = np.exp(d)
    # The largest is 1, and added by log1p: so the loss of a sure prediction keeps its digits.
    e[rows, top] = 0
    return d, np.log1p(np.add.reduce(e, axis=1))


def _total(each: Any, count: Any) -> Any:
    return each if count is None else np.add.reduce(each) / count


def _column(g: Any, count: Any) -> Any:
    return (g if count is None else g / max(count, 1))[..., None]


@quiet
def _cross_entropy(x: Any, y: Any, *, count: Any = None) -> Any:
    d, rest = _below(x)
    return _total(rest - d[np.arange(len(x)), y], count)


def _hot(y: Any, classes: int) -> Any:
    return (y % classes)[..., None] == np.arange(classes, like=y)


cross_entropy = op(
    _cross_entropy,
    name="cross_entropy",
    domain=(real("n", "k"), index("k")("n")),
    settings=counts,
    rules=(
        lambda g, _out, x, y, count=None: (
            (softmax(x, axis=1) - _hot(y, x.shape[1])) * _column(g, count)
        ),
        None,
    ),
)


@quiet
def _soft_cross_entropy(x: Any, y: Any, *, count: Any = None) -> Any:
    d, rest = _below(x)
    return _total((y * (rest[:, None] - d)).sum(axis=1), count)


soft_cross_entropy = op(
    _soft_cross_entropy,
    name="cross_entropy",
    domain=(real("n", "k"), real("n", "k")),
    settings=counts,
    rules=(
        lambda g, _out, x, y, count=None: (
            (softmax(x, axis=1) * y.sum(axis=1, keepdims=True) - y) * _column(g, count)
        ),
        lambda g, _out, x, _y, count=None: -log_softmax(x, axis=1) * _column(g, count),
    ),
)
