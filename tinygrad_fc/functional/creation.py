"""Functions that create tensors: from data, from a shape, or as ranges of numbers."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import dtypes
from tinygrad_fc.device import device as as_device
from tinygrad_fc.device import move_to_device
from tinygrad_fc.errors import DtypeError
from tinygrad_fc.functional.arguments import as_shape
from tinygrad_fc.graph import Node, as_array, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.tensor import Tensor

__all__ = ["arange", "as_tensor", "clone", "detach", "empty"]
__all__ += ["empty_like", "eye", "from_dlpack", "from_numpy", "full", "full_like", "linspace"]
__all__ += ["ones", "ones_like", "tensor", "zeros", "zeros_like"]


def with_grad(array: Any, requires_grad: bool, device: Any = None) -> Tensor:
    """Return a tensor around `array`, moved to `device` unless that is None."""
    t = wrap(array if device is None else move_to_device(array, as_device(device)))
    if requires_grad:
        t.requires_grad = True
    return t


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor with a copy of `data`: numbers, nested lists of them, or an array.

    Arrays keep their dtype; Python floats become the default dtype. With `requires_grad`, a
    backward pass adds the gradient to `.grad`. Raises `DtypeError` unless all elements are real
    numbers or booleans, and for integers with `requires_grad`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    return with_grad(as_array(data, dtype, copy=True), requires_grad, device)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return `data` as a tensor; an array shares its memory, a tensor is returned unchanged.

    >>> import numpy as np, tinygrad_fc as tg
    >>> a = np.zeros(2)
    >>> tg.as_tensor(a).fill_(1.0)
    tensor([1., 1.])
    >>> a
    array([1., 1.])
    """
    if isinstance(data, Node):
        return data.to(device, dtype)  # type: ignore[attr-defined, no-any-return]
    return with_grad(as_array(data, dtype), requires_grad=False, device=device)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """Return a copy; its gradient flows back to `input`.

    >>> import tinygrad_fc as tg
    >>> tg.clone(tg.ones(2))
    tensor([1., 1.])
    """
    return input.clone(memory_format=memory_format)


def detach(input: Tensor) -> Tensor:
    """Return a tensor that shares the memory of `input`, but does not require grad.

    >>> import tinygrad_fc as tg
    >>> tg.detach(tg.ones(2, requires_grad=True)).requires_grad
    False
    """
    return input.detach()


def from_numpy(ndarray: Any) -> Tensor:
    """Return a tensor that shares the memory of an array.

    Raises `TypeError` for other objects.

    >>> import numpy as np, tinygrad_fc as tg
    >>> tg.from_numpy(np.arange(3))
    tensor([0, 1, 2])
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(
            f"from_numpy takes a NumPy array, got {type(ndarray).__name__}: use tensor(...)"
        )
    if not ndarray.dtype.isnative:
        raise DtypeError(
            f"from_numpy cannot share memory of dtype {ndarray.dtype.str}, whose byte order is not "
            "that of this machine: use tensor(...), which copies"
        )
    return with_grad(as_array(ndarray), requires_grad=False)


def from_dlpack(x: Any) -> Tensor:
    """Return a tensor that shares the memory of another library's array, by the DLPack protocol.

    Raises `BufferError` for a dtype that NumPy lacks (bfloat16), for an array that requires grad,
    and for an array on a GPU.

    >>> import numpy as np, tinygrad_fc as tg
    >>> tg.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    try:
        array = np.from_dlpack(x)
    except (BufferError, RuntimeError, ValueError, AttributeError, TypeError) as error:
        raise BufferError(
            f"from_dlpack cannot share the memory of {type(x).__name__}: {error}. Expected an "
            "array on the CPU that does not require grad, with a dtype of NumPy: detach it, or "
            "cast it to float32"
        ) from error
    return with_grad(as_array(array), requires_grad=False)


