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


# Graphs that are no chains: the same formulas, with a sum over the uses of a value


def check_passes(case: Case) -> None:
    """Each pass over a graph adds the gradient to `.grad`, times factor and cotangent of a cost."""
    model, (factor, g) = case.model(), np.random.default_rng(0).uniform(2, 3, 2)
    cost = batch_cost(model(tg.tensor(case.x)), tg.tensor(case.target)) * factor
    for count in (1, 2):
        cost.backward(tg.tensor(g), retain_graph=True)
        total = count * factor * g
        expected, limit = total * by_hand(case).mean(axis=0), total * tolerance(case, mean=True)
        assert_close(case, flat(p.grad for p in parameters(model)), expected, limit)


def check_rows(case: Case) -> None:
    """Parts of a bias, of shapes (1, n) and (n,), have the gradient (17) or (38) of the bias."""
    weights = [tg.tensor(w, requires_grad=True) for w in case.network.weights]
    biases = [tg.tensor(b.T / 4, requires_grad=True) for b in case.network.biases]
    others = [tg.tensor(b.T / 4, requires_grad=True) for b in case.network.biases]
    halves = [tg.tensor(b[:, 0] / 2, requires_grad=True) for b in case.network.biases]
    y = tg.tensor(case.x)
    for w, *parts, half in zip(weights, biases, others, halves, strict=True):
        y = case.activation.recorded(y @ w.T + (parts[0] + parts[1]) + half)
    cost = batch_cost(y, tg.tensor(case.target))
    for count in (1, 2):
        cost.backward(retain_graph=True)
        for several in (biases, others, halves):
            assert [b.grad.shape for b in several] == [b.shape for b in several]
            actual = flat(p.grad for p in weights + several)
            expected, limit = by_hand(case).mean(axis=0), tolerance(case, mean=True)
            assert_close(case, actual, count * expected, count * limit)


def deeper(case: Case, hidden: int) -> Case:
    """Return a network with `hidden` layers of the size of the first one, and its samples."""
    first, size, last = (case.network.sizes[k] for k in (0, 1, -1))
    act, rng = case.activation, case.network.rng
    sizes = [first, *[size] * hidden, last]
    return case._replace(network=NeuralNetwork(sizes, act.act, act.derivative, rng=rng))


def check_shared_layer(case: Case) -> None:
    """The gradient of a layer that is used twice is the sum of (37) and (38) of both uses."""
    case = deeper(case, 3)
    for several in (case.network.weights, case.network.biases):
        several[2] = several[1]
    model = case.model()
    model[4] = model[2]
    batch_cost(model(tg.tensor(case.x)), tg.tensor(case.target)).backward()

    def added(gradient: Array) -> Array:
        w1, w2, w3, w4, b1, b2, b3, b4 = unflat(gradient, case.network)
        return flat([w1, w2 + w3, w4, b1, b2 + b3, b4])

    model = model[:4] + model[6:]
    limit = added(tolerance(case, mean=True))
    expected = added(by_hand(case).mean(axis=0))
    assert_close(case, flat(p.grad for p in parameters(model)), expected, limit)


def check_skip_connection(case: Case) -> None:
    """With z3 = w3 (y2 + y1) + b3, the sum over l + 1 in (36) has two terms for y1: w3 and w2."""
    case = deeper(case, 2)
    (w1, w2, w3), (b1, b2, b3) = case.network.weights, case.network.biases
    act, slope = case.activation.act, case.activation.derivative
    gradients = []
    for x, target in case.samples():
        z1 = w1 @ x + b1  # (3), and (2) below
        z2 = w2 @ act(z1) + b2
        h = act(z2) + act(z1)
        z3 = w3 @ h + b3
        d3 = 2 * (act(z3) - target) * slope(z3)  # (13)
        of_h = w3.T @ d3
        d2 = of_h * slope(z2)  # (36)
        of_y1 = of_h + w2.T @ d2
        d1 = of_y1 * slope(z1)
        products = [d1 @ x.T, d2 @ act(z1).T, d3 @ h.T]  # (14) and (37)
        gradients.append(flat([of_y1, *products, d1, d2, d3]))
    layer1, act1, layer2, act2, layer3, act3 = model = case.model()
    y1 = act1(layer1(tg.tensor(case.x)))
    y3 = act3(layer3(act2(layer2(y1)) + y1))
    cost = batch_cost(y3, tg.tensor(case.target)) * len(case.x)  # formula (5), summed
    of_y1, *rest = tg.autograd.grad(cost, [y1, *parameters(model)])
    expected = np.array(gradients)
    width, scale = len(b1), 1e-11 * max(1.0, abs(expected).sum(axis=0).max())
    np.testing.assert_allclose(of_y1.numpy(), expected[:, :width], rtol=1e-9, atol=scale)
    np.testing.assert_allclose(flat(rest), expected[:, width:].sum(axis=0), rtol=1e-9, atol=scale)


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
    "two passes": (check_passes, ["the loss"]),
    "biases as rows": (check_rows, []),
    "a layer used twice": (check_shared_layer, []),
    "a skip connection": (check_skip_connection, []),
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
