"""Programs of random instructions over small integers, on which floats are exact.

So every order of summation gives the same result, and a kernel must agree with NumPy to the bit.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_fc.compiler.instructions import add_at, cast, put
from tinygrad_fc.compiler.ir import Program, ProgramBuilder, Source, Value, leaves, operands

DTYPES = (np.float64, np.float32, np.int64, np.int32, np.bool_)
SHAPES = ((), (1,), (3,), (3, 5), (5, 3), (1, 5), (3, 1), (2, 3, 5), (0, 5), (40, 3), (3, 40))
UNARY = (
    *(np.negative, np.absolute, np.sign, np.square, np.floor, np.rint, np.isnan, np.isfinite),
    *(np.logical_not, np.ceil, np.trunc),
)
BINARY = (
    *(np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.less, np.less_equal, np.greater),
    *(np.equal, np.not_equal, np.logical_and, np.logical_or, np.bitwise_and, np.bitwise_xor),
)
REDUCED = (np.add, np.multiply, np.maximum, np.minimum, np.logical_and, np.logical_or)
LARGEST = 2**16


def spread(array: Any) -> Any:
    """Return a copy of an array with gaps between its elements."""
    return np.repeat(array[..., None], 2, axis=-1)[..., 1]


class Drawing:
    """A program that is being drawn."""

    def __init__(self, draw: Any) -> None:
        self.draw, self.graph = draw, ProgramBuilder()
        self.values: list[Value] = []
        for k in range(draw(st.integers(1, 4))):
            array = self.array(self.one(SHAPES), self.one(DTYPES))
            array = self.one((np.ascontiguousarray, np.asfortranarray, spread))(array)
            self.values.append(self.graph.input(Source("argument", k), array))
        if self.chance():
            number = float(draw(st.integers(-3, 3)))
            self.values.append(self.graph.input(Source("option", 0), number))

    def one(self, options: Any) -> Any:
        """Draw one of some options."""
        return self.draw(st.sampled_from(list(options)))

    def chance(self) -> bool:
        """Draw a boolean."""
        return bool(self.draw(st.booleans()))

    def array(self, shape: tuple[int, ...], dtype: Any, low: int = -3, high: int = 3) -> Any:
        """Draw an array of small integers."""
        rng = np.random.default_rng(self.draw(st.integers(0, 2**16)))
        return np.asarray(rng.integers(low, high + 1, shape), dtype)

    def value(self, fits: Callable[[Value], Any] = lambda v: True) -> Value:
        """Draw an array among the values so far, the latest ones first."""
        options = [v for v in self.values if v.shape is not None and fits(v)]
        if not options:
            raise LookupError
        return options[-1 - min(self.draw(st.integers(0, 6)), len(options) - 1)]

    def beside(self, *others: Value) -> Value:
        """Draw a value that broadcasts with others."""

        def fits(value: Value) -> bool:
            try:
                np.broadcast_shapes(value.shape, *(v.shape or () for v in others))
            except ValueError:
                return False
            return True

        return self.value(fits)

    def add(self) -> None:
        """Draw an instruction; leave it out where NumPy refuses it or numbers become large."""
        try:
            function, args, kwargs = getattr(self, self.one(_KINDS))()
            with np.errstate(all="ignore"):
                value = self.graph.emit(function, args, kwargs)
        except (LookupError, ValueError, TypeError, OverflowError):
            return
        sample = np.asarray(value.sample, float)
        if (
            value.dtype.char in "?bilqfd"
            and sample.size <= 3000
            and (np.abs(sample) < LARGEST).all()
        ):
            self.values.append(value)

    # Kinds of instructions

    def unary(self) -> Any:
        return self.one(UNARY), (self.value(),), {}

    def binary(self) -> Any:
        x = self.value()
        numbers = [v for v in self.values if v.shape is None]
        y = self.one([self.beside(x), self.draw(st.integers(-3, 3)), *numbers])
        return self.one(BINARY), (x, y) if self.chance() else (y, x), {}

    def where(self) -> Any:
        condition = self.value(lambda v: v.dtype == bool)
        x = self.beside(condition)
        return np.where, (condition, x, self.beside(condition, x)), {}

    def cast(self) -> Any:
        return cast, (self.value(), np.dtype(self.one(DTYPES))), {}

    def constant(self) -> Any:
        shape, dtype = self.one(SHAPES), self.one(DTYPES)
        array = self.array(shape, dtype)
        self.values.append(self.graph.constant(array if self.chance() else np.full_like(array, 2)))
        raise LookupError

    def filled(self) -> Any:
        x = self.value()
        if self.chance():
            return np.zeros, (x.shape, x.dtype), {}
        value = self.one([v for v in self.values if v.shape in ((), None)] or [2])
        return np.full, (x.shape, value, np.dtype(float)), {}

    def view(self) -> Any:
        x = self.value()
        if self.chance():
            return np.transpose, (x, tuple(self.draw(st.permutations(range(len(x.shape)))))), {}
        if self.chance():
            shape = self.one([(-1,), (1, -1), (3, -1), (-1, 5), x.shape[::-1]])
            return np.reshape, (x, np.empty(x.shape, bool).reshape(shape).shape), {}
        if self.chance():
            return np.broadcast_to, (x, (2, *x.shape)), {}
        return operator.getitem, (x, self.slices(x)), {}

    def slices(self, x: Value) -> tuple[Any, ...]:
        """Draw a basic index."""
        parts = (slice(None, None, -1), slice(1, None), slice(None, None, 2), slice(None), 0, -1)
        at = tuple(self.one(parts) if size else slice(None) for size in x.shape)
        # With ..., since NumPy copies one element otherwise; the tracer adds it, too.
        return self.one([(*at, ...), (*at, None), (..., *at[-1:])])

    def reduce(self) -> Any:
        x = self.value()
        axes = (
            st.lists(st.sampled_from(range(len(x.shape))), unique=True) if x.shape else st.just([])
        )
        axis = self.one([None, tuple(self.draw(axes)), -1 if x.shape else None])
        return self.one(REDUCED).reduce, (x,), {"axis": axis, "keepdims": self.chance()}

    def product(self) -> Any:
        x = self.value(lambda v: v.shape and v.dtype != bool)
        y = self.value(lambda v: v.shape and v.dtype != bool and x.shape[-1] in v.shape[-2:])
        functions = [np.matmul]
        functions += [np.dot] * (len(y.shape) < 3) + [np.vdot] * (x.shape == y.shape)
        return self.one(functions), (x, y), {}

    def extremum(self) -> Any:
        x = self.value(lambda v: v.sample.size and v.shape)
        axis = self.one([None, *range(len(x.shape))])
        return self.one((np.argmax, np.argmin)), (x,), {"axis": axis, "keepdims": self.chance()}

    def join(self) -> Any:
        x = self.value(lambda v: v.shape)
        y = self.value(lambda v: v.shape == x.shape)
        axis = self.one(range(-len(x.shape), len(x.shape)))
        return self.one((np.stack, np.concatenate)), ((x, y, x),), {"axis": axis}

    def index(self, x: Value) -> Any:
        """Draw an index with arrays of row numbers, some of them computed."""
        shape = self.one(((3,), (2, 2), (2, 1)))

        def rows(size: int) -> Value:
            computed = [
                v
                for v in self.values
                if v.shape and v.dtype.kind == "i" and 0 < v.sample.size < 50
                and -size <= v.sample.min() <= v.sample.max() < size
            ]  # fmt: skip
            return self.one(
                [self.graph.constant(self.array(shape, np.int64, -size, size - 1)), *computed]
            )

        if 0 in x.shape or not x.shape:
            raise LookupError
        at = rows(x.shape[0])
        if len(x.shape) < 2:
            return at
        beside = rows(x.shape[1])
        np.broadcast_shapes(at.shape, beside.shape)
        return self.one([at, (at, beside)])

    def gather(self) -> Any:
        x = self.value(lambda v: v.shape)
        return operator.getitem, (x, self.index(x)), {}

    def put(self) -> Any:
        x = self.value(lambda v: v.shape and v.dtype != bool)
        at = self.index(x) if self.chance() else self.slices(x)
        if self.chance():
            # NumPy crashes where the values have more dimensions than the elements.
            ndim = len(self.graph.emit(operator.getitem, (x, at)).shape)
            value = self.value(
                lambda v: len(v.shape) <= ndim and np.can_cast(v.dtype, x.dtype, "same_kind")
            )
            return add_at, (x, at, value), {}
        return put, (x, at, self.draw(st.integers(-3, 3))), {}


_KINDS = (
    *("unary", "binary", "binary", "binary", "where", "cast", "constant", "filled", "view", "view"),
    *("reduce", "reduce", "product", "product", "extremum", "join", "gather"),
    *("put",),
)


@st.composite
def programs(draw: Any, instructions: int = 24) -> Program:
    """Draw a program that returns some values, changes some inputs, and may expect a truth."""
    drawing = Drawing(draw)
    inputs, graph = list(drawing.graph.program.inputs), drawing.graph
    for _ in range(draw(st.integers(1, instructions))):
        drawing.add()
    arrays = [v for v in drawing.values if v.shape is not None]
    outputs = draw(st.lists(st.sampled_from(arrays), min_size=1, max_size=5))
    changes = []
    for old in inputs:
        like = [v for v in arrays if v is not old and (v.shape, v.dtype) == (old.shape, old.dtype)]
        if old.shape is not None and like and drawing.chance():
            changes.append((old, drawing.one(like)))
    truths = [v for v in graph.program.instructions if v.shape == () and v.dtype == bool]
    expects = [(v, bool(v.sample)) for v in truths[:1]]
    needed = set(leaves([outputs, changes, expects]))
    program = Program("drawn", inputs, [], expects, changes, outputs)
    for value in reversed(graph.program.instructions):
        if value in needed:
            needed.update(operands(value))
            program.instructions.insert(0, value)
    return program


def arrays_of(program: Program) -> list[Any]:
    """Return inputs for a program, in memory of their own: those of its samples."""
    samples = [v.sample for v in program.inputs]
    copies = (np.array(x) if np.asarray(x).flags.forc else spread(x) for x in samples)
    return [y if isinstance(x, np.ndarray) else x for x, y in zip(samples, copies, strict=True)]
