"""Drawn programs, compiled: values, gradients and writes are those of eager code."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, note

import tinygrad_fc as tg

from .programs import inputs, programs, with_gradients
from .twins import generator, same, share

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def state() -> list[Any]:
    """Return tensors that programs write to."""
    return [tg.ones(2, 3), tg.zeros(3), tg.full((), 0.5)]


def tensors(arrays: Any, k: int) -> list[Any]:
    """Return the arrays of call `k`, other values, in C or F order after the first call."""
    return [tg.from_numpy(np.asarray(a + a.dtype.type(k)) if k else a) for a in arrays]


def nudged(seed: int) -> Any:
    """Return what changes a tensor of floats by up to two ulps."""
    rng = np.random.default_rng(seed)

    def nudge(x: Any) -> Any:
        if not x.is_floating_point():
            return x
        steps = rng.integers(-2, 3, x.shape) * np.finfo(x.dtype).eps
        return x * tg.tensor((1 + steps).astype(x.dtype))

    return nudge


def flat(tree: Any) -> list[Any]:
    """Return the arrays of a tree."""
    if isinstance(tree, list | tuple):
        return [array for part in tree for array in flat(part)]
    return [] if tree is None else [tree.detach().numpy()]


def explained(actual: Any, expected: Any, others: list[Any]) -> None:
    """Fail where a difference is larger than ulps in the intermediate values explain."""
    expected = flat(expected)
    eps = max(np.finfo(x.dtype).eps for x in expected if x.dtype.kind == "f")
    for a, b, *near in zip(flat(actual), expected, *map(flat, others), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if any(not np.array_equal(np.isfinite(b), np.isfinite(c)) for c in near):
            continue
        finite = np.isfinite(b)
        same("infinite or NaN", np.abs(a[~finite]), np.abs(b[~finite]))
        if b.dtype.kind != "f":
            assert np.array_equal(a, b) or not all(np.array_equal(b, c) for c in near)
            continue
        bound = eps * np.abs(b[finite], dtype=float).max(initial=0)
        for c in near:
            bound = max(bound, np.abs(c[finite] - b[finite], dtype=float).max(initial=0))
        assert (np.abs(a[finite] - b[finite], dtype=float) <= 16 * bound).all(), (a, b, bound)


@share(50)
@given(program=programs(), arrays=inputs())
def test_programs(program: Any, arrays: Any):
    """Bit for bit, or where terms are shared or folded within what an ulp explains."""
    eager, twin = state(), state()
    compiled = tg.compile(lambda *x: with_gradients(program, x, twin), backend="numpy", check=False)
    with np.errstate(all="ignore"):
        for k in range(3):
            before, others = generator.get_state(), []
            for seed in range(4):
                generator.set_state(before)
                moved = [s.clone() for s in eager]
                values = with_gradients(program, tensors(arrays, k), moved, nudged(seed))
                others.append([values, moved])
            generator.set_state(before)
            expected = with_gradients(program, tensors(arrays, k), eager)
            generator.set_state(before)
            note(f"call {k}: {expected}")
            explained([compiled(*tensors(arrays, k)), twin], [expected, eager], others)
            for s, t in zip(eager, twin, strict=True):
                t.copy_(s)
    assert len(compiled.sources) <= 2  # of the first layout and the later ones
