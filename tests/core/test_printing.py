"""Tables for notebooks."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from viz.networks import network, seeds, widths

import tinygrad_fc as tg

shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12)


@given(shapes, st.sampled_from([tg.float64, tg.float32, tg.int64, tg.bool]), seeds)
def test_tensors_show_shape_dtype_and_values(shape: tuple[int, ...], dtype: object, seed: int):
    tg.manual_seed(seed)
    t = (tg.rand(shape) * 9).to(dtype)
    html = t._repr_html_()
    root = ET.fromstring(f"<div>{html}</div>")  # noqa: S314  our own text
    text = " ".join(root.itertext())
    assert str(t.dtype) in text
    assert (" × ".join(map(str, shape)) or "scalar") in text
    if len(shape) == 2 and t.numel():
        rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
        assert len(rows) == min(shape[0], 9)
        assert all(len(row) == min(shape[1], 9) for row in rows)
        assert abs(float(rows[0][0] == "True" or rows[0][0]) - float(t[0, 0])) <= 1e-2
        assert ("…" in text) == (max(shape) > 9)


@given(widths, seeds)
def test_modules_are_tables_whose_counts_add_up(sizes: list[int], seed: int):
    model, _, _ = network(sizes, "tanh", seed)
    html = model._repr_html_()
    root = ET.fromstring(html)  # noqa: S314  our own text
    rows = [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]
    counts = [int(row[-1].replace(",", "")) for row in rows[1:]]
    assert sum(counts[:-1]) == counts[-1] == sum(p.numel() for p in model.parameters())
    assert len(rows) == 2 + sum(1 for _ in model.modules())
    assert re.search(r"Linear\(in_features=\d+", html)
