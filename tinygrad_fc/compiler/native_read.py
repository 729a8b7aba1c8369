"""From the instructions of a program to the nodes of a plan, a kind at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import native_functions as functions
from tinygrad_fc.compiler import native_reduce as reduce
from tinygrad_fc.compiler.native_each import NUMBERS, SPELLED, loop_dtypes
from tinygrad_fc.compiler.native_plan import Node, Plan
from tinygrad_fc.compiler.native_step import casting, elementwise, given, missing
from tinygrad_fc.compiler.native_views import is_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.program import Instruction, Program


def planned(program: Program) -> Plan:
    """Return the plan of `program`; raise `CompileError` for what native code lacks."""
    plan = Plan(program)
    for step in program.instructions:
        if step.kind not in ("expect", "draw"):
            plan.check(step.out)
        if not (is_view(step) and plan.view(step)):
            _readers.get(step.kind, _unknown)(plan, step)
    plan.arranged()
    return plan


def _unknown(plan: Plan, step: Instruction) -> None:  # noqa: ARG001  a reader like the others
    raise missing(step)


# Element by element


def _ufunc(plan: Plan, step: Instruction) -> None:
    if step.function is np.matmul:
        reduce.product(plan, step, *step.args)
        return
    if step.function.nout != 1 or step.function.signature is not None:
        raise missing(step)
    dtypes = loop_dtypes(step.function, [given(plan, n) for n in step.args])
    elementwise(plan, step, step.function, step.args, dtypes)


def _cast(plan: Plan, step: Instruction) -> None:
    to = plan.dtype(step.out)
    spelled = casting(plan, step.args, [to])
    plan.each(step, step.args, lambda names: spelled(names)[0])


def _call(plan: Plan, step: Instruction) -> None:
    if step.function not in SPELLED or isinstance(step.function, np.ufunc):
        _function(plan, step)
        return
    result = plan.dtype(step.out)
    elementwise(plan, step, step.function, step.args, (result,) * (len(step.args) + 1))


def _function(plan: Plan, step: Instruction) -> None:
    try:
        reader = _functions.get(step.function)
    except TypeError:
        reader = None
    owner = getattr(step.function, "__self__", None)
    if reader is None and isinstance(owner, np.ufunc) and step.function == owner.reduce:
        inputs, named = step.settings["inputs"], dict(step.settings["named"])
        named |= dict(zip(("axis", "dtype", "out", "keepdims"), inputs[1:], strict=False))
        reduce.reduce(plan, step._replace(function=owner, settings=named))
        return
    if reader is None:
        raise missing(step)
    reader(plan, step)


# Plain numbers


def _number(plan: Plan, step: Instruction) -> None:
    if step.function not in NUMBERS:
        raise missing(step, " of plain numbers")
    plan.nodes.append(Node("number", step.out, step.args, (), step))


def _as_node(plan: Plan, step: Instruction) -> None:
    plan.nodes.append(Node(step.kind, step.out, step.args, (), step))


def _gather(plan: Plan, step: Instruction) -> None:
    plan.nodes.append(Node("each", step.out, step.args, plan.shape(step.out), step))


def _put(plan: Plan, step: Instruction) -> None:
    plan.nodes.append(Node("put", step.out, step.args, plan.shape(step.out), step))


def _join(plan: Plan, step: Instruction) -> None:
    plan.nodes.append(Node("join", step.out, step.args, plan.shape(step.out), step))


_functions: dict[Any, Callable[[Plan, Instruction], None]] = {
    np.where: functions.where,
    np.clip: functions.clip,
    np.zeros_like: functions.filled(0),
    np.ones_like: functions.filled(1),
    np.zeros: functions.filled(0),
    np.ones: functions.filled(1),
    np.full_like: functions.full_like,
    np.full: functions.full_like,
    np.copy: functions.copy,
    np.ascontiguousarray: functions.copy,
    np.sum: reduce.summed(np.add),
    np.prod: reduce.summed(np.multiply),
    np.max: reduce.extremum(np.maximum),
    np.min: reduce.extremum(np.minimum),
    np.argmax: reduce.index_of,
    np.argmin: reduce.index_of,
    np.dot: reduce.dot,
    np.matmul: reduce.dot,
    np.vdot: reduce.vdot,
    np.concatenate: _join,
    np.stack: _join,
}
_readers: dict[str, Callable[[Plan, Instruction], None]] = {
    "ufunc": _ufunc,
    "reduce": reduce.reduce,
    "reshape": Plan.copied,
    "cast": _cast,
    "fill": _cast,
    "function": _function,
    "call": _call,
    "getitem": _gather,
    "put": _put,
    "number": _number,
    "item": _as_node,
    "expect": _as_node,
    "draw": _as_node,
}
