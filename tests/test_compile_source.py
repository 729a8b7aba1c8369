"""The source of a program reads like what a person would write by hand, and runs by itself."""

from __future__ import annotations

import inspect
import math
import operator
import traceback
import warnings
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.drawn_programs import programs
from kit.programs import Maker, training_step

from tinygrad_fc import from_numpy, nn, optim
from tinygrad_fc.compiler import numpy_backend
from tinygrad_fc.compiler.naming import identifier
from tinygrad_fc.compiler.page import LINE
from tinygrad_fc.compiler.passes import operations
from tinygrad_fc.compiler.program import Part, Unfit
from tinygrad_fc.compiler.reading import ready
from tinygrad_fc.compiler.trace import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinygrad_fc.compiler.program import Program

TWO_LAYERS = """\
import numpy as np

one = np.array(1.0)  # which NumPy takes in half the time of a number
scale = np.array(0.0625)
ones = np.ones(32)


@np.errstate(over="ignore", under="ignore")
def step(x, target, weight1, bias1, weight2, bias2, lr):
    # Forward, formula (4)
    z1 = x.dot(weight1.T) + bias1  # (3)
    y1 = one / (one + np.exp(-z1))  # (2)
    z2 = y1.dot(weight2.T) + bias2  # (3)
    y2 = one / (one + np.exp(-z2))  # (2)
    error = y2 - target
    loss = np.vdot(error, error) / 32  # (5), (6)
    # Backward
    d2 = error * scale * (y2 * (one - y2))  # (13)
    weight2_grad = d2.T.dot(y1)  # (14)
    bias2_grad = ones.dot(d2)  # (17)
    d1 = d2.dot(weight2) * (y1 * (one - y1))  # (36)
    weight1_grad = d1.T.dot(x)  # (37)
    bias1_grad = ones.dot(d1)  # (38)
    # Update
    rate = np.array(lr, np.float64)
    weight1 -= rate * weight1_grad
    bias1 -= rate * bias1_grad
    weight2 -= rate * weight2_grad
    bias2 -= rate * bias2_grad
    return weight1_grad, bias1_grad, weight2_grad, bias2_grad, np.array(loss)
"""


def test_a_network_of_two_layers() -> None:
    assert numpy_backend.build(training_step((8, 16, 1), 32)).source == TWO_LAYERS


def test_large_arrays_are_worked_out_in_the_same_memory() -> None:
    source = numpy_backend.build(training_step((784, 512, 1), 256, np.float32)).source
    for line in ("np.exp(y1, out=y1)", "y1 += 1", "np.divide(1, y1, out=y1)  # (2)", "z1 += bias1"):
        assert f"    {line}" in source


# No more operations of arrays than by hand


class Counted(np.ndarray[Any, Any]):
    """An array that counts what is done with arrays of its kind."""

    done: ClassVar[list[str]] = []

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        self.done.append(ufunc.__name__)
        plain = [a.view(np.ndarray) if isinstance(a, Counted) else a for a in inputs]
        out = tuple(a.view(np.ndarray) for a in named.pop("out", ()))
        made = getattr(ufunc, method)(*plain, **named, **({"out": out} if out else {}))
        return np.asarray(made).view(Counted)

    def __array_function__(self, function: Any, types: Any, args: Any, named: Any) -> Any:
        self.done.append(function.__name__)
        plain = [a.view(np.ndarray) if isinstance(a, Counted) else a for a in args]
        return np.asarray(function(*plain, **named)).view(Counted)

    def dot(self, other: Any, out: Any = None) -> Any:
        assert out is None
        self.done.append("dot")
        return self.view(np.ndarray).dot(other.view(np.ndarray)).view(Counted)


def count(function: Callable[..., Any], inputs: Sequence[Any]) -> int:
    """Return how many operations of arrays a call does."""
    Counted.done.clear()
    function(*(a.copy().view(Counted) if isinstance(a, np.ndarray) else a for a in inputs))
    return len(Counted.done)


