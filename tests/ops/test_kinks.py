"""Conventions for gradients at kinks and ties, and where derivatives are infinite."""

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg

NAN = np.nan
floats = pytest.mark.parametrize("dtype", [np.float64, np.float32])


# The table of the documentation: a function, a point, and the gradients of its arguments there.
# Conventions are PyTorch's where it has one.
KINKS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "relu": (tg.relu, [0.0], [0.0]),
    "abs": (tg.abs, [0.0], [0.0]),
    "maximum, tie": (tg.maximum, [2.0, 2.0], [0.5, 0.5]),
    "minimum, tie": (tg.minimum, [2.0, 2.0], [0.5, 0.5]),
    "clamp, at the lower bound": (lambda x: tg.clamp(x, -1, 1), [-1.0], [0.0]),
    "clamp, at the upper bound": (lambda x: tg.clamp(x, -1, 1), [1.0], [0.0]),
    "clamp, x at the lower bound": (tg.clamp, [-1.0, -1.0, 1.0], [0.5, 0.5, 0.0]),
    "clamp, x at the upper bound": (tg.clamp, [1.0, -1.0, 1.0], [0.5, 0.0, 0.5]),
    "clamp, all equal": (tg.clamp, [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]),
    "clamp, bounds crossed": (tg.clamp, [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]),
    "clamp, bounds equal": (tg.clamp, [0.0, 1.0, 1.0], [0.0, 1.0, 0.0]),
    "clamp, no upper bound": (tg.clamp_min, [np.inf, 1.0], [1.0, 0.0]),
    "clamp, infinite lower bound": (tg.clamp_max, [-np.inf, 1.0], [1.0, 0.0]),
    "clamp, at infinity": (tg.clamp_min, [-np.inf, -np.inf], [0.5, 0.5]),
    "remainder by infinity": (tg.remainder, [-1.0, np.inf], [1.0, 1.0]),
    "3-norm at infinity": (lambda x: x.norm(3), [[1.0, np.inf]], [[0.0, NAN]]),
    "1.5-norm of 0": (lambda x: x.norm(1.5), [[0.0, 0.0]], [[0.0, 0.0]]),
    "0.5-norm of 0": (lambda x: x.norm(0.5), [[0.0, 0.0]], [[0.0, 0.0]]),
    "0.5-norm beside 0": (lambda x: x.norm(0.5), [[4.0, 0.0]], [[1.0, 0.0]]),
    "3-norm beside 0": (lambda x: x.norm(3), [[1.0, 0.0]], [[1.0, 0.0]]),
    "1-norm of 0": (lambda x: x.norm(1), [[0.0, 0.0]], [[0.0, 0.0]]),
    "largest magnitude of 0": (lambda x: x.norm(np.inf), [[0.0, 0.0]], [[0.0, 0.0]]),
    "variance of a NaN": (lambda x: x.var(), [[NAN]], [[NAN]]),
    "amax, ties": (lambda x: x.amax(0), [[3.0, 1.0, 3.0]], [[0.5, 0.0, 0.5]]),
    "amin, ties": (lambda x: x.amin(0), [[1.0, 3.0, 1.0]], [[0.5, 0.0, 0.5]]),
    "max of all, ties": (lambda x: x.max(), [[[3.0, 1.0], [2.0, 3.0]]], [[[0.5, 0], [0, 0.5]]]),
    "min of all, ties": (lambda x: x.min(), [[[1.0, 3.0], [1.0, 3.0]]], [[[0.5, 0], [0.5, 0]]]),
    "max of all, three": (lambda x: x.max(), [[1.0, 1.0, 1.0]], [[1 / 3, 1 / 3, 1 / 3]]),
    "median, ties": (tg.median, [[2.0, 2.0, 2.0, 2.0]], [[0.25, 0.25, 0.25, 0.25]]),
    "max over a dim, chosen": (lambda x: x.max(0).values, [[1.0, 3.0, 3.0]], [[0.0, 1.0, 0.0]]),
    "min over a dim, chosen": (lambda x: x.min(0).values, [[3.0, 1.0, 1.0]], [[0.0, 1.0, 0.0]]),
    "norm of 0": (np.linalg.norm, [[0.0, 0.0]], [[0.0, 0.0]]),
    "hypot of 0": (np.hypot, [0.0, 0.0], [0.0, 0.0]),
    "std of a constant": (lambda x: x.std(), [[2.0, 2.0, 2.0]], [[0.0, 0.0, 0.0]]),
    "x**0 at 0": (lambda x: x**0, [0.0], [0.0]),
    "x**0 at 0, a tensor": (tg.pow, [0.0, 0.0], [0.0, 0.0]),
    "x**1 at 0": (lambda x: x**1, [0.0], [1.0]),
    "x**2 at 0": (lambda x: x**2, [0.0], [0.0]),
    "x**3 below 0": (lambda x: x**3, [-2.0], [12.0]),
    "0**y": (lambda y: 0.0**y, [2.0], [0.0]),
    "sqrt at 0": (tg.sqrt, [0.0], [np.inf]),
    "a selected branch": (lambda x: tg.where(x >= 0, x.sqrt(), x), [0.0], [np.inf]),
    "log at 0": (tg.log, [0.0], [np.inf]),
    # At NaN, where the result is NaN and a gradient of 0 would look like a minimum.
    "relu of NaN": (tg.relu, [NAN], [1.0]),
    "leaky_relu of NaN": (tg.nn.functional.leaky_relu, [NAN], [0.01]),
    "hardtanh of NaN": (tg.nn.functional.hardtanh, [NAN], [1.0]),
    "maximum of NaN": (tg.maximum, [2.0, NAN], [1.0, 1.0]),
    "max of all, NaN": (lambda x: x.max(), [[NAN, 1.0, NAN]], [[0.5, 0.0, 0.5]]),
    "amax of NaN": (lambda x: x.amax(0), [[NAN, 1.0]], [[NAN, NAN]]),
    "median of NaN": (lambda x: x.median(), [[1.0, NAN, 2.0]], [[0.0, 1.0, 0.0]]),
    "quantile of NaN": (lambda x: x.quantile(0.2), [[1.0, NAN, 2.0]], [[0.0, 1.0, 0.0]]),
    "abs of NaN": (tg.abs, [NAN], [NAN]),
    "norm of NaN": (np.linalg.norm, [[NAN, 0.0]], [[NAN, NAN]]),
    "hypot of NaN": (np.hypot, [NAN, 0.0], [NAN, NAN]),
    "std of one element": (lambda x: x.std(), [[2.0]], [[NAN]]),
    "logit at 0": (tg.logit, [0.0], [np.inf]),
    "logit at 1": (tg.logit, [1.0], [np.inf]),
    "logit outside": (tg.logit, [2.0], [NAN]),
    "log_softmax": (lambda x: x.log_softmax(0)[1], [[np.inf, 1.0]], [[NAN, NAN]]),
}  # fmt: skip


