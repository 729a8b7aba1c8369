"""Constructors, argument forms and names of scripts that were written for early PyTorch."""

from __future__ import annotations

import functools
import math
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinygrad_fc import dtypes
from tinygrad_fc.device import cuda, move_to_device
from tinygrad_fc.device import device as as_device
from tinygrad_fc.functional.arguments import as_shape
from tinygrad_fc.functional.creation import tensor
from tinygrad_fc.functional.elementwise import div
from tinygrad_fc.functional.linalg import outer
from tinygrad_fc.functional.shape import movedim, transpose
from tinygrad_fc.graph import Node, as_array, owner, wrap
from tinygrad_fc.ops.elementwise import mul, sub

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.tensor import Tensor

M = TypeVar("M", bound="Callable[..., Any]")

__all__ = ["BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor"]
__all__ += ["IntTensor", "LongTensor", "ShortTensor", "contiguous_format", "divide", "ger"]
__all__ += ["is_complex", "is_floating_point", "is_tensor", "moveaxis", "multiply"]
__all__ += ["preserve_format", "range", "set_default_tensor_type", "subtract"]
__all__ += ["swapaxes", "swapdims", "true_divide"]

divide = true_divide = div
ger, multiply, subtract, moveaxis = outer, mul, sub, movedim
swapaxes = swapdims = transpose
contiguous_format = preserve_format = "contiguous"  # values of `memory_format=`


# Constructors


def sizes_or_data(args: tuple[Any, ...], dtype: Any, device: Any = None) -> Any:
    """Return zeros of the sizes `args`, integers or a `Size`, or a copy of the data `args[0]`."""
    if device is not None:
        return move_to_device(sizes_or_data(args, dtype), as_device(device))
    data: Any = args[0] if len(args) == 1 else None
    if isinstance(data, Node):
        return as_array(data, dtype, copy=True)
    if not isinstance(data, bool) and all(hasattr(n, "__index__") for n in args):
        if np.ndim(data) == 0 or not args:  # an array with one element has `__index__`, too
            return np.zeros(as_shape(args or (0,)), dtype)
    elif isinstance(data, tuple) and hasattr(data, "numel"):
        return np.zeros(data, dtype)
    if not hasattr(data, "__len__"):
        raise TypeError(
            "a tensor is constructed from sizes, Tensor(2, 3), or from data, Tensor([1.0, 2.0]), "
            f"got {', '.join(map(repr, args)):.80}. For a number, use tensor(...)"
        )
    return as_array(data, dtype or dtypes.get_default_dtype(), copy=True)


class TensorType(type):
    """The class of `FloatTensor` and its like: a call returns a tensor of its dtype."""

    dtype: np.dtype[Any]

    def __call__(cls, *args: Any, device: Any = None) -> Any:
        return wrap(sizes_or_data(args, cls.dtype, device))

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Node) and instance._array.dtype == cls.dtype


def _type(name: str, dtype: np.dtype[Any]) -> TensorType:
    """Return the class of tensors of a dtype.

    `FloatTensor(2, 3)` are zeros, `FloatTensor([1.0, 2.0])` are data; `x.type(FloatTensor)` is a
    cast, and `isinstance(x, FloatTensor)` compares the dtype.

    >>> import tinygrad_fc as tg
    >>> tg.FloatTensor(2), tg.LongTensor([1, 2])
    (tensor([0., 0.], dtype=float32), tensor([1, 2]))
    """
    doc = f"Tensors of dtype {dtype}: `{name}(2, 3)` of zeros, `{name}([1, 2])` of data."
    TYPES[name] = TensorType(name, (), {"dtype": dtype, "__doc__": doc})
    setattr(cuda, name, TYPES[name])
    return TYPES[name]


TYPES: dict[str, TensorType] = {}
FloatTensor = _type("FloatTensor", dtypes.float32)
DoubleTensor = _type("DoubleTensor", dtypes.float64)
HalfTensor = _type("HalfTensor", dtypes.float16)
LongTensor = _type("LongTensor", dtypes.int64)
IntTensor = _type("IntTensor", dtypes.int32)
ShortTensor = _type("ShortTensor", dtypes.int16)
CharTensor = _type("CharTensor", dtypes.int8)
ByteTensor = _type("ByteTensor", dtypes.uint8)
BoolTensor = _type("BoolTensor", dtypes.bool_)


