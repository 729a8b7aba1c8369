"""Schedulers: closed formulas, state, momentum, combinations."""

from __future__ import annotations

import copy
import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedulers_table import (
    SCHEDULERS,
    Decay,
    Options,
    cosine,
    drawn,
    few,
    inverse_epoch,
    iters,
    linear,
    one_of,
    rates,
    sgd,
)

import tinygrad_fc as tg
from tinygrad_fc.optim import LBFGS, SGD, Adam, Optimizer, lr_scheduler

if TYPE_CHECKING:
    from tinygrad_fc.optim.lr_scheduler import LRScheduler

each = pytest.mark.parametrize("name", SCHEDULERS)
lrs = st.lists(st.floats(1e-3, 1), min_size=1, max_size=3)


@each
@few
@given(data=st.data(), lrs=lrs)
def test_learning_rates_equal_the_formula(name: str, data: st.DataObject, lrs: list[float]):
    options = drawn(data, name)
    optimizer = sgd(*lrs)
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    for t in range(40):
        expected = [SCHEDULERS[name][0](lr, t, options) for lr in lrs]
        np.testing.assert_allclose(rates(optimizer), expected, rtol=1e-9, atol=1e-9)
        assert scheduler.get_last_lr() == rates(optimizer)
        assert scheduler.last_epoch == t
        if t < 39:
            scheduler.step()


@each
@few
@given(data=st.data(), lrs=lrs, epoch=st.integers(0, 29))
def test_a_step_to_an_epoch_equals_that_many_steps(
    name: str, data: st.DataObject, lrs: list[float], epoch: int
):
    if name == "MultiplicativeLR":
        return  # has no closed formula
    options = drawn(data, name)
    optimizer = sgd(*lrs)
    getattr(lr_scheduler, name)(optimizer, **options).step(epoch)
    expected = [SCHEDULERS[name][0](lr, epoch, options) for lr in lrs]
    np.testing.assert_allclose(rates(optimizer), expected, rtol=1e-9, atol=1e-9)


FACTORS = ("StepLR", "MultiStepLR", "ExponentialLR", "LinearLR", "PolynomialLR", "ConstantLR")


@pytest.mark.parametrize("name", [*FACTORS, "MultiplicativeLR"])
@few
@given(data=st.data(), t=st.integers(0, 20))
def test_a_manual_change_of_the_learning_rate_persists(name: str, data: st.DataObject, t: int):
    options = drawn(data, name)
    if options.get("factor") == 0:
        return  # the rate is 0
    changed, other = sgd(1.0), sgd(1.0)
    schedulers = [getattr(lr_scheduler, name)(o, **options) for o in (changed, other)]
    for k in range(25):
        if k == t:
            changed.param_groups[0]["lr"] *= 0.25
        for scheduler in schedulers:
            scheduler.step()
    np.testing.assert_allclose(rates(changed)[0], 0.25 * rates(other)[0], rtol=1e-12)


@each
@few
@given(data=st.data(), epochs=st.integers(1, 20))
def test_last_epoch_resumes_at_an_epoch(name: str, data: st.DataObject, epochs: int):
    options = drawn(data, name)
    optimizer, twin = sgd(0.5, 0.1), sgd(0.5, 0.1)
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    for _ in range(epochs):
        scheduler.step()
    before = copy.deepcopy(optimizer.state_dict())
    twin.load_state_dict(before)
    # Some constructors repeat the last step, as in PyTorch: load the rates again.
    again = getattr(lr_scheduler, name)(twin, **options, last_epoch=epochs - 1)
    twin.load_state_dict(before)
    for _ in range(5):
        scheduler.step()
        again.step()
        np.testing.assert_allclose(rates(twin), rates(optimizer), rtol=1e-12, atol=1e-12)
        assert again.last_epoch == scheduler.last_epoch


def make(name: str, optimizer: Optimizer, options: Options) -> LRScheduler:
    """Return a scheduler or a combination of schedulers."""
    if name == "SequentialLR":
        parts = [lr_scheduler.LinearLR(optimizer), make("Chained", optimizer, options)]
        return lr_scheduler.SequentialLR(optimizer, parts, milestones=[3])
    if name == "Chained":
        parts = [lr_scheduler.StepLR(optimizer, 2), lr_scheduler.LambdaLR(optimizer, Decay(0.5))]
        return lr_scheduler.ChainedScheduler(parts)
    scheduler: LRScheduler = getattr(lr_scheduler, name)(optimizer, **options)
    return scheduler


