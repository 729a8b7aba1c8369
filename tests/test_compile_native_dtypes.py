"""Arguments of two dtypes in native code: each is cast to the one in which NumPy computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.native_cases import agree, check, once
from kit.native_interpreter import interpreted
from kit.programs import Maker

import tinygrad_fc as tg
from tinygrad_fc.compiler import CompileError, native_reduce
from tinygrad_fc.compiler.program import Part

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Program

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

DTYPES = ("f8", "f4", "i8", "i4", "u1", "?")
SHAPES = ((3,), (3,), (4, 3), (3, 2), (2, 3))
ELEMENTWISE = (np.add, np.multiply, np.maximum, np.minimum, np.less, np.equal, np.logical_and)


def _mixed(first: str, second: str) -> Program:
    """Return a program of sums, products and operations on elements of two dtypes."""
    make = Maker(f"mixed_{first}_{second}".replace("?", "b1"))
    kinds = (first, second, first, second, second)
    v, w, x, y, z = (make.input(np.ones(s, d)) for s, d in zip(SHAPES, kinds, strict=True))
    products = [(v, w), (w, v), (x, w), (x, y), (v, y), (z, x)]
    turned = make.do("transpose", None, x, axes=None)
    results = [make.ufunc(np.matmul, *pair) for pair in products[:-1]]
    results += [make.function(np.dot, *pair) for pair in products[:-1]]
    results += [make.ufunc(np.matmul, z, turned), make.function(np.vdot, v, w)]
    results += [make.ufunc(function, v, w) for function in ELEMENTWISE]
    results += [make.ufunc(np.multiply, x, w), make.do("reduce", np.add, make.ufunc(np.add, x, w))]
    truth = make.ufunc(np.less, v, w)
    results.append(make.function(np.where, truth, v, w))
    results.append(make.do("put", None, x, w, at=(1,)))
    results.append(make.do("reduce", np.maximum, make.ufunc(np.multiply, x, w), axis=0))
    for function in (np.concatenate, np.stack):
        parts = make.do(
            "function", function, v, w, v, inputs=((Part(0), Part(1), Part(2)),), named={}
        )
        results += [parts, make.do("reduce", np.add, parts, axis=0)]
    make.result(*results)
    return make.program


def _inputs(seed: int, first: str, second: str) -> list[Any]:
    rng = np.random.default_rng(seed)
    kinds = (first, second, first, second, second)
    return [rng.integers(0, 5, s).astype(d) for s, d in zip(SHAPES, kinds, strict=True)]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1), first=st.sampled_from(DTYPES), second=st.sampled_from(DTYPES)
)
def test_two_dtypes(seed: int, first: str, second: str):
    program = _mixed(first, second)
    inputs = _inputs(seed, first, second)
    check(program, interpreted(program), inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_reduce, "SMALL", 0)  # all products are BLAS's
        check(program, interpreted(program), inputs)


@pytest.mark.parametrize(("first", "second"), [("f8", "f4"), ("f4", "u1"), ("i4", "?"), ("?", "?")])
def test_two_dtypes_compiled(first: str, second: str):
    pytest.importorskip("numba")
    program, kernel = once((first, second), lambda: _mixed(first, second))
    for seed in range(5):
        check(program, kernel, _inputs(seed, first, second))


def test_vectors_of_two_dtypes_from_outside():
    pytest.importorskip("numba")
    product = tg.compile(lambda x, y: x @ y, backend="numba")
    made = product(np.full(3, 2.0), np.full(3, 0.5, np.float32))
    assert made.dtype == np.float64
    assert made == 3


@pytest.mark.parametrize(
    ("function", "given", "told"),
    [
        (lambda x, k: x * k, (tg.ones(2), np.float16(1.5)), "an array of float16"),
        (lambda i, j: i // j, (tg.tensor([4, 2]), tg.tensor([2, 1])), "has no floor_divide: "),
    ],
)
def test_what_native_code_lacks_is_named(function: Any, given: Any, told: str):
    pytest.importorskip("numba")
    with pytest.raises(CompileError, match=told):
        tg.compile(function, backend="numba")(*given)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: np.outer(x, y) + np.outer(2.0, y).sum(),
        lambda x, y: np.multiply.outer(x, y) + 1,
        lambda x, y: np.add.outer(x[0], y),
        lambda x, y: np.subtract.outer(2.0, y) + np.subtract.outer(x[:, :1].sum(), 3),
    ],
)
def test_outer_products(function: Any, backend: str):
    if backend == "numba":
        pytest.importorskip("numba")
    x, y = np.arange(6.0).reshape(2, 3), np.arange(4, dtype=np.float32).reshape(2, 2)
    agree([tg.compile(function, backend=backend)(x, y)], [function(x, y)])
