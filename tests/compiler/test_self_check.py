"""The self-check: it raises where a program differs from its function, and refuses no right one."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optimizers import OPTIMIZERS

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError

from .networks import batch, dtypes, losses, networks, perceptron, seeds, training_of
from .programs import inputs, programs, with_gradients
from .twins import BACKENDS, native, same, share, step

# No right program is refused


def laid_out(array: Any, layout: str) -> Any:
    """Return a copy of an array in a memory layout."""
    array = np.asarray(array)
    if layout == "offset":
        memory = np.empty(array.size + 1, array.dtype)[1:].reshape(array.shape)
        memory[...] = array
        return memory
    if layout == "strided" and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    return np.array(array, order="F" if layout == "F" else "C")


layouts = st.sampled_from(("C", "F", "strided", "offset"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@share(15)
@given(program=programs(), arrays=inputs(), layout=layouts, single=st.booleans())
def test_right_programs_pass(program: Any, arrays: Any, layout: str, single: bool):
    """Arguments and what they change in several memory layouts, float64 and float32."""
    state = [tg.from_numpy(laid_out(np.full(s, 0.5), layout)) for s in ((2, 3), (3,), ())]
    compiled = tg.compile(lambda *x: with_gradients(program, x, state), backend="numpy")
    arrays = [a.astype("f") if single and a.dtype.kind == "f" else a for a in arrays]
    with np.errstate(all="ignore"):
        for _ in range(4):
            compiled(*(tg.from_numpy(laid_out(a, layout)) for a in arrays))
            for s in state:
                s.clamp_(-9, 9)


@share(15)
@given(data=st.data(), dtype=dtypes, layout=layouts, seed=seeds)
def test_right_trainings_pass(data: st.DataObject, dtype: str, layout: str, seed: int):
    """Drawn networks, losses and optimizers, with parameters in several memory layouts."""
    model, (kind, loss) = data.draw(networks(dtype))(), data.draw(losses())
    for p in model.parameters():
        p.data = tg.from_numpy(laid_out(p.numpy(), layout))
    name = data.draw(st.sampled_from(sorted(OPTIMIZERS)))
    training = training_of(model, getattr(optim, name), loss())
    compiled = tg.compile(lambda *xy: step(training, *xy), backend="numpy")
    with np.errstate(all="ignore"):
        for k in range(4):
            compiled(*batch(seed + k, 5, dtype, kind))


# Wrong programs are refused

X = tg.tensor([1.0, 2.0])
w = tg.ones(2, requires_grad=True)
state = tg.zeros(2)


class Hidden:
    """A number that is read by a method of `object`, which guards do not see."""

    def __init__(self, value: float) -> None:
        self[0] = value

    def __getitem__(self, _: int) -> float:
        return object.__getattribute__(self, "value")  # type: ignore[no-any-return]

    def __setitem__(self, _: int, value: float) -> None:
        object.__setattr__(self, "value", value)


hidden = Hidden(1.0)


def in_the_result(x: Any) -> Any:
    return x * hidden[0]


def in_a_gradient(x: Any) -> Any:
    w.grad = None
    (w * x.detach() * hidden[0]).sum().backward()
    return x * 1


def in_no_gradient(x: Any, value: float = 1.0) -> Any:
    w.grad = None
    if hidden[0] == value:
        (w * x.detach()).sum().backward()
    return x * 1


def in_a_change(x: Any) -> Any:
    state.copy_(x * hidden[0])
    return x * 1


def in_an_argument(x: Any) -> Any:
    y = x + 1
    x.mul_(hidden[0])
    return y


def in_random_numbers(x: Any) -> Any:
    tg.rand(int(hidden[0]))
    return x * 1


WRONG: dict[str, tuple[Any, str]] = {
    "a result": (in_the_result, r"its result\[0\] is 1.0 by the program, but 3.0"),
    "a dict": (
        lambda x: {"a": x, "b": [x * 1, x * hidden[0]]},
        r"item 2 of its result\[0\] is 1.0 by the program, but 3.0",
    ),
    "a number": (lambda x: (x * 1, hidden[0]), r"item 1 of its result is 1.0 by .*, but 3.0"),
    "the length": (lambda x: [x * 1] * int(hidden[0]), "the structure of its result is"),
    "the shape": (
        lambda x: tg.cat([x] * int(hidden[0])),
        r"its result is float64\[2\] by the program, but float64\[6\]",
    ),
    "a gradient": (in_a_gradient, r"w_grad\[0\] is 1.0 by the program, but 3.0"),
    "no gradient": (in_no_gradient, r"w_grad is .* by the program, but None"),
    "a new gradient": (lambda x: in_no_gradient(x, 3.0), "gradient of a tensor is None by the"),
    "a change": (in_a_change, r"state\[0\] is 1.0 by the program, but 3.0"),
    "an argument": (in_an_argument, "only the function changes x"),
    "random numbers": (in_random_numbers, "the state of a random generator"),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_programs_are_refused(name: str, backend: str):
    """A change after the first call is seen in the second; one after that in the fourth."""
    function, difference = WRONG[name]
    for number in (2, 4) if backend == "numpy" else (2,):
        hidden[0] = 1.0
        compiled = tg.compile(function, backend=backend)
        for _ in range(number - 1):
            compiled(X.clone())
        hidden[0] = 3.0
        x, before = X.clone(), X.clone()
        with pytest.raises(CompileError, match=difference) as refusal:
            compiled(x)
        message = str(refusal.value)
        assert f"call {number} of {function.__name__} ({__file__}:" in message
        assert "Pass it as an argument" in message
        # the state is that of the function, and the next call traces it again
        left = [t.clone() if t is not None else None for t in (x, w.grad, state)]
        function(before)
        same("state", left, [before, w.grad, state])
        same("later", compiled(X.clone()), function(X.clone()))


small, parameter = tg.ones(4, dtype=tg.float32), tg.ones(4, dtype=tg.float32, requires_grad=True)


def of_a_buffer(x: Any) -> Any:
    small.add_(hidden[0] * x)
    return x * 1


def of_a_parameter(x: Any) -> Any:
    parameter.grad = None
    (parameter * x).sum().backward()
    with tg.no_grad():
        parameter.sub_(hidden[0] * parameter.grad)
    return x * 1


def beside_a_large_number(x: Any) -> Any:
    return tg.stack([x[0] - 1e9, x[0] * (hidden[0] * 1.5e5)])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", [of_a_buffer, of_a_parameter, beside_a_large_number])
def test_small_differences_are_seen(function: Any, backend: str):
    hidden[0] = 0.0
    compiled = tg.compile(function, backend=backend)
    x = tg.ones(4, dtype=tg.float64 if function is beside_a_large_number else tg.float32)
    compiled(x)
    hidden[0] = 1e-4
    with pytest.raises(CompileError, match="by the program, but"):
        compiled(x)


def normalised(dtype: str) -> Any:
    """Return a network with batch normalization, which subtracts the bias before it."""
    layers = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.SiLU(), nn.Linear(8, 4), nn.BatchNorm1d(4)
    return nn.Sequential(*layers, nn.SiLU(), nn.Linear(4, 1)).to(getattr(tg, dtype))


def run_on_batches(function: Any, dtype: str, calls: int = 17) -> None:
    generator = tg.Generator().manual_seed(1)
    for _ in range(calls):
        function(*tg.randn(64, 5, generator=generator).to(getattr(tg, dtype)).split([4, 1], 1))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["Adadelta", "Adam", "NAdam", "RMSprop", "Rprop"])
def test_updates_by_rounding_errors_pass(name: str, dtype: str, backend: str):
    """The gradient of a bias before batch normalization is rounding alone."""
    model = normalised(dtype)
    training = training_of(model, getattr(optim, name), nn.SmoothL1Loss())
    run_on_batches(tg.compile(lambda *xy: step(training, *xy), backend=backend), dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("averaged", [False, True])
def test_results_of_rounding_errors_pass(dtype: str, backend: str, averaged: bool):
    """Norms of gradients, an update by hand, and a moving average of the parameters."""
    model = normalised(dtype)
    average = optim.swa_utils.get_ema_multi_avg_fn(0.9)
    mean = optim.swa_utils.AveragedModel(model, multi_avg_fn=average)
    optimizer = optim.RMSprop(model.parameters())

    @tg.compile(backend=backend)
    def step(x: Any, y: Any) -> Any:
        loss = nn.functional.mse_loss(model(x), y)
        if not averaged:
            gradients = tg.autograd.grad(loss, list(model.parameters()))
            with tg.no_grad():
                for p, g in zip(model.parameters(), gradients, strict=True):
                    p.sub_(0.01 * g / (g.abs() + 1e-8))
            return loss, [g.norm() for g in gradients]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean.update_parameters(model)
        return loss, {name: p.grad.norm() for name, p in model.named_parameters()}

    run_on_batches(step, dtype)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_difference_is_seen_beside_rounding_errors(backend: str):
    hidden[0] = 1.0

    def loss(prediction: Any, target: Any) -> Any:
        return nn.functional.mse_loss(prediction, target) * hidden[0]

    training = training_of(normalised("float64"), optim.Adam, loss)
    compiled = tg.compile(lambda *xy: step(training, *xy), backend=backend)
    run_on_batches(compiled, "float64", 3)
    hidden[0] += 1e-5
    with pytest.raises(CompileError, match="by the program, but"):
        run_on_batches(compiled, "float64", 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_difference_is_seen_where_other_inputs_raise(backend: str):
    """With inputs that differ by rounding, an index is out of range."""
    hidden[0] = 1.0
    rows, x = tg.arange(2.0), tg.tensor([0.3, 0.3])
    compiled = tg.compile(lambda x: rows[2 - (x >= 0.3).long()] + hidden[0], backend=backend)
    compiled(x)
    hidden[0] = 2.0
    with pytest.raises(CompileError, match="by the program, but"):
        compiled(x)


@pytest.mark.parametrize(
    ("check", "expected"), [(True, [1, 2, 2, 3, 3, 3, 3, 4, 4]), (False, [1] * 9)]
)
def test_the_first_call_and_those_that_check_run_the_function(check: bool, expected: list[int]):
    calls = Hidden(0)

    @tg.compile(backend="numpy", check=check)
    def step(x: Any) -> Any:
        calls[0] = calls[0] + 1
        state.add_(x)
        return x + tg.rand(2)

    counts = []
    state.zero_()
    for _ in range(9):
        step(X)
        counts.append(calls[0])
    assert counts == expected
    same("added once a call", state, X * 9)


def test_results_of_a_checking_call_are_new_and_require_no_grad():
    @tg.compile(backend="numpy")
    def rows() -> Any:
        return w[:1], w * 2, w

    for _ in range(3):
        row, double, same_tensor = rows()
        assert same_tensor is w
        assert [row.requires_grad, double.requires_grad] == [False, False]
        assert not np.may_share_memory(row.numpy(), w.numpy())


@native
def test_an_epoch_checks_its_first_step():
    """In epochs 2, 4, 8, ..., of a native loop, which no single call leaves."""
    hidden[0] = 1.0
    compiled = tg.compile(lambda x: x * hidden[0], backend="numba")
    order, data = [[0], [1], [0]], tg.ones(2)
    for epoch in range(1, 5):
        if epoch == 4:
            with pytest.raises(CompileError, match="call 4 of"):
                compiled.epoch(order, data)
        else:
            same("epoch", compiled.epoch(order, data), tg.ones(3, 1))
            hidden[0] = 3.0 if epoch == 3 else 1.0
    same("another epoch", compiled.epoch(order, data), tg.ones(3, 1) * 3)


class Scaled:
    """A compiled method that reads an attribute of its object."""

    factor = 1.0

    @tg.compile(backend="numpy")
    def scaled(self, x: Any) -> Any:
        """Return a product."""
        return x * self.factor * hidden[0]


def test_methods():
    hidden[0] = 1.0
    one, other = Scaled(), Scaled()
    for k in range(6):
        one.scaled(X)
        other.scaled(X)
        one.factor += k == 2
    hidden[0] = 2.0
    # the fourth call with the other factor
    with pytest.raises(CompileError, match="scaled"):
        one.scaled(X)


def test_threads():
    """Threads share parameters, generators and a compiled step: a check waits or is left out."""
    training = perceptron(optim.Adam, None, nn.Dropout(0.5))
    compiled: Any = tg.compile(step, backend="numpy")

    def work(_: int) -> None:
        for k in range(40):
            compiled(training, *batch(k))
            tg.rand(2)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))  # raises what a thread raises
    assert len(compiled.sources) == 1


def test_views_that_a_step_changes():
    """The state changes in place in rows of a matrix, of which the check has copies."""
    matrix = tg.zeros(6, 4)
    for view in (matrix[::2, 1:], matrix.T[1:3], matrix[::3]):
        compiled = tg.compile(lambda x, view=view: view.data.add_(x), backend="numpy")
        before = matrix.clone()
        for _ in range(4):
            compiled(X[1])
        assert (matrix - before).sum() == 4 * 2 * view.numel()
