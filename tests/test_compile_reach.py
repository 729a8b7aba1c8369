"""How far what a function goes by is looked at: in depth, and where something is not there yet."""

from __future__ import annotations

import cProfile
import dataclasses
import functools
import gc
import logging
import sys
import weakref
from collections import UserList, deque
from types import MethodType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from twins import same

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError
from tinygrad_fc.optim import lr_scheduler

X = tg.tensor([1.0, 2.0])


class Scaled:
    """An object with a method, a static one, and a computed attribute."""

    def method(self) -> float:
        """Return the factor."""
        return 2.0

    @staticmethod
    def static() -> float:
        """Return the factor."""
        return 2.0

    @property
    def computed(self) -> float:
        """Return the factor."""
        return 2.0


@dataclasses.dataclass
class Settings:
    """What is read whole by Python's own code."""

    n: float = 1.0


def in_dicts() -> Any:
    held: Any = {"a": {"b": {"c": {"d": {"e": [1.0]}}}}}
    change = held["a"]["b"]["c"]["d"]["e"].__setitem__
    return (lambda x: x * held["a"]["b"]["c"]["d"]["e"][0]), lambda k: change(0, k)


def in_objects() -> Any:
    last = SimpleNamespace(n=1.0)
    o = SimpleNamespace(a=SimpleNamespace(b=SimpleNamespace(c=SimpleNamespace(d=[last]))))
    return (lambda x: x * o.a.b.c.d[0].n), lambda k: setattr(last, "n", k)


def asked_for() -> Any:
    o = SimpleNamespace()
    return (lambda x: x * o.n if hasattr(o, "n") else x), lambda k: setattr(o, "n", k)


def with_a_default() -> Any:
    o = SimpleNamespace()
    return (lambda x: x * getattr(o, "n", 7.0)), lambda k: setattr(o, "n", k)


def tried() -> Any:
    o = SimpleNamespace()

    def function(x: Any) -> Any:
        try:
            return x * o.n
        except AttributeError:
            return x

    return function, lambda k: setattr(o, "n", k)


def of_a_module() -> Any:
    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * self.n if hasattr(self, "n") else x

    net = Net()
    return net, lambda k: setattr(net, "n", k)


def patched(name: str, wrapped: Any = lambda f: f) -> Any:
    class Own(Scaled): ...

    o: Any = Own()
    setattr(Own, name, vars(Scaled)[name])

    def change(k: float) -> None:
        setattr(Own, name, wrapped(lambda *_: k))

    if name == "computed":
        return (lambda x: x * o.computed), change
    return (lambda x: x * o.method()) if name == "method" else (lambda x: x * o.static()), change


def with_a_method_of_its_own() -> Any:
    o = Scaled()
    return (lambda x: x * o.method()), lambda k: setattr(o, "method", lambda: k)


def with_another_forward() -> Any:
    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2.0

    net, model = Net(), nn.Sequential(Net())
    model.append(net)

    def change(k: float) -> None:
        Net.forward = lambda _, x: x * k  # type: ignore[method-assign]
        net.forward = MethodType(lambda _, x: x * k, net)  # type: ignore[method-assign]

    return model, change


def with_keywords() -> Any:
    part = functools.partial(lambda x, n: x * n, n=1.0)
    return (lambda x: x + part(x)), lambda k: part.keywords.update(n=k)


def in_a_list_of_its_own() -> Any:
    held = UserList([1.0])
    return (lambda x: x * held[0]), lambda k: held.__setitem__(0, k)


def by_a_weak_reference() -> Any:
    o = Scaled()
    found = weakref.ref(o)
    o.n = 1.0  # type: ignore[attr-defined]
    return (lambda x: x * found().n), lambda k: setattr(o, "n", k)  # type: ignore[union-attr]


def by_code_of_pythons() -> Any:
    o = Settings()
    return (lambda x: x * dataclasses.asdict(o)["n"]), lambda k: setattr(o, "n", k)


def of_another_module() -> Any:
    def change(k: float) -> None:
        sys.argv[1:] = ["-"] * int(k)

    return (lambda x: x * len(sys.argv)), change


def of_an_optimizer() -> Any:
    o = optim.SGD([tg.tensor([1.0], requires_grad=True)], lr=0.5)
    return (lambda x: x * o.defaults["lr"]), lambda k: o.defaults.update(lr=k)


