"""Right gradients at places where rounding, or what a function refuses, makes them look wrong."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from gradient_collection import RIGHT
from gradient_collection.case import column
from gradient_collection.formulas import well_posed
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import linalg, nn, testing
from tinygrad_fc.domain import boolean, index, real
from tinygrad_fc.testing import GradientError, NothingCheckedError, assert_vjp, check, check_vjp
from tinygrad_fc.testing.run import check_at

quiet = np.errstate(all="ignore")


@pytest.fixture(autouse=True)
def _few_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check with few sets of directions, with all of them under a thorough profile; no hints."""

    def few(plan: Any, arrays: Any, seeds: int) -> Any:
        return check_at(plan, arrays, seeds if settings().max_examples > 100 else min(seeds, 2))

    monkeypatch.setattr("tinygrad_fc.testing.checks.check_at", few)


SATURATED = ("layer norm", [64.0, 0.0], [0.0, 1.0], [0.0, 0.0])
"""Two numbers, normalised, are 1 and -1 wherever they lie: all that their gradient is cancels."""
ALIKE = (
    *("attention", [[-16.0, -16.0]] * 2, [[-16.0, -16.0]] * 2),
    [[-15.98828125, -16.03125], [-15.998046875, -16.01708984375]],
)
"""Equal keys: the gradient of the query is 0, and what it is summed from is not."""
FAST = ("recurrent", [[0.0, -4.0, 2.75], [10240.0, 13.25, 3.375]], [0.00067138671875, 320.0])
"""A small part changes within 1e-4, the rest within 1: coarse steps agree about the rest."""


@quiet
@pytest.mark.parametrize("place", [SATURATED, ALIKE, FAST], ids=lambda place: place[0])
def test_rounding_is_not_taken_for_a_wrong_gradient(place: Any) -> None:
    name, *arrays = place
    right = RIGHT[name]
    assert check_vjp(right.forward, right.vjp, *map(np.array, arrays)).compared


@pytest.mark.parametrize("z", [15.7, 18.5])
def test_a_network_in_saturation_has_a_right_second_order(z: float) -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.Tanh(), nn.Linear(1, 3)).double()
    model[0].weight.data[...] = z
    model[0].bias.data[...] = 0
    assert check(model, np.array([[1.0, 0.0], [0.0, -1.0], [0.5, 0.5]])).compared


def squashed(x: Any) -> Any:
    """Return what the logarithm of a probability changes by where actions are bounded by tanh."""
    return -(1 - x.tanh() ** 2 + 1e-6).log().sum()


def cubes(x: Any) -> Any:
    """Return a difference quotient, whose digits cancel."""
    return ((x + 0.001) ** 3 - x**3) / 0.001


def margin(a: Any, b: Any) -> Any:
    """Return a hinge whose kink float32 may see elsewhere."""
    return (((a - b) ** 2).sum() - ((a + b) ** 2).sum() + 1).relu()


def saturated(x: Any, w: Any) -> Any:
    """Return a tanh that moves by whole ulps of its own, or not at all, beside a smooth term."""
    return (x @ w).tanh() + (x * x).sum() * 0.001


def without_slope(x: Any, y: Any) -> Any:
    """Return |x^2 - y^2|, whose gradient at 0 is smooth along every line: 2 x or -2 x."""
    return ((x - y) * (x + y)).abs().sum()


