"""The Numba backend: a program as one native function, and the Python function around it.

Sums are in another order than NumPy's and functions are rounded in their own way, so results agree
to the last digits but not bit for bit; random numbers are the same.

Native code is cached on disk: Numba stores what it has compiled next to the file that the source is
in, so generated source is written to a file of its own, named by a hash of all that decides what it
compiles to. The folder is `$TINYGRAD_FC_CACHE` if that is set (empty: nothing is cached), else
`~/.cache/tinygrad_fc`. Files are replaced atomically, so several processes may write at once. Where
the folder cannot be written to, or belongs to another user, nothing is cached.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, types
from numba.core.errors import NumbaError

from tinygrad_fc.compiler import numba_codegen, numpy_printer
from tinygrad_fc.compiler.instructions import draw
from tinygrad_fc.compiler.ir import GuardFailed
from tinygrad_fc.compiler.numba_lowering import Unsupported
from tinygrad_fc.compiler.numba_printer import NumbaPrinter
from tinygrad_fc.pytree import mapped

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program


def build(program: Program) -> Any:
    """Return the kernel of a program; raise `Unsupported` where it has no native form.

    Its `source` is the program as NumPy. `steps(count, *inputs)` runs many steps, with stacks of
    the arguments of each, and returns how many fitted the program, and outputs: stacks of what is
    returned, and what the last step wrote; `steps` is None for programs that draw random numbers.
    """
    printer = NumbaPrinter(program)
    run = _compiled(printer, program.name)
    names = [f"a{k}" for k in range(len(program.inputs))]
    space: dict[str, Any] = {"empty": np.empty, "run": run, "GuardFailed": GuardFailed}
    lines, passed, results = [f"def kernel({', '.join(names)}):"], [], []
    for name, kind, _, value in printer.arguments:
        passed.append(names[value] if kind == "input" else name)
        if kind == "output":
            shape, space[f"D{name}"] = program.outputs[value].shape, program.outputs[value].dtype
            lines.append(f"    {name} = empty({shape or ()}, D{name})")
            results.append(name if shape is not None else f"{name}.item()")
        elif kind == "draw":
            space[f"D{name}"] = _drawing(value)
            lines.append(f"    {name} = D{name}({names[program.inputs.index(value.args[0])]})")
        elif kind == "constant":
            space[name] = value
    lines.append(f"    if not run((1, {', '.join(passed)})): raise GuardFailed")
    lines.append(f"    return ({', '.join(results)}{',' * bool(results)})")
    exec(compile("\n".join(lines), f"<kernel of {program.name}>", "exec"), space)  # noqa: S102
    kernel: Any = space["kernel"]
    kernel.source = numpy_printer.NumPyPrinter(program).source()

    def steps(count: int, *inputs: Any) -> tuple[int, list[Any]]:
        stacks = [(count,) * (k in program.returned) for k in range(len(program.outputs))]
        outputs = [
            np.empty((*stack, *(v.shape or ())), v.dtype)
            for stack, v in zip(stacks, program.outputs, strict=True)
        ]
        arrays = {"input": inputs, "output": outputs}
        args = [arrays[a.kind][a.value] if a.kind in arrays else a.value for a in printer.arguments]
        return run((count, *args)), outputs

    kernel.steps = None if printer.lowering.draws else steps
    return kernel


def _drawing(value: Any) -> Any:
    """Return a function that draws an array of random numbers from a generator."""
    args, kwargs = mapped(lambda x: getattr(x, "sample", x), (value.args[1:], value.kwargs))
    return lambda rng: np.asarray(draw(rng, *args, **kwargs), value.dtype, order="C")


# From source to machine code


def _compiled(printer: NumbaPrinter, what: str) -> Any:
    """Return the native function of a program."""
    file = _stored(printer.source)
    kind = types.Tuple([types.int64, *(argument.type for argument in printer.arguments)])
    # Numba looks up the module of what it reads back, so it has to be an existing one.
    space = {"run": numba_codegen.native(printer.source), "__name__": __name__}
    text = "def steps(arguments): return run(arguments)"
    exec(compile(text, file or "<native>", "exec"), space)  # noqa: S102  it is ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # dividing by 0 gives what IEEE 754 says, as in NumPy
            decorator = njit([(kind,)], cache=file is not None, error_model="numpy")
            compiled = decorator(space["steps"])
    except NumbaError as error:
        raise Unsupported(f"Numba cannot compile {what}: {error!r:.300}") from error
    # the dispatcher, which would choose among several types, takes as long as a small kernel
    (overload,) = compiled.overloads.values()
    return overload.entry_point


def _stored(source: str) -> str | None:
    """Return the path of a file that holds `source`, written if missing; None where not cached."""
    variable = os.environ.get("TINYGRAD_FC_CACHE")
    if variable == "":
        return None
    code = Path(numba_codegen.__file__).read_text(encoding="utf-8")
    parts = (sys.version, np.__version__, np.__file__, code, source)
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    try:
        folder = Path(variable or "~/.cache/tinygrad_fc").expanduser().absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Cached code is executed: files that another user can write must not be.
        status = folder.stat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            return None
        file = folder / f"step_{key}.py"
        if not file.exists():  # Numba compares its time
            with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as stream:
                stream.write(source)
            Path(stream.name).replace(file)
    except (OSError, RuntimeError):
        return None
    return str(file)
