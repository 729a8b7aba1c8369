"""Classification losses, of logits or probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.device import device_of, move_to_device
from tinygrad_fc.core.dtypes import promote_types
from tinygrad_fc.core.errors import DtypeError, RangeError, ShapeError, check_argument
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import array_of, as_array
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.shape import permute
from tinygrad_fc.nn.functional.loss import (
    check_one_shape,
    check_prediction,
    float_target,
    reduced,
)
from tinygrad_fc.ops import arithmetic, elementwise
from tinygrad_fc.ops import loss as loss_ops
from tinygrad_fc.ops.activation import logsigmoid, softplus

if TYPE_CHECKING:
    from tinygrad_fc.tensors import Tensor

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy",
    "multi_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
]  # fmt: skip


class ClassificationInputs:
    """Scores (n, C), checked class indices (n,) and class weights of a classification loss."""

    def __init__(
        self, loss: str, input: Any, target: Any, weight: Any, ignore_index: int | None = None
    ) -> None:
        check_prediction(loss, input)
        indices = as_array(target)
        self.target_shape = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
        if input._array.dtype.kind != "f" and indices.dtype.kind == "f":
            raise DtypeError(
                f"{loss}: input is {input.dtype} of shape {input.shape} and target {indices.dtype} "
                f"of shape {indices.shape}, expected scores as input and classes as target. "
                f"Swap the arguments: {loss}(scores, classes)"
            )
        if not input.ndim or indices.shape != self.target_shape:
            raise ShapeError(
                _target_shape_message(loss, input.shape, indices.shape, self.target_shape)
            )
        if indices.dtype.kind not in "iu":
            raise DtypeError(
                f"{loss}: target is {indices.dtype}, expected class indices, which are integers. "
                "Write target.long(), or pass class probabilities to cross_entropy, of the shape "
                f"of the input, {input.shape}"
            )
        self.scores = as_matrix(input)
        self.indices, self.valid = indices.reshape(-1), None
        self.num_classes = self.scores.shape[1]
        outside = self._outside()
        # If all indices are valid classes and `ignore_index` is not one, no index equals it.
        if ignore_index is not None and (outside or 0 <= ignore_index < self.num_classes):
            self.valid = self.indices != ignore_index
            self.indices = np.where(self.valid, self.indices, 0)
            outside = self._outside()
        if outside:
            y = self.indices
            wrong = y[(y < 0) | (y >= self.num_classes)][0]
            raise RangeError(
                f"{loss}: a class index is {wrong}, expected 0 to {self.num_classes - 1} for an "
                f"input of shape {input.shape}. Number the classes from 0, or make the last "
                "layer wider"
            )
        self.class_weight: Any = (
            None if weight is None else class_weight(loss, weight, self.num_classes)
        )
        self.unweighted = self.class_weight is None and self.valid is None

    def _outside(self) -> bool:
        y = self.indices
        return y.size > 0 and not (y.min() >= 0 and y.max() < self.num_classes)

    @property
    def _dtype(self) -> Any:
        """The dtype of the scores, promoted to that of float weights of the classes."""
        dtype, weight = self.scores._array.dtype, self.class_weight
        return dtype if weight is None else promote_types(dtype, weight.dtype)

    def sample_weight(self) -> Any:
        """Return the sample weights (n,): the weight of the class, 0 for an ignored sample."""
        if self.class_weight is None:
            weight = move_to_device(
                np.ones(len(self.indices), like=like()), device_of(self.indices)
            )
        else:
            weight = self.class_weight[self.indices]
        weight = weight if self.valid is None else np.where(self.valid, weight, 0)
        return weight.astype(self._dtype)

    def is_class(self) -> Any:
        """Return whether each class is that of the sample, (n, C)."""
        classes = move_to_device(np.arange(self.num_classes, like=like()), device_of(self.indices))
        return self.indices[:, None] == classes

    def smoothed(self, smoothing: float) -> Any:
        """Return weighted target probabilities (n, C) with label smoothing."""
        out = self.is_class() * (1 - smoothing) + smoothing / self.num_classes
        if self.class_weight is not None:
            out = out * self.class_weight
        if self.valid is not None:
            out = out * self.valid[:, None]
        return out.astype(self._dtype)

    def reduced(self, losses: Tensor, reduction: str, *, is_weighted: bool = False) -> Tensor:
        """Return the weighted mean or sum of the losses (n,), or reshape them like the target.

        `is_weighted`: the losses contain the weights already.
        """
        if self.valid is not None:  # an ignored loss may be infinite
            losses = elementwise.where(self.valid, losses, 0)
        if not (is_weighted or self.unweighted):
            losses = losses * self.sample_weight()
        if reduction == "none":
            return losses.reshape(self.target_shape)
        if reduction == "mean" and not self.unweighted:
            return arithmetic.divide(losses.sum(), self.sample_weight().sum())
        return reduced(losses, reduction)


def _target_shape_message(loss: str, shape: Any, target: Any, expected: Any) -> str:
    shapes = f"{loss}: input has shape {shape} and target {target}"
    if not shape:
        return f"{shapes}, expected logits (N, C). Give the input an axis for the classes"
    fix = "Pass one class index per sample"
    if np.prod(target) == np.prod(expected):
        fix = f"Reshape the target: target.reshape({expected})"
    classes = shape[min(len(shape) - 1, 1)]
    return f"{shapes}, expected class indices of shape {expected} for {classes} classes. {fix}"


def as_matrix(x: Any) -> Any:
    """Return logits (C,), (N, C) or (N, C, ...) as a matrix with one column per class."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.reshape((1, -1))
    return permute(x, 0, *range(2, x.ndim), 1).reshape((-1, x.shape[1]))


