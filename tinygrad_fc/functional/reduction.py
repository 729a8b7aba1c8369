"""Reductions, variances and running sums in PyTorch's spelling.

They take NumPy's names `axis` and `keepdims`, too, in place of `dim` and `keepdim`.
"""

from __future__ import annotations

import functools
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
    from collections.abc import Callable

    from tinygrad_fc.tensor import Tensor

    Decorator = Callable[[Callable[..., Any]], Callable[..., Tensor]]

__all__ = ["all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "cumprod", "cumsum"]
__all__ += ["log_softmax", "logsumexp", "max", "mean", "min", "prod", "softmax", "std", "sum"]
__all__ += ["var", "var_mean"]


class ValuesIndices(NamedTuple):
    """Values along a dimension, and their indices."""

    values: Any
    indices: Any


def _as_dtype(input: Any, dtype: Any, op: Any) -> Any:
    """Return `input` cast to `dtype`; sums and products of unsigned integers are int64 by default.

    NumPy does so for signed ones.
    """
    try:
        unsigned = input.dtype.kind == "u"
    except AttributeError:  # numbers and lists
        input, unsigned = wrap(operand(input, op)), False
    if dtype is None and unsigned:
        dtype = np.int64
    return input if dtype is None else input.to(dtype)


def _reduction(op: Any, *, counts: bool = False) -> Decorator:
    """Return a decorator that gives a documented function its body, a call of `op`."""

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
            if counts or dtype is not None:
                input = _as_dtype(input, dtype, op)
            return op(input, **reduction_axes(dim, keepdim, axis, keepdims))

        return functools.update_wrapper(reduction, documented)

    return decorate


@_reduction(r.sum_, counts=True)
def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the sum over `dim` (all, one or several), of `input` cast to `dtype` if given.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(dim=0)
    tensor([4., 6.])
    """


@_reduction(r.mean)
def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the mean over `dim` (all, one or several), of `input` cast to `dtype` if given.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(dim=0)
    tensor([2., 3.])
    """


@_reduction(r.prod, counts=True)
def prod(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the product over `dim` (all, one or several), of `input` cast to `dtype` if given.

    Its derivatives are right where elements are 0, in every order.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> x.prod().backward()
    >>> x.grad
    tensor([0., 6., 0.])
    """


@_reduction(r.amax)
def amax(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Any:
    """Return the largest values over `dim`; equal ones share the gradient evenly.

    Raises `ShapeError` over no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]]).amax(dim=1)
    tensor([2., 4.])
    """


@_reduction(r.amin)
def amin(input: Tensor, dim: Dim = (), keepdim: bool = False) -> Any:
    """Return the smallest values over `dim`; equal ones share the gradient evenly.

    Raises `ShapeError` over no elements.

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
    """Tell whether all elements over `dim` are true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).all()
    tensor(False)
    """


@_reduction(c.any_)
def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Any:
    """Tell whether any element over `dim` is true.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([True, False]).any()
    tensor(True)
    """


@_reduction(r.logsumexp)
def logsumexp(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Any:
    """Return the logarithm of the summed exponentials over `dim`: no overflow, no lost digits.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1000.0, 1000.0]).logsumexp(dim=0)
    tensor(1000.6931)
    """


def _extreme(full: Any, pick: Any, pair: Any) -> Callable[[Any], Callable[..., Any]]:
    """Return a decorator that makes a documented function the largest or smallest element."""

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
                return full(input, axis=None, keepdims=bool(keepdims))
            if isinstance(dim, Node | np.ndarray):
                return pair(input, dim)
            if isinstance(dim if axis is None else axis, tuple | list):
                raise ShapeError(
                    f"{documented.__name__} takes one dim, got {dim}: use amax or amin"
                )
            settings = reduction_axes(dim, keepdim, axis, keepdims)
            return picked(input, settings, pick(input, axis=settings["axis"], keepdims=True))

        return functools.update_wrapper(extreme, documented)

    return decorate


def picked(input: Any, settings: dict[str, Any], at: Any) -> ValuesIndices:
    """Return the elements at the indices `at` along the axis of `settings`, and the indices."""
    if not input.ndim:
        return ValuesIndices(input, at)
    axis = settings["axis"] % input.ndim
    values = i.gather(input, at, axis=axis)
    if settings["keepdims"]:
        return ValuesIndices(values, at)
    return ValuesIndices(values.squeeze(axis), at.squeeze(axis))


@_extreme(r.amax, c.argmax, e.maximum)
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the largest element; over a `dim`, a pair of values and indices.

    Of the whole, equal elements share the gradient evenly; over a `dim` it goes to the chosen
    index. `max(x, y)` of two tensors is `maximum`. Raises `ShapeError` over no elements.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [4.0, 3.0]]).max(dim=1).indices
    tensor([1, 0])
    """


@_extreme(r.amin, c.argmin, e.minimum)
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the smallest element; over a `dim`, a pair of values and indices. See `max`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1.0, 5.0], [3.0, 4.0]]).min(dim=1).values
    tensor([1., 3.])
    """


def count_nonzero(input: Tensor, dim: Dim = None, *, axis: Dim = None) -> Any:
    """Return how many elements over `dim` are not 0.

    >>> import tinygrad_fc as tg
    >>> tg.count_nonzero(tg.tensor([[1.0, 0.0], [2.0, 3.0]]), dim=0)
    tensor([2, 1])
    """
    chosen = reduction_axes(dim, keepdim=False, axis=axis, keepdims=None)["axis"]
    return c.count_nonzero(input, axis=chosen)


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


def _variance(op: Any) -> Decorator:
    """Return a decorator that gives a documented function its body, a call of `op`."""

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
                raise TypeError("give correction or unbiased, not both")
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
    """Return the variance over `dim`, divided by the count less `correction` (1 by default).

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
    """Return the standard deviation over `dim`; see `var`. Where all are equal its derivative is 0.

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


def _running(row: Any, input: Tensor, dim: Any, dtype: Any, axis: Any) -> Tensor:
    chosen = dim if axis is None else axis
    if chosen is None:
        raise TypeError(f"{row.name} needs the dimension to run along: {row.name}(x, dim=0)")
    along = normalize_dim(chosen, input.ndim or 1, row.name)
    input = _as_dtype(input, dtype, row)
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
