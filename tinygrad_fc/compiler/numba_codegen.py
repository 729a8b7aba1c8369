"""Numbers that write LLVM, with Numba's functions of numbers.

Numba's own way from Python to LLVM takes most of the time of a compilation: it infers types,
follows variables through branches and unpacks arrays. Here Python runs once with a `Number` for
each number, whose dtype is known, and a pointer for memory; operators, ufuncs and `np.where` write
what they do. `exp` and `tanh` of both float dtypes, and `ndtr` of float32, are series in doubles,
shorter ones for float32, that LLVM turns into vector instructions. They are within three units in
the last place.
"""

from __future__ import annotations

import importlib
import itertools
import math
import operator
from functools import partial, reduce
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
    from collections.abc import Iterable, Iterator

_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
TYPES = {np.dtype(code): from_dtype(np.dtype(code)) for code in _CODES}
"""Numba's types of dtypes; native code computes in no others."""


# Exponential functions of doubles; of a float32 with shorter series


def _exponential_parts(x: Any, end: float, *, long: bool) -> tuple[Any, Any]:
    """Return n, in an integer, and p with exp(x) = 2**n * (1 + p); |x| is at most `end`.

    With x = n * log(2) + rest, p is exp(rest) - 1.
    """
    # Beyond the ends the result has overflowed or does not change. A NaN passes both comparisons.
    x = np.where(x > end, end, np.where(x < -end, -end, x))
    # Added to a large number, x / log(2) is rounded to an integer, which stands in the last bits
    # of the sum: no conversion, which has no vector form for 64 bits on most machines.
    large = x.writer.cast(1.5 * 2.0**52)
    shifted = x.times_plus(1 / math.log(2), large)
    n, rest = shifted - large, x
    # The first part of log(2) has so few digits that its product with n is exact.
    for part in (6.93147180369123816490e-01, 1.90821492927058770002e-10):
        rest = n.times_plus(-part, rest)
    coefficients = [1 / math.factorial(k) for k in range(13 if long else 7, 1, -1)]
    tail = reduce(rest.times_plus, coefficients)  # Horner's rule
    n = shifted.bits(types.int64) - large.bits(types.int64)
    return n, (rest * rest).times_plus(tail, rest)


def _power_of_2(n: Any) -> Any:
    return ((n + 1023) << 52).bits(types.float64)


def _exp(x: Any, *, long: bool) -> Any:
    n, p = _exponential_parts(x, 750.0, long=long)
    # Two powers of 2, as one would be too large or too small for a float near the ends.
    half = n >> 1
    return (p + 1.0) * _power_of_2(half) * _power_of_2(n - half)


def _tanh(x: Any, *, long: bool) -> Any:
    """tanh(x) = m / (m + 2), with m = exp(2 * x) - 1."""
    n, p = _exponential_parts(x + x, 40.0, long=long)
    power = _power_of_2(n)
    m = power * p + (power - 1.0)
    return m / (m + 2.0)


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


def _ndtr(x: Any, *, long: bool) -> Any:
    t = 1.0 / (abs(x) * (0.4 * math.sqrt(0.5)) + 1.0)
    tail = t * reduce((2.0 * t - 1.0).times_plus, _TAIL) * _exp(x * x * -0.5, long=long)
    return np.where(x < 0.0, tail, 1.0 - tail)


# Products of matrices


def _gemms() -> dict[Any, str]:
    """Return the names of matrix products in the BLAS that NumPy has loaded, by dtypes.

    Builds of NumPy give several names to the functions; without them, loops are used.
    """
    path = importlib.import_module("numpy._core._multiarray_umath").__file__
    binding.load_library_permanently(str(path))
    for suffix, prefix in itertools.product(("64_", ""), ("scipy_", "")):
        names = [f"{prefix}cblas_{letter}gemm{suffix}" for letter in "sd"]
        if all(map(binding.address_of_symbol, names)):
            return dict(zip(map(np.dtype, ("f4", "f8")), names, strict=True))
    return {}


GEMMS = _gemms()


# Numbers

_DATA = 2
"""Where the C struct of an array has the address of its elements, in words (`PyArrayObject`)."""


@unbox(types.CPointer)
def _address(kind: Any, array: Any, c: Any) -> Any:
    """Read the address of the elements of an array, which is an argument."""
    words = c.builder.bitcast(array, c.context.get_value_type(kind).as_pointer())
    return NativeValue(c.builder.load(c.builder.gep(words, [ir.IntType(64)(_DATA)])))


