"""What stands around training: `data`, which feeds it."""

from tinygrad_fc.utils import data

__all__ = ["data"]
