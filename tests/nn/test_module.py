"""Modules: attributes, registration, errors; tests/parity has traversals and states of trees."""

import copy
from typing import Any

import pytest
from drawing import Plain

import tinygrad_fc as tg
from tinygrad_fc import nn

Module, Parameter = nn.Module, nn.Parameter


def test_load_state_dict_lists_all_problems_and_then_changes_nothing():
    net = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    before = [p.tolist() for p in net.parameters()]
    state = {"0.weight": tg.zeros(3, 3), "0.bias": tg.zeros(1), "1.bias": tg.zeros(1), "new": 1}
    with pytest.raises(RuntimeError, match="nothing was loaded") as caught:
        net.load_state_dict(state)
    for part in ('"1.weight"', '"new"', "mismatch for 0.weight: got values of shape (3, 3)"):
        assert part in str(caught.value)
    assert [p.tolist() for p in net.parameters()] == before


def test_modes_and_gradients_are_set_on_all_modules():
    net = nn.Sequential(Plain(inner=nn.ModuleList([Plain()])), nn.Linear(2, 1))
    assert not any(module.training for module in net.eval().modules())
    with pytest.raises(ValueError, match="the mode is 1, expected True or False"):
        net.train(1)  # type: ignore[arg-type]
    layer = net[1]
    layer(tg.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert layer.weight.grad.tolist() == [[0, 0]]
    net.zero_grad()
    assert layer.weight.grad is None
    assert not net.requires_grad_(requires_grad=False)[1](tg.ones(1, 2)).requires_grad


def test_only_parameters_and_modules_replace_parameters_and_modules():
    layer = nn.Linear(2, 2)
    message = r"'weight' of Linear is a registered parameter, and the new value is of type Tensor, "
    with pytest.raises(TypeError, match=message):
        layer.weight = layer.weight - 1.0  # type: ignore[assignment]
    net = Plain(inner=layer)
    net.register_buffer("mean", tg.zeros(1))
    for name, kind in (("inner", "submodule"), ("mean", "buffer")):
        message = rf"'{name}' of Plain is a registered {kind}, .* of type int"
        with pytest.raises(TypeError, match=message):
            setattr(net, name, 3)
    net.mean = net.mean + 1.0
    assert list(net.state_dict()) == ["mean", "inner.weight", "inner.bias"]
    layer.bias = None
    del layer.weight, net.mean
    net.mean = 3  # an ordinary attribute, after the deletion
    assert not net.state_dict()


REGISTERED: list[Any] = [("register_parameter", Parameter([1.0])), ("register_buffer", tg.ones(1))]


@pytest.mark.parametrize(("method", "good"), [*REGISTERED, ("add_module", nn.Tanh())])
def test_registration_checks_names_and_types(method: str, good: Any):
    net = Plain(taken=3)
    register = getattr(net, method)
    for name, value in (("new", good), ("new", good), ("empty", None), ("empty", good)):
        register(name, value)  # a name may be registered again
        assert getattr(net, name) is value
    with pytest.raises(TypeError, match="name is 3, expected a string"):
        register(3, good)
    for name in ("", "a.b"):
        with pytest.raises(KeyError, match=f"name is '{name}', expected one without dots"):
            register(name, good)
    for name in ("taken", "forward"):
        with pytest.raises(KeyError, match=f"Plain has an attribute '{name}' already"):
            register(name, good)
    with pytest.raises(TypeError, match=r"'other' is of type int, expected a \w+ or None"):
        register("other", 3)
    with pytest.raises(TypeError, match="'other' is the class Tanh, not an instance, expected a"):
        register("other", nn.Tanh)
    assert not hasattr(net, "other")


def test_writing_into_a_registry_acts():
    net = Module()
    for k, layer in enumerate((nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))):
        net._modules[str(k)] = layer  # as in d2l's MySequential
    assert list(net._modules.values()) == list(net.children())
    assert len(list(net.parameters())) == 4
    net._modules["again"] = net._modules.pop("2")
    assert [name for name, _ in net._modules.items()] == ["0", "1", "again"]
    del net._modules["0"]
    net._parameters["w"] = Parameter([1.0])
    net._buffers["b"] = tg.zeros(1)
    assert [name for name, _ in net.named_parameters()] == ["w", "again.weight", "again.bias"]
    assert list(net.state_dict()) == ["w", "b", "again.weight", "again.bias"]
    assert net.w is net._parameters["w"]  # type: ignore[attr-defined]
    assert {"w", "b", "again"} <= set(dir(net))
    layer = nn.Linear(2, 2)
    layer._parameters["weight"], layer._parameters["bias"] = Parameter(tg.eye(2)), None
    assert layer(tg.ones(2)).tolist() == [1, 1]


