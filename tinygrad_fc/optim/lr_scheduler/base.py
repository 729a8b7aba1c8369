"""The base class of schedulers, and the schedulers that combine others."""

from __future__ import annotations

import copy
import warnings
from bisect import bisect_right
from itertools import pairwise
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.pytree import mapped
from tinygrad_fc.core.seam import observer
from tinygrad_fc.optim.optimizer import Group, Optimizer
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ChainedScheduler", "LRScheduler", "SequentialLR"]

PER_GROUP_ATTRIBUTES = {"base_lrs", "lr_lambdas", "min_lrs"}
"""Attributes whose length `load_state_dict` checks."""


class LRScheduler:
    """Base class of schedulers of learning rates; a subclass defines `get_lr()`.

    With `last_epoch=-1`, the constructor stores the current learning rates as `group["initial_lr"]`
    unless the group has one, and sets the rates of epoch 0. To resume without a saved state, pass
    the last finished epoch and an optimizer whose groups have "initial_lr", as after
    `load_state_dict`. `last_epoch` is the current epoch, `base_lrs` the initial rates.

    Raises `TypeError` for something other than an optimizer, and `KeyError` if "initial_lr" is
    missing.

    >>> import tinygrad_fc as tg
    >>> class Halving(tg.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [lr / 2**self.last_epoch for lr in self.base_lrs]
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=0.5)
    >>> scheduler = Halving(optimizer)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    step_needs_metric = False
    """Whether `step` takes a metric, as in `ReduceLROnPlateau`; then it cannot be combined."""
    _is_initial: bool = False
    _functions: tuple[str, ...] = ()  # names of attributes that hold functions
    _get_lr_called_within_step = True  # schedulers written for PyTorch read it

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = check_optimizer(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: last_epoch={last_epoch} needs 'initial_lr', which "
                    f"param_groups[{i}] lacks. Load the optimizer's state first"
                )
        self.base_lrs = rates_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._restart()

    def _restart(self) -> None:
        """Reset the step count, and take the step that sets the initial learning rates."""
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def get_last_lr(self) -> list[Any]:
        """Return the learning rates that the last step has set, one per group."""
        if by := observer():
            by.once("the learning rates of a scheduler are read")
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """Return the learning rates of `last_epoch`; `step()` calls it and sets them."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr()")

    def _get_closed_form_lr(self) -> list[Any]:
        """Return the learning rates of `last_epoch`, regardless of the current ones."""
        return self.get_lr()

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rates of the next epoch, or of `epoch`.

        Warns at the first step if the optimizer has taken none: the initial rates are skipped.
        """
        if by := observer():
            by.once("a learning rate scheduler takes a step")
        if self._step_count == 1 and not self.optimizer.has_stepped:
            warnings.warn(
                f"{type(self).__name__}.step() was called before optimizer.step(), so the first "
                "learning rate is never used. Call optimizer.step() before scheduler.step()",
                UserWarning,
                stacklevel=2,
            )
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
        """Set the learning rates of all groups, and store copies for `get_last_lr`."""
        groups = self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ValueError(
                f"{type(self).__name__} has {len(rates)} learning rates, and the optimizer "
                f"{len(groups)} groups. Create the scheduler after all groups are added"
            )
        for group, rate in zip(groups, rates, strict=True):
            set_rate(group, rate)
        self._last_lr = rates_of(self.optimizer)

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return all attributes except the optimizer, which has a state of its own.

        For a function it has None, for another callable object its attributes.
        """
        state = {key: value for key, value in vars(self).items() if key != "optimizer"}
        return state | {name: mapped(_attributes_of, state[name]) for name in self._functions}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a copy of a state dict. Load the state of the optimizer as well.

        Raises `ValueError` for the state of another kind of scheduler, or of another number of
        groups, and then changes nothing.
        """
        self._check_state(state_dict)
        self._load(copy.deepcopy(dict(state_dict)))

    def _check_state(self, state: Mapping[str, Any]) -> None:
        name, known = type(self).__name__, self.state_dict()
        different = sorted(k for k in known.keys() ^ state.keys() if not k.startswith("_"))
        if different:
            raise ValueError(
                f"{name} and the state dict differ in {', '.join(different)}. It was saved by "
                "another scheduler"
            )
        for key in PER_GROUP_ATTRIBUTES & state.keys():
            if len(state[key]) != len(known[key]):
                raise ValueError(
                    f"{name} has {len(known[key])} {key}, and the state dict {len(state[key])}. It "
                    "was saved with another number of groups"
                )

    def _load(self, state: dict[str, Any]) -> None:
        for name in self._functions:
            functions, saved = vars(self)[name], state.pop(name, None)
            several = isinstance(functions, list)
            pairs = zip(functions, saved, strict=True) if several else [(functions, saved)]
            for function, attributes in pairs:
                if attributes is not None:
                    vars(function).update(attributes)
        vars(self).update(state)


def _attributes_of(function: Any) -> dict[str, Any] | None:
    """Return the attributes of a callable object to save; None for a plain function."""
    if isinstance(function, FunctionType):
        return None
    return copy.copy(getattr(function, "__dict__", None))


# A learning rate is a number, or a tensor of one element. Tensors are set in place, and copies
# returned.


def copied(value: Any) -> Any:
    """Return a learning rate, cloned if it is a tensor."""
    return value.clone() if isinstance(value, Tensor) else value


def rates_of(optimizer: Optimizer, key: str = "lr") -> list[Any]:
    """Return the learning rate, or the option `key`, of each group."""
    return [copied(group[key]) for group in optimizer.param_groups]


def set_rate(group: Group, rate: Any) -> None:
    """Set the learning rate of one group."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(float(rate))
    else:
        group["lr"] = rate


