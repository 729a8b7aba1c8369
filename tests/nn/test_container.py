"""Containers behave as lists and dicts, and name their items as in PyTorch."""

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn

# Operations on a list or a container: `i` is an index, `new` are modules.
EDITS: dict[str, Any] = {
    "get": lambda items, i, part, new: items[i],
    "slice": lambda items, i, part, new: items[part],
    "replace": lambda items, i, part, new: items.__setitem__(i, new[0]),
    "delete": lambda items, i, part, new: items.__delitem__(i),
    "delete a slice": lambda items, i, part, new: items.__delitem__(part),
    "append": lambda items, i, part, new: items.append(new[0]),
    "extend": lambda items, i, part, new: items.extend(new),
    "insert": lambda items, i, part, new: items.insert(i, new[0]),
    "pop": lambda items, i, part, new: items.pop(i),
    "add": lambda items, i, part, new: items + new,
    "add in place": lambda items, i, part, new: operator.iadd(items, new),
}
edits = st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.integers(-6, 6), st.slices(6)))


@pytest.mark.parametrize("kind", [nn.ModuleList, nn.Sequential])
@given(edits)
def test_lists_of_modules_behave_as_lists(kind: Any, edits: list[tuple[str, int, slice]]):
    model: list[nn.Module] = []
    container = kind()
    container.note = "text"  # other attributes are no items
    for name, *where in edits:
        arguments = (*where, [nn.Identity(), nn.Tanh()])
        try:
            expected = EDITS[name](model, *arguments)
        except IndexError:
            with pytest.raises(IndexError):
                EDITS[name](container, *arguments)
            continue
        actual = EDITS[name](container, *arguments)
        if isinstance(expected, list):
            assert type(actual) is kind
            assert list(actual) == expected
        elif expected is not None:
            assert actual is expected
        assert list(container) == model
        assert list(container.named_children()) == [(str(i), m) for i, m in enumerate(model)]
        assert len(container) == len(model)


def test_attributes_of_a_subclass_are_layers():
    class Net(nn.Sequential):
        def __init__(self) -> None:  # without super().__init__()
            self.hidden = nn.Linear(2, 3)
            self.width = 3
            self.out = nn.Linear(3, 1)

    net = Net()
    assert len(net) == 2
    assert net(tg.zeros(5, 2)).shape == (5, 1)
    x = tg.ones(2)
    assert nn.Sequential()(x) is x


NO_MODULES: list[Any] = [
    (nn.Tanh, r"got a class Tanh, expected modules. Write Tanh\(\)"),
    ([nn.Tanh()], r"got a list, expected modules. Pass its items: \*layers"),
    (np.tanh, r"got a ufunc, expected modules. Use the module for a function"),
]


@pytest.mark.parametrize(("wrong", "message"), NO_MODULES)
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
    with pytest.raises(IndexError, match="index 1 is out of range: this Sequential has 1 items"):
        net[1]
    with pytest.raises(TypeError, match="unsupported operand"):
        nn.ModuleList() + 3  # type: ignore[operator]


DICTS = {nn.ModuleDict: nn.Tanh, nn.ParameterDict: lambda: nn.Parameter([1.0])}


@pytest.mark.parametrize("kind", DICTS)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["set", "pop", "del"]))))
def test_dicts_of_modules_and_parameters_behave_as_dicts(kind: Any, steps: list[tuple[str, str]]):
    model: dict[str, Any] = {}
    container = kind()
    for key, step in steps:
        if step == "set":
            model[key] = container[key] = DICTS[kind]()
        elif key not in model:
            with pytest.raises(KeyError):
                container.pop(key)
        elif step == "pop":
            assert container.pop(key) is model.pop(key)
        else:
            del container[key], model[key]
    assert list(container.items()) == list(model.items())
    held = container.named_children() if kind is nn.ModuleDict else container.named_parameters()
    assert list(held) == list(model.items())
    assert len(container) == len(model)
    container.clear()
    assert not len(container)
    container.update({"e": DICTS[kind]()})
    assert container.e is container["e"]
    for name, message in (("training", "attribute 'training' already"), ("a.b", "without dots")):
        with pytest.raises(KeyError, match=message):
            container[name] = DICTS[kind]()


def test_dicts_are_made_of_pairs_and_hold_other_values():
    assert list(nn.ModuleDict(modules=[("a", nn.Tanh())])) == ["a"]  # type: ignore[arg-type]
    container = nn.ParameterDict(parameters={"a": tg.ones(2), "b": 3})
    assert isinstance(container["a"], nn.Parameter)
    assert dict(container) == {"a": container.a, "b": 3}
    assert container.setdefault("d", tg.zeros(1)) is container.pop("d")
    assert container == container  # noqa: PLR0124  by identity
    assert container != nn.ParameterDict(container)


def test_a_parameter_list_holds_parameters_and_other_values():
    container = nn.ParameterList(values=[tg.ones(2, 3), 7])
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


def test_patched_and_overridden_layers_are_not_fused(monkeypatch: pytest.MonkeyPatch):
    class Doubled(nn.Linear):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) * 2

    class Shifted(nn.Tanh):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) + 1

    x = tg.ones(1, 2)
    patched = nn.Linear(2, 2)
    patched.forward = lambda x: x * 2  # type: ignore[method-assign]
    pairs = [(patched, nn.Sigmoid()), (Doubled(2, 2), nn.Tanh()), (nn.Linear(2, 2), Shifted())]
    for first, second in pairs:
        assert np.array_equal(nn.Sequential(first, second)(x).numpy(), second(first(x)).numpy())
    monkeypatch.setattr(nn.Sigmoid, "forward", lambda self, x: x * 0 + 7)
    assert (nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())(x) == 7).all()


def test_a_hook_may_set_attributes_during_the_call():
    net = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid(), nn.Tanh())
    net[2].register_forward_hook(lambda module, args, out: setattr(net, "last", out.detach()))
    assert net(tg.zeros(1, 1)).shape == net.last.shape
