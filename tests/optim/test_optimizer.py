"""SGD and the base class of optimizers: formulas, groups, state, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optimizers_table import parameter, seeds, set_gradient, shapes

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.optim import SGD, Optimizer

rates = st.floats(0, 1)


@st.composite
def sgd_options(draw: st.DrawFn) -> dict[str, Any]:
    options = {
        "lr": draw(rates),
        "momentum": draw(st.sampled_from([0, 0.5, 0.9])),
        "dampening": draw(st.sampled_from([0, 0.3])),
        "weight_decay": draw(st.sampled_from([0, 0.1])),
        "maximize": draw(st.booleans()),
    }
    options["nesterov"] = (
        options["momentum"] > 0 and options["dampening"] == 0 and draw(st.booleans())
    )
    return options


def sgd_formula(p: Any, g: Any, v: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return parameter and velocity after a step, by the formula in PyTorch's documentation."""
    lr, momentum, dampening = options["lr"], options["momentum"], options["dampening"]
    g = (-g if options["maximize"] else g) + options["weight_decay"] * p
    if momentum:
        v = g if v is None else momentum * v + (1 - dampening) * g
        g = g + momentum * v if options["nesterov"] else v
    return p - lr * g, v


@given(sgd_options(), shapes, seeds, st.lists(st.booleans(), min_size=1, max_size=6))
def test_steps_of_sgd_equal_its_formula(
    options: dict[str, Any], shape: tuple[int, ...], seed: int, has_gradients: list[bool]
):
    p = parameter(*shape, seed=seed)
    optimizer = SGD([p], **options)
    rng = np.random.default_rng(seed)
    expected, velocity = p.numpy().copy(), None
    for has_gradient in has_gradients:
        gradient = rng.standard_normal(shape) if has_gradient else None
        set_gradient(p, gradient)
        assert optimizer.step() is None
        if has_gradient:
            expected, velocity = sgd_formula(expected, gradient, velocity, options)
            np.testing.assert_array_equal(p.grad.numpy(), gradient)
        scale = 3 + np.max(abs(expected), initial=0)
        scale += 0 if velocity is None else np.max(abs(velocity), initial=0)
        np.testing.assert_allclose(p.numpy(), expected, rtol=0, atol=1e-14 * scale)
        buffer = optimizer.state[p].get("momentum_buffer")
        assert (buffer is None) == (velocity is None)
        if buffer is not None:
            np.testing.assert_allclose(buffer.numpy(), velocity, rtol=0, atol=1e-14 * scale)


def test_momentum_0_leaves_the_velocity_unchanged():
    p = parameter(2)
    optimizer = SGD([p], lr=0.5, momentum=0.5, nesterov=True, maximize=True)
    set_gradient(p, [1.0, 2.0])
    optimizer.step()
    before, velocity = p.numpy().copy(), optimizer.state[p]["momentum_buffer"].tolist()
    optimizer.param_groups[0]["momentum"] = 0
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), before + np.array([0.5, 1.0]))
    assert optimizer.state[p]["momentum_buffer"].tolist() == velocity


def test_0d_parameters():
    p = parameter()
    set_gradient(p, 2.0)
    start = p.item()
    optimizer = SGD([p], lr=0.5, momentum=0.5)
    optimizer.step()
    optimizer.step()
    assert p.item() == pytest.approx(start - 1.0 - 1.5)
    assert p.shape == ()


@given(st.permutations([0, 0, 1, 1, 2]))
def test_a_repeated_parameter_is_updated_once(order: list[int]):
    tensors = [parameter(1, seed=i) for i in range(3)]
    expected = [t.item() - 0.5 for t in tensors]
    for t in tensors:
        set_gradient(t, [1.0])
    optimizer = SGD([tensors[i] for i in order], lr=0.5)
    optimizer.step()
    assert [t.item() for t in tensors] == expected
    first = list(dict.fromkeys(order))
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(tensors[i]) for i in first]


