"""A graph as indented lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.core.printing import shape_text
from tinygrad_fc.viz.computation_graph import graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinygrad_fc.tensors import Tensor
    from tinygrad_fc.viz.computation_graph import OpNode

__all__ = ["Text", "tree"]

DEEPEST = 40
"""Columns of indentation at most: a long chain stays within the page."""


class Text(str):
    """A string that notebooks print as it is."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Any, *_: object) -> None:
        printer.text(str(self))


def tree(loss: Tensor, *, names: Mapping[str, Tensor] | None = None) -> str:
    """Return the graph of `loss` as indented text: each op above what it reads.

    An op that is read twice is written out once, and referred to by its number. Raises
    `GraphError` as `graph` does.

    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = w.exp()
    >>> print(tree((y * y).sum(), names={"w": w}))
    2 sum, scalar
      1 multiply, 2
        0 exp, 2
          w, 2, requires grad
        0 exp, as above
    """
    nodes = graph(loss, gradients=False, names=names).nodes
    lines: list[str] = []
    written: set[int] = set()
    pending: list[tuple[int, int | str]] = [(0, len(nodes) - 1)]
    while pending:
        depth, item = pending.pop()
        indent = "  " * min(depth, DEEPEST)
        if isinstance(item, str):
            lines.append(f"{indent}{item}")
            continue
        node = nodes[item]
        label = f"{indent}{item} {node.name}"
        if item in written:
            lines.append(f"{label}, as above")
            continue
        written.add(item)
        lines.append(f"{label}, {shape_text(node.shape)}" + (f", in {node.path}" * bool(node.path)))
        pending += [(depth + 1, child) for child in reversed(_children(node))]
    return Text("\n".join(lines))


def _children(node: OpNode) -> list[int | str]:
    """Return what a node reads, by argument: numbers of nodes, texts of leaves."""
    leaves = {
        leaf.argument: f"{leaf.name}, {shape_text(leaf.value.shape)}"
        + ", requires grad" * leaf.requires_grad
        for leaf in node.leaves
    }
    read = (leaves.get(i) if number is None else number for i, number in enumerate(node.inputs))
    return [item for item in read if item is not None]
