"""The contract of `compile`: a program after the first call, counters, and what is not watched."""

from __future__ import annotations

import contextlib
import pydoc
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError

from .networks import OPTIMIZERS, batch, optimizers, perceptron
from .twins import Twins, same, share

# A program after the first call


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "ASGD"])
@share(2)
@given(data=st.data())
def test_one_call_makes_the_program_that_serves_all(name: str, data: st.DataObject):
    """RAdam takes another path from its sixth step on, ASGD from step t0 on."""
    create = data.draw(optimizers(name))
    twins = Twins(lambda: perceptron(create))
    twins.step(*batch(0))
    source = twins.compiled.source
    assert "# Update" in source
    for k in range(1, 4):
        twins.step(*batch(k))
    assert twins.compiled.source == source
    assert len(twins.compiled.sources) == 1


def test_a_program_after_the_first_call_with_adam():
    """Layers are named where there is batch norm or Adam."""
    twins = Twins(lambda: perceptron(optim.Adam, None, nn.BatchNorm1d(5)))
    twins.step(*batch(0))
    source = twins.compiled.source
    assert "exp_avg" in source
    assigned = re.findall(r"^    (\w+) [-+*/]?= ", source, re.MULTILINE)
    numbered = [name for name in assigned if re.fullmatch(r"t_?\d+", name)]
    assert len(numbered) <= len(assigned) / 4, source
    twins.step(*batch(1))
    assert len(twins.compiled.sources) == 1


def test_gradients_that_the_first_call_creates_need_no_other_program():
    twins = Twins(perceptron)
    for k in range(3):
        twins.step(*batch(k))
    assert len(twins.compiled.sources) == 1


def test_an_epoch_may_be_the_first_call():
    twins = Twins(lambda: perceptron(optim.Adam))
    x, y = batch(n=12)
    twins.epoch(np.arange(12).reshape(3, 4), x, y)
    assert len(twins.compiled.sources) == 1
    twins.epoch(np.arange(12).reshape(3, 4)[::-1], x, y)
    assert len(twins.compiled.sources) == 1


# Counters


count = 0
config = SimpleNamespace(calls=0)
table = {"calls": 0}


class Counting(nn.Module):
    """A module that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x * self.calls


def a_global(x: Any) -> Any:
    global count  # noqa: PLW0603  the point
    count += 1
    return x * count


def an_attribute(x: Any) -> Any:
    config.calls += 1
    return x * config.calls


def an_item(x: Any) -> Any:
    table["calls"] += 1
    return x * table["calls"]


def a_closure() -> Any:
    calls = 0

    def function(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return x * calls

    return function


COUNTERS: dict[str, Any] = {
    "a global": a_global,
    "an attribute": an_attribute,
    "an item": an_item,
    "a closure": a_closure(),
    "a module": Counting(),
}


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_that_the_function_increments_is_refused(name: str):
    compiled = tg.compile(COUNTERS[name], backend="numpy")
    for _ in range(2):
        with pytest.raises(CompileError) as refusal:
            compiled(tg.ones(2))
        message = str(refusal.value)
        assert re.search("count|calls|table", message)
        assert f"{__file__}:" in message
        assert "tensor" in message, "the advice: a tensor counts"


def test_a_tensor_counts():
    counter = tg.tensor(0.0)

    @tg.compile(backend="numpy")
    def counting(x: Any) -> Any:
        counter.add_(1)
        return x * counter

    for k in range(1, 5):
        same("result", counting(tg.ones(2)), tg.ones(2) * float(k))
    assert len(counting.sources) == 1


# What is documented


def test_the_contract_is_in_the_documentation_of_compile():
    text = pydoc.render_doc(tg.compile, renderer=pydoc.plaintext)
    for word in ("traced|tracer", "guard|captured", "refuse", "jax.jit", "checks itself"):
        assert re.search(word, text), word


def test_a_number_deeper_than_the_guards_is_right_or_an_error():
    """Three levels and more are beyond the guards: the self-check sees them, later."""
    deep = SimpleNamespace(a=SimpleNamespace(b=SimpleNamespace(c=SimpleNamespace(n=1.0))))
    compiled = tg.compile(lambda x: x * deep.a.b.c.n, backend="numpy")
    compiled(tg.ones(2))
    for _ in range(2):  # not in the second call
        assert compiled(tg.ones(2)).tolist() == [1.0, 1.0]
    deep.a.b.c.n = 2.0
    with contextlib.suppress(CompileError):
        assert compiled(tg.ones(2)).tolist() == [2.0, 2.0]
