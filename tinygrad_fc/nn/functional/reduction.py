"""What the losses share: the comparison of shapes, and what becomes of the elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import DtypeError, ShapeError, evidence
from tinygrad_fc.graph import Node
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import reduce as r

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

REDUCTIONS = ("mean", "sum", "none")
BATCHED = (*REDUCTIONS, "batchmean")


def predicted(loss: str, input: Any) -> None:
    """Raise `DtypeError` where the prediction of a loss is no tensor."""
    if not isinstance(input, Node):
        raise DtypeError(
            f"{loss} needs the prediction as a tensor, got {type(input).__name__}: tensor(...) "
            "makes one"
        )


def compared(loss: str, input: Any, target: Any) -> None:
    """Raise where the prediction and the target of a loss are not of one shape.

    Raises `ShapeError` with both shapes and the fix, `DtypeError` for what is no tensor.
    """
    predicted(loss, input)
    shape = input._array.shape
    other = target._array.shape if isinstance(target, Node) else getattr(target, "shape", None)
    if shape == other:
        return
    if other is None:
        raise DtypeError(
            f"{loss} needs the target as a tensor or array, got {type(target).__name__}: "
            "tensor(...) makes one"
        )
    raise ShapeError(f"{loss}: {_mismatch(shape, other)}")


def _mismatch(shape: tuple[int, ...], other: tuple[int, ...]) -> str:
    told = f"the prediction has shape {shape} and the target {other}"
    try:
        both = np.broadcast_shapes(shape, other)
    except ValueError:
        both = None
    effect = (
        f"broadcasting would compare {both}, every one with every other"
        if both is not None
        else "they do not broadcast either"
    )
    if np.prod(shape) == np.prod(other):
        return f"{told}; {effect}. Give the target the prediction's shape: target.reshape({shape})"
    return (
        f"{told}; {effect}. There must be one target for each prediction: look at the last "
        "layer's width and at the batch"
    )


def measured(loss: str, target: Any) -> None:
    """Raise `ValueError` where a target is not a number: no prediction would be right."""
    missing = np.isnan(plain(target))
    if missing.any():
        places = np.argwhere(evidence(missing))
        at = tuple(int(k) for k in places[0])
        raise ValueError(
            f"{loss}: the target is NaN at index {at} ({len(places)} of {missing.size} "
            "are), and so would be the loss and every gradient; expected numbers. Drop those "
            "samples, or fill them in, before training"
        )


def floats(target: Any, input: Tensor) -> Any:
    """Return whole numbers and truth values as floats of the prediction's dtype."""
    array = target._array if isinstance(target, Node) else target
    return target if array.dtype.kind == "f" else array.astype(input._array.dtype)


def plain(values: Any) -> Any:
    """Return the array of a tensor, an array as it is."""
    return values._array if isinstance(values, Node) else np.asarray(values)


def chosen(
    reduction: str,
    size_average: bool | None = None,
    reduce: bool | None = None,
    known: tuple[str, ...] = REDUCTIONS,
) -> str:
    """Return the reduction that is meant, by PyTorch's old arguments where one of them is given.

    Raises `ValueError` for one that is not `known`.
    """
    if reduce is not None or size_average is not None:
        averaged = size_average is None or size_average
        return "none" if reduce is False else "mean" if averaged else "sum"
    if reduction not in known:
        raise ValueError(f"reduction is one of {', '.join(known)}, got {reduction!r}")
    return reduction


def reduced(each: Tensor, reduction: str) -> Tensor:
    """Return the mean or sum of the losses of `each` element, or them as they are."""
    if reduction == "mean":
        return r.mean(each)
    if reduction == "batchmean":
        return e.divide(r.sum_(each), each.shape[0] if each.ndim else 1)
    return r.sum_(each) if reduction == "sum" else each


def weighted(each: Tensor, weight: Any, reduction: str) -> Tensor:
    """Return what `reduced` does of losses times `weight`, of one shape; a mean is weighted too."""
    if weight is None:
        return reduced(each, reduction)
    if weight.shape != each.shape:
        raise ShapeError(
            f"there must be a weight for each loss: the losses have shape {each.shape}, and the "
            f"weights {tuple(weight.shape)}"
        )
    each = each * weight
    return each.sum() / weight.sum() if reduction == "mean" else reduced(each, reduction)