@floats
@pytest.mark.parametrize("name", KINKS)
def test_derivative_at_kinks_and_ties(name: str, dtype: Any) -> None:
    f, at, gradients = KINKS[name]
    args = [tg.tensor(np.array(x, dtype), requires_grad=True) for x in at]
    f(*args).backward(tg.tensor(np.array(0.75, dtype)))  # not 1, which hides nonlinear rules
    for t, expected in zip(args, gradients, strict=True):
        assert t.grad.dtype == dtype
        np.testing.assert_array_max_ulp(
            t.grad.numpy(), np.multiply(0.75, expected).astype(dtype), dtype=dtype
        )


# Branches of `where`


# A function, and points where it or its derivative is not finite; `tests/core/test_op.py` draws
# such points for each op.
BRANCHES: dict[str, tuple[Any, list[float]]] = {
    "sqrt": (tg.sqrt, [0, -1, -4]),
    "sqrt of a difference": (lambda x: (1 - x * x).sqrt(), [1, -1, 2]),
    "log": (tg.log, [0, -1]),
    "log1p": (np.log1p, [-1, -2]),
    "divide": (lambda x: 1 / x, [0]),
    "divide by itself": (lambda x: x / x, [0]),
    "divide by a difference": (lambda x: x / (x - 1), [1]),
    "root": (lambda x: x**0.5, [0, -1]),
    "inverse power": (lambda x: x**-1.5, [0, -1]),
    "power of itself": (lambda x: x**x, [0, -0.5]),
    "power of a number": (lambda x: (-2.0) ** x, [0.5]),
    "entropy": (lambda x: x * x.log(), [0, -1]),
    "sin(x)/x": (lambda x: x.sin() / x, [0]),
    "exp, overflow": (lambda x: x.exp(), [1e3]),
    "exp of exp, overflow": (lambda x: x.exp().exp(), [10, 1e3]),
    "expm1, overflow": (np.expm1, [1e3]),
    "log of sigmoid": (lambda x: x.sigmoid().log(), [-1e3]),
}


@floats
@pytest.mark.parametrize("name", BRANCHES)
def test_an_unselected_branch_has_gradient_0_in_every_order(name: str, dtype: Any) -> None:
    f, at = BRANCHES[name]
    x = tg.tensor(np.array(at, dtype), requires_grad=True)
    selected = tg.tensor(np.zeros(len(at), bool))
    y = tg.where(selected, f(x), x * 3)
    weights = tg.tensor(np.array([0.75, -1.25, 2.5][: len(at)], dtype))
    for order, slope in enumerate((3, 0, 0)):
        # In the third order the backward pass adds infinities before `where` discards them.
        with np.errstate(invalid="ignore" if order == 2 else "raise"):
            (y,) = tg.autograd.grad(y, x, weights, create_graph=True, materialize_grads=True)
        assert (y.numpy() == slope * weights.numpy()).all()
