"""Hooks of modules; tests/parity has their order, what they get, replace and see after errors."""

import copy
import weakref

import numpy as np
import pytest
from drawing import Plain, T, close

import tinygrad_fc as tg
from tinygrad_fc import nn


def test_a_module_without_forward_raises():
    with pytest.raises(NotImplementedError, match=r"Plain has no forward, .* Define"):
        Plain()(1)


def test_hooks_with_kwargs_get_and_replace_keyword_arguments():
    module = Plain(forward=lambda *args, **kwargs: (args, kwargs))
    module.register_forward_pre_hook(
        lambda _, args, kwargs: (args, {**kwargs, "b": 2}), with_kwargs=True
    )
    module.register_forward_hook(lambda *args: args[1:], with_kwargs=True)
    assert module(1, a=1) == ((1,), {"a": 1, "b": 2}, ((1,), {"a": 1, "b": 2}))


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


def test_a_backward_hook_may_return_the_gradient_of_a_single_input_alone():
    layer, x = nn.Linear(2, 2), T(np.ones((1, 2)))
    layer.register_full_backward_hook(lambda _, grad_input, __: grad_input[0] * 0 + 7)
    layer(x).sum().backward()
    assert x.grad.tolist() == [[7, 7]]
    assert layer.bias.grad.tolist() == [1, 1]


def test_backward_hooks_of_a_module_that_returns_a_dict_are_warned_of():
    module = Plain(forward=lambda x: {"loss": x.sum()})
    handle = module.register_full_backward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="Plain returned dict, expected a tensor or a tuple"):
        module(tg.ones(2))
    handle.remove()
    assert module(tg.ones(2))["loss"] == 2


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
