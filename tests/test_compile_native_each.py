"""Each operation in native code: functions and their digits, reductions, products."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kit.native_cases import check, once
from kit.native_interpreter import interpreted
from kit.programs import Maker

from tinygrad_fc.compiler import native, native_reduce

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Program

numba = pytest.importorskip("numba")
from tinygrad_fc.compiler import native_math  # noqa: E402  Numba is there now

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

# Each operation, compiled

UNARY = {
    "exact": (
        *(np.negative, np.positive, np.absolute, np.square, np.sqrt, np.reciprocal, np.sign),
        *(np.floor, np.ceil, np.trunc, np.rint, np.isnan, np.isinf, np.isfinite, np.signbit),
        *(np.logical_not,),
    ),
    "rounded": (
        *(np.exp, np.expm1, np.exp2, np.log, np.log2, np.log10, np.log1p, np.tanh, np.sin, np.cos),
        *(np.tan, np.arcsin, np.arccos, np.arctan, np.sinh, np.cosh, np.arcsinh, np.arccosh),
        *(np.arctanh,),
    ),
}
BINARY = {
    "exact": (
        *(np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.fmod),
        *(np.floor_divide, np.remainder, np.copysign, np.equal, np.not_equal, np.less),
        *(np.less_equal, np.greater, np.greater_equal, np.logical_and, np.logical_or),
        *(np.logical_xor,),
    ),
    "rounded": (np.power, np.arctan2, np.hypot),
}
WHOLE = (
    *(np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.equal, np.less),
    *(np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.true_divide),
)
TRUTH = (
    *(np.add, np.multiply, np.maximum, np.minimum, np.logical_and, np.logical_or, np.logical_xor),
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.bitwise_and, np.bitwise_or, np.bitwise_xor),
)


def _each(dtype: Any) -> Program:
    make = Maker("each")
    x, y = make.input(np.ones(5, dtype)), make.input(np.ones(5, dtype))
    kind = np.dtype(dtype).kind
    unary = (*UNARY["exact"], *UNARY["rounded"]) if kind == "f" else (np.negative, np.absolute)
    binary = (*BINARY["exact"], *BINARY["rounded"]) if kind == "f" else WHOLE
    if kind == "b":
        unary, binary = (np.logical_not, np.invert), TRUTH
    results = [make.ufunc(f, x) for f in unary] + [make.ufunc(f, x, y) for f in binary]
    targets = ("f8", "f4", "?") if kind == "f" else ("f8", "f4", "i8", "i4", "?")
    results += [make.do("cast", None, x, dtype=np.dtype(target)) for target in targets]
    truth = make.ufunc(np.less, x, y)
    results += [make.function(np.where, truth, x, y), make.function(np.where, truth, x, truth)]
    make.result(*results)
    return make.program


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, math.inf, -math.inf, math.nan, 1e-320, 709.9, -745.2, 1e30]


@settings(max_examples=150)
@given(dtype=st.sampled_from(["f8", "f4"]), data=st.data())
def test_each_float_function(dtype: str, data: st.DataObject):
    width = 64 if dtype == "f8" else 32
    numbers = st.floats(width=width) | st.sampled_from(SPECIAL).map(
        lambda x: float(np.float32(x)) if width == 32 else x
    )
    x, y = (data.draw(arrays(dtype, 5, elements=numbers)) for _ in range(2))
    program, kernel = once(dtype, lambda: _each(dtype))
    check(program, kernel, [x, y])


@settings(max_examples=50)
@given(dtype=st.sampled_from(["i8", "i4", "u1", "?"]), data=st.data())
def test_each_whole_function(dtype: str, data: st.DataObject):
    x, y = (data.draw(arrays(dtype, 5)) for _ in range(2))
    program, kernel = once(dtype, lambda: _each(dtype))
    check(program, kernel, [x, y])


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize(("name", "reach", "ulps"), [("exp", 700, 0.8), ("tanh", 20, 1.5)])
def test_digits(name: str, reach: float, ulps: float, dtype: str):
    function = getattr(native_math, name)

    @numba.njit
    def all_of(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = function(x[i])

    rng = np.random.default_rng(0)
    reach = min(reach, 87.0) if dtype == "f4" else reach
    ranges = [rng.uniform(-r, r, 100_000) for r in (reach, 1, 1e-3)]
    x = np.concatenate([*ranges, [0.0, 0.625, -0.625]]).astype(dtype)
    wide = "g" if dtype == "f8" else "f8"
    if np.finfo(wide).eps > np.finfo(dtype).eps / 64:
        pytest.skip("no wider type on this machine")
    out = np.empty_like(x)
    all_of(x, out)
    right = getattr(np, name)(x.astype(wide))
    error = np.abs(out.astype(wide) - right) / np.spacing(np.abs(right).astype(dtype)).astype(wide)
    assert error.max() < ulps


# Reductions, products, views


def _reductions() -> Program:
    make = Maker("reductions")
    x, flat = make.input(np.ones((3, 4, 5))), make.input(np.ones(3001))
    single, truth = make.input(np.ones((7, 3000), "f4")), make.input(np.ones((3, 4), bool))
    results = []
    for function in (np.add, np.multiply, np.maximum, np.minimum):
        results += [
            make.do("reduce", function, x, axis=axis, keepdims=keepdims)
            for axis in (None, 0, 1, -1, (0, 2), (1, 2), ())
            for keepdims in (False, True)
        ]
        results.append(make.do("reduce", function, flat, axis=0))
    results += [make.do("reduce", np.add, single, axis=axis) for axis in (None, 0, 1)]
    results += [make.do("reduce", f, truth, axis=0) for f in (np.add, np.logical_and, np.maximum)]
    results += [make.do("reduce", f, x, axis=1, initial=2.0) for f in (np.add, np.maximum)]
    results.append(make.function(np.vdot, flat, flat))
    results += [make.function(f, x, axis=k) for f in (np.argmax, np.argmin) for k in (0, -1)]
    turned = make.do("transpose", None, x, axes=(2, 0, 1))
    results.append(make.do("reduce", np.add, make.ufunc(np.exp, turned), axis=1))
    make.result(*results)
    return make.program


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), special=st.sampled_from([None, math.nan, math.inf]))
@example(seed=0, special=-0.0)
def test_reductions(seed: int, special: float | None):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-3, 4)
    x, flat = rng.standard_normal((3, 4, 5)) * scale, rng.standard_normal(3001) * scale
    single, truth = rng.random((7, 3000), np.float32), rng.random((3, 4)) < 0.7
    if special is not None:
        x[rng.random(x.shape) < 0.1] = special
        flat[rng.integers(3001)] = special
    program, kernel = once("reductions", _reductions)
    slack = 8 * float(np.finfo(float).eps * np.nansum(np.abs(flat[np.isfinite(flat)])))
    check(program, kernel, [x, flat, single, truth], slack)


def test_long_sums_keep_their_digits():
    make = Maker("sum")
    x = make.input(np.ones(10**6, "f4"))
    make.result(make.do("reduce", np.add, x, axis=0))
    values = np.random.default_rng(0).random(10**6, np.float32)
    (total,) = native.build(make.program)(values)
    exact = math.fsum(values.tolist())
    assert abs(float(total) - exact) <= 4 * float(np.spacing(np.float32(exact)))


PAIRS = (
    *(((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((9, 3), (3, 1))),
    *(((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 2)), ((2, 1, 2, 3), (4, 3, 2)), ((3, 0), (0, 2))),
    *(((9, 10), (10, 12)), ((1, 20), (20, 9)), ((12, 9), (9, 3)), ((2, 12, 9), (9, 11))),
)
LARGE = (((40, 50), (50, 60)), ((40, 20), (20, 3)), ((2, 64, 40), (40, 33)))


def _products(dtype: str, pairs: Any) -> Program:
    make = Maker("products")
    results = []
    for a, b in pairs:
        x, y = make.input(np.ones(a, dtype)), make.input(np.ones(b, dtype))
        results.append(make.ufunc(np.matmul, x, y))
        if len(a) == len(b) == 2:
            turned = [make.do("transpose", None, n, axes=None) for n in (x, y)]
            results.append(make.ufunc(np.matmul, *turned[::-1]))
            results.append(make.ufunc(np.matmul, turned[0], x))
            half = make.do("getitem", None, x, at=(slice(None, None, 2), slice(None, None, -1)))
            results.append(make.ufunc(np.matmul, half, y))
            z = make.ufunc(np.tanh, make.ufunc(np.matmul, x, y))
            results.append(make.ufunc(np.matmul, make.do("transpose", None, z, axes=None), x))
    make.result(*results)
    return make.program


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["f8", "f4", "i8"]))
def test_products(seed: int, dtype: str):
    rng = np.random.default_rng(seed)
    inputs = [(rng.random(s) * 4).astype(dtype) for s in itertools.chain.from_iterable(PAIRS)]
    program = _products(dtype, PAIRS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_reduce, "SMALL", 500)  # so that most are large, for BLAS
        for bits in (None, 64):
            check(program, interpreted(program, bits), inputs)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_products_compiled(seed: int):
    rng = np.random.default_rng(seed)
    inputs = [rng.random(s, np.float32) for s in itertools.chain.from_iterable(LARGE)]
    check(*once("products", lambda: _products("f4", LARGE)), inputs)
