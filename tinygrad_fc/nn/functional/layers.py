"""Functions of layers: linear, embedding, padding, normalization and dropout.

With `inplace=True` the input is changed to the result, and returned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.device import device_of, move_to_device
from tinygrad_fc.core.dtypes import widened
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
    "alpha_dropout", "batch_norm", "bilinear", "dropout", "embedding", "group_norm",
    "gumbel_softmax", "instance_norm", "layer_norm", "linear", "one_hot", "pad", "rms_norm",
    "scaled_dot_product_attention",
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


# Normalization: mean 0, variance 1, then scale and shift


def _normalized(
    x: Any, axis: tuple[int, ...], eps: float, weight: Any, bias: Any, *, centered: bool = True
) -> Tensor:
    """Return `x` normalized over `axis`, times `weight` plus `bias`, which broadcast."""
    out = call_op(norm.normalized, (x,), {"axis": axis, "eps": eps, "centered": centered})
    return _affine(out, weight, bias)


def _affine(x: Any, weight: Any, bias: Any) -> Tensor:
    """Return `x * weight + bias`; a weight of None is 1, a bias of None 0."""
    if weight is None and bias is None:
        return x  # type: ignore[no-any-return]
    return norm.affine(x, 1.0 if weight is None else weight, 0.0 if bias is None else bias)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return `(x - mean) / sqrt(var + eps) * weight + bias`, over the last axes of `x`.

    `x` has shape (..., *normalized_shape), `weight` and `bias` normalized_shape; the variance is
    the biased one. Raises `ShapeError` for an input of another shape. Ba, Kiros and Hinton (2016),
    "Layer normalization".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.layer_norm(tg.tensor([[1.0, 3.0]]), (2,), eps=0.0)
    tensor([[-1.,  1.]])
    """
    axes = _last_axes("layer_norm", input, normalized_shape)
    return _normalized(input, axes, eps, weight, bias)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Return `x / sqrt(mean(x * x) + eps) * weight`, over the last axes of `x`.

    `x` (..., *normalized_shape), `weight` (*normalized_shape,); `eps=None` is the machine epsilon
    of the dtype. Raises `ShapeError` for an input of another shape. Zhang and Sennrich (2019),
    "Root mean square layer normalization".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.rms_norm(tg.tensor([[3.0, 3.0]]), (2,))
    tensor([[1., 1.]])
    """
    axes = _last_axes("rms_norm", input, normalized_shape)
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    return _normalized(input, axes, eps, weight, None, centered=False)


def _last_axes(name: str, input: Any, normalized_shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(normalized_shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{name}: the input has shape {input.shape}, expected the last axes to be {shape}. "
            "Pass these sizes as normalized_shape"
        )
    return tuple(range(-len(shape), 0))


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return `layer_norm` over `num_groups` groups of channels, scaled and shifted per channel.

    `input` has shape (N, C, ...), `weight` and `bias` (C,). Raises `ShapeError` unless `num_groups`
    divides C. Wu and He (2018), "Group normalization".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.group_norm(tg.tensor([[1.0, 3.0, 0.0, 8.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: the input has shape {input.shape} and num_groups is {num_groups}, "
            "expected (N, C, ...) with C divisible by num_groups. Choose a divisor of C"
        )
    weight, bias = _per_channel("group_norm", input, weight, bias)
    if math.prod(input.shape) == num_groups:  # as in PyTorch, only for a batch of one sample
        raise _single_value(
            "group_norm", input, "more than one value per group", "Use fewer groups"
        )
    groups = input.reshape((input.shape[0], num_groups, math.prod(input.shape[1:]) // num_groups))
    return _affine(_normalized(groups, (-1,), eps, None, None).reshape(input.shape), weight, bias)


def _per_channel(name: str, input: Any, *values: Any) -> list[Any]:
    """Return `values` (C,) in a shape that broadcasts to `input` (N, C, ...); None stays None."""
    count, rest = input.shape[1], (1,) * (input.ndim - 2)
    for value in values:
        if value is not None and tuple(value.shape) != (count,):
            raise ShapeError(
                f"{name}: the input has shape {input.shape} and a weight, bias or statistic "
                f"{tuple(value.shape)}, expected one value per channel: ({count},). Channels are "
                "on axis 1"
            )
    return [v.reshape((count, *rest)) if rest and v is not None else v for v in values]


def _single_value(name: str, input: Any, expected: str, fix: str) -> ValueError:
    return ValueError(
        f"{name}: the input has shape {input.shape}, expected {expected}, since the deviation of a "
        f"single value is 0. {fix}"
    )


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return `(x - mean) / sqrt(var + eps) * weight + bias`, with mean and variance per channel.

    `x` has shape (N, C) or (N, C, ...), all others (C,). If `training`, `mean` and `var` are those
    of the batch, and the running statistics are updated in place, `r += momentum * (batch - r)`,
    with the unbiased variance; otherwise `mean` and `var` are the running statistics. Raises
    `ValueError` for a single value per channel in training, `ShapeError` for other shapes,
    `TypeError` if running statistics are needed and None. Ioffe and Szegedy (2015), "Batch
    normalization".

    >>> import tinygrad_fc as tg
    >>> x, zero, one = tg.tensor([[1.0], [3.0]]), tg.zeros(1), tg.ones(1)
    >>> tg.nn.functional.batch_norm(x, zero, one, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    if input.ndim < 2:
        raise ShapeError(
            f"batch_norm: the input has shape {input.shape}, expected (N, C) or (N, C, ...). "
            "Write x.unsqueeze(0) for one sample"
        )
    axes = (0, *range(2, input.ndim))
    weight, bias, mean, var = _per_channel(
        "batch_norm", input, weight, bias, running_mean, running_var
    )
    if training:
        if math.prod(input.shape[k] for k in axes) == 1:
            expected = "more than one value per channel in training"
            raise _single_value("batch_norm", input, expected, "Use a larger batch, or call eval()")
        _update(input, axes, running_mean, running_var, momentum)
        return _normalized(input, axes, eps, weight, bias)
    tensors: list[Any] = [input, weight, bias, mean, var]
    is_half = all(t is None or t.dtype == np.float16 for t in tensors)
    if is_half:
        tensors = [t if t is None else widened(t) for t in tensors]
    x, weight, bias, mean, var = tensors
    scale = (1.0 if weight is None else weight) / elementwise.sqrt(var + eps)
    out = norm.affine(x, scale, (0.0 if bias is None else bias) - mean * scale)
    return out.to(np.float16) if is_half else out


def _update(
    input: Any, axes: tuple[int, ...], running_mean: Any, running_var: Any, momentum: float
) -> None:
    """Update the running statistics (C,) in place with those of the batch over `axes`."""
    x = widened(array_of(input))
    if not x.size or running_mean is None or running_var is None:
        return
    count = math.prod(x.shape[k] for k in axes)
    mean = np.add.reduce(x, axis=axes, keepdims=True) / count
    deviation = x - mean
    square = deviation * deviation
    squares = np.add.reduce(square, axis=axes, keepdims=True)
    var = squares / (count - 1)
    with mutation_lock:  # so that a backward pass in another thread sees the change
        for running, batch in ((running_mean, mean), (running_var, var)):
            per_sample = batch.reshape(-1, x.shape[1])  # several rows only for instance norm
            statistic = per_sample[0] if len(per_sample) == 1 else per_sample.mean(axis=0)
            array = array_of(running)
            array += momentum * (statistic - array)
            record_change(array)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return `batch_norm` of each sample alone, over the axes after the channels.

    `input` has shape (N, C, ...), all others (C,). The running statistics are updated with the mean
    of the samples' statistics, and are used if `use_input_stats` is False. Raises as `batch_norm`
    does, and with `use_input_stats`, `ValueError` for a single value per channel of a sample.
    Ulyanov et al. (2016).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.instance_norm(tg.tensor([[[1.0, 3.0]]]), eps=0.0)
    tensor([[[-1.,  1.]]])
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    if input.ndim < 3 or math.prod(input.shape[2:]) == 1:
        expected = "(N, C, L) with L above 1"
        raise _single_value("instance_norm", input, expected, "Use layer_norm over the channels")
    weight, bias = _per_channel("instance_norm", input, weight, bias)
    axes = tuple(range(2, input.ndim))
    _update(input, axes, running_mean, running_var, momentum)
    return _normalized(input, axes, eps, weight, bias)


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
    scale = 1 / (1 - p) if p < 1 else 0.0
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

    `query` (..., L, E), `key` (..., S, E) and `value` (..., S, V) give (..., L, V). `attn_mask`
    (..., L, S) is true where a query sees a key, or is added; with `is_causal` query i sees the
    keys up to i. Vaswani et al. (2017), equation 1. Raises `ValueError` for both.

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
