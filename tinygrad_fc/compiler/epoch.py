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


class _StoppedError(Exception):
    """A loop has met a step that its program does not fit."""


def run_epoch(
    step: Callable[..., Any], latest: Callable[[], Call | None], build: Any, order: Any, data: Any
) -> Any:
    """Run all steps: as many as a program fits in one loop, and others by themselves."""
    arrays = _checked_data(data)
    blocks: list[list[Any]] = []  # of each leaf of the results, stacked for some steps
    structure: Any = None
    leaves: list[Any] = []
    for rows in _checked_order(order, len(arrays[0])):
        k = 0
        while k < len(rows):
            batch = [
                wrap(a[rows[k]]) if isinstance(x, Node) else a[rows[k]]
                for x, a in zip(data, arrays, strict=True)
            ]
            leaves = []
            structure = flatten(_one_step(step, latest(), batch), leaves)
            blocks.append([np.array(array_of(leaf))[None] for leaf in leaves])
            k += 1
            call = latest()
            if k < len(rows) and build and call is not None and call.is_steady(len(leaves)):
                stacks = [np.empty((len(rows) - k, *a.shape[1:]), a.dtype) for a in blocks[-1]]
                count = _loop(call, build, rows[k:], batch, arrays, stacks)
                blocks.append([stack[:count] for stack in stacks])
                k += count
    return unflatten(structure, iter(_stacked(leaves, blocks)))


def _checked_data(data: tuple[Any, ...]) -> list[Any]:
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
    if not arrays:
        raise TypeError(f"epoch: there are no data to take rows of. {_ADVICE}")
    if len({len(a) for a in arrays}) > 1:
        counts = ", ".join(f"data {k} has {len(a)}" for k, a in enumerate(arrays))
        raise ShapeError(f"epoch: the numbers of rows differ: {counts}. Pass as many rows of each")
    return arrays


def _checked_order(order: Any, count: int) -> list[Any]:
    """Return matrices of row numbers below `count`, one for each run of steps of one size."""
    order = array_of(order)
    if not isinstance(order, Iterable) or hasattr(order, "batch_sampler"):
        raise TypeError(
            f"epoch: order is {order!r:.40}. Expected the rows of each step: write "
            "step.epoch(loader.batch_sampler, x, y), or order = randperm(len(x)).split(32)"
        )
    if isinstance(order, np.ndarray) and order.ndim == 2 and order.dtype.kind in "iu":
        runs = [order] if len(order) else []
    else:
        steps = [_row_numbers(step, k) for k, step in enumerate(order)]
        runs = [np.stack(list(run)) for _, run in groupby(steps, len)]
    if not all(rows.size for rows in runs) or not runs:
        raise ValueError("epoch: order has no steps, or one without rows. Leave empty steps out")
    for rows in runs:
        if not (-count <= rows.min() and rows.max() < count):
            raise IndexError(
                f"epoch: order has rows from {rows.min()} to {rows.max()}. The data have {count}"
            )
    return [np.where(rows < 0, rows + count, rows).astype(np.intp) for rows in runs]


def _row_numbers(step: Any, k: int) -> Any:
    """Return the rows of step `k` as an array."""
    rows = np.asarray(array_of(step))
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise DtypeError(
            f"epoch: step {k} of order is {' '.join(repr(rows).split()):.60}. Expected a list of "
            f"row numbers. {_ADVICE}"
        )
    return rows


def _one_step(step: Callable[..., Any], call: Call | None, batch: list[Any]) -> Any:
    """Run one step; by NumPy where the backend is not chosen, as a loop follows in any case."""
    kernel = getattr(call.kernel, "unchosen", None) if call is not None else None
    result: Any = MISS
    if call is not None and kernel is not None:
        with suppress(GuardFailed):
            result = call.call(tuple(batch), {}, kernel)
    return step(*batch) if result is MISS else result


def _loop(call: Call, build: Any, rows: Any, batch: Any, arrays: Any, stacks: Any) -> int:
    """Run steps for `rows` in one call of a loop; return how many the program fitted."""
    taken = {
        k: v.source.subject
        for k, v in enumerate(call.program.inputs)
        if v.source.kind == "argument"
    }
    if call.loop is None:
        call.loop = build(call.program, frozenset(taken)) or False
    if not call.loop:
        return 0
    done = np.zeros(1, np.intp)

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
    return int(done[0])


def _stacked(leaves: list[Any], blocks: list[list[Any]]) -> list[Any]:
    """Return the results of all steps, leaf by leaf; what is no array is the last step's."""
    if len({tuple(a.shape[1:] for a in block) for block in blocks}) > 1:
        shapes = sorted({str([a.shape[1:] for a in block]) for block in blocks})
        raise ShapeError(
            f"epoch: all steps are done, but they return shapes {' and '.join(shapes)}, not to be "
            "stacked. Return what has one shape for all of them, such as a mean"
        )
    stacked: list[Any] = []
    for leaf, *parts in zip(leaves, *blocks, strict=True):
        if isinstance(leaf, Node):
            op = leaf._op if leaf._requires_grad else None
            stacked.append(result_of_op(np.concatenate(parts), op))
        else:
            stacked.append(np.concatenate(parts) if isinstance(leaf, np.ndarray) else leaf)
    return stacked
