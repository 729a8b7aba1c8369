"""The dtypes under PyTorch's names, the default one, and how ops promote them.

The dtypes are NumPy's own; ops of tensors promote by PyTorch's rules. Operands of the highest
category decide: floats before integers, and integers before booleans. Of these, tensors with axes
decide before tensors without axes, and tensors before numbers. NumPy's functions, and ops called
with arrays alone, promote as NumPy.
"""

from __future__ import annotations

import builtins
from math import e, inf, nan, pi
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from tinygrad_fc.core.errors import DtypeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    DTypeLike: TypeAlias = npt.DTypeLike | None
    Sizes: TypeAlias = Sequence[builtins.int]

__all__ = ["bfloat16", "bool", "double", "dtype", "e", "finfo", "float", "float16", "float32"]
__all__ += ["float64", "get_default_dtype", "half", "iinfo", "inf", "int", "int8", "int16", "int32"]
__all__ += ["int64", "long", "nan", "pi", "promote_types", "set_default_dtype", "short", "uint8"]

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
dtype = np.dtype  # for annotations and `isinstance`
finfo, iinfo = np.finfo, np.iinfo


class _Unsupported:
    """A dtype of PyTorch that NumPy lacks: a name, which no tensor has and no function accepts."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    @property
    def dtype(self) -> np.dtype[Any]:
        """Raise `DtypeError`; NumPy asks for this where it needs a dtype."""
        raise DtypeError(
            f"there are no tensors of {self._name}: NumPy has no such dtype. Use float32, or "
            "float16 to save memory"
        )


bfloat16: Any = _Unsupported("bfloat16")

TYPE_NAMES: dict[str, np.dtype[Any]] = {
    "FloatTensor": float32,
    "DoubleTensor": float64,
    "HalfTensor": float16,
    "LongTensor": int64,
    "IntTensor": int32,
    "ShortTensor": int16,
    "CharTensor": int8,
    "ByteTensor": uint8,
    "BoolTensor": bool_,
}
"""PyTorch's names of the types of tensors."""

_default: np.dtype[Any] = float64


def get_default_dtype() -> np.dtype[Any]:
    """Return the dtype of tensors of Python floats, and of the parameters of layers.

    >>> import tinygrad_fc as tg
    >>> tg.get_default_dtype()
    dtype('float64')
    """
    return _default


def set_default_dtype(d: DTypeLike) -> None:
    """Set the dtype of tensors of Python floats to `d`, a float dtype.

    Raises `DtypeError` for a dtype that is not a float.

    >>> import tinygrad_fc as tg
    >>> tg.set_default_dtype(tg.float32)
    >>> tg.tensor([1.5]).dtype
    dtype('float32')
    >>> tg.set_default_dtype(tg.float64)
    """
    global _default  # noqa: PLW0603  one process, one default, as in PyTorch
    dtype: np.dtype[Any] = np.dtype(d)
    if dtype.kind != "f":
        raise DtypeError(f"the default dtype must be a float, got {dtype}: try float32 or float64")
    _default = dtype


def real_dtype(d: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of `d`; raise `DtypeError` unless it is of real numbers or booleans."""
    dtype: np.dtype[Any] = np.dtype(d)
    if dtype.kind not in "fiub":
        raise DtypeError(f"got dtype {dtype}; expected real numbers or booleans, such as float32")
    return dtype


def promote_types(type1: DTypeLike, type2: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of a sum of tensors: the float one, or the larger of one kind.

    >>> import tinygrad_fc as tg
    >>> tg.promote_types(tg.float16, tg.int64)
    dtype('float16')
    """
    dtypes = np.dtype(type1), np.dtype(type2)
    floats = [dtype for dtype in dtypes if dtype.kind == "f"]
    return floats[0] if len(floats) == 1 else np.promote_types(*dtypes)


def widened(x: Any) -> Any:
    """Return `x`, in float32 if it is float16, whose sums overflow at 65504."""
    return x.astype(float32) if x.dtype.char == "e" else x


# How an op promotes its operands. Here an operand is the type of a number, or the dtype of an array
# and whether it has axes.

_CATEGORIES = {"b": 0, "u": 1, "i": 1}
_NUMBERS: dict[Any, Any] = {builtins.bool: bool_, builtins.int: int64}
_INTEGERS, _FLOATS = 1, 2


def category(dtype: np.dtype[Any]) -> builtins.int:
    """Return the rank of the category of `dtype`."""
    return _CATEGORIES.get(dtype.kind, _FLOATS)


def operand_of(x: Any) -> Any:
    """Return the operand for an array or a number; a traced number counts as a number."""
    if x.__class__ is np.ndarray:
        return x.dtype, x.ndim > 0
    if not hasattr(x, "dtype"):
        return x.__class__
    if getattr(x, "is_number", False):
        return (builtins.bool, builtins.int, builtins.float)[category(x.dtype)]
    return x.dtype, x.ndim > 0


def result_type(operands: Iterable[Any]) -> np.dtype[Any]:
    """Return the dtype to which PyTorch promotes `operands`."""
    ranked: list[Any] = [None, None, None]  # numbers, arrays without axes, arrays with axes
    for x in operands:
        dtype, rank = (x[0], 1 + x[1]) if type(x) is tuple else (_NUMBERS.get(x, _default), 0)
        ranked[rank] = promote_types(ranked[rank] or dtype, dtype)
    result = ranked.pop()
    for dtype in reversed(ranked):
        if result is None or (dtype is not None and category(dtype) > category(result)):
            result = dtype
    return result or _default


class Promotion(NamedTuple):
    """How an op promotes its operands: by `result_type`."""

    to_float: builtins.bool = False  # integers become the default dtype
    to_long: builtins.bool = False  # integers become int64
    least: builtins.int = 0  # the lowest category that the result may have
    each: builtins.bool = False  # `least` is also the lowest one of each operand
    equal: builtins.bool = False  # operands have one dtype, or all are floats
    numbers: builtins.bool = True  # Python numbers take part
    wraps: builtins.bool = False  # numbers out of the range of an integer dtype wrap
    skipped: builtins.int = 0  # so many operands, the first ones, are not promoted

    def dtype(self, name: str, operands: Sequence[Any]) -> np.dtype[Any]:
        """Return the dtype in which the op `name` computes; raise `DtypeError` for others."""
        used = [
            x
            for x in operands[self.skipped :]
            if type(x) is tuple or (self.numbers and not self.equal and x is not type(None))
        ]
        result = result_type(used)
        dtypes = dict.fromkeys(result_type([x]) for x in used)
        if self.equal and len(dtypes) > 1 and any(category(d) < _FLOATS for d in dtypes):
            raise DtypeError(
                f"{name}: expected operands of one dtype, or floats, got "
                f"{' and '.join(map(str, dtypes))}. Convert one of them: x.to(y.dtype)"
            )
        if (self.to_float or self.to_long) and category(result) < _FLOATS:
            return _default if self.to_float else int64
        lowest = min(dtypes, key=category) if self.each else result
        if category(lowest) < self.least:
            casts = ("numbers", "x.long(), x.double()"), ("floats", "x.double()")
            expected, cast = casts[self.least - 1]
            raise DtypeError(
                f"{name}: expected {expected}, got {lowest}. Convert it first: {cast} or x.float()"
            )
        return result
