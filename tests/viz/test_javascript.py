"""The runtime in JavaScript computes what NumPy does."""

from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from drawing import arrays
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_fc.compiler.instructions import TABLE
from tinygrad_fc.compiler.javascript import generator_state
from tinygrad_fc.ops.special import erf, ndtr
from viz.networks import seeds

RUNTIME = files("tinygrad_fc.compiler").joinpath("runtime.js").read_text(encoding="utf-8")
in_browser = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
matrices = hnp.array_shapes(min_dims=2, max_dims=2, max_side=4).flatmap(arrays)
UFUNCS = {e.js: f for f, e in TABLE.items() if isinstance(f, np.ufunc) and e.js}
LOGICAL = ("bitwise_and", "bitwise_or")
DTYPES = ("float32", "int64", "bool", "float64")


@pytest.fixture(scope="module")
def page(chromium: Any) -> Any:
    """A page with the runtime."""
    page = chromium.new_page()
    page.add_script_tag(content=RUNTIME)
    yield page
    page.close()


@pytest.fixture(scope="module")
def runtime(page: Any) -> Any:
    """Call a function of the runtime with arrays; return an array."""
    script = """([name, args]) => {
      const out = R[name](...args);
      return [out.shape, Array.from(out.data, String)];
    }"""

    def call(name: str, *args: Any) -> Any:
        shape, numbers = page.evaluate(script, [name, [*map(sent, args)]])
        return np.array([float(x.replace("Infinity", "inf")) for x in numbers]).reshape(shape)

    return call


def sent(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return {"shape": list(x.shape), "data": [float(v) for v in x.ravel()]}
    return [sent(part) for part in x] if isinstance(x, tuple | list) else x


def test_every_name_of_the_table_is_in_the_runtime(page: Any):
    assert {e.js for e in TABLE.values()} - {""} <= set(page.evaluate("Object.keys(R)"))


@pytest.mark.parametrize("name", sorted(UFUNCS.keys() - {"dot", "vdot"}))
@in_browser
@given(st.data())
def test_ufuncs_broadcast_as_numpy_s(runtime: Any, name: str, data: st.DataObject):
    ufunc = UFUNCS[name]
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=ufunc.nin, max_side=3))
    xs = [data.draw(arrays(shape)) for shape in shapes.input_shapes]
    integers = [x.astype(int) for x in xs] if name in LOGICAL else xs
    with np.errstate(all="ignore"):
        expected = np.asarray(ufunc(*integers), float)
    np.testing.assert_allclose(runtime(name, *integers), expected, rtol=1e-14, atol=1e-300)


@in_browser
@given(matrices, st.sampled_from([None, 0, 1, -1]), st.booleans(), seeds)
def test_reductions_scans_joins_and_products(
    runtime: Any, x: Any, axis: int | None, keepdims: bool, seed: int
):
    rng, (n, k) = np.random.default_rng(seed), x.shape
    a, b, u, w = rng.normal(size=(n, k)), rng.random((k, 3)), rng.random(k), rng.random(k)
    cube, pair, along = rng.random((n, k, 3)), [x, x + 1], {"axis": axis}
    reduced = along | {"keepdims": keepdims}
    with np.errstate(all="ignore"):
        rows = [
            *((name, [x], reduced, getattr(np, name)) for name in ("sum", "max", "min", "prod")),
            *((name, [x], along, getattr(np, name)) for name in ("argmax", "cumsum")),
            ("argsort", [x], along, partial(np.argsort, kind="stable")),
            *((f.__name__, [pair], {"axis": axis or 0}, f) for f in (np.concatenate, np.stack)),
            *(("dot", xs, {}, np.dot) for xs in ([a, b], [a, u], [u, b], [u, w])),
            *(("cast", [a, dtype], {}, np.ndarray.astype) for dtype in DTYPES),
            *(("vdot", [a, a], {}, np.vdot), ("transpose", [a], {}, np.transpose)),
            *(("reshape", [cube, [-1, 3]], {}, np.reshape), ("float32", [a], {}, np.float32)),
            *(("transpose", [cube, [1, 2, 0]], {}, np.transpose),),
            *(("broadcast", [u, [n, k]], {}, np.broadcast_to), ("where", [a, u, 0], {}, np.where)),
        ]
        for name, arguments, options, function in rows:
            expected = function(*arguments, **options)
            sent = [*arguments, options] if options else arguments
            np.testing.assert_allclose(runtime(name, *sent), expected, 1e-12, 1e-13, err_msg=name)


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


@pytest.mark.parametrize("op", [erf, ndtr], ids=str)
def test_error_functions(runtime: Any, op: Any):
    x = np.concatenate([np.linspace(-30, 30, 601), np.logspace(-12, 0, 40)])
    np.testing.assert_allclose(runtime(op.name, x), op(x), rtol=2e-13, atol=1e-300)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_draws_are_those_of_numpy(page: Any, dtype: Any):
    rng = np.random.default_rng(7)
    rng.random(3, np.float32)  # half of a state is left over
    calls = ("[2, 3], dtype", "{size: 2, dtype}")
    texts = ", ".join(f"R.rngCall(rng, 'random', {call}).data" for call in calls)
    state = [generator_state(rng), dtype]
    drawn = page.evaluate(f"([rng, dtype]) => [{texts}].map((x) => [...x])", state)
    np.testing.assert_array_equal(drawn[0], rng.random((2, 3), dtype).ravel())
    np.testing.assert_array_equal(drawn[1], rng.random(2, dtype))
