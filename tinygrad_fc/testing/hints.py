"""Guesses at why a gradient is wrong: what people get wrong, tried one after another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.testing.numbers import cotangent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.compare import Disagreement

Array = np.ndarray[Any, Any]

CLOSE = 1e-5
ZERO = "it is 0 everywhere"


@dataclass(frozen=True)
class Found:
    """Gradients entry by entry: by the rule, by differences, and the bounds on these."""

    disagreement: Disagreement
    analytic: list[Array]
    numeric: list[Array]
    error: list[Array]
    digits: float
    """How far apart, relative to their size, the two may be besides."""

    @property
    def size(self) -> int:
        """How many entries there are."""
        return sum(a.size for a in self.analytic)

    def excess(self, k: int) -> Array:
        """Return how much farther apart the two are than the bound, relative to their size."""
        a, n = self.analytic[k], self.numeric[k]
        known = np.isfinite(self.error[k])
        far = np.abs(a - n) - np.where(known, self.error[k], 0) - self.digits * np.abs(n)
        scale = np.abs(n) + np.abs(a) + 2.0**-1000
        return np.where(known, np.where(np.isnan(far), np.inf, far / scale), -1.0)

    def wrong_somewhere(self) -> bool:
        """Tell whether any single entry is wrong."""
        return any((self.excess(k) > 0).any() for k in range(len(self.analytic)))

    def others(self) -> int:
        """Return how many entries are wrong."""
        return sum(int((self.excess(k) > 0).sum()) for k in range(len(self.analytic)))

    @property
    def at(self) -> tuple[int, tuple[int, ...]]:
        """Which entry of which gradient is the most wrong."""
        each = [self.excess(k) for k in range(len(self.analytic))]
        k = int(np.argmax([e.max(initial=-2) for e in each]))
        return k, tuple(int(i) for i in np.unravel_index(int(np.argmax(each[k])), each[k].shape))


def guess(case: Case, found: Found, *, second: bool) -> str:
    """Return the first cause that explains all entries, nothing where none does."""
    k, _ = found.at
    with np.errstate(all="ignore"):
        for explains in (_nothing, _summed, _factor, _ones, _turned, _others, _repeated):
            for text in explains(case, found, k, second):
                return text
    return ""


def _alike(a: Array, n: Array) -> bool:
    """Tell whether two gradients are the same to a few digits."""
    if a.shape != n.shape or not a.size:
        return False
    scale = np.abs(n).max()
    return bool(scale > 0 and (np.abs(a - n) <= CLOSE * (np.abs(n) + 1e-3 * scale)).all())


def _nothing(_case: Case, found: Found, k: int, second: bool) -> Iterator[str]:
    if not found.analytic[k].any():
        yield (
            f"{ZERO}: a value that the rule reads has lost its history (detached, or "
            "turned into an array)"
            if second
            else f"{ZERO}: the rule is missing, or something cuts it off"
        )


def _factor(case: Case, found: Found, k: int, _second: bool) -> Iterator[str]:
    a, n = found.analytic[k], found.numeric[k]
    sizes = {s for x in case.arrays for s in (*x.shape, x.size)} | {case.out.size}
    if _alike(-a, n):
        yield "the sign is wrong"
    for factor, text in ((2, "twice what is right"), (0.5, "half of what is right")):
        if _alike(a, factor * n):
            mean = " (or a sum and a mean confused: an axis has size 2)" if 2 in sizes else ""
            yield f"off by a factor of 2: {text}{mean}"
    for s in sorted(sizes):
        if s > 2 and _alike(a, s * n):
            yield f"{s} times what is right, and {s} is the size of an axis: a sum for a mean?"
        if s > 2 and _alike(s * a, n):
            yield f"a {s}th of what is right, and {s} is the size of an axis: a mean for a sum?"


def _ones(_case: Case, found: Found, k: int, _second: bool) -> Iterator[str]:
    vjp, w = found.disagreement.vjp, found.disagreement.w
    used = w != 0
    other = np.where(used, cotangent(w, 99), 0)
    if (other != w).any() and np.array_equal(vjp(other)[k], found.analytic[k]):
        yield "it does not depend on g, the gradient of the result: multiply by it"
    elif _alike(found.analytic[k], np.asarray(vjp(used.astype(w.dtype))[k], float)) and len(w) > 1:
        yield "it is that for g = ones: g is not used element by element"


def _turned(_case: Case, found: Found, k: int, _second: bool) -> Iterator[str]:
    a, n = found.analytic[k], found.numeric[k]
    if a.ndim > 1 and _alike(a.swapaxes(-1, -2), n):
        yield "it is right when transposed"
    for axis in range(a.ndim):
        if a.shape[axis] > 1 and _alike(np.flip(a, axis), n):
            yield f"it is right when reversed along axis {axis}"
        if a.shape[axis] > 2 and (
            _alike(np.roll(a, 1, axis), n) or _alike(np.roll(a, -1, axis), n)
        ):
            yield f"it is right when shifted by one along axis {axis}"


def _others(case: Case, found: Found, k: int, second: bool) -> Iterator[str]:
    for j, n in enumerate(found.numeric):
        if j != k and _alike(found.analytic[k], n):
            i = j - second
            yield f"it is the gradient of {'g' if i < 0 else case.rule.argument(case.floats[i])}"


def _summed(case: Case, found: Found, k: int, second: bool) -> Iterator[str]:
    """Where an argument was broadcast: its gradient before it is summed, by other axes."""
    if second:
        return
    from tinygrad_fc.testing.values import widened  # noqa: PLC0415

    whole = widened(case, k, found.disagreement.w)
    if whole is None:
        return
    a, n = found.analytic[k], found.numeric[k]
    extra = whole.ndim - a.ndim
    right = tuple(range(extra)) + tuple(
        i + extra for i, s in enumerate(a.shape) if s == 1 != whole.shape[i + extra]
    )
    if _alike(a, whole.mean(right).reshape(a.shape)):
        yield f"it is averaged over the broadcast axes {right}, where it must be summed"
    if _alike(whole.sum(right).reshape(a.shape), n):
        for count in range(whole.ndim + 1):
            for axes in combinations(range(whole.ndim), count):
                part = whole.sum(axes)
                if axes != right and part.size == a.size and _alike(part.reshape(a.shape), a):
                    yield f"it is summed over axes {axes} of the result in place of {right}"


def _repeated(case: Case, _found: Found, _k: int, _second: bool) -> Iterator[str]:
    for word, x in zip(case.words, case.arrays, strict=True):
        if word.kind == "index" and len(np.unique(x)) < x.size:
            yield "an index occurs twice: add up what comes back (np.add.at), don't assign it"
