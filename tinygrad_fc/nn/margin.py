"""Losses of a distance, a rank or a sign, content beyond a margin; and distances, as layers.

Reductions and errors are those of `nn.loss`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn.loss import Loss
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


class HingeEmbeddingLoss(Loss):
    """A distance `x` where the target is 1, and `max(0, margin - x)` where it is -1.

    Distances and targets have one shape (N, ...).

    >>> import tinygrad_fc as tg
    >>> tg.nn.HingeEmbeddingLoss()(tg.tensor([0.5, 0.25]), tg.tensor([1, -1]))
    tensor(0.625)
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(Loss):
    """`max(0, margin - y * (a - b))`: `a` is to be larger where `y` is 1, `b` where it is -1.

    All have one shape (N,).

    >>> import tinygrad_fc as tg
    >>> tg.nn.MarginRankingLoss()(tg.tensor([1.0]), tg.tensor([3.0]), tg.tensor([1]))
    tensor(2.)
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class SoftMarginLoss(Loss):
    """`log(1 + exp(-y * x))` for targets `y` of 1 and -1, of one shape (N, ...).

    >>> import tinygrad_fc as tg
    >>> tg.nn.SoftMarginLoss()(tg.tensor([0.0]), tg.tensor([1.0]))
    tensor(0.6931)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(Loss):
    """`BCEWithLogitsLoss` averaged over the classes, which `weight` (C,) weighs: any may be true.

    Scores and targets (N, C).

    >>> import tinygrad_fc as tg
    >>> tg.nn.MultiLabelSoftMarginLoss()(tg.zeros(1, 2), tg.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction, weight=weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class CosineEmbeddingLoss(Loss):
    """`1 - cos` of two vectors' angle where the target is 1, `max(0, cos - margin)` where it is -1.

    Vectors (N, D) and targets (N,), or (D,) and ().

    >>> import tinygrad_fc as tg
    >>> a, b = tg.tensor([[1.0, 0.0]]), tg.tensor([[0.0, 1.0]])
    >>> tg.nn.CosineEmbeddingLoss()(a, b, tg.tensor([1]))
    tensor(1.)
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(
            input1, input2, target, self.margin, reduction=self.reduction
        )


class MultiMarginLoss(Loss):
    """The mean over classes of `max(0, margin - x[y] + x[i]) ** p`, times `weight[y]`.

    Scores (N, C) and class indices (N,), or (C,) and (); `weight` (C,); the own class counts as 0.
    Raises `ValueError` unless `p` is 1 or 2, when called. Crammer and Singer (2001).

    >>> import tinygrad_fc as tg
    >>> tg.nn.MultiMarginLoss()(tg.tensor([[1.0, 3.0]]), tg.tensor([0]))
    tensor(1.5)
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction, weight=weight)
        self.p, self.margin = p, margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(
            input, target, self.p, self.margin, self.weight, reduction=self.reduction
        )


class TripletMarginLoss(Loss):
    """`max(0, margin + |a - b| - |a - c|)` of anchors `a`, their kin `b` and others `c`.

    All are (N, D). Distances are those of `PairwiseDistance`; `swap` lets `b` be the anchor where
    it is nearer to `c` (Balntas et al., 2016).

    >>> import tinygrad_fc as tg
    >>> a, b = tg.zeros(1, 2), tg.tensor([[3.0, 4.0]])
    >>> tg.nn.TripletMarginLoss()(a, b, a)
    tensor(6.)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            self.margin,
            self.p,
            self.eps,
            self.swap,
            reduction=self.reduction,
        )


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along `dim`, whose lengths count as at least `eps`.

    (N, D) and (N, D) give (N,), in [-1, 1].

    >>> import tinygrad_fc as tg
    >>> tg.nn.CosineSimilarity()(tg.tensor([[1.0, 0.0]]), tg.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of `x1 - x2 + eps` along the last axis: (N, D) and (N, D) give (N,).

    >>> import tinygrad_fc as tg
    >>> tg.nn.PairwiseDistance()(tg.tensor([[3.0, 4.0]]), tg.zeros(1, 2))
    tensor([5.])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
