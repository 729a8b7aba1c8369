"""What cannot be compiled is refused when it is traced, with the line, and nothing is changed."""

from __future__ import annotations

import copy
import math
import random
import re
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from twins import same

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError
from tinygrad_fc.random import default_generator

w = tg.tensor([1.0, 2.0], requires_grad=True)
result = w * 2
optimizer = optim.SGD([w], lr=0.1)
schedule = optim.lr_scheduler.StepLR(optimizer, 1)
generator = np.random.default_rng(0)
lbfgs = optim.LBFGS([w])
kept: list[Any] = []
held: Any = SimpleNamespace(last=None)
last: Any = None
outside = np.ones(3)


def branch(x: Any) -> Any:
    return x if x.sum() > 0 else -x  # here


def truth(x: Any) -> Any:
    assert (x > 0).all()  # here
    return x


def loop(x: Any) -> Any:
    while x.max() < 10:  # here
        x = x * 2
    return x


def largest(x: Any) -> Any:
    return max(x[0], x[1])  # here


def item(x: Any) -> Any:
    return x * x.mean().item()  # here


def as_float(x: Any) -> Any:
    return x * float(x.mean())  # here


def square_root(x: Any) -> Any:
    return x * math.sqrt(x.sum())  # here


def counted(x: Any) -> Any:
    for _ in range(int(x.sum())):  # here
        x = x * 2
    return x


def indexed(x: Any) -> Any:
    return [1, 2][x.argmax()] * x  # here


def as_list(x: Any) -> Any:
    return tg.tensor(x.tolist())  # here


def printed(x: Any) -> Any:
    print(x)  # noqa: T201  # here
    return x


def formatted(x: Any) -> str:
    return f"the sum is {x.sum()}"  # here


def formatted_to_places(x: Any) -> str:
    return f"the sum is {x.sum():.3f}"  # here


def array(x: Any) -> Any:
    return tg.from_numpy(np.array(x.numpy()) * 2)  # here


def masked(x: Any) -> Any:
    return x[x > 1]  # here


def found(x: Any) -> Any:
    return np.nonzero(x.numpy())  # here


def unique(x: Any) -> Any:
    return np.unique(x.numpy())  # here


def numpy_made(x: Any) -> Any:
    return x + np.linspace(0, 1, 2)  # here


def numpy_number(x: Any) -> Any:
    return x * outside.mean()  # here


def numpy_random(x: Any) -> Any:
    return x + np.random.rand(2)  # noqa: NPY002  # here


def numpy_random_number(x: Any) -> Any:
    return x * generator.random()  # here


def generator_made(x: Any) -> Any:
    rng = np.random.default_rng()  # here
    return x * rng.random()


def python_random(x: Any) -> Any:
    return x * random.random()  # noqa: S311  # here


def clock(x: Any) -> Any:
    return x * time.perf_counter()  # here


def seeded(x: Any) -> Any:
    tg.manual_seed(0)  # here
    return x * tg.rand(2)


def scheduled(x: Any) -> None:
    (x * w).sum().backward()
    optimizer.step()
    schedule.step()  # here


def rate_set(x: Any) -> None:
    optimizer.param_groups[0]["lr"] = 0.5  # here
    (x * w).sum().backward()


def frozen(x: Any) -> Any:
    w.requires_grad_(requires_grad=False)  # here
    return x * w


def leaked(x: Any) -> Any:
    y = x * 2
    kept.append(y)  # here
    return y


def leaked_from_a_helper(x: Any) -> Any:
    def helper(y: Any) -> Any:
        held.last = (y * w).sum()  # here
        return held.last

    return helper(x * 2)


def argument_kept(x: Any) -> Any:
    held.last = x  # here
    return x * 2


class Keeping(nn.Module):
    """A model that keeps a tensor."""

    def __init__(self) -> None:
        self.first: Any = None

    def forward(self, x: Any) -> Any:
        """Return what was kept first, or keep it."""
        if self.first is None:
            self.first = x * 2  # here
        return self.first


model = Keeping()


