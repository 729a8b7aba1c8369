"""A program after a pass, and as NumPy source, does what it did: bit for bit."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from kit.drawn_programs import programs
from kit.programs import Maker

from tinygrad_fc.compiler import numpy_backend
from tinygrad_fc.compiler.layout import ordered
from tinygrad_fc.compiler.passes import optimized, passes
from tinygrad_fc.compiler.program import Unfit, evaluate, run
from tinygrad_fc.compiler.source import written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.compiler.program import Program

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def outcome(function: Callable[..., Any], inputs: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Return what a kernel returns or raises, and what it leaves of copies of `inputs`."""
    given = [_like(a) for a in inputs]
    try:
        with np.errstate(all="ignore"):
            made: Any = function(*given)
    except Unfit:
        made = Unfit
    if made is not Unfit:
        _apart(made, given)
    return made, given


def _like(a: Any) -> Any:
    """Return a copy that lies in memory as `a` does."""
    if not isinstance(a, np.ndarray):
        return a
    if a.ndim and a.strides[-1] == 2 * a.itemsize and a.size > 1:
        return np.repeat(a, 2, axis=-1)[..., ::2]
    return a.copy(order="K")


def _apart(made: Sequence[Any], inputs: Sequence[Any]) -> None:
    """Check that no two results share memory, nor one with an input that it is not."""
    arrays = [a for a in made if isinstance(a, np.ndarray)]
    for k, a in enumerate(arrays):
        if any(a is x for x in inputs):
            continue
        for b in (*arrays[:k], *(x for x in inputs if isinstance(x, np.ndarray))):
            assert not np.shares_memory(a, b)


def assert_same(a: Any, b: Any) -> None:
    """Check that two values are the same, bit for bit, but for which NaN it is."""
    if not isinstance(b, np.ndarray):
        assert type(a) is type(b)
        assert a == b or (a != a and b != b)  # noqa: PLR0124  NaN
        return
    assert isinstance(a, np.ndarray)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    np.testing.assert_array_equal(a, b)
    if a.dtype.kind == "f":
        known = ~np.isnan(b)
        np.testing.assert_array_equal(np.signbit(a)[known], np.signbit(b)[known])


def assert_agree(function: Callable[..., Any], program: Program, inputs: Sequence[Any]) -> None:
    """Check that a kernel does what `program` does."""
    made, left = outcome(function, inputs)
    expected, expected_left = outcome(lambda *given: run(program, given), inputs)
    assert (made is Unfit) == (expected is Unfit)
    for a, b in zip(left, expected_left, strict=True):
        assert_same(a, b)
    if made is not Unfit:
        assert len(made) == len(expected)
        for a, b in zip(made, expected, strict=True):
            assert_same(a, b)


@pytest.mark.parametrize("one", [*passes, optimized], ids=lambda f: f.__name__)
@given(drawn=programs())
def test_a_pass_keeps_what_a_program_does(
    one: Callable[[Program], Program], drawn: tuple[Program, list[Any]]
) -> None:
    program, inputs = drawn
    after = one(copy.copy(program))
    assert_agree(lambda *given: run(after, given), program, inputs)


@given(programs())
def test_source_of_the_program_as_it_is(drawn: tuple[Program, list[Any]]) -> None:
    program, inputs = drawn
    kernel = numpy_backend.executed(written(program), "drawn")
    note(kernel.source)
    assert_agree(kernel, program, inputs)


@given(programs())
def test_kernel(drawn: tuple[Program, list[Any]]) -> None:
    program, inputs = drawn
    kernel = numpy_backend.build(program)
    note(kernel.source)
    assert_agree(kernel, program, inputs)


