"""Samplers: orders of sample indices, and batches of them."""

from __future__ import annotations

from itertools import chain, islice
from operator import index
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from tinygrad_fc.core.errors import ShapeError
from tinygrad_fc.core.node import Node
from tinygrad_fc.functional.creation import as_tensor
from tinygrad_fc.random import multinomial, rng_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from typing_extensions import TypeVar

    from tinygrad_fc.random import Generator

    # Python 3.13 brings the default; with it, `DataLoader` alone is `DataLoader[Any]`
    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

__all__ = [
    "BatchSampler", "RandomSampler", "Sampler", "SequentialSampler", "SubsetRandomSampler",
    "WeightedRandomSampler",
]  # fmt: skip

DRAWN_AT_ONCE = 1 << 20  # indices of a RandomSampler


class Sampler(Generic[T_co]):
    """Base class of samplers; define `__iter__`, which yields sample indices.

    A `batch_sampler` yields lists of indices. With `__len__`, the loader has a length.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(
            f"{type(self).__name__} has no `__iter__`: define one that yields sample indices"
        )


class _Ordered(Sampler[int]):
    """Base of samplers that know the order of an epoch in advance: batches are slices of it."""

    def _order(self) -> Any:
        """Return the sample indices of one epoch, as a range or an array."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(items_of(self._order()))


