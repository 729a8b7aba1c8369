"""Singular values of a matrix, or of a batch of them.

No rows of the table, whose laws hold everywhere: where two values are equal they have kinks, and
vectors have no derivative. `tests/test_linalg.py` holds them to the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.domain import real
from tinygrad_fc.op import Op, quiet
from tinygrad_fc.ops.index import scatter
from tinygrad_fc.ops.solve import each


def _eigenvectors_slope(g: Any, out: Any, a: Any) -> Any:
    values = (out * (a @ out)).sum(axis=-2)
    gaps = values[..., None, :] - values[..., :, None]
    spread = np.max(np.abs(values), axis=-1, keepdims=True)[..., None]
    # Vectors of equal values turn freely, and nothing that has a slope depends on how.
    equal = np.abs(gaps) <= spread * (16 * float(np.finfo(a.dtype).eps))
    turned = np.where(equal, 0, (out.swapaxes(-1, -2) @ g) / np.where(equal, 1, gaps))
    return out @ turned @ out.swapaxes(-1, -2)


eigenvectors = Op(
    np.linalg.eigh,
    forward=quiet(lambda a: each(lambda m: np.linalg.eigh(m).eigenvectors, a.shape, a)),
    domain=(real(..., "n", "n"),),
    rules=(_eigenvectors_slope,),
    settings={},
    name="eigenvectors",
)
"""Those of symmetric matrices (..., n, n), in columns, with their values in order."""


def _singular_slope(g: Any, out: Any, a: Any) -> Any:
    # Eigenvectors of [[0, a], [a', 0]] are left and right singular vectors, one above the other,
    # and its eigenvalues those of a, and minus those of a.
    *batch, n, m = a.shape
    k = min(n, m)
    shape = (*batch, n + m, n + m)
    corner = scatter(a, at=(..., slice(n), slice(n, None)), shape=shape)
    both = eigenvectors(corner + corner.swapaxes(-1, -2))[..., ::-1][..., :k]
    left, right = both[..., :n, :], both[..., n:, :]
    return (left * (2 * g)[..., None, :]) @ right.swapaxes(-1, -2)


def _singular_values(a: Any) -> Any:
    *batch, n, m = a.shape
    values = each(
        lambda x: np.linalg.svd(x, compute_uv=False)[..., None], (*batch, min(n, m), 1), a
    )
    return values[..., 0]


singular_values = Op(
    np.linalg.svdvals,
    forward=quiet(_singular_values),
    domain=(real(..., "n", "m"),),
    rules=(_singular_slope,),
    settings={},
    name="singular values",
)
