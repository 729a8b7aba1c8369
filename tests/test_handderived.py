"""The network derived by hand: gradients, training, accuracy, and errors that change nothing."""

import math
from collections.abc import Callable
from decimal import Context, Decimal
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hand_networks import (
    ACTIVATIONS,
    EPS,
    NORMAL,
    Activation,
    Array,
    Case,
    by_hand,
    for_all_cases,
    parameters_of,
    tolerance,
    unflat,
)
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_fc.handderived import NeuralNetwork, sigmoid, sigmoid_derivative

every = pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)


def cost_of(params: list[Array], x: Array, target: Array, act: Callable[[Any], Any]) -> Any:
    """Return the cost by formulas (1) to (5), neuron by neuron, without the tested code."""
    half = len(params) // 2
    y = list(x)
    for weight, bias in zip(params[:half], params[half:], strict=True):
        y = [
            act(sum(w * y_j for w, y_j in zip(row, y, strict=True)) + theta)
            for row, theta in zip(weight, bias, strict=True)
        ]
    return sum((y_i - t) ** 2 for y_i, t in zip(y, target, strict=True))


def check_derivative(case: Case) -> None:
    """Along a random direction; the complex step is so small that the derivative is exact."""
    act = (
        (lambda z: 1 / (1 + np.exp(-z))) if case.activation.act is sigmoid else case.activation.act
    )
    params = parameters_of(case.network)
    direction = np.random.default_rng(0).uniform(-1, 1, params.size)
    moved = unflat(params + 1e-40j * direction, case.network)
    outputs = case.network.feedforward(case.x.T).T
    limits = tolerance(case) @ abs(direction)
    for k, gradient in enumerate(by_hand(case)):
        cost = cost_of(moved, case.x[k], case.target[k], act)
        squares = (outputs[k] - case.target[k]) ** 2
        np.testing.assert_allclose(squares.sum(), cost.real, rtol=1e-10, atol=1e-10)
        assert abs(gradient @ direction - cost.imag / 1e-40) <= limits[k]


@every
def test_gradients_equal_complex_step_derivatives_of_formula_5(activation: Activation) -> None:
    for_all_cases(check_derivative, activation, scales=(0.1, 0.5, 1.0))


def check_update(case: Case, rate: float) -> None:
    before, gradients = parameters_of(case.network), by_hand(case)
    case.network.update_batch(iter(case.samples()), rate)
    after = parameters_of(case.network)
    rounding = 8 * EPS * (abs(before) + rate * abs(gradients).mean(axis=0))
    assert (abs(after - (before - rate * gradients.mean(axis=0))) <= rounding).all()


@every
def test_an_update_is_the_learning_rate_times_the_mean_gradient(activation: Activation) -> None:
    for_all_cases(check_update, activation, rate=st.floats(0, 10))


@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 3), st.integers(0, 2**32 - 1))
@example(count=5, batch_size=2, epochs=1, seed=0)
def test_an_epoch_uses_each_sample_once_in_batches(
    count: int, batch_size: int, epochs: int, seed: int
) -> None:
    steps: list[list[int]] = []

    class Recorded(NeuralNetwork):
        def _step(self, samples: list[tuple[Array, Array]], learning_rate: float) -> None:
            steps.append([int(y[0, 0]) for _, y in samples])
            super()._step(samples, learning_rate)

    data = [(np.zeros((1, 1)), np.full((1, 1), float(i))) for i in range(count)]
    Recorded([1, 1], rng=seed).SGD(data, epochs, batch_size, 0.5, progress=None)
    assert [int(y[0, 0]) for _, y in data] == list(range(count)), "the caller's order"
    lengths = [min(batch_size, count - start) for start in range(0, count, batch_size)]
    assert [len(step) for step in steps] == lengths * epochs
    for epoch in range(epochs):
        used = chain(*steps[epoch * len(lengths) : (epoch + 1) * len(lengths)])
        assert sorted(used) == list(range(count))


def wave() -> list[tuple[Array, Array]]:
    xs = np.linspace(-7, 7, 25).reshape(-1, 1, 1)
    return list(zip(xs, (np.cos(xs) + 1) / 2, strict=True))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_training_is_reproducible_from_a_seed(seed: int, batch_size: int) -> None:
    first = NeuralNetwork([1, 4, 1], rng=seed)
    second = NeuralNetwork([1, 4, 1], rng=np.random.default_rng(seed))
    start = parameters_of(first)
    for network in (first, second):
        network.SGD(wave(), 3, batch_size, 0.5, progress=None)
    np.testing.assert_array_equal(parameters_of(first), parameters_of(second))
    assert (parameters_of(first) != start).any()


