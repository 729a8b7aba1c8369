"""The runtime in JavaScript computes what NumPy does."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from drawing import arrays
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_fc.compiler.javascript import ELEMENTWISE

RUNTIME = files("tinygrad_fc.compiler").joinpath("runtime.js").read_text(encoding="utf-8")
in_browser = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
matrices = hnp.array_shapes(min_dims=2, max_dims=2, max_side=4).flatmap(arrays)
LOGICAL = ("bitwise_and", "bitwise_or")


@pytest.fixture(scope="module")
def runtime(chromium: Any) -> Any:
    """Call a function of the runtime with arrays; return an array."""
    page = chromium.new_page()
    page.add_script_tag(content=RUNTIME)

    def call(name: str, *args: Any) -> Any:
        result = page.evaluate(
            "([name, args]) => { const out = R[name](...args);"
            " return [out.shape, Array.from(out.data, String)]; }",
            [name, [sent(a) for a in args]],
        )
        numbers = [float(x.replace("Infinity", "inf")) for x in result[1]]
        return np.array(numbers).reshape(result[0])

    yield call
    page.close()


def sent(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}
    return [sent(part) for part in x] if isinstance(x, tuple | list) else x


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
@in_browser
@given(st.data())
def test_ufuncs_broadcast_as_numpy_s(runtime: Any, name: str, data: st.DataObject):
    ufunc = getattr(np, name)
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=ufunc.nin, max_side=3))
    xs = [data.draw(arrays(shape)) for shape in shapes.input_shapes]
    integers = [x.astype(int) for x in xs] if name in LOGICAL else xs
    with np.errstate(all="ignore"):
        expected = np.asarray(ufunc(*integers), float)
    np.testing.assert_allclose(runtime(name, *integers), expected, rtol=1e-14, atol=1e-300)


@in_browser
@given(matrices, st.sampled_from([None, 0, 1, -1]), st.booleans())
def test_reductions(runtime: Any, x: Any, axis: int | None, keepdims: bool):
    options = {"axis": axis, "keepdims": keepdims}
    for name in ("sum", "max", "min", "prod"):
        expected = getattr(np, name)(x, **options)
        np.testing.assert_allclose(runtime(name, x, options), expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(runtime("argmax", x, {"axis": axis}), np.argmax(x, axis=axis))


@in_browser
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_products_and_views(runtime: Any, n: int, k: int, m: int, seed: int):
    rng = np.random.default_rng(seed)
    a, b, u, w = rng.random((n, k)), rng.random((k, m)), rng.random(k), rng.random(k)
    for x, y in ((a, b), (a, u), (u, b), (u, w)):
        np.testing.assert_allclose(runtime("dot", x, y), x @ y, rtol=1e-13)
    np.testing.assert_allclose(runtime("vdot", a, a), np.vdot(a, a), rtol=1e-13)
    np.testing.assert_array_equal(runtime("transpose", a), a.T)
    cube = rng.random((n, k, m))
    np.testing.assert_array_equal(runtime("transpose", cube, [1, 2, 0]), cube.transpose(1, 2, 0))
    np.testing.assert_array_equal(runtime("reshape", cube, [-1, m]), cube.reshape(-1, m))
    np.testing.assert_array_equal(runtime("broadcast", u, [n, k]), np.broadcast_to(u, (n, k)))
    np.testing.assert_array_equal(runtime("where", a > 0.5, a, 0), np.where(a > 0.5, a, 0))
    np.testing.assert_array_equal(runtime("clip", a, 0.2, 0.7), a.clip(0.2, 0.7))
    np.testing.assert_array_equal(runtime("float32", a), a.astype(np.float32))


@in_browser
@given(matrices, st.data())
def test_indexing(runtime: Any, x: Any, data: st.DataObject):
    n, m = x.shape
    rows = np.arange(n)
    columns = np.array(data.draw(st.lists(st.integers(-m, m - 1), min_size=n, max_size=n)))
    full = {"slice": [None, None, None]}
    start, stop = data.draw(st.integers(-m, m)), data.draw(st.integers(-m, m))
    by = data.draw(st.sampled_from([1, 2, -1]))
    for theirs, ours in (
        ((rows, columns), [rows, columns]),
        ((..., None), ["...", None]),
        ((slice(None), None), [full, None]),
        ((slice(None), -1), [full, -1]),
        ((0,), [0]),
        ((slice(None), slice(start, stop, by)), [full, {"slice": [start, stop, by]}]),
        ((columns % n,), [columns % n]),
    ):
        expected = x[theirs]
        np.testing.assert_array_equal(runtime("getitem", x, ours), expected)
        changed, added = x.copy(), x.copy()
        changed[theirs] = 7.0
        np.add.at(added, theirs, 2.0)
        np.testing.assert_array_equal(runtime("put", x, ours, 7.0), changed)
        np.testing.assert_allclose(runtime("addAt", x, ours, 2.0), added)
