"""Many steps in one call: the rows of each step, the loop, and the stacked results."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.call import MISS, result_of_op
from tinygrad_fc.compiler.ir import GuardFailed, array_of, flatten, unflatten
from tinygrad_fc.errors import DtypeError, ShapeError
from tinygrad_fc.graph import Node, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.call import Call

_ADVICE = "Write step.epoch(order, x, y) with order = randperm(len(x)).split(32)"


def checked_data(data: tuple[Any, ...]) -> list[Any]:
    """Return the arrays of the data; raise where one has no rows, or another number of them."""
    for k, x in enumerate(data):
        if not isinstance(x, Node | np.ndarray) or not array_of(x).ndim:
            raise TypeError(
                f"epoch: data {k} is {x!r:.60}. Expected a tensor or an array (N, ...), of which "
                "each step takes some rows"
            )
        if isinstance(x, Node) and x._requires_grad:
            raise ValueError(f"epoch: data {k} requires grad. Pass data.detach()")
    arrays = list(map(array_of, data))
    if len({len(a) for a in arrays}) > 1:
        counts = ", ".join(f"data {k} has {len(a)}" for k, a in enumerate(arrays))
        raise ShapeError(f"epoch: the numbers of rows differ: {counts}. Pass as many rows of each")
    return arrays


def checked_order(order: Any, data: list[Any]) -> list[Any]:
    """Return the steps as matrices of row numbers, one for each run of steps of one size."""
    order = array_of(order)
    if hasattr(order, "batch_sampler"):
        raise TypeError(
            "epoch: order is a loader, which yields batches. Expected row numbers: write "
            "step.epoch(loader.batch_sampler, x, y) with the tensors of its dataset"
        )
    if not isinstance(order, Iterable) or (isinstance(order, np.ndarray) and not order.ndim):
        raise TypeError(f"epoch: order is {order!r:.60}. Expected the rows of each step. {_ADVICE}")
    if (
        isinstance(order, np.ndarray)
        and order.dtype.kind in "iu"
        and order.ndim == 2
        and order.size
    ):
        runs = [order]
    else:
        steps = [_rows_of(step, k) for k, step in enumerate(order)]
        runs = [np.stack(list(run)) for _, run in groupby(steps, len)]
    if not runs:
        raise ValueError("epoch: order has no steps, so there is nothing to return")
    if not data and any(run.size for run in runs):
        raise TypeError(f"epoch: order has rows, and there are no data to take them of. {_ADVICE}")
    return [_from_the_front(run, data) for run in runs]


def _from_the_front(rows: Any, data: list[Any]) -> Any:
    """Return row numbers that count from the front; raise for one that does not exist."""
    count = len(data[0]) if data else 0
    if data and not rows.size:
        raise ValueError("epoch: order has a step without rows, whose mean is NaN. Leave it out")
    if rows.size and not (-count <= rows.min() and rows.max() < count):
        raise IndexError(
            f"epoch: order has rows from {rows.min()} to {rows.max()}. The data have {count}"
        )
    return np.ascontiguousarray(np.where(rows < 0, rows + count, rows), np.intp)


def _rows_of(step: Any, k: int) -> Any:
    try:
        rows = np.asarray(array_of(step))
    except ValueError:  # lists of several lengths
        rows = np.empty(())
    if rows.ndim != 1:
        raise ShapeError(
            f"epoch: step {k} of order is {' '.join(repr(step).split()):.60}. Expected a list of "
            f"row numbers. {_ADVICE}"
        )
    if rows.dtype.kind not in "iu" and rows.size:
        raise DtypeError(
            f"epoch: order has dtype {rows.dtype}. Expected whole row numbers. {_ADVICE}"
        )
    return rows


class Results:
    """What the steps of an epoch return, stacked step by step."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done = steps, 0
        self.structure: Any = None
        self.leaves: list[Any] = []
        self.stacks: list[Any] = []
        self.captured: list[bool] = []

    def add(self, result: Any) -> None:
        """Write what one step returned."""
        leaves: list[Any] = []
        structure = flatten(result, leaves)
        if not self.done:
            self.structure, self.leaves = structure, leaves
            self.stacks = [self._stack(leaf) for leaf in leaves]
            self.captured = [self.steps > 1] * len(leaves)
        if structure != self.structure:
            raise ShapeError("epoch: all steps are done, but they return different structures")
        for k, (stack, first, leaf) in enumerate(
            zip(self.stacks, self.leaves, leaves, strict=True)
        ):
            if stack is None:
                if leaf is not first and leaf != first:
                    raise ShapeError(
                        f"epoch: steps return {first!r:.30} and {leaf!r:.30}. Return tensors"
                    )
            elif np.shape(array_of(leaf)) != stack.shape[1:]:
                raise ShapeError(
                    f"epoch: the steps so far are done, but what they return has shape "
                    f"{stack.shape[1:]} and shape {np.shape(array_of(leaf))}, not to be stacked. "
                    "Return what has one shape for all of them, such as a mean"
                )
            else:
                stack[self.done] = array_of(leaf)
                self.captured[k] = self.captured[k] and leaf is first  # a tensor from outside
        self.done += 1

    def _stack(self, leaf: Any) -> Any:
        array = array_of(leaf)
        if not isinstance(array, np.ndarray):
            return None
        return np.empty((self.steps, *array.shape), array.dtype)

    def tree(self) -> Any:
        """Return the stacked results as the function returns one."""
        every = zip(self.leaves, self.stacks, self.captured, strict=True)
        stacked = [
            leaf if captured or stack is None else _like(leaf, stack)
            for leaf, stack, captured in every
        ]
        return unflatten(self.structure, iter(stacked))


