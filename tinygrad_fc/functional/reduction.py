"""Reductions, quantiles, softmax and cumulative sums, with PyTorch's names and parameters.

NumPy's `axis` and `keepdims` are accepted in place of `dim` and `keepdim`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.functional.arguments import Dim, as_array, normalize_dim, reduction_axes
from tinygrad_fc.functional.indexing import ValuesIndices, argsort, sort, values_at
from tinygrad_fc.graph import Node, operand, wrap
from tinygrad_fc.ops import comparison as c
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import reduce as r
from tinygrad_fc.ops import shape as s

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.tensor import Tensor

    Decorator = Callable[[Callable[..., Any]], Callable[..., Tensor]]

__all__ = ["all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "cumprod", "cumsum"]
__all__ += ["log_softmax", "logsumexp", "max", "mean", "median", "min", "prod", "quantile"]
__all__ += ["softmax", "std", "sum", "var", "var_mean"]


def _as_dtype(input: Any, dtype: Any, op: Any) -> Any:
    """Return `input` cast to `dtype`; unsigned integers to int64 by default, as PyTorch does."""
    try:
        unsigned = input.dtype.kind == "u"
    except AttributeError:  # numbers and lists
        input, unsigned = wrap(operand(input, op)), False
    if dtype is None and unsigned:
        dtype = np.int64
    return input if dtype is None else input.to(dtype)


def _reduction(op: Any, *, casts_unsigned: bool = False) -> Decorator:
    """Return a decorator that makes a documented function a reduction by `op`."""

    def decorate(documented: Any) -> Any:
        def reduction(
            input: Any,
            dim: Any = None,
            keepdim: bool = False,
            *,
            dtype: Any = None,
            axis: Any = None,
            keepdims: Any = None,
        ) -> Any:
            if casts_unsigned or dtype is not None:
                input = _as_dtype(input, dtype, op)
            return op(input, **reduction_axes(dim, keepdim, axis, keepdims))

        return functools.update_wrapper(reduction, documented)

    return decorate


@_reduction(r.sum_, casts_unsigned=True)
def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the sum over `dim` (all, one or several axes); `dtype` casts `input` first.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(dim=0)
    tensor([4., 6.])
    """


@_reduction(r.mean)
def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the mean over `dim` (all, one or several axes); `dtype` casts `input` first.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(dim=0)
    tensor([2., 3.])
    """


@_reduction(r.prod, casts_unsigned=True)
def prod(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the product over `dim` (all, one or several axes); `dtype` casts `input` first.

    Derivatives of every order are correct also for elements equal to 0.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> x.prod().backward()
    >>> x.grad
    tensor([0., 6., 0.])
    """


@_reduction(r.amax)
def amax(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Any:
    """Return the largest elements over `dim`; ties share the gradient evenly.

    Raises `ShapeError` if there are no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).amax(dim=1)
    tensor([2., 4.])
    """


@_reduction(r.amin)
def amin(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Any:
    """Return the smallest elements over `dim`; ties share the gradient evenly.

    Raises `ShapeError` if there are no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).amin(dim=1)
    tensor([1., 3.])
    """


@_reduction(c.argmax)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the index of the largest element, over `dim` or in the flattened tensor.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).argmax(dim=1)
    tensor([1, 0])
    """


@_reduction(c.argmin)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the index of the smallest element, over `dim` or in the flattened tensor.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).argmin(dim=1)
    tensor([0, 1])
    """


@_reduction(c.all_)
def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return whether all elements over `dim` are true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).all()
    tensor(False)
    """


@_reduction(c.any_)
def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return whether any element over `dim` is true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).any()
    tensor(True)
    """


