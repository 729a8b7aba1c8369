"""Activations, losses and layers, as functions and as modules, side by side with PyTorch's."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from against_torch import SINCE_2_14
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layers_table import TABLE, Array, Fixed, Line, as_array

import tinygrad_fc as tg
from tinygrad_fc.nn import unsupported
from tinygrad_fc.ops import elementwise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

torch = pytest.importorskip("torch")
F = tg.nn.functional

few = settings(
    max_examples=settings.default.max_examples // 20, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def _alike() -> Iterator[None]:
    """Both compute in float64, and let infinities pass, of which PyTorch says nothing."""
    torch.set_default_dtype(torch.float64)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_default_dtype(torch.float32)


# Both sides


@dataclass
class Side:
    """What one of the libraries makes of inputs: a result, and all gradients."""

    library: Any
    inputs: list[Any]
    dtype: Any = np.float64

    def tensor(self, value: Any, *, needs: bool = True) -> Any:
        value = as_array(value)
        if not isinstance(value, np.ndarray):
            return value
        value = value.astype(self.dtype) if value.dtype.kind == "f" else value.copy()
        made = self.library.tensor(value)
        return made.requires_grad_() if needs and value.dtype.kind == "f" else made

    def __post_init__(self) -> None:
        fixed = [v for v in self.inputs if isinstance(v, Fixed)]
        self.named = {v.name: self.tensor(v.array, needs=False) for v in fixed if v.name}
        self.args = [
            self.tensor(v.array, needs=False) if isinstance(v, Fixed) else self.tensor(v)
            for v in self.inputs
            if not (isinstance(v, Fixed) and v.name)
        ]
        self.needing = [t for t in self.args if t.requires_grad]

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        return {k: self.tensor(v, needs=False) for k, v in given.items()}

    def results(self, call: Any, parameters: Sequence[Any], order: int) -> list[Any]:
        """Return the result, and the gradients up to `order`, under random cotangents."""
        out = call(*self.args, **self.named)
        found, layer = [out], [out]
        needing = [*self.needing, *parameters]
        for k in range(order):
            layer = [t for t in layer if t.requires_grad]
            if not layer or not needing:
                break
            seeds = [self.tensor(cotangent(t.shape, k), needs=True) for t in layer]
            layer = self.library.autograd.grad(
                layer, needing, seeds, create_graph=k + 1 < order, materialize_grads=True
            )
            found += layer
            needing = needing + seeds
        return [value(t) for t in found]


def value(t: Any) -> Array:
    return np.asarray(t.detach().numpy(**({"force": True} if isinstance(t, torch.Tensor) else {})))


def cotangent(shape: Sequence[int], salt: int) -> Array:
    return np.random.default_rng([salt, *shape]).uniform(-2, 2, tuple(shape))


def assert_close(ours: Sequence[Any], theirs: Sequence[Any], tolerance: float = 1e-11) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        scale = np.abs(np.where(np.isfinite(b), b, 0)).max(initial=1)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def drawn(
    data: st.DataObject, line: Line, *, kinks: bool = True
) -> tuple[list[Any], dict[str, Any]]:
    kinks = kinks and (SINCE_2_14 or "margin" not in line.settings)
    choices = {k: data.draw(st.sampled_from(v), label=k) for k, v in line.settings.items()}
    return data.draw(line.inputs(kinks), label="inputs"), choices


functions = pytest.mark.parametrize("line", [t for t in TABLE if t.function], ids=str)
modules = pytest.mark.parametrize("line", [t for t in TABLE if t.module], ids=str)


def called(side: Side, line: Line, given: dict[str, Any], order: int) -> list[Any]:
    function = getattr(side.library.nn.functional, str(line.function))
    return side.results(lambda *a, **k: function(*a, **k, **side.settings(given)), (), order)


@functions
@pytest.mark.parametrize(
    ("order", "dtype", "tolerance"),
    [(1, np.float64, 0), (2, np.float64, 1e-9), (1, np.float32, 1e-4)],
)
@few
@given(data=st.data())
def test_function(line: Line, order: int, dtype: Any, tolerance: float, data: st.DataObject):
    if order == 2 and not line.second:
        return
    # At a kink the second derivative is anybody's choice.
    inputs, given = drawn(data, line, kinks=order == 1)
    ours, theirs = (called(Side(lib, inputs, dtype), line, given, order) for lib in (tg, torch))
    if order == 2:  # the mean of no elements is NaN, of which no derivative is compared
        ours = [np.where(np.isnan(b), b, a) for a, b in zip(ours, theirs, strict=True)]
    assert_close(ours, theirs, max(tolerance, line.tolerance))


@modules
@few
@given(data=st.data())
def test_module(line: Line, data: st.DataObject):
    inputs, given = drawn(data, line)
    sides = [Side(lib, inputs) for lib in (tg, torch)]
    ours, theirs = (
        getattr(side.library.nn, str(line.module))(**side.settings(given)) for side in sides
    )
    assert repr(ours) == repr(theirs)
    start = {k: v.detach().numpy().copy() for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in start.items()
    }
    ours.load_state_dict(start)
    mode = data.draw(st.sampled_from(line.modes))
    found = []
    for side, module in zip(sides, (ours, theirs), strict=True):
        module.train(mode)
        found.append(side.results(module, list(module.parameters()), 1))
        state = module.state_dict()
        found[-1] += [value(v) for v in state.values()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert_close(*found, line.tolerance)


@pytest.mark.parametrize("count", [-1, 3, 5])
@pytest.mark.parametrize("indices", [[0, 2, 1], [[0, 1], [2, 2]], 2])
def test_one_hot(indices: Any, count: int):
    ours, theirs = (lib.nn.functional.one_hot(lib.tensor(indices), count) for lib in (tg, torch))
    assert_close([ours.numpy()], [theirs.numpy()], 0)


# tests/nn refuses the rest, with texts.
REFUSED = {
    "smoothing": lambda t, F: F.cross_entropy(t.zeros(2, 3), t.tensor([0, 1]), label_smoothing=1.5),
    "ignored": lambda t, F: F.cross_entropy(t.zeros(2, 3), t.zeros(2, 3), ignore_index=1),
    "delta": lambda t, F: F.huber_loss(t.zeros(2), t.zeros(2), delta=-1.0),
    "beta": lambda t, F: F.smooth_l1_loss(t.zeros(2), t.zeros(2), beta=-1.0),
    "p": lambda t, F: F.multi_margin_loss(t.zeros(2, 3), t.tensor([0, 1]), p=3),
    "margin": lambda t, F: F.triplet_margin_loss(*[t.zeros(2, 3)] * 3, margin=0),
    "cosine": lambda t, F: F.cosine_embedding_loss(*[t.zeros(2, 3)] * 2, t.ones(2, 1)),
    "alpha": lambda t, F: F.celu(t.zeros(3), 0),
    "no running mean": lambda t, F: F.batch_norm(t.zeros(2, 3), None, None),
    "RMS shape": lambda t, F: t.nn.RMSNorm(3)(t.zeros(2, 4)),
    "sizes": lambda t, F: t.nn.Unflatten(1, (2, 2))(t.zeros(2, 6)),
    "no features": lambda t, F: t.nn.Bilinear(0, 3, 4),
    "negative class": lambda t, F: F.one_hot(t.tensor([-2])),
    "class of floats": lambda t, F: F.one_hot(t.zeros(2)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse(name: str):
    for lib in (torch, tg):
        with pytest.raises((ValueError, RuntimeError, TypeError, ArithmeticError)):
            REFUSED[name](lib, lib.nn.functional)


def test_table_has_every_name_of_pytorch():
    known = {n for line in TABLE for n in (line.function, line.module)} - {None}
    names = {n for n in dir(F) if callable(getattr(F, n)) and hasattr(torch.nn.functional, n)}
    names -= set(elementwise.__all__) - known
    by_module = {n for n in names if n.endswith("_norm")} | {"embedding", "bilinear", "linear"}
    assert names - known == by_module | {"one_hot", "pad", "dropout", "alpha_dropout"}
    kinds = {n: getattr(tg.nn, n) for n in dir(tg.nn) if isinstance(getattr(tg.nn, n), type)}
    layers = {n for n in kinds if issubclass(kinds[n], tg.nn.Module) and hasattr(torch.nn, n)}
    layers -= set(unsupported.LAYERS)
    holders = {"Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"}
    assert layers - known == holders | {"Identity", "Linear"}
    assert known <= set(dir(torch.nn)) | set(dir(torch.nn.functional))
