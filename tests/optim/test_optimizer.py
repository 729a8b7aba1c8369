"""Optimizers: steps, groups, state, errors; tests/parity compares the steps with PyTorch's."""

import contextlib
import copy
import math
import re
from typing import Any

import numpy as np
import pytest
from drawing import T, laid_out, seeds
from hypothesis import given
from hypothesis import strategies as st
from optimizers import LBFGS, OPTIMIZERS, WAYS, few, one_of, options, parameter, set_gradient, twin

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.optim import SGD, Optimizer

each = pytest.mark.parametrize("name", OPTIMIZERS)
EVERY = OPTIMIZERS | {"LBFGS": options(**LBFGS)}
every = pytest.mark.parametrize("name", EVERY)


def stepped(name: str, *params: tg.Tensor, **options: Any) -> Any:
    """Return the optimizer after a step along gradients of 1."""
    optimizer = getattr(optim, name)(params, **options)
    for p in params:
        set_gradient(p, np.ones(p.shape))
    optimizer.step()
    return optimizer


# Every optimizer


@each
@few
@given(data=st.data(), seed=seeds, layout=one_of("plain", "fortran", "strided"))
def test_large_parameters_are_updated_elementwise(
    name: str, data: st.DataObject, seed: int, layout: str
):
    options = data.draw(OPTIMIZERS[name])
    rng, shape, at = np.random.default_rng(seed), (200, 200), np.s_[::40, ::50]
    whole = T(laid_out(rng.standard_normal(shape), layout))
    part = tg.tensor(whole.numpy()[at], requires_grad=True)
    optimizer = getattr(optim, name)([whole, part], **options)
    for _ in range(2):
        gradient = rng.standard_normal(shape)
        set_gradient(whole, gradient)
        set_gradient(part, gradient[at])
        optimizer.step()
    np.testing.assert_allclose(whole.numpy()[at], part.numpy(), rtol=1e-14, atol=1e-14)
    for key, value in optimizer.state[part].items():
        large = optimizer.state[whole][key].numpy()
        np.testing.assert_allclose(large[at] if value.ndim else large, value.numpy(), rtol=1e-14)


