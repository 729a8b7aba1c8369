"""Losses with a margin, and the distances and similarities that they compare."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.functional.linalg import vector_norm
from tinygrad_fc.nn.functional.checks import (
    check_shapes,
    float_target,
    reduced,
    require,
    to_array,
)
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops.activation import softplus

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

__all__ = [
    "cosine_embedding_loss", "cosine_similarity", "hinge_embedding_loss", "margin_ranking_loss",
    "normalize", "pairwise_distance", "soft_margin_loss", "triplet_margin_loss",
]  # fmt: skip

# Distances


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Return `input / max(|input|_p, eps)`, with the p-norm along `dim`.

    The result has the shape of `input`, and norm 1 along `dim`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.normalize(tg.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    return input / e.clip(vector_norm(input, p, dim, keepdim=True), eps, math.inf)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along `dim`, norms clamped to at least `eps`.

    `x1` and `x2` have shape (N, D), or shapes that broadcast; the result (N,) is in [-1, 1].

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.cosine_similarity(tg.tensor([[1.0, 0.0]]), tg.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    return (normalize(x1, 2, dim, eps) * normalize(x2, 2, dim, eps)).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Return the p-norm of `x1 - x2 + eps` along the last axis.

    `x1` and `x2` have shape (N, D), or shapes that broadcast; the result has shape (N,), or (N, 1)
    with `keepdim`. `eps` keeps the derivative finite where both are equal.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.pairwise_distance(tg.tensor([[3.0, 4.0]]), tg.zeros(1, 2))
    tensor([5.])
    """
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


# Losses


def _hinge(x: Any) -> Any:
    # As PyTorch's clamp(min=0): the derivative at 0 is 1, while that of relu is 0.
    return e.clip(x, 0, math.inf)


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
    check_shapes("hinge_embedding_loss", input, target)
    sign = to_array(target)
    losses = e.where(sign != 1, _hinge(margin - input), 0) + e.where(sign != -1, input, 0)
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
    check_shapes("margin_ranking_loss", input1, input2)
    check_shapes("margin_ranking_loss", input1, target)
    losses = _hinge(float_target(target, input1) * (input2 - input1) + margin)
    return reduced(losses, reduction)


def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return `log(1 + exp(-target * input))`, reduced, for targets of 1 and -1.

    `input` and `target` have the same shape (N, ...). Raises `ShapeError` if shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.soft_margin_loss(tg.tensor([0.0]), tg.tensor([1.0]))
    tensor(0.6931)
    """
    check_shapes("soft_margin_loss", input, target)
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
    check_shapes("cosine_embedding_loss", input1, input2)
    sign = to_array(target)
    if input1.ndim not in (1, 2) or sign.shape != input1.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss: the inputs have shape {input1.shape} and target "
            f"{sign.shape}, expected (N, D) and (N,), or (D,) and (). Reshape the target"
        )
    # PyTorch's epsilon, for vectors of zeros.
    square1, square2 = ((x * x).sum(-1) + 1e-12 for x in (input1, input2))
    cosine = (input1 * input2).sum(-1) / e.sqrt(square1 * square2)
    losses = e.where(sign == 1, 1 - cosine, 0) + e.where(sign == -1, _hinge(cosine - margin), 0)
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
    check_shapes("triplet_margin_loss", anchor, positive)
    check_shapes("triplet_margin_loss", anchor, negative)
    require(margin > 0, "triplet_margin_loss", "more than 0", margin=margin)
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = e.minimum(far, pairwise_distance(positive, negative, p, eps))
    losses = _hinge(near - far + margin)
    return reduced(losses, reduction)
