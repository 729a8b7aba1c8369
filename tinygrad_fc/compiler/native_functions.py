"""Functions of NumPy that are operations on each element, or the making of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.native_each import literal
from tinygrad_fc.compiler.native_step import Plain, casting, inputs_of, operands
from tinygrad_fc.compiler.program import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.compiler.native_plan import Plan
    from tinygrad_fc.compiler.program import Instruction


def where(plan: Plan, step: Instruction) -> None:
    """Read `np.where` of three arguments."""
    args = operands(plan, step, inputs_of(step, "condition", "x", "y"))
    to = plan.dtype(step.out)
    spelled = casting(plan, args, [np.dtype(bool), to, to])
    plan.each(step, tuple(args), lambda names: f"select({', '.join(spelled(names))})")


def clip(plan: Plan, step: Instruction) -> None:
    """Read `np.clip`, either of whose bounds may be None."""
    if step.kind == "ufunc":
        inputs: list[Any] = list(step.args)
    else:
        inputs = inputs_of(step, "a", "a_min", "a_max")
    bounds = [("maximum", inputs[1]), ("minimum", inputs[2])]
    wanted = [(name, x) for name, x in bounds if not (isinstance(x, Plain) and x.value is None)]
    args = operands(plan, step, [inputs[0], *(x for _, x in wanted)])
    to = plan.dtype(step.out)
    spelled = casting(plan, args, [to] * len(args))

    def text(names: list[str]) -> str:
        out, *limits = spelled(names)
        for (name, _), limit in zip(wanted, limits, strict=True):
            out = f"{name}({out}, {limit})"
        return out

    plan.each(step, tuple(args), text)


def filled(value: float) -> Callable[[Plan, Instruction], None]:
    """Return what reads a function that makes an array full of `value`."""

    def read(plan: Plan, step: Instruction) -> None:
        text = literal(value, plan.dtype(step.out))
        plan.literals[step.out] = text
        plan.program.constants[step.out] = np.asarray(value, plan.dtype(step.out))

    return read


def full_like(plan: Plan, step: Instruction) -> None:
    """Read `np.full` or `np.full_like`."""
    value = step.settings["named"].get("fill_value", [*step.settings["inputs"], None, None][1])
    args = operands(
        plan, step, [step.args[value.index] if isinstance(value, Part) else Plain(value)]
    )
    spelled = casting(plan, args, [plan.dtype(step.out)])
    plan.each(step, tuple(args), lambda names: spelled(names)[0])


def copy(plan: Plan, step: Instruction) -> None:
    """Read what copies an array."""
    spelled = casting(plan, step.args[:1], [plan.dtype(step.out)])
    plan.each(step, step.args[:1], lambda names: spelled(names)[0])
