"""Linear and embedding layers and functions, padding."""

from typing import Any

import numpy as np
import pytest
from device.strict_array import StrictArray
from drawing import T, assert_equal_derivatives, same
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.core.node import leaf_of

F = nn.functional


# Padding


@given(
    st.data(),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=4),
    st.sampled_from(["constant", "reflect", "replicate", "circular"]),
)
def test_pad_equals_numpys_with_the_last_axis_first(data: st.DataObject, shape: Any, mode: str):
    x = np.random.default_rng(0).normal(size=shape)
    width = st.integers(-1 if mode == "constant" else 0, 1)
    pairs = data.draw(st.lists(st.tuples(width, width), min_size=1, max_size=len(shape)))
    around = [(0, 0)] * (len(shape) - len(pairs)) + pairs[::-1]
    name = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    added: Any = np.pad(np.arange(x.size).reshape(shape) + 1, np.maximum(around, 0), name)
    ends = zip(around, added.shape, strict=True)
    places = tg.tensor(added[tuple(slice(max(-b, 0), n - max(-e, 0)) for (b, e), n in ends)])
    assert_equal_derivatives(
        lambda x: F.pad(x, [w for pair in pairs for w in pair], mode),
        lambda x: tg.cat([tg.zeros(1), x.flatten()])[places],
        *(x, 0),
    )


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pads_stay_within_the_array_type_and_are_compiled(mode: str):
    x = np.arange(6.0).reshape(2, 3)
    expected = F.pad(T(x), (1, 2, 0, 1), mode).detach().numpy()
    out = F.pad(leaf_of(StrictArray(x)), (1, 2, 0, 1), mode)
    same(leaf_of(out._array.get()), expected)
    same(tg.compile(lambda x: F.pad(x, (1, 2, 0, 1), mode), backend="numpy")(T(x)), expected)


# Layers


def test_pretrained_embeddings_are_frozen_by_default():
    layer = nn.Embedding.from_pretrained(tg.ones(3, 2), padding_idx=1)
    assert not layer.weight.requires_grad
    assert layer(tg.tensor([1])).tolist() == [[1.0, 1.0]]
    assert nn.Embedding.from_pretrained(tg.ones(3, 2), freeze=False).weight.requires_grad
