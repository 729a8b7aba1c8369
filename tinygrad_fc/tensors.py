"""The class `Tensor`: an array with autograd metadata.

Operators call `graph.call_op` directly; NumPy's protocols dispatch `np.exp(t)` and `array * t` to
the same ops. Methods that are also functions are in `methods.py`.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tinygrad_fc import methods, numpy_dispatch
from tinygrad_fc.core import graph, node
from tinygrad_fc.core.backward import accumulate_gradients, backward_pass
from tinygrad_fc.core.errors import DtypeError, GraphError, check_dtypes, check_shapes
from tinygrad_fc.core.grad_fn import GradFn, RemovableHandle
from tinygrad_fc.core.gradients import backward
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import Node, array_of, as_array, leaf_of, next_seq
from tinygrad_fc.functional.creation import sizes_or_data
from tinygrad_fc.ops import arithmetic, comparison, elementwise, indexing, linalg
from tinygrad_fc.ops.elementwise import ONE
from tinygrad_fc.ops.shape import alias, copy, transpose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    import numpy.typing as npt

    from tinygrad_fc.core.device import DeviceLike
    from tinygrad_fc.core.op import Op

    class Operator(Protocol):
        """A method of one argument."""

        def __get__(self, instance: Any, owner: Any = None) -> Callable[[Any], Tensor]: ...


NO_SETTINGS: dict[str, Any] = {}
_COMPARABLE = (Node, np.ndarray, np.generic, int, float, list, tuple)
_SEQUENCES: frozenset[Any] = frozenset((list, tuple))


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
    return call_op(arithmetic.multiply, (self, other), NO_SETTINGS)


def _multiply_reflected(self: Any, other: Any) -> Any:
    if other.__class__ in _SEQUENCES and _is_count(self):
        return NotImplemented
    return call_op(arithmetic.multiply, (other, self), NO_SETTINGS)


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
        grad = node.grad_of(self)
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
        node.set_grad(self, value)

    @property
    def data(self) -> Tensor:
        """A tensor that shares the memory but not the graph; in-place changes affect both."""
        data = leaf_of(array_of(self))
        data._seq = node.UNRECORDED
        if self._op is alias:  # an argument of `Function.forward`, which is copied if changed
            data._op, data._parents = alias, [self]
        return data

    @data.setter
    def data(self, value: Tensor) -> None:
        array = as_array(value)
        fit = array.dtype.kind == "f" or not self._requires_grad
        check_dtypes(fit, ".data", "floats, for a gradient: use .float()", array)
        grad = node.grad_of(self)
        fit = grad is None or array.shape == grad.shape
        check_shapes(fit, ".data", "that of .grad, or set .grad to None first", array)
        with graph.mutation_lock:
            graph.record_change(array_of(self), array)
            node.set_array(self, array)

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
        self._gradient_hooks().retain = not self.is_leaf

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
        return RemovableHandle(self._gradient_hooks().functions, hook)

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
        return RemovableHandle(self._gradient_hooks().after_accumulation, hook)

    def _gradient_hooks(self) -> node.GradientHooks:
        if not self._requires_grad:
            raise GraphError("this tensor does not require grad: there will be no gradient of it")
        if self._hooks is None:
            self._hooks = node.GradientHooks()
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
        from copy import deepcopy  # noqa: PLC0415  the caller has imported it

        kind, state_ = self.__reduce__()
        return kind(*deepcopy(state_, memo))  # type: ignore[no-any-return]

    def __reduce__(self) -> Any:
        grad, array = array_of(node.grad_of(self)), array_of(self)
        return _load, (type(self), _stored(array), self._requires_grad, _stored(grad))

    def _set_leaf(self, array: Any) -> None:
        """Initialize the tensor as a leaf with `array`."""
        node.set_array(self, array)
        self._op = self._parents = self._args = self._grad = self._hooks = None
        self._requires_grad = False
        self._seq = next_seq()

    # Operators

    __add__, __radd__ = _operators(arithmetic.add)
    __sub__, __rsub__ = _operators(arithmetic.subtract)
    __mul__: Operator  # declared, since ops that multiply are checked before this module
    __rmul__: Operator
    __mul__, __rmul__ = _multiply, _multiply_reflected
    __truediv__, __rtruediv__ = _operators(arithmetic.divide)
    __pow__, __rpow__ = _operators(elementwise.power)
    __matmul__, __rmatmul__ = _operators(linalg.matmul)
    __mod__, __rmod__ = _operators(arithmetic.remainder)
    __floordiv__, __rfloordiv__ = _operators(arithmetic.floor_divide)
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
        return call_op(arithmetic.negative, (self,), NO_SETTINGS)

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
            at = indexing.copied_index(at)
        if at.__class__ is not tuple:
            return call_op(indexing.getitem, (self,), {"at": at})
        out = self
        for step in indexing.steps_of(at, self.ndim):
            out = call_op(indexing.getitem, (out,), {"at": step})
        return out

    def __setitem__(self, at: Any, value: Any) -> None:
        at = indexing.copied_index(at)
        methods.assign(self, indexing.steps_of(at, self.ndim), value)

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in reversed order."""
        return call_op(transpose, (self,), {"axes": tuple(range(self.ndim))[::-1]})

    @property
    def mT(self) -> Tensor:
        """The tensor with its last two axes exchanged; `H`, too, of real numbers."""
        return self.transpose(-1, -2)

    H = mT


def _stored(array: Any) -> Any:
    """Return `array`, or, for a view, its memory and its place there.

    Copies and pickles of several views are then views of one memory, too.
    """
    memory = node.owner(array)
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
