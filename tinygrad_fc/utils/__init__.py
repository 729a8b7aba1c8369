"""Utilities: `data`, datasets and loaders."""

from tinygrad_fc.utils import data

__all__ = ["data"]
