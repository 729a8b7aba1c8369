"""The backend "auto": both backends run real steps in turn, and the faster one stays.

The first call is NumPy's, so that what is called once is never compiled to native code. Then both
take turns for a few calls. What has no native form, or where Numba is not installed, NumPy runs.
"""

from __future__ import annotations

import os
import time
import warnings
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler import numpy_printer
from tinygrad_fc.compiler.ir import CompileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.compiler.ir import Program

ROUNDS, LONGEST = 5, 0.5
"""How often each is timed, of which the best time counts; once if it takes so many seconds."""


class Choice:
    """A kernel that becomes NumPy's or Numba's: `chosen`, which is None while that is open."""

    def __init__(self, program: Program) -> None:
        self._numpy = numpy_printer.build(program)
        self._times: dict[str, list[float]] = {"numpy": [], "numba": []}
        self._turns = self._take_turns(program)
        self._lock = Lock()
        self.source = self._numpy.source
        self.chosen: Any = None

    @property
    def backend(self) -> str | None:
        """Which backend was chosen; None while that is open."""
        return None if self.chosen is None else str(self.chosen.backend)

    def __call__(self, *inputs: Any) -> Any:
        """Run the program once."""
        if self.chosen is not None:
            return self.chosen(*inputs)
        with self._lock:
            kernel = next(self._turns)
        start = time.perf_counter()
        result = kernel(*inputs)
        self._times[kernel.backend].append(time.perf_counter() - start)
        return result

    def _take_turns(self, program: Program) -> Iterator[Any]:
        """Yield the kernel of each call."""
        yield self._numpy
        native = _native("build", program)
        if native is not None:
            self._times["numpy"].clear()  # the first call is slower
            for k in range(ROUNDS):
                yield self._numpy
                yield native
                if k == 0 and self._times["numpy"][0] > LONGEST:
                    break
        times = self._times
        faster = native is not None and min(times["numba"]) < min(times["numpy"])
        self.chosen = native if faster else self._numpy
        while True:  # for threads that came before
            yield self.chosen


def available() -> bool:
    """Tell whether Numba is installed and not switched off."""
    return find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


def _native(name: str, *args: Any) -> Any:
    """Return what a function of the Numba backend builds; None where it cannot."""
    try:
        from tinygrad_fc.compiler import numba_backend  # noqa: PLC0415  Numba is optional

        return getattr(numba_backend, name)(*args)
    except CompileError:
        return None
    except Exception as error:  # noqa: BLE001  errors of Numba must not end a training
        warnings.warn(
            f"Numba could not compile a step, so NumPy runs it, which is slower: {error!r:.200}. "
            'Pass backend="numpy" to silence this warning',
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def build(program: Program) -> Any:
    """Return a kernel that finds out which backend is the faster one."""
    return Choice(program) if available() else numpy_printer.build(program)


def build_loop(program: Program, rows: frozenset[int]) -> Any:
    """Return a native loop; None where there is none.

    Within an epoch it is the interpreter that costs, which native code leaves; so none is timed.
    """
    return _native("build_loop", program, rows) if available() else None
