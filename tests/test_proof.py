"""The proof: on random networks, autograd returns the derivatives that are derived by hand.

The tolerance is computed for every network (`hand_networks`), so that the properties hold where
units saturate, and still detect a relative error of 1e-9 in a single rule, as the last tests show.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hand_networks import (
    ACTIVATIONS,
    EPS,
    Activation,
    Array,
    Case,
    algebraic,
    assert_close,
    batch_cost,
    by_batch,
    by_hand,
    flat,
    for_all_cases,
    forward,
    hessian_by_hand,
    parameters,
    parameters_of,
    slopes_at,
    tolerance,
    unflat,
)
from hypothesis import Phase
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import Tensor
from tinygrad_fc.core.op import Chain, registry
from tinygrad_fc.handderived import NeuralNetwork
from tinygrad_fc.ops import elementwise, linalg, loss, trigonometry

every = pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)


def gradient(cost: Tensor, of: list[Any]) -> Array:
    return flat(g.detach() for g in tg.autograd.grad(cost, of))


# Gradients of a sample


def by_layers(case: Case) -> Array:
    """Return gradients of formula (6) for batches of one."""
    model = case.model()
    of = parameters(model)
    batches = zip(tg.tensor(case.x)[:, None], tg.tensor(case.target)[:, None], strict=True)
    return np.array([gradient(batch_cost(model(x), y), of) for x, y in batches])


def by_tensors(case: Case) -> Array:
    """Return gradients of formulas (3), (2) and (5) as they are written, on columns."""
    weights = [tg.tensor(w, requires_grad=True) for w in case.network.weights]
    biases = [tg.tensor(b, requires_grad=True) for b in case.network.biases]
    actual = []
    for x, target in case.samples():
        y = tg.tensor(x)
        for w, b in zip(weights, biases, strict=True):
            y = case.activation.recorded(w @ y + b)
        actual.append(gradient(((y - tg.tensor(target)) ** 2).sum(), weights + biases))
    return np.array(actual)


def check_samples(case: Case, method: Callable[[Case], Array]) -> None:
    """Every weight's derivative is that of (14) and (37), every bias's that of (17) and (38)."""
    assert_close(case, method(case), by_hand(case), tolerance(case))


# Other gradients


def check_batch(case: Case) -> None:
    """The derivatives of (6) are the means of those of (5), which (14), (17), (37), (38) give."""
    model = case.model()
    cost = batch_cost(model(tg.tensor(case.x)), tg.tensor(case.target))
    actual = gradient(cost, parameters(model))
    assert_close(case, actual, by_hand(case).mean(axis=0), tolerance(case, mean=True))


def check_sums(case: Case) -> None:
    """The gradient of z^(l) is the d^(l) of (12), which (13) and (36) give by hand."""
    zs, ys = forward(case)
    cost = batch_cost(ys[-1], tg.tensor(case.target))
    gradients = tg.autograd.grad(cost, zs, retain_graph=True)
    for z in zs:  # which retain their gradient in both passes
        z.grad = None
    cost.backward()
    for z, d in zip(zs, gradients, strict=True):
        np.testing.assert_array_equal(z.grad.numpy(), d.numpy())
    actual = len(case.x) * np.concatenate([d.numpy() for d in gradients], axis=1)
    biases = slice(-actual.shape[1], None)  # by hand, d is their gradient: (17) and (38)
    assert_close(case, actual, by_hand(case)[:, biases], tolerance(case)[:, biases])


def check_curvature(case: Case) -> None:
    """The gradient of the gradient is the complex-step derivative of (13) to (38)."""
    model = case.model()
    of = parameters(model)
    cost = batch_cost(model(tg.tensor(case.x)), tg.tensor(case.target))
    slopes = tg.autograd.grad(cost, of, create_graph=True)
    direction = np.random.default_rng(0).uniform(-1, 1, sum(p.numel() for p in of))
    along = unflat(direction, case.network)
    slope = sum((g * tg.tensor(v)).sum() for g, v in zip(slopes, along, strict=True))
    actual = gradient(slope, of)
    expected = hessian_by_hand(case, direction).mean(axis=0)
    assert_close(case, actual, expected, tolerance(case, mean=True, direction=direction))


# Properties, and wrong rules that they detect

RULES = {
    "linear's input": (linalg.linear, 0),
    "linear's weight": (linalg.linear, 1),
    "linear's bias": (linalg.linear, 2),
    "sigmoid": (elementwise.sigmoid, 0),
    "tanh": (trigonometry.tanh, 0),
    "the user's": (algebraic, 0),
    "the loss": (loss.squared_error, 0),
    "matmul's left": (linalg.matmul, 0),
    "matmul's right": (linalg.matmul, 1),
}
"""An op and the number of its rule."""
MATMUL = ["matmul's left", "matmul's right"]
LAYERS = [name for name in RULES if name not in MATMUL]
ACTS = ["sigmoid", "tanh", "the user's"]
PROPERTIES: dict[str, tuple[Callable[..., None], list[str]]] = {
    "samples by layers": (partial(check_samples, method=by_layers), LAYERS),
    "samples by tensors": (partial(check_samples, method=by_tensors), [*ACTS, *MATMUL]),
    "samples by rows": (partial(check_samples, method=by_batch), []),
    "batch": (check_batch, LAYERS),
    "sums": (check_sums, ["linear's input", "the loss", *ACTS]),
    "Hessian times a direction": (check_curvature, LAYERS),
}
"""Each property, and the rules in which it detects an error; `tolerance` refers to the rows."""


@every
@pytest.mark.parametrize("law", PROPERTIES)
def test_derivatives_are_those_by_hand(activation: Activation, law: str) -> None:
    for_all_cases(PROPERTIES[law][0], activation)


SEARCH = {"max_examples": 100, "phases": [Phase.generate], "database": None}


def with_error(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **settings: rule(*args, **settings) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("law", "name"), [(law, name) for law in PROPERTIES for name in PROPERTIES[law][1]]
)
def test_a_relative_error_of_1e_9_in_a_rule_is_detected(
    law: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is in a factor of (11), (13), (14), (17) or (36) to (38); 100 examples suffice."""
    op, wrong = RULES[name]
    rules = tuple(with_error(rule) if i == wrong else rule for i, rule in enumerate(op.rules))
    for fused in (op, *(c for c in registry.values() if isinstance(c, Chain) and c.inner is op)):
        monkeypatch.setattr(fused, "rules", rules)
    activation = next((a for a in ACTIVATIONS if a.recorded is op), ACTIVATIONS[0])
    with pytest.raises(AssertionError):
        for_all_cases(PROPERTIES[law][0], activation, options=SEARCH)


# Training


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
        expected = parameters_of(case.network)
        if abs(parameters_of(twin) - expected).max() > 1e-13:
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
