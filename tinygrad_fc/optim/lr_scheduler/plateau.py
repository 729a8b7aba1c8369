"""The scheduler that reduces the learning rates when a metric stops improving."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from tinygrad_fc.optim.lr_scheduler.base import LRScheduler, checked, per_group, rates_of, set_rate
from tinygrad_fc.optim.optimizer import FINITE, NON_NEGATIVE, Range, require

if TYPE_CHECKING:
    from tinygrad_fc.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the learning rates by `factor` when a metric has stopped improving.

    `step(metrics)` takes the metric of an epoch, for example the validation loss. It improves if
    it is below (mode "max": above) the best so far by more than `threshold`, relative ("rel") or
    absolute ("abs"). After more than `patience` epochs without improvement ("bad" epochs), the
    learning rates are reduced, but not below `min_lr`; a reduction of at most `eps` is skipped. Bad
    epochs are not counted in the next `cooldown` epochs.

    Raises `ValueError` if factor is not at least 0 and below 1, for another mode, negative
    counts, or a list `min_lr` without one value per group; `TypeError` as `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.5, 2.5):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self.optimizer = checked(self, optimizer)
        require(self, Range(lambda v: v in ("min", "max"), "'min' or 'max'"), mode=mode)
        modes = Range(lambda v: v in ("rel", "abs"), "'rel' or 'abs'")
        require(self, modes, threshold_mode=threshold_mode)
        require(self, Range(lambda v: 0 <= v < 1, "at least 0 and below 1"), factor=factor)
        require(self, FINITE, threshold=threshold)
        require(self, NON_NEGATIVE, patience=patience, cooldown=cooldown, eps=eps)
        self.min_lrs = per_group(self, optimizer, "min_lr", min_lr)
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf
        self.last_epoch = self.num_bad_epochs = self.cooldown_counter = 0
        self._last_lr = rates_of(optimizer)

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Record the metric, a number or 0-d tensor, of the next epoch or of `epoch`."""
        metric = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._improves(metric):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = rates_of(self.optimizer)

    @property
    def in_cooldown(self) -> bool:
        """Whether bad epochs are ignored, after a reduction."""
        return self.cooldown_counter > 0

    def _improves(self, metric: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        relative = self.best * (1 + sign * self.threshold)  # infinite at first
        limit = relative if self.threshold_mode == "rel" else self.best + sign * self.threshold
        return metric > limit if self.mode == "max" else metric < limit

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"ReduceLROnPlateau has {len(self.min_lrs)} values of min_lr, and the "
                    f"optimizer has {len(groups)} groups. Extend `min_lrs` when groups are added"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, min_lr in zip(groups, self.min_lrs, strict=True):
            before = float(group["lr"])
            after = max(before * self.factor, float(min_lr))
            if before - after > self.eps:
                set_rate(group, after)
