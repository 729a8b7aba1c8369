"""Many steps in one call do what a program does again and again, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from kit.drawn_programs import programs
from kit.programs import training_step
from test_compile_passes import assert_agree, assert_same, outcome

from tinygrad_fc.compiler import numpy_backend
from tinygrad_fc.compiler.program import Change, Replace, Unfit, results, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.program import Program

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def again_and_again(
    program: Program, rows: frozenset[int], carried: dict[int, int]
) -> Callable[..., Any]:
    """Return what `build_loop` has to do, one step of the program's meaning at a time."""
    tail = len(results(program.result))

    def loop(order: Any, *inputs: Any) -> Any:
        # What is carried is one more output.
        given = dict(zip(program.inputs, inputs, strict=True))
        stacked: list[list[Any]] = []
        for batch in order:
            step = [a.take(batch, axis=0) if n in rows else a for n, a in given.items()]
            outputs = run(_with_outputs(program, list(carried.values())), step)
            handed, outputs = outputs[: len(carried)], outputs[len(carried) :]
            given |= dict(zip(carried, handed, strict=True))
            stacked.append(list(outputs[len(outputs) - tail :]))
        last = outputs[: len(outputs) - tail]
        return (*last, *(np.array(column) for column in zip(*stacked, strict=True)))

    return loop


def _with_outputs(program: Program, numbers: list[int]) -> Program:
    return replace(program, writes=[*(Replace(None, n) for n in numbers), *program.writes])


@st.composite
def loops(draw: st.DrawFn) -> tuple[Any, ...]:
    """Draw a program, which inputs are data sets, what is carried, and inputs for a few steps."""
    program, inputs = draw(programs(10))
    changed = {w.target for w in program.writes if isinstance(w, Change)}
    numbers = list(program.inputs)
    free = [n for n in numbers if n not in changed]
    data = [n for n in free if (program.values[n].shape or (0,))[0]]
    rows = frozenset(draw(st.sets(st.sampled_from(data), max_size=2))) if data else frozenset()
    sizes = {program.values[n].shape[0] for n in rows}  # type: ignore[index]
    rows = rows if len(sizes) == 1 else frozenset()
    size = sizes.pop() if rows else 2
    carried = {}
    for n in free:
        alike = [
            k
            for k, value in enumerate(program.values)
            if value == program.values[n] and value.dtype is not None
        ]
        if n not in rows and draw(st.booleans()):
            carried[n] = draw(st.sampled_from(alike))
    inputs = [
        np.concatenate([a, a[:1], -a]) if n in rows else a
        for n, a in zip(numbers, inputs, strict=True)
    ]
    row = st.lists(st.integers(0, 2 * size), min_size=size, max_size=size)
    order = np.array(draw(st.lists(row, min_size=1, max_size=3)), np.int64).reshape(-1, size)
    return program, rows, carried, [order, *inputs]


@given(loops())
def test_loop(drawn: tuple[Any, ...]) -> None:
    program, rows, carried, inputs = drawn
    loop = numpy_backend.build_loop(program, rows, carried)
    note(loop.source)
    made, left = outcome(loop, inputs)
    expected, expected_left = outcome(again_and_again(program, rows, carried), inputs)
    assert (made is Unfit) == (expected is Unfit)
    if made is Unfit:
        return
    for a, b in zip([*left, *made], [*expected_left, *expected], strict=True):
        assert_same(a, b)


def test_an_epoch_is_its_steps() -> None:
    program = training_step((3, 4, 2), 5)
    rng = np.random.default_rng(1)
    inputs = [
        rng.standard_normal(value.shape) if value.shape is not None else 0.5
        for value in (program.values[n] for n in program.inputs)
    ]
    inputs[:2] = rng.random((20, 3)), rng.random((20, 2))
    order = rng.permutation(20).reshape(4, 5)
    rows = frozenset(list(program.inputs)[:2])
    loop = numpy_backend.build_loop(program, rows, {})
    made, left = outcome(loop, [order, *inputs])
    expected, expected_left = outcome(again_and_again(program, rows, {}), [order, *inputs])
    for a, b in zip([*left, *made], [*expected_left, *expected], strict=True):
        assert_same(a, b)
    assert made[-1].shape == (4,)


@pytest.mark.parametrize("large", [0, 1 << 15])
@given(drawn=programs())
def test_memory_used_again(large: int, drawn: tuple[Program, list[Any]]) -> None:
    program, inputs = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygrad_fc.compiler.inplace.LARGE", large)
        patch.setattr("tinygrad_fc.compiler.boxes.SMALL", large)
        kernel = numpy_backend.build(program)
    note(kernel.source)
    assert_agree(kernel, program, inputs)
