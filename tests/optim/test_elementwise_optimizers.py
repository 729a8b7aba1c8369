"""Steps and state of every optimizer: formulas, memory, dtypes, saved states.

Groups and parameters are tested with SGD in test_optimizer.py.
"""

from __future__ import annotations

import contextlib
import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optimizers_table import (
    EVERY,
    OPTIMIZERS,
    Options,
    State,
    drawn,
    few,
    one_of,
    parameter,
    seeds,
    set_gradient,
    shapes,
)

import tinygrad_fc as tg
from tinygrad_fc import nn, optim

each = pytest.mark.parametrize("name", OPTIMIZERS)
each_and_sgd = pytest.mark.parametrize("name", ["SGD", *OPTIMIZERS])


def initial_state(name: str, p: Any, optimizer: optim.Optimizer) -> State:
    """Return the initial state of the formula."""
    special = {"mu_product": 1.0, "eta": optimizer.defaults["lr"], "mu": 1.0}
    special["step_size"] = np.full(p.shape, optimizer.defaults["lr"])
    special["sum"] = np.full(p.shape, optimizer.defaults.get("initial_accumulator_value", 0.0))
    probe = parameter(*p.shape)
    set_gradient(probe, np.ones(p.shape))
    twin = getattr(optim, name)([{"params": [probe], **optimizer.defaults}])
    twin.step()
    return {key: special.get(key, np.zeros(p.shape)) for key in twin.state[probe]} | {"step": 0}


def step_by_formula(name: str, p: Any, g: Any, stored: State, options: Options) -> Any:
    stored["step"] += 1
    g = -g if options["maximize"] else g
    if options.get("decoupled_weight_decay"):
        p = p - options["lr"] * options["weight_decay"] * p
    else:
        g = g + options.get("weight_decay", 0) * p
    return OPTIMIZERS[name][0](p, g, stored, options)


@each
@few
@given(data=st.data(), shape=shapes, seed=seeds)
def test_steps_equal_the_formula(name: str, data: st.DataObject, shape: tuple[int, ...], seed: int):
    options = drawn(data, name)
    p = parameter(*shape, seed=seed)
    optimizer = getattr(optim, name)([p], **options)
    options = optimizer.defaults | options  # AdamW sets decoupled_weight_decay
    stored = initial_state(name, p.numpy(), optimizer)
    rng = np.random.default_rng(seed)
    expected = p.numpy().copy()
    for _ in range(8):
        gradient = rng.standard_normal(shape) + 0.5
        set_gradient(p, gradient)
        assert optimizer.step() is None
        expected = step_by_formula(name, expected, gradient, stored, options)
        np.testing.assert_array_equal(p.grad.numpy(), gradient)
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-11, atol=1e-11)
        assert optimizer.state[p].keys() == stored.keys()
        for key, value in optimizer.state[p].items():
            np.testing.assert_allclose(value.numpy(), stored[key], rtol=1e-11, atol=1e-11)


@each_and_sgd
@few
@given(data=st.data(), seed=seeds, layout=one_of("C", "F", "strided"))
def test_large_parameters_are_updated_elementwise(
    name: str, data: st.DataObject, seed: int, layout: str
):
    options = drawn(data, name)
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(40_000)
    shape = (200, 200)
    if layout == "strided":
        start = np.zeros((200, 400))[:, ::2]
        start[...] = values.reshape(shape)
    else:
        start = values.reshape(shape, order=layout)
    whole = tg.from_numpy(start).requires_grad_()
    at = (slice(None, None, 40), slice(None, None, 50))
    part = tg.tensor(np.ascontiguousarray(whole.numpy()[at]), requires_grad=True)
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


@each_and_sgd
@few
@given(data=st.data())
def test_steps_preserve_dtype_and_memory(name: str, data: st.DataObject):
    options = drawn(data, name)
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
def test_the_step_count_has_the_dtype_of_pytorch(dtype: Any):
    tg.set_default_dtype(dtype)
    try:
        p = parameter(2, dtype=np.float16)
        optimizer = optim.NAdam([p])
        set_gradient(p, [1, 1])
        optimizer.step()
        state = optimizer.state[p]
    finally:
        tg.set_default_dtype(np.float64)
    dtypes = [state[key].dtype for key in ("step", "mu_product", "exp_avg")]
    assert dtypes == [dtype, dtype, np.float16]


@each_and_sgd
@few
@given(data=st.data())
def test_a_parameter_without_gradient_and_its_state_are_unchanged(name: str, data: st.DataObject):
    options = drawn(data, name)
    a, b = parameter(2), parameter(2)
    optimizer = getattr(optim, name)([a, b], **options)
    for with_gradient in ([a, b], [a], [a]):
        optimizer.zero_grad()
        for p in with_gradient:
            set_gradient(p, [1.0, -2.0])
        before = b.tolist(), str(optimizer.state[b])
        optimizer.step()
        if b.grad is None:
            assert (b.tolist(), str(optimizer.state[b])) == before


def test_only_adagrad_has_state_before_the_first_step():
    for name in OPTIMIZERS:
        p = parameter(2)
        optimizer = getattr(optim, name)([p])
        optimizer.step()
        assert list(optimizer.state) == ([p] if name == "Adagrad" else [])


