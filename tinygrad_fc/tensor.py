"""Tensor: an array, and the call that made it.

Operators call the recorder directly; NumPy's protocols lead `np.exp(t)` and `array * t` to the
same rows. What it is beside its operations stands in `basics`, what is a function too in `methods`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc import inplace
from tinygrad_fc.device import check, device, moved
from tinygrad_fc.functions.making import as_array
from tinygrad_fc.functions.refusals import taught
from tinygrad_fc.graph import Node, record, state
from tinygrad_fc.methods import Methods
from tinygrad_fc.ops import constant as c
from tinygrad_fc.ops import elementwise as e
from tinygrad_fc.ops import index, linalg, remainder
from tinygrad_fc.ops import shape as s

NONE: dict[str, Any] = {}
NUMBERS = (Node, np.ndarray, np.generic, int, float, list, tuple)
_PLACES = ("cpu", "cuda", "mps", "meta", "xpu")


def _index(at: Any) -> Any:
    """Return what stands between brackets with arrays in place of tensors.

    Copies, since a rule reads them, and whoever gave them may change them before the walk.
    """
    if isinstance(at, Node):
        array = at._array
        return array.copy() if array.dtype.kind == "b" or array.ndim else int(array)
    if isinstance(at, np.ndarray):
        return at.copy()
    if isinstance(at, tuple):
        return tuple(_index(part) for part in at)
    if isinstance(at, list):
        return np.asarray([_index(part) for part in at]) if at else np.zeros(0, np.intp)
    return at


class Tensor(Methods):
    """An array of numbers that remembers the call that made it.

    `Tensor(data, requires_grad=False, dtype=None)` copies `data` as `tinygrad_fc.tensor` does,
    which tells the errors. Operators, methods and NumPy's functions record a graph where an
    operand requires grad; `backward()` on a scalar result walks it back and leaves the gradient
    in the `.grad` of each tensor that was made by hand.

    >>> import tinygrad_fc as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    tensor([2., 4.])
    """

    __slots__ = ()
    __hash__ = Methods.__hash__

    def __init__(self, data: Any, requires_grad: bool = False, *, dtype: Any = None) -> None:
        self._fresh(as_array(data, dtype, copy=True))
        if requires_grad:
            self.requires_grad = True

    # Operators

    def __add__(self, other: Any) -> Tensor:
        return record(e.add, (self, other), NONE)

    def __radd__(self, other: Any) -> Tensor:
        return record(e.add, (other, self), NONE)

    def __sub__(self, other: Any) -> Tensor:
        return record(e.subtract, (self, other), NONE)

    def __rsub__(self, other: Any) -> Tensor:
        return record(e.subtract, (other, self), NONE)

    def __mul__(self, other: Any) -> Tensor:
        return record(e.multiply, (self, other), NONE)

    def __rmul__(self, other: Any) -> Tensor:
        return record(e.multiply, (other, self), NONE)

    def __truediv__(self, other: Any) -> Tensor:
        return record(e.divide, (self, other), NONE)

    def __rtruediv__(self, other: Any) -> Tensor:
        return record(e.divide, (other, self), NONE)

    def __pow__(self, other: Any) -> Tensor:
        return record(e.power, (self, other), NONE)

    def __rpow__(self, other: Any) -> Tensor:
        return record(e.power, (other, self), NONE)

    def __matmul__(self, other: Any) -> Tensor:
        return record(linalg.matmul, (self, other), NONE)

    def __rmatmul__(self, other: Any) -> Tensor:
        return record(linalg.matmul, (other, self), NONE)

    def __mod__(self, other: Any) -> Tensor:
        return record(remainder.remainder, (self, other), NONE)

    def __rmod__(self, other: Any) -> Tensor:
        return record(remainder.remainder, (other, self), NONE)

    def __floordiv__(self, other: Any) -> Tensor:
        return record(remainder.floor_divide, (self, other), NONE)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return record(remainder.floor_divide, (other, self), NONE)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        if not isinstance(other, NUMBERS):  # `x == None` is asked in good faith
            return NotImplemented
        return record(c.equal, (self, other), NONE)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        if not isinstance(other, NUMBERS):
            return NotImplemented
        return record(c.not_equal, (self, other), NONE)

    def __lt__(self, other: Any) -> Tensor:
        return record(c.less, (self, other), NONE)

    def __le__(self, other: Any) -> Tensor:
        return record(c.less_equal, (self, other), NONE)

    def __gt__(self, other: Any) -> Tensor:
        return record(c.greater, (self, other), NONE)

    def __ge__(self, other: Any) -> Tensor:
        return record(c.greater_equal, (self, other), NONE)

    def __and__(self, other: Any) -> Tensor:
        return record(c.bitwise_and, (self, other), NONE)

    def __or__(self, other: Any) -> Tensor:
        return record(c.bitwise_or, (self, other), NONE)

    def __xor__(self, other: Any) -> Tensor:
        return record(c.bitwise_xor, (self, other), NONE)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __neg__(self) -> Tensor:
        return record(e.negative, (self,), NONE)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return record(e.absolute, (self,), NONE)

    def __invert__(self) -> Tensor:
        return record(c.invert, (self,), NONE)

    def __getitem__(self, at: Any) -> Tensor:
        return record(index.getitem, (self,), {"at": _index(at)})

    def __setitem__(self, at: Any, value: Any) -> None:
        inplace.assign(self, _index(at), value)

    __iadd__, __isub__, __imul__, __itruediv__ = inplace.operators
    add_, sub_, mul_, div_ = inplace.methods
    copy_, fill_, zero_, clamp_ = inplace.copy_, inplace.fill_, inplace.zero_, inplace.clamp_
    normal_, uniform_ = inplace.normal_, inplace.uniform_

    def swapaxes(self, axis1: Any, axis2: Any) -> Tensor:
        """Return it with two axes exchanged."""
        return record(s.swapaxes, (self,), {"axis1": axis1, "axis2": axis2})

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in reversed order."""
        return record(s.transpose, (self,), {"axes": tuple(range(self.ndim))[::-1]})

    @property
    def mT(self) -> Tensor:
        """The tensor with its last two axes exchanged."""
        return self.swapaxes(-1, -2)

    # Other dtypes

    @taught
    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return it with another dtype, itself where nothing changes; devices are the CPU only."""
        given = [*args, *(kwargs[k] for k in ("dtype", "device", "other") if k in kwargs)]
        flags = [a for a in args if isinstance(a, bool)]  # non_blocking, then copy
        copied = kwargs.get("copy", len(flags) > 1 and flags[1])
        dtype = None
        for a in given:
            if isinstance(a, Node):
                dtype = a._array.dtype
            elif a is None or isinstance(a, bool):
                continue
            elif isinstance(a, device) or (isinstance(a, str) and a.partition(":")[0] in _PLACES):
                check(a)
            else:
                dtype = a
        if not copied and (dtype is None or np.dtype(dtype) == self.dtype):
            return self
        return self.astype(self.dtype if dtype is None else dtype)

    @taught
    def astype(self, dtype: Any) -> Tensor:
        """Return it with another dtype; a cast between floats is part of the graph."""
        dtype = np.dtype(dtype)
        row = s.astype if dtype.kind == "f" else c.whole
        return record(row, (self,), {"dtype": dtype})

    type_as = to

    def double(self) -> Tensor:
        """Return it as float64."""
        return self.to(np.float64)

    def float(self) -> Tensor:
        """Return it as float32, which is PyTorch's float."""
        return self.to(np.float32)

    def half(self) -> Tensor:
        """Return it as float16."""
        return self.to(np.float16)

    def long(self) -> Tensor:
        """Return it as int64."""
        return self.to(np.int64)

    def int(self) -> Tensor:
        """Return it as int32."""
        return self.to(np.int32)

    def bool(self) -> Tensor:
        """Return it as truth values."""
        return self.to(np.bool_)

    def cpu(self) -> Tensor:
        """Return itself: it is there."""
        return self

    cuda = moved


state.tensor = Tensor
