"""Dropout: random zeros, so that no unit relies on another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.device import device_of, moved
from tinygrad_fc.functional.arguments import require
from tinygrad_fc.graph import record
from tinygrad_fc.nn.functional.activation import SELU_ALPHA, SELU_SCALE
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import norm as n
from tinygrad_fc.random import rng_of

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor

__all__ = ["alpha_dropout", "dropout"]


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Return `input` with elements zeroed with probability `p`, the others times `1 / (1 - p)`.

    The expected value is `input`, which is returned if not `training`. The random numbers come from
    the default generator. Raises `ValueError` for `p` outside [0, 1]. Srivastava et al. (2014).

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.dropout(tg.ones(2), p=1.0)
    tensor([0., 0.])
    """
    check_probability(p)
    if not training or p == 0:
        return input
    scale = 1 / (1 - p) if p < 1 else 0.0
    return record(n.dropout, (input, _keep_mask(input, p)), {"scale": scale})


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Return `input` with elements set, with probability `p`, to SELU's limit at -infinity.

    The result is scaled and shifted to preserve mean 0 and variance 1. `input` is returned if not
    `training`. Raises `ValueError` for `p` outside [0, 1]. Klambauer et al. (2017),
    "Self-normalizing neural networks".

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.alpha_dropout(tg.ones(2))
    tensor([1., 1.])
    """
    check_probability(p)
    if not training or p == 0:
        return input
    if p == 1:
        return input * 0
    saturation = -SELU_SCALE * SELU_ALPHA
    scale = 1 / math.sqrt((1 - p) * (1 + p * saturation**2))
    shift = -scale * p * saturation
    return e.where(_keep_mask(input, p), input * scale + shift, scale * saturation + shift)


def check_probability(p: float) -> None:
    """Raise `ValueError` unless `p` is in [0, 1]."""
    require(0 <= p <= 1, "dropout", "a probability in [0, 1]", p=p)


def _keep_mask(input: Tensor, p: float) -> Any:
    # float32 numbers take half the time, and are precise enough for a comparison with p.
    keep = rng_of(None).random(input._array.shape, np.float32) >= p
    return moved(keep, device_of(input))