def native(write: Any) -> Any:
    """Return what calls the function that `write(writer, *arguments)` writes, for Numba.

    It takes a tuple of the arguments.
    """

    @intrinsic
    def run(typing: Any, args: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, b: Any, sig: Any, values: Any) -> Any:  # noqa: ARG001
            writer = Writer(context, b)
            numbers = map(partial(Number, writer), cgutils.unpack_tuple(b, values[0]), args)
            return writer.function(partial(write, writer), numbers).value

        return types.int64(args), generate

    return run


class Number(NDArrayOperatorsMixin):
    """A number of LLVM, or the address of numbers, with its type in Numba.

    Operators, ufuncs and `np.where` write instructions; they take Python's numbers, too.
    """

    def __init__(self, writer: Writer, value: Any, kind: Any) -> None:
        self.writer, self.value, self.kind = writer, value, kind

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any) -> Any:
        del method
        return self.writer.ufunc(ufunc, *inputs)

    def __array_function__(self, function: Any, _: Any, args: Any, kwargs: Any) -> Number:
        return {np.where: self.writer.select}[function](*args, **kwargs)

    def at(self, at: Any) -> Number:
        """Return the address of a number further on."""
        at = self.writer.cast(at, types.int64).value
        return Number(self.writer, self.writer.b.gep(self.value, [at], inbounds=True), self.kind)

    def read(self) -> Number:
        """Read the number at an address."""
        read, kind = self.writer.context.unpack_value, self.kind.dtype
        return Number(self.writer, read(self.writer.b, kind, self.value), kind)

    def write(self, x: Any) -> None:
        """Write a number to an address."""
        value, write = self.writer.cast(x, self.kind.dtype).value, self.writer.context.pack_value
        write(self.writer.b, self.kind.dtype, value, self.value)

    def exact(self, function: Any, *others: Number) -> Number:
        """Write a function of Python's numbers, as Numba has it, of numbers of one type."""
        numbers = (self, *others)
        kinds = [x.kind for x in numbers]
        write = self.writer.context.get_function(function, self.kind(*kinds))
        value = write(self.writer.b, [x.value for x in numbers])
        return Number(self.writer, value, self.kind)

    def smooth(self, write: Any) -> Number:
        """Write an exponential function."""
        double = self.writer.cast(self, types.float64)
        return self.writer.cast(write(double, long=self.kind == types.float64), self.kind)

    def ndtr(self) -> Number:
        """Write the distribution function of the normal distribution."""
        if self.kind == types.float32:
            return self.smooth(_ndtr)
        half: Number = 0.5 * (self * -math.sqrt(0.5)).exact(math.erfc)
        return half

    def bits(self, kind: Any) -> Number:
        """Return the number of another type that has the same bits."""
        kind_of_value = self.writer.context.get_value_type(kind)
        return Number(self.writer, self.writer.b.bitcast(self.value, kind_of_value), kind)

    def times_plus(self, factor: Any, term: Any, flags: Any = ("contract",)) -> Number:
        """Return self * factor + term, rounded once where that is faster, as the term's type."""
        b, kind = self.writer.b, getattr(term, "kind", self.kind)
        x, y, z = (self.writer.cast(n, kind) for n in (self, factor, term))
        if not isinstance(kind, types.Float):
            return self.writer.cast(x * y + z, kind)
        product = b.fmul(x.value, y.value, flags=flags)
        return Number(self.writer, b.fadd(product, z.value, flags=flags), kind)


def add_product(total: Number, x: Number, y: Any = 1) -> Number:
    """Return total + x * y, whose terms may be added in any order, as in reductions."""
    return x.times_plus(y, total, ("reassoc", "contract"))


FLOATS: dict[Any, Any] = {
    np.exp: lambda x: x.smooth(_exp),
    np.tanh: lambda x: x.smooth(_tanh),
    np.maximum: lambda x, y: np.where((x >= y) | np.isnan(x), x, y),
    np.minimum: lambda x, y: np.where((x <= y) | np.isnan(x), x, y),
    np.floor_divide: lambda x, y: x.exact(operator.floordiv, y),
    np.remainder: lambda x, y: x.exact(operator.mod, y),
}
"""Ufuncs of floats for which Numba's form is slower, or does not round as NumPy does."""
_WRAPPING = {np.add: "add", np.subtract: "sub", np.multiply: "mul"}
"""Instructions of LLVM for integers; Numba's let LLVM assume that no result overflows."""


