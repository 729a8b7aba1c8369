"""Schedulers that combine schedulers."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tinygrad_fc.optim.lr_scheduler.base import LRScheduler, check_optimizer, rates_of, reset_rates
from tinygrad_fc.optim.lr_scheduler.multiplier import ReduceLROnPlateau

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinygrad_fc.optim.optimizer import Optimizer

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Composite(LRScheduler):
    """Base of schedulers that combine others of one optimizer; its state contains theirs."""

    _schedulers: Sequence[LRScheduler]

    def _combine(self, schedulers: Sequence[LRScheduler], optimizer: Any) -> None:
        """Set the schedulers; raise for one that cannot be combined."""
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name} got no schedulers: pass at least one")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(
                    f"{name} combines schedulers, got a {type(scheduler).__name__} at index {i}"
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(  # noqa: TRY004  as PyTorch
                    f"{name} got a ReduceLROnPlateau at index {i}, whose step needs a metric. "
                    "Step it separately"
                )
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"{name} got a {type(scheduler).__name__} at index {i} of another optimizer"
                )
        self._schedulers, self.optimizer = list(schedulers), schedulers[0].optimizer

    def _update_lr(self, epoch: int | None = None) -> None:  # noqa: ARG002  always 0
        """Restart: a `SequentialLR` that contains this one calls it when its turn comes."""
        self._restart()

    def _rewind(self) -> None:
        """Reset all schedulers to before their first step."""
        for scheduler in self._schedulers:
            if isinstance(scheduler, _Composite):
                scheduler._rewind()
            else:
                scheduler.last_epoch = -1

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes and the states of its schedulers, without the optimizer."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def _check_state(self, state: Mapping[str, Any]) -> None:
        super()._check_state(state)
        parts = state.get("_schedulers", ())
        if len(parts) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__} has {len(self._schedulers)} schedulers, and the state dict "
                f"{len(parts)}. It was saved by another scheduler"
            )
        for scheduler, part in zip(self._schedulers, parts, strict=True):
            scheduler._check_state(part)

    def _load(self, state: dict[str, Any]) -> None:
        for scheduler, part in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler._load(part)
        super()._load(state)


class SequentialLR(_Composite):
    """Runs schedulers one after the other; number i + 1 starts at epoch milestones[i].

    Each starts at its epoch 0 with the initial learning rates, but `MultiplicativeLR` with the
    current ones. Raises `ValueError` for no
    schedulers, one of another optimizer or a `ReduceLROnPlateau`, or unless there is one milestone
    less than schedulers, in ascending order; `TypeError` for something other than a scheduler.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> warmup = tg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.25, total_iters=9)
    >>> decay = tg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = tg.optim.lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[2])
    >>> for _ in range(4):
    ...     print(scheduler.get_last_lr())
    ...     optimizer.step()
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
        self._combine(schedulers, check_optimizer(self, optimizer))
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "SequentialLR needs one milestone between two schedulers, got "
                f"{len(schedulers)} schedulers and {len(milestones)} milestones"
            )
        if any(one > other for one, other in pairwise(milestones)):
            raise ValueError(
                f"SequentialLR needs milestones in ascending order, got {milestones!r}"
            )
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        for scheduler in self._schedulers:
            if not isinstance(scheduler, _Composite):
                scheduler.last_epoch -= 1  # undo the step of its creation
        self._start_first()

    def _restart(self) -> None:
        self._rewind()
        self.last_epoch = 0
        self._start_first()

    def _start_first(self) -> None:
        """Set the initial learning rates of the first scheduler."""
        reset_rates(self.optimizer)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._restart()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Take a step of the current scheduler."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composite):
    """Takes a step of all its schedulers at once, so that their factors multiply.

    Raises `ValueError` for no schedulers, one of another optimizer or a `ReduceLROnPlateau`;
    `TypeError` for something other than a scheduler.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> warmup = tg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.25, total_iters=9)
    >>> decay = tg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = tg.optim.lr_scheduler.ChainedScheduler([warmup, decay])
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.125]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        first = getattr(schedulers[0], "optimizer", None) if schedulers else None
        self._combine(schedulers, optimizer or first)
        self._last_lr = rates_of(self.optimizer)

    def _restart(self) -> None:
        self._rewind()
        reset_rates(self.optimizer)
        for scheduler in self._schedulers:
            scheduler._restart()
        self._last_lr = rates_of(self.optimizer)

    def step(self) -> None:  # type: ignore[override]
        """Take a step of each scheduler."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = rates_of(self.optimizer)
