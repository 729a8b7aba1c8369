"""Names that a compiled function reads: a changed value is seen by the next call."""

import queue
import random
import sys
from collections import UserDict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial, reduce, wraps
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import guards
from tinygrad_fc.domain import real

from .twins import BACKENDS, same

X = tg.tensor([1.0, 2.0])
FACTOR: Any = 1.0
MODULE: Any = ModuleType("settings")
MODULE.n, MODULE.__file__ = 1.0, __file__
Place = tuple[Callable[[], Any], Callable[[Any], Any]]
"""What reads a value outside, and what changes it there."""


def a_global() -> Place:
    def change(value: Any) -> None:
        global FACTOR  # noqa: PLW0603  the point
        FACTOR = value

    return (lambda: FACTOR), change


def a_closure_variable() -> Place:
    n = 1.0

    def change(value: Any) -> None:
        nonlocal n
        n = value

    return (lambda: n), change


def in_a_class_body() -> Place:
    def read() -> Any:
        class Inner:
            value = FACTOR

        return Inner.value

    return read, a_global()[1]


def in_an_imported_module() -> Place:
    def read() -> Any:
        import settings  # type: ignore[import-not-found]  # noqa: PLC0415  the point

        return settings.n

    return read, partial(setattr, MODULE, "n")


def what_a_helper_reads() -> Place:
    read, change = a_closure_variable()
    return (lambda: read()), change  # noqa: PLW0108  another level


class Config:
    """An object with a number, which methods read too; `rate` is one of its class at first."""

    rate = 1.0

    def __init__(self) -> None:
        self.n, self.state, self.inner = 1.0, 1.0, SimpleNamespace(n=1.0)
        self.options, self.many = {"n": 1.0}, dict.fromkeys(range(2000), 1.0)
        self.function: Any = lambda: 1.0
        self.kind, self.module = type("Kind", (), {"n": 1.0}), MODULE

    def number(self) -> Any:
        """Return the number."""
        return self.n


class Derived(Config):
    """An object with a method that calls one of the base."""

    def inherited(self) -> Any:
        """Return what the method of the base returns."""
        return super().number()


def another_module(value: Any) -> Any:
    """Return a module with a number."""
    module: Any = ModuleType("other")
    module.n, module.__file__ = value, __file__
    return module


def heir() -> Any:
    """Return an object whose class inherits a number."""
    return type("Own", (type("Base", (), {"n": 1.0}),), {})()


def default(n: Any = 1.0) -> Any:
    """Return a function with a default argument."""
    return lambda n=n: n


def to(path: str, value_with: Any = lambda n: n) -> Callable[[Any, Any], None]:
    """Return what sets the attribute at a path to a number, or to an object with it."""
    *owners, name = path.split(".")
    return lambda o, n: setattr(reduce(getattr, owners, o), name, value_with(n))


IN_OBJECTS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "an attribute": (Config, lambda o: o.n, to("n")),
    "one two levels deep": (Config, lambda o: o.inner.n, to("inner.n")),
    "another object": (Config, lambda o: o.inner.n, to("inner", lambda n: SimpleNamespace(n=n))),
    "one of a class": (lambda: type(heir()), lambda o: o.n, to("n")),
    "an inherited one": (heir, lambda o: o.n, to("__class__.__base__.n")),
    "one that hides the class's": (Config, lambda o: o.rate, to("rate")),
    "one called state": (Config, lambda o: o.state, to("state")),
    "one of a module": (lambda: MODULE, lambda o: o.n, to("n")),
    "what an attribute's method reads": (
        *(lambda: SimpleNamespace(inner=Config()), lambda o: o.inner.number()),
        to("inner.n"),
    ),
    "what a method of the base reads": (Derived, lambda o: o.inherited(), to("n")),
    "another function": (Config, lambda o: o.function(), to("function", default)),
    "another class": (Config, lambda o: o.kind.n, to("kind", lambda n: type("O", (), {"n": n}))),
    "another module": (Config, lambda o: o.module.n, to("module", another_module)),
    "an item of a dict": (lambda: {"n": 1.0}, lambda o: o["n"], lambda o, n: o.update(n=n)),
    "an item of a list": (lambda: [1.0, 2.0], lambda o: o[0], lambda o, n: o.__setitem__(0, n)),
    "the last item": (lambda: [1.0], lambda o: o[-1], lambda o, n: o.append(n)),
    "one four levels deep": (
        *(lambda: {"n": [{"n": [1.0]}]}, lambda o: o["n"][0]["n"][0]),
        lambda o, n: o["n"][0]["n"].__setitem__(0, n),
    ),
    "one of a deque": (lambda: deque([1.0]), lambda o: o[0], lambda o, n: o.__setitem__(0, n)),
    "one of a UserDict": (lambda: UserDict(n=1.0), lambda o: o["n"], lambda o, n: o.update(n=n)),
    "one by its name": (Config, lambda o: getattr(o, "n"), to("n")),  # noqa: B009  the point
    "one that is missing": (SimpleNamespace, lambda o: getattr(o, "n", 1.0), to("n")),
    "one of all": (Config, lambda o: vars(o)["n"], to("n")),
    "one of a dict below": (Config, lambda o: o.options["n"], lambda o, n: o.options.update(n=n)),
    "another dict": (Config, lambda o: o.options["n"], to("options", lambda n: {"n": n})),
    "one of a dict of 2000": (Config, lambda o: o.many[150], lambda o, n: o.many.update({150: n})),
    "an option of an optimizer": (
        lambda: optim.SGD([tg.ones(1, requires_grad=True)], weight_decay=1.0),
        lambda o: o.param_groups[0]["weight_decay"],
        lambda o, n: o.param_groups[0].update(weight_decay=n),
    ),
    "an attribute in a list": (lambda: [Config()], lambda o: o[0].n, lambda o, n: to("n")(o[0], n)),
    "a default argument": (default, lambda o: o(), to("__defaults__", lambda n: (n,))),
    "a keyword default": (
        *(lambda: lambda *, n=1.0: n, lambda o: o()),
        to("__kwdefaults__", lambda n: {"n": n}),
    ),
    "an object as default argument": (
        *(lambda: default(SimpleNamespace(n=1.0)), lambda o: o().n),
        lambda o, n: to("n")(o.__defaults__[0], n),
    ),
}
"""What creates an object, reads a number in it, and changes that."""