def leaked_into_a_model(x: Any) -> Any:
    return model(x) + 1


def leaked_into_a_name(x: Any) -> Any:
    global last  # noqa: PLW0603  the point
    last = x * 2  # here
    return last


class Net(nn.Module):
    """A model of two layers."""

    def __init__(self) -> None:
        self.layers = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))


class Lazy(nn.Module):
    """A model that makes its layer when it is called first."""

    layer = None

    def forward(self, x: Any) -> Any:
        """Make the layer, and call it."""
        self.layer = self.layer or nn.Linear(2, 1)  # here
        return self.layer(x)


lazy, layer = Lazy(), nn.Linear(2, 1)


def layer_made(x: Any) -> Any:
    return nn.Linear(2, 2)(x)  # here


def norm_made(x: Any) -> Any:
    return nn.Sequential(nn.Tanh(), nn.BatchNorm1d(2))(x[None])  # here


def model_made(x: Any) -> Any:
    net = Net()  # here
    return net.layers(x[None])


def model_copied(x: Any) -> Any:
    return copy.deepcopy(layer)(x)  # here


def layer_made_late(x: Any) -> Any:
    return lazy(x)


def loss_made(x: Any) -> Any:
    return nn.CrossEntropyLoss(weight=x)(x[None] * w, tg.tensor([0]))  # here


@dataclass
class Pair:
    """Two tensors."""

    first: Any
    second: Any


def object_returned(x: Any) -> Any:  # here
    return [Pair(1.0, x)]


def set_returned(x: Any) -> Any:  # here
    return {x * 2}


def function_returned(x: Any) -> Any:  # here
    y = x * 2
    return lambda: y


def from_a_graph(x: Any) -> Any:
    return x * result  # here


def line_search(x: Any) -> Any:
    return lbfgs.step((x * w).sum)  # here


REFUSED = {
    branch: "a branch on the value of a traced tensor of shape ()",
    truth: "a branch on the value of a traced tensor",
    loop: "a branch on the value of a traced tensor",
    largest: "a branch on the value of a traced tensor",
    item: "item() asks for the value of a traced tensor",
    as_float: "float() asks for the value",
    square_root: "float() asks for the value",
    counted: "int() asks for the value",
    indexed: "its use as an index or a count asks for the value",
    as_list: "tolist() asks for the value",
    printed: "what is printed inside of the function would be printed by its first call only",
    formatted: "printing or formatting a traced tensor of shape () asks for its value",
    formatted_to_places: "printing or formatting a traced tensor of shape () asks for its value",
    array: "NumPy asks for the value of a traced tensor",
    masked: "choosing elements by a mask",
    found: "cannot note down np.nonzero",
    unique: "cannot note down np.unique",
    numpy_made: "is made by NumPy inside of the function",
    numpy_number: "a number of NumPy's, np.float64(1.0), is made inside of the function",
    numpy_random: "numbers are drawn from np.random inside of the function",
    numpy_random_number: "numbers are drawn from generator inside of the function",
    generator_made: "numbers are drawn from the system inside of the function",
    python_random: "numbers are drawn from random inside of the function",
    clock: "time.perf_counter() tells another value in every call",
    seeded: "a generator is seeded",
    scheduled: "a scheduler takes its step",
    rate_set: "the option 'lr' of an optimizer is set",
    frozen: "requires_grad of a tensor from outside is changed",
    leaked: "result of multiply, that the function made is kept outside of the function, in kept,",
    leaked_from_a_helper: "that the function made is kept outside of the function, in .last, where",
    argument_kept: "a tensor of shape (2,), an argument, is kept outside of the function, in .last",
    leaked_into_a_model: "that the function made is kept outside of the function, in .first, where",
    leaked_into_a_name: "that the function made is kept outside of the function, in last, where",
    layer_made: "a Linear is made inside of the function: its weight would be made anew in every",
    norm_made: "a BatchNorm1d is made inside of the function: its weight would be made anew",
    model_made: "a Net is made inside of the function: its weight would be made anew",
    model_copied: "a Linear is copied or made inside of the function, in every call another one",
    layer_made_late: "a Linear is made inside of the function",
    loss_made: "a CrossEntropyLoss is made inside of the function: its weight",
    object_returned: "the function returns a Pair with tensors in it, which later",
    set_returned: "the function returns a set with tensors in it",
    function_returned: "the function returns a function with tensors in it",
    from_a_graph: "is the result of multiply, whose graph",
    line_search: "LBFGS decides by values",
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_refusals_name_the_line_and_change_nothing(function: Any):
    compiled = tg.compile(function, backend="numpy")
    before, state = w.numpy().copy(), default_generator.get_state()
    for _ in range(2):
        with pytest.raises(CompileError, match=re.escape(REFUSED[function])) as caught:
            compiled(tg.tensor([1.0, 3.0]))
        message = str(caught.value)
        assert re.search(rf"^{re.escape(__file__)}:\d+: .*# here\n", message), message
        assert message.endswith(".")
    same("w", w.numpy(), before)
    same("random numbers", default_generator.get_state(), state)
    assert w.grad is None
    assert w.requires_grad
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert not compiled.programs
    assert (kept, held.last, last, model.first) == ([], None, None, None), (
        "what was put there is taken back"
    )


def test_an_error_at_the_end_of_a_step_leaves_all_as_it_was():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout())
    adam = optim.Adam(model.parameters())

    @tg.compile(backend="numpy")
    def bad(x: Any) -> float:
        model.train()
        adam.zero_grad()
        loss = model(x).sum()
        loss.backward()
        adam.step()
        model[0].weight.data = model[0].weight * 2
        return float(loss)

    model.eval()
    before, generated = copy.deepcopy(model.state_dict()), default_generator.get_state()
    with pytest.raises(CompileError, match="float"):
        bad(tg.ones(4, 2))
    for name, value in model.state_dict().items():
        same(name, value, before[name])
    same("random numbers", default_generator.get_state(), generated)
    assert all(p.grad is None for p in model.parameters())
    assert not adam.state
    assert not model.training
    model(tg.ones(4, 2)).sum().backward()  # eager goes on as before


