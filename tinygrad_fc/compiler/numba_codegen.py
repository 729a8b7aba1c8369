"""From the text of native functions to LLVM, with Numba's functions of numbers.

Numba's own way from Python to LLVM takes most of the time of a compilation: it infers types,
follows variables through branches and unpacks arrays. The text of `numba_printer` needs none of
that, since each number has the dtype that the text says, and memory is a pointer. It is Python, and
is run once with the numbers and functions here, which write what it does: operators on numbers of
one dtype, loops over `range`, and calls: of other functions of the text, of NumPy, of `EXACT`, of
dtypes (a cast), of the methods of `Writer`, of NumPy's matrix product, and of `exp`, `tanh` and
`ndtr`: within three units in the last place, in a form that LLVM turns into vector instructions.
These compute a float32 with doubles, by a series of a lower degree.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import math
import operator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import binding, ir
from numba import from_dtype, typeof
from numba.core import cgutils, types
from numba.extending import NativeValue, intrinsic, unbox
from numba.np.numpy_support import ufunc_find_matching_loop
from numba.np.ufunc_db import get_ufunc_info
from numpy.lib.mixins import NDArrayOperatorsMixin

if TYPE_CHECKING:
    from collections.abc import Iterator

DOUBLE, WHOLE = ir.DoubleType(), ir.IntType(64)
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


def _power(b: Any, x: Any, end: float, *, long: bool) -> tuple[Any, Any]:
    """Return n, in an integer, and p with exp(x) = 2**n * (1 + p); |x| is at most `end`.

    With x = n * log(2) + rest, p is exp(rest) - 1.
    """
    # Beyond the ends the result is infinite, or as far as it goes. A NaN passes both comparisons.
    for sign, last in ((">", end), ("<", -end)):
        x = b.select(b.fcmp_ordered(sign, x, DOUBLE(last)), DOUBLE(last), x)
    # Added to a large number, x / log(2) is rounded to an integer, which stands in the last bits
    # of the sum: no conversion, which has no vector form for 64 bits on most machines.
    large = DOUBLE(1.5 * 2.0**52)
    shifted = b.fadd(b.fmul(x, DOUBLE(1 / math.log(2)), flags=FUSED), large, flags=FUSED)
    n, rest = b.fsub(shifted, large), x
    # The first part of log(2) has so few digits that its product with n is exact.
    for part in (6.93147180369123816490e-01, 1.90821492927058770002e-10):
        rest = b.fsub(rest, b.fmul(n, DOUBLE(part), flags=FUSED), flags=FUSED)
    tail = _series(b, rest, [1 / math.factorial(k) for k in range(13 if long else 7, 1, -1)])
    tail = b.fmul(b.fmul(rest, rest), tail, flags=FUSED)
    return b.sub(b.bitcast(shifted, WHOLE), b.bitcast(large, WHOLE)), b.fadd(
        rest, tail, flags=FUSED
    )


def _power_of_2(b: Any, n: Any) -> Any:
    return b.bitcast(b.shl(b.add(n, WHOLE(1023)), WHOLE(52)), DOUBLE)


def _exp(b: Any, x: Any, *, long: bool) -> Any:
    n, p = _power(b, x, 750.0, long=long)
    # Two powers of 2, as one would be too large or too small for a float near the ends.
    half = b.ashr(n, WHOLE(1))
    power = b.fmul(b.fadd(DOUBLE(1.0), p), _power_of_2(b, half))
    return b.fmul(power, _power_of_2(b, b.sub(n, half)))


def _tanh(b: Any, x: Any, *, long: bool) -> Any:
    """tanh(x) = m / (m + 2), with m = exp(2 * x) - 1."""
    n, p = _power(b, b.fadd(x, x), 40.0, long=long)
    power = _power_of_2(b, n)
    m = b.fadd(b.fmul(power, p), b.fsub(power, DOUBLE(1.0)))
    return b.fdiv(m, b.fadd(m, DOUBLE(2.0)))


def _tail() -> list[float]:
    """Return coefficients of exp(z**2) * erfc(z) / (2 * t) for z from 0 to 12.

    It is a polynomial in 2 * t - 1, with t = 1 / (1 + 0.4 * z): least squares, relative error 1e-8,
    enough for a float32.
    """
    t = np.linspace(1 / (1 + 0.4 * 12), 1, 1000)
    z = (1 / t - 1) / 0.4
    y = np.exp(z * z) * [math.erfc(x) for x in z] / (2 * t)
    fitted = np.polynomial.Polynomial.fit(2 * t - 1, y, 10, domain=[-1, 1], w=1 / y)
    return [float(c) for c in reversed(fitted.coef)]


_TAIL = _tail()


def _ndtr(b: Any, x: Any, *, long: bool) -> Any:
    one, two = DOUBLE(1.0), DOUBLE(2.0)
    size = b.select(b.fcmp_ordered("<", x, DOUBLE(0.0)), b.fneg(x), x)
    t = b.fdiv(one, b.fadd(one, b.fmul(size, DOUBLE(0.4 * math.sqrt(0.5)))))
    density = _exp(b, b.fmul(b.fmul(x, x), DOUBLE(-0.5)), long=long)
    tail = b.fmul(b.fmul(t, _series(b, b.fsub(b.fmul(two, t), one), _TAIL)), density)
    return b.select(b.fcmp_ordered("<", x, DOUBLE(0.0)), tail, b.fsub(one, tail))


FUNCTIONS = {"exp": _exp, "tanh": _tanh, "ndtr": _ndtr}
"""Functions of doubles, by name: they write instructions with a builder, and return the result."""


# Products of matrices


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
    number, matrix = TYPES[code], (types.CPointer(TYPES[code]), whole)
    return symbol, (*[types.int32] * 3, *[whole] * 3, number, *matrix, *matrix, number, *matrix)


GEMMS = _gemms()
"""Symbols and types of arguments of these functions, by their names in the text."""


# The text

EXACT = (math.erf, math.erfc, operator.floordiv, operator.mod, operator.pow)
"""Functions that no ufunc computes, or none as NumPy rounds."""
_DATA = 2
"""Where the C struct of an array has the address of its elements, in words (`PyArrayObject`)."""


@unbox(types.CPointer)
def _address(kind: Any, array: Any, c: Any) -> Any:
    """Read the address of the elements of an array, which is an argument."""
    words = c.builder.bitcast(array, c.context.get_value_type(kind).as_pointer())
    return NativeValue(c.builder.load(c.builder.gep(words, [WHOLE(_DATA)])))


def native(source: str) -> Any:
    """Return what calls the function `steps` of a text with a tuple of arguments, for Numba."""

    @intrinsic
    def run(typing: Any, args: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, b: Any, sig: Any, values: Any) -> Any:  # noqa: ARG001
            writer = Writer(context, b)
            space = writer.names()
            exec(source, space)  # noqa: S102  it is ours
            pairs = zip(cgutils.unpack_tuple(b, values[0]), args, strict=True)
            return space["steps"](*(Number(writer, *pair) for pair in pairs)).value

        return types.int64(args), generate

    return run


class Number(NDArrayOperatorsMixin):
    """A number of LLVM, or the address of numbers, with its type in Numba.

    Operators and functions of NumPy write instructions; they take Python's numbers, too.
    """

    def __init__(self, writer: Writer, value: Any, kind: Any) -> None:
        self.writer, self.value, self.kind = writer, value, kind

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any) -> Any:
        del method
        return self.writer.ufunc(ufunc, *inputs)

    def __getitem__(self, at: Any) -> Number:
        read, kind = self.writer.context.unpack_value, self.kind.dtype
        return Number(self.writer, read(self.writer.b, kind, self._place(at)), kind)

    def __setitem__(self, at: Any, x: Any) -> None:
        value, write = self.writer.cast(x, self.kind.dtype).value, self.writer.context.pack_value
        write(self.writer.b, self.kind.dtype, value, self._place(at))

    def _place(self, at: Any) -> Any:
        at = self.writer.cast(at, types.int64).value
        return self.writer.b.gep(self.value, [at], inbounds=True)

    def at(self, at: Any) -> Number:
        """Return the address of a number further on."""
        return Number(self.writer, self._place(at), self.kind)


class Writer:
    """Writes what the text does to numbers, which it is run with, as instructions of LLVM."""

    def __init__(self, context: Any, b: Any) -> None:
        self.context, self.module, self.b = context, b.module, b

    def names(self) -> dict[str, Any]:
        """Return what the text calls, by name."""
        own = (self.function, self.stop, self.select, self.add_product, self.variable)
        names: dict[str, Any] = {method.__name__: method for method in (*own, self.temporary)}
        names |= {"range": self.loop, "np": np, "inf": math.inf, "nan": math.nan}
        names |= {name: partial(self.cast, kind=kind) for name, kind in TYPES.items()}
        names |= {name: partial(self.external, *gemm) for name, gemm in GEMMS.items()}
        names |= {name: partial(self.smooth, write) for name, write in FUNCTIONS.items()}
        return names | {f.__name__: partial(self.exact, f) for f in EXACT}

    # Numbers

    def cast(self, x: Any, kind: Any = None) -> Number:
        """Return a number, as one of a type if that is named."""
        if not isinstance(x, Number):
            own = typeof(x)
            return self.cast(Number(self, self.context.get_constant(own, x), own), kind)
        if kind in (None, x.kind):
            return x
        return Number(self, self.context.cast(self.b, x.value, x.kind, kind), kind)

    def numbers(self, *args: Any) -> list[Number]:
        """Return arguments as numbers; Python's have the type of a float beside them."""
        kinds = [x.kind for x in args if isinstance(x, Number)]
        kind = next((kind for kind in kinds if isinstance(kind, types.Float)), None)
        return [x if isinstance(x, Number) else self.cast(x, kind) for x in args]

    def ufunc(self, ufunc: Any, *args: Any) -> Number:
        """Write a function of NumPy, as Numba has it."""
        numbers = self.numbers(*args)
        loop = ufunc_find_matching_loop(ufunc, [x.kind for x in numbers])
        values = [self.cast(x, kind).value for x, kind in zip(numbers, loop.inputs, strict=True)]
        (kind,), write = loop.outputs, get_ufunc_info(ufunc)[loop.ufunc_sig]
        return Number(self, write(self.context, self.b, kind(*loop.inputs), values), kind)

    def exact(self, function: Any, *args: Any) -> Number:
        """Write one of `EXACT`, whose arguments and result are of one type."""
        numbers = self.numbers(*args)
        kinds = [x.kind for x in numbers]
        write = self.context.get_function(function, kinds[0](*kinds))
        return Number(self, write(self.b, [x.value for x in numbers]), kinds[0])

    def smooth(self, write: Any, x: Any) -> Number:
        """Write one of `FUNCTIONS`."""
        x = self.cast(x)
        double = self.cast(x, types.float64).value
        result = Number(self, write(self.b, double, long=x.kind == types.float64), types.float64)
        return self.cast(result, x.kind)

    def select(self, condition: Any, x: Any, y: Any) -> Number:
        """Write x or y, of one type, without a branch."""
        test, (x, y) = self.cast(condition, types.boolean), self.numbers(x, y)
        return Number(self, self.b.select(test.value, x.value, y.value), x.kind)

    def add_product(self, total: Number, x: Any, y: Any) -> Number:
        """Write total + x * y, whose terms may be added in any order."""
        b, kind = self.b, total.kind
        if not isinstance(kind, types.Float):
            return self.cast(total + x * y, kind)
        product = b.fmul(*(self.cast(factor, kind).value for factor in (x, y)), flags=LOOSE)
        return Number(self, b.fadd(total.value, product, flags=LOOSE), kind)

    # Memory

    def variable(self, start: Any) -> Number:
        """Write memory for one number that changes, which LLVM keeps in a register."""
        number = self.cast(start)
        place = cgutils.alloca_once(self.b, self.context.get_data_type(number.kind))
        variable = Number(self, place, types.CPointer(number.kind))
        variable[0] = number
        return variable

    def temporary(self, code: str, size: int) -> Number:
        """Write memory that the program has for itself, for some numbers of a dtype."""
        kind, module = types.CPointer(TYPES[code]), self.module
        array = ir.ArrayType(self.context.get_data_type(kind.dtype), size)
        place = ir.GlobalVariable(module, array, module.get_unique_name("temporary"))
        place.linkage, place.align, place.initializer = "internal", 64, ir.Constant(array, None)
        return Number(self, self.b.bitcast(place, self.context.get_value_type(kind)), kind)

    # Loops and functions

    def loop(self, *ends: Any) -> Iterator[Number]:
        """Write a loop of what is done before the next number is asked for."""
        *first, last = [self.cast(x, types.int64).value for x in ends]
        with cgutils.for_range(self.b, last, *first) as loop:
            yield Number(self, loop.index, types.int64)

    def stop(self, condition: Any, result: Any) -> None:
        """Write a return of `result` where a condition holds."""
        with self.b.if_then(self.cast(condition, types.boolean).value, likely=False):
            self._return(result)

    def _return(self, result: Any) -> None:
        self.context.call_conv.return_value(self.b, self.cast(result, types.int64).value)

    def function(self, body: Any) -> Any:
        """Return what writes a function of the text, which yields a whole number, and a call."""

        def call(*args: Number) -> Number:
            outer, convention = self.b, self.context.call_conv
            kinds = [x.kind for x in args]
            kind = convention.get_function_type(types.int64, kinds)
            function = ir.Function(self.module, kind, self.module.get_unique_name(body.__name__))
            function.linkage = "internal"
            function.attributes.add("noinline")
            for argument in function.args:
                # no two memories of a function overlap; else LLVM would not vectorize their loops
                if isinstance(argument.type, ir.PointerType):
                    argument.add_attribute("noalias")
            self.b = ir.IRBuilder(function.append_basic_block())
            packer = self.context.get_arg_packer(kinds)
            values = packer.from_arguments(self.b, convention.get_arguments(function))
            self._return(body(*map(partial(Number, self), values, kinds)) or 0)
            self.b = outer
            values = [x.value for x in args]
            _, result = convention.call_function(outer, function, types.int64, kinds, values)
            return Number(self, result, types.int64)

        return call

    def external(self, symbol: str, kinds: Any, *args: Any) -> None:
        """Write a call of a function of C that returns nothing."""
        values = [self.cast(x, kind).value for x, kind in zip(args, kinds, strict=True)]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        self.b.call(cgutils.get_or_insert_function(self.module, kind, symbol), values)
