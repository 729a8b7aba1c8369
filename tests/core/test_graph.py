"""The backward pass: gradients of all operands, inputs, hooks, errors, freed graphs."""

import itertools
from typing import Any

import numpy as np
import pytest
from drawing import T, arrays, checked_array, close, cotangent, gradients, laid_out, layouts, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg
from tinygrad_fc.core import graph
from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.domain import real

# Inputs and outputs


def test_only_rules_on_a_path_to_an_input_are_called():
    calls: list[str] = []

    def named(name: str) -> Any:
        rules = (lambda g, out, x: (calls.append(name), g * 2)[1],)
        return tg.op(lambda x: x * 2, name=name, domain=(real,), rules=rules)

    x, y, constant = T(np.ones(2)), T(np.ones(2)), tg.ones(2)
    out = named("left")(x) * named("right")(y) + named("constant")(constant)
    tg.autograd.grad(out, x, tg.ones(2), retain_graph=True)
    assert calls == ["left"]
    out.backward(tg.ones(2), inputs=[y], retain_graph=True)
    assert calls == ["left", "right"]
    assert x.grad is None
    out.backward(tg.ones(2))
    assert sorted(calls[2:]) == ["left", "right"]


@given(arrays((2,)), seeds)
def test_grad_of_intermediate_repeated_and_output_tensors(a: Any, seed: int):
    x = T(a)
    middle = x * 3
    out = middle**2
    weights = tg.from_numpy(cotangent((2,), seed))
    got = tg.autograd.grad(out, [middle, x, out, middle], weights)
    expected = [6 * a * weights.numpy(), 18 * a * weights.numpy(), weights.numpy()]
    for g, e in zip(got, [*expected, expected[0]], strict=True):
        close(checked_array(g, x), e, tolerance=1e-14)
    assert x.grad is None
    assert middle._grad is None
    for one, other in itertools.combinations([*got[:3], weights], 2):
        assert not np.shares_memory(one.numpy(), other.numpy())


def test_unused_inputs_raise_or_get_none_or_zeros():
    x, unused = T(np.ones(2)), T(np.ones((2, 3), np.float32))
    out = (x * 2).sum()
    message = r"do not depend on input 1 \(shape \(2, 3\)\).*allow_unused"
    with pytest.raises(GraphError, match=message):
        tg.autograd.grad(out, [x, unused], retain_graph=True)
    g, none = tg.autograd.grad(out, [x, unused], retain_graph=True, allow_unused=True)
    assert g.tolist() == [2, 2]
    assert none is None
    _, zeros = tg.autograd.grad(out, [x, unused], retain_graph=True, materialize_grads=True)
    assert np.array_equal(checked_array(zeros, unused), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="implies allow_unused"):
        tg.autograd.grad(out, x, allow_unused=False, materialize_grads=True)
    with pytest.raises(GraphError, match=r"shape \(3,\) does not require grad"):
        tg.autograd.grad(out, [x, tg.ones(3)])
    # Calls that raise do not free the graph.
    out.backward()


def test_backward_of_a_leaf_and_of_a_result_that_retains_its_grad():
    x = T(np.array(2.0))
    x.backward()
    assert x.grad.item() == 1
    assert tg.autograd.grad(x, x)[0].item() == 1
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: g * 5)
    y.backward()
    assert y.grad.item() == 5
    assert x.grad.item() == 16
    (x * 3).backward()  # the default cotangent has not been changed
    assert x.grad.item() == 19


# Hooks


