"""The proof beyond the document's network: derived by hand here, neuron by neuron, and compared.

ReLU, tanh and sigmoid with softmax and cross entropy, and gradient descent with momentum, in
float64 and float32. The formulas below are those of the chain rule, written without the library.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hand_networks import Array, parameters, sequential
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn

SEEDS = st.integers(0, 2**32 - 1)
RTOL = {np.float64: 1e-11, np.float32: 2e-4}
"""Of the largest entry: sums of at most 32 terms of about 1, in a few layers."""


class Act(NamedTuple):
    """An activation: its values, its slope as a function of these, and its layer."""

    act: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    layer: type[nn.Module]


ACTS = {
    "relu": Act(lambda z: z * (z > 0), lambda y: (y > 0).astype(y.dtype), nn.ReLU),
    "tanh": Act(np.tanh, lambda y: 1 - y * y, nn.Tanh),
    "sigmoid": Act(lambda z: 1 / (1 + np.exp(-z)), lambda y: y * (1 - y), nn.Sigmoid),
}


class Network(NamedTuple):
    """Weights (n_l, n_(l-1)) and biases (n_l,) of each layer, inputs (N, n_0), labels (N,)."""

    weights: list[Array]
    biases: list[Array]
    x: Array
    labels: Array


def drawn_network(seed: int, dtype: Any) -> Network:
    """Return a network of two or three layers, 2 to 5 classes, and a batch of 1 to 8."""
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.integers(2, 6, rng.integers(3, 5))]
    pairs = list(zip(sizes[1:], sizes[:-1], strict=True))
    count = int(rng.integers(1, 9))
    return Network(
        [rng.standard_normal(p).astype(dtype) for p in pairs],
        [rng.standard_normal(n).astype(dtype) for n, _ in pairs],
        rng.standard_normal((count, sizes[0])).astype(dtype),
        rng.integers(0, sizes[-1], count),
    )


def by_hand(network: Network, act: Act) -> list[Array]:
    """Return the gradients of the mean cross entropy: those of weights, then those of biases.

    With z = W y + b, p = softmax(z^L) and the one-hot t, the gradient of the last z is p - t; that
    of an earlier one is act'(z) * W^T times the gradient of the next.
    """
    weights, biases, x, labels = network
    of_weights, of_biases = ([np.zeros(a.shape) for a in several] for several in network[:2])
    for row, label in zip(x.astype(float), labels, strict=True):
        ys, last = [row], len(weights) - 1
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            z = np.array([sum(w[i] * ys[-1]) + b[i] for i in range(len(b))], float)
            ys.append(z if layer == last else act.act(z))
        p = np.exp(ys[-1] - max(ys[-1]))
        d = p / sum(p) - (np.arange(len(p)) == label)
        for layer in range(last, -1, -1):
            of_weights[layer] += np.outer(d, ys[layer]) / len(x)
            of_biases[layer] += d / len(x)
            columns = weights[layer].T
            d = np.array([sum(c * d) for c in columns]) * act.slope(ys[layer])
    return of_weights + of_biases


def assert_close(actual: tg.Tensor, expected: Array, dtype: Any) -> None:
    """Assert that a tensor of `dtype` has these values, up to the rounding of short sums."""
    assert actual.dtype == dtype
    limit = RTOL[dtype] * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=limit)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ACTS)
@given(SEEDS)
def test_gradients_of_the_cross_entropy(name: str, dtype: Any, seed: int) -> None:
    network, act = drawn_network(seed, dtype), ACTS[name]
    model = sequential(network.weights, network.biases, act.layer)[:-1]
    loss = nn.CrossEntropyLoss()(model(tg.tensor(network.x)), tg.tensor(network.labels))
    loss.backward()
    for p, expected in zip(parameters(model), by_hand(network, act), strict=True):
        assert_close(p.grad, expected, dtype)


# Gradient descent


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(SEEDS)
def test_training_with_momentum_follows_the_gradients_by_hand(dtype: Any, seed: int) -> None:
    network, act = drawn_network(seed, dtype), ACTS["tanh"]
    model = sequential(network.weights, network.biases, act.layer)[:-1]
    optimizer = tg.optim.SGD(model.parameters(), lr=0.0625, momentum=0.5)
    own = [a.astype(float) for a in (*network.weights, *network.biases)]
    velocities: list[Array] = []
    for _ in range(3):
        half = len(own) // 2
        at = network._replace(weights=own[:half], biases=own[half:])
        grads = by_hand(at, act)
        before = velocities or [0 * g for g in grads]
        velocities = [0.5 * v + g for v, g in zip(before, grads, strict=True)]
        own = [p - 0.0625 * v for p, v in zip(own, velocities, strict=True)]
        optimizer.zero_grad()
        x, labels = tg.tensor(network.x), tg.tensor(network.labels)
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
    for p, expected in zip(parameters(model), own, strict=True):
        assert_close(p, expected, dtype)
