"""The network derived by hand: gradients against numerical derivatives, training, accuracy."""

from __future__ import annotations

import copy
import math
from decimal import Context, Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_fc.handderived import NeuralNetwork, sigmoid, sigmoid_derivative

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tinygrad_fc.handderived import Array

EPS = np.finfo(np.float64).eps


class Activation(NamedTuple):
    """An activation, its derivative, and its version for complex numbers."""

    act: Callable[[Any], Any]
    derivative: Callable[[Any], Any]
    complex: Callable[[Any], Any]


ACTIVATIONS = (
    Activation(sigmoid, sigmoid_derivative, lambda z: 1 / (1 + np.exp(-z))),
    Activation(np.tanh, lambda z: 1 - np.tanh(z) ** 2, np.tanh),
    Activation(np.sin, np.cos, np.sin),
)


class Case(NamedTuple):
    """A random network and a batch of samples for it."""

    network: NeuralNetwork
    batch: list[tuple[Array, Array]]
    activation: Activation


@st.composite
def cases(draw: st.DrawFn, max_width: int = 6, max_batch: int = 5) -> Case:
    sizes = draw(st.lists(st.integers(1, max_width), min_size=2, max_size=5))
    activation = draw(st.sampled_from(ACTIVATIONS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    network = NeuralNetwork(sizes, activation.act, activation.derivative, rng=rng)
    batch = [
        (rng.standard_normal((sizes[0], 1)), rng.random((sizes[-1], 1)))
        for _ in range(draw(st.integers(1, max_batch)))
    ]
    return Case(network, batch, activation)


def parameters(network: NeuralNetwork) -> list[Array]:
    return network.weights + network.biases


def cost_of(params: list[Array], x: Array, target: Array, act: Callable[[Any], Any]) -> Any:
    """Return the cost by formulas (1) to (5), neuron by neuron, without the tested code."""
    half = len(params) // 2
    y = list(x[:, 0])
    for weight, bias in zip(params[:half], params[half:], strict=True):
        y = [
            act(sum(w * y_j for w, y_j in zip(row, y, strict=True)) + theta)
            for row, (theta,) in zip(weight, bias, strict=True)
        ]
    return sum((y_i - t) ** 2 for y_i, t in zip(y, target[:, 0], strict=True))


def magnitudes(case: Case, x: Array, target: Array) -> list[Array]:
    """Return bounds of the sums of absolute values of the terms of each gradient.

    Rounding errors are relative to these, also where terms cancel. All derivatives of the
    activations are at most 1.
    """
    ys = [abs(x)]
    for w, b in zip(case.network.weights, case.network.biases, strict=True):
        x = case.activation.act(w @ x + b)
        ys.append(abs(x))
    d = 2 * (ys[-1] + abs(target))
    weight_scales, bias_scales = [d @ ys[-2].T], [d]
    for layer in range(len(case.network.weights) - 1, 0, -1):
        d = abs(case.network.weights[layer].T) @ d
        weight_scales.insert(0, d @ ys[layer - 1].T)
        bias_scales.insert(0, d)
    return weight_scales + bias_scales


@given(cases())
def test_gradients_equal_complex_step_derivatives_of_formula_5(case: Case) -> None:
    x, target = case.batch[0]
    step = 1e-40  # so small that the imaginary part is the exact derivative
    scales = magnitudes(case, x, target)
    cost = cost_of(parameters(case.network), x, target, case.activation.act)
    squares = (case.network.feedforward(x) - target) ** 2
    np.testing.assert_allclose(squares.sum(), cost, rtol=1e-12, atol=1e-12)
    gradients = list(chain(*case.network.backprop(x, target)))
    for k, gradient in enumerate(gradients):
        for index in np.ndindex(gradient.shape):
            moved = [p.astype(complex) for p in parameters(case.network)]
            moved[k][index] += 1j * step
            derivative = cost_of(moved, x, target, case.activation.complex).imag / step
            assert abs(gradient[index] - derivative) <= 1e-12 * scales[k][index], (k, index)


@given(cases(max_width=16, max_batch=32))
def test_feedforward_of_a_batch_equals_that_of_each_sample(case: Case) -> None:
    inputs = np.hstack([x for x, _ in case.batch])
    together = case.network.feedforward(inputs)
    one_by_one = np.hstack([case.network.feedforward(x) for x, _ in case.batch])
    assert together.shape == (case.network.sizes[-1], len(case.batch))
    np.testing.assert_allclose(together, one_by_one, rtol=0, atol=1e-11)


@given(cases(), st.floats(0, 10))
def test_an_update_is_the_learning_rate_times_the_mean_gradient(case: Case, rate: float) -> None:
    network = case.network
    before = copy.deepcopy(parameters(network))
    samples = [list(chain(*network.backprop(x, y))) for x, y in case.batch]
    network.update_batch(iter(case.batch), rate)
    for k, (old, new) in enumerate(zip(before, parameters(network), strict=True)):
        mean = np.mean([gradients[k] for gradients in samples], axis=0)
        size = np.mean([abs(gradients[k]) for gradients in samples], axis=0)
        rounding = 8 * EPS * (abs(old) + rate * size)
        assert (abs(new - (old - rate * mean)) <= rounding).all()


@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 3), st.integers(0, 2**32 - 1))
@example(count=5, batch_size=2, epochs=1, seed=0)
def test_an_epoch_uses_each_sample_once_in_batches(
    count: int, batch_size: int, epochs: int, seed: int
) -> None:
    """With Act(z) = z and weights 0, the bias changes by the mean of the targets of the batch."""
    steps: list[list[float]] = []

    def identity(z: Array) -> Array:
        return z

    def minus_target(_y: Array, target: Array) -> Array:
        steps[-1].append(float(target[0, 0]))
        return -target

    class Recorded(NeuralNetwork):
        def _step(self, samples: list[tuple[Array, Array]], learning_rate: float) -> None:
            steps.append([])
            bias = self.biases[0].copy()
            super()._step(samples, learning_rate)
            mean = np.mean(steps[-1])
            np.testing.assert_allclose(self.biases[0] - bias, learning_rate * mean, rtol=1e-12)

    network = Recorded([1, 1], identity, np.ones_like, minus_target, rng=seed)
    network.weights, network.biases = [np.zeros((1, 1))], [np.zeros((1, 1))]
    data = [(np.zeros((1, 1)), np.full((1, 1), float(i + 1))) for i in range(count)]
    network.SGD(data, epochs, batch_size, 0.5, progress=None)
    assert [int(y[0, 0]) for _, y in data] == list(range(1, count + 1)), "the caller's order"
    lengths = [min(batch_size, count - start) for start in range(0, count, batch_size)]
    assert [len(step) for step in steps] == lengths * epochs
    for epoch in range(epochs):
        used = chain(*steps[epoch * len(lengths) : (epoch + 1) * len(lengths)])
        assert sorted(used) == list(range(1, count + 1))


