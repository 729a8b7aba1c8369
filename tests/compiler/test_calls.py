"""Calls of compiled functions: signatures, arguments, results, methods, copies, threads."""

import copy
import pickle
import subprocess
import sys
from functools import partial
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.compiler import CompileError
from tinygrad_fc.nn import functional as F

from .networks import batch, seeds
from .twins import BACKENDS, called, near, same, share

X, Y = batch()


def agree(function: Any, *args: Any) -> Any:
    """Compare calls of a function and of the compiled one, and return the latter."""
    compiled = tg.compile(function, backend="numpy")
    for _ in range(3):
        same("result", *called(partial(function, *args), partial(compiled, *args)))
    assert len(compiled.sources) == 1
    return compiled


# Signatures


@share(5)
@given(shapes=st.lists(st.sampled_from([(), (0,), (3,), (2, 3), (1, 3)]), min_size=3, max_size=6))
def test_a_program_for_each_signature(shapes: list[tuple[int, ...]]):
    compiled = tg.compile(lambda x: (x * 2).exp().sum(), backend="numpy")
    for dtype in ("float64", "float32"):
        for shape in shapes:
            x = tg.tensor(np.full(shape, 0.5, dtype))
            same("result", compiled(x), (x * 2).exp().sum())
    assert len(compiled.sources) == 2 * len(set(shapes))


@pytest.mark.filterwarnings("ignore:.* is traced for the 9th time")
def test_python_values_are_part_of_the_signature():
    def scaled(x: Any, by: Any, *, negative: bool = False) -> Any:
        return -x * by if negative else x * by

    compiled = tg.compile(scaled, backend="numpy")
    x = tg.tensor([1, 2])
    for by in (1, 1.0, True, 2, 0.0, -0.0, 1):
        same("result", compiled(x, by), scaled(x, by))
        same("result", compiled(x, by, negative=True), scaled(x, by, negative=True))
    assert len(compiled.sources) == 12


def test_no_grad_is_part_of_the_signature():
    v = tg.tensor([1.0], requires_grad=True)
    compiled = tg.compile(lambda x: x * v, backend="numpy")
    for enabled in (True, False, True):
        with tg.set_grad_enabled(enabled):
            same("result", compiled(X), X * v.detach())
    assert len(compiled.sources) == 2


def test_the_default_dtype_is_part_of_the_signature():
    compiled = tg.compile(lambda: tg.tensor([1.5]), backend="numpy")
    assert compiled().dtype == np.float64
    tg.set_default_dtype(tg.float32)
    assert compiled().dtype == np.float32


def test_one_argument_twice_is_another_signature():
    compiled = tg.compile(lambda x, y: x * (2 if x is y else 3), backend="numpy")
    a, b = tg.ones(2), tg.ones(2)
    for args in ((a, b), (a, a), (b, a), (b, b)):
        assert compiled(*args).tolist() == [2.0 if args[0] is args[1] else 3.0] * 2


@share(5)
@given(orders=st.lists(st.permutations("abc"), min_size=2, max_size=3))
def test_arguments_by_name_in_any_order(orders: list[list[str]]):
    values = {key: tg.tensor([float(k), 1.0]) for k, key in enumerate("abc")}

    def function(a: Any = None, b: Any = None, more: Any = None, **named: Any) -> Any:
        all_of = {**(more or {"a": a, "b": b}), **named}
        return all_of["a"] - 2 * all_of["b"] + 4 * all_of["c"], list(named), list(more or ())

    compiled = tg.compile(function, backend="numpy")
    for order in orders:
        named = {key: values[key] for key in order}
        same("by name", compiled(**named), function(**named))
        same("in a dict", compiled(more=named), function(more=named))


# Arguments and results


def test_trees():
    def nested(tree: Any, *more: Any, **named: Any) -> Any:
        results = {"sum": tree["a"] + more[0][0], "same": (tree["a"], named["z"])}
        return {**results, "n": 3, "none": None}

    compiled = tg.compile(nested, backend="numpy")
    for _ in range(2):
        result = compiled({"a": X}, [X, Y], z=Y)
        assert result["same"][0] is X
        assert result["same"][1] is Y
        same("tree", result, nested({"a": X}, [X, Y], z=Y))
    assert len(compiled.sources) == 1