@each
@few
@given(data=st.data())
def test_steps_preserve_dtype_and_memory(name: str, data: st.DataObject):
    options = data.draw(OPTIMIZERS[name])
    for lr in (options["lr"], np.float64(options["lr"]), tg.tensor(options["lr"])):
        p = parameter(3, dtype=np.float32)
        array = p.numpy()
        optimizer = getattr(optim, name)([p], **{**options, "lr": lr})
        state = optimizer.state[p]
        stored: list[list[int]] = []
        for k in range(3):
            set_gradient(p, [1.0, -1.0, k])
            optimizer.step()
            stored.append([id(value._array) for value in state.values()])
        assert stored[0] == stored[1] == stored[2]
        assert np.shares_memory(array, p.numpy())
        assert p.dtype == np.float32
        for value in state.values():
            assert value.dtype == (np.float32 if value.ndim else np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_step_count_has_the_default_dtype(dtype: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tinygrad_fc.core.dtypes._default", np.dtype(dtype))
    state = stepped("NAdam", parameter(2, dtype=np.float16)).state.popitem()[1]
    found = [state[key].dtype for key in ("step", "mu_product", "exp_avg")]
    assert found == [dtype, dtype, np.float16]


@each
def test_a_repeated_parameter_is_updated_once_and_a_step_needs_gradients(name: str):
    a, b = parameter(2), parameter(2)
    with pytest.warns(UserWarning, match="a parameter is in the list twice"):
        optimizer = stepped(name, a, a, b)
    assert a.tolist() == b.tolist()
    assert list(map(id, optimizer.param_groups[0]["params"])) == [id(a), id(b)]
    optimizer = getattr(optim, name)([parameter(2)])
    optimizer.step()
    assert len(optimizer.state) == (name == "Adagrad")  # which has state from the start


@each
def test_backward_detects_a_step_after_the_forward_pass(name: str):
    w = parameter(2)
    optimizer = getattr(optim, name)([w])
    (w * w).sum().backward()
    optimizer.step()
    stored = [value for value in optimizer.state[w].values() if value.ndim]
    losses = [(w * w).sum(), *[(value * w).sum() for value in stored]]
    optimizer.step()
    assert w.is_leaf
    v = parameter(2, dtype=np.float32)
    before, loss = v.tolist(), (v * v).sum()
    set_gradient(v, [3e38, -3e38])
    optimizer = getattr(optim, name)([v], lr=3e38)
    for _ in range(2):
        with contextlib.suppress(FloatingPointError):  # it raises after it has changed v
            optimizer.step()
    losses += [loss] * (v.tolist() != before)
    for loss in losses:
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()


def closure_of(optimizer: Optimizer, loss: Any) -> Any:
    """Return a closure that computes the loss and its gradients."""

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        result: tg.Tensor = loss()
        result.backward()
        return result

    return closure


def train(net: nn.Module, optimizer: Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.step(closure_of(optimizer, lambda: net(tg.ones(2, 3)).square().mean()))


@every
@few
@given(data=st.data(), seed=seeds, steps=st.integers(0, 3), how=one_of(*WAYS))
def test_training_resumes_exactly_from_a_saved_state(
    name: str, data: st.DataObject, seed: int, steps: int, how: str
):
    drawn = {**data.draw(EVERY[name]), "lr": 0.01}

    def create(**options: Any) -> tuple[nn.Module, Any]:
        net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
        return net, getattr(optim, name)(net.parameters(), **options)

    tg.manual_seed(seed)
    net, optimizer = create(**drawn)
    train(net, optimizer, steps)
    other_net, other = twin((net, optimizer), how, lambda: create(lr=0.7))
    train(net, optimizer, 2)
    train(other_net, other, 2)
    for p, q in zip(net.parameters(), other_net.parameters(), strict=True):
        assert p is not q
        np.testing.assert_array_equal(p.numpy(), q.numpy())


WRONG = {
    "a finite number, at least 0": (-1.0, math.nan, math.inf, "1", None),
    "a finite number": (math.nan, "1", None),
    "a number": (math.nan, "1", None),
    "between 0 and 1": (-0.1, 1.1, math.nan, "1"),
    "two numbers, each at least 0 and below 1": ((0.9,), (0.9, 1.0), (-0.1, 0.9), 0.9, "ab"),
    "two numbers, the first between 0 and 1, the second above 1": ((0.0, 1.2), (0.5, 1.0), 0.5),
    "two numbers, at least 0 and the second at least the first": ((2, 1), (-1, 1), 1),
    "an integer of at least 1": (0, -1, 1.5, "2"),
    "None or 'strong_wolfe'": ("armijo",),
}


@every
def test_options_out_of_range(name: str):
    make, w = getattr(optim, name), parameter(2)
    optimizer = make([w])
    ranges = {k: v.description for k, v in make.ranges.items() if k in optimizer.defaults}
    unchecked = {key for key, value in optimizer.defaults.items() if not isinstance(value, bool)}
    assert ranges.keys() == unchecked
    for option, expected in ranges.items():
        for wrong in WRONG[expected]:
            message = f"^{re.escape(f'{name}: {option} must be {expected}, got {wrong!r}')}$"
            with pytest.raises(ValueError, match=message):
                make([w], **{option: wrong})
            with pytest.raises(ValueError, match=message):
                make([{"params": [w], option: wrong}])
            state = copy.deepcopy(optimizer.state_dict())
            state["param_groups"][0][option] = wrong
            if option != "lr":  # a scheduler may have set any rate
                with pytest.raises(ValueError, match=message):
                    optimizer.load_state_dict(state)


@every
def test_step_rejects_a_learning_rate_of_nan(name: str):
    p = parameter(2)
    before = p.tolist()
    optimizer = getattr(optim, name)([p])
    set_gradient(p, [1.0, 1.0])
    optimizer.param_groups[-1]["lr"] = math.nan
    with pytest.raises(ValueError, match="the learning rate of a group is NaN"):
        optimizer.step(lambda: tg.tensor(1.0))
    assert p.tolist() == before


# Single optimizers


def test_options_may_change_between_steps():
    p = parameter(2)
    for name, option, key in (
        ("Adam", {"amsgrad": True}, "max_exp_avg_sq"),
        ("RMSprop", {"momentum": 0.9}, "momentum_buffer"),
        ("RMSprop", {"centered": True}, "grad_avg"),
        ("SGD", {"momentum": 0.9}, "momentum_buffer"),
    ):
        optimizer = stepped(name, p)
        assert key not in optimizer.state[p]
        optimizer.param_groups[0].update(option)
        optimizer.step()
        assert optimizer.state[p][key].shape == p.shape
    velocity, before = optimizer.state[p]["momentum_buffer"].tolist(), p.numpy().copy()
    optimizer.param_groups[0].update(momentum=0, lr=0.5)
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), before - 0.5)
    assert optimizer.state[p]["momentum_buffer"].tolist() == velocity


def test_states_of_other_versions_and_optimizers():
    betas = [0.5, 0.9]
    listed = optim.Adam([parameter(1)], betas=betas)
    betas[0] = 0.0
    assert listed.param_groups[0]["betas"] == (0.5, 0.9)
    p = parameter(2)
    optimizer = stepped("Adam", p)
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0]["step"] = 7  # a Python number, as PyTorch had
    optimizer.load_state_dict(state)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 8
    decoupled = optim.AdamW([p])
    decoupled.load_state_dict(optimizer.state_dict())
    assert decoupled.param_groups[0]["decoupled_weight_decay"] is True
    assert decoupled.param_groups[0]["weight_decay"] == 0


