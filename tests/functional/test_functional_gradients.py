"""Properties of the gradients of functions: in-place changes, memory layouts, dtypes, aliases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import T, cotangent, laid_out, layouts, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc import linalg
from tinygrad_fc.errors import GraphError
from tinygrad_fc.testing import check

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


def gradients(f: Any, xs: list[tg.Tensor], g: Any) -> list[Any]:
    f(*xs).backward(tg.tensor(g[: f(*xs).numel()].reshape(f(*xs).shape)))
    return [None if x.grad is None else x.grad.numpy() for x in xs]


@pytest.mark.parametrize(("f", "count"), CASES, ids=NAMES)
@settings(max_examples=15)
@given(drawn, seeds, st.integers(0, 2), st.booleans())
def test_an_in_place_change_is_detected_or_harmless(
    f: Any, count: int, both: Any, seed: int, which: int, detached: bool
):
    arrays, g = inputs(both, count), cotangent((81,), seed)
    expected = gradients(f, [T(a.copy()) for a in arrays], g)
    xs = [T(a.copy()) for a in arrays]
    out = f(*xs)
    weights = tg.tensor(g[: out.numel()].reshape(out.shape))
    changed = out if which == 2 else xs[which % count]
    (changed.detach() if detached else changed.data).mul_(0.5)
    try:
        out.backward(weights)
    except GraphError as error:
        assert "changed in place" in str(error)  # noqa: PT017  either is right
        assert all(x.grad is None for x in xs)
    else:
        for x, w in zip(xs, expected, strict=True):
            assert np.array_equal(x.grad.numpy(), w)


@pytest.mark.parametrize(("f", "count"), CASES, ids=NAMES)
@settings(max_examples=15)
@given(drawn, seeds, layouts)
def test_gradients_do_not_depend_on_layout_or_on_what_requires_grad(
    f: Any, count: int, both: Any, seed: int, layout: str
):
    arrays, g = inputs(both, count), cotangent((81,), seed)
    expected = gradients(f, [T(a.copy()) for a in arrays], g)
    for k, gradient in enumerate(expected):
        xs = [tg.from_numpy(laid_out(a, layout)) for a in arrays]
        xs[k].requires_grad_()
        np.testing.assert_allclose(gradients(f, xs, g)[k], gradient, rtol=1e-10, atol=1e-10)
    small = [T(a.astype(np.float32)) for a in arrays]
    assert f(*small).dtype == np.float32
    assert all(
        gradient.dtype == np.float32 for gradient in gradients(f, small, g.astype(np.float32))
    )


@pytest.mark.parametrize("f", TWO.values(), ids=TWO)
@settings(max_examples=15)
@given(drawn, seeds)
def test_a_tensor_passed_twice_gets_the_sum_of_both_gradients(f: Any, both: Any, seed: int):
    (a,), g = inputs(both, 1), cotangent((81,), seed)
    left, right = gradients(f, [T(a.copy()), T(a.copy())], g)
    x = T(a.copy())
    assert np.allclose(gradients(lambda x: f(x, x), [x], g)[0], left + right)


def test_gradients_equal_numerical_derivatives():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.1, 0.9, (3, 2)), rng.uniform(1, 2, (2, 2))
    check(lambda x: tg.quantile(x, 0.3, 0), x, max_examples=15)
    check(tg.cdist, x, y, max_examples=15)
    check(lambda x: tg.diff(x, 2, 0), x, max_examples=15)
    check(tg.logit, x, max_examples=15)
