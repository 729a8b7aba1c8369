"""The backend "auto": both backends run real steps in turn, and the faster one stays.

The first call is NumPy's, so that what is called once is never compiled to native code. Then both
take turns for a few calls. What has no native form, or where Numba is not installed, NumPy runs.
"""

from __future__ import annotations

import time
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
        self._numpy = self._native = numpy_printer.build(program)
        self._times: list[tuple[float, Any]] = []
        self.source = self._numpy.source
        self.chosen: Any = None

    def __call__(self, *inputs: Any) -> Any:
        """Run the program once."""
        if self.chosen is not None:
            return self.chosen(*inputs)
        turn = len(self._times)
        if turn == 1:  # the first call, which is slower, is not compared
            self._native = _native("build", self._program) or self._numpy
        kernel = self._native if turn % 2 else self._numpy
        start = time.perf_counter()
        result = kernel(*inputs)
        self._times.append((time.perf_counter() - start, kernel))
        if turn >= 2 * ROUNDS:
            self.chosen = min(self._times[1:], key=itemgetter(0))[1]
        return result


build = Choice


def build_loop(program: Program, rows: frozenset[int]) -> Any:
    """Return a native loop; None where there is none.

    Within an epoch it is the interpreter that costs, which native code leaves; so none is timed.
    """
    return _native("build_loop", program, rows)


def _native(name: str, *args: Any) -> Any:
    """Return what a function of the Numba backend builds; None where it cannot."""
    try:
        from tinygrad_fc.compiler import numba_backend  # noqa: PLC0415  Numba is optional

        return getattr(numba_backend, name)(*args)
    except Exception:  # noqa: BLE001  no Numba, no native form, or an error of Numba: NumPy runs
        return None