def test_progress_prints_a_line_per_epoch_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    network = NeuralNetwork([1, 1], rng=0)
    network.SGD(wave(), 2, 40, 0.1)
    assert capsys.readouterr().out == "epoch 1 of 2\nepoch 2 of 2\n"
    seen: list[tuple[int, int]] = []
    network.SGD(wave(), 2, 40, 0.1, progress=lambda *line: seen.append(line))
    network.SGD(wave(), 2, 40, 0.1, progress=None)
    assert seen == [(1, 2), (2, 2)]
    assert capsys.readouterr().out == ""


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(0.0)
@example(-708.3)
@example(-1e308)
@example(1e308)
def test_sigmoid_is_accurate_to_4_ulp(z: float) -> None:
    value = float(sigmoid(z))
    exact = 1.0 if z > 50 else 0.0
    if abs(z) <= 750:
        context = Context(prec=400)
        exact = float(context.divide(Decimal(1), 1 + context.exp(Decimal(-z))))
    if exact >= NORMAL:
        assert abs(value - exact) <= 4 * math.ulp(exact)
    else:
        assert 0 <= value <= NORMAL
    assert abs(float(sigmoid_derivative(z)) - exact * (1 - exact)) <= 4 * EPS


def test_results_own_their_memory() -> None:
    network = NeuralNetwork([2, 3, 1], rng=0)
    x, y = np.ones((2, 1)), np.zeros((1, 1))
    x.flags.writeable = y.flags.writeable = False
    arrays = [*chain(*network.backprop(x, y)), *network.weights, *network.biases, x, y]
    assert not any(np.shares_memory(p, q) for i, p in enumerate(arrays) for q in arrays[:i])


# Errors, which change nothing

COLUMN = [[0.5]]
GOOD = (COLUMN, COLUMN)
NAN = ([[math.nan]], COLUMN)

BAD_NETWORKS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"sizes": [3]}, ValueError, r"at least two layers, got \[3\]; add the outputs"),
    ({"sizes": 3}, TypeError, r"not iterable"),
    ({"sizes": [3, 0]}, ValueError, r"sizes\[1\] must be at least 1, got 0; pass a larger"),
    ({"sizes": [3, 1.0]}, TypeError, r"interpreted as an integer"),
    ({"sizes": [1, 1], "act": np.tanh}, ValueError, r"got one of act and act_derivative"),
    ({"sizes": [1, 1], "act_derivative": np.cos}, ValueError, r"expected both; pass the other"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_NETWORKS)
def test_invalid_arguments_of_the_constructor(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        NeuralNetwork(**arguments)


BAD_UPDATES: list[tuple[object, object, type[Exception], str]] = [
    ([GOOD], -0.1, ValueError, r"learning_rate must be finite and at least 0, got -0.1; pass"),
    ([GOOD], math.nan, ValueError, r"learning_rate must be finite and at least 0, got nan"),
    ([GOOD], math.inf, ValueError, r"learning_rate must be finite and at least 0, got inf"),
    ([], 0.1, ValueError, r"must hold at least one pair \(x, y\), got none; check"),
    ([GOOD, COLUMN], 0.1, ValueError, r"not enough values to unpack"),
    ([GOOD, NAN], 0.1, ValueError, r"x of \w+\[1\] must be finite, got \[\[nan\]\]; leave"),
    ([GOOD, NAN[::-1]], 0.1, ValueError, r"y of \w+\[1\] must be finite"),
    ([(COLUMN, 2 * COLUMN)], 0.1, ValueError, r"\(1, 1\), as sizes\[2\] is 1, got \(2, 1\)"),
    ([([["a"]], COLUMN)], 0.1, ValueError, r"could not convert string to float"),
]


@pytest.mark.parametrize(("batch", "rate", "error", "message"), BAD_UPDATES)
@pytest.mark.parametrize("method", ["update_batch", "SGD"])
def test_invalid_batches_and_learning_rates(
    method: str, batch: object, rate: object, error: type[Exception], message: str
) -> None:
    network = NeuralNetwork([1, 2, 1], rng=0)
    arguments = (batch, rate) if method == "update_batch" else (batch, 1, 1, rate)
    assert_error(network, method, arguments, error, message)


def test_an_update_that_overflows_changes_nothing() -> None:
    network = NeuralNetwork([1, 1], lambda z: z, np.ones_like, rng=0)
    message = r"learning_rate=1.0 gives parameters that are not finite, .* smaller"
    with np.errstate(over="ignore", invalid="ignore"):
        arguments = ([([[1e200]], [[0.0]])], 1.0)
        assert_error(network, "update_batch", arguments, FloatingPointError, message)


def test_an_update_that_raises_changes_nothing() -> None:
    calls: list[int] = []

    def failing(y: Array, target: Array) -> Array:
        calls.append(1)
        if len(calls) == 2:
            raise ArithmeticError("second sample")
        return y - target

    network = NeuralNetwork([1, 2, 1], cost_derivative=failing, rng=0)
    assert_error(network, "update_batch", ([GOOD, GOOD], 1), ArithmeticError, "second sample")


def assert_error(network: Any, method: str, arguments: Any, error: Any, message: str) -> None:
    before, state = parameters_of(network), network.rng.bit_generator.state
    with pytest.raises(error, match=message):
        getattr(network, method)(*arguments)
    assert network.rng.bit_generator.state == state
    np.testing.assert_array_equal(parameters_of(network), before)
