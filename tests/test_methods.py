"""In-place methods: allowed where no graph needs the value, detected where one does."""

from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, checked_array, close, cotangent, gradients, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.core.errors import DtypeError, GraphError, ShapeError

# Tensors that share memory with a tensor of shape (2, 3).
SHARING: dict[str, Any] = {
    "data": lambda x: x.data,
    "detach": lambda x: x.detach(),
    "from_numpy": lambda x: tg.from_numpy(x.data._array),
    "Parameter": lambda x: tg.nn.Parameter(x.data).data,
    "a view of the array": lambda x: tg.from_numpy(x.data._array[:, ::-1].T),
    "as_strided": lambda x: tg.from_numpy(np.lib.stride_tricks.as_strided(x.data._array)),
    "a buffer": lambda x: tg.from_numpy(np.frombuffer(memoryview(x.data._array))),
    "iteration": lambda x: next(iter(x.data)),
    "reversed": lambda x: x.data[::-1],
    "split": lambda x: x.data.split(1)[1],
    "contiguous": lambda x: x.data.contiguous(),
    "a result's detach": lambda x: x.reshape(-1).detach(),
    "a cast to itself": lambda x: x.data.to(x.dtype),
}
# In-place changes of a tensor, all of which change its first element.
CHANGING: dict[str, Any] = {
    "add_": lambda t: t.add_(1.0),
    "sub_": lambda t: t.sub_(1.0),
    "mul_": lambda t: t.mul_(-3.0),
    "div_": lambda t: t.div_(-3.0),
    "+=": lambda t: t.__iadd__(1.0),
    "-=": lambda t: t.__isub__(1.0),
    "*=": lambda t: t.__imul__(-3.0),
    "/=": lambda t: t.__itruediv__(-3.0),
    "zero_": lambda t: t.zero_(),
    "fill_": lambda t: t.fill_(9.0),
    "copy_": lambda t: t.copy_(tg.full(t.shape, 9.0)),
    "clamp_": lambda t: t.clamp_(8, 9),
    "normal_": lambda t: t.normal_(),
    "uniform_": lambda t: t.uniform_(8, 9),
    "exp_": lambda t: t.exp_(),
    "setitem": lambda t: t.__setitem__(..., 9.0),
    "setitem by mask": lambda t: t.__setitem__(t > -9, 9.0),
    "setitem by index": lambda t: t.__setitem__((0,) * t.ndim, 9.0),
}


@pytest.mark.parametrize("sharing", sorted(SHARING))
@given(how=st.sampled_from(sorted(CHANGING)), seed=seeds)
@settings(max_examples=25)
def test_an_in_place_change_through_any_alias_is_detected(sharing: str, how: str, seed: int):
    a = cotangent((2, 3), seed)
    x = T(a)
    product = x * x
    shared = SHARING[sharing](x)
    assert np.shares_memory(shared.numpy(), a)
    before = a.copy()
    with tg.no_grad():
        CHANGING[how](shared)
    assert not np.array_equal(a, before)
    message = r"multiply needs its argument [01] .*of shape \(2, 3\).*changed"
    with pytest.raises(GraphError, match=message):
        product.sum().backward()
    assert x.grad is None
    # A new forward pass has the correct gradient.
    weights = cotangent((2, 3), seed)
    (x * x).backward(tg.from_numpy(weights))
    close(checked_array(x.grad, x), 2 * a * weights, tolerance=1e-15)


@given(st.sampled_from(sorted(SHARING)), st.sampled_from(sorted(CHANGING)), seeds)
def test_changing_values_that_no_rule_reads_is_allowed(sharing: str, how: str, seed: int):
    def only_shapes(x: Any) -> Any:
        y = tg.cat([x, x.reshape(3, 2).T, -x / 3]).transpose(0, 1)
        y = tg.stack([y, y.clone()]).flatten(1)[:, ::-1].expand(2, 2, 18)
        z = x.mean(dim=0).squeeze()[[0, 0]].sum() + tg.stack([x, x]).sum()
        return y.sum(dim=0).mean() + x.sum() + z + x.flip(0).sum()

    a = cotangent((2, 3), seed)
    x = T(a)
    (expected,) = gradients(only_shapes, [x], seed)
    x.grad = None
    out = only_shapes(x)
    with tg.no_grad():
        CHANGING[how](SHARING[sharing](x))
    out.backward(tg.tensor(cotangent((), seed)))
    close(checked_array(x.grad, x), expected, tolerance=1e-14)