AROUND_0 = np.arange(-2.0, 2.125, 0.5)
NORMED = {"axis": None, "keepdims": False, "correction": 0}
ELU = {"alpha": 2.0, "scale": 1.0, "input_scale": 1.0}
# fmt: off
PASSES: dict[str, tuple[Any, ...]] = {
    # 1 - out^2 behind a bias is a staircase, beside which the rest is smooth.
    "tanh of a square": (lambda x: (x * x / 2 + x + 9).tanh(), AROUND_0),
    "tanh of tanh": (lambda x: (3 * x.tanh() + 14).tanh(), AROUND_0),
    "tanh in saturation": (lambda x: (3 * (x / 8 + 5.1875).tanh() + 9).tanh(), AROUND_0),
    "sigmoid of sigmoid": (lambda x: (3 * x.sigmoid() + 28).sigmoid(), AROUND_0),
    "equal slopes of elu": (tg.ops.activation.elu, [61440.0, -0.3125, -9.75, 0.0], ELU),
    "beyond float32": (tg.ops.elementwise.power, [0.000213623046875, 7.25],
                       [[-9.5625, -14.0], [-9.5, 0.0]]),
    # The slope of its abs is 1e-5 of the whole.
    "small beside large": (tg.ops.loss.binary_cross_entropy_with_logits,
                           [-5.7220458984375e-05, 0.0], [14336.0]),
    # A cross entropy, which loses digits where the sigmoid is saturated.
    "digits lost in float32": (
        lambda x, t: -(t * x.sigmoid().log() + (1 - t) * (1 - x.sigmoid()).log()),
        *([0.0, 14.75], [0.999755859375])),
    "overflow in float32": (lambda z: -z.softmax(dim=-1).log().mean(), [0.0, -58.25, 45.0]),
    # An entropy that is 1e-10, beside numbers whose rounding is as large.
    "a cotangent of 0": (lambda x: -(x.softmax(dim=0) * x.log_softmax(dim=0)).sum(),
                         [435.5, 409.25, 380.0]),
    "no slope at 0": (without_slope, np.zeros(3), [0.0, 0.0, -5.0]),
    "no slope, far moves": (without_slope, np.zeros(2), [0.0, -144.0]),
}
"""A function, the arrays and the settings of an op."""
FIRST_ORDER: dict[str, tuple[Any, ...]] = {
    # A staircase beside a slope.
    "cross entropy": (lambda x: x * x - (1 - x.sigmoid()).log(), [31.0, 0.53125, -1.59375]),
    "logit": (lambda x: (x.sigmoid() / (1 - x.sigmoid())).log() + x.sin(),
              [33.65625, 0.53125, -1.59375]),
    "weight decay": (lambda x: ((x * x) / 100 - (1 - x.sigmoid()).log()).sum(),
                     [28.0, 0.53125, -1.59375]),
    "short stairs": (lambda x: x * x / 2 - (1 - x.sigmoid()).log(), [16.0, 0.53125, -1.59375]),
    "stairs of tanh": (lambda x: x * x + (-(x.tanh() ** 2)).log1p(), [8.0, 0.53125, -1.59375]),
    "rough beside 0": (lambda x, n: n + squashed(x), [-4.625, 0.0, 0.0, -14.0], np.zeros(4)),
    "rough": (lambda x, n: n + squashed(x), [-16.0] * 3, np.zeros(3)),
    "squashed": (squashed, [11.0]),
    "squashed, two": (squashed, [-14.0, 0.5]),
    "coarsely rounded": (saturated, [[0.0, -1.0, 1.0]], column([200.0, 10.4375, 1.0])),
    "more coarsely": (saturated, [[0.0, -1.0, 1.0]], column([1024.0, 8.75, 1.0])),
    "other side of a kink": (margin, [0.0, 0.5], [4096.0, 0.5]),
    "other side, far": (margin, [-(2.0**-11)], [-65536.0]),
    # Eighths round alike wherever they move.
    "cubes": (cubes, [1024.0, 1024.0]),
    # All steps, made shorter, lie on one stair of its rounding.
    "cubes, far": (cubes, [-(2.0**28), 3.0]),
    # The tanh of the second number jumps within the steps, by far less than the first one moves.
    "a small jump": (lambda x, w, v: ((x @ w).tanh() @ v).sum(),
                     [[1.0, 1.0, 0.0, 0.5], [-0.0, 1.0, -1.0, 1.0]],
                     [[-1.0, 2.0**26], [0.0, -0.457], [0.5, 0.0], [-6.0, -3.69]],
                     [3407872.0, 0.01]),
    "std": (tg.ops.reduce.std, [-15.874999046325684, -15.87506103515625], NORMED),
    "std an ulp apart": (tg.ops.reduce.std, [86.63642120361328, 86.63641357421875], NORMED),
}
# fmt: on


