"""Losses of numbers against numbers, and of distributions against what was observed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import Node, record, wrap
from tinygrad_fc.nn.functional.reduction import (
    BATCHED,
    chosen,
    compared,
    floats,
    measured,
    plain,
    reduced,
    weighted,
)
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import loss as l

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the squared distance of `input` and `target`, of one shape (N, ...).

    `reduction` is `"mean"` over all elements, `"sum"`, `"none"`, or `"batchmean"`: summed over the
    outputs and averaged over the batch, which is formula (6). Squares are multiplied by `weight`,
    of the same shape, and a mean is divided by its sum. Raises `ShapeError` where shapes differ,
    `ValueError` for another reduction, and for a target that has a NaN.

    >>> import tinygrad_fc as tg
    >>> x, y = tg.tensor([[1.0, 2.0]]), tg.tensor([[0.0, 0.0]])
    >>> tg.nn.functional.mse_loss(x, y, reduction="batchmean")
    tensor(5.)
    """
    compared("mse_loss", input, target)
    target = floats(target, input)
    if size_average is not None or reduce is not None or reduction not in BATCHED:
        reduction = chosen(reduction, size_average, reduce, BATCHED)
    if weight is not None:
        return weighted((input - target) ** 2, weight, reduction)
    shape = input._array.shape
    if reduction == "mean" and input._array.size:
        count = input._array.size
    elif reduction == "batchmean":
        count = shape[0] if shape else 1
        if not count:
            raise ShapeError(
                f"mse_loss: a batch of shape {shape} has no samples to average over; pass at "
                "least one"
            )
    elif reduction == "sum":
        count = 1
    else:
        return reduced((input - target) ** 2, reduction)
    out = record(l.squared_error, (input, target), {"count": count})
    if out._array != out._array:  # NaN, and only then worth asking why
        measured("mse_loss", target)
    return out


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the absolute differences of `input` and `target`, of one shape (N, ...).

    Reduced by `"mean"`, `"sum"` or `"none"`; with `weight`, of the same shape, a weighted mean.
    Where they are equal the slope is 0. Raises `ShapeError` where shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1.0, -3.0]), tg.zeros(2))
    tensor(2.)
    """
    compared("l1_loss", input, target)
    each = e.absolute(e.subtract(input, floats(target, input)))
    return weighted(each, weight, chosen(reduction, size_average, reduce))


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Return `d * d / 2` for differences `d` up to `delta`, `delta * (|d| - delta / 2)` beyond.

    Of `input` and `target` of one shape (N, ...), times `weight` of that shape; reduced by
    `"mean"`, `"sum"` or `"none"`. Raises `ShapeError` where shapes differ, `ValueError` unless
    `delta` is positive. Huber (1964), "Robust estimation of a location parameter".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.huber_loss(tg.tensor([0.5, 3.0]), tg.zeros(2), reduction="none")
    tensor([0.125, 2.5  ])
    """
    compared("huber_loss", input, target)
    if not delta > 0:
        raise ValueError(f"huber_loss needs a delta above 0, got {delta}")
    each = record(l.huber, (input, floats(target, input)), {"delta": delta})
    if weight is not None:  # whose sum, unlike in the other losses, PyTorch does not divide by
        each = weighted(each, weight, "none")
    return reduced(each, chosen(reduction))


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Return the absolute differences, made a parabola of slope 1 at its ends within `beta`.

    Which is `huber_loss` with `delta=beta`, divided by it, and `l1_loss` where it is 0. Girshick
    (2015), "Fast R-CNN". Raises `ShapeError` where shapes differ, `ValueError` for `beta` below 0.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.smooth_l1_loss(tg.tensor([0.5, 3.0]), tg.zeros(2), reduction="none")
    tensor([0.125, 2.5  ])
    """
    compared("smooth_l1_loss", input, target)
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss needs a beta of at least 0, got {beta}")
    reduction = chosen(reduction, size_average, reduce)
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return huber_loss(input, target, reduction, beta) / beta


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Return `target * (log(target) - input)`, for an `input` of log-probabilities (in nats).

    With `log_target` the target holds logarithms too. Both are of one shape (N, ...). Summed over
    a distribution it is its divergence from the prediction (Kullback and Leibler, 1951), which
    `reduction="batchmean"` averages over the batch; `"mean"` divides by all elements. Raises
    `ShapeError` where shapes differ.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([[0.5, 0.5]]).log()
    >>> tg.nn.functional.kl_div(x, tg.tensor([[1.0, 0.0]]), reduction="batchmean")
    tensor(0.6931)
    """
    compared("kl_div", input, target)
    reduction = chosen(reduction, size_average, reduce, BATCHED)
    target = floats(target, input)
    if log_target:
        each = e.exp(target) * (target - input)
    else:
        each = e.product(target, e.log(target)) - target * input
    return reduced(each, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return `exp(input) - target * input`: what counts cost whose logarithmic rate is `input`.

    With `log_input=False` the rate itself, `input - target * log(input + eps)`. `full` adds what
    does not depend on `input`, the logarithm of the factorial by Stirling's formula, for targets
    above 1. Of one shape (N, ...); raises `ShapeError` where shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.poisson_nll_loss(tg.tensor([0.0]), tg.tensor([3.0]))
    tensor(1.)
    """
    compared("poisson_nll_loss", input, target)
    target = floats(target, input)
    each = e.exp(input) - target * input if log_input else input - target * e.log(input + eps)
    if full:
        stirling = target * e.log(target) - target + 0.5 * e.log(2 * math.pi * target)
        each = each + e.where(plain(target) > 1, stirling, 0)
    return reduced(each, chosen(reduction, size_average, reduce))


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Return `(log(var) + (input - target)**2 / var) / 2`: normal numbers of mean `input`.

    `input` and `target` have one shape (N, ...), and so has `var`; or its last size is 1 or left
    out, or it is a number. It counts as at least `eps`, and its gradient ignores that. `full`
    adds `log(2 pi) / 2`. Raises `ShapeError` where shapes do not fit, `ValueError` for a negative
    variance. Nix and Weigend (1994).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.gaussian_nll_loss(tg.tensor([2.0]), tg.tensor([0.0]), tg.ones(1))
    tensor(2.)
    """
    compared("gaussian_nll_loss", input, target)
    reduction = chosen(reduction)
    variance = _variance(input, var)
    with grad_mode.no_grad():
        variance.clamp_(min=eps)
    distance = input - floats(target, input)
    each = (e.log(variance) + distance * distance / variance) * 0.5
    if full:
        each = each + 0.5 * math.log(2 * math.pi)
    return reduced(each, reduction)


def _variance(input: Tensor, var: Any) -> Tensor:
    """Return a copy of `var` that broadcasts to `input`."""
    if not isinstance(var, Node):
        var = wrap(np.full(input.shape if np.ndim(var) == 0 else np.shape(var), var, input.dtype))
    if (plain(var) < 0).any():
        raise ValueError("gaussian_nll_loss needs variances of at least 0, and got a negative one")
    if var.shape == input.shape[:-1] != input.shape:
        var = var.reshape((*var.shape, 1))
    one = [n for n, m in zip(var.shape, input.shape, strict=False) if n != m]
    if var.ndim != input.ndim or one not in ([], [1]):
        raise ShapeError(
            f"gaussian_nll_loss: variances of shape {tuple(var.shape)} do not fit a prediction of "
            f"shape {input.shape}: give it that shape, or 1 for one of its sizes"
        )
    return var.clone()  # type: ignore[no-any-return]
