"""Schedulers that multiply the learning rates by a function of the epoch; ReduceLROnPlateau."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from tinygrad_fc.optim.lr_scheduler.base import LRScheduler, per_group, rates_of, set_rate
from tinygrad_fc.optim.optimizer import FINITE, FRACTION, NON_NEGATIVE, POSITIVE, Range, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tinygrad_fc.optim.optimizer import Optimizer

__all__ = [
    "ConstantLR", "CosineAnnealingLR", "ExponentialLR", "LambdaLR", "LinearLR", "MultiStepLR",
    "MultiplicativeLR", "PolynomialLR", "ReduceLROnPlateau", "StepLR",
]  # fmt: skip


class _ByMultiplier(LRScheduler):
    """Base of schedulers with lr(t) = eta_min + (lr(0) - eta_min) * multiplier(t).

    A step multiplies the current lr - eta_min by multiplier(t) / multiplier(t - 1), so that
    the factors of several schedulers multiply, and manual changes of the learning rate persist.
    """

    eta_min = 0.0
    multiplies_on_resume = False
    """Whether a constructor with `last_epoch` multiplies the rates by the factor of the next epoch.

    PyTorch's StepLR, MultiStepLR and ConstantLR do.
    """

    def multiplier(self, t: int) -> float:
        """Return the multiplier of the initial learning rates at epoch `t`."""
        raise NotImplementedError

    def get_lr(self) -> list[Any]:
        """Return eta_min + (lr - eta_min) * multiplier(t) / multiplier(t - 1)."""
        rates, low, t = rates_of(self.optimizer), self.eta_min, self.last_epoch
        new, old = self.multiplier(t), self.multiplier(t - 1) if t > 0 else 1.0
        skipped = self._is_initial and t > 0 and not self.multiplies_on_resume
        if new == old or skipped:
            return rates
        if old == 0:
            return [r + (base - low) * new for r, base in zip(rates, self.base_lrs, strict=True)]
        return [low + (rate - low) * (new / old) for rate in rates]

    def _get_closed_form_lr(self) -> list[Any]:
        low, multiplier = self.eta_min, self.multiplier(self.last_epoch)
        return [low + (base - low) * multiplier for base in self.base_lrs]


class StepLR(_ByMultiplier):
    """Multiplies the learning rates by `gamma` every `step_size` epochs.

    At epoch t: lr * gamma^floor(t / step_size). Raises `ValueError` if step_size is not a
    finite number above 0 or gamma not finite, and as `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    multiplies_on_resume = True

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        require(self, locals(), step_size=POSITIVE, gamma=FINITE)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def multiplier(self, t: int) -> float:
        """Return gamma^floor(t / step_size)."""
        return self.gamma ** (t // self.step_size)


class MultiStepLR(_ByMultiplier):
    """Multiplies the learning rates by `gamma` at each epoch in `milestones`, in any order.

    At epoch t: lr * gamma^(number of milestones <= t); repeated milestones count repeatedly.
    Raises `ValueError` if gamma is not finite, `TypeError` if milestones is not iterable, and
    as `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    multiplies_on_resume = True

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        require(self, locals(), gamma=FINITE)
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def multiplier(self, t: int) -> float:
        """Return gamma^(number of milestones <= t)."""
        return self.gamma ** bisect_right(sorted(self.milestones.elements()), t)