def by_hand(x: Any, target: Any, *rest: Any) -> None:
    """Formulas (4), (13) to (38) for a batch of samples as rows, and the step of section 3."""
    *parameters, rate = rest
    weights, biases = parameters[::2], parameters[1::2]
    ys = [x]
    for weight, bias in zip(weights, biases, strict=True):
        ys.append(1 / (1 + np.exp(-(ys[-1] @ weight.T + bias))))  # (4)
    error = ys[-1] - target
    np.vdot(error, error) / len(x)  # (5), (6)
    d = error * (2 / len(x))
    for k in range(len(weights) - 1, -1, -1):
        d = d * (ys[k + 1] * (1 - ys[k + 1]))  # (13), (36)
        weight_grad, bias_grad = d.T @ ys[k], d.sum(axis=0)  # (37), (38)
        if k:
            d = d @ weights[k]
        weights[k] -= rate * weight_grad
        biases[k] -= rate * bias_grad


@given(st.lists(st.integers(1, 5), min_size=2, max_size=6), st.integers(1, 7))
def test_no_more_operations_than_by_hand(sizes: list[int], batch: int) -> None:
    program = training_step(sizes, batch)
    rng = np.random.default_rng(0)
    inputs = [
        0.5 if shape is None else rng.standard_normal(shape)
        for shape in (program.values[n].shape for n in program.inputs)
    ]
    least = count(by_hand, inputs)
    assert counted(numpy_backend.build(program), inputs) == operations(ready(program)) <= least


def counted(kernel: Callable[..., Any], inputs: Sequence[Any]) -> int:
    """Return how many operations of arrays a call of a kernel does."""
    # Column sums and constants are arrays of the kernel's own, of which it counts all the same.
    scope = inspect.unwrap(kernel).__globals__
    for name, value in scope.items():
        if isinstance(value, np.ndarray):
            scope[name] = value.view(Counted)
    return count(kernel, inputs)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.integers(1, 7))
def test_no_more_operations_than_by_hand_in_a_traced_step(sizes: list[int], batch: int) -> None:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out, dtype=np.float64), nn.Sigmoid()]
    model = nn.Sequential(*layers)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    cost = nn.MSELoss(reduction="sum")  # formula (5) of all samples

    def step(x: Any, target: Any) -> Any:
        optimizer.zero_grad()
        loss = cost(model(x), target) / len(x)  # formula (6)
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    data = rng.random((batch, sizes[0])), rng.random((batch, sizes[-1]))
    program = trace(step, tuple(map(from_numpy, data)), {}, "step")
    arrays = [p.detach().numpy() for p in model.parameters()]
    given = {"x": data[0], "target": data[1], "lr": 0.5, "momentum": 0.0, "weight_decay": 0.0}
    given |= {name: p for (name, _), p in zip(model.named_parameters(), arrays, strict=True)}
    inputs = [given[program.names[n]] for n in program.inputs]
    kernel = numpy_backend.build(program)
    # The loss is looked at once more, whether it is NaN.
    assert counted(kernel, inputs) - 1 <= count(by_hand, [*data, *arrays, 0.5])


