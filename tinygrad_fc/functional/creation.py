"""Functions that create tensors: from data, from a shape, or as ranges of numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core.device import device as as_device
from tinygrad_fc.core.device import move_to_device
from tinygrad_fc.core.dtypes import get_default_dtype
from tinygrad_fc.core.errors import check_argument, check_dtypes
from tinygrad_fc.core.node import Node, array_of, as_array, operand
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.arguments import (
    Options,
    accepts_arrays,
    as_shape,
    created,
    dtype_in,
    options_like,
)

if TYPE_CHECKING:
    from typing import Unpack

    import numpy.typing as npt

    from tinygrad_fc.core.device import DeviceLike
    from tinygrad_fc.core.dtypes import DTypeLike, Sizes
    from tinygrad_fc.tensors import Tensor

__all__ = ["arange", "as_tensor", "clone", "detach", "empty", "empty_like", "eye", "from_dlpack"]
__all__ += ["from_numpy", "full", "full_like", "linspace", "logspace"]
__all__ += ["ones", "ones_like", "tensor", "tril_indices", "triu_indices", "zeros", "zeros_like"]


@accepts_arrays()
def tensor(
    data: npt.ArrayLike,
    *,
    dtype: DTypeLike = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
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
    options: Options = {"device": device, "requires_grad": requires_grad}
    return created(as_array(data, dtype, copy=True), options)


@accepts_arrays()
def as_tensor(data: Any, dtype: DTypeLike = None, device: DeviceLike = None) -> Tensor:
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
    return created(as_array(data, dtype), {"device": device})


@accepts_arrays("input")
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """Return a copy; its gradient flows back to `input`.

    >>> import tinygrad_fc as tg
    >>> tg.clone(tg.ones(2))
    tensor([1., 1.])
    """
    return input.clone(memory_format=memory_format)


@accepts_arrays("input")
def detach(input: Tensor) -> Tensor:
    """Return a tensor that shares the memory of `input`, but does not require grad.

    >>> import tinygrad_fc as tg
    >>> tg.detach(tg.ones(2, requires_grad=True)).requires_grad
    False
    """
    return input.detach()


@accepts_arrays()
def from_numpy(ndarray: np.ndarray) -> Tensor:
    """Return a tensor that shares the memory of an array.

    Raises `TypeError` for other objects.

    >>> import numpy as np, tinygrad_fc as tg
    >>> tg.from_numpy(np.arange(3))
    tensor([0, 1, 2])
    """
    kinds: Any = np.ndarray, np.lib.mixins.NDArrayOperatorsMixin  # arrays, and tracers of arrays
    if not isinstance(ndarray, kinds):
        raise TypeError(f"from_numpy takes an array, got {type(ndarray).__name__}: use tensor(...)")
    expected = "this machine's byte order: use tensor(...), which copies"
    check_dtypes(ndarray.dtype.isnative, "from_numpy", expected, ndarray)
    return created(as_array(ndarray), {})


@accepts_arrays()
def from_dlpack(x: Any) -> Tensor:
    """Return a tensor that shares the memory of another library's array, by the DLPack protocol.

    Raises NumPy's or the other library's error for an array that cannot be shared: on a GPU, that
    requires grad, or of a dtype that NumPy lacks, such as bfloat16.

    >>> import numpy as np, tinygrad_fc as tg
    >>> tg.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    return created(as_array(np.from_dlpack(x)), {})


@accepts_arrays()
def full(size: int | Sizes, fill_value: npt.ArrayLike, **options: Unpack[Options]) -> Tensor:
    """Return a tensor of a shape filled with one value: `full((2, 3), 0.5)`.

    >>> import tinygrad_fc as tg
    >>> tg.full((2,), 0.5)
    tensor([0.5, 0.5])
    """
    value = as_array(fill_value, options.get("dtype"))
    return created(np.full(as_shape((size,)), value, like=like()), options)


@accepts_arrays()
def zeros(*shape: int | Sizes, size: Sizes | None = None, **options: Unpack[Options]) -> Tensor:
    """Return a tensor of zeros of a shape: `zeros(2, 3)` or `zeros((2, 3))`.

    `options` are `dtype`, `device` and `requires_grad`.

    >>> import tinygrad_fc as tg
    >>> tg.zeros(2)
    tensor([0., 0.])
    """
    return created(np.zeros(as_shape(shape, size), dtype_in(options), like=like()), options)


