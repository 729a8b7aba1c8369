"""The `DataLoader`, and collation: samples become a batch of the same structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from tinygrad_fc.core.errors import RangeError, ShapeError, check_argument
from tinygrad_fc.core.node import Node
from tinygrad_fc.functional.creation import as_tensor, tensor
from tinygrad_fc.functional.joining import stack
from tinygrad_fc.utils.data.dataset import IterableDataset, Rows, TensorDataset, is_table, loaded
from tinygrad_fc.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    T_co,
    count_batches,
    grouped,
    positive,
    size_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tinygrad_fc.random import Generator

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset")


class DataLoader(Generic[T_co]):
    """Iterates over batches of the samples of `dataset`, once per epoch.

    `dataset` has `__getitem__` and `__len__`, or is an `IterableDataset`, an array or pandas table
    whose rows are the samples, or a tuple of these, which becomes a `TensorDataset`. `shuffle`
    uses a random order from `generator`; `sampler` yields sample indices in another order,
    `batch_sampler` lists of them. `batch_size=None` yields single samples. `drop_last` omits an
    incomplete last batch. `collate_fn` converts a list of samples to a batch, by default with
    `default_collate`. Batches are created in this process: `num_workers`, the other options of
    workers, and `pin_memory` have no effect.

    Raises `ValueError` for options that contradict each other, and for a `batch_size` below 1.

    >>> from tinygrad_fc.utils.data import DataLoader, TensorDataset
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
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
    ) -> None:
        self.timeout, self.worker_init_fn = timeout, worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.prefetch_factor = prefetch_factor
        self.persistent_workers, self.pin_memory_device = persistent_workers, pin_memory_device
        self.dataset, self._streams = dataset, isinstance(dataset, IterableDataset)
        self._rows = None if self._streams else _rows(dataset)
        has_order = bool(shuffle) or sampler is not None
        contradictions = {
            "an IterableDataset has its own order: omit shuffle, sampler and batch_sampler, or "
            "shuffle in its __iter__": self._streams and (has_order or batch_sampler is not None),
            "sampler option is mutually exclusive with shuffle: pass one of them": (
                shuffle and sampler is not None
            ),
            "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and "
            "drop_last: it determines all of them": (
                batch_sampler is not None and (batch_size != 1 or has_order or drop_last)
            ),
            "batch_size=None option disables auto-batching and is mutually exclusive with "
            "drop_last": batch_size is None and drop_last,
        }
        for message, contradicts in contradictions.items():
            if contradicts:
                raise ValueError(message)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_size = positive("batch_size", batch_size)
        if not self._streams:
            source = dataset if self._rows is None else self._rows
            in_order = SequentialSampler(source) if sampler is None else sampler
            sampler = RandomSampler(source, generator=generator) if shuffle else in_order
            if batch_size is not None:
                batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler: Any = sampler
        self.batch_sampler = batch_sampler
        workers = isinstance(num_workers, int) and num_workers >= 0
        check_argument(workers, "DataLoader", "an integer of at least 0", num_workers=num_workers)
        check_argument(timeout >= 0, "DataLoader", "at least 0", timeout=timeout)
        self.num_workers, self.pin_memory, self.generator = num_workers, pin_memory, generator
        single = batch_sampler is None and batch_size is None
        self.collate_fn = collate_fn or (default_convert if single else default_collate)
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in _FIXED:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized: "
                "create another one"
            )
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        collate, source, size = self.collate_fn, self.dataset, self.batch_size
        if self._streams:
            if size is not None:
                source = grouped(source, size, drop_last=self.drop_last)
            return map(collate, source)
        # A custom collate_fn gets the rows of an array as arrays.
        if self._rows is not None and (
            collate is default_collate or not isinstance(source, np.ndarray | Node)
        ):
            source = self._rows
        if self.batch_sampler is None:
            return (collate(source[i]) for i in self.sampler)
        return loaded(source, self.batch_sampler, collate, plain=collate is default_collate)

    def __len__(self) -> int:
        if not self._streams:
            return size_of(self.sampler if self.batch_sampler is None else self.batch_sampler)
        size = 1 if self.batch_size is None else self.batch_size
        return count_batches(size_of(self.dataset), size, drop_last=self.drop_last)


