"""Laws of what is left alone: equal calls, earlier results, whose memory it is and how it lies."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.testing.errors import DiscardError, Tally
from tinygrad_fc.testing.laws import ONE, own, told
from tinygrad_fc.testing.layouts import LAYOUTS, aligned, held
from tinygrad_fc.testing.numbers import EPS, cotangent, near, same, spread, worst
from tinygrad_fc.testing.places import ordinary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc.testing.case import Case

Array = np.ndarray[Any, Any]

RANDOM = 2.0**-10
"""How far equal calls of other libraries may differ, relative to the largest number there is."""
KEPT = (
    "Something is kept between calls, or random: set a seed inside the function, or leave that "
    "part out (model.eval() for dropout)"
)


def purity(case: Case) -> Tally:
    """Equal calls give equal bits, whatever is called in between; what came out stays."""
    arrays, g = [aligned(a) for a in case.arrays], aligned(case.g)
    out = case.forward(arrays)
    first = case.gradients(g, out, arrays)
    before = [a.copy() for a in first]
    elsewhere = _elsewhere(case)
    with np.errstate(all="ignore"):
        result = elsewhere.forward()
        elsewhere.gradients(cotangent(result, case.salt + 1), result)
    for i, a, b in zip(case.floats, first, before, strict=True):
        if not same(a, b):
            raise case.wrong(
                "aliasing",
                f"the gradient of {case.rule.argument(i)} changes when another one is computed "
                f"later: {b[worst(a, b)]} at {worst(a, b)} becomes {a[worst(a, b)]}. Return a new "
                "array each time",
                argument=i,
            )
    # At once, too: what a function keeps for its gradient is that of another call by now.
    _repeated(case, case.gradients(g, out, arrays), before)
    again = case.forward(arrays)
    if not _equal(case, again, out, lambda: _moved(case)):
        at = worst(again, out)
        raise case.wrong(
            "nondeterministic",
            f"the same call of the function gives {out[at]} at {at}, then {again[at]}. {KEPT}",
        )
    _repeated(case, case.gradients(g, out, arrays), before)
    _refilled(case, elsewhere, before)
    return ONE


def _equal(case: Case, a: Array, b: Array, rounding: Callable[[], Array]) -> bool:
    """Tell whether equal calls gave the same, to the bit where that can be had."""
    if same(a, b):
        return True
    return not case.rule.repeatable and not _random(case, a, b) and near(a, b, rounding)


def _random(case: Case, a: Array, b: Array) -> bool:
    """Tell whether equal calls differ by more than threads do, which add in another order.

    Of what is random the rounding cannot be measured: it is random as well.
    """
    with np.errstate(all="ignore"):
        far = np.abs(a - b)
        sizes = (np.abs(x).max(initial=0) for x in (a, b, *(case.arrays[i] for i in case.floats)))
        return bool((far > RANDOM * max(sizes)).any())


def _repeated(case: Case, now: list[Array], before: list[Array]) -> None:
    for i, a, b, at in _apart(case, case.g, now, before, partial(_equal, case)):
        raise case.wrong(
            "nondeterministic",
            f"the same call gives another gradient of {case.rule.argument(i)}: {b[at]} at {at}, "
            f"then {a[at]}. {KEPT}",
            argument=i,
        )


def _refilled(case: Case, elsewhere: Case, expected: list[Array]) -> None:
    """Call with arrays that held other numbers before: what is kept by identity is stale."""
    arrays = [a.copy() for a in elsewhere.arrays]
    with np.errstate(all="ignore"):
        out = case.forward(arrays)
        case.gradients(cotangent(out, case.salt + 1), out, arrays)
    for a, b in zip(arrays, case.arrays, strict=True):
        a[...] = b
    found = case.gradients(case.g, case.forward(arrays), arrays)
    for i, a, b, _ in _apart(case, case.g, found, expected, near):
        raise case.wrong(
            "nondeterministic",
            f"the gradient of {case.rule.argument(i)} is {b}, and {a} where the arrays held other "
            "numbers at an earlier call: something is kept that has changed",
            argument=i,
        )


def _apart(
    case: Case,
    g: Array,
    now: Sequence[Array],
    before: Sequence[Array],
    equal: Callable[[Array, Array, Callable[[], Array]], bool],
) -> Iterator[tuple[int, Array, Array, tuple[int, ...]]]:
    """Yield the gradients that are others than before: of which argument, both, and where."""
    for k, (i, a, b) in enumerate(zip(case.floats, now, before, strict=True)):
        if a.shape != b.shape or not equal(a, b, partial(_part, case, g, k)):
            yield i, a, b, worst(a, b) if a.shape == b.shape else ()


def _part(case: Case, g: Array, k: int) -> Array:
    """Return the rounding of the `k`-th gradient, which is asked for only where it matters."""
    return own(case, g)[k]


def _elsewhere(case: Case) -> Case:
    """Return a case of the same shapes at another place where the function is defined."""
    usual = [
        ordinary(w, a.shape).astype(a.dtype) if a.dtype.kind == "f" else np.array(np.flip(a))
        for w, a in zip(case.words, case.arrays, strict=True)
    ]
    nearby = [
        np.asarray(a * a.dtype.type(1.0625)) if a.dtype.kind == "f" else a for a in case.arrays
    ]
    for arrays in (usual, nearby):
        other = case.at(arrays)
        try:
            with np.errstate(all="ignore"):
                if other.legal() and np.isfinite(other.out).all():
                    other.gradients(cotangent(other.out, case.salt), other.out)
                    return other
        except DiscardError:
            continue
    return case


def ownership(case: Case) -> Tally:
    """Gradients of tensors can be updated in place, and share memory with nothing."""
    if not case.rule.own:
        return Tally()
    out = case.out
    kept = [out, case.g, *case.arrays]
    for i, a in zip(case.floats, case.gradients(case.g, out), strict=True):
        if not a.flags.writeable or any(np.shares_memory(a, b) for b in kept):
            text = f"the gradient of {case.rule.argument(i)} is not an array of its own"
            raise case.wrong("aliasing", text, argument=i)
        kept.append(a)
    return ONE


def layout(case: Case) -> Tally:
    """Where in memory numbers lie, of arguments and of the result's gradient, is all the same."""
    names = [*LAYOUTS, "stride 0"][1:]
    count = len(case.arrays)
    for trial in range(3):
        name = names[(case.salt + 2 * trial) % len(names)]
        # All of them, the result's gradient alone, or all but that.
        told_ = [trial != 1] * count + [trial != 2]
        _laid_out(case, name, told_)
    # A sum sends back one number, repeated: the most usual gradient there is.
    for name in ("stride 0", "stride 0 everywhere")[: max(case.out.ndim, 1)]:
        _laid_out(case, name, [False] * count + [True])
    return ONE