class SequentialSampler(_Ordered):
    """The indices of `data_source`, which has a length, in order.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def _order(self) -> Any:
        return range(size_of(self.data_source))

    def __len__(self) -> int:
        return size_of(self.data_source)


class RandomSampler(_Ordered):
    """The indices of `data_source` in random order, a new order in every epoch.

    `num_samples` is the number of indices per epoch; beyond the length, permutations are repeated.
    With `replacement`, indices are independent. `generator` is used only when an iteration starts,
    so that its state determines the following epochs. Epochs of more than a million indices, and
    more than the data have, are drawn in parts.

    Raises `ValueError` for an empty `data_source` and for `num_samples` below 1, `TypeError` for
    data without a length.

    >>> import tinygrad_fc as tg
    >>> sorted(RandomSampler("abc", generator=tg.Generator()))
    [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, got {replacement!r}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = None if num_samples is None else positive("num_samples", num_samples)
        self.generator = generator
        if not size_of(data_source):
            raise ValueError(
                "num_samples should be a positive integer value, but the dataset is empty. Check "
                "how it was filled (a path, a filter, a split)"
            )

    @property
    def num_samples(self) -> int:
        """Number of indices in an epoch: by default the current length of the data."""
        return size_of(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        order = self._order()
        if order is not None:
            return iter(order.tolist())
        rng = np.random.default_rng(rng_of(self.generator).integers(2**63))
        return chain.from_iterable(part.tolist() for part in self._parts(rng))

    def _order(self) -> Any:
        if self.num_samples > max(size_of(self.data_source), DRAWN_AT_ONCE):
            return None
        return np.concatenate([*self._parts(rng_of(self.generator))])

    def _parts(self, rng: np.random.Generator) -> Iterator[Any]:
        """Yield the indices of an epoch in arrays of at most `DRAWN_AT_ONCE`, or permutations."""
        n, left = size_of(self.data_source), self.num_samples
        while left:
            size = min(left, DRAWN_AT_ONCE)
            part = rng.integers(0, n, size) if self.replacement else rng.permutation(n)[:left]
            yield part
            left -= len(part)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Ordered):
    """The values of `indices` in random order, a new order in every epoch.

    >>> sorted(SubsetRandomSampler([7, 3, 5]))
    [3, 5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def _order(self) -> Any:
        order = rng_of(self.generator).permutation(len(self.indices))
        indices = as_indices(self.indices)
        if indices is None:
            raise TypeError("SubsetRandomSampler: indices must be integers")
        return np.asarray(indices, np.intp)[order]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_Ordered):
    """Indices below N drawn with probabilities proportional to `weights` (N,).

    Without `replacement` the indices of an epoch differ. Raises `ValueError` for `num_samples`
    below 1 and for other shapes; iteration raises as `tinygrad_fc.multinomial` does.

    >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        self.num_samples = positive("num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, got {replacement!r}")  # noqa: TRY004  PyTorch's
        self.weights = as_tensor(weights, dtype=np.float64)
        if self.weights.ndim != 1:
            raise ShapeError(
                f"weights should be a 1d sequence, one for each sample, got {self.weights.shape}"
            )
        self.replacement = replacement
        self.generator = generator

    def _order(self) -> Any:
        drawn = multinomial(
            self.weights, self.num_samples, self.replacement, generator=self.generator
        )
        return drawn._array

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices from `sampler`, any iterable; the last may be shorter.

    `drop_last` omits a shorter last list. Raises `ValueError` for a `batch_size` that is not
    an integer of at least 1.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, got {drop_last!r}")  # noqa: TRY004  PyTorch's
        self.sampler = sampler
        self.batch_size = positive("batch_size", batch_size)
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return grouped(self.sampler, self.batch_size, drop_last=self.drop_last)

    def __len__(self) -> int:
        return count_batches(size_of(self.sampler), self.batch_size, drop_last=self.drop_last)


def grouped(items: Iterable[Any], size: int, *, drop_last: bool) -> Iterator[list[Any]]:
    """Yield lists of `size` items; the last may be shorter, unless `drop_last`."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        if len(batch) == size or not drop_last:
            yield batch


def count_batches(samples: int, batch_size: int, *, drop_last: bool) -> int:
    """Return the number of batches into which `samples` samples are divided."""
    full, rest = divmod(samples, batch_size)
    return full + bool(rest and not drop_last)


def batches(batch_sampler: Any, chosen: Any = None) -> Iterator[Any]:
    """Yield the batches of `batch_sampler`, as slices of the order of the epoch if it is known.

    With `chosen`, an array, yield its values at the indices of the batch.
    """
    order = _order(batch_sampler)
    if order is None:
        for batch in batch_sampler:
            yield batch if chosen is None else chosen[np.asarray(as_indices(batch), np.intp)]
        return
    if chosen is not None:
        order = chosen[np.asarray(order, np.intp)]
    size = batch_sampler.batch_size
    end = len(order) - (len(order) % size if batch_sampler.drop_last else 0)
    for start in range(0, end, size):
        yield order[start : start + size]


def _order(batch_sampler: Any) -> Any:
    """Return the indices of an epoch as a range or an array; None if they are not known."""
    if type(batch_sampler) is not BatchSampler:
        return None
    sampler: Any = batch_sampler.sampler
    if type(sampler) in _ORDERED:
        return sampler._order()
    return as_indices(sampler) if isinstance(sampler, range | np.ndarray) else None


# By exact type: a subclass may override `__iter__`.
_ORDERED = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


def positive(name: str, value: Any) -> int:
    """Return an integer of at least 1; raise `ValueError` for anything else."""
    try:
        number = 0 if isinstance(value, bool) else index(value)
    except TypeError:
        number = 0
    if number < 1:
        text = type(value).__name__ if hasattr(value, "shape") else repr(value)
        hint = ": for pairs, pass DataLoader(TensorDataset(x, y))"
        raise ValueError(
            f"{name} should be a positive integer value, but got {name}={text:.80}"
            + (hint if name == "batch_size" and hasattr(value, "shape") else "")
        )
    return number


def size_of(data_source: Any) -> int:
    """Return the number of samples; raise `TypeError` for data without a length."""
    try:
        return len(data_source)
    except TypeError as error:
        raise TypeError(
            f"{error}: a dataset needs `__getitem__` and `__len__`, the number of samples. For a "
            "stream of samples, use IterableDataset"
        ) from error


# Sample indices


def as_indices(indices: Iterable[Any]) -> Any:
    """Return sample indices as a range or an array, or None if they are not integers."""
    if indices.__class__ is range:
        return indices
    if isinstance(indices, Node):
        indices = indices._array
    if isinstance(indices, np.ndarray):
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            return None
        return indices.astype(np.intp, copy=False)
    try:
        return np.fromiter(map(index, indices), np.intp)
    except TypeError:
        return None


def items_of(indices: Any) -> Iterable[Any]:
    """Return sample indices one by one; those in an array as Python integers."""
    return indices.tolist() if isinstance(indices, np.ndarray) else indices  # type: ignore[no-any-return]