def in_an_object(name: str) -> Place:
    create, read, change = IN_OBJECTS[name]
    o = create()
    return (lambda: read(o)), partial(change, o)


PLACES: dict[str, Callable[[], Place]] = {
    **{f.__name__: f for f in (a_global, a_closure_variable, what_a_helper_reads)},
    "a global, in a class body": in_a_class_body,
    "one of a module that the function imports": in_an_imported_module,
    **{name: partial(in_an_object, name) for name in IN_OBJECTS},
}


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FACTOR", 1.0)
    monkeypatch.setattr(MODULE, "n", 1.0)
    monkeypatch.setitem(sys.modules, "settings", MODULE)


@pytest.mark.filterwarnings("ignore:.* is traced for the 9th time")
@pytest.mark.parametrize("name", PLACES)
def test_a_value(name: str):
    read, change = PLACES[name]()

    def function(x: Any) -> Any:
        value = read()
        return value(x) if callable(value) else x * {"a": 2, "b": 3, None: 4}.get(value, value)

    compiled = tg.compile(function, backend="numpy", check=False)
    of_all_kinds = (True, np.float64(3), "b", nn.ReLU(), partial(tg.add, 2))
    others = of_all_kinds if name == "a_global" else ()
    for value in (1.0, 3.0, 3, 0.0, -0.0, "a", None, *others, nn.Tanh(), "a"):
        change(value)
        for _ in range(2):
            same("result", compiled(X), function(X))
    count = len(compiled.sources)
    compiled(X)
    assert len(compiled.sources) == count, "an unchanged value needs no other program"


@pytest.mark.parametrize("name", ["a_global", "an attribute", "an item of a list"])
def test_an_element_of_a_small_array(name: str):
    read, change = PLACES[name]()
    array = np.ones(2)
    change(array)

    def function(x: Any) -> Any:
        return x * float(read()[0]) + read()

    compiled = tg.compile(function, backend="numpy", check=False)
    for value in (1.0, 2.0, 2.0, 5.0):
        array[0] = value
        same("result", compiled(X), function(X))


class Parts(nn.Module):
    """A module with numbers, layers in lists, a dict and an array as attributes."""

    factor = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.layers = nn.Linear(2, 2), nn.ModuleList([nn.Linear(2, 2)])
        self.weight = nn.Parameter(tg.ones(2))
        object.__setattr__(self, "others", [nn.Tanh()])
        self.options, self.scale, self.flag = {"shift": 1.0}, np.ones(2), False

    def encode(self, x: Any) -> Any:
        """Return what a part of the module computes."""
        return self.layer(x) * self.factor

    def forward(self, x: Any) -> Any:
        """Return what depends on the attributes."""
        for layer in self.others:
            x = layer(x)
        x = x * self.factor * self.scale + self.options["shift"]
        return -x if self.flag else x


