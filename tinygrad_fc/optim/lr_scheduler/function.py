"""Schedules that a function of the epoch gives."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tinygrad_fc.optim.lr_scheduler.base import LRScheduler, checked, current, per_group

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.optim.optimizer import Optimizer


def remembered(function: Any) -> dict[str, Any] | None:
    """Return the state of a callable object; a function has none that could be saved."""
    if isinstance(function, type(remembered)):
        return None
    return copy.copy(getattr(function, "__dict__", None))


class _ByFunction(LRScheduler):
    """Has a function of the epoch for each group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = per_group(self, checked(self, optimizer), "lr_lambda", lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    f"{type(self).__name__}: lr_lambda must be a function of the epoch, got "
                    f"{function!r:.80}"
                )
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return all that it remembers; of functions nothing, of callable objects what they do."""
        return {**super().state_dict(), "lr_lambdas": [remembered(f) for f in self.lr_lambdas]}

    def _load(self, state: dict[str, Any]) -> None:
        for function, kept in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if kept is not None:
                vars(function).update(kept)
        super()._load(state)


class LambdaLR(_ByFunction):
    """Multiplies the first learning rates by a function of the epoch: lr * lr_lambda(t) at t.

    `lr_lambda` may be a list, with a function for each group. `TypeError` for what is no
    function, `ValueError` where their number is not that of the groups, and as in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def _rates(self) -> list[Any]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [rate * function(self.last_epoch) for rate, function in pairs]


class MultiplicativeLR(_ByFunction):
    """Multiplies the learning rates at each epoch t by lr_lambda(t), whatever they are.

    `lr_lambda` may be a list, with a function for each group. `TypeError` for what is no
    function, `ValueError` where their number is not that of the groups, and as in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tg.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 1 / epoch)
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()[0] == 1 / 2 / 3 / 4
    True
    """

    def _rates(self) -> list[Any]:
        rates = current(self.optimizer)
        if self._is_initial:
            return rates
        pairs = zip(rates, self.lr_lambdas, strict=True)
        return [rate * function(self.last_epoch) for rate, function in pairs]
