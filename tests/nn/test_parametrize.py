"""Parametrized, normalised, orthogonal and pruned weights."""

import copy
from typing import Any

import numpy as np
import pytest
from drawing import Plain, arrays, close
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn.utils import parametrizations, parametrize, prune

matrices = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(shape, low=0.1)
)


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).T

    def right_inverse(self, a: Any) -> Any:
        return a.triu()


class RankOne(nn.Module):
    def forward(self, u: Any, v: Any) -> Any:
        return tg.outer(u, v)

    def right_inverse(self, matrix: Any) -> Any:
        return matrix[:, 0], matrix[0] / matrix[0, 0]


def layer(weight: Any) -> Any:
    module = nn.Linear(weight.shape[1], weight.shape[0])
    module.weight.data = tg.tensor(weight)
    return module


def trained(module: Any, steps: int = 3) -> Any:
    optimizer = tg.optim.SGD(module.parameters(), lr=0.1)
    x = tg.tensor(np.random.default_rng(0).normal(size=(5, module.in_features)))
    for _ in range(steps):
        optimizer.zero_grad()
        (module(x).sin() ** 2).mean().backward()
        optimizer.step()
    return module


def test_a_parametrized_tensor_is_computed_assigned_and_removed() -> None:
    weight = tg.tensor(np.arange(9.0).reshape(3, 3))
    module = layer(weight.numpy())
    original = module.weight
    assert parametrize.register_parametrization(module, "weight", Symmetric()) is module
    assert repr(module).startswith("ParametrizedLinear(")
    assert parametrize.type_before_parametrizations(module) is nn.Linear
    assert module.parametrizations.weight.original is original
    close(module.weight.detach().numpy(), (weight.triu() + weight.triu(1).T).numpy())
    symmetric = weight + weight.T
    module.weight = symmetric
    close(module.weight.detach().numpy(), symmetric.numpy())
    other = copy.deepcopy(module)
    state = other.state_dict()
    parametrize.register_parametrization(module, "weight", Plain(forward=tg.exp))
    close(module.weight.detach().numpy(), symmetric.exp().numpy())
    with pytest.raises(AttributeError, match="right_inverse"):
        module.weight = symmetric
    parametrize.register_parametrization(module, "bias", Plain(forward=tg.exp))
    parametrize.remove_parametrizations(module, "weight")
    assert parametrize.is_parametrized(module, "bias")
    assert not parametrize.is_parametrized(module, "weight")
    close(module.weight.detach().numpy(), symmetric.exp().numpy())
    parametrize.remove_parametrizations(module, "bias", leave_parametrized=False)
    assert type(module) is nn.Linear
    assert sorted(module.state_dict()) == ["bias", "weight"]
    assert parametrize.is_parametrized(other)  # a copy has its own
    assert list(other.state_dict()) == list(state)
    close(trained(other).weight.detach().numpy(), other.weight.T.detach().numpy())


def test_a_tensor_of_several_originals() -> None:
    module = layer(np.outer([1.0, 2.0], [3.0, 4.0, 5.0]))
    parametrize.register_parametrization(module, "weight", RankOne())
    names = [f"parametrizations.weight.original{k}" for k in (0, 1)]
    assert [name for name, _ in module.named_parameters()][1:] == names
    assert np.linalg.matrix_rank(trained(module).weight.detach().numpy()) == 1


@given(matrices)
@settings(max_examples=10)
def test_spectral_norm_is_one(weight: Any) -> None:
    module = parametrizations.spectral_norm(layer(weight), n_power_iterations=300)
    module(tg.zeros(1, weight.shape[1]))
    module.eval()
    before = module.weight
    assert before.tolist() == module.weight.tolist()  # no iteration in evaluation mode
    assert abs(np.linalg.svd(before.detach().numpy())[1][0] - 1) < 1e-3
    assert parametrize.is_parametrized(nn.utils.spectral_norm(layer(weight)))
    plain = nn.utils.remove_spectral_norm(module)
    close(plain.weight.detach().numpy(), before.detach().numpy())


@pytest.mark.parametrize("orthogonal_map", [None, "matrix_exp", "cayley", "householder"])
@given(matrices)
@settings(max_examples=10)
def test_orthogonal_weights_stay_orthogonal(orthogonal_map: Any, weight: Any) -> None:
    module = parametrizations.orthogonal(layer(weight), orthogonal_map=orthogonal_map)
    for _ in range(2):
        w = module.weight.detach().numpy()
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        close(gram, np.eye(min(w.shape)), tolerance=1e-11)
        trained(module)
    assert w.tolist() != module.weight.tolist() or w.shape[0] == 1  # only ±1 is orthogonal
    target = np.linalg.qr(np.random.default_rng(0).normal(size=(max(w.shape), min(w.shape))))[0]
    target = target if target.shape == w.shape else target.T
    module.weight = tg.tensor(target)
    close(module.weight.detach().numpy(), target, tolerance=1e-11)


@given(matrices, st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=20)
def test_pruned_weights_stay_zero(weight: Any, share: float, again: float) -> None:
    for prune_weight in (prune.l1_unstructured, prune.random_unstructured):
        module = layer(weight)
        prune_weight(module, "weight", share)
        count = round(share * weight.size)
        kept = module.weight_mask.numpy()
        assert (kept == 0).sum() == count
        close(module.weight.detach().numpy(), kept * weight)
        if prune_weight is prune.l1_unstructured and 0 < count < weight.size:
            assert abs(weight[kept == 0]).max() <= abs(weight[kept == 1]).min()
        prune_weight(module, "weight", again)
        count += round(again * (weight.size - count))
        mask = module.weight_mask.numpy()
        assert (mask == 0).sum() == count
        assert (mask <= kept).all()
        trained(module)
        assert (module.weight.detach().numpy()[mask == 0] == 0).all()
        assert sorted(module.state_dict()) == ["bias", "weight_mask", "weight_orig"]
        assert prune.is_pruned(nn.Sequential(module))
        value = module.weight.tolist()
        assert prune.remove(module, "weight").weight.tolist() == value
        assert type(module) is nn.Linear
        module.register_buffer("attention_mask", tg.ones(2))  # which masks no parameter
        assert not prune.is_pruned(module)


def test_models_with_such_weights_are_copied_converted_called_and_compiled() -> None:
    model = nn.Sequential(
        parametrizations.weight_norm(nn.Linear(3, 4)),
        parametrizations.spectral_norm(nn.Linear(4, 4)),
        prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5),
        nn.utils.weight_norm(nn.Linear(4, 2)),
        parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="householder"),
    ).eval()
    x = tg.rand(5, 3)
    out = model(x)
    other = copy.deepcopy(model)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    assert other(x).tolist() == out.tolist()
    assert other.float()(x.float()).dtype == tg.float32
    doubled = {name: 2 * p for name, p in model.named_parameters()}
    changed = tg.func.functional_call(model, doubled, x)
    with tg.no_grad():
        for p in model.parameters():
            p.mul_(2)
    close(changed.detach().numpy(), model(x).detach().numpy(), tolerance=1e-12)
    compiled = tg.compile(model.forward, backend="numpy")
    close(compiled(x).numpy(), model(x).detach().numpy(), tolerance=1e-12)
