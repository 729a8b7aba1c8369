"""Losses as single ops, each one node in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.core.dtypes import widened
from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.op import define
from tinygrad_fc.domain import index, interval, real
from tinygrad_fc.ops.activation import log1p_exp_neg_abs
from tinygrad_fc.ops.arithmetic import both_rules, multiply_no_nan
from tinygrad_fc.ops.elementwise import clamp, log, log1p, sigmoid
from tinygrad_fc.ops.reduce import log_softmax, softmax_rule

VDOT_LIMIT = 4096


@define(
    name="mse_loss",
    domain=(real("n", "m"), real("n", "m")),
    settings={"count": lambda x, *_: (1, max(len(x), 1), max(x.size, 1))},
    rules=both_rules(lambda g, _out, x, y, count: (x - y) * (g * (2 / count))),
)
def squared_error(input: Any, target: Any, *, count: Any) -> Any:
    """Return sum((input - target) ** 2) / count.

    With `count` the number of samples, it is formula (6) of `handderived.py`.

    >>> float(squared_error(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]]), count=1))
    5.0
    """
    error = input - target
    if error.dtype.char == "e":
        return squared_error.forward(*map(widened, (input, target)), count=count).astype("e")
    # For few elements vdot takes a third of the time; for many the pairwise sum is more accurate.
    few = error.size < VDOT_LIMIT
    return (np.vdot(error, error) if few else np.add.reduce(error * error, axis=None)) / count


@define(
    name="huber_loss",
    domain=(real, real),
    settings={"delta": (1.0, 0.5, 2.0)},
    rules=both_rules(lambda g, _out, x, y, delta: g * clamp(x - y, -delta, delta)),
)
def huber(input: Any, target: Any, *, delta: Any) -> Any:
    """Return d**2 / 2 for d = |input - target| up to `delta`, else delta * (d - delta / 2).

    >>> huber(np.array([0.5, 3.0]), np.array([0.0, 0.0]), delta=1.0)
    array([0.125, 2.5  ])
    """
    d = np.abs(input - target)
    short = np.minimum(d, delta)
    return short * (d - short * 0.5)


# Two classes. As in PyTorch, logarithms are clamped to at least -100, so that the loss is finite
# for a wrong prediction of 0 or 1.

MIN_LOG = -100.0
MIN_VARIANCE = 1e-12  # of a Bernoulli variable, p * (1 - p): the denominator of the gradient


def _probability_rule(g: Any, _out: Any, x: Any, y: Any) -> Any:
    variance = (1 - x) * x
    return g * ((x - y) / np.maximum(variance, MIN_VARIANCE))


@define(
    domain=(interval(0, 1), real),
    rules=(
        _probability_rule,
        lambda g, _out, x, _y: multiply_no_nan(
            g, np.maximum(log1p(-x), MIN_LOG) - np.maximum(log(x), MIN_LOG)
        ),
    ),
)
def binary_cross_entropy(input: Any, target: Any) -> Any:
    """Return -(target * log(input) + (1 - target) * log(1 - input)).

    >>> binary_cross_entropy(np.array([0.5, 1.0]), np.array([1.0, 0.0]))
    array([  0.69314718, 100.        ])
    """
    log_not_p, log_p = np.maximum(np.log1p(-input), MIN_LOG), np.maximum(np.log(input), MIN_LOG)
    return (target - 1) * log_not_p - target * log_p


@define(
    domain=(real, real),
    rules=(lambda g, _out, x, y: g * (sigmoid(x) - y), lambda g, _out, x, _y: g * -x),
)
def binary_cross_entropy_with_logits(input: Any, target: Any) -> Any:
    """Return `binary_cross_entropy` of sigmoid(input), without cancellation.

    >>> binary_cross_entropy_with_logits(np.array([0.0, 1000.0]), np.array([1.0, 0.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    # For targets in [0, 1] all terms are non-negative: nothing cancels.
    positive, negative = np.maximum(input, 0), np.maximum(-input, 0)
    return log1p_exp_neg_abs(input) + positive * (1 - target) + negative * target


# Many classes: x (n, classes); a loss per row, or their sum divided by `count`.

_COUNTS = {"count": lambda x, *_: (None, 1, max(len(x), 1))}


def _shifted(x: Any) -> tuple[Any, Any, Any]:
    """Return `x` minus the maximum of its row, and the indices of the maxima.

    For short rows, argmax is faster than np.max(x, 1).
    """
    rows, top = np.arange(len(x), like=x), x.argmax(axis=1)
    shifted = x - x[rows, top][:, None]
    return shifted, rows, top


@define(
    name="softmax",
    domain=(real("n", "k"),),
    settings={"dim": lambda *_: (1,)},
    rules=(softmax_rule,),
)
@without_warnings
def row_softmax(input: Any, *, dim: int) -> Any:
    """Return softmax(input, 1), by the exponentials of `cross_entropy`: a program has them once.

    >>> row_softmax(np.zeros((1, 2)), dim=1)
    array([[0.5, 0.5]])
    """
    if not input.size:
        return input.copy()
    if input.dtype.char == "e":
        return row_softmax.forward(widened(input), dim=dim).astype("e")
    exponentials = np.exp(_shifted(input)[0])
    total = np.add.reduce(exponentials, axis=dim, keepdims=True)
    return exponentials / total


def _shifted_and_log_sum(x: Any) -> tuple[Any, Any]:
    """Return `x` minus the maximum of its row, and log(sum(exp(shifted))) per row."""
    if not x.size:
        return x, x.sum(axis=1)
    shifted, rows, top = _shifted(x)
    exponentials = np.exp(shifted)
    # The largest exponential is 1; adding it by log1p keeps a loss near 0 accurate.
    exponentials[rows, top] = 0
    # Of an infinite logit the loss is NaN, as in PyTorch: `shifted` is then NaN there, else 0.
    return shifted, np.log1p(np.add.reduce(exponentials, axis=1)) + shifted[rows, top]


def _total(losses: Any, count: Any) -> Any:
    if count is None:
        return losses
    if losses.dtype.char == "e":
        return (np.add.reduce(widened(losses)) / count).astype("e")
    return np.add.reduce(losses) / count


def _cotangent_per_row(g: Any, count: Any) -> Any:
    return (g if count is None else g / max(count, 1))[..., None]


def _one_hot(y: Any, classes: int, dtype: Any) -> Any:
    numbers = np.arange(classes, like=y)
    return (y[..., None] == numbers).astype(dtype)


def _logits_rule(g: Any, _out: Any, x: Any, y: Any, count: Any = None) -> Any:
    one_hot = _one_hot(y, x.shape[1], x.dtype)
    probabilities = row_softmax(x, dim=1)
    return (probabilities - one_hot) * _cotangent_per_row(g, count)


@define(
    domain=(real("n", "k"), index("k", negative=False)("n")),
    settings=_COUNTS,
    rules=(_logits_rule, None),
)
@without_warnings
def cross_entropy(input: Any, target: Any, *, count: Any = None) -> Any:
    """Return -log_softmax(input)[target], per row, for class indices `target` (n,).

    >>> cross_entropy(np.zeros((1, 2)), np.array([0]))
    array([0.69314718])
    """
    shifted, log_sum = _shifted_and_log_sum(input)
    losses = log_sum - shifted[np.arange(len(input), like=input), target]
    return _total(losses, count)


@define(
    name="cross_entropy",
    domain=(real("n", "k"), real("n", "k")),
    settings=_COUNTS,
    rules=(
        lambda g, _out, x, y, count=None: (
            (row_softmax(x, dim=1) * y.sum(axis=1, keepdims=True) - y)
            * _cotangent_per_row(g, count)
        ),
        lambda g, _out, x, _y, count=None: -log_softmax(x, dim=1) * _cotangent_per_row(g, count),
    ),
)
@without_warnings
def soft_cross_entropy(input: Any, target: Any, *, count: Any = None) -> Any:
    """Return -(target * log_softmax(input)).sum(), per row, for probabilities (n, k).

    >>> soft_cross_entropy(np.zeros((1, 2)), np.array([[0.5, 0.5]]))
    array([0.69314718])
    """
    d, rest = _shifted_and_log_sum(input)
    return _total((target * (rest[:, None] - d)).sum(axis=1), count)
