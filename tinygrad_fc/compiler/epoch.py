"""Many steps in one call: the rows of each step, the loop, and the stacked results."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.call import result_of_op
from tinygrad_fc.compiler.ir import GuardFailed, array_of, flatten, unflatten
from tinygrad_fc.compiler.trace import Output
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
    structure: Any = None
    blocks: list[list[Any]] = []  # (kind, stack) of each leaf of the results, for some steps
    for rows in _checked_order(order, len(arrays[0])):
        k = 0
        while k < len(rows):
            batch = [
                wrap(a[rows[k]]) if isinstance(x, Node) else a[rows[k]]
                for x, a in zip(data, arrays, strict=True)
            ]
            leaves: list[Any] = []
            call = latest()
            stacks = _loop(call, build, rows[k:], batch, arrays) if call and build else None
            if call and stacks is not None:
                structure = flatten(call.traced.result, leaves)
                blocks.append([(x, stacks.get(getattr(x, "number", None))) for x in leaves])
                k += stacks.count
            else:
                structure = flatten(step(*batch), leaves)
                blocks.append(list(map(_first, leaves)))
                k += 1
    return unflatten(structure, map(_stacked, *blocks))


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


class _Stacks(dict[Any, Any]):
    """The results of `count` steps by the number of the output."""

    count = 0


def _loop(call: Call, build: Any, rows: Any, batch: Any, arrays: Any) -> _Stacks | None:
    """Run steps for `rows` in one call of a loop; return the results of those that it fitted."""
    program = call.program
    taken = {
        k: v.source.subject for k, v in enumerate(program.inputs) if v.source.kind == "argument"
    }
    if call.loop is None:
        call.loop = (call.is_steady() and build(program, frozenset(taken))) or False
    if not call.loop:
        return None
    outputs = {number: program.outputs[number] for number in program.returned}
    stacks = {k: np.empty((len(rows), *v.shape), v.dtype) for k, v in outputs.items()}
    done = np.zeros(1, np.intp)

    def kernel(*inputs: Any) -> Any:
        whole = [
            np.ascontiguousarray(arrays[taken[k]]) if k in taken else x
            for k, x in enumerate(inputs)
        ]
        try:
            return call.loop(rows, done, *stacks.values(), *whole)
        except GuardFailed as failed:  # whose draws the loop has undone
            raise _StoppedError from failed

    with suppress(_StoppedError):  # at step `done`, which is run by itself
        call.call(tuple(batch), {}, kernel)
    results = _Stacks((k, stack[: done[0]]) for k, stack in stacks.items())
    results.count = int(done[0])
    return results if results.count else None


def _first(leaf: Any) -> tuple[Any, Any]:
    """Return kind and stack of a result of one step; no stack where it is no array."""
    if isinstance(leaf, Node):
        kind = Output(0, tensor=True, op=leaf._op if leaf._requires_grad else None)
        return kind, np.array(leaf._array)[None]
    if isinstance(leaf, np.ndarray):
        return Output(0, tensor=False), np.array(leaf)[None]
    return leaf, None


def _stacked(*parts: tuple[Any, Any]) -> Any:
    """Return one result of all steps; of what is no array, the last one."""
    kind = parts[-1][0]
    if not isinstance(kind, Output):
        return kind
    shapes = {np.shape(stack)[1:] for _, stack in parts}
    if len(shapes) > 1:
        raise ShapeError(
            "epoch: all steps are done, but what they return has shapes "
            f"{' and '.join(map(str, sorted(shapes)))}, not to be stacked. Return what has one "
            "shape for all of them, such as a mean"
        )
    whole = np.concatenate([stack for _, stack in parts])
    return result_of_op(whole, kind.op) if kind.tensor else whole