# By itself


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(programs())
def test_pasted_source_runs(drawn: tuple[Program, list[Any]]) -> None:
    program, inputs = drawn
    kernel = numpy_backend.build(program)
    scope: dict[str, Any] = {}
    exec(kernel.source, scope)  # noqa: S102  that it can be run is what is tested
    assert all(
        len(line) <= LINE + 12 for line in kernel.source.splitlines() if "np.array" not in line
    )
    made = []
    for function in (kernel, scope[program.name]):
        given = [a.copy() if isinstance(a, np.ndarray) else a for a in inputs]
        with np.errstate(all="ignore"):
            try:
                made.append([*function(*given), *given])
            except Unfit:
                made.append([])
    for a, b in zip(*made, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_traceback_shows_the_line() -> None:
    make = Maker()
    make.result(make.ufunc(np.add, make.input(np.ones(2)), make.input(np.ones(2))))
    kernel = numpy_backend.build(make.program)
    with pytest.raises(ValueError, match="broadcast") as caught:
        kernel(np.ones(2), np.ones(3))
    assert "result = arg0 + arg1" in "".join(traceback.format_exception(caught.value))


def test_quiet_as_the_program_is() -> None:
    program = training_step((1, 1), 1)
    inputs = [np.full(program.values[n].shape or (), -1e4) for n in program.inputs]
    inputs[0] *= -1
    with warnings.catch_warnings(), np.errstate(over="warn"):
        warnings.simplefilter("error")
        numpy_backend.build(program)(*inputs[:-1], 0.0)
        program.quiet = frozenset()
        with pytest.raises(RuntimeWarning, match="overflow"):
            numpy_backend.build(program)(*inputs[:-1], 0.0)


# Line by line


def body(make: Maker) -> list[str]:
    """Return the lines of the function."""
    source: str = numpy_backend.build(make.program).source
    return [line.strip() for line in source.partition("):\n")[2].splitlines()]


def test_operators_bind_as_python_says() -> None:
    make = Maker()
    a, b, c = (make.input(np.full(3, float(k)), name) for k, name in enumerate("abc", 2))
    less = make.ufunc(np.subtract, a, make.ufunc(np.subtract, b, c))
    made = make.ufunc(np.multiply, less, make.ufunc(np.negative, make.ufunc(np.matmul, a, b)))
    make.result(made)
    assert body(make) == ["result = (a - (b - c)) * -(a @ b)", "return result,"]


def test_an_update_waits_for_who_reads_the_old_values() -> None:
    make = Maker()
    w, x = make.input(np.ones(3), "w"), make.input(np.ones(3), "x")
    new = make.ufunc(np.subtract, w, x)
    old = make.ufunc(np.multiply, w, x)
    make.change(w, new)
    make.result(old)
    assert body(make) == ["result = w * x", "w -= x", "return result,"]


def test_an_update_waits_for_what_is_expected() -> None:
    make = Maker()
    w, x = make.input(np.ones(3), "w"), make.input(np.ones(3), "x")
    make.change(w, make.ufunc(np.add, make.ufunc(np.multiply, x, w), x))
    make.expect(make.do("reduce", np.add, make.ufunc(np.exp, x), axis=None), value=True)
    make.result(x)
    kernel = numpy_backend.build(make.program)
    assert body(make)[-3:] == ["w *= x", "w += x", "return x.copy(),"]
    w_array = np.ones(3)
    with pytest.raises(Unfit):
        kernel(w_array, np.full(3, -math.inf))
    assert (w_array == 1).all()


def test_arrays_that_swap_their_values() -> None:
    make = Maker()
    a, b = make.input(np.zeros(2), "a"), make.input(np.ones(2), "b")
    make.change(a, b)
    make.change(b, a)
    make.result(a)
    x, y = np.zeros(2), np.ones(2)
    (old,) = numpy_backend.build(make.program)(x, y)
    assert (x == 1).all()
    assert (y == 0).all()
    assert (old == 0).all()


def test_what_is_asked_of_numbers_comes_first() -> None:
    make = Maker()
    x, lr, momentum = (
        make.input(np.ones(2), "x"),
        make.input(0.1, "lr"),
        make.input(0.0, "momentum"),
    )
    made = make.ufunc(np.multiply, x, lr)
    make.expect(make.number(math.isnan, lr), value=False)
    make.expect(make.number(operator.eq, momentum, make.constant(0)), value=True)
    make.result(made)
    assert body(make)[:2] == ["if math.isnan(lr) or momentum != 0:", "raise Unfit"]


def test_every_kind_of_instruction() -> None:
    make = Maker()
    x, rng = make.input(np.ones((2, 3)), "x"), make.input(np.random.default_rng(0), "rng")
    k = make.input(np.array([0, 1]), "k")
    drawn = make.do("draw", "random", rng, inputs=((2, 3),), named={"dtype": np.dtype(np.float32)})
    kept = make.do("cast", None, make.ufunc(np.less, drawn, x), dtype=np.dtype(np.float64))
    picked = make.do("getitem", None, kept, k, at=(slice(None), Part(1)))
    put = make.do("put", np.add, x, picked, k, at=(slice(None), Part(2)))
    whole = make.do("reduce", np.maximum, put, axis=1, keepdims=True)
    spread = make.do("expand", None, whole, shape=(2, 4))
    number = make.do("item", None, make.do("reduce", np.add, k, axis=0, keepdims=False))
    full = make.do("fill", None, number, shape=(2,), dtype=np.dtype(np.float32))
    several = make.do(
        "function", np.concatenate, spread, whole, inputs=((Part(0), Part(1)),), named={"axis": -1}
    )
    make.result(several, full)
    assert body(make) == [
        "drawn = rng.random((2, 3), dtype=np.float32)",
        "t1 = (drawn < x).astype(np.float64)[:, k]",
        "t2 = x.copy()",
        "np.add.at(t2, (slice(None, None, None), k), t1)",
        "t3 = t2.max(axis=1, keepdims=True)",
        "result_2 = np.full((2,), k.sum().item(), np.float32)",
        "result = np.concatenate((np.broadcast_to(t3, (2, 4)), t3), axis=-1)",
        "return result, result_2",
    ]


def test_constants_are_made_once() -> None:
    make = Maker()
    x = make.input(np.ones(3, np.float32), "x")
    given = (np.arange(3), np.array([0.1, math.inf, -0.0], np.float32), np.zeros((2, 3)))
    numbers = [make.constant(a) for a in given]
    made = x
    for n in numbers:
        made = make.ufunc(np.add, made, n)
    make.result(made)
    source = numpy_backend.build(make.program).source
    assert "constant = np.array([0.1, np.inf, -0.0], np.float32)\n" in source
    assert "rows = np.arange(3)\n" in source
    assert "zeros = np.zeros((2, 3))\n" in source


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("0.weight", "weight_0"),
        ("encoder.0.bias", "encoder_0_bias"),
        ("lambda", "lambda_"),
        ("3", "value_3"),
        ("größe-x", "größe_x"),
    ],
)
def test_names(name: str, variable: str) -> None:
    assert identifier(name) == variable


