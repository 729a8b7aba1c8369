"""Rows of arrays and tables: as tensors, and many at a time."""

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
    """The samples of a batch, held by columns: collating them is no work.

    A sequence of samples like the list that it stands for, each a tuple with an element of every
    column, or, where the dataset is one bare array (`bare`), that element.
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
        """Return what `default_collate` makes of the samples."""
        return self.columns[0] if self.bare else list(self.columns)


def numbers(indices: Iterable[Any]) -> Any:
    """Return sample numbers as a range or an array, or None where they are something else."""
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


def each(indices: Any) -> Iterable[Any]:
    """Return sample numbers one by one, as Python's integers where they are in an array."""
    return indices.tolist() if isinstance(indices, np.ndarray) else indices  # type: ignore[no-any-return]


def pick(columns: Sequence[Tensor], at: Any, *, whose: str) -> list[Tensor]:
    """Return copies of the rows `at`, a range or an array of numbers, of every column.

    Raises `RangeError` for a number that is not there; `whose` is what it was asked of.
    """
    try:
        return [_rows(column, at) for column in columns]
    except IndexError as error:
        count, wanted = len(columns[0]), np.asarray(at, np.intp)
        wrong = wanted[(wanted < -count) | (wanted >= count)]
        raise RangeError(
            f"{whose} has {count} samples, and a sampler asked for number "
            f"{wrong[0] if wrong.size else wanted.tolist()}: make the sampler for this dataset"
        ) from error


def _rows(column: Tensor, at: Any) -> Tensor:
    array = column._array
    if column._requires_grad:
        return column[np.asarray(at, np.intp)]
    if at.__class__ is range:
        if at.step == 1 and at.start >= 0 and at.stop <= len(array):
            return wrap(array[at.start : at.stop].copy())
        at = np.asarray(at, np.intp)
    # `take` is up to four times as fast as brackets for rows; where they don't lie together it
    # would copy the whole array first.
    if array.ndim > 1 and array.__class__ is np.ndarray and array.flags.c_contiguous:
        return wrap(array.take(at, 0))
    return wrap(array[at])


def is_table(data: Any) -> bool:
    """Tell whether `data` is one of pandas' tables or series, whose brackets take labels."""
    return hasattr(data, "iloc")


def column(data: Any, place: str) -> Tensor:
    """Return an array, a table or anything that `as_tensor` takes as a tensor with samples.

    `place` is where it stands, for messages. Raises `DtypeError` for what is not numbers,
    `ShapeError` for what has no axis to count samples along.
    """
    try:
        made = as_tensor(data)
    except DtypeError as error:
        made = as_tensor(_table(data, place, error))
    if not made.ndim:
        raise ShapeError(
            f"{place} has no axis to count samples along, it is a single number: pass an array "
            "with the samples along its first axis"
        )
    return made


def _table(data: Any, place: str, error: DtypeError) -> Any:
    """Return the array of a table whose columns are numbers of different kinds."""
    if hasattr(data, "toarray"):
        raise DtypeError(f"{place} is a sparse matrix: pass its .toarray()") from error
    if not is_table(data):
        raise DtypeError(f"{place} cannot be a tensor: {error}") from error
    if hasattr(data, "columns"):
        named, dtypes = list(data.columns), list(data.dtypes)
    else:
        named, dtypes = [data.name], [data.dtype]
    pairs = zip(named, dtypes, strict=True)
    words = [str(name) for name, dtype in pairs if getattr(dtype, "kind", "O") not in "fiub"]
    if words:
        raise DtypeError(
            f"{place} has columns that are not numbers: {', '.join(words)}. Encode them "
            "(pandas.get_dummies, .cat.codes) or drop them (.drop(columns=...))"
        ) from error
    # pandas makes objects of numbers beside truth values, and of numbers some of which are missing.
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return data.to_numpy(dtype=np.result_type(*dtypes))
    return data.to_numpy(dtype=np.float64, na_value=np.nan)
