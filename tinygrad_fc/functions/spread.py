"""Variances and standard deviations in PyTorch's spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.functions.reduction import Dim, mean, over
from tinygrad_fc.ops import reduce as r

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def _spread_of(
    row: Any, input: Tensor, dim: Any, unbiased: Any, correction: Any, settings: Any
) -> Tensor:
    if isinstance(dim, bool):  # PyTorch's var(x, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    elif unbiased is not None:
        message = "give correction or unbiased, not both"
        raise TypeError(message)
    return row(input, correction=correction, **over(dim, *settings))  # type: ignore[no-any-return]


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
    """Return the standard deviation over `dim`; see `var`. Where all are equal its slope is 0.

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
