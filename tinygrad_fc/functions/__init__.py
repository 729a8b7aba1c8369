"""Functions in PyTorch's spelling; a name that is also a method is the same function there."""

from tinygrad_fc.functions import making, pointwise, products, reduction, shape

__all__ = ["making", "pointwise", "products", "reduction", "shape"]
