"""Pictures and explanations of recorded graphs."""

from tinygrad_fc.viz.draw import Picture, draw
from tinygrad_fc.viz.explain import explain
from tinygrad_fc.viz.graph import Graph, graph, record
from tinygrad_fc.viz.history import History
from tinygrad_fc.viz.text import dot, tree

__all__ = ["Graph", "History", "Picture", "dot", "draw", "explain", "graph", "record", "tree"]
