"""Losses of a prediction and a target of one shape, losses with margins, and distances."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.device import refuse_dask
from tinygrad_fc.core.errors import DtypeError, ShapeError, check_argument, warn_deprecated
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import Node, as_array, leaf_of, operand
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.norms import vector_norm
from tinygrad_fc.nn.functional.normalization import normalize
from tinygrad_fc.ops import arithmetic, elementwise, reduce
from tinygrad_fc.ops import loss as loss_ops
from tinygrad_fc.ops.activation import softplus
from tinygrad_fc.ops.elementwise import exp, log
from tinygrad_fc.ops.shape import broadcast_to

if TYPE_CHECKING:
    from tinygrad_fc.tensors import Tensor

__all__ = [
    "cosine_embedding_loss", "cosine_similarity", "gaussian_nll_loss", "hinge_embedding_loss",
    "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss",
    "pairwise_distance", "poisson_nll_loss", "smooth_l1_loss", "soft_margin_loss",
    "triplet_margin_loss",
]  # fmt: skip

REDUCTIONS = ("mean", "sum", "none")
BATCH_REDUCTIONS = (*REDUCTIONS, "batchmean")


# Checks and reductions, which all losses share


def check_prediction(loss: str, input: Any) -> None:
    """Raise `DtypeError` if the input of a loss is not a tensor."""
    if not isinstance(input, Node):
        refuse_dask(input, loss)  # with its own advice for a Dask array
        raise DtypeError(
            f"{loss}: input is a {type(input).__name__}, expected a tensor. Convert it: "
            "tensor(input)"
        )


def check_one_shape(loss: str, input: Any, target: Any) -> None:
    """Raise `ShapeError` if input and target differ in shape: losses do not broadcast."""
    if not isinstance(input, Node):
        check_prediction(loss, input)
    shape = input._array.shape
    other = target._array.shape if isinstance(target, Node) else getattr(target, "shape", None)
    if shape == other:
        return
    if other is None:
        raise DtypeError(
            f"{loss}: target is a {type(target).__name__}, expected a tensor or an array. "
            "Convert it: tensor(target)"
        )
    try:
        effect = f"They would broadcast to {np.broadcast_shapes(shape, other)}"
    except ValueError:
        effect = "They do not broadcast"
    fix = "Compare the output size of the last layer and the batch size with the target"
    if math.prod(shape) == math.prod(other):
        fix = f"Reshape the target: target.reshape({shape})"
    raise ShapeError(
        f"{loss}: input has shape {shape} and target {other}, expected equal shapes. "
        f"{effect}. {fix}"
    )


def check_not_nan(loss: str, target: Any) -> None:
    """Raise `ValueError` if an element of `target` is NaN, which makes every gradient NaN."""
    missing = np.isnan(as_array(target))
    if missing.any():
        indices = np.argwhere(missing)
        raise ValueError(
            f"{loss}: target is NaN at index {tuple(map(int, indices[0]))} (in {len(indices)} of "
            f"{missing.size} places), expected numbers. Remove or impute these samples"
        )


def float_target(target: Any, input: Tensor) -> Any:
    """Return `target`; integers and booleans are cast to the dtype of `input`."""
    if isinstance(target, Node) and target._array.dtype.kind == "f":
        return target
    array = operand(target, "a loss")
    return target if array.dtype.kind == "f" else array.astype(input._array.dtype)


def reduced(losses: Tensor, reduction: str, known: tuple[str, ...] = REDUCTIONS) -> Tensor:
    """Return the mean or the sum of elementwise losses, or the losses unchanged for `"none"`.

    Raises `ValueError` for a reduction that is not in `known`.
    """
    check_argument(reduction in known, "loss", known, reduction=reduction)
    if reduction == "mean":
        return reduce.mean(losses)
    if reduction == "batchmean":
        return arithmetic.divide(reduce.sum(losses), losses.shape[0] if losses.ndim else 1)
    return reduce.sum(losses) if reduction == "sum" else losses


def weighted(
    losses: Tensor, weight: Any, reduction: str, known: tuple[str, ...] = REDUCTIONS
) -> Tensor:
    """Return the reduction of `losses * weight`; a mean divides by the sum of the weights."""
    if weight is None:
        return reduced(losses, reduction, known)
    if weight.shape != losses.shape:
        raise ShapeError(
            f"the loss has elements of shape {losses.shape} and weight {tuple(weight.shape)}, "
            "expected one weight per element. Broadcast the weight: weight.expand(...)"
        )
    losses = losses * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduced(losses, reduction, known)


# Regression and likelihoods


def mse_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """Return `(input - target) ** 2`, reduced; both have the same shape (N, ...).

    `reduction` is `"mean"` over all elements, `"sum"`, `"none"`, or `"batchmean"`: the sum divided
    by the batch size, formula (6) of `tinygrad_fc/handderived.py`. With `weight`, of the same
    shape, the mean is weighted. Raises `ShapeError` if shapes differ, `ValueError` for an unknown
    reduction, or a NaN in the target, which is not checked with `weight` and for `"none"`.

    >>> import tinygrad_fc as tg
    >>> x, y = tg.tensor([[1.0, 2.0]]), tg.tensor([[0.0, 0.0]])
    >>> tg.nn.functional.mse_loss(x, y, reduction="batchmean")
    tensor(5.)
    """
    check_one_shape("mse_loss", input, target)
    target = float_target(target, input)
    shape, size = input._array.shape, input._array.size
    batch = shape[0] if shape else 1
    count = {"mean": size, "batchmean": batch, "sum": 1}.get(reduction)
    # `count` is None for "none" and unknown reductions, 0 for no elements.
    if weight is not None or not count:
        return weighted((input - target) ** 2, weight, reduction, BATCH_REDUCTIONS)
    out = call_op(loss_ops.squared_error, (input, target), {"count": count})
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
    check_one_shape("l1_loss", input, target)
    losses = elementwise.absolute(arithmetic.subtract(input, float_target(target, input)))
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
    check_one_shape("huber_loss", input, target)
    check_argument(delta > 0, "huber_loss", "more than 0", delta=delta)
    losses = call_op(loss_ops.huber, (input, float_target(target, input)), {"delta": delta})
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
    check_argument(beta >= 0, "smooth_l1_loss", "at least 0", beta=beta)
    check_one_shape("smooth_l1_loss", input, target)
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
    check_one_shape("kl_div", input, target)
    target = float_target(target, input)
    if log_target:
        return reduced(exp(target) * (target - input), reduction, BATCH_REDUCTIONS)
    losses = arithmetic.multiply_no_nan(target, log(target)) - target * input
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
    check_one_shape("poisson_nll_loss", input, target)
    target = float_target(target, input)
    losses = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        stirling = target * log(target) - target + 0.5 * log(2 * math.pi * target)
        losses = losses + elementwise.where(as_array(target) > 1, stirling, 0)
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

    `input` and `target` have the same shape (N, ...). `var` has this shape, or size 1 on one
    axis, or no last axis, or is a number. It is clamped to at least `eps`, and its gradient ignores
    the clamp. `full` adds `log(2 pi) / 2`. Raises `ShapeError` for other shapes, `ValueError` for a
    negative variance. Nix and Weigend (1994).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.gaussian_nll_loss(tg.tensor([2.0]), tg.tensor([0.0]), tg.ones(1))
    tensor(2.)
    """
    check_one_shape("gaussian_nll_loss", input, target)
    variance = _variance(input, var)
    with grad_mode.no_grad():
        variance.clamp_(min=eps)
    distance = input - float_target(target, input)
    losses = (log(variance) + distance * distance / variance) * 0.5
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(losses, reduction)


