"""Running sums and products, and the product of all, in PyTorch's spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.functions.reduction import Dim, counted, over
from tinygrad_fc.functions.shape import wrapped
from tinygrad_fc.ops import scan

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def _running(row: Any, input: Tensor, dim: Any, dtype: Any, axis: Any) -> Tensor:
    chosen = dim if axis is None else axis
    if chosen is None:
        raise TypeError(f"{row.name} needs the dimension to run along: {row.name}(x, dim=0)")
    along = wrapped(chosen, input.ndim or 1, row.name)
    input = counted(input, dtype)
    if not input.ndim:
        return row(input.reshape(1), axis=0).reshape(())  # type: ignore[no-any-return]
    return row(input, axis=along)  # type: ignore[no-any-return]


def cumsum(
    input: Tensor, dim: int | None = None, *, dtype: Any = None, axis: int | None = None
) -> Tensor:
    """Return the sums of all elements up to each along `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.cumsum(tg.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 3., 6.])
    """
    return _running(scan.cumsum, input, dim, dtype, axis)


def cumprod(
    input: Tensor, dim: int | None = None, *, dtype: Any = None, axis: int | None = None
) -> Tensor:
    """Return the products of all elements up to each along `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.cumprod(tg.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    return _running(scan.cumprod, input, dim, dtype, axis)


def prod(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the product over `dim` (all, one or several), of `input` cast to `dtype` if given.

    Its derivatives are right where elements are 0, in every order.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> x.prod().backward()
    >>> x.grad
    tensor([0., 6., 0.])
    """
    return scan.prod(counted(input, dtype), **over(dim, keepdim, axis, keepdims))
