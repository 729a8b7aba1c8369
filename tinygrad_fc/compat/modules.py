"""`tinygrad_fc.nn.modules`, PyTorch's path of the layers: `nn.modules.module.Module`."""

from importlib import import_module
from typing import Any

from tinygrad_fc import nn
from tinygrad_fc.compat.paths import LAYER_PATHS

__path__: list[str] = []


def __getattr__(name: str) -> Any:
    return import_module(LAYER_PATHS[name]) if name in LAYER_PATHS else getattr(nn, name)
