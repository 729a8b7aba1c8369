"""What generated native code calls: functions of single numbers, memory, NumPy's matrix product.

`exp` and `tanh` are within a unit or two in the last place, as NumPy's are, in a form that LLVM
turns into vector instructions. Sums whose order is free, as in reductions, are marked so that LLVM
may reorder them (`plus`, `times`); all other arithmetic is done as written.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import math
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

LOOSE = ("reassoc", "contract")
FUSED = ("contract",)
TYPES = {
    "b1": types.boolean,
    **{f"i{n}": getattr(types, f"int{8 * n}") for n in (1, 2, 4, 8)},
    **{f"u{n}": getattr(types, f"uint{8 * n}") for n in (1, 2, 4, 8)},
    **{f"f{n}": getattr(types, f"float{8 * n}") for n in (4, 8)},
}
"""Numba's types by the codes of dtypes; native code computes in no others."""


@intrinsic
def select(typing: Any, condition: Any, x: Any, y: Any) -> Any:  # noqa: ARG001
    """Return x or y, without a branch."""
    return y(condition, y, y), lambda context, b, sig, args: b.select(*args)  # noqa: ARG005


@intrinsic
def times(typing: Any, x: Any, y: Any) -> Any:  # noqa: ARG001
    """Return a product that may be fused with the sum that it is a term of."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
        return b.fmul(*args, flags=LOOSE) if isinstance(y, types.Float) else b.mul(*args)

    return y(y, y), generate


@intrinsic
def plus(typing: Any, total: Any, x: Any) -> Any:  # noqa: ARG001
    """Return a sum whose terms may be added in any order."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
        return b.fadd(*args, flags=LOOSE) if isinstance(x, types.Float) else b.add(*args)

    return x(x, x), generate


# Exponential functions


class _Float:
    """The layout of a floating-point type, and constants of it."""

    def __init__(self, kind: Any) -> None:
        double = kind == types.float64
        self.kind: Any = ir.DoubleType() if double else ir.FloatType()
        self.whole = ir.IntType(64 if double else 32)
        self.digits, self.bias = (52, 1023) if double else (23, 127)
        self.end, self.degree = (750.0, 13) if double else (105.0, 7)
        # The first part of log(2) has so few digits that its product with n is exact.
        self.log2 = (0.693359375, -2.12194440e-4)
        if double:
            self.log2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)

    def __call__(self, value: float) -> Any:
        return ir.Constant(self.kind, value if self.digits == 52 else float(np.float32(value)))


def _series(b: Any, x: Any, coefficients: Any) -> Any:
    total = coefficients[0]
    for c in coefficients[1:]:
        total = b.fadd(b.fmul(total, x, flags=FUSED), c, flags=FUSED)
    return total


def _exp(b: Any, x: Any, c: _Float) -> Any:
    """exp(x) = 2**n * exp(rest), with x = n * log(2) + rest."""
    # Beyond the ends the result is infinite or 0. A NaN passes both comparisons.
    x = b.select(b.fcmp_ordered(">", x, c(c.end)), c(c.end), x)
    x = b.select(b.fcmp_ordered("<", x, c(-c.end)), c(-c.end), x)
    # Added to a large number, x / log(2) is rounded to an integer, which stands in the last bits
    # of the sum: no conversion, which has no vector form for 64 bits on most machines.
    large = c(1.5 * 2.0**c.digits)
    shifted = b.fadd(b.fmul(x, c(1 / math.log(2)), flags=FUSED), large, flags=FUSED)
    n, rest = b.fsub(shifted, large), x
    for part in c.log2:
        rest = b.fsub(rest, b.fmul(n, c(part), flags=FUSED), flags=FUSED)
    tail = _series(b, rest, [c(1 / math.factorial(k)) for k in range(c.degree, 1, -1)])
    tail = b.fmul(b.fmul(rest, rest), tail, flags=FUSED)
    power = b.fadd(c(1.0), b.fadd(rest, tail, flags=FUSED))
    # Two powers of 2, as one would be too large or too small for a float near the ends.
    k = b.sub(b.bitcast(shifted, c.whole), b.bitcast(large, c.whole))
    half = b.ashr(k, ir.Constant(c.whole, 1))
    for exponent in (half, b.sub(k, half)):
        biased = b.add(exponent, ir.Constant(c.whole, c.bias))
        power = b.fmul(power, b.bitcast(b.shl(biased, ir.Constant(c.whole, c.digits)), c.kind))
    return power


@intrinsic
def exp(typing: Any, x: Any) -> Any:  # noqa: ARG001
    """Return e to the power of x."""
    return x(x), lambda context, b, sig, args: _exp(b, args[0], _Float(x))  # noqa: ARG005


# S. L. Moshier's Cephes library (1989), tanh.c: x + x**3 * P(x**2) / Q(x**2) near 0.
_ABOVE = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_BELOW = (1.0, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)


def _tanh(b: Any, x: Any, c: _Float) -> Any:
    negative, z = b.fcmp_ordered("<", x, c(0.0)), b.fmul(x, x)
    size = b.select(negative, b.fneg(x), x)
    far = b.fdiv(c(2.0), b.fadd(_exp(b, b.fadd(size, size), c), c(1.0)))
    far = b.fsub(c(1.0), far)
    ratio = b.fdiv(_series(b, z, [c(v) for v in _ABOVE]), _series(b, z, [c(v) for v in _BELOW]))
    near = b.fadd(x, b.fmul(b.fmul(x, z), ratio))
    small = b.fcmp_ordered("<", size, c(0.625))
    return b.select(small, near, b.select(negative, b.fneg(far), far))


