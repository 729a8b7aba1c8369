"""Parameters, and the state of a model: saved, loaded, copied, shared."""

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from drawing import Plain

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.core import graph

Module, Parameter = nn.Module, nn.Parameter


def test_a_parameter_is_a_leaf_that_shares_memory():
    array = np.zeros(2)
    parameter = Parameter(array)
    assert np.shares_memory(parameter.numpy(), array)
    product = tg.ones(2, requires_grad=True) * 2
    assert Parameter(product).is_leaf
    assert np.shares_memory(Parameter(product).numpy(), product.numpy())
    assert Parameter().shape == (0,)
    assert type(parameter + 1) is tg.Tensor
    parameter.tag = "mine"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="require_grad"):
        tg.ones(2).require_grad = True  # type: ignore[attr-defined]
    frozen = Parameter(array, requires_grad=False)
    for twin in (frozen, copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert not twin.requires_grad
    with pytest.raises(TypeError, match="got dtype int64; expected floats"):
        Parameter(np.arange(3))


def test_a_loaded_model_equals_the_saved_one_and_copies():
    net, other = (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(2))
    net(tg.ones(1, 3)).sum().backward()
    assert repr(other.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    x = tg.randn(5, 3)
    for twin in (other, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(net(x).numpy(), twin(x).numpy())
        assert all(p.grad is None for p in twin.parameters())


def test_a_state_dict_shares_memory_and_is_detached():
    layer = nn.Linear(2, 2)
    state, weight = layer.state_dict(), layer.weight
    assert np.shares_memory(state["weight"].numpy(), weight.numpy())
    assert not state["weight"].requires_grad
    assert layer.state_dict(keep_vars=True)["weight"] is weight
    layer.load_state_dict({"weight": np.eye(2, dtype=np.float32), "bias": np.zeros(2)})
    assert layer.weight.dtype == np.float64
    np.testing.assert_array_equal(layer.weight.numpy(), np.eye(2))
    values = {"weight": tg.ones(2, 2, dtype=tg.float32), "bias": tg.zeros(2)}
    layer.load_state_dict(values, assign=True)  # uses their memory and dtype
    assert layer.weight is weight
    assert weight.dtype == np.float32
    assert np.shares_memory(weight.numpy(), values["weight"].numpy())


def test_backward_detects_values_loaded_after_the_forward_pass():
    layer = nn.Linear(2, 1, bias=False)
    weight, x = layer.weight.tolist(), tg.ones(3, 2, requires_grad=True)
    loss = layer(x).sum()
    layer.load_state_dict({"weight": np.zeros((1, 2))}, assign=True)
    loss.backward()  # assigned memory leaves the old values unchanged
    assert x.grad.tolist() == weight * 3
    loss = layer(x).sum()
    layer.load_state_dict({"weight": np.ones((1, 2))})
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_invalid_state_dicts():
    layer = nn.Linear(2, 2)
    before, integers = layer.weight.tolist(), {"weight": np.eye(2, dtype=int), "bias": np.zeros(2)}
    with pytest.raises(TypeError, match="the state is a list, expected a dict"):
        layer.load_state_dict([])  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="bias has dtype <U1, expected numbers"):
        layer.load_state_dict({"weight": np.eye(2), "bias": np.array(["a", "b"])})
    with pytest.raises(RuntimeError, match="weight has dtype int64, expected floats"):
        layer.load_state_dict(integers, assign=True)
    assert layer.weight.tolist() == before
    layer.requires_grad_(requires_grad=False)
    layer.load_state_dict(integers, assign=True)
    assert layer.weight.dtype == np.int64


def test_a_model_that_contains_itself_has_parameters_and_no_state_dict_or_mode():
    outer = Plain(w=Parameter([1.0]))
    outer.inner = inner = Plain(up=outer, v=Parameter([2.0]))
    assert [name for name, _ in outer.named_parameters()] == ["w", "inner.v"]
    assert [name for name, _ in inner.named_parameters()] == ["v", "up.w"]
    twin = pickle.loads(pickle.dumps(copy.deepcopy(outer)))
    assert twin.inner.up is twin
    for recursive in (outer.state_dict, outer.eval, lambda: repr(outer)):
        with pytest.raises(RecursionError):
            recursive()
    hidden = Plain(w=Parameter([1.0]))
    hidden.inner = Plain(up=[hidden])  # no part of the inner one
    assert list(hidden.eval().state_dict()) == ["w"]


def test_to_converts_parameters_buffers_and_gradients_in_place():
    scale = Parameter(tg.ones(2))
    net = Plain(part=Plain(scale=scale))
    for name, value in (("mean", tg.zeros(2)), ("count", tg.tensor(0)), ("none", None)):
        net.part.register_buffer(name, value)
    net.part.register_buffer("scratch", tg.zeros(1), persistent=False)
    assert list(net.state_dict()) == ["part.scale", "part.mean", "part.count"]
    scale.sum().backward()
    for convert, dtype in (
        (lambda: net.to(tg.float32), np.float32),
        (net.double, np.float64),
        (net.half, np.float16),
        (lambda: net.to("cpu"), np.float16),
        (lambda: net.to(tg.device("cpu"), tg.float64), np.float64),
        (lambda: net.to(tg.zeros(1, dtype=tg.float32)), np.float32),
        (lambda: net.to(device="cpu", dtype=tg.float64), np.float64),
        (net.float, np.float32),
    ):
        assert convert() is net
        assert net.part.scale is scale
        converted = (scale, scale.grad, net.part.mean, net.part.scratch)
        assert {t.dtype for t in converted} == {np.dtype(dtype)}
        assert net.part.count.dtype == np.int64
    for wrong in (tg.int64, np.uint16):
        with pytest.raises(TypeError, match=r"to: dtype is \w+, expected a float"):
            net.to(wrong)


NORM, TABLE, WEIGHT = nn.BatchNorm1d(2), nn.Embedding(4, 2, max_norm=0.1), tg.empty(3, 3)
IN_PLACE: dict[str, Any] = {
    "batch_norm": lambda: NORM(tg.ones(4, 2)),
    "embedding": lambda: TABLE(tg.tensor([0, 1])),
    "load_state_dict": lambda: NORM.load_state_dict(NORM.state_dict()),
    "uniform_": lambda: nn.init.uniform_(WEIGHT),
    "orthogonal_": lambda: nn.init.orthogonal_(WEIGHT),
    "constant_": lambda: nn.init.constant_(WEIGHT, 1.0),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_changes_hold_the_lock_of_the_graph(name: str):
    change = IN_PLACE[name]
    done = threading.Event()
    thread = threading.Thread(target=lambda: (change(), done.set()))
    with graph.mutation_lock:  # as the backward pass does
        thread.start()
        assert not done.wait(0.05)
    thread.join()
    assert done.is_set()
