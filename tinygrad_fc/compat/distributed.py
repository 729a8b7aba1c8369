"""`torch.distributed` of one process, which is not initialised, and `torch.nn.parallel`."""

from __future__ import annotations

from typing import Any

from tinygrad_fc.nn.module import Module

__path__: list[str] = []


def is_available() -> bool:
    """Return False: `tinygrad_fc.parallel` spreads a training step over processes."""
    return False


is_initialized = is_torchelastic_launched = is_available


class DataParallel(Module):
    """Calls `module`, on the one device that there is."""

    def __init__(self, module: Module, *_: Any, **__: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Return `module(*inputs, **kwargs)`."""
        return self.module(*inputs, **kwargs)
