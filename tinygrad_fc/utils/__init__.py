"""Utilities: `data`, datasets and loaders; `benchmark`, times; `course`, checks of exercises."""

from tinygrad_fc.utils import benchmark, data

__all__ = ["benchmark", "data"]
