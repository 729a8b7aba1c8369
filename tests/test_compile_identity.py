"""Whether an argument is a tensor from outside, of which only `is` and the keys of dicts tell."""

from __future__ import annotations

import operator
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twins import same

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.compiler import CompileError

X, W = tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0])
A = np.array([1.0, 2.0])
MODEL = nn.Linear(2, 2)
BY = {W: 2.0}
SET = {W}
TOLD = "the function finds x outside as well, and asks which tensor"


def by_is(x: Any) -> Any:
    return x * 2 if x is W else x * 3


def by_is_not(x: Any) -> Any:
    return x * 2 if W is not x else x * 3


def by_a_function(x: Any) -> Any:
    return x * 2 if operator.is_(x, W) else x * 3


def among_some(x: Any) -> Any:
    those = [W]
    return x * 2 if any(x is each for each in those) else x * 3


def in_use(x: Any) -> Any:
    return W * 5 if x is W else x + W


def among_keys(x: Any) -> Any:
    return x * BY.get(x, 3.0)


def in_a_set(x: Any) -> Any:
    return x * 2 if x in SET else x * 3


ASKING = (by_is, by_is_not, by_a_function, among_some, in_use, among_keys, in_a_set)


@given(function=st.sampled_from(ASKING), order=st.lists(st.booleans(), min_size=1, max_size=4))
def test_what_an_argument_is_cannot_be_asked_silently(function: Any, order: list[bool]):
    compiled = tg.compile(function, backend="numpy")
    for outside in order:
        if outside:
            with pytest.raises(CompileError, match="finds it outside|" + TOLD):
                compiled(W)
        else:
            same("result", compiled(X), function(X))


def test_the_line_is_told():
    with pytest.raises(
        CompileError, match=r"test_compile_identity.py:\d+: return x \* 2 if x is W"
    ):
        tg.compile(by_is, backend="numpy")(W)


def test_parameters_of_a_model():
    def function(x: Any) -> Any:
        return x * 2 if any(x is p for p in MODEL.parameters()) else x * 3

    compiled = tg.compile(function, backend="numpy")
    for _ in range(2):
        same("result", compiled(X), X * 3)
    with pytest.raises(CompileError, match=TOLD):
        compiled(MODEL.weight)


def test_an_array():
    compiled = tg.compile(lambda x: tg.tensor(1.0) * x if x is A else x * 3.0, backend="numpy")
    same("result", compiled(A + 1), (A + 1) * 3)
    with pytest.raises(CompileError, match=TOLD):
        compiled(A)


def test_who_does_not_ask_may_hand_over_what_is_outside():
    held = [W]

    def function(x: Any, y: Any = None) -> Any:
        alone = y is None
        return x * len(held) if alone else x

    compiled = tg.compile(function, backend="numpy")
    for x in (W, X, W):
        same("result", compiled(x), x * 1)
    assert len(compiled.programs) == 1


def test_arguments_are_compared_to_one_another():
    compiled = tg.compile(lambda x, y: x * 2 if x is y else x + y, backend="numpy")
    for x, y in ((X, X), (X, W), (W, W)):
        same("result", compiled(x, y), x * 2 if x is y else x + y)


BATCHES = [X, W]
MARK = object()


class Phase(Enum):
    TRAIN = 1


class Options:
    phase, act, kind = Phase.TRAIN, tg.relu, None
    tensor: Any = None


def asks_for_an_enum(x: Any) -> Any:
    return x * 2 if Options.phase is Phase.TRAIN else x


def asks_for_a_function(x: Any) -> Any:
    return x * 2 if Options.act is tg.relu else x


def asks_for_a_class(x: Any) -> Any:
    return x * 2 if type(MODEL) is nn.Linear else x


def asks_for_a_builtin(x: Any) -> Any:
    return x * 2 if type(BATCHES) is list and Options.act is not abs else x


def asks_for_a_dtype(x: Any) -> Any:
    return x * 2 if x.dtype is tg.float64 else x


def asks_for_a_mark(x: Any) -> Any:
    return x * 2 if Options.kind is not MARK else x


def asks_for_none(x: Any) -> Any:
    return x * 2 if None is not x and Options.kind is None else x


@pytest.mark.parametrize(
    "function",
    [
        *(asks_for_an_enum, asks_for_a_function, asks_for_a_class, asks_for_none),
        *(asks_for_a_builtin, asks_for_a_dtype, asks_for_a_mark),
    ],
)
def test_what_is_no_tensor_may_be_asked_for(function: Any):
    compiled = tg.compile(lambda x: function(x) / len(BATCHES), backend="numpy")
    for x in (*BATCHES, *BATCHES):
        same("result", compiled(x), function(x) / 2)
    assert len(compiled.programs) == 1


class Lazy(type):
    @property
    def there(cls) -> Any:
        raise AssertionError("nobody asks for it")


class Late(metaclass=Lazy):
    def there(self) -> None:
        """Stand where nobody finds it, as the class of the class has a property of that name."""


HERE = [W, True]


def asks_for_a_choice(x: Any) -> Any:
    return x * 2 if x is (HERE[0] if HERE[1] else None) else x * 3


def asks_for_what_is_replaced(x: Any) -> Any:
    result = x * 2 if x is Options.tensor else x * 3
    Options.tensor = None
    return result


def asks_for_what_is_set(x: Any) -> Any:
    global NOW  # noqa: PLW0603
    NOW = W
    result = x * 2 if x is NOW else x * 3
    NOW = tg.relu
    return result


NOW: Any = tg.relu


@pytest.mark.parametrize(
    "function", [asks_for_a_choice, asks_for_what_is_replaced, asks_for_what_is_set]
)
def test_what_may_be_a_tensor_is_asked_for(function: Any):
    Options.tensor = W
    with pytest.raises(CompileError, match=TOLD):
        tg.compile(function, backend="numpy")(W)


def test_nothing_is_run_to_find_out():
    def function(x: Any, late: bool) -> Any:
        return x if late and x is Late.there else x * 2

    same("result", tg.compile(function, backend="numpy")(X, late=False), X * 2)
