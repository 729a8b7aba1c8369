"""Dropout layers: active in training, the identity after `eval()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn.functional.dropout import check_probability
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

__all__ = ["AlphaDropout", "Dropout"]


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability(p)
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Set elements to 0 with probability `p` in training: `nn.functional.dropout`.

    Raises `ValueError` for `p` outside [0, 1]. Srivastava et al. (2014).

    >>> import tinygrad_fc as tg
    >>> tg.nn.Dropout(p=0.2).eval()(tg.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)


class AlphaDropout(_Dropout):
    """Dropout for networks with `SELU` activations, `nn.functional.alpha_dropout`.

    Raises `ValueError` for `p` outside [0, 1]. Klambauer et al. (2017).

    >>> import tinygrad_fc as tg
    >>> tg.nn.AlphaDropout(p=0.2).eval()(tg.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training)
