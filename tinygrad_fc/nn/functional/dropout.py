"""Dropout: units left out at random, so that none relies on another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.graph import record
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import norm as n
from tinygrad_fc.random import rng_of

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

# What SELU tends to where its argument falls: minus its scale times its alpha.
SATURATED = -1.7580993408473766


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return `input` with each element 0 by the probability `p`, and `1 / (1 - p)` times it else.

    So its expectation is `input`, which is what comes back outside of `training`. Drawn from the
    generator that `manual_seed` sets. Raises `ValueError` for a `p` outside [0, 1]. Srivastava et
    al. (2014).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.dropout(tg.ones(2), p=1.0)
    tensor([0., 0.])
    """
    del inplace  # what was handed in stays as it is
    probability(p)
    if not training or p == 0:
        return input
    scale = 1 / (1 - p) if p < 1 else 0.0
    return record(n.dropout, (input, _kept(input, p)), {"scale": scale})


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Return `input` with each element set to what SELU saturates at by the probability `p`.

    Then all is scaled and shifted, so that numbers of mean 0 and variance 1 stay so. Outside of
    `training` it is `input`. Raises `ValueError` for a `p` outside [0, 1]. Klambauer et al.
    (2017), "Self-normalizing neural networks".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.alpha_dropout(tg.ones(2))
    tensor([1., 1.])
    """
    del inplace
    probability(p)
    if not training or p == 0:
        return input
    if p == 1:
        return input * 0
    scale = 1 / math.sqrt((1 - p) * (1 + p * SATURATED**2))
    shift = -scale * p * SATURATED
    return e.where(_kept(input, p), input * scale + shift, scale * SATURATED + shift)


def probability(p: float) -> None:
    """Raise `ValueError` unless `p` is a probability."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout needs a probability, from 0 to 1, got {p}")


def _kept(input: Tensor, p: float) -> Any:
    # Numbers in float32 are drawn twice as fast, and fine enough for a coin.
    return rng_of(None).random(input._array.shape, np.float32) >= p