@accepts_arrays()
def ones(*shape: int | Sizes, size: Sizes | None = None, **options: Unpack[Options]) -> Tensor:
    """Return a tensor of ones of a shape; see `zeros`.

    >>> import tinygrad_fc as tg
    >>> tg.ones(2)
    tensor([1., 1.])
    """
    return created(np.ones(as_shape(shape, size), dtype_in(options), like=like()), options)


@accepts_arrays()
def empty(*shape: int | Sizes, size: Sizes | None = None, **options: Unpack[Options]) -> Tensor:
    """Return a tensor of a shape, to be overwritten; it holds zeros, unlike in PyTorch.

    >>> import tinygrad_fc as tg
    >>> tg.empty(2, 3).shape
    Size([2, 3])
    """
    return zeros(*shape, size=size, **options)


@accepts_arrays("input")
def zeros_like(input: Tensor, **options: Unpack[Options]) -> Tensor:
    """Return zeros of the shape and dtype of `input`.

    >>> import tinygrad_fc as tg
    >>> tg.zeros_like(tg.ones(2))
    tensor([0., 0.])
    """
    return full_like(input, 0, **options)


@accepts_arrays("input")
def ones_like(input: Tensor, **options: Unpack[Options]) -> Tensor:
    """Return ones of the shape and dtype of `input`.

    >>> import tinygrad_fc as tg
    >>> tg.ones_like(tg.zeros(2))
    tensor([1., 1.])
    """
    return full_like(input, 1, **options)


@accepts_arrays("input")
def empty_like(input: Tensor, **options: Unpack[Options]) -> Tensor:
    """Return zeros of the shape and dtype of `input`, to be overwritten.

    >>> import tinygrad_fc as tg
    >>> tg.empty_like(tg.ones(2, 3)).shape
    Size([2, 3])
    """
    return full_like(input, 0, **options)


@accepts_arrays("input")
def full_like(input: Tensor, fill_value: npt.ArrayLike, **options: Unpack[Options]) -> Tensor:
    """Return a tensor of the shape and dtype of `input` filled with `fill_value`.

    `layout` and `memory_format` have no effect: elements are in C order.

    >>> import tinygrad_fc as tg
    >>> tg.full_like(tg.ones(2), 7)
    tensor([7., 7.])
    """
    value = operand(fill_value, "full_like")
    model = array_of(input)
    array = np.full_like(model, value, dtype=dtype_in(options, model.dtype), order="C")
    return created(array, options)


@accepts_arrays()
def eye(n: int, m: int | None = None, **options: Unpack[Options]) -> Tensor:
    """Return the (n, m) matrix with ones on its diagonal.

    >>> import tinygrad_fc as tg
    >>> tg.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    return created(np.eye(n, m, dtype=dtype_in(options), like=like()), options)


@accepts_arrays()
def triu_indices(row: int, col: int, offset: int = 0, **options: Unpack[Options]) -> Tensor:
    """Return the indices (2, k) of the elements on and above a diagonal of a (row, col) matrix.

    >>> import tinygrad_fc as tg
    >>> tg.triu_indices(2, 3, 1)
    tensor([[0, 0, 1],
            [1, 2, 2]])
    """
    return tensor(np.stack(np.triu_indices(row, offset, col)), **options)  # type: ignore[misc]


@accepts_arrays()
def tril_indices(row: int, col: int, offset: int = 0, **options: Unpack[Options]) -> Tensor:
    """Return the indices (2, k) of the elements on and below a diagonal of a (row, col) matrix.

    >>> import tinygrad_fc as tg
    >>> tg.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return tensor(np.stack(np.tril_indices(row, offset, col)), **options)  # type: ignore[misc]


