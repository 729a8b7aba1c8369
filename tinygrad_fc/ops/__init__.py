"""The built-in ops, one module per family: forward functions and vjp rules.

| file | what |
|---|---|
| `arithmetic` | sums, products, quotients, remainders; products in which 0 * infinity is 0 |
| `elementwise` | powers, exponentials, logarithms, `where`, `clamp`, sigmoid and relu |
| `trigonometry` | angles, circular and hyperbolic functions |
| `comparison` | comparisons, logic, rounding, `argmax`: ops without gradient |
| `activation` | activations with rules of their own, such as `gelu` |
| `loss` | losses as one op |
| `norm` | normalization over axes, dropout, norms |
| `reduce` | sums, products, extrema, softmax, cumulative sums |
| `shape` | `reshape`, `transpose`, `concatenate`, casts, moves between devices |
| `indexing` | indexing and its adjoint |
| `linalg` | products of matrices, `linear`, `solve`, decompositions |
| `special` | `erf`, `lgamma` and other special functions |
| `promotion` | the dtype in which each op computes |

How to read an op:

- `@define(f, domain=..., rules=...)` makes a documented function an op, the public function of that
  name, with PyTorch's signature. What runs is `forward` if it is passed, else the NumPy
  function `f`, else the body; in the first two cases the body is only a docstring. With
  `define(numpy=f, ...)` the body runs, too. `f` is the NumPy function that dispatches to the op:
  `np.exp(t)` for a tensor `t`.
- An op called with arrays returns an array; with a tensor among them, a tensor, which records the
  call if an argument requires grad; with numbers and lists alone, a tensor. The call alone accepts
  `out=`, arrays and lists, and NumPy's names of settings (`axis` for `dim`, `keepdims` for
  `keepdim`: `op.NUMPY_NAMES`). `dim=()` is all axes, as in PyTorch, and `axis=()` none, as in
  NumPy; `forward` and rules get `dim` as None, an int or a tuple. `sum.forward` is the function of
  arrays alone, and `plain`, if it is passed, a faster one for calls without settings.
- `define` registers the op: NumPy's function dispatches to it, and the property tests cover it.
  With `registered=False` it does neither. `name` is the name in messages and drawings, by default
  that of the decorated function; two ops may have the same.
- Which dtype an op computes in, for operands of several, is in the table of `promotion`.
- `domain` has one domain per argument, such as `real` or the open `interval(low, high)`; tests
  include its `special` values. `real` alone is an argument of any shape that broadcasts with the
  others. `real(..., "n", "k?")` has a fixed shape: `"n"` is a size that is the same for all
  arguments, `...` any number of axes, and `"k?"` an axis that may be absent. `index("n")` are
  indices of an axis of size `n`. See `tinygrad_fc.domain`.
- `rules` has one vjp rule per argument, a function of the cotangent `g`, the result and the
  arguments, or None for an argument that must not require grad, such as a mask. A rule gets arrays,
  and Python numbers where the op got them; with `create_graph=True`, tensors for what requires
  grad. So it uses what works on both: operators, indexing, ufuncs, ops, `.T` and the methods `.sum
  .reshape .swapaxes .astype`. A rule does not read the values of a parameter whose name begins with
  `_`, such as `_x`, which may change in place after the call. Without rules the result never
  requires grad. `VariadicRule(rule)` is one rule for any number of arguments; its first parameter
  is the index of the argument.
- Parameters after the operands are settings, which have no gradient. `settings` maps each to
  valid values, or to a function that returns them for the arrays; the property tests use them.
  `prepare` changes the settings of a call before they are recorded, as from PyTorch's `unbiased` to
  `correction`.
- A final `_` in a name, as in `positive_`, avoids another function of that name; ops change nothing
  in place.
- The `__all__` of a module lists its public functions, which `tinygrad_fc` and `nn.functional`
  export. Functions that are compositions of ops are in `tinygrad_fc.functional`.

Numbers of formulas are those of `tinygrad_fc/handderived.py`, a network derived by hand.

To add an op, add it to the module of its family, or call `tinygrad_fc.op` in code of your own.
"""

from tinygrad_fc.ops import indexing as indexing
from tinygrad_fc.ops import linalg as linalg
from tinygrad_fc.ops import promotion as promotion  # imports the modules whose ops are promoted
from tinygrad_fc.ops import shape as shape
