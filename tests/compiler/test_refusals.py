"""What cannot be compiled is refused with the user's line and advice, and nothing is changed."""

from __future__ import annotations

import copy
import datetime as dt
import linecache
import math
import random
import re
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError

from .twins import BACKENDS, generator, same

w = tg.tensor([1.0, 2.0], requires_grad=True)
result = w * 2
optimizer = optim.SGD([w], lr=0.1)
scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
numpy_generator = np.random.default_rng(0)
values: list[Any] = []
holder: Any = SimpleNamespace(last=None)
table = {"calls": 0}
last: Any = None
calls = 0
numbers, iterators = iter([1.0, 2.0]), [iter([1.0, 2.0])]
numpy_state = np.random.RandomState(0)
FILE = Path(__file__)

# Branches on values


def branch(x: Any) -> Any:
    return x if x.sum() > 0 else -x  # here


def branch_in_a_helper(x: Any) -> Any:
    def helper(y: Any) -> Any:
        if y.mean() > 0:  # here
            return y
        return -y

    return helper(x * 2)


# Values


def item(x: Any) -> Any:
    return x * x.mean().item()  # here


def as_float(x: Any) -> Any:
    return x * float(x.mean())  # here


def as_count(x: Any) -> Any:
    for _ in range(int(x.sum())):  # here
        x = x * 2
    return x


def as_index(x: Any) -> Any:
    return [1, 2][x.argmax()] * x  # here


def as_list(x: Any) -> Any:
    return tg.tensor(x.tolist())  # here


def as_array(x: Any) -> Any:
    return tg.from_numpy(np.array(x.numpy()) * 2)  # here


def caught(x: Any) -> Any:
    try:
        factor = x.sum().item()  # here
    except RuntimeError:
        factor = 1.0
    return x * factor


def masked(x: Any) -> Any:
    return x[x > 1]  # here


def nonzero(x: Any) -> Any:
    return np.nonzero(x.numpy())  # here


def counted(x: Any) -> Any:
    return tg.bincount(x.long())  # here


def repeated(x: Any) -> Any:
    return tg.repeat_interleave(x, x.long())  # here


def deleted(x: Any) -> Any:
    return np.delete(np.ones(5), x.long().numpy())  # here


# Printing


def printed(x: Any) -> Any:
    print(x)  # noqa: T201  # here
    return x


def formatted_to_places(x: Any) -> str:
    return f"the sum is {x.sum():.3f}"  # here


# Random numbers of others, clocks, files, iterators


def numpy_random(x: Any) -> Any:  # here
    return x + np.random.rand(2)  # noqa: NPY002


def numpy_generator_outside(x: Any) -> Any:  # here
    return x * numpy_generator.random()


def python_random(x: Any) -> Any:  # here
    return x * random.random()  # noqa: S311


def random_id(x: Any) -> Any:
    return x * (uuid.uuid4().int % 7)  # here


def seeded(x: Any) -> Any:
    tg.manual_seed(0)  # here
    return x * tg.rand(2)


def clock(x: Any) -> Any:
    return x * time.perf_counter()  # here


def date(x: Any) -> Any:
    return x * dt.datetime.now().timestamp()  # noqa: DTZ005  # here


def file(x: Any) -> Any:
    with open(FILE) as stream:  # noqa: PTH123  # here
        return x * len(stream.read())


def iterator(x: Any) -> Any:  # here
    return x * next(numbers)  # here


def iterator_in_a_list(x: Any) -> Any:  # here
    return x * next(iterators[0])


def numpy_state_outside(x: Any) -> Any:  # here
    return x * numpy_state.rand()


# Side effects


def scheduled(x: Any) -> None:
    (x * w).sum().backward()
    optimizer.step()
    scheduler.step()  # here


def switched_mode(x: Any) -> Any:  # here
    storing.eval()
    return storing(x)


def appended(x: Any) -> Any:  # here
    y = x * 2
    values.append(y)
    return y


def stored_in_an_attribute(x: Any) -> Any:  # here
    holder.last = (x * w).sum()
    return holder.last


def stored_in_a_global(x: Any) -> Any:  # here
    global last  # noqa: PLW0603  the point
    last = x * 2
    return last


