"""What must hold for every row of the table, as functions of a drawn case.

Each law raises `AssertionError`, or lets through what the engine or NumPy raised, and returns how
much it compared: a law that never compares anything has shown nothing. The laws of the
derivative's value are in `derivative`.
"""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import HealthCheck, given, reject, settings

import tinygrad_fc as tg
from kit.calls import (
    cotangent,
    gradients,
    near,
    overflow_rejects,
    placed,
    recorded,
    second,
    spread,
)
from kit.strategies import LAYOUTS, Case, cases, differentiable, held, ordinaries
from tinygrad_fc.op import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.strategies import Array
    from tinygrad_fc import Op

EPS = float(np.finfo(np.float64).eps)
EPS32 = float(np.finfo(np.float32).eps)


def rows() -> list[Op]:
    """Return every row of the table once."""
    return list(dict.fromkeys(table.values()))


def smooth_rows() -> list[Op]:
    """Return the rows that have rules."""
    return [op for op in rows() if differentiable(op)]


class NothingToldError(Exception):
    """A law that could compare nothing: the domain of the row has no inputs for it."""


def check(law: Callable[[Case], int], op: Op, *, share: int = 4, **options: Any) -> None:
    """Hold `op` to `law` on drawn cases, a part of the profile's examples: 1 in `share`."""
    compared = 0
    everywhere = law is zero  # a branch that was not taken may hold anything

    @settings(
        max_examples=max(settings().max_examples // share, 1),
        report_multiple_bugs=False,  # so that shrinking does not slip from one bug to another
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        **options,
    )
    @given(cases(op, everywhere=everywhere))
    def run(case: Case) -> None:
        nonlocal compared
        compared += law(case)

    run()
    if not compared:
        raise NothingToldError(f"{law.__name__} compared nothing for {op}: see its domain")


# The result


def forward(case: Case) -> int:
    """A row gives what the function that it stands for gives, on arrays and on tensors."""
    tensors = [tg.from_numpy(a).requires_grad_(a.dtype.kind == "f") for a in case.arrays]
    needing = any(tensors[i].requires_grad for i in case.floats)
    with overflow_rejects():
        out = case.op(*tensors, **case.settings)
        plain = case.op(*case.arrays, **case.settings)
    assert out.requires_grad is needing
    assert np.array_equal(out.numpy(), plain, equal_nan=True)
    function = case.op.function
    if function is case.op.forward or not _takes(function, case):
        return 1
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        expected = np.asarray(function(*case.arrays, **case.settings))
    assert out.dtype == expected.dtype
    near(out.numpy(), expected)
    return 1


def _takes(function: Any, case: Case) -> bool:
    """Tell whether NumPy's function has the settings of the row under the same names."""
    try:
        names = inspect.signature(function).parameters
    except ValueError:
        return not case.settings
    joined = next(iter(names)) == "arrays"  # concatenate and stack, which take one sequence
    return not joined and all(name in names for name in case.settings)


# Types


def types(case: Case) -> int:
    """A gradient is an array of its argument's shape and dtype, whatever the others have."""
    arrays = [
        a.astype(np.float32) if a.dtype.kind == "f" and case.salt >> k & 1 else a
        for k, a in enumerate(case.arrays)
    ]
    with overflow_rejects():
        out, args = recorded(case, arrays)
        out.backward(tg.from_numpy(cotangent(out.numpy(), case.salt)))
    for t in args:
        assert t.grad is not None
        assert type(t.grad.data._array) is np.ndarray
        assert t.grad.shape == t.shape
        assert t.grad.dtype == t.dtype
    return 1


def float32(case: Case) -> int:
    """In float32 all stays float32, and is what float64 says, to float32's rounding."""
    small = case.cast(np.float32)
    with overflow_rejects():
        wide, out = case.forward(), small.forward()
        same = wide.dtype != np.float64 or "dtype" in case.settings
        assert out.dtype == (wide.dtype if same else np.float32)
        if not np.isfinite(out).all():
            reject()
        g = cotangent(out, case.salt)
        plain, found = gradients(case, g.astype(wide.dtype)), gradients(small, g)
    rounding = spread(lambda nudge: gradients(case, g.astype(wide.dtype), nudge=nudge), EPS32)
    for a, b, r, u in zip(plain, found, rounding, _usual(case, g), strict=True):
        assert b.dtype == np.float32
        # A difference of numbers of about 1 is rounded as these are (1 - out * out).
        floor = 64 * EPS32 * u + 2.0**-100
        allowed = 64 * r + 64 * EPS32 * np.abs(a) + floor
        right = (np.abs(a - b) <= allowed) | (np.abs(a) > np.finfo(np.float32).max)
        assert right.all(), f"float32 gives {b}; float64 {a} +- {allowed}"
    return 1


def _usual(case: Case, g: Array) -> list[float]:
    """Return how large gradients are where numbers are about 1: all, or those of one argument."""
    most = [0.0] * len(case.floats)
    usual = ordinaries(case)
    for k in range(-1, len(usual)):
        mine = [case.arrays[i] for i in case.floats]
        point = [o if k in (-1, i) else x for i, (x, o) in enumerate(zip(mine, usual, strict=True))]
        with np.errstate(all="ignore"):
            found = gradients(case, g, placed(case, point))
        sizes = (float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in found)
        most = [max(m, s) for m, s in zip(most, sizes, strict=True)]
    return most


# Purity


def purity(case: Case) -> int:
    """Nothing handed in is changed; what comes out is ours alone, and the same the next time."""
    with overflow_rejects():
        out, args = recorded(case)
        g = cotangent(out.numpy(), case.salt)
        kept = [out.data._array, g, *case.arrays]
        before = [a.copy() for a in kept]
        out.backward(tg.from_numpy(g), retain_graph=True)
        again = tg.autograd.grad(out, args, tg.from_numpy(g))
    for a, b in zip(kept, before, strict=True):
        assert np.array_equal(a, b, equal_nan=True), f"{b} was changed into {a}"
    for t, u in zip(args, again, strict=True):
        assert t.grad is not None
        array = t.grad.data._array
        assert array.flags.writeable
        assert not any(np.shares_memory(array, a) for a in kept)
        assert np.array_equal(array, u.numpy(), equal_nan=True)
        kept.append(array)
    return 1


def layout(case: Case) -> int:
    """Where in memory numbers lie, of arguments and of the result's gradient, is all the same."""
    names = [*LAYOUTS, "stride 0"]
    with overflow_rejects():
        given_ = [*case.arrays, cotangent(case.forward(), case.salt)]
        picks = [names[(case.salt // 7**k + k) % len(names)] for k in range(len(given_))]
        other = [
            LAYOUTS[name](a) if name in LAYOUTS else held(a) if a.dtype.kind == "f" else a
            for a, name in zip(given_, picks, strict=True)
        ]
        plain = Case(case.op, tuple(a.copy(order="C") for a in other[:-1]), case.settings)
        g = other[-1].copy(order="C")
        near(case.forward(*other[:-1]), plain.forward())
        expected, found = gradients(plain, g), gradients(case, other[-1], other[:-1])
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        near(a, b, lambda i=i: _own(plain, g)[i])
    return 1


def _own(case: Case, g: Array) -> list[Array]:
    return spread(lambda nudge: gradients(case, g, nudge=nudge), EPS)


# The gradient of the result


def linear(case: Case) -> int:
    """Gradients are linear in the gradient of the result."""
    with overflow_rejects():
        out = case.forward()
        if not np.isfinite(out).all():
            reject()
        g, h = cotangent(out, case.salt), cotangent(out, case.salt + 1)
        mine, others = gradients(case, g), gradients(case, h)
        negated, scaled, both = (gradients(case, k) for k in (-g, 64 * g, g + h))
    for i, (a, b) in enumerate(zip(mine, others, strict=True)):
        rounding = lambda i=i: _own(case, g)[i] + _own(case, h)[i]  # noqa: E731
        assert np.array_equal(negated[i], -a, equal_nan=True)
        near(scaled[i], 64 * a, lambda r=rounding: 64 * r())
        near(both[i], a + b, rounding, scale=np.abs(a) + np.abs(b))
    return 1


def zero(case: Case) -> int:
    """A branch that was not taken sends back exactly 0, in the next order too, and says nothing."""
    g = np.zeros_like(case.forward())
    for found in gradients(case, g):
        assert not found.any(), f"the gradient for 0 is {found}"
    ws = [cotangent(case.arrays[i], case.salt + i) for i in case.floats]
    with np.errstate(all="ignore"):  # how the gradient depends on g is told, and may be infinite
        later = second(case, g, ws)[1:]
    for found in later:
        assert not found.any(), f"the gradient of the gradient for 0 is {found}"
    return 1


def alone(case: Case) -> int:
    """The gradient of an argument is the same where the others are plain arrays."""
    with overflow_rejects():
        g = cotangent(case.forward(), case.salt)
        together = gradients(case, g)
        for i, a in zip(case.floats, together, strict=True):
            (b,) = gradients(case, g, needing=(i,))
            assert np.array_equal(a, b, equal_nan=True)
    return 1
