"""Schedulers that multiply the learning rates by a function of the epoch."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tinygrad_fc.optim.lr_scheduler.base import LRScheduler, checked, per_group, rates_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.optim.optimizer import Optimizer

__all__ = ["LambdaLR", "MultiplicativeLR"]


def attributes_of(function: Any) -> dict[str, Any] | None:
    """Return the attributes of a callable object to save; None for a plain function."""
    if isinstance(function, type(attributes_of)):
        return None
    return copy.copy(getattr(function, "__dict__", None))


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

    def get_lr(self) -> list[Any]:
        """Return the initial learning rates times lr_lambda(t)."""
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [rate * function(self.last_epoch) for rate, function in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes; None for functions, the attributes of callable objects."""
        return {**super().state_dict(), "lr_lambdas": [attributes_of(f) for f in self.lr_lambdas]}

    def _load(self, state: dict[str, Any]) -> None:
        for function, attributes in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if attributes is not None:
                vars(function).update(attributes)
        super()._load(state)


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
