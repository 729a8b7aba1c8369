"""Training steps of nn and optim equal those of the program of the document."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hand_networks import (
    ACTIVATIONS,
    EPS,
    Activation,
    Array,
    Case,
    batch_cost,
    flat,
    for_all_cases,
    forward,
    parameters,
    slopes_at,
)
from hypothesis import strategies as st

import tinygrad_fc as tg

if TYPE_CHECKING:
    from tinygrad_fc.handderived import NeuralNetwork

every = pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)


def check_step(case: Case, rate: float) -> None:
    model = case.model()
    batch_cost(model(tg.tensor(case.x)), tg.tensor(case.target)).backward()
    before = [(p.detach().clone().numpy(), p.grad.clone().numpy()) for p in model.parameters()]
    tg.optim.SGD(model.parameters(), lr=rate).step()
    for p, (old, g) in zip(model.parameters(), before, strict=True):
        rounding = EPS * (abs(old) + rate * abs(g))
        assert (abs(p.detach().numpy() - (old - rate * g)) <= rounding).all()


@every
def test_a_step_of_sgd_subtracts_the_rate_times_the_gradient(activation: Activation) -> None:
    """A step of SGD changes every parameter p to p - rate * gradient of the cost (6) of a batch."""
    for_all_cases(check_step, activation, rate=st.floats(0, 10))


def all_parameters(network: NeuralNetwork) -> Array:
    return flat([*network.weights, *network.biases])


def perturbed(network: NeuralNetwork) -> NeuralNetwork:
    """Return the network with every parameter perturbed by an ulp or two."""
    twin, rng = copy.deepcopy(network), np.random.default_rng(0)
    twin.weights = [w * (1 + EPS * rng.choice([-1, 1], w.shape)) for w in network.weights]
    twin.biases = [b * (1 + EPS * rng.choice([-1, 1], b.shape)) for b in network.biases]
    return twin


def check_training(case: Case, rate: float, size: int) -> None:
    model, twin = case.model(), perturbed(case.network)
    optimizer = tg.optim.SGD(model.parameters(), lr=rate)
    inputs, targets, samples = tg.tensor(case.x), tg.tensor(case.target), case.samples()
    for start in 3 * [*range(0, len(samples), size)]:
        if min(slope.min() for slope in slopes_at(case, *forward(case))) < 0.01:
            return  # saturated
        batch = slice(start, start + size)
        for network in (case.network, twin):
            network.update_batch(samples[batch], rate)
        optimizer.zero_grad()
        batch_cost(model(inputs[batch]), targets[batch]).backward()
        optimizer.step()
        expected = all_parameters(case.network)
        if abs(all_parameters(twin) - expected).max() > 1e-13:
            return  # the steps magnify a perturbation by an ulp
        np.testing.assert_allclose(
            flat(p.detach() for p in parameters(model)), expected, rtol=0, atol=1e-10
        )


@every
def test_training_equals_that_of_the_document(activation: Activation) -> None:
    """Three epochs of batches, the last one shorter, reach the parameters of `update_batch`.

    Section 3 and formula (6), step for step, as long as no unit saturates.
    """
    others = {"rate": st.floats(0, 1), "size": st.integers(1, 12)}
    for_all_cases(check_training, activation, scales=(0.1, 0.3, 1.0), **others)
