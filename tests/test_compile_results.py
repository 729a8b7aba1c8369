"""What a compiled function returns or leaves is memory of its own, whatever it is made from."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg

if TYPE_CHECKING:
    from collections.abc import Callable

ALIKE: dict[str, Callable[[Any], Any]] = {
    "clone": lambda x: x.clone(),
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
    "turned twice": lambda x: x.T.T,
    "reshape": lambda x: x.reshape(x.shape),
    "copied into another": lambda x: tg.zeros_like(x).copy_(x),
    "copy of an array": lambda x: tg.tensor(x.numpy().copy()),
    "deep copy": copy.deepcopy,
    "times one": lambda x: x * 1,
}
"""Functions whose result is equal to their argument."""


@given(
    st.lists(st.sampled_from(sorted(ALIKE)), min_size=1, max_size=3),
    st.sampled_from(("numpy", "numba")),
    st.booleans(),
)
def test_results_share_nothing(names: list[str], backend: str, outside: bool) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    w = tg.tensor(np.arange(6.0).reshape(2, 3))

    def function(x: Any) -> Any:
        return [ALIKE[name](w if outside else x) for name in names]

    compiled = tg.compile(function, backend=backend)
    for _ in range(2):
        before = w.numpy().copy()
        results = compiled(w.clone() if outside else w)
        for k, result in enumerate(results):
            result.fill_(k)
        np.testing.assert_array_equal(w.numpy(), before)
        assert [result.numpy().flat[-1] for result in results] == list(range(len(names)))


@pytest.mark.parametrize("name", ["clone", "times one"])
def test_what_is_left_shares_nothing(name: str) -> None:
    w, state = tg.ones(2, requires_grad=True), tg.zeros(2)

    @tg.compile(backend="numpy")
    def leave(x: Any) -> None:
        w.grad = ALIKE[name](x)
        state.data = ALIKE[name](x)

    x = tg.ones(2)
    for _ in range(2):
        leave(x)
    w.grad.fill_(2)
    state.fill_(3)
    assert x.tolist() == [1, 1]
    assert w.grad.tolist() == [2, 2]


def test_an_epoch_gives_what_each_step_had() -> None:
    total = tg.zeros(2)

    @tg.compile(backend="numpy")
    def step(x: Any) -> Any:
        before = total.clone()
        total.add_(x.sum(0))
        return before, total.clone(), x.clone()

    x = tg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    before, after, rows = step.epoch([[0], [1], [2]], x)
    assert before.tolist() == [[0, 0], [1, 2], [4, 6]]
    assert after.tolist() == [[1, 2], [4, 6], [9, 12]]
    assert rows.squeeze(1).tolist() == x.tolist()


def test_an_epoch_leaves_what_the_last_step_had() -> None:
    w, v = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    w.grad, v.grad = tg.zeros(2), tg.zeros(2)

    @tg.compile(backend="numpy")
    def step(x: Any) -> Any:
        v.grad = w.grad.clone()
        w.grad = w.grad + x.sum(0)
        return x.sum()

    step.epoch([[0], [1], [2]], tg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    assert v.grad.tolist() == [4, 6]
    assert w.grad.tolist() == [9, 12]


def test_an_epoch_leaves_what_the_last_step_had_of_a_single_number() -> None:
    a, b = tg.ones((), requires_grad=True), tg.ones((), requires_grad=True)
    a.grad, b.grad = tg.tensor(0.0), tg.tensor(0.0)

    @tg.compile(backend="numpy")
    def step(x: Any) -> Any:
        b.grad, a.grad = a.grad, None
        (a * x.sum()).backward()
        return x.sum()

    step.epoch([[0], [1], [2]], tg.tensor([1.0, 2.0, 3.0]))
    assert (a.grad.item(), b.grad.item()) == (3, 2)


@pytest.mark.parametrize("number", [10**5000, 0.0, -0.0, math.nan], ids=["large", *"0-n"])
def test_numbers_that_are_made_anew_need_no_other_program(number: Any) -> None:
    class Options:
        value = number

    def function(x: Any) -> Any:
        return x * math.copysign(2, Options.value if number < 1 else 1)

    compiled, x = tg.compile(function, backend="numpy"), tg.ones(1)
    for _ in range(3):
        Options.value = number + 0 if isinstance(number, int) else float(str(number))
        assert compiled(x).tolist() == function(x).tolist()
    assert len(compiled.programs) == 1


@pytest.mark.parametrize("limit", [math.inf, -math.inf])
def test_numbers_without_a_literal(limit: float) -> None:
    class Options:
        other = limit

    here = limit

    @tg.compile(backend="numpy")
    def limited(x: Any) -> Any:
        return tg.where(x > 0, x, here) + tg.where(x > 0, 0, Options.other)

    x = tg.tensor([1.0, -1.0])
    for value in (limit, limit, 5.0, float(str(limit))):
        here = Options.other = value
        assert limited(x).tolist() == [1.0, 2 * value]
    assert len(limited.programs) == 2
