"""Factors that a gradient is off by: constants, sizes of axes, inner derivatives."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.testing.probes import CLOSE, alike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.probes import Wrong

Array = np.ndarray[Any, Any]

EXACT = 2.0**-22
"""How exact, besides what differences leave open, a gradient is once it has what it lacked."""
VARIED = 2.0**-6
"""How much what a missing factor is made of must vary, relative to the largest."""
KNOWN = {
    "ln 10": math.log(10),
    "ln 2": math.log(2),
    "pi": math.pi,
    "2 pi": 2 * math.pi,
    "sqrt(2)": math.sqrt(2),
    "sqrt(pi)": math.sqrt(math.pi),
    "sqrt(2 pi)": math.sqrt(2 * math.pi),
    "2 / sqrt(pi)": 2 / math.sqrt(math.pi),
}
"""Constants that are left out of derivatives."""


def _sizes(w: Wrong) -> dict[str, int]:
    """Return the sizes of arrays and axes, by what they are called."""
    found = {}
    for i, x in enumerate(w.case.arrays):
        name = w.case.rule.argument(i)
        found.update({f"the size of axis {j - x.ndim} of {name}": s for j, s in enumerate(x.shape)})
        found[f"how many numbers {name} has"] = x.size
    found["how many results there are"] = w.case.out.size
    return found


def _ratio(w: Wrong) -> float:
    """Return how many times as large as it should be a gradient is where it is wrong, or NaN."""
    wrong = w.found.excess(w.k) > 0
    a, n = w.a[wrong], w.n[wrong]
    at = int(np.argmax(np.abs(n)))
    ratio = float(a[at] / n[at]) if n[at] else math.nan
    return ratio if ratio and alike(a, ratio * n) else math.nan


def factor(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    """A factor that is the same for all entries of a gradient: a constant, or made of sizes."""
    ratios = [_ratio(w) for w in several]
    if not all(map(math.isfinite, ratios)):
        return ""
    sizes = [_sizes(w) for w in several]
    if all(math.isclose(r, ratios[0], rel_tol=2 * CLOSE) for r in ratios):
        same = next(
            (n for n, s in sizes[0].items() if all(z.get(n) == s for z in sizes) and s > 1
             and (math.isclose(ratios[0], s) or math.isclose(ratios[0], 1 / s))), "",
        )  # fmt: skip
        told = _constant(ratios[0], several)
        return f"{told} (or a sum and a mean confused: so large is {same})" if same else told
    return _of_sizes(ratios, sizes)


def _holds(several: Sequence[Wrong], factors: Sequence[Array]) -> bool:
    """Tell whether gradients, times factors, are right to more digits than what is nearly so.

    In the tail of a sigmoid, where all is nearly 0, a wrong formula is nearly the right one times a
    factor; and differences may leave open what is right there.
    """
    for w, factor in zip(several, factors, strict=True):
        wrong = w.found.excess(w.k) > 0
        digits, bound = EXACT * np.abs(w.n), 4 * w.found.error[w.k]
        told = (np.abs(w.a * factor - w.n) <= digits + bound)[wrong].all()
        if not told or not (bound <= digits)[wrong].any():
            return False
    return True


def _constant(ratio: float, several: Sequence[Wrong]) -> str:
    """Return what is said of a gradient that is `ratio` times what it should be."""
    if math.isclose(ratio, -1, rel_tol=CLOSE):
        return "the sign is wrong"
    for factor, text in ((2, "twice what is right"), (0.5, "half of what is right")):
        if math.isclose(ratio, factor, rel_tol=CLOSE):
            return f"off by a factor of 2: {text}"
    holds = _holds(several, [np.array(1 / ratio)] * len(several))
    return f"it lacks the factor {_number(1 / ratio)}" if holds else ""


def _number(value: float) -> str:
    """Return a number as a fraction, or a constant, where it is one."""
    near = Fraction(value).limit_denominator(12)
    if math.isclose(near, value, rel_tol=CLOSE):
        return str(near)
    for name, known in KNOWN.items():
        if math.isclose(value, known, rel_tol=CLOSE):
            return name
        if math.isclose(value, 1 / known, rel_tol=CLOSE):
            return f"1 / ({name})"
    return f"{value:.7g}"


def _of_sizes(ratios: Sequence[float], sizes: Sequence[dict[str, int]]) -> str:
    """Return what is said where a gradient is off by the size of something."""
    names = [n for n in sizes[0] if all(s.get(n, 0) > 0 for s in sizes)]
    for text, expected in _claims({n: np.array([s[n] for s in sizes], float) for n in names}):
        if np.allclose(ratios, expected, rtol=CLOSE, atol=0):
            return text
    return ""


def _claims(sizes: dict[str, Array]) -> Iterator[tuple[str, Array]]:
    """Yield what may be said, and how many times too large gradients are where that is so."""
    for constant, told in ((1.0, ""), (2.0, "twice "), (0.5, "half of "), (-1.0, "minus ")):
        for n, size in sizes.items():
            yield f"it is too large by {told}{n}: a sum for a mean?", constant * size
            yield f"it is too small by {told}{n}: a mean for a sum?", constant / size
    for n, size in sizes.items():
        yield f"it is divided by {n}, where one less is right", 1 - 1 / size
        yield f"it is divided by one less than {n}, where that itself is right", size / (size - 1)
    for n, size in sizes.items():
        for m, other in sizes.items():
            yield f"it is too large by {n} over {m}", size / other


def inner(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    """A factor that depends on the arguments: what the chain rule multiplies by."""
    for power in (1, -1, 2, 0.5, -2, -0.5):
        for name in _bases(several[0]):
            bases = [_bases(w).get(name) for w in several]
            known = [b.ravel() for b in bases if b is not None]
            if len(known) < len(several):
                continue
            ratio = np.concatenate([(w.n / w.a).ravel() for w in several])
            base = np.concatenate(known) ** power
            told = np.concatenate([((w.n != 0) | (w.a != 0)).ravel() for w in several])
            constant = (ratio / base)[told]
            if not _varied(base[told]) or not np.isfinite(constant).all():
                continue
            same = constant[0] and np.allclose(constant, constant[0], rtol=CLOSE, atol=0)
            factors = [
                constant[0] * b.reshape(w.n.shape) ** power
                for b, w in zip(known, several, strict=True)
            ]
            if same and _holds(several, factors):
                factor = _written(float(constant[0]), name, power)
                return f"it lacks the factor {factor}: an inner derivative, by the chain rule?"
    return ""


def _varied(base: Array) -> bool:
    """Tell whether numbers differ enough to be told from others: near 1 all powers look alike."""
    sizes = np.abs(base)
    most = sizes.max(initial=0)
    return len(np.unique(base)) > 3 and bool(most - sizes.min(initial=most) > VARIED * most)


def _bases(w: Wrong) -> dict[str, Array]:
    """Return what a missing factor may be made of, by name."""
    shape, out = w.a.shape, np.asarray(w.case.out, float)
    found = {}
    if out.shape in {shape, shape[:-1]}:
        found["out"] = out if out.shape == shape else np.broadcast_to(out[..., None], shape)
    for i, x in enumerate(w.case.arrays):
        if x.shape == shape and x.dtype.kind == "f":
            names = w.case.rule.names
            name = names[i] if i < len(names) else f"argument {i}"
            found = {name: x.astype(float), f"log({name})": np.log(x), **found}
    return found


def _written(constant: float, name: str, power: float) -> str:
    told = _number(constant)
    root = f"sqrt({name})" if abs(power) == 0.5 else name + "^2" * (abs(power) == 2)
    if power < 0:
        return f"{told} / {root}"
    return root if told == "1" else f"-{root}" if told == "-1" else f"{told} {root}"
