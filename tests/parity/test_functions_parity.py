"""Functions and methods against PyTorch's: each line of the tables."""

from __future__ import annotations

import re
from typing import Any

import core_table  # noqa: F401  each adds its lines
import extended_table  # noqa: F401
import numpy as np
import pytest
from against_torch import LINES, compare, compare_aliases, compare_integers
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = [
    pytest.mark.usefixtures("default_float64"),
    pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8"),  # a mask, in both
]


@pytest.mark.parametrize("name", sorted(LINES))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_values_gradients_and_their_gradients(name: str, dtype: Any, data: Any, seed: int):
    compare(LINES[name], data, seed, dtype)


@pytest.mark.parametrize("name", sorted(LINES.keys() - {"einsum ii->i"}))  # ours is a copy
@given(st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_views_and_copies(name: str, data: Any, seed: int):
    compare_aliases(LINES[name], data, seed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [n for n in sorted(LINES) if not re.search("addmm|gamma", n)])
@given(st.data(), st.integers(0, 2**32 - 1), st.sampled_from([np.int64, np.bool_]))
@settings(max_examples=6)
def test_integers(name: str, data: Any, seed: int, dtype: Any):
    with np.errstate(all="ignore"):
        compare_integers(LINES[name], data, seed, dtype)
