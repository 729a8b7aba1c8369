"""Elementwise formulas. The backward pass undoes broadcasting.

A branch that was not taken sends back a gradient of exactly zero, and zero times an infinite
derivative must stay zero, in every order: `product` and `quotient` are multiplication and division
with that convention. An infinite gradient times a zero derivative is NaN all the same, unless that
derivative was such a zero itself: in `joint`, either zero wins.
"""

from __future__ import annotations

import contextvars
import threading
from typing import Any

import numpy as np

from tinygrad_fc.domain import boolean, interval, nonzero, positive, real
from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.errors import DivisionError, DtypeError
from tinygrad_fc.op import Op, quiet
from tinygrad_fc.op import row as op


def floats(function: Any, count: int = 1) -> Any:
    """Return `function` that takes whole numbers and truth values for floats of the default dtype.

    NumPy would take small ones for float16. `count` arrays, where it is no ufunc, which tells.
    """

    # What floats give is of their dtype, so that one comparison is all that it costs them. What
    # whole numbers give is not, and is not used.
    def of_one(x: Any) -> Any:
        out = function(x)
        dtype = getattr(x, "dtype", None)
        return out if out.dtype is dtype else _anew(function, out, x)

    def of_several(*arrays: Any) -> Any:
        out = function(*arrays)
        dtype = out.dtype
        for a in arrays:
            if getattr(a, "dtype", None) is dtype:
                return out
        return _anew(function, out, *arrays)

    return of_one if getattr(function, "nin", count) == 1 else of_several


def _anew(function: Any, out: Any, *arrays: Any) -> Any:
    """Return `out`, or where no array holds floats what `function` makes of them as floats."""
    dtypes = [getattr(a, "dtype", None) for a in arrays]
    if all(d is None for d in dtypes) or any(d is not None and d.kind == "f" for d in dtypes):
        return out
    dtype = get_default_dtype()
    return function(*(a.astype(dtype) if hasattr(a, "dtype") else a for a in arrays))


def curve(function: Any, *, overflows: bool = False, **row: Any) -> Op:
    """Add the row of a ufunc that gives floats; one that `overflows` does so without a word."""
    forward = floats(function)
    return op(function, forward=quiet(forward) if overflows else forward, **row)


LN2 = 0.6931471805599453
LN10 = 2.302585092994046


@quiet
def _product(a: Any, b: Any) -> Any:
    return np.where(a == 0, 0, a * b)


@quiet
def _quotient(a: Any, b: Any) -> Any:
    return np.where(a == 0, 0, a / b)


@quiet
def _joint(a: Any, b: Any) -> Any:
    return np.where((a == 0) | (b == 0), 0, a * b)


product: Op = op(
    _product,
    name="product",
    domain=(real, real),
    rules=(lambda g, _out, _a, b: product(g, b), lambda g, _out, a, _b: joint(g, a)),
)
joint: Op = op(
    _joint,
    name="joint",
    domain=(real, real),
    rules=(lambda g, _out, _a, b: joint(g, b), lambda g, _out, a, _b: joint(g, a)),
)
quotient: Op = op(
    _quotient,
    name="quotient",
    domain=(real, nonzero),
    rules=(
        lambda g, _out, _a, b: quotient(g, b),
        lambda g, out, _a, b: -quotient(joint(g, out), b),
    ),
)

add = op(np.add, domain=(real, real), rules=(lambda g, _out, _x, _y: g, lambda g, _out, _x, _y: g))
subtract = op(
    np.subtract, domain=(real, real), rules=(lambda g, _out, _x, _y: g, lambda g, _out, _x, _y: -g)
)
multiply = op(
    np.multiply,
    forward=quiet(np.multiply),  # 0 times infinity, as x * log(x) has it at 0
    domain=(real, real),
    rules=(lambda g, _out, _x, y: product(g, y), lambda g, _out, x, _y: product(g, x)),
)
divide = op(
    np.divide,
    domain=(real, nonzero),
    rules=(
        lambda g, _out, _x, y: quotient(g, y),
        lambda g, out, _x, y: -quotient(product(g, out), y),
    ),
)


