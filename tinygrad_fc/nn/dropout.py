"""Dropout as layers: at work in training, and nothing after `eval()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn.functional.dropout import probability
from tinygrad_fc.nn.module import Module

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        probability(p)
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, each element is 0 by the probability `p`, and `1 / (1 - p)` times itself else.

    So what comes next sees the same sums on average. Drawn anew in each call, from the generator
    that `manual_seed` sets. Raises `ValueError` for a `p` outside [0, 1]. Srivastava et al. (2014).

    >>> import tinygrad_fc as tg
    >>> tg.nn.Dropout(p=0.2).eval()(tg.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)


class AlphaDropout(_Dropout):
    """In training, each element by the probability `p` becomes what `SELU` saturates at.

    All is scaled and shifted so that mean 0 and variance 1 stay so: the dropout to go with `SELU`.
    Raises `ValueError` for a `p` outside [0, 1]. Klambauer et al. (2017).

    >>> import tinygrad_fc as tg
    >>> tg.nn.AlphaDropout(p=0.2).eval()(tg.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training)