def name_of(dtype: np.dtype[Any]) -> str:
    """Return PyTorch's name of the type with `dtype`."""
    names = (name for name, kind in TYPES.items() if kind.dtype == dtype)
    return f"torch.{next(names, f'{dtype.name.title()}Tensor')}"


def dtype_of(kind: Any) -> Any:
    """Return the dtype of a type or of its name, "torch.FloatTensor"; else `kind` as it is."""
    if isinstance(kind, str):
        kind = TYPES.get(kind.rpartition(".")[2], kind)
    if isinstance(kind, TensorType):
        return kind.dtype
    return dtypes.get_default_dtype() if isinstance(kind, type) and issubclass(kind, Node) else kind


def set_default_tensor_type(t: Any) -> None:
    """Set the default dtype to that of a type, "torch.DoubleTensor" or `DoubleTensor`.

    >>> import tinygrad_fc as tg
    >>> tg.set_default_tensor_type("torch.DoubleTensor")
    """
    dtypes.set_default_dtype(dtype_of(t))


def range(start: float = 0, end: float = 0, step: float = 1, **settings: Any) -> Tensor:
    """Return the numbers from `start` to `end`, included; deprecated: use `arange`.

    >>> import warnings
    >>> import tinygrad_fc as tg
    >>> with warnings.catch_warnings(action="ignore"):
    ...     tg.range(1, 3)
    tensor([1., 2., 3.])
    """
    deprecated("range is deprecated, since it includes its end. Use arange, which excludes it")
    numbers = start + np.arange(int((end - start) / step) + 1) * step
    settings["dtype"] = settings.get("dtype") or dtypes.get_default_dtype()
    return tensor(numbers, **settings)


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


# Forms of arguments


def deprecated(message: str, stacklevel: int = 3) -> None:
    """Warn of an old form, as PyTorch does."""
    warnings.warn(message, UserWarning, stacklevel=stacklevel)


def old_name(names: dict[str, Any], name: str) -> Any:
    """Return the in-place function with the old `name`: `xavier_normal` is `xavier_normal_`."""
    if f"{name}_" not in names:
        raise AttributeError(f"module {names['__name__']!r} has no attribute {name!r}")
    deprecated(f"{name} is deprecated. Use {name}_")
    return names[f"{name}_"]


def accepts_factor(name: str, tensors: int) -> Callable[[M], M]:
    """Return a decorator of a method of tensors, whose factor `name` may come before them."""

    def decorate(method: M) -> M:
        @functools.wraps(method)
        def wrapper(self: Any, *args: Any, **settings: Any) -> Any:
            if len(args) > tensors:
                call = f"{method.__name__}({', '.join(['tensor'] * tensors)}, {name}=...)"
                deprecated(f"a factor before the tensors is deprecated. Use {call}")
                settings[name], *args = args  # type: ignore[assignment]
            return method(self, *args, **settings)

        return wrapper  # type: ignore[return-value]

    return decorate


def pop_reduction(settings: dict[str, Any]) -> None:
    """Replace the old arguments `size_average` and `reduce` of a loss by `reduction`."""
    size_average, reduce = (settings.pop(name, None) for name in ("size_average", "reduce"))
    if size_average is not None or reduce is not None:
        name = "none" if reduce is False else "sum" if size_average is False else "mean"
        deprecated(f"size_average and reduce are deprecated. Use reduction={name!r}", 4)
        settings["reduction"] = name


def accepts_size_average(loss: Any) -> Any:
    """Return the function `loss` with the old arguments `size_average` and `reduce`."""

    @functools.wraps(loss)
    def wrapper(*args: Any, **settings: Any) -> Any:
        if settings:
            pop_reduction(settings)
        return loss(*args, **settings)

    return wrapper


# Methods


def _cast(dtype: Any) -> Any:
    def cast(self: Any) -> Tensor:
        return self.to(dtype)  # type: ignore[no-any-return]

    cast.__doc__ = f"Return the tensor cast to {np.dtype(dtype)}."
    return cast


class Casts(Node):
    """Casts to dtypes under PyTorch's names."""

    __slots__ = ()

    double, float, half = _cast(np.float64), _cast(np.float32), _cast(np.float16)
    long, int, short = _cast(np.int64), _cast(np.int32), _cast(np.int16)
    char, byte, bool = _cast(np.int8), _cast(np.uint8), _cast(np.bool_)