USES: dict[str, Any] = {
    "a call": lambda m, x: m(x),
    "a method": lambda m, x: m.encode(x),
    "an attribute": lambda m, x: x * m.factor,
    "a parameter": lambda m, x: x * m.weight,
    "a parameter of a layer": lambda m, x: x @ m.layer.weight.T,
    "an item": lambda m, x: m.layers[0](x),
    "the mode": lambda m, x: x * 2 if m.training else x * 3,
}
CHANGES: list[Any] = [
    lambda m: setattr(type(m), "factor", 5.0),
    lambda m: setattr(m, "factor", 2.0),
    lambda m: setattr(m, "weight", nn.Parameter(tg.zeros(2))),
    lambda m: setattr(m, "layer", nn.Linear(2, 2)),
    lambda m: setattr(m.layer, "weight", nn.Parameter(tg.zeros(2, 2))),
    lambda m: m.layers.__setitem__(0, nn.Linear(2, 2)),
    lambda m: m.eval(),
    lambda m: m.others.append(nn.Sigmoid()),
    lambda m: m.others.__setitem__(0, nn.ReLU()),
    lambda m: m.options.update(shift=2.0),
    lambda m: m.scale.fill(3.0),
    lambda m: setattr(m, "flag", True),
]


@pytest.mark.filterwarnings("ignore:.* is traced for the 9th time")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("argument", [False, True], ids=["closure", "argument"])
def test_modules(use: str, argument: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Parts, "factor", 1.0)
    module, function = Parts(), USES[use]
    if argument:
        compiled = tg.compile(function, backend="numpy", check=False)
    else:
        compiled = tg.compile(lambda _, x: function(module, x), backend="numpy", check=False)
    for change in (lambda m: None, *CHANGES):
        change(module)
        for _ in range(2):
            same(use, compiled(module if argument else None, X), function(module, X))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "read",
    [
        lambda sgd: sgd.param_groups[0]["lr"],
        lambda sgd: next(group[key] for group in sgd.param_groups for key in ("lr",)),
    ],
    ids=["by an index", "in a loop over groups"],
)
def test_learning_rates_that_the_function_reads_are_inputs(read: Any, backend: str):
    model = nn.Linear(2, 1)
    sgd = optim.SGD(model.parameters(), lr=1.0)
    sgd.has_stepped = True
    scheduler = optim.lr_scheduler.ExponentialLR(sgd, 0.5)

    def descent(x: Any) -> Any:
        model.zero_grad()
        model(x).sum().backward()
        rate = read(sgd)
        with tg.no_grad():
            for p in model.parameters():
                p.sub_(rate * p.grad)
        return model.bias.clone(), rate, [-rate]

    compiled = tg.compile(descent, backend=backend, check=False)
    for rate in (1.0, 0.5, 0.25, 0.125):
        before = model.bias.detach().clone()
        same("bias", compiled(X), (before - rate, rate, [-rate]))
        scheduler.step()
    assert len(compiled.sources) == 1
    results = compiled.epoch([[0], [1]], tg.stack([X, X]))
    assert results[1:] == (0.0625, [-0.0625])


