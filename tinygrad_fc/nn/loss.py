"""Losses as modules: each calls its function of `nn.functional`, which has the formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn.activation import FromFunction

if TYPE_CHECKING:
    from tinygrad_fc.tensors import Tensor

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CosineEmbeddingLoss", "CosineSimilarity", "CrossEntropyLoss",
    "GaussianNLLLoss", "HingeEmbeddingLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss",
    "MarginRankingLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss", "NLLLoss",
    "PairwiseDistance", "PoissonNLLLoss", "SmoothL1Loss", "SoftMarginLoss", "TripletMarginLoss",
]  # fmt: skip


class _Reduced(FromFunction):
    reduction: str = "mean"


class _Weighted(FromFunction, tensors=("weight",)):
    weight: Tensor | None = None
    reduction: str = "mean"


class MSELoss(_Reduced, function=F.mse_loss):
    """Mean squared error; with "batchmean", the squared errors of a sample are summed."""


class L1Loss(_Reduced, function=F.l1_loss):
    """Mean absolute error."""


class SmoothL1Loss(_Reduced, function=F.smooth_l1_loss):
    """Squared error below `beta`, absolute error above: Huber loss / `beta`."""

    beta: float = 1.0


class HuberLoss(_Reduced, function=F.huber_loss):
    """Squared error up to `delta`, absolute error times `delta` above."""

    delta: float = 1.0


class CrossEntropyLoss(FromFunction, function=F.cross_entropy, tensors=("weight",)):
    """Cross entropy of logits and classes, for classification."""

    weight: Tensor | None = None
    ignore_index: int = -100
    reduction: str = "mean"
    label_smoothing: float = 0.0


class NLLLoss(FromFunction, function=F.nll_loss, tensors=("weight",)):
    """Negative log-likelihood of classes."""

    weight: Tensor | None = None
    ignore_index: int = -100
    reduction: str = "mean"


class BCELoss(_Weighted, function=F.binary_cross_entropy):
    """Binary cross entropy of probabilities."""


class BCEWithLogitsLoss(
    _Weighted, function=F.binary_cross_entropy_with_logits, tensors=("pos_weight",)
):
    """Binary cross entropy of logits."""

    pos_weight: Tensor | None = None


class KLDivLoss(_Reduced, function=F.kl_div):
    """Kullback-Leibler divergence."""

    log_target: bool = False


class PoissonNLLLoss(FromFunction, function=F.poisson_nll_loss):
    """Negative log-likelihood of counts."""

    log_input: bool = True
    full: bool = False
    eps: float = 1e-8
    reduction: str = "mean"


class GaussianNLLLoss(FromFunction, function=F.gaussian_nll_loss):
    """Negative log-likelihood of normally distributed targets."""

    full: bool = False
    eps: float = 1e-6
    reduction: str = "mean"


class HingeEmbeddingLoss(FromFunction, function=F.hinge_embedding_loss):
    """Hinge loss of distances."""

    margin: float = 1.0
    reduction: str = "mean"


class MarginRankingLoss(FromFunction, function=F.margin_ranking_loss):
    """Margin loss for ranking two scores."""

    margin: float = 0.0
    reduction: str = "mean"


class SoftMarginLoss(_Reduced, function=F.soft_margin_loss):
    """Logistic loss of labels 1 and -1."""


class MultiLabelSoftMarginLoss(_Weighted, function=F.multilabel_soft_margin_loss):
    """Binary cross entropy averaged over labels."""


class CosineEmbeddingLoss(FromFunction, function=F.cosine_embedding_loss):
    """Hinge loss of cosine similarities."""

    margin: float = 0.0
    reduction: str = "mean"


class MultiMarginLoss(FromFunction, function=F.multi_margin_loss, tensors=("weight",)):
    """Multi-class hinge loss."""

    p: int = 1
    margin: float = 1.0
    weight: Tensor | None = None
    reduction: str = "mean"


class TripletMarginLoss(FromFunction, function=F.triplet_margin_loss):
    """Hinge loss of the distances in triplets."""

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False
    reduction: str = "mean"


class CosineSimilarity(FromFunction, function=F.cosine_similarity):
    """Cosine of the angle between vectors."""

    dim: int = 1
    eps: float = 1e-8


class PairwiseDistance(FromFunction, function=F.pairwise_distance):
    """Distance between vectors."""

    p: float = 2.0
    eps: float = 1e-6
    keepdim: bool = False
