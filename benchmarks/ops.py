"""The time of single ops, forward and backward, beside a NumPy formula and PyTorch, on one thread.

Arrays of 500x200 by default, in float64 and float32. The formulas are what one would write by hand
for value and gradient, with the same accuracy. The times are those of the fastest of the rounds, in
which the three take turns. First, all of them have to agree.

    python benchmarks/ops.py [OP ...] [--rows N] [--rounds N] [--growth]

prints the table, worst first, and exits with 1 where an op takes more than 1.5 times its formula
without a reason. `--growth` prints instead how time and peak memory of ten ops grow from 10^3 to
10^7 elements.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import one_thread  # noqa: F401  before NumPy

# isort: split
import history
import numpy as np
import numpy.typing as npt
import scipy.special as sp
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import tinygrad_fc as tg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

Array = npt.NDArray[Any]
LIMIT, WIDTH = 1.5, 200
GROWING = ("exp", "mul", "sum(1)", "softmax", "matmul", "cumsum", "relu", "layer_norm", "x[idx]")
GROWING = (*GROWING, "mse_loss")
_TWO_SUM = "adding the rounding error of x - max, for 4 ulp, takes half of the time"
_CHECKED = "recording takes 15 us, and that 0 * inf = 0 a tenth to a fifth of the time"
_AGAIN = "computing again in the gradient what it shares with the value takes a third"
_FIXED = "recording and the backward pass take 10 to 20 us"
_STABLE = "a stable argsort takes 3.1 ms, NumPy's default 0.6: equal elements keep their order"
_CENTERED = "the gradient centers again (50 us); einsum sums squares in half the time"
REASONS = {
    **dict.fromkeys(("logsumexp", "log_softmax"), _TWO_SUM),
    **dict.fromkeys(("sort(1)", "argsort(1)"), _STABLE),
    **dict.fromkeys(("std(1)", "var(1)"), _CENTERED),
    **dict.fromkeys(("div", "mul", "reciprocal", "square", "pow", "rsqrt", "x ** 3"), _CHECKED),
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh", "tan", "cos", "sin"), _CHECKED),
    **dict.fromkeys(("log", "log2", "log10", "log1p", "sqrt", "atanh", "atan"), _CHECKED),
    **dict.fromkeys(("clamp", "hardtanh", "amax(1)", "asin", "acos", "fmod", "hypot"), _CHECKED),
    **dict.fromkeys(("silu", "mish", "elu", "softplus", "logsigmoid", "layer_norm"), _AGAIN),
    **dict.fromkeys(("neg", "add", "sub", "x * 2", "x.T", "cat", "stack"), _FIXED),
    **dict.fromkeys(("sum", "x[10:400]", "flip", "tril", "nan_to_num", "lerp"), _FIXED),
    **dict.fromkeys(("x[idx]", "index_select", "embedding"), "rows are added, not stored (30 us)"),
    "atan2": "each gradient (150 us) divides twice, for squares that do not overflow",
    "cross_entropy": "softmax (150 us) and a mask of the labels in the gradient",
    "smooth_l1_loss": "each gradient clamps the difference again (50 us); recording takes 47 us",
    "l1_loss": "recording takes 40 us: three ops",
    "mse_loss": "each gradient subtracts again (26 us); recording takes 18 us",
    "maximum": "ties share the gradient: for each argument two comparisons (80 us)",
    "asinh": "np.hypot(1, x) in the gradient takes 0.4 ms: squares do not overflow",
    **dict.fromkeys(("prod(1)", "cumprod(1)"), "first asks whether a product is 0 (60 us)"),
    "gather": "the places of the gradient are computed from the index arrays",
    "x[mask]": "the gradient is added: NumPy selects by the mask once more (620 us)",
    "pad": "recording two ops takes 35 us",
    "norm(2, 1)": "recording takes 32 us; sums are checked for 0 and infinity",
    "einsum ij,kj->ik": "operands and result are transposed",
    "einsum ij,ij->i": "NumPy plans three products (13 us each); recording takes 48 us",
    "lgamma": "a series of our own (4.2 ms, its gradient 3.9), as SciPy is no dependency",
    "gelu": "the distribution function (1.3 ms) again in the gradient",
}
"""Why an op takes longer than its limit; the times are those of float32."""


class Row(NamedTuple):
    """An op: a call with a library's module, and value and gradients by NumPy."""

    call: Callable[..., Any]
    formula: Callable[..., tuple[Any, ...]]  # of the cotangent and the arrays
    inputs: str = "n"  # of each argument: normal, positive, unit interval, labels, rows, indices
    differentiable: bool = True


