"""Elementwise formulas. The backward pass undoes broadcasting.

A branch that `where` discards gets the gradient 0, and 0 times an infinite derivative must be 0, in
derivatives of every order: `multiply_no_nan(a, b)` and `divide_no_nan(a, b)` are a * b and a / b,
but 0 where a is 0; a is usually a gradient and b a derivative. `multiply_no_nan(inf, 0)` is NaN, so
that an infinite gradient stays visible. Where either factor may be the 0 of a discarded branch,
`multiply_no_nan_symmetric` is used: it is 0 where either factor is 0.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from tinygrad_fc.core.errors import DivisionError, DtypeError, ShapeError
from tinygrad_fc.core.errstate import silent, without_warnings
from tinygrad_fc.core.op import define
from tinygrad_fc.domain import boolean, interval, nonzero, positive, real

__all__ = ["abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "clamp"]
__all__ += ["clip", "cos", "cosh", "exp", "exp2", "expm1", "floor_divide", "fmod", "hypot", "lerp"]
__all__ += ["log", "log1p", "log2", "log10", "logaddexp", "maximum", "minimum", "mul", "nan_to_num"]
__all__ += ["neg", "pow", "reciprocal", "relu", "remainder", "rsqrt", "sigmoid", "sin", "sinh"]
__all__ += ["sqrt", "square", "sub", "tan", "tanh", "xlogy"]

LN2 = math.log(2)
LN10 = math.log(10)


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


# Arithmetic


_ALPHA = {"alpha": lambda *_: (1, -2.5)}


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


def _power_rule(g: Any, _out: Any, x: Any, y: Any) -> Any:
    # x**0 is constant, with derivatives 0 also at x = 0, where y * x**(y - 1) would be 0 * inf.
    scaled = g * y if isinstance(y, int | float) and y else multiply_no_nan_symmetric(g, y)
    return multiply_no_nan(scaled, power(x, y - 1))


def _exponent_rule(g: Any, out: Any, x: Any, y: Any) -> Any:
    # At x = 0 and y >= 0 the derivative by y is taken as 0: log(1) replaces log(0).
    return multiply_no_nan(multiply_no_nan(g, out), log(np.where((x == 0) & (y >= 0), 1, x)))


def _power(x: Any, y: Any) -> Any:
    if y.__class__ in {int, float} and y == 3:  # np.power takes 50 times as long
        return x * x * x
    return x**y  # which has faster squares and roots than np.power


@define(
    np.power,
    forward=_power,
    domain=(positive, interval(-16, 16, special=(0, 1, 2, 0.5, -1, 3))),
    rules=(_power_rule, _exponent_rule),
)
def power(input: Any, exponent: Any) -> Any:
    """Return `input ** exponent`, broadcast; either may be a number.

    >>> import tinygrad_fc as tg
    >>> tg.pow(tg.tensor([2.0, 3.0]), 2)
    tensor([4., 9.])
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


@define(np.absolute, domain=(real,), rules=(lambda g, _out, x: g * np.sign(x),))
def absolute(input: Any) -> Any:
    """Return |input|; the derivative at 0 is 0.

    >>> import tinygrad_fc as tg
    >>> tg.abs(tg.tensor([1.0, -2.0]))
    tensor([1., 2.])
    """


def _reciprocal_rule(g: Any, out: Any, x: Any) -> Any:
    return -divide_no_nan(multiply_no_nan(g, out), x)


# np.reciprocal truncates integers
@define(np.reciprocal, forward=lambda x: 1 / x, domain=(nonzero,), rules=(_reciprocal_rule,))
def reciprocal(input: Any) -> Any:
    """Return `1 / input`.

    >>> import tinygrad_fc as tg
    >>> tg.reciprocal(tg.tensor([1.0, 4.0]))
    tensor([1.  , 0.25])
    """