def test_arrays_in_and_out():
    compiled = agree(lambda x, y: x * 2 + np.exp(y).mean(axis=0), X.numpy(), X.numpy())
    assert type(compiled(X.numpy(), X.numpy())) is np.ndarray
    agree(lambda x: tg.from_numpy(x) * 2, X.numpy())


ALIKE: dict[str, Any] = {
    "clone": lambda x: x.clone(),
    "detach": lambda x: x.detach(),
    "transposed twice": lambda x: x.T.T,
    "reshape": lambda x: x.reshape(x.shape),
    "copied": lambda x: tg.zeros_like(x).copy_(x),
    "deep copy": copy.deepcopy,
    "times one": lambda x: x * 1,
    "minus zero": lambda x: x - 0.0,
}
"""Functions whose result is equal to their argument."""


@share(30)
@given(
    st.lists(st.sampled_from(sorted(ALIKE)), min_size=1, max_size=3),
    st.sampled_from([(), (2, 3)]),
    st.booleans(),
)
def test_results_own_their_memory(names: list[str], shape: Any, captured: bool):
    w = tg.rand(*shape)
    before = w.clone()

    def function(x: Any) -> Any:
        return [ALIKE[name](w if captured else x) for name in names]

    compiled = tg.compile(function, backend="numpy")
    for _ in range(2):
        results = compiled(w.clone() if captured else w)
        for k, result in enumerate(results):
            result.fill_(k)
        same("w", w, before)
        assert [result.numpy().flat[-1] for result in results] == list(range(len(names)))
        arrays = [result.numpy() for result in (*results, w)]
        assert not any(np.shares_memory(a, b) for a, b in combinations(arrays, 2))


def test_a_gradient_penalty_through_einsum():
    """The gradient of a sum is broadcast, where einsum adds in another order."""

    def penalty(x: Any) -> Any:
        x = x.detach().requires_grad_()
        h = tg.tanh(x)
        total = tg.einsum("bi,bj->bij", h, h).sum()
        (gradient,) = tg.autograd.grad(total, [x], create_graph=True)
        return tg.autograd.grad((gradient * gradient).sum(), [x])

    for n in (9, 17):
        agree(penalty, tg.rand(n, 18))


MASK, LISTS = np.ones(2), {"lists": [[1.0]]}


def test_arrays_and_sets_that_a_function_creates_are_others_in_every_call():
    def create(x: Any) -> Any:
        return x * 2, np.zeros(2), [{1, 2}], {"bytes": bytearray(b"ab")}, (MASK, LISTS)

    compiled = tg.compile(create, backend="numpy")
    for _ in range(5):
        _, array, (numbers,), data, (mask, lists) = compiled(X)
        assert (array.tolist(), numbers, data) == ([0.0, 0.0], {1, 2}, {"bytes": b"ab"})
        assert (mask is MASK, lists is LISTS) == (True, True), "from outside"
        array += 1
        numbers.add(3)
        data["bytes"] += b"c"


@pytest.mark.parametrize("backend", BACKENDS)
def test_read_only_memory_is_not_changed(backend: str):
    total, given = tg.zeros(3), np.zeros(3)
    given.flags.writeable = False
    step = tg.compile(lambda x: total.add_(x) * 1, backend=backend, check=False)
    step(tg.ones(3))
    total.data = tg.from_numpy(given)
    with pytest.raises(tg.errors.ShapeError, match="read-only"):
        step(tg.ones(3))
    assert not given.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_programs_without_instructions(backend: str):
    compiled = tg.compile(lambda x: (x, 3), backend=backend)
    for _ in range(3):
        x, three = compiled(X)
        assert x is X
        assert three == 3


SCRIPT = """
def scaled(x):
    return x * factor
def absolute(x):
    return x if x.sum() > 0 else -x
"""


def test_a_script_beside_the_package_is_the_user_s():
    """Folders are compared, not the beginnings of paths."""
    space: dict[str, Any] = {}
    exec(compile(SCRIPT, f"{Path(tg.__file__).parent}_train.py", "exec"), space)  # noqa: S102
    compiled = tg.compile(space["scaled"], backend="numpy", check=False)
    for factor in (2.0, 3.0):
        space["factor"] = factor
        same("result", compiled(X), X * factor)
    with pytest.raises(CompileError, match=r"_train\.py:5: "):
        tg.compile(space["absolute"], backend="numpy")(X)


