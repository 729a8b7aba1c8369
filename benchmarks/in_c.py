"""A training step written by hand in C (`step.c`), where a C compiler is installed."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any]

COMPILER = shutil.which("cc")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", "-std=gnu11")
WIDEST = 64
"""The largest number of outputs of a layer for which `step.c` has memory."""


@functools.cache
def library() -> ctypes.CDLL:
    """Compile `step.c` and return its functions."""
    source = Path(__file__).with_name("step.c")
    folder = tempfile.mkdtemp()
    target = Path(folder, "step.so")
    command = [str(COMPILER), *FLAGS, "-o", str(target), str(source), "-lmvec", "-lm"]
    subprocess.run(command, check=True)  # noqa: S603
    loaded = ctypes.CDLL(str(target))
    shutil.rmtree(folder)
    return loaded


def pointer(array: Array) -> ctypes.c_void_p:
    """Return the address of an array."""
    return ctypes.c_void_p(array.ctypes.data)


def arguments(sizes: Sequence[int], n: int, rate: float, parameters: list[Array]) -> list[Any]:
    """Return the first arguments of `train_step`, with addresses but no reference to arrays."""
    layers = len(sizes) - 1
    addresses = (ctypes.c_void_p * len(parameters))(*(p.ctypes.data for p in parameters))
    return [layers, (ctypes.c_int * len(sizes))(*sizes), n, ctypes.c_double(rate), addresses]


def training_step(
    sizes: Sequence[int], rate: float, parameters: list[Array], x: Array, target: Array
) -> Callable[[], float]:
    """Return a function that takes a step, which changes the parameters, and returns the loss."""
    first = arguments(sizes, len(x), rate, parameters)
    y, d, loss = (np.empty(k * len(x) * WIDEST) for k in (len(sizes), 2, 1))
    rest = [pointer(a) for a in (x, target, y, d, loss)]
    call = functools.partial(library().train_step, *first, *rest)

    def step() -> float:
        call()
        return float(loss[0])

    step.arrays = (parameters, x, target, y, d)  # type: ignore[attr-defined]  # C has addresses
    return step


def training_epoch(
    sizes: Sequence[int], rate: float, parameters: list[Array], x: Array, target: Array
) -> Callable[[Array], Array]:
    """Return a function that takes a step per row of `order`, and returns the losses."""

    def epoch(order: Array) -> Array:
        steps, n = order.shape
        y, d, rows = (np.empty(k * n * WIDEST) for k in (len(sizes), 2, 2))
        loss, order = np.empty(steps), np.ascontiguousarray(order, np.int64)
        rest = [pointer(a) for a in (x, target, y, d, rows, loss)]
        first = arguments(sizes, n, rate, parameters)
        library().train_epoch(steps, pointer(order), *first, *rest)
        return loss

    return epoch
