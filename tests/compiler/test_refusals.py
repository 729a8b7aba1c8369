"""What cannot be compiled is refused with the user's line and advice, and nothing is changed."""

import copy
import datetime as dt
import linecache
import math
import random
import re
import time
import uuid
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError

from .networks import batch, perceptron
from .twins import generator, same, step

w = tg.tensor([1.0, 2.0], requires_grad=True)
result = w * 2
optimizer = optim.SGD([w], lr=0.1)
scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
numpy_generator = np.random.default_rng(0)
values: list[Any] = []
holder: Any = SimpleNamespace(last=None)
table = {"calls": 0}
last: Any = None
numbers, iterators = iter([1.0, 2.0]), [iter([1.0, 2.0])]
numpy_state = np.random.RandomState(0)

# Functions that are refused; others stand in the table


def branch_in_a_helper(x: Any) -> Any:
    def helper(y: Any) -> Any:
        if y.mean() > 0:  # here
            return y
        return -y

    return helper(x * 2)


def as_count(x: Any) -> Any:
    for _ in range(int(x.sum())):  # here
        x = x * 2
    return x


def caught(x: Any) -> Any:
    try:
        factor = x.sum().item()  # here
    except RuntimeError:
        factor = 1.0
    return x * factor


def seeded(x: Any) -> Any:
    tg.manual_seed(0)  # here
    return x * tg.rand(2)


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

    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer = None, None

    def forward(self, x: Any) -> Any:
        self.first = x * 2
        return self.first


storing = Storing()


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


def decayed_rate(x: Any) -> Any:  # here
    optimizer.param_groups[0]["lr"] *= 0.5
    return x


def replaced_parameter(x: Any) -> Any:  # here
    storing.layer = nn.Linear(2, 2)
    return storing.layer(x)


REFUSED: dict[str, tuple[Any, str]] = {
    "branch": (lambda x: x if x.sum() > 0 else -x, r"value.*where\("),  # here
    "branch in a helper": (branch_in_a_helper, r"value.*where\("),
    "item": (lambda x: x * x.mean().item(), "value"),  # here
    "item, caught": (caught, "value"),
    "float": (lambda x: x * float(x.mean()), "value"),  # here
    "int": (as_count, "value"),
    "index": (lambda x: [1, 2][x.argmax()] * x, "value|index"),  # here
    "list": (lambda x: tg.tensor(x.tolist()), "value"),  # here
    "array": (lambda x: tg.from_numpy(np.array(x.numpy()) * 2), "value"),  # here
    "mask": (lambda x: x[x > 1], "value|mask"),  # here
    "nonzero": (lambda x: np.nonzero(x.numpy()), "value|nonzero"),  # here
    "counts": (lambda x: tg.bincount(x.long()), "of this package reads"),  # here
    "repeats": (lambda x: tg.repeat_interleave(x, x.long()), "of this package reads"),  # here
    "deleted": (lambda x: np.delete(np.ones(5), x.long().numpy()), r"np\..*value"),  # here
    "print": (lambda x: print(x), "print|format|value"),  # noqa: T201, PLW0108  # here
    "format": (lambda x: f"the sum is {x.sum():.3f}", "print|format|value"),  # here
    "numpy.random": (lambda x: x + np.random.rand(2), "random|Generator"),  # noqa: NPY002  # here
    "a generator of NumPy": (lambda x: x * numpy_generator.random(), "random|Generator"),  # here
    "a state of NumPy": (lambda x: x * numpy_state.rand(), "changes a RandomState"),  # here
    "random": (lambda x: x * random.random(), "random|Generator"),  # noqa: S311  # here
    "uuid": (lambda x: x * (uuid.uuid4().int % 7), "random|Generator"),  # here
    "a seed": (seeded, "seed"),
    "a random state": (lambda x: (x, tg.get_rng_state()), "state of a random generator"),  # here
    "a clock": (lambda x: x * time.perf_counter(), "time|now|counter"),  # here
    "a date": (lambda x: x * dt.datetime.now().timestamp(), "now"),  # noqa: DTZ005  # here
    "a file": (lambda x: x * open(__file__).fileno(), "open"),  # noqa: PTH123, SIM115  # here
    "an iterator": (lambda x: x * next(numbers), "iterator|next"),  # here
    "an iterator in a list": (lambda x: x * next(iterators[0]), "an item of a list"),  # here
    "a map": (lambda x: map(abs, [x, x * 2]), "returns an iterator"),  # here
    "a graph": (lambda x: x * result, "graph"),  # here
    "a scheduler": (scheduled, "(?i)scheduler"),
    "its rates": (lambda x: x * scheduler.get_last_lr()[0], "rates of a scheduler"),  # here
    "a branch on a rate": (
        lambda x: x if optimizer.param_groups[0]["lr"] > 0.5 else x * 2,  # here
        "branch.*number",
    ),
    "a decayed rate": (decayed_rate, "'lr', an option of SGD"),
    "a mode": (switched_mode, "changes training"),
    "append": (appended, "a list from outside"),
    "an attribute": (stored_in_an_attribute, "last.*outside|outside.*last"),
    "a global": (stored_in_a_global, "last.*outside|outside.*last"),
    "an attribute of a module": (lambda x: storing(x) + 1, "first.*outside|outside.*first"),  # here
    "a count in a closure": (count_in_a_closure(), "calls.* change a tensor in place"),
    "a count in an item": (count_in_an_item, "table|dict"),
    "another parameter": (replaced_parameter, "changes layer"),
}
"""What each refusal has to name: the cause, and where there is one the spelling that works."""


