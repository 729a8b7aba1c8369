"""Hooks of saved tensors: what is saved, and what rules read instead."""

from typing import Any

import numpy as np
import pytest
from drawing import T, close, function

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.autograd.graph import saved_tensors_hooks


def cube(ctx: Any, x: Any) -> Any:
    ctx.save_for_backward(x)
    return x**3


CALLS: dict[str, tuple[Any, int]] = {  # and how many tensors are saved
    "exp": (lambda x: x.exp(), 1),
    "mul": (lambda x: x * x, 2),
    "constant": (lambda x: x * 3, 0),
    "sum": (lambda x: x.sum(), 0),
    "function": (function(cube, lambda ctx, g: 3 * ctx.saved_tensors[0] ** 2 * g).apply, 1),
    "cat": (lambda x: tg.cat([x, x]), 0),
    "einsum": (lambda x: tg.einsum("i,i->", x, x), 2),
    "fused": (lambda x: nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())(x) * 1.0, 3),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_go_through_the_hooks(name: str):
    call, count = CALLS[name]
    packed: list[Any] = []
    unpacked: set[int] = set()

    def pack(t: Any) -> Any:
        assert not t.requires_grad
        packed.append(t.clone())
        return len(packed) - 1

    def unpack(k: int) -> Any:
        unpacked.add(k)
        return packed[k]

    tg.manual_seed(0)
    expected, x = T(np.array([0.3, -0.5])), T(np.array([0.3, -0.5]))
    (call(expected) * 3.0).sum().backward()
    tg.manual_seed(0)
    with saved_tensors_hooks(pack, unpack):
        y = call(x)
    total = (y.exp() * 0 + y * 3.0).sum()  # outside of the block
    assert len(packed) == count
    assert not unpacked
    total.backward(retain_graph=True)
    assert unpacked == set(range(count))
    close(x.grad.numpy(), expected.grad.numpy(), tolerance=1e-14)
    for t in packed:  # what is unpacked is what rules read
        t.mul_(0)
    x.grad = None
    total.backward()
    if count:
        assert (x.grad != expected.grad).all()


def test_the_innermost_hooks_are_called_and_second_derivatives_read_the_values():
    x, calls = T(np.array([0.3])), list[str]()

    def hooks(name: str) -> Any:
        return saved_tensors_hooks(lambda t: calls.append(name) or t, lambda t: t * 0)

    outer = hooks("outer")
    with outer, hooks("inner"), tg.enable_grad():
        y = x.exp()
    with outer:
        x.exp()
    x.exp()
    assert calls == ["inner", "outer"]
    (g,) = tg.autograd.grad(y.sum(), x, create_graph=True)
    assert g.item() == y.item()
    y.sum().backward()
    assert x.grad.item() == 0


def test_what_unpack_returns_is_checked():
    x = T(np.array([0.3, 0.2]))
    for wrong, error in ((lambda t: t.numpy(), TypeError), (lambda t: t[:1], ValueError)):
        with saved_tensors_hooks(lambda t: t, wrong):
            y = x.exp().sum()
        with pytest.raises(error, match="unpack_hook returned a"):
            y.backward()


@pytest.mark.parametrize("op", ["multiply", "einsum", "cat", "stack"])
def test_an_argument_that_was_packed_as_a_copy_may_change_in_place(op: str):
    functions: dict[str, Any] = {
        "multiply": lambda x, y: x * y,
        "einsum": lambda x, y: tg.einsum("i,i->i", x, y),
        "cat": lambda x, y: tg.cat([x * 3, y]),
        "stack": lambda x, y: tg.stack([x * 3, y]),
    }
    x, y = tg.tensor([1.0, 2.0], requires_grad=True), tg.tensor([3.0, 3.0])
    with saved_tensors_hooks(lambda t: t.clone(), lambda packed: packed):
        z = functions[op](x, y).sum()
    y.mul_(2)
    z.backward()
    assert x.grad.tolist() == [3.0, 3.0]
