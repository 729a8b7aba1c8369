"""Class indices as a target: what the losses that take them share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import DtypeError, RangeError, ShapeError, evidence
from tinygrad_fc.functional.shape import permute
from tinygrad_fc.nn.functional.reduction import plain, predicted, reduced
from tinygrad_fc.ops import elementwise as e

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


class Classes:
    """Class indices, one for each row of a matrix of scores, and how much each of them counts."""

    def __init__(
        self, loss: str, input: Any, target: Any, weight: Any, ignored: int | None = None
    ) -> None:
        predicted(loss, input)
        indices = plain(target)
        wanted = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
        if not input.ndim or indices.shape != wanted:
            raise ShapeError(_no_classes(loss, input.shape, indices.shape, wanted))
        if indices.dtype.kind not in "iu":
            raise DtypeError(
                f"{loss} needs class indices, which are whole numbers, got {indices.dtype}: write "
                f"target.long(); probabilities have the shape of the prediction, {input.shape}"
            )
        self.shape, self.scores = wanted, rows(input)
        self.indices, self.kept = indices.reshape(-1), None
        self.count = self.scores.shape[1]
        outside = self._outside()
        if ignored is not None and (outside or 0 <= ignored < self.count):
            self.kept = self.indices != ignored
            self.indices = np.where(self.kept, self.indices, 0)
            outside = self._outside()
        if outside:
            y = evidence(self.indices)
            wrong = y[(y < 0) | (y >= self.count)][0]
            raise RangeError(
                f"{loss}: a class index lies outside 0 to {self.count - 1}, the classes of a "
                f"prediction of shape {input.shape}: it is {wrong}"
            )
        self.weight = None if weight is None else class_weights(loss, weight, self.count)
        self.all_alike = self.weight is None and self.kept is None

    def _outside(self) -> bool:
        y = self.indices
        return y.size > 0 and not (np.minimum.reduce(y) >= 0 and np.maximum.reduce(y) < self.count)

    @property
    def counting(self) -> Any:
        """How much each sample counts."""
        each = np.ones(len(self.indices)) if self.weight is None else self.weight[self.indices]
        counting = each if self.kept is None else np.where(self.kept, each, 0)
        return counting.astype(self.scores._array.dtype)

    def smoothed(self, share: float) -> Any:
        """Return how much each class of each sample counts, where all classes have a `share`."""
        among = np.ones(self.count) if self.weight is None else self.weight
        kept = np.ones(len(self.indices)) if self.kept is None else self.kept
        out = np.outer(kept, among * (share / self.count))
        out[np.arange(len(out)), self.indices] += self.counting * (1 - share)
        return out.astype(self.scores._array.dtype)

    def reduced(self, each: Tensor, reduction: str, *, counted: bool = False) -> Tensor:
        """Return the mean, by how much samples count, or the sum, or each of the losses."""
        if self.kept is not None:  # what is ignored may be infinite
            each = e.where(self.kept, each, 0)
        if not (counted or self.all_alike):
            each = each * self.counting
        if reduction == "mean" and not self.all_alike:
            return e.divide(each.sum(), self.counting.sum())
        return reduced(each if reduction != "none" else each.reshape(self.shape), reduction)


def _no_classes(loss: str, shape: Any, given: Any, wanted: Any) -> str:
    told = f"{loss}: the prediction has shape {shape} and the target {given}"
    if not shape:
        return f"{told}. Scores have an axis for the classes: (N, C)"
    fix = f"give the target that shape: target.reshape({wanted})"
    if np.prod(given) != np.prod(wanted):
        fix = "there must be one target for each sample"
    return (
        f"{told}; for {shape[min(len(shape) - 1, 1)]} classes, indices have shape {wanted}: {fix}"
    )


def rows(x: Any) -> Any:
    """Return scores (C,), (N, C) or (N, C, ...) as a matrix with a column a class."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.reshape((1, -1))
    return permute(x, 0, *range(2, x.ndim), 1).reshape((-1, x.shape[1]))


def class_weights(loss: str, weight: Any, count: int) -> Any:
    """Return the weights of classes as an array, (C,)."""
    array = plain(weight)
    if array.shape != (count,):
        raise ShapeError(
            f"{loss} needs a weight for each of the {count} classes, of shape ({count},), got "
            f"{array.shape}"
        )
    return array
