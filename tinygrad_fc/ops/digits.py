"""Digits for `logsumexp` where it comes out near 0.

There the largest element and the logarithm of the rest cancel, as they do in normalised
probabilities. What is left of them has its digits only from a wider type, and next to nothing is
left in that: so the worst rows are summed in whole numbers, as long as it takes.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDE = np.dtype("g")  # with more digits than float64, or on some machines just as many


def near_zero(rows: Any) -> Any:
    """Return the logarithm of the summed exponentials of each of `rows`."""
    largest = np.arange(len(rows)), rows.argmax(axis=-1)
    top = rows[largest].astype(WIDE)
    e = np.exp(rows - top[:, None])
    e[largest] = 0
    out = top + np.log1p(e.sum(axis=-1))
    spare = 8 * np.finfo(WIDE).eps / np.finfo(rows.dtype).eps
    lost = np.abs(out) < np.abs(top) * spare
    out[lost] = [_exactly(row) for row in rows[lost].tolist()]
    return out


def _exactly(row: Sequence[float]) -> float:
    # Fixed-point numbers of twice a float's digits, below the largest element's first.
    bits = 128 - min(math.frexp(max(row))[1], 0)
    excess = sum(_exp(x, bits) for x in row if x > -math.inf) - (1 << bits)
    return math.log1p(excess / (1 << bits))


def _exp(x: float, bits: int) -> int:
    """Return exp(x) * 2**bits: from the nearest 256th below, and a series for the rest."""
    n, d = x.as_integer_ratio()
    scaled = (n << bits) // d
    k = scaled >> (bits - 8)
    rest = scaled - (k << (bits - 8))
    total = term = 1 << bits
    j = 0
    while term:
        j += 1
        term = (term * rest >> bits) // j
        total += term
    return total * _power(k, bits) >> bits


@lru_cache(1 << 14)
def _power(k: int, bits: int) -> int:
    """Return exp(k / 256) * 2**bits."""
    from decimal import Context, Decimal, localcontext  # noqa: PLC0415  rare, and takes time

    with localcontext(Context(prec=bits // 3 + 9)):
        return int((Decimal(k) / 256).exp() * (1 << bits))
