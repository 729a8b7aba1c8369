"""What generated native code calls: functions of single numbers, memory, NumPy's matrix product.

`exp` and `tanh` are within a unit or two in the last place, as NumPy's are, in a form that LLVM
turns into vector instructions. Sums whose order is free, as in reductions, are marked so that LLVM
may reorder them (`add_product`); all other arithmetic is done as written.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import math
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import from_dtype
from numba.core import types
from numba.extending import intrinsic

DOUBLE = ir.DoubleType()
LOOSE = ("reassoc", "contract")
FUSED = ("contract",)
_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
TYPES = {code: from_dtype(np.dtype(code)) for code in _CODES}
"""Numba's types by the codes of dtypes; native code computes in no others."""


@intrinsic
def select(typing: Any, condition: Any, x: Any, y: Any) -> Any:  # noqa: ARG001
    """Return x or y, without a branch."""
    return y(condition, y, y), lambda context, b, sig, args: b.select(*args)  # noqa: ARG005


@intrinsic
def add_product(typing: Any, total: Any, x: Any, y: Any) -> Any:  # noqa: ARG001
    """Return total + x * y, whose terms may be added in any order."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
        if isinstance(total, types.Float):
            return b.fadd(args[0], b.fmul(*args[1:], flags=LOOSE), flags=LOOSE)
        return b.add(args[0], b.mul(*args[1:]))

    return total(total, total, total), generate


# Exponential functions


def _series(b: Any, x: Any, coefficients: Any) -> Any:
    total = DOUBLE(coefficients[0])
    for c in coefficients[1:]:
        total = b.fadd(b.fmul(total, x, flags=FUSED), DOUBLE(c), flags=FUSED)
    return total


def _exp(b: Any, x: Any, degree: int) -> Any:
    """exp(x) = 2**n * exp(rest), with x = n * log(2) + rest."""
    # Beyond the ends the result is infinite or 0. A NaN passes both comparisons.
    for sign, end in ((">", 750.0), ("<", -750.0)):
        x = b.select(b.fcmp_ordered(sign, x, DOUBLE(end)), DOUBLE(end), x)
    # Added to a large number, x / log(2) is rounded to an integer, which stands in the last bits
    # of the sum: no conversion, which has no vector form for 64 bits on most machines.
    whole, large = ir.IntType(64), DOUBLE(1.5 * 2.0**52)
    shifted = b.fadd(b.fmul(x, DOUBLE(1 / math.log(2)), flags=FUSED), large, flags=FUSED)
    n, rest = b.fsub(shifted, large), x
    # The first part of log(2) has so few digits that its product with n is exact.
    for part in (6.93147180369123816490e-01, 1.90821492927058770002e-10):
        rest = b.fsub(rest, b.fmul(n, DOUBLE(part), flags=FUSED), flags=FUSED)
    tail = _series(b, rest, [1 / math.factorial(k) for k in range(degree, 1, -1)])
    tail = b.fmul(b.fmul(rest, rest), tail, flags=FUSED)
    power = b.fadd(DOUBLE(1.0), b.fadd(rest, tail, flags=FUSED))
    # Two powers of 2, as one would be too large or too small for a float near the ends.
    k = b.sub(b.bitcast(shifted, whole), b.bitcast(large, whole))
    half = b.ashr(k, whole(1))
    for exponent in (half, b.sub(k, half)):
        bits = b.shl(b.add(exponent, whole(1023)), whole(52))
        power = b.fmul(power, b.bitcast(bits, DOUBLE))
    return power


# S. L. Moshier's Cephes library (1989), tanh.c: x + x**3 * P(x**2) / Q(x**2) near 0.
_ABOVE = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_BELOW = (1.0, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)


def _tanh(b: Any, x: Any, degree: int) -> Any:
    one, two, z = DOUBLE(1.0), DOUBLE(2.0), b.fmul(x, x)
    far = b.fsub(one, b.fdiv(two, b.fadd(_exp(b, b.fadd(x, x), degree), one)))
    near = b.fmul(b.fmul(x, z), b.fdiv(_series(b, z, _ABOVE), _series(b, z, _BELOW)))
    return b.select(b.fcmp_ordered("<", z, DOUBLE(0.625**2)), b.fadd(x, near), far)


# exp(z**2) * erfc(z) / (2 * t) for z >= 0 as a polynomial in 2 * t - 1, with t = 1 / (1 + 0.4 * z):
# least squares at Chebyshev points, relative error 7e-9, enough for a float32.
_TAIL = (
    -1.440743762e-05,
    -5.474078595e-06,
    1.327863494e-04,
    8.294739358e-05,
    -9.602728356e-04,
    -1.676747102e-03,
    5.671615709e-03,
    3.424993061e-02,
    9.078287112e-02,
    1.609303833e-01,
    2.108063636e-01,
)


def _ndtr(b: Any, x: Any, degree: int) -> Any:
    one, two = DOUBLE(1.0), DOUBLE(2.0)
    size = b.select(b.fcmp_ordered("<", x, DOUBLE(0.0)), b.fneg(x), x)
    t = b.fdiv(one, b.fadd(one, b.fmul(size, DOUBLE(0.4 * math.sqrt(0.5)))))
    density = _exp(b, b.fmul(b.fmul(x, x), DOUBLE(-0.5)), degree)
    tail = b.fmul(b.fmul(t, _series(b, b.fsub(b.fmul(two, t), one), _TAIL)), density)
    return b.select(b.fcmp_ordered("<", x, DOUBLE(0.0)), tail, b.fsub(one, tail))


def _of_double(function: Any) -> Any:
    """Return the function of floats of both sizes, which is computed with a double.

    A series of a lower degree is enough for the digits of a float32.
    """

    @intrinsic
    def of_number(typing: Any, x: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
            number = context.cast(b, args[0], x, types.float64)
            result = function(b, number, 13 if x == types.float64 else 7)
            return context.cast(b, result, types.float64, x)

        return x(x), generate

    return of_number


# Memory: pointers, whose elements are read and written without a check. No two memories of a
# function overlap; "noalias" says so to LLVM, which else would not vectorize loops over several.
# Booleans are bytes.


def _pointer(dtype: Any) -> Any:
    return types.CPointer(types.uint8 if dtype == types.boolean else dtype)


@intrinsic
def memory(typing: Any, array: Any) -> Any:  # noqa: ARG001
    """Return the memory of an array that is an argument of the function."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        for argument in b.function.args:
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        return context.make_array(sig.args[0])(context, b, args[0]).data

    return _pointer(array.dtype)(array), generate