@given(st.floats(-1e3, 1e3), st.integers(1, 400))
def test_centered_rmsprop_is_finite_for_a_variance_of_0(gradient: float, steps: int):
    p = parameter(1)
    optimizer = optim.RMSprop([p], alpha=0.9, centered=True)
    set_gradient(p, [gradient])
    for _ in range(steps):
        optimizer.step()
    assert np.isfinite(p.item())


def test_public_names():
    assert {*EVERY, "Optimizer", "lr_scheduler", "swa_utils"} == set(optim.__all__)
    assert set(optim.__all__) <= set(dir(optim))
    with pytest.raises(AttributeError, match=r"'tinygrad_fc\.optim' has no attribute 'sgd_'"):
        _ = optim.sgd_


# Groups and closures


def test_groups_have_options_that_may_change_and_step_calls_a_closure():
    a, b, c = (parameter(1, seed=i) for i in range(3))
    optimizer = SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": iter([c]), "lr": 0.0, "note": "frozen"})
    before = [t.item() for t in (a, b, c)]
    with tg.no_grad():
        loss = optimizer.step(closure_of(optimizer, lambda: a + b + c))
    assert loss.item() == pytest.approx(sum(before))
    assert [t.item() for t in (a, b, c)] == [before[0] - 0.1, before[1] - 0.5, before[2]]
    assert optimizer.param_groups[2]["note"] == "frozen"


def test_zero_grad_sets_to_none_or_zero():
    a, b = parameter(2), parameter(2)
    optimizer = SGD([a, b], lr=0.1)
    (a * a).sum().backward(create_graph=True)
    before = a.grad
    optimizer.zero_grad(set_to_none=False)
    assert (a.grad.tolist(), a.grad.requires_grad, b.grad) == ([0, 0], False, None)
    assert before.numpy().any()
    optimizer.zero_grad()
    assert a.grad is None


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
    with pytest.warns(UserWarning, match="list it once"):
        twice = SGD([("a", w), ("b", parameter(1)), ("again", w)], lr=0.1)
    assert twice.param_groups[0]["param_names"] == ["a", "b"]
    with pytest.raises(ValueError, match="some parameters have names and some do not"):
        optimizer.add_param_group({"params": [w]})
    with pytest.raises(ValueError, match="some parameters have names and some do not"):
        SGD([("a", w), parameter(1)], lr=0.1)


# Errors, which change nothing

w = parameter(2)
linear = nn.Linear(1, 1)


INVALID_PARAMETERS: list[Any] = [
    ([], ValueError, r"SGD got no parameters\. Parameters are tensors .* after its first use"),
    (linear, TypeError, r"got a Linear\. Pass model\.parameters\(\)"),
    ([{"params": linear.parameters}], TypeError, r"got the function Module.* Call it: model"),
    (w, TypeError, r"takes a list of parameters, got a Tensor: pass \[tensor\]"),
    ({"params": [w]}, TypeError, r"got a dict: pass \[tensor\], \[group\], or dict.values"),
    ([{"params": {w}}], TypeError, "parameters need an order, got a set: pass a list"),
    ([3.0], TypeError, "optimizes tensors, got a float. Parameters are"),
    ([w * 2], ValueError, r"got the result of \w+, of shape \(2,\), expected a leaf"),
    ([{"params": [w]}, w], TypeError, "SGD: a group is a dict with 'params'"),
    ([{"params": [w]}] * 2, ValueError, r"of shape \(2,\) is in more than one group"),
]


