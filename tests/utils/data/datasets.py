"""Datasets that the tests of datasets, samplers and loaders load."""

from typing import Any

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc.utils.data import Dataset, IterableDataset, TensorDataset

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10)


class Squares(Dataset[Any]):
    """A dataset with only `__getitem__` and `__len__`."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, at: int) -> tuple[float, str]:
        return at * at, f"number {at}"


class Batched(Squares):
    """A dataset with `__getitems__`, which takes a list of indices."""

    def __getitems__(self, indices: list[int]) -> list[Any]:
        assert type(indices) is list
        assert all(type(i) is int for i in indices)
        return [(i, "batched") for i in indices]


class Augmented(TensorDataset):
    """A subclass of TensorDataset that changes samples in `__getitem__`."""

    def __getitem__(self, at: Any) -> Any:
        assert type(at) is int
        x, y = super().__getitem__(at)
        return x * 10, y


class Countdown(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([5, 4, 3, 2, 1])


def generator(seed: int = 0) -> Any:
    return tg.Generator().manual_seed(seed)


def seen(loader: Any) -> list[Any]:
    return [part.tolist() for _, part in loader]


def order_of(loader: Any) -> list[int]:
    return [i for batch in seen(loader) for i in batch]
