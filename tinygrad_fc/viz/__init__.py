"""Pictures and explanations of recorded graphs, and the page of a compiled training step."""

from typing import TYPE_CHECKING, Any

from tinygrad_fc.viz.draw import Picture, draw
from tinygrad_fc.viz.explain import explain
from tinygrad_fc.viz.graph import Graph, graph, record
from tinygrad_fc.viz.history import History
from tinygrad_fc.viz.text import dot, tree

if TYPE_CHECKING:
    from tinygrad_fc.viz.training_page import page

__all__ = [
    "Graph",
    "History",
    "Picture",
    "dot",
    "draw",
    "explain",
    "graph",
    "page",
    "record",
    "tree",
]


def __getattr__(name: str) -> Any:
    # The page alone needs the compiler, which takes time to import.
    if name != "page":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tinygrad_fc.viz.training_page import page  # noqa: PLC0415

    return page
