"""How native code writes an operation on single numbers.

A spelling is Python's, with `{0}`, `{1}` for arguments that were cast to the types in which NumPy
computes, and `{t}` for the type of the result. Its names are those of `numba_math`.
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import numpy as np

from tinygrad_fc.ops import activation, special

CODES = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"))
"""The dtypes that native code computes in, each also the name of the cast to it."""

_OPERATORS = {
    "+": (np.add, operator.add),
    "-": (np.subtract, operator.sub),
    "*": (np.multiply, operator.mul),
    "/": (np.true_divide, operator.truediv),
    "//": (np.floor_divide, operator.floordiv),
    "%": (np.remainder, operator.mod),
    "**": (np.power, np.float_power, operator.pow, math.pow),
    "==": (np.equal, operator.eq),
    "!=": (np.not_equal, operator.ne),
    "<": (np.less, operator.lt),
    "<=": (np.less_equal, operator.le),
    ">": (np.greater, operator.gt),
    ">=": (np.greater_equal, operator.ge),
    "&": (np.bitwise_and, operator.and_),
    "|": (np.bitwise_or, operator.or_),
    "^": (np.bitwise_xor, operator.xor),
}
_SAME = (
    *("sqrt", "exp", "tanh", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan"),
    *("sinh", "cosh", "floor", "ceil", "trunc", "rint"),
)
_BELOW = "({t}(0.5) * erfc({0} * {t}(-0.7071067811865476)))"
_LARGER = "select(({0} >= {1}) | ({0} != {0}), {0}, {1})"
SPELLED: dict[Any, str] = {
    **{f: f"{{0}} {sign} {{1}}" for sign, functions in _OPERATORS.items() for f in functions},
    **{getattr(np, name): f"{name}({{0}})" for name in _SAME},
    **{getattr(math, name): f"{name}({{0}})" for name in ("sqrt", "exp", "log", "sin", "cos")},
    **{
        getattr(np, f"arc{f}"): f"a{f}({{0}})"
        for f in ("sin", "cos", "tan", "sinh", "cosh", "tanh")
    },
    **dict.fromkeys((np.negative, operator.neg), "-{0}"),
    **dict.fromkeys((np.positive, operator.pos, builtins.float), "{0}"),
    **dict.fromkeys((np.absolute, np.fabs, operator.abs), "abs({0})"),
    **dict.fromkeys((np.isnan, math.isnan), "{0} != {0}"),
    **dict.fromkeys((np.isinf, math.isinf), "abs({0}) == inf"),
    **dict.fromkeys((np.isfinite, math.isfinite), "abs({0}) < inf"),
    **dict.fromkeys((np.logical_not, operator.not_), "not b1({0})"),
    **{getattr(np, f): f"{f}({{0}}, {{1}})" for f in ("hypot", "fmod", "copysign")},
    np.arctan2: "atan2({0}, {1})",
    np.signbit: "copysign(1.0, f8({0})) < 0",
    np.maximum: _LARGER,
    np.minimum: _LARGER.replace(">=", "<="),
    np.square: "{0} * {0}",
    np.reciprocal: "{t}(1) / {0}",
    np.exp2: "{t}(2) ** {0}",
    np.logaddexp: "select({0} == {1}, {0} + {t}(0.6931471805599453), "
    "select({0} >= {1}, {0}, {1}) + log1p(exp(-abs({0} - {1}))))",
    np.sign: "select({0} > 0, {t}(1), select({0} < 0, {t}(-1), select({0} == 0, {t}(0), {0})))",
    np.logical_and: "b1({0}) & b1({1})",
    np.logical_or: "b1({0}) | b1({1})",
    np.logical_xor: "b1({0}) ^ b1({1})",
    np.invert: "~{0}",
    # Functions of the library that branch on values, and so are recorded as one instruction.
    special.erf.forward: "erf({0})",
    special.ndtr.forward: _BELOW,
    activation.gelu.forward: "{0} * " + _BELOW,
}
TRUTHS: dict[Any, str] = {
    **dict.fromkeys((np.add, np.maximum, np.logical_or), "{0} | {1}"),
    **dict.fromkeys((np.multiply, np.minimum, np.logical_and), "{0} & {1}"),
    np.absolute: "{0}",
    np.invert: "not {0}",
}
"""The spelling for booleans, where it is another."""
POWERS = {1.0: "{0}", 2.0: "{0} * {0}", 0.5: "sqrt({0})", -1.0: "{t}(1) / {0}"}
"""Powers that are known while compiling, and that NumPy has a shorter way to."""


def code(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype in native code, such as f8; it need not be one of `CODES`."""
    return dtype.str[1:]


def literal(number: Any, dtype: np.dtype[Any]) -> str:
    """Return how to write a number of a dtype."""
    if dtype.kind == "b":
        return "True" if number else "False"
    number = float(number) if dtype.kind == "f" else int(number)
    text = repr(number).replace("-inf", "(-inf)")
    if code(dtype) in ("f8", "i8"):
        return f"({text})" if text.startswith("-") else text
    return f"{code(dtype)}({text})"


def cast(text: str, source: np.dtype[Any], target: np.dtype[Any]) -> str:
    """Return the text of a number, cast to another dtype."""
    return text if source == target else f"{code(target)}({text})"


def spelling(function: Any, dtypes: Any, exponent: float | None = None) -> str | None:
    """Return the spelling of `function`, computed in `dtypes`, the last that of the result.

    `exponent` is the second argument, if it is a number that is known. None where there is none.
    """
    *operands, result = (code(d) for d in dtypes)
    text = SPELLED.get(function)
    if set(operands) == {"b1"}:
        text = TRUTHS.get(function, text)
    if text is None or len(operands) > 2:
        return None
    whole = operands[0][0] != "f"
    if "**" in text and exponent is not None and not whole:
        text = POWERS.get(exponent, text)
    elif whole and ("mod" in text or ("**" in text and not (exponent or -1) >= 0)):
        return None  # NumPy refuses negative powers of integers
    text = text.replace("{t}", result)
    # Numba computes with integers of 64 bits.
    return f"{result}({text})" if result[0] in "iu" and result != "i8" else text
