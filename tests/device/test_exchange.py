"""Memory shared with other libraries by DLPack."""

import numpy as np
import pytest
from hypothesis import given

import tinygrad_fc as tg
from tinygrad_fc.testing import inputs, real


@given(inputs(real))
def test_memory_is_shared_both_ways(drawn: tuple[np.ndarray]) -> None:
    (a,) = drawn
    x = tg.from_dlpack(a)
    assert np.shares_memory(x.numpy(), a) or not a.size
    b = np.from_dlpack(tg.tensor(a))
    assert np.array_equal(a, b)
    assert a.dtype == x.dtype == b.dtype


def test_memory_that_cannot_be_shared_raises() -> None:
    with pytest.raises(BufferError, match=r"x\.detach\(\)"):
        np.from_dlpack(tg.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match=r"negative strides.*x\.contiguous\(\)"):
        np.from_dlpack(tg.as_tensor(np.arange(4.0)[::-1]))
    with pytest.raises(tg.errors.DtypeError, match=r"'list' .*has no attribute '__dlpack__'"):
        tg.from_dlpack([1.0])


def test_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="shares memory with PyTorch")
    t = torch.ones(3)
    x = tg.from_dlpack(t)
    x.add_(1)
    assert t.tolist() == [2.0, 2.0, 2.0]
    assert torch.from_dlpack(tg.ones(2)).tolist() == [1.0, 1.0]
    with pytest.raises((BufferError, RuntimeError)):
        tg.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