def test_names_are_taken_once() -> None:
    make = Maker()
    numbers = [make.input(np.ones(2), name) for name in ("w", "w", "np", "w_2")]
    make.result(make.ufunc(np.add, numbers[0], numbers[3]))
    assert "def step(w, w_2, np_2, w_2_2):" in numpy_backend.build(make.program).source


def test_an_update_by_what_another_one_gave() -> None:
    make = Maker()
    v, w, x = (make.input(np.ones(3), name) for name in "vwx")
    new = make.ufunc(np.subtract, w, x)
    make.change(w, new)
    make.change(v, make.ufunc(np.add, make.ufunc(np.multiply, v, x), make.ufunc(np.exp, new)))
    make.result(x)
    assert body(make) == ["w -= x", "v *= x", "v += np.exp(w)", "return x.copy(),"]


def test_a_view_of_what_was_changed_in_place_is_copied() -> None:
    make = Maker()
    w, x = make.input(np.ones((2, 3)), "w"), make.input(np.ones((2, 3)), "x")
    new = make.ufunc(np.subtract, w, x)
    make.change(w, new)
    make.result(make.do("transpose", None, new, axes=None), new)
    array = np.ones((2, 3))
    made = numpy_backend.build(make.program)(array, np.ones((2, 3)))
    assert not any(np.shares_memory(a, b) for a, b in combinations((array, *made), 2))
