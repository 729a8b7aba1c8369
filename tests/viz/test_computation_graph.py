"""The structure that pictures and explanations read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, viz
from tinygrad_fc.core.errors import GraphError
from viz.networks import ACTIVATIONS, Net, network, scalars, seeds, widths


@given(widths, st.sampled_from([*ACTIVATIONS]), seeds)
def test_networks_have_the_same_nodes_fused_and_recorded(
    sizes: list[int], activation: str, seed: int
):
    model, x, y = network(sizes, activation, seed)
    fused = viz.graph(nn.functional.mse_loss(model(x), y)).nodes
    with viz.record(model):
        loss = nn.functional.mse_loss(model(x), y)
    nodes = viz.graph(loss).nodes
    layers = len(sizes) - 1
    assert [n.name for n in nodes] == ["linear", activation] * layers + ["mse_loss"]
    assert [n.path for n in nodes] == [*map(str, range(2 * layers)), ""]
    assert [n.name for n in fused] == [n.name for n in nodes]
    loss.backward()
    named = dict(model.named_parameters())
    for node, other in zip(nodes, fused, strict=True):
        np.testing.assert_allclose(other.value, node.value, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(other.gradient, node.gradient, rtol=1e-9, atol=1e-300)
        for leaf in node.leaves:
            if leaf.requires_grad:
                np.testing.assert_array_equal(leaf.gradient, named[leaf.name].grad.numpy())
                np.testing.assert_array_equal(leaf.value, named[leaf.name].numpy())


@given(seeds, st.integers(1, 12))
def test_gradients_are_those_of_the_nodes_and_change_no_grad(seed: int, count: int):
    leaves, loss = scalars(seed, count)
    first, *others = leaves
    first.grad = tg.tensor(7.0)
    nodes = viz.graph(loss, names={"first": first}).nodes
    assert first.grad.item() == 7
    assert [leaf.grad for leaf in others] == [None, None]
    first.grad = None
    loss.backward()
    for node in nodes:  # each node comes after what it reads
        assert all(i < node.number for i in node.inputs if isinstance(i, int))
        for leaf in node.leaves:
            assert leaf.name != "first" or leaf.gradient == first.grad.numpy()


def test_gradients_that_are_not_there_are_none_and_parameters_are_copied():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    nodes = (*viz.graph(w * 2).nodes, *viz.graph((w * 2).sum(), gradients=False).nodes)
    with tg.no_grad():
        w.add_(1)
    assert {part.gradient for node in nodes for part in (node, *node.leaves)} == {None}
    np.testing.assert_array_equal(nodes[0].leaves[0].value, [1, 2])


def test_calls_nest_and_repeat():
    inner = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    model = Net(lambda net, x: net.inner(net.inner(x)) + 1, inner=inner)
    with viz.record(model):
        nodes = viz.graph(model(tg.ones(1, 2)).sum()).nodes
    assert [n.path for n in nodes] == ["inner.0", "inner.1", "inner.0", "inner.1", "", ""]
    assert not model._forward_hooks
    with viz.record(model), pytest.raises(Exception, match="in_features"):
        model(tg.ones(1, 3))
    assert not model._forward_hooks


def test_what_has_no_graph_is_refused():
    w = tg.tensor(1.0, requires_grad=True)
    loss = w.exp().sin()
    loss.backward()
    for show in (viz.graph, viz.draw, viz.explain):
        with pytest.raises(
            GraphError, match=r"freed by backward\(\).*before backward\(\).*retain_graph"
        ):
            show(loss)
    for leaf in (tg.ones(2).sum(), w):
        with pytest.raises(GraphError, match="has no graph"):
            viz.graph(leaf)
    with pytest.raises(TypeError, match="takes a tensor"):
        viz.graph(3.0)  # type: ignore[arg-type]


def test_a_chain_of_many_ops_needs_no_recursion():
    x = tg.tensor(1.0, requires_grad=True)
    for _ in range(5_000):
        x = x + 1
    assert len(viz.graph(x).nodes) == 5_000
    assert str(viz.graph(x)).count("\n") == 10_000
