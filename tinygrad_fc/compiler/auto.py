"""The backend "auto": both backends run real steps in turn, and the faster one stays.

NumPy runs a program the first time, so that what is called once is never compiled to native code;
nor is it in call 2, which is a check. What has no native form, or where Numba is not installed,
NumPy runs. Epochs always run the native loop, if there is one.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler import numpy_printer

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program

ROUNDS = 5
"""How often each is timed; the best time counts."""


class Kernel:
    """The kernel of NumPy and the native one in turns, then the faster one."""

    def __init__(self, program: Program) -> None:
        self._program, self._times = program, dict[float, Any]()
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
        """The native loop of many steps, which is not timed: it saves the interpreter's time."""
        return getattr(self.native, "steps", None)

    @cached_property
    def _faster(self) -> Any:
        """The kernel of the shortest time."""
        return self._times[min(self._times)]

    def __call__(self, *inputs: Any) -> Any:
        """Run the program once."""
        if len(self._times) == 2 * ROUNDS:
            return self._faster(*inputs)
        kernel = self.native if len(self._times) % 2 else self._numpy
        start = time.perf_counter()
        result = kernel(*inputs)
        self._times[time.perf_counter() - start] = kernel
        return result


build = Kernel
