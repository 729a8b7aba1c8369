"""Export of a compiled forward pass: a Python file and its arrays, which need NumPy alone."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.ir import CompileError
from tinygrad_fc.compiler.naming import identifier
from tinygrad_fc.compiler.numpy_printer import Expressions, NumPyPrinter, wrapped
from tinygrad_fc.compiler.trace import Output
from tinygrad_fc.core.node import array_of
from tinygrad_fc.ops import special

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

_ELEMENTWISE = "np.vectorize({}, otypes=[x.dtype.char])(x)"
_PORTABLE: dict[Any, str] = {
    special.erf.forward: _ELEMENTWISE.format("math.erf"),
    special.ndtr.forward: _ELEMENTWISE.format("lambda t: math.erfc(-t / math.sqrt(2)) / 2"),
    special.lgamma.forward: _ELEMENTWISE.format("math.lgamma"),
}
"""Functions of this package, as expressions of an array x that need Python and NumPy."""
_HEADER = '''\
"""The forward pass `{name}` as programs of NumPy. Its arrays are in {name}.npz."""

import math
from pathlib import Path

import numpy as np

with np.load(Path(__file__).with_suffix(".npz")) as file:
    arrays = dict(file)


class GuardFailed(ValueError):
    """Raised where a value decides a branch otherwise than in the call that was exported."""
'''
_FUNCTION = '''\
PROGRAMS = {{
{programs}
}}


def {name}({arguments}):
    """Return the result of the program for the shapes and dtypes of the arguments."""
    inputs = [np.asarray(x) for x in ({arguments},)]
    key = tuple((x.shape, x.dtype.name) for x in inputs)
    if key not in PROGRAMS:
        raise ValueError(f"{name} got {{key}}. Exported are {{', '.join(map(str, PROGRAMS))}}")
    with np.errstate(all="ignore"):
        return PROGRAMS[key](*inputs)
'''


def export(function: str, calls: list[Any], folder: str | os.PathLike[str]) -> Path:
    """Write the programs of a function; return the path of the Python file."""
    name, keys = identifier(function), Expressions()
    names, programs = dict[str, str](), dict[str, str]()  # by their text, and by shapes and dtypes
    arguments = ", ".join(v.name for v in _arguments(calls[0].program)) if calls else ""
    if not arguments:
        raise CompileError(f"export: {function} has no program of arrays. Call it under no_grad()")
    arrays: dict[int, tuple[str, Any]] = {}  # the key of an array in the file, and itself, by id

    def key_of(array: Any, wanted: str) -> str:
        if id(array) not in arrays:
            arrays[id(array)] = keys.fresh(wanted), array
        return f"arrays[{arrays[id(array)][0]!r}]"

    for call in calls:
        inputs = _arguments(call.program)
        key = repr(tuple((v.shape, v.dtype.name) for v in inputs))
        if key not in programs and ", ".join(v.name for v in inputs) == arguments:
            text = _program_text(call, key_of)
            programs[key] = names.setdefault(text, f"program_{len(names) + 1}")
    functions = [f"def {program}({arguments}):\n{text}\n" for text, program in names.items()]
    lines = "\n".join(f"    {key}: {program}," for key, program in programs.items())
    blocks = [_HEADER.format(name=name), *functions]
    blocks.append(_FUNCTION.format(name=name, arguments=arguments, programs=lines))
    path = Path(folder, f"{name}.py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(blocks), encoding="utf-8")
    np.savez(path.with_suffix(".npz"), **dict(arrays.values()))
    return path


def _arguments(program: Any) -> list[Any]:
    return [v for v in program.inputs if v.source.kind == "argument"]


def _program_text(call: Any, key_of: Callable[[Any, str], str]) -> str:
    """Return the body of a function that defines a program, and returns its result."""
    program, printer = call.program, NumPyPrinter(call.program)
    if program.changes or call.traced.gradients:
        changed = program.changes[0][0].name if program.changes else "a gradient"
        raise _refusal(program, f"changes {changed}. Export a forward pass, in evaluation")
    lines = []
    for bound, value in printer.bound.items():
        if isinstance(value, np.ndarray):
            lines.append(f"{bound} = {key_of(value, bound)}")
        elif value in _PORTABLE:
            lines += [f"def {bound}(x):", f"    return {_PORTABLE[value]}"]
        else:
            raise _refusal(program, f"calls {bound}, which NumPy alone does not have")
    values = []
    for v in program.inputs:
        if v.source.kind not in ("argument", "tensor", "array"):
            raise _refusal(program, f"reads {v.name}, which each call changes")
        is_argument = v.source.kind == "argument"
        values.append(v.name if is_argument else key_of(array_of(v.source.subject), v.name))
    lines += [*(line.text for line in printer.function_lines()), ""]
    lines += wrapped(f"outputs = {printer.name}(", values, ",", ")")
    lines.append(f"return {_result_text(program, call.traced.result)}")
    return textwrap.indent("\n".join(lines), "    ")


def _result_text(program: Any, tree: Any) -> str:
    """Return the expression of what the function returns, of its outputs."""
    if isinstance(tree, Output):
        return f"outputs[{tree.number}]"
    if isinstance(tree, dict):
        items = (f"{key!r}: {_result_text(program, x)}" for key, x in tree.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(tree, tuple | list):
        parts = "".join(f"{_result_text(program, x)}, " for x in tree)
        return f"[{parts}]" if isinstance(tree, list) else f"({parts})"
    if type(tree) in (int, float, bool, str, type(None)):
        return repr(tree)
    raise _refusal(program, "returns what it does not compute")


def _refusal(program: Any, problem: str) -> CompileError:
    return CompileError(f"export: the program of {program.name} {problem}")
