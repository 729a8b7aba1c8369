"""Boxes for a graph: modules folded, rows of text, positions."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from tinygrad_fc.errors import ShapeError
from tinygrad_fc.viz.graph import Call, magnitude_text, number_text, shape_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinygrad_fc.viz.graph import Graph, Leaf, Node

__all__ = ["BOX_WIDTH", "Box", "Layout", "arrange", "fold"]

BOX_WIDTH = 276
ROW_HEIGHT = 17
PADDING = 7
GAP_X, GAP_Y = 28, 40
LARGEST = 1000
"""Boxes that are drawn at most."""


@dataclass
class Box:
    """What is drawn as one box: an op, or a folded module call with several."""

    number: int
    title: str
    shape: str
    rows: list[tuple[str, str, bool]]
    """Text at the left, text at the right, and whether it names a parameter."""
    nodes: list[Node] = field(default_factory=list)
    path: str = ""
    has_gradient: bool = True
    x: float = 0
    y: float = 0

    @property
    def height(self) -> int:
        """Its height for the rows that it has."""
        return ROW_HEIGHT * (1 + len(self.rows)) + 2 * PADDING

    @property
    def description(self) -> str:
        """What a screen reader says, and what a pointer shows."""
        nodes = ", ".join(node.name for node in self.nodes)
        where = f" in {self.path}" if self.path else ""
        return f"{self.title}{where}, {self.shape}" + (f": {nodes}" if len(self.nodes) > 1 else "")


@dataclass
class Layout:
    """Boxes with positions, and the polylines of the edges between them."""

    boxes: list[Box]
    routes: dict[tuple[int, int], list[tuple[float, float]]] = field(default_factory=dict)
    width: float = 0
    height: float = 0


def fold(graph: Graph, depth: int | None = None) -> Layout:
    """Return a box for each op, or for each module call at `depth` below the model.

    `depth=0` is one box for each call of the model itself, `depth=1` one for each of its children,
    None none. Raises `ShapeError` above 1,000 boxes.
    """
    groups: dict[Call | Node, list[Node]] = {}
    for node in graph.nodes:
        folded = depth is not None and len(node.calls) > depth
        groups.setdefault(node.calls[depth or 0] if folded else node, []).append(node)
    if len(groups) > LARGEST:
        raise ShapeError(
            f"the graph has {len(groups)} boxes; at most {LARGEST} are drawn. Fold modules with "
            "draw(loss, depth=1) or depth=0 on a graph computed under viz.record(model), or use "
            "tree(loss)."
        )
    boxes = [_box(number, key, nodes) for number, (key, nodes) in enumerate(groups.items())]
    layout = Layout(boxes)
    box_of = {node.number: box.number for box in boxes for node in box.nodes}
    for source, target in graph.edges:
        edge = (box_of[source], box_of[target])
        if edge[0] != edge[1]:
            layout.routes[edge] = []
    return layout


def _box(number: int, key: Call | Node, nodes: list[Node]) -> Box:
    last = nodes[-1]
    title = f"{key.kind} {key.path}".strip() if isinstance(key, Call) else last.name
    value, gradient = magnitude_text(last.value), magnitude_text(last.gradient)
    rows = [(f"value {value}", f"grad {gradient}", False)]
    leaves = dict.fromkeys(tuple(_leaf_rows(leaf)) for node in nodes for leaf in node.leaves)
    rows += [row for leaf in leaves for row in leaf]  # a leaf that is read twice stands there once
    has_gradient = any(node.gradient is not None for node in nodes)
    return Box(number, title, shape_text(last.shape), rows, nodes, key.path, has_gradient)


def _leaf_rows(leaf: Leaf) -> list[tuple[str, str, bool]]:
    """Return the lines of an argument; of data only the shape, or the number itself."""
    if leaf.value.dtype == object:  # an argument that is None
        return []
    mark = "◆" if leaf.requires_grad else "◇"
    if not leaf.requires_grad and leaf.value.ndim == 0:
        return [(f"{mark} {leaf.name}", f"= {number_text(leaf.value)}", False)]
    rows = [(f"{mark} {leaf.name}", shape_text(leaf.value.shape), leaf.requires_grad)]
    if leaf.requires_grad:
        value, gradient = magnitude_text(leaf.value), magnitude_text(leaf.gradient)
        rows.append((f"  value {value}", f"grad {gradient}", False))
    return rows


def arrange(layout: Layout) -> Layout:
    """Set the positions: a column where the graph is a chain, else layers by `fast-sugiyama`.

    The library takes no box sizes, so that every box has one width, and a layer is as high as its
    highest box. Raises `ImportError`, which names the extra `viz`, where it is missing.
    """
    boxes = layout.boxes
    chain = [(box.number, after.number) for box, after in pairwise(boxes)]
    if list(layout.routes) == chain:
        columns = {box.number: (0.0, -float(box.number)) for box in boxes}
        bends: dict[tuple[int, int], list[int]] = {}
    else:
        columns, bends = _layers(layout)
    _place(layout, columns, bends)
    return layout


def _layers(
    layout: Layout,
) -> tuple[dict[int, tuple[float, float]], dict[tuple[int, int], list[int]]]:
    """Return the position of boxes and of bends, and the bends that each edge passes."""
    try:
        from fast_sugiyama import from_edges  # noqa: PLC0415  an optional dependency
    except ImportError as error:
        raise ImportError(
            "drawing a graph with branches needs fast-sugiyama: pip install 'tinygrad-fc[viz]'"
        ) from error
    count = len(layout.boxes)
    ((points, _, _, edges),) = from_edges(
        list(layout.routes), vertex_spacing=BOX_WIDTH + GAP_X, check_layout=False
    ).to_list()
    columns = {int(n): (float(x), float(y)) for n, (x, y) in points}
    after: dict[int, list[int]] = {}
    for source, target in edges or ():
        after.setdefault(int(source), []).append(int(target))
    bends = {}
    for source, target in layout.routes:
        bends[source, target] = _through(source, target, after, count)
    return columns, bends


def _through(source: int, target: int, after: dict[int, list[int]], count: int) -> list[int]:
    """Return the bends on the way from one box to another: a path of numbers beyond the boxes."""
    for first in after.get(source, ()):
        path, at = [], first
        while at >= count:
            path.append(at)
            at = after[at][0]
        if at == target:
            return path
    return []


def _place(
    layout: Layout,
    columns: dict[int, tuple[float, float]],
    bends: dict[tuple[int, int], list[int]],
) -> None:
    """Turn columns and ranks into coordinates, each rank as high as its highest box."""
    left = min(x for x, _ in columns.values())
    ranks: dict[float, int] = {}
    for box in layout.boxes:
        rank = columns[box.number][1]
        ranks[rank] = max(ranks.get(rank, 0), box.height)
    top: dict[float, float] = {}
    y: float = GAP_Y
    for rank in sorted(ranks, reverse=True):
        top[rank] = y
        y += ranks[rank] + GAP_Y
    for box in layout.boxes:
        x, rank = columns[box.number]
        box.x, box.y = x - left, top[rank]
    for source, target in layout.routes:
        path = bends.get((source, target), ())
        layout.routes[source, target] = [
            (x - left + BOX_WIDTH / 2, top[rank] + side * ranks[rank])
            for x, rank in (columns[bend] for bend in path)
            for side in (0, 1)
        ]
    layout.width = max(x for x, _ in columns.values()) - left + BOX_WIDTH
    layout.height = y


def ends(layout: Layout, source: int, target: int) -> Sequence[tuple[float, float]]:
    """Return the points of the edge from one box to another, from top to bottom."""
    start, end = layout.boxes[source], layout.boxes[target]
    # Edges that share a box lie side by side there, in the order of where they lead.
    leaving = sorted((_toward(layout, e, 0), e[1]) for e in layout.routes if e[0] == source)
    entering = sorted((_toward(layout, e, -1), e[0]) for e in layout.routes if e[1] == target)
    out = (1 + [number for _, number in leaving].index(target)) / (1 + len(leaving))
    into = (1 + [number for _, number in entering].index(source)) / (1 + len(entering))
    return [
        (start.x + BOX_WIDTH * out, start.y + start.height),
        *layout.routes[source, target],
        (end.x + BOX_WIDTH * into, end.y),
    ]


def _toward(layout: Layout, edge: tuple[int, int], end: int) -> float:
    """Return the column of the point of `edge` next to its first box (0) or last box (-1)."""
    route = layout.routes[edge]
    return route[end][0] if route else layout.boxes[edge[1 if end == 0 else 0]].x + BOX_WIDTH / 2
