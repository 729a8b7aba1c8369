"""CyclicLR."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from tinygrad_fc.optim.lr_scheduler.base import (
    POSITIVE,
    LRScheduler,
    checked,
    per_group,
    require,
    set_lr,
)
from tinygrad_fc.optim.lr_scheduler.function import remembered
from tinygrad_fc.optim.lr_scheduler.momentum import check_momentum, set_momentum, start_momentum
from tinygrad_fc.optim.optimizer import NUMBER, Limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.optim.optimizer import Optimizer

_MODES = ("triangular", "triangular2", "exp_range")


class CyclicLR(LRScheduler):
    """Takes the learning rates up a line to `max_lr` and down to `base_lr` again, batch by batch.

    Up takes `step_size_up` steps, down `step_size_down` (as many, by default). The height of the
    triangle is scaled: by 1 ("triangular"), by 1 / 2^(cycle - 1) ("triangular2"), by gamma^step
    ("exp_range"), or by `scale_fn` of the cycle or of the step (`scale_mode` "cycle" or
    "iterations") (Smith, 2017). With `cycle_momentum`, the momentum, or the first of the betas,
    goes the other way, from `max_momentum` to `base_momentum` and back.

    `ValueError` for another mode, sizes that are not above 0, lists that are not as long as the
    groups are many, or an optimizer without momentum; `TypeError` as in `LRScheduler`.

    >>> import tinygrad_fc as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> scheduler = tg.optim.lr_scheduler.CyclicLR(optimizer, 0.5, 1.0, step_size_up=2)
    >>> for _ in range(3):
    ...     scheduler.step()
    ...     print(scheduler.get_last_lr())
    [0.75]
    [1.0]
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        checked(self, optimizer)
        down = step_size_up if step_size_down is None else step_size_down
        require(self, POSITIVE, step_size_up=step_size_up, step_size_down=down)
        require(self, NUMBER, gamma=gamma)
        if scale_fn is None:
            require(self, Limit(lambda v: v in _MODES, f"one of {', '.join(_MODES)}"), mode=mode)
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        base_lrs = per_group(self, optimizer, "base_lr", base_lr)
        self.max_lrs = per_group(self, optimizer, "max_lr", max_lr)
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = float(step_size_up) / self.total_size
        self.mode, self.gamma, self.scale_mode = mode, gamma, scale_mode
        self._scale_fn_custom = scale_fn
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = check_momentum(self, optimizer)
            self.base_momentums = per_group(self, optimizer, "base_momentum", base_momentum)
            self.max_momentums = per_group(self, optimizer, "max_momentum", max_momentum)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs, strict=True):
                set_lr(group, rate)
            if cycle_momentum:
                start_momentum(optimizer, self.base_momentums, self.max_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Return what the height of the triangle is multiplied by in cycle, or step, `x`."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return float(0.5 ** (x - 1) if self.mode == "triangular2" else self.gamma**x)

    def _rates(self) -> list[Any]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        at = 1.0 + self.last_epoch / self.total_size - cycle
        up = at <= self.step_ratio
        height = at / self.step_ratio if up else (at - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            ends = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (base, most) in zip(self.optimizer.param_groups, ends, strict=True):
                set_momentum(group, most - (most - base) * height * scale)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [base + (most - base) * height * scale for base, most in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Return all that it remembers; of a `scale_fn` that is a function, nothing."""
        return {**super().state_dict(), "_scale_fn_custom": remembered(self._scale_fn_custom)}

    def _load(self, state: dict[str, Any]) -> None:
        kept = state.pop("_scale_fn_custom", None)
        if kept is not None:
            vars(self._scale_fn_custom).update(kept)
        super()._load(state)
