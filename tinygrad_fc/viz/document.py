"""Which formulas of the document, numbered (1) to (38), an op of a network carries out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.viz.graph import Node

__all__ = ["formula_numbers"]

ACTIVATIONS = {"sigmoid", "tanh", "relu"}


def formula_numbers(nodes: Sequence[Node]) -> dict[tuple[int, int], tuple[int, ...]]:
    """Return the formulas of vjp rules, by the numbers of a node and of its argument.

    A network of the document is a chain of linear ops with activations that ends in mse_loss:
    (8) for the loss, (13) and (36) for activations, (14), (17), (37), (38) for parameters, (33)
    for the input of a layer. Other ops have none, nor has an activation that anything but the next
    layer, or another loss, reads.
    """
    numbers: dict[tuple[int, int], tuple[int, ...]] = {}
    linear = [node for node in nodes if node.name == "linear" and len(node.arguments) == 3]
    if not linear:
        return numbers
    last = linear[-1]
    for node in nodes:
        if node.name == "mse_loss":
            numbers[node.number, 0] = (8,)
        elif node in linear:
            output = node is last
            numbers[node.number, 0] = (33,)
            numbers[node.number, 1] = (14,) if output else (37,)
            numbers[node.number, 2] = (17,) if output else (38,)
        elif node.name in ACTIVATIONS:
            source = node.inputs[0]
            if source is None or nodes[source] not in linear:
                continue
            if nodes[source] is not last:
                readers = [reader for reader in nodes if node.number in reader.inputs]
                if len(readers) == 1 and readers[0] in linear:
                    numbers[node.number, 0] = (36,)
            elif nodes[-1].name == "mse_loss" and nodes[-1].inputs[0] == node.number:
                numbers[node.number, 0] = (13,)
    return numbers