@each
def test_a_repeated_parameter_is_updated_once(name: str):
    a, b = parameter(2), parameter(2)
    optimizer = getattr(optim, name)([a, a, b])
    set_gradient(a, [1.0, 2.0])
    set_gradient(b, [1.0, 2.0])
    optimizer.step()
    assert a.tolist() == b.tolist()
    assert optimizer.state[a]["step"].item() == 1


@each_and_sgd
def test_backward_detects_a_step_after_the_forward_pass(name: str):
    w = parameter(2)
    optimizer = getattr(optim, name)([w])
    (w * w).sum().backward()
    optimizer.step()
    stored = [value for value in optimizer.state[w].values() if value.ndim]
    losses = [(w * w).sum(), *[(value * w).sum() for value in stored]]
    optimizer.step()
    assert w.is_leaf
    for loss in losses:
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()


@each_and_sgd
def test_backward_detects_a_step_that_raised(name: str):
    w = parameter(2, dtype=np.float32)
    optimizer = getattr(optim, name)([w], lr=3e38)
    before, loss = w.tolist(), (w * w).sum()
    set_gradient(w, [3e38, -3e38])
    for _ in range(2):
        with contextlib.suppress(FloatingPointError):
            optimizer.step()
    if w.tolist() != before:
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()


def train(net: nn.Module, optimizer: optim.Optimizer, steps: int) -> None:
    for _ in range(steps):

        def closure() -> tg.Tensor:
            optimizer.zero_grad()
            loss = net(tg.ones(2, 3)).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)


@pytest.mark.parametrize("name", EVERY)
@few
@given(
    data=st.data(),
    seed=seeds,
    steps=st.integers(0, 3),
    how=one_of("dict", "deepcopy", "pickle"),
)
def test_training_resumes_exactly_from_a_saved_state(
    name: str, data: st.DataObject, seed: int, steps: int, how: str
):
    options = {"lr": 0.01, **data.draw(st.fixed_dictionaries(EVERY[name]))}
    tg.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
    optimizer = getattr(optim, name)(net.parameters(), **options)
    train(net, optimizer, steps)
    if how == "dict":
        saved = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
        twin = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
        other = getattr(optim, name)(twin.parameters(), lr=0.7)
        twin.load_state_dict(saved[0])
        other.load_state_dict(saved[1])
        loaded = other.state_dict()
        saved[0].clear()
        saved[1].clear()
        assert str(loaded) == str(optimizer.state_dict())
    elif how == "deepcopy":
        twin, other = copy.deepcopy((net, optimizer))
    else:
        twin, other = pickle.loads(pickle.dumps((net, optimizer)))
    train(net, optimizer, 2)
    train(twin, other, 2)
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        assert p is not q
        np.testing.assert_array_equal(p.numpy(), q.numpy())


# Single optimizers


def test_a_saved_step_count_may_be_a_python_number():
    p = parameter(2)
    set_gradient(p, [1.0, 1.0])
    optimizer = optim.Adam([p])
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0]["step"] = 7
    optimizer.load_state_dict(state)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 8


def test_options_that_need_state_may_be_enabled_later():
    p = parameter(2)
    set_gradient(p, [1.0, 1.0])
    for optimizer, option, key in (
        (optim.Adam([p]), {"amsgrad": True}, "max_exp_avg_sq"),
        (optim.RMSprop([p]), {"momentum": 0.9}, "momentum_buffer"),
        (optim.RMSprop([p]), {"centered": True}, "grad_avg"),
    ):
        optimizer.step()
        assert key not in optimizer.state[p]
        optimizer.param_groups[0].update(option)
        optimizer.step()
        assert optimizer.state[p][key].shape == p.shape


def test_adamw_decouples_the_decay_after_loading_a_state_of_adam():
    p = parameter(2)
    optimizer = optim.AdamW([p])
    optimizer.load_state_dict(optim.Adam([p]).state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True
    assert optimizer.param_groups[0]["weight_decay"] == 0


def test_a_list_of_betas_is_copied():
    a, b = parameter(1), parameter(1)
    betas = [0.5, 0.9]
    optimizer = optim.Adam([{"params": [a]}, {"params": [b]}], betas=betas)
    betas[0] = 0.0
    assert [group["betas"] for group in optimizer.param_groups] == [(0.5, 0.9)] * 2


@given(st.floats(-1e3, 1e3), st.integers(1, 400))
def test_centered_rmsprop_is_finite_for_a_variance_of_0(gradient: float, steps: int):
    p = parameter(1)
    optimizer = optim.RMSprop([p], alpha=0.9, centered=True)
    set_gradient(p, [gradient])
    for _ in range(steps):
        optimizer.step()
    assert np.isfinite(p.item())


def test_asgd_averages_the_parameter():
    p = parameter(3)
    optimizer = optim.ASGD([p], lr=0.1, lambd=0, alpha=0, t0=0)
    values = []
    rng = np.random.default_rng(0)
    for _ in range(5):
        set_gradient(p, rng.standard_normal(3))
        optimizer.step()
        values.append(p.numpy().copy())
    # mu is 1 in the first two steps, so the first value does not count.
    np.testing.assert_allclose(optimizer.state[p]["ax"].numpy(), np.mean(values[1:], axis=0))


def test_public_names():
    assert {*EVERY, "Optimizer", "lr_scheduler"} == set(optim.__all__)
    assert set(optim.__all__) <= set(dir(optim))
    with pytest.raises(AttributeError, match=r"'tinygrad_fc\.optim' has no attribute 'sgd_'"):
        _ = optim.sgd_
