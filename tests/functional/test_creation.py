"""Functions that create tensors, compared with NumPy; 0-d and empty tensors included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import FLOATS, same
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg

sizes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


@given(sizes, st.sampled_from([None, *FLOATS, np.int64, np.bool_]), st.booleans())
def test_constructors_by_shape(shape: Any, dtype: Any, requires_grad: bool):
    dtype_made = np.dtype(dtype or np.float64)
    flag = requires_grad and dtype_made.kind == "f"
    for make, value in ((tg.zeros, 0), (tg.ones, 1), (tg.empty, 0)):
        for made in (
            make(*shape, dtype=dtype, requires_grad=flag),
            make(shape, dtype=dtype, requires_grad=flag),
            make(list(shape), dtype=dtype, device="cpu", requires_grad=flag),
            make(size=shape, dtype=dtype, requires_grad=flag),
        ):
            same(made, np.full(shape, value, dtype_made))
            assert made.requires_grad is flag
            assert made.is_leaf
    with pytest.raises(TypeError, match=r"got the sizes \(5,\) and size=.*pass one of them"):
        tg.zeros(5, size=shape)
    same(tg.full(shape, 2, dtype=dtype_made), np.full(shape, 2, dtype_made))
    same(tg.full(size=shape, fill_value=0.5), np.full(shape, 0.5))
    same(tg.full(shape, fill_value=True), np.ones(shape, bool))
    same(tg.full(shape, 3), np.full(shape, 3))
    like = tg.ones(shape, dtype=dtype_made)
    same(tg.zeros_like(like), np.zeros(shape, dtype_made))
    same(tg.ones_like(like, dtype=tg.float32), np.ones(shape, np.float32))
    same(tg.empty_like(like), np.zeros(shape, dtype_made))
    same(tg.full_like(like, 1), np.full(shape, 1, dtype_made))
