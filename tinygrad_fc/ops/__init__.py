"""The built-in ops, one module per family: forward functions and vjp rules.

To add an op, add it to the module of its family, or call `tinygrad_fc.op` in code of your own.
"""

from tinygrad_fc.op import builtin_ops, registry
from tinygrad_fc.ops import (
    activation,
    comparison,
    elementwise,
    index,
    linalg,
    loss,
    norm,
    reduce,
    shape,
    special,
)

builtin_ops.update(registry.values())

__all__ = ["activation", "comparison", "elementwise", "index", "linalg", "loss", "norm", "reduce"]
__all__ += ["shape", "special"]
