"""Arrays, pandas' tables and scikit-learn's data as datasets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.utils.data import (
    DataLoader,
    TensorDataset,
    random_split,
)

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


def seen(loader: Any) -> list[Any]:
    return [part.tolist() for _, part in loader]


def order_of(loader: Any) -> list[int]:
    return [i for batch in seen(loader) for i in batch]


def test_arrays_go_in_as_they_are():
    assert [b.tolist() for b in DataLoader(Y, batch_size=4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [b.shape for b in DataLoader(tg.tensor(X), batch_size=6)] == [(6, 2), (4, 2)]
    assert seen(DataLoader((X, Y), batch_size=6)) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
    assert order_of(DataLoader((X, Y), shuffle=True, batch_size=10)) != Y.tolist()
    rows = DataLoader(X, batch_size=4, collate_fn=np.stack)
    assert type(next(iter(rows))) is np.ndarray
    assert next(iter(DataLoader(X, batch_size=None))).tolist() == [0.0, 1.0]
    words = np.array(["a", "b"])
    assert list(DataLoader(words, batch_size=2)) == [["a", "b"]]


def test_pandas_goes_in_whatever_its_index():
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


def test_columns_that_are_not_numbers_are_named():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": [1.0, 2.0], "city": ["a", "b"], "when": pd.to_datetime([0, 1])})
    with pytest.raises(
        TypeError, match=r"argument 1 of TensorDataset, a DataFrame, has columns th"
    ):
        TensorDataset(Y[:2], frame)
    with pytest.raises(TypeError, match=r"city, when. Encode them"):
        DataLoader(frame)
    with pytest.raises(TypeError, match=r"pass TensorDataset\(table\)"):
        random_split(frame, [1, 1])


def test_scikit_learns_data_goes_in():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True, as_frame=True)
    batch, target = next(iter(DataLoader(TensorDataset(x, y), batch_size=16)))
    np.testing.assert_array_equal(batch.numpy(), x.to_numpy()[:16])
    assert target.shape == (16,)
    sparse = pytest.importorskip("scipy.sparse").eye(3, format="csr")
    with pytest.raises(TypeError, match=r"is a sparse matrix: pass its \.toarray\(\)"):
        TensorDataset(sparse)
