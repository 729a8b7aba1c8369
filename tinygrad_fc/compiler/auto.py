"""The backend "auto": NumPy runs a program the first time, native code from then on.

So what is called once is never compiled to native code; nor is it in call 2, which is a check. What
has no native form, or where Numba is not installed, NumPy runs. No call is timed: results do not
depend on the machine's load.
"""

from __future__ import annotations

from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler import numpy_printer

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program


class Kernel:
    """The NumPy kernel of a program in the first call, then the native one."""

    def __init__(self, program: Program) -> None:
        self._program, self._calls = program, count()
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
        """The native loop of many steps, if there is one."""
        return getattr(self.native, "steps", None)

    def __call__(self, *inputs: Any) -> Any:
        """Run the program once."""
        kernel = self.native if next(self._calls) else self._numpy
        return kernel(*inputs)


build = Kernel
