"""Boxes for a graph: modules folded, rows of text, positions.

The boxes stand below each other in the order of execution, which is also that of a program, and
backwards that of the backward pass. An edge that skips boxes is an arc at their right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.core.printing import number_text, shape_text
from tinygrad_fc.viz.computation_graph import ModuleCall, magnitude_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinygrad_fc.viz.computation_graph import Graph, Leaf, OpNode

__all__ = ["BOX_WIDTH", "Box", "Layout", "fold"]

BOX_WIDTH = 276
ROW_HEIGHT = 17
PADDING = 7
GAP = 40
MOST_BOXES = 1000
"""Boxes that are drawn at most."""


@dataclass
class Box:
    """What is drawn as one box: an op, or a folded module call with several."""

    number: int
    title: str
    shape: str
    rows: list[tuple[str, str, bool]]
    """Text at the left, text at the right, and whether it names a parameter."""
    nodes: list[OpNode] = field(default_factory=list)
    path: str = ""
    has_gradient: bool = True
    y: int = 0

    @property
    def height(self) -> int:
        """Its height for the rows that it has."""
        return ROW_HEIGHT * (1 + len(self.rows)) + 2 * PADDING


class Layout:
    """Boxes with positions, and the edges between them, from a box to a later one."""

    def __init__(self, boxes: list[Box], edges: Iterable[tuple[int, int]]) -> None:
        self.boxes, self.edges, self.height = boxes, list(edges), GAP
        for box in boxes:
            box.y = self.height
            self.height += box.height + GAP

    def reach(self, source: int, target: int) -> int:
        """Return how far the arc of an edge bends to the right: the farther, the more it skips."""
        return min(20 + 14 * (target - source), 300)

    @property
    def width(self) -> float:
        """The width of the boxes, and of the arcs at their right."""
        arcs = (self.reach(*edge) for edge in self.edges if edge[1] - edge[0] > 1)
        return BOX_WIDTH + max(arcs, default=0)


def fold(graph: Graph, depth: int | None = None) -> Layout:
    """Lay out a box for each op, or for each module call at `depth` below the model.

    `depth=0` is one box for each call of the model itself, `depth=1` one for each of its children,
    None folds nothing. Raises `GraphError` above 1,000 boxes.
    """
    groups: dict[ModuleCall | OpNode, list[OpNode]] = {}
    for node in graph.nodes:
        folded = depth is not None and len(node.calls) > depth
        groups.setdefault(node.calls[depth or 0] if folded else node, []).append(node)
    if len(groups) > MOST_BOXES:
        raise GraphError(
            f"the graph has {len(groups)} boxes; at most {MOST_BOXES} are drawn. Fold modules with "
            "draw(loss, depth=1) or depth=0 on a graph computed under viz.record(model), or print "
            "graph(loss)."
        )
    boxes = [_box(number, key, nodes) for number, (key, nodes) in enumerate(groups.items())]
    box_of = {node.number: box.number for box in boxes for node in box.nodes}
    edges = dict.fromkeys((box_of[source], box_of[target]) for source, target in graph.edges)
    return Layout(boxes, [(source, target) for source, target in edges if source != target])


def _box(number: int, key: ModuleCall | OpNode, nodes: list[OpNode]) -> Box:
    last = nodes[-1]
    title = f"{key.kind} {key.path}".strip() if isinstance(key, ModuleCall) else last.name
    value, gradient = magnitude_text(last.value), magnitude_text(last.gradient)
    rows = [(f"value {value}", f"grad {gradient}", False)]
    leaves = dict.fromkeys(tuple(_leaf_rows(leaf)) for node in nodes for leaf in node.leaves)
    rows += [row for leaf in leaves for row in leaf]  # a leaf that is read twice stands there once
    has_gradient = any(node.gradient is not None for node in nodes)
    return Box(number, title, shape_text(last.shape), rows, nodes, key.path, has_gradient)


def _leaf_rows(leaf: Leaf) -> list[tuple[str, str, bool]]:
    """Return the lines of an argument; of data only the shape, or the number itself."""
    mark = "◆" if leaf.requires_grad else "◇"
    if not leaf.requires_grad and leaf.value.ndim == 0:
        return [(f"{mark} {leaf.name}", f"= {number_text(leaf.value)}", False)]
    rows = [(f"{mark} {leaf.name}", shape_text(leaf.value.shape), leaf.requires_grad)]
    if leaf.requires_grad:
        value, gradient = magnitude_text(leaf.value), magnitude_text(leaf.gradient)
        rows.append((f"  value {value}", f"grad {gradient}", False))
    return rows
