"""Schedules along half a cosine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinygrad_fc.optim.lr_scheduler.base import COUNT, POSITIVE, LRScheduler, current, require
from tinygrad_fc.optim.optimizer import NUMBER

if TYPE_CHECKING:
    from tinygrad_fc.optim.optimizer import Optimizer


def half_cosine(start: Any, end: Any, done: float) -> Any:
    """Return what lies between `start` and `end` where `done`, of 1, of half a cosine is done."""
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


class CosineAnnealingLR(LRScheduler):
    """Takes the learning rates along half a cosine to `eta_min`, and back, and so on.

    At epoch t: eta_min + (lr - eta_min) * (1 + cos(pi * t / T_max)) / 2 (Loshchilov and Hutter,
    2017, formula 5, without restarts), as a factor of what the learning rates are, so that other
    schedules may work with it. `ValueError` where T_max is not above 0 or eta_min not finite, and
    as in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
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
        require(self, POSITIVE, T_max=T_max)
        require(self, NUMBER, eta_min=eta_min)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _rates(self) -> list[Any]:
        rates = current(self.optimizer)
        if self._is_initial:
            return rates
        before = self.last_epoch - 1
        if (before - self.T_max) % (2 * self.T_max) == 0:
            # At the lowest point, what is above eta_min is 0, and can't be multiplied.
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(rates, self.base_lrs, strict=True)
            return [rate + (base - self.eta_min) * rise for rate, base in pairs]
        now, then = (1 + math.cos(math.pi * t / self.T_max) for t in (self.last_epoch, before))
        return [self.eta_min + (rate - self.eta_min) * (now / then) for rate in rates]

    def _get_closed_form_lr(self) -> list[Any]:
        done = self.last_epoch / self.T_max
        return [half_cosine(base, self.eta_min, done) for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Takes the learning rates along half a cosine to `eta_min`, and begins anew, and so on.

    eta_min + (lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2, where T_cur counts the epochs
    since the last start. The first round has T_i = T_0 epochs, and each later one `T_mult` times
    those of the one before (Loshchilov and Hutter, 2017, formula 5). `step(epoch)` takes
    fractions: `step(epoch + i / batches)` after each batch i.

    `ValueError` where T_0 or T_mult is not a whole number from 1 on, eta_min not finite or epoch
    negative, and as in `LRScheduler`.

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
        require(self, COUNT, T_0=T_0, T_mult=T_mult)
        require(self, NUMBER, eta_min=eta_min)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_cur: float
        self._go_to(max(last_epoch, 0))
        super().__init__(optimizer, last_epoch)

    def _rates(self) -> list[Any]:
        done = self.T_cur / self.T_i
        return [half_cosine(base, self.eta_min, done) for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Set the learning rates of the next epoch, or of `epoch`, of which there are fractions."""
        if epoch is not None and not epoch >= 0:
            raise ValueError(f"{type(self).__name__}: epoch must be at least 0, got {epoch!r}")
        if epoch is not None or self.last_epoch < 0:
            epoch = epoch or 0
            self._go_to(epoch)
        else:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        self.last_epoch = math.floor(epoch)
        self._set(self._rates())

    def _go_to(self, epoch: float) -> None:
        """Find the round that `epoch` is in."""
        self.T_cur, self.T_i = epoch, self.T_0
        if self.T_mult == 1:
            self.T_cur %= self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
