"""From a function of tensors to the straight-line program that one would have written by hand.

`compile` runs a function once with tracers in place of arrays (`tracer`, `recorder`, `watch`,
`standins`, `trace`), which makes a `Program` (`program`); a backend makes a kernel of it, and
`shell` the way in and out.
"""

from __future__ import annotations

from tinygrad_fc.compiler.compiled import (
    Compiled,
    compile,  # noqa: A004  PyTorch's name
)
from tinygrad_fc.compiler.program import CompileError, Program

__all__ = ["CompileError", "Compiled", "Program", "compile"]