def test_errors_of_the_function_itself_come_through():
    compiled = tg.compile(lambda x: x @ x, backend="numpy")
    with pytest.raises(tg.errors.ShapeError, match="matmul cannot take"):
        compiled(tg.ones(2, 3))
    with pytest.raises(ZeroDivisionError):
        tg.compile(lambda x: x * (1 / 0), backend="numpy")(tg.ones(2))


def test_an_argument_that_is_found_outside_as_well_is_refused():
    compiled = tg.compile(lambda v: (v * w).sum(), backend="numpy")
    with pytest.raises(CompileError, match="is an argument, and the function finds it outside"):
        compiled(w)


def test_an_argument_with_a_graph_is_refused():
    with pytest.raises(CompileError, match="argument 0 is the result of multiply"):
        tg.compile(lambda v: v * 2, backend="numpy")(result)


def test_a_backend_that_is_not_there():
    with pytest.raises(ValueError, match="backend is one of numpy, numba, auto, got 'c'"):
        tg.compile(branch, backend="c")


def test_a_graph_stays_inside():
    compiled = tg.compile(lambda x: (x * w).sum(), backend="numpy")
    loss = compiled(tg.ones(2))
    assert loss.requires_grad
    told = "the graph stayed inside it: call backward"
    with pytest.raises(tg.errors.GraphError, match=told):
        loss.backward()
    with pytest.raises(tg.errors.GraphError, match=told):
        (loss * 2).backward()
    with pytest.raises(tg.errors.GraphError, match=told):
        tg.autograd.grad(compiled(tg.ones(2)), w, allow_unused=True)
    with pytest.raises(tg.errors.GraphError, match=told):
        tg.func.grad(compiled)(tg.ones(2))


def test_what_is_no_function():
    def generator() -> Any:
        yield 1

    with pytest.raises(TypeError, match="generator is a generator or a coroutine"):
        tg.compile(generator)
    with pytest.raises(TypeError, match="compile takes a function, got 3"):
        tg.compile(3)


