"""What must hold for every gradient, at every place: all but its value, which is `values`' matter.

A law takes a `Case` and returns how much it compared; it raises `GradientError`. Laws are ordered
by what they cost, and so that the first that fails is the nearest to the cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.slopes import CALM, room
from tinygrad_fc.testing.errors import DiscardError, GradientError, Tally
from tinygrad_fc.testing.numbers import (
    EPS,
    STILL,
    cotangent,
    finite,
    near,
    product,
    same,
    spread,
    worst,
)
from tinygrad_fc.testing.places import ordinaries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.testing.case import Case

Array = np.ndarray[Any, Any]

ONE = Tally(1)
TERMS = 128
"""How many ulps of its terms a gradient may be off, of which 32 times as much is allowed."""


def told(case: Case) -> None:
    """Leave an example where the function itself is not finite: nothing can be told there."""
    with case.watched():
        if case.out.dtype.kind != "f" or not np.isfinite(case.out).all():
            raise DiscardError


# Types, and what is left as it was


def sound(case: Case) -> Tally:
    """Each gradient has its argument's shape and dtype and is finite, and nothing is changed."""
    _turned_first(case)
    arrays = [a.copy() for a in case.arrays]
    out = case.forward(arrays)
    _unchanged(case, arrays, case.arrays, "the function")
    told(case)
    g = case.g.copy()
    kept = out.copy()
    found = case.gradients(g, out, arrays)
    _unchanged(case, [g, out, *arrays], [case.g, kept, *case.arrays], "the gradient")
    for i, a in zip(case.floats, found, strict=True):
        x = arrays[i]
        if a.shape != x.shape:
            raise case.wrong("shape", _has(case, i, "shape", a.shape, x.shape), argument=i)
        if a.dtype != x.dtype:
            raise case.wrong("dtype", _has(case, i, "dtype", a.dtype, x.dtype), argument=i)
    if out.size == 0 and not case.strict and _overflows(case, found):
        raise DiscardError
    return ONE


def _overflows(case: Case, found: Sequence[Array]) -> bool:
    """Tell whether gradients are finite at ordinary numbers, and not here.

    What a function computes on the way may be infinite, and an empty result hides that.
    """
    if finite(found):
        return False
    other = case.at(case.placed(ordinaries(case)))
    return finite(other.gradients(other.g, other.out))


def _turned_first(case: Case) -> None:
    """Call with the same numbers in another order: what is kept by their sum is then stale."""
    if case.salt % 2 or not case.drawn:
        return
    turned = case.at([np.array(np.flip(a)) if a.dtype.kind == "f" else a for a in case.arrays])
    try:
        if turned.legal():
            turned.gradients(cotangent(turned.out, case.salt), turned.out)
    except DiscardError:
        return


def _has(case: Case, i: int, what: str, got: Any, expected: Any) -> str:
    return f"the gradient of {case.rule.argument(i)} has {what} {got}; the argument has {expected}"


def _unchanged(case: Case, now: Sequence[Array], before: Sequence[Array], who: str) -> None:
    names = [case.rule.argument(i) for i in range(len(case.arrays))]
    names = ["g, the gradient of the result", "out, the result", *names][-len(now) :]
    for name, a, b in zip(names, now, before, strict=True):
        if not same(a, b):
            at = worst(a, b)
            raise case.wrong("mutation", f"{who} changes {name}: {b[at]} at {at} becomes {a[at]}")


def second_type(case: Case) -> Tally:
    """The rule of the rule keeps shapes and dtypes in float32, where no values are compared."""
    narrow = case.cast(np.float32)
    told(narrow)
    narrow.second([cotangent(narrow.arrays[i], case.salt + i) for i in case.floats], narrow.g)
    return ONE


def own(case: Case, g: Array) -> list[Array]:
    """Return the rounding of gradients: what an ulp moves, and that of numbers of usual size."""
    moved = spread(lambda nudge: case.gradients(g, nudge=nudge), EPS)
    return [r + EPS * u for r, u in zip(moved, usual(case, g), strict=True)]


# The gradient of the result


def zero(case: Case, order: int = 2) -> Tally:
    """A branch that was not taken sends back exactly 0."""
    if case.strict:
        return _zero_everywhere(case, order)
    for i, a in zip(case.floats, case.gradients(np.zeros_like(case.out), case.out), strict=True):
        if a.any():
            at = tuple(int(k) for k in np.argwhere(a)[0])
            raise case.wrong(
                "nonlinear",
                f"the gradient of {case.rule.argument(i)} is {a[at]} at {at} for g = 0, which must "
                "give exactly 0",
                argument=i,
                index=at,
                analytic=a[at],
                numerical=0.0,
            )
    return ONE


def _zero_everywhere(case: Case, order: int) -> Tally:
    """In a row of the table: in all orders, outside of its domain, without a word."""
    g = np.zeros_like(case.forward())
    for found in case.gradients(g):
        if found.any():
            raise case.wrong("nonlinear", f"the gradient for g = 0 is {found}", g=g)
    if order < 2:
        return ONE
    ws = [cotangent(case.arrays[i], case.salt + i) for i in case.floats]
    with np.errstate(all="ignore"):  # how the gradient depends on g is told, and may be infinite
        later = case.second(ws, g)[1:]
    for found in later:
        if found.any():
            raise case.wrong(
                "second-order", f"the gradient of the gradient for g = 0 is {found}", g=g
            )
    return ONE


