"""Activations: gradients, kinks, accuracy, identities; modules of functions."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from drawing import T, close, cotangent, numbers, slopes
from drawing import gradients as gradients_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn.activation import FromFunction
from tinygrad_fc.ops.special import erf, ndtr

if TYPE_CHECKING:
    from collections.abc import Callable

F = nn.functional
few = settings(max_examples=settings.default.max_examples // 5)  # for tests of every layer

# Elementwise activations: add a line for a new one.
POINTWISE: dict[str, nn.Module] = {
    "Sigmoid": nn.Sigmoid(),
    "Tanh": nn.Tanh(),
    "SiLU": nn.SiLU(),
    "Mish": nn.Mish(),
    "GELU": nn.GELU(),
    "GELU tanh": nn.GELU("tanh"),
    "Softplus": nn.Softplus(),
    "Softplus, low": nn.Softplus(threshold=1),
    "LogSigmoid": nn.LogSigmoid(),
    "ELU": nn.ELU(0.5),
    "SELU": nn.SELU(),
    "CELU": nn.CELU(2.0),
    "Softsign": nn.Softsign(),
    "Tanhshrink": nn.Tanhshrink(),
    "ReLU": nn.ReLU(),
    "LeakyReLU": nn.LeakyReLU(),
    "ReLU6": nn.ReLU6(),
    "Hardtanh": nn.Hardtanh(),
    "Hardsigmoid": nn.Hardsigmoid(),
    "Hardswish": nn.Hardswish(),
    "Hardshrink": nn.Hardshrink(),
    "Softshrink": nn.Softshrink(),
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
    width = 8 * np.dtype(dtype).itemsize
    # SELU scales by more than 1, so the largest floats would overflow.
    bound = float(np.finfo(dtype).max) / 2
    element = st.floats(-bound, bound, width=width)
    x = T(np.array(data.draw(st.lists(element, min_size=1, max_size=5)), dtype))
    out = POINTWISE[name](x)
    out.backward(tg.from_numpy(cotangent(out.shape, 0, dtype)))
    assert x.grad is not None
    for t in (out, x.grad):
        assert t.dtype == dtype
        assert t.shape == x.shape
        assert np.isfinite(t.numpy()).all()


@every
def test_nan_gives_nan(name: str):
    assert np.isnan(POINTWISE[name](tg.tensor([math.nan])).numpy()).all()


# Inputs where the derivative jumps; numerical derivatives are compared elsewhere.
KINKS = np.array([-3, -1, -0.5, 0, 0.5, 1, 3, 6])


@every
@few
@given(
    hnp.arrays(float, hnp.array_shapes(min_dims=0, min_side=0, max_side=3), elements=numbers(-8, 8))
)
def test_gradients_equal_numerical_derivatives(name: str, x: np.ndarray):
    near = np.abs(x[..., None] - KINKS).min(axis=-1) < 0.01
    x = np.asarray(x + 0.05 * near)
    module = POINTWISE[name]
    (actual,) = gradients_of(module, [T(x)], 0)
    (expected,) = slopes(lambda a: module(tg.tensor(a)).numpy(), [x], 0)
    close(actual, expected)


# The derivative at each kink, as in PyTorch.
AT_KINKS: list[tuple[nn.Module, list[float], list[float]]] = [
    (nn.ReLU(), [0.0], [0.0]),
    (nn.LeakyReLU(0.25), [0.0], [0.25]),
    (nn.PReLU(init=0.25), [0.0], [0.25]),
    (nn.ELU(2.0), [0.0], [2.0]),
    (nn.ReLU6(), [0.0, 6.0], [0.0, 0.0]),
    (nn.Hardtanh(), [-1.0, 1.0], [0.0, 0.0]),
    (nn.Hardsigmoid(), [-3.0, 3.0], [0.0, 0.0]),
    (nn.Hardswish(), [-3.0, 3.0], [0.0, 1.0]),
    (nn.Hardshrink(), [-0.5, 0.5], [0.0, 0.0]),
    (nn.Softshrink(), [-0.5, 0.5], [0.0, 0.0]),
    (nn.Threshold(0.5, 1.0), [0.5], [0.0]),
    (nn.Softsign(), [0.0], [1.0]),
]


@pytest.mark.parametrize(("module", "kinks", "expected"), AT_KINKS, ids=lambda v: str(v)[:12])
def test_derivatives_at_kinks(module: nn.Module, kinks: list[float], expected: list[float]):
    x = tg.tensor(kinks, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == expected


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


def sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


class Accurate(NamedTuple):
    """A function, its exact value and derivative, and the error in ulp that is allowed."""

    ours: Callable[[Any], Any]
    exact: Callable[[Decimal], Decimal]
    derivative: Callable[[Decimal], Decimal]
    ulps: int = 4


EXACT = {
    "silu": Accurate(
        F.silu, lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))
    ),
    "elu": Accurate(
        F.elu, lambda x: x if x > 0 else x.exp() - 1, lambda x: min(x, Decimal(0)).exp()
    ),
    # The quotient of two polynomials of degree 8 has an error of a few ulp.
    "ndtr": Accurate(ndtr, distribution, density, 6),
    "gelu": Accurate(
        F.gelu, lambda x: x * distribution(x), lambda x: distribution(x) + x * density(x), 6
    ),
}


@pytest.mark.parametrize("name", EXACT)
@floats
@few
@given(x=st.floats(-40, 40, width=32))
def test_values_and_derivatives_are_accurate_to_a_few_ulp(name: str, dtype: Any, x: float):
    function, info = EXACT[name], np.finfo(dtype)
    t = T(np.array(x, dtype))
    out = function.ours(t)
    out.backward()
    assert t.grad is not None
    actual = Decimal(out.item())
    with localcontext(Context(prec=60, traps=[])):
        expected = function.exact(Decimal(x))
        derivative = function.derivative(Decimal(x))
        assert abs(Decimal(t.grad.item()) - derivative) <= 4 * Decimal(float(info.eps))
        # GELU may be a normal number where the distribution function underflows.
        if abs(expected) < 40 * Decimal(float(info.tiny)):
            assert abs(actual) <= 40 * info.tiny
            return
        ulp = Decimal(math.ldexp(float(info.eps), math.frexp(expected)[1] - 1))
        assert abs(actual - expected) <= function.ulps * ulp


@given(st.floats(allow_nan=False))
def test_error_function_equals_that_of_math(x: float):
    actual = float(erf(np.array(x)))
    assert abs(actual - math.erf(x)) <= 6 * np.spacing(abs(math.erf(x)))
    assert float(erf(np.array(-x))) == -actual


def test_error_function_of_integers_empty_arrays_and_nan():
    assert float(erf(np.array(1))) == pytest.approx(math.erf(1), rel=1e-15)
    assert erf(np.zeros((0, 3))).shape == (0, 3)
    assert np.isnan(erf(np.array([math.nan]))).all()


# Relations of activations


@given(hnp.arrays(float, 4, elements=st.floats(-700, 700)))
def test_identities_of_activations(x: np.ndarray):
    t = tg.tensor(x)

    def same(a: Any, b: Any) -> None:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)

    same(F.softplus(t) - F.softplus(-t), t)
    same(F.logsigmoid(t), -F.softplus(-t))
    same(F.logsigmoid(t), F.binary_cross_entropy_with_logits(t, tg.ones(4), reduction="none") * -1)
    same(F.silu(t) - F.silu(-t), t)
    same(F.gelu(t) - F.gelu(-t), t)
    same(F.softplus(t, beta=3.0), F.softplus(t * 3) / 3)
    same(F.softmin(t, dim=0), F.softmax(-t, dim=0))
    same(F.selu(t), F.elu(t, F.activation.SELU_ALPHA) * F.activation.SELU_SCALE)
    same(F.celu(t, 2.0), F.elu(t / 2) * 2)
    same(F.relu(t) - F.relu(-t), t)
    same(F.leaky_relu(t, -1.0), t.abs())
    same(F.hardtanh(F.hardtanh(t)), F.hardtanh(t))
    same(F.softshrink(t) + F.hardtanh(t, -0.5, 0.5), t)
    same(F.hardswish(t), t * F.relu6(t + 3) / 6)
    same(F.glu(tg.stack([t, t])[None], dim=1)[0, 0], F.silu(t))
    same(F.prelu(t, tg.tensor([0.25])), F.leaky_relu(t, 0.25))


@given(st.floats(-40, 40))
def test_approximate_gelu_is_close_to_gelu(x: float):
    t = tg.tensor(x)
    assert abs(F.gelu(t, "tanh") - F.gelu(t)).item() < 5e-4


@given(st.floats(-100, 100), st.sampled_from([0.5, 5.0, 19.0]))
def test_softplus_is_the_identity_above_the_threshold(x: float, threshold: float):
    t = T(np.array(x))
    out = F.softplus(t, threshold=threshold)
    out.backward()
    assert t.grad is not None
    if x > threshold:
        assert out.item() == x
        assert t.grad.item() == 1
    else:
        assert out.item() == F.softplus(t).item()


# Modules


@pytest.mark.parametrize("make", [nn.ReLU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Hardtanh, nn.Mish])
def test_inplace_has_no_effect(make: Any):
    x = tg.tensor([-2.0, 2.0])
    assert make(inplace=True)(x).tolist() == make()(x).tolist()
    assert x.tolist() == [-2.0, 2.0]


@every
def test_copies_give_the_same_result(name: str):
    x = tg.tensor([-2.0, 0.3, 2.0])
    for again in (copy.deepcopy(POINTWISE[name]), pickle.loads(pickle.dumps(POINTWISE[name]))):
        assert repr(again) == repr(POINTWISE[name])
        assert again(x).tolist() == POINTWISE[name](x).tolist()


@given(st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_prelu_has_one_slope_per_channel(channels: int, seed: int):
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(3, channels, 2)), rng.normal(size=channels)
    x += np.where(x > 0, 0.1, -0.1)  # away from the kink
    inputs = [T(x), T(w)]
    actual = gradients_of(F.prelu, inputs, seed)

    def plain(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(a > 0, a, a * b[:, None])

    close(F.prelu(*inputs).numpy(), plain(x, w))
    for a, b in zip(actual, slopes(plain, [x, w], seed), strict=True):
        close(a, b)


def test_prelu_errors_name_the_layer():
    net = nn.Sequential(nn.Linear(2, 4), nn.PReLU(3))
    with pytest.raises(nn.LayerError) as caught:
        net(tg.zeros(5, 2))
    assert "layer '1' of Sequential, PReLU(num_parameters=3), got an input of shape (5, 4)" in str(
        caught.value
    )
    with pytest.raises(
        tg.errors.ShapeError, match=r"the weight has shape \(3,\) and the input \(5, 4\)"
    ):
        F.prelu(tg.zeros(5, 4), tg.zeros(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: F.glu(tg.zeros(2, 3)),
            r"shape \(2, 3\), expected an even size along dim -1",
        ),
        (lambda: F.gelu(tg.zeros(2), "x"), 'expected "none" or "tanh"'),
        (lambda: nn.Hardtanh(1.0, 0.0)(tg.zeros(2)), "min_val is 1.0, expected at most max_val"),
        (lambda: F.softshrink(tg.zeros(2), -1), "lambd is -1, expected at least 0"),
        (lambda: nn.Softmax("0")(tg.zeros(2)), "softmax cannot take .* dim='0'"),
    ],
)
def test_invalid_arguments(call: Callable[[], Any], message: str):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


# Modules of functions

MODULES = {
    name: kind
    for name, kind in vars(nn).items()
    if isinstance(kind, type) and issubclass(kind, FromFunction)
}


def function_of(kind: Any) -> Any:
    return getattr(nn.functional, kind._function_name.rpartition(".")[2])


@pytest.mark.parametrize("name", MODULES)
def test_settings_and_defaults_are_those_of_the_function(name: str):
    declared = inspect.signature(MODULES[name]).parameters
    if not declared:
        return
    parameters = inspect.signature(function_of(MODULES[name])).parameters
    assert declared.keys() <= parameters.keys()
    assert {k: p.default for k, p in declared.items()} == {
        k: parameters[k].default for k in declared
    }


@pytest.mark.parametrize("name", MODULES)
def test_the_docstring_is_that_of_the_function(name: str):
    assert inspect.getdoc(function_of(MODULES[name])) in str(inspect.getdoc(MODULES[name]))


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
    assert nn.ELU(alpha=2.0).alpha == 2
    assert nn.CrossEntropyLoss(tg.ones(3)).weight.tolist() == [1, 1, 1]


def test_annotations_of_settings_may_be_types_or_strings():
    def scaled(input: Any, factor: Any, weight: Any) -> Any:
        return input * factor * weight

    for types in ({"factor": float, "weight": tg.Tensor}, {"factor": "float", "weight": "Tensor"}):
        body = {"factor": 2.0, "weight": None, "__annotations__": types}
        kind: Any = type("Scaled", (FromFunction,), body, function=scaled)
        module = kind(3.0, tg.ones(2))
        assert module(tg.ones(2)).tolist() == [3.0, 3.0]
        assert [name for name, _ in module.named_buffers()] == ["weight"]
