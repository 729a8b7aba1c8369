"""Arrays of NumPy's from outside: taken whole, read by the element, changed, and shared."""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from twins import same

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.compiler import CompileError

few = settings(max_examples=max(5, settings.default.max_examples // 10))
X = tg.tensor([1.0, 2.0])
a = np.ones(2)
holder, container = SimpleNamespace(a=a), SimpleNamespace(held=[a])
get = operator.attrgetter("a")


class Scale(nn.Module):
    """A module with an array that is no buffer."""

    def __init__(self) -> None:
        self.a = a

    def forward(self, x: Any) -> Any:
        """Return what depends on all of the array."""
        return x * self.a


class ScaleByFirst(Scale):
    """One that reads an element as well."""

    def forward(self, x: Any) -> Any:
        """Return what depends on all of the array, and on an element."""
        return super().forward(x) + float(self.a[0])


def passed(x: Any, v: Any) -> Any:
    return x * v


def first(v: Any) -> float:
    return float(v[0])


def first_of(*v: Any) -> float:
    return float(v[0][0])


def under_another_name(x: Any) -> Any:
    b = a
    return x * b


def added_in_place(x: Any) -> Any:
    x = x * 1
    x += a
    return x


def in_a_loop(x: Any) -> Any:
    for _ in range(3):
        x = x + a
    return x


WHOLE: dict[str, Any] = {
    "a product": lambda x: x * a,
    "on the left": lambda x: a * x,
    "a matrix product": lambda x: x @ a,
    "an attribute": lambda x: x * holder.a,
    "a module": Scale(),
    "passed on": lambda x: passed(x, a),
    "a tensor of it": lambda x: x * tg.from_numpy(a),
    "a choice": lambda x: x * a if a is not None else x,
    "its shape": lambda x: x * a * len(a) * a.shape[0],
    "elements of others": lambda x: x[0] * a + x.reshape(2, 1)[0],
    **{f.__name__: f for f in (under_another_name, added_in_place, in_a_loop)},
}


def read_under_another_name(x: Any) -> Any:
    b = a
    return x * b + float(b[0])


def iterated(x: Any) -> Any:
    y = x * a
    for k in a:
        y = y + float(k)
    return y


def branch(x: Any) -> Any:
    y = x * a
    if (a > 0.5).all():
        y = y * 2
    return y * 3 if a[1] > 1.5 else y


def unpacked(x: Any) -> Any:
    p, _ = a
    return x * a + float(p)


def in_an_inner_function(x: Any) -> Any:
    b = a

    def inner() -> float:
        return float(b[0])

    return x * b + inner()


READ: dict[str, Any] = {
    "an element": lambda x: x * a + float(a[0]),
    "a method": lambda x: x * a + a.tolist()[0],
    "a comprehension": lambda x: x * a + sum([float(k) for k in a]),
    "passed on": lambda x: x * a + first(a),
    "among others": lambda x: x * a + first_of(a),
    "an attribute": lambda x: x * holder.a + float(holder.a[0]),
    "getattr": lambda x: x * holder.a + float(getattr(holder, "a")[0]),  # noqa: B009  the point
    "attrgetter": lambda x: x * get(holder) + float(get(holder)[0]),
    "attrgetter alone": lambda x: x * float(get(holder)[0]),
    "a container": lambda x: x * container.held[0] + float(container.held[0][0]),
    "a module": ScaleByFirst(),
    "a tensor of it": lambda x: x * tg.from_numpy(a) + float(a[0]),
    "a shape": lambda x: x * a + x.reshape(1, 1, 2)[int(a[0] > 0), 0],
    "a text": lambda x: {"text": f"{a[0]:.3f}", "x": x * a}["x"] + len(f"{a[0]}"),
    **{
        f.__name__: f
        for f in (read_under_another_name, iterated, branch, unpacked, in_an_inner_function)
    },
}
contents = arrays(float, 2, elements=st.sampled_from([0.0, -1.0, 0.25, 1.0, 2.0, 3.0]))


def agrees(function: Any, drawn: list[Any]) -> Any:
    compiled = tg.compile(function, backend="numpy")
    for values in [*drawn, drawn[0]]:
        a[:] = values
        told: list[Any] = []
        for f in (compiled, function):
            try:
                told.append(f(X))
            except IndexError as error:
                told.append(str(error))
        same("result", *told)
    return compiled


@few
@given(name=st.sampled_from(list(WHOLE)), drawn=st.lists(contents, min_size=1, max_size=4))
def test_an_array_that_is_taken_whole_needs_one_program(name: str, drawn: list[Any]):
    assert len(agrees(WHOLE[name], drawn).programs) == 1


@few
@given(name=st.sampled_from(list(READ)), drawn=st.lists(contents, min_size=2, max_size=4))
def test_an_array_that_is_read_by_the_element_is_never_baked_in(name: str, drawn: list[Any]):
    agrees(READ[name], drawn)


@pytest.mark.parametrize("name", WHOLE)
def test_whole(name: str):
    assert len(agrees(WHOLE[name], [1.0, 2.0, 3.0]).programs) == 1


@pytest.mark.parametrize("name", READ)
def test_read(name: str):
    agrees(READ[name], [0.0, 2.0, 3.0])


large = np.ones(20000)


def test_a_large_array_that_is_taken_whole_may_be_read_as_well():
    compiled = tg.compile(lambda x: (x * large).sum() + float(large[0]), backend="numpy")
    x = tg.ones(len(large))
    for value in (1.0, 2.0, 2.0):
        large[:] = value
        assert compiled(x).item() == value * len(large) + value
    assert len(compiled.programs) == 2


# Changes


def set_element(x: Any) -> Any:
    a[0] = 5.0
    return x * a


def filled(x: Any) -> Any:
    a.fill(5.0)
    return x * a


def out(x: Any) -> Any:
    np.add(a, 1, out=a)
    return x * 2 + float(a[0])


@pytest.mark.parametrize("function", [set_element, filled, out], ids=lambda f: f.__name__)
def test_a_change_by_numpy_is_refused_and_taken_back(function: Any):
    a[:] = 1.0
    compiled = tg.compile(function, backend="numpy")
    for _ in range(2):
        with pytest.raises(CompileError, match="is changed by NumPy inside of the function"):
            compiled(X)
        same("a", a, np.ones(2))


def test_elements_of_memory_that_is_changed():
    w = tg.from_numpy(a)

    @tg.compile(backend="numpy")
    def both(x: Any) -> Any:
        w.add_(1.0)
        return x * float(a[0])

    with pytest.raises(CompileError, match="taken out of it, and the function changes its memory"):
        both(X)


def test_attributes_that_the_function_sets_are_set_by_every_call():
    told = SimpleNamespace(rows=None, calls=0)

    @tg.compile(backend="numpy")
    def telling(x: Any) -> Any:
        told.rows = x.shape[0]
        return x * 2

    for rows in (2, 2, 3, 2, 3):
        telling(tg.ones(rows))
        assert told.rows == rows
        told.rows = None
    told.rows = 2
    for _ in range(3):
        telling(tg.ones(2))
        assert told.rows == 2
    assert telling.programs


def test_counters_count():
    told = SimpleNamespace(calls=0, seen=[])

    @tg.compile(backend="numpy")
    def counting(x: Any) -> Any:
        told.calls += 1
        told.seen.append(x.shape)
        return x * told.calls

    for calls in range(1, 6):
        same("result", counting(X), X * calls)
        assert (told.calls, len(told.seen)) == (calls, calls)
