"""Many steps in one call: a native loop for those that a program fits, single calls for others."""

from __future__ import annotations

from functools import partial
from itertools import groupby, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.ir import Source
from tinygrad_fc.compiler.trace import Output
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import Node, array_of, wrap
from tinygrad_fc.pytree import flatten, mapped, unflatten

if TYPE_CHECKING:
    from tinygrad_fc.compiler.call import Executable


def run_epoch(step: Any, build_loop: Any, order: Any, data: Any, number: int = 0) -> Any:
    """Return the stacked results of the compiled function `step` for all rows of `order`.

    The first step checks the program, as call `number`, unless that is 0.
    """
    arrays = [np.asarray(array_of(x), order="C") for x in data]
    structure: Any = None
    blocks: list[list[Any]] = []  # the stacked results of some steps
    for rows in _runs(order, min(map(len, arrays))):
        while len(rows):
            batch = [_like(x, a[rows[0]]) for x, a in zip(data, arrays, strict=True)]
            count, results = 0, None
            if build_loop and step._calls and not number:
                count, results = _loop(step._calls[0], build_loop, rows, batch, arrays)
            if not count:
                checking = partial(step._find_or_trace, tuple(batch), {}, repeat(number))
                result = checking() if number else step(*batch)
                count, number, results = 1, 0, mapped(_stack_of_one, result)
            leaves, structure = flatten(results)
            blocks.append(leaves)
            rows = rows[count:]  # noqa: PLW2901  the others
    return unflatten(structure, map(_concatenated, *blocks))


def _runs(order: Any, count: int) -> list[Any]:
    """Return matrices of row numbers below `count`, one for each run of steps of one size."""
    order = array_of(order)
    if isinstance(order, np.ndarray) and order.ndim == 2:
        runs = [order] if len(order) else []
    else:
        steps = [np.asarray(array_of(rows)) for rows in order]
        runs = [np.stack(list(run)) for _, run in groupby(steps, np.size)]
    if not runs or not all(rows.ndim == 2 and rows.size for rows in runs):
        raise ValueError("epoch: order has no steps or no rows. Write randperm(len(x)).split(32)")
    lowest, highest = min(rows.min() for rows in runs), max(rows.max() for rows in runs)
    if lowest < -count or highest >= count:
        raise IndexError(f"epoch: order has rows from {lowest} to {highest}. The data have {count}")
    return [(rows % count).astype(np.intp, casting="same_kind") for rows in runs]


def _loop(call: Executable, build_loop: Any, rows: Any, batch: Any, arrays: Any) -> tuple[int, Any]:
    """Run steps in one native call; return how many its program fitted, and stacked results."""
    program, traced = call.program, call.traced
    inputs = enumerate(program.inputs)
    data = {k: v.source.subject for k, v in inputs if v.source.kind == "argument"}
    if call.loop is None:
        leaves = flatten(traced.result)[0]
        # gradients that a step reads, and tensors from outside, differ; numbers are not stacked
        differ = any(isinstance(x, Source | Node | np.ndarray) for x in leaves)
        differ |= any(program.outputs[number].is_number for number in program.returned)
        if not (differ or traced.grad_guards):
            call.loop = build_loop(program, frozenset(data))
        call.loop = call.loop or False
    if not call.loop:
        return 0, None
    outputs = {number: program.outputs[number] for number in program.returned}
    stacks = {k: np.empty((len(rows), *v.shape), v.dtype) for k, v in outputs.items()}
    done = np.zeros(1, np.intp)

    def kernel(*inputs: Any) -> Any:
        whole = [arrays[data[k]] if k in data else x for k, x in enumerate(inputs)]
        return call.loop(rows, done, *stacks.values(), *whole)

    def stack(leaf: Any) -> Any:
        if not isinstance(leaf, Output):
            return leaf
        done_steps = stacks[leaf.number][: done[0]]
        return wrap(done_steps) if leaf.tensor else done_steps

    call.call(tuple(batch), {}, kernel, repeat(0))  # stops at step `done` where a guard fails
    return int(done[0]), mapped(stack, traced.result)


def _like(leaf: Any, array: Any) -> Any:
    """Return `array` as a tensor if `leaf` is one."""
    return wrap(array) if isinstance(leaf, Node) else array


def _stack_of_one(leaf: Any) -> Any:
    if not isinstance(leaf, Node | np.ndarray):
        return leaf
    return _like(leaf, np.array(array_of(leaf))[None])


def _concatenated(*parts: Any) -> Any:
    """Return one result of all steps; of what is no tensor or array, the last one."""
    if not isinstance(parts[-1], Node | np.ndarray):
        return parts[-1]
    try:
        return _like(parts[-1], np.concatenate(list(map(array_of, parts))))
    except ValueError as error:
        raise ShapeError(
            f"epoch: all steps are done, but what they return is not to be stacked: {error}. "
            "Return what has one shape for all of them, such as a mean"
        ) from error
