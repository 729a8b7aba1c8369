"""Explanations: numbers in them are those of the backward pass."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, viz
from tinygrad_fc.core.op import Op, registry
from tinygrad_fc.ops.linalg import linear
from viz.networks import network, seeds, widths

OPS = list({id(op): op for op in registry.values() if op.outer is None}.values())


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_op_is_explained(op: Op):
    text = viz.explain(op)
    assert text.startswith(f"{op.name}(")
    assert len(text.splitlines()) >= 2 + len(op.domain)


def test_functions_of_numpy_are_explained_as_their_ops_and_others_refused():
    for function, op in ((np.tanh, tg.tanh), (np.sum, tg.sum)):
        assert viz.explain(function) == viz.explain(op)
    for op, part in ((tg.relu, "g * (y != 0)"), (tg.sin, "np.sin"), (linear, ": g.sum(axis=0)")):
        assert part in viz.explain(op)
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


def test_notebooks_print_an_explanation():
    text, printed = viz.explain(tg.tanh), list[str]()
    text._repr_pretty_(type("Printer", (), {"text": printed.append}))  # type: ignore[attr-defined]
    assert printed == [str(text)]


def test_a_missing_gradient_is_explained():
    y = tg.tensor([1.0], requires_grad=True)
    assert "backward() has not been called" in viz.explain(y)
    assert "retain_grad()" in viz.explain(y * tg.ones(2))
    assert "does not require grad" in viz.explain(tg.ones(1))


def test_dependence_on_a_tensor_is_explained():
    x, unused = (tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    doubled = x * 2
    loss = (doubled**2).sum()
    assert "depends on this leaf, with a gradient of norm 17.89" in viz.explain(loss, x)
    assert "result of multiply, with a gradient of norm 8.944" in viz.explain(loss, doubled)
    assert "no path leads from the loss" in viz.explain(loss, unused)
    assert "does not require grad" in viz.explain(loss, tg.ones(2))
    with pytest.raises(tg.errors.ShapeError, match="needs a scalar"):
        viz.explain(doubled, x)
    loss.backward()  # the graph is still there
    assert x.grad is not None
