"""What is needless by algebra that holds bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.layout import elementwise
from tinygrad_fc.compiler.program import Part

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Instruction
    from tinygrad_fc.compiler.rewriting import Rewriting


def simpler(step: Instruction, work: Rewriting) -> int | Instruction:
    """Return the number of the value that `step` makes again, or what to do in its place."""
    rule = _RULES.get(step.kind)
    return step if rule is None else rule(step, work)


def _ufunc(step: Instruction, work: Rewriting) -> int | Instruction:
    step = _stretched_by_itself(step, work)
    function, args = step.function, step.args
    same = _neutral(step, work)
    if same is not None:
        return same
    # x - -y is x + y, and x + -y is x - y.
    if function in (np.add, np.subtract) and work.values[step.out].dtype.kind == "f":  # type: ignore[union-attr]
        inner = work.made.get(args[1])
        if inner is not None and inner.function is np.negative and inner.kind == "ufunc":
            other = np.subtract if function is np.add else np.add
            return step._replace(function=other, args=(args[0], inner.args[0]))
    return step


def _stretched_by_itself(step: Instruction, work: Rewriting) -> Instruction:
    """Return `step` of what was stretched to the shape that it is stretched to here anyway."""
    if not elementwise(step):
        return step
    for i, n in enumerate(step.args):
        inner = work.made.get(n)
        if inner is None or inner.kind != "expand":
            continue
        args = (*step.args[:i], inner.args[0], *step.args[i + 1 :])
        shapes = [work.values[a].shape or () for a in args]
        if np.broadcast_shapes(*shapes) == work.values[step.out].shape:
            step = step._replace(args=args)
    return step


def _neutral(step: Instruction, work: Rewriting) -> int | None:
    """Return x where `step` is x * 1, x / 1, x - 0, x | 0, +x or --x."""
    function, args = step.function, step.args
    x: int | None = args[0] if function is np.positive else None
    if function is np.multiply:
        x = _beside(args, 1, work, either=True)
    elif function is np.true_divide:
        x = _beside(args, 1, work)
    elif function is np.subtract:
        x = _beside(args, 0.0, work)
    elif function is np.bitwise_or:
        x = _beside(args, 0, work, either=True)
    elif function is np.negative:
        inner = work.made.get(args[0])
        if inner is not None and inner.kind == "ufunc" and inner.function is np.negative:
            x = inner.args[0]
    return x if x is not None and work.alike(x, step.out) else None


def _beside(
    args: tuple[int, ...], number: float, work: Rewriting, *, either: bool = False
) -> int | None:
    """Return the other argument where one is `number` all over: the second one, or `either`."""
    for k in (1, 0) if either else (1,):
        value = work.constants.get(args[k])
        if isinstance(value, bool | int | float | np.ndarray):
            array = np.asarray(value)
            if array.size and (array == number).all() and not np.signbit(array.astype(float)).any():
                return args[1 - k]
    return None


def _function(step: Instruction, work: Rewriting) -> int | Instruction:
    """Leave out a choice that is always the same."""
    inputs = step.settings["inputs"]
    if step.function is not np.where or len(inputs) != 3 or step.settings["named"]:
        return step
    asked = isinstance(inputs[0], Part) and work.constants.get(step.args[inputs[0].index])
    if not isinstance(asked, np.ndarray) or not asked.size or asked.all() != asked.any():
        return step
    chosen = inputs[1 if asked.all() else 2]
    if not isinstance(chosen, Part):
        return step
    x = step.args[chosen.index]
    return x if work.alike(x, step.out) else step


def _reshape(step: Instruction, work: Rewriting) -> int | Instruction:
    shape = work.values[step.out].shape
    (x,) = step.args
    if work.values[x].shape == shape:
        return x
    inner = work.made.get(x)
    if inner is not None and inner.kind == "reshape":
        x = inner.args[0]
        if work.values[x].shape != shape:
            return step._replace(args=(x,))
        if x in work.ordered:
            return x
    return step


def _transpose(step: Instruction, work: Rewriting) -> int | Instruction:
    (x,), axes = step.args, _axes(step, work)
    inner = work.made.get(x)
    if inner is not None and inner.kind == "transpose":
        first = _axes(inner, work)
        axes = tuple(first[k] for k in axes)
        x = inner.args[0]
        step = step._replace(args=(x,), settings={"axes": axes})
    return x if axes == tuple(range(len(axes))) else step


def _axes(step: Instruction, work: Rewriting) -> tuple[int, ...]:
    n = len(work.values[step.args[0]].shape or ())
    axes = step.settings["axes"]
    return tuple(range(n))[::-1] if axes is None else tuple(k % n for k in axes)


def _expand(step: Instruction, work: Rewriting) -> int | Instruction:
    (x,) = step.args
    if work.values[x] == work.values[step.out]:
        return x
    inner = work.made.get(x)
    return step._replace(args=inner.args) if inner is not None and inner.kind == "expand" else step


def _cast(step: Instruction, work: Rewriting) -> int | Instruction:
    (x,) = step.args
    return x if work.alike(x, step.out) else step


def _number(step: Instruction, work: Rewriting) -> int | Instruction:
    """Leave out what makes a float of a float."""
    value = work.values[step.args[0]]
    same = step.function is float and value.shape is None and value.dtype == np.float64
    return step.args[0] if same else step


_RULES: dict[str, Any] = {
    "ufunc": _ufunc,
    "reshape": _reshape,
    "transpose": _transpose,
    "expand": _expand,
    "cast": _cast,
    "function": _function,
    "number": _number,
}