@intrinsic(prefer_literal=True)
def temporary(typing: Any, code: Any, size: Any) -> Any:  # noqa: ARG001
    """Return memory that the function has for itself, for `size` elements of a dtype."""
    kind = _pointer(TYPES[code.literal_value])

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
        array = ir.ArrayType(context.get_data_type(kind.dtype), size.literal_value)
        place = ir.GlobalVariable(b.module, array, b.module.get_unique_name("temporary"))
        place.linkage, place.align, place.initializer = "internal", 64, ir.Constant(array, None)
        return b.bitcast(place, context.get_value_type(kind))

    return kind(code, size), generate


def _gemms() -> dict[str, Any]:
    """Return the products of matrices of the BLAS that NumPy has loaded, by the codes of dtypes.

    Builds of NumPy give several names to the functions; without them, loops are used.
    """
    library = ctypes.CDLL(str(importlib.import_module("numpy._core._multiarray_umath").__file__))
    for suffix, prefix in itertools.product(("64_", ""), ("scipy_", "")):
        names = {"f4": f"{prefix}cblas_sgemm{suffix}", "f8": f"{prefix}cblas_dgemm{suffix}"}
        if hasattr(library, names["f8"]):
            whole = types.int64 if suffix else types.int32
            return {code: _external(library, name, code, whole) for code, name in names.items()}
    return {}


def _external(library: Any, name: str, code: str, whole: Any) -> Any:
    symbol = f"tinygrad_fc_{name}"
    binding.add_symbol(symbol, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    number, matrix = TYPES[code], (_pointer(TYPES[code]), whole)
    arguments = (*[types.int32] * 3, *[whole] * 3, number, *matrix, *matrix, number, *matrix)
    return types.ExternalFunction(symbol, types.void(*arguments))


GEMMS = _gemms()
NAMES: dict[str, Any] = {
    **{code: getattr(np, str(kind)) for code, kind in TYPES.items() if code != "b1"},
    **{f._name: f for f in (select, add_product, memory, temporary)},
    "exp": _of_double(_exp),
    "tanh": _of_double(_tanh),
    "ndtr": _of_double(_ndtr),
    **{f"gemm_{code}": function for code, function in GEMMS.items()},
    "np": np,
    "math": math,
    "inf": math.inf,
    "nan": math.nan,
}
"""What generated code may call, by name."""
