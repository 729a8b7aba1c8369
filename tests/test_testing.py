"""What the kit's checks return and refuse, and how they are asked; texts of failures are apart."""

from __future__ import annotations

import pydoc
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.testing import (
    GradientError,
    NothingToldError,
    Report,
    arrays,
    boolean,
    check,
    check_op,
    check_vjp,
    derivatives,
    distinct,
    index,
    interval,
    networks,
    nonzero,
    positive,
    real,
    slope,
    tensors,
)
from tinygrad_fc.testing.options import NAMES


def cosine(g: Any, _out: Any, x: Any) -> Any:
    return g * np.cos(x)


# What passes, and what is reported


def test_a_report_says_what_was_seen() -> None:
    report = check_vjp(np.sin, cosine, interval(-8, 8), max_examples=30)
    assert isinstance(report, Report)
    assert report.examples == 30
    assert report.compared > 30
    assert report.undecided * 8 < report.compared
    assert str(report._replace(undecided=0, kinks=1)) == (
        f"30 examples: {report.compared} slopes compared, 0 undecided, 1 at kinks"
    )


def test_kinks_are_counted_and_staircases_are_undecided() -> None:
    assert check(tg.relu, real, max_examples=30).kinks
    report = check_vjp(np.floor, lambda g, out, x: 0 * g, real, max_examples=30)
    assert report.undecided
    text = str(report._replace(compared=1, undecided=2))
    assert "More are undecided than compared" in text


def test_functions_of_tensors_with_several_results_and_arguments() -> None:
    def f(x: Any, w: Any, i: Any) -> Any:
        return (x @ w).tanh(), w[i], x > 0

    assert check(f, real("b", "n"), real("n", "m"), index("n")("k"), max_examples=20).compared


@pytest.mark.parametrize("domain", [positive, nonzero, interval(-1, 1), distinct, real("n", 2)])
def test_words_are_kept(domain: Any) -> None:
    def f(x: Any) -> Any:
        assert ((x > domain.low) & (x < domain.high)).all()
        return x * 2.0

    assert check_vjp(f, lambda g, out, x: 2 * g, domain, max_examples=30).examples == 30


def test_conditions_are_kept_wherever_the_function_is_called_first() -> None:
    def well(a: Any) -> bool:
        return bool(a.size == 0 or (np.linalg.cond(a) < 50).all())

    def pulled(g: Any, out: Any, _a: Any) -> Any:
        turned = out.swapaxes(-1, -2)
        return -turned @ g @ turned

    assert check_vjp(np.linalg.inv, pulled, real("n", "n"), where=well, max_examples=30).compared
    inside = real("n", "n", where=well)
    assert check_vjp(np.linalg.inv, pulled, inside, max_examples=30).compared


def test_signatures_give_shapes_and_batches_where_the_function_takes_them() -> None:
    seen = set()

    def f(a: Any, b: Any) -> Any:
        seen.add((a.ndim, b.ndim))
        return (a @ b[..., None])[..., 0]

    def pulled(g: Any, _out: Any, a: Any, b: Any) -> Any:
        whole = g[..., None] * b[..., None, :], (g[..., None] * a).sum(-2)
        return tuple(_fit(x, s) for x, s in zip((a, b), whole, strict=True))

    check_vjp(f, pulled, real, real, sig="(n,m),(m)->(n)", max_examples=60)
    assert {(2, 1), (3, 2)} <= seen
    assert any(b != a - 1 for a, b in seen)
    seen.clear()
    check(lambda a, b: (a * b).sum(), real, real, sig="(n),(n)->()", max_examples=10)


def _fit(x: Any, g: Any) -> Any:
    g = g.sum(tuple(range(g.ndim - x.ndim)))
    axes = tuple(k for k in range(x.ndim) if x.shape[k] == 1 != g.shape[k])
    return np.asarray(g.sum(axes, keepdims=True)).astype(x.dtype)


@settings(max_examples=60)
@given(arrays(real("n>=2", 3), positive(...), real("n", "m>=5"), index("m")("m")))
def test_numbers_are_sizes_and_letters_may_have_a_least_one(drawn: Any) -> None:
    x, _, y, i = drawn
    assert x.shape[1] == 3
    assert len(x) == len(y) >= 2
    assert y.shape[1] == len(i) >= 5


