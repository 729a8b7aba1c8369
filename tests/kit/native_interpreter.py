"""Source for Numba, run by Python: what is wrong with it shows without compiling it.

Element by element in scalars of NumPy's, which is slow and exact, so that hundreds of drawn
programs can be tried in the time that compiling one of them takes.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import native as backend
from tinygrad_fc.compiler.native_each import CODES
from tinygrad_fc.compiler.native_loop import Repeated
from tinygrad_fc.compiler.native_shell import kernel_of
from tinygrad_fc.compiler.native_write import Writer
from tinygrad_fc.compiler.passes import optimized

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tinygrad_fc.compiler.native_places import Native
    from tinygrad_fc.compiler.program import Program


class _Memory:
    """The elements of an array in a row; an index is never negative, nor beyond the end."""

    def __init__(self, flat: Any) -> None:
        self.flat = flat

    def __getitem__(self, at: int) -> Any:
        assert 0 <= at < self.flat.size
        return self.flat[at]

    def __setitem__(self, at: int, value: Any) -> None:
        assert 0 <= at < self.flat.size
        assert np.asarray(value).dtype.kind == self.flat.dtype.kind or isinstance(
            value, int | float
        )
        self.flat[at] = value


def _memory(array: Any, scope: int, scopes: int) -> _Memory:
    assert array.flags.c_contiguous
    assert 0 <= scope < scopes
    return _Memory(array.reshape(-1))


def _fresh(dtype: Any, count: int) -> Any:
    # What nobody has written yet shows where it is read.
    return (
        np.full(count, -77, np.int64).astype(dtype)
        if dtype.kind != "f"
        else np.full(count, 7.7e33, dtype)
    )


def _stack(dtype: Any, count: int, scope: int, scopes: int) -> _Memory:
    assert 0 <= scope < scopes
    return _Memory(_fresh(dtype, max(count, 1)))


def _within(work: Any, start: int, dtype: Any, scope: int, scopes: int) -> _Memory:
    assert 0 <= scope < scopes
    part = work[start:]
    return _Memory(part[: part.size // dtype.itemsize * dtype.itemsize].view(dtype))


def _gemm(  # as many as BLAS takes
    _address: Any,
    _bits: Any,
    a: Any,
    b: Any,
    c: Any,
    turned: Any,
    sizes: Any,
    starts: Any,
    steps: Any,
) -> None:
    m, n, k = sizes

    def matrix(memory: Any, start: int, step: int, rows: int, columns: int) -> Any:
        assert step >= columns
        size = memory.flat.itemsize
        end = start + (rows - 1) * step + columns
        assert end <= memory.flat.size
        return np.lib.stride_tricks.as_strided(
            memory.flat[start:], (rows, columns), (step * size, size)
        )

    left = matrix(a, starts[0], steps[0], *((k, m) if turned[0] else (m, k)))
    right = matrix(b, starts[1], steps[1], *((n, k) if turned[1] else (k, n)))
    out = matrix(c, starts[2], steps[2], m, n)
    out[...] = (left.T if turned[0] else left) @ (right.T if turned[1] else right)


def _from_end(at: int, size: int) -> int:
    at = int(at) + size if at < 0 else int(at)
    return at if 0 <= at < size else -1


def _sign(x: Any) -> Any:
    return np.sign(x)


def _alike(function: Any) -> Any:
    """Return a function that is an instruction of LLVM's, and so takes numbers of one type."""

    def checked(*args: Any) -> Any:
        kinds = {np.asarray(x).dtype for x in args}
        assert len(kinds) == 1, f"operands must be of the same type, got {kinds}"
        return function(*args)

    return checked


def scope() -> dict[str, Any]:
    """Return what generated source may name, in Python."""
    one = {
        **{name: getattr(np, name) for name in ("sqrt", "exp", "tanh", "fabs", "floor", "ceil")},
        **{name: getattr(np, name) for name in ("trunc", "rint", "isnan", "signbit")},
        **{name: getattr(np, name) for name in ("expm1", "log", "log2", "log10", "log1p")},
        **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "hypot")},
        **{name: _alike(getattr(np, name)) for name in ("maximum", "minimum", "copysign", "fmod")},
        **{f"a{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "sinh", "cosh")},
        "atanh": np.arctanh,
        "atan2": np.arctan2,
        "inf": math.inf,
        "nan": math.nan,
        "erf": lambda x: type(x)(math.erf(x)),
        "erfc": lambda x: type(x)(math.erfc(x)),
        "sign": _sign,
        "select": lambda c, x, y: _alike(lambda x, y: x if c else y)(x, y),
        "plus": _alike(lambda x, y: x + y),
        "times": _alike(lambda x, y: x * y),
        "madd": _alike(lambda t, x, y: t + x * y),
    }
    types = {kind: np.dtype(kind if kind != "b1" else "?").type for kind in CODES}
    return {
        **one,
        **types,
        **{f"D{kind}": np.dtype(kind if kind != "b1" else "?") for kind in CODES},
        "memory": _memory,
        "stack": _stack,
        "within": _within,
        "gemm": _gemm,
        "shifted": lambda m, k: _Memory(m.flat[k:]),
        "from_end": _from_end,
        "UNFIT": 2,
        "OUTSIDE": 3,
        "DIVISION": 4,
    }


class _Scalars(ast.NodeTransformer):
    """Makes literals NumPy's, as 1.0 / 0.0 is infinite in native code."""

    def visit_Constant(self, node: ast.Constant) -> Any:
        if not isinstance(node.value, float):
            return node
        return ast.Call(ast.Name("f8", ast.Load()), [node], [])


def function_of(native: Native) -> Any:
    """Return the native function, in Python."""
    space = scope()
    tree = ast.fix_missing_locations(_Scalars().visit(ast.parse(native.source)))
    exec(compile(tree, "<native source>", "exec"), space)  # noqa: S102  ours
    return space[native.source.removeprefix("def ").partition("(")[0]]


def interpreted(program: Program, bits: int | None = 64) -> Callable[..., Any]:
    """Return a kernel like that of `native.build`, run by Python."""
    program = optimized(program)
    native = Writer(program, bits).written()
    kernel = kernel_of(program, native, _strict(function_of(native), native))
    kernel.native = native.source
    return kernel


def _strict(function: Any, native: Native) -> Any:
    """Return `function` refusing what Numba's would: arrays of another layout or dtype."""

    def checked(*args: Any) -> Any:
        for g, x in zip(native.givens, args, strict=True):
            if g.ndim is not None and not (
                x.flags.carray and x.ndim == g.ndim and x.dtype.str[1:] == g.dtype
            ):
                raise TypeError(f"{g.name} has another layout, dtype or number of axes")
        return function(*args)

    return checked


def interpreting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have compiled functions run in place of Numba; return what is written for it, as it comes."""
    built: list[str] = []

    def build(program: Any) -> Any:
        kernel: Any = interpreted(program)
        kernel.source = ""
        built.append(kernel.native)
        return kernel

    monkeypatch.setattr(backend, "build", build)
    return built


def interpreted_loop(
    program: Program, rows: frozenset[int], carried: dict[int, int]
) -> Callable[..., Any]:
    """Return a loop like that of `native.build_loop`, run by Python."""
    program, loop, native = backend.repeating(program, rows, carried)
    return Repeated(program, loop, native, function_of(native))
