"""Errors of schedulers, which change nothing."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedulers_table import SCHEDULERS, Options, drawn, few, inverse_epoch, one_of, sgd

import tinygrad_fc as tg
from tinygrad_fc.optim import lr_scheduler
from tinygrad_fc.optim.lr_scheduler import LRScheduler

PART, COUNT = "between 0 and 1", "an integer of at least 1"
NUMBER, POSITIVE = "a finite number", "a finite number above 0"
AT_LEAST_0 = "a finite number, at least 0"
CYCLE = {"base_lr": 0.1, "max_lr": 1.0}
ONE = {"max_lr": 1.0}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("StepLR", {"step_size": 0}, f"step_size must be {POSITIVE}, got 0"),
        ("StepLR", {"step_size": 1, "gamma": math.nan}, f"gamma must be {NUMBER}, got nan"),
        ("MultiStepLR", {"milestones": [1], "gamma": "1"}, f"gamma must be {NUMBER}, got '1'"),
        ("ExponentialLR", {"gamma": None}, f"gamma must be {NUMBER}, got None"),
        ("ConstantLR", {"factor": 1.5}, f"factor must be {PART}, got 1.5"),
        ("ConstantLR", {"total_iters": -1}, f"total_iters must be {AT_LEAST_0}, got -1"),
        ("LinearLR", {"start_factor": 0}, "start_factor must be above 0 and at most 1, got 0"),
        ("LinearLR", {"end_factor": -0.1}, f"end_factor must be {PART}, got -0.1"),
        ("LinearLR", {"total_iters": None}, f"total_iters must be {AT_LEAST_0}, got None"),
        ("PolynomialLR", {"power": math.inf}, f"power must be {AT_LEAST_0}, got inf"),
        ("CosineAnnealingLR", {"T_max": 0}, f"T_max must be {POSITIVE}, got 0"),
        ("CosineAnnealingLR", {"T_max": 1, "eta_min": "0"}, f"eta_min must be {NUMBER}, got '0'"),
        ("CosineAnnealingWarmRestarts", {"T_0": 2.5}, f"T_0 must be {COUNT}, got 2.5"),
        ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 0}, f"T_mult must be {COUNT}, got 0"),
        (
            "LambdaLR",
            {"lr_lambda": [inverse_epoch]},
            "lr_lambda has 1 values, and the optimizer 2 groups. Pass one value per group",
        ),
        ("OneCycleLR", ONE | {"total_steps": 0}, f"total_steps must be {COUNT}, got 0"),
        (
            "OneCycleLR",
            ONE | {"total_steps": 9, "pct_start": 2},
            f"pct_start must be {PART}, got 2",
        ),
        (
            "OneCycleLR",
            ONE | {"epochs": 1.5, "steps_per_epoch": 2},
            f"epochs must be {COUNT}, got 1.5",
        ),
        (
            "OneCycleLR",
            ONE | {"total_steps": 9, "anneal_strategy": "sin"},
            "anneal_strategy must be 'cos' or 'linear', got 'sin'",
        ),
        (
            "OneCycleLR",
            {"max_lr": [1.0], "total_steps": 9},
            "max_lr has 1 values, and the optimizer 2 groups. Pass one value per group",
        ),
        (
            "CyclicLR",
            CYCLE | {"mode": "square"},
            "mode must be one of triangular, triangular2, exp_range, got 'square'",
        ),
        ("CyclicLR", CYCLE | {"step_size_up": 0}, f"step_size_up must be {POSITIVE}, got 0"),
        (
            "CyclicLR",
            CYCLE | {"max_momentum": [0.9]},
            "max_momentum has 1 values, and the optimizer 2 groups. Pass one value per group",
        ),
        ("ReduceLROnPlateau", {"factor": 1.0}, "factor must be at least 0 and below 1, got 1.0"),
        ("ReduceLROnPlateau", {"mode": "least"}, "mode must be 'min' or 'max', got 'least'"),
        (
            "ReduceLROnPlateau",
            {"threshold_mode": "percent"},
            "threshold_mode must be 'rel' or 'abs', got 'percent'",
        ),
        ("ReduceLROnPlateau", {"patience": -1}, f"patience must be {AT_LEAST_0}, got -1"),
        (
            "ReduceLROnPlateau",
            {"min_lr": [0]},
            "min_lr has 1 values, and the optimizer 2 groups. Pass one value per group",
        ),
    ],
)
def test_options_out_of_range(name: str, options: Options, message: str):
    optimizer = sgd(0.5, 0.1)
    before = str(optimizer.param_groups)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{name}: {message}')}$"):
        getattr(lr_scheduler, name)(optimizer, **options)
    assert str(optimizer.param_groups) == before


ALL = [*SCHEDULERS, "ReduceLROnPlateau"]


@pytest.mark.parametrize("name", ALL)
@few
@given(data=st.data())
def test_the_optimizer_must_be_an_optimizer(name: str, data: st.DataObject):
    with pytest.raises(TypeError, match=f"^{name} needs an optimizer, got a list$"):
        getattr(lr_scheduler, name)([], **drawn(data, name))


@pytest.mark.parametrize("name", ["LambdaLR", "MultiplicativeLR"])
def test_lr_lambda_must_be_a_function(name: str):
    message = f"{name}: lr_lambda must be a function of the epoch, got 0.5"
    optimizer = sgd(1.0)
    with pytest.raises(TypeError, match=message):
        getattr(lr_scheduler, name)(optimizer, 0.5)
    assert "initial_lr" not in optimizer.param_groups[0]


@pytest.mark.parametrize("name", ["OneCycleLR", "CyclicLR"])
def test_cycling_momentum_needs_an_optimizer_with_momentum(name: str):
    optimizer = tg.optim.Adagrad([tg.ones(1, requires_grad=True)])
    options = {"max_lr": 1.0, **({"total_steps": 5} if name == "OneCycleLR" else {"base_lr": 0.1})}
    message = f"{name} cycles the momentum, which Adagrad lacks. Pass cycle_momentum=False"
    before = str(optimizer.param_groups)
    with pytest.raises(ValueError, match=message):
        getattr(lr_scheduler, name)(optimizer, **options)
    assert str(optimizer.param_groups) == before
    getattr(lr_scheduler, name)(optimizer, **options, cycle_momentum=False)


def test_one_cycle_needs_the_number_of_steps():
    with pytest.raises(ValueError, match="needs total_steps, or epochs and steps_per_epoch"):
        lr_scheduler.OneCycleLR(sgd(1.0), 1.0, epochs=3)


def test_step_rejects_a_negative_epoch():
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(sgd(1.0), 2)
    with pytest.raises(ValueError, match="epoch must be a finite number, at least 0, got -1"):
        scheduler.step(-1)


def test_last_epoch_needs_initial_learning_rates():
    message = (
        r"StepLR: last_epoch=3 needs 'initial_lr', which param_groups\[0\] lacks. "
        "Load the optimizer's state first"
    )
    with pytest.raises(KeyError, match=message):
        lr_scheduler.StepLR(sgd(1.0), 2, last_epoch=3)


def test_a_subclass_must_define_get_lr():
    with pytest.raises(NotImplementedError, match=r"LRScheduler does not define get_lr\(\)"):
        LRScheduler(sgd(1.0))


@few
@given(
    one_of(*SCHEDULERS, "ReduceLROnPlateau"), one_of(*SCHEDULERS, "ReduceLROnPlateau"), st.data()
)
def test_a_state_of_another_scheduler_changes_nothing(name: str, other: str, data: st.DataObject):
    if name == other or {name, other} == {"LambdaLR", "MultiplicativeLR"}:
        return
    scheduler = getattr(lr_scheduler, name)(sgd(1.0), **drawn(data, name))
    state = getattr(lr_scheduler, other)(sgd(1.0), **drawn(data, other)).state_dict()
    before = str(scheduler.state_dict())
    with pytest.raises(
        ValueError,
        match=f"^{name} and the state dict differ in .*. It was saved by another scheduler$",
    ):
        scheduler.load_state_dict(state)
    assert str(scheduler.state_dict()) == before


def test_a_state_of_another_number_of_groups():
    scheduler = lr_scheduler.StepLR(sgd(1.0), 2)
    state = lr_scheduler.StepLR(sgd(1.0, 0.1), 2).state_dict()
    message = (
        "StepLR has 1 base_lrs, and the state dict 2. It was saved with another number of groups"
    )
    with pytest.raises(ValueError, match=message):
        scheduler.load_state_dict(state)


def test_an_invalid_state_of_a_combination_changes_nothing():
    def chained(*gammas: float) -> lr_scheduler.ChainedScheduler:
        optimizer = sgd(1.0)
        return lr_scheduler.ChainedScheduler(
            [lr_scheduler.ExponentialLR(optimizer, gamma) for gamma in gammas]
        )

    scheduler = chained(0.5, 0.5)
    before = str(scheduler.state_dict())
    with pytest.raises(ValueError, match="ChainedScheduler has 2 schedulers, and the state dict 1"):
        scheduler.load_state_dict(chained(0.1).state_dict())
    state = chained(0.1, 0.1).state_dict()
    state["_schedulers"][1] = {"T_max": 3}
    with pytest.raises(
        ValueError, match="ExponentialLR and the state dict differ in T_max, base_lrs, gamma"
    ):
        scheduler.load_state_dict(state)
    assert str(scheduler.state_dict()) == before


def test_step_after_a_group_was_added():
    optimizer = sgd(1.0)
    scheduler = lr_scheduler.LambdaLR(optimizer, inverse_epoch)
    optimizer.add_param_group({"params": [tg.ones(1, requires_grad=True)]})
    with pytest.raises(
        ValueError, match="LambdaLR has 1 learning rates, and the optimizer 2 groups"
    ):
        scheduler.step()


def test_invalid_combinations():
    optimizer = sgd(1.0)
    part, other = (lr_scheduler.StepLR(o, 2) for o in (optimizer, sgd(1.0)))
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer)
    cases: list[tuple[list[Any], type[Exception], str]] = [
        ([], ValueError, "{} got no schedulers"),
        ([part, optimizer], TypeError, "{} combines schedulers, got a SGD at index 1"),
        ([part, plateau], ValueError, "{} got a ReduceLROnPlateau at index 1, whose step needs a"),
        ([part, other], ValueError, "{} got a StepLR at index 1 of another optimizer"),
    ]
    before = str(optimizer.param_groups)
    for parts, error, message in cases:
        with pytest.raises(error, match=message.format("ChainedScheduler")):
            lr_scheduler.ChainedScheduler(parts)
        with pytest.raises(error, match=message.format("SequentialLR")):
            lr_scheduler.SequentialLR(optimizer, parts, [1] * (len(parts) - 1))
    with pytest.raises(ValueError, match="got 2 schedulers and 2 milestones"):
        lr_scheduler.SequentialLR(optimizer, [part, part], [1, 2])
    with pytest.raises(ValueError, match=r"needs milestones in ascending order, got \[2, 1\]"):
        lr_scheduler.SequentialLR(optimizer, [part, part, part], [2, 1])
    assert str(optimizer.param_groups) == before
