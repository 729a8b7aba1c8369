"""Linear, bilinear and embedding layers, and layers that only reshape."""

from __future__ import annotations

import math
from operator import index
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tinygrad_fc.core.errors import ShapeError, check_argument
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.functional.shape import flatten, unflatten
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn import init
from tinygrad_fc.nn.functional.layers import padding_row
from tinygrad_fc.nn.layer_error import LayerError, check_size, warn_if_promoted
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import Parameter, unfilled
from tinygrad_fc.ops import linalg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.core.device import DeviceLike
    from tinygrad_fc.core.dtypes import DTypeLike
    from tinygrad_fc.core.op import Op
    from tinygrad_fc.tensors import Tensor

__all__ = ["Bilinear", "Embedding", "Flatten", "Identity", "Linear", "Unflatten"]

_NO_SETTINGS: dict[str, Any] = {}


def _check_widths(layer: str, **widths: Any) -> None:
    for name, n in widths.items():
        positive = not isinstance(n, bool) and hasattr(n, "__index__") and n >= 1
        check_argument(bool(positive), layer, "an integer of at least 1", **{name: n})


class Linear(Module):
    """`x @ weight.T + bias`: a fully connected layer, formula (3) of `tinygrad_fc/handderived.py`.

    `x` has shape (..., in_features), the result (..., out_features). `weight` (out_features,
    in_features) and `bias` (out_features,) are initialized uniformly in +-1 / sqrt(in_features), as
    in PyTorch. Raises `ValueError` for a number of features below 1, and `LayerError` if the last
    axis of the input does not have size in_features.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Linear(3, 2)(tg.zeros(4, 3)).shape
    Size([4, 2])
    """

    _shown = ("in_features", "out_features", "bias")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: DeviceLike = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        _check_widths("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = n, m = index(in_features), index(out_features)
        self.weight = unfilled((m, n), device, dtype)
        self.register_parameter("bias", unfilled(m, device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialize weight and bias."""
        _init_uniform(self.weight, self.bias, self.in_features)

    def forward(self, input: Tensor) -> Tensor:
        return linear_by(linalg.linear, self, input)


def linear_by(op: Op, layer: Linear, input: Tensor) -> Tensor:
    """Return the result of a layer by `op`, which may include the activation that follows."""
    weight: Any
    parameters = layer._parameters if type(layer) is Linear else {}
    if "weight" in parameters and "bias" in parameters:
        weight, bias = parameters["weight"], parameters["bias"]  # faster than attributes
    else:
        weight, bias = layer.weight, layer.bias
    try:
        out = call_op(op, (input, weight, bias), _NO_SETTINGS)
    except ShapeError as error:
        if np.shape(input)[-1:] == (layer.in_features,):
            raise
        # No variable for the new error: a traceback that refers to itself keeps tensors alive.
        raise LayerError(
            layer, input, axis=-1, expected=layer.in_features, setting="in_features"
        ) from error.__cause__
    if out._array.dtype is not weight._array.dtype:
        warn_if_promoted(layer, out._array.dtype)
    return out


def _init_uniform(weight: Any, bias: Any, fan_in: int) -> None:
    bound = 1 / math.sqrt(fan_in)
    init.uniform_(weight, -bound, bound)
    if bias is not None:
        init.uniform_(bias, -bound, bound)


class Bilinear(Module):
    """`x1 @ weight[o] @ x2 + bias[o]` for each output `o`, `nn.functional.bilinear`.

    `x1` (..., in1_features) and `x2` (..., in2_features) give (..., out_features); `weight`
    (out_features, in1_features, in2_features) and `bias` (out_features,) are initialized uniformly
    in +-1 / sqrt(in1_features). Raises `LayerError` for an input of another width.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Bilinear(2, 3, 5)(tg.zeros(4, 2), tg.zeros(4, 3)).shape
    Size([4, 5])
    """

    _shown = ("in1_features", "in2_features", "out_features", "bias")

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: DeviceLike = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        widths = {"in1_features": in1_features, "in2_features": in2_features}
        _check_widths("Bilinear", **widths, out_features=out_features)
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        self.weight = unfilled((out_features, in1_features, in2_features), device, dtype)
        self.register_parameter("bias", unfilled(out_features, device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialize weight and bias."""
        _init_uniform(self.weight, self.bias, self.in1_features)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        check_size(self, input1, -1, self.in1_features, "in1_features")
        check_size(self, input2, -1, self.in2_features, "in2_features")
        return F.bilinear(input1, input2, self.weight, self.bias)


class Embedding(Module):
    """A learned vector for each of `num_embeddings` items, `nn.functional.embedding`.

    Indices of shape (...) give vectors (..., embedding_dim); `weight` (num_embeddings,
    embedding_dim) is initialized from N(0, 1). The row `padding_idx` is initialized to 0, except by
    `from_pretrained`, and gets no gradient; rows whose `norm_type`-norm exceeds `max_norm` are
    scaled down when used. Gradients are dense. Raises `RangeError` for an index outside [0,
    num_embeddings).

    >>> import tinygrad_fc as tg
    >>> tg.nn.Embedding(10, 3)(tg.tensor([[1, 2], [9, 0]])).shape
    Size([2, 2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: DeviceLike = None,
        dtype: DTypeLike = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None:
            padding_idx = padding_row(padding_idx, num_embeddings)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        shape = (num_embeddings, embedding_dim)
        self.weight = unfilled(shape, device, dtype) if _weight is None else Parameter(_weight)
        self.weight.requires_grad_(not _freeze)
        if _weight is None:
            self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None, **kwargs: Any
    ) -> Self:
        """Return a layer with the vectors `embeddings` (num_embeddings, embedding_dim)."""
        count, width = embeddings.shape
        return cls(count, width, padding_idx, _weight=embeddings, _freeze=freeze, **kwargs)

    def reset_parameters(self) -> None:
        """Reinitialize the vectors."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type)

    def extra_repr(self) -> str:
        shown = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            shown += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            shown += f", max_norm={self.max_norm}"
        return shown if self.norm_type == 2 else f"{shown}, norm_type={self.norm_type}"


class Identity(Module):
    """Returns its input. The constructor ignores its arguments.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Identity(54)(tg.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        del args, kwargs
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """Merges the axes from `start_dim` to `end_dim`: (N, A, B) gives (N, A * B) by default.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Flatten()(tg.zeros(4, 2, 3)).shape
    Size([4, 6])
    """

    _shown = ("start_dim", "end_dim")

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return flatten(input, self.start_dim, self.end_dim)


class Unflatten(Module):
    """Splits the axis `dim` into axes of the sizes `unflattened_size`, one of which may be -1.

    The call raises `ShapeError` if the product of the sizes is not the size of the axis.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Unflatten(1, (2, 3))(tg.zeros(4, 6)).shape
    Size([4, 2, 3])
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
