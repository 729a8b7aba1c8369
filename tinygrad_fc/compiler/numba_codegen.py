"""From the text of native functions to LLVM, with Numba's functions of numbers.

Numba's own way from Python to LLVM takes most of the time of a compilation: it infers types,
follows variables through branches and unpacks arrays. The text of `numba_printer` needs none of
that, since each number has the dtype that the text says, and memory is a pointer. It is a small
part of Python: functions of pointers and numbers, loops over `range`, `if` with a `return`,
assignments, operators on numbers of one dtype, and calls: of other functions of the text, of NumPy
and math, of dtypes (a cast), of `select`, `variable`, `temporary` and `add_product`, of NumPy's
matrix product, and of `exp`, `tanh` and `ndtr`: within a unit or two in the last place, as NumPy's
are, in a form that LLVM turns into vector instructions. These compute a float32 with doubles, by a
series of a lower degree.
"""

from __future__ import annotations

import ast
import ctypes
import importlib
import itertools
import math
import operator
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import from_dtype
from numba.core import cgutils, types
from numba.extending import NativeValue, intrinsic, unbox
from numba.np.numpy_support import ufunc_find_matching_loop
from numba.np.ufunc_db import get_ufunc_info

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


# The text

_OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_COMPARISONS |= {ast.Eq: "==", ast.NotEq: "!="}
_MODULES = {"np": np, "math": math, "operator": operator}
_KINDS = {bool: types.boolean, int: types.int64, float: types.float64}
_DATA = 2
"""Where the C struct of an array has the address of its elements, in words (`PyArrayObject`)."""

Number = tuple[Any, Any]
"""A value of LLVM, and its type in Numba."""


@unbox(types.CPointer)
def _address(kind: Any, array: Any, c: Any) -> Any:
    """Read the address of the elements of an array, which is an argument."""
    words = c.builder.bitcast(array, c.context.get_value_type(kind).as_pointer())
    return NativeValue(c.builder.load(c.builder.gep(words, [ir.IntType(64)(_DATA)])))


def native(source: str) -> Any:
    """Return what calls the last function of a text with a tuple of arguments, for Numba."""

    @intrinsic
    def run(typing: Any, args: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, b: Any, sig: Any, values: Any) -> Any:  # noqa: ARG001
            body: Any = ast.parse(source).body
            nodes = {node.name: node for node in body}
            numbers = list(zip(cgutils.unpack_tuple(b, values[0]), args, strict=True))
            return _written(context, b.module, nodes, b, next(reversed(nodes)), numbers)[0]

        return types.int64(args), generate

    return run


def _written(context: Any, module: Any, nodes: Any, b: Any, name: str, args: Any) -> Number:
    """Write a function of the text into a module, and a call of it, with the builder `b`."""
    kinds = [kind for _, kind in args]
    function = _Function(context, module, nodes, name, kinds).function
    values = [value for value, _ in args]
    _, result = context.call_conv.call_function(b, function, types.int64, kinds, values)
    return result, types.int64