@intrinsic
def tanh(typing: Any, x: Any) -> Any:  # noqa: ARG001
    """Return the hyperbolic tangent of x."""
    return x(x), lambda context, b, sig, args: _tanh(b, args[0], _Float(x))  # noqa: ARG005


# Memory: an address, in whose type it stands which of the function's memories it is. No two
# overlap, and every load and store says so to LLVM ("noalias"): only then are loops over several
# of them vectorized without checks, of which LLVM gives up after a few. Indices are not checked.


class Memory(types.Type):
    """The type of memory number `scope` of `scopes`, which holds elements of `dtype`."""

    def __init__(self, dtype: Any, scope: int, scopes: int) -> None:
        self.dtype, self.scope, self.scopes = dtype, scope, scopes
        super().__init__(f"Memory({dtype}, {scope}, {scopes})")


@register_model(Memory)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Memory) -> None:
        super().__init__(manager, kind, manager.lookup(kind.dtype).get_data_type().as_pointer())


def _mark(b: Any, access: Any, kind: Memory) -> Any:
    """Say in which memory an access is, and in which others it is not."""
    state, module = b.module.__dict__, b.module
    if "_memory_scopes" not in state:
        domain = module.add_metadata(["memory"])
        scopes = [module.add_metadata([f"memory {k}", domain]) for k in range(kind.scopes)]
        state["_memory_scopes"] = scopes
    scopes = state["_memory_scopes"]
    others = scopes[: kind.scope] + scopes[kind.scope + 1 :]
    access.set_metadata("alias.scope", module.add_metadata([scopes[kind.scope]]))
    access.set_metadata("noalias", module.add_metadata(others))
    return access


@intrinsic(prefer_literal=True)
def memory(typing: Any, array: Any, start: Any, code: Any, scope: Any, scopes: Any) -> Any:  # noqa: ARG001
    """Return the memory that begins `start` bytes into an array, and holds elements of a dtype."""
    dtype = TYPES[code.literal_value]
    kind = Memory(dtype, scope.literal_value, scopes.literal_value)

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        base = context.make_array(sig.args[0])(context, b, args[0]).data
        bytes_ = b.bitcast(base, ir.IntType(8).as_pointer())
        return b.bitcast(b.gep(bytes_, [args[1]]), context.get_value_type(kind))

    return kind(array, types.intp, code, scope, scopes), generate


@intrinsic
def load(typing: Any, place: Any, at: Any) -> Any:  # noqa: ARG001
    """Return an element of a memory."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
        element = _mark(b, b.load(b.gep(args[0], [args[1]], inbounds=True)), place)
        return context.data_model_manager[place.dtype].from_data(b, element)

    return place.dtype(place, types.intp), generate


@intrinsic
def store(typing: Any, place: Any, at: Any, x: Any) -> Any:  # noqa: ARG001
    """Write an element of a memory."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
        data = context.data_model_manager[place.dtype].as_data(b, args[2])
        _mark(b, b.store(data, b.gep(args[0], [args[1]], inbounds=True)), place)
        return context.get_dummy_value()

    return types.none(place, types.intp, place.dtype), generate


@intrinsic
def address(typing: Any, place: Any, at: Any) -> Any:  # noqa: ARG001
    """Return the address of an element."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        element = b.gep(args[0], [args[1]], inbounds=True)
        return b.ptrtoint(element, context.get_value_type(sig.return_type))

    return types.uintp(place, types.intp), generate


@lru_cache(1)
def gemms() -> dict[str, Any]:
    """Return the products of matrices of the BLAS that NumPy has loaded, by their names here.

    Builds of NumPy give several names to the functions; without them, loops are used.
    """
    library = ctypes.CDLL(str(importlib.import_module("numpy._core._multiarray_umath").__file__))
    for suffix, prefix in itertools.product(("64_", ""), ("scipy_", "")):
        name, whole = f"{prefix}cblas_{{}}gemm{suffix}", types.int64 if suffix else types.int32
        if hasattr(library, name.format("d")):
            return {
                f"gemm_{code}{suffix}": _external(library, name.format(letter), code, whole)
                for code, letter in (("f4", "s"), ("f8", "d"))
            }
    return {}


def _external(library: Any, name: str, code: str, whole: Any) -> Any:
    symbol = f"tinygrad_fc_{name}"
    binding.add_symbol(symbol, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    number, matrix = TYPES[code], (types.uintp, whole)
    arguments = (*[types.int32] * 3, *[whole] * 3, number, *matrix, *matrix, number, *matrix)
    return types.ExternalFunction(symbol, types.void(*arguments))


NAMES: dict[str, Any] = {
    **{code: getattr(np, str(kind)) for code, kind in TYPES.items() if code != "b1"},
    **{f._name: f for f in (select, times, plus, exp, tanh, memory, load, store, address)},
    "np": np,
    "math": math,
    "inf": math.inf,
    "nan": math.nan,
}
"""What generated code may call beside matrix products, by name."""
