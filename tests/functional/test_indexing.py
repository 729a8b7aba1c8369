"""Repeated and changed indices, counts, histograms, and errors of indexing and sorting."""

from typing import Any

import numpy as np
import pytest
from drawing import FLOATS, T, arrays, close, cotangent, same, seeds
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg


@st.composite
def scatter_arguments(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """Draw an array, a source, an axis, and indices along it, repeats included."""
    shape = draw(hnp.array_shapes(max_dims=3, max_side=3))
    dim = draw(st.integers(0, len(shape) - 1))
    sides = tuple(draw(st.integers(1, 4 if k == dim else n)) for k, n in enumerate(shape))
    at = draw(hnp.arrays(np.int64, sides, elements=st.integers(0, shape[dim] - 1)))
    return draw(arrays(shape)), draw(arrays(sides)), dim, at


@given(scatter_arguments(), seeds)
def test_scatter_equals_a_loop(drawn: Any, seed: int):
    a, b, dim, at = drawn
    expected, added, writer = a.copy(), a.copy(), np.full(a.shape, -1)
    for number, k in enumerate(np.ndindex(at.shape)):
        there = (*k[:dim], at[k], *k[dim + 1 :])
        expected[there] = b[k]
        added[there] += b[k]
        writer[there] = number
    x, y, index = T(a.copy()), T(b.copy()), tg.tensor(at)
    out = tg.scatter(x, dim, index, y)
    same(out.detach(), expected)
    close(x.scatter_add(dim, index, y).detach().numpy(), added, tolerance=1e-14)
    g = cotangent(a.shape, seed)
    out.backward(tg.tensor(g))
    # The last source written to an element gets its gradient; `x` gets those of the others.
    assert np.array_equal(x.grad.numpy(), np.where(writer < 0, g, 0))
    from_source = np.zeros(b.size)
    from_source[writer[writer >= 0]] = g[writer >= 0]
    assert np.array_equal(y.grad.numpy(), from_source.reshape(b.shape))


CALLS: dict[str, Any] = {  # `x` and `y` are vectors of two, `at` is 0, 1
    "index": lambda x, y, at: y[at],
    "array": lambda x, y, at: y[np.asarray(at)],
    "slice": lambda x, y, at: y[at[0] : at[1] + 1],
    "mask": lambda x, y, at: y[at < 2],
    "index_add": lambda x, y, at: x.index_add(0, at, y),
    "index_select": lambda x, y, at: y.index_select(0, at),
    "bincount": lambda x, y, at: at.bincount(y),
    "scatter": lambda x, y, at: x.scatter(0, at, y),
    "unique": lambda x, y, at: y.unique()[at],
}


@pytest.mark.parametrize("name", CALLS)
def test_changing_an_index_afterwards_does_not_change_the_gradient(name: str):
    at, x, y = tg.tensor([0, 1]), T(np.array([1.0, 2.0])), T(np.array([3.0, 4.0]))
    out = CALLS[name](x, y, at)
    at.fill_(0)
    out.backward(tg.tensor([5.0, 7.0]))
    assert y.grad.tolist() == [5, 7]


@given(arrays(hnp.array_shapes(max_dims=2, max_side=4)), seeds)
def test_unique_and_its_inverse_restore_the_input(a: Any, seed: int):
    x = T(np.round(a))
    values, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    same(values.detach()[inverse], x.numpy())
    assert counts.sum().item() == a.size
    g = cotangent(values.shape, seed)
    values.backward(tg.tensor(g))
    close(x.grad.sum().item(), g.sum(), tolerance=1e-12)


@given(st.lists(st.integers(0, 5)), st.integers(0, 8), seeds)
def test_bincount_and_its_gradient(numbers: list[int], minlength: int, seed: int):
    at = np.array(numbers, np.int64)
    same(tg.bincount(tg.tensor(at), minlength=minlength), np.bincount(at, minlength=minlength))
    weights = T(cotangent(at.shape, seed))
    out = tg.tensor(at).bincount(weights, minlength)
    close(out.detach().numpy(), np.bincount(at, weights.numpy(), minlength), tolerance=1e-14)
    g = cotangent(out.shape, seed + 1)
    out.backward(tg.tensor(g))
    assert np.array_equal(weights.grad.numpy(), g[at])


@given(
    arrays(hnp.array_shapes(max_dims=2), low=0),
    st.sampled_from(FLOATS),
    st.integers(1, 4) | st.just(np.array([0.0, 0.5, 2.0])),
    st.booleans(),
)
def test_histograms_equal_numpy(a: Any, dtype: Any, bins: Any, density: bool):
    a = np.append(a.ravel(), 1).reshape(-1, 1).astype(dtype)  # a density needs an element
    for options in ({}, {"range": (0.0, 2.0), "density": density}):
        result = tg.histogram(T(a), tg.tensor(bins) if np.ndim(bins) else bins, **options)
        for x, expected in zip(result, np.histogram(a, bins, **options), strict=True):
            assert not x.requires_grad
            assert x.dtype == dtype
            close(x.numpy(), expected, tolerance=1e-6)
    assert tg.tensor([0, 1, 1]).histogram(2).hist.tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(50, 90), (90, 20, 25)])
def test_many_repeated_indices_add_their_gradients(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = tg.tensor(rng.normal(size=shape).astype(dtype), requires_grad=True)
    rows = rng.integers(-shape[0], shape[0], (60, 2))
    elements = tuple(rng.integers(-n, n, (70, 80)) for n in shape)
    for at in (rows, elements, (elements[0], elements[1])):
        y = x[at]
        g = rng.normal(size=y.shape).astype(dtype)
        (found,) = tg.autograd.grad(y, x, tg.tensor(g))
        expected = np.zeros(shape)
        np.add.at(expected, at, g)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 2**16), st.booleans(), st.integers(1, 9), st.sampled_from([0, 1, -1]))
def test_topk_of_many_elements_is_the_start_of_the_sorted(
    seed: int, largest: bool, k: int, dim: int
) -> None:
    x = tg.tensor(np.random.default_rng(seed).permutation(80 * 72).reshape(80, 72) / 7)
    found, expected = x.topk(k, dim, largest), x.sort(dim, descending=largest)
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(a.numpy(), b.numpy().take(range(k), dim))


@pytest.mark.parametrize(
    "at", [0, ..., [0, -1], [], [True], [False], (None, [0, 0]), slice(0), (slice(None), None)]
)
def test_assignment_to_a_view_of_a_tensor_without_axes(at: Any) -> None:
    a, factor = T(np.array(3.0)), T(np.array([2.0]))
    y = (a * a).unsqueeze(0)
    is_selected = y[at].numel() > 0
    y[at] = y[at] * factor
    (y * 5).sum().backward()
    assert y.item() == (18 if is_selected else 9)
    assert a.grad == (60 if is_selected else 30)
    assert factor.grad == (45 if is_selected else 0)


@given(st.permutations(range(3)), st.integers(-4, 4), st.booleans())
def test_a_diagonal_is_a_view_of_any_layout(order: list[int], offset: int, compiled: bool):
    def emptied(x: tg.Tensor) -> tg.Tensor:
        base = x.clone()
        base.permute(*order).diagonal(offset, 0, 2).zero_()
        return base

    array = np.arange(1.0, 37.0).reshape(2, 3, 6)[:, :, ::2].copy()
    expected = array.copy()
    view = np.diagonal(expected.transpose(order), offset, 0, 2)
    view.flags.writeable = True
    view[...] = 0
    function = tg.compile(emptied, backend="numpy") if compiled else emptied
    np.testing.assert_array_equal(function(tg.tensor(array)).numpy(), expected)
