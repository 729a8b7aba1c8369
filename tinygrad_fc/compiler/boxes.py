"""Numbers as NumPy takes them fastest.

Beside a small array, a Python number costs NumPy more than the arithmetic: a 0-d array of the right
dtype does not. Beside a large one that is nothing, and a number is easier to read.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.layout import elementwise
from tinygrad_fc.compiler.program import Instruction, Value

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Program

SMALL = 1 << 14
"""Up to so many elements an array is small."""
LONGEST = 2**11
"""Up to here a whole number is one in every dtype."""
# Functions of which a number is no number but a wish, such as that `x ** 2` be a square.
WORDS = frozenset((np.power, np.float_power, np.ldexp))


def boxed(program: Program) -> Program:
    """Return `program` with 0-d arrays beside small arrays, and numbers beside large ones."""
    boxes = _Boxes(program)
    instructions: list[Instruction] = []
    for step in program.instructions:
        dtype = _dtype(program, step)
        if dtype is not None:
            shape = program.values[step.out].shape or ()
            change = boxes.box if math.prod(shape) < SMALL else boxes.unbox
            step = step._replace(args=tuple(change(n, dtype) for n in step.args))  # noqa: PLW2901
        instructions += [*boxes.made, step]
        boxes.made.clear()
    return replace(
        program, instructions=instructions, values=boxes.values, constants=boxes.constants
    )


def _dtype(program: Program, step: Instruction) -> Any:
    """Return the dtype of all arrays in `step`, where numbers are taken for such; else None."""
    shape = program.values[step.out].shape
    if not shape or not elementwise(step) or step.function in WORDS:
        return None
    dtypes = {program.values[n].dtype for n in step.args if program.values[n].shape is not None}
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    whole = any(program.values[n].shape for n in step.args)
    return dtype if whole and dtype is not None and dtype.kind == "f" else None


class _Boxes:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.values, self.constants = list(program.values), dict(program.constants)
        self.found: dict[tuple[int, Any], int] = {}
        self.made: list[Instruction] = []
        self.uses: dict[tuple[int, Any], int] = {}
        for step in program.instructions:
            for n in step.args:
                key = (n, _dtype(program, step))
                self.uses[key] = self.uses.get(key, 0) + 1

    def box(self, number: int, dtype: np.dtype[Any]) -> int:
        """Return the value to use for `number` among small arrays of `dtype`."""
        if self.program.values[number].shape is not None:
            return number
        key = (number, dtype)
        if key not in self.found:
            self.found[key] = self._boxed(number, dtype)
        return self.found[key]

    def _boxed(self, number: int, dtype: np.dtype[Any]) -> int:
        if number in self.constants:
            value = self.constants[number]
            # Of what does not fit, NumPy warns at each call.
            if type(value) not in (int, float) or not abs(value) < float(np.finfo(dtype).max):
                return number
            array = np.array(float(value), dtype)
            return self._constant(array) if float(value) == value else number
        if self.uses[number, dtype] < 2:  # making the array costs as much as it saves
            return number
        out = self._value(Value((), dtype))
        settings = {"shape": (), "dtype": dtype}
        self.made.append(Instruction("fill", None, (number,), settings, out))
        return out

    def unbox(self, number: int, dtype: np.dtype[Any]) -> int:
        """Return the value to use for `number` among large arrays of `dtype`."""
        value = self.constants.get(number)
        if not isinstance(value, np.ndarray) or value.shape or value.dtype != dtype:
            return number
        key = (number, None)
        if key not in self.found:
            plain = _plain(value)
            self.found[key] = number if plain is None else self._constant(plain)
        return self.found[key]

    def _constant(self, value: Any) -> int:
        array = isinstance(value, np.ndarray)
        n = self._value(Value((), value.dtype) if array else Value(None, np.dtype(type(value))))
        self.constants[n] = value
        return n

    def _value(self, value: Value) -> int:
        self.values.append(value)
        return len(self.values) - 1


def _plain(value: Any) -> float | None:
    """Return the number that is read as `value` where that dtype is wanted; the shortest one."""
    if (
        value.dtype.char not in "efd"
        or not np.isfinite(value)
        or (value == 0 and np.signbit(value))
    ):
        return None
    plain = float(value)
    if plain.is_integer() and abs(plain) <= LONGEST:
        return int(plain)
    short = float(str(value[()]))
    return short if value.dtype.type(short) == value else plain
