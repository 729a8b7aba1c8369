"""Datasets: what holds samples by number, or yields them one after another."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import index
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from tinygrad_fc.errors import RangeError, ShapeError
from tinygrad_fc.random import rng_of
from tinygrad_fc.utils.data.sampler import size_of
from tinygrad_fc.utils.data.table import Batch, column, each, is_table, numbers, pick

if TYPE_CHECKING:
    from tinygrad_fc.random import Generator
    from tinygrad_fc.tensor import Tensor

T_co = TypeVar("T_co", covariant=True)


class DatasetError(ShapeError, AssertionError):
    """Tensors or datasets that make no dataset together, which PyTorch asserts that they do."""


class Dataset(Generic[T_co]):
    """What holds samples by number: subclass it, and write `__getitem__` and `__len__`.

    A subclass that can fetch many samples at once also has `__getitems__(indices)`, which gets a
    list of numbers and returns a list of samples; a `DataLoader` then asks for whole batches.
    `a + b` is the `ConcatDataset` of both.

    >>> class Squares(Dataset):
    ...     def __getitem__(self, i):
    ...         return i * i
    ...
    ...     def __len__(self):
    ...         return 4
    >>> (Squares() + Squares())[6]
    4
    """

    def __getitem__(self, at: Any) -> T_co:
        raise NotImplementedError(
            f"{type(self).__name__} has no `__getitem__`: define `def __getitem__(self, index)`, "
            "which returns a sample, and `def __len__(self)`"
        )

    def __add__(self, other: Any) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co], Iterable[T_co]):
    """What yields samples one after another: subclass it, and write `__iter__`.

    For streams, which have no numbers and maybe no end; a `DataLoader` cannot shuffle them.

    >>> class Numbers(IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(3))
    >>> list(Numbers())
    [0, 1, 2]
    """


class TensorDataset(Dataset[tuple["Tensor", ...]]):
    """Samples along the first axis of one or more tensors: `dataset[i]` is a tuple of their `i`.

    `tensors` are of shapes (N, ...), with the same N; also arrays, lists of numbers, and pandas'
    tables and series, whose index does not matter. Memory is shared where there is an array.
    A `DataLoader` takes whole batches from it, unless a subclass has a `__getitem__` of its own.

    Raises `ShapeError` for none, for different N and for 0-d ones, `DtypeError` for what is not
    numbers.

    >>> dataset = TensorDataset([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [0, 1, 0])
    >>> len(dataset)
    3
    >>> dataset[1]
    (tensor([3., 4.]), tensor(1))
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise DatasetError("TensorDataset needs at least one tensor, got none")
        self.tensors = tuple(
            column(data, f"argument {i} of TensorDataset, a {type(data).__name__},")
            for i, data in enumerate(tensors)
        )
        if len({len(tensor) for tensor in self.tensors}) > 1:
            shapes = ", ".join(str(tensor.shape) for tensor in self.tensors)
            raise DatasetError(
                f"TensorDataset got tensors of shapes {shapes}: Size mismatch between tensors. "
                "Each has its samples along the first axis, so that the first sizes are one number"
            )

    def __getitem__(self, at: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[at] for tensor in self.tensors)

    def __getitems__(self, indices: Any) -> Sequence[tuple[Tensor, ...]]:
        """Return the samples with these numbers, indexed all at once."""
        at = numbers(indices)
        if at is None or type(self).__getitem__ is not TensorDataset.__getitem__:
            return [self[i] for i in each(indices)]
        return Batch(pick(self.tensors, at, whose=type(self).__name__))

    def __len__(self) -> int:
        return len(self.tensors[0])


class Rows(Dataset["Tensor"]):
    """The rows of one array or table, which a `DataLoader` was given as it is."""

    def __init__(self, data: Any) -> None:
        self.name = f"the {type(data).__name__} that DataLoader got"
        self.tensor = column(data, self.name)

    def __getitem__(self, at: Any) -> Tensor:
        return self.tensor[at]

    def __getitems__(self, indices: Any) -> Sequence[Tensor]:
        """Return the rows with these numbers, indexed all at once."""
        at = numbers(indices)
        if at is None:
            return [self[i] for i in each(indices)]
        return Batch(pick([self.tensor], at, whose=self.name), bare=True)

    def __len__(self) -> int:
        return len(self.tensor)


class Subset(Dataset[T_co]):
    """The samples of `dataset` that `indices` names, in that order.

    A subclass with a `__getitem__` of its own is read sample by sample. Raises `TypeError` for
    pandas' tables, whose brackets take labels.

    >>> Subset(range(10, 20), [7, 3])[1]
    13
    """

    def __init__(self, dataset: Any, indices: Any) -> None:
        if is_table(dataset):
            raise TypeError(
                f"a {type(dataset).__name__} has labels where a dataset has numbers: pass "
                "TensorDataset(table)"
            )
        self.dataset = dataset
        self.indices: Any = indices

    def __getitem__(self, at: Any) -> T_co:
        if isinstance(at, list):
            return self.dataset[[self.indices[i] for i in at]]  # type: ignore[no-any-return]
        return self.dataset[self.indices[at]]  # type: ignore[no-any-return]

    def __getitems__(self, indices: Any) -> Sequence[T_co]:
        """Return the samples with these numbers, all at once where the dataset can."""
        if type(self).__getitem__ is not Subset.__getitem__:
            return [self[i] for i in each(indices)]
        if isinstance(self.indices, np.ndarray):
            return fetch(self.dataset, self.indices[np.asarray(indices, np.intp)])
        return fetch(self.dataset, [self.indices[i] for i in each(indices)])

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[T_co]):
    """The samples of several datasets, one dataset after another.

    Raises `DatasetError` for no datasets, and for an `IterableDataset` among them.

    >>> both = ConcatDataset([range(3), range(10, 12)])
    >>> len(both), both[3], both[-1]
    (5, 10, 11)
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise DatasetError("ConcatDataset needs at least one dataset, got none")
        for i, dataset in enumerate(self.datasets):
            if isinstance(dataset, IterableDataset):
                raise DatasetError(
                    f"dataset {i} of ConcatDataset is an IterableDataset, a "
                    f"{type(dataset).__name__}: its samples have no numbers"
                )
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, at: int) -> T_co:
        number = at + len(self) if at < 0 else at
        if not 0 <= number < len(self):
            raise RangeError(f"sample {at} of a ConcatDataset of {len(self)} samples")
        part = bisect_right(self.cumulative_sizes, number)
        before = self.cumulative_sizes[part - 1] if part else 0
        return self.datasets[part][number - before]  # type: ignore[no-any-return]


# Those whose `__getitems__` takes ranges and arrays; others' gets lists, as in PyTorch.
_TAKE_ARRAYS = (TensorDataset.__getitems__, Rows.__getitems__, Subset.__getitems__)


def fetch(dataset: Any, indices: Any) -> Sequence[Any]:
    """Return the samples with these numbers, all at once where the dataset can."""
    many = getattr(dataset, "__getitems__", None)
    if not many:
        return [dataset[i] for i in each(indices)]
    if getattr(many, "__func__", None) in _TAKE_ARRAYS:
        return many(indices)  # type: ignore[no-any-return]
    return many(list(each(indices)))  # type: ignore[no-any-return]


def resolved(dataset: Any) -> tuple[Any, Any]:
    """Return what nested subsets are of, and the numbers they choose, as an array or None for all.

    Looked up once an epoch: turning lists into arrays for every batch costs what the batch does.
    """
    chosen: Any = None
    while type(dataset) is Subset:
        known = numbers(dataset.indices)
        if known is None:
            break
        known = np.asarray(known, np.intp)
        chosen = known if chosen is None else known[chosen]
        dataset = dataset.dataset
    return dataset, chosen


def columns_of(dataset: Any) -> Any:
    """Return the tensors whose rows are the samples; None where something else makes them."""
    if type(dataset) is Rows:
        return [dataset.tensor]
    kind = type(dataset)
    if not isinstance(dataset, TensorDataset) or (kind.__getitem__, kind.__getitems__) != (
        TensorDataset.__getitem__,
        TensorDataset.__getitems__,
    ):
        return None
    return dataset.tensors


def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset[Any]]:
    """Return the samples dealt out at random to `Subset`s of given lengths, or fractions.

    Whole numbers add up to the length of the dataset, fractions to 1; what fractions leave over
    through rounding goes to the first ones, a sample each. Raises `ValueError` where they don't
    add up, or one is negative. Warns where a fraction comes to no sample.

    >>> import tinygrad_fc as tg
    >>> train, held_out = random_split(range(10), [0.75, 0.25], tg.Generator().manual_seed(0))
    >>> len(train), len(held_out)
    (8, 2)
    >>> sorted([*train, *held_out]) == list(range(10))
    True
    """
    n, total = size_of(dataset), sum(lengths)
    if any(length < 0 for length in lengths):
        raise ValueError(f"random_split takes lengths or fractions, none negative, got {lengths}")
    whole = all(isinstance(length, int | np.integer) for length in lengths)
    fractions = math.isclose(total, 1) and not (whole and total == n)
    if not fractions and total != n:
        raise ValueError(
            f"random_split got lengths that sum to {total}, and the dataset has {n} samples: "
            f"Sum of input lengths does not equal the length of the input dataset. Whole numbers "
            f"add up to {n}, or fractions to 1"
        )
    counts = _counts(n, lengths) if fractions else [index(length) for length in lengths]  # type: ignore[arg-type]
    order: list[int] = rng_of(generator).permutation(n).tolist()
    return [
        Subset(dataset, order[end - count : end])
        for end, count in zip(accumulate(counts), counts, strict=True)
    ]


def _counts(n: int, fractions: Sequence[float]) -> list[int]:
    counts = [math.floor(n * fraction) for fraction in fractions]
    for i in range(n - sum(counts)):
        counts[i % len(counts)] += 1
    for i, count in enumerate(counts):
        if not count:
            warnings.warn(
                f"split {i}, {fractions[i]} of {n} samples, is empty", UserWarning, stacklevel=3
            )
    return counts
