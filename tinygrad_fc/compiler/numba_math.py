"""Dtypes in native code, exponential functions that can be vectorized, NumPy's matrix product.

`exp` and `tanh` are within a unit or two in the last place, as NumPy's are, in a form that LLVM
turns into vector instructions. A float32 is computed with doubles, by a series of a lower degree.
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

DOUBLE = ir.DoubleType()
LOOSE = ("reassoc", "contract")
"""Of sums whose order is free, as in reductions; all other arithmetic is done as written."""
FUSED = ("contract",)
_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
TYPES = {code: from_dtype(np.dtype(code)) for code in _CODES}
"""Numba's types by the codes of dtypes; native code computes in no others."""


# Exponential functions


def _series(b: Any, x: Any, coefficients: Any) -> Any:
    total = DOUBLE(coefficients[0])
    for c in coefficients[1:]:
        total = b.fadd(b.fmul(total, x, flags=FUSED), DOUBLE(c), flags=FUSED)
    return total


def _exp(b: Any, x: Any, *, long: bool) -> Any:
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
    tail = _series(b, rest, [1 / math.factorial(k) for k in range(13 if long else 7, 1, -1)])
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


def _tanh(b: Any, x: Any, *, long: bool) -> Any:
    one, two, z = DOUBLE(1.0), DOUBLE(2.0), b.fmul(x, x)
    far = b.fsub(one, b.fdiv(two, b.fadd(_exp(b, b.fadd(x, x), long=long), one)))
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


def _ndtr(b: Any, x: Any, *, long: bool) -> Any:
    one, two = DOUBLE(1.0), DOUBLE(2.0)
    size = b.select(b.fcmp_ordered("<", x, DOUBLE(0.0)), b.fneg(x), x)
    t = b.fdiv(one, b.fadd(one, b.fmul(size, DOUBLE(0.4 * math.sqrt(0.5)))))
    density = _exp(b, b.fmul(b.fmul(x, x), DOUBLE(-0.5)), long=long)
    tail = b.fmul(b.fmul(t, _series(b, b.fsub(b.fmul(two, t), one), _TAIL)), density)
    return b.select(b.fcmp_ordered("<", x, DOUBLE(0.0)), tail, b.fsub(one, tail))


FUNCTIONS = {"exp": _exp, "tanh": _tanh, "ndtr": _ndtr}
"""Functions of doubles, by name: they write instructions with a builder, and return the result."""


# Memory and products of matrices


def pointer(kind: Any) -> Any:
    """Return the type of memory for numbers of a type; booleans are bytes there."""
    return types.CPointer(types.uint8 if kind == types.boolean else kind)


def _gemms() -> dict[str, Any]:
    """Return the products of matrices of the BLAS that NumPy has loaded, by names such as gemm_f8.

    Builds of NumPy give several names to the functions; without them, loops are used.
    """
    library = ctypes.CDLL(str(importlib.import_module("numpy._core._multiarray_umath").__file__))
    for suffix, prefix in itertools.product(("64_", ""), ("scipy_", "")):
        names = {"f4": f"{prefix}cblas_sgemm{suffix}", "f8": f"{prefix}cblas_dgemm{suffix}"}
        if hasattr(library, names["f8"]):
            whole = types.int64 if suffix else types.int32
            return {
                f"gemm_{code}": _external(library, name, code, whole)
                for code, name in names.items()
            }
    return {}


def _external(library: Any, name: str, code: str, whole: Any) -> Any:
    symbol = f"tinygrad_fc_{name}"
    binding.add_symbol(symbol, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    number, matrix = TYPES[code], (pointer(TYPES[code]), whole)
    return symbol, (*[types.int32] * 3, *[whole] * 3, number, *matrix, *matrix, number, *matrix)


GEMMS = _gemms()
"""Symbols and types of arguments of these functions, by their names in the text."""