@pytest.mark.parametrize(("params", "error", "message"), INVALID_PARAMETERS)
def test_invalid_parameters(params: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        SGD(params, lr=0.1)
    for wrong in ({}, {"momentum": 0.9, "dampening": 0.1}):
        with pytest.raises(ValueError, match="needs a momentum above 0 and a dampening of 0"):
            SGD([w], nesterov=True, **wrong)  # type: ignore[arg-type]


INVALID_STATES: list[Any] = [
    (lambda s: s["param_groups"][0]["params"].append(1), r"groups of \[1\] .* of \[2\]"),
    (lambda s: s["state"][0].update(exp_avg=tg.zeros(3)), r"exp_avg of shape \(3,\) for a"),
    (lambda s: s["state"][0].update(exp_avg=tg.zeros(())), r"exp_avg has shape \(\) and"),
    (lambda s: s["state"].update({0: {"momentum_buffer": 1}}), "Adam needs the state exp_avg, e"),
]


@pytest.mark.parametrize(("change", "message"), INVALID_STATES)
def test_an_invalid_state_dict_changes_nothing(change: Any, message: str):
    optimizer = stepped("Adam", parameter(2))
    state = copy.deepcopy(optimizer.state_dict())
    state["param_groups"][0]["lr"] = 0.5
    change(state)
    before = str(optimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert str(optimizer.state_dict()) == before


def test_step_rejects_a_parameter_of_another_dtype_than_its_state():
    p = parameter(2)
    optimizer = stepped("Adam", p)
    p.data = tg.zeros(2, dtype=tg.float32)
    with pytest.raises(ValueError, match=r"the parameter has shape .* float32\. Create a new"):
        optimizer.step()
    assert p.tolist() == [0, 0]


def test_a_subclass_defines_update_and_has_state_of_any_shape():
    class Sign(Optimizer):
        def _update(self, group: dict[str, Any]) -> None:
            for p in group["params"]:
                p.data = p.data - group["lr"] * tg.tensor(np.sign(p.grad.numpy()))
                self.state[p]["last"] = p.grad.flatten()

    p = parameter(1, 2)
    start = p.numpy().copy()
    set_gradient(p, [[5.0, -7.0]])
    optimizer, other = (Sign([p], {"lr": 0.5}) for _ in range(2))
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), start - [[0.5, -0.5]])
    other.load_state_dict(optimizer.state_dict())
    assert other.state[p]["last"].tolist() == [5, -7]
    with pytest.raises(NotImplementedError, match="Optimizer defines neither `_update` nor"):
        Optimizer([p], {}).step()


# L-BFGS


def test_step_at_a_minimum_and_with_an_unused_parameter():
    used, unused = parameter(2), parameter(3)
    before = unused.tolist()
    optimizer = optim.LBFGS([used, unused])
    closure = closure_of(optimizer, lambda: used @ used)
    for _ in range(3):
        optimizer.step(closure)
    np.testing.assert_allclose(used.numpy(), 0, atol=1e-7)
    assert unused.tolist() == before
    count = optimizer.state[used]["n_iter"]
    optimizer.step(closure)
    assert optimizer.state[used]["n_iter"] == count


def test_parameters_are_restored_if_the_closure_raises():
    p = parameter(2)
    before = p.tolist()
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")

    def loss() -> tg.Tensor:
        if p.tolist() != before:
            raise ArithmeticError
        return (p * p).sum()

    with pytest.raises(ArithmeticError):
        optimizer.step(closure_of(optimizer, loss))
    assert p.tolist() == before


def test_lbfgs_needs_a_closure_and_one_group():
    message = r"LBFGS computes the loss several times .* step\(closure\)"
    with pytest.raises(TypeError, match=message):
        optim.LBFGS([w]).step()
    with pytest.raises(ValueError, match="LBFGS has one direction for all parameters: pass them"):
        optim.LBFGS([{"params": [w]}, {"params": [parameter(1)]}])
