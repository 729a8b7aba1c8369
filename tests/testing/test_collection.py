"""The collection itself: that its right rules are right, and that its bugs are bugs."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gradient_collection import RIGHT, TENSORS, WRONG
from gradient_collection.inputs import SIZES, slope, usual
from gradient_collection.measure import checked
from hypothesis import settings

if TYPE_CHECKING:
    from gradient_collection import Case, Function

quiet = np.errstate(all="ignore")
right = pytest.mark.parametrize("case", RIGHT.values(), ids=lambda case: case.name)
BY_HAND = [case for case in WRONG.values() if case.witness]
by_hand = pytest.mark.parametrize("case", BY_HAND, ids=lambda case: case.name)
SMALL = dict.fromkeys(SIZES, 1) | {"m": 2}


def _random(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _directions(arrays: list[Any], rng: np.random.Generator) -> Any:
    for i, a in enumerate(arrays):
        if a.dtype.kind == "f":
            yield i, [rng.standard_normal(a.shape) if j == i else None for j in range(len(arrays))]


@right
@quiet
def test_right_rules_are_the_slopes(case: Case) -> None:
    """By differences of the function itself, at ordinary points of three kinds of shape."""
    rng = _random(case.name)
    batch = (2,) if any(... in (d.shape or ()) for d in case.domains) else ()
    for sizes, more in ((SIZES, ()), (SMALL, ()), (SIZES, batch)):
        arrays = usual(case, rng, sizes, more)
        out = case.forward(*arrays)
        g = rng.standard_normal(np.shape(out))
        grads = case.vjp(g, out, *arrays)
        assert len(grads) == len(arrays)
        for i, v in _directions(arrays, rng):
            numeric = slope(lambda *a, g=g: (g * case.forward(*a)).sum(), arrays, v)
            terms = grads[i] * v[i]
            assert terms.sum() == pytest.approx(numeric, rel=1e-6, abs=1e-7 * np.abs(terms).sum())


@right
@quiet
def test_right_rules_keep_shape_and_dtype(case: Case) -> None:
    """In float32 and with an argument that is broadcast."""
    rng = _random(case.name)
    arrays = usual(case, rng)
    arrays = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays]
    if len(arrays) > 1 and case.domains[0].shape is None:
        arrays[1] = arrays[1][:1]
    out = np.asarray(case.forward(*arrays))
    assert out.dtype == np.float32
    for a, grad in zip(arrays, case.vjp(np.ones_like(out), out, *arrays), strict=True):
        assert (grad is None) == (a.dtype.kind != "f")
        if grad is not None:
            assert grad.shape == a.shape
            assert grad.dtype == a.dtype


def _snapshot(*arrays: Any) -> list[Any]:
    return [None if a is None else np.array(a) for a in arrays]


def _same(ones: Any, others: Any) -> bool:
    return all(a is None or np.array_equal(a, b) for a, b in zip(ones, others, strict=True))


def _equal(one: Any, other: Any) -> bool:
    """Return whether two gradients have one shape, one dtype and nearly one value."""
    if one is None or other is None or not isinstance(one, np.ndarray | np.generic):
        return one is None and other is None
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    size = 1e-30 if one.size == 0 else np.abs(other).max()
    digits = 1e-4 if one.dtype == np.float32 else 3e-8
    return bool(np.all(np.isfinite(one)) and np.all(np.abs(one - other) <= digits * size))


def _place(case: Case) -> tuple[Any, Any, list[Any]]:
    """Return the cotangent, the result and the arrays of the witness, with their strides."""
    arrays = [a.copy("K") if a.flags.writeable and a.flags.forc else a for a in case.witness]
    out = np.asarray(case.forward(*arrays))
    g = np.asarray(_random(case.name).uniform(0.5, 2, out.shape), out.dtype)
    return g, out, arrays


def _elsewhere(vjp: Any, case: Case, arrays: list[Any]) -> None:
    """Call a rule where it may remember something: at other numbers, and at another order."""
    floats = [a.dtype.kind == "f" for a in arrays]
    for others in (
        [a + 0.25 if f else a for a, f in zip(arrays, floats, strict=True)],
        [a[::-1] if f and a.ndim else a for a, f in zip(arrays, floats, strict=True)],
    ):
        out = np.asarray(case.forward(*others))
        vjp(np.ones_like(out), out, *_snapshot(*others))


def _departs(case: Case, vjp: Any) -> bool:
    """Return whether a rule is caught at the witness, by its results or by what it does besides."""
    g, out, arrays = _place(case)
    expected = RIGHT[case.base.name].vjp(g, out, *_snapshot(*arrays))
    before = _snapshot(g, out, *arrays)
    try:
        _elsewhere(vjp, case, arrays)
        grads = vjp(g, out, *arrays)
        if not _same(before, (g, out, *arrays)):
            return True
        before_other_calls = _snapshot(*grads)
        _elsewhere(vjp, case, arrays)
        held = _same(grads, before_other_calls)
        again = vjp(g, out, *arrays)
    except (TypeError, ValueError, IndexError, KeyError, ZeroDivisionError):
        return True
    right = len(grads) == len(expected) and all(map(_equal, grads, expected))
    return not (right and held and _same(again, before_other_calls))


def _second(case: Case) -> list[Any]:
    """Return the gradients of the rule at the witness."""
    (x,) = case.witness
    return list(case.vjp2((0.7 + 0 * x,), 1.3 + 0 * x, x))


@by_hand
@quiet
def test_bugs_are_bugs(case: Case) -> None:
    """At the witness the rule differs from the right one, which does nothing wrong there."""
    of = RIGHT[case.base.name]
    if case.bug == "second order":
        expected = _second(replace(of, witness=case.witness))
        assert not all(map(_equal, _second(case), expected))
    else:
        assert _departs(case, case.vjp)
        assert not _departs(case, of.vjp)


@quiet
def test_second_rules_are_the_slopes_of_the_rule() -> None:
    rng = _random("second")
    for case in RIGHT.values():
        if case.vjp2 is None:
            continue
        (x,) = usual(case, rng)
        g, h = rng.uniform(0.5, 2, (2, *x.shape))
        for grad, at in zip(case.vjp2((h,), g, x), (0, 1), strict=True):
            v = rng.standard_normal(x.shape)

            def f(g: Any, x: Any, case: Case = case, h: Any = h) -> Any:
                return (h * case.vjp(g, case.forward(x), x)[0]).sum()

            numeric = slope(f, [g, x], [v if k == at else None for k in (0, 1)])
            assert (grad * v).sum() == pytest.approx(numeric, rel=1e-6, abs=1e-6), case.name


FIRST = {case.bug: case for case in reversed(WRONG.values())}
SPARED = [*list(RIGHT.values())[::32], *list(TENSORS.values())[::16]]


@pytest.mark.parametrize("case", FIRST.values(), ids=lambda case: case.name)
def test_the_kit_finds_the_first_of_each_class(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, under several seeds: `python -m tests.gradient_collection`."""
    monkeypatch.setattr("tinygrad_fc.testing.hints.SHARE", 0)  # no hints
    monkeypatch.setattr("tinygrad_fc.testing.run.SHRINKING", 0)
    outcome = checked(case, seed=0)
    assert outcome.failed, outcome.text


@pytest.mark.parametrize("case", SPARED, ids=lambda case: case.name)
def test_the_kit_spares_right_rules(case: Case | Function) -> None:
    outcome = checked(case, seed=0, max_examples=settings().max_examples // 4)
    assert outcome.kind is None, outcome.text
    assert outcome.compared, outcome.text


def test_the_collection_is_large() -> None:
    assert len(WRONG) >= 300
    assert len(RIGHT) >= 150
