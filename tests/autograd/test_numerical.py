"""Numerical derivatives: the error is within the error bound, and the bound is narrow."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinygrad_fc.autograd import numerical
from tinygrad_fc.autograd.numerical import Derivative, derivative, derivatives

quiet = np.errstate(all="ignore")


@quiet
def slope(f: Any, x: Any, step: Any = 1.0) -> Derivative:
    """Return the derivative of a function of one array; where it raises, its value is NaN."""
    x = np.array(x, float)
    here = np.asarray(f(x), float)

    def flat(t: Any) -> Any:
        try:
            return np.asarray(f(t), float).ravel()
        except (ArithmeticError, ValueError):
            return np.full(here.size, np.nan)

    measured = derivative(flat, [x], [np.full(x.shape, step)])
    return Derivative(*(a.reshape(here.shape) for a in measured))


CANCELLING: dict[str, tuple[Any, Any]] = {
    "(t - 1)^7": (
        lambda t: ((((((t - 7) * t + 21) * t - 35) * t + 35) * t - 21) * t + 7) * t - 1,
        lambda t: 7 * (t - 1) ** 6,
    ),
    "cosine": (lambda t: 1 - np.cos(t), np.sin),
    "exp": (lambda t: np.exp(t) - 1, np.exp),
    "sqrt": (
        lambda t: np.sqrt(t * t + 1) - t,
        lambda t: -1 / (np.hypot(t, 1) * (np.hypot(t, 1) + t)),
    ),
    "log": (lambda t: np.log(t * t + 1) - 2 * np.log(t), lambda t: -2 / (t * (t * t + 1))),
    "plus a large number": (lambda t: (1e5 + np.sin(t)) - 1e5, np.cos),
}
"""Functions with cancellation: rounding errors are larger than their values suggest."""

points = st.floats(0.0625, 20, width=32)
KNOWN: dict[str, tuple[Any, Any]] = {
    "exp": (lambda t: np.exp(-t), lambda t: -np.exp(-t)),
    "sin": (np.sin, np.cos),
    "fast": (lambda t: np.sin(50 * t), lambda t: 50 * np.cos(50 * t)),
    "log": (np.log, lambda t: 1 / t),
    "sqrt": (np.sqrt, lambda t: 0.5 / np.sqrt(t)),
    "cube": (lambda t: t**3, lambda t: 3 * t * t),
    "saturated": (np.tanh, lambda t: 1 / np.cosh(t) ** 2),
    "no complex numbers": (lambda t: np.arctan2(t, 1.0), lambda t: 1 / (1 + t * t)),
}


@pytest.mark.parametrize("name", KNOWN)
@given(points)
@example(14.137096405029297)  # next to a maximum, on both sides of which sin is equal
def test_the_error_is_within_a_narrow_bound(name: str, x: float) -> None:
    f, exact = KNOWN[name]
    measured = slope(f, x)
    scale = max(abs(f(x)), abs(exact(x)))
    assert abs(measured.value - exact(x)) <= measured.error + 4e-16 * scale
    # At a maximum of "fast", where coarse steps reach other periods, it may be inconclusive.
    assert measured.error <= 1e-9 * max(scale, 1) or (name == "fast" and np.isinf(measured.error))
    assert measured.jump <= 0


@given(st.integers(3, 9), st.floats(0.0625, 16))
def test_powers_at_0_have_a_narrow_bound(n: int, a: float) -> None:
    for f in (lambda t: a * t**n, lambda t: np.tanh(a * t) ** n):
        measured = slope(f, 0.0)
        assert abs(measured.value) <= measured.error <= 1e-6 * a**n


@pytest.mark.parametrize("name", CANCELLING)
@given(st.floats(2.0**-6, 4, width=32), st.integers(0, 12))
@example(0.044714998453855515, 2)  # the finest steps round alike
@example(2.963552713394165, 2)  # all steps are multiples of the rounding unit
def test_the_bound_includes_cancellation_errors(name: str, x: float, k: int) -> None:
    f, exact = CANCELLING[name]
    step = np.array([2.0**-k * min(float(numerical.power_of_two(np.array(x))), 1)])
    measured = derivative(f, [np.array([x])], [step])
    assert abs(measured.value - exact(x) * step) <= measured.error + 1e-15 * abs(exact(x) * step)


@given(st.floats(-8, 8, width=16))
def test_a_minimum_has_a_narrow_bound(x: float) -> None:
    measured = slope(lambda t: (t - x) ** 2, x)
    assert abs(measured.value) <= measured.error <= 1e-9 * max(abs(x), 1) ** 2


@given(points, st.floats(-4, 4, width=16), st.floats(0.25, 4, width=16))
def test_a_kink_is_detected_and_its_bound_contains_both_slopes(x: float, a: float, b: float):
    measured = slope(lambda t: np.where(t < x, a, a + b) * (t - x), x, min(x, 1.0))
    step = min(x, 1.0)
    assert measured.jump > 0.99 * b * step
    assert abs(measured.value / step - a) <= measured.error / step + 1e-9
    assert abs(measured.value / step - a - b) <= measured.error / step + 1e-9
    assert measured.error <= 0.51 * b * step + 1e-9


JUMPS: list[Any] = [(np.floor, 1.0), (np.sign, 0.0), (lambda t: np.where(t > 1, 1e-6, 0), 1.0)]
JUMPS += [(lambda t: np.round(4096 * t), 0.5 / 4096)]  # a fine staircase, at a step


@pytest.mark.parametrize(("f", "x"), JUMPS)
def test_a_jump_has_an_infinite_bound(f: Any, x: float) -> None:
    assert np.isinf(slope(f, x).error)


@given(st.floats(12, 24, width=32), st.floats(1, 2.0**40, width=32))
def test_the_bound_includes_the_rounding_of_nearly_constant_functions(x: float, c: float) -> None:
    """Far from 0 the slope of tanh is a few eps, which a large factor hides."""
    measured = slope(lambda t: c * (1 - np.tanh(t) ** 2), x)
    exact = -2 * c * np.tanh(x) / np.cosh(x) ** 2
    assert abs(measured.value - exact) <= measured.error + 1e-15 * c


@quiet
def test_nan_has_an_infinite_bound_and_steps_stay_in_the_domain() -> None:
    measured = slope(lambda t: np.array([np.log(t), t * t, np.nan * t]), 2.0**-16)
    assert measured.error.shape == (3,)
    assert np.isinf(measured.error[2])
    assert abs(measured.value[1] - 2.0**-15) <= measured.error[1] < 1e-12
    near = slope(np.arcsin, 1 - 2.0**-10)
    assert abs(near.value - 1 / np.sqrt(1 - (1 - 2.0**-10) ** 2)) <= near.error


@pytest.mark.parametrize("log", [math.log, np.log])
def test_a_function_may_raise_outside_its_domain(log: Any) -> None:
    measured = slope(log, 0.125)
    assert abs(measured.value - 8) <= measured.error < 1e-6
    with pytest.raises(ValueError, match=r"math domain error|positive input"):
        slope(math.log, -1.0)


def test_agreeing_coarse_steps_do_not_outweigh_fine_ones() -> None:
    measured = slope(lambda t: np.where(abs(t) < 1e-5, t, 5 * t), 0.0)
    assert abs(measured.value - 1) <= measured.error or np.isinf(measured.error)


def test_numbers_that_hardly_move_do_not_hide_an_oscillation() -> None:
    """A line with small fast waves looks straight to the steps that a number at an edge leaves."""
    wrong = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        w, b, x = rng.normal(size=8), rng.normal(size=8), np.round(rng.normal() * 2e6)

        def f(x: Any, y: Any, w: Any = w, b: Any = b) -> Any:
            return x + y + (np.sin(w * x + b) ** 2).mean(keepdims=True)

        v = [np.array([2.0**20]), np.array([2.0**-23])]
        expected = (1 + (w * np.sin(2 * (w * x + b))).mean()) * v[0] + v[1]
        measured = derivative(f, [np.array([x]), np.array([2.0])], v)
        wrong += int((np.abs(measured.value - expected) > measured.error).sum())
    assert wrong <= 1


def test_several_arguments_and_directions() -> None:
    x, y = np.array([1.0, 2.0]), np.array([3.0, -1.0])
    directions = [np.array([1.0, 0.0]), 0 * y]
    measured = derivative(lambda a, b: np.atleast_1d((a * b).sum()), [x, y], directions)
    assert measured.value == pytest.approx(3)
    assert slope(lambda a: a**2, x).value == pytest.approx(2 * x)


@given(st.floats(-4, 12), st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.0]), st.booleans())
def test_the_bound_at_a_curved_kink_contains_both_slopes(rate: float, left: float, bent: bool):
    def f(t: Any) -> Any:
        s = 2.0**rate
        beyond = np.expm1(np.minimum(t, 0) * s) / s if bent else t / (1 + s * np.abs(t))
        return np.where(t > 0, 1.5 * t, left * beyond)

    measured = slope(f, 0.0)
    low, high = measured.value - measured.error, measured.value + measured.error
    # One-sided slopes next to the kink are those of the kink to 1 in 256.
    assert low <= min(left, 1.5) + 2.0**-7
    assert high >= max(left, 1.5) - 2.0**-7


@quiet
@pytest.mark.parametrize("at_once", [1, 9])
@given(st.lists(st.tuples(*[st.sampled_from((-1.0, 0.5, 1.0))] * 3), min_size=1, max_size=6))
@settings(max_examples=20)
def test_several_derivatives_at_once_equal_single_ones(at_once: int, signs: Any) -> None:
    def f(x: Any, y: Any) -> Any:
        return np.concatenate([np.sin(x) * y, np.abs(x), [np.log(y)]])

    point = (np.array([0.0, 0.75, -2.0]), np.array(3.0))
    lines = [(point, (np.array(v), np.array(2.0))) for v in signs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numerical, "AT_ONCE", at_once)
        together = derivatives(f, lines, rounding=np.arange(7.0) / 1e15)
    for (x, v), measured in zip(lines, together, strict=True):
        alone = derivative(f, x, v, rounding=np.arange(7.0) / 1e15)
        assert all(map(np.array_equal, measured, alone))


def test_steps_that_float32_rounds_to_nothing_are_no_slope_of_0() -> None:
    x, v = np.array([3.99975586, 3.99999237, 3.984375]), np.array([0.0, 0.0, -0.015625])

    def normalised(x: Any) -> Any:
        x = x.astype(np.float32)
        return (x - x.mean()) / np.sqrt(x.var() + np.float32(1e-3))

    exact = derivative(lambda x: (x - x.mean()) / np.sqrt(x.var() + 1e-3), [x], [v])
    measured = derivative(normalised, [x], [v], eps=2.0**-23)
    assert (np.abs(measured.value - exact.value) <= measured.error + exact.error).all()
