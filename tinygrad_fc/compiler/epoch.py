"""Many steps in one call: the data that they take, and what they return."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.compiler.tree import flatten, unflatten
from tinygrad_fc.errors import DtypeError, ShapeError
from tinygrad_fc.graph import Node, wrap


def checked(order: Any, data: tuple[Any, ...]) -> tuple[Any, list[Any]]:
    """Return the rows of each step, counted from the front, and the arrays of the data."""
    rows = np.asarray(order._array if isinstance(order, Node) else order)
    if rows.dtype.kind not in "iu":
        raise DtypeError(
            f"epoch: order holds row numbers, which are whole numbers, got {rows.dtype}"
        )
    if rows.ndim != 2:
        raise ShapeError(
            f"epoch: order is a matrix (steps, batch) of row numbers, got shape {rows.shape}"
        )
    if not len(rows):
        raise ValueError("epoch: order has no steps: there would be nothing to return")
    whole = []
    for k, x in enumerate(data):
        if not isinstance(x, Node | np.ndarray) or not np.ndim(
            x._array if isinstance(x, Node) else x
        ):
            raise TypeError(f"epoch: data {k} is a tensor or an array (N, ...), got {x!r:.80}")
        if isinstance(x, Node) and x._requires_grad:
            raise ValueError(
                f"epoch: data {k} requires grad, and its rows are results: detach() it"
            )
        whole.append(x._array if isinstance(x, Node) else x)
    counts = {len(x) for x in whole}
    if len(counts) > 1:
        raise ShapeError(f"epoch: the data have {sorted(counts)} rows, and must have one number")
    count = counts.pop() if counts else 0
    if rows.size and not (-count <= rows.min() and rows.max() < count):
        raise IndexError(
            f"epoch: order has rows from {rows.min()} to {rows.max()}, and the data have {count}"
        )
    return np.ascontiguousarray(np.where(rows < 0, rows + count, rows), np.intp), whole


def batch_of(x: Any, rows: Any) -> Any:
    """Return some rows of a tensor or an array."""
    return wrap(x._array[rows]) if isinstance(x, Node) else x[rows]


def joined(done: list[Any], rest: Any) -> Any:
    """Return what single steps returned, and what the rest of them did, stacked."""
    if not done:
        return rest
    trees = [flatten(each) for each in done]
    columns = zip(*(leaves for leaves, _ in trees), strict=True)
    if rest is None:
        stacked = [_stacked(list(column)) for column in columns]
    else:
        after, _ = flatten(rest)
        stacked = [_appended(list(a), b) for a, b in zip(columns, after, strict=True)]
    return unflatten(trees[0][1], stacked)


def _stacked(column: list[Any]) -> Any:
    first = column[0]
    if isinstance(first, Node):
        if all(each is first for each in column[1:]) and len(column) > 1:
            return first
        made = wrap(np.stack([each._array for each in column]))
        return _like(made, first)
    return np.stack(column) if isinstance(first, np.ndarray) else first


def _appended(column: list[Any], b: Any) -> Any:
    if column[0] is b:  # a tensor from outside, or what is no array
        return b
    a = _stacked(column)
    if isinstance(b, Node) and isinstance(a, Node):
        return _like(wrap(np.concatenate([a._array, b._array])), b)
    return np.concatenate([a, b]) if isinstance(b, np.ndarray) else b


def _like(made: Any, result: Any) -> Any:
    """Return `made` with what `result` says of its graph."""
    made._requires_grad, made._op = result._requires_grad, result._op
    made._parents, made._args = result._parents, result._args
    if made._requires_grad:
        made._settings = result._settings
    return made
