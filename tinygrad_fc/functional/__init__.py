"""Functions composed of ops, with PyTorch's names; tensor methods of the same name call them.

A function with vjp rules is an op, in `tinygrad_fc.ops`; one that calls others is here:

| file | what |
|---|---|
| `arguments` | conversion and checks of arguments |
| `creation` | tensors from data, from a shape, or ranges of numbers |
| `elementwise` | one result per element, such as `addcmul` |
| `indexing` | elements by indices |
| `joining` | joining, splitting and repeating |
| `linalg` | equations, determinants, factorisations: `tinygrad_fc.linalg` |
| `norms` | norms and distances |
| `products` | products of matrices and vectors |
| `reduction` | one result for the elements along axes, such as `quantile` |
| `shape` | other shapes and orders, diagonals |
| `sorting` | sorting, searching and counting |

Activations, layers and losses are in `tinygrad_fc.nn.functional`.
"""

from tinygrad_fc.functional import (
    creation,
    elementwise,
    indexing,
    joining,
    linalg,
    norms,
    products,
    reduction,
    shape,
    sorting,
)

__all__ = ["creation", "elementwise", "indexing", "joining", "linalg", "norms", "products"]
__all__ += ["reduction", "shape", "sorting"]
