"""Derivatives of products at zeros; quantiles."""

from functools import reduce
from operator import mul
from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, assert_equal_derivatives, close, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.testing import check

# With no, one or several zeros; products of integers are exact.
few = st.integers(1, 5).flatmap(
    lambda n: hnp.arrays(float, n, elements=st.sampled_from([0, 0, 1, -2, 3]))
)


def cumulative_products(x: Any) -> list[Any]:
    """Return the products of the first 1, 2, ... elements."""
    return [reduce(mul, [x[j] for j in range(k + 1)]) for k in range(x.shape[0])]


@given(few, seeds)
@settings(max_examples=15)
def test_derivatives_of_prod_and_cumprod_at_zeros(x: Any, seed: int):
    assert_equal_derivatives(lambda t: t.prod(), lambda t: cumulative_products(t)[-1], x, seed)
    assert_equal_derivatives(
        lambda t: t.cumprod(0), lambda t: tg.stack(cumulative_products(t)), x, seed
    )


@given(few, seeds)
@settings(max_examples=15)
def test_prod_over_several_axes_equals_prod_over_each(x: Any, seed: int):
    cube = np.stack([np.outer(x, x[::-1]), np.outer(x, x)])

    def one_by_one(t: Any, dim: Any) -> Any:
        for k in sorted((d % 3 for d in dim), reverse=True):
            t = t.prod(k)
        return t

    for dim in ((0, 2), (-1, 0), (1,), (2, 0, 1)):
        assert_equal_derivatives(
            lambda t, dim=dim: t.prod(dim), lambda t, dim=dim: one_by_one(t, dim), cube, seed, 1
        )


def test_gradient_of_prod_does_not_overflow_in_between():
    x = T(np.array([1e200, 1e-200, 1e200, 0.0]))
    x.prod().backward()
    assert x.grad.tolist() == [0, 0, 0, pytest.approx(1e200)]


# Quantiles


METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


@given(st.data(), st.sampled_from(METHODS), st.booleans())
def test_quantile_equals_numpy(data: Any, method: str, keepdim: bool):
    a = data.draw(arrays(hnp.array_shapes(max_dims=3, max_side=4)))
    dim = data.draw(st.none() | st.integers(-a.ndim, a.ndim - 1))
    q = data.draw(st.floats(0, 1) | st.lists(st.floats(0, 1), min_size=1, max_size=3).map(np.array))
    got = tg.quantile(tg.tensor(a), q, dim, keepdim, interpolation=method)
    expected = np.quantile(a, q, axis=dim, keepdims=keepdim, method=method)
    close(got.numpy(), expected, tolerance=1e-14)
    assert np.isnan(tg.tensor([1.0, np.nan]).quantile(q)).all()


def test_gradient_of_a_quantile():
    check(lambda x: tg.quantile(x, 0.3, 0), np.random.default_rng(0).uniform(0, 1, (3, 2)))
