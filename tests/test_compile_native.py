"""What native code does is what the program says: all kinds, dtypes, shapes and layouts.

Most programs are drawn, and their native source is run by Python (`kit.native_interpreter`); some
are compiled, each with many things in it, as compiling is what takes the time.
"""

from __future__ import annotations

import operator
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from kit.drawn_native import programs as index_programs
from kit.drawn_programs import programs
from kit.native_cases import agree, check, check_as_rounded, leaves, once
from kit.native_interpreter import interpreted, interpreted_loop
from kit.programs import Maker, training_step

from tinygrad_fc.compiler.program import CompileError, Part, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.program import Program

pytest.importorskip("numba")
from tinygrad_fc.compiler import native

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


# Drawn programs


@settings(max_examples=200)
@given(programs() | index_programs())
def test_drawn_programs(case: tuple[Program, list[Any]]):
    program, inputs = case
    try:
        kernel = interpreted(program)
    except CompileError as error:
        assert "backend" in str(error)  # noqa: PT017  drawn: some are refused, most are not
        return
    note(kernel.native)
    check_as_rounded(program, kernel, inputs)


@settings(max_examples=6)
@given(index_programs(most=30))
def test_drawn_programs_compiled(case: tuple[Program, list[Any]]):
    program, inputs = case
    try:
        kernel: Any = native.build(program)
    except CompileError:
        assume(False)  # noqa: FBT003  its only argument
    note(kernel.native)
    check_as_rounded(program, kernel, inputs)


@pytest.mark.parametrize("bits", [None, 64])
@pytest.mark.parametrize(
    ("sizes", "batch"), [((1, 8, 5, 3, 1), 40), ((3, 4, 2), 1), ((40, 50, 60), 30)]
)
def test_training_steps(sizes: tuple[int, ...], batch: int, bits: int | None):
    program = training_step(sizes, batch)
    rng = np.random.default_rng(0)
    values = [program.values[n].shape for n in program.inputs]
    inputs = [0.5 if shape is None else rng.standard_normal(shape) for shape in values]
    check(program, interpreted(program, bits), inputs)


# What inputs may be, and what happens to them

LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda a: a,
    "columns": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": lambda a: _unaligned(a),  # noqa: PLW0108  which is defined below
}


def _unaligned(a: Any) -> Any:
    raw = np.empty(a.nbytes + 1, np.uint8)[1:]
    out = raw.view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


def _in_place(first: Any = float, second: Any = float) -> Program:
    make = Maker("in_place")
    x, y = make.input(np.ones((4, 3), first)), make.input(np.ones((4, 3), second))
    total = make.ufunc(np.add, x, y)
    make.change(x, total)
    make.change(y, make.do("getitem", None, x, at=(slice(None, None, -1),)))
    make.result(make.do("transpose", None, x, axes=None), total)
    return make.program


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("second", LAYOUTS)
def test_layouts(first: str, second: str):
    rng = np.random.default_rng(0)
    plain = [rng.standard_normal((4, 3)) for _ in range(2)]
    given_ = [LAYOUTS[k](a.copy()) for k, a in zip((first, second), plain, strict=True)]
    kinds = [a.dtype for a in given_]
    program, kernel = once(("in place", *map(str, kinds)), lambda: _in_place(*kinds))
    expected = run(program, changed := [a.copy() for a in plain])
    outputs = kernel(*given_)
    agree(leaves(outputs) + leaves(given_), leaves(expected) + leaves(changed))


