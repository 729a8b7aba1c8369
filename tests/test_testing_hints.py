"""A guess at the cause of a wrong gradient: told where it holds at several places, else not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from tests.gradient_collection import WRONG
from tinygrad_fc.testing import GradientError, check, check_vjp, index, interval, nonzero, real

if TYPE_CHECKING:
    from tinygrad_fc.domain import Domain

NEAR = interval(-3, 3)
MATRIX, SQUARE = real("n>=1", "m>=1"), real("n", "n")


class Bug(NamedTuple):
    """A function, a rule with one bug, and what is guessed of it."""

    what: str
    f: Any
    vjp: Any
    domains: tuple[Domain, ...]
    hint: str


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _picked(g: Any, _out: Any, w: Any, i: Any) -> Any:
    made = np.zeros_like(w)
    made[i] += g
    return made, None


BUGS = (
    Bug("inner derivative", lambda x: np.sin(x * x), lambda g, out, x: g * np.cos(x * x), (NEAR,),
        "it lacks the factor 2 x: an inner derivative, by the chain rule?"),
    Bug("inner constant", lambda x: np.tanh(3 * x), lambda g, out, x: g * (1 - out * out), (NEAR,),
        "it lacks the factor 3"),
    Bug("logarithm", np.log10, lambda g, out, x: g / x, (interval(0.5, 9),),
        "it lacks the factor 1 / (ln 10)"),
    Bug("power", lambda x: x**3, lambda g, out, x: 3 * g * x, (real,), "it lacks the factor x:"),
    Bug("exponent", np.power, lambda g, out, x, y: (g * y * x ** (y - 1), g * out),
        (interval(0.5, 4)("n"), interval(-2, 2)("n")), "it lacks the factor log(x1):"),
    Bug("norm", lambda x: np.sqrt((x * x).sum(-1)), lambda g, out, x: g[..., None] * x,
        (interval(0.5, 4)("n", "m>=1"),), "it lacks the factor 1 / out:"),
    Bug("result", lambda x: 1 / (1 + np.exp(-x)), lambda g, out, x: g * x * (1 - x), (NEAR,),
        "it is right with out, the result, in place of argument 0 (x)"),
    Bug("sign", np.divide, lambda g, out, x, y: (g / y, g * x / y**2), (real("n"), nonzero("n")),
        "the sign is wrong"),
    Bug("axis", softmax, lambda g, out, x: out * (g - (g * out).sum(0)), (real("n>=2", "n"),),
        "it is right for transposed arrays: it goes along the wrong axis"),
    Bug("way", lambda x: x.cumsum(-1), lambda g, out, x: g.cumsum(-1), (MATRIX,),
        "it is right for reversed arrays: it goes the wrong way along axis -1"),
    Bug("size", lambda x: x.mean(-1),
        lambda g, out, x: np.repeat(g[:, None] / len(x), x.shape[1], 1).astype(x.dtype), (MATRIX,),
        "it is too large by the size of axis -1 of argument 0 (x) over the size of axis -2 of"),
    Bug("sum for mean", lambda x: (x * x).mean(), lambda g, out, x: 2 * g * x, (real("n>=1"),),
        "it is too large by the size of axis -1 of argument 0 (x): a sum for a mean?"),
    Bug("degrees of freedom", lambda x: x.var(-1, ddof=1),
        lambda g, out, x: g[:, None] * 2 * (x - x.mean(-1, keepdims=True)) / x.shape[-1],
        (real("n", "m>=2"),), "by the size of axis -1 of argument 0 (x), where one less is"),
    Bug("bias", lambda x, w, b: x @ w + b,
        lambda g, out, x, w, b: (g @ w.T, x.T @ g, g.sum(1)),
        (real("n", "k"), real("k", "n"), real("n")),
        "it is summed over axes (1,) of the result in place of (0,)"),
    Bug("transposed", np.matmul, lambda g, out, a, b: (g @ b, a.T @ g), (SQUARE, SQUARE),
        "it is right with argument 1 (x2) transposed"),
    Bug("turned g", lambda a, b: a[:, None] * b, lambda g, out, a, b: (g.T @ b, g.T @ a),
        (real("n"), real("n")), "it is right with g transposed"),
    Bug("repeated", lambda w, i: w[i], _picked, (real("n>=1"), index("n")("k")),
        "an index occurs twice: add up what comes back"),
    Bug("whole numbers", lambda x: np.maximum(x, 0), lambda g, out, x: g * np.where(x > 0, 1, 0),
        (real,), "end with .astype(x.dtype)"),
    Bug("domain", np.sqrt, lambda g, out, x: g / (2 * out), (real,),
        "the function has no finite slope at 0: positive is a domain that leaves 0 out"),
    Bug("no domain", np.cbrt, lambda g, out, x: g / (3 * out * out), (real,),
        "the function has no finite slope at 0: nonzero is a domain that leaves 0 out"),
    # What small numbers would explain, and others do not.
    Bug("not a sign", lambda x: x**2 * x, lambda g, out, x: 3 * g * np.abs(x) ** 1.5 * np.sign(x),
        (NEAR,), ""),
    Bug("not a factor", lambda x: x * np.exp(x), lambda g, out, x: g * np.exp(x), (NEAR,), ""),
    Bug("not a factor of 16", lambda x: np.tanh(8 * x), lambda g, out, x: g * (1 - out),
        (interval(0.75, 8),), ""),
    Bug("not a root", lambda x: np.tanh(8 * x), lambda g, out, x: g * (1 - out),
        (interval(0.75, 0.8125),), ""),  # where out is nearly 1, and any power of it
    Bug("not a power", lambda x: np.tanh(x * x), lambda g, out, x: g * (1 - out),
        (interval(2.5, 9),), ""),
    Bug("not 0 / x", lambda x: np.round(x * 64) / 64, lambda g, out, x: g, (real,), ""),
    Bug("no guess", softmax, lambda g, out, x: g * out * (1 - out), (MATRIX,), ""),
    Bug("not a domain", lambda x: x**3, lambda g, out, x: 3 * g * out / x, (real,), ""),
)  # fmt: skip


@np.errstate(all="ignore")
def _hint(f: Any, vjp: Any, *domains: Domain, **options: Any) -> str:
    with pytest.raises(GradientError) as caught:
        check_vjp(f, vjp, *domains, **options)
    error = caught.value
    assert (f"  hint: {error.hint}\n" in str(error)) is bool(error.hint)
    return error.hint


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what)
def test_a_guess_names_the_cause_or_is_not_told(bug: Bug) -> None:
    hint = _hint(bug.f, bug.vjp, *bug.domains)
    assert bug.hint in hint
    assert bool(bug.hint) is bool(hint)


def test_a_guess_of_a_part_says_so() -> None:
    def vjp(g: Any, out: Any, x: Any) -> Any:
        return g * out * (1 - out) * (x < 2)

    hint = _hint(lambda x: 1 / (1 + np.exp(-x)), vjp, interval(-6, 6))
    assert hint == "it is 0 wherever it is wrong, and not elsewhere: a branch leaves something out"


@pytest.mark.parametrize(
    ("vjp", "called"),
    [
        (lambda out, g, x, y: (g * y, 0 * out + g * x), "out, g, x1, x2"),
        (lambda x, y, g, out: (g * y, 0 * out + g * x), "x1, x2, g, out"),
        (lambda g, x, y, out: (g * y, 0 * out + g * x), "g, x1, x2, out"),
        (lambda a, b, c, d: (c * b, 0 * d + c * a), "x1, x2, g, out"),
    ],
)
def test_arguments_in_another_order(vjp: Any, called: str) -> None:
    hint = _hint(np.multiply, vjp, np.array([1.0, 2.0]), np.array([0.5, 4.0]))
    assert hint == (
        f"it would be right called as vjp({called}): it is called as vjp(g, out, x1, x2), with g "
        "the gradient of the result"
    )


def test_an_order_that_explains_nothing_is_told_by_names_alone() -> None:
    place = np.array([1.0, 2.0])
    hint = _hint(np.sin, lambda out, g, x: 2 * out * np.cos(x) + g, place)
    assert hint.endswith("the gradient of the result, and its parameters are (out, g, x)")
    for vjp in (lambda g, out, x: 2 * g * np.cos(x), lambda a, b, c: 2 * a * np.cos(c)):
        assert _hint(np.sin, vjp, place) == "off by a factor of 2: twice what is right"
    swapped = _hint(lambda x: 1 / (1 + np.exp(-x)), lambda g, out, x: g * x * (1 - x), place)
    assert swapped.startswith("it is right with out, the result, in place of")


def test_a_gradient_that_is_forgotten() -> None:
    place = np.array([1.0, 2.0])
    for f, vjp, many in (
        (np.sin, lambda g, out, x: None, 1),
        (np.multiply, lambda g, out, x, y: (g * y, None), 2),
    ):
        assert _hint(f, vjp, *[place] * many).startswith("the rule returns None for it, which")


def test_what_differs_in_digits_gets_no_guess() -> None:
    assert not _hint(np.sin, lambda g, out, x: 1.00001 * g * np.cos(x), NEAR)


def test_values_that_are_cut_off_are_found_in_every_order() -> None:
    for f, order in (
        (lambda x: x * x.detach(), 1),
        (lambda x: x * x * x.detach(), 1),
        (lambda x: x / (x * x).sum(-1, keepdim=True).sqrt().detach(), 1),
        (lambda x: x.exp() * x.detach().sin(), 2),
    ):
        with pytest.raises(GradientError, match=r"it is right without the detach\(\) in the funct"):
            check(f, interval(0.5, 4)("n", "m>=2"), order=order)
    with pytest.raises(GradientError, match=r"it is right without the \.data in the function"):
        check(lambda x: x * x.data, NEAR)


def test_at_a_kink_both_slopes_are_told() -> None:
    def steep(g: Any, _out: Any, x: Any) -> Any:
        return (g * np.where(x > 0, 1, np.where(x == 0, 3, 0))).astype(x.dtype)

    with pytest.raises(GradientError) as caught:
        check_vjp(lambda x: np.maximum(x, 0), steep, np.array([0.0]))
    error = caught.value
    low, high = sorted((0.0, float(error.g[0])))
    assert f"between {low:.3g} and {high:.3g}, g times the slopes to both sides" in str(error)
    assert not error.hint


def test_given_arrays_are_explained_too() -> None:
    assert _hint(np.square, lambda g, out, x: g * x, np.array([1.0, 2.0])).startswith(
        "off by a fac"
    )
    assert not _hint(lambda x: x**3, lambda g, out, x: 3 * g * np.abs(x) ** 1.5, np.array(1.5))


# Of the collection's bugs those whose names tell what must be guessed, if anything is.
LEGAL = {
    "sign": ("sign",),
    "factor": ("factor", "over", "too large", "too small"),
    "swapped arguments": ("gradient of argument", "in place of"),
    "transposed": ("transposed",),
    "repeated indices": ("index",),
}


@pytest.mark.parametrize(
    "name", [name for k, (name, bug) in enumerate(WRONG.items()) if bug.bug in LEGAL and not k % 3]
)
def test_no_guess_misleads(name: str) -> None:
    bug = WRONG[name]
    options: Any = {"sig": bug.sig, "where": bug.where, "vjp2": bug.vjp2, "max_examples": 60}
    hint = _hint(bug.forward, bug.vjp, *bug.domains, **options)
    assert not hint or any(word in hint for word in LEGAL[bug.bug or ""]), hint
