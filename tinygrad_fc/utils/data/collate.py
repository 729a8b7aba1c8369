"""Collation: samples become a batch of the same structure, with a batch axis."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from tinygrad_fc.errors import RangeError, ShapeError
from tinygrad_fc.functional.creation import as_tensor, tensor
from tinygrad_fc.functional.shape import stack
from tinygrad_fc.graph import Node
from tinygrad_fc.utils.data.table import Batch

__all__ = ["default_collate", "default_convert"]

_NUMBERS = (np.number, np.bool_)


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
    if isinstance(batch, Batch):
        return batch.collated()
    if not len(batch):
        raise RangeError("default_collate needs at least one sample, got an empty batch")
    first = batch[0]
    for kinds, collate in _LEAVES:
        if isinstance(first, kinds):
            return collate(batch)
    if isinstance(first, Mapping):
        return rebuilt(
            first, {key: default_collate([_item(d, key) for d in batch]) for key in first}
        )
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise ShapeError(
                "default_collate: each element in list of batch should be of equal size, got "
                f"sizes {sorted({len(sample) for sample in batch})}. Pad them, or pass collate_fn"
            )
        columns = [default_collate(samples) for samples in zip(*batch, strict=True)]
        is_tuple = isinstance(first, tuple) and not hasattr(first, "_fields")
        return columns if is_tuple else rebuilt(first, columns)
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
        parts = [default_convert(part) for part in data]
        is_tuple = isinstance(data, tuple) and not hasattr(data, "_fields")
        return parts if is_tuple else rebuilt(data, parts)
    return data


def rebuilt(like: Any, parts: Any) -> Any:
    """Return `parts` in a container of the type of `like`; unchanged if it can't be created."""
    if hasattr(like, "_fields"):
        return type(like)(*parts)
    try:
        if isinstance(like, MutableMapping):
            # A copy has the container's other attributes as well.
            clone: Any = copy.copy(like)
            clone.update(parts)
            return clone
        if isinstance(like, MutableSequence):
            clone = copy.copy(like)
            for i, part in enumerate(parts):
                clone[i] = part
            return clone
        return type(like)(parts)
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
    (_NUMBERS, lambda samples: as_tensor(np.asarray(samples))),
    (float, lambda samples: tensor(samples, dtype=np.float64)),
    (int, tensor),
    ((str, bytes), lambda samples: samples),
)
