"""Pictures: boxes that do not overlap, valid SVG, what is absent."""

import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, viz
from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.viz.picture import BOX_WIDTH, layout
from viz.networks import network, scalars, seeds, widths

SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture: viz.Picture) -> ET.Element:
    return ET.fromstring(str(picture))  # noqa: S314  our own text


@given(seeds, st.integers(1, 25))
def test_boxes_do_not_overlap_and_edges_point_down(seed: int, count: int):
    placed = layout(viz.graph(scalars(seed, count)[1]))
    assert all(above.y + above.height < below.y for above, below in pairwise(placed.boxes))
    assert all(source < target for source, target in placed.edges)
    paths = parsed(viz.draw(scalars(seed, count)[1])).findall(f"{SVG}path")
    assert len(paths) == 2 * len(placed.edges)
    places = [re.findall(r"-?[\d.]+", path.get("d", "")) for path in paths]
    arcs = [[float(x) for x in place[::2]] for place in places if len(place) == 8]
    assert all(min(xs) == BOX_WIDTH and max(xs) * 0.75 < placed.width for xs in arcs)


@given(widths, seeds)
def test_pictures_show_ops_shapes_and_leaves(sizes: list[int], seed: int):
    model, x, y = network(sizes, "tanh", seed)
    with viz.record(model):
        loss = nn.functional.mse_loss(model(x), y)
    root = parsed(viz.draw(loss))
    assert len(root.findall(f"{SVG}g")) == 2 * len(sizes) - 1
    text = " ".join(root.itertext())
    for name, p in model.named_parameters():
        assert name in text
        assert " × ".join(map(str, p.shape)) in text


def test_absent_gradients_and_small_arrays_are_written_and_names_escaped():
    w = tg.tensor([1.0, -2.0], requires_grad=True)
    names = {'<w> & "v"\\': w}
    text = str(viz.draw(w * 2, names=names))
    assert "grad absent" in text
    assert 'class="gradient"' not in text
    text = " ".join(parsed(viz.draw((w * w).sum(), names=names)).itertext())
    for part in ('<w> & "v"', "value [1 4]", "grad [2 -4]"):
        assert part in text
    assert "absent" not in str(viz.draw((w * 0.0).sum()))


def test_a_large_graph_is_refused():
    loss = nn.Sequential(*(nn.Tanh() for _ in range(1200)))(tg.tensor(1.0, requires_grad=True))
    with pytest.raises(GraphError, match=r"1200 ops.*1000.*Print graph"):
        viz.draw(loss)


def test_pictures_are_shown_saved_and_the_same_each_time(tmp_path: Any):
    loss = scalars(3, 8)[1]
    picture = viz.draw(loss)
    picture.save(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == picture._repr_svg_()
    assert "save(" in repr(picture)
    for show in (viz.draw, viz.graph):
        assert str(show(loss)) == str(show(loss))
