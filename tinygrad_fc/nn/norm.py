"""Normalization layers (mean 0, variance 1, scale and shift) and dropout (random zeros)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.errors import check_argument
from tinygrad_fc.core.graph import change_in_place
from tinygrad_fc.core.node import array_of, leaf_of, number_of
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn import init
from tinygrad_fc.nn.functional.layers import check_probability
from tinygrad_fc.nn.layer_error import check_size
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import unfilled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.nn.parameter import Parameter
    from tinygrad_fc.tensors import Tensor

__all__ = [
    "AlphaDropout", "BatchNorm1d", "Dropout", "GroupNorm", "InstanceNorm1d", "LayerNorm", "RMSNorm",
]  # fmt: skip


class _Affine(Module):
    """Base of layers with a learned scale `weight`, at first 1, and shift `bias`, at first 0."""

    weight: Parameter | None
    bias: Parameter | None

    def _add_affine(
        self, shape: Any, device: Any, dtype: Any, *, weight: bool, bias: bool = True
    ) -> None:
        for name, is_present in (("weight", weight), ("bias", weight and bias)):
            self.register_parameter(name, unfilled(shape, device, dtype) if is_present else None)

    def reset_parameters(self) -> None:
        """Set scales to 1 and shifts to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _RunningNorm(_Affine):
    """Base of layers with a running mean and variance per channel."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _default = True  # default of affine and track_running_stats
    _shown = ("eps", "momentum", "affine", "bias", "track_running_stats")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool | None = None,
        track_running_stats: bool | None = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_argument(eps >= 0, type(self).__name__, "at least 0", eps=eps)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine = self._default if affine is None else affine
        tracked = self._default if track_running_stats is None else track_running_stats
        self.track_running_stats = tracked
        self._add_affine(num_features, device, dtype, weight=self.affine, bias=bias)
        for name in ("running_mean", "running_var"):
            statistic = unfilled(num_features, device, dtype).detach() if tracked else None
            self.register_buffer(name, statistic)
        self.register_buffer("num_batches_tracked", leaf_of(np.array(0)) if tracked else None)
        self.reset_parameters()

    def _check_input_dim(self, input: Tensor) -> None:
        """Raise `LayerError` for an input without num_features channels; a subclass may differ."""
        check_size(self, input, self._channels(input), self.num_features, "num_features")

    def _channels(self, input: Tensor) -> int:
        del input
        return 1

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the variance to 1 and the number of batches to 0."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set scales to 1, shifts to 0, and reset the running statistics."""
        self.reset_running_stats()
        super().reset_parameters()

    def extra_repr(self) -> str:
        return f"{self.num_features}, {super().extra_repr()}"