class Writer:
    """Writes instructions of LLVM for what is done with numbers."""

    def __init__(self, context: Any, b: Any) -> None:
        self.context, self.module, self.b = context, b.module, b
        self.wraps = False  # what integers do that overflow; addresses do not overflow

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

    def ufunc(self, ufunc: Any, *args: Any) -> Any:
        """Write a function of NumPy, as Numba has it or as in `FLOATS`."""
        numbers = self.numbers(*args)
        if ufunc in FLOATS and isinstance(numbers[0].kind, types.Float):
            return FLOATS[ufunc](*numbers)
        loop = ufunc_find_matching_loop(ufunc, [x.kind for x in numbers])
        values = [self.cast(x, kind).value for x, kind in zip(numbers, loop.inputs, strict=True)]
        (kind,), write = loop.outputs, get_ufunc_info(ufunc)[loop.ufunc_sig]
        if self.wraps and ufunc in _WRAPPING and isinstance(kind, types.Integer):
            return Number(self, getattr(self.b, _WRAPPING[ufunc])(*values), kind)
        return Number(self, write(self.context, self.b, kind(*loop.inputs), values), kind)

    def select(self, condition: Any, x: Any, y: Any) -> Number:
        """Write x or y, of one type, without a branch."""
        test, (x, y) = self.cast(condition, types.boolean), self.numbers(x, y)
        return Number(self, self.b.select(test.value, x.value, y.value), x.kind)

    # Memory

    def variable(self, kind: Any, start: Any) -> Number:
        """Write memory for one number that changes, which LLVM keeps in a register."""
        place = cgutils.alloca_once(self.b, self.context.get_data_type(kind))
        variable = Number(self, place, types.CPointer(kind))
        variable.write(start)
        return variable

    def temporary(self, kind: Any, size: int) -> Number:
        """Write memory that the program has for itself, for some numbers of a type."""
        array = ir.ArrayType(self.context.get_data_type(kind), size)
        place = ir.GlobalVariable(self.module, array, self.module.get_unique_name("temporary"))
        place.linkage, place.align, place.initializer = "internal", 64, ir.Constant(array, None)
        kind = types.CPointer(kind)
        return Number(self, self.b.bitcast(place, self.context.get_value_type(kind)), kind)

    # Loops and functions

    def loop(self, count: Any) -> Iterator[Number]:
        """Write a loop of what is done before the next number is asked for."""
        with cgutils.for_range(self.b, self.cast(count, types.int64).value) as loop:
            yield Number(self, loop.index, types.int64)

    def stop(self, condition: Number, result: Any) -> None:
        """Write a return of `result` where a condition holds."""
        with self.b.if_then(self.cast(condition, types.boolean).value, likely=False):
            self._return(result)

    def _return(self, result: Any) -> None:
        self.context.call_conv.return_value(self.b, self.cast(result, types.int64).value)

    def function(self, body: Any, args: Iterable[Number]) -> Number:
        """Write a function, which returns what `body` does with its arguments, and a call."""
        args, outer, convention = list(args), self.b, self.context.call_conv
        kinds = [x.kind for x in args]
        kind = convention.get_function_type(types.int64, kinds)
        function = ir.Function(self.module, kind, self.module.get_unique_name("native"))
        function.linkage = "internal"
        function.attributes.add("noinline")
        # no two memories of a function overlap; else LLVM would not vectorize their loops
        convention.decorate_function(function, [""] * len(args), kinds, noalias=True)
        self.b = ir.IRBuilder(function.append_basic_block())
        packer = self.context.get_arg_packer(kinds)
        values = packer.from_arguments(self.b, convention.get_arguments(function))
        self._return(body(*map(partial(Number, self), values, kinds)))
        self.b = outer
        values = [x.value for x in args]
        _, result = convention.call_function(outer, function, types.int64, kinds, values)
        return Number(self, result, types.int64)

    def gemm(self, dtype: Any, *args: Any) -> None:
        """Write a call of a product of matrices, which returns nothing."""
        name, number = GEMMS[dtype], TYPES[dtype]
        whole = types.int64 if name.endswith("64_") else types.int32
        matrix = (types.CPointer(number), whole)
        kinds = (*[types.int32] * 3, *[whole] * 3, number, *matrix, *matrix, number, *matrix)
        values = [self.cast(x, kind).value for x, kind in zip(args, kinds, strict=True)]
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        self.b.call(cgutils.get_or_insert_function(self.module, kind, name), values)