def _power_slope(g: Any, _out: Any, x: Any, y: Any) -> Any:
    # The slope of x**0 is 0 in every order, at x = 0 too, where that of its parts is not.
    scaled = g * y if isinstance(y, int | float) and y else joint(g, y)
    return product(scaled, power(x, y - 1))


def _exponent_slope(g: Any, out: Any, x: Any, y: Any) -> Any:
    # At base 0 the power is flat in its exponent, though its logarithm is not finite.
    return product(product(g, out), log(np.where((x == 0) & (y >= 0), 1, x)))


def _power(x: Any, y: Any) -> Any:
    try:
        return x**y  # which knows squares and roots when it sees them; np.power does not
    except ValueError as error:
        if "negative integer powers" not in str(error):
            raise
        raise DtypeError(
            "power of whole numbers to a negative one has no whole result: use floats (x.double())"
        ) from error


power = op(
    np.power,
    forward=_power,
    domain=(positive, interval(-16, 16, special=(0, 1, 2, 0.5, -1, 3))),
    rules=(_power_slope, _exponent_slope),
)

negative = op(np.negative, domain=(real,), rules=(lambda g, _out, _x: -g,))
positive_ = op(np.positive, domain=(real,), rules=(lambda g, _out, _x: g,))
absolute = op(np.absolute, domain=(real,), rules=(lambda g, _out, x: g * np.sign(x),))
reciprocal = op(
    np.reciprocal,
    forward=floats(lambda x: 1 / x),  # of whole numbers too, which np.reciprocal leaves whole
    domain=(nonzero,),
    rules=(lambda g, out, x: -quotient(product(g, out), x),),
)
square = op(np.square, domain=(real,), rules=(lambda g, _out, x: product(g, 2 * x),))
sqrt = curve(
    np.sqrt,
    domain=(positive,),
    rules=(lambda g, out, _x: quotient(g, 2 * out),),
)
rsqrt = op(
    floats(lambda x: 1 / np.sqrt(x)),
    name="rsqrt",
    domain=(positive,),
    rules=(lambda g, out, x: quotient(product(g, out), -2 * x),),
)

# What is too large is infinite, without a word: a branch that is not taken may well be.
exp = curve(
    np.exp,
    overflows=True,
    domain=(real,),
    rules=(lambda g, out, _x: product(g, out),),
)
exp2 = curve(
    np.exp2,
    overflows=True,
    domain=(real,),
    rules=(lambda g, out, _x: product(g, out) * LN2,),
)
expm1 = curve(
    np.expm1,
    overflows=True,
    domain=(real,),
    rules=(lambda g, out, _x: product(g, out + 1),),
)
log = curve(
    np.log,
    domain=(positive,),
    rules=(lambda g, _out, x: quotient(g, x),),
)
log2 = curve(
    np.log2,
    domain=(positive,),
    rules=(lambda g, _out, x: quotient(g, x * LN2),),
)
log10 = curve(
    np.log10,
    domain=(positive,),
    rules=(lambda g, _out, x: quotient(g, x * LN10),),
)
log1p = curve(
    np.log1p,
    domain=(interval(-1, np.inf),),
    rules=(lambda g, _out, x: quotient(g, 1 + x),),
)
# Of two exponentials, the part that the first has in their sum. What rounding takes from the
# logarithm of the sum, as it does from large ones, exp would enlarge: the difference keeps it.
part: Op = op(
    quiet(lambda x, y: 1 / (1 + np.exp(y - x))),
    name="part",
    domain=(real, real),
    rules=(
        lambda g, out, x, y: product(g, out * part(y, x)),
        lambda g, out, x, y: -product(g, out * part(y, x)),
    ),
)
logaddexp = curve(
    np.logaddexp,
    overflows=True,  # which NumPy says of NaN
    domain=(real, real),
    rules=(
        lambda g, _out, x, y: product(g, part(x, y)),
        lambda g, _out, x, y: product(g, part(y, x)),
    ),
)


# Nothing times the logarithm of nothing is nothing.
def _xlogy(x: Any, y: Any) -> Any:
    log_y = np.log(y) if hasattr(y, "dtype") else float(np.log(y))  # a weak number stays weak
    return np.where((x == 0) & (y == y), 0, x * log_y)  # noqa: PLR0124  which NaN is not


