"""Calling a module, and the hooks around it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn

Module = nn.Module


class Plain(Module):
    """Holds whatever it is given, and never calls `super().__init__()`."""

    def __init__(self, **held: Any) -> None:
        for name, value in held.items():
            setattr(self, name, value)


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Plain has no `forward`: define"):
        Plain()(1)


class Several(Module):
    """Takes arguments of every kind."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs


@given(
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(), max_size=2),
)
def test_a_call_hands_on_its_arguments(args: list[int], kwargs: dict[str, int]):
    assert Several()(*args, **kwargs) == (tuple(args), kwargs)


def test_hooks_run_in_order_replace_what_they_return_and_are_removed():
    module = Several()
    order = []

    def before(_: Module, args: Any) -> Any:
        order.append("before")
        return (args[0] + 1,)

    def first(_: Module, args: Any) -> None:
        order.append("first")
        assert args == (1,)

    def after(_: Module, args: Any, output: Any) -> Any:
        order.append("after")
        assert args == (2,)
        return output[0]

    handles = [
        module.register_forward_pre_hook(before),
        module.register_forward_pre_hook(first, prepend=True),
        module.register_forward_hook(after),
    ]
    assert module(1) == (2,)
    assert order == ["first", "before", "after"]
    for handle in handles:
        handle.remove()
        handle.remove()
    assert module(1) == ((1,), {})
    with module.register_forward_hook(lambda *_: "replaced"):
        assert module(1) == "replaced"
    assert module(1) == ((1,), {})


def test_hooks_see_and_replace_keyword_arguments_if_they_ask():
    module = Several()
    module.register_forward_pre_hook(
        lambda _, args, kwargs: (args, {**kwargs, "b": 2}), with_kwargs=True
    )
    module.register_forward_hook(lambda *given: given[1:], with_kwargs=True)
    assert module(1, a=1) == ((1,), {"a": 1, "b": 2}, ((1,), {"a": 1, "b": 2}))
    module.register_forward_pre_hook(lambda *_: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="a forward pre-hook registered with_kwargs returned 3"):
        module(1)


def test_a_hook_that_always_runs_runs_after_an_error_too():
    module = Plain()
    seen: list[Any] = []
    module.register_forward_hook(lambda *given: seen.append(given[2]), always_call=True)
    module.register_forward_hook(lambda *given: seen.append("not this one"))
    with pytest.raises(NotImplementedError):
        module(1)
    assert seen == [None]


def test_hooks_are_copied_along_and_are_not_part_of_the_model():
    net = nn.Sequential(nn.Tanh())
    handle = net.register_forward_hook(nn.Linear(1, 1))
    assert not list(net.parameters())
    assert not net.state_dict()
    twin = copy.deepcopy(net)
    handle.remove()
    assert net(tg.zeros(2)).shape == (2,)
    with pytest.raises(TypeError, match="positional arguments"):  # the layer, as a hook
        twin(tg.zeros(2))