def get_worker_info() -> None:
    """Return None: batches are created in this process, never in worker processes.

    >>> from tinygrad_fc.utils.data import get_worker_info
    >>> get_worker_info()
    """


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


# Collation


def default_collate(batch: Any) -> Any:
    """Return a sequence of N samples as one batch with the structure of a sample.

    Tensors, arrays and numbers of shape (...) become a tensor (N, ...); Python floats are float64.
    Strings and bytes are returned as a list. Dicts, lists and named tuples of these have the same
    type in the batch, and tuples become lists, as in PyTorch.

    Raises `TypeError` for other samples, `ShapeError` for shapes or lengths that differ,
    `KeyError` for a key that a sample lacks.

    >>> default_collate([(1, [2.0, 3.0]), (4, [5.0, 6.0])])
    [tensor([1, 4]), [tensor([2., 5.]), tensor([3., 6.])]]
    >>> default_collate([{"x": 0}, {"x": 1}])
    {'x': tensor([0, 1])}
    """
    if not len(batch):
        raise RangeError("default_collate needs at least one sample, got an empty batch")
    first = batch[0]
    for kinds, collate in _LEAVES:
        if isinstance(first, kinds):
            return collate(batch)
    if isinstance(first, Mapping):
        parts = {key: default_collate([_item(d, key) for d in batch]) for key in first}
        return rebuilt(first, parts)
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise ShapeError(
                "default_collate: each element in list of batch should be of equal size, got "
                f"sizes {sorted({len(sample) for sample in batch})}. Pad them, or pass collate_fn"
            )
        return rebuilt(first, [default_collate(samples) for samples in zip(*batch, strict=True)])
    raise _unsupported(type(first))


def default_convert(data: Any) -> Any:
    """Return a sample with its arrays converted to tensors: the `collate_fn` for single samples.

    Arrays in dicts, lists, tuples and named tuples are converted too; other values are unchanged.

    >>> import numpy as np
    >>> default_convert({"x": np.arange(2), "name": "a"})
    {'x': tensor([0, 1]), 'name': 'a'}
    """
    if isinstance(data, np.ndarray | np.generic):
        return as_tensor(data) if data.dtype.kind in "fiub" else data
    if isinstance(data, Mapping):
        return rebuilt(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return rebuilt(data, [default_convert(part) for part in data])
    return data


def rebuilt(like: Any, parts: Any) -> Any:
    """Return `parts` in a container of the type of `like`; unchanged if it can't be created.

    A tuple becomes a list, as in PyTorch.
    """
    if type(like) is tuple:
        return parts
    try:
        return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)
    except TypeError:
        return parts


def _item(sample: Any, key: Any) -> Any:
    try:
        return sample[key]
    except KeyError as error:
        raise KeyError(
            f"default_collate: a sample lacks {key!r}, which the first sample of the batch has"
        ) from error


def _stacked(samples: Sequence[Any]) -> Any:
    shapes = {np.shape(sample._array if isinstance(sample, Node) else sample) for sample in samples}
    if len(shapes) > 1:
        raise ShapeError(
            f"default_collate: samples of a batch have shapes {', '.join(map(str, sorted(shapes)))}"
            " and cannot be stacked. Pad them, or pass collate_fn"
        )
    return stack([as_tensor(sample) for sample in samples])


def _arrays(samples: Sequence[Any]) -> Any:
    if samples[0].dtype.kind not in "fiub":
        raise _unsupported(samples[0].dtype)
    return _stacked(samples)


def _unsupported(kind: Any) -> TypeError:
    return TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
        f"{kind}. Pass collate_fn, a function of the list of samples"
    )


_LEAVES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Node, _stacked),
    (np.ndarray, _arrays),
    ((np.number, np.bool_), lambda samples: as_tensor(np.asarray(samples))),
    (float, lambda samples: tensor(samples, dtype=np.float64)),
    (int, tensor),
    ((str, bytes), lambda samples: samples),
)
