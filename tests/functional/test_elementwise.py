"""Gradients of the functions beyond the core where they are hard: far out, at steps, aliased."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from drawing import T, cotangent, laid_out, layouts, seeds
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc import linalg
from tinygrad_fc.errors import GraphError

finite = st.floats(-1e3, 1e3).filter(lambda v: v == 0 or abs(v) > 1e-3)


def slope(f: Any, *values: float) -> list[float]:
    """Return the gradient of `f` at numbers."""
    xs = [T(np.array(v)) for v in values]
    f(*xs).backward()
    return [x.grad.item() for x in xs]


# How often the divisor was taken


@given(st.floats(-1e3, 1e3), finite | st.sampled_from([0.1, 0.2, 0.3, -0.7]))
def test_a_remainder_moves_by_how_often_its_divisor_was_taken(x: float, y: float):
    assume(y)
    exact = Fraction(x) / Fraction(y)
    assert slope(tg.fmod, x, y) == [1, -math.trunc(exact)]
    if np.remainder(x, y) != y:  # where rounding carried it up to the divisor, none was taken
        assert slope(tg.remainder, x, y) == [1, -math.floor(exact)]


def test_the_rounded_quotient_is_one_too_many():
    assert slope(tg.remainder, 1.0, 0.1) == [1, -9]
    assert slope(tg.fmod, -1.0, 0.1) == [1, 9]


# Far out


@given(st.floats(-30, 30), st.sampled_from([0.0, 1e3, -1e10, 1e15]), st.booleans())
def test_the_parts_of_two_exponentials_hang_by_their_difference(
    apart: float, shift: float, swapped: bool
):
    x, y = (shift, shift + apart)[:: -1 if swapped else 1]
    part = 1 / (1 + math.exp(y - x))
    np.testing.assert_allclose(slope(tg.logaddexp, x, y), [part, 1 / (1 + math.exp(x - y))], 1e-14)


@pytest.mark.parametrize(("x", "y", "parts"), [(np.inf, 0.0, [1, 0]), (0.0, -np.inf, [1, 0])])
def test_one_that_is_infinite_has_it_all(x: float, y: float, parts: list[float]):
    assert slope(tg.logaddexp, x, y) == parts


@given(st.floats(0.1, 3), st.integers(-1000, 1000), st.floats(0.5, 2))
def test_an_angle_does_not_hang_by_the_scale(angle: float, power: int, size: float):
    y, x = math.ldexp(size * math.sin(angle), power), math.ldexp(size * math.cos(angle), power)
    found = slope(tg.atan2, y, x)
    wanted = [math.ldexp(v / size, -power) for v in (math.cos(angle), -math.sin(angle))]
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15 * math.ldexp(1, -power))


@pytest.mark.parametrize("name", ["logaddexp", "hypot", "atan2", "fmod", "remainder"])
def test_nan_comes_through_without_a_word(name: str):
    f = getattr(tg, name)
    with np.errstate(all="raise", under="ignore"):
        for x, y in ((np.nan, 2.0), (2.0, np.nan)):
            assert math.isnan(slope(f, x, y)[1])


# Whoever changes what between forward and backward: noticed, or no harm

at = np.array([0, 2, 0])
ONE: dict[str, Any] = {
    "prod": lambda x: tg.prod(x, 1),
    "cumsum": lambda x: tg.cumsum(x, 0),
    "cumprod": lambda x: tg.cumprod(x, 1),
    "amax": lambda x: tg.amax(x, 1),
    "median": lambda x: tg.median(x, 1).values,
    "topk": lambda x: tg.topk(x, 2).values,
    "unique": tg.unique,
    "norm": tg.norm,
    "nuclear": lambda x: linalg.matrix_norm(x, "nuc"),
    "inv": linalg.inv,
    "det": linalg.det,
    "cholesky": lambda x: linalg.cholesky(x @ x.mT + tg.eye(3).type_as(x)),
    "index_select": lambda x: x.index_select(1, tg.tensor(at)),
    "repeat_interleave": lambda x: x.repeat_interleave(tg.tensor(at), 0),
    "tile": lambda x: x.tile(2, 1),
    "select": lambda x: x.select(1, -1),
    "narrow": lambda x: x.narrow(0, 1, 2),
    "diag": lambda x: x.diag(1),
    "tril": tg.tril,
    "roll": lambda x: x.roll((1, 2), (0, 1)),
    "movedim": lambda x: x.movedim(0, 1),
    "masked_select": lambda x: x.masked_select(tg.tensor(np.eye(3) > 0)),
    "take_along_dim": lambda x: x.take_along_dim(tg.tensor(at[None]), 0),
}
TWO: dict[str, Any] = {
    "atan2": tg.atan2,
    "hypot": tg.hypot,
    "logaddexp": tg.logaddexp,
    "xlogy": lambda x, y: tg.xlogy(x, y * y + 1),
    "lerp": lambda x, y: tg.lerp(x, y, 0.25),
    "addcmul": lambda x, y: tg.addcmul(x, y, y),
    "solve": linalg.solve,
    "inner": tg.inner,
    "tensordot": lambda x, y: tg.tensordot(x, y, 1),
    "kron": tg.kron,
    "hstack": lambda x, y: tg.hstack([x, y]),
    "index_add": lambda x, y: tg.index_add(x, 0, tg.tensor(at), y),
    "scatter": lambda x, y: tg.scatter(x, 0, tg.tensor(np.tile(at[:, None], (1, 3))), y),
    "scatter_add": lambda x, y: tg.scatter_add(x, 1, tg.tensor(np.tile(at, (3, 1))), y),
}
CASES = [(f, 1) for f in ONE.values()] + [(f, 2) for f in TWO.values()]
NAMES = [*ONE, *TWO]
drawn = hnp.arrays(np.float64, (2, 3, 3), elements=st.integers(-16, 16).map(lambda v: v / 8))


def inputs(both: Any, count: int) -> list[Any]:
    """Return matrices that are far from singular."""
    return [a + 8 * np.eye(3) for a in both[:count]]


def found(f: Any, xs: list[tg.Tensor], g: Any) -> list[Any]:
    f(*xs).backward(tg.tensor(g[: f(*xs).numel()].reshape(f(*xs).shape)))
    return [None if x.grad is None else x.grad.numpy() for x in xs]


@pytest.mark.parametrize(("f", "count"), CASES, ids=NAMES)
@settings(max_examples=15)
@given(drawn, seeds, st.integers(0, 2), st.booleans())
def test_a_change_in_between_is_noticed_or_harmless(
    f: Any, count: int, both: Any, seed: int, which: int, looked_at: bool
):
    arrays, g = inputs(both, count), cotangent((81,), seed)
    wanted = found(f, [T(a.copy()) for a in arrays], g)
    xs = [T(a.copy()) for a in arrays]
    out = f(*xs)
    weights = tg.tensor(g[: out.numel()].reshape(out.shape))
    changed = out if which == 2 else xs[which % count]
    (changed.detach() if looked_at else changed.data).mul_(0.5)
    try:
        out.backward(weights)
    except GraphError as error:
        assert "changed in place" in str(error)  # noqa: PT017  either is right
        assert all(x.grad is None for x in xs)
    else:
        for x, w in zip(xs, wanted, strict=True):
            assert np.array_equal(x.grad.numpy(), w)


@pytest.mark.parametrize(("f", "count"), CASES, ids=NAMES)
@settings(max_examples=15)
@given(drawn, seeds, layouts)
def test_layouts_and_who_requires_grad_do_not_matter(
    f: Any, count: int, both: Any, seed: int, layout: str
):
    arrays, g = inputs(both, count), cotangent((81,), seed)
    wanted = found(f, [T(a.copy()) for a in arrays], g)
    for k, there in enumerate(wanted):
        xs = [tg.from_numpy(laid_out(a, layout)) for a in arrays]
        xs[k].requires_grad_()
        np.testing.assert_allclose(found(f, xs, g)[k], there, rtol=1e-10, atol=1e-10)
    small = [T(a.astype(np.float32)) for a in arrays]
    assert f(*small).dtype == np.float32
    assert all(gradient.dtype == np.float32 for gradient in found(f, small, g.astype(np.float32)))


@pytest.mark.parametrize("f", TWO.values(), ids=TWO)
@settings(max_examples=15)
@given(drawn, seeds)
def test_one_tensor_as_both_arguments_gets_both_gradients(f: Any, both: Any, seed: int):
    (a,), g = inputs(both, 1), cotangent((81,), seed)
    left, right = found(f, [T(a.copy()), T(a.copy())], g)
    x = T(a.copy())
    assert np.allclose(found(lambda x: f(x, x), [x], g)[0], left + right)
