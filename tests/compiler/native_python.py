"""Native source run as Python, which is slow but compiles nothing: for many small programs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinygrad_fc.compiler.ir import GuardFailed
from tinygrad_fc.compiler.numba_codegen import EXACT, TYPES
from tinygrad_fc.compiler.numba_printer import NumbaPrinter
from tinygrad_fc.ops import special

if TYPE_CHECKING:
    from tinygrad_fc.compiler.ir import Program


class Memory:
    """The elements of an array by their distance from the first one; there are no others."""

    def __init__(self, array: Any) -> None:
        self.array = array
        distances = np.zeros(array.shape, int)
        for index, stride in zip(np.indices(array.shape), array.strides, strict=True):
            distances += index * (stride // array.itemsize)
        self.numbers = dict(zip(distances.ravel().tolist(), range(array.size), strict=True))

    def __getitem__(self, at: int) -> Any:
        return self.array.flat[self.numbers[int(at)]]

    def __setitem__(self, at: int, x: Any) -> None:
        self.array.flat[self.numbers[int(at)]] = x

    def at(self, step: int) -> Memory:
        """Return the memory of the first step."""
        assert step == 0
        return self


def temporary(code: str, size: int) -> Memory:
    """Return memory for some elements of a dtype."""
    return Memory(np.empty(size, code))


def gemm(*args: Any) -> None:
    """Call BLAS as generated code does."""
    _, turn_x, turn_y, m, n, k, _, x, x_step, y, y_step, _, out, out_step = args

    def matrix(place: Any, step: int, turned: int, rows: int, columns: int) -> Any:
        shape = (columns, rows) if turned == 112 else (rows, columns)
        array = as_strided(place.array, shape, (step * place.array.itemsize, place.array.itemsize))
        return array.T if turned == 112 else array

    product = matrix(x, x_step, turn_x, m, k) @ matrix(y, y_step, turn_y, k, n)
    matrix(out, out_step, 111, m, n)[...] = product


class Stopped(Exception):  # noqa: N818
    """Raised with the result of a function that stops."""


def stop(condition: Any, result: int) -> None:
    """Stop a function where a condition holds."""
    if condition:
        raise Stopped(result)


def function(body: Any) -> Any:
    """Return a function of the text, which may stop."""

    def call(*args: Any) -> Any:
        try:
            return body(*args)
        except Stopped as stopped:
            return stopped.args[0]

    return call


NAMES: dict[str, Any] = {
    "function": function,
    "stop": stop,
    **{code: np.dtype(code).type for code in TYPES},
    "np": np,
    **{function.__name__: function for function in EXACT},
    "inf": math.inf,
    "nan": math.nan,
    "exp": np.exp,
    "tanh": np.tanh,
    "ndtr": special.ndtr,
    "temporary": temporary,
    "variable": lambda start: Memory(np.array(start)),
    "gemm_f4": gemm,
    "gemm_f8": gemm,
    "select": lambda condition, x, y: x if condition else y,
    "add_product": lambda total, x, y: total + x * y,
}


def kernel(program: Program) -> Any:
    """Return the kernel of a program: its native source, run as Python."""
    printer = NumbaPrinter(program)
    space: dict[str, Any] = dict(NAMES)
    exec(printer.source, space)  # noqa: S102

    def run(*inputs: Any) -> list[Any]:
        outputs = [np.empty(v.shape or (), v.dtype) for v in program.outputs]
        known: dict[str, Any] = {"input": inputs, "output": outputs}
        args = [known[a.kind][a.value] if a.kind in known else a.value for a in printer.arguments]
        args = [Memory(x) if isinstance(x, np.ndarray) else x for x in args]
        if space["steps"](1, *args) < 1:
            raise GuardFailed
        return outputs

    return run
