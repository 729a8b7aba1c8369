"""Calls of modules, and hooks."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import numpy as np
import pytest
from drawing import Plain, T, close
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn

Module = nn.Module


def test_a_module_without_forward_raises():
    with pytest.raises(NotImplementedError, match=r"Plain has no forward, .* Define"):
        Plain()(1)


class AllArguments(Module):
    """A module with positional and keyword arguments of every kind."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs


def test_hooks_run_in_order_replace_values_and_can_be_removed():
    module, seen = AllArguments(), []

    def before(_: Module, args: Any) -> Any:
        seen.append(args)
        return (args[0] + 1,)

    def after(_: Module, args: Any, output: Any) -> Any:
        seen.append(args)
        return output[0]

    handles = [
        module.register_forward_pre_hook(before),
        module.register_forward_pre_hook(lambda _, args: seen.append("first"), prepend=True),
        module.register_forward_hook(after),
        module.register_forward_hook(lambda *_: seen.append("first of all"), prepend=True),
    ]
    assert module(1) == (2,)
    assert seen == ["first", (1,), "first of all", (2,)]
    for handle in handles:
        handle.remove()
        handle.remove()
    assert module(1) == ((1,), {})
    with module.register_forward_hook(lambda *_: "replaced"):
        assert module(1) == "replaced"
    assert module(1) == ((1,), {})


def test_hooks_with_kwargs_get_and_replace_keyword_arguments():
    module = AllArguments()
    module.register_forward_pre_hook(
        lambda _, args, kwargs: (args, {**kwargs, "b": 2}), with_kwargs=True
    )
    module.register_forward_hook(lambda *args: args[1:], with_kwargs=True)
    assert module(1, a=1) == ((1,), {"a": 1, "b": 2}, ((1,), {"a": 1, "b": 2}))


def test_always_call_runs_a_hook_after_an_error():
    module = Plain()
    seen: list[Any] = []
    module.register_forward_hook(lambda *args: seen.append(args[2]), always_call=True)
    module.register_forward_hook(lambda *_: seen.append("not this one"))
    with pytest.raises(NotImplementedError):
        module(1)
    assert seen == [None]


def test_hooks_are_copied_and_are_no_submodules():
    net = nn.Sequential(nn.Tanh())
    handle = net.register_forward_hook(nn.Linear(1, 1))
    assert not list(net.parameters())
    assert not net.state_dict()
    twin = copy.deepcopy(net)
    handle.remove()
    assert net(tg.zeros(2)).shape == (2,)
    with pytest.raises(TypeError, match="positional arguments"):  # the layer, as a hook
        twin(tg.zeros(2))


# Backward hooks


@given(st.integers(0, 2**32 - 1))
def test_a_backward_hook_gets_the_gradients_of_inputs_and_outputs(seed: int):
    x, y, weights = (np.random.default_rng(seed + k).normal(size=(2, 3)) for k in range(3))
    seen: list[Any] = []

    class Pair(Module):
        def forward(self, a: Any, b: Any, c: Any) -> Any:
            return a * b, (a + c).sum()

    pair = Pair()
    pair.register_full_backward_hook(lambda module, *grads: seen.append((module, *grads)))
    a, b = T(x), T(y)
    product, total = pair(a, b, tg.tensor(1.0))
    ((product * tg.tensor(weights)).sum() + total * 2).backward()
    ((module, grad_input, grad_output),) = seen
    assert module is pair
    close(grad_output[0].numpy(), weights)
    assert grad_output[1].item() == 2
    close(grad_input[0].numpy(), weights * y + 2)
    close(grad_input[1].numpy(), weights * x)
    assert grad_input[2] is None
    close(a.grad.numpy(), weights * y + 2)
    close(b.grad.numpy(), weights * x)


def test_backward_hooks_of_a_module_that_returns_a_dict_are_warned_of():
    class Dict(nn.Module):
        def forward(self, x: Any) -> Any:
            return {"loss": x.sum()}

    module = Dict()
    handle = module.register_full_backward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="Dict returned dict, expected a tensor or a tuple"):
        module(tg.ones(2))
    handle.remove()
    assert module(tg.ones(2))["loss"] == 2


def test_a_backward_hook_may_replace_the_gradients_and_be_removed():
    layer, x, seen = nn.Linear(2, 2), T(np.ones((1, 2))), []
    handle = layer.register_full_backward_hook(lambda module, grad_input, _: grad_input[0] * 0 + 7)
    first = layer.register_full_backward_hook(lambda *_: None, prepend=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [[7, 7]]
    assert layer.bias.grad.tolist() == [1, 1]
    handle.remove()
    first.remove()
    x.grad = None
    layer(x).sum().backward()
    close(x.grad.numpy(), layer.weight.detach().sum(dim=0, keepdim=True).numpy())
    layer.register_full_backward_hook(lambda *_: seen.append(_[1:]))
    layer(tg.ones(3, 2)).sum().backward()  # no input requires grad
    (((grad_input,), (grad_output,)),) = seen
    assert grad_input is None
    assert grad_output.shape == (3, 2)


@pytest.mark.usefixtures("_by_reference_count")
def test_backward_hooks_with_second_derivatives_keep_no_input_alive():
    layer, flags = nn.Tanh(), []
    layer.register_full_backward_hook(lambda _, grad, __: flags.append(grad[0].requires_grad))
    x = T(np.array([0.3, -0.5]))
    (g,) = tg.autograd.grad(layer(x).sum(), x, create_graph=True)
    g.sum().backward()
    t = np.tanh(x.detach().numpy())
    close(x.grad.numpy(), -2 * t * (1 - t * t))
    assert flags[0]
    del g
    x = tg.ones(3, requires_grad=True)
    alive = weakref.ref(x)
    layer(x).sum().backward()
    del x
    assert alive() is None
