"""Conversions, copies, printing and casts of tensors, and assignment to items."""

import copy
import gc
import pickle
import tracemalloc
from typing import Any
from weakref import ref

import numpy as np
import pytest
from drawing import T, arrays, close, gradients, numbers, same, seeds, shapes
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.core.errors import GraphError

filled = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)


@given(arrays(filled, dtype=np.float64) | hnp.arrays(np.int64, filled) | hnp.arrays(bool, filled))
def test_conversions_to_python_values(a: Any):
    x = tg.tensor(a)
    assert x.tolist() == a.tolist()
    if a.size == 1:
        assert x.item() == a.item()
        assert type(x.item()) is type(a.item())
        assert float(x) == float(a.item())
        assert int(x) == int(a.item())
        assert bool(x) is bool(a.item())
        if a.dtype.kind == "f":
            with pytest.raises(TypeError, match="as an integer"):
                range(x)
        elif a.dtype.kind == "i" and abs(a.item()) < 100:
            assert list(range(x)) == list(range(a.item()))
    else:
        for call in (x.item, lambda: float(x), lambda: int(x), lambda: bool(x)):
            with pytest.raises(ValueError, match="shape"):
                call()
    if a.ndim:
        assert len(x) == len(a)
        for got, expected in zip(x, a, strict=True):
            same(got, expected)
        assert a.flat[0] in x
        assert 12345.5 not in x


@given(arrays())
def test_equality_is_elementwise_and_hashing_is_by_identity(a: Any):
    x, y = tg.tensor(a), tg.tensor(a)
    same(x == y, np.ones(a.shape, bool))
    same(x != y, np.zeros(a.shape, bool))
    assert hash(x) != hash(y)
    assert len({x, y, x}) == 2
    for other in (None, "text", object()):
        assert (x == other) is False
        assert (x != other) is True
    assert x in [None, "text", x]


@given(
    arrays(shapes) | hnp.arrays(np.int64, shapes) | hnp.arrays(bool, shapes),
    st.booleans(),
    st.booleans(),
)
def test_copies_by_pickle_and_deepcopy(a: Any, requires_grad: bool, has_grad: bool):
    requires_grad = requires_grad and a.dtype.kind == "f"
    x = tg.tensor(a, requires_grad=requires_grad)
    if requires_grad and has_grad:
        (x * 3).sum().backward()
    protocols = range(2, pickle.HIGHEST_PROTOCOL + 1)
    for copied in (copy.deepcopy(x), *(pickle.loads(pickle.dumps(x, p)) for p in protocols)):
        same(copied, a)
        assert copied.requires_grad is requires_grad
        assert copied.is_leaf
        assert not np.shares_memory(copied.numpy(), x.numpy())
        if x.grad is None:
            assert copied.grad is None
        else:
            same(copied.grad, x.grad.numpy())
            assert not np.shares_memory(copied.grad.numpy(), x.grad.numpy())
    twice = copy.deepcopy([x, x])
    assert twice[0] is twice[1]


@given(seeds)
def test_copies_of_tensors_that_share_memory_share_one_copy(seed: int):
    rng = np.random.default_rng(seed)
    order = "FC"[int(rng.integers(2))]
    x = tg.from_numpy(np.array(rng.normal(size=(3, 4)), order=order))
    views = [x, x[1:, ::2], x.t(), x[0], x.detach(), x[:, 1:2].expand(3, 2), x[3:]]
    chosen = [views[k] for k in rng.permutation(len(views))[:4]]
    holder = tg.ones(4, requires_grad=True)
    holder.grad = x[0]
    for copies in (copy.deepcopy((chosen, holder)), pickle.loads(pickle.dumps((chosen, holder)))):
        both = [(*chosen, holder.grad), (*copies[0], copies[1].grad)]
        for a, b in zip(*both, strict=True):
            same(b, a.numpy())
            assert not np.shares_memory(a.numpy(), b.numpy())
        pairs = [[np.shares_memory(a.numpy(), b.numpy()) for a in ts for b in ts] for ts in both]
        assert pairs[0] == pairs[1]