@pytest.mark.parametrize("returned", [tg.ones(3), np.ones(2), 5])
def test_an_invalid_result_of_a_hook_raises_and_changes_nothing(returned: Any):
    x, y = T(np.ones(2)), T(np.ones(2))
    middle = x * y
    handle = middle.register_hook(lambda g: returned)
    with pytest.raises(ShapeError, match=r"a hook returned .*tensor of shape \(2,\)"):
        middle.sum().backward()
    handle.remove()
    assert x.grad is y.grad is None
    middle.sum().backward()
    assert x.grad.tolist() == [1, 1]


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_that_changes_its_gradient_in_place_changes_no_other(create_graph: bool):
    # Its memory may be that of the seed or of another gradient.
    x, y = T(np.ones(2)), T(np.ones(2))
    seed = tg.tensor([2.0, 3.0])
    results = []
    x.register_hook(lambda g: results.append(g.mul_(10)))
    (x + y).backward(seed, create_graph=create_graph)
    assert seed.tolist() == [2, 3]
    assert x.grad.tolist() == [20, 30]
    assert y.grad.tolist() == [2, 3]
    results[0].zero_()
    assert x.grad.tolist() == [20, 30]


def test_the_result_of_a_hook_is_cast_to_the_dtype_of_its_tensor():
    x = T(np.ones(2, np.float32))
    x.register_hook(lambda g: g.double() * 2)
    x.sum().backward()
    assert checked_array(x.grad, x).tolist() == [2, 2]
    (g,) = tg.autograd.grad(x.sum(), x, create_graph=True)
    assert g.dtype == np.float32
    with pytest.raises(GraphError, match="does not require grad"):
        tg.ones(2).register_hook(print)


# Errors


BROKEN = {
    "raises": lambda g, out, x: 1 / 0,
    "returns another shape": lambda g, out, x: g[..., None, None] * np.ones((2, 5)),
    "returns nothing": lambda g, out, x: None,
}


@pytest.mark.parametrize("rule", BROKEN.values(), ids=BROKEN)
@given(arrays((3,)), seeds)
@settings(max_examples=10)
def test_an_error_in_the_backward_pass_changes_no_gradient_and_no_graph(
    rule: Any, a: Any, seed: int
):
    x, y = T(a), T(a.copy())
    middle = x * y
    middle.retain_grad()
    bad = tg.op(lambda x: x * 2, name="broken", domain=(real,), rules=(rule,))(middle)
    good = middle * 3
    weights = tg.from_numpy(cotangent((3,), seed))
    good.backward(weights, retain_graph=True)
    before = [t.grad for t in (x, y, middle)]
    values = [g.tolist() for g in before]
    with pytest.raises((ZeroDivisionError, GraphError, ShapeError)):
        (bad + good).backward(weights)
    assert all(t.grad is g for t, g in zip((x, y, middle), before, strict=True))
    assert [g.tolist() for g in before] == values
    good.backward(weights)
    close(x.grad.numpy(), 2 * np.asarray(values[0]), tolerance=1e-14)


def test_invalid_calls_change_no_gradient_and_no_graph():
    x = T(np.ones(2))
    out = x * x
    plain = tg.ones(2) * 2
    for call in (
        out.backward,
        lambda: out.backward(tg.ones(3)),
        lambda: out.backward("ab"),
        lambda: out.backward(np.array([1j, 2])),
        lambda: out.backward([1.0, 2.0]),
        lambda: out.backward(tg.ones(2), inputs=[tg.ones(2)]),
        lambda: tg.autograd.backward([out, plain], [tg.ones(2), tg.ones(2)]),
        lambda: tg.autograd.backward([out, out], [tg.ones(2)]),
        lambda: tg.autograd.grad([out, 1], x),
    ):
        with pytest.raises((GraphError, ShapeError, TypeError)):
            call()
        assert x.grad is None
    out.backward(tg.ones(2))
    assert x.grad.tolist() == [2, 2]


def test_grad_must_have_the_shape_and_dtype_of_its_tensor():
    x = T(np.ones(2, np.float32))
    for wrong in (tg.ones(3, dtype=tg.float32), np.ones(2), 1.0):
        with pytest.raises(ShapeError, match=r"a tensor of shape \(2,\)"):
            x.grad = wrong
    with pytest.raises(TypeError, match="expected float32 as"):
        x.grad = tg.ones(2, dtype=tg.float64)
    x.grad = None
    x.grad = gradient = tg.ones(2, dtype=tg.float32)
    assert x.grad is gradient
    x.sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert x.grad is gradient  # changed in place, as in PyTorch