def test_sizes_are_kept_by_what_is_tried_first_and_by_signatures() -> None:
    seen: set[Any] = set()

    def f(a: Any, b: Any) -> Any:
        seen.add((a.shape, b.shape))
        return a.sum() + (b * b).sum()

    once: Any = {"order": 1, "dtypes": (np.float64,)}  # shapes are those of all laws
    model = nn.Linear(3, 2, dtype=np.float64)
    assert check(model, real("batch", 3), max_examples=20).raised == 0
    check(f, real("n>=2", 3), real(2), max_examples=80, **once)
    assert {a[1] for a, _ in seen} == {3}
    assert {b for _, b in seen} == {(2,)}
    assert {a[0] for a, _ in seen} >= {2, 3, 4}
    assert min(a[0] for a, _ in seen) == 2
    for of_result, batch in (("()", False), ("(3)", True)):
        seen.clear()
        g = f if not batch else lambda a, b: (seen.add((a.shape, b.shape)), a * b.sum(-1))[1]
        sized = check(g, real, real, sig=f"(3),(m>=2)->{of_result}", max_examples=40, **once)
        assert sized.compared
        assert {a[-1] for a, _ in seen} == {3}
        assert min(b[-1] for _, b in seen) == 2


def test_signatures_of_what_returns_several_or_another_size() -> None:
    assert check(lambda x: (x, x.sum()), real, sig="(n)->()", max_examples=10).compared
    assert check(lambda x: x.reshape(-1), real, sig="(n,m)->(k)", max_examples=10).compared


def test_accuracy_is_the_users_demand() -> None:
    def off(g: Any, out: Any, _x: Any) -> Any:
        return g * out * (1 + 1e-10)

    assert check_vjp(np.exp, off, interval(-2, 2), max_examples=20)
    assert check_vjp(np.exp, lambda g, out, x: g * out, interval(-2, 2), accuracy="full")
    with pytest.raises(GradientError) as caught:
        check_vjp(np.exp, off, interval(-2, 2), accuracy="full")
    assert caught.value.kind == "imprecise"

    def worse(g: Any, out: Any, x: Any) -> Any:
        return (g * out * 1.001).astype(x.dtype)

    double: Any = {"dtypes": (np.float64,)}
    assert check_vjp(np.exp, worse, interval(-2, 2), accuracy=0.01, max_examples=20, **double)
    with pytest.raises(GradientError):
        check_vjp(np.exp, worse, interval(-2, 2), **double)


def test_noise_of_the_function_is_allowed_for_where_it_is_told() -> None:
    def rough(x: Any) -> Any:
        return np.float32(np.sin(x)).astype(x.dtype)

    report = check_vjp(rough, cosine, real, noise=1e-7, dtypes=(np.float64,), max_examples=40)
    assert report.compared


def test_kinks_may_be_skipped_or_forbidden() -> None:
    def illegal(g: Any, _out: Any, x: Any) -> Any:
        return g * np.where(x == 0, 3, np.sign(x)).astype(x.dtype)

    with pytest.raises(GradientError) as caught:
        check_vjp(np.abs, illegal, real)
    assert caught.value.kind == "kink"
    with pytest.raises(GradientError, match="kinks='forbid' asks for none"):
        check(tg.relu, real, kinks="forbid")
    assert check_vjp(np.abs, illegal, real, kinks="skip", max_examples=30).compared


def test_float32_alone() -> None:
    only: Any = {"dtypes": (np.float32,)}
    assert check_vjp(np.sin, cosine, real, max_examples=20, **only).compared
    with pytest.raises(GradientError):
        check_vjp(np.sin, lambda g, out, x: g * np.sin(x), real, **only)


@derivatives(real("batch", 3), interval(0.5, 2)(3), max_examples=20)
def test_derivatives_makes_a_test(x: Any, scale: Any) -> Any:
    return (x * scale).tanh()


class TestMethods:
    @pytest.fixture
    def layer(self) -> nn.Module:
        return nn.Linear(3, 2, dtype=np.float64)

    @derivatives(real("batch", 3), max_examples=10, dtypes=(np.float64,))
    def test_with_a_fixture(self, x: Any, *, layer: Any) -> Any:
        return layer(x)


