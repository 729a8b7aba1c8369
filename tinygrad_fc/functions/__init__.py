"""Functions in PyTorch's spelling; a name that is also a method is the same function there."""

from tinygrad_fc.functions import (
    alike,
    arranging,
    comparison,
    indexing,
    linalg,
    making,
    norms,
    order,
    pointwise,
    products,
    reduction,
    repeating,
    scan,
    shape,
    spread,
)
from tinygrad_fc.functions.refusals import teach

for _module in (
    *(alike, arranging, comparison, indexing, linalg, making, norms, order, pointwise, products),
    *(reduction, repeating, scan, shape, spread),
):
    teach(_module)

__all__ = [
    "alike",
    "arranging",
    "comparison",
    "indexing",
    "linalg",
    "making",
    "norms",
    "order",
    "pointwise",
    "products",
    "reduction",
    "repeating",
    "scan",
    "shape",
    "spread",
]
