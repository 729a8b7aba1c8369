"""SVG of a graph: values flow down, gradients up, parameters are lines inside boxes."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tinygrad_fc.viz.computation_graph import graph
from tinygrad_fc.viz.layout import BOX_WIDTH, PADDING, ROW_HEIGHT, fold

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from tinygrad_fc.tensors import Tensor
    from tinygrad_fc.viz.layout import Box, Layout

__all__ = ["Picture", "draw", "svg"]

MARGIN = 16
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


def draw(
    loss: Tensor, *, depth: int | None = None, names: Mapping[str, Tensor] | None = None
) -> Picture:
    """Return a picture of the graph that `loss` was computed by.

    A box is an op with the shape and the largest magnitude of its value and gradient; its lines
    are the leaves that it reads, ◆ with gradient and ◇ without. Solid arrows are values, dashed
    ones gradients. `depth` folds modules: 1 shows the model's children as one box each, 0 the
    model as one (on a graph computed under `viz.record(model)`). `names` names leaves. Raises
    `GraphError` as `graph` does, and above 1,000 boxes.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> str(draw((w * w).sum(), names={"w": w}))[:4]
    '<svg'
    """
    return Picture(svg(fold(graph(loss, names=names), depth)))


def svg(layout: Layout, *, interactive: bool = False) -> str:
    """Return the SVG of boxes with positions.

    An interactive one has buttons for boxes, named by their text, and no style of its own.
    """
    width, height = layout.width + 2 * MARGIN, layout.height
    edges = "".join(_edge(layout, *edge) for edge in layout.edges)
    boxes = "".join(_box(box, interactive=interactive) for box in layout.boxes)
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


def _box(box: Box, *, interactive: bool) -> str:
    is_shown = box.path and not box.title.endswith(box.path)
    where = f'<tspan class="muted" dx="6">{escape(box.path)}</tspan>' if is_shown else ""
    lines = [f'<text x="10" y="{PADDING + 13}">{escape(box.title)}{where}</text>']
    lines.append(_right(box.shape, PADDING + 13))
    for i, (left, right, parameter) in enumerate(box.rows, 1):
        y = PADDING + 13 + ROW_HEIGHT * i
        kind = "parameter" if parameter else "muted"
        place = f'class="{kind}" x="10" y="{y}" xml:space="preserve"'
        place += NARROW * (len(left) > 28)
        lines.append(f"<text {place}>{escape(left)}</text>")
        lines.append(_right(right, y))
    button = f' role="button" tabindex="0" data-box="{box.number}"' if interactive else ""
    return (
        f'<g transform="translate(0 {box.y})"{button}>'
        f'<rect width="{BOX_WIDTH}" height="{box.height}" rx="5"/>{"".join(lines)}</g>'
    )


def _right(text: str, y: float) -> str:
    x = BOX_WIDTH - 10
    return f'<text class="muted" x="{x}" y="{y}" text-anchor="end">{escape(text)}</text>'
