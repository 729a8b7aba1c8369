"""Which formulas of the document, numbered (1) to (38), an op of a network carries out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinygrad_fc.compiler.naming import FORMULAS

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
            numbers[node.number, 0] = FORMULAS["mse_loss", 0]
        elif node in linear:
            for i in range(3):
                cited = FORMULAS["linear", i]
                numbers[node.number, i] = cited[:1] if node is last else cited[-1:]
        elif node.name in ACTIVATIONS:
            source, (output, hidden) = node.inputs[0], FORMULAS["activation", 0]
            readers = [reader for reader in nodes if node.number in reader.inputs]
            if source is None or nodes[source] not in linear or len(readers) != 1:
                continue
            if nodes[source] is not last and readers[0] in linear:
                numbers[node.number, 0] = (hidden,)
            elif nodes[source] is last and readers[0].name == "mse_loss":
                numbers[node.number, 0] = (output,)
    return numbers