def test_what_the_code_does_not_read_is_no_guard():
    model, average = nn.Linear(2, 1), Parts()
    sgd = optim.SGD(model.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.ExponentialLR(sgd, 0.9)

    @tg.compile(backend="numpy", check=False)
    def accumulate(x: Any) -> Any:
        with tg.no_grad():
            for p in average.parameters():
                p.mul_(0.5)
        model(x).sum().backward()
        for group in sgd.param_groups:
            for p in group["params"]:
                p.grad.mul_(0.5)

    for k in range(6):
        accumulate(X)
        average.steps = k
        sgd.step()
        scheduler.step()
    assert len(accumulate.sources) <= 2


def module_hook(read: Any) -> Any:
    layer = nn.Identity()
    layer.register_forward_hook(lambda _, __, out: out * read())
    return layer


def tensor_hook(read: Any) -> Any:
    weight = tg.ones(2, requires_grad=True)
    weight.register_hook(lambda g: g * read())
    return lambda x: tg.autograd.grad((weight * x).sum(), [weight])[0]


def own_op(read: Any) -> Any:
    return tg.op(
        lambda x: x * read(), name="own", domain=(real,), rules=(lambda g, _out, _x: g * read(),)
    )


def rule(read: Any) -> Any:
    scale = own_op(read)
    return tg.func.grad(lambda x: scale(x).sum())


HOLDERS: dict[str, Callable[[Any], Any]] = {
    **{f.__name__: f for f in (module_hook, tensor_hook, own_op, rule)},
    "wrapper": lambda read: wraps(read)(lambda x: x * read()),
    "partial": lambda read: partial(lambda f, x: x * f(), read),
}


@pytest.mark.usefixtures("_registry_restored")
@pytest.mark.parametrize("name", HOLDERS)
def test_what_hooks_ops_and_wrappers_read(name: str):
    read, change = a_global()
    function = HOLDERS[name](read)
    compiled = tg.compile(lambda x: function(x), backend="numpy", check=False)  # noqa: PLW0108
    for value in (1.0, 3.0, 5.0):
        change(value)
        same("result", compiled(X), function(X))


data = weight = zero_grad = backward = step = 0  # attributes that the step below reads


def test_a_global_with_the_name_of_an_attribute_is_no_guard(monkeypatch: pytest.MonkeyPatch):
    model = nn.Linear(2, 1)
    sgd = optim.SGD(model.parameters(), lr=0.1)

    @tg.compile(backend="numpy", check=False)
    def train(x: Any) -> Any:
        sgd.zero_grad()
        loss = (model(x) + model.weight.data.sum()).sum()
        loss.backward()
        sgd.step()
        return loss

    for k in range(4):
        for name in ("step", "data", "weight", "zero_grad", "backward"):
            monkeypatch.setitem(globals(), name, k)
        train(X)
    assert len(train.sources) == 1


EQUAL: dict[str, Callable[[], Any]] = {
    "np.float64": lambda: np.float64(0.5),
    "np.int64": lambda: np.int64(3),
    "NaN": lambda: np.float32("nan"),
    "range": lambda: range(3),
    "set": lambda: {"a", "b", 1.5},
    "frozenset": lambda: frozenset([(1, 2), (3, 4)]),
    "Decimal": lambda: Decimal("0.1"),
    "Fraction": lambda: Fraction(1, 3),
    "bound method": lambda: METHODS.number,
    "named tuple": lambda: Pair(np.float64(1.0), "x"),
}


class Pair(NamedTuple):
    """Two values."""

    first: Any
    second: Any


METHODS = Config()


@pytest.mark.parametrize("kind", EQUAL)
@pytest.mark.parametrize("place", ["argument", "attribute"])
def test_equal_values_do_not_trace_again(kind: str, place: str):
    def function(x: Any, option: Any = None) -> Any:
        return (x * 2, option, holder.n)[0]

    holder = Config()
    compiled = tg.compile(function, backend="numpy", check=False)
    for _ in range(3):
        value = EQUAL[kind]()
        holder.n, option = (value, None) if place == "attribute" else (None, value)
        same("result", compiled(X, option), X * 2)
    assert len(compiled.sources) == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.float64(1), np.float32(1)),
        (np.float64(0.0), np.float64(-0.0)),
        (np.int64(1), 1),
        ({1}, {True}),
        ({0.0}, {-0.0}),
        ({1, 2}, frozenset({1, 2})),
        (range(3), range(4)),
        (Config().number, Config().number),
        (Pair(1, 2), (1, 2)),
    ],
)
def test_other_values_differ(a: Any, b: Any):
    assert not guards.same(a, b)
    assert guards.same(a, a)


CHANGED: dict[str, tuple[Callable[[Any, Any, int], Any], str]] = {
    "a shape": (lambda f, _, k: f(tg.ones(k + 1)), "the shape of x"),
    "an argument": (lambda f, _, k: f(X, k), "the value of n"),
    "a named argument": (lambda f, _, k: f(X, m=k), "the value of m"),
    "an attribute": (lambda f, o, k: (setattr(o, "n", k), f(X)), "changed: n"),
    "an item": (lambda f, o, k: (o.options.update(n=k), f(X)), "the items of a dict"),
    "a dtype": (
        lambda f, _, k: f(tg.ones(2, dtype=np.dtype("?bhilBfed"[k % 9]))),
        "the dtype of x",
    ),
    "the number of arguments": (
        lambda f, _, k: f(X, 1, 2, *range(k)),
        "the number or classes of the arguments",
    ),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_what_traces_more_than_8_times_warns_once_and_names_the_change(kind: str):
    call, message = CHANGED[kind]
    config = Config()

    def function(x: Any, n: Any = 0, m: Any = 0, *_: Any) -> Any:
        return x * (1 + config.n + config.options["n"] + n + m)

    compiled = tg.compile(function, backend="numpy", check=False)
    for k in range(8):
        call(compiled, config, k)
    with pytest.warns(UserWarning, match=message):
        call(compiled, config, 8)
    call(compiled, config, 20)


@pytest.mark.parametrize("kind", [queue.Queue, queue.SimpleQueue, random.Random])
def test_a_kind_whose_changes_guards_do_not_see_is_refused(kind: Any):
    state = kind()
    compiled = tg.compile(lambda x: x * (1 if state is None else 2), backend="numpy")
    with pytest.raises(tg.compiler.CompileError, match="the function reads state, a"):
        compiled(X)
