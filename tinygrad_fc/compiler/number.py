"""What stands for a plain Python number, such as a learning rate, while a function is traced."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_fc.compiler.tracer import Tracer, Unknown
from tinygrad_fc.graph import Node


def _arithmetic(function: Any, *, swapped: bool = False) -> Any:
    def method(self: Number, other: Any) -> Any:
        if isinstance(other, Node) or type(other) is Tracer or isinstance(other, np.ndarray):
            return NotImplemented
        return self._recorder.number(function, (other, self) if swapped else (self, other))

    return method


class Number(Unknown):
    """Stands for a plain Python number; its place in the program is found when it is used."""

    __slots__ = ("_at", "_recorder", "_source", "value")
    __array_priority__ = 400

    def __init__(self, recorder: Any, at: int | None, value: Any, source: Any = None) -> None:
        self._recorder, self._at, self.value, self._source = recorder, at, value, source

    @property
    def at(self) -> int:
        """The number of its value in the program."""
        if self._at is None:
            self._at = self._recorder.input_number(self._source, self.value)
        return self._at

    def __repr__(self) -> Any:
        return self._recorder.text(self)

    __hash__: Any = None  # nothing may depend on its value

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, Node) for a in inputs):
            return NotImplemented
        return self._recorder.called(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, Node) for kind in types):
            return NotImplemented
        return self._recorder.function(func, args, kwargs)

    def item(self) -> Any:
        """Return itself."""
        return self

    def __neg__(self) -> Any:
        return self._recorder.number(operator.neg, (self,))

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self._recorder.number(abs, (self,))

    __add__, __radd__ = _arithmetic(operator.add), _arithmetic(operator.add, swapped=True)
    __sub__, __rsub__ = _arithmetic(operator.sub), _arithmetic(operator.sub, swapped=True)
    __mul__, __rmul__ = _arithmetic(operator.mul), _arithmetic(operator.mul, swapped=True)
    __truediv__ = _arithmetic(operator.truediv)
    __rtruediv__ = _arithmetic(operator.truediv, swapped=True)
    __floordiv__ = _arithmetic(operator.floordiv)
    __rfloordiv__ = _arithmetic(operator.floordiv, swapped=True)
    __mod__, __rmod__ = _arithmetic(operator.mod), _arithmetic(operator.mod, swapped=True)
    __pow__, __rpow__ = _arithmetic(operator.pow), _arithmetic(operator.pow, swapped=True)
    __lt__, __le__ = _arithmetic(operator.lt), _arithmetic(operator.le)
    __gt__, __ge__ = _arithmetic(operator.gt), _arithmetic(operator.ge)
    __eq__, __ne__ = _arithmetic(operator.eq), _arithmetic(operator.ne)
