"""The functions that classifiers stand on, to the last digits, for every finite input."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tinygrad_fc import Tensor

    Numbers = Sequence[Decimal]

F = tg.nn.functional

# 60 digits, and exponents without end: what is too small or too large becomes 0 or infinite.
EXACT = Context(prec=60, traps=[])


class Accurate(NamedTuple):
    """A function of a row of numbers, what it is exactly, and its exact Jacobian."""

    name: str
    ours: Callable[[Tensor], Tensor]
    exact: Callable[[Numbers], Numbers]
    jacobian: Callable[[Numbers], Sequence[Numbers]]


def log1p(x: Decimal) -> Decimal:
    return x - x * x / 2 if x < Decimal("1e-40") else (1 + x).ln()


def softmax(xs: Numbers) -> list[Decimal]:
    e = [(x - max(xs)).exp() for x in xs]
    return [v / sum(e) for v in e]


def rest(xs: Numbers) -> Decimal:
    """Return how much the logarithm of the sum of exponentials is above the largest number."""
    k = max(range(len(xs)), key=lambda i: xs[i])
    return log1p(sum(((x - xs[k]).exp() for i, x in enumerate(xs) if i != k), Decimal(0)))


def sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


def softplus(x: Decimal) -> Decimal:
    return max(x, Decimal(0)) + log1p((-abs(x)).exp())


def pointwise(
    name: str, ours: Any, exact: Callable[[Decimal], Decimal], slope: Callable[[Decimal], Decimal]
) -> Accurate:
    """Return a function that treats each number by itself."""

    def jacobian(xs: Numbers) -> Sequence[Numbers]:
        return [
            [slope(x) if i == j else Decimal(0) for j, x in enumerate(xs)] for i in range(len(xs))
        ]

    return Accurate(name, ours, lambda xs: [exact(x) for x in xs], jacobian)


def cross_entropy(y: float) -> Accurate:
    """Return the loss of a number against the target probability `y`."""
    target = Decimal(y)
    return pointwise(
        f"binary_cross_entropy_with_logits, target {y}",
        lambda x: F.binary_cross_entropy_with_logits(x, tg.full_like(x, y), reduction="none"),
        lambda x: (x * (1 - target) if x > 0 else -x * target) + log1p((-abs(x)).exp()),
        lambda x: sigmoid(x) - target,
    )


def functions() -> Iterator[Accurate]:
    """Yield what is held to the last digits; a new function joins by a line."""
    yield pointwise("sigmoid", tg.sigmoid, sigmoid, lambda x: sigmoid(x) * sigmoid(-x))
    yield Accurate(
        "logsumexp",
        lambda x: x.logsumexp(0),
        lambda xs: [max(xs) + rest(xs)],
        lambda xs: [softmax(xs)],
    )
    yield Accurate(
        "log_softmax",
        lambda x: x.log_softmax(0),
        lambda xs: [(x - max(xs)) - rest(xs) for x in xs],
        lambda xs: [[(i == j) - p for j, p in enumerate(softmax(xs))] for i in range(len(xs))],
    )
    if hasattr(F, "softplus"):
        yield pointwise("softplus", F.softplus, softplus, sigmoid)
    if hasattr(F, "logsigmoid"):
        yield pointwise("logsigmoid", F.logsigmoid, lambda x: -softplus(-x), lambda x: sigmoid(-x))
    if hasattr(F, "binary_cross_entropy_with_logits"):
        yield from map(cross_entropy, (0.0, 1.0, 0.25))


every = pytest.mark.parametrize("function", list(functions()), ids=lambda f: f.name)
floats = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@st.composite
def rows(draw: st.DrawFn, dtype: Any) -> Any:
    """Draw finite numbers: of any size, such as matter to exp, or close to each other."""
    width = np.dtype(dtype).itemsize * 8
    finite = st.floats(width=width, allow_nan=False, allow_infinity=False)
    moderate = st.floats(-800, 800, width=width)
    small = st.floats(-4, 4, width=width)
    element = draw(st.sampled_from((finite, moderate, small)))
    x = np.array(draw(st.lists(element, min_size=1, max_size=5)), dtype)
    if element is finite:
        return x
    # Far from 0, where differences lose digits; or such that the exponentials add up to about 1.
    total = np.log(np.exp(x - x.max()).sum()) + x.max()
    offsets = (0.0, -100.0, 1e5, total, total * 0.999, total + 0.1)
    return x - np.asarray(draw(st.sampled_from(offsets)), dtype)


def close(ours: np.ndarray, exact: Numbers) -> None:
    """Assert that `ours` are within 4 ulp of `exact`, where these are normal numbers."""
    info = np.finfo(ours.dtype)
    for a, b in zip(ours.ravel(), exact, strict=True):
        if abs(b) > Decimal(float(info.max)):
            assert abs(a) >= info.max  # no other number is right
            continue
        assert np.isfinite(a)
        if abs(b) < Decimal(float(info.tiny)):
            assert abs(a) <= info.tiny
            continue
        ulp = Decimal(math.ldexp(info.eps, math.frexp(b)[1] - 1))
        assert abs(Decimal(float(a)) - b) <= 4 * ulp, f"{a!r} should be {b:.25}"


def held(function: Accurate, x: np.ndarray) -> None:
    """Assert that the value and all derivatives of `function` at `x` are what they are exactly."""
    t = tg.tensor(x, requires_grad=True)
    out = function.ours(t)
    with localcontext(EXACT):
        xs = [Decimal(float(v)) for v in x]
        close(out.numpy(), function.exact(xs))
        eps = Decimal(float(np.finfo(x.dtype).eps))
        for i, exact in enumerate(function.jacobian(xs)):
            unit = np.zeros(out.shape, x.dtype)
            unit.flat[i] = 1
            (found,) = tg.autograd.grad(out, t, tg.from_numpy(unit), retain_graph=True)
            for a, b in zip(found.numpy(), exact, strict=True):
                assert np.isfinite(a)
                assert abs(Decimal(float(a)) - b) <= 4 * eps, f"slope {a!r} should be {b:.25}"


@every
@floats
def test_last_digits(function: Accurate, dtype: Any) -> None:
    @given(rows(dtype))
    def run(x: np.ndarray) -> None:
        held(function, x)

    run()


@every
@floats
@pytest.mark.parametrize(
    "xs",
    [
        [0.0],
        [-50.0, 50.0],
        [-700.0, -708.0, -710.0, 710.0],
        [-1e30, 1e30, 0.0],
        [np.log(0.5), np.log(0.5)],  # exponentials that add up to 1 but for what log rounded off
        [np.log(0.25), np.log(0.75)],
        [1e5, 1e5 + 1],
        [5e-324, -5e-324],
        [40.0, 0.0, -40.0],
    ],
    ids=str,
)
def test_last_digits_where_they_are_lost_most_easily(
    function: Accurate, dtype: Any, xs: list[float]
) -> None:
    held(function, np.array(xs, dtype))


@pytest.mark.skipif(
    not hasattr(F, "binary_cross_entropy_with_logits"), reason="the loss is not there yet"
)
@pytest.mark.parametrize("y", [0.0, 0.25, 0.3, 1.0])
def test_cross_entropy_at_zero_has_exactly_its_slope(y: float) -> None:
    x = tg.tensor(0.0, requires_grad=True)
    F.binary_cross_entropy_with_logits(x, tg.tensor(y)).backward()
    assert x.grad == 0.5 - y
