"""Shapes, joining and splitting compared with NumPy; 0-d and empty tensors included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import arrays, same
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.errors import DtypeError, ShapeError

sizes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
filled = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


@given(arrays(sizes), st.data())
def test_shapes_equal_numpy(a: Any, data: Any):
    x = tg.tensor(a)
    same(x.reshape(-1) if a.size else x.flatten(), a.reshape(-1))
    same(tg.reshape(x, (1, *a.shape)), a[None])
    same(x.view(a.shape), a)
    same(x.flatten(), a.reshape(-1))
    same(x.T, a.T)
    same(x.expand(2, *a.shape), np.broadcast_to(a, (2, *a.shape)))
    at = data.draw(st.integers(-a.ndim - 1, a.ndim))
    same(x.unsqueeze(at), np.expand_dims(a, at))
    same(tg.squeeze(x.unsqueeze(at), at), a)
    same(x.unsqueeze(at).squeeze(dim=(at,)), a)
    same(x.squeeze(), a.squeeze())
    same(tg.stack([x, x * 2], at), np.stack([a, a * 2], at))
    same(tg.stack([x], dim=at), np.stack([a], at))
    assert x.size() == a.shape == x.shape
    assert x.numel() == a.size == tg.numel(x)
    assert (x.dim(), x.ndim) == (a.ndim, a.ndim)
    if a.ndim < 3:
        same(x.t(), a.T)
    if not a.ndim:
        return
    i, j = data.draw(st.tuples(*[st.integers(-a.ndim, a.ndim - 1)] * 2))
    order = data.draw(st.permutations(range(a.ndim)))
    same(x.transpose(i, j), a.swapaxes(i, j))
    same(tg.transpose(x, dim0=i, dim1=j), a.swapaxes(i, j))
    same(x.permute(order), a.transpose(order))
    same(tg.permute(x, tuple(k - a.ndim for k in order)), a.transpose(order))
    same(x.permute(*order), a.transpose(order))
    same(tg.flip(x, (i,)), np.flip(a, i))
    same(x.flip(*range(a.ndim)), np.flip(a))
    same(tg.cat([x, x], i), np.concatenate([a, a], i))
    same(tg.cat((x, x * 2, x), dim=i), np.concatenate([a, a * 2, a], i))
    assert x.size(i) == a.shape[i]
    first, last = sorted((i % a.ndim, j % a.ndim))
    merged = (*a.shape[:first], int(np.prod(a.shape[first : last + 1])), *a.shape[last + 1 :])
    same(x.flatten(first, last - a.ndim), a.reshape(merged))
    if a.ndim > 1:
        same(x.mT, a.swapaxes(-1, -2))


@given(arrays(hnp.array_shapes(max_dims=3, min_side=0, max_side=4)), st.data())
def test_split_chunk_and_unbind(a: Any, data: Any):
    x, dim = tg.tensor(a), data.draw(st.integers(-a.ndim, a.ndim - 1))
    n = a.shape[dim]
    size, chunks = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    parts = tg.split(x, size, dim)
    assert [p.shape[dim] for p in parts] == ([min(size, n - k) for k in range(0, n, size)] or [0])
    same(tg.cat(parts, dim), a)
    sections = data.draw(st.lists(st.integers(0, 3)).filter(lambda s: sum(s) <= n))
    sections.append(n - sum(sections))
    parts = x.split(sections, dim=dim)
    assert [p.shape[dim] for p in parts] == sections
    same(tg.cat(parts, dim), a)
    parts = x.chunk(chunks, dim)
    assert len(parts) <= chunks
    same(tg.cat(parts, dim), a)
    for k, part in enumerate(tg.unbind(x, dim)):
        same(part, np.take(a, k, dim))
    with pytest.raises(ShapeError):
        x.split([n + 1], dim)
    with pytest.raises(ShapeError):
        x.chunk(0, dim)
    with pytest.raises(IndexError):
        x.unbind(a.ndim)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.reshape(4),
        lambda x: x.view(5, -1),
        lambda x: x.view(-1, -1),
        lambda x: x.T.view(6),
        lambda x: x.permute(0, 0),
        lambda x: x.permute(0),
        lambda x: x.transpose(0, 2),
        lambda x: x.unsqueeze(4),
        lambda x: x.squeeze(2),
        lambda x: x.flatten(1, 0),
        lambda x: x.expand(3, 3),
        lambda x: x.expand(3),
        lambda x: x.expand(-1, 2, 3),
        lambda x: tg.cat([x, x[:, :2]]),
        lambda x: tg.cat([x, x[0]]),
        lambda x: tg.stack([x, x.T]),
        lambda x: x.split(0),
        lambda x: x.split(-1),
        lambda x: x.flip(2),
        lambda x: x.flip(0, 0),
        lambda x: x.sort(2),
        lambda x: x.topk(-1),
        lambda x: x.sum(dim=2),
        lambda x: x.sum(dim=(0, 0)),
        lambda x: x.softmax(2),
        lambda x: x[2],
        lambda x: x[0, 0, 0],
        lambda x: x[[2]],
        lambda x: x[tg.tensor([True])],
        lambda x: x["a"],
        lambda x: x[1.0],
        lambda x: x.gather(0, tg.tensor([0])),
        lambda x: x.gather(0, tg.tensor([[0.0]])),
        lambda x: x.item(),
        lambda x: x.size(2),
    ],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_invalid_arguments_raise(call: Any, recorded: bool):
    x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=recorded)
    with pytest.raises((ShapeError, DtypeError, IndexError)):
        call(x)


@given(st.data(), st.integers(0, 3))
def test_diff_equals_numpy(data: Any, n: int):
    a = data.draw(arrays(filled))
    dim = data.draw(st.integers(-a.ndim, a.ndim - 1))
    same(tg.diff(tg.tensor(a), n, dim), np.diff(a, n, dim))
    same(
        tg.tensor(a).diff(1, dim, prepend=tg.tensor(a), append=tg.tensor(a)),
        np.diff(a, 1, dim, prepend=a, append=a),
    )
    same(tg.diff(tg.tensor(a > 0), 1, dim), np.diff(a > 0, 1, dim))
    with pytest.raises(ValueError, match="n is -1, expected at least 0"):
        tg.diff(tg.tensor(a), -1)


def test_aliases():
    assert tg.concat is tg.concatenate is tg.cat
    assert tg.ones(2, 3).shape.numel() == tg.ones(2, 3).size().numel() == 6