@pytest.mark.parametrize(
    ("order", "name"), [*((2, name) for name in PASSES), *((1, name) for name in FIRST_ORDER)]
)
def test_right_gradients_that_look_wrong_pass(order: int, name: str) -> None:
    f, *arrays = (PASSES if order == 2 else FIRST_ORDER)[name]
    settings = arrays.pop() if isinstance(arrays[-1], dict) else None
    assert check(f, *map(np.array, arrays), settings=settings, order=order).examples == 1


@pytest.mark.parametrize("f", [np.floor, np.round])
def test_stairs_that_are_shorter_than_all_steps_are_no_slope(f: Any) -> None:
    for x in ([2.0**30], [-18876800.875, 984319.375]):
        with suppress(NothingCheckedError):  # they may as well be those of rounding
            check_vjp(f, lambda g, out, x: 0 * g, np.array(x))


@pytest.mark.parametrize("x", [[-2181038079.75], [1.9e9 + 0.25], [737280.25, 4e9 + 0.25]])
def test_slopes_between_stairs_that_are_shorter_than_all_steps_are_no_kinks(x: Any) -> None:
    check_vjp(lambda x: np.floor(x) * x, lambda g, out, x: g * np.floor(x), np.array(x))
    with pytest.raises(GradientError):
        check_vjp(lambda x: np.floor(x) * x, lambda g, out, x: 3 * g * np.floor(x), np.array(x))


def test_kinks_that_are_skipped_are_skipped_beside_large_numbers() -> None:
    steep = lambda g, out, x: g * (x > 0) + 3 * g * (x == 0)  # noqa: E731
    x = np.array([[13.0, 30720.0], [0.5, 0.0], [5.125, -1.0]])
    assert check_vjp(lambda x: np.maximum(x, 0), steep, x, kinks="skip").compared


def test_a_wrong_gradient_on_a_staircase_is_found() -> None:
    for slope in (2.0, -1.0):
        with pytest.raises(GradientError, match="the gradient is"):
            check_vjp(
                lambda x: x * x - np.log(1 - 1 / (1 + np.exp(-x))),
                lambda g, _, x, slope=slope: g * (2 * x + slope),
                np.array(31.0),
                order=1,
            )


def test_arguments_without_a_gradient_are_tensors_too() -> None:
    assert check(lambda a, b: a.exp() * b.sigmoid(), real, real, max_examples=8).compared


@testing.check_derivatives(real("b", "n>=1"), index("n")("b"), boolean("b"), max_examples=8)
def test_indices_and_conditions_are_tensors_like_all_else(x: Any, i: Any, m: Any) -> Any:
    assert all(isinstance(t, tg.Tensor) for t in (x, i, m))
    assert (i.dtype, m.dtype) == (np.intp, bool)
    rows = tg.arange(x.shape[0])
    return tg.where(m, x[rows, i], (x * i.unsqueeze(1)).sum(dim=1))


@pytest.mark.parametrize("order", [1, 2])
def test_given_indices_are_tensors_too(order: int) -> None:
    places = np.array([[1.0, 2.0], [3.0, 0.5]]), np.array([1, -1]), np.array([True, False])
    picked = lambda x, i, m: tg.where(m.logical_not(), x[:, 0], x[[0, 1], i.long()] ** 3)  # noqa: E731
    assert check(picked, *places, order=order).compared


def test_a_function_may_refuse_arguments_of_several_types() -> None:
    domain = real("n", "n", where=well_posed)
    assert check(linalg.solve, domain, real("n", "k"), max_examples=8).compared


