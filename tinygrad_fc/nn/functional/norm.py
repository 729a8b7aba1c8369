"""Normalisation: subtract a mean, divide by a deviation, then scale and shift."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import changed, record
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import norm as n

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor


def normalized(
    x: Any, axis: tuple[int, ...], eps: float, weight: Any, bias: Any, *, centred: bool = True
) -> Tensor:
    """Return `x` normalised over `axis`, times `weight` plus `bias`, which broadcast."""
    out = record(n.normalized, (x,), {"axis": axis, "eps": eps, "centred": centred})
    return scaled(out, weight, bias)


def scaled(x: Any, weight: Any, bias: Any) -> Tensor:
    """Return `x * weight + bias`, leaving out what is None."""
    if weight is None and bias is None:
        return x  # type: ignore[no-any-return]
    return n.affine(x, 1.0 if weight is None else weight, 0.0 if bias is None else bias)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return `(x - mean) / sqrt(var + eps) * weight + bias`, each over the last axes of `x`.

    `input` (..., *normalized_shape); `weight` and `bias` (*normalized_shape,). The variance is
    divided by n. Raises `ShapeError` where the input has another shape. Ba, Kiros and Hinton
    (2016), "Layer normalization".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.layer_norm(tg.tensor([[1.0, 3.0]]), (2,), eps=0.0)
    tensor([[-1.,  1.]])
    """
    axes = last_axes("layer_norm", input, normalized_shape)
    return normalized(input, axes, eps, weight, bias)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Return `x / sqrt(mean(x * x) + eps) * weight`, with the mean over the last axes of `x`.

    `input` (..., *normalized_shape), `weight` (*normalized_shape,); `eps` is the dtype's unless
    given. Raises `ShapeError` where the input has another shape. Zhang and Sennrich (2019), "Root
    mean square layer normalization".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.rms_norm(tg.tensor([[3.0, 3.0]]), (2,))
    tensor([[1., 1.]])
    """
    axes = last_axes("rms_norm", input, normalized_shape)
    if eps is None:
        eps = float(np.finfo(input.dtype).eps)
    return normalized(input, axes, eps, weight, None, centred=False)


def last_axes(what: str, input: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the axes that `shape` names, the last ones of `input`."""
    shape = tuple(shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{what} normalises over the last axes, of sizes {shape}, and got an input of shape "
            f"{input.shape}"
        )
    return tuple(range(-len(shape), 0))


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return what `layer_norm` does over each of `num_groups` groups of channels of a sample.

    `input` (N, C, ...), `weight` and `bias` (C,). Raises `ShapeError` unless the groups share the
    channels evenly. Wu and He (2018), "Group normalization".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.group_norm(tg.tensor([[1.0, 3.0, 0.0, 8.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm cannot make {num_groups} groups of the channels, axis 1, of an input of "
            f"shape {input.shape}"
        )
    weight, bias = _channelwise("group_norm", input, weight, bias)
    if math.prod(input.shape) == num_groups:
        raise _one_value("group norm", input)
    apart = input.reshape((input.shape[0], num_groups, math.prod(input.shape[1:]) // num_groups))
    return scaled(normalized(apart, (-1,), eps, None, None).reshape(input.shape), weight, bias)


def _channelwise(what: str, input: Any, *values: Any) -> list[Any]:
    """Return values a channel, (C,), so that they broadcast to (N, C, ...); None as it is."""
    count, rest = input.shape[1], (1,) * (input.ndim - 2)
    for v in values:
        if v is not None and tuple(v.shape) != (count,):
            raise ShapeError(
                f"{what} of an input of shape {input.shape} needs a value for each of the {count} "
                f"channels, axis 1, and got values of shape {tuple(v.shape)}"
            )
    return [v.reshape((count, *rest)) if rest and v is not None else v for v in values]


def _one_value(what: str, input: Any) -> ValueError:
    return ValueError(
        f"{what} needs more than one value a channel in training, and got an input of shape "
        f"{input.shape}: a single value's deviation is 0. Give it more, or call eval()"
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
    """Return `(x - mean) / sqrt(var + eps) * weight + bias`, with a mean and a variance a channel.

    `input` (N, C) or (N, C, ...), all else (C,). In `training` they are the batch's, and the
    running ones go towards these by the share `momentum`, in place (the variance divided by
    n - 1); else the running ones are used. Raises `ValueError` for one value a channel in
    training, `ShapeError` for other shapes. Ioffe and Szegedy (2015), "Batch normalization".

    >>> import tinygrad_fc as tg
    >>> x, zero, one = tg.tensor([[1.0], [3.0]]), tg.zeros(1), tg.ones(1)
    >>> tg.nn.functional.batch_norm(x, zero, one, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    if input.ndim < 2:
        raise ShapeError(f"batch_norm takes an input (N, C) or (N, C, ...), got {input.shape}")
    axes = (0, *range(2, input.ndim))
    weight, bias, mean, var = _channelwise(
        "batch_norm", input, weight, bias, running_mean, running_var
    )
    if training:
        if math.prod(input.shape[k] for k in axes) == 1:
            raise _one_value("batch norm", input)
        _update(input, axes, running_mean, running_var, momentum)
        return normalized(input, axes, eps, weight, bias)
    if mean is None or var is None:
        raise ValueError("batch_norm needs a running mean and variance outside of training")
    scale = (1.0 if weight is None else weight) / e.sqrt(var + eps)
    return n.affine(input, scale, (0.0 if bias is None else bias) - mean * scale)


def _update(input: Any, axes: tuple[int, ...], mean: Any, var: Any, share: float) -> None:
    """Move running values, (C,), towards the batch's, which are found over `axes`."""
    x = input._array
    if not x.size or mean is None or var is None:
        return
    count = math.prod(x.shape[k] for k in axes)
    centre = np.add.reduce(x, axis=axes, keepdims=True) / count
    distance = x - centre
    distance *= distance
    spread = np.add.reduce(distance, axis=axes, keepdims=True) / (count - 1)
    for running, found in ((mean, centre), (var, spread)):
        # Of samples that were looked at one by one, the average counts.
        each = found.reshape(-1, x.shape[1])
        towards = each[0] if len(each) == 1 else each.mean(axis=0)
        running._array += share * (towards - running._array)
        changed(running._array)


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
    """Return what `batch_norm` does, for each sample by itself: over the axes after the channels.

    `input` (N, C, ...), all else (C,). Running ones go towards the batch's average, and are used
    where `use_input_stats` is False. Raises as `batch_norm` does. Ulyanov et al. (2016).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.instance_norm(tg.tensor([[[1.0, 3.0]]]), eps=0.0)
    tensor([[[-1.,  1.]]])
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    if input.ndim < 3 or math.prod(input.shape[2:]) == 1:
        raise _one_value("instance norm", input)
    weight, bias = _channelwise("instance_norm", input, weight, bias)
    axes = tuple(range(2, input.ndim))
    _update(input, axes, running_mean, running_var, momentum)
    return normalized(input, axes, eps, weight, bias)
