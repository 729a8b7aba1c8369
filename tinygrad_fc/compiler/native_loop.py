"""Many steps in one call of native code, and the random numbers that they need."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.native_shell import Mending, Shell, failed
from tinygrad_fc.compiler.program import evaluate, results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinygrad_fc.compiler.native_places import Loop, Native
    from tinygrad_fc.compiler.program import Instruction, Program

SECONDS = 0.1
"""How long native code runs before the interpreter has a look, so that Ctrl-C has an effect."""
FIRST = 16
"""Steps to begin with, while nobody knows how long one takes."""
DRAWN = 1 << 22
"""So many random numbers are drawn ahead at most."""


class Repeated:
    """A program that is repeated: see `native.build_loop`."""

    source: str
    native: str

    def __init__(self, program: Program, loop: Loop, native: Native, function: Any) -> None:
        self.program, self.made, self.function = program, native, function
        self.carried = set(loop.carried)
        self.bound = Shell(program, native).bound
        self.mending = Mending(program, native)
        self.results = len(native.outputs) - len(results(program.result))
        self.places = {n: k for k, n in enumerate(program.inputs)}
        batches = {(program.values[n].shape or (0,))[0] for n in loop.rows}
        self.batch = batches.pop() if batches else None

    def __call__(self, order: Any, *inputs: Any) -> tuple[Any, ...]:
        """Do a step for each row of `order`."""
        order = np.ascontiguousarray(order, np.int64)
        if order.ndim != 2 or self.batch not in (None, order.shape[1]):
            raise ValueError(
                f"an epoch takes indices (steps, {self.batch}), as the step was traced for batches "
                f"of {self.batch}, and got an array of shape {order.shape}"
            )
        outputs = [
            np.empty(
                (*((len(order),) if k >= self.results else ()), *(shape or ())),
                dtype.newbyteorder("="),
            )
            for k, (shape, dtype) in enumerate(self.made.outputs)
        ]
        given, back = self._given(inputs, outputs)
        self._steps(order, given, inputs)
        for old, new in back:
            old[...] = new
        return tuple(
            array.item() if shape is None and k < self.results else array.astype(dtype, copy=False)
            for k, (array, (shape, dtype)) in enumerate(
                zip(outputs, self.made.outputs, strict=True)
            )
        )

    def _given(self, inputs: Sequence[Any], outputs: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return the arguments of the native function, and what is to be copied back."""
        given: list[Any] = []
        for g in self.made.givens:
            if g.kind == "input":
                x = inputs[self.places[g.number]]
                if g.number in self.carried:  # a copy of its own, which goes from step to step
                    x = np.array(x, self.program.values[g.number].dtype, order="C")
                given.append(x)
            else:
                given.append(outputs[g.number] if g.kind == "output" else self.bound.get(g.name))
        back = []
        for k, dtype, changes in self.mending.inputs:
            mended = self.mending.mended(given[k], dtype)
            if changes and mended is not given[k]:
                back.append((given[k], mended))
            given[k] = mended
        return given, back

    def _steps(self, order: Any, given: list[Any], inputs: Sequence[Any]) -> None:
        draws = [k for k, g in enumerate(self.made.givens) if g.kind == "draw"]
        drawn = sum(_size(self.program, step) for step in self.made.draws)
        most = max(DRAWN // drawn, 1) if drawn else len(order)
        first, count = 0, FIRST
        while first < len(order):
            last = min(first + min(count, most), len(order))
            ahead = drawn_ahead(self.program, self.made.draws, self._known(inputs), last - first)
            for k, array in zip(draws, ahead, strict=True):
                given[k] = array
            start = time.perf_counter()
            status = self.function(first, last, order, *given)
            if status:
                failed(status)
            spent = max(time.perf_counter() - start, 1e-6)
            count = max(1, int((last - first) * min(SECONDS / spent, 16)))
            first = last

    def _known(self, inputs: Sequence[Any]) -> dict[int, Any]:
        return {n: inputs[k] for n, k in self.places.items()}


def _size(program: Program, step: Instruction) -> int:
    return math.prod(program.values[step.out].shape or ())


def drawn_ahead(
    program: Program, steps: Sequence[Instruction], known: Mapping[int, Any], count: int
) -> list[Any]:
    """Return what `count` runs of a program draw, in the order in which they would."""
    if not steps:
        return []
    shapes = [program.values[step.out].shape or () for step in steps]
    dtypes = [program.values[step.out].dtype for step in steps]
    generators = [known.get(step.args[0]) for step in steps]
    if all(map(_plain, steps)) and len({*dtypes}) == 1 == len({*map(id, generators)}):
        # A generator goes on from number to number, in however many calls it is asked.
        sizes = [math.prod(shape) for shape in shapes]
        generator: Any = generators[0]
        flat = generator.random((count, sum(sizes)), dtype=dtypes[0])
        ends = np.cumsum(sizes)
        return [
            np.ascontiguousarray(flat[:, end - size : end]).reshape((count, *shape))
            for end, size, shape in zip(ends, sizes, shapes, strict=True)
        ]
    out = [np.empty((count, *shape), dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    for k in range(count):
        for array, step in zip(out, steps, strict=True):
            args = [known[n] for n in step.args]
            array[k] = evaluate("draw", step.function, args, step.settings)
    return out


def _plain(step: Instruction) -> bool:
    """Tell whether a step draws evenly from [0, 1), and nothing else is asked of it."""
    return (
        step.function == "random"
        and len(step.args) == 1
        and set(step.settings["named"])
        <= {
            "dtype",
            "size",
        }
    )
