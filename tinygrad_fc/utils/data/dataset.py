"""Datasets: samples by index, or streams of samples."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate, pairwise
from operator import index
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from tinygrad_fc.core.errors import DtypeError, RangeError, ShapeError
from tinygrad_fc.core.node import leaf_of
from tinygrad_fc.functional.creation import as_tensor
from tinygrad_fc.random import rng_of
from tinygrad_fc.utils.data.sampler import T_co, as_indices, batches, items_of, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.random import Generator
    from tinygrad_fc.tensors import Tensor

__all__ = ["ConcatDataset", "Dataset", "IterableDataset", "Subset", "TensorDataset", "random_split"]


class DatasetError(ShapeError, AssertionError):
    """Raised for tensors or datasets that do not form a dataset; PyTorch raises AssertionError."""


class Dataset(Generic[T_co]):
    """Base class of datasets with samples by index; define `__getitem__` and `__len__`.

    A subclass may also define `__getitems__(indices)`, which takes a list of indices and returns a
    list of samples; a `DataLoader` then calls it once per batch. `a + b` is the `ConcatDataset` of
    both.

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
    """Base class of streams of samples, without indices; define `__iter__`.

    A `DataLoader` cannot shuffle them.

    >>> class Numbers(IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(3))
    >>> list(Numbers())
    [0, 1, 2]
    """


class TensorDataset(Dataset[tuple["Tensor", ...]]):
    """Samples along the first axis of one or more tensors: `dataset[i]` is the tuple of rows i.

    `tensors` have shapes (N, ...) with the same N; they may also be arrays, whose memory is shared,
    lists of numbers, and pandas tables and series, whose index is ignored. A `DataLoader` indexes
    whole batches, unless a subclass overrides `__getitem__`.

    Raises `ShapeError` for no tensors, different N and 0-d tensors, `DtypeError` for data that
    are not numbers.

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
            as_column(data, f"argument {i} of TensorDataset, a {type(data).__name__},")
            for i, data in enumerate(tensors)
        )
        if len({len(tensor) for tensor in self.tensors}) > 1:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in self.tensors)
            raise DatasetError(
                f"TensorDataset got tensors of shapes {shapes}: Size mismatch between tensors. "
                "Samples lie along the first axis, so the first sizes must be equal"
            )

    def __getitem__(self, at: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[at] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class Rows(TensorDataset):
    """The rows of one array or table that was passed to a `DataLoader`."""

    def __init__(self, data: Any) -> None:
        self.name = f"the {type(data).__name__} that DataLoader got"
        self.tensors = (as_column(data, self.name),)

    def __getitem__(self, at: Any) -> Any:
        return self.tensors[0][at]


class Subset(Dataset[T_co]):
    """The samples of `dataset` at `indices`, in that order.

    A loader reads a subclass that overrides `__getitem__` sample by sample. Raises `TypeError` for
    pandas tables, which are indexed by labels.

    >>> Subset(range(10, 20), [7, 3])[1]
    13
    """

    def __init__(self, dataset: Any, indices: Any) -> None:
        if is_table(dataset):
            raise TypeError(
                f"Subset got a {type(dataset).__name__}, which is indexed by labels: pass "
                "TensorDataset(table)"
            )
        self.dataset = dataset
        self.indices: Any = indices

    def __getitem__(self, at: Any) -> T_co:
        if isinstance(at, list):
            # Integers, since a list of tensors is a tuple of indices.
            return self.dataset[[int(self.indices[i]) for i in at]]  # type: ignore[no-any-return]
        return self.dataset[self.indices[at]]  # type: ignore[no-any-return]

    def __getitems__(self, indices: Any) -> Sequence[T_co]:
        """Return the samples with these indices, in one call if the dataset supports it."""
        if type(self).__getitem__ is not Subset.__getitem__:
            return [self[i] for i in indices]
        return fetch(self.dataset, [self.indices[i] for i in indices])

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
                    f"{type(dataset).__name__}, whose samples have no indices"
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


def fetch(dataset: Any, indices: Any) -> Sequence[Any]:
    """Return the samples with these indices, in one call if the dataset supports it."""
    getitems = getattr(dataset, "__getitems__", None)
    numbers = items_of(indices)
    return getitems(list(numbers)) if getitems else [dataset[i] for i in numbers]


def loaded(dataset: Any, batch_sampler: Any, collate: Any, *, plain: bool) -> Iterator[Any]:
    """Yield the batches of an epoch, each as `collate` returns it from a list of samples.

    With `plain`, batches of a dataset whose samples are rows of tensors are read at once instead.
    """
    dataset, chosen = _resolved(dataset)
    own = (TensorDataset.__getitem__, Rows.__getitem__)
    plain = plain and isinstance(dataset, TensorDataset) and type(dataset).__getitem__ in own
    for batch in batches(batch_sampler, chosen):
        rows = as_indices(batch) if plain else None
        if rows is not None:
            picked = _taken(dataset, rows)
            yield picked[0] if isinstance(dataset, Rows) else picked
        else:
            yield collate(fetch(dataset, batch))


def _resolved(dataset: Any) -> tuple[Any, Any]:
    """Return the dataset below nested subsets, and their indices as an array, or None for all.

    The loader calls it once per epoch, since converting the list of indices takes as long as a
    batch.
    """
    chosen: Any = None
    while type(dataset) is Subset:
        indices = as_indices(dataset.indices)
        if indices is None:
            break
        indices = np.asarray(indices, np.intp)
        chosen = indices if chosen is None else indices[chosen]
        dataset = dataset.dataset
    return dataset, chosen


def random_split(
    dataset: Dataset[Any], lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset[Any]]:
    """Return random disjoint `Subset`s of the lengths, or fractions, in `lengths`.

    Integers must sum to the length of the dataset, fractions to 1; samples that remain after
    rounding go to the first subsets, one each. Raises `ValueError` for another sum or a negative
    length. Warns if a subset is empty.

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
    integers = all(isinstance(length, int | np.integer) for length in lengths)
    fractions = math.isclose(total, 1) and not (integers and total == n)
    if not fractions and total != n:
        raise ValueError(
            f"random_split got lengths that sum to {total}, and the dataset has {n} samples: "
            f"Sum of input lengths does not equal the length of the input dataset. Pass integers "
            f"that sum to {n}, or fractions that sum to 1"
        )
    counts = _counts(n, lengths) if fractions else [index(length) for length in lengths]  # type: ignore[arg-type]
    order: list[int] = rng_of(generator).permutation(n).tolist()
    ends = pairwise(accumulate(counts, initial=0))
    return [Subset(dataset, order[start:end]) for start, end in ends]