@define(np.square, domain=(real,), rules=(lambda g, _out, x: multiply_no_nan(g, 2 * x),))
def square(input: Any) -> Any:
    """Return `input ** 2`.

    >>> import tinygrad_fc as tg
    >>> tg.square(tg.tensor([1.0, -3.0]))
    tensor([1., 9.])
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


def _dividend_of_remainder_rule(g: Any, _out: Any, _x: Any, _y: Any) -> Any:
    return g


@define(
    np.fmod,
    forward=_with_divisor_check(np.fmod),
    domain=_DIVISION,
    rules=(_dividend_of_remainder_rule, _fmod_rule),
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
    rules=(_dividend_of_remainder_rule, _remainder_rule),
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


# Powers, exponentials and logarithms


@define(np.sqrt, domain=(positive,), rules=(lambda g, out, _x: divide_no_nan(g, 2 * out),))
def sqrt(input: Any) -> Any:
    """Return the square root `input**0.5`.

    >>> import tinygrad_fc as tg
    >>> tg.sqrt(tg.tensor([4.0, 9.0]))
    tensor([2., 3.])
    """


@define(
    domain=(positive,), rules=(lambda g, out, x: divide_no_nan(multiply_no_nan(g, out), -2 * x),)
)
def rsqrt(input: Any) -> Any:
    """Return `1 / sqrt(input)`.

    >>> import tinygrad_fc as tg
    >>> tg.rsqrt(tg.tensor([4.0, 1.0]))
    tensor([0.5, 1. ])
    """
    return 1 / np.sqrt(input)


def _exp_rule(g: Any, out: Any, _x: Any) -> Any:
    return multiply_no_nan(g, out)


@define(np.exp, forward=without_warnings(np.exp), domain=(real,), rules=(_exp_rule,))
def exp(input: Any) -> Any:
    """Return e ** input.

    >>> import tinygrad_fc as tg
    >>> tg.exp(tg.tensor([0.0, 1.0]))
    tensor([1.    , 2.7183])
    """


def _exp2_rule(g: Any, out: Any, _x: Any) -> Any:
    return multiply_no_nan(g, out) * LN2


@define(np.exp2, forward=without_warnings(np.exp2), domain=(real,), rules=(_exp2_rule,))
def exp2(input: Any) -> Any:
    """Return 2 ** input.

    >>> import tinygrad_fc as tg
    >>> tg.exp2(tg.tensor([0.0, 3.0]))
    tensor([1., 8.])
    """


def _expm1_rule(g: Any, out: Any, _x: Any) -> Any:
    return multiply_no_nan(g, out + 1)


@define(np.expm1, forward=without_warnings(np.expm1), domain=(real,), rules=(_expm1_rule,))
def expm1(input: Any) -> Any:
    """Return e ** input - 1, accurate also near 0.

    >>> import tinygrad_fc as tg
    >>> tg.expm1(tg.tensor([0.0, 1e-9]))
    tensor([0.e+00, 1.e-09])
    """


@define(np.log, domain=(positive,), rules=(lambda g, _out, x: divide_no_nan(g, x),))
def log(input: Any) -> Any:
    """Return the natural logarithm: the `y` with `exp(y) = input`.

    >>> import tinygrad_fc as tg
    >>> tg.log(tg.tensor([1.0, 2.0]))
    tensor([0.    , 0.6931])
    """


@define(np.log2, domain=(positive,), rules=(lambda g, _out, x: divide_no_nan(g, x * LN2),))
def log2(input: Any) -> Any:
    """Return the logarithm to base 2, `log(input) / log(2)`.

    >>> import tinygrad_fc as tg
    >>> tg.log2(tg.tensor([1.0, 8.0]))
    tensor([0., 3.])
    """


@define(np.log10, domain=(positive,), rules=(lambda g, _out, x: divide_no_nan(g, x * LN10),))
def log10(input: Any) -> Any:
    """Return the logarithm to base 10, `log(input) / log(10)`.

    >>> import tinygrad_fc as tg
    >>> tg.log10(tg.tensor([1.0, 100.0]))
    tensor([0., 2.])
    """


@define(
    np.log1p, domain=(interval(-1, np.inf),), rules=(lambda g, _out, x: divide_no_nan(g, 1 + x),)
)
def log1p(input: Any) -> Any:
    """Return log(1 + input), accurate also near 0.

    >>> import tinygrad_fc as tg
    >>> tg.log1p(tg.tensor([0.0, 1e-9]))
    tensor([0.e+00, 1.e-09])
    """


def _logaddexp_rule(g: Any, _out: Any, x: Any, y: Any) -> Any:
    # exp(x - logaddexp(x, y)) would magnify the rounding error of the logarithm.
    return multiply_no_nan(g, sigmoid(x - y))


@define(
    np.logaddexp,
    forward=without_warnings(np.logaddexp),  # NumPy warns for NaN
    domain=(real, real),
    rules=both_rules(_logaddexp_rule),
)
def logaddexp(input: Any, other: Any) -> Any:
    """Return log(exp(input) + exp(other)) without overflow.

    >>> import tinygrad_fc as tg
    >>> tg.logaddexp(tg.tensor([0.0, 1000.0]), tg.tensor([0.0, 1000.0]))
    tensor([6.9315e-01, 1.0007e+03])
    """


def _xlogy_rule(g: Any, _out: Any, x: Any, y: Any) -> Any:
    return np.where((x == 0) & (y <= 0), 0, xlogy(g, y))


@define(
    domain=(real, positive),
    rules=(_xlogy_rule, lambda g, _out, x, y: divide_no_nan(multiply_no_nan_symmetric(g, x), y)),
)
def xlogy(input: Any, other: Any) -> Any:
    """Return `input * log(other)`, but 0 where `input` is 0 and `other` is not NaN.

    >>> import tinygrad_fc as tg
    >>> tg.xlogy(tg.tensor([0.0, 2.0]), tg.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    log_y = np.log(other)
    product = input * (log_y if hasattr(other, "dtype") else float(log_y))  # keeps the dtype
    return np.where((input == 0) & (other == other), 0, product)  # noqa: PLR0124  false for NaN


# Angles, circular and hyperbolic


@define(np.sin, domain=(real,), rules=(lambda g, _out, x: multiply_no_nan(g, np.cos(x)),))
def sin(input: Any) -> Any:
    """Return the sine of an angle in radians.

    >>> import tinygrad_fc as tg
    >>> tg.sin(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8415])
    """


@define(np.cos, domain=(real,), rules=(lambda g, _out, x: multiply_no_nan(g, -np.sin(x)),))
def cos(input: Any) -> Any:
    """Return the cosine of an angle in radians.

    >>> import tinygrad_fc as tg
    >>> tg.cos(tg.tensor([0.0, 1.0]))
    tensor([1.    , 0.5403])
    """


@define(np.tan, domain=(real,), rules=(lambda g, out, _x: multiply_no_nan(g, 1 + out * out),))
def tan(input: Any) -> Any:
    """Return the tangent of an angle in radians.

    >>> import tinygrad_fc as tg
    >>> tg.tan(tg.tensor([0.0, 1.0]))
    tensor([0.    , 1.5574])
    """


def _arcsin_rule(g: Any, _out: Any, x: Any) -> Any:
    return divide_no_nan(g, sqrt((1 - x) * (1 + x)))


@define(np.arcsin, domain=(interval(-1, 1),), rules=(_arcsin_rule,))
def arcsin(input: Any) -> Any:
    """Return the inverse sine: the angle in [-pi/2, pi/2], in radians, whose sine is `input`.

    >>> import tinygrad_fc as tg
    >>> tg.asin(tg.tensor([0.0, 1.0]))
    tensor([0.    , 1.5708])
    """


def _arccos_rule(g: Any, _out: Any, x: Any) -> Any:
    return -_arcsin_rule(g, _out, x)


@define(np.arccos, domain=(interval(-1, 1),), rules=(_arccos_rule,))
def arccos(input: Any) -> Any:
    """Return the inverse cosine: the angle in [0, pi], in radians, whose cosine is `input`.

    >>> import tinygrad_fc as tg
    >>> tg.acos(tg.tensor([1.0, 0.0]))
    tensor([0.    , 1.5708])
    """


@define(np.arctan, domain=(real,), rules=(lambda g, _out, x: divide_no_nan(g, 1 + x * x),))
def arctan(input: Any) -> Any:
    """Return the inverse tangent: the angle in (-pi/2, pi/2), in radians, with tangent `input`.

    >>> import tinygrad_fc as tg
    >>> tg.atan(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.7854])
    """


def _sinh_rule(g: Any, _out: Any, x: Any) -> Any:
    return multiply_no_nan(g, cosh(x))


@define(np.sinh, forward=without_warnings(np.sinh), domain=(real,), rules=(_sinh_rule,))
def sinh(input: Any) -> Any:
    """Return the hyperbolic sine `(exp(x) - exp(-x)) / 2` of `x = input`.

    >>> import tinygrad_fc as tg
    >>> tg.sinh(tg.tensor([0.0, 1.0]))
    tensor([0.    , 1.1752])
    """


def _cosh_rule(g: Any, _out: Any, x: Any) -> Any:
    return multiply_no_nan(g, sinh(x))


@define(np.cosh, forward=without_warnings(np.cosh), domain=(real,), rules=(_cosh_rule,))
def cosh(input: Any) -> Any:
    """Return the hyperbolic cosine `(exp(x) + exp(-x)) / 2` of `x = input`.

    >>> import tinygrad_fc as tg
    >>> tg.cosh(tg.tensor([0.0, 1.0]))
    tensor([1.    , 1.5431])
    """


@define(np.tanh, domain=(real,), rules=(lambda g, out, _x: g * (1 - out * out),))
def tanh(input: Any) -> Any:
    """Return the hyperbolic tangent `(exp(x) - exp(-x)) / (exp(x) + exp(-x))` of `x = input`.

    >>> import tinygrad_fc as tg
    >>> tg.tanh(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """


@define(np.arcsinh, domain=(real,), rules=(lambda g, _out, x: divide_no_nan(g, np.hypot(1, x)),))
def arcsinh(input: Any) -> Any:
    """Return the inverse hyperbolic sine `log(x + sqrt(x**2 + 1))` of `x = input`.

    >>> import tinygrad_fc as tg
    >>> tg.asinh(tg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8814])
    """


def _arccosh_rule(g: Any, _out: Any, x: Any) -> Any:
    return divide_no_nan(g, sqrt((x - 1) * (x + 1)))


@define(np.arccosh, domain=(interval(1, np.inf),), rules=(_arccosh_rule,))
def arccosh(input: Any) -> Any:
    """Return the inverse hyperbolic cosine `log(x + sqrt(x**2 - 1))` of `x = input`.

    >>> import tinygrad_fc as tg
    >>> tg.acosh(tg.tensor([1.0, 2.0]))
    tensor([0.   , 1.317])
    """


def _arctanh_rule(g: Any, _out: Any, x: Any) -> Any:
    return divide_no_nan(g, (1 - x) * (1 + x))


@define(np.arctanh, domain=(interval(-1, 1),), rules=(_arctanh_rule,))
def arctanh(input: Any) -> Any:
    """Return the inverse hyperbolic tangent `log((1 + x) / (1 - x)) / 2` of `x = input`.

    >>> import tinygrad_fc as tg
    >>> tg.atanh(tg.tensor([0.0, 0.5]))
    tensor([0.    , 0.5493])
    """


def infinite_at_0(length: Any) -> Any:
    """Return `length`, a divisor, infinite where it is 0: all derivatives of the quotient are 0."""
    return np.where(length == 0, np.inf, length)


@define(
    np.hypot,
    domain=(real, real),
    rules=(
        lambda g, out, x, _y: multiply_no_nan(g, divide(x, infinite_at_0(out))),
        lambda g, out, _x, y: multiply_no_nan(g, divide(y, infinite_at_0(out))),
    ),
)
def hypot(input: Any, other: Any) -> Any:
    """Return sqrt(input ** 2 + other ** 2) without overflow.

    >>> import tinygrad_fc as tg
    >>> tg.hypot(tg.tensor([3.0]), tg.tensor([4.0]))
    tensor([5.])
    """


def _first_square_rule(g: Any, out: Any, x: Any, y: Any) -> Any:
    return multiply_no_nan(g, -2 * out * over_squares(y, x))


def _second_square_rule(g: Any, out: Any, x: Any, y: Any) -> Any:
    return multiply_no_nan(g, over_squares(y, x) ** 2 - out * out)


@define(domain=(nonzero, real), rules=(_first_square_rule, _second_square_rule))
@without_warnings
def over_squares(x: Any, y: Any) -> Any:
    """Return y / (x**2 + y**2), 0 at 0, without overflow or underflow of the squares.

    >>> over_squares(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    array([0.4, 0. ])
    """
    out = 1 / (x * (x / y) + y)
    return np.where((y == 0) & (x == x), 0, out)  # noqa: PLR0124  false for NaN


@define(
    np.arctan2,
    domain=(real, real),
    rules=(
        lambda g, _out, x, y: multiply_no_nan(g, over_squares(x, y)),
        lambda g, _out, x, y: -multiply_no_nan(g, over_squares(y, x)),
    ),
)
def arctan2(input: Any, other: Any) -> Any:
    """Return the angle of the point (other, input) from the first axis, in radians.

    >>> import tinygrad_fc as tg
    >>> tg.atan2(tg.tensor([1.0, -1.0]), tg.tensor([1.0, 1.0]))
    tensor([ 0.7854, -0.7854])
    """


# Selection. Masks multiply: for random ones, `np.where` mispredicts half of its branches, and takes
# as long as ten multiplications.


def _extremum_rule(loses: Any, g: Any, _out: Any, x: Any, y: Any) -> Any:
    # Where either is NaN, so is the result, and both get the gradient, as in PyTorch.
    halves = 2 - loses(x, y).astype(np.int8) * 2 - (x == y).astype(np.int8)
    return multiply_no_nan(halves, g * 0.5)


@define(np.maximum, domain=(real, real), rules=both_rules(partial(_extremum_rule, np.less)))
def maximum(input: Any, other: Any) -> Any:
    """Return the larger of two; a tie shares the gradient evenly.

    >>> import tinygrad_fc as tg
    >>> tg.maximum(tg.tensor([1.0, 5.0]), tg.tensor([2.0, 3.0]))
    tensor([2., 5.])
    """


@define(np.minimum, domain=(real, real), rules=both_rules(partial(_extremum_rule, np.greater)))
def minimum(input: Any, other: Any) -> Any:
    """Return the smaller of two; a tie shares the gradient evenly.

    >>> import tinygrad_fc as tg
    >>> tg.minimum(tg.tensor([1.0, 5.0]), tg.tensor([2.0, 3.0]))
    tensor([1., 3.])
    """


@define(
    np.where,
    domain=(boolean, real, real),
    rules=(
        None,
        lambda g, _out, c, _x, _y: np.where(c, g, 0),
        lambda g, _out, c, _x, _y: np.where(c, 0, g),
    ),
)
def where(condition: Any, input: Any, other: Any) -> Any:
    """Return `input` where `condition` holds, else `other`.

    >>> where(np.array([True, False]), 1.0, 2.0)
    array([1., 2.])
    """


# As in PyTorch 2.14: at a bound that is a number the derivative is 0; a tie of the input and a
# tensor shares the gradient; where all three are equal, it goes to the input; if min > max, to max.


def _clamp_rule(g: Any, _out: Any, x: Any, min: Any, max: Any) -> Any:
    if not (hasattr(min, "dtype") or hasattr(max, "dtype")):
        inside = (
            (x > min) & (x < max)
            if min is not None is not max
            else (x > min if max is None else x < max)
        )
        return multiply_no_nan(inside, g)
    # Without a bound there is no tie, also not at infinity.
    above, at_min = (True, False) if min is None else (x > min, x == min)
    below, at_max = (True, False) if max is None else (x < max, x == max)
    both = min is not None is not max
    inside, ordered = (above & below) | (at_min & at_max), min < max if both else True
    return np.where(inside, g, np.where((at_min | at_max) & ordered, g * 0.5, 0))


def _min_rule(g: Any, _out: Any, x: Any, low: Any, max: Any) -> Any:
    ordered, is_least = (True, True) if max is None else (low < max, low <= max)
    return np.where((x < low) & is_least, g, np.where((x == low) & ordered, g * 0.5, 0))


def _max_rule(g: Any, _out: Any, x: Any, min: Any, high: Any) -> Any:
    ordered, is_largest = (True, False) if min is None else (min < high, min > high)
    return np.where((x > high) | is_largest, g, np.where((x == high) & ordered, g * 0.5, 0))


@define(
    numpy=np.clip,
    domain=(real, interval(-2, 0, special=(-1, -0.5)), interval(0, 2, special=(1, 0.5))),
    rules=(_clamp_rule, _min_rule, _max_rule),
)
def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """Return `input` limited to [min, max], numbers or tensors.

    At a bound that is a number the derivative is 0; a tensor and the input share the gradient of a
    tie evenly, as in PyTorch 2.14 and newer. If `min` is larger than `max`, the result is `max`.
    Raises `ValueError` without any bound.

    >>> import tinygrad_fc as tg
    >>> tg.clamp(tg.tensor([-2.0, 0.5, 2.0]), min=-1, max=1)
    tensor([-1. ,  0.5,  1. ])
    """
    if min is None and max is None:
        raise ShapeError("clamp needs a bound: pass min, max or both")
    x = input.astype(np.int64) if input.dtype.kind == "b" else input
    if max is None:
        return np.maximum(x, min)
    return np.minimum(x, max) if min is None else x.clip(min, max)  # in one pass


@define(
    domain=(real, real, real),
    rules=(
        lambda g, _out, _x, _y, weight: g * (1 - weight),
        lambda g, _out, _x, _y, weight: g * weight,
        lambda g, _out, x, y, _weight: g * (y - x),
    ),
)
def lerp(input: Any, end: Any, weight: Any) -> Any:
    """Return `input + weight * (end - input)`, broadcast; exact for the weights 0 and 1.

    >>> import tinygrad_fc as tg
    >>> tg.lerp(tg.tensor([0.0, 10.0]), tg.tensor([1.0, 20.0]), 0.25)
    tensor([ 0.25, 12.5 ])
    """
    # Interpolated from the nearer end, so that the result is exact at both.
    d = end - input
    if isinstance(weight, float | int):
        return input + weight * d if math.fabs(weight) < 0.5 else end - d * (1 - weight)
    near = np.abs(weight) < 0.5
    return np.where(near, input + weight * d, end - d * (1 - weight))


@define(
    numpy=np.nan_to_num,
    domain=(real,),
    settings={
        "nan": lambda *_: (0.0, 2.5),
        "posinf": lambda *_: (None, 3.0),
        "neginf": lambda *_: (None, -3.0),
    },
    rules=(lambda g, _out, x, nan=0.0, posinf=None, neginf=None: np.where(np.isfinite(x), g, 0),),
)
def nan_to_num(
    input: Any, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """Return `input` with numbers in place of NaN (0) and infinities (the largest of the dtype).

    The gradient of a replaced element is 0.

    >>> import tinygrad_fc as tg
    >>> tg.nan_to_num(tg.tensor([1.0, float("nan"), float("inf")]), posinf=9.0)
    tensor([1., 0., 9.])
    """
    return np.nan_to_num(input, nan=nan or 0.0, posinf=posinf, neginf=neginf)


# Sigmoid and ReLU

_ndarray = np.ndarray  # a global is read faster than an attribute of NumPy
# In a ufunc, a 0-d array of the same dtype takes half the time of a Python number.
ONE = {c: np.ones((), c) for c in "efdg"}
PYTHON_ONE = 1


def _one(x: Any) -> Any:
    return ONE.get(x.dtype.char, PYTHON_ONE) if x.__class__ is _ndarray else PYTHON_ONE


def _sigmoid_rule(g: Any, out: Any, _x: Any) -> Any:
    return (_one(out) - out) * out * g


@define(domain=(real,), rules=(_sigmoid_rule,))
def sigmoid(input: Any) -> Any:
    """Return 1 / (1 + exp(-input)), formula (2) of `handderived.py`, without cancellation.

    >>> import tinygrad_fc as tg
    >>> tg.sigmoid(tg.tensor([0.0, 1.0]))
    tensor([0.5   , 0.7311])
    """
    # For large negative inputs exp overflows, and the quotient is 0, as it should be: a second
    # branch is not needed.
    one = _one(input)
    is_numpy = input.__class__ is _ndarray  # else CuPy, or a number
    denominator = silent.call(np.exp, -input) if is_numpy else exp.forward(-input)
    denominator += one
    return one / denominator


# The result is positive, 0, or NaN for NaN, whose gradient is that of the result.
@define(domain=(real,), rules=(lambda g, out, _x: g * (out != 0),))
def relu(input: Any, inplace: bool = False) -> Any:
    """Return `max(input, 0)`; the derivative at 0 is 0.

    >>> import tinygrad_fc as tg
    >>> tg.relu(tg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return np.maximum(input, 0)


# PyTorch's names

abs, mul, neg, sub, pow = absolute, multiply, negative, subtract, power
clip = clamp
acos, asin, atan, atan2 = arccos, arcsin, arctan, arctan2
acosh, asinh, atanh = arccosh, arcsinh, arctanh
