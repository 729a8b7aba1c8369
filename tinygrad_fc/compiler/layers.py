"""The layers of a network in a program, and which formulas of the document their lines are.

A layer is a call of the row `linear`, and layers are in the order of the calls. Where the
document's derivation is what a layer's lines do, they cite it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_fc.compiler.layout import elementwise
from tinygrad_fc.compiler.program import VIEWS

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Instruction, Program

PRODUCTS = (np.matmul, np.dot)


@dataclass
class Layer:
    """A layer's values, by number; None for what the program does not have."""

    call: int
    weight: int
    z: int
    y: int | None = None
    activation: int | None = None
    d: int | None = None
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
            _find_activation(program, calls, layer)
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
    layer = Layer(call, weight, z)
    if rest:
        layer.y, layer.activation = rest[-1].out, call
    return layer


def base(made: dict[int, Instruction], number: int) -> int:
    """Return the value that `number` is a view of, or itself."""
    while number in made and made[number].kind in VIEWS:
        number = made[number].args[0]
    return number


def _find_activation(program: Program, calls: dict[int, list[Instruction]], layer: Layer) -> None:
    """Note what call makes y of the z of `layer`, element by element, and of nothing else."""
    shape = program.values[layer.z].shape
    for call, steps in calls.items():
        forward = [s for s in steps if s.place is not None and s.place.rule < 0]
        inside = {s.out for s in forward}
        reads = {n for s in forward for n in s.args} - inside - set(program.constants)
        alone = reads == {layer.z} and all(elementwise(s) for s in forward)
        if alone and program.values[forward[-1].out].shape == shape:
            layer.y, layer.activation = forward[-1].out, call
            return


def _find_gradients(program: Program, made: dict[int, Instruction], layer: Layer) -> None:
    for step in program.instructions:
        place = step.place
        if place is None or place.call != layer.call or "linear" not in place.row:
            continue
        if place.rule == 0 and step.function in PRODUCTS:
            layer.d = base(made, step.args[0])
        elif place.rule == 1 and step.function in PRODUCTS:
            layer.d = base(made, step.args[0])
            layer.weight_grad = step.out
        elif place.rule == 2 and (step.kind == "reduce" or step.function in PRODUCTS):
            layer.d = base(made, step.args[-1])
            layer.bias_grad = step.out


# Formulas


def cited(program: Program, layers: list[Layer], losses: set[int]) -> dict[int, str]:
    """Return the formulas of values; `losses` are the numbers of what is minimised."""
    made = {s.out: s for s in program.instructions}
    found: dict[int, str] = {}
    for layer in layers:
        found[layer.z] = "(3)"
        if layer.y is not None:
            found[layer.y] = "(2)"
    places = {n: made[n].place for n in losses if n in made}
    found |= {n: "(5), (6)" for n, place in places.items() if place and place.row == "mse_loss"}
    loss_calls: set[int | None] = {place.call for place in places.values() if place}
    chain = [layer for layer in layers if layer.d is not None]
    for k, layer in enumerate(chain):
        last = k == len(chain) - 1
        calls = loss_calls if last else {chain[k + 1].call}
        stop: set[int | None] = set() if last else {chain[k + 1].d}
        if layer.d is None or not _follows(made, layer.d, {*calls, layer.activation}, stop):
            continue
        formulas = ("(13)", "(14)", "(17)") if last else ("(36)", "(37)", "(38)")
        parts = (layer.d, layer.weight_grad, layer.bias_grad)
        for number, formula in zip(parts, formulas, strict=True):
            if number is not None:
                found.setdefault(number, formula)
    return found


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