def unary(
    function: Callable[[Any], Any], derivative: Callable[[Any, Any], Any]
) -> Callable[..., Any]:
    """Return a formula from a function and its derivative, of the argument and the value."""

    def formula(g: Array, x: Array) -> tuple[Array, ...]:
        y = function(x)
        return y, g * derivative(x, y)

    return formula


def sigmoid(x: Array) -> Array:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-x))


def scipy(name: str) -> Callable[[Any], Any]:
    """Return a function of SciPy, which computes in the dtype of its argument."""
    return getattr(sp, name)  # type: ignore[no-any-return]


ROOT_2_PI, ROOT_HALF = (2 / np.pi) ** 0.5, 0.5**0.5
UNARY: dict[str, tuple[Any, ...]] = {
    "neg": (np.negative, lambda x, y: -1.0),
    "abs": (np.abs, lambda x, y: np.sign(x)),
    "square": (np.square, lambda x, y: 2 * x),
    "exp": (np.exp, lambda x, y: y),
    "exp2": (np.exp2, lambda x, y: y * 0.6931471805599453),
    "expm1": (np.expm1, lambda x, y: y + 1),
    "sin": (np.sin, lambda x, y: np.cos(x)),
    "cos": (np.cos, lambda x, y: -np.sin(x)),
    "tan": (np.tan, lambda x, y: 1 + y * y),
    "sinh": (np.sinh, lambda x, y: np.cosh(x)),
    "cosh": (np.cosh, lambda x, y: np.sinh(x)),
    "tanh": (np.tanh, lambda x, y: 1 - y * y),
    "asinh": (np.arcsinh, lambda x, y: 1 / np.sqrt(x * x + 1)),
    "atan": (np.arctan, lambda x, y: 1 / (1 + x * x)),
    "sigmoid": (sigmoid, lambda x, y: y * (1 - y)),
    "relu": (lambda x: np.maximum(x, 0), lambda x, y: x > 0),
    "erf": (scipy("erf"), lambda x, y: (2 / np.pi**0.5) * np.exp(-x * x)),
}
POSITIVE: dict[str, tuple[Any, ...]] = {
    "sqrt": (np.sqrt, lambda x, y: 0.5 / y),
    "rsqrt": (lambda x: 1 / np.sqrt(x), lambda x, y: -0.5 * y / x),
    "reciprocal": (lambda x: 1 / x, lambda x, y: -y * y),
    "log": (np.log, lambda x, y: 1 / x),
    "log2": (np.log2, lambda x, y: 1.4426950408889634 / x),
    "log10": (np.log10, lambda x, y: 0.4342944819032518 / x),
    "log1p": (np.log1p, lambda x, y: 1 / (1 + x)),
    "lgamma": (scipy("gammaln"), lambda x, y: sp.digamma(x)),
    "digamma": (scipy("digamma"), lambda x, y: sp.zeta(2.0, x).astype(x.dtype)),
}
UNIT: dict[str, tuple[Any, ...]] = {
    "asin": (np.arcsin, lambda x, y: 1 / np.sqrt(1 - x * x)),
    "acos": (np.arccos, lambda x, y: -1 / np.sqrt(1 - x * x)),
    "atanh": (np.arctanh, lambda x, y: 1 / (1 - x * x)),
}
ACTIVATIONS: dict[str, tuple[Any, ...]] = {
    "elu": (
        lambda x: np.maximum(x, 0) + np.expm1(np.minimum(x, 0)),
        lambda x, y: 1 + np.minimum(y, 0),
    ),
    "leaky_relu": (lambda x: np.maximum(x, 0.01 * x), lambda x, y: np.where(x > 0, 1.0, 0.01)),
    "softplus": (
        lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0),
        lambda x, y: sigmoid(x),
    ),
    "logsigmoid": (
        lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
        lambda x, y: sigmoid(-x),
    ),
    "hardtanh": (lambda x: np.clip(x, -1, 1), lambda x, y: (x > -1) & (x < 1)),
}


