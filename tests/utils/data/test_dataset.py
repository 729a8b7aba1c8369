"""Datasets, their batches and errors; arrays and pandas tables."""

from typing import Any

import numpy as np
import pytest
from datasets import Augmented, Batched, Countdown, Squares, X, Y, generator, order_of, seen
from drawing import laid_out, layouts
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset, random_split

# Batches


@given(
    n=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    dtype=st.sampled_from(["float64", "float32", "int64", "uint8", "bool"]),
    layout=layouts,
)
def test_batches_are_the_rows_of_all_tensors_in_one_order(
    n: int, batch_size: int, shuffle: bool, drop_last: bool, dtype: str, layout: str
):
    x = laid_out(np.arange(n * 6).reshape(n, 3, 2).astype(dtype), layout)
    dataset = TensorDataset(x, np.arange(n))
    options = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last}
    loader = DataLoader(dataset, **options, generator=generator())
    batches = list(loader)
    order = [i for _, y in batches for i in y.tolist()]
    full = n - n % batch_size if drop_last else n
    assert len(batches) == len(loader)
    assert [len(y) for _, y in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert len(order) == len(set(order)) == full
    assert shuffle or order == list(range(full))
    for batch in batches:
        assert type(batch) is list
        actual, indices = batch
        assert actual.dtype == x.dtype
        np.testing.assert_array_equal(actual.numpy(), x[indices.numpy()])
        assert not np.shares_memory(actual.numpy(), x)
    # The order is the same sample by sample.
    slow = DataLoader(dataset, **options, generator=generator(), collate_fn=list)
    assert order == [y.item() for samples in slow for _, y in samples]


@pytest.mark.parametrize("make", [list, np.array, tuple, tg.tensor])
def test_nested_subsets_are_indexed_batchwise(make: Any):
    inner = Subset(TensorDataset(X, Y), make([9, 7, 5, 3]))
    outer = Subset(inner, make([3, 0, -2]))
    assert seen(DataLoader(outer, batch_size=2)) == [[3, 9], [5]]
    assert seen(DataLoader(outer, batch_sampler=[[2], [0, 1]])) == [[5], [3, 9]]
    assert [y.tolist() for _, y in outer.__getitems__([0, 1])] == [3, 9]
    assert inner[[0, 1]][1].tolist() == [9, 7]
    assert outer[0][1].item() == 3


def test_an_overridden_getitem_is_used_in_batches():
    class Doubled(Subset[Any]):
        def __getitem__(self, at: Any) -> Any:
            x, y = super().__getitem__(at)
            return x, y * 2

    dataset = Augmented(X, Y)
    for shuffle in (False, True):
        for x, y in DataLoader(dataset, batch_size=3, shuffle=shuffle):
            np.testing.assert_array_equal(x.numpy(), X[y.numpy()] * 10)
    assert seen(DataLoader(Doubled(TensorDataset(X, Y), [4, 2]), batch_size=2)) == [[8, 4]]
    assert seen(DataLoader(Subset(Doubled(dataset, range(10)), [4, 2]), batch_size=2)) == [[8, 4]]


def test_getitems_of_a_custom_dataset_is_called_per_batch():
    assert next(iter(DataLoader(Squares(3), batch_size=2)))[1] == ("number 0", "number 1")
    ((numbers, words),) = DataLoader(Batched(4), batch_size=4)
    assert (numbers.tolist(), words) == ([0, 1, 2, 3], ("batched",) * 4)
    ((_, words),) = DataLoader(Subset(Batched(4), [2, 0]), batch_size=2, shuffle=True)
    assert words == ("batched",) * 2


def test_batches_are_copies_through_which_gradients_flow():
    x = tg.tensor(X, requires_grad=True)
    for (batch,) in DataLoader(TensorDataset(x), batch_size=4):
        (batch * 2).sum().backward()
        batch.detach().zero_()
    assert x.grad.tolist() == [[2.0, 2.0]] * 10
    assert X[0, 1] == 1


# Datasets


def test_a_tensor_dataset_shares_memory_with_arrays():
    array = np.zeros((3, 2))
    dataset = TensorDataset(array, [1, 2, 3])
    array[1] = 7
    assert dataset[1][0].tolist() == [7, 7]
    assert [t.tolist() for t in dataset[1:]] == [[[7, 7], [0, 0]], [2, 3]]
    assert [t.tolist() for t in dataset[-1]] == [[0, 0], 3]
    assert len(list(dataset)) == len(dataset) == 3  # iteration ends with an IndexError


def test_concatenation_of_datasets():
    both = TensorDataset(X, Y) + ConcatDataset([TensorDataset(X, Y + 10)])
    assert len(both) == 20
    assert [both[i][1].item() for i in (0, 9, 10, -1, -20)] == [0, 9, 10, 19, 0]
    assert both.cumulative_sizes == [10, 20]
    for wrong in (20, -21):
        with pytest.raises(IndexError, match=f"sample {wrong} of a ConcatDataset of 20 samples"):
            both[wrong]


def test_iterable_datasets():
    assert [b.tolist() for b in DataLoader(Countdown(), batch_size=2)] == [[5, 4], [3, 2], [1]]
    full = DataLoader(Countdown(), batch_size=2, drop_last=True)
    assert [b.tolist() for b in full] == [[5, 4], [3, 2]]
    assert list(DataLoader(Countdown(), batch_size=None)) == [5, 4, 3, 2, 1]
    with pytest.raises(TypeError, match=r"no len"):
        len(full)
    for option in ({"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}):
        with pytest.raises(ValueError, match="an IterableDataset has its own order"):
            DataLoader(Countdown(), **option)

    class Counted(Countdown):
        def __len__(self) -> int:
            return 5

    lengths = [
        len(DataLoader(Counted(), batch_size=size, drop_last=last))
        for size, last in ((2, False), (2, True), (5, True), (None, False))
    ]
    assert lengths == [3, 2, 1, 5]


# Splits


@given(n=st.integers(1, 60), parts=st.lists(st.integers(0, 20), min_size=1, max_size=4))
def test_a_split_has_each_sample_once(n: int, parts: list[int]):
    whole = [*parts, n]
    total = sum(whole)
    splits = random_split(range(total), whole, generator())
    assert [len(split) for split in splits] == whole
    assert sorted(i for split in splits for i in split) == list(range(total))
    again = random_split(range(total), whole, generator())
    assert [split.indices for split in again] == [split.indices for split in splits]
    assert type(splits[0].indices) is list


def test_fractions_are_rounded_and_empty_subsets_warn():
    thirds = [0.7, 0.2, 0.1 + 1e-16]  # with rounding, these sum to more than 1
    assert [len(split) for split in random_split(range(10), thirds)] == [7, 2, 1]
    with pytest.warns(UserWarning, match=r"random_split: subset 1, 0\.1 of 3 samples, is empty"):
        random_split(range(3), [0.9, 0.1])


# Arrays and tables


def test_arrays_are_datasets():
    assert seen(DataLoader((X, Y), batch_size=6)) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
    assert order_of(DataLoader((X, Y), shuffle=True, batch_size=10)) != Y.tolist()
    assert type(next(iter(DataLoader(X, batch_size=4, collate_fn=np.stack)))) is np.ndarray
    assert next(iter(DataLoader(X, batch_size=None))).tolist() == [0.0, 1.0]
    assert list(DataLoader(np.array(["a", "b"]), batch_size=2)) == [["a", "b"]]


def test_pandas_tables_are_datasets_regardless_of_the_index():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "c": [True, False, True]})
    frame.index = [10, 20, 30]
    series = pd.Series([0, 1, 0], index=list("xyz"), dtype="int32")
    dataset = TensorDataset(frame, series)
    assert [t.dtype for t in dataset.tensors] == [np.float64, np.int32]
    ((x, y),) = DataLoader(dataset, batch_size=3)
    assert x.tolist() == [[1.0, 0.5, 1.0], [2.0, 1.5, 0.0], [3.0, 2.5, 1.0]]
    assert y.tolist() == [0, 1, 0]
    ((x, _),) = DataLoader((frame, series), batch_size=3, shuffle=True)
    assert x.shape == (3, 3)
    assert [row.tolist() for row in DataLoader(series, batch_size=2)] == [[0, 1], [0]]
    assert [row.shape for row in DataLoader(frame, batch_size=2, shuffle=True)] == [(2, 3), (1, 3)]
    missing = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [True, False]})
    assert np.isnan(TensorDataset(missing).tensors[0].numpy()[1, 0])
    assert np.isnan(TensorDataset(missing["a"]).tensors[0].numpy()[1])
    narrow = frame.astype({"a": "float32", "b": "float32"})
    assert TensorDataset(narrow).tensors[0].dtype == np.float32


def test_tables_and_matrices_that_are_refused():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": [1.0, 2.0], "city": ["a", "b"], "when": pd.to_datetime([0, 1])})
    message = r"argument 1 of TensorDataset, a DataFrame, has columns th"
    with pytest.raises(TypeError, match=message):
        TensorDataset(Y[:2], frame)
    with pytest.raises(TypeError, match=r"city, when. Encode them"):
        DataLoader(frame)
    with pytest.raises(TypeError, match=r"pass TensorDataset\(table\)"):
        random_split(frame, [1, 1])
    sparse = pytest.importorskip("scipy.sparse").eye(3, format="csr")
    with pytest.raises(TypeError, match=r"is a sparse matrix: pass its \.toarray\(\)"):
        TensorDataset(sparse)
