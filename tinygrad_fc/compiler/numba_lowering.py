"""A program as statements in loops: what native code does for each instruction.

A view becomes an address that the statements which read it compute. Every other instruction becomes
a statement: it computes or updates one value that has memory of its own (an owner). An operation on
elements is a function of numbers, cast to the types in which NumPy computes.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba.np.ufunc_db import get_ufuncs
from numpy.lib.stride_tricks import as_strided

from tinygrad_fc.compiler import instructions
from tinygrad_fc.compiler.instructions import entry_of, uniform
from tinygrad_fc.compiler.ir import CompileError, Value, leaves, operands, sample_of
from tinygrad_fc.compiler.numba_codegen import GEMMS, TYPES, add_product
from tinygrad_fc.core.pytree import mapped

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program

LOOPED = 1 << 15
"""Multiplications up to which a product is done by loops, which then beat a call of BLAS."""
TALL = 1 << 10
"""The largest number of elements of a matrix with more rows than columns that is column-major.

A product by BLAS with fewer rows than columns is column-major up to eight times this number.
"""
BOOLEAN = np.dtype(bool)
INEXACT_KINDS: dict[Any, str] = {
    **dict.fromkeys((np.power, np.floor_divide, np.remainder, np.fmod), "iu"),
    np.sign: "u",
}
"""Kinds of integers for which a function of Numba is not NumPy's: the least number % -1 ends the
process, and Numba's sign of unsigned numbers is -1."""


class NoNativeForm(CompileError):  # noqa: N818  it is an error by its base
    """An instruction that has no native form; NumPy runs the program then."""


def unsupported(value: Value, what: str = "") -> NoNativeForm:
    """Return the error for an instruction that has no native form."""
    name = getattr(value.function, "__name__", "such input")
    op = f", in {value.origin.op}" if value.origin.op else ""
    return NoNativeForm(f'the Numba backend has no {name}{what}{op}: compile with backend="numpy"')


def operation(function: Any) -> Any:
    """Return what a function does with numbers; None where it has no native form."""
    known = function in get_ufuncs() and function.nout == 1
    return entry_of(function).native or (function if known else None)


COPY = operation(instructions.cast)


# Statements


@dataclass(eq=False)
class Statement:
    """What computes or updates the value `out` from the values `args`, in loops over `shape`.

    `kind` is "elementwise" (`function` of an element of each argument, cast to `dtype`), "reduce"
    (by `function` over `axes` of `base`, a view of the result, whose elements start at `initial`),
    "product" (the same, of two matrices), "gemm" (a product by BLAS), "update" (of elements of
    `base`) or "test" (the program does not fit where the result is true). The index arrays `at`
    select elements of `base`; the program does not fit where they are out of bounds, either.
    """

    kind: str
    out: Value
    function: Any
    args: list[Any]
    dtype: Any
    shape: tuple[int, ...]
    axes: frozenset[int] = frozenset()
    initial: Any = None
    base: Any = None
    at: tuple[Value, ...] = ()
    group: int = 0
    """The index of its group in `NumbaPrinter.groups`."""

    @property
    def reads(self) -> list[Value]:
        """The values whose memory the statement uses, apart from the memory of its result."""
        return [*self.args, *self.at, *([self.base] if self.base else [])]


def placeholder(shape: Any, dtype: Any) -> Value:
    """Return a new value that no instruction of the program computes."""
    return Value(placeholder, (), {}, np.broadcast_to(np.zeros((), dtype), shape or ()))


