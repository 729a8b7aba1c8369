"""Inputs as most people write them for a gradient checker: random, of one shape, well inside."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tinygrad_fc.domain import parse_axis

if TYPE_CHECKING:
    import numpy as np

    from tinygrad_fc.domain import Domain

    from .case import Array, Case

SIZES = {"n": 3, "m": 4, "k": 3, "d": 2, "c": 2, "v": 4, "p": 3}


def shapes(case: Case, sizes: dict[str, int], batch: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return a shape for each argument, with the `sizes` of names."""
    result = []
    for domain in case.domains:
        shape: tuple[int, ...] = (3, 4) if domain.shape is None else ()
        for a in domain.shape or ():
            size = sizes[parse_axis(a).name] if isinstance(a, str) else a
            shape += batch if a is ... else (size,)
        result.append(shape)
    return result


def values(
    domain: Domain, shape: tuple[int, ...], sizes: dict[str, int], rng: np.random.Generator
) -> Array:
    """Return random values well inside a domain."""
    if domain.kind == "bool":
        return rng.random(shape) < 0.5
    if domain.kind == "index":
        n = sizes[domain.size] if isinstance(domain.size, str) else domain.size
        return rng.integers(0, n, shape)
    low, high = max(domain.low, -3.0), min(domain.high, 3.0)
    if domain.restricted and domain.without:
        return rng.uniform(0.3, 2, shape) * rng.choice((-1.0, 1.0), shape)
    if low == -3 and high == 3:
        return rng.standard_normal(shape)
    return low + (high - low) * rng.uniform(0.1, 0.9, shape)


def usual(
    case: Case,
    rng: np.random.Generator,
    sizes: dict[str, int] = SIZES,
    batch: tuple[int, ...] = (),
) -> list[Array]:
    """Return arrays that `case` may be called with."""
    for _ in range(50):
        arrays = [
            values(domain, shape, sizes, rng)
            for domain, shape in zip(case.domains, shapes(case, sizes, batch), strict=True)
        ]
        if case.where is None or case.where(*arrays):
            return arrays
    message = f"no inputs found for {case.name}"
    raise AssertionError(message)


def slope(f: Any, arrays: list[Array], direction: list[Any]) -> float:
    """Return the derivative of a number along a direction: differences, extrapolated twice."""

    def value(t: float) -> float:
        return float(
            f(*(a if v is None else a + t * v for a, v in zip(arrays, direction, strict=True)))
        )

    rows = []
    for k in range(8):
        h = 2.0 ** (-7 - k)
        rows.append([(value(h) - value(-h)) / (2 * h)])
        for j in range(min(k, 3)):
            rows[k].append(rows[k][j] + (rows[k][j] - rows[k - 1][j]) / (4 ** (j + 1) - 1))
    pairs = [(abs(a[-1] - b[-1]), b[-1]) for a, b in pairwise(rows[3:])]
    return min(pairs)[1]
