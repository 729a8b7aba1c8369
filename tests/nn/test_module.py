"""Modules: attributes, registration, traversal, `repr`."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from drawing import Plain
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn

Module, Parameter = nn.Module, nn.Parameter


# A recipe describes a module, and is drawn by Hypothesis.
_parameter = st.just(("parameter", None))
_other = st.sampled_from([None, 3, "text", 2.5]).map(lambda value: ("other", value))
_again = st.integers(0, 9).map(lambda i: ("again", i))
_names = st.sampled_from(["a", "b", "weight", "x1", "_hidden"])


def _inside(part: Any) -> Any:
    named = st.dictionaries(_names, part, max_size=3)
    modules = st.dictionaries(_names, named.map(lambda items: ("module", items)), max_size=3)
    return st.one_of(
        st.tuples(st.sampled_from([list, tuple]), st.lists(part, max_size=3)),
        named.map(lambda items: (dict, items)),
        named.map(lambda items: ("module", items)),
        modules.map(lambda items: (nn.ModuleList, list(items.values()))),
        modules.map(lambda items: (nn.ModuleDict, items)),
    )


_parts: Any = st.recursive(st.one_of(_parameter, _other, _again), _inside, max_leaves=8)
_models = st.dictionaries(_names, _parts, max_size=4)


class Build:
    """Builds modules of recipes; `members` has what a module was given by name, in order."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        self.created: list[Any] = []
        self.members: dict[Module, dict[str, Any]] = {}
        self.root: Any = self.value(("module", recipe))
        self.modules = list(self.below("", self.root))
        self.parameters = [
            (f"{path}.{name}" if path else name, value)
            for path, module in self.modules
            for name, value in self.members[module].items()
            if isinstance(value, Parameter)
        ]

    def value(self, recipe: Any) -> Any:
        """Return the value of a recipe, which may be one of those created before."""
        kind, content = recipe
        if kind == "again":
            return self.created[content % len(self.created)] if self.created else None
        if kind == "other":
            return content
        if kind == "parameter":
            self.created.append(Parameter(np.full(2, float(len(self.created)))))
            return self.created[-1]
        items = content if isinstance(content, dict) else dict(enumerate(content))
        values = {key: self.value(item) for key, item in items.items()}
        if kind is dict:
            return values
        if kind in (list, tuple):
            return kind(values.values())
        if kind == "module":  # after its attributes, so that no module contains itself
            module: Any = Plain(**values)
        else:
            module = kind(values if kind is nn.ModuleDict else values.values())
        self.members[module] = {str(name): value for name, value in values.items()}
        self.created.append(module)
        return module

    def below(self, path: str, module: Module) -> Any:
        """Yield paths and modules, parents first."""
        yield path, module
        for name, value in self.members[module].items():
            if isinstance(value, Module):
                yield from self.below(f"{path}.{name}" if path else name, value)


def build(recipe: dict[str, Any]) -> tuple[Module, list[Any], list[Any]]:
    """Return a module, and its parameters and modules under each of their paths."""
    built = Build(recipe)
    return built.root, built.parameters, built.modules


def first_of_each(named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for i, (name, value) in enumerate(named)
        if not any(value is other for _, other in named[:i])
    ]


def same(actual: Any, expected: Any) -> bool:
    actual, expected = list(actual), list(expected)
    return len(actual) == len(expected) and all(
        a == b and x is y for (a, x), (b, y) in zip(actual, expected, strict=True)
    )


@pytest.mark.filterwarnings("ignore:.*not part of the module")
@given(_models)
def test_traversal_lists_the_parameters_and_modules_of_attributes(recipe: dict[str, Any]):
    module, parameters, modules = build(recipe)
    # Parameters of a shared module are listed once, under its first path.
    assert same(module.named_parameters(), first_of_each(parameters))
    assert same(module.named_parameters(remove_duplicate=False), parameters)
    assert same(module.named_modules(), first_of_each(modules))
    assert same(module.named_modules(remove_duplicate=False), modules)
    assert [id(p) for p in module.parameters()] == [id(p) for _, p in first_of_each(parameters)]
    assert [id(m) for m in module.modules()] == [id(m) for _, m in first_of_each(modules)]
    assert list(module.state_dict()) == [name for name, _ in parameters]
    for name, value in parameters:
        assert module.get_parameter(name) is value
    for name, value in modules:
        assert module.get_submodule(name) is value
    direct = [(name, m) for name, m in modules[1:] if "." not in name]
    assert same(module.named_children(), first_of_each(direct))
    assert same(module._modules.items(), direct)


