"""What the schedules share: the optimizer's learning rates, the count of steps, and state."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from operator import index
from typing import Any

from tinygrad_fc.optim.optimizer import Group, Limit, Optimizer
from tinygrad_fc.tensor import Tensor

_PER_GROUP = {"base_lrs", "lr_lambdas", "min_lrs"}
_OTHERS = {"_get_lr_called_within_step"}  # what a state of PyTorch's has, of no use here


class LRScheduler:
    """Sets the learning rates of an optimizer's groups. A subclass says to what, in `get_lr()`.

    Made with `last_epoch=-1`, it takes the learning rates that it finds for those to begin with
    (`group["initial_lr"]` remembers them for all schedules), and sets the first. To resume a
    schedule without its state, make it with the `last_epoch` that was finished, on an optimizer
    whose groups have "initial_lr", as those of a loaded state have: it is then at the next one.

    Raises `TypeError` for what is no optimizer, and `KeyError` where "initial_lr" is missing.

    >>> import tinygrad_fc as tg
    >>> class Halved(tg.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [lr / 2**self.last_epoch for lr in self.base_lrs]
    >>> scheduler = Halved(tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=0.5))
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    _is_initial: bool = False
    _get_lr_called_within_step = True  # schedules written for PyTorch may warn if it is not

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", own(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__} with last_epoch={last_epoch} goes on from "
                    f"'initial_lr', which param_groups[{i}] has not: load the optimizer's state "
                    "first, or begin with last_epoch=-1"
                )
        self.base_lrs = current(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._begin()

    def _begin(self) -> None:
        """Take the step that sets the first learning rates."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_last_lr(self) -> list[Any]:
        """Return the learning rates that the last step has set, one a group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """Return what `step()` is about to set; `get_last_lr()` tells what it has set."""
        return self._rates()

    def _rates(self) -> list[Any]:
        raise NotImplementedError(f"{type(self).__name__} has no get_lr()")

    def _get_closed_form_lr(self) -> list[Any]:
        """Return the learning rates at `last_epoch`, whatever they were before it."""
        return self.get_lr()

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rates of the next epoch, or of `epoch`."""
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        if epoch is None:
            self.last_epoch += 1
            rates = self.get_lr()
        else:
            self.last_epoch = epoch
            rates = self._get_closed_form_lr()
        self._set(rates)

    def _set(self, rates: list[Any]) -> None:
        """Set the learning rate of each group, and remember them."""
        groups = self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ValueError(
                f"{type(self).__name__} has {len(rates)} learning rates, and the optimizer "
                f"{len(groups)} groups: make the schedule when all groups are there"
            )
        for group, rate in zip(groups, rates, strict=True):
            set_lr(group, rate)
        self._last_lr = current(self.optimizer)

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return all that it remembers, but for the optimizer, which has a state of its own."""
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, copied. Load the optimizer's state as well.

        Raises `ValueError` where it is the state of another kind of schedule, or for another
        number of groups, and changes nothing then.
        """
        self._check_state(state_dict)
        self._load(copy.deepcopy(dict(state_dict)))

    def _check_state(self, state: Mapping[str, Any]) -> None:
        name, known = type(self).__name__, self.state_dict()
        if not isinstance(state, Mapping):
            raise TypeError(f"{name} loads a dict, got {state!r:.80}")
        others = sorted(state.keys() - known.keys() - _OTHERS)
        missing = sorted(k for k in known.keys() - state.keys() if not k.startswith("_"))
        if others or missing:
            what = f"{', '.join(others)} besides" if others else f"no {', '.join(missing)}"
            raise ValueError(
                f"{name} remembers {', '.join(known)}, and the state dict has {what}: it was saved "
                "by another schedule"
            )
        for key in _PER_GROUP & state.keys():
            if len(state[key]) != len(known[key]):
                raise ValueError(
                    f"{name} has {len(known[key])} {key}, and the state dict {len(state[key])}: "
                    "it was saved with another number of groups"
                )

    def _load(self, state: dict[str, Any]) -> None:
        vars(self).update({key: value for key, value in state.items() if key not in _OTHERS})


# Learning rates: numbers, or tensors of one, which are changed in place and never handed out


def own(value: Any) -> Any:
    """Return a copy of a learning rate, if it is one that can be changed."""
    return value.clone() if isinstance(value, Tensor) else value


def current(optimizer: Optimizer, key: str = "lr") -> list[Any]:
    """Return an option of each group."""
    return [own(group[key]) for group in optimizer.param_groups]


def set_lr(group: Group, rate: Any) -> None:
    """Set the learning rate of one group."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(float(rate))
    else:
        group["lr"] = rate


# Checks of what a schedule is made with

POSITIVE = Limit(lambda v: 0 < v < math.inf, "a finite number above 0")
COUNT = Limit(lambda v: index(v) >= 1, "a whole number, at least 1")


def checked(scheduler: LRScheduler, optimizer: Any) -> Optimizer:
    """Return `optimizer`; raise where it is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{type(scheduler).__name__} schedules an optimizer, got a {type(optimizer).__name__}"
        )
    return optimizer


def per_group(scheduler: LRScheduler, optimizer: Optimizer, option: str, value: Any) -> list[Any]:
    """Return `value` for each group, of which there may be a list."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [own(value) for _ in range(count)]
    if len(value) != count:
        raise ValueError(
            f"{type(scheduler).__name__}: {option} has {len(value)} values, and the optimizer "
            f"{count} groups"
        )
    return [own(each) for each in value]


def require(scheduler: LRScheduler, limit: Limit, **options: Any) -> None:
    """Raise `ValueError` for an option that is not within `limit`."""
    for option, value in options.items():
        try:
            holds = limit.holds(value)
        except TypeError:
            holds = False
        if not holds:
            raise ValueError(
                f"{type(scheduler).__name__}: {option} must be {limit.words}, got {value!r}"
            )