@accepts_arrays()
def arange(
    start: float, end: float | None = None, step: float = 1, **options: Unpack[Options]
) -> Tensor:
    """Return the numbers from `start` to `end`, excluded; `arange(end)` starts at 0.

    >>> import tinygrad_fc as tg
    >>> tg.arange(1, 2, 0.25)
    tensor([1.  , 1.25, 1.5 , 1.75])
    """
    if end is None:
        start, end = 0, start
    fit = step != 0 and (end - start) / step >= 0
    check_argument(fit, "arange", f"not 0, and the sign of {end} - {start}", step=step)
    has_floats = any(isinstance(v, float | np.floating) for v in (start, end, step))
    dtype = dtype_in(options, None if has_floats else np.int64)
    # The count is one division, as in PyTorch: added steps would accumulate rounding errors.
    count = math.ceil((end - start) / step)
    return created((start + np.arange(count, like=like()) * step).astype(dtype), options)


@accepts_arrays()
def linspace(start: float, end: float, steps: int, **options: Unpack[Options]) -> Tensor:
    """Return `steps` numbers evenly spaced from `start` to `end`, both included.

    >>> import tinygrad_fc as tg
    >>> tg.linspace(-7, 7, 3)
    tensor([-7.,  0.,  7.])
    """
    first, last = operand(start, "linspace"), operand(end, "linspace")
    return created(np.linspace(first, last, steps, dtype=dtype_in(options)), options)


@accepts_arrays()
def logspace(
    start: float, end: float, steps: int, base: float = 10.0, **options: Unpack[Options]
) -> Tensor:
    """Return `base` to the powers `linspace(start, end, steps)`.

    >>> import tinygrad_fc as tg
    >>> tg.logspace(-1, 1, 3)
    tensor([ 0.1,  1. , 10. ])
    """
    powers = np.linspace(operand(start, "logspace"), operand(end, "logspace"), steps)
    return created((base**powers).astype(dtype_in(options)), options)


@accepts_arrays("self")
def new_zeros(self: Tensor, *size: Any, **options: Unpack[Options]) -> Tensor:
    """Return zeros of shape `size`, by default of the dtype of `self`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1, 2]).new_zeros(3)
    tensor([0, 0, 0])
    """
    return zeros(*size, **options_like(self, options))


@accepts_arrays("self")
def new_ones(self: Tensor, *size: Any, **options: Unpack[Options]) -> Tensor:
    """Return ones of shape `size`, by default of the dtype of `self`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0]).new_ones((2, 1)).shape
    Size([2, 1])
    """
    return ones(*size, **options_like(self, options))


@accepts_arrays("self")
def new_empty(self: Tensor, *size: Any, **options: Unpack[Options]) -> Tensor:
    """Return zeros of shape `size`, to be overwritten, by default of the dtype of `self`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1.0, 2.0]).new_empty(2, 3).shape
    Size([2, 3])
    """
    return empty(*size, **options_like(self, options))


@accepts_arrays("self")
def new_full(self: Tensor, size: Any, fill_value: Any, **options: Unpack[Options]) -> Tensor:
    """Return a tensor of shape `size` filled with one value, by default of the dtype of `self`.

    >>> import tinygrad_fc as tg
    >>> tg.tensor([1, 2]).new_full((2,), 7)
    tensor([7, 7])
    """
    return full(size, fill_value, **options_like(self, options))


def sizes_or_data(args: tuple[Any, ...], dtype: Any, device: Any = None) -> Any:
    """Return zeros of the sizes `args`, integers or a `Size`, or a copy of the data `args[0]`."""
    if device is not None:
        return move_to_device(sizes_or_data(args, dtype), as_device(device))
    data: Any = args[0] if len(args) == 1 else None
    if isinstance(data, Node):
        return as_array(data, dtype, copy=True)
    is_shape = isinstance(data, tuple) and hasattr(data, "numel")
    are_sizes = not isinstance(data, bool) and all(hasattr(n, "__index__") for n in args)
    # An array with one element has `__index__`, too.
    if is_shape or (are_sizes and (np.ndim(data) == 0 or not args)):
        return np.zeros(as_shape(args or (0,)), dtype or get_default_dtype(), like=like())
    if not hasattr(data, "__len__"):
        raise TypeError(
            "a tensor is constructed from sizes, Tensor(2, 3), or from data, Tensor([1.0, 2.0]), "
            f"got {', '.join(map(repr, args)):.80}. For a number, use tensor(...)"
        )
    return as_array(data, dtype or get_default_dtype(), copy=True)