@given(programs())
def test_what_is_known_to_lie_in_order(drawn: tuple[Program, list[Any]]) -> None:
    program, inputs = drawn
    known: dict[int, Any] = {**program.constants, **dict(zip(program.inputs, inputs, strict=True))}
    for step in program.instructions:
        if step.kind != "expect":
            with np.errstate(all="ignore"):
                args = [known[n] for n in step.args]
                known[step.out] = evaluate(step.kind, step.function, args, step.settings)
    for n in ordered(program):
        assert n not in known or np.asarray(known[n]).flags.c_contiguous


@pytest.mark.parametrize("shape", [(4,), (4, 1), (3, 4), (4, 3, 2), (70, 80)])
@given(data=st.data())
def test_one_array_in_order_has_the_others_follow(shape: Any, data: st.DataObject) -> None:
    make, inputs = Maker(), []
    for k in range(2):
        axes = data.draw(st.permutations(range(len(shape))))
        every = [data.draw(st.sampled_from([1, -1, 2])) for _ in shape]
        memory = np.ones([2 * n for n in shape]).transpose(axes).copy().transpose(np.argsort(axes))
        x = memory[tuple(slice(None, None, s) for s in every)][tuple(map(slice, shape))]
        inputs.append(x[:1] if k and data.draw(st.booleans()) else x)
    c = make.constant(np.ones(shape, data.draw(st.sampled_from("fd?"))))
    x, y = map(make.input, inputs)
    made = make.ufunc(np.maximum, make.ufunc(np.add, x, c), y)
    assert {c, made} <= ordered(make.program)
    assert make.samples[made].flags.c_contiguous


def test_what_is_made_of_an_array_that_is_changed_lies_as_that_does() -> None:
    make = Maker()
    w, g = make.input(np.ones((2, 3)), "w"), make.constant(np.ones((2, 3)))
    moved = make.ufunc(np.add, w, g)
    assert moved in ordered(make.program)
    bias = make.input(np.ones(3), "bias")
    z = make.ufunc(np.add, g, bias)
    make.change(w, make.ufunc(np.multiply, moved, g))
    make.change(bias, make.ufunc(np.add, bias, bias))
    assert ordered(make.program) == {g, z}


# One by one

EDGES = np.array([0.0, -0.0, 1.0, -1.5, 5e-324, 1e308, math.inf, -math.inf, math.nan])


def ended(make: Maker, *numbers: int) -> Program:
    """Return the program of `make` with these results."""
    make.result(*numbers)
    return make.program


@pytest.mark.parametrize("function", [np.add, np.subtract, np.multiply, np.true_divide])
@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, -1.0, 1, 0])
@pytest.mark.parametrize("first", [True, False])
def test_algebra_holds_at_the_edges(function: Any, number: float, *, first: bool) -> None:
    make = Maker()
    x = make.ufunc(np.add, make.input(EDGES), make.input(-0.0))  # which lies in C order
    c = make.constant(number)
    y = make.ufunc(function, *((c, x) if first else (x, c)))
    z = make.ufunc(np.positive, make.ufunc(np.negative, make.ufunc(np.negative, y)))
    program = ended(make, y, z, make.ufunc(np.subtract, y, make.ufunc(np.negative, z)))
    assert_agree(numpy_backend.build(program), program, [EDGES, -0.0])


def test_what_is_needless() -> None:
    make = Maker()
    x, y = (
        make.ufunc(np.exp, make.ufunc(np.matmul, a, a))
        for a in (make.input(np.ones((2, 2)) * k) for k in (1, 2))
    )
    one = make.constant(1.0)
    same = make.ufunc(np.multiply, one, make.ufunc(np.true_divide, x, one))
    turned = make.do("transpose", None, make.do("transpose", None, same, axes=None), axes=(-1, 0))
    again = make.ufunc(np.negative, make.ufunc(np.positive, make.ufunc(np.negative, turned)))
    spread = make.do(
        "expand", None, make.do("reduce", np.add, y, axis=0, keepdims=True), shape=(2, 2)
    )
    program = ended(make, make.ufunc(np.add, again, spread))
    kinds = [(s.kind, s.function) for s in optimized(program).instructions]
    assert kinds == [("ufunc", np.matmul), ("ufunc", np.exp)] * 2 + [
        ("reduce", np.add),
        ("ufunc", np.add),
    ]