def follow(scheduler: LRScheduler, epochs: range) -> list[Any]:
    """Return learning rates and options of the optimizer after each epoch."""
    seen = []
    for k in epochs:
        metric = (math.cos(k),) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else ()
        scheduler.step(*metric)
        options = [dict(group, params=None) for group in scheduler.optimizer.param_groups]
        seen.append((scheduler.get_last_lr(), options))
    return seen


@pytest.mark.parametrize("name", [*SCHEDULERS, "ReduceLROnPlateau", "SequentialLR", "Chained"])
@few
@given(data=st.data(), epochs=st.integers(0, 9), how=one_of("dict", "deepcopy", "pickle"))
def test_a_saved_state_resumes_exactly(name: str, data: st.DataObject, epochs: int, how: str):
    composite = name in {"SequentialLR", "Chained"}
    options = {} if composite else drawn(data, name)
    optimizer = sgd(0.5, 0.1)
    scheduler = make(name, optimizer, options)
    follow(scheduler, range(epochs))
    if how == "dict":
        saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
        twin = make(name, sgd(0.3, 0.3), options)
        twin.load_state_dict(saved[1])
        twin.optimizer.load_state_dict(saved[0])
        saved[1].clear()
        assert str(twin.state_dict()) == str(scheduler.state_dict())
    elif how == "deepcopy":
        twin = copy.deepcopy(scheduler)
    else:
        twin = pickle.loads(pickle.dumps(scheduler))
    assert twin.optimizer is not optimizer
    assert follow(twin, range(9, 15)) == follow(scheduler, range(9, 15))


def test_the_state_has_attributes_of_objects_and_no_functions():
    decay = Decay(0.5)
    scheduler = lr_scheduler.LambdaLR(sgd(1.0, 1.0), [inverse_epoch, decay])
    assert scheduler.state_dict()["lr_lambdas"] == [None, {"rate": 0.5}]
    other = lr_scheduler.LambdaLR(sgd(1.0, 1.0), [inverse_epoch, Decay(9.0)])
    other.load_state_dict(scheduler.state_dict())
    assert other.lr_lambdas[1].rate == 0.5
    assert lr_scheduler.LambdaLR(sgd(1.0), math.cos).state_dict()["lr_lambdas"] == [None]
    cycle = lr_scheduler.CyclicLR(sgd(1.0), 0.1, 1.0, scale_fn=Decay(0.5))
    assert cycle.state_dict()["_scale_fn_custom"] == {"rate": 0.5}
    twin = lr_scheduler.CyclicLR(sgd(1.0), 0.1, 1.0, scale_fn=Decay(9.0))
    twin.load_state_dict(cycle.state_dict())
    assert twin.scale_fn(2) == 0.5


def test_tensor_learning_rates_are_set_in_place_and_copied_on_return():
    lr = tg.tensor(1.0)
    optimizer = sgd(lr)
    scheduler = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.5
    scheduler.get_last_lr()[0].fill_(7.0)
    scheduler.step()
    assert lr.item() == 0.25


def test_a_step_before_the_optimizers_first_step_warns():
    message = (
        r"^StepLR.step\(\) was called before optimizer.step\(\), .*Call optimizer.step\(\) before"
    )
    optimizer = SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=1)
    with pytest.warns(UserWarning, match=message) as warned:
        scheduler.step()
    assert warned[0].filename == __file__
    scheduler.step()  # warns once
    for is_first in (False, True):
        optimizer = (LBFGS if is_first else SGD)([tg.ones(1, requires_grad=True)], lr=1.0)
        combined = lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(optimizer, 1)])
        if is_first:
            with pytest.warns(UserWarning, match=message):
                combined.step()
        else:
            optimizer.step()
            combined.step()


def test_no_warning_for_an_optimizer_with_its_own_step():
    class Custom(Optimizer):
        def step(self, closure: Any = None) -> None: ...

    optimizer = Custom([tg.ones(1, requires_grad=True)], {"lr": 1.0})
    scheduler = lr_scheduler.StepLR(optimizer, step_size=1)
    scheduler.step()  # it is unknown whether the optimizer has stepped


