"""Utilities: `data`, datasets; `benchmark`, times; `checkpoint`, memory; `course`, exercises."""

from tinygrad_fc.core.lazy import lazy_names
from tinygrad_fc.utils import benchmark, data

__getattr__ = lazy_names(__name__, {"checkpoint": "checkpoint"})

__all__ = ["benchmark", "checkpoint", "data"]
