"""Norms of vectors and matrices, as in `torch.linalg`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import DtypeError, ShapeError
from tinygrad_fc.functions.arranging import movedim
from tinygrad_fc.functions.reduction import Dim, over
from tinygrad_fc.functions.shape import wrapped
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import reduce as r
from tinygrad_fc.ops import singular

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def _largest(x: Any, **settings: Any) -> Any:
    """Return the largest of numbers from 0 on: 0 among none, as of a matrix without rows."""
    return (r.amax if x.shape[settings["axis"]] else r.sum_)(x, **settings)


def _floats(x: Any) -> None:
    if x.dtype.kind != "f":
        message = f"a norm needs floats, got {x.dtype}: use x.double() or x.float()"
        raise DtypeError(message)


def vector_norm(
    x: Tensor,
    ord: Any = 2,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the `ord`-norm over `dim` (all, one or several): `(|x|**ord).sum() ** (1 / ord)`.

    The largest for infinity, the smallest for minus infinity, the count of others than 0 for 0.
    Where it is 0, so is its slope.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.vector_norm(tg.tensor([3.0, 4.0]))
    tensor(5.)
    """
    x = x if dtype is None else x.to(dtype)
    _floats(x)
    if not isinstance(ord, int | float):
        message = f"the norm of a vector is of an order that is a number, got {ord!r}"
        raise ShapeError(message)
    settings = over(dim, keepdim, axis, keepdims)
    if ord == 2:
        return r.norm(x, **settings)
    size = e.absolute(x)
    if ord in (math.inf, -math.inf):
        return (r.amax if ord > 0 else r.amin)(size, **settings)
    if ord == 0:
        return r.sum_(e.where(x == 0, 0.0, 1.0).to(x.dtype), **settings)
    if ord == 1:
        return r.sum_(size, **settings)
    # At 0 neither a power below 1 nor a root has a finite slope: PyTorch's convention is 0.
    zero = x == 0
    powers = e.where(zero, math.inf if ord < 0 else 0.0, e.where(zero, 1.0, size) ** ord)
    total = r.sum_(powers, **settings)
    flat = (total == 0) | (total == math.inf)
    edge = total.detach() if ord > 0 else e.where(total == 0, math.inf, np.zeros((), x.dtype))
    return e.where(flat, edge, e.where(flat, 1.0, total) ** (1 / ord))


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Return the norm of a matrix (n, m), or of each of a batch.

    `ord` is `"fro"`, the root of the summed squares; 1 or infinity (-1 or minus infinity), the
    largest (smallest) sum of a column or row; 2 (-2), the largest (smallest) singular value;
    `"nuc"`, their sum. Raises `ShapeError` for another.

    >>> import math, tinygrad_fc as tg
    >>> tg.linalg.matrix_norm(tg.tensor([[1.0, -2.0], [3.0, 4.0]]), math.inf)
    tensor(7.)
    """
    if ord not in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf) or np.shape(dim) != (2,):
        message = (
            'the norm of a matrix is of order "fro", "nuc", 1, -1, 2, -2, inf or -inf, over 2 '
            f"dims; got {ord!r} over {dim}"
        )
        raise ShapeError(message)
    if ord == "fro":
        return vector_norm(A, 2, tuple(dim), keepdim, dtype=dtype)
    lines, columns = (wrapped(k, A.ndim, "norm") for k in dim)
    if ord in (2, -2, "nuc"):
        _floats(A if dtype is None else A.to(dtype))
        values = svdvals(movedim(A if dtype is None else A.to(dtype), (lines, columns), (-2, -1)))
        row: Any = {2: _largest, -2: r.amin, "nuc": r.sum_}[ord]
        out = row(values, axis=-1)
        kept = tuple(1 if k in (lines, columns) else n for k, n in enumerate(A.shape))
        return out.reshape(kept) if keepdim else out  # type: ignore[no-any-return]
    summed, kept_ = (lines, columns) if abs(ord) == 1 else (columns, lines)
    sums = vector_norm(A, 1, summed, keepdim=True, dtype=dtype)
    out = (_largest if ord > 0 else r.amin)(sums, axis=kept_, keepdims=True)
    return out if keepdim else out.squeeze((lines, columns))


def svdvals(A: Tensor) -> Tensor:
    """Return the singular values of a matrix (..., n, m), the largest first: (..., min(n, m)).

    Where two are equal their slopes are one choice among many, as in PyTorch.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.svdvals(tg.tensor([[0.0, 3.0], [4.0, 0.0]]))
    tensor([4., 3.])
    """
    _floats(A)
    if A.ndim < 2:
        message = f"singular values are those of a matrix (..., n, m), got shape {A.shape}"
        raise ShapeError(message)
    return singular.singular_values(A)


def norm(
    A: Tensor,
    ord: Any = None,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the norm of a vector, or of a matrix where `A` is one or `dim` names two.

    Without `ord`, the root of the summed squares over `dim`. See `vector_norm` and `matrix_norm`.

    >>> import tinygrad_fc as tg
    >>> tg.linalg.norm(tg.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    settings = over(dim, keepdim, axis, keepdims)
    over_, keep = settings["axis"], settings["keepdims"]
    if ord is None:
        return vector_norm(A, 2, over_, keep, dtype=dtype)
    if over_ is None and A.ndim > 2:
        message = f"the norm of order {ord!r} of a tensor {A.shape} is over which dim, one or two?"
        raise ShapeError(message)
    pair = isinstance(over_, tuple) and len(over_) == 2
    if pair or (over_ is None and A.ndim == 2):
        return matrix_norm(A, ord, over_ or (0, 1), keep, dtype=dtype)
    if isinstance(ord, str):
        message = f"the norm of order {ord!r} is that of a matrix, got shape {A.shape}, dim={over_}"
        raise ShapeError(message)
    return vector_norm(A, ord, over_, keep, dtype=dtype)


def p_norm(
    input: Tensor, p: Any = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Return the `p`-norm over `dim`, `torch.norm`: of all elements of a matrix, whatever `p` is.

    >>> import tinygrad_fc as tg
    >>> tg.norm(tg.tensor([[3.0, 4.0], [0.0, 0.0]]), dim=1)
    tensor([5., 0.])
    """
    if p == "nuc":
        return matrix_norm(input, p, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


p_norm.__name__ = "norm"  # which is what its users call it
