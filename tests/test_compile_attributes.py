"""Attributes that no instruction of the code loads: patterns, `attrgetter`, formats, imports."""

from __future__ import annotations

import functools
import operator
import string
import sys
from functools import partial, reduce
from operator import attrgetter, itemgetter, methodcaller
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from twins import same

import tinygrad_fc as tg

X = tg.tensor([1.0, 2.0])


class Held:
    """Has its attributes in a dict."""

    __match_args__ = ("n",)

    def __init__(self, n: Any = 1.0) -> None:
        self.n = n

    def method(self) -> Any:
        return self.n


class Slots:
    """Has them in slots."""

    __match_args__ = ("n",)
    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 1.0


def of_an_instance() -> Any:
    o = Held()
    return o, lambda k: setattr(o, "n", k)


def of_a_slot() -> Any:
    o = Slots()
    return o, lambda k: setattr(o, "n", k)


def of_a_class() -> Any:
    class Own:
        __match_args__ = ("n",)
        n = 1.0

    return Own(), lambda k: setattr(Own, "n", k)


# Patterns


def by_name(o: Any) -> Any:
    def function(x: Any) -> Any:
        match o:
            case object(n=k):
                return x * k

    return function


def by_place(o: Any) -> Any:
    kind = type(o)

    def function(x: Any) -> Any:
        match o:
            case kind(k):
                return x * k

    return function


def by_value(o: Any) -> Any:
    def function(x: Any) -> Any:
        match o:
            case object(n=1.0):
                return x
            case object(n=0.0):
                return x * 0
            case object(n=3.0):
                return x * 3
        return x * 5

    return function


def of_what_is_returned(o: Any) -> Any:
    held = [o]

    def last() -> Any:
        return held[-1]

    def function(x: Any) -> Any:
        match last():
            case object(n=k):
                return x * k

    return function


def far_in(o: Any) -> Any:
    outer = SimpleNamespace(a=[SimpleNamespace(b=o)])

    def function(x: Any) -> Any:
        match outer:
            case SimpleNamespace(a=[SimpleNamespace(b=object(n=k))]):
                return x * k

    return function


# What reads for the code


def made_outside(o: Any) -> Any:
    read = attrgetter("n")
    return lambda x: x * read(o)


def made_by_another(o: Any) -> Any:
    name = "n"

    def made() -> Any:
        return attrgetter(name)

    return lambda x: x * made()(o)


def in_a_list(o: Any) -> Any:
    read = [attrgetter("n")]
    return lambda x: x * read[0](o)


def in_a_partial(o: Any) -> Any:
    read = partial(attrgetter("n"), o)
    return lambda x: x * read()


def dotted(o: Any) -> Any:
    outer = SimpleNamespace(sub=o)
    return lambda x: x * attrgetter("sub.n")(outer)


def mapped(o: Any) -> Any:
    those = [o, o]
    return lambda x: x * sum(map(attrgetter("n"), those)) / 2


def by_another_name(o: Any) -> Any:
    read, name = getattr, "n"
    return lambda x: x * read(o, name)


def in_a_partial_of_getattr(o: Any) -> Any:
    read = partial(getattr, o, "n")
    return lambda x: x * read()


def by_a_name_from_outside(o: Any) -> Any:
    names = ["n"]
    return lambda x: x * sum(getattr(o, name) for name in names)


def one_by_one(o: Any) -> Any:
    outer, path = SimpleNamespace(sub=o), "sub.n"
    return lambda x: x * reduce(getattr, path.split("."), outer)


def bound(o: Any) -> Any:
    read = o.__getattribute__
    return lambda x: x * read("n")


def formatted_from_outside(o: Any) -> Any:
    text = "{0.n}"
    return lambda x: x * float(text.format(o))


def formatted_by_what_is_bound(o: Any) -> Any:
    shown = "{0.n}".format
    return lambda x: x * float(shown(o))


READ: tuple[Any, ...] = (
    *(by_name, by_place, by_value, of_what_is_returned, far_in),
    *(made_outside, made_by_another, in_a_list, in_a_partial, dotted, mapped),
    *(by_another_name, in_a_partial_of_getattr, by_a_name_from_outside, one_by_one, bound),
    *(formatted_from_outside, formatted_by_what_is_bound),
    lambda o: lambda x: x * attrgetter("n")(o),
    lambda o: lambda x: x * operator.attrgetter("n")(o),
    lambda o: lambda x: x * object.__getattribute__(o, "n"),
    lambda o: lambda x: x * o.__getattribute__("n"),
    lambda o: lambda x: x * float("{.n}".format(o)),  # noqa: UP032  the point
    lambda o: lambda x: x * float(str.format("{0.n}", o)),
    lambda o: lambda x: x * float("{o.n}".format_map({"o": o})),
    lambda o: lambda x: x * float(string.Formatter().format("{0.n}", o)),
    lambda o: lambda x: x * functools.partial(getattr, o, "n")(),
    lambda o: lambda x: x * sum(map(getattr, [o], ["n"])),
)


def unlike(function: Any, change: Any, *args: Any) -> None:
    """Check that calls follow changes, and that what stays needs no other program."""
    compiled = tg.compile(function, backend="numpy")
    for k in (1.0, 3.0, 0.0, 5.0):
        change(k)
        for _ in range(2):
            same("result", compiled(X, *args), X * k)
    count = len(compiled.programs)
    compiled(X, *args)
    assert len(compiled.programs) == count


@pytest.mark.parametrize("made", [of_an_instance, of_a_slot, of_a_class], ids=lambda f: f.__name__)
@pytest.mark.parametrize("read", READ)
def test_an_attribute_of_something_outside_is_read_anew(read: Any, made: Any):
    o, change = made()
    unlike(read(o), change)


