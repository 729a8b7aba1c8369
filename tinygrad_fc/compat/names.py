"""Constructors and names of scripts that were written for early PyTorch."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.conversions import dtype_of_type
from tinygrad_fc.core import dtypes
from tinygrad_fc.core.device import cuda
from tinygrad_fc.core.errors import warn_deprecated
from tinygrad_fc.core.node import Node, leaf_of
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional.creation import sizes_or_data, tensor
from tinygrad_fc.functional.elementwise import div
from tinygrad_fc.functional.products import mm, outer
from tinygrad_fc.functional.shape import movedim, transpose
from tinygrad_fc.nn import init, utils
from tinygrad_fc.ops.arithmetic import mul, sub
from tinygrad_fc.ops.comparison import sign

if TYPE_CHECKING:
    from types import ModuleType

    from tinygrad_fc.tensors import Tensor

__all__ = ["BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor"]
__all__ += ["IntTensor", "LongTensor", "ShortTensor", "contiguous_format", "divide", "ger"]
__all__ += ["moveaxis", "multiply", "preserve_format", "range", "set_default_tensor_type"]
__all__ += ["get_num_threads", "set_num_threads", "sgn", "spmm", "subtract", "swapaxes", "swapdims"]
__all__ += ["true_divide"]

divide = true_divide = div
ger, multiply, subtract, moveaxis, spmm, sgn = outer, mul, sub, movedim, mm, sign
swapaxes = swapdims = transpose
contiguous_format = preserve_format = "contiguous"  # values of `memory_format=`


class TensorType(type):
    """The class of `FloatTensor` and its like: a call returns a tensor of its dtype."""

    dtype: np.dtype[Any]

    def __call__(cls, *args: Any, device: Any = None) -> Any:
        return leaf_of(sizes_or_data(args, cls.dtype, device))

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Node) and instance._array.dtype == cls.dtype


def _type(name: str) -> TensorType:
    """Return the class of tensors with a name.

    `FloatTensor(2, 3)` are zeros, `FloatTensor([1.0, 2.0])` are data; `x.type(FloatTensor)` is a
    cast, and `isinstance(x, FloatTensor)` compares the dtype.

    >>> import tinygrad_fc as tg
    >>> tg.FloatTensor(2), tg.LongTensor([1, 2])
    (tensor([0., 0.], dtype=float32), tensor([1, 2]))
    """
    dtype = dtypes.TYPE_NAMES[name]
    doc = f"Tensors of dtype {dtype}: `{name}(2, 3)` of zeros, `{name}([1, 2])` of data."
    tensor_type = TensorType(name, (), {"dtype": dtype, "__doc__": doc})
    setattr(cuda, name, tensor_type)
    return tensor_type


FloatTensor, DoubleTensor = _type("FloatTensor"), _type("DoubleTensor")
HalfTensor, BoolTensor = _type("HalfTensor"), _type("BoolTensor")
LongTensor, IntTensor = _type("LongTensor"), _type("IntTensor")
ShortTensor, CharTensor = _type("ShortTensor"), _type("CharTensor")
ByteTensor = _type("ByteTensor")


def set_num_threads(int: int) -> None:
    """Do nothing: the library that multiplies NumPy's matrices has its number from OMP_NUM_THREADS.

    >>> import tinygrad_fc as tg
    >>> tg.set_num_threads(1)
    """


def get_num_threads() -> int:
    """Return the number of processors, which NumPy's products use by default.

    >>> import tinygrad_fc as tg
    >>> tg.get_num_threads() > 0
    True
    """
    return os.cpu_count() or 1


def set_default_tensor_type(t: Any) -> None:
    """Set the default dtype to that of a type, "torch.DoubleTensor" or `DoubleTensor`.

    >>> import tinygrad_fc as tg
    >>> tg.set_default_tensor_type("torch.DoubleTensor")
    """
    dtypes.set_default_dtype(dtype_of_type(t))


def range(start: float = 0, end: float = 0, step: float = 1, **settings: Any) -> Tensor:
    """Return the numbers from `start` to `end`, included; deprecated: use `arange`.

    >>> import warnings
    >>> import tinygrad_fc as tg
    >>> with warnings.catch_warnings(action="ignore"):
    ...     tg.range(1, 3)
    tensor([1., 2., 3.])
    """
    message = "range is deprecated, since it includes its end. Use arange, which excludes it"
    warn_deprecated(message)
    numbers = start + np.arange(int((end - start) / step) + 1, like=like()) * step
    settings["dtype"] = settings.get("dtype") or dtypes.get_default_dtype()
    return tensor(numbers, **settings)


# In-place functions under their older names: `xavier_normal` is `xavier_normal_`


def _older(function: Any) -> Any:
    """Return an in-place function that warns: its name lacks the underscore."""
    name = function.__name__

    @functools.wraps(function)
    def older(*args: Any, **settings: Any) -> Any:
        warn_deprecated(f"{name.removesuffix('_')} is deprecated. Use {name}")
        return function(*args, **settings)

    return older


def _add_older_names(module: ModuleType) -> list[str]:
    in_place = {name: f for name, f in vars(module).items() if name[0] != "_" and name[-1] == "_"}
    older = {name.removesuffix("_"): _older(function) for name, function in in_place.items()}
    vars(module).update(older)
    return list(older)


OLDER_NAMES = [*_add_older_names(init), *_add_older_names(utils)]
