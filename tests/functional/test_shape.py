"""Differences of adjacent elements, and aliases of functions of shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from drawing import arrays, same
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.testing import check

filled = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


@given(st.data(), st.integers(0, 3))
def test_diff_equals_numpy(data: Any, n: int):
    a = data.draw(arrays(filled))
    dim = data.draw(st.integers(-a.ndim, a.ndim - 1))
    same(tg.diff(tg.tensor(a), n, dim), np.diff(a, n, dim))
    same(
        tg.tensor(a).diff(1, dim, prepend=tg.tensor(a), append=tg.tensor(a)),
        np.diff(a, 1, dim, prepend=a, append=a),
    )
    same(tg.diff(tg.tensor(a > 0), 1, dim), np.diff(a > 0, 1, dim))


def test_gradient_of_diff():
    check(lambda x: tg.diff(x, 2, 0), np.random.default_rng(0).normal(size=(3, 2)))


def test_aliases():
    assert tg.concat is tg.concatenate is tg.cat
    assert tg.clip is tg.clamp
    assert tg.ones(2, 3).shape.numel() == tg.ones(2, 3).size().numel() == 6
