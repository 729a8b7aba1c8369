"""Epochs of every schedule, side by side with PyTorch's, over drawn options."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

EPOCHS = 20
few = settings(max_examples=settings.default.max_examples // 8)


@pytest.fixture(autouse=True)
def _float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def options(**own: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(own)


class Falling:
    """A function of the epoch with a state that is saved."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, epoch: float) -> float:
        return 1 / (1 + self.rate * epoch)


gamma = one_of(0.1, 0.9, 1.0, 1.02)
iters = one_of(1, 2, 7, 60)
rate = one_of(0.001, 0.1, [0.1, 0.2])
functions = one_of(
    lambda epoch: 0.95**epoch, lambda epoch: 1 / (1 + epoch), [Falling(0.1), Falling(1.0)]
)

# Each schedule with a strategy for its options, for two groups: a new one joins by a line.
SCHEDULES = {
    "StepLR": options(step_size=one_of(1, 3, 60), gamma=gamma),
    "MultiStepLR": options(milestones=one_of([], [30, 4], [1, 4, 4]), gamma=gamma),
    "ExponentialLR": options(gamma=gamma),
    "ConstantLR": options(factor=one_of(0.3, 1.0), total_iters=iters),
    "LinearLR": options(
        start_factor=one_of(0.1, 1.0), end_factor=one_of(0.0, 0.5, 1.0), total_iters=iters
    ),
    "PolynomialLR": options(total_iters=iters, power=one_of(0.5, 1.0, 2.0)),
    "CosineAnnealingLR": options(T_max=one_of(1, 5, 50, 70), eta_min=one_of(0.0, 0.01)),
    "CosineAnnealingWarmRestarts": options(
        T_0=one_of(1, 3, 60), T_mult=one_of(1, 2), eta_min=one_of(0.0, 0.01)
    ),
    "LambdaLR": options(lr_lambda=functions),
    "MultiplicativeLR": options(lr_lambda=one_of(lambda epoch: 1 - 0.1 / epoch, Falling(1e-3))),
    "OneCycleLR": options(
        max_lr=rate,
        total_steps=one_of(EPOCHS, 70),
        pct_start=one_of(0.0, 0.3, 0.5),
        anneal_strategy=one_of("cos", "linear"),
        cycle_momentum=st.booleans(),
        base_momentum=one_of(0.8, [0.7, 0.8]),
        div_factor=one_of(1.0, 25.0),
        final_div_factor=one_of(10.0, 1e4),
        three_phase=st.booleans(),
    ),
    "CyclicLR": options(
        base_lr=one_of(0.0001, [0.01, 0.02]),
        max_lr=rate,
        step_size_up=one_of(1, 5, 60),
        step_size_down=one_of(None, 3),
        mode=one_of("triangular", "triangular2", "exp_range"),
        gamma=one_of(0.9, 1.0),
        scale_fn=one_of(None, Falling(0.1)),
        scale_mode=one_of("cycle", "iterations"),
        cycle_momentum=st.booleans(),
        max_momentum=one_of(0.9, 0.95),
    ),
    "ReduceLROnPlateau": options(
        mode=one_of("min", "max"),
        factor=one_of(0.1, 0.9),
        patience=one_of(0, 1, 5),
        threshold=one_of(1e-4, 0.1),
        threshold_mode=one_of("rel", "abs"),
        cooldown=one_of(0, 3),
        min_lr=one_of(0, [0.01, 0.0]),
    ),
}
PARTS = ("StepLR", "ExponentialLR", "ConstantLR", "LinearLR", "CosineAnnealingLR", "PolynomialLR")
parts = st.lists(
    st.sampled_from(PARTS).flatmap(lambda name: st.tuples(st.just(name), SCHEDULES[name])),
    min_size=1,
    max_size=3,
)
SCHEDULES |= {
    "SequentialLR": options(
        parts=parts, milestones=st.lists(st.integers(0, 60), min_size=2, max_size=2).map(sorted)
    ),
    "ChainedScheduler": options(parts=parts),
}

OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adam": {"amsgrad": True},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "NAdam": {},
}


def schedule(library: Any, name: str, optimizer: Any, given_: dict[str, Any], **more: Any) -> Any:
    given_ = copy.deepcopy(given_)
    module = library.optim.lr_scheduler
    if "parts" in given_:
        schedulers = [getattr(module, part)(optimizer, **own) for part, own in given_.pop("parts")]
        if name == "ChainedScheduler":
            return module.ChainedScheduler(schedulers)
        milestones = given_["milestones"][: len(schedulers) - 1]
        return module.SequentialLR(optimizer, schedulers, milestones, **more)
    return getattr(module, name)(optimizer, **given_, **more)


