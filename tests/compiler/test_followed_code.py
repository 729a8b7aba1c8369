"""What code reads by special methods, slots, functions, environment, layers, distributions."""

import os
from os import environ, getenv
from types import SimpleNamespace
from typing import Any

import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn

from .twins import same

X = tg.ones(3)
config = SimpleNamespace(factor=1.0)


class Special:
    """Each special method reads `config`."""

    def __getitem__(self, _: int) -> float:
        return config.factor  # type: ignore[no-any-return]

    def __enter__(self) -> float:
        return config.factor  # type: ignore[no-any-return]

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> float:
        if name == "computed":
            return config.factor  # type: ignore[no-any-return]
        raise AttributeError(name)


class Created:
    """Its constructor reads `config`."""

    def __init__(self, x: Any) -> None:
        self.scaled = x * config.factor


special = Special()


def entered(x: Any) -> Any:
    with special as factor:
        return x * factor


SPECIAL_METHODS: dict[str, Any] = {
    "getitem": lambda x: x * special[0],
    "enter": entered,
    "getattr": lambda x: x * special.computed,
    "init": lambda x: Created(x).scaled,
}


@pytest.mark.parametrize("name", SPECIAL_METHODS)
def test_what_special_methods_read(name: str):
    function = SPECIAL_METHODS[name]
    compiled = tg.compile(function, backend="numpy", check=False)
    for factor in (1.0, 1.0, 3.0, 3.0, 5.0):
        config.factor = factor
        same("result", compiled(X), function(X))
    assert len(compiled.sources) == 3


class Slotted:
    """A number in a slot, in a class with a method `get`."""

    __slots__ = ("value",)

    def get(self) -> float:
        return self.value  # type: ignore[attr-defined, no-any-return]


class Net(nn.Module):
    """A model with a method beside `forward`."""

    def doubled(self, x: Any) -> Any:
        return x * 2

    def forward(self, x: Any) -> Any:
        return self.doubled(x)


slotted, net, dropout = Slotted(), Net(), nn.Dropout(0.0)
slotted.value = 1.0  # type: ignore[attr-defined]
normal = tg.distributions.Normal(tg.zeros(3), tg.ones(3))


def factor(x: Any) -> Any:
    return x * factor.value


factor.value = 1.0  # type: ignore[attr-defined]
READ: dict[str, tuple[Any, Any]] = {
    "a slot": (lambda x: x * slotted.value, lambda p: p.setattr(slotted, "value", 3.0)),
    "a method of a slot": (lambda x: x * slotted.get(), lambda p: p.setattr(slotted, "value", 3.0)),
    "a function's attribute": (factor, lambda p: p.setattr(factor, "value", 3.0)),
    "os.environ": (lambda x: x * float(os.environ["FACTOR"]), lambda p: p.setenv("FACTOR", "3")),
    "environ": (lambda x: x * float(environ["FACTOR"]), lambda p: p.setenv("FACTOR", "3")),
    "getenv": (lambda x: x * float(getenv("FACTOR", "2")), lambda p: p.setenv("FACTOR", "3")),
    "a mode": (lambda x: dropout.forward(x) * 1, lambda p: p.setattr(dropout, "p", 1.0)),
    "a distribution": (normal.log_prob, lambda p: p.setattr(normal, "loc", X * 2)),
    "the forward of a class": (lambda x: net(x), lambda p: p.setattr(Net, "forward", X.mul)),  # noqa: PLW0108
    "a method of a class": (net.forward, lambda p: p.setattr(Net, "doubled", lambda _, x: x * 5)),
    "a method of an object": (lambda x: net(x), lambda p: p.setattr(net, "doubled", X.mul)),  # noqa: PLW0108
}


@pytest.mark.parametrize("name", READ)
def test_what_code_reads_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FACTOR", "1")
    function, change = READ[name]
    compiled = tg.compile(function, backend="numpy", check=False)
    for _ in range(3):
        same("result", compiled(X), function(X))
    assert len(compiled.sources) == 1
    change(monkeypatch)
    same("changed", compiled(X), function(X))


def test_a_function_that_changes_its_attribute_is_refused():
    def count(x: Any) -> Any:
        count.calls += 1  # type: ignore[attr-defined]
        return x

    count.calls = 0  # type: ignore[attr-defined]
    with pytest.raises(tg.compiler.CompileError, match="the function changes calls"):
        tg.compile(count, backend="numpy")(X)


class Affine(nn.Module):
    """A layer with a constructor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.linear(x)


class Trainer:
    """Its step does not read `losses`."""

    def __init__(self) -> None:
        self.model = Affine()
        self.losses: list[float] = []

    def step(self, x: tg.Tensor) -> Any:
        return self.model(x).square().mean()


def test_attributes_that_only_a_constructor_sets_are_no_guards():
    trainer = Trainer()
    step = tg.compile(trainer.step, backend="numpy")
    for _ in range(3):
        trainer.losses.append(step(X).item())
    assert len(step.sources) == 1
