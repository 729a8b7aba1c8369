"""The DataLoader: batches of a dataset."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from tinygrad_fc.graph import Node
from tinygrad_fc.utils.data.collate import default_collate, default_convert
from tinygrad_fc.utils.data.dataset import (
    IterableDataset,
    Rows,
    TensorDataset,
    columns_of,
    fetch,
    resolved,
)
from tinygrad_fc.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    batches,
    positive,
    size_of,
)
from tinygrad_fc.utils.data.table import Batch, as_indices, is_table, take_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tinygrad_fc.random import Generator

__all__ = ["DataLoader", "get_worker_info"]

T_co = TypeVar("T_co", covariant=True)

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset")


class DataLoader(Generic[T_co]):
    """Iterates over batches of the samples of `dataset`, once per epoch.

    `dataset` has `__getitem__` and `__len__`, or is an `IterableDataset`, an array or pandas table
    whose rows are the samples, or a tuple of these, which becomes a `TensorDataset`. `shuffle`
    uses a random order from `generator`; `sampler` yields sample indices in another order,
    `batch_sampler` lists of them. `batch_size=None` yields single samples. `drop_last` omits an
    incomplete last batch. `collate_fn` converts a list of samples to a batch, by default with
    `default_collate`. Batches are created in this process: `num_workers` and `pin_memory` have no
    effect.

    Raises `ValueError` for options that contradict each other, and for a `batch_size` below 1.

    >>> loader = DataLoader(TensorDataset([[1.0], [2.0], [3.0]], [0, 1, 1]), batch_size=2)
    >>> for x, y in loader:
    ...     print(x.tolist(), y.tolist())
    [[1.0], [2.0]] [0, 1]
    [[3.0]] [1]
    """

    _initialized = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        self.dataset = dataset
        self._streams = isinstance(dataset, IterableDataset)
        self._rows = None if self._streams else _rows(dataset)
        self._set_samplers(batch_size, shuffle, sampler, batch_sampler, drop_last, generator)
        self.num_workers, self.pin_memory, self.generator = num_workers, pin_memory, generator
        if collate_fn is None:
            single = self.batch_sampler is None and self.batch_size is None
            collate_fn = default_convert if single else default_collate
        self.collate_fn = collate_fn
        self._initialized = True

    def _set_samplers(
        self,
        batch_size: Any,
        shuffle: bool | None,
        sampler: Any,
        batch_sampler: Any,
        drop_last: bool,
        generator: Generator | None,
    ) -> None:
        """Set sampler and batch sampler; raise if the options contradict each other."""
        if self._streams and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "an IterableDataset has its own order: omit shuffle, sampler and batch_sampler, or "
                "shuffle in its __iter__"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle: pass one of them")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last: it determines all of them"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if batch_size is not None:
            batch_size = positive("batch_size", batch_size)
        if sampler is None and not self._streams:
            source = self.dataset if self._rows is None else self._rows
            sampler = (
                RandomSampler(source, generator=generator) if shuffle else SequentialSampler(source)
            )
        if batch_size is not None and not self._streams:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size: int | None = batch_size
        self.drop_last = drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in _FIXED:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized: "
                "create another one"
            )
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        if self._streams:
            return self._stream()
        collate, source = self.collate_fn, self.dataset
        # A custom collate_fn gets the rows of an array as arrays.
        if self._rows is not None and (
            collate is default_collate or not isinstance(source, np.ndarray | Node)
        ):
            source = self._rows
        if self.batch_sampler is None:
            return (collate(source[i]) for i in self.sampler)
        return _loaded(source, self.batch_sampler, collate)

    def _stream(self) -> Iterator[Any]:
        samples, size = iter(self.dataset), self.batch_size
        if size is None:
            yield from map(self.collate_fn, samples)
            return
        while batch := list(islice(samples, size)):
            if len(batch) == size or not self.drop_last:
                yield self.collate_fn(batch)

    def __len__(self) -> int:
        if not self._streams:
            return size_of(self.sampler if self.batch_sampler is None else self.batch_sampler)
        samples = size_of(self.dataset)
        if self.batch_size is None:
            return samples
        full, rest = divmod(samples, self.batch_size)
        return full + bool(rest and not self.drop_last)


def get_worker_info() -> None:
    """Return None: batches are created in this process, never in worker processes."""


def _loaded(dataset: Any, batch_sampler: Any, collate: Callable[[Any], Any]) -> Iterator[Any]:
    dataset, chosen = resolved(dataset)
    columns: Any = columns_of(dataset) if collate is default_collate else None
    bare = type(dataset) is Rows
    owner = dataset.name if bare else type(dataset).__name__
    for batch in batches(batch_sampler, chosen):
        rows = None if columns is None else as_indices(batch)
        if rows is not None:
            # The same as the general case below, at half the cost for a small batch.
            picked = take_rows(columns, rows, owner=owner)
            yield picked[0] if bare else picked
            continue
        samples = fetch(dataset, batch)
        if isinstance(samples, Batch) and collate is not default_collate:
            samples = list(samples)
        yield collate(samples)


def _rows(dataset: Any) -> Rows | TensorDataset | None:
    """Return an array, a table or a tuple of these as a dataset; None for other datasets."""
    if is_table(dataset):
        return Rows(dataset)
    if isinstance(dataset, np.ndarray | Node):
        kind = dataset.dtype.kind  # type: ignore[union-attr]
        return Rows(dataset) if kind in "fiub" else None
    # A tuple of tensors is a dataset of whole samples in PyTorch.
    if isinstance(dataset, tuple) and len(dataset) > 1:
        arrays = all(isinstance(part, np.ndarray) or is_table(part) for part in dataset)
        return TensorDataset(*dataset) if arrays else None
    return None
