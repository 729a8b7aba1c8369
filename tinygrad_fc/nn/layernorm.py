"""Normalisation of each sample by itself, as layers: see `nn.norm` for that over a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn.error import LayerError
from tinygrad_fc.nn.norm import Affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor


class _Last(Affine):
    """What normalises over the last axes."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: Any,
        elementwise_affine: bool,
        of: tuple[Any, Any],
        *,
        bias: bool = False,
    ) -> None:
        super().__init__()
        shape = normalized_shape
        self.normalized_shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        self.eps: Any = eps
        self.elementwise_affine = elementwise_affine
        self._make(self.normalized_shape, of, weight=elementwise_affine, bias=bias)
        self.reset_parameters()

    def _check(self, input: Any) -> None:
        for axis, wanted in enumerate(self.normalized_shape, -len(self.normalized_shape)):
            if input.ndim < -axis:
                raise ShapeError(
                    f"{self} needs an axis {axis}, got an input of shape {input.shape}"
                )
            if input.shape[axis] != wanted:
                raise LayerError(self, input, axis=axis, wanted=wanted, setting="normalized_shape")

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LayerNorm(_Last):
    """`(x - mean) / sqrt(var + eps) * weight + bias`, each sample by itself, over its last axes.

    `x` (..., *normalized_shape), `weight` and `bias` (*normalized_shape,), which
    `elementwise_affine=False` or `bias=False` leave out. Raises `LayerError` for another shape.
    Ba, Kiros and Hinton (2016).

    >>> import tinygrad_fc as tg
    >>> tg.nn.LayerNorm(2, eps=0.0)(tg.tensor([[1.0, 3.0]])).detach()
    tensor([[-1.,  1.]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, (device, dtype), bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bias={self.bias is not None}"


class RMSNorm(_Last):
    """`x / sqrt(mean(x * x) + eps) * weight`, each sample by itself, over its last axes.

    `x` (..., *normalized_shape), `weight` (*normalized_shape,), which `elementwise_affine=False`
    leaves out; `eps=None` is the dtype's. Raises `LayerError` for another shape. Zhang and
    Sennrich (2019).

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
        super().__init__(normalized_shape, eps, elementwise_affine, (device, dtype))

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)


class GroupNorm(Affine):
    """`LayerNorm` over each of `num_groups` groups of a sample's channels, with scales a channel.

    `x` (N, C, ...), `weight` and `bias` (C,), which `affine=False` leaves out. Raises `ValueError`
    unless the groups share the channels evenly, `LayerError` for another C. Wu and He (2018).

    >>> import tinygrad_fc as tg
    >>> tg.nn.GroupNorm(2, 4, eps=0.0)(tg.tensor([[1.0, 3.0, 0.0, 8.0]])).detach()
    tensor([[-1.,  1., -1.,  1.]])
    """

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
        if num_channels % num_groups:
            raise ValueError(
                f"GroupNorm cannot share {num_channels} channels evenly among {num_groups} groups"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine = affine
        self._make(num_channels, (device, dtype), weight=affine, bias=bias)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim > 1 and input.shape[1] != self.num_channels:
            raise LayerError(self, input, axis=1, wanted=self.num_channels, setting="num_channels")
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