def _like(leaf: Any, stack: Any) -> Any:
    if not isinstance(leaf, Node):
        return stack
    return result_of_op(stack, leaf._op if leaf._requires_grad else None)


def run_epoch(
    step: Callable[..., Any], latest: Callable[[], Call | None], build: Any, order: Any, data: Any
) -> Any:
    """Run all steps: as many as a program fits in one loop, and others by themselves."""
    arrays = checked_data(data)
    runs = checked_order(order, arrays)
    results = Results(sum(map(len, runs)))
    for rows in runs:
        k = 0
        while k < len(rows):
            batch = [
                wrap(a[rows[k]]) if isinstance(x, Node) else a[rows[k]]
                for x, a in zip(data, arrays, strict=True)
            ]
            results.add(_one_step(step, latest(), batch))
            k += 1
            call = latest()
            if k < len(rows) and call is not None:
                k += _loop(call, build, rows[k:], batch, arrays, results)
    return results.tree()


def _one_step(step: Callable[..., Any], call: Call | None, batch: list[Any]) -> Any:
    """Run one step; by NumPy where the backend is not chosen, as a loop follows in any case."""
    kernel = getattr(call.kernel, "unchosen", None) if call is not None else None
    result: Any = MISS
    if call is not None and kernel is not None:
        with suppress(GuardFailed):
            result = call.call(tuple(batch), {}, kernel)
    return step(*batch) if result is MISS else result


class _StoppedError(Exception):
    """A loop has met a step that its program does not fit."""


def _loop(call: Call, build: Any, rows: Any, batch: Any, arrays: Any, results: Results) -> int:
    """Run steps for `rows` in one call of a loop; return how many a program fitted."""
    returned = call.program.returned
    if not call.is_steady() or len(returned) != sum(s is not None for s in results.stacks):
        return 0
    taken = {
        k: v.source.subject
        for k, v in enumerate(call.program.inputs)
        if v.source.kind == "argument"
    }
    call.loop = call.loop or build(call.program, frozenset(taken))
    done = np.zeros(1, np.intp)
    stacks = [s[results.done :] for s in results.stacks if s is not None]

    def kernel(*inputs: Any) -> Any:
        whole = [
            np.ascontiguousarray(arrays[taken[k]]) if k in taken else x
            for k, x in enumerate(inputs)
        ]
        try:
            return call.loop(rows, done, *stacks, *whole)
        except GuardFailed as failed:  # whose draws the loop has undone
            raise _StoppedError from failed

    with suppress(_StoppedError):  # at step `done`, which is run by itself
        call.call(tuple(batch), {}, kernel)
    if done[0]:
        results.captured = [False] * len(results.stacks)
    results.done += int(done[0])
    return int(done[0])
