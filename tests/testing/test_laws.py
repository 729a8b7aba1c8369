"""The laws, held against every op, and against rules broken on purpose."""

import copy
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.core.op import Op, registry
from tinygrad_fc.domain import real
from tinygrad_fc.ops import arithmetic, comparison, elementwise, reduce, shape, trigonometry
from tinygrad_fc.testing import GradientError, NothingCheckedError, check, check_vjp
from tinygrad_fc.testing.tensors import differentiable

OPS = tuple(filter(differentiable, dict.fromkeys(registry.values())))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_an_op_obeys_all_laws(op: Op) -> None:
    check(op)


finding = pytest.mark.usefixtures("_same_inputs")


def finds(kind: str, op: Op) -> None:
    """Assert that `op` is refused, and why."""
    with pytest.raises(GradientError) as caught:
        check(op, order=2 if kind == "second-order" else 1)
    # Dual numbers, which differentiate the rule, may find a wrong second order first.
    by_dual_numbers = kind == "second-order" and "by dual numbers" in str(caught.value)
    assert caught.value.kind == kind or by_dual_numbers, str(caught.value)


def broken(op: Op, i: int, rule: Callable[..., Any]) -> Op:
    """Return a copy of `op`, not in the table, with another rule for argument `i`."""
    other = copy.copy(op)
    rules = [op.rules[k] for k in range(len(op.domain))]  # type: ignore[index]
    rules[i] = rule
    other.rules = tuple(rules)
    return other


# Rules of ops, off by a millionth: all of them are changed by `python -m tests.mutation`


def _rules() -> list[Any]:
    plain = [op for op in OPS if type(op) is Op]  # chains borrow theirs
    return [pytest.param(op, i, id=f"{op.name}-{i}") for op in plain for i in differentiable(op)]


@finding
@pytest.mark.parametrize(("op", "i"), _rules()[::16])
def test_a_millionth_is_found_in_every_rule(op: Op, i: int) -> None:
    right = op.rules[i]  # type: ignore[index]
    with pytest.raises(GradientError) as caught:
        check(broken(op, i, lambda *a, **s: right(*a, **s) * (1 + 1e-6)), order=1)
    assert caught.value.kind in {"value", "kink"}


# One bug of each kind


class Bug(NamedTuple):
    """What is wrong, the op and the argument, and the wrong rule."""

    what: str
    op: Op
    i: int
    rule: Callable[..., Any]


def _right(op: Op, i: int = 0) -> Callable[..., Any]:
    return op.rules[i]  # type: ignore[index,no-any-return]


def _in_place(g: Any, _out: Any, _x: Any, y: Any) -> Any:
    g *= 2
    return g * y / 2


def _forgetful() -> Callable[..., Any]:
    """Return a rule that is right at every second call."""
    calls = count()
    return lambda g, out, x: g * (1 + 1e-3 * (next(calls) % 2))


def _memory_order(g: Any, _out: Any, x: Any) -> Any:
    return g * 2 * (x if isinstance(x, tg.Tensor) else x.ravel(order="K").reshape(x.shape))


def _half(g: Any, out: Any, x: Any) -> Any:
    return arithmetic.multiply_no_nan(
        g, out.astype(np.float16).astype(x.dtype) if x.dtype == np.float32 else out
    )


def _detached(op: Op) -> Callable[..., Any]:
    """Return the first rule of an op, reading values that have lost their history."""

    def off(g: Any, *arrays: Any, **settings: Any) -> Any:
        plain = (a.detach() if isinstance(a, tg.Tensor) else a for a in arrays)
        return _right(op)(g, *plain, **settings)

    return off


# fmt: off
BUGS: dict[str, tuple[Bug, ...]] = {
    "value": (
        Bug("branches swapped", elementwise.where, 1, lambda g, out, c, x, y: np.where(c, 0, g)),
        Bug("beyond 5 only", elementwise.sigmoid, 0,
            lambda g, out, x: g * out * (1 - out) * (abs(x) < 5)),
        Bug("0-d only", elementwise.square, 0, lambda g, out, x: 2 * g * x * (1 + (x.ndim == 0))),
    ),
    "kink": (
        Bug("ties counted twice", elementwise.maximum, 0, lambda g, out, x, y: g * (x >= y)),
        Bug("illegal at 0", elementwise.relu, 0, lambda g, out, x: g * ((x > 0) + 2 * (x == 0))),
    ),
    "second-order": (
        Bug("detached result", elementwise.exp, 0, _detached(elementwise.exp)),
        Bug("detached argument", trigonometry.sin, 0, _detached(trigonometry.sin)),
        Bug("detached other", arithmetic.multiply, 0, _detached(arithmetic.multiply)),
        Bug("flat at 0", trigonometry.sin, 0, lambda g, out, x: np.where(g == 0, 0, g) * np.cos(x)),
    ),
    "nonlinear": (
        Bug("offset", trigonometry.sin, 0, lambda g, out, x: g * np.cos(x) + 1e-300),
        Bug("square, little", trigonometry.sin, 0, lambda g, out, x: g * np.cos(x) + 1e-9 * g * g),
    ),
    "mutation": (Bug("changes the gradient", arithmetic.multiply, 0, _in_place),),
    "nondeterministic": (Bug("another result each time", arithmetic.positive_, 0, _forgetful()),),
    "shape": (
        Bug("an axis", elementwise.exp, 0, lambda g, out, x: (g * out)[..., None] + np.zeros(2)),
        Bug("another shape", shape.reshape, 0, lambda g, out, x, shape: g),
    ),
    "layout": (Bug("order of memory", elementwise.square, 0, _memory_order),),
    "float32": (Bug("float16 within", elementwise.exp, 0, _half),),
}
# fmt: on


@finding
@pytest.mark.parametrize(
    ("kind", "bug"),
    [(kind, bug) for kind, bugs in BUGS.items() for bug in bugs],
    ids=lambda x: getattr(x, "what", x),
)
def test_a_bug_of_each_kind_is_found(kind: str, bug: Bug) -> None:
    finds(kind, broken(bug.op, bug.i, bug.rule))


@finding
def test_a_wrong_forward_is_found() -> None:
    wrong = copy.copy(reduce.sum)
    wrong.forward = wrong.plain = lambda x, dim=None, keepdim=False: (
        np.sum(x, dim, keepdims=keepdim) * 1.5
    )
    finds("value", wrong)


def test_an_op_that_compares_nothing_is_an_error() -> None:
    with pytest.raises(NothingCheckedError, match="sign has no rule"):
        check(comparison.sign)
    never = copy.copy(arithmetic.positive_)
    never.function = never.forward = never.plain = lambda x: x * np.nan
    with pytest.raises(NothingCheckedError, match="positive has no finite value"):
        check(never)


def test_a_function_that_reads_the_order_of_memory_is_found() -> None:
    def in_memory_order(x: Any) -> Any:
        return x.ravel("K").reshape(x.shape)

    with pytest.raises(GradientError, match=r"\[layout\] .* the function gives"):
        check_vjp(in_memory_order, lambda g, out, x: g * 1.0, real("n>=2", "m>=2"))
