"""Checkpoints: gradients are those of the same function without them."""

from typing import Any

import numpy as np
import pytest
from drawing import T, close
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, random
from tinygrad_fc.utils.checkpoint import checkpoint


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_gradients_are_those_without_checkpoints(seed: int, requires_grad: bool, by_grad: bool):
    rng = np.random.default_rng(seed)
    layers = nn.ModuleList(
        [
            nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh()),
            nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 3)),
            nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3).eval()),
        ]
    )
    weights, values, results = tg.tensor(rng.normal(size=(5, 3))), rng.normal(size=(5, 3)), []
    for call in (lambda function, *args, **kwargs: function(*args, **kwargs), checkpoint):
        tg.manual_seed(seed)
        x = tg.tensor(values, requires_grad=requires_grad)
        outer = x * 2
        h = call(layers[0], outer)
        # Two results, one argument that is used in two ways, a captured result, and a keyword.
        h, total = call(lambda h, scale: (layers[1](h) * scale + outer, h.sum()), h, scale=3.0)  # noqa: B023
        h = call(layers[2], h)
        leaves = [*layers.parameters(), *([x] if requires_grad else [])]
        loss = (h * weights).sum() + total
        if by_grad:
            gradients = list(tg.autograd.grad(loss, leaves))
        else:
            loss.backward()
            gradients = [p.grad for p in leaves]
            layers.zero_grad()
        results.append([h.detach(), *gradients, tg.rand(2)])
    for ours, expected in zip(*results, strict=True):
        close(ours.numpy(), expected.numpy(), tolerance=1e-12)


def test_the_second_call_draws_the_numbers_of_the_first_in_a_generator_of_its_own():
    x = T(np.ones(50))
    with random.drawing_from(tg.Generator()):
        y = checkpoint(nn.functional.dropout, x)
        y.sum().backward()
        after = tg.rand(1)
    close(x.grad.numpy(), y.detach().numpy())
    with random.drawing_from(tg.Generator()):
        nn.functional.dropout(x)
        assert tg.rand(1) == after


def test_an_argument_that_is_also_captured_gets_both_gradients():
    x = T(np.array([2.0, 3.0]))
    checkpoint(lambda y: (y * y * x).sum(), x).backward()
    close(x.grad.numpy(), 3 * x.detach().numpy() ** 2)


def test_derivatives_of_every_order():
    x = T(np.array([0.3, -0.5]))
    y = checkpoint(lambda x: x.tanh() * x, x).sum()
    (g,) = tg.autograd.grad(y, x, create_graph=True)
    g.sum().backward()
    t = np.tanh(x.detach().numpy())
    close(x.grad.numpy(), (1 - t * t) * (2 - 2 * t * x.detach().numpy()))


def test_hooks_of_parameters_are_called_once_and_graphs_can_be_kept():
    layer, x, calls = nn.Linear(2, 2), tg.ones(1, 2), list[Any]()
    layer.weight.register_hook(lambda g: calls.append(g) or g * 10)
    y = checkpoint(layer, x)
    for k in (1, 2):
        y.sum().backward(retain_graph=True)
        assert len(calls) == k
        assert layer.weight.grad.tolist() == [[10.0 * k] * 2] * 2


def test_intermediate_results_are_freed_and_computed_again():
    count = []

    def function(x: Any) -> Any:
        count.append(1)
        return x.exp().sin().sum()

    x = T(np.ones(3))
    y = checkpoint(function, x)
    assert [len(count), y._parents[2] is x] == [1, True]
    y.backward()
    assert len(count) == 2
    with tg.no_grad():
        assert not checkpoint(function, x).requires_grad
    assert checkpoint(lambda: {"a": 3, "b": tg.ones(2)})["a"] == 3


def test_a_function_that_changes_is_refused():
    sizes = iter([2, 3])
    y = checkpoint(lambda x: x.expand(next(sizes)), T(np.ones(1)))
    with pytest.raises(tg.errors.GraphError, match=r"returned results of shapes \[\(3,\)\], expec"):
        y.sum().backward()