def reset_rates(optimizer: Optimizer) -> None:
    """Set the learning rates of all groups to the initial ones."""
    for group in optimizer.param_groups:
        set_rate(group, copied(group["initial_lr"]))


# Checks of arguments


def check_optimizer(scheduler: LRScheduler, optimizer: Any) -> Optimizer:
    """Return `optimizer`; raise `TypeError` if it is not an `Optimizer`."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{type(scheduler).__name__} needs an optimizer, got a {type(optimizer).__name__}"
        )
    return optimizer


def per_group(scheduler: LRScheduler, optimizer: Optimizer, option: str, value: Any) -> list[Any]:
    """Return `value` as a list with one value per group; a single value is repeated.

    Raises `TypeError` for something other than an optimizer, `ValueError` for another length.
    """
    count = len(check_optimizer(scheduler, optimizer).param_groups)
    values = value if isinstance(value, list | tuple) else [value] * count
    if len(values) != count:
        raise ValueError(
            f"{type(scheduler).__name__}: {option} has {len(values)} values, and the optimizer "
            f"{count} groups. Pass one value per group"
        )
    return [copied(v) for v in values]


# Schedulers that combine others


class _Composite(LRScheduler):
    """Base of schedulers that combine others of one optimizer; its state contains theirs."""

    _schedulers: Sequence[LRScheduler]

    def _combine(self, schedulers: Sequence[LRScheduler], optimizer: Any) -> None:
        """Set the schedulers; raise for one that cannot be combined."""
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name} got no schedulers: pass at least one")
        for i, scheduler in enumerate(schedulers):
            got = f"got a {type(scheduler).__name__} at index {i}"
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name} combines schedulers, {got}")
            if scheduler.step_needs_metric:
                raise ValueError(f"{name} {got}, whose step needs a metric. Step it separately")
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{name} {got} of another optimizer")
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
    current ones. Raises `ValueError` for no schedulers, one of another optimizer or a
    `ReduceLROnPlateau`, or unless there is one milestone less than schedulers, in ascending order;
    `TypeError` for something other than a scheduler.

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
    """Takes a step of each of its schedulers, in order.

    Factors by which they multiply the current rates combine. A scheduler that computes rates from
    the initial ones, such as `LambdaLR` or `CyclicLR`, overrides those before it.

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
