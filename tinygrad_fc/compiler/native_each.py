"""How generated code spells an operation on single elements or plain numbers.

A spelling is Python's, with `{0}`, `{1}` for the arguments, which were cast to the types in which
NumPy computes. Its names are those of `native_math` and of Python's `math`.
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.ops import activation, special

if TYPE_CHECKING:
    from collections.abc import Sequence

CODES = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"))
"""The dtypes there is native code for, each also the name of the cast to it."""

SPELLED: dict[Any, str] = {
    np.add: "{0} + {1}",
    np.subtract: "{0} - {1}",
    np.multiply: "{0} * {1}",
    np.divide: "{0} / {1}",
    np.floor_divide: "{0} // {1}",
    np.remainder: "{0} % {1}",
    np.fmod: "fmod({0}, {1})",
    np.power: "{0} ** {1}",
    np.float_power: "{0} ** {1}",
    np.negative: "-{0}",
    np.positive: "{0}",
    np.absolute: "abs({0})",
    np.fabs: "fabs({0})",
    np.reciprocal: "1 / {0}",
    np.square: "{0} * {0}",
    np.sqrt: "sqrt({0})",
    np.exp: "exp({0})",
    np.exp2: "2.0 ** {0}",
    np.tanh: "tanh({0})",
    np.expm1: "expm1({0})",
    np.log: "log({0})",
    np.log2: "log2({0})",
    np.log10: "log10({0})",
    np.log1p: "log1p({0})",
    np.sin: "sin({0})",
    np.cos: "cos({0})",
    np.tan: "tan({0})",
    np.arcsin: "asin({0})",
    np.arccos: "acos({0})",
    np.arctan: "atan({0})",
    np.sinh: "sinh({0})",
    np.cosh: "cosh({0})",
    np.arcsinh: "asinh({0})",
    np.arccosh: "acosh({0})",
    np.arctanh: "atanh({0})",
    np.arctan2: "atan2({0}, {1})",
    np.hypot: "hypot({0}, {1})",
    np.copysign: "copysign({0}, {1})",
    np.maximum: "maximum({0}, {1})",
    np.minimum: "minimum({0}, {1})",
    np.floor: "floor({0})",
    np.ceil: "ceil({0})",
    np.trunc: "trunc({0})",
    np.rint: "rint({0})",
    np.sign: "sign({0})",
    np.isnan: "isnan({0})",
    np.isinf: "fabs({0}) == inf",
    np.isfinite: "fabs({0}) < inf",
    np.signbit: "signbit({0})",
    np.equal: "{0} == {1}",
    np.not_equal: "{0} != {1}",
    np.less: "{0} < {1}",
    np.less_equal: "{0} <= {1}",
    np.greater: "{0} > {1}",
    np.greater_equal: "{0} >= {1}",
    np.logical_and: "b1({0}) & b1({1})",
    np.logical_or: "b1({0}) | b1({1})",
    np.logical_xor: "b1({0}) ^ b1({1})",
    np.logical_not: "not b1({0})",
    np.bitwise_and: "{0} & {1}",
    np.bitwise_or: "{0} | {1}",
    np.bitwise_xor: "{0} ^ {1}",
    np.invert: "~{0}",
    np.left_shift: "{0} << {1}",
    np.right_shift: "{0} >> {1}",
    # Calls of the package's own rows, which branch on values and so are recorded as a whole.
    special.distribution: "0.5 * erfc({0} * -0.7071067811865476)",
    special.erf.forward: "erf({0})",
    activation.gelu.forward: "{0} * (0.5 * erfc({0} * -0.7071067811865476))",
}
TRUTHS: dict[Any, str] = {
    np.add: "{0} | {1}",
    np.multiply: "{0} & {1}",
    np.maximum: "{0} | {1}",
    np.minimum: "{0} & {1}",
    np.absolute: "{0}",
    np.invert: "not {0}",
    np.less: "(not {0}) & {1}",
    np.less_equal: "(not {0}) | {1}",
    np.greater: "{0} & (not {1})",
    np.greater_equal: "{0} | (not {1})",
    np.equal: "not ({0} ^ {1})",
    np.not_equal: "{0} ^ {1}",
}
"""The spelling for truth values, where it is another."""
POWERS = {1.0: "{0}", 2.0: "{0} * {0}", 0.5: "sqrt({0})", -1.0: "1 / {0}"}
"""Powers that are known when the code is written, and that NumPy has a shorter way to."""

NUMBERS: dict[Any, str] = {
    operator.add: "{0} + {1}",
    operator.sub: "{0} - {1}",
    operator.mul: "{0} * {1}",
    operator.truediv: "{0} / {1}",
    operator.floordiv: "{0} // {1}",
    operator.mod: "{0} % {1}",
    operator.pow: "{0} ** {1}",
    operator.neg: "-{0}",
    operator.pos: "{0}",
    operator.abs: "abs({0})",
    operator.eq: "{0} == {1}",
    operator.ne: "{0} != {1}",
    operator.lt: "{0} < {1}",
    operator.le: "{0} <= {1}",
    operator.gt: "{0} > {1}",
    operator.ge: "{0} >= {1}",
    operator.not_: "not b1({0})",
    operator.truth: "b1({0})",
    operator.and_: "{0} & {1}",
    operator.or_: "{0} | {1}",
    builtins.float: "f8({0})",
    builtins.bool: "b1({0})",
    builtins.int: "i8({0})",
    builtins.abs: "abs({0})",
    builtins.max: "max({0}, {1})",
    builtins.min: "min({0}, {1})",
    math.floor: "i8(floor(f8({0})))",
    math.ceil: "i8(ceil(f8({0})))",
    math.trunc: "i8({0})",
    math.sqrt: "sqrt(f8({0}))",
    math.exp: "exp(f8({0}))",
    math.log: "log(f8({0}))",
    math.cos: "cos(f8({0}))",
    math.sin: "sin(f8({0}))",
    math.isnan: "isnan({0})",
    math.isinf: "fabs(f8({0})) == inf",
    math.isfinite: "fabs(f8({0})) < inf",
}
DIVISIONS = frozenset((operator.truediv, operator.floordiv, operator.mod))
"""Functions of plain numbers that raise where the second is 0."""


def code(dtype: np.dtype[Any]) -> str:
    """Return the code of a dtype, such as f8; it need not be one of `CODES`."""
    return dtype.str[1:]


def literal(value: Any, dtype: np.dtype[Any]) -> str:
    """Return how to write a number of a dtype."""
    kind = code(dtype)
    if kind == "b1":
        return "True" if value else "False"
    number = float(value) if dtype.kind == "f" else int(value)
    if isinstance(number, float) and not math.isfinite(number):
        text = "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"
    else:
        text = repr(number)
    if kind in ("f8", "i8"):
        return f"({text})" if text.startswith("-") else text
    return f"{kind}({text})"


def cast(name: str, source: np.dtype[Any], target: np.dtype[Any]) -> str:
    """Return how to cast what is called `name`."""
    return name if source == target else f"{code(target)}({name})"


def computed(
    function: Any, names: Sequence[str], dtypes: Sequence[Any], known: Sequence[Any]
) -> str | None:
    """Return what `function` makes of single elements called `names`, of its own result's type.

    `dtypes` are those in which it computes, the last that of the result. `known` are the
    arguments that are numbers known now, else None. None where there is no spelling.
    """
    operands, result = dtypes[:-1], dtypes[-1]
    spelling = SPELLED.get(function)
    if all(code(d) == "b1" for d in operands):
        spelling = TRUTHS.get(function, spelling)
    if function in (np.power, np.float_power) and operands[0].kind == "f":
        spelling = POWERS.get(known[1], spelling)
    whole = operands[0].kind != "f" and function is np.fmod
    if spelling is None or whole:
        return None
    text = spelling.format(*names)
    # Numba widens whole numbers to 64 bits, and takes float32 and a literal for float64.
    return text if code(result) in ("f8", "b1") else f"{code(result)}({text})"


def loop_dtypes(function: np.ufunc, dtypes: Sequence[Any]) -> tuple[np.dtype[Any], ...]:
    """Return in which dtypes `function` computes, and that of its result; a type for a number."""
    return function.resolve_dtypes((*dtypes, *([None] * function.nout)))


__all__ = ["CODES", "NUMBERS", "SPELLED", "cast", "code", "computed", "literal", "loop_dtypes"]
