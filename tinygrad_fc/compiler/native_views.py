"""Where the elements of a view are, found by letting NumPy make the view.

A view of a root (a value with memory of its own) is a chain of instructions. To know its strides,
the chain is done on an array that has the layout in question and that nobody reads: memory that
was never touched costs nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc.compiler.program import evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.compiler.program import Instruction

FUNCTIONS = frozenset(
    (
        *(np.broadcast_to, np.expand_dims, np.flip, np.moveaxis, np.ravel, np.reshape),
        *(np.squeeze, np.swapaxes, np.transpose, np.flipud, np.fliplr, np.diagonal),
    )
)
"""Functions of NumPy that may return a view of their only array."""


class Where(NamedTuple):
    """Where elements are: the first, and how far it is along each axis from one to the next."""

    start: int
    strides: tuple[int, ...]


def strides_of(shape: tuple[int, ...], order: str = "C") -> tuple[int, ...]:
    """Return the strides, in elements, of an array that is contiguous in `order`."""
    strides: tuple[int, ...] = _dummy(shape, order).strides
    return strides


@lru_cache(64)
def _dummy(shape: tuple[int, ...], order: Any) -> Any:
    return np.empty(shape, np.int8, order=order)


def viewed(shape: tuple[int, ...], order: str, chain: Sequence[Instruction]) -> Where | None:
    """Return where the elements of a view are; None if it is a copy where the root has `order`."""
    made = _made(shape, order, chain)
    return None if made is None else _where(_dummy(shape, order), made)


def spread(
    shape: tuple[int, ...], order: str, chain: Sequence[Instruction], over: tuple[int, ...]
) -> Where:
    """Return where the elements of a view are that is broadcast to the shape `over`."""
    made = _made(shape, order, chain)
    return _where(_dummy(shape, order), np.broadcast_to(made, over))


def _where(root: Any, view: Any) -> Where:
    start = view.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    strides = tuple(0 if n == 1 else s for n, s in zip(view.shape, view.strides, strict=True))
    return Where(start if view.size else 0, strides)


def _made(shape: tuple[int, ...], order: str, chain: Sequence[Instruction]) -> Any:
    root = out = _dummy(shape, order)
    for step in chain:
        out = _one(step, out)
        if out is None or (out.size and not np.may_share_memory(out, root)):
            return None
    return out


def _one(step: Instruction, x: Any) -> Any:
    if step.kind == "getitem":
        at = step.settings["at"]
        at = at if isinstance(at, tuple) else (at,)
        if not any(part is Ellipsis for part in at):
            at = (*at, ...)  # so that one element is a view, too
        return x[at]
    if step.kind == "reshape" and x.size and not x.flags.c_contiguous:
        try:
            return np.reshape(x, step.settings["shape"], copy=False)
        except (ValueError, TypeError):  # of old NumPys, which know no copy=
            return None
    return evaluate(step.kind, step.function, [x], step.settings)


def is_view(step: Instruction) -> bool:
    """Tell whether `step` makes a view of its only argument, if that is in a fitting order."""
    if len(step.args) != 1:
        return False
    if step.kind in ("reshape", "transpose", "expand"):
        return True
    if step.kind == "getitem":
        at = step.settings["at"]
        parts = at if isinstance(at, tuple) else (at,)
        return all(
            part is None or part is Ellipsis or isinstance(part, int | np.integer | slice)
            for part in parts
        ) and not any(isinstance(part, bool) for part in parts)
    return step.kind in ("function", "call") and step.function in FUNCTIONS