def test_groups_have_options_that_may_change():
    a, b, c = (parameter(1, seed=i) for i in range(3))
    optimizer = SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": iter([c]), "lr": 0.0, "note": "frozen"})
    before = [t.item() for t in (a, b, c)]
    for t in (a, b, c):
        set_gradient(t, [1.0])
    optimizer.step()
    assert [t.item() for t in (a, b, c)] == [before[0] - 0.1, before[1] - 0.5, before[2]]
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()
    assert a.item() == before[0] - 0.1 - 1.0
    assert optimizer.param_groups[2]["note"] == "frozen"


def test_step_calls_the_closure_with_grad_enabled_and_returns_its_loss():
    w = parameter(2)
    optimizer = SGD([w], lr=0.1)
    before = w.numpy().copy()

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == pytest.approx((before**2).sum())
    np.testing.assert_allclose(w.numpy(), 0.8 * before)


def test_zero_grad_sets_to_none_or_zero():
    a, b = parameter(2), parameter(2)
    optimizer = SGD([a, b], lr=0.1)
    (a * a).sum().backward(create_graph=True)
    before = a.grad
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0, 0]
    assert not a.grad.requires_grad
    assert b.grad is None
    assert before.numpy().any()
    optimizer.zero_grad()
    assert a.grad is None


def test_the_state_dict_has_the_format_of_pytorch():
    a, b = parameter(1), parameter(2)
    optimizer = SGD([{"params": [a], "lr": 0.5}, {"params": [b]}], lr=0.1, momentum=0.9)
    set_gradient(b, [1, 2])
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert list(state["state"]) == [1]
    assert state["state"][1]["momentum_buffer"].tolist() == [1, 2]
    assert [group["params"] for group in state["param_groups"]] == [[0], [1]]
    assert [group["lr"] for group in state["param_groups"]] == [0.5, 0.1]
    assert set(state["param_groups"][0]) == {
        *("params", "lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"),
    }


def test_loading_casts_to_the_parameters_dtype_and_fills_in_defaults():
    p = parameter(2, dtype=np.float32)
    optimizer = SGD([p], lr=0.1, weight_decay=0.5)
    group = {"params": [7], "lr": 0.2, "momentum": 0.9}
    optimizer.load_state_dict(
        {"state": {7: {"momentum_buffer": np.ones(2), "n": 3}}, "param_groups": [group]}
    )
    assert optimizer.state[p]["momentum_buffer"].dtype == np.float32
    assert optimizer.state[p]["n"] == 3
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    assert optimizer.param_groups[0]["params"][0] is p


def test_named_parameters():
    net = nn.Sequential(nn.Linear(1, 1))
    optimizer = SGD(net.named_parameters(), lr=0.1)
    names = optimizer.state_dict()["param_groups"][0]["param_names"]
    assert names == ["0.weight", "0.bias"]
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.param_groups[0]["param_names"] == names
    w = parameter(1)
    twice = SGD([("a", w), ("b", parameter(1)), ("again", w)], lr=0.1)
    assert twice.param_groups[0]["param_names"] == ["a", "b"]
    with pytest.raises(ValueError, match="some parameters have names and some do not"):
        optimizer.add_param_group({"params": [w]})
    with pytest.raises(ValueError, match="some parameters have names and some do not"):
        SGD([("a", w), parameter(1)], lr=0.1)


def test_repr_is_that_of_pytorch():
    assert repr(SGD([parameter(1)], lr=0.1)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n    maximize: False\n"
        "    momentum: 0\n    nesterov: False\n    weight_decay: 0\n)"
    )


# Errors, which change nothing

