"""Reductions, products of arrays and places of extremes, as nodes of a plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.native_each import cast, loop_dtypes
from tinygrad_fc.compiler.native_plan import SMALL, Node, Plan
from tinygrad_fc.compiler.native_step import Plain, elementwise, given, inputs_of, missing
from tinygrad_fc.compiler.program import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.compiler.program import Instruction

REDUCTIONS = frozenset((np.add, np.multiply, np.maximum, np.minimum, np.logical_and, np.logical_or))

# Reductions


def reduce(plan: Plan, step: Instruction) -> None:
    """Read the reduction of a ufunc."""
    if step.function not in REDUCTIONS:
        raise missing(step, ".reduce")
    settings = dict(step.settings)
    axis, keepdims = settings.pop("axis", 0), bool(settings.pop("keepdims", False))
    initial, dtype = settings.pop("initial", None), settings.pop("dtype", None)
    if settings.pop("where", True) is not True or settings.pop("out", None) is not None:
        raise missing(step, ".reduce with where")
    if dtype is not None and np.dtype(dtype) != plan.dtype(step.out):
        raise missing(step, f".reduce with dtype {dtype}")
    if isinstance(initial, Part) or initial is np._NoValue:
        initial = None
    _reduction(plan, step, step.args, axis, step.function, keepdims=keepdims, initial=initial)


def _reduction(
    plan: Plan,
    step: Instruction,
    args: Sequence[int],
    axis: Any,
    function: Any,
    *,
    keepdims: bool = False,
    initial: Any = None,
) -> None:
    shape = plan.shape(args[0])
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    gone = frozenset(int(a) % len(shape) for a in axes) if shape else frozenset()
    settings = {"gone": gone, "keepdims": keepdims, "initial": initial, "function": function}
    plan.nodes.append(Node("reduce", step.out, tuple(args), shape, step, settings=settings))


def summed(function: Any) -> Callable[[Plan, Instruction], None]:
    """Return what reads `np.sum` or `np.prod`."""

    def read(plan: Plan, step: Instruction) -> None:
        x, axis, dtype, out, keepdims = inputs_of(step, "a", "axis", "dtype", "out", "keepdims")
        if any(isinstance(v, Plain) and v.value is not None for v in (dtype, out)):
            raise missing(step, " with dtype or out")
        keep = bool(keepdims.value) and keepdims.value is not np._NoValue
        _reduction(plan, step, (x,), axis.value, function, keepdims=keep)

    return read


def extremum(function: Any) -> Callable[[Plan, Instruction], None]:
    """Return what reads `np.max` or `np.min`."""

    def read(plan: Plan, step: Instruction) -> None:
        x, axis, out, keepdims, initial = inputs_of(step, "a", "axis", "out", "keepdims", "initial")
        if isinstance(out, Plain) and out.value is not None:
            raise missing(step, " with out")
        keep = bool(keepdims.value) and keepdims.value is not np._NoValue
        first = None if initial.value is np._NoValue else initial.value
        _reduction(plan, step, (x,), axis.value, function, keepdims=keep, initial=first)

    return read


def index_of(plan: Plan, step: Instruction) -> None:
    """Read `np.argmax` or `np.argmin`."""
    x, axis, out, keepdims = inputs_of(step, "a", "axis", "out", "keepdims")
    if isinstance(out, Plain) and out.value is not None:
        raise missing(step, " with out")
    plan.check(x)
    keep = bool(keepdims.value) and keepdims.value is not np._NoValue
    settings = {"axis": axis.value, "keepdims": keep, "least": step.function is np.argmin}
    plan.nodes.append(Node("extremum", step.out, (x,), plan.shape(x), step, settings=settings))


# Products


def dot(plan: Plan, step: Instruction) -> None:
    """Read `np.dot`, or a product by its name."""
    x, y, *_ = inputs_of(step, "a", "b", "out")
    if isinstance(x, Plain) or isinstance(y, Plain):
        raise missing(step)
    if plan.is_array(x) and plan.is_array(y) and plan.shape(x) and plan.shape(y):
        product(plan, step, x, y)
    else:
        dtypes = loop_dtypes(np.multiply, [given(plan, n) for n in (x, y)])
        elementwise(plan, step, np.multiply, (x, y), dtypes)


def vdot(plan: Plan, step: Instruction) -> None:
    """Read `np.vdot`."""
    if plan.shape(step.args[0]) != plan.shape(step.args[1]):
        raise missing(step, " of two shapes")
    _reduction(plan, step, step.args, None, np.add)


def product(plan: Plan, step: Instruction, x: int, y: int) -> None:
    """Add a product of matrices or vectors, or the sum that it stands for."""
    a, b, out = (plan.shape(n) for n in (x, y, step.out))
    if len(a) == len(b) == 1:
        _reduction(plan, step, (x, y), None, np.add)
    elif x in plan.ones and len(a) == 1 and len(b) == 2 and plan.dtype(y) == plan.dtype(step.out):
        _reduction(plan, step, (y,), 0, np.add)  # how a batch is summed
    elif y in plan.ones and len(b) == 1 and plan.dtype(x) == plan.dtype(step.out):
        _reduction(plan, step, (x,), -1, np.add)
    elif step.function is np.dot and len(b) > 2:
        raise missing(step, f" of shapes {a} and {b}")
    else:
        work = math.prod(out) * a[-1]
        matrices = math.prod(out[:-2]) if len(b) > 2 else 1
        to = plan.dtype(step.out)
        small = work // max(matrices, 1) <= SMALL or to.kind != "f"
        pair = (x, y) if small else (_packed(plan, x, to), _packed(plan, y, to))
        plan.nodes.append(Node("product", step.out, pair, out, step, settings={"small": small}))


def _packed(plan: Plan, number: int, to: np.dtype[Any]) -> int:
    """Return a factor as BLAS can read it.

    A copy where it has another dtype than `to`, or neither of its axes is without gaps.
    """
    source = plan.dtype(number)
    strides = plan.where(number).strides[-2:]
    rows, columns = plan.shape(number)[-2:] if len(strides) == 2 else (1, len(plan.shape(number)))
    thin = len(strides) < 2 or rows == 1 or columns == 1
    if source == to and (thin or (1 in strides and min(strides) > 0)):
        return number
    shape = plan.shape(number)
    new = plan.add(shape, to)
    plan.nodes.append(
        Node("each", new, (number,), shape, spelled=lambda names: cast(names[0], source, to))
    )
    return new