def _counts(n: int, fractions: Sequence[float]) -> list[int]:
    counts = [math.floor(n * fraction) for fraction in fractions]
    for i in range(n - sum(counts)):
        counts[i % len(counts)] += 1
    for i, count in enumerate(counts):
        if not count:
            message = f"random_split: subset {i}, {fractions[i]} of {n} samples, is empty"
            warnings.warn(message, UserWarning, stacklevel=3)
    return counts


# Rows of arrays and tables


def _taken(dataset: TensorDataset, at: Any) -> list[Tensor]:
    """Return copies of the rows `at`, a range or an array of indices, of every tensor.

    Raises `RangeError` for an index out of range.
    """
    try:
        return [_rows(column, at) for column in dataset.tensors]
    except IndexError as error:
        count, indices = len(dataset), np.asarray(at, np.intp)
        wrong = indices[(indices < -count) | (indices >= count)]
        owner = dataset.name if isinstance(dataset, Rows) else type(dataset).__name__
        raise RangeError(
            f"{owner} has {count} samples, and a sampler yielded the index "
            f"{wrong[0] if wrong.size else indices.tolist()}. Create the sampler for this dataset"
        ) from error


def _rows(column: Tensor, at: Any) -> Tensor:
    array = column._array
    if column._requires_grad:
        return column[np.asarray(at, np.intp)]
    if at.__class__ is range:
        if at.step == 1 and at.start >= 0 and at.stop <= len(array):
            return leaf_of(array[at.start : at.stop].copy())
        at = np.asarray(at, np.intp)
    # `take` is up to four times as fast as indexing for rows; without contiguous memory it would
    # copy the whole array first.
    if array.ndim > 1 and array.__class__ is np.ndarray and array.flags.c_contiguous:
        return leaf_of(array.take(at, 0))
    return leaf_of(array[at])


def is_table(data: Any) -> bool:
    """Return whether `data` is a pandas table or series, which is indexed by labels."""
    return hasattr(data, "iloc")


def as_column(data: Any, name: str) -> Tensor:
    """Return an array, a table or another argument of `as_tensor` as a tensor of samples.

    `name` is its name in messages. Raises `DtypeError` for data that are not numbers, `ShapeError`
    for a single number.
    """
    try:
        tensor = as_tensor(data)
    except DtypeError as error:
        tensor = as_tensor(_table(data, name, error))
    if not tensor.ndim:
        raise ShapeError(
            f"{name} is a single number, without an axis of samples: pass an array with the "
            "samples along its first axis"
        )
    return tensor


def _table(data: Any, name: str, error: DtypeError) -> Any:
    """Return the array of a table whose columns are numbers of different dtypes."""
    if hasattr(data, "toarray"):
        raise DtypeError(f"{name} is a sparse matrix: pass its .toarray()") from error
    if not is_table(data):
        raise DtypeError(f"{name} cannot be a tensor: {error}") from error
    dtypes = (data if hasattr(data, "columns") else data.to_frame()).dtypes
    invalid = [str(column) for column, t in dtypes.items() if getattr(t, "kind", "O") not in "fiub"]
    if invalid:
        raise DtypeError(
            f"{name} has columns that are not numbers: {', '.join(invalid)}. Encode them "
            "(pandas.get_dummies, .cat.codes) or drop them (.drop(columns=...))"
        ) from error
    # pandas would convert mixed columns of numbers and booleans, or missing numbers, to objects.
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return data.to_numpy(dtype=np.result_type(*dtypes))
    return data.to_numpy(dtype=np.float64, na_value=np.nan)
