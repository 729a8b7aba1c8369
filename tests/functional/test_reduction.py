"""Running sums and products, and products of all: right where elements are 0, in every order."""

from __future__ import annotations

from functools import reduce
from operator import mul
from typing import Any

import numpy as np
import pytest
from drawing import FLOATS, T, arrays, close, cotangent, same, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.errors import RangeError

# Zeros alone, several of them, and none; integers, whose products are exact.
few = st.integers(1, 5).flatmap(
    lambda n: hnp.arrays(float, n, elements=st.sampled_from([0, 0, 1, -2, 3]))
)


def by_hand(x: Any) -> list[Any]:
    """Return the running products, as a person would write them."""
    return [reduce(mul, [x[j] for j in range(k + 1)]) for k in range(x.shape[0])]


def in_all_orders(f: Any, g: Any, x: np.ndarray, seed: int, orders: int = 3) -> None:
    """Check that two functions of a vector, weighed alike, have the same derivatives."""
    rng = np.random.default_rng(seed)
    a, b = T(x.copy()), T(x.copy())
    out, expected = f(a), g(b)
    close(out.detach().numpy(), expected.detach().numpy(), tolerance=1e-12)
    for _ in range(orders):
        weights = rng.uniform(0.5, 2, out.shape)
        (out,) = tg.autograd.grad(
            out, a, tg.tensor(weights), create_graph=True, materialize_grads=True
        )
        (expected,) = tg.autograd.grad(
            expected, b, tg.tensor(weights), create_graph=True, materialize_grads=True
        )
        close(out.detach().numpy(), expected.detach().numpy(), tolerance=1e-12)
        if not (out.requires_grad and expected.requires_grad):
            break


@given(few, seeds)
@settings(max_examples=15)
def test_product_has_every_derivative_at_zeros(x: Any, seed: int):
    in_all_orders(lambda t: t.prod(), lambda t: by_hand(t)[-1], x, seed)


@given(few, seeds)
@settings(max_examples=15)
def test_running_product_has_every_derivative_at_zeros(x: Any, seed: int):
    in_all_orders(lambda t: t.cumprod(0), lambda t: tg.stack(by_hand(t)), x, seed)


@given(few, seeds)
@settings(max_examples=15)
def test_product_over_axes_is_that_over_each(x: Any, seed: int):
    cube = np.stack([np.outer(x, x[::-1]), np.outer(x, x)])
    for dim in ((0, 2), (-1, 0), (1,), (2, 0, 1)):
        a, b = T(cube.copy()), T(cube.copy())
        out, expected = a.prod(dim), b
        for k in sorted((d % 3 for d in dim), reverse=True):
            expected = expected.prod(k)
        weights = tg.tensor(cotangent(out.shape, seed))
        out.backward(weights)
        expected.backward(weights)
        close(a.grad.numpy(), b.grad.numpy(), tolerance=1e-9)


@given(st.data(), st.sampled_from(FLOATS))
def test_values_are_numpys(data: Any, dtype: Any):
    a = data.draw(arrays(hnp.array_shapes(max_dims=3, max_side=4), dtype=dtype))
    dim = data.draw(st.integers(-a.ndim, a.ndim - 1))
    x = tg.tensor(a)
    same(x.cumsum(dim), np.cumsum(a, dim))
    same(tg.cumprod(x, dim=dim), np.cumprod(a, dim))
    same(x.cumsum(axis=dim), np.cumsum(a, dim))
    same(x.prod(dim, keepdim=True), np.prod(a, dim, keepdims=True))
    same(tg.prod(x), np.asarray(np.prod(a)))
    assert x.cumsum(dim, dtype=tg.float64).dtype == np.float64


@given(arrays((3, 4)), seeds)
def test_running_sum_gives_back_what_comes_after(a: Any, seed: int):
    x = T(a)
    out = x.cumsum(1)
    g = cotangent(out.shape, seed)
    out.backward(tg.tensor(g))
    close(x.grad.numpy(), g[:, ::-1].cumsum(1)[:, ::-1], tolerance=1e-14)


def test_large_products_do_not_lose_a_gradient():
    x = T(np.array([1e200, 1e-200, 1e200, 0.0]))
    x.prod().backward()
    assert x.grad.tolist() == [0, 0, 0, pytest.approx(1e200)]


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_refusals(name: str):
    with pytest.raises(RangeError, match=f"{name}: dim 2 is out of range"):
        getattr(tg.ones(2, 2), name)(2)
    with pytest.raises(TypeError, match=f"{name} needs the dimension"):
        getattr(tg.ones(2, 2), name)()
