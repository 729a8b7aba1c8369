"""Functions composed of ops, with PyTorch's names; tensor methods of the same name call them.

A function with vjp rules is an op, in `tinygrad_fc.ops`; one that calls others is here:

| file | what |
|---|---|
| `arguments` | conversion and checks of arguments |
| `creation` | tensors from data, from a shape, or ranges of numbers |
| `elementwise` | one result per element, such as `addcmul` |
| `equations` | linear equations, inverses and determinants |
| `indexing` | elements by indices |
| `joining` | joining, splitting and repeating |
| `linalg` | factorisations and powers of matrices; all of `tinygrad_fc.linalg` |
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
    equations,
    indexing,
    joining,
    linalg,
    norms,
    products,
    reduction,
    shape,
    sorting,
)

__all__ = ["creation", "elementwise", "equations", "indexing", "joining", "linalg", "norms"]
__all__ += ["products", "reduction", "shape", "sorting"]
