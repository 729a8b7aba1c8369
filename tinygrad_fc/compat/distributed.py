"""`torch.distributed` of one process, which is not initialised, and `torch.nn.parallel`."""

from __future__ import annotations

from typing import Any

from tinygrad_fc.nn.module import Module

__path__: list[str] = []
REFUSED = ["all_gather", "all_reduce", "barrier", "broadcast", "destroy_process_group"]
REFUSED += ["get_backend", "get_rank", "get_world_size", "init_process_group", "new_group"]
REFUSED += ["reduce", "reduce_scatter", "DistributedDataParallel"]


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


def _refused(name: str) -> Any:
    def function(*_: Any, **__: Any) -> None:
        raise RuntimeError(
            f"distributed.{name}: the process group is not initialised, and there is none in this "
            "library. Guard the call by `if distributed.is_initialized():`, or train with "
            "tinygrad_fc.parallel, on several processes"
        )

    return function


globals().update({name: _refused(name) for name in REFUSED})
