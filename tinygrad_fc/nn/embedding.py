"""Layers that look rows up, rearrange axes, or take two inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.functional.arguments import normalize_dim
from tinygrad_fc.functional.shape import flatten
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn import init
from tinygrad_fc.nn.error import LayerError
from tinygrad_fc.nn.functional.embedding import padding_row
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import Parameter, unfilled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.tensor import Tensor


class Embedding(Module):
    """A learned vector for each of `num_embeddings` things, looked up by number.

    Whole numbers (...) give (..., embedding_dim); `weight` (num_embeddings, embedding_dim) is
    drawn from a normal distribution. The row `padding_idx` is 0 and is not learned; rows longer
    than `max_norm`, by the `norm_type`-norm, are scaled down when used. Raises `RangeError` for a
    number that is not there, `ValueError` for `scale_grad_by_freq` or `sparse`, which are not here.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Embedding(10, 3)(tg.tensor([[1, 2], [9, 0]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if scale_grad_by_freq or sparse:
            raise ValueError("Embedding has neither scale_grad_by_freq nor sparse gradients")
        if padding_idx is not None:
            padding_idx = padding_row(padding_idx, num_embeddings)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        shape = (num_embeddings, embedding_dim)
        self.weight = unfilled(shape, device, dtype) if _weight is None else Parameter(_weight)
        if self.weight.shape != shape:
            raise ShapeError(f"Embedding needs weights {shape}, got {self.weight.shape}")
        self.weight.requires_grad_(not _freeze)
        if _weight is None:
            self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None, **more: Any
    ) -> Self:
        """Return a layer of these vectors, (num_embeddings, embedding_dim), not to be learned."""
        count, width = embeddings.shape
        return cls(count, width, padding_idx, _weight=embeddings, _freeze=freeze, **more)

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type)

    def extra_repr(self) -> str:
        told = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            told += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            told += f", max_norm={self.max_norm}"
        return told if self.norm_type == 2 else f"{told}, norm_type={self.norm_type}"


class Flatten(Module):
    """Makes the axes from `start_dim` to `end_dim` one: (N, A, B) gives (N, A * B) by default.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Flatten()(tg.zeros(4, 2, 3)).shape
    (4, 6)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Makes the axis `dim` several, of sizes `unflattened_size`, one of which may be -1.

    Raises `TypeError` for sizes that are no tuple or list of whole numbers, `ShapeError` where they
    do not multiply to the size of the axis, when called.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Unflatten(1, (2, 3))(tg.zeros(4, 6)).shape
    (4, 2, 3)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        sizes = unflattened_size
        if not isinstance(sizes, tuple | list) or not all(isinstance(n, int) for n in sizes):
            raise TypeError(f"Unflatten needs a tuple of whole numbers, got {sizes!r}")
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        dim = normalize_dim(self.dim, input.ndim, "Unflatten")
        shape, sizes = input.shape, tuple(self.unflattened_size)
        known = math.prod(n for n in sizes if n != -1)
        if sizes.count(-1) == 1 and known and shape[dim] % known == 0:
            sizes = tuple(shape[dim] // known if n == -1 else n for n in sizes)
        if -1 in sizes or math.prod(sizes) != shape[dim]:
            raise ShapeError(
                f"{self} got shape {shape}: axis {self.dim} has size {shape[dim]}, which "
                f"{self.unflattened_size} does not multiply to"
            )
        return input.reshape((*shape[:dim], *sizes, *shape[dim + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Bilinear(Module):
    """`x1 @ weight[o] @ x2 + bias[o]` for each output `o`.

    `x1` (..., in1_features) and `x2` (..., in2_features) give (..., out_features); `weight`
    (out_features, in1_features, in2_features), `bias` (out_features,), both drawn uniformly
    within 1 / sqrt(in1_features). Raises `LayerError` for an input of another width.

    >>> import tinygrad_fc as tg
    >>> tg.nn.Bilinear(2, 3, 5)(tg.zeros(4, 2), tg.zeros(4, 3)).shape
    (4, 5)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if in1_features < 1:
            raise ValueError(f"Bilinear needs in1_features of at least 1, got {in1_features}")
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        self.weight = unfilled((out_features, in1_features, in2_features), device, dtype)
        self.bias = unfilled(out_features, device, dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        for given, wanted, setting in (
            (input1, self.in1_features, "in1_features"),
            (input2, self.in2_features, "in2_features"),
        ):
            if given.ndim == 0 or given.shape[-1] != wanted:
                raise LayerError(self, given, axis=-1, wanted=wanted, setting=setting)
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
