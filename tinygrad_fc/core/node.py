"""Nodes of the graph, which tensors are; their arrays, and arrays of other data."""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.device import is_non_numpy_array, refuse_dask
from tinygrad_fc.core.dtypes import get_default_dtype, real_dtype
from tinygrad_fc.core.errors import DtypeError
from tinygrad_fc.core.seam import observer

if TYPE_CHECKING:
    from tinygrad_fc.core.op import Op
    from tinygrad_fc.tensors import Tensor


next_seq = count(1).__next__
UNRECORDED = -1  # the sequence number of `x.data`, whose changes are never recorded
_new = object.__new__
_flags, _OBSERVED = grad_mode.flags.get, grad_mode.OBSERVED
_ndarray = np.ndarray  # a global is read faster than an attribute of NumPy
_NUMBERS = frozenset((float, int, bool))
_SCALARS = (np.generic, float, int)

NO_GRADIENT = object()
"""Returned by a vjp rule if there is no gradient; the backward pass then skips the argument."""


class Node:
    """The array and autograd metadata of a tensor; `Tensor` adds the public methods.

    Lower layers test for it: `isinstance(x, Node)` says whether `x` is a tensor.
    """

    __slots__ = (
        *("__weakref__", "_args", "_array", "_grad", "_op", "_parents", "_requires_grad", "_seq"),
        *("_base", "_before", "_settings", "_hooks"),
    )

    _array: Any
    _requires_grad: bool
    _grad: Any  # a Tensor, or None
    _op: Op | None  # that returned it, recorded or not; `requires_grad_()` sets it to None
    _parents: list[Any] | None  # arguments of the call: a tensor that requires grad, or None
    _args: list[Any] | None  # arrays and numbers of the call; None for a leaf or a freed graph
    _settings: dict[str, Any]  # keyword arguments of the call, never differentiated
    _seq: int  # sequence number of the call, or of the creation of a leaf; 0 if not recorded
    _hooks: GradientHooks | None  # for the few tensors with hooks or `retain_grad`
    _before: Any  # its state before the last recorded assignment to its memory; unset without one
    _base: Any  # the tensor that an unrecorded view views, None if unknown, or NOT_A_VIEW


NOT_A_VIEW = object()
"""The `_base` of a result of a change in place, whose first argument has the same memory."""


class GradientHooks:
    """The gradient hooks of a tensor, and whether it retains its gradient (`retain_grad`)."""

    __slots__ = ("after_accumulation", "functions", "retain")

    def __init__(self) -> None:
        self.functions: dict[int, Any] = {}  # by id of the handle
        self.after_accumulation: dict[int, Any] = {}  # called with the tensor itself
        self.retain = False

    def copies(self) -> tuple[dict[int, Any], dict[int, Any]]:
        """Return the functions that are registered now."""
        return dict(self.functions), dict(self.after_accumulation)


class UNDIFFERENTIATED:
    """The op of results of compiled functions that read parameters: no gradient flows through."""

    name, rules = "a compiled function, which should contain the backward()", None


tensor_class: type[Any] = Node  # of leaves; `tensors` sets it


def leaf_of(array: Any) -> Tensor:
    """Return a leaf around `array`."""
    return unobserved_leaf(observer().stored(array) if _flags() & _OBSERVED else array)


def unobserved_leaf(array: Any) -> Tensor:
    """Return a leaf around `array`, where no trace stores another object for it."""
    t: Tensor = _new(tensor_class)
    t._array = array
    t._op = t._parents = t._args = t._grad = t._hooks = None
    t._requires_grad = False
    t._seq = next_seq()
    return t


def undifferentiated_leaf(array: Any) -> Tensor:
    """Return a leaf that raises where a recorded computation uses it, unless it is detached."""
    t = leaf_of(array)
    t._op = UNDIFFERENTIATED  # type: ignore[assignment]
    return t


def array_of(value: Any) -> Any:
    """Return the array of a tensor; anything else as it is."""
    if not isinstance(value, Node):
        return value
    return observer().read(value) if _flags() & _OBSERVED else value._array


def set_array(t: Any, array: Any) -> None:
    """Give a tensor another array."""
    if _flags() & _OBSERVED:
        observer().write(t, array)
    else:
        t._array = array


def grad_of(t: Any) -> Any:
    """Return the `.grad` of a tensor."""
    return observer().grad(t) if _flags() & _OBSERVED else t._grad


def set_grad(t: Any, grad: Any, *, in_place: bool = False) -> None:
    """Set the `.grad` of a tensor; `in_place` is passed to `Observer.set_grad`."""
    if _flags() & _OBSERVED:
        observer().set_grad(t, grad, in_place=in_place)
    else:
        t._grad = grad


def owner(array: Any) -> Any:
    """Return the object that owns the memory of `array`; all views of one array have the same."""
    while True:
        base = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
        if base is None:
            return array
        array = base