@pytest.mark.parametrize(("a", "b"), [(88.0, 0.0), (709.5, -4.0)])
def test_intermediate_numbers_may_overflow(a: float, b: float) -> None:
    x, y = np.array(a), np.array([b, b])
    for f in (
        lambda a, b: a.exp() * b.sigmoid(),
        lambda a, b: b.exp() * a.exp() * 0.5,
        lambda a, b: (b.tanh() * a.exp()).sum(),
    ):
        with suppress(NothingCheckedError):  # of results that are infinite
            check(f, x, y)


@pytest.mark.parametrize("a", [100.0, 1024.0])
def test_overflow_beside_an_empty_result_is_no_wrong_gradient(a: float) -> None:
    vjp = lambda g, out, a, b: (g.sum(keepdims=True) * np.exp(a), -g)  # noqa: E731
    with suppress(NothingCheckedError):
        check_vjp(lambda a, b: np.exp(a) - b, vjp, np.array([a]), np.zeros(0))


@pytest.mark.filterwarnings("ignore")  # of the mean of no numbers
def test_nan_for_an_empty_result_is_wrong_where_nothing_overflows() -> None:
    rule = lambda g, out, a, b: (g.mean(0, keepdims=True), g)  # noqa: E731
    with pytest.raises(GradientError, match=r"^\[nonfinite\]"):
        check_vjp(np.add, rule, np.ones(1), np.ones(0))


def test_nonlinear_is_seen_where_numbers_overflow() -> None:
    with pytest.raises(GradientError, match=r"^\[nonlinear\]"):
        check_vjp(np.exp, lambda g, out, x: g * np.abs(g) * out, np.array([709.5]))


@given(st.integers(2, 5), st.floats(0.0625, 128), st.integers(4, 22), st.integers(0, 2**20))
@settings(max_examples=3)
def test_the_std_of_numbers_close_to_each_other_has_the_gradient_it_can(
    n: int, around: float, near: int, seed: int
) -> None:
    # However small the std of two is, no ulp moves its gradient, of which float32 has few digits.
    drawn = np.random.default_rng(seed).standard_normal(n)
    x = np.float32(around * (1 + drawn * 2.0**-near)).astype(float)
    assert check(tg.ops.reduce.std, x, settings=NORMED, order=1).examples == 1


def test_a_gradient_of_eight_bits_is_no_rounding_of_float32() -> None:
    def vjp(g: Any, out: Any, x: Any) -> Any:
        right = (x - x.mean()) / (x.size * out)
        return g * (np.round(right * 256) / 256 if x.dtype == np.float32 else right)

    with pytest.raises(GradientError, match=r"^\[float32\]"):
        check_vjp(np.std, vjp, np.array([1.0, 2.0, 4.5]))


@pytest.mark.parametrize("m", [16.0, 2.0**20])
def test_float32_gradients_may_turn_within_a_few_ulps(m: float) -> None:
    # The variance of equal rows is 0, and eps alone is what the slope is made of.
    def norm(x: Any, y: Any) -> Any:
        """Return the rows of `y` with mean 0, divided by the deviation of `x`."""
        return (y - y.mean(axis=0)) / np.sqrt(x.var(axis=0) + x.dtype.type(1e-5))

    def vjp(g: Any, out: Any, x: Any) -> Any:
        return norm(x, g - out * (g * out).mean(axis=0))

    assert check_vjp(lambda x: norm(x, x), vjp, np.full((2, 3), m, np.float32)).examples == 1


def test_a_step_that_float32_does_not_resolve_is_inconclusive() -> None:
    """All steps of a difference lie in the saturation of tanh, where it looks like a sign."""

    def vjp(g: Any, _out: Any, x: Any, w: Any) -> Any:
        d = g * (1 - np.tanh(x @ w) ** 2)
        return d @ w.T, x.T @ d

    x = np.zeros((2, 2), np.float32)
    w = np.array([[-57344.0, -75497472.0], [3584.0, -0.25]], np.float32)
    with pytest.raises(NothingCheckedError):
        assert_vjp(lambda x, w: np.tanh(x @ w), vjp, x, w, dtypes=np.float32)
