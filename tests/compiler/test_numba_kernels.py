"""Native kernels and loops do what their programs do, evaluated one instruction at a time."""

import operator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.compiler.instructions import TABLE, Entry
from tinygrad_fc.compiler.ir import CompileError, GuardFailed, Program, ProgramBuilder, Source
from tinygrad_fc.ops import special

from .drawn_instructions import arrays_of, programs
from .interpreter import interpret

pytest.importorskip("numba")
# isort: split
from numba.np.ufunc_db import get_ufuncs

from tinygrad_fc.compiler.numba_backend import build

NATIVE = settings(deadline=None, phases=[Phase.explicit, Phase.generate])
"""No shrinking, which would compile hundreds of kernels."""
SPECIAL = (
    *(0.0, -0.0, 1, -1, 0.5, -0.5, 2, 3.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-8, 1e-310),
    *(700, -700, -745, 710, 88, -88, -103, 1e300, -1e300),
)


def assert_agrees(program: Program, kernel: Any, calls: int = 1) -> None:
    """Fail where a kernel differs from its program, in a bit, dtype or shape, or shares memory."""
    expected_inputs, inputs = arrays_of(program), arrays_of(program)
    for _ in range(calls):
        with np.errstate(all="ignore"):
            try:
                expected = interpret(program, expected_inputs)
            except (GuardFailed, IndexError):
                with pytest.raises(GuardFailed):
                    kernel(*inputs)
                continue
            results = kernel(*inputs)
        for value, x, y in zip(program.outputs, expected, results, strict=True):
            np.testing.assert_array_equal(y, x, err_msg=str(value.function), strict=True)
        arrays = [x for x in inputs if isinstance(x, np.ndarray)]
        assert not any(np.shares_memory(x, y) for x in arrays for y in results)
    for x, y in zip(inputs, expected_inputs, strict=True):
        np.testing.assert_array_equal(x, y)


@settings(NATIVE, max_examples=8)
@given(programs(80))
def test_kernels_agree_with_numpy(program: Program) -> None:
    """Twice, since memory of the first call is used again."""
    assert_agrees(program, build(program), calls=2)


def ufuncs(of: int) -> list[Any]:
    """Return NumPy's functions of one number, or of two, that have a form for floats."""
    functions = {f.__name__: f for f in get_ufuncs() if f.nout == 1 and f.nin == of}
    return [f for _, f in sorted(functions.items()) if f"{'d' * of}->" in " ".join(f.types)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@settings(NATIVE, max_examples=1)
@given(seed=st.integers(0, 2**32))
def test_functions_agree_within_ulps(dtype: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    normal = np.concatenate([rng.standard_normal(500) * 5, rng.standard_normal(200) * 100])
    with np.errstate(over="ignore", under="ignore"):
        x = np.concatenate([np.repeat(SPECIAL, len(SPECIAL)), normal]).astype(dtype)
        y = np.concatenate([np.tile(SPECIAL, len(SPECIAL)), normal[::-1]]).astype(dtype)
    graph = ProgramBuilder()
    args = graph.input(Source("array", x), x), graph.input(Source("array", y), y)
    with np.errstate(all="ignore"):
        for function in ufuncs(1) + ufuncs(2):
            graph.emit(function, args[: function.nin])
        for function in (special.erf.forward, special.ndtr.forward):
            graph.emit(function, args[:1])
        for exponent in (2.0, -1.0, 3.0):
            graph.emit(np.power, (args[0], exponent))
        program = Program("functions", list(args), list(graph.program.instructions))
        program.outputs = program.instructions
        expected = interpret(program, [x, y])
    for value, a, b in zip(program.outputs, expected, build(program)(x, y), strict=True):
        name = value.function.__name__
        assert b.dtype == a.dtype, name
        if a.dtype.kind == "b":
            np.testing.assert_array_equal(b, a, name)
            continue
        # NumPy's own arctan2 of float32 is off by 3, a sum in logaddexp may cancel, and far from
        # 0 the relative error of ndtr(x) is x**2 times that of x.
        tails = 2000 if dtype == np.float64 else 3
        many = {np.logaddexp: 64, np.logaddexp2: 64, special.ndtr.forward: tails}
        ulps = many.get(value.function, 3)
        with np.errstate(all="ignore"):
            spacing = np.spacing(np.maximum(np.abs(a), np.abs(b)))
            close = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= ulps * spacing)
        assert close.all(), (name, x[~close][:3], y[~close][:3], a[~close][:3], b[~close][:3])


@settings(NATIVE, max_examples=1)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=8, max_size=8),
    turned=st.lists(st.booleans(), min_size=8, max_size=8),
    seed=st.integers(0, 99),
)
def test_products_are_exact_to_rounding(sizes: Any, turned: Any, seed: int) -> None:
    """Of small and large matrices, stacks and vectors, in one kernel."""
    rng, graph = np.random.default_rng(seed), ProgramBuilder()
    arrays, errors, outputs = list[Any](), list[Any](), list[Any]()
    shapes = [(3, 4), (30, 60), (300, 3), (2, 3, 50)] * 2
    for k, (shape, n, flipped) in enumerate(zip(shapes, sizes, turned, strict=True)):
        dtype = np.float64 if k < 4 else np.float32
        x = rng.standard_normal(shape).astype(dtype)
        y = rng.standard_normal((n, shape[-1]) if flipped else (shape[-1], n)).astype(dtype)
        arrays += [x, y]
        left, right = (graph.input(Source("argument", k), a) for a in (x, y))
        right = graph.emit(np.transpose, (right, None)) if flipped else right
        product = graph.emit(np.matmul, (left, right))
        # whose memory may have another order, which that of an output has not
        outputs.append(graph.emit(np.negative, (product,)) if flipped else product)
        y = abs(y.T if flipped else y)
        errors.append(4 * np.finfo(dtype).eps * np.matmul(abs(x), y))
    program = graph.program
    program.outputs = outputs
    expected = interpret(program, arrays)
    for a, b, error in zip(build(program)(*arrays), expected, errors, strict=True):
        assert (abs(a - b) <= error).all()


