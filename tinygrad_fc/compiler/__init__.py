"""From a function of tensors to the straight-line program that one would write by hand.

A tour of one training step, from `compile` to the printed line `weight_0 -= rate * weight_0_grad`:

1. `compiled.compile` returns a `Compiled`. Its first call finds no program, and goes to
   `Compiled._traced`, which calls `trace.trace` (2 to 6), the backend's `build` (7), and
   `Executable` (8).
2. `trace.trace` notes the names that the code reads (`guards.Captured`), and runs the function on
   its own tensors, whose arrays are now tracers (3). If an optimizer creates state in that run,
   it raises `StateCreatedError`; `_traced` then runs the function as it is, and traces it again.
3. During the run the trace is the observer of the library (`core.seam`), which asks it for arrays
   and gradients of tensors, and for calls of ops, rules, modules and optimizers. Nothing is
   patched. `np.zeros` and the like get a tracer as `like=`, and `number_of` reads numbers. Reading
   the array of `weight` (`Trace.read`, `_entered`) makes the weight an input of the program, and
   yields a `tracer.Tracer`.
4. The ops run as always. NumPy hands each call on a tracer to `Tracer.__array_ufunc__` or
   `__array_function__`, and it arrives in `ir.ProgramBuilder.emit`, which also computes it
   (`sample`, for shapes and dtypes): a repeated call returns the existing value, small results of
   constants are constants, x * 1 is x. An instruction of an op knows its op, phase and module
   (`ir.Origin`, set by `Trace.call` and `Trace._rule`). Where the library branches on a value,
   `Tracer.__bool__` records what the program has to check: `if loss != loss: raise GuardFailed`.
5. `loss.backward()` is the library's own backward pass; the rules run on tracers, and
   `Trace.set_grad` notes what `.grad` becomes. `Trace.groups` puts a tracer for the learning rate
   into a copy of the group (`_option`), and `Trace.step` runs the optimizer: `rate * g` is one
   instruction; `array -= ...` is `np.subtract` with `out=array`, which `_into` hands to
   `Tracer.write`: the tracer of the weight holds the difference from now on.
6. After the run, `Trace.finished` makes an `ir.Program`: inputs, `expects` (conditions), the
   instructions that are needed (`_order`), outputs, and `changes`: each input whose tracer holds
   another value now, with that value. `naming.name_values` adds names (weight_0 for the path
   `0.weight`, z1, y1, d1) and formula numbers.
7. `numpy_printer.build` writes NumPy source, instruction by instruction (`NumPyPrinter._write`).
   The product: `operand` writes `rate = np.array(lr)`, and `rate * weight_0_grad`, which is used
   once and short, is inlined. The subtraction: `_changed_in_place` finds that it may overwrite
   weight_0, and `_write_in_place` writes `weight_0 -= rate * weight_0_grad`. `auto`, the default,
   starts with this, and goes on with Numba, unless its rule prefers NumPy. For Numba,
   `numba_lowering` makes statements of instructions, `numba_printer` writes them in loops as LLVM,
   with the numbers of `numba_codegen`, `numba_backend` compiles, with a cache. `javascript` prints
   for pages of `viz`.
8. `call.Executable` generates the function that calls run, this one too unless the user's function
   already ran in 2: compare the guards, read the inputs, run the kernel, which changes the arrays,
   set gradients, make tensors of the results. A `Miss`, for a guard or `GuardFailed`, leads to the
   other programs, then back to 1. `Compiled.epoch` runs many steps. In calls 2, 4, 8, ...
   `self_check` also runs the function.

`CompiledModule` is a module whose calls in evaluation are compiled; `export` writes a forward pass
for machines that have NumPy alone. A printer needs `Program` and the table of functions in
`instructions`. `formula` prints a vjp rule as one expression, with the same tracer and table.
"""

from __future__ import annotations

from tinygrad_fc.compiler.compiled import (
    Compiled,
    CompiledModule,
    compile,  # noqa: A004  PyTorch's name
)
from tinygrad_fc.compiler.ir import CompileError, GuardFailed, Program

__all__ = ["CompileError", "Compiled", "CompiledModule", "GuardFailed", "Program", "compile"]
