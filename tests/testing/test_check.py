"""What the checks take, return, warn of and refuse; messages of failures are in `test_failure`."""

import math
import subprocess
import sys
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
from gradient_collection import RIGHT
from gradient_collection.formulas import sigmoid, well_posed
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, testing
from tinygrad_fc.domain import distinct, index, interval, nonzero, positive, real
from tinygrad_fc.testing import GradientError, NothingCheckedError, assert_vjp, check, check_vjp
from tinygrad_fc.testing import strategies as s
from tinygrad_fc.testing.strategies import MOST_ENTRIES, inputs

ONCE: Any = {"order": 1, "dtypes": np.float64}


quiet = np.errstate(all="ignore")
check_exp = partial(check, tg.exp, real)


def cosine(g: Any, _out: Any, x: Any) -> Any:
    return g * np.cos(x)


# Reports


def test_a_report_counts_what_was_compared() -> None:
    report = check_vjp(np.sin, cosine, interval(-8, 8), max_examples=30, seed=5)
    assert isinstance(report, testing.Report)
    assert report.examples == report.planned == 30
    assert report.compared > 30
    assert not report.warnings()
    assert not check_vjp(np.sin, cosine, real, **ONCE).warnings()
    assert check(tg.relu, real, max_examples=30).kinks
    first = f"30 examples of seed 5: {report.compared} derivatives compared, "
    assert str(report).startswith(first)


def test_a_constant_result_is_not_counted_as_compared() -> None:
    # Under noise nothing can be compared; that half of the results do not move says nothing.
    def rough(x: Any) -> Any:
        bits = np.ascontiguousarray(x, float).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return np.concatenate([x + (bits >> np.uint64(40)) / 2.0**24, np.ones(len(x))])

    def wrong_sign(g: Any, _out: Any, x: Any) -> Any:
        return -g[: len(x)]

    with pytest.warns(UserWarning, match=r"derivatives are inconclusive \(.*Choose inputs"):
        report = check_vjp(rough, wrong_sign, real("n>=1"), max_examples=30, **ONCE)
    assert report.inconclusive.total() > report.compared / 2


@settings(max_examples=12, suppress_health_check=[HealthCheck.nested_given])
@given(
    st.sampled_from(["exp", "log", "sin", "square", "sum of all", "tanh by its result"]),
    st.sampled_from((-1, 0, 0.5, 0.9, 1.1, 1.5, 1.75, 2, 2.5, 3)),
    st.sampled_from((np.float32, np.float64, (np.float64, np.float32))),
)
def test_wrong_factors_are_found_in_every_dtype(name: str, factor: float, dtypes: Any) -> None:
    case = RIGHT[name]
    vjp = lambda g, out, x: factor * case.vjp(g, out, x)[0]  # noqa: E731
    with pytest.raises(GradientError), np.errstate(all="ignore"):
        check_vjp(case.forward, vjp, *case.domains, dtypes=dtypes)


def test_wrong_factors_are_found_at_given_float32_arrays() -> None:
    for factor in (0.5, 1.75, 2, 2.5):
        x = np.array([0.5, -1.25, 3.0], np.float32)
        with pytest.raises(GradientError):
            assert_vjp(np.square, lambda g, out, x, k=factor: 2 * k * g * x, x)


@quiet
# In float32 or at 0, many of the derivatives of some draws are inconclusive: no rule is refused.
@pytest.mark.filterwarnings("ignore:.* inconclusive")
@pytest.mark.parametrize("dtypes", [np.float32, np.float64])
def test_right_rules_pass_at_closed_ends_and_beside_large_numbers(dtypes: Any) -> None:
    half = interval(0, 4, closed=True)
    few: Any = {"dtypes": dtypes, "max_examples": 20}
    check_vjp(np.sqrt, lambda g, out, x: g / (2 * out), half, **few)
    for b in (1.1, 1.3, 1.5):
        slope = lambda g, out, x, b=b: g * b * x ** (b - 1)  # noqa: E731
        check_vjp(lambda x, b=b: x**b, slope, half, **few)
    for x in ([0.0, 3e6, 1.0], [0.0, 2.0**25], [2.0**30, 0.0, 0.0]):
        there = np.array(x, dtypes)
        assert_vjp(np.tanh, lambda g, out, x: g * (1 - out * out), there)
        assert_vjp(sigmoid, lambda g, o, x: g * o * (1 - o), there)


