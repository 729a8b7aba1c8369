"""Schedules that multiply the learning rates, epoch by epoch, by a factor for all groups."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any

from tinygrad_fc.optim.lr_scheduler.base import POSITIVE, LRScheduler, current, require
from tinygrad_fc.optim.optimizer import AT_LEAST_0, NUMBER, PART, Limit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinygrad_fc.optim.optimizer import Optimizer


class _Factor(LRScheduler):
    """Multiplies whatever the learning rates are, so that several schedules may work together."""

    def _factor(self) -> float:
        """Return what `last_epoch` multiplies the learning rates of the epoch before by."""
        raise NotImplementedError

    def _factor_so_far(self) -> float:
        """Return the product of all factors up to `last_epoch`."""
        raise NotImplementedError

    def _rates(self) -> list[Any]:
        factor = self._factor()
        if factor == 1:
            return current(self.optimizer)
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list[Any]:
        factor = self._factor_so_far()
        return [rate * factor for rate in self.base_lrs]


class StepLR(_Factor):
    """Multiplies the learning rates by `gamma` every `step_size` epochs.

    At epoch t: lr * gamma^floor(t / step_size). `ValueError` where step_size is not a finite
    number above 0 or gamma not finite, and as in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        require(self, POSITIVE, step_size=step_size)
        require(self, NUMBER, gamma=gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        due = self.last_epoch and self.last_epoch % self.step_size == 0
        return self.gamma if due else 1

    def _factor_so_far(self) -> float:
        return self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(_Factor):
    """Multiplies the learning rates by `gamma` at each epoch of `milestones`, in any order.

    At epoch t: lr * gamma^(how many milestones are at most t); one that is given twice counts
    twice. `ValueError` where gamma is not finite, `TypeError` where milestones is no list, and as
    in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], gamma=0.5)
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        require(self, NUMBER, gamma=gamma)
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return self.gamma ** self.milestones[self.last_epoch]

    def _factor_so_far(self) -> float:
        return self.gamma ** bisect_right(sorted(self.milestones.elements()), self.last_epoch)


class ExponentialLR(_Factor):
    """Multiplies the learning rates by `gamma` every epoch: lr * gamma^t at epoch t.

    `ValueError` where gamma is not finite, and as in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> for _ in range(3):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        require(self, NUMBER, gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return 1 if self._is_initial else self.gamma

    def _factor_so_far(self) -> float:
        return self.gamma**self.last_epoch


class ConstantLR(_Factor):
    """Multiplies the learning rates by `factor` until epoch `total_iters`, and no longer then.

    `ValueError` where factor is not between 0 and 1 or total_iters negative, and as in
    `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> for _ in range(2):
    ...     print(scheduler.get_last_lr())
    ...     scheduler.step()
    [0.5]
    [0.5]
    >>> scheduler.get_last_lr()
    [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        require(self, PART, factor=factor)
        require(self, AT_LEAST_0, total_iters=total_iters)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _rates(self) -> list[Any]:
        if self.last_epoch == self.total_iters and not self.factor:
            return self._get_closed_form_lr()  # nothing is left to be divided by the factor
        return super()._rates()

    def _factor(self) -> float:
        if self.last_epoch == 0:
            return self.factor
        return 1 / self.factor if self.last_epoch == self.total_iters else 1

    def _factor_so_far(self) -> float:
        return 1 if self.last_epoch >= self.total_iters else self.factor


class LinearLR(_Factor):
    """Multiplies the learning rates by a factor on a line from one to another.

    At epoch t: lr * (start_factor + (end_factor - start_factor) * min(t, n) / n), where n is
    `total_iters`. `ValueError` where start_factor is not above 0 and at most 1, end_factor not
    between 0 and 1 or total_iters negative, and as in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        require(
            self, Limit(lambda v: 0 < v <= 1, "above 0 and at most 1"), start_factor=start_factor
        )
        require(self, PART, end_factor=end_factor)
        require(self, AT_LEAST_0, total_iters=total_iters)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        if self.last_epoch == 0:
            return self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1
        rise = self.end_factor - self.start_factor
        return 1 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)

    def _factor_so_far(self) -> float:
        rise = self.end_factor - self.start_factor
        done = min(self.last_epoch, self.total_iters) / (self.total_iters or 1)
        return self.start_factor + rise * done


class PolynomialLR(_Factor):
    """Takes the learning rates to 0 by a power of the epochs that are left.

    At epoch t: lr * (1 - min(t, n) / n)^power, where n is `total_iters`. `ValueError` where
    total_iters or power is negative, and as in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=2, power=2)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        require(self, AT_LEAST_0, total_iters=total_iters, power=power)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1
        n = self.total_iters
        left, before = 1 - self.last_epoch / n, 1 - (self.last_epoch - 1) / n
        return float((left / before) ** self.power)

    def _factor_so_far(self) -> float:
        done = min(self.last_epoch, self.total_iters) / (self.total_iters or 1)
        return float((1 - done) ** self.power)