class Storing(nn.Module):
    """A module that stores a result."""

    first: Any = None
    layer: Any = None

    def forward(self, x: Any) -> Any:
        self.first = x * 2
        return self.first


storing = Storing()


def stored_in_a_module(x: Any) -> Any:  # here
    return storing(x) + 1


class Counting(nn.Module):
    """A module that counts its calls."""

    calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x * self.calls


counting = Counting()


def count_in_a_global(x: Any) -> Any:  # here
    global calls  # noqa: PLW0603  the point
    calls += 1
    return x * calls


def count_in_an_item(x: Any) -> Any:  # here
    table["calls"] += 1
    return x * table["calls"]


def count_in_a_closure() -> Any:
    calls = 0

    def count_in_a_closure(x: Any) -> Any:  # here
        nonlocal calls
        calls += 1
        return x * calls

    return count_in_a_closure


def count_in_a_module(x: Any) -> Any:  # here
    return counting(x)


# Arguments and results


def mapped(x: Any) -> Any:  # here
    return map(abs, [x, x * 2])


def result_with_a_graph(x: Any) -> Any:
    return x * result  # here


def decayed_rate(x: Any) -> Any:  # here
    optimizer.param_groups[0]["lr"] *= 0.5
    return x


def branch_on_rate(x: Any) -> Any:
    return x if optimizer.param_groups[0]["lr"] > 0.5 else x * 2  # here


def scheduled_rate(x: Any) -> Any:
    return x * scheduler.get_last_lr()[0]  # here


def replaced_parameter(x: Any) -> Any:  # here
    storing.layer = nn.Linear(2, 2)
    return storing.layer(x)


REFUSED: dict[Any, str] = {
    **dict.fromkeys((branch, branch_in_a_helper), r"value.*where\("),
    **dict.fromkeys((item, caught, as_float, as_count, as_list, as_array), "value"),
    as_index: "value|index",
    masked: "value|mask",
    nonzero: "value|nonzero",
    **dict.fromkeys((printed, formatted_to_places), "print|format|value"),
    **dict.fromkeys(
        (numpy_random, numpy_generator_outside, python_random, random_id), "random|Generator"
    ),
    seeded: "seed",
    **dict.fromkeys((clock, date), "time|now|counter"),
    file: "open|file|read",
    iterator: "iterator|next",
    scheduled: "(?i)scheduler",
    switched_mode: "changes training",
    appended: "outside",
    **dict.fromkeys((stored_in_an_attribute, stored_in_a_global), "last.*outside|outside.*last"),
    **dict.fromkeys(
        (count_in_a_global, count_in_a_closure(), count_in_a_module),
        "calls.* change a tensor in place",
    ),
    count_in_an_item: "table|dict",
    stored_in_a_module: "first.*outside|outside.*first",
    result_with_a_graph: "graph",
    decayed_rate: "'lr', an option of SGD",
    branch_on_rate: "branch.*number",
    scheduled_rate: "rates of a scheduler",
    **dict.fromkeys((counted, repeated, deleted), r"np\..*value"),
    mapped: "returns an iterator",
    iterator_in_a_list: "an item of a list, an iterator",
    numpy_state_outside: "changes a RandomState",
    replaced_parameter: "changes layer",
}
"""What each refusal has to name: the cause, and where there is one the spelling that works."""


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_refusals_name_the_line_and_change_nothing(function: Any):
    compiled = tg.compile(function, backend="numpy")
    before, state = w.clone(), generator.get_state()
    with pytest.raises(CompileError) as refusal:
        compiled(tg.tensor([1.0, 3.0]))
    message = str(refusal.value)
    assert re.search(REFUSED[function], message, re.DOTALL), message
    place = re.search(rf"{re.escape(__file__)}:(\d+)", message)
    assert place, message
    assert linecache.getline(__file__, int(place[1])).rstrip().endswith("# here"), message
    advice = message.rstrip(".").rpartition(". ")[2]
    assert len(advice.split()) > 3, f"no advice: {message}"
    same("w", w.detach(), before.detach())
    same("random state", generator.get_state(), state)
    assert w.grad is None
    assert w.requires_grad
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert not compiled.sources
    values.clear()
    holder.last = storing.first = None