xlogy: Op = op(
    floats(_xlogy, 2),
    name="xlogy",
    domain=(real, positive),
    rules=(
        lambda g, _out, x, y: np.where((x == 0) & (y <= 0), 0, xlogy(g, y)),
        lambda g, _out, x, y: quotient(joint(g, x), y),
    ),
)

sin = curve(
    np.sin,
    domain=(real,),
    rules=(lambda g, _out, x: product(g, np.cos(x)),),
)
cos = curve(
    np.cos,
    domain=(real,),
    rules=(lambda g, _out, x: product(g, -np.sin(x)),),
)
maximum = op(
    np.maximum,
    domain=(real, real),
    rules=(
        lambda g, _out, x, y: np.where(x > y, g, np.where(x == y, g * 0.5, 0)),
        lambda g, _out, x, y: np.where(y > x, g, np.where(x == y, g * 0.5, 0)),
    ),
)
minimum = op(
    np.minimum,
    domain=(real, real),
    rules=(
        lambda g, _out, x, y: np.where(x < y, g, np.where(x == y, g * 0.5, 0)),
        lambda g, _out, x, y: np.where(y < x, g, np.where(x == y, g * 0.5, 0)),
    ),
)

where = op(
    np.where,
    domain=(boolean, real, real),
    rules=(
        None,
        lambda g, _out, c, _x, _y: np.where(c, g, 0),
        lambda g, _out, c, _x, _y: np.where(c, 0, g),
    ),
)
# Where the bounds cross, the upper one wins: there the lower one has no slope. Where all three are
# equal, x has it.
clip = op(
    np.clip,
    domain=(real, interval(-2, 0, special=(-1, -0.5)), interval(0, 2, special=(1, 0.5))),
    rules=(
        lambda g, _out, x, low, high: np.where((x >= low) & (x <= high), g, 0),
        lambda g, _out, x, low, high: np.where((x < low) & (low < high), g, 0),
        lambda g, _out, x, low, high: np.where((x > high) | ((x < low) & (low >= high)), g, 0),
    ),
)


# NumPy takes a 0-d array of the right dtype in half the time that a Python number costs it.
ONE = {c: np.ones((), c) for c in "efdg"}


def _one(x: Any) -> Any:
    return ONE.get(x.dtype.char, 1) if x.__class__ is np.ndarray else 1


class _Silent(threading.local):
    """A thread's way to call a ufunc without warnings, at no cost; `np.errstate` takes 0.8 µs."""

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.errstate(all="ignore").__enter__)
        self.call = context.run


_silent = _Silent()


# To the far left exp overflows, and the quotient is the 0 that it should be: one branch serves
# all, and a value keeps its digits as long as it is a normal number.
def _sigmoid(x: Any) -> Any:
    if x.dtype.kind != "f":
        return _sigmoid(x.astype(get_default_dtype()))
    one = _one(x)
    if x.__class__ is np.ndarray:
        below = _silent.call(np.exp, -x)
    else:
        with np.errstate(over="ignore", under="ignore"):
            below = np.exp(-x)
    below += one
    return one / below


def _sigmoid_slope(g: Any, out: Any, _x: Any) -> Any:
    share = _one(out) - out
    share *= out
    share *= g
    return share


sigmoid = op(_sigmoid, name="sigmoid", domain=(real,), rules=(_sigmoid_slope,))
tanh = curve(
    np.tanh,
    domain=(real,),
    rules=(lambda g, out, _x: g * (1 - out * out),),
)
relu = op(
    lambda x: np.maximum(x, 0),
    name="relu",
    domain=(real,),
    rules=(lambda g, out, _x: g * (out > 0),),
)