def test_get_lr_may_be_called_at_any_time():
    scheduler = lr_scheduler.StepLR(sgd(1.0), step_size=1)
    scheduler.step()
    scheduler.step()
    assert scheduler.get_lr() == pytest.approx([scheduler.get_last_lr()[0] * 0.1])


# Momentum


@few
@given(st.booleans(), one_of("cos", "linear"), st.booleans())
def test_one_cycle_changes_the_momentum_inversely(
    adam: bool, anneal_strategy: str, three_phase: bool
):
    w = tg.ones(1, requires_grad=True)
    optimizer = Adam([w]) if adam else SGD([w], momentum=0.5)
    scheduler = lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        epochs=5,
        steps_per_epoch=4,
        anneal_strategy=anneal_strategy,
        three_phase=three_phase,
    )
    optimizer.step()
    group = optimizer.param_groups[0]
    low, high = scheduler.get_last_lr()[0], 1.0
    for _ in range(19):
        momentum = group["betas"][0] if adam else group["momentum"]
        height = (max(group["lr"], low) - low) / (high - low)
        if three_phase or scheduler.last_epoch <= 5:
            assert momentum == pytest.approx(0.95 - 0.1 * height)
        assert 0.85 <= momentum <= 0.95
        scheduler.step()
    if adam:
        assert group["betas"][1] == 0.999


@few
@given(iters, st.sampled_from(["triangular", "triangular2", "exp_range"]))
def test_cyclic_changes_the_momentum_inversely(size: int, mode: str):
    optimizer = sgd(1.0, 1.0)
    scheduler = lr_scheduler.CyclicLR(
        optimizer, 0.0, 1.0, size, mode=mode, base_momentum=[0.5, 0.7], max_momentum=0.9
    )
    for _ in range(20):
        for group, base in zip(optimizer.param_groups, (0.5, 0.7), strict=True):
            assert group["momentum"] == pytest.approx(0.9 - (0.9 - base) * group["lr"])
        scheduler.step()


def test_scale_fn_scales_the_cycles():
    optimizer = sgd(1.0)
    scheduler = lr_scheduler.CyclicLR(optimizer, 0.0, 1.0, 2, scale_fn=lambda cycle: cycle)
    seen = [scheduler.step() or rates(optimizer)[0] for _ in range(8)]
    assert seen == [0.5, 1, 0.5, 0, 1, 2, 1, 0]
    scheduler = lr_scheduler.CyclicLR(
        optimizer, 0.0, 1.0, 2, scale_fn=lambda t: t, scale_mode="iterations"
    )
    seen = [scheduler.step() or rates(optimizer)[0] for _ in range(4)]
    assert seen == [0.5, 2, 1.5, 0]


def test_one_cycle_without_a_first_phase_starts_at_max_lr():
    optimizer = sgd(1.0)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=10, pct_start=0.1)
    assert rates(optimizer) == [1.0]
    for _ in range(10):
        scheduler.step()
    with pytest.raises(
        ValueError, match="OneCycleLR was created for 10 steps, and this is step 11"
    ):
        scheduler.step()


# ReduceLROnPlateau


@few
@given(
    st.lists(st.floats(0.1, 10), max_size=30),
    one_of("min", "max"),
    one_of("rel", "abs"),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_plateaus_equal_their_definition(
    metrics: list[float], mode: str, threshold_mode: str, patience: int, cooldown: int
):
    optimizer = sgd(1.0, 0.5)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode,
        factor=0.5,
        patience=patience,
        threshold=0.1,
        threshold_mode=threshold_mode,
        cooldown=cooldown,
        min_lr=[0.0, 0.2],
        eps=0,
    )
    sign = -1 if mode == "min" else 1
    best, bad, rest, expected = -sign * math.inf, 0, 0, [1.0, 0.5]
    for metric in metrics:
        limit = best * (1 + sign * 0.1) if threshold_mode == "rel" else best + sign * 0.1
        if sign * (metric - limit) > 0:
            best, bad = metric, 0
        else:
            bad += 1
        if rest:
            rest, bad = rest - 1, 0
        if bad > patience:
            expected = [max(0.5 * lr, low) for lr, low in zip(expected, (0, 0.2), strict=True)]
            rest, bad = cooldown, 0
        scheduler.step(tg.tensor(metric))
        assert scheduler.get_last_lr() == rates(optimizer) == expected
        assert scheduler.in_cooldown == bool(rest)
    assert scheduler.last_epoch == len(metrics)


