"""Dropout: how many are left out, what becomes of the rest, and when nothing happens."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from drawing import T, close, cotangent
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn

F = nn.functional
both = pytest.mark.parametrize("make", [nn.Dropout, nn.AlphaDropout])
seeds = st.integers(0, 2**32 - 1)
N = 20_000


@given(seeds, st.floats(0.05, 0.95))
def test_share_and_scale(seed: int, p: float):
    tg.manual_seed(seed)
    out = F.dropout(tg.full((N,), 3.0), p).numpy()
    left = out != 0
    # Eight standard deviations of a binomial: once in 10^15 draws.
    assert abs(left.mean() - (1 - p)) < 8 * math.sqrt(p * (1 - p) / N)
    close(out[left], np.full(left.sum(), 3 / (1 - p)))


@given(seeds, st.floats(0.05, 0.95))
def test_alpha_dropout_keeps_mean_and_variance(seed: int, p: float):
    tg.manual_seed(seed)
    x = np.random.default_rng(seed).normal(size=N)
    x = (x - x.mean()) / x.std()
    out = F.alpha_dropout(tg.tensor(x), p, training=True).numpy()
    assert abs(out.mean()) < 12 / math.sqrt(N)
    assert abs(out.var() - 1) < 20 / math.sqrt(N)


@given(seeds, st.floats(0.1, 0.9), st.sampled_from([np.float64, np.float32]))
def test_gradient_goes_where_the_input_went(seed: int, p: float, dtype: Any):
    x = T(np.random.default_rng(seed).uniform(1, 2, (4, 5)).astype(dtype))
    out = F.dropout(x, p)
    g = cotangent(out.shape, seed, dtype)
    out.backward(tg.from_numpy(g))
    assert x.grad is not None
    assert out.dtype == x.grad.dtype == dtype
    close(x.grad.numpy(), (g / (1 - p) * (out.numpy() != 0)).astype(dtype), tolerance=1e-6)


@both
def test_masks_are_fresh_and_come_from_the_seed(make: Any):
    layer, x = make(), tg.ones(64)
    tg.manual_seed(3)
    first, second = layer(x).tolist(), layer(x).tolist()
    assert first != second
    tg.manual_seed(3)
    assert layer(x).tolist() == first


@both
def test_nothing_happens_after_eval_or_without_a_chance(make: Any):
    x = tg.ones(64)
    assert make().eval()(x) is x
    assert make(0.0)(x) is x
    assert make(1.0)(x).tolist() == [0.0] * 64
    assert copy.deepcopy(make(0.2)).p == 0.2


@both
def test_a_model_knows_when_it_trains(make: Any):
    net = nn.Sequential(nn.Linear(3, 64), make(0.5))
    x = tg.ones(2, 3)
    assert net(x).tolist() != net(x).tolist()
    net.eval()
    assert net(x).tolist() == net(x).tolist()


@both
@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_messages(make: Any, p: float):
    with pytest.raises(ValueError, match="expected a probability in"):
        make(p)
    with pytest.raises(ValueError, match="expected a probability in"):
        F.dropout(tg.ones(2), p)