@_reduction(r.logsumexp)
def logsumexp(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return `log(sum(exp(input)))` over `dim`, without overflow or cancellation.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1000.0, 1000.0]).logsumexp(dim=0)
    tensor(1000.6931)
    """


def _extreme(reduce: Any, arg_reduce: Any, elementwise: Any) -> Callable[[Any], Callable[..., Any]]:
    """Return a decorator that makes a documented function `max` or `min`, of three ops."""

    def decorate(documented: Any) -> Any:
        def extreme(
            input: Any,
            dim: Any = None,
            keepdim: bool = False,
            *,
            axis: Any = None,
            keepdims: Any = None,
        ) -> Any:
            if dim is None and axis is None:
                return reduce(input, axis=None, keepdims=bool(keepdims))
            if isinstance(dim, Node | np.ndarray):
                return elementwise(input, dim)
            if isinstance(dim if axis is None else axis, tuple | list):
                raise ShapeError(
                    f"{documented.__name__} takes one dim, got {dim}: use amax or amin"
                )
            settings = reduction_axes(dim, keepdim, axis, keepdims)
            indices = arg_reduce(input, axis=settings["axis"], keepdims=True)
            return values_at(input, settings, indices)

        return functools.update_wrapper(extreme, documented)

    return decorate


@_extreme(r.amax, c.argmax, e.maximum)
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the largest element; with `dim`, the values and their indices.

    Without `dim`, ties share the gradient evenly; with `dim`, the element at the index gets it.
    `max(x, y)` of two tensors is `maximum`. Raises `ShapeError` if there are no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).max(dim=1).indices
    tensor([1, 0])
    """


@_extreme(r.amin, c.argmin, e.minimum)
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the smallest element; with `dim`, the values and their indices. See `max`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [3.0, 4.0]]).min(dim=1).values
    tensor([1., 3.])
    """


def median(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    axis: int | None = None,
    keepdims: bool | None = None,
) -> Any:
    """Return the median; with `dim`, the values and their indices.

    For an even count it is the lower of the two middle elements; it is NaN if any element is.
    Without `dim`, elements equal to it share the gradient evenly; with `dim`, the element at the
    index gets it. Raises `ShapeError` if there are no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0, 4.0, 2.0]]).median(dim=1)
    ValuesIndices(values=tensor([2.]), indices=tensor([3]))
    """
    if dim is None and axis is None:
        if not input.numel():
            return input.sum() * np.nan
        return r.median(input, axis=None, keepdims=bool(keepdims))
    along = normalize_dim(dim if axis is None else axis, input.ndim or 1, "median")  # type: ignore[arg-type]
    settings = reduction_axes(dim, keepdim, axis, keepdims)
    if not input.ndim:
        return ValuesIndices(input, c.argmax(input))
    n = input.shape[along]
    if not n:
        raise ShapeError(f"median over axis {along} of a tensor {input.shape} has no elements")
    ordered = as_array(argsort(input, along))
    middle = ordered.take([(n - 1) // 2], along)
    if input.dtype.kind == "f":
        is_nan = np.isnan(input._array)
        any_nan = is_nan.any(along, keepdims=True)
        middle = np.where(any_nan, is_nan.argmax(along, keepdims=True), middle)
    return values_at(input, settings, wrap(middle))


def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Return the `q`-quantiles over `dim`, or of all elements; a vector `q` adds a first axis.

    `interpolation` between two elements is "linear", "lower", "higher", "nearest" or "midpoint". A
    quantile is NaN if any element is. Raises `ShapeError` if there are no elements, `ValueError`
    unless 0 <= q <= 1, `RangeError` for another interpolation.

    >>> import tinygrad_fc as tg
    >>> tg.quantile(tg.tensor([1.0, 2.0, 4.0]), 0.75)
    tensor(3.)
    """
    at = as_array(q, input.dtype)
    along = 0 if dim is None else normalize_dim(dim, input.ndim, "quantile")
    x = input.reshape(-1) if dim is None else input
    n = x.shape[along]
    if not n or at.ndim > 1:
        raise ShapeError(f"quantile needs elements and q (k,), got shapes {x.shape} and {at.shape}")
    if not np.all((at >= 0) & (at <= 1)):
        raise ValueError(f"quantile: q must be in [0, 1], got {q!r:.60}")
    rounding: Any = {"lower": np.floor, "higher": np.ceil, "nearest": np.rint}
    rounding |= {"linear": np.positive, "midpoint": np.positive}
    position = rounding[interpolation](at * (n - 1))
    low, high = np.floor(position).astype(np.intp), np.ceil(position).astype(np.intp)
    weight = np.asarray(0.5, x.dtype) if interpolation == "midpoint" else position - low
    last = (*(k for k in range(x.ndim) if k != along), along)
    ordered = sort(s.transpose(x, axes=last)).values
    out = e.lerp(ordered[..., low], ordered[..., high], weight.astype(x.dtype))
    largest = ordered._array[..., -1:] if at.ndim else ordered._array[..., -1]
    out = e.where(np.isnan(largest), np.nan, out)  # NaN is sorted last
    if at.ndim:
        out = s.transpose(out, axes=(out.ndim - 1, *range(out.ndim - 1)))
    if not keepdim:
        return out
    rest = tuple(1 if dim is None or k == along else m for k, m in enumerate(input.shape))
    return s.reshape(out, shape=(*at.shape, *rest))


