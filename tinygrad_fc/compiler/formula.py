"""Formulas of ops: a forward function or vjp rule, traced and printed as one expression."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.instructions import entry_of
from tinygrad_fc.compiler.ir import Value
from tinygrad_fc.compiler.numpy_printer import Expressions, plain
from tinygrad_fc.compiler.tracer import TraceBuilder, Tracer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinygrad_fc.core.op import Op

LONGEST = 200
"""Characters of a formula of a forward function."""


class FormulaPrinter(Expressions):
    """Writes values as expressions over those that have `names`, or numbers, by id."""

    def __init__(self, names: Mapping[int, Any], shapes: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.names = dict(names)
        self._shapes = shapes or {}

    def formula(self, tree: Any) -> str:
        """Return the formula of a value, or of a tree of them."""
        return "".join(map(str, self.parts(tree)))

    def parts(self, tree: Any) -> list[Any]:
        """Return the formula as texts of Python and, in odd places, the names of values."""
        text = self.text(tree)
        text = plain(text) if len(text) < 100 * LONGEST else text  # none so long is shown
        texts = re.split(r"value_(\d+)", text)
        return [self.names[int(part)] if k % 2 else part for k, part in enumerate(texts)]

    def text(self, leaf: Any) -> str:
        """Return how to write an argument; a shape of an argument by its name."""
        if isinstance(leaf, Value) and id(leaf) in self.names:
            return f"value_{id(leaf)}"  # as names need not be Python
        if isinstance(leaf, Value) and not leaf.is_constant and id(leaf) not in self.texts:
            self.texts[id(leaf)] = self.expression(leaf)
        if isinstance(leaf, tuple) and leaf and str(leaf) in self._shapes:
            return self._shapes[str(leaf)]
        if type(leaf) is float and np.isfinite(leaf):
            return f"({leaf:.12g})"
        return super().text(leaf)

    def constant(self, value: Value) -> str:
        """Return a constant as a number or a list."""
        return super().constant(value) if value.shape else self.text(value.sample.item())

    def form(self, value: Value) -> str:
        """Return the form of a call, `x @ y` and `x.sum(axis=0)` for what is faster to run."""
        function, entry = value.function, entry_of(value.function)
        if function in (np.dot, np.matmul) and all(x.shape for x in value.args):
            x = value.args[0]
            is_sum = x.is_constant and len(x.shape) == 1 and bool(np.all(x.sample == 1))
            return "{1}.sum(axis=0)" if is_sum else "{0} @ {1}"
        if entry.lowered == "reduce":
            options = ({"axis": 0} | value.kwargs).items()
            named = [f"{key}={x}" for key, x in options if x is not None and x is not False]
            return f"{{0}}.{entry.js}({', '.join(named)})"
        return super().form(value)

    def function_name(self, function: Any) -> str:
        """Return the name of a function or op."""
        return str(function.name) if hasattr(function, "rules") else super().function_name(function)


def function_text(function: Any, arguments: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return the text of `function`, traced with arrays of these names; others are themselves."""
    builder = TraceBuilder()
    arrays = ((name, x) for name, x in arguments.items() if isinstance(x, np.ndarray))
    values = {name: builder.input(name, x) for name, x in arrays}
    names = {id(value): name for name, value in values.items()}
    shapes = {str(value.shape): f"{name}.shape" for name, value in reversed(values.items())}
    tracers = {name: Tracer(builder, value) for name, value in values.items()}
    with np.errstate(all="ignore"):
        result = builder.values(function(*{**arguments, **tracers}.values(), **settings))
    return FormulaPrinter(names, shapes).formula(result)


def rule_text(
    op: Op, i: int, names: Sequence[str], arguments: Sequence[Any], settings: Mapping[str, Any]
) -> str:
    """Return the source of vjp rule `i` of `op`, traced with arguments of these names and values.

    The cotangent is `g`, and the result is `y`, or `out` where an argument has that name.

    >>> import tinygrad_fc as tg
    >>> rule_text(tg.tanh, 0, ["x"], [np.array([0.5])], {})
    'g * (1 - y * y)'
    """
    rules: Any = op.rules
    with np.errstate(all="ignore"):
        out = np.asarray(op.forward(*arguments, **settings))
    known = dict(zip(names, arguments, strict=True))
    known |= {"out" if "y" in names else "y": out, "g": np.ones_like(out)}
    return function_text(lambda *x, **kw: rules[i](*x[:-3:-1], *x[:-2], **kw), known, settings)


def forward_text(
    op: Op, names: Sequence[str], arguments: Sequence[Any], settings: Mapping[str, Any]
) -> str:
    """Return the source of the result of `op`, traced with such arguments.

    >>> from tinygrad_fc.ops.linalg import linear
    >>> arrays = [np.ones((4, 3)), np.ones((2, 3)), np.ones(2)]
    >>> forward_text(linear, ["x", "weight", "bias"], arrays, {})
    'x @ weight.T + bias'
    """
    known = dict(zip(names, arguments, strict=True))
    forward = op.function if isinstance(op.function, np.ufunc) and not settings else op.forward
    try:
        text = function_text(forward, known, settings)
    except Exception:  # noqa: BLE001  functions that change or read more than a formula says
        text = ""
    if 0 < len(text) <= LONGEST and re.search(rf"\b({'|'.join(names)})\b", text):
        return text
    printer = FormulaPrinter({})
    parts = [name if isinstance(x, np.ndarray) else printer.formula(x) for name, x in known.items()]
    parts += [f"{key}={printer.formula(x)}" for key, x in settings.items()]
    return f"{op.name}({', '.join(parts)})"  # of a long formula the call says more