def test_the_other_byte_order_after_unaligned_memory():
    """Numba keeps for the one the type of the other, if it has met that first."""
    code = (
        "import numpy as np, tinygrad_fc as tg\n"
        "x = np.arange(1.0, 4.0)\n"
        "unaligned = np.frombuffer(bytearray(1) + bytearray(x), float, 3, 1)\n"
        "swapped = x.astype(x.dtype.newbyteorder())\n"
        "double = tg.compile(lambda x: x * 2, backend='numba')\n"
        "for given in (unaligned, swapped, unaligned):\n"
        "    assert double(given).tolist() == [2.0, 4.0, 6.0], given\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)  # noqa: S603  ours


def test_read_only_input():
    make = Maker("double")
    make.result(make.ufunc(np.add, x := make.input(np.ones(3)), x))
    array = np.arange(3.0)
    array.flags.writeable = False
    assert native.build(make.program)(array)[0].tolist() == [0.0, 2.0, 4.0]


def test_wrong_dtype_is_an_error():
    _, kernel = once("in place", _in_place)
    with pytest.raises(TypeError):
        kernel(np.ones((4, 3), np.float32), np.ones((4, 3)))


def test_two_inputs_that_change_places():
    make = Maker("swap")
    x, y = make.input(np.ones(3)), make.input(np.ones(3))
    make.change(x, y)
    make.change(y, x)
    make.result(make.ufunc(np.add, x, y))
    check(make.program, native.build(make.program), [np.arange(3.0), np.ones(3)])


def test_nothing_has_changed_where_a_trace_does_not_fit():
    make = Maker("expecting")
    x = make.input(np.ones(3))
    make.change(x, make.ufunc(np.multiply, x, x))
    total = make.do("reduce", np.add, x, axis=None)
    make.expect(make.ufunc(np.greater, total, make.constant(0.0)), value=True)
    kernel = native.build(make.program)
    check(make.program, kernel, [np.ones(3)])
    check(make.program, kernel, [-np.ones(3)])


def test_plain_numbers():
    make = Maker("numbers")
    x, t = make.input(np.ones(3)), make.input(3)
    beta = make.input(0.9)
    one = make.constant(1)
    rest = make.number(operator.sub, one, make.number(operator.pow, beta, t))
    rate = make.number(operator.truediv, beta, rest)
    make.change(x, make.ufunc(np.multiply, x, rate))
    mean = make.do("item", None, make.do("reduce", np.add, x, axis=None))
    make.result(make.number(operator.add, t, one), make.number(operator.mul, mean, rate))
    kernel = native.build(make.program)
    check(make.program, kernel, [np.arange(3.0), 5, 0.9])
    outputs = kernel(np.arange(3.0), 5, 0.9)
    assert (outputs[0], type(outputs[0]), type(outputs[1])) == (6, int, float)
    with pytest.raises(ZeroDivisionError):
        kernel(np.arange(3.0), 5, 1.0)


# Index arrays


def test_an_index_outside_is_an_error():
    make = Maker("gather")
    x, at = make.input(np.ones((4, 3))), make.input(np.zeros(2, int))
    make.result(make.do("getitem", None, x, at, at=(Part(1),)))
    make.change(x, make.do("put", np.add, x, make.constant(1.0), at, at=(Part(2), 0)))
    program, kernel = once("gather", lambda: make.program)
    for rows in ([0, 3], [-4, -1], [1, 1], [4, 0], [0, -5]):
        check(program, kernel, [np.arange(12.0).reshape(4, 3), np.array(rows)])


# Random numbers, and steps in a loop


def _dropout(count: int) -> Program:
    make = Maker("dropout")
    x, rng = make.input(np.ones((4, 3))), make.input(np.random.default_rng(0))
    w, t = make.input(np.ones(3), "w"), make.input(1)
    y = x
    for _ in range(count):
        mask = make.do("draw", "random", rng, inputs=((4, 3),), named={"dtype": np.float32})
        kept = make.ufunc(np.greater_equal, mask, make.constant(np.float32(0.3)))
        y = make.ufunc(np.multiply, y, kept)
    total = make.do("reduce", np.add, make.ufunc(np.multiply, y, w), axis=0)
    later = make.number(operator.add, t, make.constant(1))
    rate = make.number(operator.mul, t, make.constant(1e-6))
    make.change(w, make.ufunc(np.subtract, w, make.ufunc(np.multiply, total, rate)))
    make.leave(w, total)
    make.result(y, later)
    make.program.carried = {t: later}  # type: ignore[attr-defined]  for the test
    return make.program


@pytest.mark.parametrize("count", [1, 2])
def test_random_numbers_are_those_of_numpy(count: int):
    program = _dropout(count)
    kernel = interpreted(program)
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    x, w = np.arange(12.0).reshape(4, 3), [np.ones(3), np.ones(3)]
    for k in range(3):
        agree(kernel(x, first, w[0], k), run(program, [x, second, w[1], k]))
    assert first.random() == second.random()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 40), count=st.integers(0, 2))
def test_loops(seed: int, steps: int, count: int):
    program = _dropout(count)
    rows, (x, _, _, t) = frozenset((0,)), list(program.inputs)
    carried: dict[int, int] = program.carried  # type: ignore[attr-defined]  see above
    del x
    rng = np.random.default_rng(seed)
    data, order = rng.standard_normal((9, 3)), rng.integers(-9, 9, (steps, 4))
    first, second = np.random.default_rng(seed), np.random.default_rng(seed)
    w = [np.ones(3), np.ones(3)]
    loop = interpreted_loop(program, rows, carried)
    gradient, outputs, counts = loop(order, data, first, w[0], 3)
    number = 3
    for k in range(steps):
        last, y, number = run(program, [data[order[k]], second, w[1], number])
        agree([outputs[k], int(counts[k])], [y, number])
    agree([gradient, w[0]], [last, w[1]])
    assert t in carried
    assert first.random() == second.random()


def test_loop_compiled():
    program = _dropout(2)
    carried: dict[int, int] = program.carried  # type: ignore[attr-defined]  see above
    rng = np.random.default_rng(0)
    data, order = rng.standard_normal((9, 3)), rng.integers(0, 9, (300, 4))
    results = []
    for build in (native.build_loop, interpreted_loop):
        w = np.ones(3)
        made = build(program, frozenset((0,)), carried)(order, data, np.random.default_rng(1), w, 0)
        results.append([*made, w])
    agree(*results)
    loop = native.build_loop(program, frozenset((0,)), carried)
    with pytest.raises(IndexError, match="outside"):
        loop(order + 1, data, np.random.default_rng(1), np.ones(3), 0)
    with pytest.raises(ValueError, match="batches of 4"):
        loop(order[:, :3], data, np.random.default_rng(1), np.ones(3), 0)


# What there is no native code for


@pytest.mark.parametrize(
    ("sample", "function", "named"),
    [
        (np.ones(3), np.cumsum, {}),
        (np.eye(2), np.linalg.inv, {}),
        (np.ones(3, np.float16), np.copy, {}),
        (np.ones(3, complex), np.copy, {}),
    ],
)
def test_what_is_missing_is_named(sample: Any, function: Any, named: dict[str, Any]):
    make = Maker("lacking")
    make.result(make.function(function, make.input(sample), **named))
    with pytest.raises(CompileError) as caught:
        native.build(make.program)
    name = function.__name__ if sample.dtype == float else str(sample.dtype)
    assert name in str(caught.value)
    assert 'backend="numpy"' in str(caught.value)
