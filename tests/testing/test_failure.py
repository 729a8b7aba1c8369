"""Messages of failures: kind, entry, numbers, a hint, and a line that reproduces them."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.domain import Domain, index, interval, positive, real
from tinygrad_fc.testing import GradientError, check, check_derivatives, check_vjp
from tinygrad_fc.testing.problem import Entries
from tinygrad_fc.testing.report import FAILURE_KINDS

from .pasting import pasted


@pytest.fixture
def _hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for hints at other inputs."""
    monkeypatch.setattr("tinygrad_fc.testing.hints.OTHERS", 24)


WRONG: dict[str, tuple[Any, Any, tuple[Domain, ...], str, str]] = {
    "factor": (np.square, lambda g, out, x: g * x, (real("n", 3),), "value",
               "hint: it lacks the factor 2"),
    "sign": (np.cos, lambda g, out, x: g * np.sin(x), (real,), "value", "hint: the sign is wrong"),
    "transposed": (np.matmul, lambda g, out, a, b: ((g @ b.T).T.copy(), a.T @ g),
                   (real("n", "n"), real("n", "n")), "value", "hint: it is right when transposed"),
    "inner derivative": (lambda x: np.exp(x * x), lambda g, out, x: g * 2 * out,
                         (interval(-1, 1)("n"),), "value", "hint: it lacks the factor x"),
    "mean for sum": (np.add, lambda g, out, a, b: (g, g.mean(0)),
                     (real("m>=1", "n"), real("n")), "value",
                     "hint: it is averaged over the axes along which the argument was broadcast"),
    "length": (np.sin, lambda g, out, x: g * np.cos(x) / x.shape[-1], (real("m", "n>=1"),), "value",
               "hint: it lacks the factor n, the length of its last axis"),
    "term of a product": (lambda x: x * np.exp(x), lambda g, out, x: g * out,
                          (interval(-2, 2)("n"),), "value", "hint: it lacks the term g * exp(x)"),
    "zero": (np.sin, lambda g, out, x: 0 * g, (real,), "value",
             "hint: the gradient is 0 everywhere"),
    "branch": (np.sin, lambda g, out, x: g * np.cos(x) * (x < 0), (real("n"),), "value",
               "hint: the gradient is 0 wherever it is wrong, and only there"),
    "ties": (np.maximum, lambda g, out, x, y: (g * (x >= y), g * (y >= x)), (real("n"), real("n")),
             "kink", "hint: where numbers are equal, their gradients must"),
    "count": (np.sin, lambda g, out, x: (g, g), (real,), "shape",
              "returns 2 gradients for 1 argument. Return one for each"),
    "not summed": (np.multiply, lambda g, out, x, y: (g * y, g * x), (real, real), "shape",
                   "; expected ("),
    "exact": (np.exp, lambda g, out, x: g * out * (1 + 1e-10), (interval(-2, 2),), "imprecise",
              "; expected "),
}  # fmt: skip
"""A function, a wrong rule, the domains, the kind of the failure and a part of its message."""


@pytest.mark.usefixtures("_hints")
@pytest.mark.parametrize("name", WRONG)
def test_messages_name_the_error_and_reproduce_it(name: str) -> None:
    f, vjp, domains, kind, part = WRONG[name]
    options = {"rtol": 0} if kind == "imprecise" else {}
    error, _ = pasted(lambda: check_vjp(f, vjp, *domains, **options), f=f, vjp=vjp)
    assert error.kind == kind
    assert kind in FAILURE_KINDS
    assert part in str(error)
    assert str(error).startswith(f"[{kind}] in ")


@pytest.mark.usefixtures("_hints")
def test_the_whole_message_and_the_attributes() -> None:
    with pytest.raises(GradientError) as caught:
        check_vjp(np.square, lambda g, out, x: g * x, np.array([1.0, 2.0, 4.0]))
    error = caught.value
    assert error.index == (2,)
    right = 8.0 * error.g[2]
    assert str(error) == (
        "[value] in square, argument 0 (x), entry (2,): the gradient is "
        f"{right / 2:.10g}; expected {right:.10g} +- {error.error:.2g} "
        "by differences; 3 of 3 entries differ\n"
        "  x = np.array([1.0, 2.0, 4.0])\n"
        f"  g = np.array({error.g.tolist()})\n"
        "  hint: it lacks the factor 2\n"
        "  reproduce: check_vjp(np.square, vjp, np.array([1.0, 2.0, 4.0]))"
        "  # with vjp as in the check"
    )
    assert error.analytic == right / 2
    assert abs(error.numerical - right) <= error.error < 1e-9
    assert error.argument == 0
    assert [a.tolist() for a in error.arrays] == [[1.0, 2.0, 4.0]]
    assert isinstance(error, AssertionError)


# fmt: off
SMALL: dict[str, tuple[Any, Any, tuple[Domain, ...], Any]] = {
    "few numbers": (np.tanh, lambda g, out, x: g * (1 - out), (real,), lambda x: x.size <= 2),
    "no empty array": (
        lambda x, w, b: x @ w + b, lambda g, out, x, w, b: (g @ w.T, x.T @ g, g.mean(0)),
        (real("n", "k"), real("k", "m"), real("m")), lambda *arrays: all(a.size for a in arrays)),
    "distinct indices, unless repeats matter": (
        lambda w, i: w[i],
        lambda g, out, w, i: (2 * np.bincount(i, g, len(w)).astype(w.dtype), None),
        (real("n"), index("n", negative=False)("n")), lambda w, i: len({*i.tolist()}) == i.size),
}
# fmt: on


