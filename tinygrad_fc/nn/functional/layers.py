"""Functions of layers: linear, embedding, padding, dropout and attention.

With `inplace=True` the input is changed to the result, and returned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.device import device_of, move_to_device
from tinygrad_fc.core.errors import DtypeError, RangeError, ShapeError, check_argument
from tinygrad_fc.core.graph import call_op, mutation_lock, record_change
from tinygrad_fc.core.node import array_of, as_array, constant_like, leaf_of, operand
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.joining import cat
from tinygrad_fc.functional.products import einsum
from tinygrad_fc.nn.functional.activation import SELU_ALPHA, SELU_SCALE, in_place
from tinygrad_fc.ops import elementwise, norm
from tinygrad_fc.ops.linalg import linear
from tinygrad_fc.ops.reduce import softmax
from tinygrad_fc.random import rand_like, rng_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensors import Tensor

__all__ = [
    "alpha_dropout", "bilinear", "dropout", "embedding", "gumbel_softmax", "linear", "one_hot",
    "pad", "scaled_dot_product_attention",
]  # fmt: skip


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `input1 @ weight[o] @ input2 + bias[o]` for each output `o`.

    `input1` (..., A), `input2` (..., B), `weight` (O, A, B) and `bias` (O,) give a result (..., O).
    Raises `ShapeError` for other shapes; the batch axes (...) of both inputs must be equal.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.bilinear(tg.ones(4, 2), tg.ones(4, 3), tg.ones(5, 2, 3)).shape
    Size([4, 5])
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
    count = weight.shape[0]
    indices = _checked_indices("embedding", input, count, "num_embeddings")
    if max_norm is not None:
        _clip_rows(array_of(weight), np.unique(indices), max_norm, norm_type)
    out = weight[indices]
    if padding_idx is None:
        return out
    padding = indices == padding_row(padding_idx, count)
    return elementwise.where(padding[..., None], out.detach(), out)


def _checked_indices(function: str, input: Any, count: int, setting: str) -> Any:
    """Return an array of integers; raise an error if they are not in [0, count)."""
    indices = as_array(input)
    if indices.dtype.kind not in "iu":
        raise DtypeError(
            f"{function}: the indices are {indices.dtype}, expected integers. Write x.long()"
        )
    if indices.size and not (indices.min() >= 0 and indices.max() < count):
        raise RangeError(
            f"{function}: the indices are {indices.min()} to {indices.max()}, expected 0 to "
            f"{count - 1}. Number them from 0, or raise {setting}"
        )
    return indices


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
    with mutation_lock:  # so that a backward pass in another thread sees the change
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
    if num_classes == -1:
        num_classes = int(as_array(tensor).max(initial=-1)) + 1
    check_argument(num_classes >= 1, "one_hot", "at least 1", num_classes=num_classes)
    indices = _checked_indices("one_hot", tensor, num_classes, "num_classes")
    classes = move_to_device(np.arange(num_classes, like=like()), device_of(indices))
    return leaf_of((indices[..., None] == classes).astype(np.int64))


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
    x, fill = input, 0 if value is None else operand(value, "pad")
    for axis, widths in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        rest = (slice(None),) * (axis - 1)
        before, after = (max(-n, 0) for n in widths)
        x = x[(..., slice(before, max(x.shape[-axis] - after, before)), *rest)]
        before, after = (max(n, 0) for n in widths)
        size = x.shape[-axis]
        if mode == "constant":
            ends = ((*x.shape[:-axis], n, *x.shape[x.ndim - axis + 1 :]) for n in (before, after))
            left, right = (leaf_of(constant_like(np.full(n, fill, like=like()), x)) for n in ends)
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


# Dropout: random zeros


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return `input` with elements zeroed with probability `p`, the others times `1 / (1 - p)`.

    For p < 1 the expected value is `input`, which is returned if not `training`. The random numbers
    come from the default generator. Raises `ValueError` for `p` outside [0, 1]. Srivastava et al.
    (2014).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.dropout(tg.ones(2), p=1.0)
    tensor([0., 0.])
    """
    check_probability(p)
    if not training or p == 0:
        return input
    scale = float(1 / (1 - p)) if p < 1 else 0.0
    dropped = call_op(norm.dropout, (input, _keep_mask(input, p)), {"scale": scale})
    return in_place(input, dropped, inplace)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Return `softmax((logits + g) / tau)` for Gumbel variables g; `eps` has no effect.

    With `hard` the values are one-hot, and the gradient is that of the softmax. Jang et al. (2017).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.gumbel_softmax(tg.zeros(5, 3), hard=True).sum(-1)
    tensor([1., 1., 1., 1., 1.])
    """
    del eps
    noise = -(-rand_like(logits).log()).log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    peaks = soft.detach().argmax(dim, keepdim=True)
    return logits.new_zeros(logits.shape).scatter(dim, peaks, 1.0) + soft - soft.detach()


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Return `input` with elements set, with probability `p`, to SELU's limit at -infinity.

    The result is scaled and shifted to preserve mean 0 and variance 1. `input` is returned if not
    `training`. Raises `ValueError` for `p` outside [0, 1]. Klambauer et al. (2017),
    "Self-normalizing neural networks".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.alpha_dropout(tg.ones(2))
    tensor([1., 1.])
    """
    check_probability(p)
    if not training or p == 0:
        return input
    if p == 1:
        return in_place(input, input * 0, inplace)
    saturation = -SELU_SCALE * SELU_ALPHA
    scale = 1 / math.sqrt((1 - p) * (1 + p * saturation**2))
    shift = -scale * p * saturation
    mask = _keep_mask(input, p)
    dropped = elementwise.where(mask, input * scale + shift, scale * saturation + shift)
    return in_place(input, dropped, inplace)


def check_probability(p: float) -> None:
    """Raise `ValueError` unless `p` is in [0, 1]."""
    check_argument(0 <= p <= 1, "dropout", "a probability in [0, 1]", p=p)


def _keep_mask(input: Tensor, p: float) -> Any:
    # float32 numbers are faster, and precise enough for a comparison with p.
    keep = rng_of(None).random(input._array.shape, np.float32) >= p
    return move_to_device(keep, device_of(input))


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> Tensor:
    """Return `softmax(scale * query @ key.mT + mask) @ value`; `scale` is by default 1 / sqrt(E).

    `query` (..., L, E), `key` (..., S, E) and `value` (..., S, V) give (..., L, V). A boolean
    `attn_mask` (..., L, S) is true where a query may attend to a key, a float one is added to the
    scores. With `is_causal`, query i attends to the keys up to i. Raises `ValueError` for both.
    Vaswani et al. (2017), equation 1.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([[1.0], [3.0]])
    >>> tg.nn.functional.scaled_dot_product_attention(0 * x, x, x, is_causal=True)
    tensor([[1.],
            [2.]])
    """
    check_argument(not is_causal or attn_mask is None, "attention", "None", attn_mask=attn_mask)
    size = query.shape[-1] or 1
    scores = query @ key.swapaxes(-1, -2) * (size**-0.5 if scale is None else scale)
    if is_causal:
        attn_mask = leaf_of(np.tri(*scores.shape[-2:], dtype=bool, like=array_of(scores)))
    if attn_mask is not None and attn_mask.dtype == bool:
        scores = elementwise.where(attn_mask, scores, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return dropout(softmax(scores, -1), dropout_p) @ value
