"""What a check advises where a function refuses what is drawn: types, indices, shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tests.gradient_collection import RIGHT
from tinygrad_fc.nn import functional
from tinygrad_fc.testing import (
    GradientError,
    NothingToldError,
    Report,
    arrays,
    boolean,
    check,
    check_vjp,
    from_jax,
    from_torch,
    index,
    interval,
    positive,
    real,
)
from tinygrad_fc.testing.texts import INDICES, SHAPES, TYPES, advice, counted, of_types, said

FEW: Any = {"max_examples": 2}


@given(st.integers(0, 10**6), st.sampled_from(["example", "slope"]))
def test_a_count_fits_its_noun(many: int, thing: str) -> None:
    assert counted(many, thing) == f"{many} {thing}" + ("" if many == 1 else "s")


@given(st.text() | st.text(". \na"), st.sampled_from([ValueError, RuntimeError]))
def test_an_exception_is_told_as_part_of_a_sentence(text: str, kind: Any) -> None:
    told, first = said(kind(text)), text.strip().partition("\n")[0].rstrip()
    assert told.startswith(kind.__name__)
    assert told.endswith(first if first.endswith("..") else first.removesuffix("."))
    assert not told.endswith(": ")
    assert not told.endswith(".") or first.endswith("..")
    assert said(kind(f"{text}\nmore")) in {told, f"{kind.__name__}: more"}


# As PyTorch, JAX, NumPy and this package say it.
@pytest.mark.parametrize(
    ("refusal", "advised"),
    [
        ("RuntimeError: mat1 and mat2 must have the same dtype, but got Double and Float", TYPES),
        ("RuntimeError: expected m1 and m2 to have the same dtype, but got: double != float",
         TYPES),
        ("RuntimeError: expected scalar type Float but found Double", TYPES),
        ("TypeError: lax.dot_general requires the same dtypes, got float32, float64", TYPES),
        ("IndexError: Target -1 is out of bounds", INDICES),
        ("RuntimeError: expected scalar type Long but found Double", INDICES),
        ("IndexError: index 5 is out of bounds for axis 0 with size 5", INDICES),
        ("IndexError: arrays used as indices must be of integer (or boolean) type", INDICES),
        ("IndexError: too many indices for array: array is 1-dimensional", SHAPES),
        ("AxisError: axis 1 is out of bounds for array of dimension 1", SHAPES),
        ("IndexError: tuple index out of range", SHAPES),
        ("ValueError: matmul: operands could not be broadcast together", SHAPES),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_by_any_librarys_words(refusal: str, advised: str) -> None:
    assert advice(refusal, always=True) == advised
    assert of_types(refusal) is (advised == TYPES)


# Types


def test_a_model_of_one_float_type() -> None:
    torch = pytest.importorskip("torch")
    narrow = torch.nn.Linear(3, 2)
    with pytest.raises(NothingToldError, match=r'Float; both .* are drawn: dtypes="float32", or '):
        check(from_torch(narrow), real(2, 3), **FEW)
    wide = torch.nn.Linear(3, 2).double()
    with pytest.raises(GradientError, match=r"raises in float32 alone: dtypes=.float64. l") as told:
        check(from_torch(wide), np.ones((2, 3)))
    assert ", np.float32))  # where f is what was checked" in str(told.value)
    with pytest.raises(GradientError, match=r"its own numbers are float32: check .* at arrays of"):
        check(from_torch(narrow), np.ones((2, 3)))


def test_what_computes_in_float32_alone() -> None:
    def narrow(g: Any, _out: Any, x: Any) -> Any:
        return np.float32(g * np.cos(x))

    with pytest.raises(GradientError, match='its own numbers are of float32: dtypes="float32"'):
        check_vjp(np.sin, narrow, np.ones(2))
    jax = pytest.importorskip("jax")
    if not jax.config.jax_enable_x64:
        with pytest.raises(GradientError, match="hint: JAX computes in float32 until "):
            check(from_jax(lambda x: x), np.ones(2))


def test_what_fails_in_float32_is_seen_again_in_float32() -> None:
    with pytest.raises(GradientError) as told:
        check_vjp(np.sin, lambda g, out, x: g * np.float64(np.cos(x)), np.ones(2))
    text = str(told.value)
    assert told.value.kind == "dtype"
    assert "  x = np.array([1.0, 1.0], np.float32)\n" in text
    assert text.endswith("np.float64(np.cos(x)), np.array([1.0, 1.0], np.float32))")
    assert told.value.arrays[0].dtype == np.float32


# Indices


@settings(max_examples=40)
@given(arrays(real("b", "n>=1"), index("n", negative=False)("b"), index("n")("b")))
def test_indices_count_from_the_end_unless_they_must_not(drawn: Any) -> None:
    x, plain, either = drawn
    assert ((plain >= 0) & (plain < x.shape[1])).all()
    assert ((either >= -x.shape[1]) & (either < x.shape[1])).all()
    assert repr(index("n", negative=False)("b")) == "index('n', negative=False)('b')"


def test_indices_that_are_refused() -> None:
    loss = functional.cross_entropy
    with pytest.raises(NothingToldError, match=r'; index\("n"\) draws indices of an axis "n" that'):
        check(loss, real(1, 2), boolean(1), **FEW)
    few: Any = {"max_examples": 5, "order": 1, "dtypes": "float64"}
    report = check(loss, real("b>=1", "n>=1"), index("n", negative=False)("b"), **few)
    assert report.compared
    assert report.raised == 0


# Axes

AXES = st.lists(st.sampled_from(["n", "batch", "k>=2", "m?"]) | st.integers(0, 9), max_size=4)


@given(AXES, st.sampled_from([tuple, list]))
def test_axes_may_stand_in_a_tuple(axes: list[Any], kind: Any) -> None:
    for word in (real, index("n")):
        assert word(kind(axes)) == word(*axes)
        assert word(kind([*axes, ...])) == word(*axes, ...)


# Counts


def test_one_is_told_as_one() -> None:
    assert str(check(tg.sin, np.array(1.0))).startswith("1 example: ")
    with pytest.raises(ValueError, match="has 2 arguments for 1 domain: give one domain for each"):
        check(tg.exp, real, sig="(n),(n)->()")


def test_entries_are_counted_in_the_argument_that_is_named() -> None:
    with pytest.raises(GradientError, match=r"differences; 1 of its 2 entries differ\n"):
        check_vjp(
            lambda x, y: x * y,
            lambda g, out, x, y: (g * y * np.array([1, 2], x.dtype), g * x),
            *(np.array([1.0, 2.0]), np.array([3.0, 4.0])),
        )


# What a function has no slope at, and no finite number


def test_a_domain_that_is_too_wide_is_told_of() -> None:
    only: Any = {"order": 1, "dtypes": "float64"}

    def rule(g: Any, _out: Any, x: Any) -> Any:
        return g / x

    with pytest.warns(
        UserWarning, match=r"^log: At \d+ of \d+ inputs drawn the result is NaN"
    ) as w:
        report = check_vjp(np.log, rule, real, max_examples=20, **only)
    assert w[0].filename == __file__
    assert report.nonfinite * 3 > report.examples
    assert str(report).endswith(
        f". At {report.nonfinite} of {report.nonfinite + report.examples} inputs drawn the result "
        "is NaN or infinite, where nothing can be told: choose domains inside which it is defined, "
        "such as positive or nonzero, or a condition (where=)"
    )
    inside = check_vjp(np.log, rule, positive, max_examples=20, **only)
    assert inside.nonfinite == 0
    assert "NaN" not in str(inside._replace(nonfinite=inside.examples // 3))
    assert report.plus(report).nonfinite == 2 * report.nonfinite
    assert not report._replace(nonfinite=9 * report.examples + 1).told
    assert report.empty == 0
    most = report.examples + 1
    assert '"n>=1" as an axis "n"' in str(report._replace(nonfinite=most, empty=most))
    mean = check_vjp(lambda x: x.sum() / x.size, _spread, real("n"), max_examples=20, **only)
    assert mean.empty == mean.nonfinite > 0


def test_arrays_that_are_empty_by_chance_are_no_news() -> None:
    lost: Any = {"raised": 30, "raised_empty": 30, "nonfinite": 30, "empty": 30}
    report = Report(30, 60, 0, 0, refusal="ValueError: zero-size array", **lost)
    assert not report.unfit()
    for more in ({"raised": 31}, {"raised_empty": 19}, {"nonfinite": 31}, {"empty": 19}):
        assert len(report._replace(**more).unfit()) == 1

    def vjp(g: Any, out: Any, x: Any) -> Any:
        top = x == out[..., None]
        return g[..., None] * top / top.sum(-1, keepdims=True)

    largest = check_vjp(lambda x: x.max(-1), vjp, real("n", "m"), order=1, dtypes="float64")
    assert largest.raised_empty == largest.raised > 0


def _narrow(x: Any) -> Any:
    """Return a loss that is computed in float32, whatever comes in."""
    return np.float64(np.float32(np.sin(x)).sum())


def _cosine(g: Any, _out: Any, x: Any) -> Any:
    return g * np.cos(x)


def test_what_can_hardly_be_compared_is_told_of() -> None:
    few: Any = {"max_examples": 20, "order": 1, "dtypes": "float64"}
    domain = interval(0.25, 1.25)(3)
    with pytest.warns(
        UserWarning, match=r"^_narrow: Only \d+ of \d+ slopes could be .*noisy .*float64 in it, or "
    ) as w:
        report = check_vjp(_narrow, _cosine, domain, **few)
    assert [one.filename for one in w] == [__file__]
    assert str(report).count("could be compared") == 1
    assert "More are undecided" not in str(report)
    assert check_vjp(_narrow, _cosine, domain, noise=1e-6, **few).compared  # as it says


FEWER = st.integers(0, 40)


@given(st.integers(1, 100), FEWER, st.integers(0, 800), FEWER)
def test_where_a_tenth_is_compared_or_half_as_many_as_examples_nothing_is_warned_of(
    examples: int, compared: int, undecided: int, kinks: int
) -> None:
    report = Report(examples, compared, undecided, kinks)
    few = compared + kinks < min(undecided / 9, examples / 2 - 1)
    assert report.vague is few
    assert bool(report.unfit()) is few
    wrong = undecided > compared
    assert ("f it should not be, take inputs at which it is smooth" in str(report)) is wrong or few


@pytest.mark.parametrize("name", ["floor", "two steps"])
def test_of_staircases_as_such_nothing_is_warned_of(name: str) -> None:
    bug = RIGHT[name]
    given_: Any = {"sig": bug.sig, "where": bug.where, "max_examples": 40, "order": 1}
    assert check_vjp(bug.forward, bug.vjp, *bug.domains, **given_).undecided


def _spread(g: Any, _out: Any, x: Any) -> Any:
    return np.full(x.shape, g / max(x.size, 1))


def test_single_numbers_stay_arrays_where_only_nearby_ones_will_do() -> None:
    point = np.array([0.0, 0.0]), np.array(0.0)
    assert check(lambda x, y: x**y, *point, order=1, dtypes="float64").undecided


def test_where_both_types_give_no_number_there_is_nothing_to_compare() -> None:
    assert check(lambda x, y: x**y, np.array([-1.0]), np.array([0.0]), order=1).examples


def test_what_is_random_is_told_what_to_do() -> None:
    with pytest.raises(GradientError, match=r"or random: set a seed inside .*model.eval\(\) for"):
        check(lambda x: functional.dropout(x, 0.5), np.ones(20))
