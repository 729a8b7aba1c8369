"""Angles, circular and hyperbolic functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.op import define
from tinygrad_fc.domain import interval, nonzero, real
from tinygrad_fc.ops.arithmetic import divide_no_nan, multiply_no_nan
from tinygrad_fc.ops.elementwise import sqrt

__all__ = ["acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "sin", "sinh"]
__all__ += ["tan", "tanh"]


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


# PyTorch's names

acos, asin, atan, atan2 = arccos, arcsin, arctan, arctan2
acosh, asinh, atanh = arccosh, arcsinh, arctanh
