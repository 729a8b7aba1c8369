"""Batches of rows of arrays and tables, as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import DtypeError, RangeError, ShapeError
from tinygrad_fc.functional.creation import as_tensor
from tinygrad_fc.graph import Node, wrap

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


class Batch(Sequence[Any]):
    """The samples of a batch as a sequence, stored by columns, so that collation is free.

    A sample is a tuple with one element per column, or, for a dataset of one array (`bare`), the
    element itself.
    """

    __slots__ = ("bare", "columns")

    def __init__(self, columns: list[Tensor], *, bare: bool = False) -> None:
        self.columns = columns
        self.bare = bare

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, at: Any) -> Any:
        picked = [column[at] for column in self.columns]
        if isinstance(at, slice):
            return Batch(picked, bare=self.bare)
        return picked[0] if self.bare else tuple(picked)

    def collated(self) -> Any:
        """Return the result of `default_collate`."""
        return self.columns[0] if self.bare else list(self.columns)


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


def take_rows(columns: Sequence[Tensor], at: Any, *, owner: str) -> list[Tensor]:
    """Return copies of the rows `at`, a range or an array of indices, of every column.

    Raises `RangeError` for an index out of range of `owner`.
    """
    try:
        return [_rows(column, at) for column in columns]
    except IndexError as error:
        count, indices = len(columns[0]), np.asarray(at, np.intp)
        wrong = indices[(indices < -count) | (indices >= count)]
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
            return wrap(array[at.start : at.stop].copy())
        at = np.asarray(at, np.intp)
    # `take` is up to four times as fast as indexing for rows; without contiguous memory it would
    # copy the whole array first.
    if array.ndim > 1 and array.__class__ is np.ndarray and array.flags.c_contiguous:
        return wrap(array.take(at, 0))
    return wrap(array[at])


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
    if hasattr(data, "columns"):
        names, dtypes = list(data.columns), list(data.dtypes)
    else:
        names, dtypes = [data.name], [data.dtype]
    pairs = zip(names, dtypes, strict=True)
    invalid = [str(column) for column, t in pairs if getattr(t, "kind", "O") not in "fiub"]
    if invalid:
        raise DtypeError(
            f"{name} has columns that are not numbers: {', '.join(invalid)}. Encode them "
            "(pandas.get_dummies, .cat.codes) or drop them (.drop(columns=...))"
        ) from error
    # pandas would convert mixed columns of numbers and booleans, or missing numbers, to objects.
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return data.to_numpy(dtype=np.result_type(*dtypes))
    return data.to_numpy(dtype=np.float64, na_value=np.nan)
