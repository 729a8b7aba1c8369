"""Normalization and dropout: results, running statistics, gradients, random numbers."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from drawing import T, close, cotangent
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn

F = nn.functional
seeds = st.integers(0, 2**32 - 1)

# Each layer for four channels; tests/parity compares their values with PyTorch's.
LAYERS: dict[str, Any] = {
    "BatchNorm1d": partial(nn.BatchNorm1d, 4),
    "InstanceNorm1d": partial(nn.InstanceNorm1d, 4),
    "LayerNorm": partial(nn.LayerNorm, (4, 3)),
    "RMSNorm": partial(nn.RMSNorm, (4, 3)),
    "GroupNorm": partial(nn.GroupNorm, 1, 4),
}
every = pytest.mark.parametrize("name", LAYERS)


def drawn(seed: int, *shape: int) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) * rng.choice((0.5, 1, 4)) + rng.normal()


@every
@pytest.mark.parametrize("dtype", [tg.float64, tg.float32])
def test_constant_inputs_give_finite_results_and_gradients_of_their_dtype(name: str, dtype: Any):
    layer = LAYERS[name](dtype=dtype)
    x = T(np.full((2, 4, 3), 7, dtype))
    out = layer(x)
    (out * tg.tensor(drawn(0, *out.shape).astype(dtype))).sum().backward()
    for t in (out, x.grad, *(p.grad for p in layer.parameters())):
        assert t.dtype == dtype
        assert np.isfinite(t.numpy()).all()
    assert all(b.dtype in (dtype, np.int64) for b in layer.buffers())


# Running statistics


@given(seeds, st.sampled_from([0.1, 1.0, None]), st.integers(1, 4))
def test_running_statistics_equal_their_formula(seed: int, momentum: float | None, batches: int):
    layer = nn.BatchNorm1d(3, momentum=momentum)
    mean, var = np.zeros(3), np.ones(3)
    memory = layer.running_mean.data
    for k in range(batches):
        x = drawn(seed + k, 6, 3)
        layer(tg.tensor(x))
        weight = 1 / (k + 1) if momentum is None else momentum
        mean += weight * (x.mean(axis=0) - mean)
        var += weight * (x.var(axis=0, ddof=1) - var)
    assert layer.num_batches_tracked.item() == batches
    close(layer.running_mean.numpy(), mean)
    close(layer.running_var.numpy(), var)
    assert memory.tolist() == layer.running_mean.tolist()  # changed in place
    layer.reset_running_stats()
    assert layer.running_var.tolist() == [1.0, 1.0, 1.0]
    assert layer.num_batches_tracked.item() == 0


# Dropout

N = 20_000


@given(seeds, st.floats(0.05, 0.95), st.sampled_from([np.float64, np.float32]))
def test_dropout_zeroes_with_probability_p_and_scales_the_rest(seed: int, p: float, dtype: Any):
    tg.manual_seed(seed)
    x = T(np.full(N, 3, dtype))
    out = F.dropout(x, np.float64(p))  # which does not promote
    g = cotangent((N,), seed, dtype)
    out.backward(tg.from_numpy(g))
    assert out.dtype == x.grad.dtype == dtype
    is_nonzero = out.numpy() != 0
    # Eight standard deviations of a binomial: once in 10^15 draws.
    assert abs(is_nonzero.mean() - (1 - p)) < 8 * math.sqrt(p * (1 - p) / N)
    close(out.numpy(), 3 / (1 - p) * is_nonzero, tolerance=1e-6)
    close(x.grad.numpy(), g / (1 - p) * is_nonzero, tolerance=1e-6)


@given(seeds, st.floats(0.05, 0.95))
def test_alpha_dropout_preserves_mean_and_variance(seed: int, p: float):
    tg.manual_seed(seed)
    x = np.random.default_rng(seed).normal(size=N)
    x = (x - x.mean()) / x.std()
    out = F.alpha_dropout(tg.tensor(x), p, training=True).numpy()
    assert abs(out.mean()) < 12 / math.sqrt(N)
    assert abs(out.var() - 1) < 20 / math.sqrt(N)


@pytest.mark.parametrize("make", [nn.Dropout, nn.AlphaDropout])
def test_dropout_draws_from_the_seeded_generator_in_training_only(make: Any):
    layer, x = make(), tg.ones(64)
    tg.manual_seed(3)
    first, second = layer(x).tolist(), layer(x).tolist()
    assert first != second
    tg.manual_seed(3)
    assert layer(x).tolist() == first
    assert layer.eval()(x) is x
    assert make(0.0)(x) is x
    assert make(1.0)(x).tolist() == [0.0] * 64


def test_a_subclass_may_check_its_input():
    class OfImages(nn.BatchNorm1d):
        def _check_input_dim(self, input: Any) -> None:
            seen.append(input.ndim)

    seen: list[int] = []
    OfImages(2)(tg.rand(4, 2, 3))
    assert seen == [3]
    assert isinstance(nn.BatchNorm1d(2), nn.modules.batchnorm._BatchNorm)  # type: ignore[attr-defined]
