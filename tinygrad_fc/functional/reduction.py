"""Reductions, variances and running sums in PyTorch's spelling, with NumPy's `axis` too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.functional.arguments import Dim, normalize_dim, reduction_axes
from tinygrad_fc.graph import Node, operand, wrap
from tinygrad_fc.ops import comparison as c
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import index as i
from tinygrad_fc.ops import reduce as r

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

__all__ = ["all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "cumprod", "cumsum"]
__all__ += ["log_softmax", "logsumexp", "max", "mean", "min", "prod", "softmax", "std", "sum"]
__all__ += ["var", "var_mean"]


class ValuesIndices(NamedTuple):
    """What is found along a dimension, and where."""

    values: Any
    indices: Any


def _counted(input: Tensor, dtype: Any) -> Tensor:
    """Return `input` as `dtype`; where none is given, sums and products of whole numbers are int64.

    NumPy does so by itself for all but unsigned ones.
    """
    if dtype is None and input.dtype.kind == "u":
        dtype = np.int64
    return input if dtype is None else input.to(dtype)


def sum(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the sum over `dim` (all, one or several), of `input` cast to `dtype` if given.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(dim=0)
    tensor([4., 6.])
    """
    try:
        input = _counted(input, dtype)
    except AttributeError:  # of numbers and lists
        input = _counted(wrap(operand(input, r.sum_)), dtype)
    return r.sum_(input, **reduction_axes(dim, keepdim, axis, keepdims))


def mean(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the mean over `dim` (all, one or several), of `input` cast to `dtype` if given.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(dim=0)
    tensor([2., 3.])
    """
    if dtype is not None:
        input = input.to(dtype)
    return r.mean(input, **reduction_axes(dim, keepdim, axis, keepdims))


def amax(
    input: Tensor,
    dim: Dim = (),
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the largest values over `dim`; equal ones share the gradient evenly.

    Raises `ShapeError` over no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).amax(dim=1)
    tensor([2., 4.])
    """
    return r.amax(input, **reduction_axes(dim if dim != () else None, keepdim, axis, keepdims))


def amin(
    input: Tensor,
    dim: Dim = (),
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the smallest values over `dim`; equal ones share the gradient evenly.

    Raises `ShapeError` over no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).amin(dim=1)
    tensor([1., 3.])
    """
    return r.amin(input, **reduction_axes(dim if dim != () else None, keepdim, axis, keepdims))


def _extreme(
    full: Any,
    pick: Any,
    pair: Any,
    input: Tensor,
    dim: Any,
    keepdim: bool,
    axis: Any,
    keepdims: Any,
) -> Any:
    if dim is None and axis is None:
        return full(input, axis=None, keepdims=bool(keepdims))
    if isinstance(dim, Node | np.ndarray):
        return pair(input, dim)
    one = dim if axis is None else axis
    if isinstance(one, tuple | list):
        raise ShapeError(f"max and min with indices take one dim, got {one}: use amax or amin")
    settings = reduction_axes(dim, keepdim, axis, keepdims)
    at = pick(input, axis=settings["axis"], keepdims=True)
    values = i.gather(input, at, axis=settings["axis"] % input.ndim) if input.ndim else input
    if not settings["keepdims"] and input.ndim:
        values, at = values.squeeze(settings["axis"]), at.squeeze(settings["axis"])
    return ValuesIndices(values, at)


def max(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """Return the largest element; over a `dim`, a pair of values and indices.

    Of the whole, equal elements share the gradient evenly; over a `dim` it goes to the chosen
    index. `max(x, y)` of two tensors is `maximum`. Raises `ShapeError` over no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).max(dim=1).indices
    tensor([1, 0])
    """
    return _extreme(r.amax, c.argmax, e.maximum, input, dim, keepdim, axis, keepdims)


def min(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    axis: Any = None,
    keepdims: bool | None = None,
) -> Any:
    """Return the smallest element; over a `dim`, a pair of values and indices. See `max`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [3.0, 4.0]]).min(dim=1).values
    tensor([1., 3.])
    """
    return _extreme(r.amin, c.argmin, e.minimum, input, dim, keepdim, axis, keepdims)


def argmax(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the index of the largest element, over `dim` or in the flattened tensor.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).argmax(dim=1)
    tensor([1, 0])
    """
    return c.argmax(input, **reduction_axes(dim, keepdim, axis, keepdims))


