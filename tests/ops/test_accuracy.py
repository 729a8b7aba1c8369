"""Functions of classification losses: within 4 ulp of the exact value, for every finite input."""

import math
from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal, localcontext
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import Tensor

Numbers = Sequence[Decimal]
F = tg.nn.functional

# 60 digits; results out of the range of exponents become 0 or infinite.
EXACT = Context(prec=60, traps=[])


class Case(NamedTuple):
    """A function of a vector, its exact value and its exact Jacobian."""

    name: str
    ours: Callable[[Tensor], Tensor]
    exact: Callable[[Numbers], Numbers]
    jacobian: Callable[[Numbers], Sequence[Numbers]]


def log1p(x: Decimal) -> Decimal:
    return x - x * x / 2 if x < Decimal("1e-40") else (1 + x).ln()


def softmax(xs: Numbers) -> list[Decimal]:
    e = [(x - max(xs)).exp() for x in xs]
    return [v / sum(e) for v in e]


def excess(xs: Numbers) -> Decimal:
    """Return logsumexp(xs) - max(xs)."""
    k = max(range(len(xs)), key=lambda i: xs[i])
    return log1p(sum(((x - xs[k]).exp() for i, x in enumerate(xs) if i != k), Decimal(0)))


def sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


def softplus(x: Decimal) -> Decimal:
    return max(x, Decimal(0)) + log1p((-abs(x)).exp())


def pointwise(
    name: str, ours: Any, exact: Callable[[Decimal], Decimal], slope: Callable[[Decimal], Decimal]
) -> Case:
    """Return the case of an elementwise function."""

    def jacobian(xs: Numbers) -> Sequence[Numbers]:
        return [
            [slope(x) if i == j else Decimal(0) for j, x in enumerate(xs)] for i in range(len(xs))
        ]

    return Case(name, ours, lambda xs: [exact(x) for x in xs], jacobian)


def cross_entropy(y: float) -> Case:
    """Return the case of the loss for the target probability `y`."""
    target = Decimal(y)
    return pointwise(
        f"binary_cross_entropy_with_logits, target {y}",
        lambda x: F.binary_cross_entropy_with_logits(x, tg.full_like(x, y), reduction="none"),
        lambda x: (x * (1 - target) if x > 0 else -x * target) + log1p((-abs(x)).exp()),
        lambda x: sigmoid(x) - target,
    )


def functions() -> Iterator[Case]:
    """Yield the cases."""
    yield pointwise("sigmoid", tg.sigmoid, sigmoid, lambda x: sigmoid(x) * sigmoid(-x))
    yield Case(
        "logsumexp",
        lambda x: x.logsumexp(0),
        lambda xs: [max(xs) + excess(xs)],
        lambda xs: [softmax(xs)],
    )
    yield Case(
        "log_softmax",
        lambda x: x.log_softmax(0),
        lambda xs: [(x - max(xs)) - excess(xs) for x in xs],
        lambda xs: [[(i == j) - p for j, p in enumerate(softmax(xs))] for i in range(len(xs))],
    )
    yield pointwise("softplus", F.softplus, softplus, sigmoid)
    yield pointwise("logsigmoid", F.logsigmoid, lambda x: -softplus(-x), lambda x: sigmoid(-x))
    yield from map(cross_entropy, (0.0, 1.0, 0.25))


every = pytest.mark.parametrize("function", list(functions()), ids=lambda f: f.name)
floats = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@st.composite
def rows(draw: st.DrawFn, dtype: Any) -> Any:
    """Draw finite numbers: of any size, of the range of exp, or close to each other."""
    width = np.dtype(dtype).itemsize * 8
    finite = st.floats(width=width, allow_nan=False, allow_infinity=False)
    moderate = st.floats(-800, 800, width=width)
    small = st.floats(-4, 4, width=width)
    element = draw(st.sampled_from((finite, moderate, small)))
    x = np.array(draw(st.lists(element, min_size=1, max_size=5)), dtype)
    if element is finite:
        return x
    # Far from 0, where differences cancel, or with a sum of exponentials near 1.
    total = np.log(np.exp(x - x.max()).sum()) + x.max()
    offsets = (0.0, -100.0, 1e5, total, total * 0.999, total + 0.1)
    return x - np.asarray(draw(st.sampled_from(offsets)), dtype)


