"""`quantile`, `cdist`, `diff`, `logit` and aliases against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import arrays, close, same
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.testing import check

METHODS = ("linear", "lower", "higher", "nearest", "midpoint")
filled = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


@given(st.data(), st.sampled_from(METHODS), st.booleans())
def test_quantiles(data: Any, method: str, keepdim: bool):
    a = data.draw(arrays(filled))
    dim = data.draw(st.none() | st.integers(-a.ndim, a.ndim - 1))
    q = data.draw(st.floats(0, 1) | st.lists(st.floats(0, 1), min_size=1, max_size=3).map(np.array))
    got = tg.quantile(tg.tensor(a), q, dim, keepdim, interpolation=method)
    expected = np.quantile(a, q, axis=dim, keepdims=keepdim, method=method)
    close(got.numpy(), expected, tolerance=1e-14)


def test_a_quantile_of_nan_is_nan_and_one_of_nothing_is_refused():
    assert np.isnan(tg.tensor([1.0, np.nan]).quantile(0.5).item())
    with pytest.raises(ShapeError, match="quantile needs elements"):
        tg.quantile(tg.zeros(0), 0.5)
    with pytest.raises(ValueError, match=r"q must be in \[0, 1\]"):
        tg.quantile(tg.ones(2), 1.5)


@given(st.data(), st.sampled_from([1.0, 2.0, 3.0, np.inf]))
def test_distances(data: Any, p: float):
    a, b = (data.draw(arrays((data.draw(st.integers(0, 3)), 2))) for _ in range(2))
    got = tg.cdist(tg.tensor(a), tg.tensor(b), p)
    expected = [[np.linalg.norm(x - y, p) for y in b] for x in a]
    close(got.numpy(), np.reshape(expected, (len(a), len(b))), tolerance=1e-14)
    with pytest.raises(ShapeError, match="cdist needs rows of equal length"):
        tg.cdist(tg.ones(2, 3), tg.ones(2, 2))


@given(st.data(), st.integers(0, 3))
def test_differences(data: Any, n: int):
    a = data.draw(arrays(filled))
    dim = data.draw(st.integers(-a.ndim, a.ndim - 1))
    same(tg.diff(tg.tensor(a), n, dim), np.diff(a, n, dim))
    same(
        tg.tensor(a).diff(1, dim, prepend=tg.tensor(a), append=tg.tensor(a)),
        np.diff(a, 1, dim, prepend=a, append=a),
    )
    same(tg.diff(tg.tensor(a > 0), 1, dim), np.diff(a > 0, 1, dim))


@given(arrays(filled, low=-3, high=3))
def test_logit_is_the_inverse_of_sigmoid(a: Any):
    close(tg.logit(tg.tensor(a).sigmoid()).numpy(), a, tolerance=1e-13)
    assert tg.logit(tg.tensor([0.0, 1.0]), eps=0.25).tolist() == [-np.log(3), np.log(3)]


def test_their_gradients():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.1, 0.9, (3, 2)), rng.uniform(1, 2, (2, 2))
    check(lambda x: tg.quantile(x, 0.3, 0), x, max_examples=15)
    check(tg.cdist, x, y, max_examples=15)
    check(lambda x: tg.diff(x, 2, 0), x, max_examples=15)
    check(tg.logit, x, max_examples=15)


def test_aliases():
    assert tg.clip is tg.clamp
    assert tg.concat is tg.concatenate is tg.cat
    assert tg.ones(2, 3).shape.numel() == tg.ones(2, 3).size().numel() == 6


def test_state_of_the_process_generator():
    assert tg.initial_seed() == tg.default_generator.initial_seed()
    state = tg.get_rng_state()
    a = tg.rand(3)
    tg.set_rng_state(state)
    assert bool((tg.rand(3) == a).all())