def count_nonzero(input: Tensor, dim: Dim = None, *, axis: Dim = None) -> Any:
    """Return the number of nonzero elements over `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.count_nonzero(tg.tensor([[1.0, 0.0], [2.0, 3.0]]), dim=0)
    tensor([2, 1])
    """
    axes = reduction_axes(dim, keepdim=False, axis=axis, keepdims=None)["axis"]
    return c.count_nonzero(input, axis=axes)


def _softmax_axis(input: Any, dim: Any, axis: Any, what: str) -> int:
    dim = dim if axis is None else axis
    if not isinstance(dim, int):
        raise ShapeError(f"{what} needs the dimension that sums to 1, such as dim=-1; got {dim!r}")
    return dim if input.ndim else 0


def softmax(
    input: Tensor, dim: int | None = None, dtype: Any = None, *, axis: int | None = None
) -> Tensor:
    """Return `exp(input) / exp(input).sum(dim)`: probabilities from logits.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([0.0, 0.0]).softmax(dim=0)
    tensor([0.5, 0.5])
    """
    if dtype is not None:
        input = input.to(dtype)
    return r.softmax(input, axis=_softmax_axis(input, dim, axis, "softmax"))


def log_softmax(
    input: Tensor, dim: int | None = None, dtype: Any = None, *, axis: int | None = None
) -> Tensor:
    """Return the natural logarithm of `softmax`, without cancellation.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([0.0, -50.0]).log_softmax(dim=0)
    tensor([-1.9287e-22, -5.0000e+01])
    """
    if dtype is not None:
        input = input.to(dtype)
    return r.log_softmax(input, axis=_softmax_axis(input, dim, axis, "log_softmax"))


def _variance(op: Any) -> Decorator:
    """Return a decorator that makes a documented function compute `op`, with PyTorch's options."""

    def decorate(documented: Any) -> Any:
        def variance(
            input: Any,
            dim: Any = None,
            unbiased: Any = None,
            keepdim: bool = False,
            *,
            correction: Any = None,
            axis: Any = None,
            keepdims: Any = None,
        ) -> Any:
            if isinstance(dim, bool):  # PyTorch's var(x, unbiased)
                dim, unbiased = None, dim
            if correction is not None and unbiased is not None:
                raise TypeError("pass correction or unbiased, not both")
            if correction is None:
                correction = 1 if unbiased is None else int(unbiased)
            settings = reduction_axes(dim, keepdim, axis, keepdims)
            return op(input, correction=correction, **settings)

        return functools.update_wrapper(variance, documented)

    return decorate


@_variance(r.var)
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Return the sum of squared deviations over `dim`, divided by count - `correction` (default 1).

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0, 3.0]).var()
    tensor(1.)
    """


@_variance(r.std)
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Return the standard deviation over `dim`; see `var`. The gradient of equal elements is 0.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0, 3.0]).std()
    tensor(1.)
    """


@_variance(
    lambda x, correction, **over: (r.var(x, correction=correction, **over), r.mean(x, **over))
)
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Return the variance and the mean over `dim`; see `var`.

    >>> import tinygrad_fc as tg
    >>> tg.var_mean(tg.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """


def _cumulative(op: Any, input: Tensor, dim: Any, dtype: Any, axis: Any) -> Tensor:
    dim = dim if axis is None else axis
    if dim is None:
        raise TypeError(f"{op.name} needs the dimension to run along: {op.name}(x, dim=0)")
    along = normalize_dim(dim, input.ndim or 1, op.name)
    input = _as_dtype(input, dtype, op)
    if not input.ndim:
        return op(input.reshape(1), axis=0).reshape(())  # type: ignore[no-any-return]
    return op(input, axis=along)  # type: ignore[no-any-return]


def cumsum(
    input: Tensor, dim: int | None = None, *, dtype: Any = None, axis: int | None = None
) -> Tensor:
    """Return the cumulative sum along `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.cumsum(tg.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 3., 6.])
    """
    return _cumulative(r.cumsum, input, dim, dtype, axis)


def cumprod(
    input: Tensor, dim: int | None = None, *, dtype: Any = None, axis: int | None = None
) -> Tensor:
    """Return the cumulative product along `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.cumprod(tg.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    return _cumulative(r.cumprod, input, dim, dtype, axis)