def _laid_out(case: Case, name: str, which: list[bool]) -> None:
    arrays = [*case.arrays, case.g]
    lay = LAYOUTS.get(name, partial(held, all_axes=name.endswith("everywhere")))
    other = [
        lay(a) if there and (name in LAYOUTS or a.dtype.kind == "f") else a
        for a, there in zip(arrays, which, strict=True)
    ]
    plain = case.at([a.copy(order="C") for a in other[:-1]])
    g = other[-1].copy(order="C")
    try:
        if not _legal(case, plain.arrays):
            return
        told(plain)
    except DiscardError:
        return
    if plain.out.shape != g.shape:
        return
    out = case.forward(other[:-1])
    said = f"{name} {'arguments' if which[0] else 'g'}"
    if not near(np.asarray(out), plain.out, lambda: _moved(plain)):
        raise case.wrong("layout", f"the function gives {out} for {said}, else {plain.out}")
    expected = plain.gradients(g)
    found = case.gradients(other[-1], out, other[:-1])
    for i, a, b, at in _apart(plain, g, found, expected, near):
        raise plain.wrong(
            "layout",
            f"the gradient of {case.rule.argument(i)} for {said} is {a[at]} at {at}; "
            f"for the same numbers, contiguous, it is {b[at]}",
            argument=i,
            index=at,
            analytic=a[at],
            numerical=b[at],
            g=g,
        )


def _legal(case: Case, arrays: Sequence[Array]) -> bool:
    """Tell whether repeated numbers are in the domains still."""
    if all(same(a, b) for a, b in zip(arrays, case.arrays, strict=True)):
        return True
    return not any(word.distinct for word in case.words) and case.at(arrays).legal()


def _moved(case: Case) -> Array:
    return spread(
        lambda nudge: [case.forward([nudge(a) for a in case.arrays] if nudge else None)], EPS
    )[0]
