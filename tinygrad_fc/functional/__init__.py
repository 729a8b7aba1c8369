"""Functions with PyTorch's names and parameters; tensor methods of the same name call them."""

from tinygrad_fc.functional import creation, elementwise, indexing, linalg, reduction, shape
from tinygrad_fc.functional.arguments import accept_arrays

for _module in (creation, elementwise, indexing, linalg, reduction, shape):
    accept_arrays(_module)

__all__ = ["creation", "elementwise", "indexing", "linalg", "reduction", "shape"]