def silu(g: Array, x: Array) -> tuple[Array, ...]:
    """Return value and gradient of x * sigmoid(x)."""
    s = sigmoid(x)
    y = x * s
    return y, g * (s + y * (1 - s))


def gelu(g: Array, x: Array) -> tuple[Array, ...]:
    """Return value and gradient of x * Phi(x)."""
    phi = 0.5 * (1 + sp.erf(x * x.dtype.type(ROOT_HALF)))
    return x * phi, g * (phi + x * np.exp(-0.5 * x * x) * x.dtype.type(0.5 * ROOT_2_PI))


def mish(g: Array, x: Array) -> tuple[Array, ...]:
    """Return value and gradient of x * tanh(softplus(x))."""
    t = np.tanh(np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0))
    return x * t, g * (t + x * (1 - t * t) * sigmoid(x))


def softmax(g: Array, x: Array) -> tuple[Array, ...]:
    """Return value and gradient over rows."""
    e = np.exp(x - x.max(1, keepdims=True))
    y = e / e.sum(1, keepdims=True)
    return y, y * (g - (g * y).sum(1, keepdims=True))


def log_softmax(g: Array, x: Array) -> tuple[Array, ...]:
    """Return value and gradient over rows."""
    d = x - x.max(1, keepdims=True)
    y = d - np.log(np.exp(d).sum(1, keepdims=True))
    return y, g - np.exp(y) * g.sum(1, keepdims=True)


def logsumexp(g: Array, x: Array) -> tuple[Array, ...]:
    """Return value and gradient over rows."""
    m = x.max(1, keepdims=True)
    e = np.exp(x - m)
    s = e.sum(1, keepdims=True)
    return (m + np.log(s))[:, 0], e * (g[:, None] / s)


def cross_entropy(g: Array, x: Array, y: Array) -> tuple[Array, ...]:
    """Return the mean over rows of the negative log-probability of the labels, and gradient."""
    rows = np.arange(len(x))
    d = x - x.max(1, keepdims=True)
    e = np.exp(d)
    s = e.sum(1, keepdims=True)
    gradient = e * (g / len(x) / s)
    gradient[rows, y] -= g / len(x)
    return np.mean(np.log(s[:, 0]) - d[rows, y]), gradient


def smooth_l1(g: Array, x: Array, y: Array) -> tuple[Array, ...]:
    """Return value and gradients of the mean."""
    d = x - y
    c = np.clip(d, -1, 1)
    h = c * (g / d.size)
    return np.mean(c * (d - 0.5 * c)), h, -h


def bce_logits(g: Array, x: Array, y: Array) -> tuple[Array, ...]:
    """Return value and gradient of the mean."""
    loss = np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))
    return np.mean(loss), (sigmoid(x) - y) * (g / x.size)


def mse(g: Array, x: Array, y: Array) -> tuple[Array, ...]:
    """Return value and gradients of the mean."""
    d = x - y
    h = d * (2 * g / d.size)
    return np.vdot(d, d) / d.size, h, -h


def layer_norm(g: Array, x: Array) -> tuple[Array, ...]:
    """Return value and gradient over rows."""
    d = x - x.mean(1, keepdims=True)
    n = x.shape[1]
    r = 1 / np.sqrt(np.einsum("ij,ij->i", d, d)[:, None] / n + x.dtype.type(1e-5))
    y = d * r
    return y, r * (g - g.mean(1, keepdims=True) - y * (np.einsum("ij,ij->i", g, y)[:, None] / n))


def add_rows(shape: tuple[int, ...], at: Array, g: Array) -> Array:
    """Return zeros of `shape` with rows of `g` added at the indices."""
    order = np.argsort(at, kind="stable")
    rows = at[order]
    starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
    out = np.zeros(shape, g.dtype)
    out[rows[starts]] = np.add.reduceat(g[order], starts, axis=0)
    return out


