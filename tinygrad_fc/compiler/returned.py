"""What a traced function returns, as a tree of results."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Coroutine, Iterator
from types import CellType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.program import Result, Same
from tinygrad_fc.compiler.refusal import refusal
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.compiler.tree import flatten, unflatten
from tinygrad_fc.compiler.watch import SLOTS
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from tinygrad_fc.compiler.watch import Watch

_COPIED = (np.ndarray, set, bytearray, deque)
"""What a function may make anew in every call, of which the program has one."""
_HOLDING = (Node, dict, tuple, list, set, CellType)
"""What is looked into for tensors, in an object that the function returns."""


def returned(watch: Watch, made: Any, at: str | None) -> Any:
    """Return the tree of results."""
    leaves, spec = flatten(made)
    seen: dict[int, Any] = {}
    found = []
    for leaf in leaves:
        if id(leaf) not in seen:
            seen[id(leaf)] = _leaf(watch, leaf, at)
        found.append(seen[id(leaf)])
    return unflatten(spec, found)


def _leaf(watch: Watch, each: Any, at: str | None) -> Any:
    if type(each) is Tracer:
        return Result(each.number, array=True, scalar=each._scalar)
    if type(each) is Number:
        return Result(each.at, array=True)
    if isinstance(each, Iterator | Coroutine):
        raise refusal(
            f"the function returns {each!r:.60}, which the first call would use up.",
            "Return a list or a tuple.",
            at,
        )
    if not isinstance(each, Node):
        _without_tensors(watch, each, at)
        if type(each) in _COPIED and not watch.is_reached(each):
            watch.program.copied.append(each)
        return each
    if watch.is_known(each):
        return Same(watch.source(each))
    return Result(each._array.number, SLOTS["_requires_grad"].__get__(each))


def _without_tensors(watch: Watch, each: Any, at: str | None) -> None:
    """Refuse an object with tensors of the trace in it, which no call would renew."""
    if isinstance(each, type | ModuleType) or watch.is_reached(each):
        return
    # Of a function what it encloses; the names of its module are others' business.
    parts = [each.__closure__ or () if isinstance(each, FunctionType) else each]
    for _ in range(3):
        parts = [p for p in gc.get_referents(*parts) if isinstance(p, _HOLDING)]
        if any(isinstance(part, Node) and not watch.is_outside(part) for part in parts):
            raise refusal(
                f"the function returns a {type(each).__name__} with tensors in it, which later "
                "calls would not renew.",
                "Return the tensors in tuples, lists, dicts or named tuples, and make the "
                f"{type(each).__name__} of what the compiled function returns.",
                at,
            )
