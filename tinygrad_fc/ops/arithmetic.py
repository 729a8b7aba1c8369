"""Sums, products, quotients and remainders. The backward pass undoes broadcasting.

A branch that `where` discards gets the gradient 0, and 0 times an infinite derivative must be 0, in
derivatives of every order: `multiply_no_nan(a, b)` and `divide_no_nan(a, b)` are a * b and a / b,
but 0 where a is 0; a is usually a gradient and b a derivative. `multiply_no_nan(inf, 0)` is NaN, so
that an infinite gradient stays visible. Where either factor may be the 0 of a discarded branch,
`multiply_no_nan_symmetric` is used: it is 0 where either factor is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.core.errors import DivisionError, DtypeError
from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.op import define
from tinygrad_fc.domain import interval, nonzero, real

__all__ = ["add", "floor_divide", "fmod", "mul", "neg", "remainder", "sub"]


def both_rules(rule: Any) -> tuple[Any, Any]:
    """Return the rules of an op with f(x, y) = f(y, x), from the rule of its first argument."""
    return rule, lambda g, _out, x, y, **settings: rule(g, _out, y, x, **settings)


# Multiplication and division with 0 * inf = 0


def nan_of(x: Any) -> Any:
    """Return NaN where `x` is NaN, else 0; a sum with it is NaN where `x` is."""
    return np.where(x == x, 0, np.nan).astype(x.dtype)  # noqa: PLR0124  false for NaN


def _without_nan(out: Any, *factors: Any) -> Any:
    """Return `out`, 0 where a factor is 0; as it is if the sum of its squares is finite."""
    if out.__class__ is np.ndarray:
        flat = out.ravel("K")  # the product of two vectors is faster than np.isfinite
        if np.dot(flat, flat) < np.inf:
            return out
    for factor in factors:
        out = np.where(factor == 0, 0, out)
    return out


def _multiply_no_nan_rule(g: Any, _out: Any, _a: Any, b: Any) -> Any:
    return multiply_no_nan(g, b)


def _second_factor_rule(g: Any, _out: Any, a: Any, _b: Any) -> Any:
    return multiply_no_nan_symmetric(g, a)


def _first_factor_rule(g: Any, _out: Any, _a: Any, b: Any) -> Any:
    return multiply_no_nan_symmetric(g, b)


@define(domain=(real, real), rules=(_multiply_no_nan_rule, _second_factor_rule))
@without_warnings
def multiply_no_nan(a: Any, b: Any) -> Any:
    """Return `a * b`, but 0 where `a` is 0, also if `b` is infinite or NaN.

    >>> multiply_no_nan(np.array([0.0, 2.0]), np.array([np.inf, 3.0]))
    array([0., 6.])
    """
    return _without_nan(a * b, a)


@define(domain=(real, real), rules=(_first_factor_rule, _second_factor_rule))
@without_warnings
def multiply_no_nan_symmetric(a: Any, b: Any) -> Any:
    """Return `a * b`, but 0 where either is 0, also if the other is infinite or NaN.

    >>> multiply_no_nan_symmetric(np.array([0.0, np.inf]), np.array([np.inf, 0.0]))
    array([0., 0.])
    """
    return _without_nan(a * b, a, b)


def _dividend_rule(g: Any, _out: Any, _a: Any, b: Any) -> Any:
    return divide_no_nan(g, b)


def _divisor_rule(g: Any, out: Any, _a: Any, b: Any) -> Any:
    return -divide_no_nan(multiply_no_nan_symmetric(g, out), b)


@define(domain=(real, nonzero), rules=(_dividend_rule, _divisor_rule))
@without_warnings
def divide_no_nan(a: Any, b: Any) -> Any:
    """Return `a / b`, but 0 where `a` is 0, also if `b` is 0 or NaN.

    >>> divide_no_nan(np.array([0.0, 6.0]), np.array([0.0, 3.0]))
    array([0., 2.])
    """
    return _without_nan(a / b, a)


def infinite_at_0(length: Any) -> Any:
    """Return `length`, a divisor, infinite where it is 0: all derivatives of the quotient are 0."""
    return np.where(length == 0, np.inf, length)


# Arithmetic


_ALPHA = {"alpha": (1, -2.5)}


def _scaled(x: Any, alpha: Any) -> Any:
    if alpha == 1:
        return x
    kind = getattr(x, "dtype", np.dtype(type(x))).kind
    if kind == "b" or (kind != "f" and isinstance(alpha, float)):
        raise DtypeError(f"alpha is {alpha}; expected an integer, for integers: use x.double()")
    return x * alpha


def _first_term_rule(g: Any, _out: Any, _x: Any, _y: Any, alpha: Any = 1) -> Any:
    return g


def _second_term_rule(g: Any, _out: Any, _x: Any, _y: Any, alpha: Any = 1) -> Any:
    return g if alpha == 1 else g * alpha


@define(
    numpy=np.add,
    plain=np.add,
    domain=(real, real),
    settings=_ALPHA,
    rules=(_first_term_rule, _second_term_rule),
)
def add(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """Return `input + alpha * other`, broadcast.

    >>> import tinygrad_fc as tg
    >>> tg.add(tg.tensor([1.0, 2.0]), 3, alpha=10)
    tensor([31., 32.])
    """
    return np.add(input, _scaled(other, alpha))


@define(
    numpy=np.subtract,
    plain=np.subtract,
    domain=(real, real),
    settings=_ALPHA,
    rules=(_first_term_rule, lambda g, _out, _x, _y, alpha=1: -g if alpha == 1 else g * -alpha),
)
def subtract(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """Return `input - alpha * other`, broadcast.

    >>> import tinygrad_fc as tg
    >>> tg.sub(tg.tensor([1.0, 2.0]), 3)
    tensor([-2., -1.])
    """
    return np.subtract(input, _scaled(other, alpha))


@define(
    np.multiply,
    forward=without_warnings(np.multiply),  # no warning for 0 * inf, as in x * log(x)
    domain=(real, real),
    rules=(_multiply_no_nan_rule, lambda g, _out, x, _y: multiply_no_nan(g, x)),
)
def multiply(input: Any, other: Any) -> Any:
    """Return `input * other`, broadcast.

    >>> import tinygrad_fc as tg
    >>> tg.mul(tg.tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """


@define(
    np.divide,
    domain=(real, nonzero),
    rules=(_dividend_rule, lambda g, out, _x, y: -divide_no_nan(multiply_no_nan(g, out), y)),
)
def divide(input: Any, other: Any) -> Any:
    """Return `input / other`, broadcast.

    >>> divide(np.array([1.0, 2.0]), 2.0)
    array([0.5, 1. ])
    """


@define(np.negative, domain=(real,), rules=(lambda g, _out, _x: -g,))
def negative(input: Any) -> Any:
    """Return `-input`.

    >>> import tinygrad_fc as tg
    >>> tg.neg(tg.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """


@define(np.positive, domain=(real,), rules=(lambda g, _out, _x: g,))
def positive_(input: Any) -> Any:
    """Return `+input`, a copy.

    >>> positive_(np.array([1.0, -2.0]))
    array([ 1., -2.])
    """


def _with_divisor_check(function: Any) -> Any:
    """Return `function`, raising for an integer division by 0, for which NumPy returns 0."""

    def forward(x: Any, y: Any) -> Any:
        has_floats = any(getattr(a, "dtype", np.dtype(type(a))).kind == "f" for a in (x, y))
        if not has_floats and not np.all(y):
            raise DivisionError(
                f"{function.__name__}: integer division by 0. Use floats (x.double()), for which "
                "the result is infinite or NaN, or leave the zeros out"
            )
        return function(x, y)

    return forward


def _fmod_rule(g: Any, _out: Any, x: Any, y: Any) -> Any:
    # The integer quotient, up to rounding. The floor of x / y may differ from it: 1.0 / 0.1 is 10,
    # but the quotient that 1.0 % 0.1 leaves is 9.
    return multiply_no_nan(g, -np.rint(divide_no_nan(x - fmod(x, y), y)))


def _remainder_rule(g: Any, _out: Any, x: Any, y: Any) -> Any:
    return multiply_no_nan(g, -floor_divide(x, y))  # also for an infinite divisor


# Small quotients: for large ones, rounding dominates the numerical derivative.
_DIVISION = (
    interval(-16, 16, special=(0, 1, -1)),
    interval(-4, 4, special=(1, -1, 0.5), without=(0,)),
)


@define(
    np.fmod,
    forward=_with_divisor_check(np.fmod),
    domain=_DIVISION,
    rules=(_first_term_rule, _fmod_rule),
)
def fmod(input: Any, other: Any) -> Any:
    """Return the remainder of division, with the sign of `input`: C's `fmod`.

    >>> import tinygrad_fc as tg
    >>> tg.fmod(tg.tensor([5.0, -5.0]), 3)
    tensor([ 2., -2.])
    """


@define(
    np.remainder,
    forward=_with_divisor_check(np.remainder),
    domain=_DIVISION,
    rules=(_first_term_rule, _remainder_rule),
)
def remainder(input: Any, other: Any) -> Any:
    """Return the remainder of division, with the sign of `other`: Python's `%`.

    >>> import tinygrad_fc as tg
    >>> tg.remainder(tg.tensor([5.0, -5.0]), 3)
    tensor([2., 1.])
    """


@define(np.floor_divide, forward=_with_divisor_check(np.floor_divide), domain=(real, nonzero))
def floor_divide(input: Any, other: Any) -> Any:
    """Return `input / other` rounded down: Python's `//`.

    >>> import tinygrad_fc as tg
    >>> tg.floor_divide(tg.tensor([5.0, -5.0]), 3)
    tensor([ 1., -2.])
    """


# PyTorch's names

mul, neg, sub = multiply, negative, subtract
