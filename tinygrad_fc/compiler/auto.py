"""The backend that is the better one: both do real steps in turn, and the faster one stays.

The first call is NumPy's, so that what is called once is never compiled. Then both take turns for
a few calls; each does a whole step and nothing is done twice. What native code lacks, and where
Numba is not installed, NumPy does.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler import native, numpy_backend
from tinygrad_fc.compiler.program import CompileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.numpy_backend import Kernel
    from tinygrad_fc.compiler.program import Program

ROUNDS = 5
"""How often each is timed; the best time counts, as all that disturbs only slows."""
LONGEST = 0.5
"""Seconds. Whoever takes longer is timed once."""


class Choice:
    """A kernel that becomes NumPy's or Numba's."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._numpy = numpy_backend.build(program)
        self.source = self._numpy.source
        self._native: Any = None
        self._chosen: Any = None
        self._times: dict[str, list[float]] = {"numpy": [], "numba": []}
        self._called = False

    @property
    def settled(self) -> Any:
        """The kernel that was chosen, to be called in place of this; None while that is open."""
        return self._chosen

    @property
    def backend(self) -> str | None:
        """Which backend was chosen; None while that is open."""
        if self._chosen is None:
            return None
        return "numpy" if self._chosen is self._numpy else "numba"

    def __call__(self, *inputs: Any) -> Any:
        """Do a step."""
        chosen = self._chosen
        if chosen is not None:
            return chosen(*inputs)
        if not self._called:
            self._called = True
            return self._numpy(*inputs)
        return self._compared(inputs)

    def _compared(self, inputs: tuple[Any, ...]) -> Any:
        if self._native is None:
            self._native = _native_or_none(lambda: native.build(self._program))
            if self._native is None:
                self._chosen = self._numpy
                return self._numpy(*inputs)
        name = min(self._times, key=lambda name: len(self._times[name]))
        start = time.perf_counter()
        out = (self._numpy if name == "numpy" else self._native)(*inputs)
        self._times[name].append(time.perf_counter() - start)
        self._decide()
        return out

    def _decide(self) -> None:
        best = {name: min(times, default=0.0) for name, times in self._times.items()}
        rounds = 1 if best["numpy"] > LONGEST else ROUNDS
        if all(len(times) >= rounds for times in self._times.values()):
            self._chosen = self._numpy if best["numpy"] <= best["numba"] else self._native


def _native_or_none(build: Callable[[], Kernel]) -> Any:
    """Return what `build` makes; None where there is no native code for it."""
    try:
        return build()
    except CompileError:
        return None
    except Exception as error:  # noqa: BLE001  whatever Numba stumbles over, training goes on
        warnings.warn(
            f"Numba could not compile a step, so NumPy runs it, which is slower: {error!r:.200}. "
            'backend="numpy" says nothing and does the same',
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def build(program: Program) -> Kernel:
    """Return a kernel that finds out which backend is the better one."""
    if program.once or not native.available():
        return numpy_backend.build(program)
    return Choice(program)


def build_loop(program: Program, rows: frozenset[int], carried: dict[int, int]) -> Kernel:
    """Return a loop in native code, or NumPy's where there can be none.

    No turns are taken: within an epoch it is the interpreter that costs, which native code leaves.
    """
    made = None
    if native.available():
        made = _native_or_none(lambda: native.build_loop(program, rows, carried))
    return made or numpy_backend.build_loop(program, rows, carried)
