"""Laws that hold for every gradient at every point; the law of its value is in `value`.

A law takes a `Case` and raises `GradientError`. Cheap and certain laws come first, so that the
first that fails is the nearest to the cause.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd.numerical import EPS
from tinygrad_fc.testing import rounding
from tinygrad_fc.testing.function import TANGENT, ordinary
from tinygrad_fc.testing.report import FLOAT32_REFUSED, Array, DiscardError, GradientError, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.testing.function import Case

    Difference = tuple[str, str, str]  # the kind of a failure, the call that differs, a hint

__tracebackhide__ = True  # pytest shows the lines of the user

RANDOM = 2.0**14
"""Equal calls differ by up to this many eps of the largest number.

Loops depend on addresses, so sums are added in another order: each of up to 2^14 terms, more than
an array of a check has, is rounded by an eps of the sum at most.
"""
OR_RANDOM = ", or the function is random: set a seed in it, or switch that part off (model.eval())"
STATE = "State is kept between calls" + OR_RANDOM
IDENTITY = (
    *("nondeterministic", "for arrays changed since"),
    "Arrays are recognised as objects, not by number" + OR_RANDOM,
)
LATEST = (
    *("nondeterministic", "after the function was called elsewhere"),
    "What the latest call of the function left is read, not g, out and the arguments" + OR_RANDOM,
)
BACKWARD = (
    *("nondeterministic", "in a second backward pass"),
    "The first one changes what forward saved for it" + OR_RANDOM,
)
EQUAL = ("nondeterministic", "in a second, equal call", STATE)
ALIAS = ("aliasing", "after another call", "Return a new array from each call")


def require_finite(case: Case) -> None:
    """Discard an example at which the function itself is not finite."""
    with case.errstate():
        if case.out.dtype.kind != "f" or not np.isfinite(case.out).all():
            raise DiscardError


def differs(
    case: Case, kind: str, i: int, got: Array, expected: Array, call: str, hint: str, **details: Any
) -> GradientError:
    """Return the error for a gradient that differs from the gradient of another call."""
    at = rounding.worst_index(got, expected) if got.shape == expected.shape else ...
    name = case.function.argument(i)
    message = f"the gradient of {name} {call} is {got[at]} at {at}; expected {expected[at]}"
    values = {"index": at, "analytic": got[at], "numerical": expected[at]} if at is not ... else {}
    return case.wrong(kind, message, argument=i, hint=hint, **values, **details)


def require_equal(
    case: Case, now: Sequence[Array], before: Sequence[Array], what: Difference, g: Any = None
) -> None:
    """Raise unless the gradients for `g` equal those of another call, up to rounding.

    `what` describes the other call, and is part of the error.
    """
    kind, call, hint = what
    g = case.g if g is None else g
    for k, (i, a, b) in enumerate(zip(case.floats, now, before, strict=True)):
        equal: Any = partial(_equal_calls, case)
        if kind in {"value", "layout"}:
            equal = partial(rounding.close, rounding=partial(rounding.of_gradient, case, g, k))
        if a.shape != b.shape or not equal(a, b):
            raise differs(case, kind, i, a, b, call, hint, g=g)


# Shape, dtype, mutation


def soundness(case: Case) -> None:
    """Each gradient has the shape and dtype of its argument, and no input is changed."""
    arrays = [a.copy() for a in case.arrays]
    out = case.forward(arrays)
    _require_unchanged(case, arrays, case.arrays, "the function")
    require_finite(case)
    g, before = case.g.copy(), [case.g, out.copy(), *case.arrays]
    grads = case.gradients(g, out, arrays)
    _require_unchanged(case, [g, out, *arrays], before, "the gradient")
    for i, a in zip(case.floats, grads, strict=True):
        case.require_like(i, a, arrays[i])
    first = [a.copy() for a in grads]
    require_equal(case, case.gradients(g, out, arrays), first, EQUAL)
    if out.size == 0 and not case.strict and not rounding.all_finite(grads):
        usual = case.at_point(case.ordinary_point())  # intermediate numbers may overflow
        if rounding.all_finite(usual.gradients(usual.g, usual.out)):
            raise DiscardError


def _require_unchanged(case: Case, now: Sequence[Array], before: Sequence[Array], who: str) -> None:
    names = [case.function.argument(i) for i in range(len(case.arrays))]
    names = ["g, the cotangent", "out, the result", *names][-len(now) :]
    for name, a, b in zip(names, now, before, strict=True):
        if not rounding.same(a, b):
            at = rounding.worst_index(a, b)
            text = f"{who} changes {name}: {b[at]} at {at} becomes {a[at]}"
            raise case.wrong("mutation", text, hint="write to a copy, without out= or +=")


def accepts(case: Case) -> bool:
    """Return whether the function takes these arrays; ops must."""
    if not case.strict:
        try:
            case.forward()
        except GradientError:
            return False
    return True


def mixed_dtypes(case: Case) -> Report:
    """With float32 arguments the gradients are float32."""
    narrow = case.cast(np.float32)
    if not accepts(narrow):  # a model has parameters of one dtype
        return Report(skipped=Counter({FLOAT32_REFUSED: 1}))
    soundness(narrow)
    return Report()


# The cotangent


def linearity(case: Case) -> None:
    """Gradients are linear in the cotangent: for 0, its negative, multiples, sums, and ones."""
    require_finite(case)
    out, g, large, small = case.out, case.g, 2.0**20, 2.0**-20
    # Eighths are exact in every float dtype; thirds show a rule that rounds its cotangent.
    h = np.asarray(rounding.cotangent(out, case.seed + 1) / 3, out.dtype)
    ones = np.ones_like(g)
    if not rounding.all_finite(case.gradients(large * g, out)):  # intermediate numbers overflow
        large, (g, h, ones) = 2.0**-6, (2.0**-16 * a for a in (g, h, ones))
    cotangents = (g, h, ones, 0 * g, -g, large * g, small * g, g + h, g + ones)
    results = [case.gradients(k, out) for k in cotangents]
    for k, i in enumerate(case.floats):
        a, b, c, zero, negated, larger, smaller, sum_h, sum_ones = (grads[k] for grads in results)
        parts = (
            # The gradient for 0 is 0; but 0 times an infinite slope is NaN, which is legal.
            ("g = 0", g, 0, zero, np.where(np.isfinite(a), 0, zero), None),
            ("-g", g, 1, negated, -a, None),
            (f"{large:g} g", g, large, larger, large * a, None),
            (f"{small:g} g", g, small, smaller, small * a, None),
            ("g + h", h, 1, sum_h, _sum(a, b, sum_h), np.abs(a) + np.abs(b)),
            ("g + 1", ones, 1, sum_ones, _sum(a, c, sum_ones), np.abs(a) + np.abs(c)),
        )
        for name, other, factor, got, expected, size in parts:

            def bound(k: int = k, other: Array = other, factor: float = factor) -> Array:
                return factor * (
                    rounding.of_gradient(case, g, k) + rounding.of_gradient(case, other, k)
                )

            if not rounding.close(got, expected, bound, size):
                hint = "The gradient is linear in g: that is the sum for the parts"
                raise differs(case, "nonlinear", i, got, expected, f"for {name}", hint, g=g)


def _sum(a: Array, b: Array, otherwise: Array) -> Array:
    """Return a + b; infinities have no sum."""
    with np.errstate(all="ignore"):
        return np.where(np.isinf(a) & np.isinf(b), otherwise, a + b)


# State and memory


def purity(case: Case) -> None:
    """Equal calls give equal results, also with other calls in between; results do not change."""
    arrays, g = [a.copy() for a in case.arrays], case.g.copy()
    out = case.forward(arrays)
    first = case.gradients(g, out, arrays)
    before = [a.copy() for a in first]
    other = elsewhere(case)
    with np.errstate(all="ignore"):
        result = other.forward()
        if not other.drawn:
            require_equal(case, case.gradients(g, out, arrays), before, LATEST)
        same = [a.copy() for a in other.arrays]
        other.gradients(rounding.cotangent(result, case.seed + 1), result, same)
    require_equal(case, first, before, ALIAS)
    for a, b in zip(same, case.arrays, strict=True):
        a[...] = b
    require_equal(case, case.gradients(g, None, same), before, IDENTITY)
    again = case.forward(arrays)
    if not _equal_calls(case, again, out):
        at = rounding.worst_index(again, out)
        text = f"equal calls of the function give {out[at]} at {at}, then {again[at]}"
        raise case.wrong("nondeterministic", text, hint=STATE)
    require_equal(case, case.gradients(g, out, arrays), before, EQUAL)


def passes(case: Case) -> None:
    """Neither other calls nor a backward pass change what forward saved for the backward pass."""
    arrays, other = [a.copy() for a in case.arrays], elsewhere(case)
    pull = case.pullback(arrays)
    with np.errstate(all="ignore"):
        pull_other = other.pullback([a.copy() for a in other.arrays])
        first = [a.copy() for a in pull(case.g)]
        pull_other(rounding.cotangent(other.out, case.seed + 1))
    require_equal(case, first, case.gradients(case.g, None, arrays), LATEST)
    require_equal(case, pull(case.g), first, BACKWARD)


@np.errstate(all="ignore")
def alone(case: Case) -> None:
    """The gradient of an argument does not depend on which other arguments need a gradient."""
    if len(case.floats) < 2:
        return
    k = case.seed % len(case.floats)
    i = case.floats[k]
    single = replace(case, function=replace(case.function, differentiable=(i,)), floats=(i,))
    both = single.gradients(case.g, case.out), [case.gradients(case.g, case.out)[k]]
    difference = (
        "value",
        "where no other argument needs one",
        "Where all arguments need a gradient, it is the expected one",
    )
    require_equal(single, *both, difference)


def _equal_calls(case: Case, a: Array, b: Array) -> bool:
    """Return whether equal calls gave equal results, up to the order of the terms of sums."""
    numbers = a, b, *(case.arrays[i] for i in case.floats)
    far = RANDOM * float(np.finfo(a.dtype).eps) * max(map(rounding.largest, numbers))
    return bool((rounding.distance(a, b) <= far).all())


@np.errstate(all="ignore")
def keyed(case: Case, law: Callable[[Case], Report]) -> None:
    """The gradient depends on all numbers, also after a call with some of the same numbers.

    A cache whose key is one argument, one number, or a sum returns the gradient of the earlier
    call. `law` compares the value of a gradient with numerical derivatives: it must refuse the
    gradient after the earlier call, and accept the one that nothing was stored for.
    """
    if case.mapping is not None:
        return
    for shared, before, after, fresh in _calls_that_share(case):
        if not (before.inside() and after.inside() and fresh.inside()):
            continue
        calls = before, after, fresh
        if len({c.out.shape for c in calls}) > 1:
            continue
        g = rounding.cotangent(after.out, case.seed)
        grads = [c.gradients(g, c.out) for c in calls]
        for i, earlier, a, expected in zip(case.floats, *grads, strict=True):
            off = rounding.distance(a, expected) > 1e-6 * np.abs(expected).max(initial=0)
            repeats = a.size > 1 and a.any() and rounding.same(a, earlier)
            others = [fresh] * bool(off.any()) + [before] * bool(repeats)
            if others and _is_right(after, law) is False and any(_is_right(c, law) for c in others):
                name = case.function.argument(i)
                text = f"the gradient of {name} is that of an earlier call with the same {shared}"
                raise case.wrong("nondeterministic", text, argument=i, hint=STATE)


def _calls_that_share(case: Case) -> Iterator[tuple[Any, ...]]:
    """Yield what two calls share, the two calls, and one like the second that shares nothing.

    A shared argument of floats is moved by some ulps from the case, so that it is a new key: a
    second check then finds what the first one found. Integers and conditions are shared as they
    are, since the laws before this one called the function of this case first.
    """
    usual = elsewhere(case)
    step = max(64 * EPS, *(float(np.finfo(case.arrays[i].dtype).eps) for i in case.floats))
    key, fresh = (
        [np.asarray(x + x * (k * step), x.dtype) if x.dtype.kind == "f" else x for x in case.arrays]
        for k in (1, 2)
    )
    for k, x in enumerate(case.arrays):
        if x.dtype.kind != "f":
            pairs = zip(case.arrays, usual.arrays, strict=True)
            later = case.at([u if u.dtype.kind == "f" else a for a, u in pairs])
            yield case.function.argument(k), case, later, later
        elif len(case.arrays) > 1 and x.any():  # ulps of 0 are none
            with_keys = (usual.arrays, key), (case.arrays, key), (case.arrays, fresh)
            calls = (case.at([*of[:k], keys[k], *of[k + 1 :]]) for of, keys in with_keys)
            yield case.function.argument(k), *calls
    if max(case.arrays[i].size for i in case.floats) < 2:
        return
    end = -(case.seed // 8 % 2)  # the first number or the last one

    def other(x: Array, ordinary: Array) -> Array:
        if x.dtype.kind != "f" or case.seed // 4 % 2:
            return np.flip(x)
        y = np.asarray(1.25 * x + ordinary, x.dtype)
        y.flat[end : end + 1 or None] = x.flat[end : end + 1 or None]
        return y

    moved = (map(other, of, usual.arrays) for of in (case.arrays, fresh))
    shared = "numbers in another order" if case.seed // 4 % 2 else "number at one end"
    yield shared, case, *(case.at(list(arrays)) for arrays in moved)


def _is_right(case: Case, law: Callable[[Case], Report]) -> bool | None:
    """Return whether the gradient agrees with numerical derivatives; None without any."""
    try:
        return law(case).compared > 0 or None
    except GradientError:
        return False
    except DiscardError:
        return None


def elsewhere(case: Case) -> Case:
    """Return the case at ordinary numbers, or itself if the function is not finite there."""
    usual = [
        ordinary(d, a.shape).astype(a.dtype) if a.dtype.kind == "f" else np.array(np.flip(a))
        for d, a in zip(case.domains, case.raw, strict=True)
    ]
    other = case.at_raw(usual)
    with suppress(DiscardError), np.errstate(all="ignore"):
        if other.legal() and np.isfinite(other.out).all():
            other.gradients(rounding.cotangent(other.out, case.seed), other.out)
            return other
    return case


# Forward mode


@np.errstate(all="ignore")
def tangents(case: Case) -> None:
    """Tangents have the shape and dtype of the result, repeat, add up, and change no input."""
    require_finite(case)
    arrays = [a.copy() for a in case.arrays]
    u, v = (
        [rounding.cotangent(case.arrays[i], case.seed + k + i) for i in case.floats] for k in (0, 1)
    )
    a, b = (case.at(arrays).tangent(t) for t in (u, v))
    _require_unchanged(case, arrays, case.arrays, TANGENT)
    both = case.tangent([x + y for x, y in zip(u, v, strict=True)])

    def bound() -> Array:
        return np.asarray(1024 * rounding.spread(lambda p: [case.tangent(u, p)], EPS)[0])

    for text, got, expected, size in (
        ("in a second, equal call", case.tangent(u), a, None),
        ("for t + u", both, a + b, np.abs(a) + np.abs(b)),
    ):
        if rounding.all_finite([expected]) and not rounding.close(got, expected, bound, size):
            at = rounding.worst_index(got, expected)
            message = f"{TANGENT} {text} is {got[at]} at {at}; expected {expected[at]}"
            raise case.wrong("nonlinear", message, hint="It is linear in the tangents")


@np.errstate(all="ignore")
def forward_mode(case: Case) -> None:
    """Dual numbers and the backward pass give the same derivative along a direction."""
    require_finite(case)
    v = [rounding.cotangent(case.arrays[i], case.seed + i) for i in case.floats]
    function: Any = case.function
    tangent = function.dual_tangent(dict(zip(case.floats, v, strict=True)), case.arrays)
    grads = case.gradients(case.g, case.out)
    if not rounding.all_finite([*grads, tangent]):
        raise DiscardError
    pairs = zip((case.g, *grads), (tangent, *v), strict=True)
    by_dual, *by_rules = (np.asarray(a * b, float) for a, b in pairs)
    total, expected = by_dual.sum(), sum(a.sum() for a in by_rules)
    size = np.abs(by_dual).sum() + sum(np.abs(a).sum() for a in by_rules)
    slack = sum((rounding.of_gradient(case, case.g, k) * np.abs(x)).sum() for k, x in enumerate(v))
    if abs(total - expected) > 2.0**-20 * size + 32 * slack:
        text = f"the derivative along one direction is {total:.10g} by dual numbers"
        raise case.wrong("value", f"{text}; expected {expected:.10g}, that of the backward pass")
