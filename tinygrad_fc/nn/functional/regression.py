"""Regression losses, divergences and negative log-likelihoods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import Node, record, wrap
from tinygrad_fc.nn.functional.checks import (
    BATCH_REDUCTIONS,
    check_not_nan,
    check_shapes,
    float_target,
    reduced,
    require,
    to_array,
    weighted,
)
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import loss as l

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

__all__ = [
    "gaussian_nll_loss", "huber_loss", "kl_div", "l1_loss", "mse_loss", "poisson_nll_loss",
    "smooth_l1_loss",
]  # fmt: skip


def mse_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """Return `(input - target) ** 2`, reduced; both have the same shape (N, ...).

    `reduction` is `"mean"` over all elements, `"sum"`, `"none"`, or `"batchmean"`: the sum divided
    by the batch size, formula (6) of `handderived.py`. With `weight`, of the same shape, the mean
    is weighted. Raises `ShapeError` if shapes differ, `ValueError` for an unknown reduction or a
    NaN in the target.

    >>> import tinygrad_fc as tg
    >>> x, y = tg.tensor([[1.0, 2.0]]), tg.tensor([[0.0, 0.0]])
    >>> tg.nn.functional.mse_loss(x, y, reduction="batchmean")
    tensor(5.)
    """
    check_shapes("mse_loss", input, target)
    target = float_target(target, input)
    array = input._array
    batch = len(array) if array.ndim else 1
    count = {"mean": array.size, "batchmean": batch, "sum": 1}.get(reduction)
    if weight is not None or not count:
        return weighted((input - target) ** 2, weight, reduction, BATCH_REDUCTIONS)
    out = record(l.squared_error, (input, target), {"count": count})
    if out._array != out._array:  # NaN: only then is the target checked
        check_not_nan("mse_loss", target)
    return out


def l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """Return `|input - target|`, reduced; both have the same shape (N, ...).

    With `weight`, of the same shape, a mean is weighted. The derivative at 0 is 0. Raises
    `ShapeError` if shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1.0, -3.0]), tg.zeros(2))
    tensor(2.)
    """
    check_shapes("l1_loss", input, target)
    losses = e.absolute(e.subtract(input, float_target(target, input)))
    return weighted(losses, weight, reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Return `d * d / 2` for `|d| <= delta`, else `delta * (|d| - delta / 2)`, d = input - target.

    `input`, `target` and the factors `weight` have the same shape (N, ...). Raises `ShapeError` if
    shapes differ, `ValueError` unless `delta > 0`. Huber (1964), "Robust estimation of a location
    parameter".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.huber_loss(tg.tensor([0.5, 3.0]), tg.zeros(2), reduction="none")
    tensor([0.125, 2.5  ])
    """
    check_shapes("huber_loss", input, target)
    require(delta > 0, "huber_loss", "more than 0", delta=delta)
    losses = record(l.huber, (input, float_target(target, input)), {"delta": delta})
    if weight is not None:  # PyTorch does not divide by the sum of the weights here
        losses = weighted(losses, weight, "none")
    return reduced(losses, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Return `d * d / (2 * beta)` for `|d| < beta`, else `|d| - beta / 2`, d = input - target.

    This is `huber_loss` with `delta = beta`, divided by `beta`, and `l1_loss` for `beta = 0`.
    `input` and `target` have the same shape (N, ...). Raises `ShapeError` if shapes differ,
    `ValueError` for `beta < 0`. Girshick (2015), "Fast R-CNN".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.smooth_l1_loss(tg.tensor([0.5, 3.0]), tg.zeros(2), reduction="none")
    tensor([0.125, 2.5  ])
    """
    require(beta >= 0, "smooth_l1_loss", "at least 0", beta=beta)
    check_shapes("smooth_l1_loss", input, target)
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return huber_loss(input, target, reduction, beta) / beta


def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """Return `target * (log(target) - input)`, reduced, for log-probabilities `input`.

    With `log_target` the target holds log-probabilities too. Both have the same shape (N, ...). Use
    `reduction="batchmean"` for the Kullback-Leibler divergence (1951) averaged over the batch;
    `"mean"` divides by the number of elements. Raises `ShapeError` if shapes differ.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([[0.5, 0.5]]).log()
    >>> tg.nn.functional.kl_div(x, tg.tensor([[1.0, 0.0]]), reduction="batchmean")
    tensor(0.6931)
    """
    check_shapes("kl_div", input, target)
    target = float_target(target, input)
    if log_target:
        return reduced(e.exp(target) * (target - input), reduction, BATCH_REDUCTIONS)
    losses = e.multiply_no_nan(target, e.log(target)) - target * input
    return reduced(losses, reduction, BATCH_REDUCTIONS)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Return `exp(input) - target * input`, reduced, for counts `target` with log-rate `input`.

    With `log_input=False`, `input` is the rate, and the loss is `input - target * log(input +
    eps)`. `full` adds Stirling's formula for `log(target!)` where `target > 1`. Both have the same
    shape (N, ...). Raises `ShapeError` if shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.poisson_nll_loss(tg.tensor([0.0]), tg.tensor([3.0]))
    tensor(1.)
    """
    check_shapes("poisson_nll_loss", input, target)
    target = float_target(target, input)
    losses = e.exp(input) - target * input if log_input else input - target * e.log(input + eps)
    if full:
        stirling = target * e.log(target) - target + 0.5 * e.log(2 * math.pi * target)
        losses = losses + e.where(to_array(target) > 1, stirling, 0)
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Return `(log(var) + (input - target)**2 / var) / 2`, reduced, for variances `var`.

    `input` and `target` have the same shape (N, ...). `var` has this shape, or size 1 on its last
    axis, or no last axis, or is a number. It is clamped to at least `eps`, and its gradient ignores
    the clamp. `full` adds `log(2 pi) / 2`. Raises `ShapeError` for other shapes, `ValueError` for a
    negative variance. Nix and Weigend (1994).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.gaussian_nll_loss(tg.tensor([2.0]), tg.tensor([0.0]), tg.ones(1))
    tensor(2.)
    """
    check_shapes("gaussian_nll_loss", input, target)
    variance = _variance(input, var)
    with grad_mode.no_grad():
        variance.clamp_(min=eps)
    distance = input - float_target(target, input)
    losses = (e.log(variance) + distance * distance / variance) * 0.5
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(losses, reduction)


def _variance(input: Tensor, var: Any) -> Tensor:
    """Return a copy of `var` that broadcasts to `input`."""
    if not isinstance(var, Node):
        var = wrap(np.full(input.shape if np.ndim(var) == 0 else np.shape(var), var, input.dtype))
    if (to_array(var) < 0).any():
        raise ValueError(
            "gaussian_nll_loss: var has a negative element, expected at least 0. Predict log(var) "
            "and pass its exp()"
        )
    if var.shape == input.shape[:-1] != input.shape:
        var = var.reshape((*var.shape, 1))
    sizes = [n for n, m in zip(var.shape, input.shape, strict=False) if n != m]
    if var.ndim != input.ndim or sizes not in ([], [1]):
        raise ShapeError(
            f"gaussian_nll_loss: var has shape {tuple(var.shape)} and input {input.shape}, "
            "expected equal shapes, or size 1 on one axis. Reshape var"
        )
    return var.clone()  # type: ignore[no-any-return]
