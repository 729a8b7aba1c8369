"""What stands for an array while a function is traced.

A `Tracer` has the shape, the dtype and, for the call that is traced, the values of the array that
it stands for; it notes down what is done to it. Like an array it is memory: changed in place, the
views of it change too. Order of array types where they meet: ndarray < Tracer < Tensor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.refusal import asker
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from collections.abc import Iterator


class Flags:
    """The `flags` of a tracer: it may be changed, since that makes a new value."""

    def __init__(self, array: Any) -> None:
        self.c_contiguous = bool(array.flags.c_contiguous)
        self.f_contiguous = bool(array.flags.f_contiguous)
        self.carray = self.c_contiguous
        self.owndata, self.writeable = True, True


def _binary(ufunc: Any, *, swapped: bool = False) -> Any:
    def method(self: Tracer, other: Any) -> Any:
        if isinstance(other, Node):
            return NotImplemented
        return self._recorder.ufunc(ufunc, (other, self) if swapped else (self, other))

    return method


def _inplace(ufunc: Any) -> Any:
    def method(self: Tracer, other: Any) -> Any:
        if isinstance(other, Node):
            return NotImplemented
        return self._recorder.into(self, ufunc, (self, other))

    return method


def _unary(ufunc: Any) -> Any:
    return lambda self: self._recorder.ufunc(ufunc, (self,))


class Unknown:
    """What has no value while it is traced: who asks for one is refused, or it is noted down."""

    __slots__ = ()

    _recorder: Any

    def __bool__(self) -> Any:
        return self._recorder.truth(self)

    def __float__(self) -> Any:
        return self._recorder.given_out(self, "float()")

    def __int__(self) -> Any:
        return self._recorder.given_out(self, "int()")

    def __index__(self) -> Any:
        return self._recorder.given_out(self, "its use as an index or a count")

    def __format__(self, spec: str) -> Any:
        return self._recorder.text(self, spec)


class Tracer(Unknown):
    """Stands for an array."""

    __slots__ = (
        *("__weakref__", "_at", "_how", "_parent", "_recorder", "_seen", "_shadow", "_version"),
        *("_flags", "_scalar"),
    )
    __array_priority__ = 500

    def __init__(self, recorder: Any, at: int, shadow: Any) -> None:
        self._recorder, self._at, self._shadow = recorder, at, shadow
        self._parent: Any = None  # what it is a view of
        self._how: Any = None  # and how: kind, function, settings, further arguments
        self._seen = self._version = 0
        self._flags: Any = None
        self._scalar = False  # NumPy makes a number of its own in place of an array of none

    # An array, to whoever asks: so that all take the ways that they take with arrays.
    __class__: Any = property(lambda self: np.ndarray)  # noqa: ARG005  as a property is called

    # Values

    def _current(self) -> Tracer:
        """Bring a view up to date with what it is a view of; return it."""
        parent = self._parent
        if parent is not None:
            parent._current()
            if parent._version != self._seen:
                made = self._recorder.emit_like(parent, self._how)
                self._at, self._shadow, self._seen = made._at, made._shadow, parent._version
                self._version += 1
        return self

    def _write(self, new: Tracer) -> None:
        """Take over the value of `new`, of the same shape and dtype."""
        if self._parent is not None:
            self._recorder.write_through(self, new)
            self._seen = self._parent._version
        self._at, self._shadow = new._at, laid_out(new._shadow, self._shadow)
        self._version += 1

    @property
    def number(self) -> int:
        """The number of its value in the program, at this moment."""
        return self._current()._at

    @property
    def shadow(self) -> Any:
        """The array that it stands for in the call that is traced."""
        return self._current()._shadow

    # What it is

    shape = property(lambda self: self._shadow.shape)
    dtype = property(lambda self: self._shadow.dtype)
    ndim = property(lambda self: self._shadow.ndim)
    size = property(lambda self: self._shadow.size)
    itemsize = property(lambda self: self._shadow.itemsize)
    nbytes = property(lambda self: self._shadow.nbytes)

    @property
    def strides(self) -> Any:
        """How far its elements lie from each other."""
        self._recorder.layout("strides")
        return self._shadow.strides

    @property
    def base(self) -> Any:
        """What it is a view of."""
        self._recorder.layout("base")
        return self._parent

    @property
    def flags(self) -> Any:
        """Its memory layout."""
        self._recorder.layout("flags")
        if self._flags is None:
            self._flags = Flags(self._shadow)
        return self._flags

    def __len__(self) -> int:
        return len(self._shadow)

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self._shadow)))

    def __repr__(self) -> str:
        if asker() == "library":  # in the words of an error
            return repr(self._shadow)
        return f"<traced array {self.shape} {self.dtype}>"

    # Out of it

    def item(self, *at: Any) -> Any:
        """Return its one element, a number that is noted down, to the library alone."""
        if at:
            return self[at].item()
        return self._recorder.item(self, "item()")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self._recorder.given_out(self, "NumPy")

    def tolist(self) -> Any:
        """Refuse to return its elements."""
        return self._recorder.given_out(self, "tolist()")

    def __contains__(self, element: Any) -> bool:
        return bool(self._recorder.ufunc(np.equal, (self, element)).any())

    def __getattr__(self, name: str) -> Any:
        if hasattr(np.ndarray, name) and not name.startswith("__array_"):
            return self._recorder.unknown(f"the method {name}() of an array")
        message = f"'numpy.ndarray' object has no attribute {name!r}"
        raise AttributeError(message)

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self._recorder.called(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, Node) for kind in types):
            return NotImplemented
        return self._recorder.function(func, args, kwargs)

    # Operators

    __add__, __radd__ = _binary(np.add), _binary(np.add, swapped=True)
    __sub__, __rsub__ = _binary(np.subtract), _binary(np.subtract, swapped=True)
    __mul__, __rmul__ = _binary(np.multiply), _binary(np.multiply, swapped=True)
    __truediv__, __rtruediv__ = _binary(np.true_divide), _binary(np.true_divide, swapped=True)
    __floordiv__ = _binary(np.floor_divide)
    __rfloordiv__ = _binary(np.floor_divide, swapped=True)
    __mod__, __rmod__ = _binary(np.remainder), _binary(np.remainder, swapped=True)
    __matmul__, __rmatmul__ = _binary(np.matmul), _binary(np.matmul, swapped=True)
    __and__, __rand__ = _binary(np.bitwise_and), _binary(np.bitwise_and, swapped=True)
    __or__, __ror__ = _binary(np.bitwise_or), _binary(np.bitwise_or, swapped=True)
    __xor__, __rxor__ = _binary(np.bitwise_xor), _binary(np.bitwise_xor, swapped=True)
    __lshift__, __rshift__ = _binary(np.left_shift), _binary(np.right_shift)
    __eq__, __ne__ = _binary(np.equal), _binary(np.not_equal)
    __lt__, __le__ = _binary(np.less), _binary(np.less_equal)
    __gt__, __ge__ = _binary(np.greater), _binary(np.greater_equal)
    __iadd__, __isub__ = _inplace(np.add), _inplace(np.subtract)
    __imul__, __itruediv__ = _inplace(np.multiply), _inplace(np.true_divide)
    __ifloordiv__, __imod__ = _inplace(np.floor_divide), _inplace(np.remainder)
    __iand__, __ior__, __ixor__ = (
        *(_inplace(np.bitwise_and), _inplace(np.bitwise_or), _inplace(np.bitwise_xor)),
    )
    __neg__, __abs__, __invert__ = _unary(np.negative), _unary(np.absolute), _unary(np.invert)
    __hash__: Any = None  # as arrays have none

    def __pos__(self) -> Any:
        return self.copy("K")

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, Node):
            return NotImplemented
        return self._recorder.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        if isinstance(other, Node):
            return NotImplemented
        return self._recorder.power(other, self)

    def __ipow__(self, other: Any) -> Any:
        self._recorder.assign(self, ..., self._recorder.power(self, other))
        return self

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __getitem__(self, at: Any) -> Any:
        return self._recorder.getitem(self, at)

    def __setitem__(self, at: Any, value: Any) -> None:
        self._recorder.assign(self, at, value)

    # Shapes

    def reshape(self, *shape: Any, order: str = "C", **_: Any) -> Any:
        """Return it in another shape."""
        wanted = shape[0] if len(shape) == 1 else shape
        return self._recorder.reshape(self, wanted, order)

    def ravel(self, order: str = "C") -> Any:
        """Return it as a vector."""
        return self.reshape(-1, order=order)

    def flatten(self, order: str = "C") -> Any:
        """Return a copy as a vector."""
        return self.reshape(-1, order=order).copy()

    def transpose(self, *axes: Any) -> Any:
        """Return it with its axes in another order."""
        chosen = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self._recorder.transpose(self, chosen or None)

    @property
    def T(self) -> Any:
        """It with its axes reversed."""
        return self._recorder.transpose(self, None)

    @property
    def mT(self) -> Any:
        """It with its last two axes exchanged."""
        return self.swapaxes(-1, -2)

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        """Return it with two axes exchanged."""
        order = list(range(self.ndim))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return self._recorder.transpose(self, order)

    def squeeze(self, axis: Any = None) -> Any:
        """Return it without axes of size 1."""
        return self._recorder.reshape(self, np.squeeze(self._shadow, axis).shape, "C")

    def view(self, *kind: Any) -> Any:
        """Return a view of all of it."""
        if kind:
            return self._recorder.unknown("a view of an array's bytes in another dtype")
        return self._recorder.reshape(self, self.shape, "C")

    # New arrays

    def astype(self, dtype: Any, *_: Any, copy: bool = True, **__: Any) -> Any:
        """Return it with another dtype."""
        return self._recorder.cast(self, dtype, copy=copy)

    def copy(self, order: Any = "C") -> Any:
        """Return memory of its own with the same value."""
        made = Tracer(self._recorder, self.number, np.asarray(self.shadow, order=order))
        made._scalar = self._scalar
        return made

    def __copy__(self) -> Any:
        return self.copy("K")

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy("K")

    def fill(self, value: Any) -> None:
        """Set every element."""
        self._recorder.fill(self, value)

    def dot(self, other: Any) -> Any:
        """Return the product with `other`."""
        return self._recorder.function(np.dot, (self, other), {})


def laid_out(array: Any, like: Any) -> Any:
    """Return `array` in memory that lies as `like` does, by which it is told what views it has."""
    if array.strides == like.strides or not array.size:
        return array
    spans = [(n - 1) * step for n, step in zip(like.shape, like.strides, strict=True)]
    start = -sum(min(span, 0) for span in spans)
    size = start + sum(max(span, 0) for span in spans) + like.itemsize
    room = np.empty(size, np.uint8)
    made: Any = np.ndarray(like.shape, like.dtype, room.data, start, like.strides)
    made[...] = array
    return made


def _method(function: Any) -> Any:
    """Return a method that is a function of NumPy's of the same arguments."""

    def method(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        return self._recorder.function(function, (self, *args), kwargs)

    return method


for _name in (
    *("sum", "prod", "max", "min", "any", "all", "mean", "var", "std", "argmax", "argmin", "clip"),
    *("cumsum", "cumprod", "take", "repeat", "argsort", "round", "trace", "diagonal"),
    *("nonzero", "compress", "searchsorted"),
):
    setattr(Tracer, _name, _method(getattr(np, _name)))