def _variance(input: Tensor, var: Any) -> Tensor:
    """Return a copy of `var` that broadcasts to `input`."""
    if not isinstance(var, Node):
        shape = input.shape if np.ndim(var) == 0 else np.shape(var)
        var = leaf_of(np.full(shape, var, input.dtype, like=like()))
    if (as_array(var) < 0).any():
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


# Distances


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along `dim`, norms clamped to at least `eps`.

    `x1` and `x2` have shape (N, D), or shapes that broadcast; the result has shape (N,).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.cosine_similarity(tg.tensor([[1.0, 0.0]]), tg.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    x1, x2 = (x if x.shape == shape else broadcast_to(x, shape=shape) for x in (x1, x2))
    return (normalize(x1, 2, dim, eps) * normalize(x2, 2, dim, eps)).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Return the p-norm of `x1 - x2 + eps` along the last axis.

    `x1` and `x2` have shape (N, D), or shapes that broadcast; the result has shape (N,), or (N, 1)
    with `keepdim`. `eps` moves equal inputs away from 0, where the norm is not differentiable.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.pairwise_distance(tg.tensor([[3.0, 4.0]]), tg.zeros(1, 2))
    tensor([5.])
    """
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


# Losses with a margin


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Return `input` where `target` is 1, and `max(0, margin - input)` where it is -1, reduced.

    `input` (distances) and `target` have the same shape (N, ...). Raises `ShapeError` if shapes
    differ.

    >>> import tinygrad_fc as tg
    >>> x, y = tg.tensor([0.5, 0.25]), tg.tensor([1, -1])
    >>> tg.nn.functional.hinge_embedding_loss(x, y, reduction="none")
    tensor([0.5 , 0.75])
    """
    check_one_shape("hinge_embedding_loss", input, target)
    sign = as_array(target)
    losses = elementwise.where(sign != 1, elementwise.relu(margin - input), 0) + elementwise.where(
        sign != -1, input, 0
    )
    return reduced(losses, reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, reduction: str = "mean"
) -> Tensor:
    """Return `max(0, margin - target * (input1 - input2))`, reduced.

    `target` is 1 where `input1` should be larger, -1 where `input2` should; all have the same shape
    (N,). Raises `ShapeError` if shapes differ.

    >>> import tinygrad_fc as tg
    >>> a, b, y = tg.tensor([1.0]), tg.tensor([3.0]), tg.tensor([1])
    >>> tg.nn.functional.margin_ranking_loss(a, b, y)
    tensor(2.)
    """
    check_one_shape("margin_ranking_loss", input1, input2)
    check_one_shape("margin_ranking_loss", input1, target)
    losses = elementwise.relu(float_target(target, input1) * (input2 - input1) + margin)
    return reduced(losses, reduction)


def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return `log(1 + exp(-target * input))`, reduced, for targets of 1 and -1.

    `input` and `target` have the same shape (N, ...). Raises `ShapeError` if shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.soft_margin_loss(tg.tensor([0.0]), tg.tensor([1.0]))
    tensor(0.6931)
    """
    check_one_shape("soft_margin_loss", input, target)
    losses = softplus(-float_target(target, input) * input)
    return reduced(losses, reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, reduction: str = "mean"
) -> Tensor:
    """Return `1 - cos` where `target` is 1, and `max(0, cos - margin)` where it is -1, reduced.

    `cos` is the cosine similarity of `input1` and `input2`, of shape (N, D) with `target` (N,), or
    (D,) with (). Raises `ShapeError` for other shapes.

    >>> import tinygrad_fc as tg
    >>> a, b = tg.tensor([[1.0, 0.0]]), tg.tensor([[0.0, 1.0]])
    >>> tg.nn.functional.cosine_embedding_loss(a, b, tg.tensor([1]))
    tensor(1.)
    """
    check_one_shape("cosine_embedding_loss", input1, input2)
    sign = as_array(target)
    if input1.ndim not in (1, 2) or sign.shape != input1.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss: the inputs have shape {input1.shape} and target "
            f"{sign.shape}, expected (N, D) and (N,), or (D,) and (). Reshape the target"
        )
    # PyTorch's epsilon, for vectors of zeros.
    square1, square2 = ((x * x).sum(-1) + 1e-12 for x in (input1, input2))
    cosine = (input1 * input2).sum(-1) / elementwise.sqrt(square1 * square2)
    losses = elementwise.where(sign == 1, 1 - cosine, 0) + elementwise.where(
        sign == -1, elementwise.relu(cosine - margin), 0
    )
    return reduced(losses, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return `max(0, margin + |anchor - positive| - |anchor - negative|)`, reduced.

    Distances are those of `pairwise_distance`; all have the same shape (N, D) or (D,). `swap` uses
    `|positive - negative|` where it is smaller (Balntas et al., 2016). Raises `ShapeError` if
    shapes differ, `ValueError` unless `margin > 0`.

    >>> import tinygrad_fc as tg
    >>> a, b = tg.zeros(1, 2), tg.tensor([[3.0, 4.0]])
    >>> tg.nn.functional.triplet_margin_loss(a, b, a)
    tensor(6.)
    """
    check_one_shape("triplet_margin_loss", anchor, positive)
    check_one_shape("triplet_margin_loss", anchor, negative)
    check_argument(margin > 0, "triplet_margin_loss", "more than 0", margin=margin)
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = elementwise.minimum(far, pairwise_distance(positive, negative, p, eps))
    losses = elementwise.relu(near - far + margin)
    return reduced(losses, reduction)


# Older forms of arguments


def pop_reduction(settings: dict[str, Any]) -> None:
    """Replace the old arguments `size_average` and `reduce` of a loss by `reduction`."""
    size_average, reduce = (settings.pop(name, None) for name in ("size_average", "reduce"))
    if size_average is not None or reduce is not None:
        name = "none" if reduce is False else "sum" if size_average is False else "mean"
        warn_deprecated(f"size_average and reduce are deprecated. Use reduction={name!r}", 4)
        settings["reduction"] = name


def accepts_size_average(loss: Any) -> Any:
    """Return the function `loss` with the old arguments `size_average` and `reduce`."""

    @functools.wraps(loss)
    def wrapper(*args: Any, **settings: Any) -> Any:
        if "size_average" in settings or "reduce" in settings:
            pop_reduction(settings)
        return loss(*args, **settings)

    wrapper.current = loss  # type: ignore[attr-defined]  # for callers without old arguments
    return wrapper
