"""An epoch in one call is its steps, one after the other, of one size or of several."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim

from .networks import batch, momentum, perceptron
from .twins import BACKENDS, Twins, accumulate, same, share, step

X, Y = batch()
TRAININGS: dict[str, Any] = {
    "SGD": perceptron,
    "momentum": lambda: perceptron(momentum),
    "Adam": lambda: perceptron(optim.Adam),
    "RAdam": lambda: perceptron(optim.RAdam),
    "dropout": lambda: perceptron(momentum, None, nn.Dropout(0.5)),
    "batch norm": lambda: perceptron(momentum, None, nn.BatchNorm1d(5)),
}


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("function", [step, accumulate])
def test_epochs(name: str, function: Any):
    """The same rows as a matrix, and as steps of which the last ones are smaller."""
    (x, y), rows = batch(n=12), np.random.default_rng().permutation(12)
    orders = rows.reshape(3, 4), tg.tensor(rows).split(5), np.array_split(rows, 5), rows[None]
    twins = Twins(TRAININGS[name], function)
    for k, order in enumerate(orders):
        twins.epoch(order, x, y)
        if k % 2:
            twins.step(x[:4], y[:4])


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_epoch_of_all_that_changes(backend: str):
    twins = Twins(lambda: perceptron(optim.Adam, None, nn.BatchNorm1d(5)), backend=backend)
    x, y = batch(n=12)
    for _ in range(2):
        twins.epoch(np.random.default_rng().permutation(12).reshape(3, 4), x, y)
        twins.step(x[:4], y[:4])


@share(10)
@given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=6), rng=st.randoms())
def test_steps_of_several_sizes(sizes: list[int], rng: Any):
    total, eager, x = tg.zeros(3), tg.zeros(3), tg.rand(7, 3)

    def function(state: Any, x: Any) -> Any:
        state.add_(x.sum(dim=0)).mul_(0.5)
        return {"largest": x.max(), "array": x.sum(dim=0).numpy()}, "done"

    compiled = tg.compile(lambda x: function(total, x), backend="numpy")
    order = [[rng.randrange(-7, 7) for _ in range(size)] for size in sizes]  # as samplers yield
    expected = [function(eager, x[rows])[0] for rows in order]
    results, text = compiled.epoch(iter(order), x)
    assert text == "done"
    same("state", total, eager)
    same("largest", results["largest"], tg.stack([e["largest"] for e in expected]))
    same("array", results["array"], np.stack([e["array"] for e in expected]))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(), (2,)])
def test_gradients_that_move_from_step_to_step(shape: Any, backend: str):
    w, v = (tg.ones(shape, requires_grad=True) for _ in range(2))
    w.grad, v.grad = tg.zeros(shape), tg.zeros(shape)

    @tg.compile(backend=backend)
    def step(x: Any) -> Any:
        v.grad = w.grad.clone()
        w.grad = w.grad + x.sum()
        return x.sum()

    step.epoch([[0], [1], [2]], tg.tensor([1.0, 2.0, 3.0]))
    same("gradients", [v.grad, w.grad], [tg.full(shape, 3.0), tg.full(shape, 6.0)])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_captured_tensor_as_result(backend: str):
    state, x = tg.zeros(3), tg.ones(4, 3)

    @tg.compile(backend=backend)
    def moved(x: Any) -> Any:
        state.add_(x.sum(dim=0))
        return state, x.sum()

    for k in range(2):
        states, sums = moved.epoch([[0, 1]] * 3, x)
        same("states", states, tg.arange(1.0, 4).add(3 * k).mul(2).unsqueeze(1).expand(3, 3))
        assert sums.shape == (3,)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_steps_that_take_another_path(dtype: str, backend: str):
    """Rows 0 and 0 take the one, 0 and 1, whose class is ignored, the other: a loop stops there."""
    twins = Twins(lambda: perceptron(loss=nn.CrossEntropyLoss(), dtype=dtype), backend=backend)
    x, y = batch(n=2, dtype=dtype)[0], tg.tensor([1, -100])
    for rows in ([0, 0], [0, 1]):
        twins.step(x[rows], y[rows])
    twins.epoch([[0, path] for path in (1, 0, 0, 1, 0, 1, 1, 0, 0)], x, y)


def test_results_that_cannot_be_stacked():
    compiled = tg.compile(lambda x: x * 2, backend="numpy")
    with pytest.raises(tg.errors.ShapeError, match="stacked"):
        compiled.epoch([[0, 1], [2]], X)
    counted = tg.compile(lambda x: (x.sum(), len(x)), backend="numpy")
    assert counted.epoch([[0, 1], [2]], X)[1] == 1, "the last step's"


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        ([], ValueError, "no steps"),
        (np.zeros((0, 2), int), ValueError, "no steps"),
        ([[0, 1], []], ValueError, "no rows"),
        (X, TypeError, "float64"),
        (5, TypeError, "iterable"),
        ([[0, 6]], IndexError, "from 0 to 6.* 6"),
        ([[0, 1], [-7]], IndexError, "-7"),
    ],
)
def test_orders_that_are_refused(order: Any, error: Any, message: str):
    compiled = tg.compile(lambda x: x.sum(), backend="numpy")
    with pytest.raises(error, match=message):
        compiled.epoch(order, X)
    assert not compiled.sources, "nothing is done before all is checked"
    same("from the back", compiled.epoch([[-1, 0]], X), tg.stack([X[[-1, 0]].sum()]))


def test_data_of_an_epoch_have_one_number_of_rows():
    compiled = tg.compile(lambda x, y: x.sum() + y.sum(), backend="numpy")
    for data in ((tg.ones(5), tg.ones(2)), (), (tg.ones(()), tg.ones(3))):
        with pytest.raises(tg.errors.ShapeError, match="epoch: the data have shapes"):
            compiled.epoch([[0, 1]], *data)
