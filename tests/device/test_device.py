"""Moves between devices; training on a GPU, for which an array type as strict as CuPy's stands."""

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import tinygrad_fc as tg
from device.strict_array import StrictArray, cupy
from tinygrad_fc import nn
from tinygrad_fc.errors import DtypeError
from tinygrad_fc.testing import inputs, real


@pytest.fixture(scope="module", autouse=True)
def _strict_gpu() -> Iterator[None]:
    """CUDA is there, and its arrays are strict ones."""
    fake = SimpleNamespace(
        asarray=StrictArray,
        cuda=SimpleNamespace(
            is_available=lambda: True,
            Device=nullcontext,
            runtime=SimpleNamespace(getDeviceCount=lambda: 1),
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", fake)
        yield


@given(inputs(real))
def test_a_move_is_part_of_the_graph(drawn: Any) -> None:
    (a,) = drawn
    x = tg.tensor(a, requires_grad=True)
    y = x.to("cuda")
    assert y.device == tg.device("cuda", 0)
    assert isinstance(y._array, StrictArray)
    assert y.cuda() is y.to("cuda:0") is y.to(y) is y
    assert y.cpu().device == x.device == tg.device("cpu")
    assert np.array_equal(y.cpu().detach().numpy(), a)
    g = np.linspace(-1, 1, a.size).reshape(a.shape)
    for gradient in (tg.tensor(g).to("cuda"), tg.tensor(g).cuda().cpu().cuda()):
        (found,) = tg.autograd.grad(y * y, x, gradient, retain_graph=True)
        assert found.device == tg.device("cpu")
        np.testing.assert_allclose(found.numpy(), 2 * a * g)
    (first,) = tg.autograd.grad((y * y * y).sum(), x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(second.numpy(), 6 * a)


def test_a_dtype_and_a_device_are_told_apart() -> None:
    x = tg.ones(2).to("cuda", tg.float32)
    assert (x.dtype, x.device.type) == (tg.float32, "cuda")
    assert tg.zeros(3).to(x).dtype == tg.float32
    assert tg.zeros(3).to(x).device == x.device
    assert x.double().device == x.device
    assert "device='cuda:0'" in repr(x)
    assert repr(x.sum()) == "tensor(2., dtype=float32, device='cuda:0')"


def test_views_for_numpy_and_mixed_devices_are_refused_by_name() -> None:
    x = tg.ones(2).cuda()
    for call in (x.numpy, lambda: np.asarray(x)):
        with pytest.raises(TypeError, match=r"x\.cpu\(\)\.numpy\(\)"):
            call()
    with pytest.raises(DtypeError, match=r"add cannot take .* cuda:0 and cpu.*x\.to\(y\.device\)"):
        x + tg.ones(2)
    with pytest.raises(RuntimeError, match=r"created on the CPU.*to\('cuda'\)"):
        tg.Generator("cuda")


def test_tensors_are_created_on_a_device() -> None:
    for create in (tg.zeros, tg.rand, lambda n, device: tg.tensor([1.0] * n, device=device)):
        x = create(2, device="cuda")
        assert isinstance(x._array, StrictArray)
        for like in (tg.zeros_like(x), tg.randn_like(x), tg.full_like(x, 2.0)):
            assert like.device == x.device
    assert nn.Linear(2, 2, device="cuda").weight.device == x.device
    assert tg.as_tensor(tg.ones(2), device="cuda:0").device == x.device


def test_a_model_moves_in_place_with_its_gradients_and_buffers() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    parameters = list(model.parameters())
    model(tg.ones(3, 2)).sum().backward()
    assert model.cuda().float() is model
    assert all(p is q for p, q in zip(parameters, model.parameters(), strict=True))
    for t in (*parameters, *(p.grad for p in parameters), *model.buffers()):
        assert t is not None
        assert t.device.type == "cuda"
    assert model[0].weight.dtype == tg.float32
    copy = pickle.loads(pickle.dumps(model.cpu()))
    assert copy[0].weight.device.type == "cpu"


@pytest.mark.skipif(cupy is None, reason="CuPy is not installed")
def test_without_a_gpu_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert cupy is not None
    if cupy.cuda.is_available():
        pytest.skip("a GPU is there")
    model = nn.Linear(1, 1)
    _no_gpu(lambda: tg.ones(2).to("cuda"), "CuPy finds no GPU")
    _no_gpu(model.cuda, "CuPy finds no GPU")
    assert model.weight.device.type == "cpu"


def test_without_cupy_cuda_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    _no_gpu(tg.ones(2).cuda, r"pip install 'tinygrad-fc\[cuda\]'")
    assert not tg.cuda.is_available()
    assert tg.cuda.device_count() == 0


def _no_gpu(call: Callable[[], Any], match: str) -> None:
    with pytest.raises(RuntimeError, match=match) as caught:
        call()
    assert "there is no device 'cuda'" in str(caught.value)
    assert "cuda.is_available()" in str(caught.value)