@pytest.mark.parametrize(("function", "cause"), REFUSED.values(), ids=REFUSED)
def test_refusals_name_the_line_and_change_nothing(function: Any, cause: str):
    compiled = tg.compile(function, backend="numpy")
    before, state = w.clone(), generator.get_state()
    with pytest.raises(CompileError) as refusal:
        compiled(tg.tensor([1.0, 3.0]))
    message = str(refusal.value)
    assert re.search(cause, message, re.DOTALL), message
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
    assert not values, "lists are as they were"
    holder.last = storing.first = None


def test_a_refused_step_changes_no_tensor():
    training = perceptron(optim.Adam, None, nn.BatchNorm1d(5), nn.Dropout())
    model = training.model

    @tg.compile(backend="numpy")
    def bad(x: Any, y: Any) -> float:
        loss = step(training, x, y)
        model[0].weight.data = model[0].weight * 2
        return float(loss)

    before, state = copy.deepcopy(model.state_dict()), generator.get_state()
    with pytest.raises(CompileError, match="value"):
        bad(*batch())
    same("state", dict(model.state_dict()), dict(before))
    same("random state", generator.get_state(), state)
    assert all(p.grad is None for p in model.parameters())
    assert not training.optimizer.state
    step(training, *batch())  # eager code goes on as before


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
    compiled = tg.compile(seeded, backend="numpy")
    with pytest.raises(CompileError, match="seeded has no program yet"):
        _ = compiled.source


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
    "a weight too few": (
        lambda w: tg.multinomial(w, 2).sort().values,
        *(tg.tensor([0.0, 1.0]), tg.ones(2)),
    ),
    "a weight below 0": (
        lambda w: tg.multinomial(w, 1),
        *(tg.tensor([-1.0, 2.0]), tg.tensor([0.0, 1.0])),
    ),
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


def test_changes_before_an_exception_are_kept():
    total = tg.zeros(1)

    @tg.compile(backend="numpy")
    def step(x: Any) -> Any:
        total.add_(1.0)
        if x.shape[0] > 2:
            raise KeyError("too long")
        return x + total

    step(tg.ones(1))
    with pytest.raises(KeyError, match="too long"):
        step(tg.ones(3))
    assert total.item() == 2