def class_weight(loss: str, weight: Any, classes: int) -> Any:
    """Return the class weights as an array (C,)."""
    array = as_array(weight)
    if array.shape != (classes,):
        raise ShapeError(
            f"{loss}: weight has shape {array.shape}, expected one per class: ({classes},). "
            "Pass a vector"
        )
    return array


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return `-log(softmax(input)[target])` for logits `input`.

    `input` has shape (N, C), (C,) or (N, C, ...); `target` are class indices (N,), () or (N, ...),
    or class probabilities of the input's shape. `weight` (C,) are class weights; `"mean"` divides
    by the sum of the sample weights, or for probabilities by the number of samples. Samples of
    class `ignore_index` are ignored. `label_smoothing`, in [0, 1], is the weight of the uniform
    distribution in the target (Szegedy et al., 2016). Raises `ShapeError` for a target of another
    shape, `RangeError` for a class outside 0 to C - 1, `DtypeError` for float classes.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.cross_entropy(tg.zeros(1, 2), tg.tensor([1]))
    tensor(0.6931)
    """
    check_prediction("cross_entropy", input)
    if label_smoothing:
        valid, expected = 0 <= label_smoothing <= 1, "a fraction in [0, 1]"
        check_argument(valid, "cross_entropy", expected, label_smoothing=label_smoothing)
    if input.ndim and getattr(target, "shape", None) == input.shape:
        expected = "a negative number, since the target holds probabilities"
        check_argument(ignore_index < 0, "cross_entropy", expected, ignore_index=ignore_index)
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    classes = ClassificationInputs("cross_entropy", input, target, weight, ignore_index)
    x, y = classes.scores, classes.indices
    if label_smoothing:
        losses = loss_ops.soft_cross_entropy(x, classes.smoothed(label_smoothing))
        return classes.reduced(losses, reduction, is_weighted=True)
    if classes.unweighted and reduction in ("mean", "sum"):
        # With `count` the op returns the sum / count, without it one loss per row. `call_op` calls
        # an op without the check of its arguments, which is faster.
        return call_op(
            loss_ops.cross_entropy, (x, y), {"count": len(y) if reduction == "mean" else 1}
        )
    return classes.reduced(loss_ops.cross_entropy(x, y), reduction)


def _soft_cross_entropy(
    input: Any, target: Any, weight: Any, reduction: str, smoothing: float
) -> Tensor:
    dtype = as_array(target).dtype
    if dtype.kind != "f":
        raise DtypeError(
            f"cross_entropy: target is {dtype} of the input's shape {input.shape}, expected float "
            "probabilities. Write target.to(input.dtype), or pass class indices without that axis"
        )
    if smoothing:
        target = target * (1 - smoothing) + smoothing / input.shape[min(input.ndim - 1, 1)]
    x, y = as_matrix(input), as_matrix(target)
    if weight is not None:
        y = y * class_weight("cross_entropy", weight, x.shape[1])
    if reduction == "mean":
        return loss_ops.soft_cross_entropy(x, y, count=x.shape[0])
    shape = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    return reduced(loss_ops.soft_cross_entropy(x, y).reshape(shape), reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return `-input[target]` for log-probabilities, as `log_softmax` returns them.

    `input` (N, C), (C,) or (N, C, ...), `target` class indices (N,), () or (N, ...); `weight` (C,),
    `ignore_index` and the errors are those of `cross_entropy`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.nll_loss(tg.tensor([[-0.5, -1.0]]), tg.tensor([1]))
    tensor(1.)
    """
    classes = ClassificationInputs("nll_loss", input, target, weight, ignore_index)
    losses = -classes.scores[np.arange(len(classes.indices), like=like()), classes.indices]
    return classes.reduced(losses, reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the sum over classes `i != y` of `max(0, margin - x[y] + x[i]) ** p * weight[y] / C`.

    `input` (N, C) with class indices `target` (N,), or (C,) with (); `weight` (C,). Raises
    `ShapeError`, `DtypeError` and `RangeError` as `cross_entropy`, `ValueError` unless `p` is 1 or
    2. Crammer and Singer (2001).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.multi_margin_loss(tg.tensor([[1.0, 3.0]]), tg.tensor([0]))
    tensor(1.5)
    """
    check_argument(p in (1, 2), "multi_margin_loss", "1 or 2", p=p)
    if input.ndim > 2:
        raise ShapeError(
            f"multi_margin_loss: input has shape {input.shape}, expected logits (N, C) or "
            "(C,). Flatten the other axes"
        )
    classes = ClassificationInputs("multi_margin_loss", input, target, weight)
    x, y = classes.scores, classes.indices
    excess = elementwise.relu(margin - x[np.arange(len(y), like=like()), y][..., None] + x)
    excess = excess if p == 1 else excess * excess
    losses = elementwise.where(classes.is_class(), 0, excess).mean(-1)
    if classes.class_weight is not None:
        losses = losses * classes.class_weight[y]
    return reduced(losses.reshape(classes.target_shape), reduction)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Return `-y * log(p) - (1 - y) * log(1 - p)` for probabilities `p` and targets `y`.

    `input` and `target` have the same shape (N, ...), to which `weight` broadcasts. Logarithms are
    clamped to at least -100, so that the loss is finite. Raises `ShapeError` if the shapes differ,
    `ValueError` for a value outside [0, 1]. `binary_cross_entropy_with_logits` is more accurate.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.binary_cross_entropy(tg.tensor([0.5]), tg.tensor([1.0]))
    tensor(0.6931)
    """
    check_one_shape("binary_cross_entropy", input, target)
    for name, array in (("input", array_of(input)), ("target", as_array(target))):
        if not ((array >= 0) & (array <= 1)).all():
            raise ValueError(
                f"binary_cross_entropy: {name} has a value outside [0, 1], expected "
                "probabilities. Apply sigmoid, or use binary_cross_entropy_with_logits"
            )
    losses = loss_ops.binary_cross_entropy(input, float_target(target, input))
    losses = losses if weight is None else losses * weight
    return reduced(losses, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return `binary_cross_entropy(sigmoid(input), target)`, computed without cancellation.

    `input` and `target` have the same shape (N, ...), to which `weight` (sample weights) and
    `pos_weight` (weights of positive targets) broadcast. Without weights
    the gradient of the sum is `sigmoid(input) - target`.
    Raises `ShapeError` if the shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.binary_cross_entropy_with_logits(tg.tensor([0.0]), tg.tensor([1.0]))
    tensor(0.6931)
    """
    check_one_shape("binary_cross_entropy_with_logits", input, target)
    target = float_target(target, input)
    if pos_weight is None:
        losses = loss_ops.binary_cross_entropy_with_logits(input, target)
    else:
        losses = target * pos_weight * softplus(-input) + (1 - target) * softplus(input)
    losses = losses if weight is None else losses * weight
    return reduced(losses, reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Return the mean over classes of `binary_cross_entropy_with_logits` times `weight`.

    `input` and `target` have shape (N, C), `weight` (C,); `reduction="none"` returns (N,). Raises
    `ShapeError` if the shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.multilabel_soft_margin_loss(tg.zeros(1, 2), tg.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """
    check_one_shape("multilabel_soft_margin_loss", input, target)
    target = float_target(target, input)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    losses = losses if weight is None else losses * weight
    return reduced(losses.sum(input.ndim - 1) / input.shape[-1], reduction)
