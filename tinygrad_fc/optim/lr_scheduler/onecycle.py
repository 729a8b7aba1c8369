"""OneCycleLR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tinygrad_fc.optim.lr_scheduler.base import (
    COUNT,
    POSITIVE,
    LRScheduler,
    checked,
    per_group,
    require,
)
from tinygrad_fc.optim.lr_scheduler.cosine import half_cosine
from tinygrad_fc.optim.lr_scheduler.momentum import check_momentum, set_momentum, start_momentum
from tinygrad_fc.optim.optimizer import PART, Limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinygrad_fc.optim.optimizer import Optimizer


class OneCycleLR(LRScheduler):
    """Takes the learning rates up to `max_lr` and far down, once in the training, batch by batch.

    Of the steps, of which there are `total_steps` or epochs * steps_per_epoch, the first
    `pct_start` go from max_lr / div_factor to max_lr, the rest to the first learning rate divided
    by final_div_factor; with `three_phase`, as many as up go down to the first learning rate
    before that. All along half a cosine, or a line ("linear") (Smith and Topin, 2019). With
    `cycle_momentum`, the momentum, or the first of the betas, goes the other way, between
    `max_momentum` and `base_momentum`.

    `ValueError` for counts that are not whole numbers from 1 on, a part that is not between 0 and
    1, lists that are not as long as the groups are many, an optimizer without momentum, and a
    step after the last; else as in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.Adam([tg.ones(1, requires_grad=True)])
    >>> scheduler = tg.optim.lr_scheduler.OneCycleLR(
    ...     optimizer, max_lr=1.0, total_steps=5, pct_start=0.6, div_factor=2.0
    ... )
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
        checked(self, optimizer)
        self.total_steps = self._count(total_steps, epochs, steps_per_epoch)
        require(self, PART, pct_start=pct_start)
        require(self, POSITIVE, div_factor=div_factor, final_div_factor=final_div_factor)
        strategies = Limit(lambda v: v in ("cos", "linear"), "'cos' or 'linear'")
        require(self, strategies, anneal_strategy=anneal_strategy)
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase=three_phase)
        self.cycle_momentum = cycle_momentum
        max_lrs = per_group(self, optimizer, "max_lr", max_lr)
        if cycle_momentum:
            self.use_beta1 = check_momentum(self, optimizer)
            base = per_group(self, optimizer, "base_momentum", base_momentum)
            most = per_group(self, optimizer, "max_momentum", max_momentum)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, max_lrs, strict=True):
                group["initial_lr"] = rate / div_factor
                group["max_lr"] = rate
                group["min_lr"] = group["initial_lr"] / final_div_factor
            if cycle_momentum:
                start_momentum(optimizer, base, most)
        super().__init__(optimizer, last_epoch)

    def _count(self, total: int | None, epochs: int | None, per_epoch: int | None) -> int:
        if total is not None:
            require(self, COUNT, total_steps=total)
            return total
        if epochs is None or per_epoch is None:
            raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
        require(self, COUNT, epochs=epochs, steps_per_epoch=per_epoch)
        return epochs * per_epoch

    def _rates(self) -> list[Any]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR was made for {self.total_steps} steps, and this is step "
                f"{self.last_epoch}"
            )
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if self.last_epoch <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        length = phase["end_step"] - start
        done = (self.last_epoch - start) / length if length else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group, phase, "lr", done))
            if self.cycle_momentum:
                set_momentum(group, self._between(group, phase, "momentum", done))
        return rates

    def _between(
        self, group: Mapping[str, Any], phase: Mapping[str, Any], what: str, done: float
    ) -> Any:
        """Return what lies between the ends of a phase, which are options of the group."""
        start, end = (group[phase[f"{which}_{what}"]] for which in ("start", "end"))
        if self._anneal_func_type == "cos":
            return half_cosine(start, end, done)
        return start + (end - start) * done


def _phases(total: int, part: float, *, three_phase: bool) -> list[dict[str, Any]]:
    """Return the phases: the step that each ends with, and between which options it goes."""
    up = float(part * total)
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    low, high = "base_momentum", "max_momentum"
    phases: list[tuple[Any, ...]] = [(up - 1, "initial_lr", "max_lr", high, low)]
    if three_phase:
        phases.append((2 * up - 2, "max_lr", "initial_lr", low, high))
        phases.append((total - 1, "initial_lr", "min_lr", high, high))
    else:
        phases.append((total - 1, "max_lr", "min_lr", low, high))
    return [dict(zip(names, phase, strict=True)) for phase in phases]
