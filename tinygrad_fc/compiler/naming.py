"""What the values of a program are called.

Layers are numbered from 1. What is computed by formula (3) is z1, z2, ..., by (2) y1, y2, ..., and
the gradient of (12) d1, d2, ...
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.layers import cited, found_layers
from tinygrad_fc.compiler.program import (
    Argument,
    Gradient,
    Held,
    Leave,
    Option,
    Random,
    State,
    results,
)

if TYPE_CHECKING:
    from tinygrad_fc.compiler.layers import Layer
    from tinygrad_fc.compiler.program import Program


CALLED = (
    *("np", "math", "operator", "scipy", "tinygrad_fc", "Unfit", "range", "enumerate", "len"),
    *("slice", "bool", "int", "float", "complex", "abs", "round", "divmod", "pow", "max", "min"),
)
"""Names that the source itself may speak of, and that no variable may hide."""
TINY = 1e-4
"""Up to what a number that is added is called eps."""


@dataclass
class Names:
    """The variables of the values that have one in any case, and the formulas of values."""

    variables: dict[int, str] = field(default_factory=dict)
    formulas: dict[int, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: set(CALLED))

    def give(self, number: int | None, name: str) -> None:
        """Call a value `name`, or something like it if that is taken; the first one stays."""
        if number is not None and number not in self.variables:
            self.variables[number] = self.fresh(name)

    def fresh(self, name: str) -> str:
        """Return `name` as a variable that is not taken yet, and take it."""
        name = identifier(name)
        # t1 is followed by t2, but weight_1 not by weight_2.
        stem, k = (name[:-1], 1) if re.fullmatch(r"[a-z]1", name) else (f"{name}_", 1)
        found = name
        while found in self.taken:
            k += 1
            found = f"{stem}{k}"
        self.taken.add(found)
        return found


def identifier(name: str) -> str:
    """Return a qualified name such as `0.weight` as a variable, `weight_0`."""
    parts = [re.sub(r"\W", "_", part) for part in re.split(r"[.\[\]]+", name) if part]
    if parts and parts[0][0].isdigit():
        parts = [*(p for p in parts if not p[0].isdigit()), *(p for p in parts if p[0].isdigit())]
    found = "_".join(parts) or "value"
    if found[0].isdigit():
        found = f"value_{found}"
    return f"{found}_" if keyword.iskeyword(found) else found


def named(program: Program) -> Names:
    """Return what to call the values of `program` that deserve a name."""
    names = Names()
    layers = found_layers(program)
    _name_inputs(program, names)
    for k, layer in enumerate(layers, 1):
        names.give(layer.z, f"z{k}")
        names.give(layer.y, f"y{k}")
        names.give(layer.d, f"d{k}")
        _name_gradients(layer, names)
    for w in program.writes:
        if isinstance(w, Leave):
            of = _input_at(program, w.of)
            if of is not None and w.number not in program.inputs:
                names.give(w.number, f"{names.variables[of]}_grad")
    _name_results_of_calls(program, names)
    rest = [*program.names.items(), *((leaf.number, "result") for leaf in results(program.result))]
    for n, name in rest:
        if n not in program.constants:
            names.give(n, name)
    losses = {n for n, name in names.variables.items() if name == "loss"}
    names.formulas = cited(program, layers, losses)
    return names


def _name_results_of_calls(program: Program, names: Names) -> None:
    """Name what forward functions return by their rows: `loss`, `softmax`, ..."""
    last = {s.place.call: s for s in program.instructions if s.place and s.place.rule < 0}
    for step in last.values():
        row = step.place.row if step.place else ""
        lossy = any(word in row for word in ("loss", "entropy", "error"))
        if lossy and program.values[step.out].shape == ():
            names.give(step.out, "loss")
    for step in program.instructions:
        if step.place is not None and step.place.row == "mse_loss" and step.function is np.subtract:
            names.give(step.out, "error")


def _input_at(program: Program, source: Any) -> int | None:
    """Return the number of the input that is read from `source`; by identity, as tensors go."""
    for n, there in program.inputs.items():
        if same_source(there, source):
            return n
    return None


def same_source(a: Any, b: Any) -> bool:
    """Tell whether two sources are the same, without comparing tensors."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same_source, a, b))
    return a is b or (isinstance(a, str | int) and a == b)


def _name_inputs(program: Program, names: Names) -> None:
    for n, source in program.inputs.items():
        names.give(n, program.names.get(n) or _called(program, source))


def _called(program: Program, source: Any) -> str:
    """Return a name for what is read from `source`."""
    match source:
        case Argument(index):
            return f"arg{index}"
        case State(_, tensor, key):
            return f"{_tensor(program, tensor)}_{key}"
        case Option(_, group, key, item):
            return (
                key + (f"{item + 1}" if item is not None else "") + (f"_{group}" if group else "")
            )
        case Random():
            return "rng"
        case Gradient(of):
            return f"{_tensor(program, of)}_grad"
    return "tensor"


def _tensor(program: Program, tensor: Any) -> str:
    """Return the name of a tensor, or of the one that is found at a source."""
    for n, source in program.inputs.items():
        if same_source(source, tensor) or (isinstance(source, Held) and source.tensor is tensor):
            return program.names.get(n) or "tensor"
    return "tensor"


def _name_gradients(layer: Layer, names: Names) -> None:
    weight = names.variables.get(layer.weight)
    if weight is not None:
        names.give(layer.weight_grad, f"{weight}_grad")


# What has no name of its own


def of_number(text: str) -> str:
    """Return what to call the array that holds a number: `text` is the expression of that.

    >>> of_number("lr * n3 / (1 - betas_1 ** n2)"), of_number("1 - betas_1"), of_number("eps * n3")
    ('rate', 'one_minus_betas_1', 'eps_array')
    >>> of_number("1 - lr * weight_decay"), of_number("1 - n1"), of_number("1e-05")
    ('value', 'value', 'value')
    """
    words = [word for word in re.findall(r"\b[^\W\d]\w*", text) if not re.fullmatch(r"n\d+", word)]
    if "lr" in words and not text.startswith("1 - "):
        return "rate"
    if text == f"1 - {words[-1] if words else ''}":
        return f"one_minus_{words[-1]}"
    return f"{words[0]}_array" if len(set(words)) == 1 else "value"


def of_constant(array: Any, function: Any) -> str:
    """Return what to call a constant that `function` reads.

    >>> of_constant(np.array(1e-5), np.add), of_constant(np.array(0.5), np.multiply)
    ('eps', 'half')
    """
    if array.ndim == 0:
        known = {1: "one", 2: "two", 0: "zero", 0.5: "half", -1: "minus_one"}
        tiny = function is np.add and 0 < array.item() <= TINY
        return "eps" if tiny else known.get(array.item(), "scale")
    if array.ndim == 1 and array.dtype.kind == "i" and (array == np.arange(array.size)).all():
        return "rows"
    if array.size and (array == 1).all():
        return "ones"
    return "constant" if array.any() else "zeros"