def of_a_schedule() -> Any:
    o = optim.SGD([tg.tensor([1.0], requires_grad=True)], lr=0.5)
    o.step()
    schedule = lr_scheduler.StepLR(o, 1)
    return (lambda x: x * schedule.get_last_lr()[0]), lambda _: schedule.step()


def of_a_parameter() -> Any:
    p: Any = nn.Parameter(tg.ones(2))
    p.n = 1.0
    return (lambda x: x * p.n), lambda k: setattr(p, "n", k)


OUTSIDE: dict[str, Any] = {
    "a method": lambda: patched("method"),
    "a static method": lambda: patched("static", staticmethod),
    "a property": lambda: patched("computed", property),
    **{
        f.__name__: f
        for f in (
            *(in_dicts, in_objects, asked_for, with_a_default, tried, of_a_module),
            *(with_a_method_of_its_own, with_another_forward, with_keywords),
            *(in_a_list_of_its_own, by_a_weak_reference, by_code_of_pythons, of_another_module),
            *(of_an_optimizer, of_a_schedule, of_a_parameter),
        )
    },
}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.filterwarnings("ignore:.*step:UserWarning")
def test_what_is_far_away_or_comes_later_is_read_anew(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["name"])
    function, change = OUTSIDE[name]()
    compiled = tg.compile(function, backend="numpy")
    for k in (None, 3.0, 3.0, 5.0):
        if k is not None:
            change(k)
        same("result", compiled(X), function(X))
    count = len(compiled.programs)
    compiled(X)
    assert len(compiled.programs) == count, "what stays as it is needs no other program"


def test_names_that_are_not_there_yet(monkeypatch: pytest.MonkeyPatch):
    def function(x: Any) -> Any:
        try:
            return abs(x) * LATER  # type: ignore[name-defined]
        except NameError:
            return abs(x) * globals().get("LATEST", 1.0)

    compiled = tg.compile(function, backend="numpy")
    same("at first", compiled(X), function(X))
    for name, value in (("LATEST", 2.0), ("LATER", 3.0), ("abs", lambda x: -x)):
        monkeypatch.setitem(globals(), name, value)
        same(name, compiled(X), function(X))


def test_arguments_that_are_containers_of_their_own():
    class Row(list[float]): ...

    row = Row([2.0])
    compiled = tg.compile(lambda x, r: x * r[0], backend="numpy")
    same("at first", compiled(X, row), X * 2)
    row[0] = 3.0
    same("changed", compiled(X, row), X * 3)


def test_an_endless_chain_is_refused():
    last: Any = None
    for _ in range(200):
        last = SimpleNamespace(following=last)
    with pytest.raises(CompileError, match="nested more than 100 deep"):
        tg.compile(lambda x: x if last.following else -x, backend="numpy")(X)


def caught(x: Any) -> Any:
    try:
        factor = x.sum().item()  # here
    except RuntimeError:
        factor = 1.0
    return x * factor


def written(x: Any) -> Any:
    sys.stdout.write("x")  # here
    return x


def logged(x: Any) -> Any:
    logging.getLogger("compiled").error("x")  # here
    return x


def strides(x: Any) -> Any:
    return x if x.numpy().strides[0] > 8 else -x  # here


def contiguous(x: Any) -> Any:
    return x if x.is_contiguous() else -x  # here


def shared(x: Any) -> Any:
    return x if np.shares_memory(x.numpy(), x.numpy()) else -x  # here


def lines(x: Any) -> Any:
    return x * 2, iter([1.0])  # here


