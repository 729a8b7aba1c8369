"""Norms of vectors and matrices, and distances, with PyTorch's names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.dtypes import widened
from tinygrad_fc.core.errors import check_argument, check_dtypes, check_shapes
from tinygrad_fc.core.op import as_axes
from tinygrad_fc.functional.arguments import accepts_arrays, normalize_dim
from tinygrad_fc.functional.shape import movedim
from tinygrad_fc.ops import linalg, reduce
from tinygrad_fc.ops.elementwise import absolute, where
from tinygrad_fc.ops.norm import l2_norm, lp_norm

if TYPE_CHECKING:
    from tinygrad_fc.core.dtypes import DTypeLike
    from tinygrad_fc.core.op import Dim
    from tinygrad_fc.tensors import Tensor

__all__ = ["cdist", "dist"]


def _largest(x: Any, **settings: Any) -> Any:
    """Return the largest of non-negative numbers; 0 if there are none, for empty matrices."""
    return (reduce.amax if x.shape[settings["dim"]] else reduce.sum)(x, **settings)


@accepts_arrays("x")
def vector_norm(
    x: Tensor, ord: Any = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the `ord`-norm over `dim` (all, one or several axes): `(|x|**ord).sum() ** (1 / ord)`.

    For infinity it is the largest |x|, for minus infinity the smallest, for 0 the number of nonzero
    elements. The derivative of a norm of 0 is 0.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.vector_norm(tg.tensor([3.0, 4.0]))
    tensor(5.)
    """
    x = x if dtype is None else x.to(dtype)
    check_dtypes(x.dtype.kind == "f", "norm", "floats: use x.double() or x.float()", x)
    check_argument(isinstance(ord, int | float), "vector_norm", "a number", ord=ord)
    settings = {"dim": dim, "keepdim": keepdim}
    if ord == 2:
        return l2_norm(x, **settings)
    if x.dtype == np.float16:
        return vector_norm(widened(x), ord, dim, keepdim).to(np.float16)
    magnitude = absolute(x)
    if ord in (math.inf, -math.inf):
        return (reduce.amax if ord > 0 else reduce.amin)(magnitude, **settings)
    if ord == 0:
        return reduce.sum(where(x == 0, 0.0, 1.0).to(x.dtype), **settings)
    if ord == 1:
        return reduce.sum(magnitude, **settings)
    return lp_norm(x, **settings, ord=ord)


@accepts_arrays("A")
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the norm of a matrix (n, m), or of each matrix of a batch.

    `ord` is "fro", the root of the summed squares; 1 or -1, the largest or smallest sum of |A| over
    a column; infinity or minus infinity, the same for rows; 2 or -2, the largest or smallest
    singular value; "nuc", the sum of singular values. Raises `ValueError` for another order.

    >>> import math, tinygrad_fc as tg
    >>> tg.linalg.matrix_norm(tg.tensor([[1.0, -2.0], [3.0, 4.0]]), math.inf)
    tensor(7.)
    """
    fit = ord in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf) and np.shape(dim) == (2,)
    expected = '("fro", "nuc", 1, -1, 2, -2, inf or -inf, two axes)'
    check_argument(fit, "matrix_norm", expected, ord_and_dim=(ord, dim))
    if ord == "fro":
        return vector_norm(A, 2, tuple(dim), keepdim, dtype=dtype)
    rows, columns = (normalize_dim(k, A.ndim, "norm") for k in dim)
    if ord in (2, -2, "nuc"):
        matrices = movedim(A if dtype is None else A.to(dtype), (rows, columns), (-2, -1))
        reduced: Any = {2: _largest, -2: reduce.amin, "nuc": reduce.sum}[ord]
        out = reduced(linalg.singular_values(matrices), dim=-1)
        shape = tuple(1 if k in (rows, columns) else n for k, n in enumerate(A.shape))
        return out.reshape(shape) if keepdim else out  # type: ignore[no-any-return]
    summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = vector_norm(A, 1, summed, keepdim=True, dtype=dtype)
    out = (_largest if ord > 0 else reduce.amin)(sums, dim=other, keepdim=True)
    return out if keepdim else out.squeeze((rows, columns))


@accepts_arrays("A")
def norm(
    A: Tensor, ord: Any = None, dim: Dim = None, keepdim: bool = False, *, dtype: DTypeLike = None
) -> Tensor:
    """Return `matrix_norm` if `A` is a matrix or `dim` names two axes, else `vector_norm`.

    Without `ord` it is the root of the summed squares over `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.norm(tg.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    axes = as_axes(dim)
    check_shapes(axes is not None or A.ndim <= 2, "norm", "a matrix, or dim, one or two axes", A)
    if (isinstance(axes, tuple) and len(axes) == 2) or (axes is None and A.ndim == 2):
        return matrix_norm(A, ord, axes or (0, 1), keepdim, dtype=dtype)
    return vector_norm(A, ord, axes, keepdim, dtype=dtype)


@accepts_arrays("input")
def p_norm(
    input: Tensor, p: Any = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Return the `p`-norm of the elements over `dim`, as `torch.norm`; "nuc" is that of a matrix.

    >>> import tinygrad_fc as tg
    >>> tg.norm(tg.tensor([[3.0, 4.0], [0.0, 0.0]]), dim=1)
    tensor([5., 0.])
    """
    if p == "nuc":
        return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


p_norm.__name__ = "norm"  # its public name, `tg.norm`


@accepts_arrays("x1", "x2")
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """Return the distances (..., n, m), in the `p`-norm, of rows (..., n, k) and (..., m, k).

    The derivative of a distance of 0 is 0.

    >>> import tinygrad_fc as tg
    >>> tg.cdist(tg.tensor([[0.0, 0.0]]), tg.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    fit = x1.ndim >= 2 <= x2.ndim and x1.shape[-1] == x2.shape[-1]
    check_shapes(fit, "cdist", "rows of equal length, (..., n, k) and (..., m, k)", x1, x2)
    return vector_norm(x1[..., :, None, :] - x2[..., None, :, :], p, dim=-1)


@accepts_arrays("input", "other")
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """Return the `p`-norm of all elements of `input - other`, broadcast.

    >>> import tinygrad_fc as tg
    >>> tg.dist(tg.tensor([1.0, 2.0]), tg.tensor([4.0, 6.0]))
    tensor(5.)
    """
    return vector_norm(input - other, p)