class _Function:
    """Writes a function of the text, which returns a whole number, and those that it calls."""

    def __init__(self, context: Any, module: Any, nodes: Any, name: str, kinds: list[Any]) -> None:
        self.context, self.module, self.nodes, self.b = context, module, nodes, ir.IRBuilder()
        kind = context.call_conv.get_function_type(types.int64, kinds)
        self.function = ir.Function(module, kind, module.get_unique_name(name))
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        for argument in self.function.args:
            # no two memories of a function overlap; else LLVM would not vectorize their loops
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        self.b.position_at_end(self.function.append_basic_block())
        args = context.call_conv.get_arguments(self.function)
        values = context.get_arg_packer(kinds).from_arguments(self.b, args)
        names = [argument.arg for argument in nodes[name].args.args]
        numbers = zip(values, kinds, strict=True)
        self.names: dict[str, Number] = dict(zip(names, numbers, strict=True))
        self.block(nodes[name].body)
        if not self.b.block.is_terminated:
            self.context.call_conv.return_value(self.b, ir.IntType(64)(0))

    def block(self, nodes: list[ast.stmt]) -> None:
        """Write statements."""
        for node in nodes:
            getattr(self, f"_{type(node).__name__.lower()}")(node)

    # Statements

    def _for(self, node: Any) -> None:
        *first, last = [self.number(x)[0] for x in node.iter.args]
        with cgutils.for_range(self.b, last, *first) as loop:
            self.names[node.target.id] = loop.index, types.int64
            self.block(node.body)

    def _if(self, node: Any) -> None:
        with self.b.if_then(self.number(node.test, types.boolean)[0], likely=False):
            self.block(node.body)

    def _return(self, node: Any) -> None:
        self.context.call_conv.return_value(self.b, self.number(node.value, types.int64)[0])

    def _expr(self, node: Any) -> None:
        self.number(node.value)

    def _assign(self, node: Any) -> None:
        target, number = node.targets[0], self.number(node.value)
        if isinstance(target, ast.Name):
            self.names[target.id] = number
        else:
            place, kind = self._place(target)
            self.b.store(self.cast(number, kind)[0], place)

    # Expressions

    def number(self, node: Any, kind: Any = None) -> Number:
        """Write an expression; cast its value to a type."""
        number = getattr(self, f"_{type(node).__name__.lower()}")(node)
        return self.cast(number, kind) if kind else number

    def cast(self, number: Number, kind: Any) -> Number:
        """Return a number as one of another type."""
        value, before = number
        return (value if before == kind else self.context.cast(self.b, value, before, kind)), kind

    def _alike(self, *nodes: Any) -> tuple[list[Any], Any]:
        """Return values of one type: of floats if one is, else whole numbers or truth values."""
        numbers = [self.number(node) for node in nodes]
        kinds = {kind for _, kind in numbers}
        float_kinds = [kind for kind in kinds if isinstance(kind, types.Float)]
        kind = max(float_kinds, key=lambda k: k.bitwidth, default=types.int64)
        kind = kinds.pop() if len(kinds) == 1 else kind
        return [self.cast(number, kind)[0] for number in numbers], kind

    def _constant(self, node: Any) -> Number:
        kind = _KINDS[type(node.value)]
        return self.context.get_constant(kind, node.value), kind

    def _name(self, node: Any) -> Number:
        if node.id in ("inf", "nan"):
            return ir.DoubleType()(float(node.id)), types.float64
        return self.names[node.id]

    def _place(self, node: Any) -> Number:
        address, kind = self.names[node.value.id]
        at = self.number(node.slice, types.int64)[0]
        return self.b.gep(address, [at], inbounds=True), kind.dtype

    def _subscript(self, node: Any) -> Number:
        place, kind = self._place(node)
        return self.b.load(place), kind

    def _unaryop(self, node: Any) -> Number:
        value, kind = self.number(node.operand)
        return (self.b.fneg if isinstance(kind, types.Float) else self.b.neg)(value), kind

    def _binop(self, node: Any) -> Number:
        values, kind = self._alike(node.left, node.right)
        if isinstance(node.op, ast.BitOr):
            return self.b.or_(*values), kind
        name = _OPERATORS[type(node.op)]
        if isinstance(kind, types.Float):
            return getattr(self.b, f"f{name}")(*values), kind
        return getattr(self.b, name)(*values, flags=("nsw",)), kind

    def _compare(self, node: Any) -> Number:
        values, kind = self._alike(node.left, node.comparators[0])
        sign = _COMPARISONS[type(node.ops[0])]
        compare: Any = self.b.icmp_unsigned if kind == types.boolean else self.b.icmp_signed
        if isinstance(kind, types.Float):  # NaN differs from all numbers
            compare = self.b.fcmp_unordered if sign == "!=" else self.b.fcmp_ordered
        return compare(sign, *values), types.boolean

    def _call(self, node: Any) -> Number:
        function, args = node.func, node.args
        if isinstance(function, ast.Attribute):
            owner: Any = function.value
            return self._library(getattr(_MODULES[owner.id], function.attr), args)
        name = function.id
        if name in TYPES:
            return self.number(args[0], TYPES[name])
        if name in FUNCTIONS:
            number = self.number(args[0])
            value, _ = self.cast(number, types.float64)
            value = FUNCTIONS[name](self.b, value, long=number[1] == types.float64)
            return self.cast((value, types.float64), number[1])
        if name in GEMMS:
            symbol, kinds = GEMMS[name]
            return self._external(symbol, kinds, args)
        if name in self.nodes:
            values = list(map(self.number, args))
            return _written(self.context, self.module, self.nodes, self.b, name, values)
        return getattr(self, f"_{name}")(*args)  # type: ignore[no-any-return]

    def _select(self, condition: Any, x: Any, y: Any) -> Number:
        """Write x or y, without a branch."""
        test, (values, kind) = self.number(condition, types.boolean), self._alike(x, y)
        return self.b.select(test[0], *values), kind

    def _add_product(self, total: Any, x: Any, y: Any) -> Number:
        """Write total + x * y, whose terms may be added in any order."""
        value, kind = self.number(total)
        factors = [self.number(factor, kind)[0] for factor in (x, y)]
        if not isinstance(kind, types.Float):
            return self.b.add(value, self.b.mul(*factors)), kind
        return self.b.fadd(value, self.b.fmul(*factors, flags=LOOSE), flags=LOOSE), kind

    def _variable(self, start: Any) -> Number:
        """Write memory for one number that changes, which LLVM keeps in a register."""
        number = self.number(start)
        kind = pointer(number[1])
        value, _ = self.cast(number, kind.dtype)
        return cgutils.alloca_once_value(self.b, value), kind

    def _temporary(self, code: Any, size: Any) -> Number:
        """Write memory that the program has for itself, for some numbers of a dtype."""
        kind, module = pointer(TYPES[code.value]), self.module
        array = ir.ArrayType(self.context.get_data_type(kind.dtype), size.value)
        place = ir.GlobalVariable(module, array, module.get_unique_name("temporary"))
        place.linkage, place.align, place.initializer = "internal", 64, ir.Constant(array, None)
        return self.b.bitcast(place, self.context.get_value_type(kind)), kind

    def _external(self, symbol: str, kinds: Any, args: Any) -> Number:
        """Write a call of a function of C that returns nothing."""
        values = [self.number(x, kind)[0] for x, kind in zip(args, kinds, strict=True)]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        self.b.call(cgutils.get_or_insert_function(self.module, kind, symbol), values)
        return None, types.none

    def _library(self, function: Any, nodes: Any) -> Number:
        """Write a function of numbers of NumPy or math, as Numba has it."""
        numbers = [self.number(node) for node in nodes]
        if not isinstance(function, np.ufunc):
            kinds = [kind for _, kind in numbers]
            generate = self.context.get_function(function, kinds[0](*kinds))
            return generate(self.b, [value for value, _ in numbers]), kinds[0]
        loop = ufunc_find_matching_loop(function, [kind for _, kind in numbers])
        values = [self.cast(x, kind)[0] for x, kind in zip(numbers, loop.inputs, strict=True)]
        signature, generate = loop.outputs[0](*loop.inputs), get_ufunc_info(function)
        return generate[loop.ufunc_sig](self.context, self.b, signature, values), loop.outputs[0]
