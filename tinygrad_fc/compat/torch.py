"""This package under the name `torch`, for scripts: `from tinygrad_fc import torch`.

All names are those of `tinygrad_fc` but `__version__`, which is that of the PyTorch release that
they follow, so that `if torch.__version__ < "1.1":` does not take the branch for an old release.
`paths` leads the imports of its modules to those of this package.

>>> from tinygrad_fc import torch
>>> torch.nn.Linear(2, 1)(torch.Tensor(5, 2)).shape
Size([5, 1])
"""

from typing import Any

import tinygrad_fc

__version__ = "2.14.0"
__path__: list[str] = []


def __getattr__(name: str) -> Any:
    return getattr(tinygrad_fc, name)
