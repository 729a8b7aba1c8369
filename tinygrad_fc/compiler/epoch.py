"""Many steps in one call: the data that they take, and what they return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.program import Argument
from tinygrad_fc.compiler.shell import MISS, UNFIT, Miss
from tinygrad_fc.compiler.tree import flatten, unflatten
from tinygrad_fc.errors import DtypeError, ShapeError
from tinygrad_fc.graph import Node, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tinygrad_fc.compiler.shell import Shell

_ADVICE = "Write step.epoch(order, x, y) with, say, order = randperm(len(x)).split(32)"
_RETURN = "Return what has one shape for all of them, such as a mean; or leave the smaller step out"


def checked(order: Any, data: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
    """Return the rows of each step, counted from the front, and the arrays of the data.

    Steps in a row that are of one size are one matrix.
    """
    whole = _arrays(data)
    count = _count(whole)
    runs = _runs(order)
    if not sum(map(len, runs)):
        raise ValueError("epoch: order has no steps: there would be nothing to return")
    if not data and any(rows.size for rows in runs):
        raise TypeError(f"epoch: there are no data behind order to take rows of. {_ADVICE}")
    if data and not all(rows.shape[1] for rows in runs):
        raise ValueError("epoch: order has a step without rows, whose mean is NaN: leave it out")
    return [_from_the_front(rows, count) for rows in runs], whole


def _arrays(data: tuple[Any, ...]) -> list[Any]:
    whole = []
    for k, x in enumerate(data):
        if not isinstance(x, Node | np.ndarray) or not np.ndim(
            x._array if isinstance(x, Node) else x
        ):
            raise TypeError(
                f"epoch: data {k} is a tensor or an array (N, ...), of which each step takes some "
                f"rows, got {_told(x)}"
            )
        if isinstance(x, Node) and x._requires_grad:
            raise ValueError(
                f"epoch: data {k} requires grad, and its rows are results: detach() it"
            )
        whole.append(x._array if isinstance(x, Node) else x)
    return whole


def _told(x: Any) -> str:
    """Return what `x` is, and how it becomes data."""
    if isinstance(x, Node | np.ndarray):
        return f"a {type(x).__name__} of shape (): what is one for all steps, read in the function"
    if isinstance(x, list | tuple):
        return f"a {type(x).__name__}: make it a tensor once, with tg.tensor(...)"
    if isinstance(x, Mapping):
        names = ", ".join(f"batch[{key!r}]" for key in list(x)[:3]) + ", ..." * (len(x) > 3)
        return (
            f"a {type(x).__name__}: hand over what is in it one by one, as the arguments of the "
            f"function, step.epoch(order, {names})"
        )
    if x is None or isinstance(x, int | float | str):
        return f"{x!r:.80}"
    return f"an object of type {type(x).__name__}. {_ADVICE}"


def _count(whole: list[Any]) -> int:
    """Return how many rows the data have."""
    counts = [len(x) for x in whole]
    if len(set(counts)) > 1:
        told = ", ".join(f"data {k} has {count}" for k, count in enumerate(counts))
        raise ShapeError(
            f"epoch: the data, counted from 0, differ in their numbers of rows: {told}. A row of "
            "each is one sample: hand over as many rows of all"
        )
    return counts[0] if counts else 0


def _runs(order: Any) -> list[Any]:
    """Return the steps of `order` as matrices, one for all that follow each other and are alike."""
    order = order._array if isinstance(order, Node) else order
    if isinstance(order, np.ndarray) and order.dtype.kind in "iu" and order.ndim == 2:
        return [order]
    if hasattr(order, "batch_sampler"):
        raise TypeError(
            "epoch: order holds row numbers, got a loader, which gives batches: write "
            "step.epoch(loader.batch_sampler, x, y), with the tensors of its dataset"
        )
    if not isinstance(order, Iterable) or (isinstance(order, np.ndarray) and not order.ndim):
        raise TypeError(f"epoch: order holds the rows of each step, got {order!r:.60}. {_ADVICE}")
    steps = [_step(each, k) for k, each in enumerate(order)]
    return [np.stack(list(run)) for _, run in groupby(steps, len)]


def _step(each: Any, k: int) -> Any:
    """Return the row numbers of step `k`."""
    try:
        rows = np.asarray(each._array if isinstance(each, Node) else each)
    except ValueError:  # lists of several lengths
        rows = np.empty(())
    if rows.ndim != 1:
        told = " ".join(repr(each).split())
        raise ShapeError(
            f"epoch: each step of order is a list of row numbers, and step {k} is {told:.60}. "
            f"{_ADVICE}"
        )
    if rows.dtype.kind not in "iu" and rows.size:
        raise DtypeError(
            f"epoch: order holds row numbers, which are whole numbers, got {rows.dtype}. {_ADVICE}"
        )
    return rows.astype(np.intp)


def _from_the_front(rows: Any, count: int) -> Any:
    if rows.size and not (-count <= rows.min() and rows.max() < count):
        raise IndexError(
            f"epoch: order has rows from {rows.min()} to {rows.max()}, and the data have {count}"
        )
    return np.ascontiguousarray(np.where(rows < 0, rows + count, rows), np.intp)


def batch_of(x: Any, rows: Any) -> Any:
    """Return some rows of a tensor or an array."""
    return wrap(x._array[rows]) if isinstance(x, Node) else x[rows]


class Part(NamedTuple):
    """What some steps returned: one alone, or several, stacked."""

    tree: Any
    alone: bool


def steps(
    step: Callable[..., Any],
    shells: list[Shell],
    build: Callable[..., Any],
    rows: Any,
    data: Any,
    whole: list[Any],
) -> Iterator[Part]:
    """Do the steps of `rows`, which are of one size: as many in one call as go the same way."""
    k, most = 0, len(rows)
    while k < len(rows):
        batch = tuple(batch_of(x, rows[k]) for x in data)
        some, result = rows[k : k + most], MISS
        if len(some) > 1:  # one step alone is no loop
            result = _looped(shells, build, batch, some, whole)
        if result is UNFIT:  # by a step among them, which goes another way: fewer, then more
            most = len(some) // 2
            continue
        alone = result.__class__ is Miss
        yield Part(step(*batch) if alone else result, alone=alone)
        k += 1 if alone else len(some)
        most = min(2 * most, len(rows))


def _looped(
    shells: list[Shell], build: Callable[..., Any], batch: Any, rows: Any, whole: list[Any]
) -> Any:
    """Do all of `rows` by one call, where there is a program for it; else none of them."""
    missed = MISS
    for shell in shells:
        if shell.loop is None:
            if shell.epoch(batch, {}, rows, whole, None).__class__ is Miss:
                continue  # it is for another batch
            carried = shell.steady()
            if carried is None:
                shell.loop = False
                continue
            of = shell.program.inputs.items()
            taken = frozenset(n for n, source in of if isinstance(source, Argument))
            shell.loop = build(shell.program, taken, carried)
        if shell.loop:
            result = shell.epoch(batch, {}, rows, whole, shell.loop)
            if result.__class__ is not Miss:
                return result
            missed = UNFIT if result is UNFIT else missed
    return missed


def joined(parts: list[Part]) -> Any:
    """Return what all steps returned, stacked."""
    if len(parts) == 1 and not parts[0].alone:
        return parts[0].tree
    trees = [flatten(part.tree) for part in parts]
    if any(spec != trees[0][1] for _, spec in trees):
        raise ShapeError(f"epoch: all steps are done, but they return several things. {_RETURN}")
    columns = zip(*(leaves for leaves, _ in trees), strict=True)
    return unflatten(trees[0][1], [_stacked(parts, list(column)) for column in columns])


def _stacked(parts: list[Part], column: list[Any]) -> Any:
    first = column[0]
    if not isinstance(first, Node | np.ndarray):
        if any(each != first for each in column):
            raise ShapeError(
                f"epoch: all steps are done, and they return {first!r:.30} and "
                f"{column[-1]!r:.30}, which are no tensors. {_RETURN}"
            )
        return first
    if len(column) > 1 and all(each is first for each in column):  # a tensor from outside
        return first
    arrays = [each._array if isinstance(each, Node) else each for each in column]
    arrays = [a[None] if part.alone else a for a, part in zip(arrays, parts, strict=True)]
    shapes = list(dict.fromkeys(a.shape[1:] for a in arrays))
    if len(shapes) > 1:
        raise ShapeError(
            f"epoch: all steps are done, but what they return cannot be stacked, since it has "
            f"shape {shapes[0]} and shape {shapes[1]}. {_RETURN}"
        )
    made = np.concatenate(arrays)
    return _like(wrap(made), column[-1]) if isinstance(first, Node) else made


def _like(made: Any, result: Any) -> Any:
    """Return `made` with what `result` says of its graph."""
    made._requires_grad, made._op = result._requires_grad, result._op
    made._parents, made._args = result._parents, result._args
    if made._requires_grad:
        made._settings = result._settings
    return made