# What is not compared, and state


@pytest.mark.parametrize(
    ("f", "x", "options"),
    [(np.sign, 0.0, {}), (np.sin, 1.0, {"noise": 1}), (np.floor, [2.0, 0.0], {})],
)
def test_nothing_compared_is_no_pass(f: Any, x: Any, options: Any) -> None:
    with pytest.raises(NothingCheckedError, match="nothing was compared"):
        assert_vjp(f, lambda g, out, x: 7 * g, np.array(x), **options)


def test_a_wrong_rule_is_found_where_a_function_oscillates() -> None:
    for x in (1e5, 1e6):
        with pytest.raises(GradientError):
            assert_vjp(np.sin, lambda g, out, x: 2 * g * np.cos(x), np.array(x))
    assert_vjp(np.sin, cosine, np.array(1e5))


def test_what_is_skipped_is_counted() -> None:
    def contiguous(x: Any, scale: float = 2.0) -> Any:
        assert x.flags.c_contiguous
        return scale * x

    with pytest.warns(UserWarning, match="layout refused: "):
        report = check_vjp(contiguous, lambda g, out, x: 2 * g, real("n", "m"), max_examples=30)
    assert report.skipped["layout refused: Fortran"]
    assert "Not varied: scale. Second derivatives are not checked: there is no vjp2" in str(report)
    with pytest.warns(UserWarning, match="there is no vjp2"):
        check_vjp(np.sin, cosine, interval(-2, 2), max_examples=8, order=2)
    # forward mode has a second derivative: what else is not checked is no reason to warn
    testing.check_jvp(lambda x, scale=2.0: scale * x, lambda t, out, x: 2 * t, real, order=2)


def test_a_function_that_changes_its_argument_is_found() -> None:
    with pytest.raises(GradientError, match=r"^\[mutation\]"):
        check_vjp(lambda x: np.maximum(x, 0, out=x), lambda g, out, x: g * (x > 0), real)


@pytest.mark.filterwarnings("ignore:f")
def test_undefined_points_are_reported() -> None:
    case = RIGHT["x log |x|"]
    assert check_vjp(case.forward, case.vjp, interval(-2, 2, (0.0, 1.0)), max_examples=40).nonfinite
    report = check(lambda x: x.amax(), distinct("n"), max_examples=40)
    assert "For every empty array the function raises" in str(report)
    assert check(lambda x: x.sum(), real("n"), max_examples=10).notes == ()


def test_nothing_checked_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    few: Any = {"max_examples": 10}
    for f, text in (
        (lambda x: x * np.nan, r"At \d+ of \d+ inputs the result is NaN or infinite"),
        (lambda x: int("a"), r"(\d+) of \1 inputs the function raises ValueError: invalid literal"),
        (lambda x, y: x, r"the function raises TypeError: .* missing 1 required positional"),
        (lambda x: x > 0, "returns bool; expected floats"),
    ):
        with pytest.raises(NothingCheckedError, match=text):
            check_vjp(f, cosine, real, **few)
    with pytest.raises(NothingCheckedError, match="No input drawn meets the condition"):
        check_vjp(np.sin, cosine, real, where=lambda x: False, **few)
    with pytest.raises(NothingCheckedError, match="not finite at these arrays"):
        check_vjp(np.log, cosine, np.array(-1.0))
    with pytest.raises(TypeError, match="returned None; expected tensors or arrays"):
        check(lambda x: None, real)
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_many_refused_inputs_are_warned_of() -> None:
    def f(x: Any) -> Any:
        if x.shape[-1:] != (3,):
            raise ValueError("three columns")
        return x * 2.0

    with pytest.warns(UserWarning, match=r"^f: .* raises ValueError: three columns\. N"):
        report = check_vjp(f, lambda g, out, x: 2 * g, real("n", "m"), max_examples=30)
    assert report.raised * 3 > report.examples


# Time and seeds