def test_a_change_that_raises_counts_only_if_it_has_written():
    x = T(np.array([1.0, 1e308]))
    out = (x * tg.tensor([3.0, 0.0])).sum()
    squares = (x * 1e-308 * x).sum()
    for wrong in (tg.ones(3), tg.ones(2, 2), "text"):
        with pytest.raises((ShapeError, DtypeError)):
            x.data.add_(wrong)
    with pytest.raises((ShapeError, IndexError)):
        x.data[5] = 1
    tg.autograd.grad(squares, x, retain_graph=True)
    with pytest.raises(FloatingPointError):
        x.data.add_(1e308)  # NumPy writes first and raises then
    with pytest.raises(GraphError, match="changed in place"):
        squares.backward()
    out.backward()
    assert x.grad.tolist() == [3, 0]


# Errors while recording


@pytest.mark.parametrize("how", sorted(CHANGING))
def test_changing_a_leaf_that_requires_grad_raises_while_recording(how: str):
    x = T(np.array([[1.0, 2.0]]))
    before = x.numpy().copy()
    with pytest.raises(GraphError, match="Two ways work") as raised:
        CHANGING[how](x)
    change = "[i] = y" if how.startswith("setitem") else " -= lr * w.grad"
    assert f"with no_grad(): w{change}" in str(raised.value)
    assert f"w.data{change}" in str(raised.value)
    assert np.array_equal(x.numpy(), before)
    (x * 2).sum().backward()
    with tg.no_grad():
        CHANGING[how](x)
    assert x.requires_grad
    assert not np.array_equal(x.numpy(), before)


RECORDED: dict[str, tuple[Any, Any]] = {
    "add_": (lambda x, y: x.add_(y, alpha=2), lambda x, y: x + 2 * y),
    "sub_": (lambda x, y: x.sub_(y), lambda x, y: x - y),
    "mul_": (lambda x, y: x.mul_(y), lambda x, y: x * y),
    "div_": (lambda x, y: x.div_(y), lambda x, y: x / y),
    "addcmul_": (lambda x, y: x.addcmul_(y, y, value=3), lambda x, y: x + 3 * y * y),
    "addcdiv_": (lambda x, y: x.addcdiv_(y, y + 1), lambda x, y: x + y / (y + 1)),
    "copy_": (lambda x, y: x.copy_(y[0]), lambda x, y: y[:1] + 0 * x),
    "fill_": (lambda x, y: x.fill_(y[0, 0]), lambda x, y: y[0, 0] + 0 * x),
    "zero_": (lambda x, y: x.zero_().add_(y), lambda x, y: 0 * x + y),
    "clamp_": (lambda x, y: x.clamp_(min=y), lambda x, y: x.clamp(min=y)),
    "exp_": (lambda x, y: x.exp_().mul_(y), lambda x, y: x.exp() * y),
}


@given(arrays((2, 3), low=0.5, high=2), arrays((2, 3), low=0.5, high=2), arrays((2, 3)))
@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("plain", [False, True])
def test_a_change_of_a_result_or_by_one_is_recorded(
    name: str, plain: bool, a: Any, b: Any, weights: Any
):
    in_place, out_of_place = RECORDED[name]
    x, y = (tg.tensor(a, requires_grad=not plain), T(b))
    expected = out_of_place(x, y)
    t = tg.tensor(a) if plain else x * 1
    assert in_place(t, y) is t
    assert np.allclose(t.numpy(), expected.numpy())
    inputs = [y] if plain else [x, y]
    got, want = (
        tg.autograd.grad((out * tg.tensor(weights)).sum(), inputs, materialize_grads=True)
        for out in (t, expected)
    )
    assert all(np.allclose(g, w) for g, w in zip(got, want, strict=True))


RESULTS: dict[str, Any] = {
    "an op whose array has a base": lambda x: x.lgamma(),
    "shapes in place": lambda x: (x * 1).unsqueeze_(0),
    "a copy": lambda x: x.repeat(2, 1),
    "no record": lambda x: x.detach().lgamma(),
}