def test_an_assertion_in_a_test_of_ones_own_is_no_refusal():
    @derivatives(real("n"), max_examples=30)
    def bounded(x: Any) -> Any:
        assert (abs(x.detach().numpy()) < 100).all(), "too large"
        return x * x

    with pytest.raises(GradientError, match="raises AssertionError: too large") as caught:
        bounded()
    assert caught.value.kind == "raises"
    (x,) = caught.value.arrays
    assert x.size == 1


def test_derivatives_fails_where_they_are_wrong() -> None:
    @derivatives(real)
    def cut(x: Any) -> Any:
        return x * x.detach()

    with pytest.raises(GradientError, match=r"in cut, argument 0 \(x\)"):
        cut()


# Rows


def test_rows_are_checked_by_name_at_arrays_or_drawn() -> None:
    assert check_op("multiply", np.array([1.0, 2.0]), np.array(3.0)).examples == 1
    assert check_op("sum", np.ones((2, 3)), settings={"axis": 1}).compared
    assert check_op("argmax", max_examples=8).examples == 2
    with pytest.raises(ValueError, match="no row of the table is called 'multipl'; there is"):
        check_op("multipl")


@pytest.mark.usefixtures("_table_restored")
def test_of_rows_of_ones_own_with_one_name_the_last_is_checked() -> None:
    def cube(factor: int) -> None:
        tg.op(
            lambda x: x**3,
            name="third power",
            domain=(real,),
            rules=(lambda g, out, x: factor * g * x**2,),
        )

    cube(2)
    with pytest.raises(GradientError):
        check_op("third power")
    cube(3)  # as a notebook's cell does that is mended and run again
    assert check_op("third power", max_examples=20).compared


@pytest.mark.usefixtures("_table_restored")
def test_rows_of_the_first_order_alone() -> None:
    once = tg.op(
        lambda x: x * x,
        name="square, once",
        domain=(real,),
        rules=(lambda g, out, x: np.asarray(np.ldexp(g * x, 1)),),  # ldexp has no row itself
    )
    assert check_op(once, order=1, max_examples=20).compared
    with pytest.raises(GradientError, match="where there is none, order=1 leaves it out"):
        check_op(once)


