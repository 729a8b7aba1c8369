"""Operations on each element as nodes of a plan, and the error for what there is no code for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.native_each import cast, computed, literal
from tinygrad_fc.compiler.program import CompileError, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.compiler.native_plan import Plan
    from tinygrad_fc.compiler.program import Instruction


def missing(step: Instruction, what: str = "") -> CompileError:
    """Return the error for an instruction that there is no native code for."""
    name = step.function if isinstance(step.function, str) else None
    if step.kind == "call" and step.place:  # of a function of ours, which nobody knows by its name
        name = step.place.row
    name = name or getattr(step.function, "__name__", None) or step.kind
    place = f", in {step.place.row}" if step.place and step.place.row != name else ""
    return CompileError(
        f'the Numba backend has no {name}{what}{place}: compile with backend="numpy", which has '
        'every operation, or leave the choice to backend="auto"'
    )


def given(plan: Plan, number: int) -> Any:
    """Return a dtype, or for a number the type by which NumPy gives way to the arrays' dtypes."""
    dtype = plan.dtype(number)
    if plan.is_array(number) or dtype.kind == "b":
        return dtype
    return float if dtype.kind == "f" else int


def elementwise(
    plan: Plan, step: Instruction, function: Any, args: Sequence[int], dtypes: Sequence[Any]
) -> None:
    """Add `function` of each element, computed in `dtypes`, the last that of its result."""
    known = [known_number(plan, n) for n in args]
    spelled = casting(plan, args, dtypes[:-1])
    if computed(function, ["x"] * len(args), dtypes, known) is None:
        raise missing(step)
    result = plan.dtype(step.out)

    def text(names: list[str]) -> str:
        made = computed(function, spelled(names), dtypes, known)
        return cast(str(made), dtypes[-1], result)

    plan.each(step, tuple(args), text)


def known_number(plan: Plan, number: int) -> float | None:
    """Return the number that all elements of a value are, if that is known now."""
    value = plan.program.constants.get(number)
    if value is None or number not in plan.literals:
        return None
    return float(np.asarray(value).flat[0])


def casting(
    plan: Plan, args: Sequence[int], dtypes: Sequence[Any]
) -> Callable[[list[str]], list[str]]:
    """Return what casts the names of `args` to `dtypes`, and writes constants as such."""

    def spelled(names: list[str]) -> list[str]:
        out = []
        for number, name, dtype in zip(args, names, dtypes, strict=True):
            value = plan.program.constants.get(number)
            if value is not None and number in plan.literals:
                with np.errstate(all="ignore"):
                    element = np.asarray(value).flat[0].astype(dtype)
                out.append(literal(element, dtype))
            else:
                out.append(cast(name, plan.dtype(number), dtype))
        return out

    return spelled


def inputs_of(step: Instruction, *names: str, most: int = 9) -> list[Any]:
    """Return the arguments by their names: numbers of values, or what was given else."""
    inputs, named = list(step.settings["inputs"]), dict(step.settings["named"])
    inputs += [named.pop(name, None) for name in names[len(inputs) :]]
    if named or len(inputs) > max(len(names), most):
        raise missing(step, f" with {', '.join(named)}")
    return [step.args[x.index] if isinstance(x, Part) else Plain(x) for x in inputs]


class Plain:
    """An argument that is no value of the program."""

    def __init__(self, value: Any) -> None:
        self.value = value


def operands(plan: Plan, step: Instruction, inputs: Sequence[Any]) -> list[int]:
    """Return values for `inputs`, new ones for numbers that were written into the call."""
    out = []
    for x in inputs:
        if isinstance(x, Plain):
            if not isinstance(x.value, bool | int | float | np.generic):
                raise missing(step)
            number = plan.add((), np.asarray(x.value).dtype)
            plan.literals[number] = literal(x.value, np.asarray(x.value).dtype)
            plan.program.constants[number] = np.asarray(x.value)
            out.append(number)
        else:
            out.append(x)
    return out