tan = curve(
    np.tan,
    domain=(real,),
    rules=(lambda g, out, _x: product(g, 1 + out * out),),
)
arcsin = curve(
    np.arcsin,
    domain=(interval(-1, 1),),
    rules=(lambda g, _out, x: quotient(g, sqrt((1 - x) * (1 + x))),),
)
arccos = curve(
    np.arccos,
    domain=(interval(-1, 1),),
    rules=(lambda g, _out, x: -quotient(g, sqrt((1 - x) * (1 + x))),),
)
arctan = curve(
    np.arctan,
    domain=(real,),
    rules=(lambda g, _out, x: quotient(g, 1 + x * x),),
)
sinh = curve(
    np.sinh,
    overflows=True,
    domain=(real,),
    rules=(lambda g, _out, x: product(g, cosh(x)),),
)
cosh: Op = curve(
    np.cosh,
    overflows=True,
    domain=(real,),
    rules=(lambda g, _out, x: product(g, sinh(x)),),
)
arcsinh = curve(
    np.arcsinh,
    domain=(real,),
    rules=(lambda g, _out, x: quotient(g, np.hypot(1, x)),),
)
arccosh = curve(
    np.arccosh,
    domain=(interval(1, np.inf),),
    rules=(lambda g, _out, x: quotient(g, sqrt((x - 1) * (x + 1))),),
)
arctanh = curve(
    np.arctanh,
    domain=(interval(-1, 1),),
    rules=(lambda g, _out, x: quotient(g, (1 - x) * (1 + x)),),
)
hypot = curve(
    np.hypot,
    domain=(real, real),
    rules=(
        lambda g, out, x, _y: product(g, quotient(x, out)),
        lambda g, out, _x, y: product(g, quotient(y, out)),
    ),
)


def _over_square(v: Any, x: Any, y: Any) -> Any:
    """Return v / (x * x + y * y), whose squares neither overflow nor vanish."""
    radius = hypot(x, y)
    return quotient(quotient(v, radius), radius)


arctan2 = curve(
    np.arctan2,
    domain=(real, real),
    rules=(
        lambda g, _out, x, y: product(g, _over_square(y, x, y)),
        lambda g, _out, x, y: -product(g, _over_square(x, x, y)),
    ),
)


def _lerp(x: Any, y: Any, weight: Any) -> Any:
    # From the nearer end, so that both ends are met.
    d, near = y - x, np.abs(weight) < 0.5
    return np.where(near, x + weight * d, y - d * (1 - weight))


lerp = op(
    _lerp,
    name="lerp",
    domain=(real, real, real),
    rules=(
        lambda g, _out, _x, _y, weight: g * (1 - weight),
        lambda g, _out, _x, _y, weight: g * weight,
        lambda g, _out, x, y, _weight: g * (y - x),
    ),
)
nan_to_num = op(
    np.nan_to_num,
    forward=lambda x, nan=0.0, posinf=None, neginf=None: np.nan_to_num(
        x, nan=nan, posinf=posinf, neginf=neginf
    ),
    domain=(real,),
    settings={
        "nan": lambda *_: (0.0, 2.5),
        "posinf": lambda *_: (None, 3.0),
        "neginf": lambda *_: (None, -3.0),
    },
    rules=(lambda g, _out, x, nan=0.0, posinf=None, neginf=None: np.where(np.isfinite(x), g, 0),),
)


def whole(function: Any) -> Any:
    """Return `function` that refuses whole numbers divided by 0, which NumPy says are 0."""

    def forward(x: Any, y: Any) -> Any:
        floats = any(getattr(a, "dtype", np.dtype(type(a))).kind == "f" for a in (x, y))
        if not floats and not np.all(y):
            raise DivisionError(
                f"{function.__name__} of whole numbers divides by 0, which has no result: use "
                "floats (x.double()), whose quotient is infinite, or leave the zeros out"
            )
        return function(x, y)

    return forward


def _count_slope(g: Any, out: Any, x: Any, y: Any) -> Any:
    # How often y was taken from x, which is a whole number up to rounding. That of x / y is not
    # for sure: 1.0 / 0.1 is 10, and 1.0 % 0.1 has taken 9 of them.
    return product(g, -np.rint(quotient(x - out, y)))


# Few wraps: among many, their slope is lost from sight.
dividend, divisor = interval(-16, 16, (0, 1, -1)), interval(-4, 4, (1, -1, 0.5), without=(0,))
fmod = op(
    np.fmod,
    forward=whole(np.fmod),
    domain=(dividend, divisor),
    rules=(lambda g, _out, _x, _y: g, _count_slope),
)
remainder = op(
    np.remainder,
    forward=whole(np.remainder),
    domain=(dividend, divisor),
    rules=(lambda g, _out, _x, _y: g, _count_slope),
)
floor_divide = op(np.floor_divide, forward=whole(np.floor_divide), domain=(real, nonzero))