# What is refused


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"order": 3}, ValueError, "order is 1 for first derivatives, or 2 for second ones too"),
        ({"order": "2"}, TypeError, "order is 1 for .*; got '2'"),
        ({"order": True}, TypeError, "order is 1 for .*; got True"),
        ({"dtypes": np.float16}, ValueError, "dtypes is np.float64, np.float32 or a tuple of both"),
        ({"dtypes": ()}, ValueError, r"dtypes is .*; got \(\)"),
        ({"dtypes": 3}, TypeError, "dtypes is .*; got 3"),
        ({"accuracy": -1}, ValueError, 'a positive number, relative to the gradient, or "full"'),
        ({"accuracy": True}, TypeError, "accuracy is .*; got True"),
        ({"accuracy": "a"}, TypeError, "accuracy is .*; got 'a'"),
        ({"accuracy": np.nan}, ValueError, "accuracy is .*; got nan"),
        ({"kinks": "none"}, ValueError, "one of 'subgradient', 'skip', 'forbid'; got 'none'"),
        ({"noise": -1.0}, ValueError, "noise is how exact the function is, relative to it"),
        ({"noise": np.nan}, ValueError, "noise is .*; got nan"),
        ({"noise": "a"}, TypeError, "noise is .*; got 'a'"),
        ({"max_examples": 0}, ValueError, "max_examples is .* at least 1; got 0"),
        ({"max_examples": "a"}, TypeError, "max_examples is .*; got 'a'"),
        ({"where": 3}, TypeError, "where is a function of the drawn arrays .*; got 3"),
        ({"where": lambda x, y: True}, TypeError, r"\(x, y\) can't be called with 1 argument"),
        ({"where": lambda x: x > 0}, TypeError, r"an array of shape .*: write np.all\(...\)"),
        ({"sig": 3}, TypeError, "sig is a string such as"),
        ({"sig": "n->n"}, ValueError, "is no signature with one result: write the axes"),
        ({"sig": "(n),(n)->()"}, ValueError, "has 2 arguments for 1 domain: give one domain for"),
        ({"domains": (real,)}, ValueError, "have their domains already: leave it out"),
        ({"max_example": 3}, TypeError, "check has no option 'max_example'; perhaps 'max_examples"),
        ({"foo": 3}, TypeError, "check has no option 'foo'; its options are order, sig, where, "),
    ],
)  # fmt: skip
def test_options_that_make_no_sense(options: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        check(tg.exp, real, **options)


class Elsewhere:
    """A dtype of another library."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


@given(st.sampled_from(["torch", "tf", "a.b"]), st.sampled_from(["float32", "float64"]))
def test_dtypes_of_another_library_are_told_what_they_are_here(library: str, name: str) -> None:
    one = Elsewhere(f"{library}.{name}")
    for several in (one, (one,), [np.float64, one]):
        with pytest.raises(
            TypeError, match=f"a tuple of both; got .*. Write np.{name} for {one}, "
        ):
            check(tg.exp, real, dtypes=several)
    with pytest.raises(TypeError, match=rf"of both; got \({library}.float16,\)$"):
        check(tg.exp, real, dtypes=(Elsewhere(f"{library}.float16"),))


@pytest.mark.parametrize("dtype", [np.float32, "float32", np.dtype(np.float32)])
def test_a_dtype_alone_is_that_one(dtype: Any) -> None:
    with pytest.raises(GradientError, match=r", dtypes=\(np.float32,\)\)$"):
        check_vjp(np.sin, lambda g, out, x: 2 * g, real, dtypes=dtype)


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ((), ValueError, "check needs a domain for each argument"),
        ((float,), TypeError, "a domain is a word such as real, .* or an array of real num"),
        (("real",), TypeError, "or an array of real numbers; got 'real'"),
        ((np.array([1j]),), TypeError, "or an array of real numbers; got array"),
        (([[1.0], [1.0, 2.0]],), TypeError, "or an array of real numbers; got"),
        ((3,), ValueError, "check is given an array of int64: only float64 and float32 have"),
        ((np.float16(1),), ValueError, "an array of float16: only float64 and float32"),
        ((index(3),), ValueError, r"check is given index\(3\): only floats have a gradient"),
        ((real, 3), TypeError, "got 3. Give domains for all arguments, or arrays for all"),
        ((real, real), TypeError, "exp takes 1, and gets 2 arguments. Give a domain or an array"),
        ((real, index("k")), ValueError, r"index\('k'\) indexes an axis 'k', and no argument has"),
    ],
)  # fmt: skip
def test_what_is_no_domain(given: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        check(tg.exp, *given)


@pytest.mark.parametrize(
    ("domains", "kind", "text"),
    [
        (real, TypeError, r"one for each array, as in domains=\(real,\); got real"),
        ((real, real), ValueError, r"of its kind: float; got real \(float\), real \(float\)"),
        ((index(2),), ValueError, r"of its kind: float; got index\(2\) \(index\)"),
    ],
)
def test_domains_of_given_arrays_that_are_none(domains: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        check(tg.exp, np.ones(2), domains=domains)


def test_tensors_are_arrays_too() -> None:
    assert check(tg.exp, tg.tensor([1.0, 2.0], requires_grad=True)).compared


def _two(_g: Any, _x: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: check(3, real), "what check takes is a function of tensors, an operation, or a"),
        (lambda: check(lambda x: x, real, real), r"\(x\) can't be called with 2 arguments: too ma"),
        (lambda: check(lambda x: None, real), "must return tensors or arrays of real numbers, and"),
        (lambda: check(lambda x: "a", np.ones(2)), "real numbers, and returned 'a'"),
        (lambda: check_vjp(3, cosine, real), "forward is a function of arrays; got 3"),
        (lambda: check_vjp(np.sin, None, real), r"vjp is vjp\(g, out, \*arrays\), .*; got None"),
        (lambda: check_vjp(np.sin, _two, real), r"_two\(_g, _x\) can't be called with 3 argument"),
        (lambda: check_vjp(np.sin, cosine, real, vjp2=3), r"vjp2 is vjp2\(h, g, \*arrays\), .* 3"),
        (lambda: check_vjp(np.sin, cosine, real, foo=1), "check_vjp has no option 'foo'; .* vjp2"),
        (lambda: derivatives(tg.relu.__call__), "write @derivatives"),
        (lambda: derivatives(real)(3), "what derivatives decorates is a function .*; got 3"),
        (lambda: derivatives(real, real)(lambda x: x), r"has 1 parameter to draw \(x\), .* 2 dom"),
        (lambda: derivatives(real, foo=1), "derivatives has no option 'foo'"),
        (lambda: check_op(3), "check_op takes the name of a row, such as 'tanh', or the row"),
        (lambda: check_op("exp", sig="()->()"), "check_op has no option 'sig'"),
        (lambda: check_op("exp", "a"), "an array of real numbers; got 'a'"),
        (lambda: check_op("sum", settings={"axis": 1}), "and no arrays: without these all"),
        (lambda: slope(3, 1.0), "f is a function of arrays; got 3"),
        (lambda: slope(np.sin, "a"), "x is an array of real numbers; got 'a'"),
        (lambda: slope(np.sin, 1.0, "q"), "direction is an array of real numbers; got 'q'"),
        (lambda: slope(np.sin, (1.0, 2.0)), "sin takes 1, and gets 2 arguments. x is a tuple"),
        (lambda: slope(lambda x: None, 1.0), "f must return tensors or arrays of real numbers"),
        (lambda: arrays(3), r"a domain is a word such as real, .*; got 3"),
        (lambda: tensors(real, dtype=int), "dtype is that of floats"),
        (lambda: networks(layers=3), "layers is how many there are, least and most, .*; got 3"),
        (lambda: networks(inputs="a"), "inputs is a width: a whole number, at least 1; got 'a'"),
        (lambda: networks(activations=(3,)), "each of activations is a class of modules"),
        (lambda: networks(activations=(nn.Tanh(),)), r"each of act.* a class .*; got 'Tanh\(\)'"),
        (lambda: networks(activations=nn.Tanh), "activations is a sequence of classes"),
        (lambda: slope(lambda x: (x, x[0]), np.ones(2)), "f must return one tensor or array"),
    ],
)  # fmt: skip
def test_what_is_of_another_type(call: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (derivatives, "derivatives needs a domain for each argument"),
        (lambda: check_op("exp", 3), "argument 0 .* of exp is of int64: only float64 and float32"),
        (lambda: slope(np.sin, np.ones(3), np.ones(2)), r"broadcasts to it: \(3,\); got \(2,\)"),
        (lambda: arrays(index("k")), "indexes an axis 'k', and no argument has one"),
        (lambda: slope(lambda x: x[x > 1], np.array([1.0, 2.0])), "one shape everywhere, and re"),
        (lambda: networks(layers=(3, 1)), r"least and most, as in \(1, 3\); got \(3, 1\)"),
        (lambda: networks(inputs=0), "inputs is a width: .*; got 0"),
        (lambda: networks(activations=()), "activations is empty: give one at least"),
        (lambda: check_vjp(lambda a: a, cosine, real, sig="(n)->()"),
         r"sig '\(n\)->\(\)' says that forward returns \(\) for \(2,\), and it returned \(2,\)"),
        (lambda: check(lambda a, b: a @ b, real, real, sig="(n,m),(m,n)->(m)"),
         r"returns \(2,\) for \(3, 2\) and \(2, 3\), and it returned \(3, 3\)"),
        (lambda: real("n?", -1), "an axis of real is a name, .*; got -1"),
        (lambda: real("n m"), "an axis of real is .*; got 'n m'"),
        (lambda: real("n>=a"), 'an axis of real is a name, .*"n>=2" for one of 2 or more'),
        (lambda: real("n>=2?"), r"an axis of real is .* that very size, .*; got 'n>=2\?'"),
        (lambda: real(..., "..."), "has `...` twice"),
        (lambda: interval(np.nan, 1), r"interval\(nan, 1\) is empty: low must be less than high"),
        (lambda: interval(0, 1, special=(2,)), "the special value 2 is outside"),
        (lambda: interval(-1, 1, (0,), without=(0,)), "the special value 0 is outside"),
        (lambda: index(0), "index takes the size of the axis that it counts: .*; got 0"),
        (lambda: index("n?"), r"index takes .*; got 'n\?'"),
    ],
)  # fmt: skip
def test_what_is_of_no_use(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: real(3.5), "an axis of real is a name, .*; got 3.5"),
        (lambda: real((2, 3), 4), r"an axis of real is .*; got \(2, 3\)"),
        (lambda: real(where=3), "where is a function of the array .*; got 3"),
        (lambda: interval("a", 1), r"interval takes two numbers, .*; got interval\('a', 1, "),
        (lambda: interval(0, 1, special=0.5), "interval takes .*special=0.5"),
        (index, r'index takes the size .*, as index\("n"\) beside real\("n"\); got None'),
        (lambda: check(lambda w, i: w, real("n"), index),
         r'is given without the size .*: write index\("n"\) beside real\("n"\), or index\(3\)$'),
        (lambda: derivatives(real("n"), index), "index is given without the size of the axis"),
        (lambda: check(tg.exp, index), "index is given without the size of the axis"),
        (lambda: arrays(index), "index is given without the size of the axis"),
        (lambda: derivatives(interval), r"interval is given without its ends.* interval\(0, 1\)$"),
        (lambda: index(2.5), "index takes the size of the axis .*; got 2.5"),
        (lambda: index(True), "index takes the size of the axis .*; got True"),
        (lambda: check(tg.exp, real(where=lambda x: x > 0)), "where= is a condition on whole arr"),
        (lambda: check(tg.exp, real(where=lambda x, y: True)), "where= of real is called with its"),
    ],
)  # fmt: skip
def test_words_of_another_type(call: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()


ODD = st.none() | st.booleans() | st.floats() | st.integers(max_value=-1) | st.just("")


@given(ODD)
def test_whatever_is_no_axis_is_named_and_words_stay_as_they_were(odd: Any) -> None:
    for word in (real, index):
        with pytest.raises((TypeError, ValueError), match=re.escape(f"; got {odd!r}") + "$"):
            word(odd)
    for name in ("max_examples", "order", "sig", "kinks", "dtypes"):
        if odd is not None:
            with pytest.raises(
                (TypeError, ValueError), match=re.escape(f"got {odd!r}") + "|no sig"
            ):
                check(tg.exp, real, **{name: odd})


def test_nothing_told_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    few: Any = {"max_examples": 10}
    with pytest.raises(
        NothingToldError, match=r"At \d+ of \d+ inputs drawn the result is NaN or i"
    ):
        check_vjp(lambda x: x * np.nan, lambda g, out, x: g, real, **few)
    with pytest.raises(NothingToldError, match="no finite value at any input drawn, or none meets"):
        check_vjp(np.sin, cosine, real, where=lambda x: False, max_examples=5)
    with pytest.raises(
        NothingToldError, match=r"(\d+) of \1 inputs drawn raised ValueError: not mi"
    ):
        check_vjp(_refuses, cosine, real, **few)
    with pytest.raises(NothingToldError, match=r"'Tensor' ob.* that is for the function to mend"):
        check(lambda x: x.nothing(), real, **few)
    with pytest.raises(NothingToldError, match="not finite at these arrays"):
        check_vjp(np.log, lambda g, out, x: g / x, np.array(-1.0))
    for place in (real, np.ones(2)):
        with pytest.raises(NothingToldError, match="returns bool wherever it was called: only flo"):
            check(lambda x: x > 0, place, **few)
    told = capsys.readouterr()
    assert told.out == told.err == ""  # no seeds


def _refuses(_: Any) -> Any:
    raise ValueError("not mine")


def test_inputs_at_which_the_function_raises_are_counted() -> None:
    def f(x: Any) -> Any:
        if x.shape[-1:] != (3,):
            raise ValueError("three columns")
        return x * 2.0

    def doubled(g: Any, _out: Any, _x: Any) -> Any:
        return 2 * g

    few: Any = {"max_examples": 30}
    assert check_vjp(f, doubled, real("n", "m"), where=lambda x: x.shape[1] == 3, **few).raised == 0
    with pytest.warns(UserWarning, match=r"^f: .* inputs drawn raised ValueError: three columns"):
        report = check_vjp(f, doubled, real("n", "m"), **few)
    assert report.raised * 3 > report.examples
    assert str(report).endswith(
        f". {report.raised} of {report.raised + report.examples} inputs drawn raised ValueError: "
        "three columns; give domains shapes that it takes (sig=, or real('n', 3)), or a condition "
        "(where=)"
    )
    assert "raised" not in str(report._replace(raised=report.examples // 3))
    both = report.plus(Report(1, 2, 3, 4, 5, "other", 6, 7, 8, 9))
    of_both = report.examples + 1, report.raised + 5, "other", 6, 7, 8, report.raised_empty + 9
    assert both[:1] + both[4:] == of_both

    def hardly(x: Any) -> Any:
        if x.ndim < 30:  # as no array that is drawn
            raise ValueError("30 axes")
        return x * 2.0

    with pytest.raises(NothingToldError, match="inputs drawn raised ValueError: 30 axes; give dom"):
        check_vjp(hardly, doubled, real, max_examples=5)


# Strategies


@settings(max_examples=30)
@given(arrays(real("n", "m"), positive("m"), boolean("n")))
def test_arrays_fit_together(drawn: Any) -> None:
    x, y, b = drawn
    assert x.shape == (len(b), len(y))
    assert (y > 0).all()
    assert b.dtype == bool


@settings(max_examples=30)
@given(tensors(real, dtype=np.float32), arrays(interval(0, 1), sig="(n)->()"))
def test_tensors_and_signatures(t: Any, a: Any) -> None:
    assert t.requires_grad
    assert t.dtype == np.float32
    assert a.ndim >= 1


@settings(max_examples=30)
@given(networks(inputs=2, outputs=1))
def test_networks_run_back(drawn: Any) -> None:
    model, x = drawn
    assert isinstance(model, nn.Sequential)
    out = model(x)
    assert out.shape == (len(x), 1)
    (out * out).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@settings(max_examples=5)
@given(networks())
def test_networks_have_right_gradients(drawn: Any) -> None:
    model, x = drawn
    check(model, x.numpy())


def test_nothing_of_others_is_loaded_before_it_is_named() -> None:
    code = (
        "import sys, tinygrad_fc, tinygrad_fc.testing\n"
        "assert not {'hypothesis', 'torch', 'jax', 'autograd'} & set(sys.modules)\n"
        "sys.modules['hypothesis'] = None\n"
        "import numpy as np\n"
        "from tinygrad_fc.testing import check_op, check, real\n"
        "check_op('exp', np.ones(2))\n"
        "for f in (lambda: check(np.exp, real), lambda: tinygrad_fc.testing.arrays):\n"
        "    try:\n        f()\n"
        "    except ImportError as error:\n"
        "        assert \"pip install 'tinygrad-fc[testing]'\" in str(error)\n"
        "    else:\n        raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603  our own code


def test_help_tells_what_may_be_asked_for() -> None:
    said = pydoc.plain(pydoc.render_doc(check))
    for name in (*NAMES, "GradientError", "NothingToldError", "TypeError", "Report", '"n>=2"'):
        assert f"`{name}" in said or f" {name}" in said
    words = pydoc.plain(pydoc.render_doc(real))
    for told in ('"n>=2"', "`where`", "`special`", "`TypeError`", '>>> real("batch", 3)'):
        assert told in words.partition("Methods defined")[0]


def test_all_names_are_listed() -> None:
    assert set(tg.testing.__all__) <= set(dir(tg.testing))


def test_parameters_with_a_default_are_left_alone_and_missing_ones_named() -> None:
    @derivatives(real, max_examples=10)
    def scaled(x: Any, scale: float = 2.0) -> Any:
        assert scale == 2.0
        return (x * scale).tanh()

    scaled()

    def two(x: Any, y: Any) -> Any:
        return x * y

    said = (
        "two has 2 parameters to draw (x, y), and @derivatives gets 1 domain: give one domain for "
        "each. What pytest hands over stands behind a star: def two(x, *, y)"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
        derivatives(real)(two)

    @derivatives(real, max_examples=5)
    def starred(x: Any, *, y: Any) -> Any:
        return two(x, y)

    starred(y=2.0)
    derivatives(real, real, max_examples=2)(lambda *both: both[0] * both[1])()
    with pytest.raises(TypeError, match=r"^starred draws x alone: hand over y$"):
        starred()
