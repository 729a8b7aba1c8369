"""The laws of ops, and training, on a GPU; skipped without one."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from device.strict_array import cupy
from device.test_device import assert_trained_alike, drawn_training
from device.test_strict_array import OPS, compare
from tinygrad_fc.core.op import Op

if cupy is None or not cupy.cuda.is_available():
    pytest.skip("CuPy finds no GPU", allow_module_level=True)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@settings(max_examples=10)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_ops_on_the_gpu_equal_ops_on_the_cpu(op: Op, data: st.DataObject, seed: int) -> None:
    compare(op, data, seed, cupy.asarray, rtol=1e-6)


@settings(max_examples=10)
@drawn_training
def test_training_on_the_gpu_equals_training_on_the_cpu(
    layer: str, loss: str, optimizer: Any, seed: int
) -> None:
    assert_trained_alike(layer, loss, optimizer, seed)


def test_device_count_and_name() -> None:
    assert tg.cuda.is_available()
    assert tg.cuda.device_count() >= 1
    assert tg.ones(2).cuda().device == tg.device("cuda", 0)