class Side:
    """One of the two libraries with two parameters, their optimizer and its schedule."""

    def __init__(self, library: Any, optimizer: str, lrs: list[float]) -> None:
        self.library = library
        starts = np.linspace(-1, 1, 3), np.ones((2, 2))
        self.parameters = [library.tensor(start, requires_grad=True) for start in starts]
        groups = [{"params": [p], "lr": lr} for p, lr in zip(self.parameters, lrs, strict=True)]
        self.optimizer = getattr(library.optim, optimizer)(groups, **OPTIMIZERS[optimizer])
        self.schedule: Any = None

    def epoch(self, noise: float) -> None:
        for p in self.parameters:
            p.grad = self.library.tensor(0.1 * np.sin(p.detach().numpy()) + noise)
        self.optimizer.step()
        measure = (noise,) if hasattr(self.schedule, "num_bad_epochs") else ()
        self.schedule.step(*measure)

    def seen(self) -> list[Any]:
        groups = self.optimizer.param_groups
        momenta = [group.get("betas", group.get("momentum")) for group in groups]
        lrs = [group["lr"] for group in groups]
        values = [p.detach().numpy() for p in self.parameters]
        return [*self.schedule.get_last_lr(), *lrs, *momenta, *values]


def assert_close(ours: list[Any], theirs: list[Any]) -> None:
    for mine, yours in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-12, atol=1e-12)


def assert_same_state(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs) - {"_get_lr_called_within_step"}
    for key, value in ours.items():
        if key == "_schedulers":
            for mine, yours in zip(value, theirs[key], strict=True):
                assert_same_state(mine, yours)
        elif isinstance(value, float) or key in {"_last_lr", "base_lrs", "max_lrs"}:
            np.testing.assert_allclose(value, theirs[key], rtol=1e-12, atol=1e-12)
        else:
            assert value == theirs[key], key


lrs = st.lists(one_of(0.0, 0.001, 0.1), min_size=2, max_size=2)


@pytest.mark.parametrize("name", SCHEDULES)
@few
@given(data=st.data(), lrs=lrs, optimizer=st.sampled_from(list(OPTIMIZERS)))
def test_trajectories(name: str, data: st.DataObject, lrs: list[float], optimizer: str):
    given_ = data.draw(SCHEDULES[name])
    noises = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal(EPOCHS)
    ours, theirs = (Side(library, optimizer, lrs) for library in (tg, torch))
    for side in (ours, theirs):
        side.schedule = schedule(side.library, name, side.optimizer, given_)
    assert_close(ours.seen(), theirs.seen())
    for noise in noises:
        ours.epoch(noise)
        theirs.epoch(noise)
        assert_close(ours.seen(), theirs.seen())
    assert_same_state(ours.schedule.state_dict(), theirs.schedule.state_dict())


@pytest.mark.parametrize("name", SCHEDULES)
@few
@given(data=st.data(), lrs=lrs, epochs=st.integers(0, 9))
def test_a_state_of_pytorchs_is_gone_on_from(
    name: str, data: st.DataObject, lrs: list[float], epochs: int
):
    given_ = data.draw(SCHEDULES[name])
    theirs, ours = Side(torch, "SGD", lrs), Side(tg, "SGD", lrs)
    theirs.schedule = schedule(torch, name, theirs.optimizer, given_)
    for k in range(epochs):
        theirs.epoch(np.cos(k))
    ours.schedule = schedule(tg, name, ours.optimizer, given_)
    ours.schedule.load_state_dict(theirs.schedule.state_dict())
    state = theirs.optimizer.state_dict()
    state["state"] = {
        i: {k: v.numpy() for k, v in saved.items()} for i, saved in state["state"].items()
    }
    ours.optimizer.load_state_dict(state)
    for mine, yours in zip(ours.parameters, theirs.parameters, strict=True):
        mine.data = tg.tensor(yours.detach().numpy())
    for k in range(5):
        ours.epoch(np.sin(k))
        theirs.epoch(np.sin(k))
        assert_close(ours.seen(), theirs.seen())


# PyTorch's SequentialLR resumes with its first scheduler at the initial rates, whatever the epoch.
WITHOUT_EPOCH = {"ReduceLROnPlateau", "ChainedScheduler", "SequentialLR"}
RESUMED = [name for name in SCHEDULES if name not in WITHOUT_EPOCH]


@pytest.mark.parametrize("name", RESUMED)
@few
@given(data=st.data(), lrs=lrs, epoch=st.integers(0, 9))
def test_resumed_at_an_epoch(name: str, data: st.DataObject, lrs: list[float], epoch: int):
    given_ = data.draw(SCHEDULES[name])
    if name == "CosineAnnealingWarmRestarts":
        given_["T_mult"] = 1  # PyTorch begins in the first round, whatever the epoch
    seen = []
    for library in (tg, torch):
        side = Side(library, "SGD", lrs)
        side.schedule = schedule(library, name, side.optimizer, given_)
        side.epoch(0.5)
        side.schedule = schedule(library, name, side.optimizer, given_, last_epoch=epoch)
        seen.append([side.seen()])
        for k in range(5):
            side.epoch(np.sin(k))
            seen[-1].append(side.seen())
    for mine, yours in zip(*seen, strict=True):
        assert_close(mine, yours)


