"""Samplers, options of the loader, and collation."""

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from datasets import Augmented, Countdown, Squares, X, Y, generator, order_of, seen
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.utils import data
from tinygrad_fc.utils.data import DataLoader, RandomSampler, TensorDataset, default_collate

# Orders


def test_the_state_of_the_generator_determines_the_order():
    for g in (None, generator(7)):
        loader = DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True, generator=g)
        first, state = seen(loader), (g or tg.default_generator).get_state()
        following = [seen(loader) for _ in range(3)]
        assert first != following[0]
        (g or tg.default_generator).set_state(state)
        assert [seen(loader) for _ in range(3)] == following


def test_the_order_is_the_same_for_every_kind_of_dataset():
    orders = [
        order_of(DataLoader(d, 3, shuffle=True, generator=generator()))
        for d in (TensorDataset(X, Y), Augmented(X, Y), data.Subset(TensorDataset(X, Y), Y))
    ]
    assert orders[0] == orders[1] == orders[2] == list(RandomSampler(Y, generator=generator()))
    assert orders[0] == tg.randperm(10, generator=generator()).tolist()


@given(n=st.integers(1, 9), count=st.integers(1, 30))
def test_random_sampler_repeats_permutations_or_replaces(n: int, count: int):
    sampler = RandomSampler(range(n), num_samples=count, generator=generator())
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == count
    for start in range(0, count - n + 1, n):
        assert sorted(drawn[start : start + n]) == list(range(n))
    again = list(RandomSampler(range(n), replacement=True, num_samples=count))
    assert len(again) == count
    assert set(again) <= set(range(n))
    assert all(type(i) is int for i in drawn + again)


def test_samplers_and_their_lengths():
    assert list(data.SequentialSampler(X)) == list(range(10))
    assert sorted(data.SubsetRandomSampler([4, 2, 9], generator())) == [2, 4, 9]
    assert len(data.SubsetRandomSampler([4, 2, 9])) == 3
    weighted = data.WeightedRandomSampler([0, 1, 3], 4000, generator=generator())
    counts = np.bincount(list(weighted), minlength=3)
    assert counts[0] == 0
    assert 2800 < counts[2] < 3200
    assert sorted(data.WeightedRandomSampler([1, 1, 1], 3, replacement=False)) == [0, 1, 2]
    loader = DataLoader(TensorDataset(X, Y), batch_size=4, sampler=weighted)
    assert len(loader) == 1000
    assert set(order_of(loader)) == {1, 2}
    batches = data.BatchSampler(data.SequentialSampler(Y), 4, drop_last=True)
    assert list(batches) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(batches) == 2
    assert len(data.BatchSampler(range(9), 4, drop_last=False)) == 3


@pytest.mark.parametrize(
    "order",
    [[3, -1, 3], (3, -1, 3), np.array([3, 9, 3], np.uint64), tg.tensor([3, -1, 3]), range(3, 9, 2)],
)
def test_a_sampler_may_be_any_iterable_of_integers(order: Any):
    expected = [Y[int(i)] for i in order]
    assert order_of(DataLoader(TensorDataset(X, Y), batch_size=2, sampler=order)) == expected
    assert seen(DataLoader(TensorDataset(X, Y), batch_sampler=[order])) == [expected]


def test_custom_samplers():
    class Pairs(data.Sampler[list[int]]):
        def __iter__(self) -> Any:
            return iter([[1, 2], [], [5]])

    loader = DataLoader(TensorDataset(X, Y), batch_sampler=Pairs())
    assert seen(loader) == [[1, 2], [], [5]]
    with pytest.raises(TypeError, match=r"no len\(\)"):
        len(loader)


def test_indices_out_of_range():
    dataset = TensorDataset(X, Y)
    for wrong in ([10], [0, -11], range(8, 12), np.array([99])):
        loader = DataLoader(dataset, batch_sampler=[wrong])
        message = "TensorDataset has 10 samples, and a sampler yielded the index"
        with pytest.raises(IndexError, match=message):
            list(loader)
    with pytest.raises(IndexError, match="the ndarray that DataLoader got has 10 samples"):
        list(DataLoader(X, sampler=[10]))
    with pytest.raises(IndexError):
        list(DataLoader(dataset, sampler=data.SequentialSampler(range(11)), batch_size=4))
    with pytest.raises(IndexError):
        list(DataLoader(data.Subset(dataset, [1, 2]), sampler=[2]))


# Options and errors


