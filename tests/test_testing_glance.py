"""Slopes from few steps: within their bound where there is one, and none where a kink is near."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_testing_slopes import CANCELLING, KNOWN, places

from tinygrad_fc.autograd import slopes
from tinygrad_fc.autograd.differences import EPS
from tinygrad_fc.autograd.glance import glance
from tinygrad_fc.testing.compare import Demand, agree
from tinygrad_fc.testing.directions import Place

if TYPE_CHECKING:
    from collections.abc import Callable

EPS32 = float(np.finfo(np.float32).eps)


def seen(f: Callable[[Any], Any], x: float, step: float, eps: float = EPS) -> slopes.Slope:
    return glance(f, [np.array([x])], [np.array([step])], eps=eps)


def reach(x: float) -> float:
    return float(slopes.power(np.array(abs(x) or 1.0)))


@pytest.mark.parametrize("name", KNOWN)
@given(places)
def test_what_is_seen_is_within_its_bound(name: str, x: float) -> None:
    f, exact = KNOWN[name]
    found, expected = seen(f, x, reach(x)), exact(x) * reach(x)
    scale = max(abs(f(x)), abs(expected))
    assert abs(found.value - expected) <= found.error + 4e-16 * scale
    far = x > 1  # where steps are long, beside what these functions do
    assert found.error <= 1e-8 * max(scale, 1) or far or name == "fast"


@given(st.floats(0.25, 4, width=32))
def test_smooth_functions_are_known_from_few_steps(x: float) -> None:
    calls = []
    found = seen(lambda t: calls.append(t) or np.exp(-t), x, reach(x))
    assert found.error <= 1e-9
    assert len(calls) <= 11


@pytest.mark.parametrize("name", CANCELLING)
@given(st.floats(2.0**-6, 4, width=32), st.integers(0, 12))
def test_lost_digits_are_seen_or_do_not_matter(name: str, x: float, k: int) -> None:
    f, exact = CANCELLING[name]
    each = x * (1 + np.arange(16) / 256)
    step = np.full(16, 2.0**-k * min(reach(x), 1))
    found, expected = glance(f, [each], [step]), exact(each) * step
    within = abs(found.value - expected) <= 8 * found.error + 1e-9 * found.scale
    # Results on a lattice lie on a line by chance: three of a million places beside a large one.
    assert within.sum() >= (15 if name == "beside a large one" else 16)


@given(places, st.floats(-4, 4, width=16), st.floats(2.0**-10, 4), st.floats(-1e-3, 1e-3))
def test_kinks_at_and_near_a_place_have_no_bound(x: float, a: float, b: float, by: float) -> None:
    kink = x * (1 + by)
    found = seen(lambda t: np.where(t < kink, a, a + b) * (t - kink), x, reach(x))
    legal = a + b if x > kink else a
    within = abs(found.value / reach(x) - legal) <= found.error / reach(x) + 1e-9 * (abs(a) + b)
    assert np.isinf(found.error) or (abs(by) > 1e-13 and within)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (np.floor, 1.0),
        (np.sign, 0.0),
        (lambda t: np.round(4096 * t) / 4096, 1.0),
        (lambda t: t.astype(np.float32).astype(float), 1.5),
        (lambda t: np.where(t > 1, t + 1e-6, t), 1.0),
        (lambda t: np.where(t > 1, np.nan, t), 1.0),
        (lambda t: np.where(abs(t - 1) < 1e-5, 2 * t, 1 + t), 1.0),
    ],
)
def test_jumps_stairs_and_what_is_next_to_a_place_only(f: Any, x: float) -> None:
    assert np.isinf(seen(f, x, 1.0).error)


@given(st.floats(0.25, 4, width=16))
def test_float32_is_known_as_well_as_it_can(x: float) -> None:
    def f(t: Any) -> Any:
        return np.sin(np.asarray(t, np.float32)).astype(float)

    found, expected = seen(f, x, reach(x), EPS32), np.cos(x) * reach(x)
    assert abs(found.value - expected) <= found.error
    assert found.error <= 1e-2 or np.isinf(found.error)


@given(st.floats(0.0625, 4), st.floats(1e-7, 1e3), st.sampled_from((-1, 1)), st.integers(0, 9))
def test_nothing_wrong_passes_at_a_glance(x: float, by: float, sign: int, salt: int) -> None:
    """A gradient that is off by `by`, relative to itself, is no gradient."""
    here = [Place(np.array([x]), np.array([reach(x)]), np.array([1.0]))]
    calls = []

    def claimed(factor: float) -> bool:
        try:
            agree(
                lambda t: calls.append(t) or np.exp(-t),
                lambda w: [-w * np.exp(-x) * factor],
                here,
                salt,
                Demand(),
                lost=lambda: np.zeros(1),
            )
        except Exception:  # noqa: BLE001  a Disagreement, which is all that `agree` raises
            return False
        return True

    assert claimed(1.0)
    assert not claimed(1 + sign * by)
