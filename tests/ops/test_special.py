"""Accuracy of lgamma, its derivatives and erf, in units in the last place."""

import math

import numpy as np
import pytest
from drawing import close
from hypothesis import assume, example, given
from hypothesis import strategies as st

import tinygrad_fc as tg

special = pytest.importorskip("scipy.special")

positive = st.floats(1e-6, 1e6)
below = st.floats(-30, -0.01).filter(lambda x: abs(x - round(x)) > 0.01)


def ulps(actual: float, expected: float) -> float:
    return abs(actual - expected) / float(np.spacing(abs(expected)))


@given(positive)
def test_lgamma(x: float):
    actual, expected = tg.lgamma(tg.tensor(x)).item(), math.lgamma(x)
    assert ulps(actual, expected) <= 12 or abs(actual - expected) < 1e-14


@given(below)
def test_lgamma_below_0(x: float):
    close(tg.lgamma(tg.tensor(x)).item(), math.lgamma(x), tolerance=4e-15)


@given(positive, st.integers(0, 6))
def test_polygamma(x: float, n: int):
    expected = float(special.polygamma(n, x))
    assume(np.isfinite(expected))
    actual = tg.polygamma(n, tg.tensor(x)).item()
    assert ulps(actual, expected) <= 32 or (n == 0 and abs(actual - expected) < 4e-15)


@given(below)
@example(-0.47)  # where the terms are small, and the condition is not
def test_digamma_below_0(x: float):
    """Within some eps of its terms and of its condition: by what it changes where `pi * x` does."""
    cotangent = abs(math.pi / math.tan(math.pi * x))
    scale = 10 + cotangent + (math.pi / math.sin(math.pi * x)) ** 2
    error = abs(tg.digamma(tg.tensor(x)).item() - float(special.digamma(x)))
    assert error <= 2 * math.ulp(1.0) * scale


@pytest.mark.parametrize(
    ("n", "x", "exact"),  # from 120 digits
    [
        (2, -2.5, -0.108204051641727403),
        (20, -2.5, -9182070.2049456267),
        (60, -2.5, -5.3954073535867212e48),
        (60, 5.0, -1.9187173745379167e39),
        (100, 0.7, -4.1219395015915057e173),
        (100, 300.0, -2.1295392226500303e-92),
    ],
)
def test_polygamma_of_high_order(n: int, x: float, exact: float):
    actual = tg.polygamma(n, tg.tensor(x)).item()
    assert abs(actual - exact) <= 4e-14 * abs(exact)


@given(st.floats(0.05, 50) | below, st.integers(1, 4))
def test_polygamma_satisfies_its_recurrence(x: float, n: int):
    """polygamma(n, x + 1) - polygamma(n, x) = (-1)**n n! x**-(n + 1)."""
    low, high = (tg.polygamma(n, tg.tensor(v)).item() for v in (x, x + 1.0))
    step = (-1) ** n * math.factorial(n) * x ** -(n + 1)
    scale = abs(low) + abs(high) + abs(step)
    assert abs(high - low - step) <= 1e-12 * scale


@given(st.floats(allow_nan=False))
@example(0.4687)
@example(0.66291)
def test_erf_within_4_ulp(x: float):
    assert ulps(tg.erf(tg.tensor(x)).item(), math.erf(x)) <= 4