REFUSED = {
    caught: "asks for the value",
    written: "printed by its first call only",
    logged: "printed by its first call only",
    strides: "strides tells how the memory",
    contiguous: "flags tells how the memory",
    shared: "np.shares_memory tells how the memory",
    lines: "which the first call would use up",
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_refusals(function: Any):
    with pytest.raises(CompileError, match=REFUSED[function]) as error:
        tg.compile(function, backend="numpy")(X)
    assert function is lines or "# here" in str(error.value)


async def asynchronous(x: Any) -> Any:
    yield x


class Stepwise:
    """An object that gives one thing after the other."""

    def __call__(self, x: Any) -> Any:
        """Yield twice."""
        yield x
        yield x


@pytest.mark.parametrize("function", [asynchronous, Stepwise()])
def test_what_runs_in_pieces_is_refused(function: Any):
    with pytest.raises(TypeError, match="is a generator or a coroutine"):
        tg.compile(function)


def test_each_call_returns_containers_of_its_own():
    held = {1.0}
    compiled = tg.compile(
        lambda x: (x, np.ones(2), {3}, deque([1]), bytearray(b"a"), held), backend="numpy"
    )
    for _ in range(3):
        _, array, numbers, row, text, outside = compiled(X)
        assert outside is held
        assert (array.tolist(), numbers, list(row), text) == ([1.0, 1.0], {3}, [1], b"a")
        array[0] = 5
        numbers.add(4)
        row.append(2)
        text.append(66)


def test_one_array_twice_is_another_signature():
    compiled = tg.compile(lambda x, y: x * (2 if x is y else 3), backend="numpy")
    a, b = np.ones(2), np.ones(2)
    for args in ((a, b), (a, a), (b, a), (b, b)):
        assert compiled(*args).tolist() == [2.0 if args[0] is args[1] else 3.0] * 2


def test_a_profile_goes_on_after_a_trace():
    compiled, profile = tg.compile(lambda x: x * 2, backend="numpy"), cProfile.Profile()
    profile.enable()
    try:
        same("result", compiled(X), X * 2)
        sorted([1])
    finally:
        profile.disable()
    assert any("sorted" in str(entry.code) for entry in profile.getstats())


def test_arguments_are_not_kept():
    compiled = tg.compile(lambda x, d: x * d["y"], backend="numpy")
    x, y = tg.ones(3), tg.ones(3)
    references = [weakref.ref(x), weakref.ref(y)]
    for _ in range(3):
        compiled(x, {"y": y})
    del x, y
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_a_refused_function_has_done_nothing_to_what_it_goes_by():
    count, slots = 0, SimpleNamespace(n=0, rows=deque([1], maxlen=2))
    held: dict[str, Any] = {"list": [1], "set": {1}}

    def function(x: Any) -> Any:
        nonlocal count
        count += 1
        slots.n += 1
        slots.rows.append(2)
        held["list"].append(2)
        held["set"].add(2)
        held["more"] = slots.more = 1
        return float(x.sum())

    for _ in range(2):
        with pytest.raises(CompileError, match="asks for the value"):
            tg.compile(function, backend="numpy")(X)
        assert (count, vars(slots)) == (0, {"n": 0, "rows": deque([1], maxlen=2)})
        assert held == {"list": [1], "set": {1}}


def test_a_mode_that_stays_is_refused():
    def function(x: Any) -> Any:
        tg.set_grad_enabled(mode=False)
        return x * 2

    with pytest.raises(CompileError, match="turns gradients on or off"):
        tg.compile(function, backend="numpy")(X)
    assert tg.is_grad_enabled()


class Noting(nn.Module):
    """A module that sets attributes which it has not had, and may drop one."""

    drops = False

    def __init__(self) -> None:
        self.n = 0

    def forward(self, x: Any) -> Any:
        """Return the double."""
        self.n = self.n + 1
        self.seen = True
        if self.drops:
            del self.seen
        return x * 2


@pytest.mark.filterwarnings("ignore:.*has been traced")
def test_attributes_that_were_not_there_are_set():
    pair = [Noting(), Noting()]
    compiled = tg.compile(pair[1], backend="numpy")
    for _ in range(3):
        same("result", compiled(X), pair[0](X))
        assert vars(pair[1]) == vars(pair[0])


def test_an_attribute_that_is_deleted_is_refused():
    net = Noting()
    net.drops = True
    with pytest.raises(CompileError, match="the attribute 'seen' of a module is deleted"):
        tg.compile(net, backend="numpy")(X)
    assert vars(net) == {"n": 0, "drops": True}


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_epochs_stack_what_is_handed_in_and_what_numpy_made(backend: str):
    data, rows = tg.rand(6, 2), [[0, 1], [2, 3], [4, 5], [0, 0]]
    compiled = tg.compile(lambda x: (x, np.ones(1), x.sum()), backend=backend)
    for _ in range(2):
        batches, ones, sums = compiled.epoch(rows, data)
        same("batches", batches, data[np.array(rows)])
        same("sums", sums, data[np.array(rows)].sum(dim=(1, 2)))
        assert ones.shape == (4, 1)