def one_instruction(function: Any, *samples: Any, **kwargs: Any) -> Program:
    """Return a program of one call, with an input for each array and generator."""
    graph = ProgramBuilder()
    args = [
        graph.input(Source("argument", k), x) if isinstance(x, np.ndarray) else x
        for k, x in enumerate(samples)
    ]
    graph.program.outputs = [graph.emit(function, tuple(args), kwargs)]
    return graph.program


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1"])
def test_integers_overflow_as_in_numpy(dtype: str) -> None:
    ends = np.iinfo(dtype)
    numbers = [ends.max // 2 + 1, ends.max, ends.max // 3, ends.min, ends.min // 2, 3, 100, 7]
    a = tg.from_numpy(np.array(numbers * 4, dtype))

    def function(a: Any) -> Any:
        b = a.flip(0)
        return a + a > 0, a - b > a, a + 1 > a, a * b, a * b > a, (a * b).double(), a.sum(), -a

    compiled = tg.compile(function, backend="numba")
    for _ in range(2):  # the second one checks
        for result, expected in zip(compiled(a), function(a), strict=True):
            np.testing.assert_array_equal(result.numpy(), expected.numpy(), strict=True)


def test_the_sign_of_integers_is_native() -> None:
    for code in ("i1", "i2", "i4", "i8"):
        info = np.iinfo(code)
        program = one_instruction(np.sign, np.array([info.min, -3, 0, 2, info.max], code))
        assert_agrees(program, build(program))


@pytest.mark.parametrize("returned", [0, 1])
def test_arrays_of_any_layout_are_taken(returned: int) -> None:
    x, y = np.arange(24.0).reshape(3, 8).T[::-2], np.broadcast_to(np.arange(3.0), (4, 3))
    program = one_instruction(np.add, x, y)
    program.changes = [(program.inputs[0], program.outputs[0])]
    program.outputs *= returned
    expected = x + y
    results = build(program)(x, y)
    np.testing.assert_array_equal(results, [expected] * returned)
    np.testing.assert_array_equal(x, expected)


def test_an_index_outside_is_seen_before_anything_changes() -> None:
    program = one_instruction(operator.getitem, np.ones(3), np.array([0, 2]))
    program.changes = [(program.inputs[1], program.inputs[1])]
    kernel = build(program)
    for at in ([0, 3], [-4, 0]):
        with pytest.raises(GuardFailed):
            kernel(np.ones(3), np.array(at))
    assert kernel(np.arange(3.0), np.array([-1, -3]))[0].tolist() == [2, 0]


@pytest.mark.parametrize("program", [
    one_instruction(np.sort, np.ones(3)),
    one_instruction(np.bitwise_count, np.arange(3)),
    one_instruction(np.add, np.ones(3, np.float16), 1),
    one_instruction(np.add, np.ones(3, ">f8"), 1),
    one_instruction(np.exp, np.ones(3, complex)),
    one_instruction(np.remainder, np.arange(3), np.full(3, -1)),
    one_instruction(np.floor_divide, np.arange(3), -1),
    one_instruction(np.fmod, np.arange(3), 2),
    one_instruction(np.sign, np.arange(3, dtype=np.uint8)),
])  # fmt: skip
def test_what_has_no_native_form_is_named(program: Program) -> None:
    with pytest.raises(CompileError, match=r'the Numba backend .* backend="numpy"'):
        build(program)


def test_near_twins_are_compiled_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_FC_CACHE", str(tmp_path))
    x, constant = np.arange(8.0).reshape(2, 4), ProgramBuilder().constant
    inputs = x, x.astype(np.float32), np.asfortranarray(x), x.T, x[0]
    programs = [
        *(one_instruction(np.add, y, 1) for y in inputs),
        *(one_instruction(np.add, x, constant(y)) for y in (x[0], x[1], x[:1], 0 * x[0])),
        *(one_instruction(f, x, axis=0) for f in (np.add.reduce, np.maximum.reduce, np.argmax)),
        one_instruction(np.subtract, x, 1),
        replace(one_instruction(np.add, x, 1), returned=[0]),
    ]
    for program in programs * 2:
        assert_agrees(program, build(program))
    assert len(list(tmp_path.glob("*.py"))) == len(programs)


def test_pythons_numbers_have_the_dtype_of_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(native=lambda x, y: np.where(x > 0, 1.0, np.where(x == 0, y, 0.0)))
    monkeypatch.setitem(TABLE, np.heaviside, entry)
    x, half = np.array([-2, 0, 3], np.float32), np.full(3, 0.5, np.float32)
    (result,) = build(one_instruction(np.heaviside, x, half))(x, half)
    np.testing.assert_array_equal(result, np.heaviside(x, half), strict=True)
