"""The class `Tensor`: an array with autograd metadata.

Operators call `graph.call_op` directly; NumPy's protocols dispatch `np.exp(t)` and `array * t` to
the same ops. Methods that are also functions are in `methods.py`.
"""

from __future__ import annotations

import math
import operator
import re
import warnings
from contextlib import suppress
from copy import deepcopy
from numbers import Number
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from tinygrad_fc import methods, numpy_dispatch
from tinygrad_fc.core import graph, node
from tinygrad_fc.core.backward import accumulate_gradients, backward_pass
from tinygrad_fc.core.device import CPU, device, device_of, gpu, is_on, refuse_dask
from tinygrad_fc.core.dtypes import TYPE_NAMES, get_default_dtype
from tinygrad_fc.core.errors import DtypeError, GraphError, check_dtypes, check_shapes
from tinygrad_fc.core.gradients import backward
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import (
    UNRECORDED,
    GradientHooks,
    Node,
    array_of,
    as_array,
    grad_of,
    leaf_of,
    next_seq,
    owner,
    set_array,
    set_grad,
)
from tinygrad_fc.core.printing import tensor_text
from tinygrad_fc.functional.arguments import accepts_arrays, normalize_dim
from tinygrad_fc.functional.creation import sizes_or_data
from tinygrad_fc.ops import comparison, elementwise, indexing, linalg
from tinygrad_fc.ops.elementwise import ONE
from tinygrad_fc.ops.shape import alias, astype, copy, to_device, transpose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Protocol

    import numpy.typing as npt

    from tinygrad_fc.core.device import DeviceLike
    from tinygrad_fc.core.dtypes import DTypeLike
    from tinygrad_fc.core.op import Op

    class Operator(Protocol):
        """A method of one argument."""

        def __get__(self, instance: Any, owner: Any = None) -> Callable[[Any], Tensor]: ...


__all__ = ["Size", "Tensor", "is_complex", "is_floating_point", "is_tensor"]

NO_SETTINGS: dict[str, Any] = {}
_COMPARABLE = (Node, np.ndarray, np.generic, int, float, list, tuple)
_DEVICE_TYPES = ("cpu", "cuda", "mps", "meta", "xpu")
_SEQUENCES: frozenset[Any] = frozenset((list, tuple))
_PLAIN_BOUNDS = frozenset((int, type(None)))
_TUPLE_PARTS = (Node, list, tuple, slice, type(None), type(...))  # a list of them is a tuple


def _index(at: Any) -> Any:
    """Return the index `at` as PyTorch reads it, with copies of its arrays and tensors.

    An array of uint8 is a mask, and one without axes a number. Vjp rules read the index later, when
    the caller may have changed the originals.
    """
    if at.__class__ is int:
        return at
    if at.__class__ is slice:
        parts = (at.start, at.stop, at.step)
        return at if _PLAIN_BOUNDS.issuperset(map(type, parts)) else slice(*map(_index, parts))
    if isinstance(at, list) and not any(isinstance(part, _TUPLE_PARTS) for part in at):
        at = np.asarray(at, None if at else np.intp)
    if isinstance(at, tuple | list):
        return tuple(map(_index, at))
    array = array_of(at)
    refuse_dask(array, "an index")
    if not hasattr(array, "dtype") or isinstance(array, np.generic):
        return array
    expected = "integers or booleans: use index.long(), or a mask such as x > 0"
    check_dtypes(array.dtype.kind != "f", "an index", expected, array)
    if array.dtype == np.uint8:
        return array.astype(bool)
    return array.copy() if array.dtype.kind == "b" or array.ndim else operator.index(array)


