"""The Numba backend: a program as one native function, and the Python function around it.

Sums are in another order than NumPy's and functions are rounded in their own way, so results agree
to the last digits but not bit for bit; random numbers are the same.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, types
from numba.core.errors import NumbaError

from tinygrad_fc.compiler import cache, numba_math, numpy_printer
from tinygrad_fc.compiler.ir import GuardFailed, draw, mapped, operands
from tinygrad_fc.compiler.numba_plan import Unsupported
from tinygrad_fc.compiler.numba_printer import Argument, Printer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.compiler.ir import Program

PATIENCE = 1.0
"""Seconds after which a slow compilation is announced."""
STATUS = {"GUARD": 2, "OUTSIDE": 3, "GAPS": 4}
"""What a native function returns before it changes anything; 0 where it has done its work."""
STEPS = 64
"""Steps of an epoch after which it returns to Python, where it can be interrupted."""


def build(program: Program) -> Any:
    """Return the kernel of a program; raise `Unsupported` where it has no native form.

    Its `source` is the program as NumPy, `native` the text for Numba.
    """
    native = Native(program, None)
    names = ", ".join(f"a{k}" for k in range(len(program.inputs)))
    space: dict[str, Any] = {"empty": np.empty, "native": native, "run": native.run}
    lines, passed, results = [f"def kernel({names}):"], [], {}
    if native.draws:
        lines.append(f"    {', '.join(a.name for a in native.draws)}, = native.draw(({names},))")
    for name, kind, _, _, value in native.arguments:
        passed.append(f"a{value}" if kind == "input" else name)
        if kind == "output":
            shape, space[f"D{name}"] = program.outputs[value].shape, program.outputs[value].dtype
            lines.append(f"    {name} = empty({shape or ()}, D{name})")
            results[value] = name if shape is not None else f"{name}.item()"
        elif kind != "input":
            space[name] = value
    lines += [
        f"    if run({', '.join(passed)}):",
        f"        native.check(native.call([{', '.join(passed)}]))",
        f"    return ({', '.join(results[k] for k in sorted(results))}{',' * bool(results)})",
    ]
    exec(compile("\n".join(lines), f"<kernel of {program.name}>", "exec"), space)  # noqa: S102
    kernel: Any = space["kernel"]
    kernel.source, kernel.native = numpy_printer.Printer(program).source().text, native.source
    kernel.backend = "numba"
    return kernel


def build_loop(program: Program, rows: frozenset[int]) -> Any:
    """Return a function that runs a step for each row of `order`; None for random numbers.

    `loop(order, done, *stacks, *inputs)`: inputs whose number is in `rows` are whole data sets, of
    which each step takes some rows; `done[0]` counts the steps; results of step k are written to
    `stack[k]`. Returns the outputs of the last step.
    """
    if any(value.function is draw for value in program.instructions):
        return None
    native = Native(program, rows)

    def loop(order: Any, done: Any, *arrays: Any) -> tuple[Any, ...]:
        outputs = [np.empty(v.shape or (), v.dtype) for v in program.outputs]
        known: dict[str, Any] = {"input": arrays[len(program.returned) :], "output": outputs}
        known["stack"] = dict(zip(program.returned, arrays, strict=False))
        args = [known[a.kind][a.value] if a.kind in known else a.value for a in native.arguments]
        for first in range(0, len(order), STEPS):
            last = min(first + STEPS, len(order))
            status = native.call([first, last, order, *args])
            done[0] = status // 8 if status else last
            native.check(status % 8)
        return tuple(
            x if v.shape is not None else x.item()
            for x, v in zip(outputs, program.outputs, strict=True)
        )

    return loop


class Native:
    """A native function, its arguments, and what belongs to it."""

    def __init__(self, program: Program, rows: frozenset[int] | None) -> None:
        printer = Printer(program, rows, {name[5:7]: name for name in numba_math.gemms()})
        self.program, self.source = program, printer.source()
        work = Argument("work", "work", "u1", 1, np.empty(printer.work, np.uint8))
        self.arguments = [*printer.arguments, work]
        self.draws = [a for a in self.arguments if a.kind == "draw"]
        read = [v for a in self.draws for v in operands(a.value)]
        self._constants = {v: v.sample for v in read if v.is_constant}
        what = program.name if rows is None else f"an epoch of {program.name}"
        signature = [_type(a.dtype, a.ndim) for a in self.arguments]
        if rows is not None:
            signature = [types.intp, types.intp, _type("i8", 2), *signature]
        self._function = _compiled(self.source, tuple(signature), what)
        # the dispatcher, which would choose among several types, takes as long as a small kernel
        (compiled,) = self._function.overloads.values()
        self.run = compiled.entry_point

    def call(self, args: list[Any]) -> int:
        """Return the status of a call, with copies of arrays that have gaps in place of them."""
        status = int(self.run(*args))
        if status % 8 == STATUS["GAPS"]:
            arrays = {k: x for k, x in enumerate(args) if isinstance(x, np.ndarray)}
            copies = [np.array(x, order="C") if k in arrays else x for k, x in enumerate(args)]
            status = int(self.run(*copies))
            for k, x in arrays.items():
                if x.flags.writeable:
                    x[...] = copies[k]
        return status

    def check(self, status: int) -> None:
        """Raise the error that a status stands for."""
        if status == STATUS["GUARD"]:
            raise GuardFailed
        if status == STATUS["OUTSIDE"]:
            raise IndexError(f"{self.program.name}: an index is out of bounds for its axis")

    def draw(self, inputs: Any) -> list[Any]:
        """Return the random arrays of one step, drawn from the generators among the inputs."""
        known = {**self._constants, **dict(zip(self.program.inputs, inputs, strict=True))}
        values = [argument.value for argument in self.draws]
        calls = [mapped(lambda x: known.get(x, x), (v.args, v.kwargs)) for v in values]
        drawn = [draw(*args, **kwargs) for args, kwargs in calls]
        return [np.asarray(x, v.dtype, order="C") for x, v in zip(drawn, values, strict=True)]


# From source to machine code


def _type(dtype: str, ndim: int | None) -> Any:
    kind = numba_math.TYPES[dtype]
    return kind if ndim is None else types.Array(kind, ndim, "A")


def _compiled(source: str, signature: tuple[Any, ...], what: str) -> Any:
    """Return the native function of a source, compiled for one signature."""
    name = source.removeprefix("def ").partition("(")[0]
    function, file = cache.defined(
        source, name, {**numba_math.NAMES, **numba_math.gemms(), **STATUS}
    )
    # Dividing by 0 gives what IEEE 754 says, as in NumPy. No `fastmath`: NaN and infinity stay.
    options: Any = {"error_model": "numpy"}
    with announced(what), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            native = _cached(function, signature, file, options)
            return native or njit([signature], **options)(function)
        except NumbaError as error:
            raise Unsupported(f"Numba cannot compile {what}: {error!r:.300}") from error


def _cached(function: Any, signature: Any, file: str | None, options: Any) -> Any:
    """Return the native function from Numba's cache, which is written; None where that fails."""
    for _ in range(2 if file else 0):
        try:
            return njit([signature], cache=True, **options)(function)
        except NumbaError:
            raise
        except Exception:  # noqa: BLE001  damaged files raise all kinds of errors
            cache.forget(str(file))
    return None


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Print a line if compiling takes long, and how long it took."""
    start, line = time.perf_counter(), f"compiling {what} to native code, once for these shapes"
    options = {"file": sys.stderr, "end": " ", "flush": True}
    timer = threading.Timer(PATIENCE, print, [f"{line} and dtypes ..."], options)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
    spent = time.perf_counter() - start
    if spent > PATIENCE:
        print(f"{spent:.1f} s", file=sys.stderr)  # noqa: T201
