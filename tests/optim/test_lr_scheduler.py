"""Schedulers: state, manual changes, combinations, errors; tests/parity has the learning rates."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optimizers import SCHEDULES, SIMPLE_SCHEDULES, WAYS, few, inverse, one_of, schedule, twin

import tinygrad_fc as tg
from tinygrad_fc.optim import LBFGS, SGD, Optimizer, lr_scheduler
from tinygrad_fc.optim.lr_scheduler import LRScheduler

TO_AN_EPOCH = [n for n in SIMPLE_SCHEDULES if n not in ("MultiplicativeLR", "ReduceLROnPlateau")]
lrs = st.tuples(st.floats(1e-3, 1), st.floats(1e-3, 1))


def sgd(*lrs: Any) -> SGD:
    """Return an optimizer with a group for each learning rate, after its first step."""
    groups = [{"params": [tg.ones(1, requires_grad=True)], "lr": lr} for lr in lrs]
    optimizer = SGD(groups, momentum=0.9)
    optimizer.step()  # otherwise schedulers warn
    return optimizer


def rates(optimizer: Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def follow(scheduler: LRScheduler, epochs: range) -> list[Any]:
    """Return learning rates and options of the optimizer after each epoch."""
    seen = []
    for k in epochs:
        metric = (math.cos(k),) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else ()
        scheduler.step(*metric)
        options = [dict(group, params=None) for group in scheduler.optimizer.param_groups]
        seen.append((scheduler.get_last_lr(), options))
    return seen


@pytest.mark.parametrize("name", TO_AN_EPOCH)
@few
@given(data=st.data(), lrs=lrs, epoch=st.integers(0, 19))
def test_a_step_to_an_epoch_equals_that_many_steps(
    name: str, data: st.DataObject, lrs: tuple[float, float], epoch: int
):
    drawn = data.draw(SCHEDULES[name])
    direct, stepwise = (schedule(tg, name, sgd(*lrs), drawn) for _ in range(2))
    direct.step(epoch)
    follow(stepwise, range(epoch))
    expected = rates(stepwise.optimizer)
    np.testing.assert_allclose(rates(direct.optimizer), expected, rtol=1e-9, atol=1e-9)
    assert direct.last_epoch == stepwise.last_epoch == epoch


FACTORS = ("StepLR", "MultiStepLR", "ExponentialLR", "LinearLR", "PolynomialLR", "ConstantLR")


@pytest.mark.parametrize("name", [*FACTORS, "MultiplicativeLR"])
@few
@given(data=st.data(), t=st.integers(0, 20))
def test_a_manual_change_of_the_learning_rate_persists(name: str, data: st.DataObject, t: int):
    drawn = data.draw(SCHEDULES[name])
    changed, other = (schedule(tg, name, sgd(1.0), drawn) for _ in range(2))
    follow(changed, range(t))
    changed.optimizer.param_groups[0]["lr"] *= 0.25
    follow(changed, range(t, 25))
    follow(other, range(25))
    expected = 0.25 * rates(other.optimizer)[0]
    np.testing.assert_allclose(rates(changed.optimizer)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@few
@given(data=st.data(), epochs=st.integers(0, 9), how=one_of(*WAYS))
def test_a_saved_state_resumes_exactly(name: str, data: st.DataObject, epochs: int, how: str):
    drawn = data.draw(SCHEDULES[name])

    def create(*lrs: float) -> tuple[Any, Any]:
        scheduler = schedule(tg, name, sgd(*lrs), drawn)
        return scheduler, scheduler.optimizer

    scheduler, optimizer = create(0.5, 0.1)
    follow(scheduler, range(epochs))
    other, _ = twin((scheduler, optimizer), how, lambda: create(0.3, 0.3))
    assert other.optimizer is not optimizer
    assert follow(other, range(9, 15)) == follow(scheduler, range(9, 15))


def test_every_scheduler_is_in_the_table():
    assert {*SCHEDULES, "LRScheduler"} == set(lr_scheduler.__all__)


@pytest.mark.parametrize("kind", [SGD, LBFGS])
def test_a_step_before_the_optimizers_first_step_warns_once(kind: Any):
    optimizer = kind([tg.ones(1, requires_grad=True)], lr=1.0)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=1)
    message = r"^StepLR.step\(\) was called before optimizer.step\(\), .*Call optimizer.step\(\)"
    with pytest.warns(UserWarning, match=message) as warned:
        scheduler.step()
    assert warned[0].filename == __file__
    scheduler.step()
    custom = type("Custom", (kind,), {"step": lambda self: None})
    optimizer = custom([tg.ones(1, requires_grad=True)], lr=1.0)
    lr_scheduler.StepLR(optimizer, step_size=1).step()  # it is unknown whether that has stepped


def test_one_cycle_ends_after_its_steps():
    scheduler = lr_scheduler.OneCycleLR(sgd(1.0), 1.0, total_steps=10, pct_start=0.1)
    assert rates(scheduler.optimizer) == [1.0]  # without a first phase
    follow(scheduler, range(10))
    message = "OneCycleLR was created for 10 steps, and this is step 11"
    with pytest.raises(ValueError, match=message):
        scheduler.step()


# ReduceLROnPlateau


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
    message = "has 1 values of min_lr, and the optimizer has 2 groups"
    with pytest.raises(RuntimeError, match=message):
        listed.step(1.0)


# Combinations


def test_a_constant_factor_of_0_epochs_stays_as_in_pytorch():
    optimizer = sgd(1.0)
    scheduler = lr_scheduler.ConstantLR(optimizer, 0.25, total_iters=0)
    for _ in range(3):
        assert rates(optimizer) == [0.25]
        scheduler.step()


@pytest.mark.parametrize("start", [0, 2])
def test_nested_combinations(start: int):
    optimizer = sgd(1.0)
    halved = lr_scheduler.ExponentialLR(optimizer, 0.5)
    quartered = lr_scheduler.ConstantLR(optimizer, 0.25, total_iters=2)
    chained = lr_scheduler.ChainedScheduler([halved, quartered])
    stepped = lr_scheduler.StepLR(optimizer, 2, 0.1)
    inner = lr_scheduler.SequentialLR(optimizer, [chained, stepped], milestones=[3])
    warm = lr_scheduler.ConstantLR(optimizer, 0.75, total_iters=9)
    outer = lr_scheduler.SequentialLR(optimizer, [warm, inner], milestones=[start])
    seen = []
    for _ in range(start + 6):
        seen += rates(optimizer)
        outer.step()
    assert seen == pytest.approx([0.75] * start + [0.25, 0.125, 0.25, 1, 1, 0.1])


# Errors, which change nothing

CYCLE = {"base_lr": 0.1, "max_lr": 1.0}
NUMBER, POSITIVE = "a finite number", "a finite number above 0"
AT_LEAST_0, PER_GROUP = "a finite number, at least 0", "Pass one value per group"


OUT_OF_RANGE: list[Any] = [
    ("StepLR", {"step_size": 0}, f"step_size must be {POSITIVE}, got 0"),
    ("StepLR", {"step_size": 1, "gamma": math.nan}, f"gamma must be {NUMBER}, got nan"),
    ("MultiStepLR", {"milestones": [1], "gamma": "1"}, f"gamma must be {NUMBER}, got '1'"),
    ("ExponentialLR", {"gamma": None}, f"gamma must be {NUMBER}, got None"),
    ("ConstantLR", {"total_iters": -1}, f"total_iters must be {AT_LEAST_0}, got -1"),
    ("PolynomialLR", {"power": math.inf}, f"power must be {AT_LEAST_0}, got inf"),
    ("CosineAnnealingLR", {"T_max": 0}, f"T_max must be {POSITIVE}, got 0"),
    ("CosineAnnealingLR", {"T_max": 1, "eta_min": "0"}, f"eta_min must be {NUMBER}, got '0'"),
    ("CosineAnnealingWarmRestarts", {"T_0": 2.5}, "T_0 must be an integer of at least 1"),
    ("LambdaLR", {"lr_lambda": [inverse]}, f"lr_lambda has 1 .* 2 groups. {PER_GROUP}"),
    ("LambdaLR", {"lr_lambda": 0.5}, "lr_lambda must be a function of the epoch, got 0.5"),
    ("MultiplicativeLR", {"lr_lambda": 0.5}, "lr_lambda must be a function of the epoch, got"),
    ("OneCycleLR", {"max_lr": 1, "epochs": 3}, "needs total_steps, or epochs and steps"),
    ("CyclicLR", CYCLE | {"step_size_up": 0}, f"step_size_up must be {POSITIVE}, got 0"),
    ("CyclicLR", CYCLE | {"max_momentum": [0.9]}, f"max_momentum has 1 .* {PER_GROUP}"),
    ("ReduceLROnPlateau", {"patience": -1}, f"patience must be {AT_LEAST_0}, got -1"),
    ("ReduceLROnPlateau", {"factor": 1.0}, "factor must be at least 0 and below 1, got 1.0"),
]


@pytest.mark.parametrize(("name", "options", "message"), OUT_OF_RANGE)
def test_options_out_of_range(name: str, options: dict[str, Any], message: str):
    optimizer = sgd(0.5, 0.1)
    before = str(optimizer.param_groups)
    with pytest.raises((TypeError, ValueError), match=f"^{name}:? {message}"):
        getattr(lr_scheduler, name)(optimizer, **options)
    assert str(optimizer.param_groups) == before


@pytest.mark.parametrize("name", SIMPLE_SCHEDULES)
@few
@given(data=st.data())
def test_the_optimizer_must_be_an_optimizer(name: str, data: st.DataObject):
    with pytest.raises(TypeError, match=f"^{name} needs an optimizer, got a list$"):
        schedule(tg, name, [], data.draw(SCHEDULES[name]))


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


def test_invalid_epochs_and_steps():
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(sgd(1.0), 2)
    with pytest.raises(ValueError, match="epoch must be a finite number, at least 0, got -1"):
        scheduler.step(-1)
    message = r"StepLR: last_epoch=3 needs 'initial_lr', which param_groups\[0\] lacks. Load the"
    with pytest.raises(KeyError, match=message):
        lr_scheduler.StepLR(sgd(1.0), 2, last_epoch=3)
    with pytest.raises(NotImplementedError, match=r"LRScheduler does not define get_lr\(\)"):
        LRScheduler(sgd(1.0))


@few
@given(one_of(*SIMPLE_SCHEDULES), one_of(*SIMPLE_SCHEDULES), st.data())
def test_a_state_of_another_scheduler_changes_nothing(name: str, other: str, data: st.DataObject):
    if name == other or {name, other} == {"LambdaLR", "MultiplicativeLR"}:
        return
    scheduler, wrong = (
        schedule(tg, n, sgd(1.0, 0.5), data.draw(SCHEDULES[n])) for n in (name, other)
    )
    before = str(scheduler.state_dict())
    message = f"^{name} and the state dict differ in .*. It was saved by another scheduler$"
    with pytest.raises(ValueError, match=message):
        scheduler.load_state_dict(wrong.state_dict())
    assert str(scheduler.state_dict()) == before


def falling(*lrs: float) -> LRScheduler:
    return lr_scheduler.LambdaLR(sgd(*lrs), inverse)


def chained(*gammas: float) -> lr_scheduler.ChainedScheduler:
    optimizer = sgd(1.0)
    return lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(optimizer, gamma) for gamma in gammas]
    )


ANOTHER = {"_schedulers": [chained(0.1).state_dict()["_schedulers"][0], {"T_max": 3}]}


INVALID_STATES: list[Any] = [
    (falling(1.0), falling(1.0, 0.1).state_dict(), "1 .* dict 2. .* another number of groups"),
    (chained(0.5, 0.5), chained(0.1).state_dict(), "has 2 schedulers, and the state dict 1"),
    (chained(0.5, 0.5), ANOTHER, "ExponentialLR and the .* differ in T_max, base_lrs, gamma"),
]


@pytest.mark.parametrize(("scheduler", "state", "message"), INVALID_STATES)
def test_an_invalid_state_changes_nothing(scheduler: Any, state: Any, message: str):
    before = str(scheduler.state_dict())
    with pytest.raises(ValueError, match=message):
        scheduler.load_state_dict({**scheduler.state_dict(), **state})
    assert str(scheduler.state_dict()) == before


def test_a_group_that_was_added_has_no_rate():
    scheduler = falling(1.0)
    scheduler.optimizer.add_param_group({"params": [tg.ones(1, requires_grad=True)]})
    with pytest.raises(ValueError, match="has 1 learning rates, and the optimizer 2 groups"):
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
