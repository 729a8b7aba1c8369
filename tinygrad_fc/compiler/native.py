"""The Numba backend: a program as one native function.

`native_read` makes a plan of it, `native_fuse` puts the plan in order, `native_write` writes the
source and Numba compiles it, kept between runs by `cache`. Temporaries are on the stack or in
one stretch of memory that the kernel keeps, results are fresh arrays. Inputs that native code
cannot take as they are (not C-contiguous, read-only, of the other byte order) are copied, and
copied back if they change.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from tinygrad_fc.compiler import native_blas, numpy_backend
from tinygrad_fc.compiler.native_loop import Repeated
from tinygrad_fc.compiler.native_places import Loop, Native
from tinygrad_fc.compiler.native_shell import kernel_of
from tinygrad_fc.compiler.native_write import Writer
from tinygrad_fc.compiler.passes import optimized
from tinygrad_fc.compiler.program import CompileError

if TYPE_CHECKING:
    from tinygrad_fc.compiler.numpy_backend import Kernel
    from tinygrad_fc.compiler.program import Program


def available() -> bool:
    """Tell whether Numba is installed, and not told to stay out of it."""
    return find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


def build(program: Program) -> Kernel:
    """Return a kernel: what `numpy_backend.build` returns, as native code.

    Sums are in another order and functions rounded in their own way, so results agree to the last
    digits but not bit for bit; random numbers are the same. Its `source` is the text that NumPy
    would run, its `native` the text for Numba. Raises `CompileError` for an operation that there
    is no native code for, and where Numba is not installed.
    """
    _required()
    source = numpy_backend.build(program).source
    program = optimized(program)
    native = written_natively(program)
    kernel: Any = kernel_of(program, native, compiled(native, program))
    kernel.source, kernel.native, kernel.backend = source, native.source, "numba"
    made: Kernel = kernel
    return made


def build_loop(program: Program, rows: frozenset[int], carried: dict[int, int]) -> Kernel:
    """Return a function of an array of indices (steps, batch) and the inputs.

    It does what that of `numpy_backend.build_loop` does, and leaves the interpreter for about a
    tenth of a second at a time. Raises `CompileError` as `build` does.
    """
    _required()
    source = numpy_backend.build_loop(program, rows, carried).source
    program, repeated, native = repeating(program, rows, carried)
    loop = Repeated(program, repeated, native, compiled(native, program, loop=True))
    loop.source, loop.native = source, native.source
    return loop


def repeating(
    program: Program, rows: frozenset[int], carried: dict[int, int]
) -> tuple[Program, Loop, Native]:
    """Return an optimized program, how it is repeated, and the native function that does so."""
    carries = [_Carry(*item) for item in carried.items()]
    program = optimized(replace(program, writes=[*carries, *program.writes]))
    found = {w.target: w.number for w in program.writes[: len(carries)]}
    program = replace(program, writes=program.writes[len(carries) :])
    loop = Loop(rows, found)
    return program, loop, written_natively(program, loop)


class _Carry(NamedTuple):
    target: int
    number: int


def written_natively(program: Program, loop: Loop | None = None) -> Native:
    """Return the native function of an optimized program."""
    blas = native_blas.found()
    return Writer(program, blas[0] if blas else None, loop).written()


def compiled(native: Native, program: Program, *, loop: bool = False) -> Any:
    """Return the native function, compiled; arguments of other types are an error."""
    # Numba is imported here, by who asks for it.
    compiler = import_module("tinygrad_fc.compiler.native_compile")
    return compiler.compiled(native, program.name, loop=loop)


def _required() -> None:
    if not available():
        raise CompileError(
            "the Numba backend needs Numba, which is not installed: pip install "
            '"tinygrad-fc[compile]", or compile with backend="numpy"'
        )
