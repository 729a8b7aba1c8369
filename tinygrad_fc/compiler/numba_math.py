"""What generated native code calls: functions of single numbers, memory, NumPy's matrix product.

`exp` and `tanh` are within a unit or two in the last place, as NumPy's are, in a form that LLVM
turns into vector instructions. Sums whose order is free, as in reductions, are marked so that LLVM
may reorder them (`plus`, `madd`); all other arithmetic is done as written.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import operator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import binding, ir
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

if TYPE_CHECKING:
    from collections.abc import Callable

TYPES = {
    "b1": types.boolean,
    **{f"i{n}": getattr(types, f"int{8 * n}") for n in (1, 2, 4, 8)},
    **{f"u{n}": getattr(types, f"uint{8 * n}") for n in (1, 2, 4, 8)},
    **{f"f{n}": getattr(types, f"float{8 * n}") for n in (4, 8)},
}
"""Numba's types by the codes of dtypes."""
LOOSE = ("reassoc", "contract")
FUSED = ("contract",)


def _caster(target: Any) -> Any:
    """Return the cast to a type of numbers."""

    @intrinsic
    def cast(typing: Any, x: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            source, (value,) = sig.args[0], args
            if target != types.boolean or source == target:
                return context.cast(builder, value, source, target)
            zero = ir.Constant(value.type, 0)
            if isinstance(source, types.Float):
                return builder.fcmp_unordered("!=", value, zero)
            return builder.icmp_signed("!=", value, zero)

        return signature(target, x), generate

    return cast


def _function(build: Callable[[Any, Any, Any], Any], count: int) -> Any:
    """Return a function of `count` numbers, the last of the result's type, from its LLVM code."""

    def typed(*kinds: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:  # noqa: ARG001
            return build(builder, sig.args[-1], args)

        return signature(kinds[-1], *kinds), generate

    if count == 1:
        return intrinsic(lambda typing, x: typed(x))  # noqa: ARG005
    if count == 2:
        return intrinsic(lambda typing, x, y: typed(x, y))  # noqa: ARG005
    return intrinsic(lambda typing, x, y, z: typed(x, y, z))  # noqa: ARG005


def _llvm(name: str) -> Callable[[Any, Any, Any], Any]:
    """Return the code of a function that LLVM has, the identity for integers."""
    return lambda b, kind, args: (
        _intrinsic(b, name, *args) if isinstance(kind, types.Float) else args[0]
    )


def _intrinsic(b: Any, name: str, *args: Any) -> Any:
    number = args[0].type
    kind = ir.FunctionType(number, [number] * len(args))
    return b.call(b.module.declare_intrinsic(f"llvm.{name}", [number], kind), args)


def _plus(b: Any, kind: Any, args: Any) -> Any:
    if isinstance(kind, types.Float):
        return b.fadd(*args, flags=LOOSE)
    return b.or_(*args) if kind == types.boolean else b.add(*args)


def _madd(b: Any, kind: Any, args: Any) -> Any:
    total, x, y = args
    if isinstance(kind, types.Float):
        return b.fadd(total, b.fmul(x, y, flags=LOOSE), flags=LOOSE)
    return _plus(b, kind, (total, b.mul(x, y)))


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

    def bits(self, value: int) -> Any:
        return ir.Constant(self.whole, value)


def _series(b: Any, x: Any, coefficients: Any) -> Any:
    total = coefficients[0]
    for c in coefficients[1:]:
        total = b.fadd(b.fmul(total, x, flags=FUSED), c, flags=FUSED)
    return total


def _exp(b: Any, kind: Any, args: Any) -> Any:
    """exp(x) = 2**n * exp(rest), with x = n * log(2) + rest."""
    (x,), c = args, _Float(kind)
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
    half = b.ashr(k, c.bits(1))
    for exponent in (half, b.sub(k, half)):
        scale = b.shl(b.add(exponent, c.bits(c.bias)), c.bits(c.digits))
        power = b.fmul(power, b.bitcast(scale, c.kind))
    return power


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


# Memory: an address, in whose type it stands which of the function's memories it is. No two
# overlap, and every load and store says so to LLVM ("noalias"): only then are loops over several
# of them vectorized without checks, of which LLVM gives up after a few. Indices are not checked.


class Memory(types.Type):
    """The type of memory number `scope` of `scopes`, which holds elements of `dtype`."""

    mutable = True

    def __init__(self, dtype: Any, scope: int, scopes: int) -> None:
        self.dtype, self.scope, self.scopes = dtype, scope, scopes
        super().__init__(f"Memory({dtype}, {scope}, {scopes})")


@register_model(Memory)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Memory) -> None:
        super().__init__(manager, kind, manager.lookup(kind.dtype).get_data_type().as_pointer())


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:  # noqa: ARG002
        if isinstance(args[0], Memory) and isinstance(args[1], types.Integer):
            return signature(args[0].dtype, args[0], types.intp)
        return None


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:  # noqa: ARG002
        if isinstance(args[0], Memory) and isinstance(args[1], types.Integer):
            return signature(types.none, args[0], types.intp, args[0].dtype)
        return None


def _access(context: Any, builder: Any, kind: Memory, args: Any, stored: Any = None) -> Any:
    """Load or store an element: mark in which memory it is, and in which others it is not."""
    model, module = context.data_model_manager[kind.dtype], builder.module
    place = builder.gep(args[0], [args[1]], inbounds=True)
    align = context.get_abi_sizeof(model.get_data_type())
    if stored is None:
        access = builder.load(place, align=align)
    else:
        access = builder.store(model.as_data(builder, stored), place, align=align)
    if "_memory_scopes" not in module.__dict__:
        domain = module.add_metadata(["memory"])
        module.__dict__["_memory_scopes"] = [
            module.add_metadata([f"memory {k}", domain]) for k in range(kind.scopes)
        ]
    scopes = module.__dict__["_memory_scopes"]
    others = scopes[: kind.scope] + scopes[kind.scope + 1 :]
    access.set_metadata("alias.scope", module.add_metadata([scopes[kind.scope]]))
    access.set_metadata("noalias", module.add_metadata(others))
    return access if stored is not None else model.from_data(builder, access)


@lower_builtin(operator.getitem, Memory, types.intp)
def _load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _access(context, builder, sig.args[0], args)


@lower_builtin(operator.setitem, Memory, types.intp, types.Any)
def _store(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    _access(context, builder, sig.args[0], args, args[2])
    return context.get_dummy_value()


@intrinsic(prefer_literal=True)
def memory(typing: Any, array: Any, start: Any, dtype: Any, scope: Any, scopes: Any) -> Any:  # noqa: ARG001
    """Return the memory that begins `start` bytes into an array, and holds elements of `dtype`."""
    if not isinstance(scope, types.Literal) or not isinstance(scopes, types.Literal):
        return None
    kind = Memory(dtype.dtype, scope.literal_value, scopes.literal_value)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base = context.make_array(sig.args[0])(context, builder, args[0]).data
        bytes_ = builder.bitcast(base, ir.IntType(8).as_pointer())
        return builder.bitcast(builder.gep(bytes_, [args[1]]), context.get_value_type(kind))

    return signature(kind, array, types.intp, dtype, scope, scopes), generate


@intrinsic
def address(typing: Any, place: Any, count: Any) -> Any:  # noqa: ARG001
    """Return the address of an element."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = builder.gep(args[0], [args[1]], inbounds=True)
        return builder.ptrtoint(element, context.get_value_type(sig.return_type))

    return signature(types.uintp, place, types.intp), generate


@lru_cache(1)
def gemms() -> dict[str, Any]:
    """Return the products of matrices of the BLAS that NumPy has loaded, by their names here.

    Builds of NumPy give several names to the functions; SciPy's are taken where NumPy shows none.
    """
    names = [(f"{p}cblas_{{}}gemm{s}", s) for s in ("64_", "") for p in ("scipy_", "")]
    for module in ("numpy._core._multiarray_umath", "scipy.linalg.cython_blas"):
        try:
            library = ctypes.CDLL(str(importlib.import_module(module).__file__))
        except (ImportError, OSError):
            continue
        for name, suffix in names:
            if hasattr(library, name.format("d")) and hasattr(library, name.format("s")):
                whole = types.int64 if suffix else types.int32
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


@lru_cache(1)
def names() -> dict[str, Any]:
    """Return what generated code may call, by name."""
    functions = (
        *("expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan"),
        *("sinh", "cosh", "asinh", "acosh", "atanh", "atan2", "hypot", "copysign", "erf", "erfc"),
        *("inf", "nan"),
    )
    llvm = {name: _function(_llvm(name), 1) for name in ("sqrt", "floor", "ceil", "trunc", "rint")}
    return {
        **{name: getattr(math, name) for name in functions},
        **{code: _caster(kind) for code, kind in TYPES.items()},
        **{f"D{code}": np.dtype("?" if code == "b1" else code) for code in TYPES},
        **llvm,
        **gemms(),
        "select": _function(lambda b, _, args: b.select(*args), 3),
        "fmod": _function(lambda b, _, args: b.frem(*args), 2),
        "plus": _function(_plus, 2),
        "madd": _function(_madd, 3),
        "exp": _function(_exp, 1),
        "tanh": _function(_tanh, 1),
        "memory": memory,
        "address": address,
    }
