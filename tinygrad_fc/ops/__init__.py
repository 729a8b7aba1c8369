"""The table of operations, one module a family: formulas and nothing else.

To add an operation, add its row where its family is, or call `tinygrad_fc.op` in code of your own.
"""

from tinygrad_fc.op import ours, table
from tinygrad_fc.ops import (
    activation,
    angle,
    choice,
    constant,
    elementwise,
    floats,
    gamma,
    index,
    layer,
    linalg,
    loss,
    normal,
    reduce,
    remainder,
    scan,
    shape,
    singular,
    solve,
)

ours.update(table.values())

__all__ = [
    "activation",
    "angle",
    "choice",
    "constant",
    "elementwise",
    "floats",
    "gamma",
    "index",
    "layer",
    "linalg",
    "loss",
    "normal",
    "reduce",
    "remainder",
    "scan",
    "shape",
    "singular",
    "solve",
]
