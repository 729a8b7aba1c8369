"""Schedulers with their closed formulas and strategies for their options."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.optim import SGD, Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

Options = dict[str, Any]
few = settings(max_examples=settings.default.max_examples // 5)  # for each of sixteen schedulers


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def sgd(*lrs: float, **options: Any) -> SGD:
    """Return an optimizer with a group for each learning rate, after its first step."""
    groups = [{"params": [tg.ones(1, requires_grad=True)], "lr": lr} for lr in lrs]
    optimizer = SGD(groups, momentum=0.9, **options)
    optimizer.step()  # otherwise schedulers warn
    return optimizer


def rates(optimizer: Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


# Closed formulas: the learning rate at epoch t from the initial rate lr and the options.


def step(lr: float, t: int, o: Options) -> float:
    return lr * o["gamma"] ** math.floor(t / o["step_size"])


def multi_step(lr: float, t: int, o: Options) -> float:
    return lr * o["gamma"] ** sum(milestone <= t for milestone in o["milestones"])


def constant(lr: float, t: int, o: Options) -> float:
    return lr * (o["factor"] if t < o["total_iters"] else 1)


def linear(lr: float, t: int, o: Options) -> float:
    progress = min(t, o["total_iters"]) / o["total_iters"]
    return lr * (o["start_factor"] + (o["end_factor"] - o["start_factor"]) * progress)


def polynomial(lr: float, t: int, o: Options) -> float:
    return lr * (1 - min(t, o["total_iters"]) / o["total_iters"]) ** o["power"]


def restarts(lr: float, t: float, o: Options) -> float:
    length = o["T_0"]
    while t >= length:
        t -= length
        length *= o["T_mult"]
    return cosine(lr, o["eta_min"], t / length)


def one_cycle(_: float, t: int, o: Options) -> float:
    low, high = o["max_lr"] / o["div_factor"], o["max_lr"]
    final = low / o["final_div_factor"]
    up, total = o["pct_start"] * o["total_steps"] - 1, o["total_steps"] - 1
    ends = [(-math.inf, low), (0, low), (up, high), (total, final)]
    if o["three_phase"]:
        ends.insert(3, (2 * up, low))
    for (start, a), (end, b) in pairwise(ends[1:]):
        if t <= end:
            progress = (t - start) / (end - start)
            line = a + (b - a) * progress
            return cosine(a, b, progress) if o["anneal_strategy"] == "cos" else line
    raise AssertionError(t)


def cyclic(_: float, t: int, o: Options) -> float:
    up, down = o["step_size_up"], o["step_size_down"] or o["step_size_up"]
    cycle, at = divmod(t, up + down)
    height = at / up if at <= up else (up + down - at) / down
    scale = {"triangular": 1, "triangular2": 0.5**cycle, "exp_range": o["gamma"] ** t}[o["mode"]]
    return o["base_lr"] + (o["max_lr"] - o["base_lr"]) * height * scale


def inverse_epoch(epoch: int) -> float:
    return 1 / (1 + epoch)


class Decay:
    """A function of the epoch with an attribute that is saved."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, epoch: float) -> float:
        return 1 / (1 + self.rate * epoch)


gamma = one_of(0.1, 0.9, 1.0)
iters = st.integers(1, 30)
fraction = st.floats(0.01, 1)

# Formula, and strategies for the options.
SCHEDULERS: dict[str, tuple[Callable[..., float], Options]] = {
    "StepLR": (step, {"step_size": iters, "gamma": gamma}),
    "MultiStepLR": (multi_step, {"milestones": st.lists(st.integers(1, 30)), "gamma": gamma}),
    "ExponentialLR": (lambda lr, t, o: lr * o["gamma"] ** t, {"gamma": gamma}),
    "ConstantLR": (constant, {"factor": st.just(0.0) | fraction, "total_iters": iters}),
    "LinearLR": (
        linear,
        {"start_factor": fraction, "end_factor": st.floats(0, 1), "total_iters": iters},
    ),
    "PolynomialLR": (polynomial, {"power": st.floats(0, 3), "total_iters": iters}),
    "CosineAnnealingLR": (
        lambda lr, t, o: cosine(lr, o["eta_min"], t / o["T_max"]),
        {"T_max": iters, "eta_min": one_of(0.0, 0.01)},
    ),
    "CosineAnnealingWarmRestarts": (
        restarts,
        {"T_0": iters, "T_mult": st.integers(1, 3), "eta_min": one_of(0.0, 0.01)},
    ),
    "LambdaLR": (
        lambda lr, t, o: lr * o["lr_lambda"](t),
        {"lr_lambda": one_of(inverse_epoch, Decay(2))},
    ),
    "MultiplicativeLR": (
        lambda lr, t, o: lr * math.prod(o["lr_lambda"](k) for k in range(1, t + 1)),
        {"lr_lambda": one_of(inverse_epoch, Decay(0.1))},
    ),
    "OneCycleLR": (
        one_cycle,
        {
            "max_lr": st.floats(0.1, 1),
            "total_steps": one_of(40, 50),
            "pct_start": one_of(0.2, 0.3, 0.5),
            "anneal_strategy": one_of("cos", "linear"),
            "div_factor": one_of(1.0, 25.0),
            "final_div_factor": one_of(1.0, 1e4),
            "three_phase": st.booleans(),
        },
    ),
    "CyclicLR": (
        cyclic,
        {
            "base_lr": st.floats(0, 0.1),
            "max_lr": st.floats(0.1, 1),
            "step_size_up": iters,
            "step_size_down": st.none() | iters,
            "mode": one_of("triangular", "triangular2", "exp_range"),
            "gamma": gamma,
        },
    ),
}
PLATEAU = {"patience": one_of(0, 1), "factor": one_of(0.1, 0.5), "cooldown": one_of(0, 1)}


def drawn(data: st.DataObject, name: str) -> Options:
    options = PLATEAU if name == "ReduceLROnPlateau" else SCHEDULERS[name][1]
    return data.draw(st.fixed_dictionaries(options))