def gather(g: Array, x: Array, at: Array) -> tuple[Array, ...]:
    """Return elements of each row, and the gradient."""
    flat = (at + np.arange(len(x))[:, None] * x.shape[1]).ravel()
    gradient = np.bincount(flat, g.ravel(), x.size).reshape(x.shape)
    return np.take_along_axis(x, at, 1), gradient.astype(x.dtype, copy=False)


def topk(g: Array, x: Array) -> tuple[Array, ...]:
    """Return the five largest of each row, sorted, and the gradient."""
    at = np.argpartition(x, -5, axis=1)[:, -5:]
    y = np.take_along_axis(x, at, 1)
    order = np.argsort(-y, axis=1)
    gradient = np.zeros_like(x)
    np.put_along_axis(gradient, np.take_along_axis(at, order, 1), g, 1)
    return np.take_along_axis(y, order, 1), gradient


def along(g: Array, x: Array, at: Array, y: Array) -> tuple[Array, ...]:
    """Return y, and a gradient that is g at one index of each row."""
    gradient = np.zeros_like(x)
    np.put_along_axis(gradient, at[:, None], g[:, None], 1)
    return y, gradient


def maximum(g: Array, x: Array) -> tuple[Array, ...]:
    """Return the maximum of each row, and the gradient, shared between equal elements."""
    y = x.max(1, keepdims=True)
    where = x == y
    return y[:, 0], where * (g[:, None] / where.sum(1, keepdims=True, dtype=x.dtype))


