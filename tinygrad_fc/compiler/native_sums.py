"""Reductions within loops: what they begin with, how elements are taken in, where they end up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.native_each import code, literal
from tinygrad_fc.compiler.native_views import Where, strides_of

if TYPE_CHECKING:
    from tinygrad_fc.compiler.native_plan import Node, Plan


@dataclass
class Total:
    """A reduction in a nest: of `text`, made of `needs`, into `where` of `memory`."""

    memory: str
    where: Where
    gone: frozenset[int]
    function: Any
    dtype: Any
    first: str
    names: tuple[str, ...]
    size: int
    start: int = 0
    partial: bool = False


IDENTITIES = {np.add: 0, np.multiply: 1, np.logical_and: True, np.logical_or: False}
COMBINED = {
    np.add: "plus({0}, {1})",
    np.multiply: "times({0}, {1})",
    np.maximum: "maximum({0}, {1})",
    np.minimum: "minimum({0}, {1})",
    np.logical_and: "{0} & {1}",
    np.logical_or: "{0} | {1}",
}


def combined(function: Any, dtype: Any, total: str, *values: str) -> str:
    """Return how `values` (a product, where they are two) are taken into `total`."""
    if len(values) == 2:
        return f"madd({total}, {values[0]}, {values[1]})"
    text = COMBINED[function].format(total, values[0])
    return text if dtype.kind == "f" or code(dtype) in ("i8", "b1") else f"{code(dtype)}({text})"


def first_of(function: Any, dtype: Any, initial: Any) -> str:
    """Return what a reduction begins with."""
    if initial is not None:
        return literal(np.asarray(initial).astype(dtype), dtype)
    if function in (np.maximum, np.minimum):
        low = function is np.maximum
        if dtype.kind == "f":
            return literal(-math.inf if low else math.inf, dtype)
        if dtype.kind == "b":
            return "False" if low else "True"
        return literal(getattr(np.iinfo(dtype), "min" if low else "max"), dtype)
    return literal(IDENTITIES[function], dtype)


def reduced_where(plan: Plan, node: Node) -> Where:
    """Return where in its result a reduction puts what it makes of an element of its argument."""
    gone, keepdims = node.settings["gone"], node.settings["keepdims"]
    kept = iter(strides_of(plan.shape(node.out)))
    strides = []
    for axis, n in enumerate(node.shape):
        stride = next(kept) if keepdims or axis not in gone else 0
        strides.append(0 if axis in gone or n == 1 else stride)
    return Where(0, tuple(strides))