def argmin(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the index of the smallest element, over `dim` or in the flattened tensor.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).argmin(dim=1)
    tensor([0, 1])
    """
    return c.argmin(input, **reduction_axes(dim, keepdim, axis, keepdims))


def all(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Tell whether all elements over `dim` are true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).all()
    tensor(False)
    """
    return c.all_(input, **reduction_axes(dim, keepdim, axis, keepdims))


def any(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Tell whether any element over `dim` is true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).any()
    tensor(True)
    """
    return c.any_(input, **reduction_axes(dim, keepdim, axis, keepdims))


def count_nonzero(input: Tensor, dim: Dim = None, *, axis: Dim = None) -> Tensor:
    """Return how many elements over `dim` are not 0.

    >>> import tinygrad_fc as tg
    >>> tg.count_nonzero(tg.tensor([[1.0, 0.0], [2.0, 3.0]]), dim=0)
    tensor([2, 1])
    """
    chosen = reduction_axes(dim, keepdim=False, axis=axis, keepdims=None)["axis"]
    return c.count_nonzero(input, axis=chosen)


def logsumexp(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the logarithm of the summed exponentials over `dim`: no overflow, no lost digits.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1000.0, 1000.0]).logsumexp(dim=0)
    tensor(1000.6931)
    """
    return r.logsumexp(input, **reduction_axes(dim, keepdim, axis, keepdims))


def _row(input: Any, dim: Any, axis: Any, what: str) -> int:
    chosen = dim if axis is None else axis
    if not isinstance(chosen, int):
        raise ShapeError(
            f"{what} needs the dimension that sums to 1, such as dim=-1; got {chosen!r}"
        )
    return chosen if input.ndim else 0


def softmax(
    input: Tensor, dim: int | None = None, dtype: Any = None, *, axis: int | None = None
) -> Tensor:
    """Return exponentials that sum to 1 over `dim`: probabilities from scores.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([0.0, 0.0]).softmax(dim=0)
    tensor([0.5, 0.5])
    """
    if dtype is not None:
        input = input.to(dtype)
    return r.softmax(input, axis=_row(input, dim, axis, "softmax"))


def log_softmax(
    input: Tensor, dim: int | None = None, dtype: Any = None, *, axis: int | None = None
) -> Tensor:
    """Return the logarithm of `softmax` (in nats), to the last digits.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([0.0, -50.0]).log_softmax(dim=0)
    tensor([-1.9287e-22, -5.0000e+01])
    """
    if dtype is not None:
        input = input.to(dtype)
    return r.log_softmax(input, axis=_row(input, dim, axis, "log_softmax"))


def _spread_of(
    row: Any, input: Tensor, dim: Any, unbiased: Any, correction: Any, settings: Any
) -> Tensor:
    if isinstance(dim, bool):  # PyTorch's var(x, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    elif unbiased is not None:
        raise TypeError("give correction or unbiased, not both")
    return row(input, correction=correction, **reduction_axes(dim, *settings))  # type: ignore[no-any-return]


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the variance over `dim`, divided by the count less `correction` (1 by default).

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0, 3.0]).var()
    tensor(1.)
    """
    return _spread_of(r.var, input, dim, unbiased, correction, (keepdim, axis, keepdims))


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> Tensor:
    """Return the standard deviation over `dim`; see `var`. Where all are equal its derivative is 0.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0, 3.0]).std()
    tensor(1.)
    """
    return _spread_of(r.std, input, dim, unbiased, correction, (keepdim, axis, keepdims))


def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    axis: Dim = None,
    keepdims: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean over `dim`; see `var`.

    >>> import tinygrad_fc as tg
    >>> tg.var_mean(tg.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    spread = var(input, dim, unbiased, keepdim, correction=correction, axis=axis, keepdims=keepdims)
    over_ = None if isinstance(dim, bool) else dim
    return spread, mean(input, over_, keepdim, axis=axis, keepdims=keepdims)


def _running(row: Any, input: Tensor, dim: Any, dtype: Any, axis: Any) -> Tensor:
    chosen = dim if axis is None else axis
    if chosen is None:
        raise TypeError(f"{row.name} needs the dimension to run along: {row.name}(x, dim=0)")
    along = normalize_dim(chosen, input.ndim or 1, row.name)
    input = _counted(input, dtype)
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
    return _running(r.cumsum, input, dim, dtype, axis)


def cumprod(
    input: Tensor, dim: int | None = None, *, dtype: Any = None, axis: int | None = None
) -> Tensor:
    """Return the products of all elements up to each along `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.cumprod(tg.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    return _running(r.cumprod, input, dim, dtype, axis)


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
    return r.prod(_counted(input, dtype), **reduction_axes(dim, keepdim, axis, keepdims))
