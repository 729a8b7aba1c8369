"""Moves between devices, and training on a GPU that is simulated by `StrictArray`."""

import doctest
import inspect
import pickle
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from optimizers import LBFGS, options
from optimizers import OPTIMIZERS as STEPWISE

import tinygrad_fc as tg
from device.strict_array import Device, StrictArray, cupy, host
from tinygrad_fc import nn, optim
from tinygrad_fc.core.errors import DtypeError
from tinygrad_fc.functional import creation
from tinygrad_fc.functional.arguments import created
from tinygrad_fc.testing import inputs, real


@pytest.fixture(scope="module", autouse=True)
def _strict_gpu() -> Iterator[None]:
    """Simulate a GPU: CuPy's arrays are strict arrays."""
    fake = SimpleNamespace(
        asarray=lambda array: StrictArray(host(array)),
        cuda=SimpleNamespace(
            is_available=lambda: True,
            Device=Device,
            runtime=SimpleNamespace(getDeviceCount=lambda: 1),
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", fake)
        yield


@given(inputs(real))
def test_a_move_between_devices_is_recorded(drawn: Any) -> None:
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
        (actual,) = tg.autograd.grad(y * y, x, gradient, retain_graph=True)
        assert actual.device == tg.device("cpu")
        np.testing.assert_allclose(actual.numpy(), 2 * a * g)
    (first,) = tg.autograd.grad((y * y * y).sum(), x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(second.numpy(), 6 * a)


def test_numpy_views_and_mixed_devices_raise_errors_that_name_the_device() -> None:
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


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(4, 3),
    "sigmoid": lambda: nn.Sequential(nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 3)),
    "batch norm": lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3), nn.ReLU()),
    "layer norm": lambda: nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.GELU()),
    "dropout": lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Tanh()),
    "embedding": lambda: nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(12, 3)),
}
LOSSES: dict[str, Callable[[], nn.Module]] = {
    "mse": nn.MSELoss,
    "cross entropy": nn.CrossEntropyLoss,
    "smoothed": lambda: nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=1),
}


def trained(layer: str, loss: str, optimizer: Any, seed: int, device: str) -> list[Any]:
    """Return the losses and the parameters of three steps on `device`."""
    tg.manual_seed(seed)
    model = LAYERS[layer]().to(device)
    x = tg.randint(0, 7, (6, 4)) if layer == "embedding" else tg.randn(6, 4)
    target = tg.randn(6, 3) if loss == "mse" else tg.randint(0, 3, (6,))
    x, target = x.to(device), target.to(device)
    criterion = LOSSES[loss]()
    name, settings = optimizer
    steps = getattr(optim, name)(model.parameters(), **settings)

    def closure() -> Any:
        steps.zero_grad()
        value = criterion(model(x), target)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        return value

    values = [steps.step(closure).detach() for _ in range(3)]
    model.eval()
    tensors = [*values, *model.state_dict().values(), model(x).detach()]
    assert {t.device.type for t in tensors} == {device}
    return [t.cpu().numpy() for t in tensors]


OPTIMIZERS = {**STEPWISE, "LBFGS": options(**LBFGS)}
drawn_training = given(
    st.sampled_from(sorted(LAYERS)),
    st.sampled_from(sorted(LOSSES)),
    st.sampled_from([*OPTIMIZERS]).flatmap(lambda name: st.tuples(st.just(name), OPTIMIZERS[name])),
    st.integers(0, 2**16),
)


def assert_trained_alike(layer: str, loss: str, optimizer: Any, seed: int) -> None:
    """Compare a training on the CPU and on a GPU."""
    on_cpu = trained(layer, loss, optimizer, seed, "cpu")
    on_gpu = trained(layer, loss, optimizer, seed, "cuda")
    for a, b in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9)


@drawn_training
@example(
    "batch norm", "smoothed", ("AdamW", {"lr": 0.01, "amsgrad": True}), 63
)  # all gradients are 0
def test_training_on_a_gpu_equals_training_on_the_cpu(
    layer: str, loss: str, optimizer: Any, seed: int
) -> None:
    assert_trained_alike(layer, loss, optimizer, seed)


PATHS = "Tensor nn nn.functional nn.init nn.utils optim linalg func autograd autograd.functional"
PLACES = {path: resolve_name(f"tinygrad_fc:{path}") for path in f"{PATHS} distributions".split()}
PLACES["tg"] = tg
EXAMPLES = {
    f"{place}.{name}": inspect.getattr_static(module, name, None) or getattr(module, name)
    for place, module in PLACES.items()
    for name in getattr(module, "__all__", None) or dir(module)
    if name[0] != "_"
    and name not in {"parallel", "sklearn"}  # modules that need another package
    and ">>>" in (getattr(getattr(module, name), "__doc__", None) or "")
    and not inspect.ismodule(getattr(module, name))
    and getattr(module, name).__module__.startswith("tinygrad_fc")  # not NumPy's `finfo`
}


