"""The layers of a network in a program, and which formulas of the document their lines are.

A layer is a call of the row `linear`, and layers are in the order of the calls. Where the
document's derivation is what a layer's lines do, they cite it.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.layout import elementwise
from tinygrad_fc.compiler.program import VIEWS

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Instruction, Program

PRODUCTS = (np.matmul, np.dot)
ACTIVATIONS = frozenset(
    (
        *("sigmoid", "tanh", "relu", "leaky_relu", "elu", "hardtanh"),
        *("gelu", "silu", "mish", "softplus", "logsigmoid"),
    )
)
"""Rows that are activations wherever they stand; others are where a layer reads their result."""


@dataclass
class Layer:
    """A layer's values, by number; None for what the program does not have."""

    call: int
    weight: int
    x: int
    z: int
    y: int | None = None
    activation: int | None = None
    d: int | None = None
    several: bool = False
    """Whether z has several gradients, as it has where derivatives of derivatives are taken."""
    weight_grad: int | None = None
    bias_grad: int | None = None


def found_layers(program: Program) -> list[Layer]:
    """Return the layers of `program`, first to last."""
    calls: dict[int, list[Instruction]] = {}
    for step in program.instructions:
        if step.place is not None:
            calls.setdefault(step.place.call, []).append(step)
    layers = []
    for call, steps in calls.items():
        forward = [s for s in steps if s.place is not None and s.place.rule < 0]
        layer = _layer(program, call, forward)
        if layer is not None:
            layers.append(layer)
    by_call = {layer.call: layer for layer in layers}
    made = {s.out: s for s in program.instructions}
    for layer in layers:
        if layer.y is None:
            _find_activation(program, calls, layer, {other.x for other in layers})
        _find_gradients(program, made, layer)
    return [by_call[call] for call in sorted(by_call)]


def _layer(program: Program, call: int, forward: list[Instruction]) -> Layer | None:
    """Return the layer whose forward function did `forward`; None where it is none."""
    if not forward or forward[0].place is None or "linear" not in forward[0].place.row:
        return None
    made = {s.out: s for s in program.instructions}
    product = next((s for s in forward if s.function in PRODUCTS), None)
    if product is None:
        return None
    weight = base(made, product.args[1])
    z, rest = product.out, forward[forward.index(product) + 1 :]
    if rest and rest[0].function is np.add and z in rest[0].args:
        z, rest = rest[0].out, rest[1:]
    layer = Layer(call, weight, base(made, product.args[0]), z)
    if rest:
        layer.y, layer.activation = rest[-1].out, call
    return layer


def base(made: dict[int, Instruction], number: int) -> int:
    """Return the value that `number` is a view of, or itself."""
    while number in made and made[number].kind in VIEWS:
        number = made[number].args[0]
    return number


def _find_activation(
    program: Program, calls: dict[int, list[Instruction]], layer: Layer, inputs: set[int]
) -> None:
    """Note what call makes y of the z of `layer`, and of nothing else.

    `inputs` are the values that layers read.
    """
    shape = program.values[layer.z].shape
    for call, steps in calls.items():
        forward = [s for s in steps if s.place is not None and s.place.rule < 0]
        inside = {s.out for s in forward}
        reads = {n for s in forward for n in s.args} - inside - set(program.constants)
        if reads != {layer.z} or program.values[forward[-1].out].shape != shape:
            continue
        y, place = forward[-1].out, forward[-1].place
        known = place is not None and place.row in ACTIVATIONS
        if known or (y in inputs and all(map(elementwise, forward))):
            layer.y, layer.activation = y, call
            return


def _find_gradients(program: Program, made: dict[int, Instruction], layer: Layer) -> None:
    found: set[int] = set()
    for step in program.instructions:
        place = step.place
        if place is None or place.call != layer.call or "linear" not in place.row:
            continue
        product = step.function in PRODUCTS
        if place.rule in (0, 1) and product:
            layer.d = base(made, step.args[0])
        elif place.rule == 2 and (product or step.kind == "reduce"):
            layer.d = base(made, step.args[-1])
        else:
            continue
        found.add(layer.d)
        if place.rule == 1:
            layer.weight_grad = step.out
        elif place.rule == 2:
            layer.bias_grad = step.out
    layer.several = len(found) > 1


# Formulas


def cited(program: Program, layers: list[Layer], losses: set[int]) -> dict[int, str]:
    """Return the formulas of values; `losses` are the numbers of what is minimised."""
    made = {s.out: s for s in program.instructions}
    found: dict[int, str] = {}
    for layer in layers:
        found[layer.z] = "(3)"
        if layer.y is not None:
            found[layer.y] = "(2)"
    costs = (n for n in losses if _is_mean_over_batch(program, n, made, layers))
    found |= dict.fromkeys(costs, "(5), (6)")
    chain = [layer for layer in layers if layer.d is not None]
    not_cost = {layer.call for layer in chain}
    not_cost |= {s.place.call for s in made.values() if s.place and "norm" in s.place.row}
    cost = {s.place.call for s in made.values() if s.place} - not_cost
    for layer in chain:
        if layer.d is None or layer.several:
            continue
        above = _above(program, layer, chain)
        formulas = ("(36)", "(37)", "(38)") if above else ("(13)", "(14)", "(17)")
        calls = {above[0].call, layer.activation} if above else {*cost, layer.activation}
        follows = len(above) < 2 and _follows(made, layer.d, calls, {a.d for a in above})
        parts = (layer.d if follows else None, layer.weight_grad, layer.bias_grad)
        for number, formula in zip(parts, formulas, strict=True):
            if number is not None:
                found.setdefault(number, formula)
    return found


def _is_mean_over_batch(
    program: Program, number: int, made: dict[int, Instruction], layers: list[Layer]
) -> bool:
    """Tell whether a value is the sum of squares of all outputs, as a mean over the samples."""
    step = made.get(number)
    if step is None or step.place is None or step.place.row != "mse_loss":
        return False
    by: Any = 1
    if step.function in (np.true_divide, operator.truediv):
        by, step = program.constants.get(step.args[1]), made.get(step.args[0])
    if step is None or step.function is not np.vdot or by is None:
        return False
    error = made.get(step.args[0])
    outputs = {n for layer in layers for n in (layer.y, layer.z)}
    if error is None or outputs.isdisjoint(error.args):  # what is taken of them may be turned
        return False
    samples = (program.values[error.out].shape or ())[:-1]
    return bool(by == math.prod(samples))


def _above(program: Program, layer: Layer, layers: list[Layer]) -> list[Layer]:
    """Return the layers that read what comes of `layer`, with no layer between."""
    reached = {layer.z, layer.y}
    calls = {other.call for other in layers}
    for step in program.instructions:
        forward = step.place is None or (step.place.rule < 0 and step.place.call not in calls)
        if forward and reached.intersection(step.args):
            reached.add(step.out)
    return [other for other in layers if other.x in reached and other is not layer]


def _follows(
    made: dict[int, Instruction], number: int, calls: set[int | None], stop: set[int | None]
) -> bool:
    """Tell whether `number` is made of rules of `calls` alone, from forward values and `stop`."""
    todo = [number]
    while todo:
        n = todo.pop()
        if n in stop or n not in made:
            continue
        place = made[n].place
        if place is not None and place.rule < 0:
            continue
        if place is not None and place.call not in calls:
            return False
        todo += made[n].args
    return True