def test_reductions_below_eps_are_skipped_and_nan_is_no_improvement():
    optimizer = sgd(1e-8)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, eps=1e-8)
    for _ in range(3):
        scheduler.step(math.nan)
    assert rates(optimizer) == [1e-8]
    optimizer.param_groups[0]["lr"] = 1.0
    scheduler.step(math.nan, epoch=7)
    assert rates(optimizer) == [0.1]
    assert scheduler.last_epoch == 7


def test_min_lr_after_a_group_was_added():
    optimizer = sgd(1.0)
    one, listed = (
        lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=min_lr) for min_lr in (0, [0])
    )
    optimizer.add_param_group({"params": [tg.ones(1, requires_grad=True)], "lr": 0.5})
    one.step(1.0)
    one.step(1.0)
    assert rates(optimizer) == [0.1, 0.05]
    listed.step(1.0)
    with pytest.raises(
        RuntimeError, match="has 1 values of min_lr, and the optimizer has 2 groups"
    ):
        listed.step(1.0)


# Combinations


@few
@given(st.integers(0, 6), st.integers(0, 6), st.floats(0.1, 1))
def test_sequential_runs_schedulers_one_after_the_other(first: int, second: int, lr: float):
    optimizer = sgd(lr)
    milestones = [first, first + second]
    parts = [
        lr_scheduler.LinearLR(optimizer, 0.1, 1.0, total_iters=4),
        lr_scheduler.ExponentialLR(optimizer, 0.5),
        lr_scheduler.CosineAnnealingLR(optimizer, T_max=9),
    ]
    scheduler = lr_scheduler.SequentialLR(optimizer, parts, milestones)
    for t in range(16):
        if t < first:
            expected = linear(lr, t, {"start_factor": 0.1, "end_factor": 1, "total_iters": 4})
        elif t < milestones[1]:
            expected = lr * 0.5 ** (t - first)
        else:
            expected = cosine(lr, 0, (t - milestones[1]) / 9)
        assert rates(optimizer) == pytest.approx([expected], rel=1e-12)
        assert scheduler.get_last_lr() == rates(optimizer)
        scheduler.step()


@few
@given(st.floats(0.1, 1), st.floats(0.5, 1), st.floats(0.1, 1))
def test_factors_of_chained_schedulers_multiply(lr: float, gamma: float, factor: float):
    optimizer = sgd(lr, 2 * lr)
    parts = [
        lr_scheduler.ExponentialLR(optimizer, gamma),
        lr_scheduler.ConstantLR(optimizer, factor, total_iters=3),
    ]
    scheduler = lr_scheduler.ChainedScheduler(parts, optimizer)
    for t in range(8):
        expected = lr * gamma**t * (factor if t < 3 else 1)
        assert rates(optimizer) == pytest.approx([expected, 2 * expected], rel=1e-12)
        assert scheduler.get_last_lr() == rates(optimizer)
        scheduler.step()


@pytest.mark.parametrize("start", [0, 2])
def test_nested_combinations(start: int):
    optimizer = sgd(1.0)
    chained = lr_scheduler.ChainedScheduler(
        [
            lr_scheduler.ExponentialLR(optimizer, 0.5),
            lr_scheduler.ConstantLR(optimizer, 0.25, total_iters=2),
        ]
    )
    inner = lr_scheduler.SequentialLR(
        optimizer, [chained, lr_scheduler.StepLR(optimizer, 2, 0.1)], milestones=[3]
    )
    warm = lr_scheduler.ConstantLR(optimizer, 0.75, total_iters=9)
    outer = lr_scheduler.SequentialLR(optimizer, [warm, inner], milestones=[start])
    seen = []
    for _ in range(start + 6):
        seen += rates(optimizer)
        outer.step()
    assert seen == pytest.approx([0.75] * start + [0.25, 0.125, 0.25, 1, 1, 0.1])
