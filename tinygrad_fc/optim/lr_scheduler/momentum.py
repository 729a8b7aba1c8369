"""What schedules that move the momentum, too, share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinygrad_fc.optim.lr_scheduler.base import LRScheduler
    from tinygrad_fc.optim.optimizer import Group, Optimizer


def check_momentum(scheduler: LRScheduler, optimizer: Optimizer) -> bool:
    """Return whether momentum is the first of the betas; `ValueError` where there is none."""
    if not {"momentum", "betas"} & optimizer.defaults.keys():
        raise ValueError(
            f"{type(scheduler).__name__} moves the momentum, which {type(optimizer).__name__} has "
            "not: pass cycle_momentum=False"
        )
    return "betas" in optimizer.defaults


def set_momentum(group: Group, momentum: Any) -> None:
    """Set the momentum of one group."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def start_momentum(optimizer: Optimizer, base: list[Any], most: list[Any]) -> None:
    """Set each group's momentum to the most, and note both ends there."""
    for group, low, high in zip(optimizer.param_groups, base, most, strict=True):
        set_momentum(group, high)
        group["max_momentum"], group["base_momentum"] = high, low