class OldMethods(Casts):
    """Methods and attributes of a tensor that code for several dtypes and devices uses."""

    __slots__ = ()

    is_complex = is_complex
    is_sparse = False

    def new(self: Any, *args: Any, device: Any = None) -> Tensor:
        """Return a tensor of the same dtype from sizes or data, as `Tensor(...)`.

        >>> import tinygrad_fc as tg
        >>> tg.tensor([1, 2]).new([3, 4])
        tensor([3, 4])
        """
        return wrap(sizes_or_data(args, self.dtype, device or self.device))

    def new_tensor(self: Any, data: Any, **settings: Any) -> Tensor:
        """Return `tensor(data)`, by default of the same dtype.

        >>> import tinygrad_fc as tg
        >>> tg.tensor([1, 2]).new_tensor([3, 4])
        tensor([3, 4])
        """
        return tensor(data, **{"dtype": self.dtype, "device": self.device, **settings})

    @property
    def is_cuda(self: Any) -> bool:
        """Whether the elements are on a GPU."""
        return bool(self.device.type == "cuda")

    @property
    def is_cpu(self: Any) -> bool:
        """Whether the elements are on the CPU."""
        return not self.is_cuda

    def ndimension(self: Any) -> int:
        """Return the number of axes.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3).ndimension()
        2
        """
        return int(self.ndim)

    def view_as(self: Any, other: Tensor) -> Tensor:
        """Return a view in the shape of `other`.

        >>> import tinygrad_fc as tg
        >>> tg.arange(4).view_as(tg.zeros(2, 2))
        tensor([[0, 1],
                [2, 3]])
        """
        return self.view(other.shape)  # type: ignore[no-any-return]

    def reshape_as(self: Any, other: Tensor) -> Tensor:
        """Return the elements in the shape of `other`.

        >>> import tinygrad_fc as tg
        >>> tg.arange(4).reshape_as(tg.zeros(2, 2))
        tensor([[0, 1],
                [2, 3]])
        """
        return self.reshape(other.shape)  # type: ignore[no-any-return]

    def resize_(self: Any, *sizes: Any) -> Tensor:
        """Change the shape, and drop the last elements or append zeros; return itself."""
        shape = as_shape(sizes)
        flat, n = self._array.reshape(-1), math.prod(shape)
        if n > flat.size:
            flat = np.concatenate([flat, np.zeros(n - flat.size, flat.dtype)])
        self.data = wrap(flat[:n].reshape(shape))
        return self  # type: ignore[no-any-return]

    def detach_(self: Any) -> Tensor:
        """Make the tensor a leaf, without its graph; return itself."""
        self._set_leaf(self._array)
        return self  # type: ignore[no-any-return]

    def storage(self: Any) -> Tensor:
        """Return the memory that the tensor is a view of, as a flat tensor.

        >>> import tinygrad_fc as tg
        >>> tg.arange(6).reshape(2, 3)[1].storage()
        tensor([0, 1, 2, 3, 4, 5])
        """
        return wrap(owner(self._array).ravel(order="K"))

    def stride(self: Any, dim: int | None = None) -> Any:
        """Return the distance in memory of neighbours along each axis, or along `dim`.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3).stride()
        (3, 1)
        """
        strides = tuple(n // self._array.itemsize for n in self._array.strides)
        return strides if dim is None else strides[dim]

    def data_ptr(self: Any) -> int:
        """Return the address of the first element.

        >>> import tinygrad_fc as tg
        >>> x = tg.zeros(2, 3)
        >>> x[1].data_ptr() - x.data_ptr() == 3 * x.element_size()
        True
        """
        return int(self._array.__array_interface__["data"][0])

    def storage_offset(self: Any) -> int:
        """Return the number of elements in memory before the first.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3)[1].storage_offset()
        3
        """
        return int((self.data_ptr() - self.storage().data_ptr()) // self._array.itemsize)

    def pin_memory(self: Any, device: Any = None) -> Tensor:
        """Return itself: memory is not pinned.

        >>> import tinygrad_fc as tg
        >>> x = tg.zeros(2)
        >>> x.pin_memory() is x
        True
        """
        del device
        return self  # type: ignore[no-any-return]

    share_memory_ = pin_memory