class Lowering:
    """The statements of a program in order, the memory of its values, and its constants."""

    def __init__(self, program: Program) -> None:
        self.statements: list[Statement] = []
        self.draws: list[Value] = []
        self.constants: dict[Value, Any] = {}
        self._memory: dict[Value, tuple[Value, Any]] = {}
        fixed = {*program.outputs, *(value for _, value in program.changes)}
        self._columns = {v for v in program.instructions if _is_by_columns(v) and v not in fixed}
        expected = dict(program.expects)
        for value in (*program.inputs, *program.instructions):
            if value.dtype is not None and not _is_native(value):
                raise unsupported(value, f" of {value.dtype}")
            if not value.is_input:
                self._add(value)
            if value in expected:
                wrong, args = placeholder(value.shape, BOOLEAN), [value, expected[value]]
                self.emit("test", wrong, np.not_equal, args)

    def _add(self, value: Value) -> None:
        """Add the statements of an instruction."""
        function, inputs = value.function, operands(value)
        if function is instructions.rng_call:
            if not all(v.is_constant for v in inputs[1:]):
                raise unsupported(value, " with numbers that are computed")
            self.draws.append(value)
        elif all(self.constant(v) is not None for v in inputs):
            args, kwargs = mapped(self.constant, value.args), mapped(self.constant, value.kwargs)
            with np.errstate(all="ignore"):
                self.constants[value] = np.asarray(function(*args, **kwargs))
        elif value.is_view and not leaves(value.args[1:]) and not value.kwargs:
            base, *args = value.args
            self.view(base, function, *args, value=value)
        else:
            getattr(self, entry_of(function).lowered or "plain")(value)

    def emit(
        self, kind: str, out: Value, function: Any, args: Any, dtype: Any = None, **more: Any
    ) -> Value:
        """Add a statement; its loops have the dtype and shape of `out` unless `more` has others."""
        dtype = dtype or out.dtype
        more.setdefault("shape", out.shape or ())
        args = [self._argument(x, dtype) for x in args]
        self.statements.append(Statement(kind, out, function, args, dtype, **more))
        return out

    # Memory

    def memory(self, value: Value) -> tuple[Value, Any]:
        """Return the owner of a value's memory, and an array of bytes with the value's layout."""
        if value not in self._memory:
            array = np.empty(value.shape or (), np.int8, "F" if value in self._columns else "C")
            if value.is_input and value.shape:
                strides = [s // value.dtype.itemsize for s in value.strides]
                array = as_strided(array, strides=strides)
            self._memory[value] = value, array
        return self._memory[value]

    def view(self, base: Value, function: Any, *args: Any, value: Any = None) -> Any:
        """Return a value that is a view of another one, or of its copy where NumPy would copy."""
        owner, array = self.memory(base)
        view = function(array, *args)
        if view.size and not np.may_share_memory(view, array):
            owner, array = self.memory(self.copy(base, base.dtype))
            view = function(array, *args)
        value = value or placeholder(view.shape, base.dtype)
        self._memory[value] = owner, view
        return value

    def owner(self, value: Value) -> Value:
        """Return the value in whose memory a value is."""
        return self.memory(value)[0]

    def offset_and_strides(self, value: Value, over: Any = None) -> tuple[int, Any]:
        """Return the place of the first element of a value in its memory, and the strides.

        The value is broadcast to a shape.
        """
        owner, array = self.memory(value)
        view = np.broadcast_to(array, array.shape if over is None else over)
        start = view.ctypes.data - self.memory(owner)[1].ctypes.data
        strides = tuple(0 if n == 1 else s for n, s in zip(view.shape, view.strides, strict=True))
        return start if view.size else 0, strides

    def blas(self, value: Value) -> tuple[int, int]:
        """Return BLAS's flag (111 as it is, 112 transposed, 0 copied) and leading dimension."""
        flags = self.memory(value)[1].flags
        if self.offset_and_strides(value)[0] or not flags.forc:
            return 0, 0
        return (111, value.shape[1]) if flags.c_contiguous else (112, value.shape[0])

    # Constants

    def constant(self, x: Any) -> Any:
        """Return the array of a constant, None for other values; other arguments as they are."""
        if isinstance(x, Value):
            return x.sample if x.is_constant else self.constants.get(x)
        return x

    def number(self, x: Any) -> Any:
        """Return the number that an argument is, everywhere and in each call; None for others."""
        array = self.constant(x)
        return uniform(array) if isinstance(array, np.ndarray) else array

    def _argument(self, x: Any, dtype: np.dtype[Any]) -> Any:
        """Return an argument of a statement; a number is a constant of `dtype` without axes."""
        number = self.number(x)
        if number is None:
            return x
        with np.errstate(all="ignore"):
            array = np.asarray(number).astype(dtype)
        if dtype.kind in "iu" and array != number:
            raise NoNativeForm(f'the Numba backend has no {number} of {dtype}: use backend="numpy"')
        return Value(None, (), {}, array)

    def copy(self, value: Value, dtype: Any) -> Value:
        """Add a copy of a value, cast to `dtype`, that has memory of its own."""
        return self.emit("elementwise", placeholder(value.shape, dtype), COPY, [value])

    # Functions of elements

    def plain(self, value: Value) -> None:
        """Add an operation on elements."""
        function, args, dtype = value.function, value.args, value.dtype
        args = {np.full: args[1:2], instructions.cast: args[:1]}.get(function, args)
        if dtype == BOOLEAN and function not in (instructions.cast, np.full):  # a comparison
            dtype = np.result_type(*map(_promoted, args))
        native = operation(function)
        of_number = function is np.remainder and self.number(args[1]) is not None
        wrong = dtype.kind in INEXACT_KINDS.get(function, "") and not of_number
        if native is None or value.kwargs or wrong:
            raise unsupported(value)
        if function is np.where and self.constant(args[0]) is None:
            args = self.copy(args[0], BOOLEAN), *args[1:]
        self.emit("elementwise", value, native, args, dtype)

    # Reductions and products

    def reduce(self, value: Value) -> None:
        """Add a reduction by a ufunc."""
        function, x, axis = value.function.__self__, value.args[0], value.kwargs.get("axis", 0)
        if value.kwargs.keys() - {"axis", "keepdims"}:
            raise unsupported(value, " of this kind")
        axes = range(len(x.shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        self._reduction(value, [x], axes, function)

    def _reduction(
        self, out: Value, args: list[Any], axes: Any, function: Any = np.add, kind: str = "reduce"
    ) -> Value:
        """Add a reduction of the elements of an argument, or of the products of two arguments."""
        long = kind == "reduce" and function is np.add and out.dtype == np.float32
        dtype = np.dtype(float) if long else out.dtype  # long sums lose too many digits
        shape = np.broadcast_shapes(*(v.shape for v in args))
        axes = frozenset(a % len(shape) for a in axes if shape)
        dropped = axes if len(out.shape or ()) < len(shape) else ()
        more = {"base": self.view(out, np.expand_dims, tuple(dropped)), "shape": shape}
        more |= {"axes": axes, "initial": _first(function, dtype)}
        native = add_product if function is np.add else operation(function)
        return self.emit(kind, out, native, args, dtype, **more)

    def dot(self, value: Value) -> None:
        """Add a product of matrices or vectors."""
        x, y = value.args
        a, b = _shapes(value)
        outer = value.function is not np.vdot and len(a) == len(b) == 2 and a[1] == 1
        if not a or not b or outer:
            self.emit("elementwise", value, np.multiply, (x, y))
        elif value.function is np.vdot and a == b:
            self._reduction(value, [x, y], range(len(a)))
        elif self.number(x) == 1 and len(a) == 1 and len(b) == 2:  # sums of columns
            self._reduction(value, [y], (0,))
        elif value.function is np.vdot or (value.function is np.dot and len(b) > 2):
            raise unsupported(value, f" of shapes {a} and {b}")
        elif _is_by_blas(value) and value.dtype in GEMMS:
            args = [self._packed(v, value.dtype) for v in (x, y)]
            self.statements.append(Statement("gemm", value, None, args, value.dtype, value.shape))
        else:  # as sums over the last axis
            if x.is_input and _is_by_columns(x):
                x = self.copy(x, x.dtype)
                self._columns.add(x)
            y = self.view(y, np.swapaxes, -1, -2) if len(b) > 1 else y
            if len(a) > 1 and len(b) > 1:
                x, y = self.view(x, np.expand_dims, -2), self.view(y, np.expand_dims, -3)
            self._reduction(value, [x, y], (-1,), kind="product")

    def _packed(self, value: Value, dtype: Any) -> Value:
        """Return a matrix as BLAS can read it."""
        fits = value.dtype == dtype and self.blas(value)[0]
        return value if fits else self.copy(value, dtype)

    def extremum(self, value: Value) -> None:
        """Add the first place of a NaN or of the extreme element, as the smallest such number."""
        x, axis = value.args[0], value.kwargs.get("axis")
        axes = range(len(x.shape)) if axis is None else (axis % len(x.shape),)
        function = np.maximum if value.function is np.argmax else np.minimum
        shape = [1 if k in axes else n for k, n in enumerate(x.shape)]
        best = self._reduction(placeholder(shape, x.dtype), [x], axes, function)
        sizes = [n if k in axes else 1 for k, n in enumerate(x.shape)]
        at = Value(None, (), {}, np.arange(math.prod(sizes)).reshape(sizes))
        places, end = placeholder(x.shape, np.int64), x.size
        is_best = self.emit("elementwise", placeholder(x.shape, bool), _is_best, [x, best], x.dtype)
        self.emit("elementwise", places, np.where, [is_best, at, end])
        self._reduction(value, [places], axes, np.minimum)

    # Indexing

    def gather(self, value: Value) -> None:
        """Add a selection of rows by index arrays."""
        base = value.args[0]
        self.emit("elementwise", value, COPY, [base], base=base, at=self._rows(value))

    def put(self, value: Value) -> None:
        """Add a copy, and the change of some of its elements."""
        base, at, source = value.args
        self.emit("elementwise", value, COPY, [base])
        adds = value.function is instructions.add_at
        if leaves(at):
            self.update(value, source, self._rows(value), adds=adds)
        else:
            self.update(self.view(value, operator.getitem, at), source, adds=adds)

    def update(self, target: Value, source: Any, at: Any = (), *, adds: bool = False) -> None:
        """Add a change of the elements of a view, or of the rows that index arrays select."""
        shape = *np.broadcast_shapes(*(p.shape for p in at)), *(target.shape or ())[len(at) :]
        function, args = (np.add, [target, source]) if adds else (COPY, [source])
        self.emit("update", self.owner(target), function, args, shape=shape, base=target, at=at)

    def join(self, value: Value) -> None:
        """Add an array of the parts of others."""
        axis, arrays = value.kwargs.get("axis", 0) % len(value.shape), value.args[0]
        if value.function is np.stack:
            arrays = [self.view(array, np.expand_dims, axis) for array in arrays]
        ends = np.cumsum([array.shape[axis] for array in arrays])
        for array, end in zip(arrays, ends, strict=True):
            at = (*[slice(None)] * axis, slice(end - array.shape[axis], end))
            self.update(self.view(value, operator.getitem, at), array)

    def _rows(self, value: Value) -> tuple[Value, ...]:
        """Return index arrays of the first axes."""
        at = value.args[1]
        at = at if isinstance(at, tuple) else (at,)
        at = tuple(Value(None, (), {}, np.asarray(p)) if isinstance(p, list) else p for p in at)
        if any(not isinstance(p, Value) or not p.shape or p.dtype.kind not in "iu" for p in at):
            raise unsupported(value, " but by arrays of integers for the first axes")
        return at


def _is_best(x: Any, best: Any) -> Any:
    return (x == best) | np.isnan(x)


def _shapes(value: Value) -> list[tuple[int, ...]]:
    return [tuple(getattr(x, "shape", None) or ()) for x in value.args]


def _is_by_blas(value: Value) -> bool:
    """Return whether a product is one of two matrices that BLAS computes faster than loops."""
    a, b = _shapes(value)
    matrices = len(a) == len(b) == 2 and value.dtype.kind == "f"
    return matrices and a[0] * a[1] * b[1] > LOOPED


def _is_by_columns(value: Value) -> bool:
    """Return whether a matrix is to be column-major: loops over its rows are vectorized then."""
    shape = tuple(value.shape or ())
    if value.function in (np.dot, np.matmul) and _is_by_blas(value):
        transposed = getattr(value.args[1], "function", None) is np.transpose
        # BLAS writes the columns of few rows faster, in up to half the time
        return transposed and shape[0] < shape[1] and value.size <= 8 * TALL
    tall = len(shape) == 2 and shape[0] > shape[1] and value.size <= TALL
    return tall and value.function is not instructions.rng_call


def _promoted(x: Any) -> Any:
    """Return a dtype, or a Python number, which gives way to arrays."""
    return x.dtype if isinstance(x, Value) and x.shape is not None else sample_of(x)


def _is_native(value: Value) -> bool:
    """Return whether native code has the dtype, at places that are multiples of its size."""
    dtype, strides = value.dtype, (value.is_input and value.strides) or ()
    return dtype in TYPES and not any(s % dtype.itemsize for s in strides)


def _first(function: Any, dtype: Any) -> Any:
    """Return what a reduction begins with."""
    if function.identity is not None:
        return function.identity
    ends = {"f": (-math.inf, math.inf), "b": (False, True)}.get(dtype.kind)
    ends = ends or (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return ends[function is np.minimum]