class _OnTheGpu(doctest.OutputChecker):
    """Compares printed tensors without their device."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        got = got.replace(", device='cuda:0'", "")
        return super().check_output(want, got, optionflags | doctest.ELLIPSIS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_each_public_name_runs_on_a_gpu(name: str, monkeypatch: pytest.MonkeyPatch):
    """Created tensors are placed on the GPU; what is documented to be for the CPU says so."""

    def placed(array: Any, options: Any) -> Any:
        return created(array, {**options, "device": options.get("device") or "cuda"})

    for module in (creation, tg.random):
        monkeypatch.setattr(module, "created", placed)
    documented = EXAMPLES[name]
    names = dict(vars(sys.modules[documented.__module__]))
    example = doctest.DocTestParser().get_doctest(documented.__doc__, names, name, None, 0)
    report = StringIO()
    doctest.DocTestRunner(checker=_OnTheGpu(), verbose=False).run(example, out=report.write)
    if name in FOR_THE_CPU:
        assert FOR_THE_CPU[name] in report.getvalue()
    else:
        assert not report.getvalue()


FOR_THE_CPU = {
    "tg.compile": "compile is for the CPU",
    "Tensor.numpy": "numpy() got a tensor on",
    "Tensor.data_ptr": "__array_interface__",
    "Tensor.storage_offset": "__array_interface__",
    "autograd.gradcheck": "gradcheck is for the CPU",
    "autograd.gradgradcheck": "gradcheck is for the CPU",
}


def test_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake follows CuPy's documentation, since several GPUs are not at hand."""
    first, second = (tg.ones(2, 3, requires_grad=True, device=f"cuda:{k}") for k in range(2))
    assert [str(t.device) for t in (first, second)] == ["cuda:0", "cuda:1"]
    monkeypatch.setattr(StrictArray, "get", lambda _: pytest.fail("moved to the host"))
    moved = first.to("cuda:1")
    with tg.cuda.device("cuda:1"):
        assert tg.cuda.current_device() == 1
        assert str((moved * second).device) == "cuda:1"
        (moved * second).sum().backward()
    assert tg.cuda.current_device() == 0
    gradients = [tg.as_tensor(t.grad) for t in (first, second)]
    assert [str(g.device) for g in gradients] == ["cuda:0", "cuda:1"]
    tg.cuda.set_device(1)
    assert str((second + 1).device) == "cuda:1"
    tg.cuda.set_device(0)


def test_what_cupy_lacks_is_computed_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy adds no int64 at indices, has no `multiply.at`, and not all of `linalg`."""
    call_function = StrictArray.__array_function__

    def without_linalg(a: Any, function: Any, *args: Any) -> Any:
        lacks = function.__module__ == "numpy.linalg"
        return NotImplemented if lacks else call_function(a, function, *args)

    monkeypatch.setattr(StrictArray, "__array_function__", without_linalg)
    x, at = tg.arange(6).reshape(2, 3), tg.tensor([[0, 0, 1]])
    for call in (
        lambda x, at: x.scatter_add(0, at, at + 1),
        lambda x, at: x.scatter(0, at, at + 2, reduce="multiply"),
        lambda x, at: x.double().scatter(0, at, at.double(), reduce="multiply"),
        lambda x, at: x.index_add(1, at[0], x),
        lambda x, at: tg.linalg.inv(x[:, 1:].double()),
    ):
        found = call(x.cuda(), at.cuda())
        assert found.device == tg.device("cuda", 0)
        np.testing.assert_array_equal(found.cpu().numpy(), call(x, at).numpy())


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
def test_cuda_without_a_gpu_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert cupy is not None
    if cupy.cuda.is_available():
        pytest.skip("there is a GPU")
    model = nn.Linear(1, 1)
    _no_gpu(lambda: tg.ones(2).to("cuda"), "CuPy finds no GPU")
    _no_gpu(model.cuda, "CuPy finds no GPU")
    assert model.weight.device.type == "cpu"


def test_cuda_without_cupy_raises_an_error_that_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    _no_gpu(tg.ones(2).cuda, r"pip install 'tinygrad-fc\[cuda\]'")
    assert not tg.cuda.is_available()
    assert tg.cuda.device_count() == 0
    assert not tg.accelerator.is_available()
    assert tg.accelerator.current_accelerator() is None


def _no_gpu(call: Callable[[], Any], match: str) -> None:
    with pytest.raises(RuntimeError, match=match) as caught:
        call()
    assert "there is no device 'cuda'" in str(caught.value)
    assert "cuda.is_available()" in str(caught.value)
