"""Guesses at why a gradient is wrong: what people get wrong, tried one after another.

A guess is told only if it explains every entry, at the place that failed and at others where the
gradient is wrong too: one that misleads is worse than none.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from tinygrad_fc.op import Op
from tinygrad_fc.tensor import Tensor
from tinygrad_fc.testing.common import repeated
from tinygrad_fc.testing.numbers import cotangent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.probes import Found, Probe

Array = np.ndarray[Any, Any]

CLOSE, NEARLY = 1e-5, 1e-3
ZERO = "it is 0 everywhere"
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


class Wrong:
    """One gradient that is wrong, at one place."""

    def __init__(self, case: Case, found: Found, k: int, *, second: bool) -> None:
        self.case, self.found, self.k, self.second = case, found, k, second
        self.a, self.n = found.analytic[k], found.numeric[k]

    @property
    def i(self) -> int:
        """Which argument it is the gradient of; -1 for that of the result."""
        k = self.k - self.second
        return k if k < 0 else self.case.floats[k]

    @property
    def g(self) -> Array:
        """The gradient of the result."""
        return np.asarray(self.found.disagreement.w, self.case.out.dtype).reshape(
            self.case.out.shape
        )

    def again(self, g: Array, out: Array, arrays: Sequence[Array]) -> Array:
        """Return what the rule gives for other arrays."""
        case = self.case
        found = case.gradients(np.asarray(g), np.asarray(out), list(arrays))
        return np.asarray(found[self.k], float)


def guess(case: Case, found: Found, probes: Sequence[Probe], *, second: bool) -> str:
    """Return the first cause that explains all that is wrong, nothing where none does."""
    k, _ = found.at
    several = [Wrong(case, found, k, second=second)]
    several += [
        Wrong(p.case, p.found, k, second=second)
        for p in probes
        if p.found is not None and k < len(p.found.analytic) and p.found.wrong(k)
    ]
    right = [p.case for p in probes if p.found is None]
    # The first was made small: what it alone shows, or one more, is no more than a coincidence.
    if len(several) < 3 or any(map(_nearly, several)):
        return ""
    with np.errstate(all="ignore"):
        for explains in (_cut, _nothing, _repeated, _summed, _factor, _ones, _turned, _others):
            if text := _tried(explains, several, right):
                return text
        if second or case.rule.own:
            return ""
        for explains in (_transposed, _exchanged, _along, _inner):
            if text := _tried(explains, several, right):
                return text
    return ""


def _tried(explains: Callable[..., str], several: Sequence[Wrong], right: Sequence[Case]) -> str:
    """Return a guess; a guess that fails must not hide what was found."""
    try:
        return explains(several, right)
    except Exception:  # noqa: BLE001  rules are called with what they were not made for
        return ""


def _alike(a: Array, n: Array) -> bool:
    """Tell whether two gradients are the same to a few digits."""
    if a.shape != n.shape or not a.size:
        return False
    scale = np.abs(n).max()
    return bool(scale > 0 and (np.abs(a - n) <= CLOSE * (np.abs(n) + 1e-3 * scale)).all())


def _nearly(w: Wrong) -> bool:
    """Tell whether it is a matter of digits, for which there are other causes."""
    wrong = w.found.excess(w.k) > 0
    return bool((np.abs(w.a - w.n) <= NEARLY * np.abs(w.n))[wrong].all())


def _common(several: Sequence[Wrong], found: Callable[[Wrong], Iterator[str]]) -> str:
    """Return the first text that is found for all."""
    first, *others = (list(dict.fromkeys(found(w))) for w in several)
    return next((text for text in first if all(text in other for other in others)), "")


def _cut(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    """Where a function of tensors is right once nothing in it is cut off."""
    rule = several[0].case.rule
    if not rule.own or isinstance(rule.forward, Op):
        return ""
    itself = property(lambda self: self)
    owners = {
        name: next(c for c in Tensor.__mro__ if name in vars(c)) for name in ("data", "detach")
    }
    cuts: tuple[tuple[str, Any, str], ...] = (
        ("detach()", lambda self: self, "detach"),
        (".data", itself, "data"),
    )
    for name, left_out, attribute in cuts:
        with patch.object(owners[attribute], attribute, left_out):
            right = [w.found.disagreement.vjp(w.found.disagreement.w)[w.k] for w in several]
        if all(_alike(np.asarray(a, float), w.n) for a, w in zip(right, several, strict=True)):
            return f"it is right without the {name} in the function, which cuts a value off"
    return ""


def _nothing(several: Sequence[Wrong], right: Sequence[Case]) -> str:
    if any(w.a.any() for w in several):
        return ""
    if not several[0].second and any(c.gradients(c.g)[several[0].k].any() for c in right):
        return "it is 0 wherever it is wrong, and not elsewhere: a branch leaves something out"
    if several[0].second:
        return (
            f"{ZERO}: a value that the rule reads has lost its history (detached, or turned into "
            "an array)"
        )
    return f"{ZERO}: the rule is missing, or something cuts it off"


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
    return ratio if ratio and _alike(a, ratio * n) else math.nan


def _factor(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    ratios = [_ratio(w) for w in several]
    if not all(map(math.isfinite, ratios)):
        return ""
    sizes = [_sizes(w) for w in several]
    if all(math.isclose(r, ratios[0], rel_tol=2 * CLOSE) for r in ratios):
        same = next(
            (n for n, s in sizes[0].items() if all(z.get(n) == s for z in sizes) and s > 1
             and (math.isclose(ratios[0], s) or math.isclose(ratios[0], 1 / s))), "",
        )  # fmt: skip
        told = _constant(ratios[0])
        return f"{told} (or a sum and a mean confused: so large is {same})" if same else told
    return _of_sizes(ratios, sizes)


def _constant(ratio: float) -> str:
    """Return what is said of a gradient that is `ratio` times what it should be."""
    if math.isclose(ratio, -1, rel_tol=CLOSE):
        return "the sign is wrong"
    for factor, text in ((2, "twice what is right"), (0.5, "half of what is right")):
        if math.isclose(ratio, factor, rel_tol=CLOSE):
            return f"off by a factor of 2: {text}"
    return f"it lacks the factor {_number(1 / ratio)}"


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
    names = [n for n in sizes[0] if all(n in s for s in sizes)]
    known = list(zip(ratios, sizes, strict=True))
    for constant, told in ((1.0, ""), (2.0, "twice "), (0.5, "half of "), (-1.0, "minus ")):
        for n in names:
            if all(math.isclose(r, constant * s[n], rel_tol=CLOSE) for r, s in known):
                return f"it is too large by {told}{n}: a sum for a mean?"
            if all(s[n] and math.isclose(r, constant / s[n], rel_tol=CLOSE) for r, s in known):
                return f"it is too small by {told}{n}: a mean for a sum?"
    for n in names:
        for m in names:
            if all(s[m] and math.isclose(r, s[n] / s[m], rel_tol=CLOSE) for r, s in known):
                return f"it is too large by {n} over {m}"
    return ""


def _ones(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    def found(w: Wrong) -> Iterator[str]:
        vjp, weights = w.found.disagreement.vjp, w.found.disagreement.w
        used = weights != 0
        other = np.where(used, cotangent(weights, 99), 0)
        if (other != weights).any() and np.array_equal(vjp(other)[w.k], w.a):
            yield "it does not depend on g, the gradient of the result: multiply by it"
        ones = np.asarray(vjp(used.astype(weights.dtype))[w.k], float)
        if _alike(w.a, ones) and len(weights) > 1:
            yield "it is that for g = ones: g is not used element by element"

    return _common(several, found)


def _turned(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    def found(w: Wrong) -> Iterator[str]:
        if w.a.ndim > 1 and _alike(w.a.swapaxes(-1, -2), w.n):
            yield "it is right when transposed"
        for axis in range(w.a.ndim):
            told = f"axis {axis - w.a.ndim}"
            if w.a.shape[axis] > 1 and _alike(np.flip(w.a, axis), w.n):
                yield f"it is right when reversed along {told}"
            for step in (1, -1) if w.a.shape[axis] > 2 else ():
                if _alike(np.roll(w.a, step, axis), w.n):
                    yield f"it is right when shifted by {step} along {told}"

    return _common(several, found)


def _others(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    def found(w: Wrong) -> Iterator[str]:
        for j, n in enumerate(w.found.numeric):
            if j != w.k and _alike(w.a, n):
                i = j - w.second
                name = "g" if i < 0 else w.case.rule.argument(w.case.floats[i])
                yield f"it is the gradient of {name}"

    return _common(several, found)


def _summed(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    """Where an argument was broadcast: its gradient before it is summed, by other axes."""
    from tinygrad_fc.testing.values import widened  # noqa: PLC0415

    def found(w: Wrong) -> Iterator[str]:
        whole = widened(w.case, w.k, w.found.disagreement.w)
        if whole is None:
            return
        extra = whole.ndim - w.a.ndim
        right = tuple(range(extra)) + tuple(
            i + extra for i, s in enumerate(w.a.shape) if s == 1 != whole.shape[i + extra]
        )
        if _alike(w.a, whole.mean(right).reshape(w.a.shape)):
            yield f"it is averaged over the broadcast axes {right}, where it must be summed"
        if _alike(whole.sum(right).reshape(w.a.shape), w.n):
            for count in range(whole.ndim + 1):
                for axes in combinations(range(whole.ndim), count):
                    part = whole.sum(axes)
                    fits = axes != right and part.size == w.a.size
                    if fits and _alike(part.reshape(w.a.shape), w.a):
                        yield f"it is summed over axes {axes} of the result in place of {right}"

    return "" if several[0].second else _common(several, found)


def _repeated(several: Sequence[Wrong], right: Sequence[Case]) -> str:
    picked = any(w.kind == "index" for w in several[0].case.words)
    others = [case for case in right if case.out.size > 1 and not repeated(case)]
    if picked and others and all(repeated(w.case) for w in several):
        return "an index occurs twice: add up what comes back (np.add.at), don't assign it"
    return ""


# What is right with other arrays in place of its own: only rules in plain NumPy can be asked.


def _transposed(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    def found(w: Wrong) -> Iterator[str]:
        arrays, out = list(w.case.arrays), w.case.out
        for j, x in enumerate(arrays):
            if x.ndim > 1 and j != w.i:
                other = [*arrays[:j], x.swapaxes(-1, -2), *arrays[j + 1 :]]
                if _alike(w.again(w.g, out, other), w.n):
                    yield f"it is right with {w.case.rule.argument(j)} transposed"
        if out.ndim > 1 and _alike(w.again(w.g.swapaxes(-1, -2), out, arrays), w.n):
            yield "it is right with g transposed"

    return _common(several, found)


def _exchanged(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    def found(w: Wrong) -> Iterator[str]:
        arrays, out = list(w.case.arrays), w.case.out
        for j, x in enumerate(arrays):
            name = w.case.rule.argument(j)
            if x.shape == out.shape and x.dtype == out.dtype:
                put = [*arrays[:j], out, *arrays[j + 1 :]]
                if _alike(w.again(w.g, out, put), w.n):
                    yield f"it is right with out, the result, in place of {name}"
                if _alike(w.again(w.g, x, arrays), w.n):
                    yield f"it is right with {name} in place of out, the result"

    return _common(several, found)


def _along(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    """Where all arrays are alike: turned, the rule is right of what was turned."""

    def found(w: Wrong) -> Iterator[str]:
        arrays, out = list(w.case.arrays), w.case.out
        if any(x.shape != out.shape or x.dtype.kind != "f" for x in arrays):
            return
        if out.ndim == 2:
            turned = w.again(w.g.T, out.T, [x.T for x in arrays])
            if _alike(turned.T, w.n):
                yield "it is right for transposed arrays: it goes along the wrong axis"
        for axis in range(-out.ndim, 0):
            turned = w.again(
                np.flip(w.g, axis), np.flip(out, axis), [np.flip(x, axis) for x in arrays]
            )
            if _alike(np.flip(turned, axis), w.n):
                yield f"it is right for reversed arrays: it goes the wrong way along axis {axis}"

    return _common(several, found)


def _inner(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
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
            if len(set(base[told].tolist())) < 4 or not np.isfinite(constant).all():
                continue
            if np.allclose(constant, constant[0], rtol=CLOSE, atol=0):
                factor = _written(float(constant[0]), name, power)
                return f"it lacks the factor {factor}: an inner derivative, by the chain rule?"
    return ""


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
