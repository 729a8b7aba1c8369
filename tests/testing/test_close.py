"""`assert_close` agrees with PyTorch's about what is close."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg

torch = pytest.importorskip("torch")
DTYPES = ("float64", "float32", "float16", "int64", "bool")


def is_close(t: Any, a: Any, b: Any, kinds: Any, *, nested: bool, **settings: Any) -> bool:
    x, y = (t.tensor(v, dtype=getattr(t, kind)) for v, kind in zip((a, b), kinds, strict=True))
    pair = ({"k": [x, 1]}, {"k": [y, 1]}) if nested else (x, y)
    try:
        t.testing.assert_close(*pair, **settings)
    except AssertionError:
        return False
    return True


@given(
    st.lists(st.sampled_from([0.0, 1.0, -3.0, np.inf, np.nan]), min_size=1, max_size=3),
    st.sampled_from([0, 1e-9, 2e-7, 1e-5, 2e-3]),
    st.tuples(st.sampled_from(DTYPES), st.sampled_from(DTYPES)),
    st.fixed_dictionaries({"check_dtype": st.booleans(), "equal_nan": st.booleans()}),
    st.booleans(),
)
@settings(max_examples=200)
def test_what_is_close(a: Any, step: float, kinds: Any, options: Any, nested: bool):
    if not all(np.isfinite(a)) and not all("float" in kind for kind in kinds):
        a = [1.0] * len(a)
    b = [x * (1 + step) for x in a]
    ours, theirs = (is_close(t, a, b, kinds, nested=nested, **options) for t in (tg, torch))
    assert ours == theirs


def test_messages():
    for actual, expected, options, message in (
        (tg.ones(2), tg.ones(3), {}, r"the shape is \(2,\), expected \(3,\)"),
        (tg.ones(2), tg.ones(2, dtype=tg.int64), {}, "the dtype is float64, expected int64"),
        ([tg.ones(2)], [tg.ones(2), tg.ones(2)], {}, "the structure is"),
        (1.0, 2.0, {"msg": lambda text: f"mine: {text}"}, r"^mine: 1 of 1 elements"),
    ):
        with pytest.raises(AssertionError, match=message):
            tg.testing.assert_close(actual, expected, **options)
    tg.testing.assert_close(1.0, 1.5, rtol=0, atol=1)