def test_copies_of_results_are_leaves():
    x = T(np.ones(2))
    y = (x * 2).relu()
    with pytest.raises(GraphError, match="without its graph"):
        copy.deepcopy(y)
    for copied in (copy.deepcopy(y.detach()).requires_grad_(), pickle.loads(pickle.dumps(y))):
        assert copied.tolist() == [2, 2]
        assert copied.is_leaf
        copied.sum().backward()
        assert x.grad is None


PRINTED: list[Any] = [
    (lambda: tg.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
    (lambda: tg.tensor(3.0), "tensor(3.)"),
    (lambda: tg.tensor([1, 2]), "tensor([1, 2])"),
    (lambda: tg.tensor(7), "tensor(7)"),
    (lambda: tg.tensor(data=True), "tensor(True)"),
    (lambda: tg.tensor([True, False]), "tensor([ True, False])"),
    (lambda: tg.zeros(0), "tensor([])"),
    (lambda: tg.zeros(0, 3), "tensor([], size=(0, 3))"),
    (lambda: tg.ones(1, dtype=tg.float32), "tensor([1.], dtype=float32)"),
    (lambda: tg.ones(1, requires_grad=True), "tensor([1.], requires_grad=True)"),
    (lambda: tg.ones(1, requires_grad=True) * 2, "tensor([2.], made_by=multiply)"),
    (lambda: tg.tensor(1e-10), "tensor(1.e-10)"),
    (lambda: tg.tensor(float("nan")), "tensor(nan)"),
    (lambda: tg.tensor(float("-inf")), "tensor(-inf)"),
    (lambda: tg.tensor(1e30), "tensor(1.e+30)"),
    (lambda: tg.tensor([[1.0], [2.0]]), "tensor([[1.],\n        [2.]])"),
]


@pytest.mark.parametrize(("create", "expected"), PRINTED)
def test_repr(create: Any, expected: str):
    assert repr(create()) == str(create()) == expected


@given(numbers())
def test_format(value: float):
    assert f"{tg.tensor(value):.3f}" == f"{value:.3f}"
    assert f"{tg.tensor([value])}" == repr(tg.tensor([value]))
    with pytest.raises((TypeError, ValueError)):
        f"{tg.tensor([value, value]):.3f}"


@given(arrays(), st.sampled_from([tg.float64, tg.float32, tg.int64, tg.bool]))
def test_casts(a: Any, dtype: Any):
    x = T(a)
    like = tg.ones(1, dtype=dtype)
    for got in (x.to(dtype), x.type_as(like), x.to(dtype=dtype), x.to("cpu", dtype), x.to(like)):
        same(got, a.astype(dtype))
        assert got.requires_grad is (dtype.kind == "f")
    assert x.to("cpu") is x.to(tg.device("cpu")) is x.to(x.dtype) is x.cpu() is x.double() is x
    assert x.to(copy=True) is not x
    assert x.to(x.dtype, copy=True) is not x
    assert not np.shares_memory(x.to(copy=True).numpy(), a)
    gradients(lambda x: x.float() * 2 + x.half().double(), [x], 0)


# PyTorch's attributes


def test_grad_fn_leads_through_the_graph():
    x = tg.ones(2, requires_grad=True)
    assert x.grad_fn is None
    out = (x.exp() * 2).sum()
    assert out.grad_fn is not None
    assert out.grad_fn.name() == "SumBackward"
    ((product, zero),) = out.grad_fn.next_functions
    assert (repr(product), zero) == ("<MultiplyBackward>", 0)
    exp, constant = (node for node, _ in product.next_functions)
    assert constant is None
    ((leaf, _),) = exp.next_functions
    assert leaf.name() == "AccumulateGrad"
    assert leaf.next_functions == ()
    assert out.grad_fn == out.grad_fn
    out.backward()
    assert product.next_functions == ()  # freed, since its rules read values


def test_the_grad_of_a_result_warns():
    x = tg.ones(2, requires_grad=True)
    y = x * 2
    with pytest.warns(UserWarning, match=r"not a leaf \(the result of multiply\).*retain_grad"):
        assert y.grad is None
    y.retain_grad()
    assert y.grad is None


def test_print_options():
    x = tg.tensor([1 / 3, 1e-8])
    try:
        tg.set_printoptions(precision=2)
        assert repr(x) == "tensor([3.33e-01, 1.00e-08])"
        tg.set_printoptions(sci_mode=False)
        assert repr(x) == "tensor([0.33, 0.  ])"
        tg.set_printoptions(sci_mode=None)
        assert repr(x) == "tensor([3.33e-01, 1.00e-08])"
        tg.set_printoptions(threshold=3, edgeitems=1)
        assert repr(tg.arange(9)) == "tensor([0, ..., 8])"
    finally:
        tg.set_printoptions(precision=4, threshold=1000, edgeitems=3, sci_mode=True)


# Assignment of recorded values


@given(st.data())
def test_assigned_values_get_gradients(data: Any):
    a = data.draw(arrays((3, 2)))
    at = data.draw(
        st.sampled_from([0, -1, slice(1, None), (..., 0), [0, 0], ([1, 1], [0, 0]), a > 0, None])
    )
    value = np.arange(1.0, a[at].size + 1).reshape(a[at].shape)
    w = T(value)
    x = T(np.zeros((3, 2)))
    out = x * 2
    out[at] = w
    expected = np.zeros((3, 2))
    expected[at] = value
    assert np.array_equal(out.detach().numpy(), expected)
    weights = np.random.default_rng(0).uniform(1, 2, (3, 2))
    out.backward(tg.tensor(weights))
    writer = np.full((3, 2), -1)
    writer[at] = np.arange(value.size).reshape(value.shape)
    gradient = np.zeros(value.size)
    gradient[writer[writer >= 0]] = weights[writer >= 0]
    if value.size:
        assert np.array_equal(w.grad.numpy(), gradient.reshape(value.shape))
    assert np.array_equal(x.grad.numpy(), np.where(writer >= 0, 0, 2 * weights))


@given(arrays((4,)), arrays((4,)), seeds)
def test_an_assigned_value_may_depend_on_other_elements(a: Any, b: Any, seed: int):
    # The recurrence h[i] = tanh(h[i - 1] * w[i]) + x[i], with h as one tensor and as a list.
    def states(h: Any, w: Any, x: Any) -> Any:
        for i in range(4):
            value = ((h[i - 1] if i else 1.0) * w[i]).tanh() + x[i]
            if isinstance(h, list):
                h.append(value)
            else:
                h[i] = value
        return tg.stack(h) if isinstance(h, list) else h * 1

    inputs = [T(a), T(b)]
    expected = gradients(lambda w, x: states([], w, x), inputs, seed)
    for buffer in (lambda: tg.zeros(4), lambda: tg.eye(2).view(4), lambda: tg.linspace(0, 1, 4)):
        actual = gradients(lambda w, x, h=buffer: states(h(), w, x), inputs, seed)
        for gradient, other in zip(actual, expected, strict=True):
            close(gradient, other)


VIEWS = (lambda x: x[:1], lambda x: x.view(2, 1)[0], lambda x: x.t()[:1].t().expand(1))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("assigned", ["base", "view", "sibling"])
def test_a_view_that_was_not_recorded_knows_its_base(view: Any, assigned: str):
    w = tg.tensor(3.0, requires_grad=True)
    out = tg.zeros(1) + tg.zeros(2)
    before, sibling = view(out), out.view(1, 2)[0]
    detached, result = out.detach(), (out + 1) * w
    {"base": out, "view": before, "sibling": sibling}[assigned][0] = w
    assert detached.tolist() == out.tolist() == sibling.tolist() == [3, 0]
    assert all(t.requires_grad and not t.is_leaf for t in (out, before, sibling))
    assert not detached.requires_grad
    assert not (detached * 2).requires_grad
    total = before.sum() + 10 * sibling.sum() + 100 * out.sum() + 1000 * result.sum()
    total.backward()
    assert w.grad.item() == 111 + 2000


def test_a_tensor_of_detached_memory_does_not_follow():
    w = tg.tensor(3.0, requires_grad=True)
    out = tg.zeros(1) + tg.zeros(2)
    detached = out.detach()
    detached[0] = w
    assert not (out * 2).requires_grad
    assert out.tolist() == [3, 0]
    of_array = tg.from_numpy(np.zeros(4)[::2])
    of_array[0] = w
    assert of_array.requires_grad


def test_a_view_whose_base_is_unknown_raises_where_it_is_assigned_or_used():
    w = tg.tensor(3.0, requires_grad=True)
    out = tg.zeros(1) + tg.zeros(2, 1)
    with tg.no_grad():
        view = out[:1]
    reshaped = out[:1]
    out.t_()
    for v in (view, reshaped):
        with pytest.raises(GraphError, match=r"cannot follow, since it was taken under `no_grad`"):
            v[0] = w
    out[0] = w
    for v in (view, reshaped):
        with pytest.raises(GraphError, match=r"cannot follow, .* Take it after the assignment"):
            v * 2
    read = tg.zeros(2)
    result = read * w
    read[0] = w
    with pytest.raises(GraphError, match="changed in place"):
        result.sum().backward()


def test_changes_of_data_are_not_recorded():
    p = tg.ones(2, requires_grad=True)
    for slow in (tg.zeros(2), p.data.clone(), tg.zeros(2, requires_grad=True), p * 1):
        slow.data.copy_(p * 3)
        slow.data[0] = p.sum()
        slow.data += p
        assert slow.tolist() == [3, 4]
        assert (slow + p).tolist() == [4, 5]


def test_views_of_leaves_cannot_be_assigned_to():
    view = tg.zeros(2, requires_grad=True)[:1]
    with pytest.raises(GraphError, match="no_grad"):
        view[0] = tg.tensor(3.0, requires_grad=True)


def test_filling_a_buffer_takes_linear_memory_and_leaves_no_cycle():
    def peak(n: int) -> int:
        w = tg.ones(50, requires_grad=True)
        gc.collect()
        tracemalloc.start()
        x = tg.zeros(n, 50)
        for i in range(n):
            x[i] = w * i + (x[i - 1] if i else 0)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        x.sum().backward()
        assert w.grad.tolist() == [sum(i * (n - i) for i in range(n))] * 50
        freed = ref(x)
        del x
        assert freed() is None
        return size

    assert peak(200) < 2.5 * peak(100)


@given(seeds, st.sampled_from([2, -3, 0.5]))
def test_round_and_divmod(seed: int, b: float):
    a = np.random.default_rng(seed).normal(scale=9, size=(2, 3))
    x = tg.tensor(a)
    same(round(x), np.round(a))
    same(round(x, 1), np.round(a, 1))
    for results, expected in ((divmod(x, b), divmod(a, b)), (divmod(b, x), divmod(b, a))):
        for result, value in zip(results, expected, strict=True):
            same(result, value)


@pytest.mark.parametrize("count", [tg.tensor(3), tg.tensor([2]), tg.tensor([[True]])])
def test_a_list_times_an_integer_is_repeated(count: Any):
    for data in ([0.5], (1, 2)):
        assert data * count == count * data == data * int(count)
    same(tg.tensor([2, 3]) * [1, 2], np.array([2, 6]))  # an operand otherwise
    same([1.0, 2.0] * tg.tensor(0.5), np.array([0.5, 1.0]))
