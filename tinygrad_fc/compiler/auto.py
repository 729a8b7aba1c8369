"""The backend "auto": native code, unless NumPy is expected to be faster, by a rule.

The rule reads the program alone, so that equal runs have equal bits. NumPy runs a program the first
time, so that what is called once is never compiled to native code. It also runs programs that have
no native form, and all programs where Numba is not installed. Epochs always run the native loop, if
there is one.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import numpy_printer
from tinygrad_fc.compiler.ir import operands

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program

_MOST_INSTRUCTIONS = 400
"""Longer programs, such as those of unrolled loops, take more than 20 seconds to compile."""
_SAVED = 700.0
"""Nanoseconds that native code saves for each instruction: NumPy's call and its new array."""
_SAVED_PER_ELEMENT = 0.2
"""Nanoseconds that native code saves for each element."""
_LOST_PER_ELEMENT: dict[tuple[Any, str], float] = {
    **dict.fromkeys([(np.sin, "f"), (np.cos, "f"), (np.log, "f")], 4.0),
    **dict.fromkeys([(np.cbrt, "f"), (np.arcsinh, "f")], 11.0),
    **dict.fromkeys([(np.argmax, "f"), (np.argmax, "d"), (np.argmin, "f"), (np.argmin, "d")], 1.0),
}
"""Nanoseconds that it loses where NumPy has vector instructions: measured by one function each."""


def is_native_faster(program: Program) -> bool:
    """Return whether native code is expected to be faster."""
    if len(program.instructions) > _MOST_INSTRUCTIONS:
        return False
    balance = 0.0
    for value in program.instructions:
        arrays = [x for x in (value, *operands(value)) if x.shape is not None]
        elements = max((x.size for x in arrays), default=1)
        kinds = [(value.function, x.dtype.char) for x in arrays]
        lost = max((_LOST_PER_ELEMENT.get(kind, 0.0) for kind in kinds), default=0.0)
        balance += _SAVED + elements * (_SAVED_PER_ELEMENT - lost)
    return balance > 0


class Kernel:
    """A kernel that runs NumPy source in the first call, and later what the rule chooses."""

    def __init__(self, program: Program) -> None:
        self._program, self._has_run = program, False
        self._numpy = numpy_printer.build(program)
        self.source = self._numpy.source

    @cached_property
    def native(self) -> Any:
        """The native kernel; NumPy's where there is none."""
        try:
            from tinygrad_fc.compiler import numba_backend  # noqa: PLC0415  Numba is optional

            return numba_backend.build(self._program)
        except Exception:  # noqa: BLE001  no Numba, no native form, or an error of Numba
            return self._numpy

    @property
    def steps(self) -> Any:
        """The native loop of many steps, which saves the interpreter's time."""
        return getattr(self.native, "steps", None)

    @cached_property
    def chosen(self) -> Any:
        """The kernel of all calls but the first."""
        return self.native if is_native_faster(self._program) else self._numpy

    def __call__(self, *inputs: Any) -> Any:
        """Run the program once."""
        if self._has_run:
            return self.chosen(*inputs)
        self._has_run = True
        return self._numpy(*inputs)


build = Kernel
