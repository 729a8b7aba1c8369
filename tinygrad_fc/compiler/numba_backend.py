"""The Numba backend: a program as one native function, and the Python function around it.

Sums are in another order than NumPy's and functions are rounded in their own way, so results agree
to the last digits but not bit for bit; random numbers are the same.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, types
from numba.core.errors import NumbaError

from tinygrad_fc.compiler import cache, numba_math, numpy_printer
from tinygrad_fc.compiler.ir import GuardFailed, Value, draw, mapped
from tinygrad_fc.compiler.numba_plan import Unsupported
from tinygrad_fc.compiler.numba_printer import LINE, Printer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinygrad_fc.compiler.ir import Program

PATIENCE = 1.0
"""Seconds after which a slow compilation is announced."""
GUARD, OUTSIDE = 2, 3
SECONDS, FIRST, DRAWN = 0.1, 16, 1 << 22
"""An epoch returns to Python about so often, where it can be interrupted, first after so many
steps; so many random numbers are drawn ahead."""


def build(program: Program) -> Any:
    """Return the kernel of a program; raise `Unsupported` where it has no native form.

    Its `source` is the program as NumPy, `native` the text for Numba.
    """
    native = Native(program, None)
    names = ", ".join(f"a{k}" for k in range(len(program.inputs)))
    space: dict[str, Any] = {"empty": np.empty, "native": native, "function": native.function}
    lines, passed, results = [f"def kernel({names}):"], [], {}
    if native.draws:
        lines.append(f"    {', '.join(a.name for a in native.draws)}, = native.draw(({names},))")
    for name, kind, _, _, value in native.arguments:
        passed.append(f"a{value}" if kind == "input" else name)
        if kind == "constant":
            space[name] = value
        elif kind == "output":
            shape, space[f"D{name}"] = program.outputs[value].shape, program.outputs[value].dtype
            lines.append(f"    {name} = empty({shape or ()}, D{name})")
            results[value] = name if shape is not None else f"{name}.item()"
    space["work"] = native.work
    lines += [
        "    try:",
        f"        status = function({', '.join([*passed, 'work'])})",
        "    except TypeError:",
        f"        status = native.call([{', '.join([*passed, 'work'])}])",
        "    if status:",
        "        native.fail(status)",
        f"    return ({', '.join(results[k] for k in sorted(results))}{',' * bool(results)})",
    ]
    exec(compile("\n".join(lines), f"<kernel of {program.name}>", "exec"), space)  # noqa: S102
    kernel: Any = space["kernel"]
    kernel.source, kernel.native = numpy_printer.Printer(program).source().text, native.source
    kernel.backend = "numba"
    return kernel


def build_loop(program: Program, rows: frozenset[int]) -> Any:
    """Return a loop, `loop(order, done, *stacks, *inputs)`, as that of the NumPy backend."""
    native = Native(program, rows)
    draws = [3 + k for k, a in enumerate(native.arguments) if a.kind == "draw"]
    most = DRAWN // max(sum(a.value.size for a in native.draws), 1) or 1

    def loop(order: Any, done: Any, *arrays: Any) -> tuple[Any, ...]:
        inputs = arrays[len(program.returned) :]
        outputs = [np.empty(v.shape or (), v.dtype) for v in program.outputs]
        known: dict[str, Any] = {"input": inputs, "output": outputs}
        known["stack"] = dict(zip(program.returned, arrays, strict=False))
        args = [known[a.kind][a.value] if a.kind in known else a.value for a in native.arguments]
        args, steps = [0, 0, order, *args, native.work], FIRST
        while done[0] < len(order):
            first, start = int(done[0]), time.perf_counter()
            last = min(first + (min(steps, most) if draws else steps), len(order))
            states = native.states(inputs)
            for k, drawn in zip(draws, native.draw_ahead(inputs, last - first), strict=True):
                args[k] = drawn
            args[:2] = first, last
            status = native.call(args)
            done[0] = status // 8 if status else last
            if status:  # what was drawn for later steps is undone
                for generator, state in states:
                    generator.state = state
                native.draw_ahead(inputs, int(done[0]) - first)
                native.fail(status % 8)
            spent = max(time.perf_counter() - start, 1e-6)
            steps = max(1, int((last - first) * min(SECONDS / spent, 16)))
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
        self.arguments = printer.arguments
        self.draws = [a for a in self.arguments if a.kind == "draw"]
        spare = np.empty(printer.work + LINE, np.uint8)
        start = -spare.ctypes.data % LINE
        self.work = spare[start : start + printer.work]
        changed = {k for k, v in enumerate(program.inputs) if v in dict(program.changes)}
        written = [
            a.kind in ("output", "stack") or (a.kind == "input" and a.value in changed)
            for a in self.arguments
        ]
        signature = [_type(a, w) for a, w in zip(self.arguments, written, strict=True)]
        loop = [types.intp, types.intp, types.Array(types.intp, 2, "C")] if rows is not None else []
        self.written = [k + len(loop) for k, w in enumerate(written) if w]
        what = program.name if rows is None else f"an epoch of {program.name}"
        signature = [*loop, *signature, types.Array(types.uint8, 1, "C")]
        self.function = _compiled(self.source, tuple(signature), what)

    def call(self, args: Sequence[Any]) -> int:
        """Call the function; with copies of arrays that it cannot take, as they have gaps."""
        try:
            return int(self.function(*args))
        except TypeError:
            copies = [
                np.array(x, order="C") if isinstance(x, np.ndarray) and not x.flags.carray else x
                for x in args
            ]
            status = int(self.function(*copies))
            for k in self.written:
                if copies[k] is not args[k]:
                    args[k][...] = copies[k]
            return status

    def draw(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the random arrays of one step, drawn from the generators among the inputs."""
        known = dict(zip(self.program.inputs, inputs, strict=True))
        arrays = []
        for value in (a.value for a in self.draws):
            args, kwargs = mapped(lambda v: _known(v, known), (value.args, value.kwargs))
            arrays.append(np.asarray(draw(*args, **kwargs), value.dtype, order="C"))
        return arrays

    def draw_ahead(self, inputs: Sequence[Any], steps: int) -> list[Any]:
        """Return the random arrays of some steps, stacked, in the order in which they are drawn."""
        drawn = [self.draw(inputs) for _ in range(steps if self.draws else 0)]
        return [np.stack(arrays) for arrays in zip(*drawn, strict=True)]

    def states(self, inputs: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Return the generators among the inputs and their states, if a test may fail."""
        pairs = zip(self.program.inputs, inputs, strict=True)
        generators = [x.bit_generator for v, x in pairs if v.shape is None and v.dtype is None]
        return [(g, g.state) for g in generators if self.program.expects]

    def fail(self, status: int) -> None:
        """Raise the error that a status stands for."""
        if status == GUARD:
            raise GuardFailed
        raise IndexError(f"{self.program.name}: an index is out of bounds for its axis")


def _known(leaf: Any, known: dict[Any, Any]) -> Any:
    if not isinstance(leaf, Value):
        return leaf
    return leaf.sample if leaf.is_constant else known[leaf]


# From source to machine code


def _type(argument: Any, written: bool) -> Any:
    """Return the type of an argument, which is read-only where nothing is written to it."""
    kind = numba_math.TYPES[argument.dtype]
    return kind if argument.ndim is None else types.Array(kind, argument.ndim, "C", not written)


def _compiled(source: str, signature: tuple[Any, ...], what: str) -> Any:
    """Return the native function of a source, compiled for one signature."""
    name = source.removeprefix("def ").partition("(")[0]
    scope = {**numba_math.names(), "GUARD": GUARD, "OUTSIDE": OUTSIDE}
    function, file = cache.defined(source, name, scope)
    # Dividing by 0 gives what IEEE 754 says, as in NumPy. No `fastmath`: NaN and infinity stay.
    options: Any = {"error_model": "numpy"}
    with announced(what), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            native = _cached(function, signature, file, options)
            native = native or njit([signature], **options)(function)
        except NumbaError as error:
            raise Unsupported(f"Numba cannot compile {what}: {error!r:.300}") from error
    native.disable_compile()
    return native


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
    start, printed = time.perf_counter(), threading.Event()

    def announce() -> None:
        printed.set()
        _print(f"compiling {what} to native code, once for these shapes and dtypes ...")

    timer = threading.Timer(PATIENCE, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if printed.is_set():
            _print(f" {time.perf_counter() - start:.1f} s\n")


def _print(text: str) -> None:
    with suppress(AttributeError, OSError, ValueError):  # there is no stream, or it is closed
        sys.stderr.write(text)
        sys.stderr.flush()
