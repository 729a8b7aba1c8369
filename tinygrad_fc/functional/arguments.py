"""Arguments of functions in PyTorch's spelling, converted to arrays, shapes and axes."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from tinygrad_fc.device import computes_elsewhere, refuse_lazy
from tinygrad_fc.dtypes import get_default_dtype
from tinygrad_fc.errors import DtypeError, RangeError
from tinygrad_fc.graph import Node

Dim = int | tuple[int, ...] | list[int] | None


def as_array(data: Any, dtype: Any = None, *, copy: bool | None = None) -> Any:
    """Return `data` as an array of numbers; Python floats become the default dtype."""
    if isinstance(data, Node):
        data = data._array
    elif isinstance(data, list | tuple) and any(isinstance(v, Node) for v in data):
        data = [v._array if isinstance(v, Node) else v for v in data]
    if computes_elsewhere(data):
        return data.astype(data.dtype if dtype is None else dtype, copy=bool(copy))
    refuse_lazy(data, "a tensor")
    try:
        array = np.array(data, copy=copy) if dtype is None else np.array(data, dtype, copy=copy)
    except (ValueError, TypeError, OverflowError) as error:
        message = (
            f"cannot make a tensor of {data!r:.80}: all rows must have one length, and all "
            "elements be real numbers or truth values; tensors are put together by stack or cat "
            f"({error})"
        )
        raise DtypeError(message) from error
    if array.dtype.kind not in "fiub":
        message = (
            f"cannot make a tensor of {data!r:.80}: its elements are {array.dtype}, and tensors "
            "hold real numbers or truth values; rows must have one length"
        )
        raise DtypeError(message)
    if not array.dtype.isnative:  # as files bring it; all results are in the machine's own
        array = array.astype(array.dtype.newbyteorder("="))
    if dtype is None and array.dtype == np.float64 and not hasattr(data, "dtype"):
        first = data
        while isinstance(first, list | tuple) and len(first):
            first = first[0]
        if not isinstance(first, np.ndarray | np.generic):
            array = array.astype(get_default_dtype(), copy=False)
    return array


def as_shape(given: tuple[Any, ...]) -> tuple[int, ...]:
    """Return a shape that was given as whole numbers or as one sequence of them."""
    try:
        if len(given) == 1 and not hasattr(given[0], "__index__"):
            given = tuple(given[0])
        return tuple(index(n) for n in given)
    except TypeError as error:
        message = f"sizes, dims and shifts are whole numbers or a tuple of them, got {given!r:.60}"
        raise DtypeError(message) from error


def normalize_dim(dim: int, ndim: int, what: str) -> int:
    """Return `dim` counted from the front; raise `RangeError` where there is no such axis."""
    if not hasattr(dim, "__index__"):
        message = f"{what}: dim is one whole number, got {dim!r:.60}"
        raise DtypeError(message)
    if not -ndim <= dim < ndim:
        message = (
            f"{what}: dim {dim} is out of range, a tensor of {ndim} dimensions has {-ndim} to "
            f"{ndim - 1}"
        )
        raise RangeError(message)
    return dim % ndim


def reduction_axes(dim: Any, keepdim: bool, axis: Any, keepdims: Any) -> dict[str, Any]:
    """Return the settings of a reduction from PyTorch's and NumPy's names for them."""
    if axis is not None:
        if dim is not None:
            message = f"give dim or axis, not both: got dim={dim!r} and axis={axis!r}"
            raise TypeError(message)
        dim = axis
    elif isinstance(dim, tuple | list) and not dim:
        dim = None  # as in PyTorch; for NumPy's `axis=()` nothing is reduced
    if isinstance(dim, tuple | list):  # NumPy has axis 0 of a 0-d array, but not axes (0,)
        dim = dim[0] if len(dim) == 1 else tuple(dim)
    return {"axis": dim, "keepdims": keepdim if keepdims is None else bool(keepdims)}
