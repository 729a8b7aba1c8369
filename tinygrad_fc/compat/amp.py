"""`torch.amp`, which computes in the dtypes of the tensors here: autocasts and scalers do nothing.

The CPU has no half precision that is faster, and float64 needs no scaled losses.
"""

from __future__ import annotations

from contextlib import ContextDecorator
from typing import Any, Self


class autocast(ContextDecorator):  # noqa: N801  PyTorch's spelling
    """A context, or a decorator, without effect.

    >>> import tinygrad_fc as tg
    >>> with tg.autocast("cpu"):
    ...     tg.ones(2).dtype
    dtype('float64')
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        """Accept PyTorch's arguments: a type of device, a dtype, `enabled`, `cache_enabled`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class GradScaler:
    """Scales a loss by 1, and steps an optimizer.

    >>> import tinygrad_fc as tg
    >>> w = tg.ones(1, requires_grad=True)
    >>> scaler, optimizer = tg.amp.GradScaler(), tg.optim.SGD([w], lr=0.25)
    >>> scaler.scale((w * w).sum()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w
    tensor([0.5], requires_grad=True)
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        """Accept PyTorch's arguments: a device, `init_scale`, `enabled` and others."""

    def scale(self, outputs: Any) -> Any:
        """Return `outputs`."""
        return outputs

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Return `optimizer.step(*args, **kwargs)`."""
        return optimizer.step(*args, **kwargs)

    def unscale_(self, optimizer: Any) -> None:
        """Do nothing: gradients are not scaled."""

    def update(self, new_scale: Any = None) -> None:
        """Do nothing: the scale stays 1."""

    def get_scale(self) -> float:
        """Return 1."""
        return 1.0

    def is_enabled(self) -> bool:
        """Return False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return an empty dict, as a scaler of PyTorch that is not enabled."""
        return {}

    def load_state_dict(self, state_dict: Any) -> None:
        """Do nothing."""


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Return False.

    >>> import tinygrad_fc as tg
    >>> tg.is_autocast_enabled()
    False
    """
    del device_type
    return False
