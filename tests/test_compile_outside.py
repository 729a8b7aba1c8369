"""What Python alone reads outside of a compiled function is never silently baked in."""

from __future__ import annotations

import array
import contextvars
import datetime as dt
import functools
import itertools
import os
import uuid
from collections import defaultdict, deque
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from twins import same

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.compiler import CompileError

X = tg.tensor([1.0, 2.0])
LARGE = np.ones(10000)
CONTEXT = contextvars.ContextVar("CONTEXT", default=1.0)


class Slots:
    """An object without a dict."""

    __slots__ = ("n",)


class Property:
    """An object whose attribute is computed, from one of the class at first."""

    _n = 1.0

    @property
    def n(self) -> float:
        """Return the number."""
        return self._n


class Net(nn.Module):
    """A model with everything that a model may go by."""

    factor = 1.0

    def __init__(self) -> None:
        self.layers: list[Any] = [nn.Tanh()]
        self.options = {"k": [1.0]}
        self.scale = np.ones(1)
        self.sign = 0.0

    def forward(self, x: Any) -> Any:
        """Return what depends on all of it."""
        for layer in self.layers:
            x = layer(x)
        x = x * self.options["k"][0] * float(self.scale[0]) * self.factor
        return x + tg.tensor([1.0, -1.0]) / (x * self.sign)


class Negated(Net):
    """A model that does something else."""

    def forward(self, x: Any) -> Any:
        """Return the same, negated."""
        return -super().forward(x)


def with_slots() -> Any:
    o = Slots()
    o.n = 1.0
    return (lambda x: x * o.n), lambda k: setattr(o, "n", k)


def with_property() -> Any:
    o = Property()
    return (lambda x: x * o.n), lambda k: setattr(o, "_n", k)


def with_getattr() -> Any:
    o = SimpleNamespace(n=1.0)
    return (lambda x: x * getattr(o, "n")), lambda k: setattr(o, "n", k)  # noqa: B009  the point


def with_vars() -> Any:
    o = SimpleNamespace(n=1.0)
    return (lambda x: x * vars(o)["n"]), lambda k: setattr(o, "n", k)


def with_nested_objects() -> Any:
    o = SimpleNamespace(a=SimpleNamespace(b=[SimpleNamespace(n=1.0)]))
    return (lambda x: x * o.a.b[0].n), lambda k: setattr(o.a.b[0], "n", k)


def with_helper() -> Any:
    n = 1.0

    def helper() -> float:
        return n

    def change(k: float) -> None:
        nonlocal n
        n = k

    return (lambda x: x * helper()), change


def with_default() -> Any:
    def scaled(x: Any, n: float = 1.0) -> Any:
        return x * n

    return scaled, lambda k: setattr(scaled, "__defaults__", (k,))


def with_default_of_helper() -> Any:
    held = [1.0]

    def helper(n: list[float] = held) -> float:
        return n[0]

    return (lambda x: x * helper()), lambda k: held.__setitem__(0, k)


def with_attribute_of_function() -> Any:
    def helper() -> None: ...

    helper.n = 1.0  # type: ignore[attr-defined]
    return (lambda x: x * helper.n), lambda k: setattr(helper, "n", k)  # type: ignore[attr-defined]


def with_a_class_between() -> Any:
    class Base:
        n = 1.0

    class Between(Base): ...

    o = type("Own", (Between,), {"__module__": __name__})()
    return (lambda x: x * o.n), lambda k: setattr(Between, "n", k)