def test_records_of_changes_of_freed_memory_are_removed():
    before = len(graph.state.changes)
    for _ in range(1000):
        tg.ones(3).add_(1.0)
    assert len(graph.state.changes) < before + 10


# Gradients: values, shapes, dtypes and memory


# Broadcasting, 0-d tensors, matmul, reductions, indexing


@given(st.data(), seeds, hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_dims=3))
def test_broadcasting_is_undone_for_every_operand(data: Any, seed: int, drawn: Any):
    a, b, c = (data.draw(arrays(shape)) for shape in drawn.input_shapes)
    g = cotangent(drawn.result_shape, seed)
    got = gradients(lambda a, b, c: a * b - c, [T(a), T(b), T(c)], seed)
    for x, terms, grad in zip((a, b, c), (g * b, g * a, -g), got, strict=True):
        indices = np.broadcast_to(np.arange(x.size).reshape(x.shape), g.shape).ravel()
        expected = np.bincount(indices, np.broadcast_to(terms, g.shape).ravel(), x.size)
        close(grad, expected[: x.size].reshape(x.shape), tolerance=1e-14)


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


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
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
    x, y = T(laid_out(a, layout)), T(laid_out(b, other))
    weights = laid_out(cotangent(out.shape, seed, dtype), layout)
    program(x, y).backward(tg.from_numpy(weights))
    eps = np.finfo(dtype).eps
    for t, before, e in zip((x, y), (a, b), expected, strict=True):
        close(checked_array(t.grad, t), e, tolerance=300 * eps)
        assert np.array_equal(t.numpy(), before)


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


@pytest.mark.usefixtures("_registry_restored")
@given(arrays((2, 3)), arrays((2, 3)))
def test_what_a_rule_of_the_user_returns_is_copied_before_it_is_changed(a: Any, returned: Any):
    before = returned.copy()
    for rule in (lambda g, out, x: returned, lambda g, out, x: x + 0 * g):
        op = tg.op(lambda x: x * 1, name="op", domain=(real,), rules=(rule,))
        x, y, row = T(a), T(a), T(a[0])
        part = x * 1
        total = part[0].sum() + op(part).sum()
        buffer = y * 1
        buffer[0] = row
        total += op(buffer).sum()
        total.backward()
        for gradient in (x.grad, y.grad, row.grad):
            gradient.add_(1.0)
        expected = before if returned is rule(a, a, a) else a
        first = np.array([[1.0], [0.0]])
        assert np.array_equal(x.grad.numpy(), expected + first + 1)
        assert np.array_equal(y.grad.numpy(), expected * (1 - first) + 1)
        assert np.array_equal(row.grad.numpy(), expected[0] + 1)
        assert np.array_equal(returned, before)


def test_a_cotangent_that_two_operands_share_is_not_changed_for_one_of_them():
    p = tg.ones(4, 3, requires_grad=True)
    h = tg.nn.Linear(3, 3)(tg.ones(4, 3))
    before = h.detach().clone()
    h[0] = 0.0
    ((h + p) ** 2).sum().backward()
    before[0] = 0.0
    assert np.array_equal(p.grad.numpy(), 2 * (before + 1).numpy())


def test_calls_whose_rules_read_nothing_are_not_freed():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    shared = tg.cat([(w + 1).reshape(2, 1), w[:, None].to(tg.float32).to(tg.float64)], 1)
    shared.sum().backward()
    (2 * shared).sum().backward()
    assert w.grad.tolist() == [6, 6]
    read = w * w
    read.sum().backward()
    with pytest.raises(GraphError, match="at the multiply that returned"):
        read.sum().backward()