def test_settings_tell_instructions_apart() -> None:
    make = Maker()
    x = make.input(np.arange(4.0).reshape(2, 2))
    sums = [make.do("reduce", np.add, x, axis=axis, keepdims=False) for axis in (0, 1, 0)]
    program = optimized(ended(make, *sums))
    assert len(program.instructions) == 2
    assert program.outputs() == [sums[0], sums[1], sums[0]]
    assert_agree(lambda *given: run(program, given), make.program, [np.arange(4.0).reshape(2, 2)])


def test_numbers_of_another_type_are_other_constants() -> None:
    make = Maker()
    x = make.input(np.arange(3))
    program = ended(make, *(make.ufunc(np.multiply, x, make.constant(c)) for c in (2, 2.0, True)))
    assert_agree(numpy_backend.build(program), program, [np.arange(3)])


def test_draws_stay() -> None:
    make = Maker()
    rng = make.input(np.random.default_rng(0))
    draws = [make.do("draw", "random", rng, inputs=(2,), named={}) for _ in range(3)]
    program = ended(make, draws[2])
    assert [s.out for s in optimized(program).instructions] == draws
    (made,) = numpy_backend.build(program)(np.random.default_rng(7))
    np.testing.assert_array_equal(made, np.random.default_rng(7).random(6)[4:])


def test_what_warns_is_not_worked_out_beforehand() -> None:
    make = Maker()
    program = ended(make, make.ufunc(np.log, make.constant(np.zeros(2))))
    kernel = numpy_backend.build(program)
    with np.errstate(divide="warn"), pytest.warns(RuntimeWarning, match="divide by zero"):
        kernel()


def test_what_is_always_true_is_not_asked() -> None:
    make = Maker()
    make.expect(make.constant(1), value=True)
    assert not optimized(ended(make, make.input(1.0))).instructions


@pytest.mark.parametrize("shape", [(3,), (20000,)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("number", [1, 0.1, -0.0, 1e30, math.inf, 2**53 + 1])
def test_numbers_beside_arrays(shape: Any, dtype: Any, number: float) -> None:
    make, array = Maker(), np.linspace(-1, 1, math.prod(shape)).astype(dtype)
    x, lr = make.input(array), make.input(float(number))
    made = [make.ufunc(np.multiply, x, lr), make.ufunc(np.subtract, lr, x)]
    made += [make.ufunc(np.add, make.constant(number), x), make.ufunc(np.maximum, x, lr)]
    with np.errstate(all="ignore"):
        c = make.constant(np.array(number, dtype))
    made += [make.ufunc(np.true_divide, c, x), make.ufunc(np.less, x, make.constant(number))]
    program = ended(make, *made)
    assert_agree(numpy_backend.build(program), program, [array, float(number)])


def test_a_choice_that_is_always_the_same() -> None:
    make = Maker()
    x = make.ufunc(np.matmul, make.input(np.ones((2, 2))), make.input(np.ones((2, 2))))
    asked = make.ufunc(np.less, x, x)
    never, zero = make.constant(np.zeros(2, np.bool)), make.constant(0)
    made = make.function(np.where, never, zero, make.function(np.where, never, zero, x))
    asked = make.ufunc(np.bitwise_or, never, asked)
    some = make.constant(np.array([True, False]))
    ones = make.constant(np.ones((2, 2)))
    program = ended(make, made, asked, make.function(np.where, some, zero, ones))
    kinds = [s.function for s in optimized(program).instructions]
    assert kinds == [np.matmul, np.less]
    inputs = [np.ones((2, 2))] * 2
    assert_agree(numpy_backend.build(program), program, inputs)
