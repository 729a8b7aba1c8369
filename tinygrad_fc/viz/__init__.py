"""Pictures and explanations of recorded graphs, and the page of a compiled training step."""

from typing import TYPE_CHECKING

from tinygrad_fc.core.lazy import lazy_names
from tinygrad_fc.viz.computation_graph import Graph, graph, record
from tinygrad_fc.viz.explanation import explain
from tinygrad_fc.viz.history import History
from tinygrad_fc.viz.picture import Picture, draw

if TYPE_CHECKING:
    from tinygrad_fc.viz.training_page import page

__all__ = [
    "Graph",
    "History",
    "Picture",
    "draw",
    "explain",
    "graph",
    "page",
    "record",
]


# The page alone needs the compiler, which takes time to import.
__getattr__ = lazy_names(__name__, {"page": "training_page:page"})
