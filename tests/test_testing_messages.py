"""What a failure says: kind, entry, numbers, a guess at the cause, and a line to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.testing import (
    GradientError,
    check,
    check_op,
    check_vjp,
    derivatives,
    index,
    interval,
    positive,
    real,
)
from tinygrad_fc.testing.errors import KINDS

if TYPE_CHECKING:
    from tinygrad_fc.domain import Domain


class Wrong(NamedTuple):
    """A wrong rule, and what is said of it."""

    what: str
    f: Any
    vjp: Any
    domains: tuple[Domain, ...]
    kind: str
    says: str
    options: Any = {}  # noqa: RUF012  never changed


def _summed(g: Any, _out: Any, _a: Any, _b: Any) -> Any:
    return g, g.sum(1)


def _set(g: Any, _out: Any, w: Any, i: Any) -> Any:
    made = np.zeros_like(w)
    made[i] = g
    return made, None


_buffer: dict[Any, Any] = {}


def _reused(g: Any, _out: Any, x: Any) -> Any:
    made = _buffer.setdefault((x.shape, x.dtype), np.empty_like(x))
    np.multiply(g, np.cos(x), out=made)
    return made


def _counted(g: Any, _out: Any, x: Any) -> Any:
    _buffer["calls"] = _buffer.get("calls", 0) + 1
    return g * np.cos(x) * (1 + 1e-3 * (_buffer["calls"] % 2))


def _in_memory(g: Any, _out: Any, x: Any) -> Any:
    return g * np.cos(x) * (1 if x.flags.c_contiguous else 2)


def _half(g: Any, _out: Any, x: Any) -> Any:
    cos = np.cos(x)
    return g * (cos.astype(np.float16).astype(x.dtype) if x.dtype == np.float32 else cos)


WRONG = (
    Wrong("factor", np.square, lambda g, out, x: g * x, (real("n", 3),), "value",
          "hint: off by a factor of 2: half of what is right"),
    Wrong("sign", np.cos, lambda g, out, x: g * np.sin(x), (real,), "value",
          "hint: the sign is wrong"),
    Wrong("transposed", lambda a, b: a @ b,
          lambda g, out, a, b: ((g @ b.T).T.copy(), a.T @ g), (real("n", "n"), real("n", "n")),
          "value", "hint: it is right when transposed"),
    Wrong("swapped", np.multiply, lambda g, out, x, y: (g * x, g * y), (real("n"), real("n")),
          "value", "hint: it is the gradient of argument"),
    Wrong("wrong axis", lambda a, b: a + b, _summed, (real("n", "n"), real("n")), "value",
          "hint: it is summed over axes (1,) of the result in place of (0,)"),
    Wrong("mean for sum", lambda a, b: a + b,
          lambda g, out, a, b: (g, g.mean(0)), (real("m>=1", "n"), real("n")), "value",
          "hint: it is averaged over the broadcast axes (0,), where it must be summed"),
    Wrong("repeated index", lambda w, i: w[i], _set, (real("n", 2), index("n")("k")), "value",
          "hint: an index occurs twice: add up what comes back (np.add.at), don't assign it"),
    Wrong("cut off", np.sin, lambda g, out, x: 0 * g, (real,), "value",
          "hint: it is 0 everywhere: the rule is missing, or something cuts it off"),
    Wrong("ties", np.maximum, lambda g, out, x, y: (g * (x >= y), g * (y >= x)),
          (real("n"), real("n")), "kink", "hint: where numbers are equal, what they share of g"),
    Wrong("no slope", np.abs, lambda g, out, x: (g * (np.sign(x) + 3 * (x == 0))).astype(x.dtype),
          (real,), "kink", "no legal slope at a kink"),
    Wrong("no g", np.sin, lambda g, out, x: np.cos(x), (real,), "nonlinear",
          "for g = 0, which must give exactly 0"),
    Wrong("size of g", np.sin, lambda g, out, x: np.abs(g) * np.cos(x), (real,), "nonlinear",
          "it must be linear in g"),
    Wrong("writes to g", np.sin, lambda g, out, x: np.multiply(g, np.cos(x), out=g), (real("n"),),
          "mutation", "the gradient "),
    Wrong("reused", np.sin, _reused, (real("n"),), "aliasing",
          "changes when another one is computed later"),
    Wrong("counts", np.sin, _counted, (real,), "nondeterministic",
          "Something is kept between calls, or random"),
    Wrong("memory", np.sin, _in_memory, (real("n", "m"),), "layout",
          "for the same numbers, contiguous, it is"),
    Wrong("dtype", np.sin, lambda g, out, x: g * np.cos(x) * np.float64(1), (real,), "dtype",
          "has dtype float64; the argument has float32"),
    Wrong("half", np.sin, _half, (real,), "float32", "float32's rounding explains"),
    Wrong("not summed", np.multiply, lambda g, out, x, y: (g * y, g * x), (real, real), "shape",
          "the argument has"),
    Wrong("count", np.sin, lambda g, out, x: (g, g), (real,), "shape",
          "2 gradients for 1 argument: return one for each"),
    Wrong("raises", np.sin, lambda g, out, x: g @ "x", (real,), "raises", "the gradient raises "),
    Wrong("nan", np.square, lambda g, out, x: g * 2 * x * x / x, (real,), "nonfinite",
          ", where it should be 0 +- "),
    Wrong("nan at a kink", np.abs, lambda g, out, x: g * x / np.abs(x), (real,), "nonfinite",
          ", where a kink leaves all between -0.125 and 0.125, g times the slopes to both sides"),
    Wrong("exact", np.exp, lambda g, out, x: g * out * (1 + 1e-10), (interval(-2, 2),),
          "imprecise", "less exact than it could be", {"accuracy": "full"}),
)  # fmt: skip


def _caught(wrong: Wrong) -> GradientError:
    with pytest.raises(GradientError) as caught:
        check_vjp(wrong.f, wrong.vjp, *wrong.domains, **wrong.options)
    return caught.value


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.what)
def test_a_failure_says_what_is_wrong_and_its_line_shows_it_again(wrong: Wrong) -> None:
    error = _caught(wrong)
    text = str(error)
    assert error.kind == wrong.kind, text
    assert wrong.kind in KINDS
    assert wrong.says in text
    assert text.startswith(f"[{wrong.kind}] in ")
    line = text.rpartition("reproduce: ")[2]
    name = wrong.f.__name__ if wrong.f.__name__.isidentifier() else "forward"
    told = wrong.vjp.__name__ if wrong.vjp.__name__.isidentifier() else "vjp"
    known = {"check_vjp": check_vjp, "np": np, name: wrong.f, told: wrong.vjp, "interval": interval}
    with pytest.raises(GradientError) as again:
        eval(line, known)  # noqa: S307  what the message says to run
    assert again.value.kind == wrong.kind


def test_the_whole_text_and_the_attributes() -> None:
    with pytest.raises(GradientError) as caught:
        check_vjp(np.square, lambda g, out, x: g * x, np.array([1.0, 2.0, 4.0]))
    error = caught.value
    assert error.index == (2,)
    right = 8.0 * error.g[2]
    assert str(error) == (
        f"[value] in square, argument 0 (x), entry (2,): wrong value: {right / 2:.10g} by the "
        f"rule, {right:.10g} +- {error.error:.2g} by differences; 3 of its 3 entries differ\n"
        "  x = np.array([1.0, 2.0, 4.0])\n"
        f"  g = np.array({error.g.tolist()})\n"
        "  hint: off by a factor of 2: half of what is right\n"
        "  reproduce: check_vjp(np.square, lambda g, out, x: g * x, np.array([1.0, 2.0, 4.0]))"
    )
    assert error.analytic == right / 2
    assert abs(error.numerical - right) <= error.error
    assert error.argument == 0
    assert error.error < 1e-9
    assert [a.tolist() for a in error.arrays] == [[1.0, 2.0, 4.0]]
    assert error.hint.startswith("off by a factor of 2")
    assert isinstance(error, AssertionError)


def test_what_sets_wrong_examples_apart_is_named() -> None:
    def beyond(g: Any, _out: Any, x: Any) -> Any:
        return g * np.where(np.abs(x) > 64, 2, 1).astype(x.dtype)

    # Of one number: what is wrong in two may cancel along a direction, and look right by chance.
    with pytest.raises(GradientError, match=r"right at: all .* without a number beyond 64"):
        check_vjp(np.positive, beyond, real())
    with pytest.raises(GradientError) as everywhere:
        check_vjp(np.positive, lambda g, out, x: 2 * g, real)
    assert "right at" not in str(everywhere.value)


def test_examples_are_made_small_and_round() -> None:
    with pytest.raises(GradientError) as caught:
        check_vjp(np.multiply, lambda g, out, x, y: (g * y, g * y), real("n"), real("n"))
    for a in caught.value.arrays:
        assert a.size <= 3
        assert (a * 2**20 == np.round(a * 2**20)).all()


def test_second_order_is_told_apart() -> None:
    def cut(x: Any) -> Any:
        return Cut.apply(x)

    with pytest.raises(GradientError) as caught:
        check(cut, real)
    text = str(caught.value)
    assert caught.value.kind == "second-order"
    assert "wrong in the second order only: 0 by the rule" in text
    assert "hint: it is 0 everywhere: a value that the rule reads has lost its history" in text
    line = text.rpartition("reproduce: ")[2]
    with pytest.raises(GradientError, match="second-order"):
        eval(line, {"check": check, "cut": cut, "np": np})  # noqa: S307  as above
    assert check(cut, real, order=1, max_examples=10)


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
    def off(g: Any, _out: Any, x: Any) -> Any:
        return (g / x * (1 + 1e-9)).astype(x.dtype)

    with pytest.raises(GradientError) as caught:
        check_vjp(
            np.log, off, positive, accuracy=1e-10, kinks="skip", dtypes=(np.float64,), order=1
        )
    assert str(caught.value).endswith(
        ", order=1, dtypes=(np.float64,), accuracy=1e-10, kinks='skip', domains=(positive,))"
    )


def test_rows_say_their_settings() -> None:
    wrong = tg.op(
        lambda x, axis: x.sum(axis),
        name="sum of one axis",
        domain=(real("n", "m"),),
        rules=(lambda g, out, x, axis: 2 * np.expand_dims(g, axis) + 0 * x,),
        settings={"axis": lambda x: (0, 1)},
    )
    with pytest.raises(GradientError) as caught:
        check_op(wrong)
    text = str(caught.value)
    assert "  axis = " in text
    assert "settings=dict(axis=" in text


# Lines to paste


def pasted(call: Any, **known: Any) -> str:
    """Return the line that a failure says to run, which fails as the check did."""
    with pytest.raises(GradientError) as caught:
        call()
    line = str(caught.value).rpartition("reproduce: ")[2]
    there = {"check": check, "check_vjp": check_vjp, "check_op": check_op, "np": np, "tg": tg}
    there |= {"real": real, "positive": positive}
    with pytest.raises(GradientError) as again:
        eval(line, there | known)  # noqa: S307  what the message says to run
    assert again.value.kind == caught.value.kind
    return line


def test_lambdas_are_pasted_as_they_are_written() -> None:
    line = pasted(lambda: check_vjp(lambda x: x * x, lambda g, out, x: g * x, np.array(3.0)))
    assert line == "check_vjp(lambda x: x * x, lambda g, out, x: g * x, np.array(3.0))"
    several = lambda x: (  # noqa: E731  of two lines
        x * x.detach()
    )
    assert pasted(lambda: check(several, np.ones(2))).startswith("check(lambda x: x * x.detach(), ")


def test_what_a_lambda_finds_around_it_is_named() -> None:
    scale = 2.0
    line = pasted(
        lambda: check(lambda x, k=scale: x.detach() * x * scale * k, np.array(3.0)), scale=2.0
    )
    assert line.startswith("check(lambda x, k=scale: x.detach() * x * scale * k, ")
    assert line.endswith("  # where scale is from where it was checked")


def test_what_has_no_source_is_told_of() -> None:
    f = eval("lambda x: x * x.detach()")  # noqa: S307  of which there is no file
    line = pasted(lambda: check(f, np.array(3.0)), f=f)
    assert line == "check(f, np.array(3.0))  # where f is what was checked"


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


def test_objects_and_methods() -> None:
    square = Square()
    for f in (square, square.method):
        line = pasted(lambda f=f: check(f, np.array(3.0)), f=f)
        assert line == "check(f, np.array(3.0))  # where f is what was checked"
    for g in (Square.of_class, Square.of_none):
        line = pasted(lambda g=g: check(g, np.array(3.0)), Square=Square)
        assert line == f"check(Square.{g.__name__}, np.array(3.0))"


def test_functions_of_libraries_are_pasted_by_their_place() -> None:
    assert pasted(lambda: check(tg.relu, np.array(0.0), kinks="forbid")).startswith("check(tg.relu")
    soft = tg.nn.functional.leaky_relu
    line = pasted(lambda: check(soft, np.array(0.0), kinks="forbid"))
    assert line.startswith("check(tg.nn.functional.leaky_relu, ")


@derivatives(real("n", 2), positive("n"))
def decorated(x: Any, y: Any) -> Any:
    return x.detach() * x * y.unsqueeze(1)


class TestDecorated:
    @derivatives(real(2), max_examples=10)
    def method(self, x: Any, *, scale: Any) -> Any:
        return scale * x * x.detach()


def test_decorated_functions_are_pasted_undecorated() -> None:
    line = pasted(decorated, decorated=decorated)
    assert line.startswith("check(decorated.function, np.array(")
    test = TestDecorated()
    line = pasted(lambda: test.method(scale=2.0), TestDecorated=TestDecorated, self=test, scale=2.0)
    assert line.startswith("check(lambda x: TestDecorated.method.function(self, x, scale=scale), ")
    assert line.endswith("  # where self and scale are from where it was checked")
    nameless = derivatives(real)(lambda x: x * x.detach())
    assert pasted(nameless).startswith("check((lambda x: x * x.detach()), np.array(")


@pytest.mark.usefixtures("_table_restored")
@pytest.mark.parametrize(
    ("f", "rule"),
    [
        (lambda x: -x * np.log(x), lambda g, out, x: -g * (1 + np.log(x))),
        (lambda x: np.sqrt(x), lambda g, out, x: g / 2 / out),  # noqa: PLW0108  no row of ours
    ],
)
def test_a_row_that_says_nothing_outside_of_its_domain(f: Any, rule: Any) -> None:
    few: Any = {"max_examples": 40}  # so that 0 is among what is tried first
    tg.op(f, name="inside", domain=(positive,), rules=(rule,))
    with pytest.raises(GradientError, match=r"hint: for g = 0 a row must give exactly 0") as caught:
        check_op("inside", **few)
    assert "np.where(x > 0, x, 1) for x" in str(caught.value)
    assert pasted(lambda: check_op("inside", **few)).startswith("check_op('inside', np.array(")
    tg.op(
        f,
        name="inside",
        domain=(positive,),
        rules=(lambda g, out, x: rule(g, np.where(x > 0, out, 1), np.where(x > 0, x, 1)),),
    )
    assert check_op("inside", **few)  # as the hint says


@pytest.mark.usefixtures("_table_restored")
def test_what_a_row_lacks_is_no_matter_of_types() -> None:
    tg.op(lambda x: x.nothing, name="lacks", domain=(real,), rules=(lambda g, out, x: g,))
    with pytest.raises(
        GradientError, match=r"\[raises\] in lacks: the function raises AttributeErr"
    ):
        check_op("lacks")


def test_a_sum_of_kinks_is_told_what_to_ask_for() -> None:
    def hinged(x: Any) -> Any:
        return x.relu() - 0.5 * (-x).relu()

    with pytest.raises(GradientError, match="hint: where several kinks meet, as in relu") as caught:
        check(hinged, real)
    assert "the rule is missing" not in str(caught.value)
    assert check(hinged, real, kinks="skip", max_examples=10).compared


@pytest.mark.parametrize("place", [np.array([0.0]), np.array([0.0, 1.0, -1.0]), real])
def test_at_a_kink_it_is_told_what_is_legal_and_how_to_leave_kinks_out(place: Any) -> None:
    def steep(g: Any, _out: Any, x: Any) -> Any:
        return (g * np.where(x > 0, 1, np.where(x == 0, 3, 0))).astype(x.dtype)

    def hinge(x: Any) -> Any:
        return np.maximum(x, 0)

    for kinks in ("subgradient", "forbid"):
        with pytest.raises(
            GradientError, match="value between the slopes to both sides is leg"
        ) as w:
            check_vjp(hinge, steep, place, kinks=kinks)
        assert w.value.kind == "kink"
        assert str(w.value).count("kinks='skip' leaves") == 1
    with pytest.raises(GradientError, match="asks for none: without that any value between") as w:
        check(tg.relu, place, kinks="forbid")
    assert str(w.value).count("kinks='skip' leaves kinks out") == 1
    few: Any = {"max_examples": 20} if place is real else {}
    assert check_vjp(hinge, steep, place, kinks="skip", **few)  # as it says


def test_a_rule_of_the_rule_of_another_shape_or_that_raises() -> None:
    def cube(g: Any, _out: Any, x: Any) -> Any:
        return 3 * g * x * x

    def flat(h: Any, g: Any, x: Any) -> Any:
        return 3 * h * x * x, np.ravel(6 * h * g * x)

    def none(_h: Any, _g: Any, _x: Any) -> Any:
        raise NotImplementedError("not yet")

    def narrow(h: Any, g: Any, x: Any) -> Any:
        return (3 * h * x * x).astype(np.float32), 6 * h * g * x

    def wide(h: Any, g: Any, x: Any) -> Any:
        return 3 * h * x * x, 6 * h * g * np.array(x, float)

    of_g, of_x = (
        "float32 for g, which has float64",
        r"float64 for argument 0 \(x\), which has float32",
    )
    text = r"the gradient of the gradient has shape \(4,\) for argument 0 \(x\), which has \(2, 2\)"
    told = "not yet; where there is none, order=1 leaves it out"
    for rule, said in ((flat, text), (none, told), (narrow, of_g), (wide, of_x)):
        with pytest.raises(GradientError, match=said):
            check_vjp(lambda x: x**3, cube, np.ones((2, 2)), vjp2=rule)
