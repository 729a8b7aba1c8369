"""Guesses at why a gradient is wrong: what people get wrong, tried one after another.

A guess is told only if it explains every entry, at the place that failed and at others where the
gradient is wrong too: one that misleads is worse than none.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from tinygrad_fc.op import Op
from tinygrad_fc.tensor import Tensor
from tinygrad_fc.testing.common import repeated
from tinygrad_fc.testing.factors import factor, inner
from tinygrad_fc.testing.numbers import cotangent
from tinygrad_fc.testing.probes import Wrong, alike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.testing.case import Case
    from tinygrad_fc.testing.probes import Found, Probe

Array = np.ndarray[Any, Any]

NEARLY = 1e-3
ZERO = "it is 0 everywhere"


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
        for explains in (_cut, _nothing, _repeated, _summed, factor, _ones, _turned, _others):
            if text := _tried(explains, several, right):
                return text
        if second or case.rule.own:
            return ""
        for explains in (_transposed, _exchanged, _along, inner):
            if text := _tried(explains, several, right):
                return text
    return ""


def _tried(explains: Callable[..., str], several: Sequence[Wrong], right: Sequence[Case]) -> str:
    """Return a guess; a guess that fails must not hide what was found."""
    try:
        return explains(several, right)
    except Exception:  # noqa: BLE001  rules are called with what they were not made for
        return ""


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
        if all(alike(np.asarray(a, float), w.n) for a, w in zip(right, several, strict=True)):
            return f"it is right without the {name} in the function, which cuts a value off"
    return ""


def _nothing(several: Sequence[Wrong], right: Sequence[Case]) -> str:
    if any(w.a.any() for w in several):
        return ""
    if not several[0].second and all(map(_no_gradient, several)):
        return "the rule returns None for it, which stands for no gradient: is it forgotten?"
    if not several[0].second and any(c.gradients(c.g)[several[0].k].any() for c in right):
        return "it is 0 wherever it is wrong, and not elsewhere: a branch leaves something out"
    if several[0].second:
        return (
            f"{ZERO}: a value that the rule reads has lost its history (detached, or turned into "
            "an array)"
        )
    return f"{ZERO}: the rule is missing, or something cuts it off"


def _no_gradient(w: Wrong) -> bool:
    """Tell whether a rule in plain NumPy says that an argument has no gradient."""
    case = w.case
    if case.rule.own:
        return False
    found = case.rule.gradients(case.g, case.out, case.arrays, case.settings)
    return found[w.i if len(found) == len(case.arrays) else w.k] is None


def _ones(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    def found(w: Wrong) -> Iterator[str]:
        vjp, weights = w.found.disagreement.vjp, w.found.disagreement.w
        used = weights != 0
        other = np.where(used, cotangent(weights, 99), 0)
        if (other != weights).any() and np.array_equal(vjp(other)[w.k], w.a):
            yield "it does not depend on g, the gradient of the result: multiply by it"
        ones = np.asarray(vjp(used.astype(weights.dtype))[w.k], float)
        if alike(w.a, ones) and len(weights) > 1:
            yield "it is that for g = ones: g is not used element by element"

    return _common(several, found)


def _turned(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    def found(w: Wrong) -> Iterator[str]:
        if w.a.ndim > 1 and alike(w.a.swapaxes(-1, -2), w.n):
            yield "it is right when transposed"
        for axis in range(w.a.ndim):
            told = f"axis {axis - w.a.ndim}"
            if w.a.shape[axis] > 1 and alike(np.flip(w.a, axis), w.n):
                yield f"it is right when reversed along {told}"
            for step in (1, -1) if w.a.shape[axis] > 2 else ():
                if alike(np.roll(w.a, step, axis), w.n):
                    yield f"it is right when shifted by {step} along {told}"

    return _common(several, found)


def _others(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    def found(w: Wrong) -> Iterator[str]:
        for j, n in enumerate(w.found.numeric):
            if j != w.k and alike(w.a, n):
                i = j - w.second
                name = "g" if i < 0 else w.case.rule.argument(w.case.floats[i])
                yield f"it is the gradient of {name}"

    return _common(several, found)


def _summed(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    """Where an argument was broadcast: its gradient before it is summed, by other axes."""
    from tinygrad_fc.testing.values import widened  # noqa: PLC0415

    def found(w: Wrong) -> Iterator[str]:
        whole = wide[id(w)]
        extra = whole.ndim - w.a.ndim
        right = tuple(range(extra)) + tuple(
            i + extra for i, s in enumerate(w.a.shape) if s == 1 != whole.shape[i + extra]
        )
        if alike(w.a, whole.mean(right).reshape(w.a.shape)):
            yield f"it is averaged over the broadcast axes {right}, where it must be summed"
        if alike(whole.sum(right).reshape(w.a.shape), w.n):
            for count in range(whole.ndim + 1):
                for axes in combinations(range(whole.ndim), count):
                    part = whole.sum(axes)
                    fits = axes != right and part.size == w.a.size
                    if fits and alike(part.reshape(w.a.shape), w.a):
                        yield f"it is summed over axes {axes} of the result in place of {right}"

    if several[0].second:
        return ""
    # Where all arguments broadcast to the result, which not all functions do everywhere.
    measured = ((w, widened(w.case, w.k, w.found.disagreement.w)) for w in several)
    wide = {id(w): whole for w, whole in measured if whole is not None}
    known = [w for w in several if id(w) in wide]
    return _common(known, found) if id(several[0]) in wide and len(known) > 1 else ""


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
                if alike(w.again(w.g, out, other), w.n):
                    yield f"it is right with {w.case.rule.argument(j)} transposed"
        if out.ndim > 1 and alike(w.again(w.g.swapaxes(-1, -2), out, arrays), w.n):
            yield "it is right with g transposed"

    return _common(several, found)


def _exchanged(several: Sequence[Wrong], _right: Sequence[Case]) -> str:
    def found(w: Wrong) -> Iterator[str]:
        arrays, out = list(w.case.arrays), w.case.out
        for j, x in enumerate(arrays):
            name = w.case.rule.argument(j)
            if x.shape == out.shape and x.dtype == out.dtype:
                put = [*arrays[:j], out, *arrays[j + 1 :]]
                if alike(w.again(w.g, out, put), w.n):
                    yield f"it is right with out, the result, in place of {name}"
                if alike(w.again(w.g, x, arrays), w.n):
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
            if alike(turned.T, w.n):
                yield "it is right for transposed arrays: it goes along the wrong axis"
        for axis in range(-out.ndim, 0):
            turned = w.again(
                np.flip(w.g, axis), np.flip(out, axis), [np.flip(x, axis) for x in arrays]
            )
            if alike(np.flip(turned, axis), w.n):
                yield f"it is right for reversed arrays: it goes the wrong way along axis {axis}"

    return _common(several, found)
