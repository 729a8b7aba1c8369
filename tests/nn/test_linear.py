"""Linear layers and functions, padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import T, close, same
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.errors import ShapeError

F = nn.functional


# Padding


@given(
    st.data(),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=4),
    st.sampled_from(["constant", "reflect", "replicate", "circular"]),
)
def test_pad_is_numpys_from_the_last_axis_on(data: st.DataObject, shape: Any, mode: str):
    x = T(np.random.default_rng(0).normal(size=shape))
    low = -1 if mode == "constant" else 0
    axes = data.draw(st.integers(1, len(shape)))
    widths = data.draw(
        st.lists(st.integers(low, 1), min_size=2 * axes, max_size=2 * axes), label="pad"
    )
    pairs = [(0, 0)] * (len(shape) - axes) + list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    names = {"replicate": "edge", "circular": "wrap"}

    def padded(a: Any) -> Any:
        cropped = a[
            tuple(
                slice(max(-b, 0), n - max(-e, 0)) for (b, e), n in zip(pairs, a.shape, strict=True)
            )
        ]
        added = [(max(b, 0), max(e, 0)) for b, e in pairs]
        return np.pad(cropped, added, names.get(mode, mode))

    out = F.pad(x, widths, mode)
    same(out.detach(), padded(x.numpy()))
    g = np.random.default_rng(1).normal(size=out.shape)
    out.backward(tg.tensor(g))
    assert x.grad is not None
    places = padded(np.arange(x.numel()).reshape(shape) + 1)
    expected = np.zeros(x.numel() + 1)
    np.add.at(expected, places.ravel(), g.ravel())
    close(x.grad.numpy(), expected[1:].reshape(shape))


@pytest.mark.parametrize(
    ("pad", "mode", "message"),
    [
        ((1,), "constant", "expected two widths per axis"),
        ((1, 1, 1, 1), "constant", r"pad is \(1, 1, 1, 1\) for an input of shape \(3,\)"),
        ((3, 0), "reflect", "3, 0.* axis -1 of size 3, expected at most 2 for mode 'reflect'"),
        ((4, 0), "circular", "expected at most 3 for mode 'circular'"),
        ((1, 1), "mirror", "mode is 'mirror', expected one of constant, reflect"),
    ],
)
def test_pad_errors(pad: Any, mode: str, message: str):
    with pytest.raises((ShapeError, ValueError), match=message):
        F.pad(tg.zeros(3), pad, mode)
