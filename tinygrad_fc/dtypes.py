"""The dtypes under PyTorch's names, and the default one. They are NumPy's own."""

from __future__ import annotations

from math import e, inf, nan, pi
from typing import Any

import numpy as np

from tinygrad_fc.errors import DtypeError

__all__ = ["bool", "double", "e", "finfo", "float", "float16", "float32", "float64"]
__all__ += ["get_default_dtype", "half", "iinfo", "inf", "int", "int8", "int16", "int32", "int64"]
__all__ += ["long", "nan", "pi", "promote_types", "set_default_dtype", "short", "uint8"]

float64 = double = np.dtype(np.float64)
float32 = np.dtype(np.float32)
float16 = half = np.dtype(np.float16)
int64 = long = np.dtype(np.int64)
int32 = np.dtype(np.int32)
int16 = short = np.dtype(np.int16)
int8 = np.dtype(np.int8)
uint8 = np.dtype(np.uint8)
bool_ = np.dtype(np.bool_)
bool, float, int = bool_, float32, int32  # as in PyTorch, where a float has 32 bits
finfo, iinfo = np.finfo, np.iinfo

_default = float64


def get_default_dtype() -> np.dtype[Any]:
    """Return the dtype of tensors of Python floats, and of the parameters of layers.

    >>> import tinygrad_fc as tg
    >>> tg.get_default_dtype()
    dtype('float64')
    """
    return _default


def set_default_dtype(d: Any) -> None:
    """Set the dtype of tensors of Python floats to `d`, a float dtype.

    Raises `DtypeError` for a dtype that is not a float.

    >>> import tinygrad_fc as tg
    >>> tg.set_default_dtype(tg.float32)
    >>> tg.tensor([1.5]).dtype
    dtype('float32')
    >>> tg.set_default_dtype(tg.float64)
    """
    global _default  # noqa: PLW0603  one process, one default, as in PyTorch
    dtype = np.dtype(d)
    if dtype.kind != "f":
        raise DtypeError(f"the default dtype must be a float, got {dtype}: try float32 or float64")
    _default = dtype


def promote_types(type1: Any, type2: Any) -> np.dtype[Any]:
    """Return the dtype of a sum of tensors: the float one, or the larger of one kind.

    >>> import tinygrad_fc as tg
    >>> tg.promote_types(tg.float16, tg.int64)
    dtype('float16')
    """
    dtypes = np.dtype(type1), np.dtype(type2)
    floats = [dtype for dtype in dtypes if dtype.kind == "f"]
    return floats[0] if len(floats) == 1 else np.promote_types(*dtypes)
