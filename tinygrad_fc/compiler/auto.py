"""The backend "auto": both backends run real steps in turn, and the faster one stays.

The first call is NumPy's, so that what is called once is never compiled to native code. Then both
take turns for a few calls. What has no native form, or where Numba is not installed, NumPy runs.
Epochs always run the native loop, if there is one.
"""

from __future__ import annotations

import time
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler import numpy_printer

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program

ROUNDS = 5
"""How often each is timed; the best time counts."""


class Choice:
    """A kernel that becomes NumPy's or Numba's: `chosen`, which is None while that is open."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._numpy = numpy_printer.build(program)
        self._times: list[tuple[float, Any]] = []
        self.source = self._numpy.source
        self.chosen: Any = None

    @cached_property
    def _native(self) -> Any:
        """The native kernel; NumPy's where there is none."""
        try:
            from tinygrad_fc.compiler import numba_backend  # noqa: PLC0415  Numba is optional

            return numba_backend.build(self._program)
        except Exception:  # noqa: BLE001  no Numba, no native form, or an error of Numba
            return self._numpy

    @property
    def steps(self) -> Any:
        """The native loop of many steps, which is not timed: it saves the interpreter's time."""
        return getattr(self._native, "steps", None)

    def __call__(self, *inputs: Any) -> Any:
        """Run the program once."""
        if self.chosen is not None:
            return self.chosen(*inputs)
        turn = len(self._times)
        kernel = self._native if turn % 2 else self._numpy
        start = time.perf_counter()
        result = kernel(*inputs)
        self._times.append((time.perf_counter() - start, kernel))
        if turn >= 2 * ROUNDS:  # the first call, which is slower, is not compared
            self.chosen = min(self._times[1:], key=itemgetter(0))[1]
        return result


build = Choice
