"""The tracer: what stands in the place of an array, or of a number, while a function is traced.

A tracer is a place in memory: it holds one value after another. A view knows its parent and the
call that makes it from the parent, so that a change of either shows in both, as in NumPy.
"""

from __future__ import annotations

import math
import operator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.ir import (
    ADVICE,
    OPERATORS,
    Value,
    add_at,
    asked_by_library,
    cast,
    draw,
    item,
    put,
)
from tinygrad_fc.graph import Node
from tinygrad_fc.op import Op

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tinygrad_fc.compiler.trace import Trace

_PURE = """
allclose amax amin angle any append argmax argmin argsort around array_equal average bincount clip
column_stack concatenate convolve corrcoef count_nonzero cov cross cumprod cumsum diag diff digitize
dot dstack einsum hstack inner insert interp isclose isin kron linspace max mean median meshgrid min
nan_to_num nanmax nanmean nanmin nansum outer pad percentile prod ptp quantile repeat roll round
searchsorted sinc sort stack std sum take take_along_axis tensordot tile trace trapezoid tril triu
var vdot vstack where linalg.cholesky linalg.det linalg.eigh linalg.inv linalg.matrix_power
linalg.norm linalg.pinv linalg.slogdet linalg.solve linalg.svd
"""
PURE = frozenset(operator.attrgetter(name)(np) for name in _PURE.split())
"""NumPy's functions that write to no argument and whose shape depends on shapes alone."""

CREATORS: frozenset[Any] = frozenset(
    (np.zeros, np.ones, np.empty, np.full, np.arange, np.eye, np.array, np.asarray)
)
"""NumPy's functions that make arrays of numbers; with `like=` they ask a tracer."""

_PLAIN = {ufunc: plain for ufunc, plain, _ in OPERATORS}
_PLAIN |= {np.negative: operator.neg, np.absolute: operator.abs}
"""Python's operators on plain numbers for ufuncs on arrays."""