class BatchNorm1d(_RunningNorm):
    """Batch normalization of features, `nn.functional.batch_norm`.

    `x` has shape (N, C) or (N, C, L). Training uses the statistics of the batch, and updates the
    running statistics with `momentum` (None: the average over all batches); after `eval()` the
    layer uses the running statistics. `affine=False` omits `weight` and `bias` (C,). Raises
    `LayerError` unless C is num_features, `ValueError` for a single value per feature in training.
    Ioffe and Szegedy (2015).

    >>> import tinygrad_fc as tg
    >>> tg.nn.BatchNorm1d(1)(tg.tensor([[1.0], [3.0]])).detach()
    tensor([[-1.],
            [ 1.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            if not change_in_place(array_of(self.num_batches_tracked), "__iadd__", 1):
                self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1 / number_of(self.num_batches_tracked)
        mean, var = self.running_mean, self.running_var
        if self.training and not self.track_running_stats:
            mean = var = None
        training = self.training or (mean is None and var is None)
        return F.batch_norm(
            input, mean, var, self.weight, self.bias, training, momentum or 0.0, self.eps
        )


_BatchNorm = BatchNorm1d  # PyTorch's base class, for `isinstance`


class InstanceNorm1d(_RunningNorm):
    """Normalization of each channel of each sample over its length, `nn.functional.instance_norm`.

    `x` has shape (N, C, L) or (C, L). The layer has a learned scale and shift only if `affine`, and
    running statistics only if `track_running_stats`. Raises `LayerError` unless C is num_features,
    `ValueError` for L = 1 unless running statistics are used. Ulyanov et al. (2016).

    >>> import tinygrad_fc as tg
    >>> tg.nn.InstanceNorm1d(1, eps=0.0)(tg.tensor([[1.0, 3.0]]))
    tensor([[-1.,  1.]])
    """

    _default = False

    def _channels(self, input: Tensor) -> int:
        return input.ndim - 2

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        out = F.instance_norm(
            input if input.ndim == 3 else input.reshape((1, *input.shape)),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )
        return out if input.ndim == 3 else out.reshape(input.shape)


class _LastAxesNorm(_Affine):
    """Base of layers that normalize each sample over its last axes."""

    _shown: tuple[str, ...] = ("eps", "elementwise_affine")

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: Any = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape: Any = normalized_shape
        self.normalized_shape = tuple(shape) if hasattr(shape, "__iter__") else (int(shape),)
        check_argument(eps is None or eps >= 0, type(self).__name__, "at least 0", eps=eps)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        affine = {"weight": elementwise_affine, "bias": bias}
        self._add_affine(self.normalized_shape, device, dtype, **affine)
        self.reset_parameters()

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, {super().extra_repr()}"

    def _check(self, input: Any) -> None:
        shape = self.normalized_shape
        for axis, size in enumerate(shape, -len(shape)):
            check_size(self, input, axis, size, "normalized_shape")


class LayerNorm(_LastAxesNorm):
    """Layer normalization, `nn.functional.layer_norm`.

    `x` has shape (..., *normalized_shape), `weight` and `bias` normalized_shape;
    `elementwise_affine=False` omits both, `bias=False` the bias. Raises `LayerError` for axes
    of other sizes, `ShapeError` for too few axes. Ba, Kiros and Hinton (2016).

    >>> import tinygrad_fc as tg
    >>> tg.nn.LayerNorm(2, eps=0.0)(tg.tensor([[1.0, 3.0]])).detach()
    tensor([[-1.,  1.]])
    """

    _shown = ("eps", "elementwise_affine", "bias")

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(_LastAxesNorm):
    """Root mean square normalization, `nn.functional.rms_norm`.

    `x` has shape (..., *normalized_shape), `weight` normalized_shape; `elementwise_affine=False`
    omits it, `eps=None` is the machine epsilon. Raises `LayerError` for axes of other sizes,
    `ShapeError` for too few axes. Zhang and Sennrich (2019).

    >>> import tinygrad_fc as tg
    >>> tg.nn.RMSNorm(2)(tg.tensor([[3.0, 3.0]])).detach()
    tensor([[1., 1.]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, False, device, dtype)  # noqa: FBT003  no bias

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)


class GroupNorm(_Affine):
    """Group normalization, `nn.functional.group_norm`.

    `x` has shape (N, C, ...), `weight` and `bias` (C,); `affine=False` omits both. Raises
    `ValueError` unless `num_groups` divides `num_channels`, `LayerError` for another C. Wu and He
    (2018).

    >>> import tinygrad_fc as tg
    >>> tg.nn.GroupNorm(2, 4, eps=0.0)(tg.tensor([[1.0, 3.0, 0.0, 8.0]])).detach()
    tensor([[-1.,  1., -1.,  1.]])
    """

    _shown = ("eps", "affine", "bias")

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        expected = f"a divisor of num_channels = {num_channels}"
        check_argument(num_channels % num_groups == 0, "GroupNorm", expected, num_groups=num_groups)
        check_argument(eps >= 0, "GroupNorm", "at least 0", eps=eps)
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine = affine
        self._add_affine(num_channels, device, dtype, weight=affine, bias=bias)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        check_size(self, input, 1, self.num_channels, "num_channels")
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, {super().extra_repr()}"


class _Dropout(Module):
    """Base of dropout layers."""

    _shown = ("p", "inplace")

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability(p)
        self.p, self.inplace = p, inplace


class Dropout(_Dropout):
    """Set elements to 0 with probability `p` in training, and multiply the others by 1 / (1 - p).

    `nn.functional.dropout` as a module. Raises `ValueError` for `p` outside [0, 1]. Srivastava et
    al. (2014).

    >>> import tinygrad_fc as tg
    >>> tg.nn.Dropout(p=0.2).eval()(tg.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout for networks with `SELU` activations, `nn.functional.alpha_dropout`.

    Raises `ValueError` for `p` outside [0, 1]. Klambauer et al. (2017).

    >>> import tinygrad_fc as tg
    >>> tg.nn.AlphaDropout(p=0.2).eval()(tg.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training, self.inplace)