def wave() -> list[tuple[Array, Array]]:
    xs = np.linspace(-7, 7, 25).reshape(-1, 1, 1)
    return list(zip(xs, (np.cos(xs) + 1) / 2, strict=True))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_training_is_reproducible_from_a_seed(seed: int, batch_size: int) -> None:
    first = NeuralNetwork([1, 4, 1], rng=seed)
    second = NeuralNetwork([1, 4, 1], rng=np.random.default_rng(seed))
    start = [p.copy() for p in parameters(first)]
    for network in (first, second):
        network.SGD(wave(), 3, batch_size, 0.5, progress=None)
    for p, q, r in zip(parameters(first), parameters(second), start, strict=True):
        np.testing.assert_array_equal(p, q)
        assert not np.array_equal(p, r)


def test_training_reduces_the_error() -> None:
    network = NeuralNetwork([1, 8, 5, 3, 1], rng=0)
    inputs, targets = (np.hstack(column) for column in zip(*wave(), strict=True))
    before = np.mean((network.feedforward(inputs) - targets) ** 2)
    network.SGD(wave(), 200, 5, 2.0, progress=None)
    assert np.mean((network.feedforward(inputs) - targets) ** 2) < before / 2


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
    if exact >= np.finfo(np.float64).smallest_normal:
        assert abs(value - exact) <= 4 * math.ulp(exact)
    else:
        assert 0 <= value <= np.finfo(np.float64).smallest_normal
    assert abs(float(sigmoid_derivative(z)) - exact * (1 - exact)) <= 4 * EPS


def test_results_own_their_memory() -> None:
    network = NeuralNetwork([2, 3, 1], rng=0)
    x, y = np.ones((2, 1)), np.zeros((1, 1))
    x.flags.writeable = y.flags.writeable = False
    arrays = [*chain(*network.backprop(x, y)), *parameters(network), x, y]
    assert not any(np.shares_memory(p, q) for i, p in enumerate(arrays) for q in arrays[:i])
