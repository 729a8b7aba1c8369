"""The JavaScript printer: a program as the body of a function over an array of values.

Value k of `v` is an input, a constant or the result of an instruction. `R` is the runtime
(`runtime.js`): the NumPy functions of fully connected networks, on arrays of a shape and flat data.
"""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.instructions import entry_of
from tinygrad_fc.compiler.ir import Value
from tinygrad_fc.compiler.numpy_printer import Expressions

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program


class JavaScriptPrinter:
    """A printed program: its `text`, the `numbers` of values, and what has no form there."""

    def __init__(self, program: Program) -> None:
        self.constants = program.constants
        values = [*program.inputs, *self.constants, *program.instructions]
        self.numbers = {v: k for k, v in enumerate(dict.fromkeys(values))}
        self.missing: list[str] = []
        self.text = "".join(map(self._line, program.instructions))

    def _line(self, value: Value) -> str:
        name = entry_of(value.function).js
        if not name:
            self.missing.append(Expressions().function_name(value.function))
            return ""
        named = {**_default_axis(value.function), **value.kwargs}
        options = ", ".join(f"{key}: {self._argument(x)}" for key, x in named.items())
        args = [*map(self._argument, value.args), *[f"{{{options}}}"] * bool(options)]
        text = f"R.{name}({', '.join(args)})"
        text = f"R.float32({text})" if value.dtype == np.float32 else text
        return f"v[{self.numbers[value]}] = {text};\n"

    def _argument(self, x: Any) -> str:
        if isinstance(x, Value):
            return f"v[{self.numbers[x]}]"
        if isinstance(x, tuple | list):
            return f"[{', '.join(map(self._argument, x))}]"
        if isinstance(x, slice):
            return f"{{slice: {self._argument((x.start, x.stop, x.step))}}}"
        if not isinstance(x, str | bool | int | float | None):
            x = "..." if x is Ellipsis else np.dtype(x).name
        return json.dumps(x)


def _default_axis(function: Any) -> dict[str, Any]:
    """Return the axis along which a function works where the call names none."""
    if function in (np.argsort, np.argmax, np.cumsum):
        return {"axis": inspect.signature(function).parameters["axis"].default}
    is_reduction = isinstance(getattr(function, "__self__", None), np.ufunc)
    return {"axis": 0} if is_reduction else {}


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a PCG64 generator as the runtime's `rngCall` takes it."""
    state: Any = rng.bit_generator.state
    integers = {key: str(n) for key, n in state["state"].items()}
    half = {"half": state["uinteger"]} if state["has_uint32"] else {}
    return {**integers, "shape": [], "data": [], **half}
