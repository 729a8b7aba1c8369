"""Source to machine code, by Numba: compiled, or read from the cache; with word if it is slow."""

from __future__ import annotations

import math
import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, types
from numba.core.errors import NumbaError

from tinygrad_fc.compiler import cache, native_math, native_memory
from tinygrad_fc.compiler.native_each import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.compiler.native_places import Given, Native

PATIENCE = 1.0
"""Seconds after which whoever waits is told what for."""
_TYPES = {
    "b1": types.boolean,
    **{f"i{n}": getattr(types, f"int{8 * n}") for n in (1, 2, 4, 8)},
    **{f"u{n}": getattr(types, f"uint{8 * n}") for n in (1, 2, 4, 8)},
    "f4": types.float32,
    "f8": types.float64,
}
_MATH = (
    *("expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "asinh", "acosh", "atanh", "atan2", "hypot", "erf", "erfc", "inf", "nan"),
)
_OURS = (
    *("sqrt", "exp", "tanh", "fabs", "floor", "ceil", "trunc", "rint", "sign", "fmod"),
    "copysign",
    *("isnan", "signbit", "maximum", "minimum", "select", "plus", "times", "madd", "from_end"),
)


def scope() -> dict[str, Any]:
    """Return the names that generated source may use."""
    names: dict[str, Any] = {name: getattr(math, name) for name in _MATH}
    names |= {name: getattr(native_math, name) for name in (*_OURS, *CODES)}
    names |= {f"D{kind}": np.dtype(kind if kind != "b1" else "?") for kind in CODES}
    for name in ("memory", "stack", "within", "shifted", "gemm"):
        names[name] = getattr(native_memory, name)
    return names | {"UNFIT": 2, "OUTSIDE": 3, "DIVISION": 4}


def compiled(native: Native, called: str, *, loop: bool) -> Any:
    """Return the function of `native`, for arrays and numbers of its types and no others."""
    signature = [_type(given) for given in native.givens]
    if loop:
        signature = [types.intp, types.intp, types.Array(types.int64, 2, "C"), *signature]
    name = native.source.removeprefix("def ").partition("(")[0]
    function, file = cache.defined(native.source, name, scope())
    # Dividing by 0 gives what IEEE 754 says, as in NumPy. No `fastmath`: NaN and infinity stay what
    # they are, and sums that may be reordered say so themselves.
    with waiting(f"an epoch of {called}" if loop else called), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = _read_or_compiled(function, tuple(signature), file)
    made.disable_compile()
    return made


def _read_or_compiled(function: Any, signature: Any, file: str | None) -> Any:
    options: Any = {"error_model": "numpy"}
    if file is not None:
        for _ in range(2):
            try:
                return njit([signature], cache=True, **options)(function)
            except NumbaError:
                raise
            except Exception:  # noqa: BLE001  damaged files raise whatever unpickling comes upon
                cache.forget(file)
    return njit([signature], **options)(function)


def _type(given: Given) -> Any:
    kind = _TYPES[given.dtype]
    return kind if given.ndim is None else types.Array(kind, given.ndim, "C")


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what is going on, if it takes long, and in the end how long it took.

    On a terminal, in a notebook or in a log: whoever waits for a first call looks there.
    """
    start = time.perf_counter()
    said = threading.Event()

    def say() -> None:
        said.set()
        _tell(f"compiling {what} to native code, once for these shapes and dtypes ...")

    timer = threading.Timer(PATIENCE, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if said.is_set():
            _tell(f" {time.perf_counter() - start:.1f} s\n")


def _tell(text: str) -> None:
    with suppress(AttributeError, OSError, ValueError):  # there is no stream, or it is closed
        sys.stderr.write(text)
        sys.stderr.flush()
