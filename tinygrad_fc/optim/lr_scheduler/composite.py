"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tinygrad_fc.optim.lr_scheduler.base import LRScheduler, checked, current, own, set_lr
from tinygrad_fc.optim.lr_scheduler.plateau import ReduceLROnPlateau

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Optimizer


class _Composite(LRScheduler):
    """Holds schedules of one optimizer, and their states with its own."""

    _schedulers: Sequence[LRScheduler]

    def _check_parts(self, schedulers: Sequence[LRScheduler], optimizer: Any) -> None:
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(
                    f"{name} is made of schedules, got a {type(scheduler).__name__} at index {i}"
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(  # noqa: TRY004  as PyTorch
                    f"{name} got a ReduceLROnPlateau at index {i}, whose step takes a measure, "
                    "which there is none of here: step it beside this one"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{name} got a {type(scheduler).__name__} at index {i} that is for another "
                    "optimizer"
                )

    def _update_lr(self, epoch: int | None = None) -> None:  # noqa: ARG002  it can only begin
        self._begin()

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return all that it and its schedules remember, but for the optimizer."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def _check_state(self, state: Mapping[str, Any]) -> None:
        super()._check_state(state)
        parts = state.get("_schedulers", ())
        if len(parts) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__} has {len(self._schedulers)} schedules, and the state dict "
                f"{len(parts)}"
            )
        for scheduler, part in zip(self._schedulers, parts, strict=True):
            scheduler._check_state(part)

    def _load(self, state: dict[str, Any]) -> None:
        for scheduler, part in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler._load(part)
        super()._load(state)


class SequentialLR(_Composite):
    """Takes one schedule after the other: the next one begins at each of the `milestones`.

    A schedule begins at its own epoch 0 with the first learning rates, whatever the one before has
    made of them. `ValueError` where there is no schedule, one for another optimizer or a
    `ReduceLROnPlateau`, or where the milestones are not one less than the schedules, in order;
    `TypeError` for what is no schedule.

    >>> import tinygrad_fc as tg
    >>> schedules = tg.optim.lr_scheduler
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> warm = schedules.ConstantLR(optimizer, factor=0.25, total_iters=9)
    >>> decay = schedules.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = schedules.SequentialLR(optimizer, [warm, decay], milestones=[2])
    >>> for _ in range(4):
    ...     print(scheduler.get_last_lr())
    ...     scheduler.step()
    [0.25]
    [0.25]
    [1.0]
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers:
            raise ValueError("SequentialLR got no schedules")
        self._check_parts(schedulers, checked(self, optimizer))
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR needs a milestone between each two schedules, got "
                f"{len(schedulers)} schedules and {len(milestones)} milestones"
            )
        if any(one > other for one, other in pairwise(milestones)):
            raise ValueError(f"SequentialLR needs its milestones in order, got {milestones!r}")
        self._schedulers, self._milestones = list(schedulers), milestones
        self.optimizer = optimizer
        self.last_epoch = last_epoch + 1
        for scheduler in self._schedulers:
            if not isinstance(scheduler, _Composite):
                scheduler.last_epoch -= 1  # the step that it took when it was made
        self._start()

    def _begin(self) -> None:
        _rewind(self)
        self.last_epoch = 0
        self._start()

    def _start(self) -> None:
        """Set the first learning rates of the first schedule."""
        for group in self.optimizer.param_groups:
            set_lr(group, own(group["initial_lr"]))
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._begin()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Take a step of the schedule whose turn it is."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composite):
    """Takes a step of each of several schedules at once, whose factors so multiply.

    `ValueError` where there is no schedule, one for another optimizer or a `ReduceLROnPlateau`;
    `TypeError` for what is no schedule.

    >>> import tinygrad_fc as tg
    >>> schedules = tg.optim.lr_scheduler
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> warm = schedules.ConstantLR(optimizer, factor=0.25, total_iters=9)
    >>> decay = schedules.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = schedules.ChainedScheduler([warm, decay])
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.125]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler got no schedules")
        optimizer = optimizer or getattr(schedulers[0], "optimizer", None)
        self._check_parts(schedulers, optimizer)
        self._schedulers = list(schedulers)
        self.optimizer = schedulers[0].optimizer
        self._last_lr = current(self.optimizer)

    def _begin(self) -> None:
        _rewind(self)
        for group in self.optimizer.param_groups:
            set_lr(group, own(group["initial_lr"]))
        for scheduler in self._schedulers:
            scheduler._begin()
        self._last_lr = current(self.optimizer)

    def step(self) -> None:  # type: ignore[override]
        """Take a step of each schedule."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = current(self.optimizer)


def _rewind(scheduler: LRScheduler) -> None:
    """Take a schedule, and all that it is made of, to where it has not taken a step yet."""
    if isinstance(scheduler, _Composite):
        for part in scheduler._schedulers:
            _rewind(part)
    else:
        scheduler.last_epoch = -1
