"""Calls of compiled functions: arguments, results, derivatives, random numbers, epochs, threads."""

from __future__ import annotations

import copy
import pickle
import pydoc
import subprocess
import sys
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.threads import at_once
from test_compile import batch, perceptron, seeds
from twins import Training, Twins, same, step

import tinygrad_fc as tg
from tinygrad_fc import func, nn
from tinygrad_fc.compiler import CompileError
from tinygrad_fc.compiler.tree import flatten
from tinygrad_fc.nn import functional as F
from tinygrad_fc.random import default_generator

few = settings(max_examples=max(5, settings.default.max_examples // 10))


def agree(function: Any, *args: Any, calls: int = 3) -> Any:
    """Call a function and what is compiled of it, and compare; return the latter."""
    compiled = tg.compile(function, backend="numpy")
    for _ in range(calls):
        before = default_generator.get_state()
        expected = function(*args)
        after = default_generator.get_state()
        default_generator.set_state(before)
        same("result", compiled(*args), expected)
        same("random numbers", default_generator.get_state(), after)
    assert len(compiled.programs) == 1
    return compiled


X, Y = batch()


@few
@given(seed=seeds, order=st.integers(1, 3))
def test_derivatives_of_every_order(seed: int, order: int):
    x = tg.tensor(np.random.default_rng(seed).standard_normal(4))

    def derivative(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = (x.sin() * x.exp()).sum() + (x**3).prod()
        found = []
        for _ in range(order):
            (g,) = tg.autograd.grad(y, x, create_graph=True)
            found.append(g.detach())
            y = (g * g).sum()
        return found

    agree(derivative, x)


def test_functions_of_functions():
    def loss(v: Any, x: Any) -> Any:
        return ((x @ v).tanh() ** 2).sum()

    v = tg.tensor([0.1, 0.2, 0.3, 0.4])
    agree(func.grad(loss), v, X)
    agree(func.hessian(loss), v, X)
    agree(func.jacrev(lambda v: (X @ v).sigmoid()), v)


def test_random_numbers_are_drawn_anew():
    def noisy(x: Any) -> Any:
        return (
            x + tg.randn(6, 4) * 0.1,
            tg.rand_like(x),
            tg.randint(5, (3,)),
            tg.randperm(6),
            tg.bernoulli(x),
            F.dropout(x, 0.5),
            nn.init.uniform_(tg.empty(3), -1.0, 2.0),
        )

    compiled = agree(noisy, X)
    assert not np.array_equal(compiled(X)[0].numpy(), compiled(X)[0].numpy())
    own = tg.Generator()
    drawn = tg.compile(lambda: tg.rand(3, generator=own), backend="numpy")
    same(
        "draws",
        [drawn(), drawn()],
        [tg.rand(3, generator=g) for g in [tg.Generator()] for _ in "12"],
    )


def test_arrays_in_and_out():
    compiled = agree(lambda x, y: x * 2 + np.exp(y).mean(axis=0), X.numpy(), X.numpy())
    assert type(compiled(X.numpy(), X.numpy())) is np.ndarray


def test_arrays_from_outside_are_read_at_every_call():
    outside = np.ones(4)
    compiled = agree(lambda x: x + outside, X)
    outside[1] = 5
    same("result", compiled(X), X + outside)


NUMBERS: dict[str, Any] = {
    "a sum": lambda x: x.sum(),
    "an element": lambda x: x[0, 1],
    "of several": lambda x: (np.exp(x[0, 0]), {"n": x.max() - 1}),
    "cast": lambda x: x.sum().astype(np.float32).copy(),
    "no number": lambda x: x[0, 1, ...],
    "of no axis": lambda x: np.squeeze(x[:1, :1]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_numpys_stay_numbers(name: str):
    compiled = agree(NUMBERS[name], X.numpy())
    for found, expected in zip(
        flatten(compiled(X.numpy()))[0], flatten(NUMBERS[name](X.numpy()))[0], strict=True
    ):
        assert type(found) is type(expected)


CHANGING: dict[str, tuple[Any, Any]] = {
    "a list": (lambda a, x: a.append(x * 2), lambda x: [x]),
    "a dict": (lambda a, x: a.update(y=x * 2), lambda x: {"x": x}),
    "an element": (lambda a, x: a.__setitem__(0, a[0] * 2), lambda x: [x, x]),
    "nested": (lambda a, x: a[0]["k"].pop(), lambda x: ({"k": [x, 1]},)),
}


@pytest.mark.parametrize("name", CHANGING)
def test_arguments_that_get_other_contents_are_refused(name: str):
    function, made = CHANGING[name]
    argument = made(X)
    with pytest.raises(CompileError, match="that is an argument gets other contents") as caught:
        tg.compile(function, backend="numpy")(argument, X)
    assert str(caught.value).startswith(f"{__file__}:")
    same("nothing is changed", argument, made(X))


@few
@given(orders=st.lists(st.permutations("abc"), min_size=2, max_size=3))
def test_arguments_by_name_in_any_order(orders: list[list[str]]):
    values = {key: tg.tensor([float(k), 1.0]) for k, key in enumerate("abc")}

    def function(a: Any = None, b: Any = None, more: Any = None, **named: Any) -> Any:
        found = {**(more or {"a": a, "b": b}), **named}
        return found["a"] - 2 * found["b"] + 4 * found["c"], list(named), list(more or ())

    compiled = tg.compile(function, backend="numpy")
    for order in orders:
        given = {key: values[key] for key in order}
        same("by name", compiled(**given), function(**given))
        same("in a dict", compiled(more=given), function(more=given))


def test_trees():
    def nested(tree: Any, *more: Any, **named: Any) -> Any:
        return {
            "sum": tree["a"] + more[0][0],
            "same": (tree["a"], named["z"]),
            "n": 3,
            "none": None,
        }

    compiled = tg.compile(nested, backend="numpy")
    for _ in range(2):
        found = compiled({"a": X}, [X, Y], z=Y)
        assert found["same"][0] is X
        assert found["same"][1] is Y
        assert (found["n"], found["none"]) == (3, None)
        same("sum", found["sum"], X + X)
    assert len(compiled.programs) == 1


def test_what_is_returned_is_nobody_elses():
    v = tg.tensor([1.0, 2.0])
    compiled = tg.compile(lambda x: (x * 2, v.detach(), x.reshape(-1)), backend="numpy")
    x = tg.tensor([[1.0, 2.0]])
    first = compiled(x)
    second = compiled(x)
    second[0].mul_(3)
    second[1].mul_(3)
    second[2].mul_(3)
    same("first", first[0], x * 2)
    same("x", x, tg.tensor([[1.0, 2.0]]))


def test_gradients_of_arguments():
    def cubes(x: Any) -> None:
        (x**3).sum().backward()

    compiled = tg.compile(cubes, backend="numpy")
    x, y = (tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    for _ in range(3):
        compiled(x)
        cubes(y)
        same("grad", x.grad, y.grad)


def test_a_gradient_that_somebody_holds_is_left_alone():
    twins = Twins(perceptron)
    twins.step(X, Y)
    held = [p.grad for p in twins.pair[1].model.parameters()]
    before = [g.numpy().copy() for g in held]
    twins.step(X, Y)
    same("held", [g.numpy() for g in held], before)


def test_changes_in_place():
    def changed(x: Any, v: Any) -> Any:
        x.add_(1)
        x[0] = 5.0
        x[1:, 0] *= 2.0
        x.T[1].sub_(v)
        v[...] = x.sum(dim=1)
        return x * 2

    compiled = tg.compile(changed, backend="numpy")
    (x, v), (a, b) = ((tg.ones(3, 3), tg.ones(3)) for _ in range(2))
    for _ in range(3):
        same("result", compiled(x, v), changed(a, b))
        same("changed", [x, v], [a, b])


def test_a_change_is_noted_for_graphs_outside():
    v = tg.tensor([1.0, 2.0], requires_grad=True)
    compiled = tg.compile(lambda: v.data.mul_(2), backend="numpy")
    loss = (v * v).sum()
    compiled()
    with pytest.raises(tg.errors.GraphError, match="changed in place"):
        loss.backward()


def test_clipped_gradients():
    def clipped(t: Training, x: Any, y: Any) -> Any:
        t.optimizer.zero_grad()
        loss = t.loss(t.model(x), y)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(t.model.parameters(), 0.1)
        nn.utils.clip_grad_value_(t.model.parameters(), 0.05)
        t.optimizer.step()
        return norm

    twins = Twins(perceptron, clipped)
    for k in range(3):
        twins.step(*batch(k))


def test_no_grad_is_part_of_the_signature():
    v = tg.tensor([1.0], requires_grad=True)
    compiled = tg.compile(lambda x: x * v, backend="numpy")
    assert compiled(X).requires_grad
    with tg.no_grad():
        assert not compiled(X).requires_grad
    assert compiled(X).requires_grad
    assert len(compiled.programs) == 2


def test_nested():
    inner = tg.compile(lambda x: x * 2, backend="numpy")
    agree(lambda x: inner(x) + 1, X)


class Trainer:
    """A step that is a method."""

    def __init__(self) -> None:
        self.training = perceptron()
        self.factor = 2.0

    @tg.compile(backend="numpy")
    def step(self, x: Any, y: Any) -> Any:
        """One step."""
        return step(self.training, x, y) * self.factor


def test_methods_and_their_attributes():
    one, other = Trainer(), Trainer()
    assert Trainer.step.__doc__ == "One step."
    for factor in (2.0, 2.0, 0.5):
        for trainer in (one, other):
            trainer.factor = factor
            expected = step(perceptron_like(trainer.training), X, Y) * factor
            same("loss", trainer.step(X, Y), expected)


def perceptron_like(t: Training) -> Training:
    twin = perceptron()
    twin.model.load_state_dict(t.model.state_dict())
    return twin


def test_copies_are_traced_anew():
    compiled = agree(step_of_numbers, X)
    for twin in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert not twin.programs
        same("result", twin(X), compiled(X))


def step_of_numbers(x: Any) -> Any:
    return x * 2


def test_modules():
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout())
    compiled = tg.compile(model, backend="numpy")
    model.eval()
    with tg.no_grad():
        same("result", compiled(X), model(X))
    assert list(compiled.parameters()) == list(model.parameters())


def test_under_detect_anomaly_every_operation_is_watched():
    compiled = tg.compile(lambda x: x.log(), backend="numpy")
    compiled(tg.ones(2))
    with tg.autograd.detect_anomaly(), pytest.raises(tg.errors.AnomalyError, match="log made"):
        compiled(tg.zeros(2))


def test_threads():
    t = perceptron()
    compiled = tg.compile(step, backend="numpy")

    def work() -> None:
        compiled(t, X, Y)
        (X * 2).sum()

    assert not at_once(work, 20)
    assert len(compiled.programs) == 1


def test_an_import_of_the_package_leaves_the_compiler_out():
    code = (
        "import sys, tinygrad_fc; sys.exit(any('tinygrad_fc.compiler' in m for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
    assert {"compile", "compiler", "func", "load", "save", "testing", "utils"} <= set(dir(tg))


def test_help_calls_it_by_its_name():
    assert tg.compile.__name__ == tg.compile.__qualname__ == "compile"
    assert pydoc.render_doc(tg.compile, renderer=pydoc.plaintext).startswith(
        "Python Library Documentation: function compile in module"
    )
    assert pickle.loads(pickle.dumps(tg.compile)) is tg.compile


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_an_index_that_is_not_there_is_the_errors_of_the_library(backend: str):
    kept = tg.zeros(4)

    @tg.compile(backend=backend)
    def picked(x: Any, at: Any) -> Any:
        kept.copy_(x)
        return x[at]

    x = tg.tensor([1.0, 2.0, 3.0, 4.0])
    for _ in range(3):
        same("result", picked(x, tg.tensor([1, -1])), tg.tensor([2.0, 4.0]))
    with pytest.raises(tg.errors.RangeError, match=r"picked, compiled: .*picked.__wrapped__"):
        picked(x, tg.tensor([1, 4]))
    with pytest.raises(tg.errors.RangeError, match="indexing cannot take"):
        picked.__wrapped__(x, tg.tensor([1, 4]))


def test_what_is_compiled_says_who_runs_it():
    for backend in ("numpy", "auto"):
        double = tg.compile(lambda x: x * 2, backend=backend)
        assert repr(double) == f"<compiled <lambda>, {backend}>"
        for _ in range(20):
            double(tg.ones(3))
        assert repr(double) in {f"<compiled <lambda>, {each}>" for each in ("numpy", "numba")}


@pytest.mark.parametrize("traced_under", ["ignore", "raise"])
@given(x=st.floats(-1000, 1000))
def test_as_quiet_as_eager_where_numbers_get_too_small(traced_under: Any, x: float):
    def heard(function: Any) -> bool:
        try:
            with np.errstate(under="raise"):
                function(tg.tensor([x, 1.0]))
        except FloatingPointError:
            return True
        return False

    for function in (tg.sigmoid, F.silu, F.softplus, tg.tanh, F.logsigmoid, tg.exp):
        compiled = tg.compile(lambda x, function=function: function(x), backend="numpy")
        with np.errstate(under=traced_under):
            compiled(tg.zeros(2))
        assert heard(function) or not heard(compiled)


@pytest.mark.parametrize(
    "function",
    [
        np.positive,
        lambda x: x * 1,
        lambda x: (x * 1).T.T,
        lambda x: ((x - 0.0).reshape(-1).reshape(x.shape), x / 1),
        lambda x: (x.detach(), x.T.T, +x),
    ],
)
@pytest.mark.parametrize("shape", [(), (3,), (1, 1), (2, 3)])
def test_results_share_memory_where_they_do_without_compiling(function: Any, shape: Any):
    def shared(function: Any) -> list[bool]:
        x = tg.zeros(shape)
        results = [x, *flatten(function(x))[0]]
        return [np.shares_memory(a.numpy(), b.numpy()) for a, b in combinations(results, 2)]

    compiled = tg.compile(function, backend="numpy")
    for _ in range(2):
        pairs = zip(shared(compiled), shared(function), strict=True)
        assert all(made <= expected for made, expected in pairs)