def device_and_dtype(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[device | None, Any]:
    """Return the device and the dtype among the arguments of `to`, or None."""
    where = dtype = None
    for a in (*args, *(kwargs.get(name) for name in ("dtype", "device", "other"))):
        if isinstance(a, Node):
            where, dtype = device_of(a), a._array.dtype
        elif isinstance(a, device) or (isinstance(a, str) and a.partition(":")[0] in _DEVICE_TYPES):
            where = device(a)
        elif a is not None and not isinstance(a, bool):
            try:
                dtype = np.dtype(a)
            except DtypeError:  # of `bfloat16`, whose message says more
                raise
            except TypeError:
                raise DtypeError(
                    f"to: got {a!r:.60}; expected a dtype such as tg.float32, or a device: 'cpu' "
                    "or 'cuda'"
                ) from None
    return where, dtype


_tuple = tuple.__new__  # takes half the time of a call of the class


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple with the method `numel`, printed as PyTorch's.

    In an f-string, as in messages, it is written as the tuple.

    >>> Size((4, 2, 3))[1:].numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        """Return the number of elements of a tensor of this shape.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3).numel()
        6
        """
        return math.prod(self)

    def __repr__(self) -> str:
        return f"Size({list(self)})"

    def __format__(self, spec: str) -> str:
        return format(str(tuple(self)), spec)

    def __getitem__(self, at: Any) -> Any:
        """Return a size, or the shape of a slice of the axes."""
        part = super().__getitem__(at)
        return Size(part) if isinstance(at, slice) else part


def _operators(op: Op) -> tuple[Operator, Operator]:
    """Return the methods of an operator of two operands: with the tensor first, and second."""

    def method(self: Any, other: Any) -> Tensor:
        return call_op(op, (self, other), NO_SETTINGS)

    def reflected(self: Any, other: Any) -> Tensor:
        return call_op(op, (other, self), NO_SETTINGS)

    return method, reflected


def _multiply(self: Any, other: Any) -> Any:
    if other.__class__ in _SEQUENCES and _is_count(self):
        return NotImplemented  # Python then repeats the list, as in PyTorch
    return call_op(elementwise.multiply, (self, other), NO_SETTINGS)


def _multiply_reflected(self: Any, other: Any) -> Any:
    if other.__class__ in _SEQUENCES and _is_count(self):
        return NotImplemented
    return call_op(elementwise.multiply, (other, self), NO_SETTINGS)


def _is_count(t: Any) -> bool:
    return t._array.size == 1 and t._array.dtype.kind != "f"  # type: ignore[no-any-return]


class Tensor(methods.Methods):
    """An array with autograd metadata: the op that returned it, its arguments and its gradient.

    `Tensor(data)` copies `data`, a list, an array or a tensor, and raises errors as
    `tinygrad_fc.tensor` does; lists and arrays, also of integers, become the default dtype.
    `Tensor(2, 3)` and `Tensor(x.size())` are zeros of these sizes.
    Operators, methods and NumPy's functions record a graph if an operand requires grad;
    `backward()` of a scalar result adds the gradients to the `.grad` of leaves.

    >>> import tinygrad_fc as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    tensor([2., 4.])
    """

    __slots__ = ()
    __hash__ = methods.Methods.__hash__

    def __init__(
        self, *data: Any, requires_grad: bool = False, dtype: Any = None, device: DeviceLike = None
    ) -> None:
        self._set_leaf(sizes_or_data(data, dtype, device))
        if requires_grad:
            self.requires_grad = True

    # Attributes

    @property
    def shape(self) -> Size:
        """The sizes of the axes."""
        return _tuple(Size, self._array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the elements."""
        return self._array.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._array.ndim  # type: ignore[no-any-return]

    @property
    def device(self) -> device:
        """The device that holds the elements."""
        return device_of(self._array)

    @overload
    def size(self, dim: None = None) -> Size: ...
    @overload
    def size(self, dim: int) -> int: ...
    def size(self, dim: int | None = None) -> Size | int:
        """Return the shape, or the size of axis `dim`.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3).size(), tg.zeros(2, 3).size(0)
        (Size([2, 3]), 2)
        """
        return self.shape if dim is None else self.shape[normalize_dim(dim, self.ndim, "size")]

    def dim(self) -> int:
        """Return the number of axes.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3).dim()
        2
        """
        return self.ndim

    def numel(self) -> int:
        """Return the number of elements."""
        return self._array.size  # type: ignore[no-any-return]

    nelement = numel

    def element_size(self) -> int:
        """Return the size of an element in bytes.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3).element_size()
        8
        """
        return self._array.itemsize  # type: ignore[no-any-return]

    def is_floating_point(self) -> bool:
        """Return whether the elements are floats.

        >>> import tinygrad_fc as tg
        >>> tg.tensor([1]).is_floating_point()
        False
        """
        return self._array.dtype.kind == "f"  # type: ignore[no-any-return]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Return whether the elements are contiguous in memory, in C order.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3).t().is_contiguous()
        False
        """
        del memory_format
        return bool(self._array.flags.c_contiguous)

    # Conversions

    def numpy(self) -> np.ndarray:
        """Return a read-only view of the array, also if the tensor requires grad.

        Raises `TypeError` for a tensor on a GPU: `x.cpu().numpy()` copies it.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, requires_grad=True).numpy()
        array([0., 0.])
        """
        if not is_on(self._array, CPU):
            raise TypeError(
                f"numpy() got a tensor on {str(self.device)!r}. Copy it first: x.cpu().numpy()"
            )
        view: np.ndarray = array_of(self).view()
        view.flags.writeable = False
        return view

    def item(self) -> float:
        """Return the only element as a Python number; raise `ShapeError` unless there is one.

        >>> import tinygrad_fc as tg
        >>> tg.tensor([1.5]).item()
        1.5
        """
        check_shapes(self._array.size == 1, "item", "one element: use tolist()", self)
        return array_of(self).item()  # type: ignore[no-any-return]

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers.

        >>> import tinygrad_fc as tg
        >>> tg.tensor([[1, 2]]).tolist()
        [[1, 2]]
        """
        return array_of(self).tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        expected = "one element, else it is ambiguous: use (x > 0).any() or (x > 0).all()"
        check_shapes(self._array.size == 1, "truth value", expected, self)
        return bool(array_of(self).item())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a 0-d tensor has no length: item() returns its number")
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[k] for k in range(len(self)))

    def __contains__(self, element: Any) -> bool:
        return bool(np.any(array_of(self) == array_of(element)))

    def __format__(self, spec: str) -> str:
        return format(str(self) if self.ndim else self.item(), spec)

    def __repr__(self) -> str:
        return tensor_text("tensor(", self)

    # The graph

    @property
    def requires_grad(self) -> bool:
        """Whether the backward pass computes its gradient: set for leaves, inherited by results."""
        if not self._requires_grad and getattr(self, "_base", None) is not None:
            with suppress(GraphError):  # a view that cannot follow raises where it is used
                graph.follow_assignments((self,))
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, bool | np.bool_):
            raise DtypeError(f"requires_grad is {value!r:.60}; expected True or False")
        fit = self._array.dtype.kind == "f" or not value
        expected = "floats: tensor([1., 2.]), or x.double() or x.float() first"
        check_dtypes(fit, "requires_grad", expected, self)
        if not self._requires_grad:
            # A result that was not recorded becomes a leaf.
            self._op = None
            self._seq = self._seq or next_seq()
        elif not value and not self.is_leaf:
            raise GraphError("a result of tensors that require grad does, too: use x.detach()")
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad`; return the tensor itself.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(1).requires_grad_()
        tensor([0.], requires_grad=True)
        """
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op returned it; backward passes add to the `.grad` of leaves only."""
        return self._op is None or not self.requires_grad

    @property
    def grad(self) -> Tensor | None:
        """The sum of the gradients of all backward passes; None before the first.

        Only leaves get one: reading that of a result warns, unless `retain_grad()` was called.
        """
        grad = grad_of(self)
        if grad is None and self._requires_grad and not (self.is_leaf or self.retains_grad):
            warnings.warn(
                f"the .grad of a tensor that is not a leaf (the result of {self._op.name}) was "  # type: ignore[union-attr]
                "read, which backward() does not set. Call retain_grad() on it before "
                "backward(), or read the .grad of the leaf",
                UserWarning,
                stacklevel=2,
            )
        return grad  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            fit = isinstance(value, Node) and value.shape == self.shape
            check_shapes(fit, ".grad", f"None, or a tensor of shape {self.shape}", value)
            check_dtypes(value.dtype == self.dtype, ".grad", f"{self.dtype} as the tensor", value)
        set_grad(self, value)

    @property
    def data(self) -> Tensor:
        """A tensor that shares the memory but not the graph; in-place changes affect both."""
        data = leaf_of(array_of(self))
        data._seq = UNRECORDED
        if self._op is alias:  # an argument of `Function.forward`, which is copied if changed
            data._op, data._parents = alias, [self]
        return data

    @data.setter
    def data(self, value: Tensor) -> None:
        array = as_array(value)
        fit = array.dtype.kind == "f" or not self._requires_grad
        check_dtypes(fit, ".data", "floats, for a gradient: use .float()", array)
        grad = grad_of(self)
        fit = grad is None or array.shape == grad.shape
        check_shapes(fit, ".data", "that of .grad, or set .grad to None first", array)
        with graph.mutation_lock:
            graph.record_change(array_of(self), array)
            set_array(self, array)

    def detach(self) -> Tensor:
        """Return a tensor that shares the memory, but does not require grad.

        >>> import tinygrad_fc as tg
        >>> tg.ones(2, requires_grad=True).detach().requires_grad
        False
        """
        return leaf_of(array_of(self))

    def clone(self, *, memory_format: Any = None) -> Tensor:
        """Return a copy in C order; its gradient flows back to this tensor.

        >>> import tinygrad_fc as tg
        >>> x = tg.zeros(2)
        >>> x.clone().fill_(1.0), x
        (tensor([1., 1.]), tensor([0., 0.]))
        """
        del memory_format
        return copy(self)

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """Return the tensor itself if it is contiguous in memory, else a contiguous copy.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3).t().contiguous().is_contiguous()
        True
        """
        del memory_format
        return self if self.is_contiguous() else copy(self)

    @property
    def grad_fn(self) -> GradFn | None:
        """The graph node of the op that returned it; None for a leaf."""
        return None if self.is_leaf else GradFn(self)

    def retain_grad(self) -> None:
        """Make backward passes add the gradient of this result to its `.grad`.

        >>> import tinygrad_fc as tg
        >>> w = tg.tensor(3.0, requires_grad=True)
        >>> y = w * w
        >>> y.retain_grad()
        >>> (2 * y).backward()
        >>> y.grad
        tensor(2.)
        """
        hooks = self._gradient_hooks()
        hooks.retain = not self.is_leaf

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called on this result."""
        return self._hooks is not None and self._hooks.retain

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook` with the gradient in each backward pass; its result, if any, replaces it.

        >>> import tinygrad_fc as tg
        >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
        >>> handle = w.register_hook(lambda g: g * 10)
        >>> w.sum().backward()
        >>> w.grad
        tensor([10., 10.])
        """
        handle = RemovableHandle(self._gradient_hooks().functions)
        handle.hooks[handle.id] = hook
        return handle

    def register_post_accumulate_grad_hook(
        self, hook: Callable[[Tensor], object]
    ) -> RemovableHandle:
        """Call `hook` with this leaf after each backward pass that has added to its `.grad`.

        Raises `GraphError` for a tensor that is not a leaf, or does not require grad.

        >>> import tinygrad_fc as tg
        >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
        >>> handle = w.register_post_accumulate_grad_hook(lambda w: print(w.grad))
        >>> (3 * w).sum().backward()
        tensor([3., 3.])
        """
        if not self.is_leaf:
            raise GraphError(
                "a hook after the accumulation of gradients needs a leaf: a result has no .grad. "
                "Use register_hook"
            )
        handle = RemovableHandle(self._gradient_hooks().after_accumulation)
        handle.hooks[handle.id] = hook
        return handle

    def _gradient_hooks(self) -> GradientHooks:
        if not self._requires_grad:
            raise GraphError("this tensor does not require grad: there will be no gradient of it")
        if self._hooks is None:
            self._hooks = GradientHooks()
        return self._hooks

    def backward(
        self,
        gradient: npt.ArrayLike | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:
        """Add the gradient of this result to the `.grad` of the leaves that it depends on.

        `gradient`, the cotangent, is 1 by default for a scalar. `create_graph` records the pass, so
        that gradients have gradients; `retain_graph` (by default equal to `create_graph`) keeps the
        graph for another pass; with `inputs`, only these tensors get a gradient. Raises
        `GraphError`, and changes nothing, if nothing requires grad, the graph was freed, or a value
        was changed in place.

        >>> import tinygrad_fc as tg
        >>> w = tg.tensor(3.0, requires_grad=True)
        >>> (w * w).backward()
        >>> w.grad
        tensor(6.)
        """
        plain = gradient is None and inputs is None and not create_graph
        if plain and self._requires_grad and self._array.shape == ():
            # A fast path for training steps.
            array = array_of(self)
            plain_array = array.__class__ is np.ndarray
            one = ONE[array.dtype.char] if plain_array else np.ones_like(array)
            pairs = backward_pass((self,), (one,), retain_graph=bool(retain_graph))
            accumulate_gradients(pairs)
            return
        backward(self, gradient, retain_graph, create_graph, inputs)

    # Protocols of other libraries

    __array_priority__ = 1000

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return numpy_dispatch.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return numpy_dispatch.function(func, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self._requires_grad:
            raise GraphError(
                "NumPy asked for the array of a tensor that requires grad, and would drop its "
                "gradient: use x.numpy() to look at the values, or x.detach() to leave the graph"
            )
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._requires_grad:
            raise BufferError(
                "another library asked for the memory of a tensor that requires grad, and would "
                "drop its gradient: pass it x.detach()"
            )
        if any(step < 0 for step in self._array.strides):
            raise BufferError("negative strides, which PyTorch cannot read: pass it x.contiguous()")
        return self.detach()._array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if not self.is_leaf:
            raise GraphError(
                f"copy.deepcopy would copy a result of {self._op.name} without its graph. "  # type: ignore[union-attr]
                "Copy x.detach(), or x.clone(), through which gradients flow"
            )
        kind, state_ = self.__reduce__()
        return kind(*deepcopy(state_, memo))  # type: ignore[no-any-return]

    def __reduce__(self) -> Any:
        grad, array = array_of(grad_of(self)), array_of(self)
        return _load, (type(self), _stored(array), self._requires_grad, _stored(grad))

    def _set_leaf(self, array: Any) -> None:
        """Initialize the tensor as a leaf with `array`."""
        set_array(self, array)
        self._op = self._parents = self._args = self._grad = self._hooks = None
        self._requires_grad = False
        self._seq = next_seq()

    # Operators

    __add__, __radd__ = _operators(elementwise.add)
    __sub__, __rsub__ = _operators(elementwise.subtract)
    __mul__: Operator  # declared, since ops that multiply are checked before this module
    __rmul__: Operator
    __mul__, __rmul__ = _multiply, _multiply_reflected
    __truediv__, __rtruediv__ = _operators(elementwise.divide)
    __pow__, __rpow__ = _operators(elementwise.power)
    __matmul__, __rmatmul__ = _operators(linalg.matmul)
    __mod__, __rmod__ = _operators(elementwise.remainder)
    __floordiv__, __rfloordiv__ = _operators(elementwise.floor_divide)
    __and__, __rand__ = _operators(comparison.bitwise_and)
    __or__, __ror__ = _operators(comparison.bitwise_or)
    __xor__, __rxor__ = _operators(comparison.bitwise_xor)
    __lshift__, __rlshift__ = _operators(comparison.bitwise_left_shift)
    __rshift__, __rrshift__ = _operators(comparison.bitwise_right_shift)
    __lt__, __gt__ = _operators(comparison.lt)
    __le__, __ge__ = _operators(comparison.le)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        if not isinstance(other, _COMPARABLE):  # Python then compares `x == None` by identity
            return NotImplemented
        return call_op(comparison.eq, (self, other), NO_SETTINGS)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        if not isinstance(other, _COMPARABLE):
            return NotImplemented
        return call_op(comparison.ne, (self, other), NO_SETTINGS)

    def __neg__(self) -> Tensor:
        return call_op(elementwise.negative, (self,), NO_SETTINGS)

    __abs__, __invert__ = elementwise.absolute, comparison.invert

    def __pos__(self) -> Tensor:
        return self

    def __round__(self, ndigits: int = 0) -> Tensor:
        return self.round(decimals=ndigits)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    def __getitem__(self, at: Any) -> Tensor:
        if at.__class__ is not int:
            at = _index(at)
        if at.__class__ is not tuple:
            return call_op(indexing.getitem, (self,), {"at": at})
        out = self
        for step in indexing.steps_of(at, self.ndim):
            out = call_op(indexing.getitem, (out,), {"at": step})
        return out

    def __setitem__(self, at: Any, value: Any) -> None:
        at = _index(at)
        methods.assign(self, indexing.steps_of(at, self.ndim), value)

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in reversed order."""
        return call_op(transpose, (self,), {"axes": tuple(range(self.ndim))[::-1]})

    @property
    def mT(self) -> Tensor:
        """The tensor with its last two axes exchanged."""
        return self.transpose(-1, -2)

    # Other dtypes

    @accepts_arrays()
    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the tensor with another dtype or on another device; itself if nothing changes.

        The arguments are a dtype, a device, both, or a tensor with the wanted dtype and device. A
        move to a GPU needs CuPy; it is recorded: gradients return to the device of the leaf.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2).to(tg.float32)
        tensor([0., 0.], dtype=float32)
        """
        where, dtype = device_and_dtype(args, kwargs)
        flags = [a for a in args if isinstance(a, bool)]  # non_blocking, then copy
        copied = kwargs.get("copy", len(flags) > 1 and flags[1])
        out = self
        if where is not None and not is_on(self._array, where):
            out = call_op(to_device, (self,), {"where": where})
        if not copied and (dtype is None or np.dtype(dtype) == out.dtype):
            return out
        return out.astype(out.dtype if dtype is None else dtype)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """Return the tensor cast to `dtype`; casts between float dtypes are recorded.

        >>> import tinygrad_fc as tg
        >>> tg.tensor([1.5]).astype("int64")
        tensor([1])
        """
        return call_op(astype, (self,), {"dtype": np.dtype(dtype)})

    type_as = to

    def type(self, dtype: Any = None) -> Any:
        """Return PyTorch's name of the type; with a name, a type or a dtype, cast to it.

        >>> import tinygrad_fc as tg
        >>> tg.ones(2).type(), tg.ones(2).type(tg.LongTensor)
        ('torch.DoubleTensor', tensor([1, 1]))
        """
        if dtype is None:
            names = (name for name, named in TYPE_NAMES.items() if named == self.dtype)
            return f"torch.{next(names, f'{self.dtype.name.title()}Tensor')}"
        return self.to(dtype_of_type(dtype))

    def cpu(self) -> Tensor:
        """Return the tensor on the CPU; itself if it is there.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2).cpu().is_cpu
        True
        """
        return self.to(CPU)

    def cuda(self, device: Any = None) -> Tensor:
        """Return the tensor on a GPU, by default the first; itself if it is there."""
        return self.to(gpu(device))


class GradFn:
    """A graph node as PyTorch's `grad_fn`: the name of its op, and the nodes of its arguments.

    >>> import tinygrad_fc as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> (x.exp() * 2).sum().grad_fn.next_functions
    ((<MultiplyBackward>, 0),)
    """

    __slots__ = ("_node",)

    def __init__(self, node: Any) -> None:
        self._node = node

    def name(self) -> str:
        """Return the name of the op and "Backward", or "AccumulateGrad" for a leaf."""
        op = self._node._op
        words = re.sub(r"\W+", "_", op.name).split("_") if op else ()
        return "".join(w.title() for w in words) + "Backward" if op else "AccumulateGrad"

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        """A pair (node, 0) per argument; the node is None if the argument does not require grad.

        Arguments that are numbers are last, as in PyTorch. Leaves and freed graphs have no pairs.
        """
        pairs = zip(self._node._args or (), self._node._parents or (), strict=True)
        tensors_first = sorted(pairs, key=lambda pair: isinstance(pair[0], Number))
        return tuple((None if node is None else GradFn(node), 0) for _, node in tensors_first)

    @property
    def variable(self) -> Tensor:
        """The leaf of an "AccumulateGrad" node; raise `AttributeError` for other nodes."""
        if self._node._op is not None:
            raise AttributeError(f"{self.name()} has no attribute 'variable': only leaves have one")
        return self._node  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other._node is self._node

    def __hash__(self) -> int:
        return hash(id(self._node))

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class RemovableHandle:
    """The handle of a hook, returned by `register_hook`; `remove()` removes the hook."""

    __slots__ = ("hooks", "id", "options")

    def __init__(self, hooks: dict[int, Any], *options: dict[int, Any]) -> None:
        self.hooks, self.options = hooks, options  # which have entries by the same id
        self.id = next_seq()

    def remove(self) -> None:
        """Remove the hook; repeated calls have no effect."""
        for entries in (self.hooks, *self.options):
            entries.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def _stored(array: Any) -> Any:
    """Return `array`, or, for a view, its memory and its place there.

    Copies and pickles of several views are then views of one memory, too.
    """
    memory = owner(array)
    if memory is array or type(memory) is not np.ndarray or not array.size:
        return array
    if memory.dtype != array.dtype:
        return array
    start, first = (a.__array_interface__["data"][0] for a in (memory, array))
    return memory, first - start, array.shape, array.strides, array.flags.writeable


def _restored(stored: Any) -> Any:
    if not isinstance(stored, tuple):
        return stored
    memory, offset, shape, strides, is_writeable = stored
    flat = memory.ravel(order="K")  # a view, in the order of the memory
    array: Any = np.ndarray(shape, memory.dtype, flat, offset, strides)
    array.flags.writeable = is_writeable
    return array


def _load(kind: type[Any], stored: Any, requires_grad: bool, grad: Any) -> Any:
    loaded: Any = object.__new__(kind)
    loaded._set_leaf(_restored(stored))
    loaded._requires_grad = requires_grad
    loaded._grad = None if grad is None else leaf_of(_restored(grad))
    return loaded


graph.tensor_class = node.tensor_class = Tensor


def is_tensor(obj: Any) -> bool:
    """Return whether `obj` is a tensor.

    >>> import tinygrad_fc as tg
    >>> tg.is_tensor(tg.ones(2)), tg.is_tensor(1.0)
    (True, False)
    """
    return isinstance(obj, Node)


def is_floating_point(input: Tensor) -> bool:
    """Return whether the elements are floats.

    >>> import tinygrad_fc as tg
    >>> tg.is_floating_point(tg.ones(2))
    True
    """
    return input.is_floating_point()


def is_complex(input: Tensor) -> bool:
    """Return False: there are no complex tensors.

    >>> import tinygrad_fc as tg
    >>> tg.is_complex(tg.tensor(1.0))
    False
    """
    del input
    return False


def dtype_of_type(kind: Any) -> Any:
    """Return the dtype of a type of tensors, a class or its name; else `kind` as it is.

    That of `Tensor` is the default dtype.
    """
    if isinstance(kind, str):
        return TYPE_NAMES.get(kind.rpartition(".")[2], kind)
    if kind is Tensor:
        return get_default_dtype()
    return kind.dtype if isinstance(getattr(kind, "dtype", None), np.dtype) else kind
