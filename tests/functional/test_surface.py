"""The core functions and methods against plain NumPy, 0-d and empty tensors included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import FLOATS, T, arrays, close, numbers, same, seeds
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.errors import DtypeError, ShapeError

sizes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
filled = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)


# Making


@given(sizes, st.sampled_from([None, *FLOATS, np.int64, np.bool_]), st.booleans())
def test_tensors_of_a_shape(shape: Any, dtype: Any, requires_grad: bool):
    dtype_made = np.dtype(dtype or np.float64)
    flag = requires_grad and dtype_made.kind == "f"
    for make, value in ((tg.zeros, 0), (tg.ones, 1), (tg.empty, 0)):
        for made in (
            make(*shape, dtype=dtype, requires_grad=flag),
            make(shape, dtype=dtype, requires_grad=flag),
            make(list(shape), dtype=dtype, device="cpu", requires_grad=flag),
            make(size=shape, dtype=dtype, requires_grad=flag),
        ):
            same(made, np.full(shape, value, dtype_made))
            assert made.requires_grad is flag
            assert made.is_leaf
    same(tg.full(shape, 2, dtype=dtype_made), np.full(shape, 2, dtype_made))
    same(tg.full(size=shape, fill_value=0.5), np.full(shape, 0.5))
    same(tg.full(shape, fill_value=True), np.ones(shape, bool))
    same(tg.full(shape, 3), np.full(shape, 3))
    like = tg.ones(shape, dtype=dtype_made)
    same(tg.zeros_like(like), np.zeros(shape, dtype_made))
    same(tg.ones_like(like, dtype=tg.float32), np.ones(shape, np.float32))
    same(tg.empty_like(like), np.zeros(shape, dtype_made))
    same(tg.full_like(like, 1), np.full(shape, 1, dtype_made))
    for make in (tg.rand, tg.randn):
        assert make(*shape).shape == make(shape).shape == shape
    assert tg.rand_like(tg.ones(shape)).shape == tg.randn_like(tg.ones(shape)).shape == shape


def test_drawing_is_by_function_and_method():
    p = tg.tensor([0.0, 1.0])
    assert p.bernoulli().tolist() == tg.bernoulli(p).tolist() == [0, 1]
    assert p.multinomial(1).tolist() == tg.multinomial(p, 1).tolist() == [1]
    assert not (p.requires_grad_().bernoulli()).requires_grad


def test_shapes_that_are_none():
    for call in (
        lambda: tg.zeros(-1),
        lambda: tg.ones(2, -3),
        lambda: tg.full((-1,), 0.0),
        lambda: tg.rand(-1),
    ):
        with pytest.raises((ShapeError, ValueError), match="negative"):
            call()
    for call in (
        lambda: tg.zeros(1.5),
        lambda: tg.zeros("ab"),
        lambda: tg.full((2,)),
        lambda: tg.zeros((2, 0.5)),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()


@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(-3, 3).filter(bool))
def test_arange_of_whole_numbers(start: int, end: int, step: int):
    if (end - start) / step < 0:
        with pytest.raises(ValueError, match="sign of step"):
            tg.arange(start, end, step)
        return
    same(tg.arange(start, end, step), np.arange(start, end, step))
    same(
        tg.arange(start=start, end=end, step=step, dtype=tg.float32),
        np.arange(start, end, step, np.float32),
    )
    same(tg.arange(abs(end)), np.arange(abs(end)))


@given(st.integers(0, 10), numbers(), numbers())
def test_linspace_eye_and_arange_of_floats(steps: int, start: float, end: float):
    same(tg.linspace(start, end, steps), np.linspace(start, end, steps))
    assert tg.linspace(start, end, steps=steps, dtype=tg.float32).dtype == np.float32
    same(tg.eye(steps), np.eye(steps))
    same(tg.eye(steps, 3, dtype=tg.float32), np.eye(steps, 3, dtype=np.float32))
    if end > start:
        made = tg.arange(start, end, 0.25)
        assert made.dtype == np.float64
        same(made, start + 0.25 * np.arange(np.ceil((end - start) / 0.25)))
    with pytest.raises(ValueError, match=r"negative|positive|at least"):
        tg.linspace(start, end, -1)
    with pytest.raises(ValueError, match="step"):
        tg.arange(0, 1, 0)


@given(st.data(), sizes)
def test_tensor_takes_numbers_lists_arrays_and_tensors(data: Any, shape: Any):
    a = data.draw(arrays(shape))
    same(tg.tensor(a), a)
    if a.size:
        same(tg.tensor(a.tolist()), a)
        same(tg.Tensor(a.tolist(), requires_grad=True), a)
        same(tg.as_tensor(tuple(a.tolist()) if a.ndim else a.tolist()), a)
    if a.ndim:
        same(tg.tensor([tg.tensor(row) for row in a] or a), a)
        same(tg.tensor(list(a) or a), a)
    same(tg.tensor(a, dtype=tg.int64), a.astype(np.int64))


# Elementwise

ELEMENTWISE: dict[str, Any] = {
    **{name: (name, (0.2, 2.0)) for name in ("exp", "log", "sqrt", "square", "sin", "cos", "tanh")},
    **{name: (name, (0.2, 2.0)) for name in ("log1p", "log2", "log10", "reciprocal", "isnan")},
    **{name: (name, (-1.2, 1.2)) for name in ("expm1", "tan", "sinh", "cosh", "exp2", "isinf")},
    **{name: (name, (-2.0, 2.0)) for name in ("sign", "floor", "ceil", "round", "trunc")},
    **{name: (name, (-2.0, 2.0)) for name in ("isfinite", "logical_not")},
    **{name: (name.replace("a", "arc", 1), (-0.9, 0.9)) for name in ("asin", "acos", "atan")},
    "rsqrt": (lambda a: 1 / np.sqrt(a), (0.2, 2.0)),
    "abs": ("abs", (-2.0, 2.0)),
    "neg": ("negative", (-2.0, 2.0)),
    "relu": (lambda a: np.maximum(a, 0), (-2.0, 2.0)),
    "sigmoid": (lambda a: (1 / (1 + np.exp(-a))).astype(a.dtype), (-2.0, 2.0)),
}


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
@given(st.data(), sizes, st.sampled_from(FLOATS))
def test_functions_of_one_tensor(name: str, data: Any, shape: Any, dtype: Any):
    reference, (low, high) = ELEMENTWISE[name]
    a = data.draw(arrays(shape, dtype=dtype, low=low, high=high))
    expected = getattr(np, reference)(a) if isinstance(reference, str) else reference(a)
    for got in (
        getattr(tg, name)(tg.tensor(a)),
        getattr(tg.tensor(a), name)(),
        getattr(tg, name)(input=tg.tensor(a)),
    ):
        assert got.shape == shape
        assert got.dtype == expected.dtype
        close(got.numpy(), expected, tolerance=4 * np.finfo(dtype).eps)


BINARY: dict[str, Any] = {
    **{name: name for name in ("add", "maximum", "minimum", "fmod", "remainder", "floor_divide")},
    **{name: name for name in ("logical_and", "logical_or", "logical_xor", "hypot", "logaddexp")},
    "atan2": "arctan2",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "pow": "power",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}


@pytest.mark.parametrize("name", sorted(BINARY))
@given(st.data(), hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0))
def test_functions_of_two_tensors(name: str, data: Any, drawn: Any):
    a, b = (data.draw(arrays(shape, low=0.5)) for shape in drawn.input_shapes)
    expected = np.asarray(getattr(np, BINARY[name])(a, b))
    x, y = tg.tensor(a), tg.tensor(b)
    for got in (getattr(tg, name)(x, y), getattr(x, name)(y), getattr(tg, name)(x, b)):
        close(got.numpy(), expected, tolerance=1e-15) if expected.dtype == float else same(
            got, expected
        )
    if name != "pow":
        assert np.array_equal(
            getattr(tg, name)(x, other=y).numpy(), getattr(x, name)(other=y).numpy()
        )
    c = float(b.flat[0]) if b.size else 2.0
    close(getattr(x, name)(c).numpy(), np.asarray(getattr(np, BINARY[name])(a, c)), tolerance=1e-15)


@given(arrays((2, 3)), arrays((3,), low=0.5), numbers(-2, 2))
def test_arguments_of_sums_quotients_bounds_and_choices(a: Any, b: Any, c: float):
    x, y = tg.tensor(a), tg.tensor(b)
    same(tg.add(x, y, alpha=2), a + 2 * b)
    same(x.sub(y, alpha=2), a - 2 * b)
    same(tg.div(x, y, rounding_mode="floor"), np.floor_divide(a, b))
    same(tg.div(x, y, rounding_mode="trunc"), np.trunc(a / b))
    with pytest.raises(ValueError, match="rounding_mode"):
        tg.div(x, y, rounding_mode="up")
    same(x.clamp(c), np.maximum(a, c))
    same(x.clamp(max=c), np.minimum(a, c))
    same(tg.clamp(x, min=y - 1, max=y), np.clip(a, b - 1, b))
    same(x.clamp(2, 1), np.full(a.shape, 1.0))
    same(x.where(x > c, y), np.where(a > c, a, b))
    same(tg.where(x > c, x, 0.0), np.where(a > c, a, 0.0))
    same(tg.where(x.to(tg.int64), y, x), np.where(a.astype(int), b, a))
    same(x.masked_fill(x > c, 7), np.where(a > c, 7, a))
    same(
        tg.masked_fill(x, tg.tensor([True, False, True]), tg.tensor(c)),
        np.where([True, False, True], c, a),
    )
    for got, expected in zip(tg.where(x > c), np.nonzero(a > c), strict=True):
        same(got, expected)
    same((x > 0) & (x < c), (a > 0) & (a < c))
    same((x > 0) | (x < c), (a > 0) | (a < c))
    same((x > 0) ^ (x < c), (a > 0) ^ (a < c))
    same(~(x > 0), ~(a > 0))
    same(+x, a)
    same(abs(-x), np.abs(a))
    whole = tg.tensor([1, 2, 3])
    same(whole.clamp(2), np.array([2, 2, 3]))
    same(whole.clamp(max=2), np.array([1, 2, 2]))
    same(whole & 1, np.array([1, 0, 1]))


@given(
    hnp.arrays(st.sampled_from([np.int64, np.uint8, np.bool_]), sizes),
    st.sampled_from(["bitwise_and", "bitwise_or", "bitwise_xor"]),
    st.booleans() | st.integers(0, 100),
)
def test_bitwise_functions(a: Any, name: str, other: int):
    x = tg.tensor(a)
    same(getattr(tg, name)(x, other), getattr(np, name)(a, other))
    same(getattr(x, name)(x), getattr(np, name)(a, a))
    same(tg.bitwise_not(x), ~a)
    same(x.bitwise_not(), ~a)
    with pytest.raises(DtypeError, match="bitwise_xor cannot take"):
        tg.bitwise_xor(tg.ones(2), other)


@given(numbers(), numbers(), st.floats(0, 1))
def test_what_lies_between_two_numbers(a: float, b: float, weight: float):
    x, y = tg.tensor(a), tg.tensor(b)
    assert x.lerp(y, 0.0).item() == a
    assert x.lerp(y, 1.0).item() == b
    close(tg.lerp(x, y, weight).numpy(), a + weight * (b - a), tolerance=1e-15)


# Reducing


@st.composite
def along(draw: Any, strategy: Any = filled, *, several: bool = True) -> tuple[Any, Any, bool]:
    a = draw(arrays(strategy))
    axes = st.none()
    if a.ndim:
        one = st.integers(-a.ndim, a.ndim - 1)
        axes |= one
        if several:
            axes |= st.lists(one, min_size=1, unique_by=lambda k: k % a.ndim).map(tuple)
    return a, draw(axes), draw(st.booleans())


@given(along())
def test_reductions_over_dims(drawn: Any):
    a, dim, keepdim = drawn
    x, over = tg.tensor(a), {"axis": dim, "keepdims": keepdim}
    named = {"dim": list(dim) if isinstance(dim, tuple) else dim, "keepdim": keepdim}
    flags = a > 0.5
    for call, reference in (
        (tg.sum, np.sum),
        (tg.mean, np.mean),
        (tg.amax, np.max),
        (tg.amin, np.min),
        (lambda x, **k: tg.var(x, correction=0, **k), np.var),
        (lambda x, **k: tg.std(x, correction=0, **k), np.std),
        (lambda x, **k: x.sum(**k), np.sum),
        (lambda x, **k: x.logsumexp(**k), lambda a, **k: np.log(np.sum(np.exp(a), **k))),
    ):
        close(call(x, **named).numpy(), reference(a, **over), tolerance=1e-14)
        close(call(x, **over).numpy(), reference(a, **over), tolerance=1e-14)
    for call, reference in ((tg.all, np.all), (tg.any, np.any)):
        same(call(tg.tensor(flags), **named), np.asarray(reference(flags, **over)))
    same(x.float().sum(dtype=tg.float64), np.asarray(a.astype(np.float32).sum(dtype=np.float64)))
    same(tg.tensor(flags).sum(), np.asarray(flags.sum()))
    same(tg.mean(tg.tensor(flags), dtype=tg.float32), np.asarray(flags.mean(dtype=np.float32)))


@given(along(several=False))
def test_largest_and_smallest_with_their_indices(drawn: Any):
    a, dim, keepdim = drawn
    x = tg.tensor(a)
    if dim is None:
        same(x.max(), np.asarray(a.max()))
        same(tg.min(x), np.asarray(a.min()))
        same(x.argmax(), np.asarray(a.argmax()))
        same(tg.argmin(x), np.asarray(a.argmin()))
        return
    for call, value, at in (
        (tg.max, np.max, np.argmax),
        (tg.min, np.min, np.argmin),
    ):
        found = call(x, dim, keepdim)
        values, indices = found
        same(values, value(a, axis=dim, keepdims=keepdim))
        same(indices, np.asarray(at(a, axis=dim, keepdims=keepdim)))
        assert found.values is values
        assert found.indices is indices
        assert call(x, axis=dim, keepdims=keepdim).values.shape == values.shape
    same(x.argmax(dim=dim, keepdim=keepdim), np.asarray(a.argmax(dim, keepdims=keepdim)))
    same(tg.max(x, tg.tensor(0.5)), np.maximum(a, 0.5))
    with pytest.raises((TypeError, ShapeError)):
        x.max((0,))
    with pytest.raises((TypeError, ShapeError)):
        x.max(dim=a.ndim)


@given(along(filled, several=False), st.integers(0, 2))
def test_spread_with_corrections(drawn: Any, correction: int):
    a, dim, keepdim = drawn
    count = a.size if dim is None else a.shape[dim]
    if count <= correction:
        return
    over = {"axis": dim, "keepdims": keepdim}
    x, expected = tg.tensor(a), np.var(a, ddof=correction, **over)
    close(x.var(dim, correction=correction, keepdim=keepdim).numpy(), expected, tolerance=1e-13)
    close(
        tg.std(x, dim, correction=correction, keepdim=keepdim).numpy(),
        np.sqrt(expected),
        tolerance=1e-13,
    )
    if correction == 1:
        close(x.var(dim, keepdim=keepdim).numpy(), expected, tolerance=1e-13)
        close(x.var(dim, True, keepdim).numpy(), expected, tolerance=1e-13)  # noqa: FBT003  PyTorch's order
    if correction == 0:
        close(x.var(dim, unbiased=False, keepdim=keepdim).numpy(), expected, tolerance=1e-13)
    if correction == 0 and dim is None:
        close(x.std(False).numpy(), np.std(a), tolerance=1e-13)  # noqa: FBT003  as above


@given(arrays(hnp.array_shapes(max_dims=3, max_side=3)), st.data())
def test_rows_that_sum_to_one(a: Any, data: Any):
    dim = data.draw(st.integers(-a.ndim, a.ndim - 1))
    x, e = tg.tensor(a), np.exp(a - a.max(dim, keepdims=True))
    expected = e / e.sum(dim, keepdims=True)
    for got in (
        tg.softmax(x, dim),
        x.softmax(dim=dim),
        x.softmax(axis=dim),
        x.log_softmax(dim).exp(),
    ):
        close(got.numpy(), expected, tolerance=1e-14)
    assert tg.log_softmax(x, dim, dtype=tg.float32).dtype == np.float32


def test_reductions_of_nothing():
    empty = tg.zeros(0, 3)
    assert empty.sum().item() == 0
    assert empty.sum(dim=0).tolist() == [0, 0, 0]
    assert empty.sum(dim=1).shape == (0,)
    assert np.isnan(empty.mean().item())
    assert np.isnan(empty.var().item())
    assert empty.all().item() is True
    assert empty.any().item() is False
    assert empty.logsumexp(dim=0).tolist() == [-np.inf] * 3
    assert empty.softmax(dim=1).shape == (0, 3)
    assert empty.max(dim=1).values.shape == (0,)
    for call in (empty.max, empty.argmin, lambda: empty.amax(dim=0), lambda: empty.max(dim=0)):
        with pytest.raises((ShapeError, IndexError)):
            call()


# Products


@given(st.data(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_products(data: Any, n: int, k: int, m: int):
    a, b, u, v = (data.draw(arrays(s)) for s in ((n, k), (k, m), (k,), (m,)))
    x, y, p, q = (tg.tensor(array) for array in (a, b, u, v))
    for got, expected in (
        *((tg.mm(x, y), a @ b), (x.mm(y), a @ b), (tg.matmul(x, y), a @ b), (x @ y, a @ b)),
        *((tg.mv(x, p), a @ u), (x.mv(p), a @ u), (tg.dot(p, p), u @ u), (p.dot(p), u @ u)),
        *((tg.outer(p, q), np.outer(u, v)), (p.outer(q), np.outer(u, v)), (p @ p, u @ u)),
        *((tg.bmm(x[None], y[None]), (a @ b)[None]), (x[None].bmm(y[None]), (a @ b)[None])),
        *(
            (tg.addmm(q, x, y), v + a @ b),
            (q.addmm(x, y, beta=2, alpha=0.5), 2 * v + 0.5 * (a @ b)),
        ),
        *((tg.addmm(tg.tensor(1.0), x, y, beta=0), a @ b),),
        *(
            (tg.nn.functional.linear(x, y.mT), a @ b),
            (tg.nn.functional.linear(p, y.T, q), u @ b + v),
        ),
        *((tg.nn.functional.linear(x.reshape(1, n, k), y.T, q), (a @ b + v)[None]),),
        *((tg.einsum("ij,jk->ki", x, y), (a @ b).T), (tg.einsum("ij,jk", x, y), a @ b)),
        *((tg.einsum("...j,jk", x, y), a @ b), (tg.einsum("i,i", [p, p]), u @ u)),
        *((tg.einsum("ij->", x), a.sum()), (tg.einsum(" i j -> j i ", x), a.T)),
    ):
        close(got.numpy(), np.asarray(expected), tolerance=1e-13)
    for name, call in (
        ("mm", lambda: tg.mm(x, p)),
        ("mv", lambda: tg.mv(p, p)),
        ("dot", lambda: tg.dot(x, p)),
        ("outer", lambda: tg.outer(x, p)),
        ("bmm", lambda: tg.bmm(x, y)),
        ("matmul", lambda: tg.matmul(x, tg.ones(k + 1, 2))),
        ("matmul", lambda: tg.matmul(x, tg.tensor(2.0))),
        ("linear", lambda: tg.nn.functional.linear(x, tg.ones(2, k + 1))),
        ("linear", lambda: tg.nn.functional.linear(tg.tensor(2.0), tg.ones(2, 3), tg.ones(2))),
    ):
        with pytest.raises(ShapeError, match=name):
            call()


@given(st.data(), seeds)
def test_einsum_of_diagonals_broadcast_axes_and_size_one(data: Any, seed: int):
    a = data.draw(arrays((3, 3)))
    c = data.draw(arrays((2, 3, 3)))
    one = data.draw(arrays((1,)))
    for equation, operands in (
        ("ii->i", [a]),
        ("ii", [a]),
        ("...ii->...i", [c]),
        ("bij,bjk->bik", [c, c]),
        ("...ij,jk->...ik", [c, a]),
        ("ij,ij,ij->", [a, a, a]),
        ("i,i->i", [one, a[0]]),
        ("ij,kj->", [a, one[None]]),
        ("i,j->ij", [a[0], one]),
    ):
        got = tg.einsum(equation, *map(tg.tensor, operands))
        close(got.numpy(), np.einsum(equation, *operands), tolerance=1e-13)
        for i, operand in enumerate(operands):
            # Linear in each operand: the gradient's product with it is the result's with the seed.
            inputs = [T(o.copy()) if k == i else tg.tensor(o) for k, o in enumerate(operands)]
            out = tg.einsum(equation, *inputs)
            weights = np.random.default_rng(seed).uniform(1, 2, out.shape)
            out.backward(tg.tensor(weights))
            close(
                (inputs[i].grad.numpy() * operand).sum(),
                (out.detach().numpy() * weights).sum(),
                tolerance=1e-12,
            )
            assert inputs[i].grad.shape == operand.shape