def full(
    *shape: Any,
    fill_value: Any = None,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor of a shape filled with one value: `full((2, 3), 0.5)`.

    >>> import tinygrad_fc as tg
    >>> tg.full((2,), 0.5)
    tensor([0.5, 0.5])
    """
    if fill_value is None and shape:
        *shape, fill_value = shape  # type: ignore[assignment]
    if fill_value is None or not (shape or size is not None):
        raise TypeError("full takes a shape and a value: full((2, 3), 0.5)")
    value = as_array(fill_value, dtype)
    sizes = as_shape(tuple(shape) if size is None else (size,))
    return with_grad(np.full(sizes, value), requires_grad, device)


def filled_by(fill: Callable[..., Any]) -> Callable[[Any], Callable[..., Tensor]]:
    """Return a decorator: the documented function returns an array of a shape, filled by `fill`.

    Other settings than these are passed to `fill`.
    """

    def decorate(documented: Any) -> Any:
        def create(
            *shape: Any,
            size: Any = None,
            dtype: Any = None,
            device: Any = None,
            requires_grad: bool = False,
            layout: Any = None,
            memory_format: Any = None,
            pin_memory: bool = False,
            **settings: Any,
        ) -> Tensor:
            del layout, memory_format, pin_memory
            shape = as_shape(shape if size is None else (size,))
            array = np.empty(shape, dtype or dtypes.get_default_dtype())
            fill(array, **settings)
            return with_grad(array, requires_grad, device)

        fill.__qualname__ = documented.__name__  # in the error for an unknown setting
        return functools.update_wrapper(create, documented)

    return decorate


@filled_by(lambda array: array.fill(0))
def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return a tensor of zeros of a shape.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2)
    tensor([0., 0.])
    """


@filled_by(lambda array: array.fill(1))
def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return a tensor of ones of a shape.

    >>> import tinygrad_fc as tg
    >>> tg.ones(2)
    tensor([1., 1.])
    """


@filled_by(lambda array: array.fill(0))
def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return a tensor of a shape, to be overwritten; it holds zeros, unlike in PyTorch.

    >>> import tinygrad_fc as tg
    >>> tg.empty(2, 3).shape
    Size([2, 3])
    """


def zeros_like(input: Tensor, **settings: Any) -> Tensor:
    """Return zeros of the shape and dtype of `input`.

    >>> import tinygrad_fc as tg
    >>> tg.zeros_like(tg.ones(2))
    tensor([0., 0.])
    """
    return full_like(input, 0, **settings)


def ones_like(input: Tensor, **settings: Any) -> Tensor:
    """Return ones of the shape and dtype of `input`.

    >>> import tinygrad_fc as tg
    >>> tg.ones_like(tg.zeros(2))
    tensor([1., 1.])
    """
    return full_like(input, 1, **settings)


def empty_like(input: Tensor, **settings: Any) -> Tensor:
    """Return zeros of the shape and dtype of `input`, to be overwritten.

    >>> import tinygrad_fc as tg
    >>> tg.empty_like(tg.ones(2, 3)).shape
    Size([2, 3])
    """
    return full_like(input, 0, **settings)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    memory_format: Any = None,
) -> Tensor:
    """Return a tensor of the shape and dtype of `input` filled with `fill_value`.

    `layout` and `memory_format` have no effect: elements are in C order.

    >>> import tinygrad_fc as tg
    >>> tg.full_like(tg.ones(2), 7)
    tensor([7., 7.])
    """
    del layout, memory_format
    like = input._array if isinstance(input, Node) else input
    array = np.full_like(like, fill_value, dtype=dtype, order="C")
    return with_grad(array, requires_grad, device)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the (n, m) matrix with ones on its diagonal.

    >>> import tinygrad_fc as tg
    >>> tg.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    return with_grad(np.eye(n, m, dtype=dtype or dtypes.get_default_dtype()), requires_grad, device)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the numbers from `start` to `end`, excluded; `arange(end)` starts at 0.

    >>> import tinygrad_fc as tg
    >>> tg.arange(1, 2, 0.25)
    tensor([1.  , 1.25, 1.5 , 1.75])
    """
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) / step < 0:
        raise ValueError(
            f"arange({start}, {end}, {step}) never reaches its end: check the sign of step"
        )
    if dtype is None and any(isinstance(v, float | np.floating) for v in (start, end, step)):
        dtype = dtypes.get_default_dtype()
    # The count is one division, as in PyTorch: added steps would accumulate rounding errors.
    count = math.ceil((end - start) / step)
    return with_grad(
        (start + np.arange(count) * step).astype(dtype or np.int64), requires_grad, device
    )


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `steps` numbers evenly spaced from `start` to `end`, both included.

    >>> import tinygrad_fc as tg
    >>> tg.linspace(-7, 7, 3)
    tensor([-7.,  0.,  7.])
    """
    return with_grad(
        np.linspace(start, end, steps, dtype=dtype or dtypes.get_default_dtype()),
        requires_grad,
        device,
    )


def _new(create: Any, self: Tensor, size: tuple[Any, ...], settings: dict[str, Any]) -> Tensor:
    if settings.get("dtype") is None:
        settings["dtype"] = self.dtype
    settings.setdefault("device", self.device)
    return create(*size, **settings)  # type: ignore[no-any-return]


def new_zeros(self: Tensor, *size: Any, **settings: Any) -> Tensor:
    """Return zeros of shape `size`, by default of the dtype of `self`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1, 2]).new_zeros(3)
    tensor([0, 0, 0])
    """
    return _new(zeros, self, size, settings)


def new_ones(self: Tensor, *size: Any, **settings: Any) -> Tensor:
    """Return ones of shape `size`, by default of the dtype of `self`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0]).new_ones((2, 1)).shape
    Size([2, 1])
    """
    return _new(ones, self, size, settings)


def new_empty(self: Tensor, *size: Any, **settings: Any) -> Tensor:
    """Return zeros of shape `size`, to be overwritten, by default of the dtype of `self`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0]).new_empty(2, 3).shape
    Size([2, 3])
    """
    return _new(empty, self, size, settings)


def new_full(self: Tensor, size: Any, fill_value: Any, **settings: Any) -> Tensor:
    """Return a tensor of shape `size` filled with one value, by default of the dtype of `self`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1, 2]).new_full((2,), 7)
    tensor([7, 7])
    """
    return _new(full, self, (size, fill_value), settings)
