"""Texts of modules, edits of containers and first values, side by side with PyTorch's."""

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from against_torch import array

import tinygrad_fc as tg

torch = pytest.importorskip("torch")


def net_class(lib: Any) -> Any:
    class Net(lib.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = lib.nn.Linear(4, 3)

        def extra_repr(self) -> str:
            return "first=1\nsecond=2"

    return Net


# `test_modules_parity` prints random trees of modules.
MODELS = {
    "two lines": lambda lib: net_class(lib)(),
    "list": lambda lib: lib.nn.ModuleList(
        [lib.nn.Linear(2, 2), lib.nn.Linear(2, 2), lib.nn.Tanh(), lib.nn.Sequential(lib.nn.ReLU())]
    ),
    "parameters": lambda lib: lib.nn.ParameterList([lib.ones(2), lib.ones(2, 3)]),
    "parameter": lambda lib: lib.nn.Sequential(lib.nn.ParameterList([lib.ones(2)])),
}


@pytest.mark.parametrize("name", MODELS)
def test_repr(name: str):
    ours, theirs = (MODELS[name](lib) for lib in (tg, torch))
    assert repr(ours) == repr(theirs).replace("torch.", "")


# What is done to named layers; tests/nn does the same to lists of layers and to lists.
EDITS = {
    "append": lambda net, lib: net.append(lib.nn.ReLU()),
    "extend": lambda net, lib: net.extend([lib.nn.ReLU(), lib.nn.Tanh()]),
    "replace": lambda net, lib: net.__setitem__(-1, lib.nn.ReLU()),
    "delete": lambda net, lib: net.__delitem__(0),
    "delete some": lambda net, lib: net.__delitem__(slice(0, 2)),
    "pop": lambda net, lib: net.pop(1),
    "slice": lambda net, lib: net[1:],
    "add": lambda net, lib: net + lib.nn.Sequential(lib.nn.ReLU()),
    "add_module": lambda net, lib: net.add_module("7", lib.nn.ReLU()),
}


@pytest.mark.parametrize("edit", EDITS)
def test_editing_named_layers(edit: str):
    def edited(lib: Any) -> Any:
        layers = [lib.nn.Linear(2, 2), lib.nn.Tanh(), lib.nn.Linear(2, 2)]
        net = lib.nn.Sequential(OrderedDict(zip("abc", layers, strict=True)))
        result = EDITS[edit](net, lib)
        return repr(result), repr(net), [name for name, _ in net.named_children()]

    assert edited(tg) == edited(torch)


FILLS = {
    "uniform_": {"a": -3.0, "b": 2.0},
    "normal_": {"mean": 2.0, "std": 3.0},
    "trunc_normal_": {"mean": 1.0, "std": 2.0, "a": -1.0, "b": 2.5},
    "xavier_uniform_": {"gain": 2.0},
    "xavier_normal_": {"gain": 2.0},
    "kaiming_uniform_": {"a": 0.3, "mode": "fan_out"},
    "kaiming_normal_": {"nonlinearity": "relu"},
    "orthogonal_": {"gain": 2.0},
    "eye_": {},
    "zeros_": {},
    "ones_": {},
    "constant_": {"val": 7.0},
}


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize("defaults", [False, True])
def test_first_values_have_the_same_quantiles(name: str, defaults: bool):
    torch.manual_seed(0)
    tg.manual_seed(0)
    options = FILLS[name] if name == "constant_" or not defaults else {}
    ours, theirs = (
        np.sort(array(getattr(lib.nn.init, name)(lib.empty(150, 200), **options)).ravel())
        for lib in (tg, torch)
    )
    scale = max(abs(theirs).max(), 1e-300)
    steps = slice(300, None, 600)
    np.testing.assert_allclose(ours[steps], theirs[steps], atol=0.02 * scale)
    assert abs(ours).max() <= 1.3 * scale


def test_layers_are_drawn_from_the_same_distribution():
    torch.manual_seed(0)
    ours, theirs = (lib.nn.Linear(50, 400) for lib in (tg, torch))
    for name, p in ours.named_parameters():
        mine, yours = (np.sort(array(t).ravel()) for t in (p, getattr(theirs, name)))
        np.testing.assert_allclose(mine, yours, atol=0.1 * abs(yours).max())
