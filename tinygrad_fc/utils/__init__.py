"""Utilities: `data`, datasets and loaders, and `benchmark`, times of statements."""

from tinygrad_fc.utils import benchmark, data

__all__ = ["benchmark", "data"]
