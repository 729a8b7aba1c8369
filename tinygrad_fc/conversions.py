"""Attributes of a tensor and its conversions: shape, dtype, device, memory, Python's numbers.

Every tensor has them under PyTorch's names.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tinygrad_fc.core.device import CPU, device, device_of, gpu, is_on
from tinygrad_fc.core.dtypes import TYPE_NAMES, bfloat16, get_default_dtype
from tinygrad_fc.core.errors import DtypeError, check_argument, check_shapes
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import Node, array_of, leaf_of, owner
from tinygrad_fc.core.printing import tensor_text
from tinygrad_fc.functional.arguments import accepts_arrays, as_shape, normalize_dim
from tinygrad_fc.functional.creation import sizes_or_data, tensor
from tinygrad_fc.ops.shape import astype, to_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tinygrad_fc.core.dtypes import DTypeLike
    from tinygrad_fc.tensors import Tensor

__all__ = ["Size", "is_complex", "is_floating_point", "is_tensor"]


_DEVICE_TYPES = ("cpu", "cuda", "mps", "meta", "xpu")


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


def dtype_of_type(kind: Any) -> Any:
    """Return the dtype of a type of tensors, a class or its name; else `kind` as it is.

    That of `Tensor` is the default dtype.
    """
    if isinstance(kind, str):
        return TYPE_NAMES.get(kind.rpartition(".")[2], kind)
    if isinstance(kind, type) and issubclass(kind, Node):
        return get_default_dtype()
    return kind.dtype if isinstance(getattr(kind, "dtype", None), np.dtype) else kind


# Functions; `is_floating_point` and `is_complex` are also methods


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
    return input._array.dtype.kind == "f"  # type: ignore[no-any-return]


def is_complex(input: Tensor) -> bool:
    """Return False: there are no complex tensors.

    >>> import tinygrad_fc as tg
    >>> tg.is_complex(tg.tensor(1.0))
    False
    """
    return input._array.dtype.kind == "c"  # type: ignore[no-any-return]


def _cast(dtype: Any) -> Any:
    def cast(self: Any) -> Tensor:
        return self.to(dtype)  # type: ignore[no-any-return]

    cast.__doc__ = f"Return the tensor cast to {np.dtype(dtype)}."
    return cast


class Casts(Node):
    """Casts under PyTorch's names, apart from code whose annotations mean Python's types."""

    __slots__ = ()

    double, float, half = _cast(np.float64), _cast(np.float32), _cast(np.float16)
    long, int, short = _cast(np.int64), _cast(np.int32), _cast(np.int16)
    char, byte, bool = _cast(np.int8), _cast(np.uint8), _cast(np.bool_)


class Conversions(Casts):
    """Shapes, dtypes, devices and memory of a tensor, under PyTorch's names."""

    __slots__ = ()

    is_sparse = is_mps = False
    is_complex, is_floating_point = is_complex, is_floating_point

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

    ndimension = dim

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

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Return whether the elements are contiguous in memory, in C order.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2, 3).t().is_contiguous()
        False
        """
        del memory_format
        return bool(self._array.flags.c_contiguous)

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
        return (self[k] for k in range(len(self)))  # type: ignore[index]

    def __contains__(self, element: Any) -> bool:
        return bool(np.any(array_of(self) == array_of(element)))

    def __format__(self, spec: str) -> str:
        return format(str(self) if self.ndim else self.item(), spec)

    def __repr__(self) -> str:
        return tensor_text("tensor(", self)

    # Dtypes and devices

    @accepts_arrays()
    def to(self: Any, *args: Any, **kwargs: Any) -> Tensor:
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
        out: Any = self
        if where is not None and not is_on(self._array, where):
            out = call_op(to_device, (self,), {"where": where})
        if not copied and (dtype is None or np.dtype(dtype) == out.dtype):
            return out  # type: ignore[no-any-return]
        return out.astype(out.dtype if dtype is None else dtype)  # type: ignore[no-any-return]

    def astype(self: Any, dtype: DTypeLike) -> Tensor:
        """Return the tensor cast to `dtype`; casts between float dtypes are recorded.

        >>> import tinygrad_fc as tg
        >>> tg.tensor([1.5]).astype("int64")
        tensor([1])
        """
        return call_op(astype, (self,), {"dtype": np.dtype(dtype)})

    type_as = to

    def type(self: Any, dtype: Any = None) -> Any:
        """Return PyTorch's name of the type; with a name, a type or a dtype, cast to it.

        >>> import tinygrad_fc as tg
        >>> tg.ones(2).type(), tg.ones(2).type(tg.LongTensor)
        ('torch.DoubleTensor', tensor([1, 1]))
        """
        if dtype is None:
            names = (name for name, named in TYPE_NAMES.items() if named == self.dtype)
            return f"torch.{next(names, f'{self.dtype.name.title()}Tensor')}"
        return self.to(dtype_of_type(dtype))

    def cpu(self: Any) -> Tensor:
        """Return the tensor on the CPU; itself if it is there.

        >>> import tinygrad_fc as tg
        >>> tg.zeros(2).cpu().is_cpu
        True
        """
        return self.to(CPU)  # type: ignore[no-any-return]

    def cuda(self: Any, device: Any = None) -> Tensor:
        """Return the tensor on a GPU, by default the first; itself if it is there."""
        return self.to(gpu(device))  # type: ignore[no-any-return]

    # Memory, and names of early PyTorch

    def bfloat16(self: Any) -> Tensor:
        """Raise `DtypeError`: NumPy has no such dtype."""
        return self.to(bfloat16)  # type: ignore[no-any-return]

    def conj(self: Any) -> Tensor:
        """Return itself: there are no complex tensors. `real` is it, too.

        >>> import tinygrad_fc as tg
        >>> x = tg.ones(2)
        >>> x.conj() is x, x.real is x
        (True, True)
        """
        return self  # type: ignore[no-any-return]

    real = property(conj, doc="The tensor itself: there are no complex tensors.")

    def new(self: Any, *args: Any, device: Any = None) -> Tensor:
        """Return a tensor of the same dtype from sizes or data, as `Tensor(...)`.

        >>> import tinygrad_fc as tg
        >>> tg.tensor([1, 2]).new([3, 4])
        tensor([3, 4])
        """
        return leaf_of(sizes_or_data(args, self.dtype, device or self.device))

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
        check_argument(min(shape, default=0) >= 0, "resize_", "sizes of at least 0", sizes=shape)
        flat, n = array_of(self).reshape(-1), math.prod(shape)
        if n > flat.size:
            flat = np.concatenate([flat, np.zeros(n - flat.size, flat.dtype, like=flat)])
        self.data = leaf_of(flat[:n].reshape(shape))
        return self  # type: ignore[no-any-return]

    def resize_as_(self: Any, the_template: Any) -> Tensor:
        """Change the shape to that of another tensor, as `resize_`; return itself."""
        return self.resize_(the_template.shape)  # type: ignore[no-any-return]

    def get_device(self: Any) -> int:
        """Return the number of the GPU that holds the elements, -1 for the CPU."""
        return -1 if self.device.index is None else self.device.index

    def detach_(self: Any) -> Tensor:
        """Make the tensor a leaf, without its graph; return itself."""
        self._set_leaf(array_of(self))
        return self  # type: ignore[no-any-return]

    def storage(self: Any) -> Tensor:
        """Return the memory that the tensor is a view of, as a flat tensor.

        >>> import tinygrad_fc as tg
        >>> tg.arange(6).reshape(2, 3)[1].storage()
        tensor([0, 1, 2, 3, 4, 5])
        """
        return leaf_of(owner(array_of(self)).ravel(order="K"))

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
        return int(array_of(self).__array_interface__["data"][0])

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
