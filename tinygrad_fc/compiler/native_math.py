"""Functions of single numbers for generated code, in forms that LLVM makes vector code of.

`exp` and `tanh` are within a unit in the last place, as NumPy's are. Where the order of a sum is
not told, as in reductions, sums are marked so that LLVM may reorder them (`plus`, `madd`); all
other arithmetic is done as it is written.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

LOOSE = ("reassoc", "contract")
FUSED = ("contract",)

# Casts


def _caster(target: Any) -> Any:
    @intrinsic
    def cast(typing: Any, x: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, (value,) = sig.args[0], args
            if source == target:
                return value
            if target == types.boolean:
                zero = ir.Constant(value.type, 0)
                if isinstance(source, types.Float):
                    return builder.fcmp_unordered("!=", value, zero)
                return builder.icmp_signed("!=", value, zero)
            return context.cast(builder, value, source, target)

        return signature(target, x), generate

    return cast


b1 = _caster(types.boolean)
i1, i2, i4, i8 = map(_caster, (types.int8, types.int16, types.int32, types.int64))
u1, u2, u4, u8 = map(_caster, (types.uint8, types.uint16, types.uint32, types.uint64))
f4, f8 = map(_caster, (types.float32, types.float64))

# What is one instruction of the machine, or a few


def _made(build: Callable[[Any, Any, Any], Any], count: int, *, result: Any = None) -> Any:
    """Return a function of `count` numbers of one type by how its code is built."""

    def typed(kinds: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
            return build(builder, sig.args[-1], args)

        return signature(result or kinds[-1], *kinds), generate

    if count == 1:

        @intrinsic
        def one(typing: Any, x: Any) -> Any:  # noqa: ARG001
            return typed((x,))

        return one
    if count == 2:

        @intrinsic
        def two(typing: Any, x: Any, y: Any) -> Any:  # noqa: ARG001
            return typed((x, y))

        return two

    @intrinsic
    def three(typing: Any, x: Any, y: Any, z: Any) -> Any:  # noqa: ARG001
        return typed((x, y, z))

    return three


def _llvm(name: str) -> Any:
    def build(b: Any, kind: Any, args: Any) -> Any:
        if not isinstance(kind, types.Float):
            return args[0]
        return _intrinsic(b, name, *args)

    return build


def _intrinsic(b: Any, name: str, *args: Any) -> Any:
    number = args[0].type
    kind = ir.FunctionType(number, [number] * len(args))
    return b.call(b.module.declare_intrinsic(f"llvm.{name}", [number], kind), args)


sqrt, floor, ceil, trunc, rint, fabs = (
    _made(_llvm(name), 1) for name in ("sqrt", "floor", "ceil", "trunc", "rint", "fabs")
)
copysign = _made(_llvm("copysign"), 2)
fmod = _made(lambda b, _, args: b.frem(*args), 2)
select = _made(lambda b, _, args: b.select(*args), 3)


def _extreme(sign: str) -> Any:
    def build(b: Any, kind: Any, args: Any) -> Any:
        x, y = args
        if isinstance(kind, types.Float):  # a NaN on either side wins
            first = b.or_(b.fcmp_ordered(sign, x, y), b.fcmp_unordered("uno", x, x))
        elif kind == types.boolean or not kind.signed:
            first = b.icmp_unsigned(sign, x, y)
        else:
            first = b.icmp_signed(sign, x, y)
        return b.select(first, x, y)

    return build


maximum, minimum = (_made(_extreme(sign), 2) for sign in (">=", "<="))


def _plus(b: Any, kind: Any, args: Any) -> Any:
    if isinstance(kind, types.Float):
        return b.fadd(*args, flags=LOOSE)
    return b.or_(*args) if kind == types.boolean else b.add(*args)


def _times(b: Any, kind: Any, args: Any) -> Any:
    if isinstance(kind, types.Float):
        return b.fmul(*args, flags=LOOSE)
    return b.mul(*args)  # of one bit, it is "and"


def _madd(b: Any, kind: Any, args: Any) -> Any:
    total, x, y = args
    if isinstance(kind, types.Float):
        return b.fadd(total, b.fmul(x, y, flags=LOOSE), flags=LOOSE)
    return _plus(b, kind, (total, b.mul(x, y)))


plus, times, madd = _made(_plus, 2), _made(_times, 2), _made(_madd, 3)
madd.__doc__ = "Return total + x * y, for a sum whose order nobody tells."

# exp, as n * log(2) and a rest, for which there is a series


class _Float:
    """What has to be known of a type of numbers."""

    def __init__(self, kind: Any) -> None:
        double = kind == types.float64
        self.kind: Any = ir.DoubleType() if double else ir.FloatType()
        self.whole = ir.IntType(64 if double else 32)
        self.digits = 52 if double else 23
        self.bias = 1023 if double else 127
        self.end = 750.0 if double else 105.0
        # The first part has so few digits that its product with n is exact.
        self.log2 = (
            (6.93147180369123816490e-01, 1.90821492927058770002e-10)
            if double
            else (0.693359375, -2.12194440e-4)
        )
        self.degree = 13 if double else 7

    def __call__(self, value: float) -> Any:
        return ir.Constant(self.kind, value if self.digits == 52 else float(np.float32(value)))

    def bits(self, value: int) -> Any:
        return ir.Constant(self.whole, value)


def _series(b: Any, x: Any, coefficients: Any) -> Any:
    out = coefficients[0]
    for c in coefficients[1:]:
        out = b.fadd(b.fmul(out, x, flags=FUSED), c, flags=FUSED)
    return out


def _exp(b: Any, kind: Any, args: Any) -> Any:
    (x,), c = args, _Float(kind)
    # Beyond the ends all is infinite or 0. A NaN passes both.
    x = b.select(b.fcmp_ordered(">", x, c(c.end)), c(c.end), x)
    x = b.select(b.fcmp_ordered("<", x, c(-c.end)), c(-c.end), x)
    # Added to a large number, the multiple of log(2) is rounded to a whole one, and stands in the
    # last bits of the sum: no conversion, which has no vector form for 64 bits on most machines.
    large = c(1.5 * 2.0**c.digits)
    sum_ = b.fadd(b.fmul(x, c(1 / math.log(2))), large)
    n = b.fsub(sum_, large)
    high, low = b.fsub(x, b.fmul(n, c(c.log2[0]))), b.fmul(n, c(c.log2[1]))
    rest = b.fsub(high, low)
    lost = b.fsub(b.fsub(high, rest), low)
    tail = _series(b, rest, [c(1 / math.factorial(k)) for k in range(c.degree, 1, -1)])
    tail = b.fadd(b.fmul(b.fmul(rest, rest), tail, flags=FUSED), lost, flags=FUSED)
    # 1 + rest + tail, with what the first sum loses to rounding put back.
    out = b.fadd(c(1.0), rest)
    out = b.fadd(out, b.fadd(b.fsub(rest, b.fsub(out, c(1.0))), tail))
    # By two powers of 2, as one would be too large or too small for a float near the ends.
    k = b.sub(b.bitcast(sum_, c.whole), b.bitcast(large, c.whole))
    half = b.ashr(k, c.bits(1))
    for power in (half, b.sub(k, half)):
        scale = b.shl(b.add(power, c.bits(c.bias)), c.bits(c.digits))
        out = b.fmul(out, b.bitcast(scale, c.kind))
    return out


# S. L. Moshier's Cephes library (1989), tanh.c: x + x**3 * P(x**2) / Q(x**2) near 0.
_ABOVE = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_BELOW = (1.0, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)


def _tanh(b: Any, kind: Any, args: Any) -> Any:
    (x,), c = args, _Float(kind)
    size = _intrinsic(b, "fabs", x)
    grown = _exp(b, kind, [b.fadd(size, size)])
    far = b.fsub(c(1.0), b.fdiv(c(2.0), b.fadd(grown, c(1.0))))
    z = b.fmul(x, x)
    ratio = b.fdiv(_series(b, z, [c(v) for v in _ABOVE]), _series(b, z, [c(v) for v in _BELOW]))
    near = b.fadd(x, b.fmul(b.fmul(x, z), ratio))
    out = b.select(b.fcmp_ordered("<", size, c(0.625)), near, far)
    return _intrinsic(b, "copysign", out, x)


exp, tanh = _made(_exp, 1), _made(_tanh, 1)
exp.__doc__ = "Return e to the power of x, within a unit in the last place."
tanh.__doc__ = "Return the hyperbolic tangent of x, within two units in the last place."


def _isnan(b: Any, kind: Any, args: Any) -> Any:
    if not isinstance(kind, types.Float):
        return ir.Constant(ir.IntType(1), 0)
    return b.fcmp_unordered("uno", args[0], args[0])


isnan = _made(_isnan, 1, result=types.boolean)


def _signbit(b: Any, kind: Any, args: Any) -> Any:
    if not isinstance(kind, types.Float):
        signed = isinstance(kind, types.Integer) and kind.signed
        return (
            b.icmp_signed("<", args[0], ir.Constant(args[0].type, 0))
            if signed
            else (ir.Constant(ir.IntType(1), 0))
        )
    whole = _Float(kind).whole
    return b.icmp_signed("<", b.bitcast(args[0], whole), ir.Constant(whole, 0))


signbit = _made(_signbit, 1, result=types.boolean)


def _sign(b: Any, kind: Any, args: Any) -> Any:
    (x,) = args
    one, zero, less = (ir.Constant(x.type, v) for v in (1, 0, -1))
    if isinstance(kind, types.Float):
        above, below = b.fcmp_ordered(">", x, zero), b.fcmp_ordered("<", x, zero)
        # 0 for -0, and a NaN for a NaN.
        rest = b.select(b.fcmp_ordered("==", x, zero), zero, x)
        return b.select(above, one, b.select(below, less, rest))
    signed = kind.signed
    above = (b.icmp_signed if signed else b.icmp_unsigned)(">", x, zero)
    return (
        b.select(above, one, b.select(b.icmp_signed("<", x, zero), less, zero))
        if signed
        else (b.select(above, one, zero))
    )


sign = _made(_sign, 1)


@intrinsic
def from_end(typing: Any, at: Any, size: Any) -> Any:  # noqa: ARG001
    """Return an index of an axis of `size`, counted from its beginning; -1 where it is outside."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
        b, (at, size) = builder, args
        zero, outside = ir.Constant(at.type, 0), ir.Constant(at.type, -1)
        at = b.select(b.icmp_signed("<", at, zero), b.add(at, size), at)
        good = b.and_(b.icmp_signed(">=", at, zero), b.icmp_signed("<", at, size))
        return b.select(good, at, outside)

    return signature(types.int64, types.int64, types.int64), generate