def linear(case: Case) -> Tally:
    """Gradients are linear in the gradient of the result."""
    told(case)
    out = case.out
    g = case.g
    # Eighths are exact in every float; thirds are not, and a rule that rounds them is seen.
    h = np.asarray(cotangent(out, case.salt + 1) / 3, out.dtype)
    times = 64.0
    mine, others, negated, scaled, both = _combined(case, g, h, times)
    if not finite((*scaled, *both)):  # numbers on the way overflow
        times, g, h = 1 / 64, CALM * g, CALM * h
        mine, others, negated, scaled, both = _combined(case, g, h, times)
    for k, (a, b) in enumerate(zip(mine, others, strict=True)):
        rounding = lambda k=k: blur(case, g, k) + blur(case, h, k)  # noqa: E731
        large = lambda r=rounding: times * r()  # noqa: E731
        with np.errstate(invalid="ignore"):
            # Where the slope is infinite, the sum of two may be anything.
            total = np.where(np.isinf(a) & np.isinf(b), both[k], a + b)
        pairs = (
            ("-g", negated[k], -a, near(negated[k], -a, rounding)),
            (f"{times:g} g", scaled[k], times * a, near(scaled[k], times * a, large)),
            ("g + h", both[k], total, near(both[k], total, rounding, np.abs(a) + np.abs(b))),
        )
        for what, got, expected, right in pairs:
            if not right:
                at, i = worst(got, expected), case.floats[k]
                raise case.wrong(
                    "nonlinear",
                    f"the gradient of {case.rule.argument(i)} is {got[at]} at {at} for {what}, and "
                    f"{expected[at]} from those for its parts: it must be linear in g",
                    argument=i,
                    index=at,
                    analytic=got[at],
                    numerical=expected[at],
                    g=g,
                )
    return ONE


def _combined(case: Case, g: Array, h: Array, times: float) -> list[list[Array]]:
    """Return the gradients for `g`, for `h`, and for what is made of them."""
    return [case.gradients(k, case.out) for k in (g, h, -g, times * g, g + h)]


def blur(case: Case, g: Array, k: int) -> Array:
    """Return the rounding of the `k`-th gradient, that of its terms included, which may cancel.

    How large these are is seen where `g` has other signs: then others cancel. Rules that scale
    what they compute by the size of `g` (exponentials of matrices) round by as much otherwise.
    """
    rng = np.random.default_rng(g.shape)
    signs = [rng.choice((-1, 1), g.shape) for _ in range(4)]
    turned = [case.gradients(np.asarray(s * g, g.dtype), case.out)[k] for s in signs]
    terms = np.max([np.abs(a[np.isfinite(a)]).max(initial=0) for a in turned])
    eps = float(np.finfo(g.dtype).eps)
    sizes = TERMS * terms + 2 * usual(case, g)[k] + 8 * invisible(case, g, case.out)[k]
    third = np.asarray(g / 3, g.dtype)  # what moves by eighths may round alike wherever it moves
    moved = own(case, g)[k] + 3 * own(case, third)[k]
    return np.asarray(moved + eps * (sizes + STILL / 32 * products(case, g)[k]))


def products(case: Case, g: Array) -> list[Array]:
    """Return how large gradients are of the product of all arguments."""
    most = float(np.abs(np.asarray(g, float)).sum()) * product(case.arrays)
    return [most / room(np.asarray(case.arrays[i], float)) for i in case.floats]


def invisible(case: Case, g: Array, out: Array) -> list[Array]:
    """Return how large gradients are by which the result, over all of `x`, moves by itself.

    An eps of that is lost in the rounding of `out`, or of what it is elsewhere: rules that compute
    it from what they share with `out` have no digit of it left (two numbers, normalised, are 1 and
    -1 wherever they lie).
    """
    sizes = np.abs(np.asarray(out, float))
    for point in elsewhere(case):
        try:
            with np.errstate(all="ignore"):
                other = np.abs(case.at(case.placed(point)).out)
        except (DiscardError, GradientError):
            continue
        sizes = np.where(np.isfinite(other), np.maximum(sizes, other), sizes)
    with np.errstate(all="ignore"):
        each = np.abs(np.asarray(g, float)) * sizes
    total = each[np.isfinite(each)].sum()
    return [total / room(np.asarray(case.arrays[i], float)) for i in case.floats]


def elsewhere(case: Case) -> Iterator[list[Array]]:
    """Yield the arguments with ordinary numbers in place of all of them, and of each."""
    usual = ordinaries(case)
    mine = [case.arrays[i] for i in case.floats]
    yield usual
    for k, i in enumerate(case.floats):
        for sign in (1, -1)[: 1 + (case.words[i].low < -1)]:
            yield [*mine[:k], sign * usual[k], *mine[k + 1 :]]


def usual(case: Case, g: Array) -> list[float]:
    """Return how large gradients are where numbers are about 1: all, or those of one argument."""
    most = [0.0] * len(case.floats)
    for point in elsewhere(case):
        try:
            with np.errstate(all="ignore"):
                other = case.at(case.placed(point))
                found = other.gradients(g.astype(case.out.dtype))
        except DiscardError:
            continue
        sizes = (float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in found)
        most = [max(m, s) for m, s in zip(most, sizes, strict=True)]
    return most


# Rows of the table


def alone(case: Case) -> Tally:
    """The gradient of an argument is the same where the others have none."""
    if len(case.floats) < 2 or not case.rule.own:
        return ONE
    together = case.gradients(case.g)
    for i, a in zip(case.floats, together, strict=True):
        rule: Any = case.rule
        found = rule.gradients(case.g, None, case.arrays, case.settings, needing=(i,))
        b = found[i]._array if hasattr(found[i], "_array") else found[i]
        if not same(a, b):
            raise case.wrong(
                "value",
                f"the gradient of {case.rule.argument(i)} is {a}, and {b} where the other "
                "arguments require none",
                argument=i,
            )
    return ONE
