"""Epochs of every schedule, side by side with PyTorch's, over drawn options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizers import EPOCHS, SCHEDULES, SIMPLE_SCHEDULES, one_of, schedule

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

few = settings(max_examples=settings.default.max_examples // 8)


pytestmark = pytest.mark.usefixtures("default_float64")


OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adam": {"amsgrad": True},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "NAdam": {},
}


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


@pytest.mark.parametrize("name", SIMPLE_SCHEDULES)
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
