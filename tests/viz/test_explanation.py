"""Explanations: numbers in them are those of the backward pass."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, viz
from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.core.op import Op, registry
from tinygrad_fc.ops.linalg import linear
from viz.networks import network, scalars, seeds, widths

OPS = list({id(op): op for op in registry.values() if op.outer is None}.values())


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_op_is_explained(op: Op):
    text = viz.explain(op)
    assert text.startswith(f"{op.name}(")
    assert len(text.splitlines()) >= 2 + len(op.domain)


def test_functions_of_numpy_are_explained_as_their_ops_and_others_refused():
    for function, op in ((np.tanh, tg.tanh), (np.sum, tg.sum)):
        assert viz.explain(function) == viz.explain(op)
    for function, part in ((tg.relu, "g * (y != 0)"), (np.sin, "np.sin"), (linear, "bias")):
        assert part in viz.explain(function)
    for x in (3.0, len, nn.Linear(1, 1)):
        with pytest.raises(TypeError, match="explain takes an op"):
            viz.explain(x)


def cited(text: str) -> list[int]:
    return [int(k) for k in re.findall(r"formula \((\d+)\)", text)]


@given(widths, st.sampled_from(["sigmoid", "tanh", "relu"]), seeds)
def test_a_backward_pass_cites_the_formulas_of_the_document(
    sizes: list[int], activation: str, seed: int
):
    model, x, y = network(sizes, activation, seed)
    with viz.record(model):
        loss = nn.functional.mse_loss(model(x), y)
    hidden = [36, 33, 37, 38] * (len(sizes) - 2)
    expected = [8, 13, 33, 14, 17, *hidden]
    del expected[-3 if hidden else 2]  # the input gets no gradient
    assert cited(viz.explain(loss)) == expected
    assert all(p.grad is None for p in model.parameters())


def test_layers_that_the_document_does_not_have_cite_no_formula():
    model, x, _ = network([2, 3, 2], "tanh", 0)
    loss = nn.functional.cross_entropy(model(x).exp(), tg.zeros(4).long())
    assert cited(viz.explain(loss)) == [13, 33, 14, 17, 36, 37, 38]
    y = model[:2](x)
    loss = nn.functional.mse_loss(model[2:](y + y.sin()), tg.zeros(4, 2))
    assert cited(viz.explain(loss)) == [8, 13, 33, 14, 17]


@given(seeds, st.integers(1, 5))
def test_paths_sum_to_the_gradient(seed: int, count: int):
    leaves, loss = scalars(seed, count)
    for leaf in leaves:
        total = tg.autograd.grad(loss, leaf, retain_graph=True, allow_unused=True)[0]
        if total is None:
            with pytest.raises(GraphError, match="no path leads"):
                viz.explain(loss, leaf)
            continue
        first, *lines = viz.explain(loss, leaf, names={"w": leaf}).splitlines()
        assert first.startswith("gradient of w: ")
        assert f"over {len(lines)} path" in first
        products = [float(line.rsplit(" = ", 1)[1]) for line in lines]
        np.testing.assert_allclose(sum(products), total.item(), rtol=1e-2, atol=1e-2)
        for line, value in zip(lines, products, strict=True):
            factors = line.split(": ")[1].split(" = ")[0].split(" · ")
            np.testing.assert_allclose(np.prod([*map(float, factors)]), value, rtol=1e-2)


def test_paths_through_arrays_show_rules_and_results_have_paths_as_leaves_have():
    w = tg.tensor([[1.0], [2.0]], requires_grad=True)
    text = viz.explain((w * tg.ones(2, 3)).exp().sum(), w)
    assert "[g * y]" in text
    assert text.startswith("gradient of input: [")
    with viz.record(model := nn.Sequential(nn.Linear(1, 2), nn.Sigmoid())):
        loss = model(w).sum()
    assert viz.explain(loss, model[0].bias).startswith("gradient of 0.bias: [")
    assert np.array2string(np.exp([[1.0], [2.0]]) * 3, precision=4) in text
    a = tg.tensor(3.0, requires_grad=True)
    m = a * a
    text = viz.explain(m * m + m, m, names={"m": m})
    assert text.splitlines()[0] == "gradient of m: 19, the sum over 3 paths"
    assert "a result of multiply" in viz.explain(m * a, m)
    printed: list[str] = []
    text._repr_pretty_(type("Printer", (), {"text": printed.append}))
    assert printed == [str(text)]


def test_too_many_paths_are_refused_and_a_missing_gradient_is_explained():
    w = tg.tensor(1.0, requires_grad=True)
    x = w
    for _ in range(7):
        x = x + x
    freed = w * 2
    freed.backward()
    for arguments, message in (
        *(((x, w), "64 paths"), ((tg.ones(2) * w, w), "scalar result")),
        ((freed,), r"freed by backward\(\)"),
    ):
        with pytest.raises(GraphError, match=message):
            viz.explain(*arguments)
    y = tg.tensor([1.0], requires_grad=True)
    for tensor, part in (
        *((y, "backward() has not been called"), (y * tg.ones(2), "retain_grad()")),
        (tg.ones(1), "does not require grad"),
    ):
        assert part in viz.explain(tensor)
