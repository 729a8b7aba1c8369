"""The tracer: stands in the place of an array, or of a number, while a function is traced.

A tracer is a place in memory: it holds one value after another. A view knows its base and the
call that makes it from the base, so that a change of either shows in both, as in NumPy.
"""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_fc.compiler import instructions, ir
from tinygrad_fc.compiler.instructions import CONVERTED, CREATED, RECORDED, entry_of
from tinygrad_fc.compiler.ir import CompileError, ProgramBuilder, Value, read_only, sample_of
from tinygrad_fc.core.node import Node, array_of
from tinygrad_fc.core.op import Op
from tinygrad_fc.core.pytree import mapped, unflatten

_ADVICE = "Return the tensor and look at it outside; for a branch, write where(condition, x, y)"


class TraceBuilder(ProgramBuilder):
    """A program builder for tracers: what they ask for beside `emit`.

    It records ops and any function of NumPy, and shows the values of the arguments that a formula
    is for; `Trace` is stricter.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.refused: list[CompileError] = []

    def refusal(self, problem: str, advice: str) -> CompileError:
        """Return an error, which is raised at the end if the function catches it."""
        self.refused.append(CompileError(f"{ir.user_line()}: {problem}. {advice}"))
        return self.refused[-1]

    def values(self, tree: Any) -> Any:
        """Return a tree with values in place of tracers and arrays."""
        return mapped(self._value_of, tree)

    def _value_of(self, leaf: Any) -> Any:
        leaf = array_of(leaf)
        if isinstance(leaf, np.ndarray | np.generic):
            leaf = self.array(leaf)
        return leaf.value if type(leaf) is Tracer else leaf

    def array(self, array: Any) -> Tracer:
        """Return the tracer of an array that is no tracer's: a constant."""
        return Tracer(self, self.constant(np.asarray(array)))

    def record(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the tracer of a call of `function`; tracers of its parts if it returns several."""
        value = self.emit(function, self.values(args), self.values(kwargs))
        if isinstance(value.sample, tuple | list):
            parts = (self.record(operator.getitem, value, k) for k in range(len(value.sample)))
            return unflatten(value.sample, parts)
        return Tracer(self, value)

    def converted(self, data: Any, dtype: Any = None, *, copy: bool | None) -> Any:
        """Return the tracer of `np.array(data, dtype)`; an array from outside is an input."""
        data = array_of(data)
        if isinstance(data, np.ndarray) and data.ndim:  # from outside: read in each call
            data = self.array(data)
        if isinstance(data, list | tuple) and any(type(d) is Tracer for d in data):
            return np.stack([self.converted(d, dtype, copy=False) for d in data])
        if type(data) is not Tracer:
            return Tracer(self, self.constant(np.asarray(data, dtype)))
        if data.is_number:
            return self.record(np.full, (), data, np.dtype(dtype or data.dtype))
        return data.astype(dtype or data.dtype, copy=bool(copy))

    def call(self, op: Any, arrays: Any, settings: Any) -> Any:
        """Return the result of an op for tracers."""
        is_ufunc = isinstance(op.function, np.ufunc) and not settings
        return self.record(op.function if is_ufunc else op, *arrays, **settings)

    def may_read(self) -> bool:
        """Return whether the code that runs may read a value."""
        return True

    def shown(self, tracer: Tracer, problem: str, advice: str) -> Any:  # noqa: ARG002
        """Return the values of an array that is no constant."""
        return tracer.value.sample


class Tracer(NDArrayOperatorsMixin):
    """Records what is done to an array as instructions of `builder`, and never shows its values.

    It also takes the place of a NumPy generator: each draw of random numbers is an instruction.

    `layout` has the memory layout of the real array, which shows if it is a view or a copy. For
    a computed value it is an array of one byte for each element, whose contents are never used. For
    an input it is the input itself: an array, which other inputs may alias, a number, or a
    generator. `sample` keeps the sample of the value until `Trace` releases it.
    """

    __array_priority__ = 500
    __hash__ = object.__hash__

    def __init__(self, builder: TraceBuilder, value: Value, layout: Any = None, *view: Any) -> None:
        self.builder, self._value, self.sample = builder, value, value.sample
        self.base, self.function, self.rest, self.back = view or (None,) * 4
        self.layout = read_only(np.empty_like(value.sample, "b")) if layout is None else layout
        self.is_read = False  # by a vjp rule

    @property
    def value(self) -> Value:
        """The value that the array holds now; for a view, computed from the value of its base."""
        if self.base is None:
            return self._value
        return self.builder.emit(self.function, (self.base.value, *self.rest))

    def write(self, value: Any) -> None:
        """Hold `value`, broadcast and cast as in NumPy, and write it through to the base."""
        emit, value = self.builder.emit, self.builder.values(value)
        if not isinstance(value, Value) or value.shape is None:
            value = emit(np.full, (self.shape, value, self.dtype))
        value = emit(instructions.cast, (emit(np.broadcast_to, (value, self.shape)), self.dtype))
        if self.base is not None:
            self.base.write(self.back(Tracer(self.builder, value)))
        self._value, self.sample = value, value.sample

    fill = write

    # Attributes of an array

    shape = property(lambda self: self._value.shape or ())
    dtype = property(lambda self: self._value.dtype)
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: self._value.size)
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    flags = property(lambda self: self.layout.flags)
    is_number = property(lambda self: self._value.shape is None)
    T = property(lambda self: self.transpose())

    def __len__(self) -> int:
        return int(self.shape[0])

    # Values are refused, except to the library, which may branch on a number

    def __bool__(self) -> bool:
        if not self.builder.may_read():
            self.read("a branch depends on the value")
        return self.builder.expect(self.value)

    def item(self) -> Any:
        if self.builder.may_read() and not self.value.is_constant:
            return self.builder.record(instructions.item, self)
        return self.read().item()

    def as_number(self) -> Any:
        """Return the number of a 0-d array."""
        return self if self.is_number else self.item()

    def read(self, problem: str = "the function reads the value", advice: str = _ADVICE) -> Any:
        """Return the values of a constant; `builder` decides about others."""
        known = self.value.is_constant
        return self.value.sample if known else self.builder.shown(self, problem, advice)

    def __getattr__(self, name: str) -> Any:
        if isinstance(self.layout, np.random.Generator):
            return partial(self.builder.record, instructions.rng_call, self, name)
        if name == "sort" or not (hasattr(np.ndarray, name) and hasattr(np, name)):
            raise AttributeError(f"a traced array has no {name}. Use a function of tinygrad_fc")
        return partial(getattr(np, name), self)

    # Calls

    def part(self, function: Any, *rest: Any, back: Any = None, layout: Any = None) -> Tracer:
        """Return the view `function(self, *rest)`; `back` maps its values to values of the base.

        Where NumPy copies, for example to reshape a transposed array, the result is not a view,
        unless its `layout` is passed.
        """
        value = self.builder.emit(function, (self.value, *rest))
        layout = function(self.layout, *mapped(sample_of, rest)) if layout is None else layout
        if not np.may_share_memory(layout, self.layout):
            return Tracer(self.builder, value)
        return Tracer(self.builder, value, layout, self, function, rest, back)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Node) for x in inputs):
            return NotImplemented
        if method == "at" and ufunc is np.add:
            return inputs[0].write(self.builder.record(instructions.add_at, *inputs))
        if method == "at" or "where" in kwargs:
            problem = f"np.{ufunc.__name__} is called with where= or .at"
            raise self.builder.refusal(problem, "Write np.where, or scatter")
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if all(getattr(x, "is_number", type(x) in (int, float, bool)) for x in inputs):
            function = entry_of(function).number or function
        (out,) = kwargs.pop("out", (None,))
        return _into(out, self.builder.record(function, *inputs, **kwargs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, Node) for kind in types):
            return NotImplemented
        if isinstance(function, Op):
            return self.builder.call(function, args, kwargs)
        out, traced = kwargs.pop("out", None), entry_of(function).traced
        if traced == CONVERTED:  # with like=
            return self.builder.converted(*args, **{"copy": function is np.array, **kwargs})
        if callable(traced):
            return _into(out, traced(*args, **kwargs))
        if traced not in (RECORDED, CREATED):
            self.read(f"np.{function.__name__} reads the value", "Call it outside of the function")
        function = np.zeros if function is np.empty else function
        return _into(out, self.builder.record(function, *args, **kwargs))

    # Indexing

    def _index(self, at: Any) -> Any:
        """Return the parts of an index, with ... for one element: NumPy makes a view then."""
        parts = at if isinstance(at, tuple) else (at,)
        parts = self.builder.values([int(p) if isinstance(p, np.integer) else p for p in parts])
        element = len(parts) == self.ndim and all(isinstance(p, int) for p in parts)
        return (*parts, ...) if element else tuple(parts)

    def __getitem__(self, at: Any) -> Any:
        at = self._index(at)
        arrays = [p for p in at if isinstance(p, Value) and p.shape is not None]
        if any(p.dtype.kind == "b" for p in arrays):
            self.read("a mask selects values", "Write where(mask, x, 0)")
        if arrays or any(isinstance(p, list) for p in at):
            return self.builder.record(operator.getitem, self, at)
        back = partial(self.builder.record, instructions.put, self, at)
        return self.part(operator.getitem, at, back=back)

    def __setitem__(self, at: Any, new: Any) -> None:
        at = self._index(at)
        whole = at in ((...,), (slice(None),))
        self.write(new if whole else self.builder.record(instructions.put, self, at, new))

    # Methods of an array that differ from NumPy's functions

    def reshape(self, *shape: Any, **_: Any) -> Tracer:
        shape = np.empty(self.shape, "?").reshape(*shape).shape
        return self.part(np.reshape, shape, back=lambda x: x.reshape(self.shape))

    def transpose(self, *axes: Any) -> Tracer:
        numbers = tuple(range(self.ndim))
        order = np.empty(numbers, "?").transpose(*axes).shape
        back = operator.methodcaller("transpose", np.argsort(order).tolist())
        return self.part(np.transpose, None if order == numbers[::-1] else order, back=back)

    def view(self) -> Tracer:
        return self.reshape(self.shape)

    def astype(self, dtype: Any, *_: Any, copy: bool = True, **__: Any) -> Tracer:
        if np.dtype(dtype) != self.dtype:
            return self.builder.record(instructions.cast, self, np.dtype(dtype))  # type: ignore[no-any-return]
        return self.copy("K") if copy else self

    def copy(self, order: Any = "C") -> Tracer:
        return Tracer(self.builder, self.value, read_only(np.empty_like(self.layout, "b", order)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tracer:
        return self.copy("K")


def _into(out: Any, result: Any) -> Any:
    """Write `result` into `out`, as `x -= y` asks; return `out`."""
    if out is None or out.is_number:  # a number is not changed in place
        return result
    if not np.can_cast(result.dtype, out.dtype, "same_kind"):
        raise out.builder.refusal(f"{out.dtype} gets {result.dtype}", "Convert it to that dtype")
    out.write(result)
    return out


def _reading(name: str) -> Any:
    return lambda self, *args, **kwargs: getattr(self.read(), name)(*args, **kwargs)


for _name in ("__array__", "__float__", "__format__", "__index__", "__int__", "__repr__", "tolist"):
    setattr(Tracer, _name, _reading(_name))
