"""Functions in PyTorch's spelling; a name that is also a method is the same function there."""

from tinygrad_fc.functional import creation, elementwise, indexing, linalg, reduction, shape
from tinygrad_fc.functional.arguments import accept_arrays

for _module in (creation, elementwise, indexing, linalg, reduction, shape):
    accept_arrays(_module)

__all__ = ["creation", "elementwise", "indexing", "linalg", "reduction", "shape"]
