"""Losses of scores and probabilities against classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import DtypeError, RangeError
from tinygrad_fc.graph import record, wrap
from tinygrad_fc.nn.functional.classes import Classes, class_weights, rows
from tinygrad_fc.nn.functional.reduction import chosen, compared, floats, plain, predicted, reduced
from tinygrad_fc.ops import loss as l
from tinygrad_fc.ops.activation import softplus

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the negative logarithm (in nats) of the target class's softmax.

    `input` holds scores, (N, C), (C,) or (N, C, ...), `target` class indices, (N,), () or
    (N, ...), or probabilities of the input's shape. Each class counts by its `weight` (C,), by
    which a mean is divided; samples of class `ignore_index` do not count. `label_smoothing` mixes
    that share of all classes evenly into the target (Szegedy et al., 2016). Raises `ShapeError`,
    `RangeError` for a class that is not there, `DtypeError` for classes that are no whole numbers.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.cross_entropy(tg.zeros(1, 2), tg.tensor([1]))
    tensor(0.6931)
    """
    predicted("cross_entropy", input)
    reduction = chosen(reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is a share, from 0 to 1, got {label_smoothing}")
    if input.ndim and getattr(target, "shape", None) == input.shape:
        if ignore_index >= 0:
            raise ValueError("ignore_index is one of the classes, and the target is probabilities")
        return _soft(input, target, weight, reduction, label_smoothing)
    classes = Classes("cross_entropy", input, target, weight, ignore_index)
    x, y = classes.scores, classes.indices
    if label_smoothing:
        each = l.soft_cross_entropy(x, classes.smoothed(label_smoothing))
        return classes.reduced(each, reduction, counted=True)
    if classes.all_alike and reduction != "none":
        return record(l.cross_entropy, (x, y), {"count": len(y) if reduction == "mean" else 1})
    return classes.reduced(l.cross_entropy(x, y), reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return what `cross_entropy` does of an `input` of log-probabilities, as `log_softmax` gives.

    `input` (N, C), (C,) or (N, C, ...), `target` class indices (N,), () or (N, ...); `weight`
    (C,), `ignore_index` and the errors are those of `cross_entropy`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.nll_loss(tg.tensor([[-0.5, -1.0]]), tg.tensor([1]))
    tensor(1.)
    """
    reduction = chosen(reduction, size_average, reduce)
    classes = Classes("nll_loss", input, target, weight, ignore_index)
    each = -classes.scores[np.arange(len(classes.indices)), classes.indices]
    return classes.reduced(each, reduction)


def _soft(input: Any, target: Any, weight: Any, reduction: str, smoothing: float) -> Tensor:
    if plain(target).dtype.kind != "f":
        raise DtypeError(
            f"cross_entropy: a target of the prediction's shape {input.shape} holds probabilities, "
            f"which are floats; this one is {target.dtype}. Class indices have an axis less"
        )
    if smoothing:
        count = input.shape[min(input.ndim - 1, 1)]
        target = target * (1 - smoothing) + smoothing / count
    x, y = rows(input), rows(target)
    if weight is not None:
        y = y * class_weights("cross_entropy", weight, x.shape[1])
    if reduction == "none":
        shape = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
        return l.soft_cross_entropy(x, y).reshape(shape)
    return l.soft_cross_entropy(x, y, count=x.shape[0] if reduction == "mean" else 1)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return `-target * log(input) - (1 - target) * log(1 - input)`, of probabilities (in nats).

    `input` and `target` have one shape (N, ...), to which `weight` broadcasts. Logarithms are at
    least -100, so that a certain mistake stays finite. Raises `ShapeError` where the shapes
    differ, `ValueError` for a number outside [0, 1]. `binary_cross_entropy_with_logits` keeps the
    digits that a probability near 1 has lost.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.binary_cross_entropy(tg.tensor([0.5]), tg.tensor([1.0]))
    tensor(0.6931)
    """
    compared("binary_cross_entropy", input, target)
    for what, array in (("an input", input._array), ("a target", plain(target))):
        if not ((array >= 0) & (array <= 1)).all():
            raise ValueError(
                f"binary_cross_entropy needs probabilities, from 0 to 1, and got {what} that is "
                "none: apply sigmoid, or use binary_cross_entropy_with_logits"
            )
    each = l.binary_cross_entropy(input, floats(target, input))
    each = each if weight is None else each * weight
    return reduced(each, chosen(reduction, size_average, reduce))


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return `binary_cross_entropy` of `sigmoid(input)`, to the last digits.

    `input` and `target` have one shape (N, ...), to which `weight`, of samples, and `pos_weight`,
    of the targets that are 1, broadcast. The gradient is `sigmoid(input) - target`. Raises
    `ShapeError` where the shapes differ.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.binary_cross_entropy_with_logits(tg.tensor([0.0]), tg.tensor([1.0]))
    tensor(0.6931)
    """
    compared("binary_cross_entropy_with_logits", input, target)
    target = floats(target, input)
    if pos_weight is None:
        each = l.binary_cross_entropy_with_logits(input, target)
    else:
        each = target * pos_weight * softplus(-input) + (1 - target) * softplus(input)
    each = each if weight is None else each * weight
    return reduced(each, chosen(reduction, size_average, reduce))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return class indices (...) as rows (..., num_classes) of one 1 among zeros, int64.

    `num_classes` is one more than the largest index unless given. Raises `DtypeError` for what is
    not whole numbers, `RangeError` for an index outside, `ValueError` for no classes.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.one_hot(tg.tensor([1, 0]))
    tensor([[0, 1],
            [1, 0]])
    """
    indices = plain(tensor)
    if indices.dtype.kind not in "iu":
        raise DtypeError(
            f"one_hot needs class indices, which are whole numbers, got {indices.dtype}"
        )
    if num_classes == -1:
        num_classes = int(indices.max(initial=-1)) + 1
    if num_classes < 1:
        raise ValueError(f"one_hot cannot tell classes apart where there are {num_classes}")
    if indices.size and not 0 <= indices.min() <= indices.max() < num_classes:
        raise RangeError(f"one_hot: an index lies outside 0 to {num_classes - 1}, the classes")
    return wrap((indices[..., None] == np.arange(num_classes)).astype(np.int64))