def number_of(value: Any) -> Any:
    """Return a number, or a tensor or array of one element, as a float; a tracer as its number.

    `float` would make the number a constant of a compiled program, which so reads it in each call.
    """
    if value.__class__ is float or value.__class__ is int:
        return float(value)
    array = array_of(value)
    return array.as_number() if hasattr(array, "as_number") else float(array)


def _arrays_in(data: Any) -> Any:
    """Return nested lists with arrays in place of tensors.

    A tensor of one element becomes a number, as in PyTorch, and another one an array.
    """
    if isinstance(data, Node):
        # Of a larger tensor, np.asarray raises if it requires grad: the gradient would be lost.
        return array_of(data).reshape(()) if data._array.size == 1 else np.asarray(data)
    if isinstance(data, list | tuple) and any(
        issubclass(kind, Node | list | tuple) for kind in set(map(type, data))
    ):
        return [_arrays_in(v) for v in data]
    return data


def as_array(
    data: Any, dtype: Any = None, *, copy: bool | None = None, what: str = "a tensor"
) -> Any:
    """Return `data` as an array of numbers; Python floats become the default dtype.

    Raises `DtypeError`, which names `what`, unless `data` are real numbers or booleans.
    """
    dtype = None if dtype is None else real_dtype(dtype)
    data = _arrays_in(data) if isinstance(data, list | tuple) else array_of(data)
    if is_non_numpy_array(data):
        return data.astype(data.dtype if dtype is None else dtype, copy=bool(copy))
    refuse_dask(data[0] if isinstance(data, list | tuple) and data else data, what)
    like = observer().like if _flags() & _OBSERVED else None
    try:
        # At first without the dtype, to which NumPy would convert None, text and complex numbers.
        is_array = isinstance(data, np.ndarray | np.generic)
        array = source = data if is_array else np.array(data, copy=copy, like=like)
        if source.dtype.kind in "fiub" and (is_array or dtype is not None):
            array = np.array(data, dtype, copy=copy, like=like)
    except (ValueError, TypeError, OverflowError) as error:
        raise DtypeError(
            f"cannot make {what} of {data!r:.80}; expected real numbers or booleans, in rows of "
            f"equal length. To join tensors, use stack or cat ({error})"
        ) from error
    if source.dtype.kind not in "fiub":
        raise DtypeError(
            f"cannot make {what} of {data!r:.80}: its elements are {source.dtype}; expected real "
            "numbers or booleans, in rows of equal length"
        )
    if not array.dtype.isnative:  # for example from a file with the other byte order
        array = array.astype(array.dtype.newbyteorder("="))
    if dtype is None and array.dtype == np.float64 and not hasattr(data, "dtype"):
        first = data
        while isinstance(first, list | tuple) and len(first):
            first = first[0]
        if not isinstance(first, np.ndarray | np.generic):
            array = array.astype(get_default_dtype(), copy=False)
    return array


def operand(value: Any, function: str) -> Any:
    """Return an operand of `function` as an array or number; tracers and CuPy arrays unchanged.

    Raises `DtypeError` unless it is real numbers or booleans.
    """
    value = array_of(value)
    if value.__class__ in _NUMBERS or (value.__class__ is _ndarray and value.dtype.kind in "fiub"):
        return value
    if hasattr(value, "__array_function__") and not isinstance(value, np.ndarray):
        refuse_dask(value, function)
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return value.item()  # a number does not promote
    return as_array(value, what=f"an operand of {function}")


def scalar_to_array(value: Any) -> Any:
    """Return a scalar as an array, and an array of any library unchanged."""
    return np.asarray(value) if isinstance(value, _SCALARS) else value


@lru_cache(maxsize=64)
def _ones(n: int, dtype: str) -> Any:
    return np.ones(n, dtype)


def sum_of_rows(x: Any) -> Any:
    """Return the sum over the first axis of an array or tensor of floats (n, k).

    A product with ones takes a fifth to a half of the time of a reduction.
    """
    if x.__class__ is _ndarray:
        return _ones(len(x), x.dtype.char).dot(x)
    recorded: bool = isinstance(x, Node)
    return np.add.reduce(x) if recorded else np.ones(len(x), x.dtype, like=x).dot(x)


def sum_over(x: Any, axes: Any, *, keepdims: bool = True) -> Any:
    """Return the sum of an array or tensor of floats over axes."""
    if axes == (0,) and x.ndim == 2 and not isinstance(x, Node):
        total = sum_of_rows(x)
        return total[None] if keepdims else total
    return x.sum(axis=axes, keepdims=keepdims)


def constant_like(array: Any, other: Any) -> Any:
    """Return the NumPy array `array`, a constant, in the library and dtype of `other`."""
    other = array_of(other)
    if is_non_numpy_array(other):
        return np.asarray(array, other.dtype, like=other)
    return array.astype(other.dtype)