@pytest.mark.filterwarnings("ignore:.*not part of the module")
@given(_models)
def test_copies_and_pickles_have_equal_parameters_in_their_own_memory(recipe: dict[str, Any]):
    module, parameters, _ = build(recipe)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        actual = list(twin.named_parameters(remove_duplicate=False))
        assert [name for name, _ in actual] == [name for name, _ in parameters]
        for (_, ours), (_, theirs) in zip(parameters, actual, strict=True):
            assert type(theirs) is Parameter
            assert not np.shares_memory(ours.numpy(), theirs.numpy())
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        assert len(list(twin.parameters())) == len(list(module.parameters()))


@pytest.mark.filterwarnings("ignore:.*not part of the module")
@given(_models, st.data())
def test_load_state_dict_lists_all_problems_and_then_changes_nothing(
    recipe: dict[str, Any], data: st.DataObject
):
    module, _, _ = build(recipe)
    state = {name: value.clone() + 1 for name, value in module.state_dict().items()}
    one_of_them = st.sampled_from(sorted(state)) if state else st.nothing()
    missing = data.draw(st.sets(one_of_them)) if state else set()
    reshaped = (data.draw(st.sets(one_of_them)) if state else set()) - missing
    unexpected = data.draw(st.sets(st.sampled_from(["new", "a.new"])))
    state_dict = {name: value for name, value in state.items() if name not in missing}
    state_dict |= {name: tg.zeros(3, 3) for name in reshaped}
    state_dict |= {name: tg.zeros(1) for name in unexpected}
    before = {name: value.tolist() for name, value in module.state_dict().items()}
    if missing or reshaped or unexpected:
        with pytest.raises(RuntimeError, match="nothing was loaded") as caught:
            module.load_state_dict(state_dict)
        for name in missing | unexpected:
            assert f'"{name}"' in str(caught.value)
        for name in reshaped:
            assert f"size mismatch for {name}: got values of shape (3, 3)" in str(caught.value)
        assert {name: value.tolist() for name, value in module.state_dict().items()} == before
    if not reshaped:
        keys = module.load_state_dict(state_dict, strict=False)
        assert sorted(keys.missing_keys) == sorted(missing)
        assert sorted(keys.unexpected_keys) == sorted(unexpected)


def test_modes_and_gradients_are_set_on_all_modules():
    net = nn.Sequential(Plain(inner=nn.ModuleList([Plain()])), nn.Linear(2, 1))
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())
    with pytest.raises(ValueError, match="the mode is 1, expected True or False"):
        net.train(1)  # type: ignore[arg-type]
    layer = net[1]
    layer(tg.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert layer.weight.grad.tolist() == [[0, 0]]
    net.zero_grad()
    assert layer.weight.grad is None
    assert not any(p.requires_grad for p in net.requires_grad_(requires_grad=False).parameters())
    assert not layer(tg.ones(1, 2)).requires_grad
    assert all(p.requires_grad for p in net.requires_grad_().parameters())


def test_apply_visits_children_first_and_shared_modules_once_per_parent():
    shared = nn.Tanh()
    net = nn.Sequential(nn.Sequential(nn.Linear(1, 1), shared), shared)
    seen: list[Module] = []
    assert net.apply(seen.append) is net
    assert [id(m) for m in seen] == [id(m) for m in (net[0][0], shared, net[0], shared, net)]


def test_only_parameters_and_modules_replace_parameters_and_modules():
    layer = nn.Linear(2, 2)
    message = r"'weight' of Linear is a registered parameter, and the new value is of type Tensor, "
    with pytest.raises(TypeError, match=message):
        layer.weight = layer.weight - 1.0  # type: ignore[assignment]
    net = Plain(inner=layer)
    with pytest.raises(
        TypeError, match=r"'inner' of Plain is a registered submodule, .* of type int"
    ):
        net.inner = 3
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    layer.bias = Parameter(tg.zeros(2))
    assert len(list(layer.parameters())) == 2
    del layer.weight
    assert [name for name, _ in layer.named_parameters()] == ["bias"]


@pytest.mark.parametrize("method", ["register_parameter", "register_buffer", "add_module"])
def test_registration_checks_names_and_types(method: str):
    good: Any = {
        "register_parameter": Parameter([1.0]),
        "register_buffer": tg.ones(1),
        "add_module": nn.Tanh(),
    }[method]
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
