"""Schedulers that increase and decrease the learning rates: restarts, cycles, one cycle."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Literal

from tinygrad_fc.optim.lr_scheduler.base import LRScheduler, per_group, set_rate
from tinygrad_fc.optim.optimizer import (
    COUNT,
    FINITE,
    FRACTION,
    NON_NEGATIVE,
    POSITIVE,
    Range,
    require,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.optim.optimizer import Group, Optimizer

__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]


def _on_half_cosine(start: Any, end: Any, fraction: float) -> Any:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def _on_line(start: Any, end: Any, fraction: float) -> Any:
    return start + (end - start) * fraction


ANNEALING = {"cos": _on_half_cosine, "linear": _on_line}
"""Values from `start` to `end` at a fraction of the way, by the name of the strategy."""


class CosineAnnealingWarmRestarts(LRScheduler):
    """Decreases the learning rates along a half cosine to `eta_min`, then restarts, repeatedly.

    The rates are eta_min + (lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2, where T_cur counts the
    epochs since the last restart. The first cycle has T_i = T_0 epochs, and each later one `T_mult`
    times those of the previous one (Loshchilov and Hutter, 2017, formula 5). `step(epoch)` accepts
    fractions: `step(epoch + i / batches)` after each batch i.

    Raises `ValueError` if T_0 or T_mult is not an integer of at least 1, eta_min not finite or
    epoch negative, and as `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> for _ in range(2):
    ...     scheduler.step()
    ...     print(scheduler.get_last_lr())
    [0.5]
    [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803  PyTorch's name
        T_mult: int = 1,  # noqa: N803  PyTorch's name
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        require(self, locals(), T_0=COUNT, T_mult=COUNT, eta_min=FINITE)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_cur: float  # epochs since the last restart
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the learning rates at `T_cur`."""
        fraction = self.T_cur / self.T_i
        return [_on_half_cosine(base, self.eta_min, fraction) for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Set the learning rates of the next integer epoch, or of `epoch`, possibly fractional."""
        epoch = self.last_epoch + 1 if epoch is None else epoch
        require(self, locals(), epoch=NON_NEGATIVE)
        self.last_epoch = math.floor(epoch)
        self.T_cur, self.T_i = epoch, self.T_0
        if self.T_mult == 1:
            self.T_cur %= self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
        self._set(self.get_lr())


# Momentum moves opposite to the learning rate


def start_momentum(
    scheduler: Any, base: float | list[float], top: float | list[float], *, resumed: bool
) -> tuple[list[Any], list[Any]]:
    """Return base and maximum momentum per group; set the maximum, and store both in the groups."""
    optimizer = scheduler.optimizer
    scheduler.use_beta1 = "betas" in optimizer.defaults  # for PyTorch's state_dict, unread
    if not {"momentum", "betas"} & optimizer.defaults.keys():
        raise ValueError(
            f"{type(scheduler).__name__} cycles the momentum, which {type(optimizer).__name__} "
            "lacks. Pass cycle_momentum=False"
        )
    lows = per_group(scheduler, optimizer, "base_momentum", base)
    highs = per_group(scheduler, optimizer, "max_momentum", top)
    if not resumed:
        for group, low, high in zip(optimizer.param_groups, lows, highs, strict=True):
            set_momentum(group, high)
            group["max_momentum"], group["base_momentum"] = high, low
    return lows, highs


def set_momentum(group: Group, momentum: Any) -> None:
    """Set the momentum of one group."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


class CyclicLR(LRScheduler):
    """Cycles the learning rates linearly between `base_lr` and `max_lr`, one step per batch.

    A cycle rises in `step_size_up` steps and falls in `step_size_down` (as many, by default). Its
    height is scaled by 1 ("triangular"), 1 / 2^(cycle - 1) ("triangular2"), gamma^step
    ("exp_range"), or by `scale_fn(cycle)` or `scale_fn(step)` (`scale_mode` "cycle" or
    "iterations") (Smith, 2017). With `cycle_momentum`, the momentum, or the first of the betas,
    changes inversely, from `max_momentum` to `base_momentum` and back.

    Raises `ValueError` for another mode, sizes not above 0, lists without one value per group, or,
    with `cycle_momentum`, an optimizer without the option `momentum` or `betas`; `TypeError` as
    `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> scheduler = tg.optim.lr_scheduler.CyclicLR(optimizer, 0.5, 1.0, step_size_up=2)
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     print(scheduler.get_last_lr())
    [0.75]
    [1.0]
    [0.75]
    """

    _functions = ("_scale_fn_custom",)

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = optimizer
        step_size_down = step_size_up if step_size_down is None else step_size_down
        require(self, locals(), step_size_up=POSITIVE, step_size_down=POSITIVE, gamma=FINITE)
        if scale_fn is None:
            require(self, locals(), mode=Range.of("triangular", "triangular2", "exp_range"))
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        base_lrs = per_group(self, optimizer, "base_lr", base_lr)
        self.max_lrs = per_group(self, optimizer, "max_lr", max_lr)
        self.total_size = float(step_size_up) + float(step_size_down)
        self.step_ratio = float(step_size_up) / self.total_size
        self.mode, self.gamma, self.scale_mode = mode, gamma, scale_mode
        self._scale_fn_custom = scale_fn
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = start_momentum(
                self, base_momentum, max_momentum, resumed=last_epoch != -1
            )
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs, strict=True):
                set_rate(group, rate)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Return the scale of the amplitude in cycle, or step, `x`."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return float(0.5 ** (x - 1) if self.mode == "triangular2" else self.gamma**x)

    def get_lr(self) -> list[Any]:
        """Return the learning rates of step `last_epoch`; set the momentum."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        fraction = 1.0 + self.last_epoch / self.total_size - cycle
        rising = fraction <= self.step_ratio
        height = fraction / self.step_ratio if rising else (fraction - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            ends = self.base_momentums, self.max_momentums
            for group, base, top in zip(self.optimizer.param_groups, *ends, strict=True):
                set_momentum(group, top - (top - base) * height)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [base + (top - base) * height for base, top in pairs]


class OneCycleLR(LRScheduler):
    """Increases the learning rates to `max_lr`, then decreases them far below the initial ones.

    There are `total_steps` steps, or epochs * steps_per_epoch, one per batch. In the first fraction
    `pct_start` of them, the rate rises from lr = max_lr / div_factor to max_lr; then it falls to
    lr / final_div_factor. With `three_phase`, it first falls back to lr in as many steps as it
    rises. It follows a half cosine ("cos"), or a line ("linear") (Smith and Topin, 2019). With
    `cycle_momentum`, the momentum, or the first of the betas, changes inversely, between
    `max_momentum` and `base_momentum`.

    Raises `ValueError` for counts that are not integers of at least 1, pct_start not between 0 and
    1, lists without one value per group, more than `total_steps` calls of `step`, and, with
    `cycle_momentum`, an optimizer without the option `momentum` or `betas`; otherwise as
    `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.Adam([tg.ones(1, requires_grad=True)])
    >>> scheduler = tg.optim.lr_scheduler.OneCycleLR(
    ...     optimizer, max_lr=1.0, total_steps=5, pct_start=0.6, div_factor=2.0
    ... )
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = optimizer
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
            require(self, locals(), epochs=COUNT, steps_per_epoch=COUNT)
            total_steps = epochs * steps_per_epoch
        require(self, locals(), total_steps=COUNT, pct_start=FRACTION)
        require(self, locals(), div_factor=POSITIVE, final_div_factor=POSITIVE)
        require(self, locals(), anneal_strategy=Range.of(*ANNEALING))
        self.total_steps = total_steps
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(total_steps, pct_start, three_phase=three_phase)
        self.cycle_momentum = cycle_momentum
        max_lrs = per_group(self, optimizer, "max_lr", max_lr)
        if cycle_momentum:
            start_momentum(self, base_momentum, max_momentum, resumed=last_epoch != -1)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, max_lrs, strict=True):
                group["initial_lr"] = rate / div_factor
                group["max_lr"] = rate
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the learning rates of step `last_epoch`; set the momentum."""
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR was created for {self.total_steps} steps, and this is step "
                f"{self.last_epoch}. Set total_steps to the number of training steps"
            )
        last_steps = [phase["end_step"] for phase in self._schedule_phases[:-1]]
        i = bisect_left(last_steps, self.last_epoch)
        start, phase = last_steps[i - 1] if i else 0.0, self._schedule_phases[i]
        length = phase["end_step"] - start
        fraction = (self.last_epoch - start) / length if length else 1.0
        between = ANNEALING[self._anneal_func_type]
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(between(group[phase["start_lr"]], group[phase["end_lr"]], fraction))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                set_momentum(group, between(*ends, fraction))
        return rates


def _phases(total: int, pct_start: float, *, three_phase: bool) -> list[dict[str, Any]]:
    """Return the last step of each phase, and the names of the options at its start and end."""
    up = float(pct_start * total)
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    low, high = "base_momentum", "max_momentum"
    phases: list[tuple[Any, ...]] = [(up - 1, "initial_lr", "max_lr", high, low)]
    if three_phase:
        phases.append((2 * up - 2, "max_lr", "initial_lr", low, high))
        phases.append((total - 1, "initial_lr", "min_lr", high, high))
    else:
        phases.append((total - 1, "max_lr", "min_lr", low, high))
    return [dict(zip(names, phase, strict=True)) for phase in phases]
