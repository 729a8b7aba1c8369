"""PyTorch's paths of the same classes, as in `from tinygrad_fc.nn.modules.module import Module`."""

import sys
from typing import Any

from tinygrad_fc import nn

for _path in (
    *("activation", "batchnorm", "container", "conv", "distance", "dropout", "flatten", "linear"),
    *("instancenorm", "loss", "module", "normalization", "pooling", "rnn", "sparse", "utils"),
):
    globals()[_path] = sys.modules[f"{__name__}.{_path}"] = nn


def __getattr__(name: str) -> Any:
    return getattr(nn, name)
