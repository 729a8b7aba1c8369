"""Containers behave as lists and dicts, and name their items as in PyTorch."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import tinygrad_fc as tg
from tinygrad_fc import nn

indices = st.integers(-6, 6)
slices = st.slices(6)
counts = st.integers(0, 3)


class Item(nn.Module):
    """A module with a number that identifies it."""

    number = 0

    def __init__(self) -> None:
        Item.number += 1
        self.number = Item.number

    def forward(self, x: Any) -> Any:
        return [*x, self.number]


class ListMachine(RuleBasedStateMachine):
    """Apply the same operations to a container and a list, and compare."""

    kind: Any = nn.ModuleList

    @initialize(count=counts)
    def start(self, count: int):
        self.model = [Item() for _ in range(count)]
        self.container = self.make(self.model)

    def make(self, items: list[Any]) -> Any:
        return self.kind(items)

    def both(self, act: Any) -> Any:
        """Run `act` on the list and on the container: the same result, or IndexError from both."""
        try:
            expected = act(self.model)
        except IndexError:
            with pytest.raises(IndexError):
                act(self.container)
            return None
        actual = act(self.container)
        if isinstance(expected, list):
            assert type(actual) is self.kind
            actual = list(actual)
        return actual, expected

    @rule(index=indices)
    def get(self, index: int):
        result = self.both(lambda items: items[index])
        assert result is None or result[0] is result[1]

    @rule(index=slices)
    def part(self, index: slice):
        actual, expected = self.both(lambda items: items[index])
        assert actual == expected

    @rule(index=indices)
    def replace(self, index: int):
        item = Item()
        self.both(lambda items: items.__setitem__(index, item))

    @rule(index=indices)
    def delete(self, index: int):
        self.both(lambda items: items.__delitem__(index))

    @rule(index=slices)
    def delete_part(self, index: slice):
        self.both(lambda items: items.__delitem__(index))

    @rule()
    def append(self):
        item = Item()
        self.model.append(item)
        assert self.container.append(item) is self.container

    @rule(count=counts)
    def extend(self, count: int):
        items = [Item() for _ in range(count)]
        self.model.extend(items)
        assert self.container.extend(items) is self.container

    @rule(index=indices)
    def insert(self, index: int):
        item = Item()
        self.both(lambda items: items.insert(index, item))

    @rule(index=indices)
    def pop(self, index: int):
        result = self.both(lambda items: items.pop(index))
        assert result is None or result[0] is result[1]

    @rule(count=counts)
    def add(self, count: int):
        more = self.make([Item() for _ in range(count)])
        assert list(self.container + more) == self.model + list(more)
        self.container += more
        self.model += list(more)

    @rule(train=st.booleans())
    def other_attributes_are_no_items(self, train: bool):
        self.container.train(train)
        self.container.note = "text"

    @rule()
    def copy(self):
        twin = pickle.loads(pickle.dumps(copy.deepcopy(self.container)))
        assert [item.number for item in twin] == [item.number for item in self.model]

    @invariant()
    def the_same(self):
        assert list(self.container) == self.model
        assert len(self.container) == len(self.model)
        assert [name for name, _ in self.container.named_children()] == [
            str(i) for i in range(len(self.model))
        ]


class SequentialMachine(ListMachine):
    """The operations of a list on a Sequential, whose items are called in order."""

    kind = nn.Sequential

    def make(self, items: list[Any]) -> Any:
        return nn.Sequential(*items)

    @rule(index=slices)
    def part(self, index: slice):
        # A slice has the names of its items, as in PyTorch.
        part = self.container[index]
        assert type(part) is nn.Sequential
        names = [str(i) for i in range(len(self.model))][index]
        assert [name for name, _ in part.named_children()] == names
        assert list(part) == self.model[index]

    @rule()
    def call(self):
        assert self.container([]) == [item.number for item in self.model]


TestModuleList = ListMachine.TestCase
TestSequential = SequentialMachine.TestCase
TestModuleList.settings = TestSequential.settings = settings(
    max_examples=settings.default.max_examples // 5
)


def test_named_layers_are_attributes():
    net = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), act=nn.Tanh(), last=nn.Linear(3, 1)))
    assert list(net.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert net.act is net[1]
    assert [name for name, _ in net[1:].named_children()] == ["act", "last"]
    net.act = nn.ReLU()
    assert net[1] is net.act
    assert net(tg.zeros(5, 2)).shape == (5, 1)


def test_attributes_of_a_subclass_are_layers():
    class Net(nn.Sequential):
        def __init__(self) -> None:  # without super().__init__()
            self.hidden = nn.Linear(2, 3)
            self.width = 3
            self.out = nn.Linear(3, 1)

    net = Net()
    assert len(net) == 2
    assert net(tg.zeros(5, 2)).shape == (5, 1)


def test_an_empty_sequential_returns_its_input():
    x = tg.ones(2)
    assert nn.Sequential()(x) is x


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (nn.Tanh, r"got a class Tanh, expected modules. Write Tanh\(\)"),
        ([nn.Tanh()], r"got a list, expected modules. Pass its items: \*layers"),
        (np.tanh, r"got a ufunc, expected modules. Use the module for a function"),
    ],
)
def test_items_that_are_not_modules(wrong: Any, message: str):
    net = nn.Sequential(nn.Tanh())
    for put in (
        nn.Sequential,
        lambda item: nn.ModuleList([item]),
        lambda item: nn.ModuleDict({"a": item}),
        lambda item: net.__setitem__(0, item),
        lambda item: net.extend([nn.Tanh(), item]),
    ):
        with pytest.raises(TypeError, match=message):
            put(wrong)
    assert len(net) == 1


def test_indices_out_of_range():
    net = nn.Sequential(nn.Tanh())
    with pytest.raises(IndexError, match="index 1 is out of range: this Sequential has 1 items"):
        net[1]
    with pytest.raises(TypeError, match="not iterable"):
        net.extend(nn.Tanh())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unsupported operand"):
        nn.ModuleList() + 3  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (nn.ModuleList, {"modules": [nn.Tanh()]}),
        (nn.ModuleDict, {"modules": {"a": nn.Tanh()}}),
        (nn.ParameterList, {"values": [1]}),
        (nn.ParameterDict, {"parameters": {"a": 1}}),
    ],
)
def test_names_of_constructor_arguments(make: Any, argument: Any):
    assert len(make(**argument)) == 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["set", "pop", "del"]))))
def test_a_module_dict_behaves_as_a_dict(steps: list[tuple[str, str]]):
    model: dict[str, nn.Module] = {}
    container = nn.ModuleDict()
    for key, step in steps:
        if step == "set":
            model[key] = container[key] = nn.Tanh()
        elif key not in model:
            with pytest.raises(KeyError):
                container.pop(key)
        elif step == "pop":
            assert container.pop(key) is model.pop(key)
        else:
            del container[key], model[key]
    assert list(container.items()) == list(model.items()) == list(container.named_children())
    assert len(container) == len(model)
    container.clear()
    assert not len(container)


def test_a_module_dict_accepts_pairs_and_rejects_names_of_attributes():
    heads = nn.ModuleDict([("a", nn.Tanh())])  # type: ignore[arg-type]
    heads.update({"b": nn.ReLU()})
    assert heads.a is heads["a"]
    with pytest.raises(KeyError, match="ModuleDict has an attribute 'keys' already"):
        heads["keys"] = nn.Tanh()
    with pytest.raises(KeyError, match="expected one without dots"):
        heads["a.b"] = nn.Tanh()


def test_a_parameter_list_holds_parameters_and_other_values():
    container = nn.ParameterList([tg.ones(2, 3), 7])
    container.append(nn.Parameter([1.0]))
    assert [type(item) for item in container] == [nn.Parameter, int, nn.Parameter]
    assert list(container.state_dict()) == ["0", "2"]
    assert len(container[:-1]) == 2
    assert repr(container[:-1]) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [float64 of size 2x3]\n"
        "    (1): Object of type: int\n"
        ")"
    )


def test_patched_layers_are_not_fused(monkeypatch: pytest.MonkeyPatch):
    net = tg.nn.Sequential(tg.nn.Linear(2, 2), tg.nn.Sigmoid())
    x = tg.ones(1, 2)
    net[0].forward = lambda x: x * 2
    assert np.array_equal(net(x).numpy(), tg.sigmoid(x * 2).numpy())
    del net[0].forward
    monkeypatch.setattr(tg.nn.Sigmoid, "forward", lambda self, x: x * 0 + 7)
    assert (net(x) == 7).all()


def test_a_hook_may_set_attributes_during_the_call():
    net = tg.nn.Sequential(tg.nn.Linear(1, 1), tg.nn.Sigmoid(), tg.nn.Tanh())
    net[2].register_forward_hook(lambda module, args, out: setattr(net, "last", out.detach()))
    assert net(tg.zeros(1, 1)).shape == net.last.shape


def test_an_overridden_call_is_not_fused():
    class Doubled(nn.Linear):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) * 2

    class Shifted(nn.Tanh):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) + 1

    x = tg.randn(3, 2)
    for first, second in ((Doubled(2, 2), nn.Tanh()), (nn.Linear(2, 2), Shifted())):
        assert np.array_equal(nn.Sequential(first, second)(x).numpy(), second(first(x)).numpy())


def test_a_parameter_dict_behaves_as_a_dict_of_parameters():
    container = nn.ParameterDict({"a": tg.ones(2), "b": 3})
    assert isinstance(container["a"], nn.Parameter)
    assert container.a is container["a"]
    assert dict(container) == {"a": container.a, "b": 3}
    assert [name for name, _ in container.named_parameters()] == ["a"]
    container.eval().update({"c": nn.Parameter([1.0])})
    assert list(container) == ["a", "b", "c"]
    assert container.setdefault("d", tg.zeros(1)) is container.pop("d")
    assert container == container  # noqa: PLR0124  by identity
    assert container != nn.ParameterDict(container)
    with pytest.raises(KeyError, match="has an attribute 'training' already"):
        container["training"] = tg.ones(1)
    with pytest.raises(KeyError):
        container["nothing"]
