"""Elementwise functions and methods compared with NumPy, and gradients that are easily inexact."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from drawing import FLOATS, T, arrays, close, numbers, same
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.errors import DtypeError

sizes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
filled = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


UNARY: dict[str, Any] = {
    **{name: (name, (0.2, 2.0)) for name in ("exp", "log", "sqrt", "square", "sin", "cos", "tanh")},
    **{name: (name, (0.2, 2.0)) for name in ("log1p", "log2", "log10", "reciprocal", "isnan")},
    **{name: (name, (-1.2, 1.2)) for name in ("expm1", "tan", "sinh", "cosh", "exp2", "isinf")},
    **{name: (name, (-2.0, 2.0)) for name in ("sign", "floor", "ceil", "round", "trunc")},
    **{name: (name, (-2.0, 2.0)) for name in ("isfinite", "logical_not")},
    **{name: (name.replace("a", "arc", 1), (-0.9, 0.9)) for name in ("asin", "acos", "atan")},
    "rsqrt": (lambda a: 1 / np.sqrt(a), (0.2, 2.0)),
    "abs": ("abs", (-2.0, 2.0)),
    "neg": ("negative", (-2.0, 2.0)),
    "relu": (lambda a: np.maximum(a, 0), (-2.0, 2.0)),
    "sigmoid": (lambda a: (1 / (1 + np.exp(-a))).astype(a.dtype), (-2.0, 2.0)),
}


@pytest.mark.parametrize("name", sorted(UNARY))
@settings(max_examples=settings.default.max_examples // 2)
@given(st.data(), sizes, st.sampled_from(FLOATS))
def test_unary_functions_equal_numpy(name: str, data: Any, shape: Any, dtype: Any):
    reference, (low, high) = UNARY[name]
    a = data.draw(arrays(shape, dtype=dtype, low=low, high=high))
    expected = getattr(np, reference)(a) if isinstance(reference, str) else reference(a)
    for got in (
        getattr(tg, name)(tg.tensor(a)),
        getattr(tg.tensor(a), name)(),
        getattr(tg, name)(input=tg.tensor(a)),
    ):
        assert got.shape == shape
        assert got.dtype == expected.dtype
        close(got.numpy(), expected, tolerance=4 * np.finfo(dtype).eps)


BINARY: dict[str, Any] = {
    **{name: name for name in ("add", "maximum", "minimum", "fmod", "remainder", "floor_divide")},
    **{name: name for name in ("logical_and", "logical_or", "logical_xor", "hypot", "logaddexp")},
    "atan2": "arctan2",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "pow": "power",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


@pytest.mark.parametrize("name", sorted(BINARY))
@settings(max_examples=settings.default.max_examples // 2)
@given(st.data(), hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0))
def test_binary_functions_equal_numpy(name: str, data: Any, drawn: Any):
    a, b = (data.draw(arrays(shape, low=0.5)) for shape in drawn.input_shapes)
    expected = np.asarray(getattr(np, BINARY[name])(a, b))
    x, y = tg.tensor(a), tg.tensor(b)
    for got in (getattr(tg, name)(x, y), getattr(x, name)(y), getattr(tg, name)(x, b)):
        close(got.numpy(), expected, tolerance=1e-15) if expected.dtype == float else same(
            got, expected
        )
    if name != "pow":
        assert np.array_equal(
            getattr(tg, name)(x, other=y).numpy(), getattr(x, name)(other=y).numpy()
        )
    c = float(b.flat[0]) if b.size else 2.0
    close(getattr(x, name)(c).numpy(), np.asarray(getattr(np, BINARY[name])(a, c)), tolerance=1e-15)


@given(arrays((2, 3)), arrays((3,), low=0.5), numbers(-2, 2))
def test_options_of_add_sub_div_clamp_and_where(a: Any, b: Any, c: float):
    x, y = tg.tensor(a), tg.tensor(b)
    same(tg.add(x, y, alpha=2), a + 2 * b)
    same(x.sub(y, alpha=2), a - 2 * b)
    same(tg.div(x, y, rounding_mode="floor"), np.floor_divide(a, b))
    same(tg.div(x, y, rounding_mode="trunc"), np.trunc(a / b))
    with pytest.raises(ValueError, match="rounding_mode"):
        tg.div(x, y, rounding_mode="up")
    same(x.clamp(c), np.maximum(a, c))
    same(x.clamp(max=c), np.minimum(a, c))
    same(tg.clamp(x, min=y - 1, max=y), np.clip(a, b - 1, b))
    same(x.clamp(2, 1), np.full(a.shape, 1.0))
    same(x.where(x > c, y), np.where(a > c, a, b))
    same(tg.where(x > c, x, 0.0), np.where(a > c, a, 0.0))
    same(tg.where(x.to(tg.int64), y, x), np.where(a.astype(int), b, a))
    same(x.masked_fill(x > c, 7), np.where(a > c, 7, a))
    same(
        tg.masked_fill(x, tg.tensor([True, False, True]), tg.tensor(c)),
        np.where([True, False, True], c, a),
    )
    for got, expected in zip(tg.where(x > c), np.nonzero(a > c), strict=True):
        same(got, expected)
    same((x > 0) & (x < c), (a > 0) & (a < c))
    same((x > 0) | (x < c), (a > 0) | (a < c))
    same((x > 0) ^ (x < c), (a > 0) ^ (a < c))
    same(~(x > 0), ~(a > 0))
    same(+x, a)
    same(abs(-x), np.abs(a))
    whole = tg.tensor([1, 2, 3])
    same(whole.clamp(2), np.array([2, 2, 3]))
    same(whole.clamp(max=2), np.array([1, 2, 2]))
    same(whole & 1, np.array([1, 0, 1]))


@given(
    hnp.arrays(st.sampled_from([np.int64, np.uint8, np.bool_]), sizes),
    st.sampled_from(["bitwise_and", "bitwise_or", "bitwise_xor"]),
    st.booleans() | st.integers(0, 100),
)
def test_bitwise_functions(a: Any, name: str, other: int):
    x = tg.tensor(a)
    same(getattr(tg, name)(x, other), getattr(np, name)(a, other))
    same(getattr(x, name)(x), getattr(np, name)(a, a))
    same(tg.bitwise_not(x), ~a)
    same(x.bitwise_not(), ~a)
    with pytest.raises(DtypeError, match="bitwise_xor cannot take"):
        tg.bitwise_xor(tg.ones(2), other)


@given(numbers(), numbers(), st.floats(0, 1))
def test_lerp_is_exact_at_both_ends(a: float, b: float, weight: float):
    x, y = tg.tensor(a), tg.tensor(b)
    assert x.lerp(y, 0.0).item() == a
    assert x.lerp(y, 1.0).item() == b
    close(tg.lerp(x, y, weight).numpy(), a + weight * (b - a), tolerance=1e-15)


# Gradients of functions of two numbers


def slope(f: Any, *values: float) -> list[float]:
    """Return the gradient of `f` at numbers."""
    xs = [T(np.array(v)) for v in values]
    f(*xs).backward()
    return [x.grad.item() for x in xs]


finite = st.floats(-1e3, 1e3).filter(lambda v: v == 0 or abs(v) > 1e-3)


@given(st.floats(-1e3, 1e3), finite | st.sampled_from([0.1, 0.2, 0.3, -0.7]))
def test_gradient_of_fmod_and_remainder_is_the_exact_quotient(x: float, y: float):
    assume(y)
    exact = Fraction(x) / Fraction(y)
    assert slope(tg.fmod, x, y) == [1, -math.trunc(exact)]
    if np.remainder(x, y) != y:  # unless the remainder was rounded up to the divisor
        assert slope(tg.remainder, x, y) == [1, -math.floor(exact)]


def test_gradient_of_remainder_where_the_rounded_quotient_is_wrong():
    assert slope(tg.remainder, 1.0, 0.1) == [1, -9]
    assert slope(tg.fmod, -1.0, 0.1) == [1, 9]


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
    with np.errstate(all="raise", under="ignore"):
        for x, y in ((np.nan, 2.0), (2.0, np.nan)):
            assert math.isnan(slope(f, x, y)[1])


@given(arrays(filled, low=-3, high=3))
def test_logit_is_the_inverse_of_sigmoid(a: Any):
    close(tg.logit(tg.tensor(a).sigmoid()).numpy(), a, tolerance=1e-13)
    assert tg.logit(tg.tensor([0.0, 1.0]), eps=0.25).tolist() == [-np.log(3), np.log(3)]


def test_clip_is_clamp():
    assert tg.clip is tg.clamp


def test_tolerances_may_be_tensors_of_one_element():
    x = tg.tensor([1.0, 2.0])
    assert tg.isclose(x, x + 0.1, rtol=tg.tensor([0.09])).tolist() == [False, True]
