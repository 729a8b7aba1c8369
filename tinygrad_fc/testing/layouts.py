"""The same array in other layouts of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]

ALIGNMENT = 64
"""In bytes: what the widest vector units load at once."""


def aligned(x: Array) -> Array:
    """Return a copy of `x` that begins where every vector unit is content.

    Libraries of linear algebra add up in another order elsewhere, and differ by an ulp.
    """
    memory = np.empty(x.nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    made = memory[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    made[...] = x
    return made


def _strided(x: Array) -> Array:
    buffer = np.full((*x.shape, 3), 7, x.dtype)
    buffer[..., 1] = x
    return buffer[..., 1]


def _readonly(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda x: x.copy(order="C"),
    "Fortran": lambda x: x.copy(order="F"),
    "transposed": lambda x: x.swapaxes(0, -1).copy().swapaxes(0, -1) if x.ndim > 1 else x.copy(),
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "strided": _strided,
    "read-only": _readonly,
}
"""The same array in another layout of memory, by its name."""


def held(x: Array, *, all_axes: bool = False) -> Array:
    """Return the first part of `x`, or its first number, repeated with a stride of 0."""
    if not x.ndim:
        return x
    first = x[(slice(1),) * x.ndim] if all_axes else x[:1]
    return np.broadcast_to(first, x.shape)
