"""Conventions for gradients at kinks and ties, and where derivatives are infinite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

import tinygrad_fc as tg

if TYPE_CHECKING:
    from collections.abc import Sequence


NAN = np.nan
floats = pytest.mark.parametrize("dtype", [np.float64, np.float32])


class Kink(NamedTuple):
    """A function, a point, and the gradients of its arguments there."""

    name: str
    f: Any
    at: Sequence[Any]
    gradients: Sequence[Any]


# The table of the documentation. Conventions are PyTorch's where it has one.
KINKS = (
    Kink("relu", tg.relu, [0.0], [0.0]),
    Kink("abs", tg.abs, [0.0], [0.0]),
    Kink("maximum, tie", tg.maximum, [2.0, 2.0], [0.5, 0.5]),
    Kink("minimum, tie", tg.minimum, [2.0, 2.0], [0.5, 0.5]),
    Kink("clamp, at the lower bound", lambda x: tg.clamp(x, -1, 1), [-1.0], [0.0]),
    Kink("clamp, at the upper bound", lambda x: tg.clamp(x, -1, 1), [1.0], [0.0]),
    Kink("clamp, x at the lower bound", tg.clamp, [-1.0, -1.0, 1.0], [0.5, 0.5, 0.0]),
    Kink("clamp, x at the upper bound", tg.clamp, [1.0, -1.0, 1.0], [0.5, 0.0, 0.5]),
    Kink("clamp, all equal", tg.clamp, [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]),
    Kink("clamp, bounds crossed", tg.clamp, [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]),
    Kink("clamp, bounds equal", tg.clamp, [0.0, 1.0, 1.0], [0.0, 1.0, 0.0]),
    Kink("clamp, no upper bound", tg.clamp_min, [np.inf, 1.0], [1.0, 0.0]),
    Kink("clamp, infinite lower bound", tg.clamp_max, [-np.inf, 1.0], [1.0, 0.0]),
    Kink("clamp, at infinity", tg.clamp_min, [-np.inf, -np.inf], [0.5, 0.5]),
    Kink("remainder by infinity", tg.remainder, [-1.0, np.inf], [1.0, 1.0]),
    Kink("3-norm at infinity", lambda x: x.norm(3), [[1.0, np.inf]], [[0.0, NAN]]),
    Kink("1.5-norm of 0", lambda x: x.norm(1.5), [[0.0, 0.0]], [[0.0, 0.0]]),
    Kink("0.5-norm beside 0", lambda x: x.norm(0.5), [[4.0, 0.0]], [[1.0, 0.0]]),
    Kink("variance of a NaN", lambda x: x.var(), [[NAN]], [[NAN]]),
    Kink("amax, ties", lambda x: x.amax(0), [[3.0, 1.0, 3.0]], [[0.5, 0.0, 0.5]]),
    Kink("amin, ties", lambda x: x.amin(0), [[1.0, 3.0, 1.0]], [[0.5, 0.0, 0.5]]),
    Kink("max of all, ties", lambda x: x.max(), [[[3.0, 1.0], [2.0, 3.0]]], [[[0.5, 0], [0, 0.5]]]),
    Kink("min of all, ties", lambda x: x.min(), [[[1.0, 3.0], [1.0, 3.0]]], [[[0.5, 0], [0.5, 0]]]),
    Kink("max of all, three", lambda x: x.max(), [[1.0, 1.0, 1.0]], [[1 / 3, 1 / 3, 1 / 3]]),
    Kink("median, ties", tg.median, [[2.0, 2.0, 2.0, 2.0]], [[0.25, 0.25, 0.25, 0.25]]),
    Kink("max over a dim, chosen", lambda x: x.max(0).values, [[1.0, 3.0, 3.0]], [[0.0, 1.0, 0.0]]),
    Kink("min over a dim, chosen", lambda x: x.min(0).values, [[3.0, 1.0, 1.0]], [[0.0, 1.0, 0.0]]),
    Kink("norm of 0", np.linalg.norm, [[0.0, 0.0]], [[0.0, 0.0]]),
    Kink("hypot of 0", np.hypot, [0.0, 0.0], [0.0, 0.0]),
    Kink("std of a constant", lambda x: x.std(), [[2.0, 2.0, 2.0]], [[0.0, 0.0, 0.0]]),
    Kink("x**0 at 0", lambda x: x**0, [0.0], [0.0]),
    Kink("x**0 at 0, a tensor", tg.pow, [0.0, 0.0], [0.0, 0.0]),
    Kink("x**1 at 0", lambda x: x**1, [0.0], [1.0]),
    Kink("x**2 at 0", lambda x: x**2, [0.0], [0.0]),
    Kink("x**3 below 0", lambda x: x**3, [-2.0], [12.0]),
    Kink("0**y", lambda y: 0.0**y, [2.0], [0.0]),
    Kink("sqrt at 0", tg.sqrt, [0.0], [np.inf]),
    Kink("log at 0", tg.log, [0.0], [np.inf]),
    # At NaN, where the result is NaN and a gradient of 0 would look like a minimum.
    Kink("relu of NaN", tg.relu, [NAN], [1.0]),
    Kink("leaky_relu of NaN", tg.nn.functional.leaky_relu, [NAN], [0.01]),
    Kink("hardtanh of NaN", tg.nn.functional.hardtanh, [NAN], [1.0]),
    Kink("maximum of NaN", tg.maximum, [2.0, NAN], [1.0, 1.0]),
    Kink("max of all, NaN", lambda x: x.max(), [[NAN, 1.0, NAN]], [[0.5, 0.0, 0.5]]),
    Kink("amax of NaN", lambda x: x.amax(0), [[NAN, 1.0]], [[NAN, NAN]]),
    Kink("median of NaN", lambda x: x.median(), [[1.0, NAN, 2.0]], [[0.0, 1.0, 0.0]]),
    Kink("quantile of NaN", lambda x: x.quantile(0.2), [[1.0, NAN, 2.0]], [[0.0, 1.0, 0.0]]),
    Kink("abs of NaN", tg.abs, [NAN], [NAN]),
    Kink("norm of NaN", np.linalg.norm, [[NAN, 0.0]], [[NAN, NAN]]),
    Kink("hypot of NaN", np.hypot, [NAN, 0.0], [NAN, NAN]),
    Kink("std of one element", lambda x: x.std(), [[2.0]], [[NAN]]),
    Kink("logit at 0", tg.logit, [0.0], [np.inf]),
    Kink("logit at 1", tg.logit, [1.0], [np.inf]),
    Kink("logit outside", tg.logit, [2.0], [NAN]),
    Kink("log_softmax", lambda x: x.log_softmax(0)[1], [[np.inf, 1.0]], [[NAN, NAN]]),
)  # fmt: skip


@floats
@pytest.mark.parametrize("kink", KINKS, ids=lambda kink: kink.name)
def test_derivative_at_kinks_and_ties(kink: Kink, dtype: Any) -> None:
    args = [tg.tensor(np.array(x, dtype), requires_grad=True) for x in kink.at]
    kink.f(*args).backward(tg.tensor(np.array(0.75, dtype)))  # not 1, which hides nonlinear rules
    for t, expected in zip(args, kink.gradients, strict=True):
        assert t.grad is not None
        assert t.grad.dtype == dtype
        np.testing.assert_array_max_ulp(
            t.grad.numpy(), np.multiply(0.75, expected).astype(dtype), dtype=dtype
        )


# Branches of `where`


class Branch(NamedTuple):
    """A function, and points where it or its derivative is not finite."""

    name: str
    f: Any
    at: Sequence[float]


BRANCHES = (
    Branch("sqrt", tg.sqrt, [0, -1, -4]),
    Branch("sqrt of a difference", lambda x: (1 - x * x).sqrt(), [1, -1, 2]),
    Branch("log", tg.log, [0, -1]),
    Branch("log2", np.log2, [0, -1]),
    Branch("log10", np.log10, [0, -1]),
    Branch("log1p", np.log1p, [-1, -2]),
    Branch("divide", lambda x: 1 / x, [0]),
    Branch("divide by itself", lambda x: x / x, [0]),
    Branch("divide by a difference", lambda x: x / (x - 1), [1]),
    Branch("reciprocal", np.reciprocal, [0]),
    Branch("root", lambda x: x**0.5, [0, -1]),
    Branch("inverse power", lambda x: x**-1.5, [0, -1]),
    Branch("power of itself", lambda x: x**x, [0, -0.5]),
    Branch("power of a number", lambda x: (-2.0) ** x, [0.5]),
    Branch("entropy", lambda x: x * x.log(), [0, -1]),
    Branch("sin(x)/x", lambda x: x.sin() / x, [0]),
    Branch("exp, overflow", lambda x: x.exp(), [1e3]),
    Branch("exp of exp, overflow", lambda x: x.exp().exp(), [10, 1e3]),
    Branch("expm1, overflow", np.expm1, [1e3]),
    Branch("sinh, overflow", np.sinh, [1e3, -1e3]),
    Branch("arcsin", np.arcsin, [1, -1, 2]),
    Branch("arccos", np.arccos, [1, -1, 2]),
    Branch("arccosh", np.arccosh, [1, 0]),
    Branch("arctanh", np.arctanh, [1, -1, 2]),
    Branch("log of sigmoid", lambda x: x.sigmoid().log(), [-1e3]),
    Branch("fmod", lambda x: np.fmod(1.0, x), [0]),
)


@floats
@pytest.mark.parametrize("branch", BRANCHES, ids=lambda branch: branch.name)
def test_an_unselected_branch_has_gradient_0_in_every_order(branch: Branch, dtype: Any) -> None:
    x = tg.tensor(np.array(branch.at, dtype), requires_grad=True)
    selected = tg.tensor(np.zeros(len(branch.at), bool))
    y = tg.where(selected, branch.f(x), x * 3)
    weights = tg.tensor(np.array([0.75, -1.25, 2.5][: len(branch.at)], dtype))
    for order, slope in enumerate((3, 0, 0)):
        # In the third order the backward pass adds infinities before `where` discards them.
        with np.errstate(invalid="ignore" if order == 2 else "raise"):
            (y,) = tg.autograd.grad(y, x, weights, create_graph=True, materialize_grads=True)
        assert (y.numpy() == slope * weights.numpy()).all()
        if not y.requires_grad:
            break


def test_the_selected_branch_may_have_an_infinite_gradient() -> None:
    x = tg.tensor([0.0, 4.0, -1.0], requires_grad=True)
    tg.where(x >= 0, x.sqrt(), x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [np.inf, 0.25, 1.0]
