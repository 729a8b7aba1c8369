"""`tinygrad_fc.nn.modules`, PyTorch's path of the layers: `nn.modules.module.Module`."""

from importlib import import_module
from typing import Any

from tinygrad_fc import nn
from tinygrad_fc.compat.paths import LAYER_PATHS

__path__: list[str] = []


def __getattr__(name: str) -> Any:
    is_path = f"nn.modules.{name}" in LAYER_PATHS
    return import_module(f"tinygrad_fc.nn.modules.{name}") if is_path else getattr(nn, name)