def test_gradients_of_arguments():
    def cubes(x: Any) -> None:
        (x**3).sum().backward()

    compiled = tg.compile(cubes, backend="numpy")
    x, y = (tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    for _ in range(3):
        compiled(x)
        cubes(y)
        same("grad", x.grad, y.grad)


@share(5)
@given(seed=seeds, order=st.integers(1, 3))
def test_derivatives_of_every_order(seed: int, order: int):
    x = tg.tensor(np.random.default_rng(seed).standard_normal(4))

    def derivative(x: Any) -> Any:
        x = x.detach().requires_grad_()
        y = (x.sin() * x.exp()).sum() + (x**3).prod()
        gradients = []
        for _ in range(order):
            (g,) = tg.autograd.grad(y, x, create_graph=True)
            gradients.append(g.detach())
            y = (g * g).sum()
        return gradients

    agree(derivative, x)


def test_a_call_whose_guard_fails_draws_once():
    def noisy(x: Any, target: Any) -> Any:
        return F.cross_entropy(F.dropout(x, 0.5), target)

    compiled = tg.compile(noisy, backend="numpy")
    for target in (tg.tensor([0, 1, 2, 3, 0, 1]), tg.tensor([0, 1, -100, 3, 0, 1])):
        near("loss", *called(partial(noisy, X, target), partial(compiled, X, target)))
    assert len(compiled.sources) == 2


def test_another_generator_may_take_the_place_of_one():
    holder = SimpleNamespace(generator=tg.Generator().manual_seed(1))
    noisy = tg.compile(lambda x: x + tg.rand(6, 4, generator=holder.generator), backend="numpy")
    noisy(X)
    for seed in (2, 3):
        holder.generator = tg.Generator().manual_seed(seed)
        own = tg.Generator().manual_seed(seed)
        for _ in range(2):
            same("draw", noisy(X), X + tg.rand(6, 4, generator=own))


def test_named_tuples():
    agree(lambda x: (x.max(dim=1), {"sorted": [x.sort(dim=0)]}), X)


# What is compiled


def test_a_layer_that_is_created_inside_is_drawn_in_every_call():
    agree(lambda x: nn.Linear(4, 2)(x).detach(), X)


def double(x: Any) -> Any:
    return x * 2


def test_copies_start_without_programs():
    compiled = agree(double, X)
    for twin in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert not twin.sources
        same("result", twin(X), compiled(X))


def test_detect_anomaly_watches_each_operation():
    compiled = tg.compile(lambda x: x.log(), backend="numpy")
    compiled(tg.ones(2))
    with tg.autograd.detect_anomaly(), pytest.raises(tg.errors.AnomalyError, match="log"):
        compiled(tg.zeros(2))


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match=r"'c'.*numpy, numba, auto|numpy, numba, auto.*'c'"):
        tg.compile(double, backend="c")


def test_an_import_of_the_package_leaves_the_compiler_out():
    code = (
        "import sys, tinygrad_fc; sys.exit(any('tinygrad_fc.compiler' in m for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_warnings_of_numpy_are_not_given():
    compiled = tg.compile(lambda x: (x / 0, x.exp(), (-x).exp()), backend="numpy")
    with np.errstate(all="raise"):
        for _ in range(3):
            compiled(tg.tensor([-1000.0, 0.0, 1000.0]))


# Results in recorded computations


@pytest.mark.parametrize("form", [lambda y: y, lambda y: y.reshape(5, 4) * 2])
def test_a_compiled_backbone_below_a_plain_head_raises(form: Any):
    """Its parameters would get no gradient; one that is frozen, or a target network, needs none."""
    backbone, head, x = nn.Linear(3, 4), nn.Linear(4, 1), tg.ones(5, 3)
    compiled = tg.compile(lambda x: backbone(x) * 1.0, backend="numpy")
    for _ in range(4):  # calls 2 and 4 check
        with pytest.raises(tg.errors.GraphError, match="a compiled function, through which no"):
            head(form(compiled(x)))
        form(compiled(x)).mean().item()
        head(form(compiled(x).detach())).sum().backward()
        with tg.no_grad():
            target = compiled(x)
            head(form(compiled(x)))
        head(form(target)).sum().backward()
    backbone.requires_grad_(requires_grad=False)
    for _ in range(2):
        head(form(compiled(x))).sum().backward()
