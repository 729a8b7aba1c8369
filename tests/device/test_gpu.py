"""The laws of ops and training on a GPU, where there is one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from device.strict_array import cupy
from device.test_device import LAYERS, LOSSES, OPTIMIZERS, trained
from device.test_strict_array import OPS, compare
from tinygrad_fc.op import Op

if cupy is None or not cupy.cuda.is_available():
    pytest.skip("CuPy finds no GPU", allow_module_level=True)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@settings(max_examples=10)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_ops_compute_on_the_gpu_what_they_compute_on_the_cpu(
    op: Op, data: st.DataObject, seed: int
) -> None:
    compare(op, data, seed, cupy.asarray, rtol=1e-6)


@settings(max_examples=10)
@given(
    st.sampled_from(sorted(LAYERS)),
    st.sampled_from(sorted(LOSSES)),
    st.sampled_from(sorted(OPTIMIZERS)),
    st.integers(0, 2**16),
)
def test_training_on_the_gpu_is_training_on_the_cpu(
    layer: str, loss: str, optimizer: str, seed: int
) -> None:
    here = trained(layer, loss, optimizer, seed, "cpu")
    there = trained(layer, loss, optimizer, seed, "cuda")
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9)


def test_the_gpu_is_counted_and_named() -> None:
    assert tg.cuda.is_available()
    assert tg.cuda.device_count() >= 1
    assert tg.ones(2).cuda().device == tg.device("cuda", 0)
