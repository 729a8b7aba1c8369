"""Values, shapes, dtypes and memory of gradients, for operands of all kinds."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from drawing import (
    FLOATS,
    T,
    arrays,
    checked_array,
    close,
    cotangent,
    gradients,
    laid_out,
    layouts,
    seeds,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.domain import real


def gathered(terms: np.ndarray, shape: tuple[int, ...], indices: np.ndarray) -> np.ndarray:
    """Return an array of `shape`: the sums of the elements of `terms` with equal flat indices."""
    size = int(np.prod(shape))
    summed = np.bincount(indices.ravel(), weights=terms.ravel(), minlength=size)
    return summed[:size].reshape(shape)


def flat_indices(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(int(np.prod(shape))).reshape(shape)


# Broadcasting, 0-d tensors, matmul, reductions, indexing


@given(st.data(), seeds, hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_dims=3))
def test_broadcasting_is_undone_for_every_operand(data: Any, seed: int, drawn: Any):
    a, b, c = (data.draw(arrays(shape)) for shape in drawn.input_shapes)
    g = cotangent(drawn.result_shape, seed)
    got = gradients(lambda a, b, c: a * b - c, [T(a), T(b), T(c)], seed)
    for x, terms, grad in zip((a, b, c), (g * b, g * a, -g), got, strict=True):
        indices = np.broadcast_to(flat_indices(x.shape), g.shape)
        close(grad, gathered(np.broadcast_to(terms, g.shape), x.shape, indices), tolerance=1e-14)


@given(arrays(()), arrays(()), seeds)
def test_gradients_of_0d_tensors_are_0d_arrays(a: Any, b: Any, seed: int):
    x, y = T(a), T(b)
    gradients(lambda x, y: x * y + x - y / 2 + x * x + tg.sin(y) * 3 + 1, [x, y], seed)
    gradients(lambda x, y: (x * y + x).reshape(1, 1) @ y.reshape(1, 1), [x, y], seed)
    mixed = T(np.ones((2, 2)))
    gradients(lambda x, m: x * m + m * x + x, [x, mixed], seed)
    (slope,) = tg.autograd.grad((x * x * x).sin() + x, x, create_graph=True)
    checked_array(slope.detach(), x)
    checked_array(*tg.autograd.grad(slope + slope * x, x), x)


@given(st.data(), arrays(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)), seeds)
def test_gradient_of_indexing_returns_to_the_indexed_elements(data: Any, a: Any, seed: int):
    at = data.draw(
        hnp.basic_indices(a.shape, allow_newaxis=True)
        | hnp.integer_array_indices(a.shape)
        | hnp.arrays(bool, a.shape)
        | hnp.arrays(bool, a.shape[:1])
        | st.lists(st.integers(-a.shape[0], a.shape[0] - 1))
    )
    indices = flat_indices(a.shape)[np.asarray(at, int) if isinstance(at, list) else at]
    x = T(a)
    assert np.array_equal(x[at].numpy(), a.ravel()[indices])
    (got,) = gradients(lambda x: x[at], [x], seed)
    close(got, gathered(cotangent(indices.shape, seed), a.shape, indices), tolerance=1e-14)


# Fan-out


def test_sixty_doublings_call_each_rule_once():
    calls = itertools.count()
    double = tg.op(
        lambda x, y: x + y,
        name="double",
        domain=(real, real),
        rules=(lambda g, out, x, y: (next(calls), g)[1], lambda g, out, x, y: (next(calls), g)[1]),
    )
    x = y = T(np.array(1.0))
    for _ in range(60):
        y = double(y, y)
    y.backward()
    assert x.grad.item() == 2.0**60
    assert next(calls) == 120


# Dtypes, layouts, memory


def program(x: Any, y: Any) -> Any:
    """Return a result of ops of most families, with Python scalars."""
    z = (x * 2 + 1.5 - y / 3) ** 2 + (-x).exp() * 0.25 - 1 / (y * y + 2)
    z = z.tanh() + x.sigmoid() * tg.where(x > 0, y, 0.5) + tg.maximum(x, 0.25) + tg.clamp(y, -1, 1)
    z = z + (x * x + 1).sqrt().log() + x.softmax(dim=-1) + y.logsumexp(dim=-1, keepdim=True)
    z = z @ z.mT - x.mean() + y.std() + z.sum(dim=0).relu()[..., :1]
    return tg.stack([z, z * 3]).transpose(0, -1).flatten(1)


@pytest.mark.parametrize("dtype", FLOATS)
@given(st.data(), layouts, layouts, seeds)
def test_gradients_have_the_dtype_and_do_not_depend_on_the_layout(
    dtype: Any, data: Any, layout: str, other: str, seed: int
):
    square = st.integers(1, 3).map(lambda n: (n + 1, n + 1))
    a = data.draw(arrays(square, dtype=dtype))
    b = data.draw(arrays(a.shape, dtype=dtype))
    plain = [T(a.copy()), T(b.copy())]
    out = program(*plain)
    assert out.dtype == dtype
    expected = gradients(program, plain, seed)
    laid = [laid_out(a, layout), laid_out(b, other)]
    x, y = T(laid[0]), T(laid[1])
    weights = laid_out(cotangent(out.shape, seed, dtype), layout)
    program(x, y).backward(tg.from_numpy(weights))
    eps = np.finfo(dtype).eps
    for t, array, e in zip((x, y), laid, expected, strict=True):
        close(checked_array(t.grad, t), e, tolerance=300 * eps)
        assert np.array_equal(t.numpy(), array)
    assert np.array_equal(laid[0], a)
    assert np.array_equal(laid[1], b)


@given(arrays(hnp.array_shapes(min_side=1)), seeds)
def test_no_two_gradients_share_memory(a: Any, seed: int):
    x, y, z = T(a), T(a.copy()), T(a.copy())
    middle = y + z
    middle.retain_grad()
    seen = []
    z.register_hook(seen.append)
    weights = tg.from_numpy(cotangent(a.shape, seed))
    (x + middle).backward(weights)
    tensors = [weights, *seen, *(t.grad for t in (x, y, z, middle))]
    assert len(tensors) == 6
    for one, other in itertools.combinations(tensors, 2):
        assert not np.shares_memory(one.numpy(), other.numpy())
    before = [t.numpy().copy() for t in tensors]
    for k, t in enumerate(tensors):
        t.data.add_(1)
        assert all(
            np.array_equal(u.numpy(), b) for u, b in zip(tensors, before, strict=True) if u is not t
        )
        before[k] = t.numpy().copy()
