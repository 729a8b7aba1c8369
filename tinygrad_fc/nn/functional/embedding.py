"""Rows by their number, and products of two inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import DtypeError, RangeError, ShapeError
from tinygrad_fc.functional.linalg import einsum
from tinygrad_fc.graph import changed
from tinygrad_fc.nn.functional.reduction import plain
from tinygrad_fc.ops import elementwise as e

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of `weight` (V, D) that the whole numbers `input` (...) name, (..., D).

    The row `padding_idx` gets no gradient. Rows that are used and whose `norm_type`-norm is above
    `max_norm` are first scaled down to it, in place. Raises `RangeError` for a row that is not
    there, `DtypeError` for an input that is not whole numbers, `ValueError` for
    `scale_grad_by_freq` or `sparse`, which are not here.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.embedding(tg.tensor([1, 1]), tg.tensor([[1.0], [2.0]]))
    tensor([[2.],
            [2.]])
    """
    if scale_grad_by_freq or sparse:
        raise ValueError("embedding has neither scale_grad_by_freq nor sparse gradients")
    rows = plain(input)
    if rows.dtype.kind not in "iu":
        raise DtypeError(f"embedding needs row numbers, which are whole, got {rows.dtype}")
    count = weight.shape[0]
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise RangeError(
            f"embedding: {rows.min()} to {rows.max()} are asked for, of {count} rows numbered 0 to "
            f"{count - 1}"
        )
    if max_norm is not None:
        _renormed(weight._array, np.unique(rows), max_norm, norm_type)
    out = weight[rows]
    if padding_idx is None:
        return out
    return e.where((rows == padding_row(padding_idx, count))[..., None], out.detach(), out)


def padding_row(padding_idx: int, count: int) -> int:
    """Return which row is meant; raises `RangeError` where there is none."""
    if not -count <= padding_idx < count:
        raise RangeError(f"padding_idx {padding_idx} is none of the {count} rows")
    return padding_idx % count


def _renormed(weight: Any, used: Any, most: float, norm_type: float) -> None:
    lengths = np.linalg.norm(weight[used], norm_type, axis=1, keepdims=True)
    long = lengths[:, 0] > most
    # PyTorch's guard, which leaves a row a little shorter than it may be.
    weight[used[long]] *= most / (lengths[long] + 1e-7)
    changed(weight)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `input1 @ weight[o] @ input2 + bias[o]` for each output `o`.

    `input1` (..., A), `input2` (..., B), `weight` (O, A, B), `bias` (O,) give (..., O). Raises
    `ShapeError` where shapes do not fit.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.bilinear(tg.ones(4, 2), tg.ones(4, 3), tg.ones(5, 2, 3)).shape
    (4, 5)
    """
    if weight.ndim != 3 or input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(
            f"bilinear takes inputs (..., A) and (..., B) and a weight (O, A, B), got "
            f"{input1.shape}, {input2.shape} and {weight.shape}"
        )
    out = einsum("...a,oab,...b->...o", input1, weight, input2)
    return out if bias is None else out + bias