@pytest.mark.parametrize("name", sorted(set(SCHEDULES) - {"SequentialLR", "ChainedScheduler"}))
@few
@given(data=st.data(), lr=one_of(0.001, 0.5))
def test_learning_rates_that_are_tensors(name: str, data: st.DataObject, lr: float):
    given_ = data.draw(SCHEDULES[name])
    seen = []
    for library in (tg, torch):
        side = Side(library, "SGD", [library.tensor(lr), library.tensor(2 * lr)])
        rates = [group["lr"] for group in side.optimizer.param_groups]
        side.schedule = schedule(library, name, side.optimizer, given_)
        for k in range(5):
            side.epoch(np.sin(k))
        assert all(
            rate is group["lr"]
            for rate, group in zip(rates, side.optimizer.param_groups, strict=True)
        )
        seen.append(side.seen())
    assert_close(*seen)


@few
@given(
    t_0=st.integers(1, 9),
    t_mult=st.integers(1, 2),
    epochs=st.lists(st.integers(0, 250).map(lambda k: k / 8)),
)
def test_restarts_at_fractions_of_epochs(t_0: int, t_mult: int, epochs: list[float]):
    ours, theirs = Side(tg, "SGD", [0.1, 1.0]), Side(torch, "SGD", [0.1, 1.0])
    for side in (ours, theirs):
        module = side.library.optim.lr_scheduler
        side.schedule = module.CosineAnnealingWarmRestarts(side.optimizer, t_0, t_mult)
    for epoch in epochs:
        ours.schedule.step(epoch)
        theirs.schedule.step(epoch)
        assert_close(ours.seen(), theirs.seen())
    assert_same_state(ours.schedule.state_dict(), theirs.schedule.state_dict())


@pytest.mark.parametrize("name", ["StepLR", "MultiStepLR", "CosineAnnealingLR", "PolynomialLR"])
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
@given(data=st.data(), epochs=st.lists(st.integers(0, 30), max_size=5))
@few
def test_steps_to_an_epoch(name: str, data: st.DataObject, epochs: list[int]):
    given_ = data.draw(SCHEDULES[name])
    ours, theirs = Side(tg, "SGD", [0.1, 1.0]), Side(torch, "SGD", [0.1, 1.0])
    for side in (ours, theirs):
        side.schedule = schedule(side.library, name, side.optimizer, given_)
    for side in (ours, theirs):
        side.optimizer.step()
        for epoch in epochs:
            side.schedule.step(epoch)
    assert_close(ours.seen(), theirs.seen())


@pytest.mark.parametrize(
    ("name", "given_"),
    [
        ("LambdaLR", {"lr_lambda": [abs]}),
        ("MultiplicativeLR", {"lr_lambda": [abs]}),
        ("MultiplicativeLR", {"lr_lambda": 0.5}),
        ("ConstantLR", {"factor": 1.5}),
        ("ConstantLR", {"factor": -0.5}),
        ("LinearLR", {"start_factor": 0.0}),
        ("LinearLR", {"start_factor": 1.5}),
        ("LinearLR", {"end_factor": 1.5}),
        ("CosineAnnealingWarmRestarts", {"T_0": 0}),
        ("CosineAnnealingWarmRestarts", {"T_0": 2.5}),
        ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 0}),
        ("CosineAnnealingWarmRestarts", {"T_0": 2, "eta_min": "0"}),
        ("OneCycleLR", {"max_lr": 0.1}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 0}),
        ("OneCycleLR", {"max_lr": 0.1, "epochs": 2}),
        ("OneCycleLR", {"max_lr": 0.1, "epochs": 2, "steps_per_epoch": 2.5}),
        ("OneCycleLR", {"max_lr": [0.1], "total_steps": 9}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 9, "pct_start": 1.5}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 9, "anneal_strategy": "sin"}),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1, "mode": "square"}),
        ("CyclicLR", {"base_lr": [0.1], "max_lr": 1}),
        ("ReduceLROnPlateau", {"factor": 1.0}),
        ("ReduceLROnPlateau", {"mode": "least"}),
        ("ReduceLROnPlateau", {"threshold_mode": "percent"}),
        ("ReduceLROnPlateau", {"min_lr": [0.0]}),
        ("SequentialLR", {"parts": [], "milestones": []}),
        ("SequentialLR", {"parts": [("ExponentialLR", {"gamma": 0.5})] * 2, "milestones": []}),
        ("SequentialLR", {"parts": [("ReduceLROnPlateau", {})], "milestones": []}),
        ("ChainedScheduler", {"parts": []}),
        ("ChainedScheduler", {"parts": [("ReduceLROnPlateau", {})]}),
        ("StepLR", {"step_size": 1, "last_epoch": 3}),
    ],
)
def test_what_both_refuse(name: str, given_: dict[str, Any]):
    for library in (torch, tg):
        side = Side(library, "SGD", [0.1, 0.2])
        with pytest.raises((TypeError, ValueError, KeyError)):
            schedule(library, name, side.optimizer, given_)
