"""Linear, bilinear and embedding functions, one_hot and pad."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import DtypeError, RangeError, ShapeError
from tinygrad_fc.functional.arguments import check_argument, unchecked_array
from tinygrad_fc.functional.creation import full
from tinygrad_fc.functional.linalg import einsum, linear
from tinygrad_fc.functional.shape import cat
from tinygrad_fc.graph import mutation_lock, record_change, wrap
from tinygrad_fc.ops import elementwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor

__all__ = ["bilinear", "embedding", "linear", "one_hot", "pad"]


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `input1 @ weight[o] @ input2 + bias[o]` for each output `o`.

    `input1` (..., A), `input2` (..., B), `weight` (O, A, B) and `bias` (O,) give a result (..., O).
    Raises `ShapeError` for other shapes; the batch axes (...) of both inputs must be equal.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.bilinear(tg.ones(4, 2), tg.ones(4, 3), tg.ones(5, 2, 3)).shape
    (4, 5)
    """
    if weight.ndim != 3 or input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(
            f"bilinear: the inputs have shapes {input1.shape} and {input2.shape} and the weight "
            f"{weight.shape}, expected (..., A), (..., B) and (O, A, B). Match the batch axes"
        )
    out = einsum("...a,oab,...b->...o", input1, weight, input2)
    return out if bias is None else out + bias


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
) -> Tensor:
    """Return `weight[input]` (..., D): rows of `weight` (V, D), for integer indices `input` (...).

    The row `padding_idx` gets no gradient. Rows whose `norm_type`-norm exceeds `max_norm` are first
    scaled down to it, in place. The gradient is dense. Raises `RangeError` for an index outside 0
    to V - 1, `DtypeError` for indices that are not integers.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.embedding(tg.tensor([1, 1]), tg.tensor([[1.0], [2.0]]))
    tensor([[2.],
            [2.]])
    """
    indices = unchecked_array(input)
    _check_integers("embedding", indices)
    count = weight.shape[0]
    _check_range("embedding", indices, count, "num_embeddings")
    if max_norm is not None:
        _clip_rows(weight._array, np.unique(indices), max_norm, norm_type)
    out = weight[indices]
    if padding_idx is None:
        return out
    padding = indices == padding_row(padding_idx, count)
    return elementwise.where(padding[..., None], out.detach(), out)


def _check_integers(function: str, indices: Any) -> None:
    if indices.dtype.kind not in "iu":
        raise DtypeError(
            f"{function}: the indices are {indices.dtype}, expected integers. Write x.long()"
        )


def _check_range(function: str, indices: Any, count: int, setting: str) -> None:
    if indices.size and not 0 <= indices.min() <= indices.max() < count:
        raise RangeError(
            f"{function}: the indices are {indices.min()} to {indices.max()}, expected 0 to "
            f"{count - 1}. Number them from 0, or raise {setting}"
        )


def padding_row(padding_idx: int, count: int) -> int:
    """Return `padding_idx` counted from the front; raise `RangeError` outside -count to count-1."""
    if not -count <= padding_idx < count:
        raise RangeError(
            f"embedding: padding_idx is {padding_idx}, expected {-count} to {count - 1}. Pass "
            "the index of a row of weight"
        )
    return padding_idx % count


def _clip_rows(weight: Any, rows: Any, max_norm: float, norm_type: float) -> None:
    lengths = np.linalg.norm(weight[rows], norm_type, axis=1, keepdims=True)
    long = lengths[:, 0] > max_norm
    with mutation_lock:  # no backward pass ends between a change and its record
        # PyTorch's epsilon, which leaves a row slightly shorter than max_norm.
        weight[rows[long]] *= max_norm / (lengths[long] + 1e-7)
        record_change(weight)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return class indices of shape (...) as one-hot vectors (..., num_classes), int64.

    `num_classes=-1` is the largest index plus 1. Raises `DtypeError` for indices that are not
    integers, `RangeError` for one outside [0, num_classes), `ValueError` for `num_classes` below 1.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.one_hot(tg.tensor([1, 0]))
    tensor([[0, 1],
            [1, 0]])
    """
    indices = unchecked_array(tensor)
    _check_integers("one_hot", indices)
    if num_classes == -1:
        num_classes = int(indices.max(initial=-1)) + 1
    check_argument(num_classes >= 1, "one_hot", "at least 1", num_classes=num_classes)
    _check_range("one_hot", indices, num_classes, "num_classes")
    return wrap((indices[..., None] == np.arange(num_classes)).astype(np.int64))


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Return `input` padded at both ends of its last axes; negative widths remove elements.

    `pad` is (before, after) of the last axis, then of the one before it, and so on. `mode` is
    `"constant"`, which adds `value` (0), `"reflect"`, `"replicate"` or `"circular"`, which repeat
    the input. Raises `ShapeError` for an odd number of widths, more than two per axis, or a width
    too large for the mode; `ValueError` for an unknown mode.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.pad(tg.tensor([1.0, 2.0]), (1, 2))
    tensor([0., 1., 2., 0., 0.])
    """
    modes: dict[str, Any] = {"replicate": "edge", "circular": "wrap"}  # NumPy's names
    known = ("constant", "reflect", *modes)
    check_argument(mode in known, "pad", known, mode=mode)
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ShapeError(
            f"pad: pad is {tuple(pad)} for an input of shape {input.shape}, expected two widths "
            "per axis, the last axis first. Pass (before, after, ...)"
        )
    x = input
    for axis, widths in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        rest = (slice(None),) * (axis - 1)
        before, after = (max(-n, 0) for n in widths)
        x = x[(..., slice(before, max(x.shape[-axis] - after, before)), *rest)]
        before, after = (max(n, 0) for n in widths)
        size = x.shape[-axis]
        if mode == "constant":
            ends = ((*x.shape[:-axis], n, *x.shape[x.ndim - axis + 1 :]) for n in (before, after))
            left, right = (full(shape, value or 0, dtype=x.dtype) for shape in ends)
            x = cat([left, x, right], -axis)
        elif max(before, after) > {"reflect": size - 1, "circular": size}.get(mode, math.inf):
            raise ShapeError(
                f"pad: {widths} values are added to axis -{axis} of size {size}, expected at most "
                f"{size - (mode == 'reflect')} for mode {mode!r}. Use mode='replicate'"
            )
        else:
            x = x[
                (..., np.pad(np.arange(size), (before, after), mode=modes.get(mode, mode)), *rest)
            ]
    return x