def close(ours: np.ndarray, exact: Numbers, least: float = 0) -> None:
    """Assert an error within 4 ulp of `exact`, or of `least`, except for subnormal numbers."""
    info = np.finfo(ours.dtype)
    for a, b in zip(ours.ravel(), exact, strict=True):
        if abs(b) > Decimal(float(info.max)):
            assert abs(a) >= info.max
            continue
        assert np.isfinite(a)
        if abs(b) < Decimal(float(info.tiny)):
            assert abs(a) <= info.tiny
            continue
        ulp = Decimal(math.ldexp(info.eps, math.frexp(max(abs(b), least))[1] - 1))
        assert abs(Decimal(float(a)) - b) <= 4 * ulp, f"{a!r} should be {b:.25}"


def assert_accurate(function: Case, x: np.ndarray) -> None:
    """Assert that the value and the Jacobian of `function` at `x` are accurate."""
    t = tg.tensor(x, requires_grad=True)
    out = function.ours(t)
    with localcontext(EXACT):
        xs = [Decimal(float(v)) for v in x]
        # The largest element and the logarithm of the other terms may cancel.
        least = float(np.abs(x).max()) if function.name == "logsumexp" else 0
        close(out.numpy(), function.exact(xs), least)
        eps = Decimal(float(np.finfo(x.dtype).eps))
        for i, exact in enumerate(function.jacobian(xs)):
            unit = np.zeros(out.shape, x.dtype)
            unit.flat[i] = 1
            (row,) = tg.autograd.grad(out, t, tg.from_numpy(unit), retain_graph=True)
            for a, b in zip(row.numpy(), exact, strict=True):
                assert np.isfinite(a)
                assert abs(Decimal(float(a)) - b) <= 4 * eps, f"derivative {a!r} should be {b:.25}"


PRONE_TO_CANCELLATION = (
    [0.0],
    [-50.0, 50.0],
    [-700.0, -708.0, -710.0, 710.0],
    [-1e30, 1e30, 0.0],
    [np.log(0.5), np.log(0.5)],  # the sum of exponentials is 1 up to rounding
    [np.log(0.25), np.log(0.75)],
    [1e5, 1e5 + 1],
    [5e-324, -5e-324],
    [40.0, 0.0, -40.0],
)


@every
@floats
def test_value_and_jacobian_within_4_ulp(function: Case, dtype: Any) -> None:
    @given(rows(dtype))
    def run(x: np.ndarray) -> None:
        assert_accurate(function, x)

    for xs in PRONE_TO_CANCELLATION:
        assert_accurate(function, np.array(xs, dtype))
    run()


@pytest.mark.parametrize("y", [0.0, 0.25, 0.3, 1.0])
def test_gradient_of_cross_entropy_at_0_is_exact(y: float) -> None:
    x = tg.tensor(0.0, requires_grad=True)
    F.binary_cross_entropy_with_logits(x, tg.tensor(y)).backward()
    assert x.grad == 0.5 - y


@given(exponent=st.integers(-1070, 1020))
def test_gradients_at_every_magnitude(exponent: int) -> None:
    scale = 2.0**exponent
    with np.errstate(over="ignore"):  # of squares, which `norm` then scales
        x, y = (tg.tensor([3 * scale, 4 * scale], requires_grad=True) for _ in range(2))
        x.norm().backward()
        y.asinh().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0.6, 0.8], rtol=1e-15)
    np.testing.assert_allclose(y.grad.numpy(), 1 / np.hypot(1, y.detach().numpy()), rtol=1e-15)
