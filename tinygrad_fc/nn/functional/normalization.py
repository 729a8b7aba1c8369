"""Functions that normalize: to mean 0 and variance 1, then scaled and shifted, or to norm 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.dtypes import widened
from tinygrad_fc.core.errors import ShapeError
from tinygrad_fc.core.graph import call_op, mutation_lock, record_change
from tinygrad_fc.core.node import array_of, sum_over
from tinygrad_fc.functional.elementwise import clamp_min
from tinygrad_fc.functional.norms import vector_norm
from tinygrad_fc.ops import norm
from tinygrad_fc.ops.elementwise import sqrt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensors import Tensor

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "normalize", "rms_norm"]


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
    scale = (1.0 if weight is None else weight) / sqrt(var + eps)
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
    mean = sum_over(x, axes) / count
    deviation = x - mean
    squares = sum_over(deviation * deviation, axes)
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


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Return `input / max(|input|_p, eps)`, with the p-norm along `dim`.

    The result has the shape of `input`, and norm 1 along `dim` where the norm was at least `eps`.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.normalize(tg.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    return input / clamp_min(vector_norm(input, p, dim, keepdim=True), eps)