def test_a_check_that_is_stopped_is_no_verdict() -> None:
    def slow(x: Any) -> Any:
        time.sleep(0.001)
        return np.sin(x)

    report = check_vjp(slow, cosine, interval(-8, 8), seconds=0.2, max_examples=100, **ONCE)
    assert str(report).startswith(f"not finished: {report.examples} of 100 examples, no verdict. ")
    assert not report.warnings()


def test_no_clock_is_read_without_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("tinygrad_fc.testing.run.time.monotonic")
    check_vjp(np.sin, cosine, interval(-8, 8), max_examples=20, **ONCE)


@pytest.mark.usefixtures("_same_inputs")  # which restores the profile
def test_profiles_that_generate_nothing_raise_the_failure() -> None:
    settings.register_profile("explicit", phases=[Phase.explicit], max_examples=20)
    settings.load_profile("explicit")
    assert check_vjp(np.sin, cosine, interval(-8, 8), **ONCE).examples == 10
    with pytest.raises(GradientError):
        check_vjp(np.sin, lambda g, out, x: g, interval(-8, 8), **ONCE)


def test_long_axes_have_no_long_batches() -> None:
    domains = real(..., "n", "d"), real(..., "m", "d"), real(..., "m", "c")
    templates = s.templates(domains)
    shapes = [shape for t in templates for shape in s.template_shapes(domains, t)[0]]
    assert max(map(max, filter(None, shapes))) == 1003
    assert max(map(math.prod, shapes)) <= MOST_ENTRIES
    assert max(a.size for (a,) in s.first_examples((real("n", "n"),))) <= MOST_ENTRIES


# Inputs


@pytest.mark.parametrize(
    "domain",
    [positive, nonzero, interval(-1, 1), interval(0, 2, closed=True), distinct, real("n", 2)],
)  # fmt: skip
def test_inputs_lie_in_their_domain(domain: Any) -> None:
    def f(x: Any) -> Any:
        assert domain.contains(x).all() or x.dtype == np.float32  # layouts of float32 round
        return x * 2.0

    check_vjp(f, lambda g, out, x: 2 * g, domain, max_examples=20, **ONCE)


def test_conditions_hold_wherever_the_function_is_called_first() -> None:
    vjp = lambda g, out, a: -out.T @ g @ out.T  # noqa: E731
    domains = (real("n", "n"), well_posed), (real("n", "n", where=well_posed), None)
    for domain, where in domains:
        assert check_vjp(np.linalg.inv, vjp, domain, where=where, max_examples=30).compared


def test_named_axes_stand_behind_broadcast_axes() -> None:
    seen = set()

    def f(a: Any, b: Any) -> Any:
        seen.add((a.ndim, b.ndim))
        return (a @ b.unsqueeze(-1)).squeeze(-1)

    check(f, real(..., "n", "m"), real(..., "m"), max_examples=30, **ONCE)
    assert {(2, 1), (3, 2)} <= seen
    check(lambda x: (x, x.sum()), real("n"), max_examples=10)


@given(inputs(real("n>=2", 3), positive(...), real("n", "m>=5"), index("m")("m")))
def test_numbers_are_sizes_and_letters_may_have_a_least_one(drawn: Any) -> None:
    x, _, y, i = drawn
    assert x.shape[1] == 3
    assert len(x) == len(y) >= 2
    assert y.shape[1] == len(i) >= 5


@settings(max_examples=10)
@given(inputs(real, real))
@example((np.array(2.0), np.array(3.0)))
def test_an_ordinary_test_draws_its_inputs(arrays: Any) -> None:
    x, y = arrays
    fits = np.broadcast_shapes(x.shape, y.shape) == x.shape == y.shape
    if fits:
        rules = lambda g, out, x, y: g * y, lambda g, out, x, y: g * x
        assert_vjp(np.multiply, rules, x, y, **ONCE)
        if x.size and y.any():
            with pytest.raises(GradientError):
                assert_vjp(np.multiply, (lambda g, out, x, y: 2 * g * y, None), x, y, **ONCE)