def median(g: Array, x: Array) -> tuple[Array, ...]:
    """Return the lower median of each row, and the gradient."""
    at = np.argpartition(x, (x.shape[1] - 1) // 2, axis=1)[:, (x.shape[1] - 1) // 2]
    return along(g, x, at, np.take_along_axis(x, at[:, None], 1)[:, 0])


def variance(g: Array, x: Array) -> tuple[Array, ...]:
    """Return the variance of each row, and the gradient."""
    d = x - x.mean(1, keepdims=True)
    return np.einsum("ij,ij->i", d, d) / (d.shape[1] - 1), d * (2 / (d.shape[1] - 1) * g[:, None])


def std(g: Array, x: Array) -> tuple[Array, ...]:
    """Return the standard deviation of each row, and the gradient."""
    d = x - x.mean(1, keepdims=True)
    y = np.sqrt(np.einsum("ij,ij->i", d, d) / (d.shape[1] - 1))
    return y, d * (g / (y * (d.shape[1] - 1)))[:, None]


def norm(g: Array, x: Array) -> tuple[Array, ...]:
    """Return the norm of each row, and the gradient."""
    y = np.sqrt(np.einsum("ij,ij->i", x, x))
    return y, x * (g / y)[:, None]


def prod(g: Array, x: Array) -> tuple[Array, ...]:
    """Return the product of each row, and the gradient without zeros."""
    y = x.prod(1)
    return y, (g * y)[:, None] / x


def cumprod(g: Array, x: Array) -> tuple[Array, ...]:
    """Return the products of each row, and the gradient without zeros."""
    y = np.cumprod(x, 1)
    return y, np.cumsum((g * y)[:, ::-1], 1)[:, ::-1] / x


def power(g: Array, x: Array, y: Array) -> tuple[Array, ...]:
    """Return value and gradients."""
    z = x**y
    return z, g * y * x ** (y - 1), g * z * np.log(x)


def hypot(g: Array, x: Array, y: Array) -> tuple[Array, ...]:
    """Return value and gradients."""
    z = np.hypot(x, y)
    h = g / z
    return z, h * x, h * y


def atan2(g: Array, y: Array, x: Array) -> tuple[Array, ...]:
    """Return value and gradients."""
    h = g / (x * x + y * y)
    return np.arctan2(y, x), h * x, -h * y


def logaddexp(g: Array, x: Array, y: Array) -> tuple[Array, ...]:
    """Return value and gradients."""
    h = g * sigmoid(x - y)
    return np.logaddexp(x, y), h, g - h


def division(g: Array, x: Array, y: Array) -> tuple[Array, ...]:
    """Return value and gradients."""
    z, h = x / y, g / y
    return z, h, -h * z


def larger(g: Array, x: Array, y: Array) -> tuple[Array, ...]:
    """Return the maximum and its gradients."""
    where = x > y
    h = g * where
    return np.maximum(x, y), h, g - h


def linear(g: Array, x: Array, w: Array) -> tuple[Array, ...]:
    """Return value and gradients of x @ w.T."""
    return x @ w.T, g @ w, g.T @ x


F = "nn.functional"
REDUCTIONS: dict[str, Row] = {
    "sum": Row(lambda m, x: x.sum(), lambda g, x: (x.sum(), np.full(x.shape, g))),
    "sum(0)": Row(lambda m, x: x.sum(0), lambda g, x: (x.sum(0), g + np.zeros_like(x))),
    "sum(1)": Row(lambda m, x: x.sum(1), lambda g, x: (x.sum(1), g[:, None] + np.zeros_like(x))),
    "mean(1)": Row(
        lambda m, x: x.mean(1),
        lambda g, x: (x.mean(1), g[:, None] / x.shape[1] + np.zeros_like(x)),
    ),
    "var(1)": Row(lambda m, x: x.var(1), variance),
    "std(1)": Row(lambda m, x: x.std(1), std),
    "amax(1)": Row(lambda m, x: x.amax(1), maximum),
    "median(1)": Row(lambda m, x: x.median(1)[0], median),
    "norm(2, 1)": Row(lambda m, x: x.norm(2, dim=1), norm),
    "prod(1)": Row(lambda m, x: x.prod(1), prod, "o"),
    "cumprod(1)": Row(lambda m, x: x.cumprod(1), cumprod, "o"),
    "cumsum": Row(
        lambda m, x: x.cumsum(1),
        lambda g, x: (np.cumsum(x, 1), np.cumsum(g[:, ::-1], 1)[:, ::-1].copy()),
    ),
    "softmax": Row(lambda m, x: x.softmax(1), softmax),
    "log_softmax": Row(lambda m, x: x.log_softmax(1), log_softmax),
    "logsumexp": Row(lambda m, x: x.logsumexp(1), logsumexp),
    "layer_norm": Row(lambda m, x: m.nn.functional.layer_norm(x, x.shape[1:]), layer_norm),
    "topk(5, 1)": Row(lambda m, x: x.topk(5, 1)[0], topk),
    "sort(1)": Row(
        lambda m, x: x.sort(1)[0],
        lambda g, x: along_sorted(g, x, np.argsort(x, axis=1)),
    ),
    "argmax(1)": Row(
        lambda m, x: x.argmax(1), lambda g, x: (x.argmax(1),), "n", differentiable=False
    ),
    "argsort(1)": Row(
        lambda m, x: x.argsort(1), lambda g, x: (x.argsort(1),), "n", differentiable=False
    ),
}


def along_sorted(g: Array, x: Array, at: Array) -> tuple[Array, ...]:
    """Return the elements at the indices, and the gradient."""
    gradient = np.empty_like(x)
    np.put_along_axis(gradient, at, g, 1)
    return np.take_along_axis(x, at, 1), gradient


BINARY: dict[str, Row] = {
    "add": Row(lambda m, x, y: x + y, lambda g, x, y: (x + y, g.copy(), g.copy()), "nn"),
    "sub": Row(lambda m, x, y: x - y, lambda g, x, y: (x - y, g.copy(), -g), "nn"),
    "mul": Row(lambda m, x, y: x * y, lambda g, x, y: (x * y, g * y, g * x), "nn"),
    "div": Row(lambda m, x, y: x / y, division, "np"),
    "pow": Row(lambda m, x, y: x**y, power, "pn"),
    "x ** 3": Row(lambda m, x: x**3, lambda g, x: (x * x * x, 3 * g * (x * x))),
    "x * 2": Row(lambda m, x: x * 2, lambda g, x: (x * 2, g * 2)),
    "maximum": Row(lambda m, x, y: m.maximum(x, y), larger, "nn"),
    "where": Row(
        lambda m, x, y: m.where(x > y, x, y),
        lambda g, x, y: (np.where(w := x > y, x, y), np.where(w, g, 0), np.where(w, 0, g)),
        "nn",
    ),
    "hypot": Row(lambda m, x, y: m.hypot(x, y), hypot, "nn"),
    "atan2": Row(lambda m, x, y: m.atan2(x, y), atan2, "nn"),
    "logaddexp": Row(lambda m, x, y: m.logaddexp(x, y), logaddexp, "nn"),
    "fmod": Row(
        lambda m, x, y: m.fmod(x, y),
        lambda g, x, y: (np.fmod(x, y), g.copy(), -g * np.trunc(x / y)),
        "np",
    ),
    "lerp": Row(
        lambda m, x, y: m.lerp(x, y, 0.3),
        lambda g, x, y: (x + 0.3 * (y - x), 0.7 * g, 0.3 * g),
        "nn",
    ),
    "clamp": Row(
        lambda m, x: x.clamp(-1, 1),
        lambda g, x: (np.clip(x, -1, 1), g * ((x >= -1) & (x <= 1))),
    ),
    "nan_to_num": Row(
        lambda m, x: x.nan_to_num(), lambda g, x: (np.nan_to_num(x), g * np.isfinite(x))
    ),
    "x > y": Row(lambda m, x, y: x > y, lambda g, x, y: (x > y,), "nn", differentiable=False),
    "floor": Row(lambda m, x: x.floor(), lambda g, x: (np.floor(x),), "n", differentiable=False),
    "isnan": Row(lambda m, x: x.isnan(), lambda g, x: (np.isnan(x),), "n", differentiable=False),
}
OTHERS: dict[str, Row] = {
    "silu": Row(lambda m, x: m.nn.functional.silu(x), silu),
    "gelu": Row(lambda m, x: m.nn.functional.gelu(x), gelu),
    "mish": Row(lambda m, x: m.nn.functional.mish(x), mish),
    "mse_loss": Row(lambda m, x, y: m.nn.functional.mse_loss(x, y), mse, "nn"),
    "l1_loss": Row(
        lambda m, x, y: m.nn.functional.l1_loss(x, y),
        lambda g, x, y: (
            np.mean(np.abs(d := x - y)),
            h := np.sign(d) * (g / d.size),
            -h,
        ),
        "nn",
    ),
    "smooth_l1_loss": Row(lambda m, x, y: m.nn.functional.smooth_l1_loss(x, y), smooth_l1, "nn"),
    "bce_with_logits": Row(
        lambda m, x, y: m.nn.functional.binary_cross_entropy_with_logits(x, y), bce_logits, "nc"
    ),
    "cross_entropy": Row(lambda m, x, y: m.nn.functional.cross_entropy(x, y), cross_entropy, "nl"),
    "matmul": Row(lambda m, x, w: x @ w, lambda g, x, w: (x @ w, g @ w.T, x.T @ g), "nw"),
    "linear": Row(lambda m, x, w: m.nn.functional.linear(x, w), linear, "nw"),
    "einsum ij,kj->ik": Row(
        lambda m, x, y: m.einsum("ij,kj->ik", x, y),
        lambda g, x, y: (x @ y.T, g @ y, g.T @ x),
        "nn",
    ),
    "einsum ij,ij->i": Row(
        lambda m, x, y: m.einsum("ij,ij->i", x, y),
        lambda g, x, y: (np.einsum("ij,ij->i", x, y), g[:, None] * y, g[:, None] * x),
        "nn",
    ),
    "x.T": Row(lambda m, x: x.T * 2, lambda g, x: (x.T * 2, np.ascontiguousarray(g.T * 2))),
    "cat": Row(
        lambda m, x, y: m.cat([x, y]),
        lambda g, x, y: (np.concatenate([x, y]), g[: len(x)].copy(), g[len(x) :].copy()),
        "nn",
    ),
    "stack": Row(
        lambda m, x, y: m.stack([x, y]),
        lambda g, x, y: (np.stack([x, y]), g[0].copy(), g[1].copy()),
        "nn",
    ),
    "flip": Row(lambda m, x: x.flip(1), lambda g, x: (x[:, ::-1].copy(), g[:, ::-1].copy())),
    "x[10:400]": Row(
        lambda m, x: x[10:400] * 2,
        lambda g, x: (x[10:400] * 2, np.pad(2 * g, ((10, len(x) - 400), (0, 0)))),
    ),
    "x[idx]": Row(lambda m, x, i: x[i], lambda g, x, i: (x[i], add_rows(x.shape, i, g)), "nr"),
    "index_select": Row(
        lambda m, x, i: x.index_select(0, i),
        lambda g, x, i: (x[i], add_rows(x.shape, i, g)),
        "nr",
    ),
    "embedding": Row(
        lambda m, x, i: m.nn.functional.embedding(i, x),
        lambda g, x, i: (x[i], add_rows(x.shape, i, g)),
        "nr",
    ),
    "gather": Row(lambda m, x, i: x.gather(1, i), gather, "ni"),
    "x[mask]": Row(
        lambda m, x, y: x[y > 0],
        lambda g, x, y: (x[w := y > 0], masked(x, w, g)),
        "nc",
    ),
    "tril": Row(lambda m, x: x.tril(), lambda g, x: (np.tril(x), np.tril(g))),
    "pad": Row(
        lambda m, x: m.nn.functional.pad(x, (1, 1)),
        lambda g, x: (np.pad(x, ((0, 0), (1, 1))), g[:, 1:-1].copy()),
    ),
}


def masked(x: Array, where: Array, g: Array) -> Array:
    """Return zeros with g at the mask."""
    out = np.zeros_like(x)
    out[where] = g
    return out


def rows_by_name() -> dict[str, Row]:
    """Return all rows."""

    def called(name: str) -> Callable[..., Any]:
        return lambda m, x: getattr(m, name)(x)

    def functional(name: str) -> Callable[..., Any]:
        return lambda m, x: getattr(m.nn.functional, name)(x)

    rows = {}
    for kind, table in (("n", UNARY), ("p", POSITIVE), ("u", UNIT)):
        rows |= {name: Row(called(name), unary(*parts), kind) for name, parts in table.items()}
    rows |= {name: Row(functional(name), unary(*p)) for name, p in ACTIVATIONS.items()}
    return rows | BINARY | REDUCTIONS | OTHERS


def arrays(kinds: str, dtype: str, rows: int) -> list[Any]:
    """Return the arguments of a call, of `rows` times 200 elements."""
    rng, shape = np.random.default_rng(0), (rows, WIDTH if rows >= 1 else 1)
    drawn: dict[str, Callable[[], Any]] = {
        "n": lambda: rng.normal(size=shape),
        "p": lambda: rng.uniform(0.1, 3, shape),
        "o": lambda: rng.uniform(0.9, 1.1, shape),
        "u": lambda: rng.uniform(0, 0.95, shape),
        "c": lambda: rng.integers(0, 2, shape),  # not differentiated
        "w": lambda: rng.normal(size=(WIDTH, WIDTH)),
        "l": lambda: rng.integers(0, WIDTH, rows),
        "r": lambda: rng.integers(0, rows, rows),
        "i": lambda: rng.integers(0, WIDTH, shape),
    }
    made = [drawn[kind]() for kind in kinds]
    return [a if k in "lri" else a.astype(dtype) for k, a in zip(kinds, made, strict=True)]


def contestants(row: Row, dtype: str, rows: int) -> dict[str, Callable[[], Any]]:
    """Return calls of value and gradients: ours, NumPy's and PyTorch's."""
    values = arrays(row.inputs, dtype, rows)
    with warnings.catch_warnings(action="ignore"):
        shape = np.shape(row.call(tg, *map(tg.tensor, values)).numpy())
    g = np.random.default_rng(1).normal(size=shape).astype(dtype)
    calls: dict[str, Callable[[], Any]] = {"NumPy": lambda: row.formula(g, *values)}
    for name, module, tensor in (("ours", tg, tg.tensor), ("PyTorch", torch, torch.from_numpy)):
        calls[name] = recorded(row, module, list(map(tensor, values)), tensor(g))
    return calls


def recorded(
    row: Row, module: ModuleType, tensors: list[Any], cotangent: torch.Tensor | tg.Tensor
) -> Callable[[], list[Any]]:
    """Return a call of value and gradients with tensors of a library."""
    leaves = [t for t, k in zip(tensors, row.inputs, strict=True) if k not in "clri"]
    if not row.differentiable:
        return lambda: [row.call(module, *tensors)]
    for t in leaves:
        t.requires_grad_()

    def call() -> list[Any]:
        for t in leaves:
            t.grad = None
        out = row.call(module, *tensors)
        out.backward(cotangent)
        return [out, *(t.grad for t in leaves)]

    return call


def check(calls: dict[str, Callable[[], Any]], dtype: str) -> None:
    """Raise unless all agree."""
    expected = calls["NumPy"]()
    tolerance = 1e-3 if dtype == "float32" else 1e-8
    for name in ("ours", "PyTorch"):
        for found, e in zip(calls[name](), expected, strict=True):
            np.testing.assert_allclose(found.detach().numpy(), e, tolerance, tolerance)


def timed(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the microseconds of each call, in rounds in which they take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    started = time.perf_counter()
    calls["NumPy"]()
    number = max(1, int(1e-3 / (time.perf_counter() - started)))
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            for _ in range(number):
                call()
            times[name].append((time.perf_counter() - started) / number * 1e6)
    return times


def ratio(times: dict[str, list[float]], name: str) -> float:
    """Return the ratio of our time to that of another, of the fastest rounds."""
    return min(times["ours"]) / min(times[name])


def growth(names: Iterable[str], rounds: int) -> Table:
    """Return time and peak memory of some ops from 10^3 to 10^7 elements."""
    table = Table("op", "elements", "us", "NumPy", "peak, in bytes of x", "NumPy")
    for name in names:
        for rows in (5, 500, 50_000):
            calls = contestants(rows_by_name()[name], "float64", rows)
            times = timed(calls, max(1, rounds // 5))
            peaks = []
            for call in (calls["ours"], calls["NumPy"]):
                tracemalloc.start()
                call()
                peaks.append(f"{tracemalloc.get_traced_memory()[1] / (8 * rows * WIDTH):.1f}")
                tracemalloc.stop()
            medians = [f"{min(times[n]):,.0f}" for n in ("ours", "NumPy")]
            table.add_row(escape(name), f"{rows * WIDTH:,}", *medians, *peaks)
    return table


def main() -> None:
    """Print a table; exit with 1 where an op misses its limit without a reason."""
    rows = rows_by_name()
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("ops", nargs="*", help=f"some of {', '.join(rows)}")
    options.add_argument("--rows", type=int, default=500)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--growth", action="store_true")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    if chosen.growth:
        Console().print(growth(chosen.ops or GROWING, chosen.rounds))
        return
    measured = []
    for name in chosen.ops or rows:
        for dtype in ("float64", "float32"):
            calls = contestants(rows[name], dtype, chosen.rows)
            check(calls, dtype)
            times = timed(calls, chosen.rounds)
            measured.append((ratio(times, "NumPy"), ratio(times, "PyTorch"), name, dtype, times))
    measured.sort(key=lambda row: -row[0])
    table = Table("op", "dtype", "us", "NumPy", "ratio", "PyTorch", "ratio", "reason")
    missed = False
    for by_numpy, by_torch, name, dtype, times in measured:
        us = {n: f"{min(t):,.0f}" for n, t in times.items()}
        reason = REASONS.get(name, "") if by_numpy > LIMIT else ""
        missed |= by_numpy > LIMIT and not reason
        cells = (us["ours"], us["NumPy"], f"{by_numpy:.2f}", us["PyTorch"], f"{by_torch:.2f}")
        table.add_row(escape(name), dtype, *cells, reason)
    console = Console()
    console.print(table)
    figures = {}
    for other, column in (("NumPy's formula", 0), ("PyTorch", 1)):
        ratios = [row[column] for row in measured]
        middle, worst = statistics.median(ratios), max(ratios)
        console.print(f"{other}: median {middle:.2f}, worst {worst:.2f}")
        figures |= {f"median / {other}": middle, f"worst / {other}": worst}
    if not chosen.ops:
        history.record("ops", figures)
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
