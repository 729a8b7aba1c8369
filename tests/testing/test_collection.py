"""The collection itself: that its right rules are right, and what the kit says of the rest."""

from __future__ import annotations

import zlib
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
