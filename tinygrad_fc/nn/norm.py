"""Normalisation over a batch or over a length, with running statistics: see `nn.layernorm` too.

All subtract a mean, divide by a deviation, then scale and shift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.graph import wrap
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn import init
from tinygrad_fc.nn.error import LayerError
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import unfilled

if TYPE_CHECKING:
    from tinygrad_fc.nn.parameter import Parameter
    from tinygrad_fc.tensor import Tensor


class Affine(Module):
    """What has a learned scale `weight`, 1 at first, and a shift `bias`, 0 at first; or None."""

    weight: Parameter | None
    bias: Parameter | None

    def _make(self, shape: Any, of: tuple[Any, Any], *, weight: bool, bias: bool) -> None:
        """Make them; `of` are a device and a dtype."""
        self.weight = unfilled(shape, *of) if weight else None
        self.bias = unfilled(shape, *of) if weight and bias else None

    def reset_parameters(self) -> None:
        """Set scales to 1 and shifts to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _Running(Affine):
    """What keeps a running mean and variance a channel."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        of: tuple[Any, Any],
        *,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self._make(num_features, of, weight=affine, bias=bias)
        for name in ("running_mean", "running_var"):
            running = unfilled(num_features, *of).detach() if track_running_stats else None
            self.register_buffer(name, running)
        self.register_buffer(
            "num_batches_tracked", wrap(np.array(0)) if track_running_stats else None
        )
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what batches were like: mean 0, variance 1, none seen."""
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set scales to 1 and shifts to 0, and forget what batches were like."""
        self.reset_running_stats()
        super().reset_parameters()

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def _check(self, input: Any, axis: int) -> None:
        if input.shape[axis] != self.num_features:
            raise LayerError(
                self, input, axis=axis, wanted=self.num_features, setting="num_features"
            )


class BatchNorm1d(_Running):
    """`(x - mean) / sqrt(var + eps) * weight + bias`, with a mean and a variance a feature.

    `x` (N, C) or (N, C, L). In training they are the batch's, and running ones go towards them by
    the share `momentum` (None: their plain average); after `eval()` the running ones are used.
    `weight` and `bias` (C,) are left out by `affine=False`. Raises `LayerError` for another C,
    `ValueError` for one value a feature in training. Ioffe and Szegedy (2015).

    >>> import tinygrad_fc as tg
    >>> tg.nn.BatchNorm1d(1)(tg.tensor([[1.0], [3.0]])).detach()
    tensor([[-1.],
            [ 1.]])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, (device, dtype), bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (2, 3):
            raise ShapeError(f"BatchNorm1d takes (N, C) or (N, C, L), got shape {input.shape}")
        self._check(input, 1)
        momentum = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1 / float(self.num_batches_tracked)
        mean, var = self.running_mean, self.running_var
        if self.training and not self.track_running_stats:
            mean = var = None
        training = self.training or (mean is None and var is None)
        return F.batch_norm(
            input, mean, var, self.weight, self.bias, training, momentum or 0.0, self.eps
        )


class InstanceNorm1d(_Running):
    """`BatchNorm1d` of each sample by itself, over its length: `x` (N, C, L) or (C, L).

    Without learned scales and running statistics unless `affine` or `track_running_stats`. Raises
    `LayerError` for another C, `ValueError` for a length of 1. Ulyanov et al. (2016).

    >>> import tinygrad_fc as tg
    >>> tg.nn.InstanceNorm1d(1, eps=0.0)(tg.tensor([[1.0, 3.0]]))
    tensor([[-1.,  1.]])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, (device, dtype), bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (2, 3):
            raise ShapeError(f"InstanceNorm1d takes (N, C, L) or (C, L), got shape {input.shape}")
        self._check(input, input.ndim - 2)
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
