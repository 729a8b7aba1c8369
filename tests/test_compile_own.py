"""What a compiled function makes itself: lists, objects, and variables of inner functions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twins import same

import tinygrad_fc as tg
from tinygrad_fc.compiler import CompileError

X = tg.tensor([1.0, 2.0])
OUT: list[Any] = []


def in_a_list(x: Any, n: int) -> Any:
    made = [x * 2.0]
    for _ in range(n):
        made.append(made[-1] * 3.0)
    return [made[k] for k in range(n)]


def in_a_dict(x: Any, n: int) -> Any:
    made = {k: [x * k] for k in range(n)}
    return sum(made[k][0] for k in range(n))


def by_an_inner_function(x: Any, n: int) -> Any:
    made: list[Any] = []

    def add(y: Any) -> None:
        made.append(y)

    for k in range(n):
        add(x * k)
    return made


def by_a_count(x: Any, n: int) -> Any:
    count = 0

    def counted(y: Any) -> Any:
        nonlocal count
        count += 1
        return y * count

    return [counted(x) for _ in range(n)]


def in_an_object(x: Any, n: int) -> Any:
    made = SimpleNamespace(y=x * 2.0)
    return [made.y * k for k in range(n)]


OWN = (in_a_list, in_a_dict, by_an_inner_function, by_a_count, in_an_object)


@given(function=st.sampled_from(OWN), n=st.integers(1, 4))
def test_what_a_function_makes_itself_is_made_anew_in_every_call(function: Any, n: int):
    compiled = tg.compile(function, backend="numpy")
    for x in (X, X + 1.0, X + 2.0):
        same(function.__name__, compiled(x, n), function(x, n))
    assert len(compiled.programs) == 1


def test_what_others_keep_of_it_is_refused():
    def keeps(x: Any) -> Any:
        made = [x * 2.0]
        OUT.append(made)
        return [made[k] for k in range(1)]

    with pytest.raises(CompileError, match="kept outside of the function"):
        tg.compile(keeps, backend="numpy")(X)
    OUT.clear()


def factor(o: Any) -> Any:
    return o.of.factor


class Scale:
    """An object whose class has a number."""

    factor = 2.0

    def get(self) -> float:
        """Return the number."""
        return self.factor


class Slot:
    """An object without a dict."""

    __slots__ = ("of",)


@pytest.mark.parametrize("kind", [SimpleNamespace, Slot])
def test_what_such_an_object_leads_to_outside_is_looked_at(kind: Any):
    outside = SimpleNamespace(factor=2.0)

    @tg.compile(backend="numpy")
    def scaled(x: Any) -> Any:
        own = kind()
        own.of = outside
        return x * factor(own)

    for k in (2.0, 3.0, 3.0):
        outside.factor = k
        same("the object outside", scaled(X), X * k)
    assert len(scaled.programs) == 2


def test_what_the_class_of_such_an_object_has_is_looked_at(monkeypatch: pytest.MonkeyPatch):
    scaled = tg.compile(lambda x: x * Scale().get(), backend="numpy")
    for k in (2.0, 3.0, 3.0):
        monkeypatch.setattr(Scale, "factor", k)
        same("the class", scaled(X), X * k)
    assert len(scaled.programs) == 2
