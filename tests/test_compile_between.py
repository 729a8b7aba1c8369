"""What happens between calls, on both backends: whatever is changed outside, the next call sees."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.threads import at_once
from twins import Training, same, step

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.optim import lr_scheduler
from tinygrad_fc.random import default_generator

native = pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
BACKENDS = ("numpy", pytest.param("numba", marks=native))
few = settings(max_examples=max(6, settings.default.max_examples // 8))


def made() -> Training:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.4), nn.Linear(5, 3))
    return Training(model, optim.SGD(model.parameters(), lr=0.05, momentum=0.9), nn.MSELoss())


def another_layer(t: Training) -> None:
    t.model[3] = nn.Linear(5, 3)


def changed_row(t: Training) -> None:
    with tg.no_grad():
        t.model[0].weight[0] = 0.3


def trained_too(t: Training) -> None:
    another_layer(t)
    t.optimizer.add_param_group({"params": list(t.model[3].parameters()), "lr": 0.3})


BETWEEN: dict[str, Any] = {
    "a rate": lambda t: t.optimizer.param_groups[0].update(lr=0.01),
    "a whole rate": lambda t: t.optimizer.param_groups[0].update(lr=1),
    "a schedule": lambda t: lr_scheduler.StepLR(t.optimizer, 1, 0.5).step(),
    "decay": lambda t: t.optimizer.param_groups[0].update(weight_decay=0.1),
    "eval": lambda t: t.model.eval(),
    "train": lambda t: t.model.train(),
    "loaded": lambda t: t.model.load_state_dict(
        {name: value * 0.5 for name, value in t.model.state_dict().items()}
    ),
    "loaded state": lambda t: t.optimizer.load_state_dict(t.optimizer.state_dict()),
    "no state": lambda t: t.optimizer.state.clear(),
    "another optimizer": lambda t: setattr(
        t, "optimizer", optim.SGD(t.model.parameters(), lr=0.1, nesterov=True, momentum=0.5)
    ),
    "frozen": lambda t: t.model[0].weight.requires_grad_(requires_grad=False),
    "not frozen": lambda t: t.model.requires_grad_(requires_grad=True),
    "a hook": lambda t: t.model[0].requires_grad_().weight.register_hook(lambda g: g * 0.5),
    "a module's hook": lambda t: t.model[1].register_forward_hook(lambda m, x, out: out * 0.9),
    "a seed": lambda t: tg.manual_seed(7),
    "data": lambda t: setattr(t.model[0].weight, "data", t.model[0].weight.data * 0.9),
    "a gradient": lambda t: setattr(t.model[3].weight, "grad", tg.ones(3, 5)),
    "a gradient of the first": lambda t: setattr(t.model[0].weight, "grad", tg.ones(5, 4)),
    "no gradient": lambda t: setattr(t.model[3].bias, "grad", None),
    "an activation": lambda t: setattr(t.model, "1", nn.Sigmoid()),
    "dropout": lambda t: setattr(t.model[2], "p", 0.8),
    "a loss": lambda t: setattr(t, "loss", nn.L1Loss()),
    **{f.__name__: f for f in (another_layer, changed_row, trained_too)},
}
happenings = st.lists(
    st.tuples(
        st.lists(st.sampled_from(list(BETWEEN)), max_size=2), st.sampled_from(("step", "epoch"))
    ),
    min_size=2,
    max_size=5,
)


def near(name: str, found: Any, expected: Any) -> None:
    """Compare, within the rounding that sums in another order make."""
    if isinstance(expected, tg.Tensor):
        assert isinstance(found, tg.Tensor), name
        assert found.requires_grad == expected.requires_grad, name
        found, expected = found.numpy(), expected.numpy()
        np.testing.assert_allclose(found, expected, 1e-9, 1e-12, err_msg=name, strict=True)
    else:
        same(name, found, expected)


def live(backend: str, happened: Any) -> None:
    pair = []
    for _ in range(2):
        tg.manual_seed(0)
        pair.append(made())
    eager, twin = pair
    compiled = tg.compile(lambda x, y: step(twin, x, y), backend=backend)
    agreed = same if backend == "numpy" else near
    for k, (names, way) in enumerate(happened):
        state = default_generator.get_state()
        for t in pair:
            default_generator.set_state(state)
            for name in names:
                BETWEEN[name](t)
        rng = np.random.default_rng(k)
        x, y = tg.tensor(rng.standard_normal((12, 4))), tg.tensor(rng.standard_normal((12, 3)))
        order, state = rng.permutation(12).reshape(3, 4), default_generator.get_state()
        if way == "step":
            expected = step(eager, x[:4], y[:4])
        else:
            expected = tg.stack([step(eager, x[rows], y[rows]) for rows in order])
        default_generator.set_state(state)
        found = compiled(x[:4], y[:4]) if way == "step" else compiled.epoch(order, x, y)
        agreed("loss", found, expected)
        tensors = dict(twin.tensors())
        assert tensors.keys() == dict(eager.tensors()).keys()
        for name, tensor in eager.tensors():
            agreed(name, tensors[name], tensor)


def swapped_parameters(t: Training) -> None:
    first, second = (group["params"] for group in t.optimizer.param_groups)
    first[0], second[0] = second[0], first[0]


def no_velocity(t: Training) -> None:
    for state in t.optimizer.state.values():
        state["momentum_buffer"] = None


def a_gradient_with_the_values(t: Training) -> None:
    for p in t.model.parameters():
        p.grad = p.detach()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "change",
    [swapped_parameters, no_velocity, a_gradient_with_the_values],
    ids=lambda f: f.__name__,
)
def test_other_things_in_the_same_places(change: Any, backend: str):
    def two_groups() -> Training:
        model = nn.Linear(3, 2)
        groups = [{"params": [model.weight], "lr": 0.5}, {"params": [model.bias]}]
        return Training(model, optim.SGD(groups, lr=0.1, momentum=0.5), nn.MSELoss())

    pair = []
    for _ in range(2):
        tg.manual_seed(0)
        pair.append(two_groups())
    compiled, x, y = tg.compile(pair[1], backend=backend), tg.ones(4, 3), tg.zeros(4, 2)
    for k in range(7):
        if k == 3:
            for t in pair:
                change(t)
        near("loss", compiled(x, y), pair[0](x, y))
        for (name, a), (_, b) in zip(*(t.tensors() for t in pair), strict=True):
            near(name, b, a)


@few
@given(happened=happenings)
def test_whatever_happens_between_calls(happened: Any):
    live("numpy", happened)


@native
@settings(max_examples=3)
@given(happened=happenings)
def test_whatever_happens_between_calls_of_native_code(happened: Any):
    live("numba", happened)


def test_a_gradient_that_the_function_drops_is_dropped_by_every_call():
    set_ = ["a gradient of the first"]
    live("numpy", [(["frozen"], "step"), ([], "step"), ([], "step"), (set_, "step")])
    live("numpy", [(["frozen"], "step"), ([], "step"), ([], "step"), (set_, "epoch")])


@pytest.mark.parametrize("backend", BACKENDS)
def test_epochs_of_parameters_that_nobody_trains(backend: str):
    live(backend, [([], "step"), (["another_layer"], "epoch"), (["a gradient"], "epoch")])


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_drawn_may_be_the_result_and_may_be_kept(backend: str):
    kept, whole = tg.zeros(3), tg.zeros(3, dtype=np.int64)

    def drawn(x: Any) -> Any:
        kept.copy_(tg.rand(3))
        whole.copy_(tg.randint(100, (3,)))
        noise = tg.rand(2)
        return x * kept, noise, noise, tg.randperm(6), tg.randint(5, (4,))

    compiled, x = tg.compile(drawn, backend=backend), tg.ones(3)
    for _ in range(3):
        state = default_generator.get_state()
        expected = [t.numpy().copy() for t in (*drawn(x), kept, whole)]
        default_generator.set_state(state)
        kept.zero_()
        same("draws", [t.numpy() for t in (*compiled(x), kept, whole)], expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sum_as_a_loss(backend: str):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))

    def summed(x: Any) -> Any:
        model.zero_grad()
        model(x).sum().backward()
        return [p.grad.clone() for p in model.parameters()]

    compiled, x = tg.compile(summed, backend=backend), tg.tensor([[1.0, 2.0], [3.0, -4.0]])
    for found, expected in zip(compiled(x), summed(x), strict=True):
        near("gradient", found, expected)
    assert all(i.kind != "call" for i in compiled.program.instructions)


@pytest.mark.parametrize("steps", [2, 3])
def test_an_epoch_that_returns_a_tensor_from_outside(steps: int):
    state, x = tg.zeros(3), tg.ones(4, 3)

    @tg.compile(backend="numpy")
    def moved(x: Any) -> Any:
        state.add_(x.sum(dim=0))
        return state, x.sum()

    for _ in range(2):
        found, sums = moved.epoch([[0, 1]] * steps, x)
        assert found is state
        assert sums.shape == (steps,)


@native
def test_threads_share_native_code():
    t, alone = made(), made()
    for training in (t, alone):
        training.model.eval()
    alone.model.load_state_dict(t.model.state_dict())
    compiled = tg.compile(step, backend="numba")
    x, y = tg.ones(4, 4), tg.ones(4, 3)
    errors = at_once(lambda: compiled(t, x, y), 25)
    for _ in range(100):
        step(alone, x, y)
    assert not errors
    for (name, found), (_, expected) in zip(t.tensors(), alone.tensors(), strict=True):
        near(name, found, expected)
