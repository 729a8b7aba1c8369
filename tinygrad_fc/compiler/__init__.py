"""From a function of tensors to the straight-line program that one would write by hand.

A tour of one training step, in the order of reading:

1. `compiled.compile` returns a `Compiled`. Its first call has no program yet and traces one.
2. `trace.trace` runs the function once. Meanwhile `patches` exchanges what reads or computes in the
   library: a tensor from outside yields a `tracer.Tracer` for its array, and becomes an input.
3. The ops run as always, on tracers. What they do to arrays arrives in `ir.Graph.emit`: an equal
   call is the same value, constants are folded, x * 1 is x. That list of values is the program,
   the one intermediate representation. Each value knows its op, phase and module (`ir.Origin`).
4. What the function did to tensors outside is recorded in `trace.Traced`: changes of arrays, new
   gradients, results. `guards` finds the names that the code reads, and refuses what a program
   could not repeat. `naming` names values: parameters, z1, y1, d1, and cites formulas.
5. `numpy_printer` writes the program as NumPy source, which is executed. With Numba,
   `numba_plan` makes statements of the instructions by a table from functions to text,
   `numba_printer` writes loops that share them, `numba_math` has functions that these call,
   `numba_backend` compiles, with `cache` on the disk. `auto` measures both and keeps the faster.
6. `call.Call` generates the function that the later calls run: compare the guards, read the
   inputs, run the kernel, write back. `epoch` runs many steps by a loop around the kernel.

A third printer needs `Program` alone: its inputs, instructions, changes and outputs, in order, and
a table from each function to text.
"""

from __future__ import annotations

from tinygrad_fc.compiler.compiled import (
    Compiled,
    compile,  # noqa: A004  PyTorch's name
)
from tinygrad_fc.compiler.ir import CompileError, GuardFailed, Program

__all__ = ["CompileError", "Compiled", "GuardFailed", "Program", "compile"]