def matched(x: Any, o: Any) -> Any:
    match o:
        case Held(k) | Slots(n=k):
            return x * k


def got(x: Any, o: Any) -> Any:
    return x * attrgetter("n")(o)


@pytest.mark.parametrize("function", [matched, got], ids=lambda f: f.__name__)
@pytest.mark.parametrize("made", [of_an_instance, of_a_slot], ids=lambda f: f.__name__)
def test_an_attribute_of_an_argument_is_read_anew(function: Any, made: Any):
    o, change = made()
    unlike(function, change, o)


def test_what_reads_may_be_an_argument():
    o, change = of_a_slot()
    unlike(lambda x, read: x * read(o), change, attrgetter("n"))


@pytest.mark.parametrize("wrapped", [lambda o: [o], lambda o: (o,), lambda o: [{"k": o}]])
def test_an_attribute_of_what_is_in_an_argument_is_read_anew(wrapped: Any):
    def function(x: Any, those: Any) -> Any:
        found = those[0]
        return x * (found["k"] if isinstance(found, dict) else found).n

    o, change = of_an_instance()
    unlike(function, change, wrapped(o))


def test_another_attribute_is_at_the_place():
    class Own:
        __match_args__: Any = ("n",)
        n, other = 1.0, 1.0

    def function(x: Any) -> Any:
        match o:
            case Own(k):
                return x * k

    def change(k: float) -> None:
        Own.other, Own.__match_args__ = k, ("other",)

    o = Own()
    unlike(function, change)


# Dicts of attributes, and of others


def in_its_dict() -> Any:
    o = Held()
    return (lambda x: x * vars(o)["n"]), lambda k: setattr(o, "n", k)


def in_all_of_it() -> Any:
    o = Held()
    return (lambda x: x * sum(vars(o).values())), lambda k: k == 1.0 or setattr(o, "m", k - 1.0)


def in_its_dict_some_day() -> Any:
    o, name = Held(), "m"
    return (lambda x: x * o.__dict__.get(name, 1.0)), lambda k: k == 1.0 or setattr(o, "m", k)


def by_a_method_of_a_dict() -> Any:
    held = {"n": 1.0}
    read = held.get
    return (lambda x: x * read("n")), lambda k: held.update(n=k)


def mapped_in_a_dict() -> Any:
    held = {"n": 1.0}
    return (lambda x: x * sum(map(dict.get, [held], ["n"]))), lambda k: held.update(n=k)


def by_an_itemgetter() -> Any:
    held = {"n": 1.0}
    return (lambda x: x * itemgetter("n")(held)), lambda k: held.update(n=k)


def by_a_methodcaller_of_a_dict() -> Any:
    held, read = {"n": 1.0}, methodcaller("get", "n")
    return (lambda x: x * read(held)), lambda k: held.update(n=k)


def by_a_methodcaller() -> Any:
    class Own(Held): ...

    o = Own()
    change = partial(setattr, Own, "method")
    return (lambda x: x * methodcaller("method")(o)), lambda k: change(lambda _: k)


def by_a_methodcaller_with_a_name() -> Any:
    held, read = Held(), methodcaller("__getattribute__", "n")
    return (lambda x: x * read(held)), lambda k: setattr(held, "n", k)


# Modules that the function imports


def module() -> Any:
    made: Any = ModuleType("held_elsewhere")
    made.n, made.__file__ = 1.0, __file__
    sys.modules["held_elsewhere"] = made
    return made


def imported() -> Any:
    made = module()

    def function(x: Any) -> Any:
        import held_elsewhere  # type: ignore[import-not-found]  # noqa: PLC0415  the point

        return x * held_elsewhere.n

    return function, lambda k: setattr(made, "n", k)


def imported_from() -> Any:
    made = module()

    def function(x: Any) -> Any:
        from held_elsewhere import n  # noqa: PLC0415  the point

        return x * n

    return function, lambda k: setattr(made, "n", k)


OTHERS = (
    *(in_its_dict, in_all_of_it, in_its_dict_some_day, by_a_method_of_a_dict, mapped_in_a_dict),
    *(by_an_itemgetter, by_a_methodcaller_of_a_dict, by_a_methodcaller),
    *(by_a_methodcaller_with_a_name, imported, imported_from),
)


@pytest.mark.parametrize("made", OTHERS, ids=lambda f: f.__name__)
def test_what_is_read_otherwise_is_read_anew(made: Any):
    unlike(*made())
    sys.modules.pop("held_elsewhere", None)


def test_elements_of_an_array_that_is_an_attribute():
    o = Held(np.ones(2))

    def in_a_pattern(x: Any) -> Any:
        match o:
            case Held(n):
                return x * n * float(n[0])

    def got(x: Any) -> Any:
        n = attrgetter("n")(o)
        return x * n * float(n[0])

    for function in (in_a_pattern, got):
        compiled = tg.compile(function, backend="numpy")
        for k in (1.0, 2.0, 3.0):
            o.n[0] = k
            same("result", compiled(X), function(X))


def test_methods_of_what_the_function_makes_are_its_own():
    def put(add: Any, following: Any, x: Any) -> None:
        add(x * following())

    def function(x: Any) -> Any:
        made: list[Any] = []
        put(made.append, iter([2.0, 3.0]).__next__, x)
        return made[0]

    compiled = tg.compile(function, backend="numpy")
    for _ in range(3):
        same("result", compiled(X), X * 2)
    assert len(compiled.programs) == 1
