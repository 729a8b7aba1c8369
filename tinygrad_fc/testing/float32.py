"""The law of float32: a gradient in float32 equals the one in float64, up to rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinygrad_fc.autograd.numerical import DAMPING, EPS, longest_steps
from tinygrad_fc.testing.laws import accepts, differs, require_finite
from tinygrad_fc.testing.report import Array, DiscardError
from tinygrad_fc.testing.rounding import (
    EPS32,
    cotangent,
    distance,
    natural_sizes,
    roughness,
    spread,
)
from tinygrad_fc.testing.value import has_kink

if TYPE_CHECKING:
    from tinygrad_fc.testing.function import Case
    from tinygrad_fc.testing.rounding import Perturbation


PATTERNS = (0, 2, 4, 6)
"""Patterns of signs in which the arguments are moved to measure the rounding of gradients."""
SPARSE = tuple(EPS * 2.0**k for k in (22.3, 25.1, 27.7))
"""Larger moves that are no powers of two.

In saturation an intermediate number stays the same while its argument moves by many ulps.
"""


def float32(case: Case) -> None:
    """The gradient in float32 equals the one in float64, up to the rounding of float32."""
    narrow = case.cast(np.float32)
    if not accepts(narrow):
        raise DiscardError
    with case.errstate():
        out, wide = narrow.out, case.out
    require_finite(narrow)
    require_finite(case)
    g, plain, grads, beyond = _gradients(case, narrow)
    off = [distance(a, b) for a, b in zip(plain, grads, strict=True)]
    sizes = [np.nan_to_num(np.abs(a), posinf=np.inf) for a in plain]
    loose = 64 * EPS32 if case.strict else 2.0**-12
    close = [(o <= loose * a) | b for o, a, b in zip(off, sizes, beyond, strict=True)]
    if not out.size or all(c.all() for c in close):
        return
    allowed = _explained(case, g.astype(wide.dtype), out, plain)
    right = [c | (o <= e) for c, o, e in zip(close, off, allowed, strict=True)]
    if all(r.all() for r in right):
        return
    if (np.abs(out - wide) > np.abs(wide) / 2).any() or has_kink(case):
        raise DiscardError  # it lies on the other side of a kink, or has no digit left
    k = next(k for k, r in enumerate(right) if not r.all())
    wrong = np.where(right[k], plain[k], grads[k])
    hint = f"In float64 it is that, to which rounding explains +- {allowed[k].max():.2g}"
    raise differs(narrow, "float32", case.floats[k], wrong, plain[k], "in float32", hint, g=g)


def _gradients(case: Case, narrow: Case) -> tuple[Array, list[Array], list[Array], list[Array]]:
    """Return a cotangent, the gradients in float64 and float32, and which may overflow."""
    g = cotangent(narrow.out, case.seed)
    with np.errstate(all="ignore"):
        plain = case.gradients(g.astype(case.out.dtype))
    # Next to the largest float32, intermediate numbers may overflow.
    beyond = [np.abs(a) > np.finfo(np.float32).max / 64 for a in plain]
    watched = case.strict and not any(b.any() for b in beyond)
    with np.errstate(all="raise" if watched else "ignore", under="ignore"):
        grads = narrow.gradients(g)
        if not all((np.isfinite(a) | b).all() for a, b in zip(grads, beyond, strict=True)):
            g = g * np.float32(DAMPING)
            plain, grads = case.gradients(g.astype(case.out.dtype)), narrow.gradients(g)
    return g, plain, grads, beyond


def _explained(case: Case, g: Array, out: Array, plain: list[Array]) -> list[Array]:
    """Return how far gradients in float32 may be from gradients in float64."""

    def moved(perturbation: Perturbation) -> list[Array]:
        return case.gradients(g, perturbation=perturbation)

    # Where a gradient changes within several ulps, one ulp moves it by that part of the change.
    several = [(2.0**k, p) for k in range(0, 17, 3) for p in PATTERNS]
    wide = [[t / u for t in spread(moved, u * EPS32, p)] for u, p in several]
    fine = [spread(moved, EPS, p) for p in PATTERNS]
    fine += [roughness(moved, step, p) for step in SPARSE for p in PATTERNS]
    rounding = [
        np.maximum(64 * np.max(w, axis=0), 16 * EPS32 / EPS * np.nanmax(f, axis=0))
        for w, f in zip(zip(*wide, strict=True), zip(*fine, strict=True), strict=True)
    ]
    # `log(1 - tanh(x)^2 + 1e-6)` at 11 is off by 1e-3: digits are lost that no ulp of `x` moves.
    off = np.abs(out - case.out) * (not case.strict)
    shaken = 32 * off.max(initial=0) / (np.abs(case.out).max(initial=0) or 1)
    cancelled = 32 * (np.abs(g) * off).sum()
    allowed = []
    rows = zip(case.floats, plain, rounding, *natural_sizes(case, g), strict=True)
    for i, a, r, usual, hidden in rows:
        floor = EPS32 * (64 * usual + 8 * hidden) + 2.0**-100 + shaken * np.abs(a).max(initial=0)
        floor = floor + cancelled / np.minimum(longest_steps(case.arrays[i]), 1)
        allowed.append(r + floor)
    return allowed
