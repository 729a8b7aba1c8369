"""Utilities: `data`, datasets; `benchmark`, times; `checkpoint`, memory; `course`, exercises."""

from typing import TYPE_CHECKING

from tinygrad_fc.core.lazy import lazy_names

if TYPE_CHECKING:
    from tinygrad_fc.utils import benchmark as benchmark
    from tinygrad_fc.utils import data as data

__all__ = ["benchmark", "checkpoint", "data"]

__getattr__ = lazy_names(__name__, {name: name for name in __all__})
