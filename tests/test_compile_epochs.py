"""An epoch in one call is its steps, one after the other, of one size or of several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_compile import batch, perceptron, sgd, training
from twins import Training, same, step

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import numpy_backend
from tinygrad_fc.random import default_generator
from tinygrad_fc.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

few = settings(max_examples=max(5, settings.default.max_examples // 10))
X, Y = batch()

MADE: dict[str, Any] = {
    "plain": perceptron,
    "momentum": lambda: perceptron(optimizer=lambda m: sgd(m, momentum=0.9)),
    "Adam": lambda: perceptron(optimizer=lambda m: optim.Adam(m.parameters())),
    "RAdam": lambda: perceptron(optimizer=lambda m: optim.RAdam(m.parameters())),
    "dropout": lambda: training(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))),
    "batch norm": lambda: training(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))),
}


def accumulated(t: Training, x: Any, y: Any) -> Any:
    loss = t.loss(t.model(x), y)
    loss.backward()
    return loss.detach()


def _orders(rows: Any) -> list[Any]:
    """Return the same steps as a matrix, and such whose last step is smaller in several ways."""
    return [rows.reshape(3, 4), tg.tensor(rows).split(5), np.array_split(rows, 5), rows[None]]


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("function", [step, accumulated], ids=["step", "accumulated"])
def test_epochs(made: str, function: Any):
    x, y = batch(n=12)
    rng = np.random.default_rng(0)
    tg.manual_seed(0)
    one = MADE[made]()
    tg.manual_seed(0)
    other = MADE[made]()
    compiled = tg.compile(lambda x, y: function(other, x, y), backend="numpy")
    for k in range(4):
        order = _orders(rng.permutation(12))[k]
        before = default_generator.get_state()
        expected = [function(one, x[rows], y[rows]) for rows in order]
        default_generator.set_state(before)
        same("losses", compiled.epoch(order, x, y), tg.stack(expected))
        names, theirs = dict(other.tensors()), dict(one.tensors())
        assert names.keys() == theirs.keys()
        for name, tensor in theirs.items():
            same(name, names[name], tensor)


def test_an_epoch_that_diverges():
    x, y = batch(n=12)
    one, other = (perceptron(optimizer=lambda m: sgd(m, lr=1e200)) for _ in range(2))
    other.model.load_state_dict(one.model.state_dict())
    compiled = tg.compile(lambda x, y: step(other, x, y), backend="numpy")
    order = np.arange(12).reshape(6, 2)
    with np.errstate(all="ignore"):
        for _ in range(2):
            expected = [step(one, x[rows], y[rows]) for rows in order]
            same("losses", compiled.epoch(tg.from_numpy(order), x, y), tg.stack(expected))


@few
@given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=6), rng=st.randoms())
def test_steps_of_several_sizes(sizes: list[int], rng: Any):
    total, eager = tg.zeros(3), tg.zeros(3)
    x = tg.rand(7, 3)

    def function(state: Any, x: Any) -> Any:
        state.add_(x.sum(dim=0)).mul_(0.5)
        return state, {"largest": x.max(), "array": x.sum(dim=0).numpy()}, "done"

    compiled = tg.compile(lambda x: function(total, x), backend="numpy")
    order = [[rng.randrange(-7, 7) for _ in range(size)] for size in sizes]
    expected = [function(eager, x[rows])[1] for rows in order]
    state, found, done = compiled.epoch(iter(order), x)
    assert done == "done"
    if len(order) > 1:
        assert state is total
    same("state", total, eager)
    same("largest", found["largest"], tg.stack([each["largest"] for each in expected]))
    same("array", found["array"], np.stack([each["array"] for each in expected]))


def test_the_batches_of_a_loader():
    compiled = tg.compile(lambda x, y: (x.sum(), y.sum()), backend="numpy")
    loader = DataLoader(TensorDataset(X, Y), batch_size=4)
    for sums in (
        compiled.epoch(loader.batch_sampler, X, Y),
        compiled.epoch(BatchSampler(SequentialSampler(X), 4, drop_last=False), X, Y),
    ):
        same("sums", list(tg.stack(sums, dim=1)), [tg.stack(compiled(*each)) for each in loader])
    with pytest.raises(TypeError, match=r"got a loader.*write step.epoch\(loader.batch_sampler, x"):
        compiled.epoch(loader, X, Y)
    with pytest.raises(tg.errors.ShapeError, match=r"step 0 is \[tensor.* Write step.epoch"):
        compiled.epoch(list(loader))


def test_an_epoch_makes_a_loop_for_the_steps_that_are_many(monkeypatch: pytest.MonkeyPatch):
    built: list[Any] = []
    build = numpy_backend.build_loop
    monkeypatch.setattr(
        numpy_backend, "build_loop", lambda *args: (built.append(args), build(*args))[1]
    )
    compiled = tg.compile(lambda x: x.sum(), backend="numpy")
    compiled(X[:3])
    for _ in range(2):
        compiled.epoch([[0, 1], [2, 3], [4]], X)
    assert len(built) == 1
    assert len(compiled.programs) == 3


def test_what_cannot_be_stacked():
    compiled = tg.compile(lambda x: x * 2, backend="numpy")
    with pytest.raises(tg.errors.ShapeError, match=r"shape \(2, 4\) and shape \(1, 4\). Return"):
        compiled.epoch([[0, 1], [2]], X)
    counted = tg.compile(lambda x: (x.sum(), len(x)), backend="numpy")
    with pytest.raises(tg.errors.ShapeError, match="they return 2 and 1, which are no tensors"):
        counted.epoch([[0, 1], [2]], X)
    other = tg.compile(lambda x: x.sum() if len(x) > 1 else (x.sum(),), backend="numpy")
    with pytest.raises(tg.errors.ShapeError, match=r"they return several things\. Return"):
        other.epoch([[0, 1], [2]], X)


def test_epochs_that_are_refused():
    compiled = tg.compile(lambda x: x.sum(), backend="numpy")
    for order, error, message in (
        ([], ValueError, "order has no steps"),
        (np.zeros((0, 2), int), ValueError, "order has no steps"),
        ([[0, 1], []], ValueError, "a step without rows"),
        ([1, 2], tg.errors.ShapeError, r"a list of row numbers, and step 0 is 1. Write .*split"),
        ([[1], [[2]]], tg.errors.ShapeError, r"and step 1 is \[\[2\]\]"),
        ([[1], [[2], [3, 4]]], tg.errors.ShapeError, r"and step 1 is \[\[2\], \[3, 4\]\]"),
        (X, tg.errors.DtypeError, "order holds row numbers, .* got float64. Write"),
        (5, TypeError, "order holds the rows of each step, got 5. Write"),
        ([[0, 6]], IndexError, "order has rows from 0 to 6, and the data have 6"),
        ([[0, 1], [-7]], IndexError, "order has rows from -7 to -7, and the data have 6"),
    ):
        with pytest.raises(error, match=message):
            compiled.epoch(order, X)
    for data, message in (
        ((), r"there are no data behind order to take rows of\. Write step\.epoch"),
        ((3.0,), "data 0 is a tensor or an array .* got 3.0$"),
        ((X, tg.tensor(3.0)), r"data 1 .* got a Tensor of shape \(\): what is one for all steps"),
        ((X, [[1.0]] * 6), r"data 1 .* got a list: make it a tensor once, with tg\.tensor\("),
    ):
        with pytest.raises(TypeError, match=message):
            compiled.epoch([[0]], *data)
    with pytest.raises(tg.errors.ShapeError, match="data 0 has 6, data 1 has 2, data 2 has 6"):
        compiled.epoch([[0]], X, X[:2], X)
    with pytest.raises(ValueError, match="data 0 requires grad"):
        compiled.epoch([[0]], tg.ones(2, requires_grad=True))
    assert not compiled.programs, "nothing is done before all is looked at"
    same("from the back", compiled.epoch([[-1, 0]], X), tg.stack([X[[-1, 0]].sum()]))


def _clipped() -> tuple[Any, Any]:
    """Return a step whose program is another where all of the batch is 0, and its weight."""
    weight = tg.ones(2, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.125)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        (weight * x).sum().backward()
        norm = nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()
        return norm

    return step, weight


@few
@given(st.lists(st.booleans(), min_size=2, max_size=24))
def test_steps_that_go_another_way(zeros: list[bool]):
    x = tg.tensor([[0.0, 0.0], [1.0, 2.0]])
    order = [[int(not zero)] for zero in zeros]
    (one, expected), (other, weight) = _clipped(), _clipped()
    compiled = tg.compile(other, backend="numpy")
    for rows in ([0], [1]):
        one(x[rows])
        compiled(x[rows])
    norms = tg.stack([one(x[rows]) for rows in order])
    same("norms", compiled.epoch(order, x), norms)
    same("weight", weight, expected)


@pytest.mark.parametrize("flips", [1, 2, 7])
def test_a_step_that_goes_another_way_costs_few_others(flips: int, monkeypatch: pytest.MonkeyPatch):
    done = []
    build_loop = numpy_backend.build_loop

    def counting(*args: Any) -> Any:
        loop = build_loop(*args)

        def counted(order: Any, *inputs: Any) -> Any:
            done.append(len(order))
            return loop(order, *inputs)

        return counted

    monkeypatch.setattr(numpy_backend, "build_loop", counting)
    x = tg.tensor([[0.0, 0.0], [1.0, 2.0]])
    step, _ = _clipped()
    compiled = tg.compile(step, backend="numpy")
    for rows in ([0], [1]):
        compiled(x[rows])
    order = np.ones((512, 1), int)
    order[200 :: 512 // flips][:flips] = 0
    compiled.epoch(order, x)
    assert sum(done) < 512 * 4 * (flips + 2)  # of two programs, of which one gives up at once
