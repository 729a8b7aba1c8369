"""The built-in ops, one module per family: forward functions and vjp rules.

How to read an op:

- `@define(f, domain=..., rules=...)` makes a documented function an op. Its body is the forward
  function; if a NumPy function `f` is passed, that is the forward function, and the body is only a
  docstring. `forward=` is a faster implementation of either.
- `domain` has one domain per argument, such as `real` or `interval(low, high)`; tests include its
  `special` values. A call fixes the shape: in `real(..., "n", "k?")`, `"n"` is a size that is the
  same for all arguments, `...` any number of axes, and `"k?"` an axis that may be absent.
  `index("n")` are indices of an axis of size `n`. See `tinygrad_fc.domain`.
- `rules` has one vjp rule per argument, a function of the cotangent `g`, the result and the
  arguments. A rule does not read the values of a parameter whose name begins with `_`, only its
  shape: these values may change in place after the call. Without rules the result never requires
  grad.
- Keyword arguments are settings, which have no gradient. `settings` maps each to a function that
  returns valid values for the arrays; the property tests use them.
- A final `_` in a name, as in `sum_`, avoids a builtin or another function of that name; ops change
  nothing in place.
- `__all__` lists the ops that are PyTorch's functions as they are, which `tinygrad_fc` exports.
  `functional` gives others, such as `add`, PyTorch's names and options.

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
