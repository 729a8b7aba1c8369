"""The JavaScript printer: a program as the body of a function over an array of values.

Value k of `v` is an input, a constant or the result of an instruction. `R` is the runtime
(`runtime.js`): the NumPy functions of fully connected networks, on arrays of a shape and flat data.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.instructions import instruction
from tinygrad_fc.compiler.ir import Value, leaves, operands

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program

__all__ = ["JavaScriptPrinter", "generator_state", "print_program"]


class JavaScriptPrinter:
    """A printed program: its `text`, the `numbers` of values by id, and what has no form there."""

    def __init__(self, program: Program) -> None:
        read = [v for i in program.instructions for v in operands(i)]
        read += leaves((program.changes, program.outputs))
        self.constants = list({id(v): v for v in read if v.is_constant}.values())
        values = [*program.inputs, *self.constants, *program.instructions]
        self.numbers = {id(v): k for k, v in enumerate(dict.fromkeys(values))}
        self.missing: list[str] = []
        self.text = "".join(map(self._line, program.instructions))

    def _line(self, value: Value) -> str:
        name = instruction(value.function).js
        if not name:
            owner = getattr(value.function, "__self__", None)  # of logical_xor.reduce
            name = getattr(value.function, "__name__", str(value.function))
            self.missing.append(f"{owner.__name__}.{name}" if isinstance(owner, np.ufunc) else name)
            return ""
        args = [*map(self._argument, value.args)]
        if value.kwargs:
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
        return json.dumps(x if isinstance(x, str) else np.dtype(x).name)


def print_program(program: Program) -> JavaScriptPrinter:
    """Return `program` as JavaScript; `missing` names functions that the runtime has not."""
    return JavaScriptPrinter(program)


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a PCG64 generator as the runtime's `draw` takes it."""
    state: Any = rng.bit_generator.state
    integers = {key: str(n) for key, n in state["state"].items()}
    return (
        integers
        | {"shape": [], "data": []}
        | ({"half": state["uinteger"]} if state["has_uint32"] else {})
    )
