"""Native source run as Python, which is slow but compiles nothing: for many small programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinygrad_fc.compiler import numba_math
from tinygrad_fc.compiler.numba_backend import STATUS
from tinygrad_fc.compiler.numba_printer import Printer

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program


def memory(array: Any, start: int, code: str, *_: int) -> Any:
    """Return the elements that begin `start` bytes into an array."""
    parts = array.reshape(-1).view(np.uint8)[start:]
    dtype = np.dtype("?" if code == "b1" else code)
    return parts[: len(parts) // dtype.itemsize * dtype.itemsize].view(dtype)


def load(place: Any, at: int) -> Any:
    assert 0 <= at < len(place)
    return place[at]


def store(place: Any, at: int, x: Any) -> None:
    assert 0 <= at < len(place)
    place[at] = x


def gemm(*args: Any) -> None:
    """Call BLAS as generated code does."""
    _, turn_x, turn_y, m, n, k, _, x, x_step, y, y_step, _, out, out_step = args

    def matrix(place: Any, step: int, turned: int, rows: int, columns: int) -> Any:
        shape = (columns, rows) if turned == 112 else (rows, columns)
        array = as_strided(place, shape, (step * place.itemsize, place.itemsize))
        return array.T if turned == 112 else array

    product = matrix(x, x_step, turn_x, m, k) @ matrix(y, y_step, turn_y, k, n)
    matrix(out, out_step, 111, m, n)[...] = product


NAMES: dict[str, Any] = {
    **numba_math.NAMES,
    **STATUS,
    "exp": np.exp,
    "tanh": np.tanh,
    "memory": memory,
    "load": load,
    "store": store,
    "gemm": gemm,
    "address": lambda place, at: place[at:],
    "select": lambda condition, x, y: x if condition else y,
    "plus": lambda x, y: x + y,
    "times": lambda x, y: x * y,
}


def run(program: Program, inputs: list[Any]) -> tuple[int, list[Any]]:
    """Return the status and the outputs of the native source of a program, run as Python."""
    printer = Printer(program, None, dict.fromkeys(("f4", "f8"), "gemm"))
    space: dict[str, Any] = dict(NAMES)
    source = printer.source()
    exec(source, space)  # noqa: S102
    outputs = [np.empty(v.shape or (), v.dtype) for v in program.outputs]
    known: dict[str, Any] = {"input": inputs, "output": outputs}
    args = [known[a.kind][a.value] if a.kind in known else a.value for a in printer.arguments]
    name = source.partition("(")[0].removeprefix("def ")
    with np.errstate(all="ignore"):
        status = space[name](*args, np.empty(printer.work, np.uint8))
    return status, outputs
