"""SVG of a graph: values flow down, gradients up, parameters are lines inside boxes.

The boxes stand below each other in the order of execution, which is also that of a program, and
backwards that of the backward pass. An edge that skips boxes is an arc at their right.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.core.printing import number_text, shape_text
from tinygrad_fc.viz.computation_graph import graph, magnitude_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from tinygrad_fc.tensors import Tensor
    from tinygrad_fc.viz.computation_graph import Graph, Leaf, OpNode

__all__ = ["Box", "Layout", "Picture", "draw", "layout", "svg"]

BOX_WIDTH, ROW_HEIGHT, PADDING, GAP, MARGIN = 276, 17, 7, 40, 16
MOST_BOXES = 1000
"""Boxes that are drawn at most."""
NARROW = f' textLength="{BOX_WIDTH - 76}" lengthAdjust="spacingAndGlyphs"'  # for long names
STYLE = """
.tg-graph{font:13px system-ui,"DejaVu Sans",sans-serif}
.tg-graph rect{fill:#f6f6f4;stroke:#0072b2;stroke-width:1.3}
.tg-graph text{fill:#1a1a1a}
.tg-graph .muted{fill:#595959;font-size:11px}
.tg-graph .parameter{fill:#00664f}
.tg-graph .value{fill:none;stroke:#0072b2;stroke-width:1.4}
.tg-graph .gradient{fill:none;stroke:#b34400;stroke-width:1.4;stroke-dasharray:5 3}
"""


class Picture(str):
    """An SVG, which Jupyter shows; `save(path)` writes it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<picture of {len(self) / 1000:.1f} kB: save('graph.svg') writes it>"

    def _repr_svg_(self) -> str:
        return str(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the SVG to `path`."""
        Path(path).write_text(self, encoding="utf-8")


def draw(loss: Tensor, *, names: Mapping[str, Tensor] | None = None) -> Picture:
    """Return a picture of the graph that `loss` was computed by.

    A box is an op with the shape and the largest magnitude of its value and gradient; its lines
    are the leaves that it reads, ◆ with gradient and ◇ without. Solid arrows are values, dashed
    ones gradients. `names` names leaves, `viz.record(model)` parameters and modules. Raises
    `GraphError` as `graph` does, and above 1,000 boxes.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> str(draw((w * w).sum(), names={"w": w}))[:4]
    '<svg'
    """
    return Picture(svg(layout(graph(loss, names=names))))


# Boxes and where they stand


@dataclass
class Box:
    """What is drawn as one box: an op and what it reads."""

    title: str
    shape: str
    rows: list[tuple[str, str, bool]]
    """Text at the left, text at the right, and whether it names a parameter."""
    path: str = ""
    has_gradient: bool = True
    y: int = 0

    @property
    def height(self) -> int:
        """Its height for the rows that it has."""
        return ROW_HEIGHT * (1 + len(self.rows)) + 2 * PADDING


class Layout:
    """Boxes with positions, and the edges between them, from a box to a later one."""

    def __init__(self, boxes: Sequence[Box], edges: Sequence[tuple[int, int]]) -> None:
        self.boxes, self.edges, self.height = boxes, edges, GAP
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


def layout(graph: Graph) -> Layout:
    """Lay out a box for each op; raise `GraphError` above 1,000."""
    if len(graph.nodes) > MOST_BOXES:
        raise GraphError(
            f"the graph has {len(graph.nodes)} ops; at most {MOST_BOXES} are drawn. Print "
            "graph(loss), or draw a part of the model."
        )
    return Layout([*map(_op_box, graph.nodes)], graph.edges)


def _op_box(node: OpNode) -> Box:
    value, gradient = magnitude_text(node.value), magnitude_text(node.gradient)
    rows = [(f"value {value}", f"grad {gradient}", False)]
    leaves = dict.fromkeys(tuple(_leaf_rows(leaf)) for leaf in node.leaves)
    rows += [row for leaf in leaves for row in leaf]  # a leaf that is read twice stands there once
    return Box(node.name, shape_text(node.shape), rows, node.path, node.gradient is not None)


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


# The SVG


def svg(layout: Layout, *, interactive: bool = False) -> str:
    """Return the SVG of boxes with positions.

    An interactive one has buttons for boxes, named by their text, and no style of its own.
    """
    width, height = layout.width + 2 * MARGIN, layout.height
    edges = "".join(_edge(layout, *edge) for edge in layout.edges)
    boxes = "".join(_box(*pair, interactive=interactive) for pair in enumerate(layout.boxes))
    background = (
        f'<style>{STYLE}</style><rect x="{-MARGIN}" width="{width:.0f}" height="{height:.0f}" '
        'style="fill:#fff;stroke:none"/>'
    )
    return (
        f'<svg class="tg-graph" xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="{-MARGIN} 0 {width:.0f} {height:.0f}" '
        f'role="{"group" if interactive else "img"}" aria-label="graph of operations"><defs>'
        f"{_marker('value', '#0072b2')}{_marker('gradient', '#b34400')}</defs>"
        f"{'' if interactive else background}{edges}{boxes}</svg>"
    )


def _marker(name: str, colour: str) -> str:
    # In user space, so that the stroke's width does not scale it.
    return (
        f'<marker id="tg-{name}" markerUnits="userSpaceOnUse" markerWidth="10" markerHeight="8" '
        f'refX="9" refY="4" orient="auto"><path d="M0 0L10 4L0 8z" fill="{colour}"/></marker>'
    )


def _edge(layout: Layout, source: int, target: int) -> str:
    start, end = layout.boxes[source], layout.boxes[target]
    bottom, middle = start.y + start.height, BOX_WIDTH // 2
    value, gradient = f"M{middle - 7} {bottom}V{end.y}", f"M{middle + 7} {end.y}V{bottom}"
    if target - source > 1:  # the arc of the gradient lies around that of the value
        far = BOX_WIDTH + layout.reach(source, target) * 4 // 3
        value = f"M{BOX_WIDTH} {bottom - 8}C{far - 16} {bottom - 8} {far - 16} {end.y + 8} "
        value += f"{BOX_WIDTH} {end.y + 8}"
        gradient = f"M{BOX_WIDTH} {end.y + 20}C{far} {end.y + 20} {far} {bottom - 20} "
        gradient += f"{BOX_WIDTH} {bottom - 20}"
    return _line("value", value) + (_line("gradient", gradient) if start.has_gradient else "")


def _line(kind: str, path: str) -> str:
    return f'<path class="{kind}" d="{path}" marker-end="url(#tg-{kind})"/>'


def _box(number: int, box: Box, *, interactive: bool) -> str:
    where = f'<tspan class="muted" dx="6">{escape(box.path)}</tspan>' * bool(box.path)
    lines = [f'<text x="10" y="{PADDING + 13}">{escape(box.title)}{where}</text>']
    lines.append(_right(box.shape, PADDING + 13))
    for i, (left, right, parameter) in enumerate(box.rows, 1):
        y = PADDING + 13 + ROW_HEIGHT * i
        kind = "parameter" if parameter else "muted"
        place = f'class="{kind}" x="10" y="{y}" xml:space="preserve"'
        place += NARROW * (len(left) > 28)
        lines.append(f"<text {place}>{escape(left)}</text>")
        lines.append(_right(right, y))
    button = f' role="button" tabindex="0" data-box="{number}"' if interactive else ""
    return (
        f'<g transform="translate(0 {box.y})"{button}>'
        f'<rect width="{BOX_WIDTH}" height="{box.height}" rx="5"/>{"".join(lines)}</g>'
    )


def _right(text: str, y: float) -> str:
    x = BOX_WIDTH - 10
    return f'<text class="muted" x="{x}" y="{y}" text-anchor="end">{escape(text)}</text>'