@given(arrays((3, 4), low=0.5, high=2), seeds)
@pytest.mark.parametrize("name", RESULTS)
def test_several_changes_of_one_result_are_recorded(name: str, a: Any, seed: int):
    def in_place(x: Any) -> Any:
        y = RESULTS[name](x)
        y += x.sum()
        y.neg_().mul_(2)
        y[0] = x[0, 0]
        y.sub_(3, alpha=2)
        return y

    def out_of_place(x: Any) -> Any:
        y = -2 * (RESULTS[name](x) + x.sum())
        first = tg.arange(len(y)).reshape(-1, *[1] * (y.ndim - 1)) == 0
        return tg.where(first, x[0, 0], y) - 6

    x = T(a)
    close(in_place(x).numpy(), out_of_place(x).numpy())
    got, expected = gradients(in_place, [x], seed), gradients(out_of_place, [x], seed)
    close(got[0], expected[0], tolerance=1e-11)


@pytest.mark.parametrize("how", sorted(CHANGING))
@pytest.mark.parametrize("recorded", [lambda h: h.pow_(2), lambda h: h.mul_(h)])
def test_a_recorded_change_does_not_hide_an_unrecorded_one(how: str, recorded: Any):
    x, plain = T(np.array([[0.5, 1.0, 2.0], [3.0, 4.0, 5.0]])), tg.full((2, 3), 2.0)
    h, product = x.exp(), x * plain
    with tg.no_grad():
        CHANGING[how](h)
        CHANGING[how](plain)
    recorded(h)
    plain += product
    for result, name in ((h, "exp needs its result"), (plain, "multiply needs its argument 1")):
        with pytest.raises(GraphError, match=name):
            result.sum().backward()
    assert x.grad is None


@given(arrays((2, 1, 3)))
def test_shapes_changed_in_place(a: Any):
    t = tg.from_numpy(a)
    assert t.unsqueeze_(0).squeeze_().t_().transpose_(0, 1) is t
    assert np.shares_memory(t.numpy(), a)
    assert np.array_equal(t.numpy(), a[:, 0])
    leaf = T(a)
    with pytest.raises(GraphError, match="squeeze_ would change a"):
        leaf.squeeze_(1)
    assert leaf.shape == (2, 1, 3)


@given(arrays((2, 1, 3)), seeds)
def test_shapes_of_recorded_results_are_changed_in_place(a: Any, seed: int):
    def changed(x: Any) -> Any:
        y = x * x
        used = y.sum(1)
        with pytest.raises(ShapeError):
            y.transpose_(0, 5)
        assert y.squeeze_(1) is y
        return used * y.t_().unsqueeze_(0)[0].t()

    (got,) = gradients(changed, [T(a)], seed)
    (expected,) = gradients(lambda x: (x * x).sum(1) * (x * x)[:, 0], [T(a)], seed)
    close(got, expected)


def test_in_place_methods_preserve_the_dtype_or_raise():
    whole = tg.tensor([1, 2])
    with pytest.raises(DtypeError, match=r"add_ cannot change a tensor \(2,\) int64 by \(\) "):
        whole.add_(0.5)
    with pytest.raises(DtypeError, match=r"sin_ cannot change a tensor \(2,\) int64"):
        whole.sin_()
    with pytest.raises(ShapeError, match=r"pow_ cannot change a tensor \(2,\) .* by \(2, 2\)"):
        tg.ones(2).pow_(tg.ones(2, 2))
    assert whole.add_(1).tolist() == [2, 3]
    assert whole.copy_(tg.tensor([1.9, -1.9])).tolist() == [1, -1]  # as PyTorch casts
    single = tg.ones(2, dtype=tg.float32)
    assert single.add_(tg.ones(2)).dtype == np.float32
    assert single.mul_(2).add_(0.5).dtype == np.float32


def test_changing_read_only_memory_raises():
    for t in (
        tg.zeros(3, 1).expand(3, 4),
        tg.from_numpy(np.broadcast_to(np.zeros(3), (2, 3))),
        tg.as_tensor(tg.zeros(3).numpy()),
        tg.from_numpy(np.frombuffer(b"\0" * 16)),
    ):
        for change in (lambda t: t.add_(1), lambda t: t.zero_(), lambda t: t.__setitem__(0, 1.0)):
            with pytest.raises((ShapeError, GraphError), match=r"read-only.*clone\(\)"):
                change(t)
        assert not t.numpy().any()
        assert t.clone().add_(1).numpy().all()


def test_a_change_by_a_ufunc_with_out_is_detected():
    x = T(np.array([1.0, 2.0, 3.0]))
    m = np.ones(3)
    t = tg.from_numpy(m)
    y = (x * t).sum()
    np.multiply(t, 0.0, out=m)
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()
