"""A program as what native code does: loops over elements, products of matrices, updates, tests.

Views vanish into the addresses of what reads them. The other instructions become nodes, each of
which computes or updates a value that has memory of its own (a root).
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import ir
from tinygrad_fc.compiler.ir import CompileError, Value, leaves
from tinygrad_fc.compiler.numba_schedule import Layout, Node, placeholder
from tinygrad_fc.compiler.numba_spelling import CODES, SPELLED, cast, code, literal, spelling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.compiler.ir import Program

VIEWS = ir.VIEWS | {np.expand_dims, np.flip, np.moveaxis, np.ravel, np.squeeze, np.swapaxes}
REDUCTIONS = {
    np.sum: np.add,
    np.prod: np.multiply,
    np.max: np.maximum,
    np.min: np.minimum,
    np.any: np.logical_or,
    np.all: np.logical_and,
}
BOOLEAN = np.dtype(bool)


class Unsupported(CompileError):  # noqa: N818  it is an error by its base
    """An instruction that has no native form; NumPy runs the program then."""


def unsupported(value: Value, what: str = "") -> Unsupported:
    """Return the error for an instruction that has no native form."""
    name = getattr(value.function, "__name__", None) or str(value.function)
    op = f", in {value.origin.op}" if value.origin and value.origin.op != name else ""
    return Unsupported(
        f'the Numba backend has no {name}{what}{op}: compile with backend="numpy", which has '
        'every operation, or leave the choice to backend="auto"'
    )


def _index(part: Any) -> Any:
    if isinstance(part, list):
        part = Value(None, (), {}, np.asarray(part))
    if isinstance(part, bool) or (isinstance(part, Value) and part.dtype.kind not in "iu"):
        raise Unsupported("the Numba backend has no indexing by booleans")
    return part


def is_view(value: Value) -> bool:
    """Tell whether an instruction only selects or rearranges elements."""
    if value.function is operator.getitem:
        at = value.args[1] if isinstance(value.args[1], tuple) else (value.args[1],)
        return not any(isinstance(p, list | bool) for p in at) and not any(leaves(at))
    return value.function in VIEWS and not any(leaves((value.args[1:], value.kwargs)))


class Plan:
    """The nodes of a program in order, and what is known of its values."""

    def __init__(self, program: Program) -> None:
        self.program, self.layout = program, Layout()
        self.nodes: list[Node] = []
        self.constants: dict[Value, Any] = {}
        self.numbers: dict[Value, Any] = {}
        """The number that all elements of a constant are."""
        expected = dict(program.expects)
        for value in (*program.inputs, *program.instructions):
            self._check(value)
            for v in leaves((value.args, value.kwargs)):
                self._add_constant(v)
            if not value.is_input:
                self._add(value)
            if value in expected:
                text = f"b1({{0}}) != {expected[value]}"
                self._node("test", placeholder((), bool), [value], value.shape or (), text, "GUARD")
        for value in (*program.outputs, *(new for _, new in program.changes)):
            self._add_constant(value)

    def _check(self, value: Value) -> None:
        dtype = value.dtype
        if dtype is not None and (code(dtype) not in CODES or not dtype.isnative):
            raise Unsupported(
                f"the Numba backend computes in bool, integers, float32 and float64, and "
                f'{self.program.name} has an array of {dtype}. Compile it with backend="numpy", '
                "or convert the array first"
            )

    def _add(self, value: Value) -> None:
        """Add the nodes of an instruction."""
        function = value.function
        if function is ir.draw:
            if any(v.function is not None for v in leaves((value.args, value.kwargs))):
                raise unsupported(value, " with numbers that are computed")
            self._node("draw", value, [])
        elif not any(leaves((value.args, value.kwargs))):
            self._add_constant(value, np.asarray(function(*value.args, **value.kwargs)))
        elif is_view(value) and value.args[0] in self.numbers:
            self.numbers[value] = self.numbers[value.args[0]]
        elif is_view(value):
            if not self.layout.add_view(value, value.args[0]):
                self.layout.add_view(value, self.copy(value.args[0], value.dtype))
        else:
            self._reader(function)(value)

    def _reader(self, function: Any) -> Any:
        """Return the method that adds the nodes of a function."""
        ufunc = getattr(function, "__self__", None)
        if isinstance(ufunc, np.ufunc):
            return self._reduce if function == ufunc.reduce else self._plain
        for functions, reader in (
            (tuple(REDUCTIONS), self._reduce),
            ((np.dot, np.matmul, np.vdot), self._dot),
            ((ir.put, ir.add_at), self._put),
            ((np.concatenate, np.stack), self._join),
            ((np.argmax, np.argmin), self._extremum),
            ((np.cumsum, np.cumprod), self._running),
            ((ir.cast, np.full, np.copy, ir.item), self._cast),
            ((np.where,), self._where),
            ((np.clip,), self._clip),
            ((operator.getitem,), self._getitem),
        ):
            if any(function is f for f in functions):
                return reader
        return self._plain

    def _node(self, kind: str, out: Value, args: list[Value], *rest: Any, **more: Any) -> Value:
        self.nodes.append(Node(kind, out, args, *rest, **more))
        return out

    # Constants and texts

    def _add_constant(self, value: Value, array: Any = None) -> None:
        if array is None and (not value.is_constant or value in self.constants):
            return
        array = np.asarray(value.sample if array is None else array)
        self.constants[value] = np.ascontiguousarray(array).reshape(array.shape)
        if array.size and _is_uniform(array):
            self.numbers[value] = array.flat[0]

    def array(self, value: Value) -> Any:
        """Return the array of a constant that is read from memory."""
        if value not in self.constants:
            self.constants[value] = np.full(value.shape, self.numbers[value], value.dtype)
        return self.constants[value]

    def number(self, x: Any) -> Any:
        """Return the number that an argument is, everywhere and in each call; None for others."""
        if isinstance(x, Value):
            return self.numbers.get(x)
        return x if isinstance(x, bool | int | float | np.generic) else None

    def text(self, form: str, args: Sequence[Any], dtypes: Any) -> tuple[str, list[Value]]:
        """Return a spelling with casts and literals filled in, and the values that it reads."""
        texts, values = list[str](), list[Value]()
        for x, dtype in zip(args, dtypes, strict=True):
            number = self.number(x)
            if number is not None:
                whole = isinstance(number, int) and dtype.kind in "iu"
                if whole and not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
                    raise Unsupported(f"the Numba backend has no {number} as a {dtype}")
                with np.errstate(all="ignore"):
                    texts.append(literal(np.asarray(number).astype(dtype).item(), dtype))
            elif isinstance(x, Value):
                texts.append(cast(f"{{{len(values)}}}", x.dtype, dtype))
                values.append(x)
            else:
                raise Unsupported(f"the Numba backend cannot compute with {x!r:.80}")
        return form.format(*texts), values

    def elementwise(self, out: Value, form: str, args: Sequence[Any], *dtypes: Any) -> Value:
        """Add an operation on each element of arguments, cast to `dtypes` or that of the result."""
        text, values = self.text(form, args, dtypes or [out.dtype] * len(args))
        return self._node("elementwise", out, values, out.shape or (), text)

    def copy(self, value: Value, dtype: Any) -> Value:
        """Add a copy of a value, cast to `dtype`, that has memory of its own."""
        return self.elementwise(placeholder(value.shape or (), dtype), "{0}", [value])

    def update(self, out: Value, at: Any, source: Any, form: str = "{0}") -> None:
        """Add a change of the elements of `out` that an index selects."""
        text, values = self.text(form.replace("{old}", "{{old}}"), [source], [out.dtype])
        at, shape, reads = self._index(out, at)
        self._node("update", out, [*values, *reads, out], shape, text, at=at)

    # Elementwise functions

    def _plain(self, value: Value) -> None:
        function, args = getattr(value.function, "function", value.function), value.args
        if value.shape is None:  # Python computes with numbers
            kinds = {x.dtype.kind if isinstance(x, Value) else np.dtype(type(x)).kind for x in args}
            common = np.dtype(float if "f" in {*kinds, value.dtype.kind} else int)
            dtypes: Any = (*[common] * len(args), value.dtype)
        elif isinstance(function, np.ufunc) and function.nout == 1:
            dtypes = function.resolve_dtypes((*map(_promoted, args), None))
        else:
            dtypes = (value.dtype,) * (len(args) + 1)
        exponent = self.number(args[1]) if len(args) == 2 else None
        form = spelling(function, dtypes, exponent) if function in SPELLED else None
        if form is None or value.kwargs.keys() - {"dtype"}:
            raise unsupported(value)
        self.elementwise(value, cast(form, dtypes[-1], value.dtype), args, *dtypes[:-1])

    def _cast(self, value: Value) -> None:
        self.elementwise(value, "{0}", [value.args[1 if value.function is np.full else 0]])

    def _where(self, value: Value) -> None:
        self.elementwise(
            value, "select({0}, {1}, {2})", value.args, BOOLEAN, value.dtype, value.dtype
        )

    def _clip(self, value: Value) -> None:
        x, low, high = _arguments(value, a=None, a_min=None, a_max=None)
        for function, bound in ((np.maximum, low), (np.minimum, high)):
            if bound is not None:
                x = self.elementwise(
                    placeholder(value.shape, value.dtype), SPELLED[function], [x, bound]
                )
        self.elementwise(value, "{0}", [x])

    # Reductions and products

    def _reduce(self, value: Value) -> None:
        axis = 0 if isinstance(getattr(value.function, "__self__", None), np.ufunc) else None
        function = REDUCTIONS.get(value.function) or value.function.__self__
        x, axis, *_, initial, where = _arguments(
            value, a=None, axis=axis, dtype=None, out=None, keepdims=False, initial=None, where=True
        )
        if function not in REDUCTIONS.values() or where is not True or isinstance(initial, Value):
            raise unsupported(value, " of this kind")
        self._reduction(value, [x], axis, function, initial)

    def _reduction(
        self, out: Value, args: Any, axis: Any, function: Any, initial: Any = None
    ) -> Value:
        if function is np.add and out.dtype == np.float32:  # long sums lose too many digits
            total = placeholder(out.shape or (), float)
            return self.elementwise(
                out, "{0}", [self._reduction(total, args, axis, function, initial)]
            )
        shape = args[0].shape
        axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        text, values = self.text(("{0}", "{0}, {1}")[len(args) - 1], args, [out.dtype] * len(args))
        if initial is None:
            initial = _first(function, out.dtype)
        gone = frozenset(a % len(shape) for a in axes)
        return self._node("reduce", out, values, shape, text, function, gone, initial=initial)

    def _dot(self, value: Value) -> None:
        x, y, _ = _arguments(value, a=None, b=None, out=None)
        a, b = (v.shape or () if isinstance(v, Value) else () for v in (x, y))
        if not a or not b:
            self.elementwise(value, "{0} * {1}", (x, y))
        elif value.function is np.vdot or len(a) == len(b) == 1:
            if a != b:
                raise unsupported(value, f" of shapes {a} and {b}")
            self._reduction(value, [x, y], None, np.add)
        elif self.number(x) == 1 and len(a) == 1 and len(b) == 2:
            self._reduction(value, [y], 0, np.add)
        elif self.number(y) == 1 and len(b) == 1:
            self._reduction(value, [x], -1, np.add)
        elif value.function is np.dot and len(b) > 2:
            raise unsupported(value, f" of shapes {a} and {b}")
        else:
            args = [self._packed(v, value.dtype) for v in (x, y)]
            self._node("product", value, args, value.shape)

    def _packed(self, value: Value, dtype: Any) -> Value:
        """Return a factor as BLAS can read it: of the right dtype, one axis without gaps."""
        strides = self.layout.where(value).strides[-2:]
        thin = len(strides) < 2 or 1 in value.shape[-2:]
        if value.dtype == dtype and (thin or (1 in strides and min(strides) > 0)):
            return value
        return self.copy(value, dtype)

    def _extremum(self, value: Value) -> None:
        """Add the first place of a NaN or of the extreme element, as the smallest such number."""
        x, axis, *_ = _arguments(value, a=None, axis=None, out=None, keepdims=False)
        if axis is None:
            shape: Any = ()
            places = np.arange(x.size).reshape(x.shape)
        else:
            axis %= len(x.shape)
            shape = tuple(1 if k == axis else n for k, n in enumerate(x.shape))
            places = np.arange(x.shape[axis]).reshape(
                [-1 if k == axis else 1 for k in range(len(x.shape))]
            )
        function = np.maximum if value.function is np.argmax else np.minimum
        best = self._reduction(placeholder(shape, x.dtype), [x], axis, function)
        at = Value(None, (), {}, places)
        self._add_constant(at)
        place = placeholder(x.shape, np.int64)
        form = f"select(({{0}} == {{1}}) | ({{0}} != {{0}}), {{2}}, {x.size})"
        self.elementwise(place, form, [x, best, at], x.dtype, x.dtype, np.dtype(np.int64))
        self._reduction(value, [place], axis, np.minimum)

    # Indexing

    def _getitem(self, value: Value) -> None:
        at, shape, reads = self._index(*value.args)
        self._node("gather", value, [value.args[0], *reads], shape, "", at=at)

    def _put(self, value: Value) -> None:
        self.elementwise(value, "{0}", [value.args[0]])
        adds = value.function is ir.add_at
        form = cast("{old} + {0}", np.dtype(int), value.dtype) if adds else "{0}"
        self.update(value, value.args[1], value.args[2], form)

    def _join(self, value: Value) -> None:
        arrays, axis, *_ = _arguments(value, arrays=None, axis=0, out=None, dtype=None)
        if axis is None:
            raise unsupported(value, " with axis None")
        before, start = (slice(None),) * (axis % len(value.shape)), 0
        for k, array in enumerate(arrays):
            if value.function is np.stack:
                self.update(value, (*before, k), array)
            else:
                stop = start + array.shape[axis]
                self.update(value, (*before, slice(start, stop)), array)
                start = stop

    def _running(self, value: Value) -> None:
        """Add sums or products of all elements so far: each takes in the one before it."""
        x, axis, *_ = _arguments(value, a=None, axis=None, dtype=None, out=None)
        if axis is None and len(x.shape) != 1:
            raise unsupported(value, " with axis None")
        self.elementwise(value, "{0}", [x])
        before = (slice(None),) * ((axis or 0) % len(x.shape))
        at = (*before, slice(None, -1))
        previous = Value(operator.getitem, (value, at), {}, np.empty(x.shape, value.dtype)[at])
        self.layout.add_view(previous, value)
        sign = "+" if value.function is np.cumsum else "*"
        form = cast(f"{{old}} {sign} {{0}}", np.dtype(int), value.dtype)
        self.update(value, (*before, slice(1, None)), previous, form)

    def _index(self, base: Value, at: Any) -> tuple[Any, tuple[int, ...], list[Value]]:
        """Return an index with arrays as values, what shape it selects, and what it reads.

        Index arrays are tested first, so the results of tests are read, too.
        """
        if any(v.shape is None for v in leaves(at)):
            raise Unsupported("the Numba backend has no indexing by a number that is computed")
        at = tuple(map(_index, at if isinstance(at, tuple) else (at,)))
        shape, _, arrays = self.layout.picked(base, at)
        reads = [pick.array for pick in arrays]
        for index, _, size, _ in arrays:
            self._add_constant(index)
            if not index.is_constant:
                text, test = f"({{0}} < -{size}) | ({{0}} >= {size})", placeholder((), bool)
                reads.append(self._node("test", test, [index], index.shape, text, "OUTSIDE"))
        return at, shape, reads


def _arguments(value: Value, **defaults: Any) -> list[Any]:
    """Return the arguments of a call in order, with defaults for those that are missing."""
    known = {**defaults, **dict(zip(defaults, value.args, strict=False)), **value.kwargs}
    if known.keys() != defaults.keys() or known.get("out") is not None:
        raise unsupported(value, f" with {', '.join(value.kwargs)}")
    return [defaults[k] if v is np._NoValue else v for k, v in known.items()]


def _promoted(x: Any) -> Any:
    """Return a dtype, or for a Python number the type by which NumPy gives way to arrays."""
    if isinstance(x, np.generic) or (isinstance(x, Value) and x.shape is not None):
        return x.dtype
    dtype = x.dtype if isinstance(x, Value) else np.dtype(type(x))
    return dtype if dtype.kind == "b" else type(dtype.type(0).item())


def _is_uniform(array: Any) -> bool:
    """Tell whether all elements are one number, of one sign."""
    first = array.flat[0]
    same = array == first if first == first else array != array  # noqa: PLR0124  a NaN
    signs = array.dtype.kind != "f" or len(set(np.signbit(array).flat)) == 1
    return bool(np.all(same)) and signs


def _first(function: Any, dtype: Any) -> Any:
    """Return what a reduction begins with."""
    if function.identity is not None:
        return function.identity
    sign = -1 if function is np.maximum else 1
    if dtype.kind == "f":
        return sign * math.inf
    return sign > 0 if dtype.kind == "b" else getattr(np.iinfo(dtype), "min" if sign < 0 else "max")
