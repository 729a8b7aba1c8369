"""Powers, exponentials and logarithms; selection; sigmoid and ReLU."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from tinygrad_fc.core.errors import ArgumentError
from tinygrad_fc.core.errstate import silent, without_warnings
from tinygrad_fc.core.op import define
from tinygrad_fc.domain import boolean, interval, nonzero, positive, real
from tinygrad_fc.ops.arithmetic import (
    both_rules,
    divide,
    divide_no_nan,
    infinite_at_0,
    multiply_no_nan,
    multiply_no_nan_symmetric,
)

__all__ = ["abs", "clamp", "clip", "exp", "exp2", "expm1", "hypot", "lerp", "log", "log1p", "log10"]
__all__ += ["log2", "logaddexp", "maximum", "minimum", "nan_to_num", "pow", "reciprocal", "relu"]
__all__ += ["rsqrt", "sigmoid", "sqrt", "square", "xlogy"]


LN2 = math.log(2)
LN10 = math.log(10)


# Powers, exponentials and logarithms


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
    both = min is not None is not max
    if not (hasattr(min, "dtype") or hasattr(max, "dtype")):
        one = x > min if max is None else x < max
        return multiply_no_nan((x > min) & one if both else one, g)
    # Without a bound there is no tie, also not at infinity.
    above, at_min = (True, False) if min is None else (x > min, x == min)
    below, at_max = (True, False) if max is None else (x < max, x == max)
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
    domain=(real, interval(-2, 0, special=(-1, -0.5, 0)), interval(0, 2, special=(1, 0.5, 0))),
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
        raise ArgumentError("clamp needs a bound: pass min, max or both")
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
    settings={"nan": (0.0, 2.5), "posinf": (None, 3.0), "neginf": (None, -3.0)},
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


def _sigmoid_rule(g: Any, out: Any, _x: Any) -> Any:
    if not (g.__class__ is out.__class__ is _ndarray):
        return (1 - out) * out * g
    gradient = ONE[out.dtype.char] - out
    gradient *= out
    gradient *= g
    return gradient


@define(domain=(real,), rules=(_sigmoid_rule,))
def sigmoid(input: Any) -> Any:
    """Return 1 / (1 + exp(-input)), formula (2) of `handderived.py`, without cancellation.

    >>> import tinygrad_fc as tg
    >>> tg.sigmoid(tg.tensor([0.0, 1.0]))
    tensor([0.5   , 0.7311])
    """
    # For large negative inputs exp overflows, and the quotient is 0, as it should be: a second
    # branch is not needed.
    one = ONE.get(input.dtype.char) if input.__class__ is _ndarray else None
    if one is None or not input.ndim:
        return 1 / (exp.forward(-input) + 1)
    out = -input
    silent.call(np.exp, out, out)
    out += one
    return np.divide(one, out, out)


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

abs, clip, pow = absolute, clamp, power
