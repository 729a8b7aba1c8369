"""What is a convention and no mathematics: dtypes, who shares memory, what requires grad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from drawing import T, arrays, close, cotangent, gradients, seeds, well_made
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.errors import DtypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = (np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8, np.bool_)


@pytest.fixture(autouse=True)
def _default_dtype_is_put_back() -> Iterator[None]:
    yield
    tg.set_default_dtype(tg.float64)


# The default dtype


def test_the_default_dtype_is_numpys_and_can_be_changed():
    assert tg.get_default_dtype() == np.float64
    for dtype in (np.float32, "float32", tg.float32, np.dtype("f")):
        tg.set_default_dtype(dtype)
        assert tg.get_default_dtype() == np.float32
        tg.set_default_dtype(tg.float64)
    for wrong in (np.int64, bool, tg.uint8):
        with pytest.raises(DtypeError, match=r"must be a float, got \w+: try float32 or float64"):
            tg.set_default_dtype(wrong)
    assert tg.get_default_dtype() == np.float64


@given(st.sampled_from([np.float64, np.float32]), st.sampled_from(NUMBERS))
def test_python_floats_become_the_default_and_arrays_keep_theirs(default: Any, dtype: Any):
    tg.set_default_dtype(default)
    for made in (
        tg.tensor(1.5),
        tg.tensor([1, 2.5]),
        tg.tensor([[1.0], [2.0]]),
        tg.tensor([]),
        tg.Tensor([1.0]),
    ):
        assert made.dtype == default
    for made in (tg.zeros(2), tg.ones(2, 1), tg.full((2,), 0.5), tg.eye(2), tg.linspace(0, 1, 3)):
        assert made.dtype == default
    for made in (tg.rand(2), tg.randn(2), tg.empty(2), tg.arange(0, 1, 0.5), tg.as_tensor([1.0])):
        assert made.dtype == default
    assert tg.tensor([1, 2]).dtype == tg.arange(3).dtype == np.int64
    assert tg.tensor([True]).dtype == np.bool_
    a = np.ones(2, dtype)
    for made in (
        tg.tensor(a),
        tg.as_tensor(a),
        tg.from_numpy(a),
        tg.tensor(a[0]),
        tg.tensor([a, a]),
    ):
        assert made.dtype == dtype
    assert tg.tensor([1.5], dtype=tg.float16).dtype == np.float16


@given(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS))
def test_operands_are_promoted_as_numpy_does(one: Any, other: Any):
    a, b = np.ones(2, one), np.ones(2, other)
    assert (tg.tensor(a) + tg.tensor(b)).dtype == (a + b).dtype
    assert (tg.tensor(a) * 2).dtype == (a * 2).dtype
    assert (tg.tensor(a) / 2).dtype == (a / 2).dtype
    assert (tg.tensor(a) > tg.tensor(b)).dtype == np.bool_


def test_a_gradient_is_of_its_own_tensors_dtype_where_operands_differ():
    x, y = T(np.ones(2, np.float32)), T(np.ones(2))
    gradients(lambda x, y: x * y + x.double() * 2, [x, y], 0)
    assert (x * y).dtype == np.float64
    (slope,) = tg.autograd.grad((x * y * y).sum(), x, create_graph=True)
    assert slope.dtype == np.float32
    well_made(tg.autograd.grad(slope.sum(), y)[0], y)


# Copies and shared memory


@given(arrays(), st.booleans())
def test_tensor_copies_and_as_tensor_and_from_numpy_share(a: Any, readonly: bool):
    a.flags.writeable = not readonly
    assert not np.shares_memory(tg.tensor(a).numpy(), a)
    assert not np.shares_memory(tg.Tensor(a).numpy(), a)
    for shared in (tg.as_tensor(a), tg.from_numpy(a)):
        assert np.array_equal(shared.numpy(), a)
        assert np.shares_memory(shared.numpy(), a) or not a.size
        assert not shared.requires_grad
    x = tg.from_numpy(a)
    assert tg.as_tensor(x) is x
    assert not np.shares_memory(tg.tensor(x).numpy(), a)
    assert tg.as_tensor(x, dtype=tg.float32).dtype == np.float32
    # tensor() of a tensor cuts it off, being told to copy.
    y = T(a)
    assert not tg.tensor(y).requires_grad
    assert tg.as_tensor(y) is y
    for wrong in ([1.0], 1.0, x, np.float64(1)):
        with pytest.raises(TypeError, match=r"from_numpy takes a NumPy array, got \w+: use tensor"):
            tg.from_numpy(wrong)


@given(arrays())
def test_arrays_in_the_other_order_of_bytes_are_converted_or_refused(a: Any):
    other = a.astype(a.dtype.newbyteorder())
    x = tg.tensor(other, requires_grad=True)
    assert x.dtype == np.float64
    gradients(lambda x: x * other + x, [x], 0)
    assert tg.as_tensor(other).dtype == np.float64
    with pytest.raises(DtypeError, match=r"not that of this machine: use tensor"):
        tg.from_numpy(other)


@given(arrays(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1)))
def test_data_and_grad_are_tensors_that_share(a: Any):
    x = T(a)
    assert type(x.data) is tg.Tensor
    assert not x.data.requires_grad
    x.data.fill_(3.0)
    assert np.all(a == 3)
    x.sum().backward()
    assert type(x.grad) is tg.Tensor
    assert not x.grad.requires_grad
    kept = x.grad
    kept.fill_(7.0)
    assert np.all(x.grad.numpy() == 7)
    before = x.data
    x.data = tg.full(x.shape, 5.0)
    assert np.all(x.numpy() == 5)
    assert np.all(before.numpy() == 3)


@given(arrays(), st.booleans())
def test_variable_is_a_leaf_that_shares(a: Any, requires_grad: bool):
    for x in (tg.from_numpy(a), T(a) * 1):
        y = tg.autograd.Variable(x, requires_grad=requires_grad)
        assert y.is_leaf
        assert y.requires_grad is requires_grad
        assert np.shares_memory(y.numpy(), x.numpy()) or not a.size


@given(arrays())
def test_numpy_gives_a_read_only_view_at_any_time(a: Any):
    x = T(a)
    for t in (x, x * 2, x.detach(), (x + 1).data):
        view = t.numpy()
        assert type(view) is np.ndarray
        assert not view.flags.writeable
        assert np.shares_memory(view, t.numpy()) or not a.size
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
    assert np.asarray(x.detach()).shape == a.shape
    for recorded in (x, x * 2):
        with pytest.raises(GraphError, match=r"x\.numpy\(\).*x\.detach\(\)"):
            np.asarray(recorded)
    with tg.no_grad():
        np.asarray(x * 2)
    # The memory is the tensor's own still: it can be changed by those who may.
    x.data.zero_()
    assert not a.any()


# What requires grad


@given(st.sampled_from([d for d in NUMBERS if np.dtype(d).kind != "f"]))
def test_whole_numbers_and_truth_values_do_not_require_grad(dtype: Any):
    x = tg.ones(2, dtype=dtype)
    for call in (
        x.requires_grad_,
        lambda: setattr(x, "requires_grad", True),
        lambda: tg.tensor([1, 0], dtype=dtype, requires_grad=True),
        lambda: tg.ones(2, dtype=dtype, requires_grad=True),
        lambda: tg.Tensor(np.ones(2, dtype), requires_grad=True),
        lambda: tg.zeros_like(x, requires_grad=True),
        lambda: tg.nn.Parameter(x),
    ):
        with pytest.raises(DtypeError, match=rf"{np.dtype(dtype)}.*tensor\(\[1\., 2\.\]\)|double"):
            call()
    assert not x.requires_grad
    assert not x.requires_grad_(requires_grad=False).requires_grad
    assert not (x * tg.ones(2)).requires_grad


@given(arrays((2, 3)))
def test_what_has_no_slope_never_requires_grad(a: Any):
    x = T(a)
    for flat in (
        *(x > 0, x == x.data, x != 0, x < 1, x <= 1, x >= 0, tg.eq(x, x), x.ge(0)),
        *(x.argmax(), x.argmin(dim=0), x.argsort(), x.sort().indices, x.topk(1).indices),
        *(x.max(dim=1).indices, x.all(), x.any(dim=0), x // 2, tg.div(x, 2, rounding_mode="floor")),
        *(x.long(), x.int(), x.bool(), x.to(tg.uint8 if (a >= 0).all() else tg.int64)),
        *(
            np.floor(x),
            np.rint(x),
            np.sign(x),
            ~(x > 0),
            (x > 0) & (x < 1),
        ),
        *(
            tg.zeros_like(x),
            tg.ones_like(x),
            tg.rand_like(x),
            tg.full_like(x, 2),
            x.detach(),
            x.data,
        ),
    ):
        assert type(flat) is tg.Tensor
        assert not flat.requires_grad
        assert flat.is_leaf
    # And a gradient that comes through them is no gradient at all.
    (g,) = gradients(lambda x: x * (x > 0) + x // 2 * 0, [x], 0)
    close(g, cotangent((2, 3), 0) * (a > 0), tolerance=1e-15)


def test_what_is_made_by_hand_and_what_is_a_result():
    x = T(np.ones(2))
    y = x * 2
    assert x.is_leaf
    assert not y.is_leaf
    assert y.requires_grad
    assert (tg.ones(2) * 2).is_leaf
    with pytest.raises(GraphError, match=r"this is a result.*x\.detach\(\)"):
        y.requires_grad = False
    with pytest.raises(GraphError, match="this is a result"):
        y.requires_grad_(requires_grad=False)
    y.requires_grad = True
    x.requires_grad = False
    assert not (x * 2).requires_grad


@given(arrays((2,)), seeds)
def test_detach_cuts_and_clone_does_not(a: Any, seed: int):
    x = T(a)
    (g,) = gradients(lambda x: x * x.detach() + x.clone() * 2, [x], seed)
    close(g, cotangent((2,), seed) * (a + 2), tolerance=1e-15)
    copy = x.clone()
    assert not np.shares_memory(copy.numpy(), a)
    assert copy.requires_grad
    assert not copy.is_leaf
    assert not tg.ones(2).clone().requires_grad


# Used graphs


@given(arrays((2,)), st.integers(0, 2))
def test_a_graph_is_used_once_unless_it_is_retained(a: Any, times: int):
    x = T(a)
    out = (x * x).sum()
    for _ in range(times):
        out.backward(retain_graph=True)
    out.backward()
    kept = x.grad.numpy().copy()
    close(kept, 2 * a * (times + 1), tolerance=1e-14)
    for again in (out.backward, lambda: tg.autograd.grad(out, x), (out * 2).backward):
        with pytest.raises(GraphError, match=r"freed by an earlier.*detach\(\).*retain_graph=True"):
            again()
    assert np.array_equal(x.grad.numpy(), kept)
    out = (x * x).sum()
    tg.autograd.grad(out, x)
    with pytest.raises(GraphError, match="freed by an earlier"):
        out.backward()
    out = (x * x).sum()
    tg.autograd.grad(out, x, create_graph=True)
    out.backward(retain_graph=False)
    with pytest.raises(GraphError, match="freed by an earlier"):
        out.backward()


def test_a_part_that_was_used_is_found_from_whatever_is_built_on_it():
    x = T(np.array([2.0]))
    shared = x * x
    (shared * 3).backward()
    later = shared + x
    for walk in (
        later.backward,
        lambda: tg.autograd.grad(later, x),
        lambda: later.backward(inputs=[x]),
        lambda: tg.autograd.grad(later, x, create_graph=True),
    ):
        with pytest.raises(GraphError, match="at the multiply"):
            walk()
    assert x.grad.tolist() == [12]
    (shared.detach() + x).backward()
    assert x.grad.tolist() == [13]


# MSELoss


REDUCTIONS = {
    "mean": lambda d: (d * d).mean(),
    "sum": lambda d: (d * d).sum(),
    "none": lambda d: d * d,
    "batchmean": lambda d: (d * d).sum() / d.shape[0],
}


@pytest.mark.parametrize("reduction", sorted(REDUCTIONS))
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), seeds)
def test_mse_loss_and_its_reductions(reduction: str, data: Any, shape: Any, seed: int):
    a, b = data.draw(arrays(shape)), data.draw(arrays(shape))
    x, y = T(a), T(b)
    loss = tg.MSELoss(reduction=reduction)
    out = loss(x, y)
    expected = REDUCTIONS[reduction](a - b)
    close(out.detach().numpy(), expected, tolerance=1e-14)
    assert np.array_equal(out.numpy(), tg.nn.functional.mse_loss(x, y, reduction=reduction).numpy())
    g = cotangent(out.shape, seed)
    count = {"mean": a.size, "batchmean": shape[0]}.get(reduction, 1)
    got = gradients(loss, [x, y], seed)
    close(got[0], 2 * (a - b) * g / count, tolerance=1e-13)
    close(got[1], -got[0], tolerance=1e-15)


def test_mse_loss_of_float32_arrays_0d_and_of_nothing():
    x = T(np.ones((2, 3), np.float32))
    loss = tg.MSELoss()(x, np.zeros((2, 3), np.float32))
    assert loss.dtype == np.float32
    loss.backward()
    assert well_made(x.grad, x).ravel().tolist() == pytest.approx([1 / 3] * 6)
    (g,) = gradients(
        lambda x: tg.MSELoss(reduction="batchmean")(x, tg.tensor(1.0)), [T(np.asarray(3.0))], 0
    )
    close(g, 4 * cotangent((), 0))
    empty = T(np.zeros((0, 2)))
    for reduction in ("sum", "none"):
        tg.MSELoss(reduction=reduction)(empty, empty.detach()).sum().backward()
        assert empty.grad.shape == (0, 2)


@given(st.integers(2, 5))
def test_mse_loss_refuses_shapes_that_would_broadcast(n: int):
    for shape, target in (
        ((n, 1), (n,)),
        ((n,), (n, 1)),
        ((n, 2), (2,)),
        ((n, n), (n,)),
        ((n,), (1,)),
        ((n,), ()),
    ):
        for loss in (tg.MSELoss(), tg.nn.functional.mse_loss):
            with pytest.raises(ShapeError) as told:
                loss(tg.zeros(shape), tg.zeros(target))
            message = str(told.value)
            assert f"input has shape {shape} and target {target}" in message
            assert str(np.broadcast_shapes(shape, target)) in message
    with pytest.raises(ShapeError, match=rf"target\.reshape\(\({n}, 1\)\)"):
        tg.MSELoss()(tg.zeros(n, 1), tg.zeros(n))
    with pytest.raises(ShapeError, match="do not broadcast"):
        tg.MSELoss()(tg.zeros(n, 2), tg.zeros(n, 3))
    with pytest.raises(DtypeError, match="target is a list, expected a tensor or an array"):
        tg.MSELoss()(tg.zeros(2), [0.0, 0.0])
    with pytest.raises(
        ValueError, match="is 'average', expected one of mean, sum, none, batchmean"
    ):
        tg.nn.functional.mse_loss(tg.zeros(2), tg.zeros(2), reduction="average")


def test_a_target_that_is_no_number_is_refused_and_told():
    x, y = tg.zeros(3, 2), tg.zeros(3, 2)
    y[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"mse_loss: target is NaN at index \(1, 0\)"):
        tg.nn.functional.mse_loss(x, y)
