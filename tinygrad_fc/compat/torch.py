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
    if name.startswith("_foreach_"):
        return _foreach(name.removeprefix("_foreach_"))
    return getattr(tinygrad_fc, name)


def _foreach(name: str) -> Any:
    """Return `torch._foreach_NAME`: it calls a method of each tensor of a list."""

    def function(tensors: Any, *args: Any, **settings: Any) -> Any:
        lists = (a if isinstance(a, list | tuple) else [a] * len(tensors) for a in args)
        rows = zip(tensors, *lists, strict=True)
        results = tuple(getattr(t, name)(*rest, **settings) for t, *rest in rows)
        return None if name.endswith("_") else results

    return function