w = parameter(2)
result = parameter(2) * 2


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([], ValueError, r"SGD got no parameters\. Parameters are tensors with requires_grad=True"),
        (iter(()), ValueError, "A generator is empty after its first use"),
        (nn.Tanh().parameters(), ValueError, "and the nn.Parameters of a Module"),
        (nn.Linear(1, 1), TypeError, r"got a Linear\. Pass model\.parameters\(\)"),
        (
            nn.Linear(1, 1).parameters,
            TypeError,
            r"got the function Module.parameters\. Call it: model\.parameters\(\)",
        ),
        ([{"params": nn.Linear(1, 1).parameters}], TypeError, r"Call it: model\.parameters\(\)"),
        ([{"params": nn.Linear(1, 1)}], TypeError, r"got a Linear\. Pass model"),
        (w, TypeError, r"takes a list of parameters, got a Tensor: pass \[tensor\]"),
        ({"params": [w]}, TypeError, r"got a dict: pass \[tensor\], \[group\], or dict.values"),
        ({w}, TypeError, "parameters need an order, got a set: pass a list"),
        ([3.0], TypeError, "optimizes tensors, got a float. Parameters are"),
        ([nn.Linear(1, 1)], TypeError, "optimizes tensors, got a Linear. Parameters are"),
        ([result], ValueError, r"got the result of \w+, of shape \(2,\), expected a leaf"),
        ([{"lr": 3}], TypeError, "SGD: a group is a dict with 'params', got {'lr': 3}"),
        ([{"params": [w]}, w], TypeError, "SGD: a group is a dict with 'params'"),
        ([{"params": {w}}], TypeError, "got a set: pass a list"),
        (
            [{"params": [w]}, {"params": [w]}],
            ValueError,
            r"parameter of shape \(2,\) is in more than one group",
        ),
    ],
)
def test_invalid_parameters(params: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        SGD(params, lr=0.1)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), "0.1", None])
@pytest.mark.parametrize("option", ["lr", "momentum", "weight_decay"])
def test_options_out_of_range(option: str, wrong: Any):
    message = f"SGD: {option} must be a finite number, at least 0, got {wrong!r}"
    with pytest.raises(ValueError, match=message):
        SGD([w], **{option: wrong})
    with pytest.raises(ValueError, match=message):
        SGD([{"params": [w], option: wrong}])
    optimizer = SGD([w], lr=0.1)
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [parameter(1)], option: wrong})
    assert len(optimizer.param_groups) == 1
    state = optimizer.state_dict()
    if option == "lr":
        return  # a scheduler may have set any rate
    state["param_groups"][0][option] = wrong
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nesterov": True}, "nesterov needs a momentum above 0 and a dampening of 0"),
        ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov needs a momentum"),
        ({"dampening": float("nan")}, "dampening must be a finite number, got nan"),
    ],
)
def test_invalid_combinations_of_options(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        SGD([w], lr=0.1, **options)


def test_step_rejects_a_learning_rate_of_nan():
    a, b = parameter(1), parameter(1)
    optimizer = SGD([{"params": [a]}, {"params": [b]}], lr=0.1)
    set_gradient(a, [1.0])
    before = a.tolist()
    optimizer.param_groups[1]["lr"] = float("nan")
    with pytest.raises(ValueError, match="the learning rate of a group is NaN"):
        optimizer.step()
    assert a.tolist() == before


def test_an_invalid_state_dict_changes_nothing():
    optimizer = SGD([parameter(2)], lr=0.1, momentum=0.9)
    state = SGD([parameter(2), parameter(1)], lr=0.5).state_dict()
    with pytest.raises(ValueError, match=r"groups of \[1\] parameters, and .* groups of \[2\]"):
        optimizer.load_state_dict(state)
    state = optimizer.state_dict()
    state["state"] = {0: {"momentum_buffer": tg.zeros(3)}}
    state["param_groups"][0]["lr"] = 0.5
    with pytest.raises(ValueError, match=r"momentum_buffer of shape \(3,\) for .* shape \(2,\)"):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert not optimizer.state


def test_a_subclass_defines_update():
    class Sign(Optimizer):
        def _update(self, group: dict[str, Any]) -> None:
            for p in group["params"]:
                p.data = p.data - group["lr"] * tg.tensor(np.sign(p.grad.numpy()))

    p = parameter(2)
    start = p.numpy().copy()
    set_gradient(p, [5.0, -7.0])
    Sign([p], {"lr": 0.5}).step()
    np.testing.assert_allclose(p.numpy(), start - [0.5, -0.5])
    with pytest.raises(NotImplementedError, match="Optimizer defines neither `_update` nor"):
        Optimizer([p], {}).step()