@pytest.mark.parametrize("name", SMALL)
def test_a_failure_is_made_small_and_plain(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f, vjp, domains, is_small = SMALL[name]
    monkeypatch.setattr("tinygrad_fc.testing.run.SHRINKS", 150)
    with pytest.raises(GradientError, match=r"^\[value\]") as caught, np.errstate(all="ignore"):
        check_vjp(f, vjp, *domains)
    assert is_small(*caught.value.arrays)


def test_without_time_the_first_failure_is_shown_which_is_small() -> None:
    with pytest.raises(GradientError) as caught:
        check_vjp(np.multiply, lambda g, out, x, y: (g * y, g * y), real("n"), real("n"))
    assert all(a.size <= 3 for a in caught.value.arrays)
    assert caught.value.index is not None


@pytest.mark.usefixtures("_hints")
def test_second_order_has_a_kind_of_its_own() -> None:
    error, _ = pasted(lambda: check(Cut.apply, np.array([1.0, -2.0, 4.0])), Cut=Cut)
    text = str(error)
    assert error.kind == "second-order"
    assert "the derivative of the gradient is 0; expected" in text
    assert "hint: the gradient is 0 everywhere" in text
    assert "\n  h = np.array(" in text
    assert check(Cut.apply, real, order=1, max_examples=10)


class Cut(tg.autograd.Function):
    """x^3, whose rule reads what is a constant to the next order."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x * x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 3 * ctx.saved_tensors[0]


def test_options_are_part_of_the_line() -> None:
    off = lambda g, out, x: g / x * (1 + 1e-9)  # noqa: E731
    with pytest.raises(GradientError) as caught:
        check_vjp(np.log, off, positive, rtol=1e-10, kinks="skip", dtypes=(np.float64,), order=1)
    line = ", dtypes=np.float64, order=1, rtol=1e-10, kinks='skip', domains=(positive,))"
    assert line in str(caught.value)


def test_messages_of_ops_have_their_settings() -> None:
    wrong = tg.op(
        lambda x, axis: x.sum(axis),
        name="sum of one axis",
        domain=(real("n", "m"),),
        rules=(lambda g, out, x, axis: 2 * np.expand_dims(g, axis) + 0 * x,),
        settings={"axis": lambda x: (0, 1)},
    )
    with pytest.raises(GradientError, match=r"(?s)  axis = .*settings=\{'axis': "):
        check(wrong)


# Lines to paste


class Square:
    """A function that is an object, a method, a method of the class."""

    def __call__(self, x: Any) -> Any:
        return x * x.detach()

    def method(self, x: Any) -> Any:
        return self(x)

    @classmethod
    def of_class(cls, x: Any) -> Any:
        return cls()(x)

    @staticmethod
    def of_none(x: Any) -> Any:
        return Square()(x)


def test_functions_are_pasted_by_name_and_others_are_noted() -> None:
    square, at = Square(), np.array(3.0)
    unnamed = lambda x: x * x.detach()  # noqa: E731
    for f in (square, square.method, unnamed):
        _, line = pasted(lambda f=f: check(f, at), f=f)
        assert line == "check(f, np.array(3.0))  # with f as in the check"
    for g in (Square.of_class, Square.of_none):
        _, line = pasted(lambda g=g: check(g, at), Square=Square)
        assert line == f"check(Square.{g.__name__}, np.array(3.0))"
    half = lambda g, out, x: g * x  # noqa: E731
    _, line = pasted(lambda: check_vjp(np.square, half, at), vjp=half)
    assert line == "check_vjp(np.square, vjp, np.array(3.0))  # with vjp as in the check"
    wrong = tg.op(lambda x: x * x, name="square", domain=(real,), rules=(half,))
    _, line = pasted(lambda: check(wrong, at), op=wrong)
    assert line == "check(op, np.array(3.0))  # with op as in the check"


@check_derivatives(real("n", 2), positive("n"), max_examples=10)
def decorated(x: Any, y: Any) -> Any:
    return x.detach() * x * y.unsqueeze(1)


class TestDecorated:
    @check_derivatives(real(2), max_examples=10)
    def method(self, x: Any, *, scale: Any) -> Any:
        return scale * x * x.detach()


def test_decorated_functions_are_pasted_undecorated() -> None:
    _, line = pasted(decorated, decorated=decorated)
    assert line.startswith("check(decorated.function, np.array(")
    test = TestDecorated()
    known = {"partial": partial, "TestDecorated": TestDecorated, "self": test, "scale": 2.0}
    _, line = pasted(lambda: test.method(scale=2.0), **known)
    assert line.startswith("check(partial(TestDecorated.method.function, self, scale=scale), ")
    assert line.endswith("  # with self and scale as in the check")


def test_a_rule_of_the_rule_of_another_shape_or_that_raises() -> None:
    for rule, message in (
        (lambda h, g, x: (3 * h * x * x, np.ravel(6 * h * g * x)),
         r"the gradient for argument 0 \(x\) has shape \(4,\); expected \(2, 2\)"),
        (lambda h, g, x: x.not_yet, "not_yet'. If there is none, order=1 leaves it out"),
        (lambda h, g, x: ((3 * h * x * x).astype(np.float32), 6 * h * g * x),
         "for g has dtype float32; expected float64"),
    ):  # fmt: skip
        with pytest.raises(GradientError, match=message):
            check_vjp(lambda x: x**3, lambda g, out, x: 3 * g * x * x, np.ones((2, 2)), vjp2=rule)


def test_a_large_bound_of_zeros_is_no_excess_and_no_overflow() -> None:
    zero, bound = np.zeros(1), np.full(1, 1e20)
    with np.errstate(all="raise"):
        assert Entries(np.ones(1), [zero], [zero], [bound], 0.0).excess(0) <= 0
