"""Activations: gradients, kinks, accuracy, identities; modules of functions."""

import inspect
import math
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from drawing import T, cotangent
from hypothesis import given, settings
from hypothesis import strategies as st
from tinygrad_fc.errors import GraphError

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn.activation import Activation, FromFunction
from tinygrad_fc.ops.special import ndtr

F = nn.functional
few = settings(max_examples=settings.default.max_examples // 5)  # for tests of every layer

MODULES: dict[str, Any] = {
    name: kind
    for name, kind in vars(nn).items()
    if isinstance(kind, type) and issubclass(kind, FromFunction)
}
# Elementwise activations, and some with other settings
NOT_POINTWISE = {"GLU", "LogSoftmax", "Softmax", "Softmin", "Threshold"}
ACTIVATIONS = {
    name: kind
    for name, kind in MODULES.items()
    if issubclass(kind, Activation) and name not in NOT_POINTWISE
}
POINTWISE: dict[str, nn.Module] = {
    **{name: kind() for name, kind in ACTIVATIONS.items()},
    "GELU tanh": nn.GELU("tanh"),
    "Softplus, low": nn.Softplus(threshold=1),
    "ELU, half": nn.ELU(0.5),
    "CELU, twice": nn.CELU(2.0),
    "Threshold": nn.Threshold(0.5, -0.5),
}
every = pytest.mark.parametrize("name", POINTWISE)
floats = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@every
@floats
@few
@given(st.data())
def test_finite_inputs_give_finite_results_and_gradients(
    name: str, dtype: Any, data: st.DataObject
):
    # SELU scales by more than 1, so the largest floats would overflow.
    bound = float(np.finfo(dtype).max) / 2
    element = st.floats(-bound, bound, width=8 * np.dtype(dtype).itemsize)
    x = T(np.array(data.draw(st.lists(element, min_size=1, max_size=5)), dtype))
    out = POINTWISE[name](x)
    out.backward(tg.from_numpy(cotangent(out.shape, 0, dtype)))
    for t in (out, x.grad):
        assert t.dtype == dtype
        assert t.shape == x.shape
        assert np.isfinite(t.numpy()).all()


@every
def test_nan_gives_nan(name: str):
    assert np.isnan(POINTWISE[name](tg.tensor([math.nan])).numpy()).all()


# Accuracy, in decimal arithmetic


TWO_PI = Decimal("6.2831853071795864769252867665590057683943387987502116419498891846")


def density(x: Decimal) -> Decimal:
    return (-x * x / 2).exp() / TWO_PI.sqrt()


def distribution(x: Decimal) -> Decimal:
    """Return the normal distribution function: a series near 0, else a continued fraction."""
    if abs(x) < 4:
        term = total = x
        for k in range(3, 203, 2):
            term *= x * x / k
            total += term
        return Decimal("0.5") + total * density(x)
    fraction = abs(x)
    for k in range(400, 0, -1):
        fraction = abs(x) + k / fraction
    return 1 - density(x) / fraction if x > 0 else density(x) / fraction


EXACT: dict[str, tuple[Any, Any]] = {
    "silu": (F.silu, lambda x: x / (1 + (-x).exp())),
    "elu": (F.elu, lambda x: x if x > 0 else x.exp() - 1),
    "ndtr": (ndtr, distribution),
    "gelu": (F.gelu, lambda x: x * distribution(x)),
}


@pytest.mark.parametrize("name", EXACT)
@floats
@few
@given(x=st.floats(-40, 40, width=32))
def test_values_are_accurate_also_where_they_are_small(name: str, dtype: Any, x: float):
    ours, exact = EXACT[name]
    actual, info = Decimal(ours(tg.tensor(np.array(x, dtype))).item()), np.finfo(dtype)
    with localcontext(Context(prec=60, traps=[])):
        expected = exact(Decimal(x))
        # GELU may be a normal number where the distribution function underflows.
        limit = max(6 * Decimal(float(info.eps)) * abs(expected), 40 * Decimal(float(info.tiny)))
        assert abs(actual - expected) <= limit


# Modules


IN_PLACE = [k for k in ACTIVATIONS.values() if "inplace" in inspect.signature(k).parameters]
IN_PLACE += [lambda inplace=False: nn.Threshold(1.0, 3.0, inplace)]


@pytest.mark.parametrize("make", IN_PLACE)
@pytest.mark.parametrize("recorded", [False, True])
def test_inplace_changes_the_input_to_the_result(make: Any, recorded: bool):
    w, weights = tg.tensor([-0.5, 2.0], requires_grad=recorded), tg.tensor([1.5, -2.5])
    x, layer = w * 1, make(inplace=True)
    expected = make()(w * 1)
    out = layer(x)
    assert out is x
    assert x.tolist() == expected.tolist()
    if recorded:
        gradients = [tg.autograd.grad((y * weights).sum(), w) for y in (expected, x)]
        assert gradients[0][0].tolist() == gradients[1][0].tolist()
    leaf = tg.tensor([-0.5, 2.0], requires_grad=True)
    with pytest.raises(GraphError, match=r"inplace=True would change a tensor that requires grad"):
        layer(leaf)


# Modules of functions


@pytest.mark.parametrize("name", MODULES)
def test_settings_and_docstring_are_those_of_the_function(name: str):
    kind = MODULES[name]
    function = getattr(F, kind._function_name.rpartition(".")[2])
    parameters = inspect.signature(function).parameters
    for k, p in inspect.signature(kind).parameters.items():
        assert p.default == parameters[k].default
    assert inspect.getdoc(function) in str(inspect.getdoc(kind))


def test_inputs_may_be_passed_by_name():
    x, y = tg.ones(3), tg.zeros(3)
    assert nn.Tanh()(input=x).tolist() == nn.Tanh()(x).tolist()
    assert nn.LeakyReLU(0.5)(input=-x).tolist() == [-0.5] * 3
    assert nn.MSELoss(reduction="sum")(input=x, target=y).item() == 3


def test_settings_are_checked_by_name_and_number():
    with pytest.raises(TypeError, match=r"ELU\(alpha=1.0, inplace=False\): too many positional"):
        nn.ELU(1.0, False, 3)  # type: ignore[call-arg]  # noqa: FBT003
    with pytest.raises(TypeError, match=r"Threshold\(threshold, value, inplace=False\): missing"):
        nn.Threshold(1.0)  # type: ignore[call-arg]
    assert repr(nn.ELU(alpha=np.float64(2.0)).alpha) == "2.0"  # a Python number
    assert nn.CrossEntropyLoss(tg.ones(3)).weight.tolist() == [1, 1, 1]


def test_settings_named_as_tensors_are_buffers():
    def scaled(input: Any, factor: Any, weight: Any) -> Any:
        return input * factor * weight

    for types in ({"factor": float, "weight": tg.Tensor}, {"factor": "float", "weight": "Any"}):
        body = {"factor": 2.0, "weight": None, "__annotations__": types}
        kind: Any = type("Scaled", (FromFunction,), body, function=scaled, tensors=("weight",))
        module = kind(3.0, tg.ones(2))
        assert module(tg.ones(2)).tolist() == [3.0, 3.0]
        assert [name for name, _ in module.named_buffers()] == ["weight"]


@given(st.integers(1, 5), st.integers(1, 4), st.sampled_from([0.5, 1.0, 3.0]), st.integers(0, 9))
def test_hard_choices_have_the_gradient_of_soft_ones(n: int, k: int, tau: float, seed: int):
    results, gradients = [], []
    for hard in (False, True):
        tg.manual_seed(seed)
        x = tg.randn(n, k, requires_grad=True)
        results.append(F.gumbel_softmax(x, tau, hard=hard))
        results[-1].backward(tg.tensor(cotangent((n, k), seed)))
        gradients.append(x.grad)
    soft, choices = (result.detach() for result in results)
    np.testing.assert_allclose(soft.sum(-1), np.ones(n))
    np.testing.assert_allclose(choices, soft == soft.amax(-1, keepdim=True), atol=1e-15)
    np.testing.assert_array_equal(*gradients)
    if k > 1:  # another temperature is a power of the probabilities
        tg.manual_seed(seed)
        powers = F.gumbel_softmax(tg.randn(n, k), 1.0) ** (1 / tau)
        np.testing.assert_allclose(soft, powers / powers.sum(-1, keepdim=True), 1e-9)
