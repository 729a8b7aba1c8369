"""Losses that ask for a distance, a rank or a sign, and are content beyond a margin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.nn.functional.classes import Classes
from tinygrad_fc.nn.functional.distance import pairwise_distance
from tinygrad_fc.nn.functional.reduction import chosen, compared, floats, plain, reduced
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops.activation import logsigmoid, softplus

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def _ramp(x: Any) -> Any:
    # As PyTorch's clamp(min=0): the slope at 0 is 1, and that of relu is 0.
    return e.clip(x, 0, math.inf)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return `input`, a distance, where `target` is 1, and `max(0, margin - input)` where it is -1.

    `input` and `target` have one shape (N, ...); raises `ShapeError` where shapes differ.

    >>> import tinygrad_fc as tg
    >>> x, y = tg.tensor([0.5, 0.25]), tg.tensor([1, -1])
    >>> tg.nn.functional.hinge_embedding_loss(x, y, reduction="none")
    tensor([0.5 , 0.75])
    """
    compared("hinge_embedding_loss", input, target)
    sign = plain(target)
    apart = e.where(sign != 1, _ramp(margin - input), 0)
    return reduced(apart + e.where(sign != -1, input, 0), chosen(reduction, size_average, reduce))


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return `max(0, margin - target * (input1 - input2))`: which of two is to be the larger.

    `target` is 1 where `input1` is, -1 where `input2` is; all have one shape (N,). Raises
    `ShapeError` where shapes differ.

    >>> import tinygrad_fc as tg
    >>> a, b, y = tg.tensor([1.0]), tg.tensor([3.0]), tg.tensor([1])
    >>> tg.nn.functional.margin_ranking_loss(a, b, y)
    tensor(2.)
    """
    compared("margin_ranking_loss", input1, input2)
    compared("margin_ranking_loss", input1, target)
    each = _ramp(floats(target, input1) * (input2 - input1) + margin)
    return reduced(each, chosen(reduction, size_average, reduce))


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return `log(1 + exp(-target * input))`, for targets of 1 and -1: finite for all numbers.

    `input` and `target` have one shape (N, ...); raises `ShapeError` where shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.soft_margin_loss(tg.tensor([0.0]), tg.tensor([1.0]))
    tensor(0.6931)
    """
    compared("soft_margin_loss", input, target)
    each = softplus(-floats(target, input) * input)
    return reduced(each, chosen(reduction, size_average, reduce))


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return `binary_cross_entropy_with_logits`, times `weight`, averaged over the classes.

    `input` and `target` (N, C) give (N,) with `reduction="none"`; `weight` (C,). Raises
    `ShapeError` where shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.multilabel_soft_margin_loss(tg.zeros(1, 2), tg.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """
    compared("multilabel_soft_margin_loss", input, target)
    target = floats(target, input)
    each = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    each = each if weight is None else each * weight
    return reduced(each.mean(-1), chosen(reduction, size_average, reduce))


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return `1 - cos` of two vectors' angle where `target` is 1, `max(0, cos - margin)` at -1.

    `input1` and `input2` (N, D) with `target` (N,), or (D,) with (). Raises `ShapeError` where
    shapes do not fit.

    >>> import tinygrad_fc as tg
    >>> a, b = tg.tensor([[1.0, 0.0]]), tg.tensor([[0.0, 1.0]])
    >>> tg.nn.functional.cosine_embedding_loss(a, b, tg.tensor([1]))
    tensor(1.)
    """
    compared("cosine_embedding_loss", input1, input2)
    sign = plain(target)
    if input1.ndim not in (1, 2) or sign.shape != input1.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss takes vectors (N, D) and targets (N,), or (D,) and (); got "
            f"{input1.shape} and {sign.shape}"
        )
    # PyTorch's guard against vectors of zeros.
    first, second = ((x * x).sum(-1) + 1e-12 for x in (input1, input2))
    cosine = (input1 * input2).sum(-1) / e.sqrt(first * second)
    each = e.where(sign == 1, 1 - cosine, 0) + e.where(sign == -1, _ramp(cosine - margin), 0)
    return reduced(each, chosen(reduction, size_average, reduce))


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean over other classes of `max(0, margin - x[y] + x[i]) ** p` times `weight[y]`.

    `input` (N, C) with class indices `target` (N,), or (C,) with (); `weight` (C,); the target's
    own class counts as 0 in the mean over C. Raises `ShapeError`, `DtypeError` and `RangeError`
    for a target that does not fit, `ValueError` unless `p` is 1 or 2. Crammer and Singer (2001).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.multi_margin_loss(tg.tensor([[1.0, 3.0]]), tg.tensor([0]))
    tensor(1.5)
    """
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss takes p=1 or p=2, got {p}")
    if input.ndim > 2:
        raise ShapeError(f"multi_margin_loss takes scores (N, C) or (C,), got {input.shape}")
    classes = Classes("multi_margin_loss", input, target, weight)
    x, y = classes.scores, classes.indices
    excess = e.relu(margin - x[np.arange(len(y)), y][..., None] + x)
    excess = excess if p == 1 else excess * excess
    others = y[:, None] != np.arange(classes.count)
    each = e.where(others, excess, 0).mean(-1)
    each = each if classes.weight is None else each * classes.weight[y]
    return reduced(each.reshape(classes.shape), chosen(reduction, size_average, reduce))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return `max(0, margin + |anchor - positive| - |anchor - negative|)`, by `pairwise_distance`.

    All have one shape (N, D) or (D,). `swap` puts `positive` in the anchor's place where it is
    nearer to `negative` (Balntas et al., 2016). Raises `ShapeError` where shapes differ,
    `ValueError` unless `margin` is positive.

    >>> import tinygrad_fc as tg
    >>> a, b = tg.zeros(1, 2), tg.tensor([[3.0, 4.0]])
    >>> tg.nn.functional.triplet_margin_loss(a, b, a)
    tensor(6.)
    """
    compared("triplet_margin_loss", anchor, positive)
    compared("triplet_margin_loss", anchor, negative)
    if not margin > 0:
        raise ValueError(f"triplet_margin_loss needs a margin above 0, got {margin}")
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = e.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(_ramp(near - far + margin), chosen(reduction, size_average, reduce))