class ExponentialLR(_ByMultiplier):
    """Multiplies the learning rates by `gamma` every epoch: lr * gamma^t at epoch t.

    Raises `ValueError` if gamma is not finite, and as `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        require(self, locals(), gamma=FINITE)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def multiplier(self, t: int) -> float:
        """Return gamma^t."""
        return self.gamma**t


class ConstantLR(_ByMultiplier):
    """Multiplies the learning rates by `factor` before epoch `total_iters`, always if that is 0.

    Raises `ValueError` if factor is not between 0 and 1 or total_iters negative, and as
    `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> for _ in range(2):
    ...     print(scheduler.get_last_lr())
    ...     optimizer.step()
    ...     scheduler.step()
    [0.5]
    [0.5]
    >>> scheduler.get_last_lr()
    [1.0]
    """

    multiplies_on_resume = True

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        require(self, locals(), factor=FRACTION, total_iters=NON_NEGATIVE)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def multiplier(self, t: int) -> float:
        """Return `factor` before epoch `total_iters`, then 1; for 0 always, as PyTorch does."""
        return self.factor if t < (self.total_iters or math.inf) else 1.0


class LinearLR(_ByMultiplier):
    """Multiplies the learning rates by a factor that changes linearly.

    At epoch t: lr * (start_factor + (end_factor - start_factor) * min(t, n) / n), where n is
    `total_iters`. Raises `ValueError` if start_factor is not above 0 and at most 1, end_factor
    not between 0 and 1 or total_iters negative, and as `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        positive = Range(lambda v: 0 < v <= 1, "above 0 and at most 1")
        require(self, locals(), start_factor=positive, end_factor=FRACTION)
        require(self, locals(), total_iters=NON_NEGATIVE)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def multiplier(self, t: int) -> float:
        """Return the factor on the line from `start_factor` to `end_factor`."""
        fraction = min(t, self.total_iters) / (self.total_iters or 1)
        return self.start_factor + (self.end_factor - self.start_factor) * fraction


class PolynomialLR(_ByMultiplier):
    """Decreases the learning rates to 0 along a power of the fraction of epochs that remain.

    At epoch t: lr * (1 - min(t, n) / n)^power, where n is `total_iters`. Raises `ValueError` if
    total_iters or power is negative, and as `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=2, power=2)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        require(self, locals(), total_iters=NON_NEGATIVE, power=NON_NEGATIVE)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def multiplier(self, t: int) -> float:
        """Return (1 - min(t, n) / n)^power."""
        fraction = min(t, self.total_iters) / (self.total_iters or 1)
        return float((1 - fraction) ** self.power)


class CosineAnnealingLR(_ByMultiplier):
    """Moves the learning rates along a cosine to `eta_min` in `T_max` epochs, then back.

    At epoch t: eta_min + (lr - eta_min) * (1 + cos(pi * t / T_max)) / 2 (Loshchilov and Hutter,
    2017, formula 5, without restarts). Raises `ValueError` if T_max is not above 0 or eta_min
    not finite, and as `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803  PyTorch's name
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        require(self, locals(), T_max=POSITIVE, eta_min=FINITE)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def multiplier(self, t: int) -> float:
        """Return (1 + cos(pi * t / T_max)) / 2."""
        return (1 + math.cos(math.pi * t / self.T_max)) / 2


# Functions of the epoch


class LambdaLR(LRScheduler):
    """Multiplies the initial learning rates by a function: lr * lr_lambda(t) at epoch t.

    `lr_lambda` may be a list with a function per group. `state_dict` saves the attributes of
    callable objects, but not functions. Raises `TypeError` for something that is not callable,
    `ValueError` for another number of functions than of groups, and as `LRScheduler` does.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    _functions = ("lr_lambdas",)

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = per_group(self, optimizer, "lr_lambda", lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    f"{type(self).__name__}: lr_lambda must be a function of the epoch, got "
                    f"{function!r:.80}"
                )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the initial learning rates times lr_lambda(t)."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [rate * function(self.last_epoch) for rate, function in pairs]


class MultiplicativeLR(LambdaLR):
    """Multiplies the current learning rates by lr_lambda(t) at each epoch t, from 1 on.

    Arguments, state and errors are those of `LambdaLR`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 1 / epoch)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()[0] == 1 / 2 / 3 / 4
    True
    """

    def get_lr(self) -> list[Any]:
        """Return the current learning rates times lr_lambda(t)."""
        rates = rates_of(self.optimizer)
        if self._is_initial:
            return rates
        pairs = zip(rates, self.lr_lambdas, strict=True)
        return [rate * function(self.last_epoch) for rate, function in pairs]


# A metric


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

    step_needs_metric = True

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
        self.optimizer = optimizer
        choices = {"mode": Range.of("min", "max"), "threshold_mode": Range.of("rel", "abs")}
        require(self, locals(), **choices, threshold=FINITE)
        require(self, locals(), factor=Range(lambda v: 0 <= v < 1, "at least 0 and below 1"))
        require(self, locals(), patience=NON_NEGATIVE, cooldown=NON_NEGATIVE, eps=NON_NEGATIVE)
        self.min_lrs = per_group(self, optimizer, "min_lr", min_lr)
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.mode_worse = self.best  # for PyTorch's state_dict, unread
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
