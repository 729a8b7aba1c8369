"""How far apart vectors are, and in which direction they point."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import reduce as r

if TYPE_CHECKING:
    from tinygrad_fc.tensor import Tensor


def _norm(x: Any, p: float, dim: int, *, keepdim: bool) -> Any:
    """Return the p-norm along `dim`: the largest for an infinite `p`, the count of others for 0."""
    settings = {"axis": dim, "keepdims": keepdim}
    if p == 2:
        return r.norm(x, **settings)
    size = e.absolute(x)
    if p == math.inf:
        return r.amax(size, **settings)
    if p == -math.inf:
        return r.amin(size, **settings)
    if p == 0:
        return r.sum_(e.where(x == 0, 0.0, 1.0).to(x.dtype), **settings)
    if p == 1:
        return r.sum_(size, **settings)
    total = r.sum_(size**p, **settings)
    # The root of 0 has no finite slope, and a vector of zeros has none that counts.
    zero = total == 0
    return e.where(zero, 0, e.where(zero, 1, total) ** (1 / p))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Return `input` divided by its p-norm along `dim`, which counts as at least `eps`.

    `input` (..., n, ...) gives vectors of length 1 in its shape.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.normalize(tg.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    length = _norm(input, p, dim, keepdim=True)
    return input / e.clip(length, eps, math.inf)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along `dim`, whose lengths are at least `eps`.

    `x1` and `x2` (N, D), or of shapes that broadcast, give (N,), in [-1, 1].

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.cosine_similarity(tg.tensor([[1.0, 0.0]]), tg.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    lengths = [e.clip(_norm(x, 2, dim, keepdim=True), eps, math.inf) for x in (x1, x2)]
    return ((x1 / lengths[0]) * (x2 / lengths[1])).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Return the p-norm of `x1 - x2 + eps` along the last axis.

    `x1` and `x2` (N, D), or of shapes that broadcast, give (N,), or (N, 1) with `keepdim`. Thanks
    to `eps` the slope is that of a norm where both are equal, too.

    >>> import tinygrad_fc as tg
    >>> tg.nn.functional.pairwise_distance(tg.tensor([[3.0, 4.0]]), tg.zeros(1, 2))
    tensor([5.])
    """
    return _norm(x1 - x2 + eps, p, -1, keepdim=keepdim)  # type: ignore[no-any-return]