D, R = partial(DataLoader, TensorDataset(X, Y)), RandomSampler


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: D(shuffle=True, sampler=[0]), "mutually exclusive with shuffle"),
        (lambda: D(batch_sampler=[[0]], batch_size=2), "batch_sampler option is mutually"),
        (lambda: D(batch_sampler=[[0]], drop_last=True), "batch_sampler option is mutually"),
        (lambda: D(batch_sampler=[[0]], shuffle=True), "batch_sampler option is mutually"),
        (lambda: D(batch_size=None, drop_last=True), "batch_size=None option disables"),
        (lambda: D(drop_last=1), "drop_last should be a boolean"),
        (lambda: D(batch_size=0), "batch_size should be a positive integer value, but got"),
        (lambda: D(batch_size=1.5), "batch_size should be a positive integer value, but got"),
        (lambda: D(Y), r"got batch_size=ndarray.*TensorDataset\(x, y\)"),
        (lambda: DataLoader(X[:0], shuffle=True), "should be a positive.*the dataset is empty"),
        (lambda: R([]), "num_samples should be a positive.*the dataset is empty"),
        (lambda: R(Y, num_samples=0), "num_samples should be a positive integer"),
        (lambda: R(Y, replacement=1), "replacement should be a boolean"),
        (lambda: data.WeightedRandomSampler([1.0], 0), "num_samples should be a positive integer"),
        (lambda: data.WeightedRandomSampler([1.0], 1, 1), "replacement should be a boolean"),
        (lambda: data.WeightedRandomSampler([[1.0]], 1), "weights should be a 1d sequence"),
        (lambda: iter(data.SubsetRandomSampler(["a"])), "indices must be integers"),
        (lambda: data.BatchSampler([1], 0, drop_last=False), "batch_size should be a positive"),
        (lambda: data.BatchSampler([1], 1, drop_last=3), "drop_last should be a boolean"),
        (lambda: iter(data.Sampler()), "yields sample indices"),
        # Datasets
        (TensorDataset, "at least one tensor"),
        (lambda: TensorDataset(1.0), "argument 0 .* a float, is a single number"),
        (lambda: TensorDataset(["a"]), "argument 0 .*, a list, cannot be a tensor"),
        (lambda: DataLoader((X, Y[:9])), r"\(10, 2\), \(9,\): Size mismatch.*first axis"),
        (lambda: data.ConcatDataset([]), "at least one dataset"),
        (lambda: Squares(1) + Countdown(), "dataset 1 .* is an IterableDataset"),
        (lambda: data.Dataset()[0], "define `def __getitem__"),
        (lambda: list(DataLoader(data.Dataset())), r"no len\(\): a dataset needs `__getitem"),
        (lambda: DataLoader(iter(X), shuffle=True), "use IterableDataset"),
        (lambda: data.random_split(Y, [6, 3]), r"sum to 9, .* 10 samples.*fractions"),
        (lambda: data.random_split(Y, [11, -1]), "none negative"),
        # Samples
        (lambda: default_collate([None]), "default_collate: batch must contain.*NoneType.*collate"),
        (lambda: default_collate([np.array(["a"])]), "found <U1"),
        (lambda: default_collate([X, Y]), r"shapes \(10,\), \(10, 2\) and .* stacked. Pad"),
        (lambda: default_collate([[1], [1, 2]]), r"of equal size, got sizes \[1, 2\]"),
        (lambda: default_collate([{"x": 1}, {"y": 1}]), "a sample lacks 'x'"),
        (lambda: default_collate([]), "at least one sample"),
    ],
)
def test_invalid_arguments(call: Any, message: str):
    errors = (TypeError, ValueError, AssertionError, KeyError, RuntimeError)  # as PyTorch's
    with pytest.raises(errors, match=message):
        call()


def test_options_cannot_be_changed_later():
    loader = DataLoader(TensorDataset(X, Y), batch_size=4, pin_memory=True, num_workers=2)
    for name in ("batch_size", "sampler", "batch_sampler", "drop_last", "dataset"):
        message = f"{name} attribute should not be set after DataLoader"
        with pytest.raises(ValueError, match=message):
            setattr(loader, name, None)
    one, two = iter(loader), iter(loader)
    assert next(one)[1].tolist() == next(two)[1].tolist()
    assert seen(pickle.loads(pickle.dumps(loader))) == seen(loader)


# Collation; tests/parity compares the structure of batches with PyTorch's


def test_gradients_flow_through_a_batch_of_samples():
    x = tg.ones(2, requires_grad=True)
    default_collate([(x, 0), (x * 3, 1)])[0].sum().backward()
    assert x.grad.tolist() == [4, 4]
