"""The function around a native one: it makes arrays, hands all over, and says what went wrong."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import native_blas
from tinygrad_fc.compiler.program import Change, Unfit, evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.compiler.native_places import Native
    from tinygrad_fc.compiler.program import Instruction, Program

UNFIT, OUTSIDE = 2, 3
LINE = 64


class Shell:
    """What the function around a native one is written of."""

    def __init__(self, program: Program, native: Native) -> None:
        self.name, self.native = program.name, native
        self.inputs = list(program.inputs)
        self.bound: dict[str, Any] = {"empty": np.empty}
        if native.work:
            spare = np.empty(native.work + LINE, np.uint8)
            start = -spare.ctypes.data % LINE
            self.bound["work"] = spare[start : start + native.work]
        blas = native_blas.found()
        if blas:
            self.bound |= {f"gemm_{kind}": address for kind, address in blas[1].items()}
        self.bound |= {f"k{n}": value for n, value in native.constants.items()}

    def made(self, name: str, lines: list[str]) -> Any:
        """Return the function of these lines."""
        scope: dict[str, Any] = dict(self.bound)
        exec(compile("\n".join(lines), f"<shell of {self.name}>", "exec"), scope)  # noqa: S102  ours
        return scope[name]


def kernel_of(program: Program, native: Native, function: Any) -> Any:
    """Return the kernel around a native function: straight code, in which nothing is looked up."""
    shell, mending = Shell(program, native), Mending(program, native)
    if mending.swapped:
        function = partial(mending.at_once, function)
    shell.bound |= {"native": function, "fail": failed, "drawn": _drawn}
    shell.bound["careful"] = mending.call
    return shell.made("kernel", _lines(shell, native))


def _lines(shell: Shell, native: Native) -> list[str]:
    """Return the function that is called at each step: nothing is looked up in it."""
    passed = ", ".join(f"a{g.number}" if g.kind == "input" else g.name for g in native.givens)
    lines = []
    for step in native.draws:
        shell.bound[f"step{step.out}"] = step
        given = "".join(f"a{n}, " for n in step.args)
        lines.append(f"d{step.out} = drawn(step{step.out}, ({given}))")
    results = []
    for position, (shape, dtype) in enumerate(native.outputs):
        shell.bound[f"D{position}"] = dtype.newbyteorder("=")
        lines.append(f"o{position} = empty({shape or ()}, D{position})")
        way = ".item()" if shape is None else ""
        if shape is not None and not dtype.isnative:  # as that of a view of an input is
            shell.bound[f"E{position}"] = dtype
            way = f".astype(E{position})"
        results.append(f"o{position}{way}, ")
    lines += [
        "try:",
        f"    status = native({passed})",
        "except Exception as error:",
        f"    status = careful(native, ({passed}{',' if passed else ''}), error)",
        "if status:",
        "    fail(status)",
        f"return ({''.join(results)})",
    ]
    head = f"def kernel({', '.join(f'a{n}' for n in shell.inputs)}):"
    return [head, *(f"    {line}" for line in lines)]


def _drawn(step: Instruction, args: Sequence[Any]) -> Any:
    return np.asarray(evaluate("draw", step.function, args, step.settings), order="C")


def failed(status: int) -> None:
    """Raise what the status of a native function stands for."""
    kind = status % 8
    if kind == UNFIT:
        raise Unfit
    if kind == OUTSIDE:
        raise IndexError("an index lies outside the axis that it is for")
    raise ZeroDivisionError("division by zero")


class Mending:
    """Calls a native function with copies of those inputs that it cannot take."""

    def __init__(self, program: Program, native: Native) -> None:
        changed = {w.target for w in program.writes if isinstance(w, Change)}
        self.inputs = [
            (k, program.values[g.number].dtype, g.number in changed)
            for k, g in enumerate(native.givens)
            if g.kind == "input" and g.ndim is not None and program.values[g.number].dtype
        ]
        self.swapped = any(dtype and not dtype.isnative for _, dtype, _ in self.inputs)
        """Whether an input is of the other byte order."""

    def at_once(self, native: Any, *args: Any) -> int:
        """Call `native` with `args` mended, without an error that asks for it.

        Numba keeps one type for unaligned arrays and those of the other byte order, that of
        whichever it has met first: it may read the one as the other, and raise nothing.
        """
        return self.call(native, args, TypeError("an input is not what the program was made for"))

    def call(self, native: Any, args: Sequence[Any], error: Exception) -> int:
        """Call `native` with `args` mended; raise `error` where there is nothing to mend."""
        given, back = list(args), []
        for k, dtype, changes in self.inputs:
            mended = self.mended(given[k], dtype)
            if mended is not given[k]:
                if changes:
                    back.append((given[k], mended))
                given[k] = mended
        if all(a is b for a, b in zip(args, given, strict=True)):
            raise error
        status = int(native(*given))
        if not status:
            for old, new in back:
                old[...] = new
        return status

    @staticmethod
    def mended(x: Any, dtype: Any) -> Any:
        """Return an array as native code can take it: itself, or a copy."""
        if type(x) is np.ndarray and x.dtype == dtype and x.dtype.isnative and x.flags.carray:
            return x
        array = np.asarray(x)
        if array.dtype.newbyteorder("=") != dtype.newbyteorder("="):
            return x
        return np.array(array, dtype.newbyteorder("="), order="C")
