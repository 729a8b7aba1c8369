"""Checks of arguments, inputs and targets, and the reduction of elementwise losses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.device import refuse_lazy
from tinygrad_fc.errors import DtypeError, ShapeError
from tinygrad_fc.graph import Node
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import reduce as r

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

REDUCTIONS = ("mean", "sum", "none")
BATCH_REDUCTIONS = (*REDUCTIONS, "batchmean")


def require(
    condition: bool, function: str, expected: str | tuple[str, ...], **argument: Any
) -> None:
    """Raise `ValueError` unless `condition`; `expected` is a phrase or a tuple of choices."""
    if not condition:
        ((name, value),) = argument.items()
        if isinstance(expected, tuple):
            expected = f"one of {', '.join(expected)}"
        raise ValueError(f"{function}: {name} is {value!r}, expected {expected}")


def check_prediction(loss: str, input: Any) -> None:
    """Raise `DtypeError` if the input of a loss is not a tensor."""
    if not isinstance(input, Node):
        refuse_lazy(input, loss)
        raise DtypeError(
            f"{loss}: input is a {type(input).__name__}, expected a tensor. Convert it: "
            "tensor(input)"
        )


def check_shapes(loss: str, input: Any, target: Any) -> None:
    """Raise `ShapeError` if input and target differ in shape: losses do not broadcast."""
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
    missing = np.isnan(to_array(target))
    if missing.any():
        indices = np.argwhere(missing)
        raise ValueError(
            f"{loss}: target is NaN at index {tuple(map(int, indices[0]))} (in {len(indices)} of "
            f"{missing.size} places), expected numbers. Remove or impute these samples"
        )


def float_target(target: Any, input: Tensor) -> Any:
    """Return `target`; integers and booleans are cast to the dtype of `input`."""
    array = target._array if isinstance(target, Node) else target
    return target if array.dtype.kind == "f" else array.astype(input._array.dtype)


def to_array(values: Any) -> Any:
    """Return the array of a tensor, or `values` as an array."""
    if isinstance(values, Node):
        return values._array
    refuse_lazy(values, "an index or target")
    return np.asarray(values)


def reduced(losses: Tensor, reduction: str, known: tuple[str, ...] = REDUCTIONS) -> Tensor:
    """Return the mean or the sum of elementwise losses, or the losses unchanged for `"none"`.

    Raises `ValueError` for a reduction that is not in `known`.
    """
    require(reduction in known, "loss", known, reduction=reduction)
    if reduction == "mean":
        return r.mean(losses)
    if reduction == "batchmean":
        return e.divide(r.sum_(losses), losses.shape[0] if losses.ndim else 1)
    return r.sum_(losses) if reduction == "sum" else losses


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