def test_a_refused_step_changes_no_tensor():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout())
    adam = optim.Adam(model.parameters())

    @tg.compile(backend="numpy")
    def bad(x: Any) -> float:
        adam.zero_grad()
        loss = model(x).sum()
        loss.backward()
        adam.step()
        model[0].weight.data = model[0].weight * 2
        return float(loss)

    before, state = copy.deepcopy(model.state_dict()), generator.get_state()
    with pytest.raises(CompileError, match="value"):
        bad(tg.ones(4, 2))
    same("state", dict(model.state_dict()), dict(before))
    same("random state", generator.get_state(), state)
    assert all(p.grad is None for p in model.parameters())
    assert not adam.state
    model(tg.ones(4, 2)).sum().backward()  # eager code goes on as before


def test_a_tensor_that_no_name_leads_to_raises_where_it_is_used():
    compiled = tg.compile(lambda x: SimpleNamespace(y=x * 2), backend="numpy")
    result = compiled(tg.ones(2))
    for use in (lambda y: y + 1, lambda y: y.tolist(), lambda y: y.sum().item()):
        with pytest.raises(CompileError, match=r"used after its trace|reads the value"):
            use(result.y)


def test_an_argument_may_be_captured_as_well():
    compiled = tg.compile(lambda v: (v * w).sum(), backend="numpy")
    other = tg.tensor([3.0, 4.0], requires_grad=True)
    for v in (w, other, w):
        same("result", compiled(v).detach(), (v * w).sum().detach())


def test_an_argument_with_a_graph_is_refused():
    with pytest.raises(CompileError, match=r"graph|result of"):
        tg.compile(lambda v: v * 2, backend="numpy")(result)


def test_no_source_before_the_first_call():
    compiled = tg.compile(branch, backend="numpy")
    with pytest.raises(CompileError, match="branch has no program yet"):
        _ = compiled.source
    assert compiled.sources == []


def test_branches_on_shapes_and_python_values_are_free():
    def function(x: Any, flag: bool, mode: str = "a") -> Any:
        if x.ndim == 2 and len(x) > 1 and x.shape[1]:
            x = x.sum(dim=0)
        if flag and mode == "a" and x.dtype == tg.float64 and x.requires_grad is False:
            x = x * 2
        return x if isinstance(x, tg.Tensor) else None

    compiled = tg.compile(function, backend="numpy")
    for x in (tg.ones(2, 3), tg.ones(1, 3), tg.ones(3)):
        for flag in (True, False):
            same("result", compiled(x, flag), function(x, flag))


# Errors of the library


def error_of(call: Any) -> type[BaseException]:
    """Return the type of the error that a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  any of them
        call()
    return type(caught.value)


WRONG: dict[str, tuple[Any, Any, Any]] = {
    "a class": (
        lambda y: nn.functional.cross_entropy(tg.zeros(2, 3), y),
        *(tg.tensor([0, 3]), tg.tensor([0, 2])),
    ),
    "a row": (
        lambda i: nn.functional.embedding(i, tg.ones(4, 2)),
        *(tg.tensor([0, 5]), tg.tensor([3, 0])),
    ),
    "NaN as target": (
        lambda y: nn.functional.mse_loss(tg.ones(2), y),
        *(tg.tensor([0.0, math.nan]), tg.ones(2)),
    ),
    "a probability": (tg.bernoulli, tg.tensor([0.5, 1.5]), tg.tensor([0.0, 1.0])),
    "Python's": (lambda x: x * (1 / (len(x) - 2)), tg.ones(2), tg.ones(3)),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_for_wrong_values_are_those_of_eager_code(name: str):
    function, wrong, right = WRONG[name]
    expected = error_of(lambda: function(wrong))
    compiled = tg.compile(function, backend="numpy")
    assert error_of(lambda: compiled(wrong)) is expected
    for _ in range(2):
        same("a right call", compiled(right), function(right))
    assert error_of(lambda: compiled(wrong)) is expected, "in later calls too"


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_of_numpy(backend: str):
    compiled = tg.compile(lambda i: tg.ones(3, 3)[i, i] * 2, backend=backend)
    compiled(tg.tensor([0, 2]))
    with pytest.raises(IndexError):
        compiled(tg.tensor([0, 5]))