def with_a_method_of_a_class_between() -> Any:
    class Base(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 1.0

    class Own(Base): ...

    return Own(), lambda k: setattr(Own, "forward", lambda self, x: x * k)


def with_options_of_a_model() -> Any:
    class Layer(nn.Module):
        def __init__(self) -> None:
            self.options = SimpleNamespace(n=1.0)

    class Model(nn.Module):
        def __init__(self) -> None:
            self.layers = nn.ModuleList([Layer(), Layer()])
            self.options = [SimpleNamespace(inner=SimpleNamespace(n=1.0))]

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = x * layer.options.n
            return x * self.options[0].inner.n

    model = Model()

    def change(k: float) -> None:
        model.layers[1].options.n = k
        model.options[0].inner.n = k

    return model, change


class Holder:
    """An object that hands out what it holds, in several ways."""

    def __init__(self) -> None:
        self._held = [SimpleNamespace(n=1.0)]

    def first(self) -> Any:
        """Return the first."""
        return self._held[0]

    second = property(first)

    def __getitem__(self, k: int) -> Any:
        return self._held[k]

    def __iter__(self) -> Any:
        return iter(self._held)


def returned(how: Any) -> Any:
    held = Holder()
    return (lambda x: x * how(held).n), lambda k: setattr(held._held[0], "n", k)


def with_a_class_of_a_class() -> Any:
    meta = type("Meta", (type,), {"n": 1.0, "__module__": __name__})
    made = meta("Made", (), {"__module__": __name__})
    return (lambda x: x * made.n), lambda k: setattr(meta, "n", k)


def with_another_class() -> Any:
    held = SimpleNamespace(kind=type("First", (), {"n": 1.0}))
    return (lambda x: x * held.kind.n), lambda k: setattr(held, "kind", type("N", (), {"n": k}))


def with_another_function_of_pythons() -> Any:
    held = SimpleNamespace(f=max)
    return (lambda x: x * held.f(2.0, 3.0)), lambda k: setattr(held, "f", max if k == 1 else min)


def with_another_module() -> Any:
    module = ModuleType("settings")
    module.n = 1.0  # type: ignore[attr-defined]

    def change(k: float) -> None:
        nonlocal module
        module = ModuleType("settings")
        module.n = k  # type: ignore[attr-defined]

    return (lambda x: x * module.n), change


def with_another_function_for_a_class() -> Any:
    @functools.singledispatch
    def scaled(x: Any) -> Any:
        return x * 1.0

    return (lambda x: scaled(x) + 0), lambda k: scaled.register(tg.Tensor, lambda x: x * k)


def with_partial() -> Any:
    held = [1.0]
    return functools.partial(lambda n, x: x * n[0], held), lambda k: held.__setitem__(0, k)


def with_an_array_in_a_list() -> Any:
    held = [np.ones(2)]
    return (lambda x: x * float(held[0][0])), held[0].fill


def with_a_list_in_a_tuple() -> Any:
    held = ([1.0],)
    return (lambda x: x * held[0][0]), lambda k: held[0].__setitem__(0, k)


def element(container: Any, at: Any = 0) -> Any:
    return (lambda x: x * float(container[at])), lambda k: container.__setitem__(at, k)


OUTSIDE: dict[str, Any] = {
    "what a method returns": lambda: returned(lambda held: held.first()),
    "what a property is": lambda: returned(lambda held: held.second),
    "what an index finds": lambda: returned(lambda held: held[0]),
    "what a loop finds": lambda: returned(lambda held: next(iter(held))),
    "an array": lambda: element(np.ones(2)),
    "a list": lambda: element([1.0]),
    "a long list": lambda: element([1.0] * 100),
    "a deque": lambda: element(deque([1.0])),
    "a defaultdict": lambda: element(defaultdict(float, a=1.0), "a"),
    "an array of Python's": lambda: element(array.array("d", [1.0])),
    **{
        f.__name__: f
        for f in (
            *(with_slots, with_property, with_getattr, with_vars, with_nested_objects),
            *(with_helper, with_default, with_default_of_helper, with_attribute_of_function),
            *(with_options_of_a_model, with_a_class_of_a_class),
            with_another_class,
            *(with_another_function_of_pythons, with_another_module),
            *(with_another_function_for_a_class, with_a_class_between),
            *(with_a_method_of_a_class_between, with_partial),
            *(with_an_array_in_a_list, with_a_list_in_a_tuple),
        )
    },
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_python_reads_is_read_anew(name: str):
    function, change = OUTSIDE[name]()
    compiled = tg.compile(function, backend="numpy")
    for k in (1.0, 3.0, 3.0, 0.0, -0.0, 5.0):
        change(k)
        same("result", compiled(X), function(X))
        same("signs", np.signbit(compiled(X).numpy()), np.signbit(function(X).numpy()))
    count = len(compiled.programs)
    compiled(X)
    assert len(compiled.programs) == count, "what stays as it is needs no other program"


CHANGES: dict[str, Any] = {
    "layers": lambda net: net.layers.append(nn.Sigmoid()),
    "options": lambda net: net.options["k"].__setitem__(0, 2.0),
    "an array": lambda net: net.scale.fill(3.0),
    "the class": lambda net: setattr(type(net), "factor", 2.0),
    "the sign of zero": lambda net: setattr(net, "sign", -0.0),
    "its class": lambda net: setattr(net, "__class__", Negated),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_model_goes_by(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Net, "factor", 1.0)
    net = Net()
    compiled = tg.compile(net, backend="numpy")
    with np.errstate(divide="ignore"):
        for _ in range(2):
            same("result", compiled(X), net(X))
        assert len(compiled.programs) == 1
        CHANGES[name](net)
        same("result", compiled(X), net(X))


@pytest.mark.parametrize("values", [("a", None), (None, 2), (np.sin, None), (int, str), (1, "1")])
def test_whatever_a_class_holds(values: Any):
    class Options:
        mode: Any = None

    class Inherits(Options):
        pass

    marks = [SimpleNamespace(), SimpleNamespace()]
    for one, other in (values, marks):

        def function(x: Any, first: Any = one) -> Any:
            return x * 2 if Options.mode == first and Inherits().mode == first else x * 3

        Options.mode = one
        compiled = tg.compile(function, backend="numpy")
        for value in (one, other, one):
            Options.mode = value
            same("result", compiled(X), function(X))


def test_what_a_class_holds_and_nobody_names_is_not_looked_into():
    class Trainer:
        ids = itertools.count()
        meter = SimpleNamespace(total=0.0)

        def __init__(self) -> None:
            self.id = next(Trainer.ids)

        def step(self, x: Any) -> Any:
            return x * getattr(self, "factor", 2.0) + (x * 0).sum() * float(hasattr(self, "hook"))

    trainer = Trainer()
    compiled = tg.compile(trainer.step, backend="numpy")
    for k in range(3):
        Trainer.meter.total += k
        same("result", compiled(X), X * 2)
    assert len(compiled.programs) == 1


def test_a_class_of_the_users_behind_one_in_c():
    class Options:
        act: Any = None

    class State(dict, Options):  # type: ignore[type-arg]
        def apply(self, x: Any) -> Any:
            return x * 2 if self.act is None else x * 3

    state = State()
    compiled = tg.compile(state.apply, backend="numpy")
    for act in (None, tg.relu, None):
        Options.act = act
        same("result", compiled(X), state.apply(X))


def test_objects_that_the_function_makes_are_its_own():
    class Made:
        def __init__(self) -> None:
            self.n, self.items = 0, []

    def update(made: Any, x: Any) -> None:
        made.n += 1
        made.items.append(x * made.n)

    def function(x: Any) -> Any:
        made = Made()
        update(made, x)
        update(made, x)
        return made.items[0] + made.items[1]

    compiled = tg.compile(function, backend="numpy")
    for _ in range(3):
        same("result", compiled(X), function(X))
    assert len(compiled.programs) == 1


def test_messages_of_the_library_have_the_values_of_the_call():
    rows = nn.Embedding(3, 2)
    compiled = tg.compile(rows, backend="numpy")
    compiled(tg.tensor([0, 1]))
    for function in (rows, compiled):
        with pytest.raises(tg.errors.RangeError, match="5 to 7 are asked for, of 3 rows"):
            function(tg.tensor([5, 7]))


counter, steps = itertools.count(), iter([1.0, 2.0])


class Drawing(nn.Module):
    """A model that goes on, or draws."""

    def __init__(self) -> None:
        self.steps, self.rng = iter([1.0, 2.0]), np.random.default_rng(0)

    def forward(self, x: Any, way: str) -> Any:
        """Return what is another in each call."""
        return x * (next(self.steps) if way == "steps" else self.rng.random())


drawing, chance = Drawing(), Drawing()
chance.steps = None
REFUSED: dict[str, tuple[Any, str]] = {
    "an iterator of a model": (lambda x: drawing(x, "steps"), "goes by an iterator"),
    "chance of a model": (lambda x: chance(x, "rng"), "drawn from rng"),
    "classes": (lambda x: x * len(Holder.__subclasses__()), "what __subclasses__.. gives"),
    "an iterator": (lambda x: x * next(steps), "goes by an iterator"),
    "a counter": (lambda x: x * next(counter), "goes by an iterator"),
    "a large array": (lambda x: x * float(LARGE[0]), "too large to be looked at in every call"),
    "a date": (
        lambda x: x * dt.datetime.now().timestamp(),  # noqa: DTZ005  the point
        "tells another value in every call",
    ),
    "the system's chance": (lambda x: x * (uuid.uuid4().int % 7), "drawn from the system"),
    "the environment": (lambda x: x * len(os.environ["PATH"]), "a variable of the environment"),
    "a context": (lambda x: x * CONTEXT.get(), "is read inside of the function"),
    "a file": (
        lambda x: x * len(open(__file__).read()),  # noqa: SIM115, PTH123  the point
        "what open.. gives is read inside",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_looked_at_is_refused(name: str):
    function, message = REFUSED[name]
    with pytest.raises(CompileError, match=message) as caught:
        tg.compile(function, backend="numpy")(X)
    assert str(caught.value).startswith(f"{__file__}:")


def test_another_generator_is_drawn_from():
    held = SimpleNamespace(generator=tg.Generator().manual_seed(1))
    noisy = tg.compile(lambda x: x + tg.rand(2, generator=held.generator), backend="numpy")
    noisy(X)
    for seed in (2, 3):
        held.generator = tg.Generator().manual_seed(seed)
        same("draw", noisy(X), X + tg.rand(2, generator=tg.Generator().manual_seed(seed)))


def test_closures_that_the_function_makes_may_hold_its_arguments():
    def function(x: Any, k: float = 2.0) -> Any:
        total = sum(x * each for each in (1.0, k))
        return [y for each in (1.0, k) if (y := total * each) is not None]

    compiled = tg.compile(function, backend="numpy")
    for _ in range(2):
        same("result", compiled(X), function(X))
    assert len(compiled.programs) == 1
