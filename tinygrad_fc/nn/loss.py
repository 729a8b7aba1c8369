"""Losses as layers; each is a function of `nn.functional` with its settings kept.

`reduction` is `"mean"` over all losses, `"sum"` or `"none"`; `size_average` and `reduce` are what
PyTorch had before it, and override it. All raise `ValueError` for another reduction, and
`ShapeError`, with both shapes and the fix, where a target has not the shape of the prediction: none
broadcasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.graph import Node
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn.functional.reduction import BATCHED, REDUCTIONS, chosen
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


class Loss(Module):
    """What losses share: a reduction, and weights that are saved but not learned."""

    reductions: tuple[str, ...] = REDUCTIONS
    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        size_average: Any = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **weights: Any,
    ) -> None:
        super().__init__()
        if isinstance(size_average, Node):
            name = type(self).__name__
            raise TypeError(
                f"{name}(...) takes settings, got a tensor: make the loss, then call it, as in "
                f"nn.{name}()(prediction, target)"
            )
        self.reduction = chosen(reduction, size_average, reduce, self.reductions)
        for name, value in weights.items():
            self.register_buffer(name, value)


class MSELoss(Loss):
    """The squared distance of prediction and target, of one shape (N, ...).

    `reduction` is `"mean"` over all elements, `"sum"`, `"none"`, or `"batchmean"`: summed over the
    outputs and averaged over the batch, which is formula (6). Raises `ValueError` for another
    one, `ShapeError` when called with shapes that differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.MSELoss()(tg.tensor([1.0, 3.0]), tg.tensor([0.0, 0.0]))
    tensor(5.)
    """

    reductions = BATCHED

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """The absolute difference of prediction and target, of one shape (N, ...).

    >>> import tinygrad_fc as tg
    >>> tg.nn.L1Loss()(tg.tensor([1.0, -3.0]), tg.zeros(2))
    tensor(2.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """`d * d / (2 * beta)` for differences `d` below `beta`, `|d| - beta / 2` above.

    Prediction and target have one shape (N, ...). Raises `ValueError` for a negative `beta`, when
    called. Girshick (2015).

    >>> import tinygrad_fc as tg
    >>> tg.nn.SmoothL1Loss(reduction="none")(tg.tensor([0.5, 3.0]), tg.zeros(2))
    tensor([0.125, 2.5  ])
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """`d * d / 2` for differences `d` up to `delta`, `delta * (|d| - delta / 2)` above.

    Prediction and target have one shape (N, ...). Raises `ValueError` unless `delta` is positive,
    when called. Huber (1964).

    >>> import tinygrad_fc as tg
    >>> tg.nn.HuberLoss(reduction="sum")(tg.tensor([0.5, 3.0]), tg.zeros(2))
    tensor(2.625)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, self.reduction, self.delta)


class CrossEntropyLoss(Loss):
    """The negative logarithm (in nats) of the target class's softmax: classification.

    Scores (N, C), (C,) or (N, C, ...), without a softmax, and class indices (N,), () or (N, ...),
    or probabilities of the scores' shape. `weight` (C,) weighs the classes, `ignore_index` is one
    that does not count, `label_smoothing` mixes that share of all classes into the target. Raises
    `RangeError` for a class that is not there.

    >>> import tinygrad_fc as tg
    >>> tg.nn.CrossEntropyLoss()(tg.zeros(1, 2), tg.tensor([1]))
    tensor(0.6931)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction, weight=weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(Loss):
    """What `CrossEntropyLoss` does with log-probabilities (N, C), as `LogSoftmax` gives them.

    >>> import tinygrad_fc as tg
    >>> tg.nn.NLLLoss()(tg.tensor([[-0.5, -1.0]]), tg.tensor([1]))
    tensor(1.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction, weight=weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class BCELoss(Loss):
    """`-y * log(p) - (1 - y) * log(1 - p)` (in nats) of probabilities `p` and targets `y`.

    Both have one shape (N, ...), to which `weight` broadcasts. A logarithm is at least -100. Raises
    `ValueError` for a `p` outside [0, 1]. `BCEWithLogitsLoss` is more accurate.

    >>> import tinygrad_fc as tg
    >>> tg.nn.BCELoss()(tg.tensor([0.5]), tg.tensor([1.0]))
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
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """`BCELoss` of `sigmoid(x)`, to the last digits: the loss for yes or no.

    Scores and targets have one shape (N, ...); `weight`, of samples, and `pos_weight`, of the
    targets that are 1, broadcast to it.

    >>> import tinygrad_fc as tg
    >>> tg.nn.BCEWithLogitsLoss()(tg.tensor([0.0]), tg.tensor([1.0]))
    tensor(0.6931)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction, weight=weight, pos_weight=pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(Loss):
    """`y * (log(y) - x)` of log-probabilities `x` and probabilities `y`, of one shape (N, ...).

    `reduction="batchmean"` averages the divergence over the batch; with `log_target` the target
    holds log-probabilities too. Kullback and Leibler (1951).

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([[0.5, 0.5]]).log()
    >>> tg.nn.KLDivLoss(reduction="batchmean")(x, tg.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """

    reductions = BATCHED

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(Loss):
    """`exp(x) - y * x`: what counts `y` cost whose logarithmic rate is `x`, of one shape (N, ...).

    With `log_input=False` the rate, `x - y * log(x + eps)`; `full` adds what does not depend on it.

    >>> import tinygrad_fc as tg
    >>> tg.nn.PoissonNLLLoss()(tg.tensor([0.0]), tg.tensor([3.0]))
    tensor(1.)
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(Loss):
    """`(log(var) + (x - y)**2 / var) / 2` of means `x` and targets `y`, of one shape (N, ...).

    `var` has that shape, or 1 for one of its sizes; it counts as at least `eps`. `full` adds
    `log(2 pi) / 2`. Raises `ValueError` for a negative variance. Nix and Weigend (1994).

    >>> import tinygrad_fc as tg
    >>> tg.nn.GaussianNLLLoss()(tg.tensor([2.0]), tg.tensor([0.0]), tg.ones(1))
    tensor(2.)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)