@pytest.mark.filterwarnings("ignore:sigmoid")  # NaN, which is drawn too, has a result of NaN
def test_infinities_are_drawn_where_the_domain_is_closed() -> None:
    everywhere = interval(-np.inf, np.inf, special=(np.nan,), closed=True)

    vjp = lambda g, out, x: g * sigmoid(x) * sigmoid(-x)  # noqa: E731
    assert check_vjp(sigmoid, vjp, everywhere, max_examples=30, **ONCE).compared
    with pytest.raises(GradientError, match="since the function is finite at"):
        check_vjp(np.arctan, lambda g, out, x: g * x / (x + x**3), interval(1, np.inf, closed=True))


def test_a_closed_end_is_differentiated_from_inside() -> None:
    unit = interval(-1, 1, closed=True)
    assert check_vjp(np.exp, lambda g, out, x: g * out, unit, max_examples=40).compared
    with pytest.raises(GradientError):
        check_vjp(np.exp, lambda g, out, x: g * out * (x > -1).astype(x.dtype), unit)


# Options


def test_rtol_is_the_demand_of_the_user() -> None:
    def off(g: Any, out: Any, _x: Any) -> Any:
        return g * out * (1 + 1e-10)

    here = interval(-2, 2)
    assert check_vjp(np.exp, off, here, max_examples=20)
    assert check_vjp(np.exp, lambda g, out, x: g * out, here, rtol=0)
    with pytest.raises(GradientError, match=r"^\[imprecise\]"):
        check_vjp(np.exp, off, here, rtol=0)
    worse = lambda g, out, x: (g * out * 1.001).astype(x.dtype)  # noqa: E731
    assert check_vjp(np.exp, worse, here, rtol=0.01, max_examples=20, dtypes=np.float64)


def test_noise_of_the_function_is_allowed_for() -> None:
    rough = lambda x: np.float32(np.sin(x)).astype(x.dtype)  # noqa: E731
    assert check_vjp(rough, cosine, interval(-8, 8), noise=1e-7, dtypes=np.float64).compared


def test_kinks_may_be_skipped() -> None:
    illegal = lambda g, out, x: g * np.sign(x) + 3 * g * (x == 0)  # noqa: E731
    with pytest.raises(GradientError, match=r"^\[kink\]"):
        check_vjp(np.abs, illegal, real)
    assert check_vjp(np.abs, illegal, real, kinks="skip", max_examples=30).compared


@pytest.mark.filterwarnings("ignore:f")
def test_a_seed_gives_the_same_inputs() -> None:
    def inputs_of(seed: int | None) -> tuple[int | None, list[Any]]:
        seen: list[Any] = []

        def f(x: Any) -> Any:
            seen.append(x.tobytes())
            return np.sin(x)

        return check_vjp(f, cosine, real, seed=seed, max_examples=30, **ONCE).seed, seen

    seed, seen = inputs_of(None)
    assert inputs_of(seed) == (seed, seen)
    assert inputs_of(3) != (3, seen)


# fmt: off
REFUSED: dict[Any, tuple[Any, ...]] = {
    TypeError: (
        (lambda: check(3, real), "check got 3; expected a function of tensors"),
        (lambda: check_exp(foo=1), "check has no option 'foo'; expected order, where"),
        (lambda: check(tg.exp, float), "expected a domain such as real, .* or an array of real"),
        (lambda: check(tg.exp, np.array([1j])), "expected a domain .*, or an array of real"),
        (lambda: check(tg.exp, [[1.0], [1.0, 2.0]]), "or an array of real numbers"),
        (lambda: check(tg.exp, real, 3), "check got 3; expected a domain .* for each argument"),
        (lambda: check_vjp(3, cosine, real), "got 3; expected a function of arrays"),
        (lambda: check_vjp(np.sin, None, real), r"got None; expected vjp\(g, out, \*arrays\)"),
        (lambda: check_vjp(np.sin, (cosine, cosine), real), "2 rules for 1 argument; expected one"),
        (lambda: check_vjp(np.sin, cosine, real, vjp2=3), r"expected vjp2\(h, g, \*arrays\)"),
        (lambda: testing.check_derivatives(real, foo=1), "check_derivatives has no option 'foo'"),
        (lambda: check(tg.ops.elementwise.exp, settings={"axis": 1}), "got settings or domains"),
    ),
    ValueError: (
        (lambda: check_exp(order=3), "order is 3; expected 1, or 2 for second derivatives too"),
        (lambda: check_exp(dtypes=np.float16),
         "expected np.float64, np.float32, or a tuple of both"),
        (lambda: check_exp(rtol=-1), "rtol is -1; expected a number of at least 0"),
        (lambda: check_exp(rtol=True), "rtol is True; expected"),
        (lambda: check_exp(noise=np.nan), "noise is nan; expected the relative accuracy"),
        (lambda: check_exp(kinks="none"), "kinks is 'none'; expected 'subgradient' or 'skip'"),
        (lambda: check_exp(max_examples=0), "max_examples is 0; expected an integer of at least 1"),
        (lambda: check_exp(seed="a"), "seed is 'a'; expected an integer"),
        (lambda: check_exp(where=3), "where is 3; expected a function of the arrays"),
        (lambda: check_exp(domains=(real,)), "domains= is for given arrays. Leave it out"),
        (lambda: check(lambda x: x), "check got no domains; expected one for each argument"),
        (lambda: check(lambda x: x, 3), "check got arrays of int64; expected one of float64"),
        (lambda: check(lambda x: x, index(3)), "expected a domain of floats"),
        (lambda: check(tg.add, real, index("k")), "indexes an axis 'k' that no argument has"),
        (lambda: check(lambda x: x, np.ones(2), domains=(real, real)), "expected one for each"),
        (lambda: real("n m"), "'n m' is not an axis"),
        (lambda: interval(np.nan, 1), r"interval\(nan, 1\) is empty: low must be less than high"),
    ),
}
# fmt: on


