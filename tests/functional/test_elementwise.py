"""Gradients of elementwise functions that are easily inexact, and values at their ends."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, close
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg

filled = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


# Gradients of functions of two numbers


def slope(f: Any, *values: float) -> list[float]:
    """Return the gradient of `f` at numbers."""
    xs = [T(np.array(v)) for v in values]
    f(*xs).backward()
    return [x.grad.item() for x in xs]


finite = st.floats(-1e3, 1e3).filter(lambda v: v == 0 or abs(v) > 1e-3)


@given(st.floats(-1e3, 1e3), finite | st.sampled_from([0.1, 0.2, 0.3, -0.7]))
@example(1.0, 0.1)  # where the rounded quotient is wrong
def test_gradient_of_fmod_and_remainder_is_the_exact_quotient(x: float, y: float):
    assume(y)
    exact = Fraction(x) / Fraction(y)
    assert slope(tg.fmod, x, y) == [1, -math.trunc(exact)]
    if np.remainder(x, y) != y:  # unless the remainder was rounded up to the divisor
        assert slope(tg.remainder, x, y) == [1, -math.floor(exact)]


@given(st.floats(-30, 30), st.sampled_from([0.0, 1e3, -1e10, 1e15]), st.booleans())
def test_gradient_of_logaddexp_depends_on_the_difference_only(
    apart: float, shift: float, swapped: bool
):
    x, y = (shift, shift + apart)[:: -1 if swapped else 1]
    part = 1 / (1 + math.exp(y - x))
    np.testing.assert_allclose(slope(tg.logaddexp, x, y), [part, 1 / (1 + math.exp(x - y))], 1e-14)


def test_gradient_of_logaddexp_at_infinity():
    assert slope(tg.logaddexp, np.inf, 0.0) == slope(tg.logaddexp, 0.0, -np.inf) == [1, 0]


@given(st.floats(0.1, 3), st.integers(-1000, 1000), st.floats(0.5, 2))
def test_gradient_of_atan2_at_any_scale(angle: float, power: int, size: float):
    y, x = math.ldexp(size * math.sin(angle), power), math.ldexp(size * math.cos(angle), power)
    expected = [math.ldexp(v / size, -power) for v in (math.cos(angle), -math.sin(angle))]
    atol = 1e-15 * math.ldexp(1, -power)
    np.testing.assert_allclose(slope(tg.atan2, y, x), expected, rtol=1e-12, atol=atol)


@pytest.mark.parametrize("name", ["logaddexp", "hypot", "atan2", "fmod", "remainder"])
def test_nan_propagates_without_a_warning(name: str):
    f = getattr(tg, name)
    for x, y in ((np.nan, 2.0), (2.0, np.nan)):
        assert math.isnan(slope(f, x, y)[1])


@given(arrays(filled, low=-3, high=3))
def test_logit_is_the_inverse_of_sigmoid(a: Any):
    close(tg.logit(tg.tensor(a).sigmoid()).numpy(), a, tolerance=1e-13)
    assert tg.logit(tg.tensor([0.0, 1.0]), eps=0.25).tolist() == [-np.log(3), np.log(3)]


def test_tolerances_may_be_tensors_of_one_element():
    x = tg.tensor([1.0, 2.0])
    assert tg.isclose(x, x + 0.1, rtol=tg.tensor([0.09])).tolist() == [False, True]


@given(st.integers(-1000, 1000))
def test_numbers_wrap_to_the_range_of_small_integers(n: int):
    x, mask = tg.tensor([3, 200], dtype=tg.uint8), tg.tensor([True, False])
    for result, expected in (
        (tg.where(mask, x, n), [3, n]),
        (x.where(~mask, n), [n, 200]),
        (x + n, [3 + n, 200 + n]),
        (x * n, [3 * n, 200 * n]),
    ):
        assert result.dtype == tg.uint8
        assert result.tolist() == [value % 256 for value in expected]