def test_memory_that_is_shared():
    base = tg.zeros(4)
    part = tg.from_numpy(base.data._array[1:])

    @tg.compile(backend="numpy")
    def changes(x: Any) -> Any:
        part.add_(x)
        return base * 2

    with pytest.raises(CompileError, match="shares its memory"):
        changes(tg.ones(3))


def test_a_number_that_is_counted_up_is_told_of():
    count = 0

    @tg.compile(backend="numpy")
    def counted(x: Any) -> Any:
        return x * count

    for count in range(31):
        same("result", counted(tg.ones(1)), tg.ones(1) * count)
    count = 100
    told = "counted has been traced 32 times.* something outside .* Hand it over as an argument"
    with pytest.warns(UserWarning, match=told):
        counted(tg.ones(1))


def test_a_count_that_the_function_keeps_is_told_of():
    model: Any = nn.Tanh()
    for held in (SimpleNamespace(steps=0), model):
        held.steps = 0

        def counting(x: Any, held: Any = held) -> Any:
            held.steps += 1
            return x * 2

        counted = tg.compile(counting, backend="numpy")
        for _ in range(31):
            counted(tg.ones(1))
        told = "steps outside that it goes by is .* as the function changes it. Change it out"
        with pytest.warns(UserWarning, match=told):
            counted(tg.ones(1))
        assert held.steps == 32
        held.steps = tg.tensor(0)
        programs = [(counted(tg.ones(1)), counted.program)[1] for _ in range(3)]
        assert programs[0] is programs[2], "as the advice has it"
        same("the count", held.steps, tg.tensor(3))


def test_shapes_that_differ_in_every_call_are_told_of():
    double = tg.compile(lambda x: x * 2, backend="numpy")
    for size in range(1, 32):
        double(tg.ones(size))
    told = r"other arguments \(float64\[30\]; float64\[31\]; float64\[32\]; ...\).*drop_last=True"
    with pytest.warns(UserWarning, match=told):
        double(tg.ones(32))


def test_no_source_before_the_first_call():
    compiled = tg.compile(branch, backend="numpy")
    with pytest.raises(CompileError, match="branch has no program yet: call it first"):
        _ = compiled.source


def test_no_source_where_every_call_changes_what_it_goes_by():
    count = 0

    @tg.compile(backend="numpy")
    def step(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * count

    step(tg.ones(1))
    with pytest.raises(CompileError, match="yet: call it once more, as that call changed count"):
        _ = step.source
    for _ in range(2):
        step(tg.ones(1))
    told = "no program that fits a second call: count outside .* Change it outside of the compiled"
    with pytest.raises(CompileError, match=told):
        _ = step.source


def test_no_source_after_the_call_that_makes_what_an_optimizer_keeps():
    layer = nn.Linear(2, 1)
    optimizer = optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)

    @tg.compile(backend="numpy")
    def step(x: Any) -> None:
        optimizer.zero_grad()
        layer(x).sum().backward()
        optimizer.step()

    step(tg.ones(3, 2))
    with pytest.raises(CompileError, match="call it once more, as that call made what an optimi"):
        _ = step.source
    step(tg.ones(3, 2))
    assert "def step(" in step.source


def test_a_tensor_that_escaped_is_of_no_use():
    escaped: list[Any] = []

    def hides(x: Any) -> Any:
        escaped.append(x.numpy())
        return x * 2

    tg.compile(hides, backend="numpy")(tg.ones(2))
    with pytest.raises(CompileError, match="is used after the function was traced"):
        escaped[0] + 1


def test_an_array_that_another_library_does_not_take():
    torch = pytest.importorskip("torch")

    @tg.compile(backend="numpy")
    def step(x: Any) -> Any:
        torch.from_numpy(x.numpy())
        return x * 2

    told = r"(?s)torch\.from_numpy\(x\.numpy\(\)\)\nanother library .* raised TypeError\."
    with pytest.raises(CompileError, match=told):
        step(tg.ones(3))