@pytest.mark.parametrize("error", REFUSED)
def test_illegal_arguments_are_refused(error: Any) -> None:
    for call, text in REFUSED[error]:
        with pytest.raises(error, match=text):
            call()


# Functions of tensors, tests, ops


def test_functions_of_tensors_with_several_results_and_arguments() -> None:
    def f(x: Any, w: Any, i: Any) -> Any:
        return (x @ w).tanh(), w[i], x > 0

    assert check(f, real("b", "n"), real("n", "m"), index("n")("k"), max_examples=8).compared
    assert check(tg.exp, tg.tensor([1.0, 2.0], requires_grad=True)).compared
    model = nn.Linear(3, 2, dtype=np.float64)
    assert check(model, real("batch", 3), max_examples=8).raised == 0


@testing.check_derivatives(real("batch", 3), interval(0.5, 2)(3), max_examples=8)
def test_check_derivatives_makes_a_test(x: Any, scale: Any) -> Any:
    return (x * scale).tanh()


class TestMethods:
    @pytest.fixture
    def layer(self) -> nn.Module:
        return nn.Linear(3, 2, dtype=np.float64)

    @testing.check_derivatives(real("batch", 3), max_examples=10, dtypes=np.float64)
    def test_with_a_fixture(self, x: Any, *, layer: Any) -> Any:
        return layer(x)


def test_an_assertion_in_a_test_is_a_failure() -> None:
    @testing.check_derivatives(real("n"))
    def bounded(x: Any) -> Any:
        assert (abs(x.detach().numpy()) < 8).all(), "too large"
        return x * x

    with pytest.raises(GradientError, match="raises AssertionError: too large"):
        bounded()


@pytest.mark.usefixtures("_registry_restored")
def test_an_op_is_checked_on_its_own_domain_or_at_arrays() -> None:
    rule = lambda g, out, x: 3 * g * x**2  # noqa: E731
    cube = tg.op(lambda x: x**3, name="cube", domain=(real,), rules=(rule,))
    assert check(cube, max_examples=8).compared
    assert check(cube, np.array([1.0, 2.0])).examples == 1
    rule = lambda g, out, x: np.asarray(np.ldexp(g * x, 1))  # noqa: E731  ldexp is no op
    once = tg.op(lambda x: x * x, name="square, once", domain=(real,), rules=(rule,))
    assert check(once, order=1, max_examples=8).compared
    with pytest.raises(GradientError, match="If there is none, order=1 leaves it out"):
        check(once)


def test_nothing_of_others_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, tinygrad_fc.testing as t, numpy as np\n"
        "t.check_vjp(np.sin, lambda g, out, x: g * np.cos(x), np.ones(2))\n"
        "assert not {'hypothesis', 'torch', 'jax', 'autograd'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
