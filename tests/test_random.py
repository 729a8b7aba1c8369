"""Random tensors: distributions, reproducibility, errors."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import tinygrad_fc as tg
from tinygrad_fc import random

FLOATS = [tg.float64, tg.float32, tg.float16]
shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
seeds = st.integers(-(2**63), 2**64 - 1)

# Draws of all kinds; float32 and small integers use half a word of the generator.
DRAWS = [
    lambda g: tg.rand(3, generator=g),
    lambda g: tg.rand(3, generator=g, dtype=tg.float32),
    lambda g: tg.randn(2, generator=g),
    lambda g: tg.randn(5, generator=g, dtype=tg.float16),
    lambda g: tg.randint(7, (3,), generator=g),
    lambda g: tg.randint(0, 200, (3,), generator=g, dtype=tg.uint8),
    lambda g: tg.randperm(5, generator=g),
    lambda g: tg.bernoulli(tg.tensor([0.3, 0.5]), generator=g),
    lambda g: tg.multinomial(tg.tensor([0.3, 0.5, 0.2]), 2, generator=g),
    lambda g: tg.normal(0.0, tg.ones(3), generator=g),
    lambda g: tg.rand_like(tg.zeros(2), generator=g),
    lambda g: tg.randn_like(tg.zeros(2), generator=g),
    lambda g: tg.zeros(4).uniform_(generator=g) + tg.zeros(4).normal_(generator=g),
]
draws = st.lists(st.sampled_from(DRAWS), max_size=5)


def values(draws: Any, generator: Any) -> list[Any]:
    return [draw(generator).tolist() for draw in draws]


@given(seeds, draws, draws)
def test_a_generator_is_reproducible_from_its_state_and_its_seed(
    seed: int, before: Any, after: Any
):
    generator = tg.Generator()
    assert generator.manual_seed(seed) is generator
    assert generator.initial_seed() == seed % 2**64
    first = values(before, generator)
    state = generator.get_state()
    copies = [
        tg.Generator().set_state(state),
        copy.deepcopy(generator),
        pickle.loads(pickle.dumps(generator)),
    ]
    then = values(after, generator)
    for copied in copies:
        assert values(after, copied) == then
        assert copied.initial_seed() == generator.initial_seed()
    assert values(before, generator.manual_seed(seed)) == first
    assert (state.dtype, state.ndim) == (np.uint8, 1)


@given(seeds, draws)
def test_a_seed_and_a_state_are_of_the_generator_in_use(seed: int, draws: Any):
    assert tg.manual_seed(1) is random.default_generator
    before = tg.get_rng_state()
    with random.drawing_from(generator := tg.Generator()):
        assert tg.manual_seed(seed) is generator
        assert tg.initial_seed() == seed % 2**64
        state = tg.get_rng_state()
        with random.fork_rng():
            expected = values(draws, None)
        assert expected == values(draws, None)
        assert expected == values(draws, tg.set_rng_state(state))
    assert expected == values(draws, tg.Generator().manual_seed(seed))
    assert (tg.get_rng_state() == before).all()
    assert pickle.loads(pickle.dumps(tg.manual_seed)) is tg.manual_seed


def test_a_new_generator_has_the_seed_of_pytorch_and_seed_is_random():
    assert tg.Generator().initial_seed() == 67280421310721
    assert values(DRAWS, tg.Generator("cpu")) == values(DRAWS, tg.Generator())
    generator = tg.Generator()
    assert generator.seed() == generator.initial_seed()
    assert generator.seed() != generator.seed()


@given(shapes, st.sampled_from(FLOATS), st.booleans())
def test_shapes_dtypes_and_gradients(shape: Any, dtype: Any, requires_grad: bool):
    settings = {"dtype": dtype, "requires_grad": requires_grad, "device": "cpu"}
    for make in (tg.rand, tg.randn):
        calls = [make(*shape, **settings), make(shape, **settings), make(size=shape, **settings)]
        for x in calls:
            assert (x.shape, x.dtype) == (shape, dtype)
            assert x.requires_grad == requires_grad
        assert make(list(shape)).dtype == np.float64
    for like in (tg.rand_like, tg.randn_like):
        x = like(tg.zeros(shape, dtype=dtype), requires_grad=requires_grad)
        assert (x.shape, x.dtype, x.requires_grad) == (shape, dtype, requires_grad)
        assert like(tg.zeros(shape), dtype=dtype).dtype == dtype


@pytest.mark.parametrize("dtype", FLOATS)
def test_rand_is_uniform_and_randn_is_normal(dtype: Any):
    generator = tg.Generator().manual_seed(1)
    how = {"generator": generator, "dtype": dtype}
    uniform, normal = tg.rand(20_000, **how).numpy(), tg.randn(20_000, **how).numpy()
    assert (uniform >= 0).all()
    assert (uniform < 1).all()
    # The spacing of float16, up to 2^-11, is invisible in a test of 20,000 numbers.
    assert stats.kstest(uniform.astype(float), "uniform").pvalue > 1e-3
    assert stats.kstest(normal.astype(float), "norm").pvalue > 1e-3


@given(st.floats(-1e3, 1e3), st.floats(0, 1e3), st.sampled_from(FLOATS))
def test_uniform_numbers_are_below_their_upper_bound(low: float, width: float, dtype: Any):
    array = np.empty(500, dtype)
    low, high = float(dtype.type(low)), float(dtype.type(low + width))
    random.fill_uniform(array, low, high, tg.Generator())
    assert (array >= low).all()
    assert (array < high).all() or low == high


@given(st.integers(-5, 5), st.integers(1, 6), shapes, st.sampled_from(["i8", "i4", "f4"]))
def test_randint_is_within_its_bounds(low: int, width: int, shape: Any, dtype: str):
    x = tg.randint(low, low + width, shape, dtype=np.dtype(dtype))
    assert (x.shape, x.dtype) == (shape, np.dtype(dtype))
    assert set(x.numpy().ravel()) <= set(range(low, low + width))
    assert set(tg.randint(low, low + width, (400,)).tolist()) == set(range(low, low + width))
    calls = [tg.randint(width, shape), tg.randint(width, size=shape), tg.randint(0, width, shape)]
    calls += [tg.randint(high=width, size=shape), tg.randint(low=0, high=width, size=shape)]
    assert {(x.shape, x.dtype.name) for x in calls} == {(shape, "int64")}


@given(st.integers(0, 20), seeds)
def test_randperm_returns_permutations(n: int, seed: int):
    x = tg.randperm(n, generator=tg.Generator().manual_seed(seed))
    assert x.dtype == np.int64
    assert sorted(x.tolist()) == list(range(n))
    assert tg.randperm(n, dtype=tg.int32).dtype == np.int32


@pytest.mark.parametrize("dtype", FLOATS)
def test_bernoulli_has_its_probabilities(dtype: Any):
    p = tg.tensor([0.0, 0.1, 0.5, 1.0], dtype=dtype)
    many = tg.ones(5000, 4, dtype=dtype) * p
    drawn = tg.bernoulli(many, generator=tg.Generator().manual_seed(3))
    assert (drawn.dtype, drawn.shape) == (dtype, (5000, 4))
    counts = drawn.numpy().astype(int).sum(axis=0)
    assert (counts[0], counts[3]) == (0, 5000)
    assert all(stats.binomtest(counts[k], 5000, float(p[k])).pvalue > 1e-3 for k in (1, 2))
    assert tg.bernoulli(tg.zeros(3, dtype=dtype), 1.0).tolist() == [1, 1, 1]


@given(st.data())
def test_multinomial_draws_distinct_categories_and_none_of_weight_0(data: st.DataObject):
    rows, n = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    weight = st.one_of(st.just(0.0), st.floats(1e-300, 1e300))
    row = st.lists(weight, min_size=n, max_size=n).filter(any)
    weights = np.array([data.draw(row) for _ in range(rows)])
    most = int((weights > 0).sum(axis=1).min())
    count = data.draw(st.integers(1, most))
    some = tg.multinomial(tg.tensor(weights), count)
    assert (some.shape, some.dtype) == ((rows, count), np.int64)
    again = tg.multinomial(tg.tensor(weights), 7, replacement=True)
    for drawn, repeated, row in zip(some.tolist(), again.tolist(), weights, strict=True):
        assert len(set(drawn)) == count
        assert all(row[k] > 0 for k in drawn + repeated)
    assert tg.multinomial(tg.tensor(weights[0]), count).shape == (count,)


def test_multinomial_has_its_probabilities():
    generator, weights = tg.Generator().manual_seed(4), np.array([1.0, 0.0, 2.0, 5.0])
    p = weights / weights.sum()
    drawn = tg.multinomial(tg.tensor(weights), 5000, True, generator=generator)  # noqa: FBT003
    counts = np.bincount(drawn.numpy(), minlength=4)
    assert stats.chisquare(counts[p > 0], 5000 * p[p > 0]).pvalue > 1e-3
    pairs = tg.multinomial(tg.ones(5000, 4) * tg.tensor(weights), 2, generator=generator).numpy()
    expected = {(i, j): p[i] * p[j] / (1 - p[i]) for i in (0, 2, 3) for j in (0, 2, 3) if i != j}
    counts = [int((pairs == pair).all(axis=1).sum()) for pair in expected]
    assert stats.chisquare(counts, 5000 * np.array(list(expected.values()))).pvalue > 1e-3


def test_normal_of_tensors_and_numbers():
    mean, std = tg.tensor([[1.0], [100.0]]), tg.tensor([0.0, 1.0, 5.0], dtype=tg.float32)
    generator = tg.Generator().manual_seed(5)
    x = tg.normal(mean, std, generator=generator)
    assert (x.shape, x.dtype) == ((2, 3), np.float64)
    assert x[:, 0].tolist() == [1, 100]
    assert tg.normal(std, 0.0).dtype == np.float32
    assert tg.normal(3.0, tg.zeros(2)).tolist() == [3, 3]
    many = tg.normal(2.0, 3.0, (20_000,), generator=generator)
    assert stats.kstest(many.numpy(), stats.norm(2, 3).cdf).pvalue > 1e-3


GENERATOR = tg.Generator()


INVALID: list[Any] = [
    (lambda: tg.manual_seed(2**64), ValueError, "seed is 184467.* expected in"),
    (lambda: tg.Generator("cuda"), RuntimeError, "there is no device 'cuda'"),
    (lambda: tg.rand(2, generator=3), TypeError, "must be a Generator, got int"),
    (lambda: tg.rand(2, dtype=tg.int64), TypeError, "got dtype int64; expected a float"),
    (lambda: tg.randint(3, 3, (2,)), ValueError, r"is \(3, 3\), expected low < high"),
    (lambda: tg.randint(0, 300, (2,), dtype=tg.uint8), ValueError, "out of bounds"),
    (lambda: tg.randperm(-1), ValueError, "n is -1, expected at least 0"),
    (lambda: tg.bernoulli(tg.tensor([2.0])), ValueError, r"probability is .* in \[0, 1\]"),
    (lambda: tg.bernoulli(tg.tensor([1])), TypeError, "got dtype int64; expected floats"),
    (lambda: tg.multinomial(tg.zeros(2), 1), ValueError, "a weight above 0 in each row"),
    (lambda: tg.multinomial(tg.tensor([-1.0, 2]), 1), ValueError, "at least 0"),
    (lambda: tg.multinomial(tg.ones(2), 3), ValueError, "num_samples is 3, expected 1 to 2"),
    (lambda: tg.multinomial(tg.ones(1, 1, 1), 1), ValueError, r"got shape \(1, 1, 1\)"),
    (lambda: tg.normal(0.0, -1.0, (2,)), ValueError, "std is -1.0, expected at least 0"),
    (lambda: tg.normal(tg.ones(2), 1.0, (2,)), TypeError, "leave out size"),
    (lambda: tg.normal(0.0, 1.0), TypeError, "needs a size"),
    (lambda: GENERATOR.set_state(tg.zeros(45)), ValueError, "uint8, got .* float64"),
    (lambda: GENERATOR.set_state(GENERATOR.get_state()[:3]), ValueError, r"256,\) .* \(3,\)"),
    (lambda: random.fill_uniform(np.ones(1), 2, 1), ValueError, r"bounds is \(2, 1\)"),
    (lambda: random.fill_normal(np.ones(1), 0, -1), ValueError, "std is -1, expected at"),
]


@pytest.mark.parametrize(("call", "error", "message"), INVALID)
def test_invalid_arguments_raise(call: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        call()