def test_weights_that_are_no_parameters_are_read_as_attributes():
    class Doubled(nn.Linear):
        @property
        def weight(self) -> Any:  # type: ignore[override]
            return 2 * self.raw

    doubled = Doubled(2, 2)
    doubled.raw = Parameter(tg.eye(2))
    doubled.bias = None
    assert doubled(tg.ones(2)).tolist() == [2, 2]
    layer = nn.Linear(2, 2, bias=False)
    del layer.weight
    layer.weight = tg.eye(2) * 3  # type: ignore[assignment]
    assert layer(tg.ones(2)).tolist() == [3, 3]
    assert nn.Sequential(layer, nn.Tanh())(tg.zeros(2)).tolist() == [0, 0]
    assert not list(layer.parameters())


def test_an_attribute_error_in_a_property_is_hinted_at():
    class Wrong(Module):
        @property
        def width(self) -> Any:
            return self.missing

    with pytest.raises(AttributeError, match="no attribute 'width', or its property raised"):
        _ = Wrong().width


class Listed(Module):
    """A module with layers in plain containers."""

    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.layers += [nn.Linear(2, 2), nn.Tanh()]
        self.sizes, self.data = [2, 3], list(range(1000))
        self.heads = {"a": [nn.Linear(2, 1)], "b": 3}
        self.scales = (Parameter([1.0]), None)
        self.body = nn.Linear(2, 2)
        self.shortcuts = [self.body, self.body.weight]  # which are part of the module
        object.__setattr__(self, "teachers", [nn.Linear(2, 2)])


def test_layers_in_plain_containers_are_not_part_and_warned_of_once():
    net = nn.Sequential(nn.Tanh(), Listed())
    assert list(net.state_dict()) == ["1.body.weight", "1.body.bias"]
    assert len(list(net.named_parameters())) == 2
    with pytest.warns(UserWarning, match="not part of the module") as caught:
        assert len(list(net.parameters())) == 2
    assert sorted(str(w.message).split(", ")[0] for w in caught) == [
        "'heads' of Listed is a dict with 1 layer",
        "'layers' of Listed is a list with 2 layers",
        "'scales' of Listed is a tuple with 1 parameter",
    ]
    assert {w.filename for w in caught} == {__file__}
    fixes = ("self.layers = nn.ModuleList(layers)", "nn.ModuleDict(heads)", "nn.ParameterList(")
    for fix in fixes:
        assert sum(fix in str(w.message) for w in caught) == 1
    list(net.parameters())  # no second warning
    twin = copy.deepcopy(net)
    list(twin.parameters())


def test_unknown_paths_raise():
    net = nn.Sequential(nn.Linear(1, 1))
    with pytest.raises(AttributeError, match="Sequential has no module at '1'"):
        net.get_submodule("1")
    with pytest.raises(AttributeError, match=r"no parameter at '0\.wieght'"):
        net.get_parameter("0.wieght")
    with pytest.raises(AttributeError, match=r"Sequential has no buffer at 'mean'$"):
        net.get_buffer("mean")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = net.nothing  # type: ignore[attr-defined]
