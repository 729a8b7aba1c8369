"""How an instruction is written down: as the expression that a person would write."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.literals import (
    ATOM,
    BOTH,
    COMPARED,
    EITHER,
    POWER,
    PRODUCT,
    SIGN,
    SUM,
    XOR,
    Literals,
    Text,
)
from tinygrad_fc.compiler.program import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.compiler.program import Instruction, Program

BINARY: dict[Any, tuple[str, int]] = {
    np.add: ("+", SUM),
    np.subtract: ("-", SUM),
    np.multiply: ("*", PRODUCT),
    np.true_divide: ("/", PRODUCT),
    np.floor_divide: ("//", PRODUCT),
    np.remainder: ("%", PRODUCT),
    np.matmul: ("@", PRODUCT),
    np.less: ("<", COMPARED),
    np.less_equal: ("<=", COMPARED),
    np.greater: (">", COMPARED),
    np.greater_equal: (">=", COMPARED),
    np.equal: ("==", COMPARED),
    np.not_equal: ("!=", COMPARED),
    np.bitwise_and: ("&", BOTH),
    np.bitwise_or: ("|", EITHER),
    np.bitwise_xor: ("^", XOR),
    operator.add: ("+", SUM),
    operator.sub: ("-", SUM),
    operator.mul: ("*", PRODUCT),
    operator.truediv: ("/", PRODUCT),
    operator.floordiv: ("//", PRODUCT),
    operator.mod: ("%", PRODUCT),
    operator.pow: ("**", POWER),
    operator.matmul: ("@", PRODUCT),
    operator.lt: ("<", COMPARED),
    operator.le: ("<=", COMPARED),
    operator.gt: (">", COMPARED),
    operator.ge: (">=", COMPARED),
    operator.eq: ("==", COMPARED),
    operator.ne: ("!=", COMPARED),
    operator.and_: ("&", BOTH),
    operator.or_: ("|", EITHER),
    operator.xor: ("^", XOR),
}
COMPARISONS = frozenset(f for f, (_, level) in BINARY.items() if level == COMPARED)
UNARY: dict[Any, str] = {
    np.negative: "-",
    np.invert: "~",
    operator.neg: "-",
    operator.pos: "+",
    operator.invert: "~",
}
# `np.power` is not here: `x ** 2` is `np.square(x)`.
METHODS = {
    np.add: "sum",
    np.multiply: "prod",
    np.maximum: "max",
    np.minimum: "min",
    np.logical_and: "all",
    np.logical_or: "any",
}
"""What the reductions of ufuncs are called as methods of arrays."""
AUGMENTED = frozenset(
    (np.add, np.subtract, np.multiply, np.true_divide, np.bitwise_and, np.bitwise_or)
)
"""Functions of which `x op= y` is what `np.op(x, y, out=x)` is."""


class Speller(Literals):
    """Writes instructions down."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program

    def expression(self, step: Instruction, args: Sequence[Text]) -> Text:
        """Return the expression of one instruction."""
        spell: Callable[[Instruction, Sequence[Text]], Text] = getattr(self, f"_{step.kind}")
        return spell(step, args)

    def _ufunc(self, step: Instruction, args: Sequence[Text]) -> Text:
        found = None if self._scalar(step) else _operator(step.function, args)
        return found or self._called(step.function, [a.text for a in args])

    def _scalar(self, step: Instruction) -> bool:
        """Tell whether an operator would not be the ufunc: of plain or of whole numbers."""
        values = [self.program.values[n] for n in step.args]
        if step.function in COMPARISONS:
            return all(value.shape is None for value in values)
        if any(value.shape for value in values):
            return False
        kinds = [v.dtype.kind for v in values if v.shape is not None and v.dtype is not None]
        return not kinds or any(kind != "f" for kind in kinds)

    def _number(self, step: Instruction, args: Sequence[Text]) -> Text:
        return _operator(step.function, args) or self._called(step.function, [a.text for a in args])

    def _reduce(self, step: Instruction, args: Sequence[Text]) -> Text:
        method, settings = METHODS.get(step.function), dict(step.settings)
        axis = settings.pop("axis", 0)
        keepdims = settings.pop("keepdims", False)
        named = [f"{key}={self.literal(value)}" for key, value in settings.items()]
        if keepdims:
            named.insert(0, "keepdims=True")
        if method is None:
            named.insert(0, f"axis={self.literal(axis)}")
            return Text(
                f"{self.function(step.function)}.reduce({', '.join([args[0].text, *named])})"
            )
        only = len(self.program.values[step.args[0]].shape or ()) == 1
        if axis is not None and not (only and axis in (0, -1, (0,), (-1,))):
            named.insert(0, f"axis={self.literal(axis)}")
        return Text(f"{args[0].within(ATOM)}.{method}({', '.join(named)})")

    def _reshape(self, step: Instruction, args: Sequence[Text]) -> Text:
        shape = step.settings["shape"]
        inside = ", ".join(map(str, shape)) if shape else "()"
        return Text(f"{args[0].within(ATOM)}.reshape({inside})")

    def _transpose(self, step: Instruction, args: Sequence[Text]) -> Text:
        axes = step.settings["axes"]
        x = args[0].within(ATOM)
        n = len(self.program.values[step.args[0]].shape or ())
        if axes is None or [k % n for k in axes] == list(range(n))[::-1]:
            return Text(f"{x}.T")
        return Text(f"{x}.transpose({', '.join(map(str, axes))})")

    def _expand(self, step: Instruction, args: Sequence[Text]) -> Text:
        return Text(f"np.broadcast_to({args[0].text}, {self.literal(step.settings['shape'])})")

    def _getitem(self, step: Instruction, args: Sequence[Text]) -> Text:
        return Text(f"{args[0].within(ATOM)}[{self.index(step.settings['at'], args)}]")

    def _cast(self, step: Instruction, args: Sequence[Text]) -> Text:
        return Text(f"{args[0].within(ATOM)}.astype({self.literal(step.settings['dtype'])})")

    def _function(self, step: Instruction, args: Sequence[Text]) -> Text:
        inputs, named = step.settings["inputs"], step.settings["named"]
        if not named and isinstance(inputs, tuple | list):
            parts = [args[p.index] for p in inputs if isinstance(p, Part)]
            if len(parts) == len(inputs):
                found = self._method(step, inputs, parts)
                if found:
                    return found
        texts = [self.literal(p, args) for p in inputs]
        return self._called(step.function, texts + _keywords(self, named, args))

    def _method(
        self, step: Instruction, inputs: Sequence[Part], parts: Sequence[Text]
    ) -> Text | None:
        if step.function is np.dot and self.program.values[step.args[inputs[0].index]].shape:
            return Text(f"{parts[0].within(ATOM)}.dot({parts[1].text})")
        return _operator(step.function, parts)

    _call = _function

    def _draw(self, step: Instruction, args: Sequence[Text]) -> Text:
        texts = [self.literal(p, args) for p in step.settings["inputs"]]
        texts += _keywords(self, step.settings["named"], args)
        return Text(f"{args[0].within(ATOM)}.{step.function}({', '.join(texts)})")

    def _item(self, step: Instruction, args: Sequence[Text]) -> Text:
        del step
        return Text(f"{args[0].within(ATOM)}.item()")

    def _fill(self, step: Instruction, args: Sequence[Text]) -> Text:
        shape, dtype = step.settings["shape"], self.literal(step.settings["dtype"])
        if not shape:
            return Text(f"np.array({args[0].text}, {dtype})")
        return Text(f"np.full({self.literal(shape)}, {args[0].text}, {dtype})")

    # Parts of expressions

    def _called(self, function: Any, texts: Sequence[str]) -> Text:
        return Text(f"{self.function(function)}({', '.join(texts)})")


def _keywords(speller: Speller, named: dict[str, Any], args: Sequence[Text]) -> list[str]:
    return [f"{key}={speller.literal(value, args)}" for key, value in named.items()]


def _operator(function: Any, args: Sequence[Text]) -> Text | None:
    """Return `function` of `args` with an operator, where there is one."""
    try:
        if len(args) == 2 and function in BINARY:
            sign, level = BINARY[function]
            # Comparisons do not chain, and a power binds from the right.
            left = level + (level in (COMPARED, POWER))
            right = level + (level != POWER)
            return Text(f"{args[0].within(left)} {sign} {args[1].within(right)}", level)
        if len(args) == 1 and function in UNARY:
            return Text(f"{UNARY[function]}{args[0].within(SIGN)}", SIGN)
    except TypeError:  # not hashable
        pass
    return None
