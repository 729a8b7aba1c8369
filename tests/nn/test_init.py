"""Initializers: values in place, not recorded, from the distributions of the papers."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import tinygrad_fc as tg
from tinygrad_fc.nn import init

matrices = st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple)
floats = st.sampled_from([tg.float64, tg.float32, tg.float16])

NAMES = "uniform normal trunc_normal xavier_uniform xavier_normal kaiming_uniform kaiming_normal"
RANDOM = [getattr(init, f"{name}_") for name in f"{NAMES} orthogonal".split()]
FIXED: list[Any] = [init.zeros_, init.ones_, lambda t: init.constant_(t, 0.5)]


def seeded(seed: int = 0) -> tg.Generator:
    return tg.Generator().manual_seed(seed)


@given(matrices, floats, st.sampled_from(RANDOM))
def test_random_values_are_set_in_place_and_are_reproducible(shape: Any, dtype: Any, fill: Any):
    tensor = tg.nn.Parameter(tg.zeros(shape, dtype=dtype))
    array = tensor.numpy()
    assert fill(tensor, generator=seeded()) is tensor
    assert np.shares_memory(array, tensor.numpy())
    assert array.any()
    assert (tensor.is_leaf, tensor.requires_grad, tensor.dtype) == (True, True, dtype)
    again = fill(tg.zeros(shape, dtype=dtype), generator=seeded())
    np.testing.assert_array_equal(again.numpy(), array)
    tg.manual_seed(0)
    np.testing.assert_array_equal(fill(tg.zeros(shape, dtype=dtype)).numpy(), array)


@given(st.sampled_from(RANDOM + FIXED))
def test_strided_views_are_filled(fill: Any):
    base = np.full((4, 6), 7.0)
    fill(tg.from_numpy(base[::2, ::-2].T))
    assert (base[::2, 1::2] != 7).all()
    assert (base[1::2] == 7).all()
    assert (base[::2, ::2] == 7).all()
    for shape in ((0, 3), (3, 0)):
        assert fill(tg.zeros(shape)).shape == shape


@pytest.mark.parametrize("fill", [*RANDOM, *FIXED, init.eye_])
def test_backward_detects_a_fill_after_the_forward_pass(fill: Any):
    x = tg.ones(2, 2, requires_grad=True)
    loss = (x * x).sum()
    fill(x)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [(0, 1, -2, 2), (0, 0.02, -2, 2), (1, 2, 0, 9), (0, 1, 5, 6), (0, 1, -99, -8), (9, 1, -2, 2)],
)
def test_truncated_normal_distributions_also_in_the_tails(
    mean: float, std: float, a: float, b: float
):
    values = init.trunc_normal_(tg.empty(5000), mean, std, a, b, seeded()).numpy()
    assert values.min() >= a
    assert values.max() <= b
    expected = stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std)
    with np.errstate(all="ignore"):
        assert stats.kstest(values, expected.cdf).pvalue > 1e-3


def test_fans_are_multiplied_by_the_sizes_of_further_axes():
    wide = init.xavier_uniform_(tg.empty(4, 3, 50, 10), generator=seeded()).numpy()
    assert 0.99 < abs(wide).max() / math.sqrt(6 / (3 * 500 + 4 * 500)) <= 1


@given(matrices, st.floats(0.1, 10), st.integers(0, 100))
def test_orthogonal_makes_rows_or_columns_orthonormal(shape: Any, gain: float, seed: int):
    matrix = init.orthogonal_(tg.empty(shape), gain, seeded(seed)).numpy().reshape(shape[0], -1)
    if shape[0] > matrix.shape[1]:
        matrix = matrix.T
    np.testing.assert_allclose(
        matrix @ matrix.T, gain**2 * np.eye(len(matrix)), atol=1e-12 * gain**2
    )


def test_orthogonal_matrices_are_uniformly_distributed():
    # An entry of a random rotation in three dimensions is uniform on [-1, 1] (Archimedes).
    generator = seeded()
    entries = [init.orthogonal_(tg.empty(3, 3), 1, generator)[0, 0].item() for _ in range(2000)]
    assert stats.kstest(entries, "uniform", (-1, 2)).pvalue > 1e-3


def test_sparse_is_normal_at_random_positions_of_a_fraction_of_each_column():
    for rows, sparsity in ((7, 0.5), (1, 0.01), (12, 1.0), (5, 0.0)):
        w = init.sparse_(tg.empty(rows, 3), sparsity)
        assert ((w.numpy() == 0).sum(axis=0) == math.ceil(sparsity * rows)).all()
    w = init.sparse_(tg.empty(2000, 50), 0.5, std=0.1).numpy()
    assert abs(w[w != 0].std() - 0.1) < 0.002
    assert abs((w == 0).mean(axis=1) - 0.5).max() < 0.4  # no row is nearly always 0
