"""A program as a function that NumPy runs: its source, compiled."""

from __future__ import annotations

import linecache
import zlib
from typing import TYPE_CHECKING, Any, Protocol

from tinygrad_fc.compiler.loop import written_loop
from tinygrad_fc.compiler.reading import ready
from tinygrad_fc.compiler.source import written

if TYPE_CHECKING:
    from tinygrad_fc.compiler.page import Source
    from tinygrad_fc.compiler.program import Program


class Kernel(Protocol):
    """A function of raw arrays and numbers, with the text of it."""

    source: str

    def __call__(self, *inputs: Any) -> Any:
        """Return the outputs as a tuple."""


def build(program: Program) -> Kernel:
    """Return a kernel of `program`: its source, executed.

    A kernel takes raw arrays, numbers and generators in the order of `program.inputs`, changes in
    place those that the program's `Change`s name, and returns a tuple, of `program.outputs()`, in
    memory that nobody else has. Where an `expect` fails it raises `Unfit` and has changed nothing.
    What it computes is what `program.run` does, bit for bit but in large layers; see `columns`.

    >>> import numpy as np
    >>> from tinygrad_fc.compiler.program import Argument, Instruction, Program, Result, Value
    >>> row = Value((2,), np.dtype(float))
    >>> double = Instruction("ufunc", np.add, (0, 0), {}, 1)
    >>> program = Program("double", [row, row], {}, {0: Argument(0)}, [double], [], Result(1))
    >>> build(program)(np.array([1.0, 2.0]))
    (array([2., 4.]),)
    >>> print(build(program).source.splitlines()[-2].strip())
    result = arg0 + arg0
    """
    return executed(written(ready(program)), program.name)


def build_loop(program: Program, rows: frozenset[int], carried: dict[int, int]) -> Kernel:
    """Return a function of an array of indices (steps, batch) and the inputs, and its `source`.

    It does the program once for each row of indices. Of the inputs in `rows`, which are whole
    data sets, a step gets these rows; an input that is a key of `carried` takes, from the second
    step on, the value that the step before it gave. Results are stacked along a new first axis;
    the other outputs are those of the last step.
    """
    return executed(written_loop(program, rows, carried), program.name)


def executed(source: Source, name: str) -> Kernel:
    """Return the function that `source` defines; tracebacks show its lines."""
    file = f"<compiled {name} {zlib.crc32(source.text.encode()):08x}>"
    linecache.cache[file] = (len(source.text), None, source.text.splitlines(keepends=True), file)
    scope: dict[str, Any] = dict(source.bound)
    exec(compile(source.text, file, "exec"), scope)  # noqa: S102  it is ours
    kernel: Any = scope[source.text.rpartition("\ndef ")[2].partition("(")[0]]
    kernel.source, kernel.backend = source.text, "numpy"
    made: Kernel = kernel
    return made