class Tracer:
    """Records what is done to an array as instructions of `graph`, and never shows its values."""

    __slots__ = (
        "__weakref__",
        "_parent_version",
        "_value",
        "graph",
        "layout",
        "parent",
        "recipe",
        "version",
    )
    __array_priority__ = 500
    __hash__ = object.__hash__

    def __init__(
        self,
        graph: Trace,
        value: Value,
        parent: Tracer | None = None,
        recipe: Any = None,
        layout: Any = None,
    ) -> None:
        self.graph, self._value, self.parent, self.recipe = graph, value, parent, recipe
        self.layout = value.sample if layout is None else layout
        """An array with the strides of the memory, which changes in place do not change."""
        self.version = 0
        self._parent_version = parent.version if parent is not None else 0

    @property
    def value(self) -> Value:
        """The value that it holds now; that of a view follows its parent's."""
        if self.parent is not None:
            above = self.parent.value
            if self._parent_version != self.parent.version:
                function, rest = self.recipe
                self._value = self.graph.emit(function, (above, *rest))
                self._parent_version = self.parent.version
                self.version += 1
        return self._value

    def write(self, value: Value) -> None:
        """Hold `value`, broadcast and cast as in NumPy, and write it through to the parent."""
        emit = self.graph.emit
        if value.shape is None:
            value = emit(np.full, (self.shape, value, self.dtype))
        if value.shape != self.shape:
            value = emit(np.broadcast_to, (value, self.shape))
        if value.dtype != self.dtype:
            value = emit(cast, (value, self.dtype))
        if self.parent is not None:
            (function, rest), above = self.recipe, self.parent.value
            if function is np.reshape:
                back = emit(np.reshape, (value, above.shape))
            elif function is np.transpose:
                order = rest[0] and tuple(int(k) for k in np.argsort(rest[0]))
                back = emit(np.transpose, (value, order))
            else:
                back = emit(put, (above, rest[0], value))
            self.parent.write(back)
            self._parent_version = self.parent.version
        self._value = value
        self.version += 1

    # Attributes of an array

    shape = property(lambda self: self._value.shape or ())
    dtype = property(lambda self: self._value.dtype)
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    itemsize = property(lambda self: self.dtype.itemsize)
    nbytes = property(lambda self: self.size * self.itemsize)
    base = property(lambda self: self.parent)
    is_number = property(lambda self: self._value.shape is None)
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))

    @property
    def flags(self) -> Any:
        names = ("c_contiguous", "f_contiguous", "owndata")
        known = {name: getattr(self.layout.flags, name) for name in names}
        return SimpleNamespace(**known, carray=known["c_contiguous"], writeable=True)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    # Values are refused, except to the library, which may branch on a number

    def __bool__(self) -> bool:
        if not asked_by_library():
            raise self.graph.refusal(
                f"a branch on the value of a tensor of shape {self.shape}", ADVICE
            )
        value = self.value
        truth = bool(value.sample)
        self.graph.expect(value, truth)
        return truth

    def read(self) -> Any:
        """Return the array of the traced call, for an error that the library is about to raise."""
        problem = f"NumPy or Python reads the value of a tensor of shape {self.shape}"
        error = self.graph.refusal(problem, ADVICE)
        if not self.is_for_an_error:
            raise error
        self.graph.refused.append(error)
        return self.value.sample

    @property
    def is_for_an_error(self) -> bool:
        """Whether the library reads values outside of an op, as it does to describe an error."""
        return self.graph.origin is None and asked_by_library()

    def item(self) -> Any:
        return self.call(item, self) if asked_by_library() else self.read()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not hasattr(np.ndarray, name):
            raise AttributeError(name)
        raise self.graph.refusal(
            f"ndarray.{name} is used on a traced array", "Use a function of tinygrad_fc instead"
        )

    # Calls

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the tracer of a call of `function`; tracers of its parts if it returns several."""
        value = self.graph.emit(function, self.graph.values(args), self.graph.values(kwargs))
        if isinstance(value.sample, tuple | list):
            parts = [
                Tracer(self.graph, self.graph.emit(operator.getitem, (value, k)))
                for k in range(len(value.sample))
            ]
            kind = type(value.sample)
            return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
        return Tracer(self.graph, value)

    def view(self, function: Any = np.reshape, *rest: Any) -> Tracer:
        """Return a view that `function(self, *rest)` makes; a view of all without arguments.

        Where NumPy copies, as it does to reshape a transposed array, it is an array of its own.
        """
        rest = rest or (self.shape,)
        value = self.graph.emit(function, (self.value, *rest))
        samples = self.graph.samples(rest)
        layout = function(self.layout, *samples)
        if not (isinstance(layout, np.ndarray) and np.may_share_memory(layout, self.layout)):
            return Tracer(self.graph, value)
        return Tracer(self.graph, value, self, (function, rest), layout)

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        if any(isinstance(x, Node) for x in inputs):
            return NotImplemented
        if method == "at":
            if ufunc is not np.add:
                raise self.graph.refusal(f"{ufunc.__name__}.at is called", "Use scatter or where()")
            return inputs[0].write(self.call(add_at, *inputs).value)
        kwargs = {
            k: v for k, v in kwargs.items() if v is not np._NoValue and (k, v) not in _DEFAULTS
        }
        if "where" in kwargs:
            raise self.graph.refusal("where= of a ufunc is used", "Write np.where")
        result = self.call(
            ufunc if method == "__call__" else getattr(ufunc, method), *inputs, **kwargs
        )
        return _into(out[0], result) if out is not None else result

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, Node) for kind in types):
            return NotImplemented
        if isinstance(function, Op):
            return function.forward(*args, **kwargs)
        kwargs = {k: v for k, v in kwargs.items() if v is not np._NoValue}
        out = kwargs.pop("out", None)
        if function in CREATORS:
            kwargs.pop("like", None)
            return self.graph.created(function, *args, **kwargs)
        if function in _SPECIAL:
            result = _SPECIAL[function](*args, **kwargs)
        elif function in PURE:
            result = self.call(function, *args, **kwargs)
        elif self.is_for_an_error:
            self.read()
            result = function(*self.graph.samples(args), **self.graph.samples(kwargs))
        else:
            raise self.graph.refusal(
                f"np.{function.__name__} is called with a traced array",
                "Its result has a shape that depends on values, or it changes an argument; use "
                "another function, or call it outside",
            )
        return _into(out, result) if out is not None else result

    # Indexing

    def __getitem__(self, at: Any) -> Tracer:
        at = self.graph.values(at)
        parts = at if isinstance(at, tuple) else (at,)
        arrays = [p for p in parts if isinstance(p, Value) and p.shape is not None]
        if any(p.dtype.kind == "b" for p in arrays):
            if self.is_for_an_error:
                return self.read()[self.graph.samples(at)]  # type: ignore[no-any-return]
            raise self.graph.refusal(
                "elements are selected by a mask, and their number depends on values",
                "Write where(mask, x, 0)",
                always=True,
            )
        if arrays or any(isinstance(p, list) for p in parts):
            return self.call(operator.getitem, self, at)  # type: ignore[no-any-return]
        return self.view(operator.getitem, at)

    def __setitem__(self, at: Any, new: Any) -> None:
        emit = self.graph.emit
        at, new = self.graph.values(at), self.graph.values(new)
        if at is Ellipsis or at == slice(None):
            self.write(
                new if isinstance(new, Value) else emit(np.full, (self.shape, new, self.dtype))
            )
        elif isinstance(at, Value) and at.shape is not None and at.dtype.kind == "b":
            if isinstance(new, Value) and new.shape:
                raise self.graph.refusal("elements are assigned by a mask", "Write where()")
            self.write(emit(np.where, (at, new, self.value)))
        else:
            self.write(emit(put, (self.value, at, new)))

    def fill(self, number: Any) -> None:
        self[...] = number

    # Methods of an array

    def reshape(self, *shape: Any, order: str = "C") -> Tracer:
        if order != "C":
            raise self.graph.refusal(f"order={order!r} is used", "Use the order C")
        shape = shape[0] if len(shape) == 1 else shape
        return self.view(np.reshape, np.empty(self.shape, "?").reshape(shape).shape)

    def ravel(self, order: str = "C") -> Tracer:
        return self.reshape(-1, order=order)

    def transpose(self, *axes: Any) -> Tracer:
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self.view(np.transpose, tuple(int(k) % self.ndim for k in axes) if axes else None)

    def swapaxes(self, axis1: int, axis2: int) -> Tracer:
        order = list(range(self.ndim))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return self.transpose(order)

    def squeeze(self, axis: Any = None) -> Tracer:
        return self.reshape(np.squeeze(np.empty(self.shape, "?"), axis).shape)

    def astype(self, dtype: Any, *_: Any, copy: bool = True, **__: Any) -> Tracer:
        if np.dtype(dtype) != self.dtype:
            return self.call(cast, self, np.dtype(dtype))  # type: ignore[no-any-return]
        return self.copy() if copy else self

    def copy(self, order: str = "C") -> Tracer:
        del order
        return Tracer(self.graph, self.value)

    def flatten(self) -> Tracer:
        return self.ravel().copy()

    def dot(self, other: Any) -> Any:
        return self.call(np.dot, self, other)

    def __copy__(self) -> Tracer:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Tracer:
        return self.copy()


_DEFAULTS = [("dtype", None), ("keepdims", False), ("initial", None)]


def _layout(x: Any) -> Any:
    return x.layout if type(x) is Tracer else x


def _into(out: Any, result: Any) -> Any:
    out.write(result.value)
    return out


def _like(function: Any) -> Callable[..., Any]:
    def create(x: Tracer, *fill: Any, dtype: Any = None, shape: Any = None, **_: Any) -> Any:
        return x.call(
            function, x.shape if shape is None else shape, *fill, np.dtype(dtype or x.dtype)
        )

    return create


def _copyto(to: Tracer, x: Any, where: Any = True, **_: Any) -> None:
    to[...] = x if where is True else to.call(np.where, where, x, to)


def _result_type(*args: Any) -> Any:
    return np.result_type(*(a.value.sample if type(a) is Tracer else a for a in args))


def _reduced(ufunc: Any) -> Callable[..., Any]:
    return lambda x, axis=None, **kwargs: ufunc.reduce(x, axis=axis, **kwargs)


def _moved(x: Tracer, source: Any, destination: Any) -> Tracer:
    order = np.moveaxis(np.empty(tuple(range(x.ndim)), "?"), source, destination).shape
    return x.transpose(order)


def _expanded(x: Tracer, axis: Any) -> Tracer:
    return x.reshape(np.expand_dims(np.empty(x.shape, "?"), axis).shape)


def _flipped(x: Tracer, axis: Any) -> Tracer:
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    flipped = {k % x.ndim for k in axes}
    return x[tuple(slice(None, None, -1 if k in flipped else None) for k in range(x.ndim))]


def _split(x: Tracer, parts: Any, axis: int = 0) -> list[Any]:
    places = np.split(np.arange(x.shape[axis]), parts)
    at = [
        (slice(None),) * (axis % x.ndim) + (slice(p[0], p[-1] + 1) if len(p) else slice(0, 0),)
        for p in places
    ]
    return [x[each] for each in at]


_SPECIAL: dict[Any, Callable[..., Any]] = {
    np.reshape: lambda x, shape, **_: x.reshape(shape),
    np.ravel: lambda x, **_: x.ravel(),
    np.squeeze: lambda x, axis=None: x.squeeze(axis),
    np.transpose: lambda x, axes=None: x.transpose(*([axes] if axes is not None else [])),
    np.swapaxes: lambda x, axis1, axis2: x.swapaxes(axis1, axis2),
    np.broadcast_to: lambda x, shape, **_: x.view(np.broadcast_to, tuple(shape)),
    np.split: _split,
    np.moveaxis: _moved,
    np.expand_dims: _expanded,
    np.fliplr: lambda x: _flipped(x, 1),
    np.flipud: lambda x: _flipped(x, 0),
    np.flip: lambda x, axis=None: _flipped(x, axis),
    np.zeros_like: _like(np.zeros),
    np.ones_like: _like(np.ones),
    np.empty_like: _like(np.zeros),
    np.full_like: _like(np.full),
    np.copy: lambda x, **_: x.copy(),
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: x.size,
    np.result_type: _result_type,
    np.may_share_memory: lambda x, y, **_: np.may_share_memory(_layout(x), _layout(y)),
    np.shares_memory: lambda x, y, **_: np.may_share_memory(_layout(x), _layout(y)),
    np.copyto: _copyto,
    np.sum: _reduced(np.add),
    np.prod: _reduced(np.multiply),
    np.max: _reduced(np.maximum),
    np.min: _reduced(np.minimum),
    np.all: _reduced(np.logical_and),
    np.any: _reduced(np.logical_or),
}

# Operators

_POWERS = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal}


def _is_plain(x: Any) -> bool:
    return x.is_number if type(x) is Tracer else type(x) in (int, float, bool)


def _binary(ufunc: Any, *, swapped: bool = False) -> Callable[..., Any]:
    def method(self: Tracer, other: Any) -> Any:
        if isinstance(other, Node):
            return NotImplemented
        if other is None or isinstance(other, str):
            return NotImplemented
        if _is_plain(self) and _is_plain(other):
            function = _PLAIN.get(ufunc, ufunc)
        elif ufunc is np.power and not swapped and self.dtype.kind == "f" and _is_power(other):
            return self.call(_POWERS[other], self)
        else:
            function = ufunc
        return self.call(function, other, self) if swapped else self.call(function, self, other)

    return method


def _is_power(other: Any) -> bool:
    return type(other) in (int, float) and other in _POWERS


def _in_place(ufunc: Any) -> Callable[..., Any]:
    binary = _binary(ufunc)

    def method(self: Tracer, other: Any) -> Any:
        result = binary(self, other)
        if result is NotImplemented or self.is_number:
            return result
        self.write(result.value)
        return self

    return method


def _unary(ufunc: Any) -> Callable[..., Any]:
    return lambda self: self.call(_PLAIN.get(ufunc, ufunc) if self.is_number else ufunc, self)


def _reading(name: str) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: getattr(self.read(), name)(*args, **kwargs)


def _method(name: str) -> Callable[..., Any]:
    function = getattr(np, name)
    return lambda self, *args, **kwargs: self.__array_function__(
        function, (), (self, *args), kwargs
    )


_ARITHMETIC = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "pow": np.power,
    "matmul": np.matmul,
    "mod": np.remainder,
    "floordiv": np.floor_divide,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
_COMPARISONS = {plain.__name__: ufunc for ufunc, plain, sign in OPERATORS if sign[0] in "=!<>"}
for _name, _ufunc in _ARITHMETIC.items():
    setattr(Tracer, f"__{_name}__", _binary(_ufunc))
    setattr(Tracer, f"__r{_name}__", _binary(_ufunc, swapped=True))
    setattr(Tracer, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in _COMPARISONS.items():
    setattr(Tracer, f"__{_name}__", _binary(_ufunc))
for _name, _ufunc in {
    "neg": np.negative,
    "abs": np.absolute,
    "invert": np.invert,
    "pos": np.positive,
}.items():
    setattr(Tracer, f"__{_name}__", _unary(_ufunc))
for _name in (
    *("__float__", "__int__", "__index__", "__array__", "__complex__", "__contains__"),
    *("__repr__", "__str__", "__format__", "tolist", "tobytes"),
):
    setattr(Tracer, _name, _reading(_name))
for _name in (
    *("sum", "max", "min", "prod", "any", "all", "mean", "var", "std", "argmax", "argmin", "clip"),
    *("cumsum", "cumprod", "take", "repeat", "argsort", "round", "trace", "diagonal"),
):
    setattr(Tracer, _name, _method(_name))


class TracedGenerator:
    """Takes the place of a NumPy generator: each draw is an instruction."""

    def __init__(self, graph: Trace, value: Value) -> None:
        self.graph, self.value = graph, value

    def __getattr__(self, name: str) -> Any:
        def method(*args: Any, out: Any = None, **kwargs: Any) -> Any:
            if out is not None:
                kwargs["size"] = out.shape
            call = (self.value, name, *self.graph.values(args))
            result = Tracer(self.graph, self.graph.emit(draw, call, self.graph.values(kwargs)))
            return _into(out, result) if out is not None else result

        return method
