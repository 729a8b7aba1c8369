"""The embedding layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn import init
from tinygrad_fc.nn.functional.linear import padding_row
from tinygrad_fc.nn.module import Module
from tinygrad_fc.nn.parameter import Parameter, unfilled

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

__all__ = ["Embedding"]


class Embedding(Module):
    """A learned vector for each of `num_embeddings` items, `nn.functional.embedding`.

    Indices of shape (...) give vectors (..., embedding_dim); `weight` (num_embeddings,
    embedding_dim) is initialized from N(0, 1). The row `padding_idx` is 0 and gets no gradient;
    rows whose `norm_type`-norm exceeds `max_norm` are scaled down when used. Gradients are dense.
    Raises `RangeError` for an index outside [0, num_embeddings).

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
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
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
