"""The JavaScript printer: a program as the body of a function over an array of values.

Value k of `v` is an input, a constant or the result of an instruction. `R` is the runtime
(`runtime.js`): the NumPy functions of fully connected networks, on arrays of a shape and flat data.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.ir import Value, add_at, cast, item, leaves, operands, put

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program

__all__ = ["JavaScriptPrinter", "print_program"]

_UFUNCS = """
    absolute add bitwise_and bitwise_or cos divide equal exp exp2 expm1 greater greater_equal
    isfinite isnan less less_equal log log10 log1p log2 logical_and logical_not logical_or maximum
    minimum multiply negative not_equal positive power reciprocal remainder sign sin sqrt square
    subtract tan tanh
"""
ELEMENTWISE = frozenset(_UFUNCS.split())
"""Ufuncs of the runtime, by NumPy's names."""
TABLE: dict[Any, str] = {
    np.dot: "dot",
    np.vdot: "vdot",
    np.where: "where",
    np.clip: "clip",
    np.transpose: "transpose",
    np.reshape: "reshape",
    np.broadcast_to: "broadcast",
    np.full: "full",
    np.argmax: "argmax",
    np.zeros_like: "zerosLike",
    np.ones_like: "onesLike",
    operator.getitem: "getitem",
    put: "put",
    add_at: "addAt",
    item: "item",
    cast: "cast",
    operator.add: "add",
    operator.sub: "subtract",
    operator.mul: "multiply",
    operator.truediv: "divide",
    operator.pow: "power",
    operator.neg: "negative",
    operator.eq: "equal",
    operator.ne: "not_equal",
    operator.lt: "less",
    operator.gt: "greater",
    operator.le: "less_equal",
    operator.ge: "greater_equal",
    math.sqrt: "sqrt",
}
"""Names in the runtime of everything else; reductions are `sum`, `max`, `min`, `prod`."""
REDUCTIONS: dict[Any, str] = {
    np.add: "sum",
    np.maximum: "max",
    np.minimum: "min",
    np.multiply: "prod",
}


class JavaScriptPrinter:
    """A printed program: its `text`, the `numbers` of values by id, and what has no form there."""

    def __init__(self, program: Program) -> None:
        self.constants = list(
            {id(v): v for i in program.instructions for v in operands(i) if v.is_constant}.values()
        )
        values = [*program.inputs, *self.constants, *program.instructions]
        values += [v for v in leaves(program.outputs) if v.is_constant]
        self.numbers = {id(v): k for k, v in enumerate(dict.fromkeys(values))}
        self.missing: list[str] = []
        self.text = "".join(map(self._line, program.instructions))

    def _line(self, value: Value) -> str:
        name = _name(value.function)
        if name is None:
            self.missing.append(getattr(value.function, "__name__", str(value.function)))
            return ""
        args = [*map(self._argument, value.args)]
        if value.kwargs or name in REDUCTIONS.values():
            args.append(
                f"{{{', '.join(f'{k}: {self._argument(x)}' for k, x in value.kwargs.items())}}}"
            )
        text = f"R.{name}({', '.join(args)})"
        if value.dtype == np.float32:
            text = f"R.float32({text})"
        return f"v[{self.numbers[id(value)]}] = {text};\n"

    def _argument(self, x: Any) -> str:
        if isinstance(x, Value):
            return f"v[{self.numbers[id(x)]}]"
        if isinstance(x, tuple | list):
            return f"[{', '.join(map(self._argument, x))}]"
        if isinstance(x, slice):
            parts = (x.start, x.stop, x.step)
            return f"{{slice: [{', '.join(map(self._argument, parts))}]}}"
        if x is None or x is Ellipsis:
            return "null" if x is None else '"..."'
        if isinstance(x, bool | int | float):
            words = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
            text = repr(x).lower()
            return words.get(text, text)
        return '"dtype"'


def _name(function: Any) -> str | None:
    """Return the name of a function in the runtime; None where it has none."""
    if function is np.matmul:
        return "dot"
    if isinstance(function, np.ufunc):
        return function.__name__ if function.__name__ in ELEMENTWISE else None
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        return REDUCTIONS.get(owner) if function.__name__ == "reduce" else None
    return TABLE.get(function)


def print_program(program: Program) -> JavaScriptPrinter:
    """Return `program` as JavaScript; `missing` names functions that the runtime has not."""
    return JavaScriptPrinter(program)
