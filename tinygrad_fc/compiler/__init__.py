"""From a function of tensors to the straight-line program that one would write by hand.

A tour of one training step, from `compile` to the printed line `weight_0 -= rate * weight_0_grad`:

1. `compiled.compile` returns a `Compiled`. Its first call has no program, and traces one.
2. `trace.trace` notes the names that the code reads (`guards.Captured`), and runs the function with
   tracers. Where an optimizer creates its state (`StateCreatedError`), the call runs as it is, and
   the trace is repeated.
3. During the run `patches` replaces `Tensor._array`, `Op.forward`, `Module.__call__`,
   `Optimizer.step` and a few more by methods of `Trace`. Reading `weight._array` makes the weight
   an input of the program, and yields a `tracer.Tracer`.
4. The ops run as always. NumPy hands each call on a tracer to it, and it arrives in
   `ir.Graph.emit`: a repeated call returns the existing value, constants are folded, x * 1 is x.
   Each value knows its op, phase and module (`ir.Origin`).
5. `loss.backward()` is the library's own backward pass; the rules run on tracers, and
   `Trace.set_grad` notes what `.grad` becomes. `Trace.step` makes the learning rate an input;
   `array -= rate * g` in the optimizer arrives in `Tracer.write`.
6. After the run, `Trace.finished` has an `ir.Program`: inputs, instructions, `changes` (which input
   becomes which value) and outputs. `naming` adds names (weight_0, z1, y1, d1) and formula numbers.
7. `numpy_printer` writes it as NumPy source: `_changed_in_place` finds that the subtraction may
   overwrite weight_0, `_number` makes `rate` of the learning rate, and the product is inlined.
   With Numba, `numba_plan` makes statements of instructions, `numba_printer` writes them in loops,
   `numba_math` has functions that the loops call, `numba_backend` compiles, with a cache on disk.
   `auto` measures both and keeps the faster. `javascript` prints for the browser.
8. `call.Call` generates the function that this and the later calls run: compare the guards (`MISS`
   leads back to 1), read the inputs, run the kernel, set gradients. `epoch` runs many steps.

A printer needs `Program` alone, and a table from each function to text.
"""

from __future__ import annotations

from tinygrad_fc.compiler.compiled import (
    Compiled,
    compile,  # noqa: A004  PyTorch's name
)
from tinygrad_fc.compiler.ir import CompileError, GuardFailed, Program

__all__ = ["CompileError", "Compiled", "GuardFailed", "Program", "compile"]
