"""Functions of the library that read values, or change state: they are compiled, or named."""

import math
from collections import OrderedDict
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import CompileError
from tinygrad_fc.distributions import Categorical, Uniform
from tinygrad_fc.domain import real
from tinygrad_fc.nn import functional as F
from tinygrad_fc.nn.utils import parametrizations

from .networks import batch, training_of
from .twins import BACKENDS, Training, Twins, called, same

FUNCTIONS: dict[str, Any] = {
    "vmap": lambda x: tg.func.vmap(lambda row: (row * row).sum())(x * 2),
    "Uniform of tensors": lambda x: Uniform(x, x + 1).rsample((4,)),
    "Uniform of numbers": lambda x: Uniform(0.0, 2.0).log_prob(x) + Uniform(0.0, 2.0).sample(),
    "Categorical": lambda x: Categorical(logits=x).sample((2,)),
    "multinomial": lambda x: tg.multinomial(x, 2),
    "multinomial, replaced": lambda x: tg.multinomial(x, 5, replacement=True),
    "quantile": lambda x: tg.quantile(x, 0.3, dim=1),
    "quantiles": lambda x: tg.quantile(x, tg.tensor([0.25, 0.5]), interpolation="nearest"),
    "mse_loss of numbers": lambda x: F.mse_loss(x.sum(), x.mean()),
    "an ordered dict": lambda x: OrderedDict(b=x * 2, a=OrderedDict(c=x + 1)),
    "constants": lambda x: x * tg.tensor(3.0).item() if tg.tensor(1.0) > 0 else x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_the_library_are_compiled(name: str):
    function = FUNCTIONS[name]
    compiled = tg.compile(function, backend="numpy")
    for _ in range(6):
        x = tg.rand(4, 3) + 0.1
        actual, expected = called(partial(function, x), partial(compiled, x))
        assert type(actual) is type(expected)
        same(name, actual, expected)


PARAMETRIZED: dict[str, Any] = {
    "spectral_norm": parametrizations.spectral_norm,
    "matrix_exp": parametrizations.orthogonal,
    "cayley": lambda layer: parametrizations.orthogonal(layer, orthogonal_map="cayley"),
    "householder": lambda layer: parametrizations.orthogonal(layer, orthogonal_map="householder"),
}


@pytest.mark.parametrize("name", PARAMETRIZED)
def test_parametrized_layers_are_trained(name: str):
    def create() -> Training:
        return training_of(nn.Sequential(PARAMETRIZED[name](nn.Linear(4, 4)), nn.Linear(4, 3)))

    twins = Twins(create, backend="auto")
    for k in range(12):
        twins.step(*batch(k))


def test_spectral_norm_is_used_twice_before_a_backward_pass():
    layer = parametrizations.spectral_norm(nn.Linear(3, 2))
    (layer(tg.ones(1, 3)).sum() - layer(tg.zeros(1, 3)).sum()).backward()
    assert all(p.grad is not None for p in layer.parameters())


def line_search(x: Any) -> Any:
    def closure() -> Any:
        lbfgs.zero_grad()
        loss = w.square().sum() * x.sum()
        loss.backward()
        return loss

    return lbfgs.step(closure)


w = tg.ones(2, requires_grad=True)
lbfgs = optim.LBFGS([w])
NAMED: dict[str, Any] = {
    "LBFGS chooses its steps by the values of the loss": line_search,
    "orthogonal_ of this package reads the value": lambda x: nn.init.orthogonal_(x * 1.0),
}


@pytest.mark.parametrize("cause", NAMED)
def test_what_is_refused_names_the_function_of_the_library(cause: str):
    compiled = tg.compile(NAMED[cause], backend="numpy")
    with pytest.raises(CompileError, match=rf"test_library.py:\d+: {cause}"):
        compiled(tg.rand(2, 2))


@pytest.mark.parametrize("backend", ["numpy", None])
def test_an_index_out_of_range_raises_as_it_does_without_compile(backend: Any):
    table = tg.rand(3, 2)
    compiled = tg.compile(lambda at: table[at] * 2, backend=backend, check=False)
    for _ in range(3):
        compiled(tg.tensor([2, 0]))
    for at in ([3], [-4, 0]):
        with pytest.raises(tg.errors.RangeError, match="out of bounds for axis 0 with size 3"):
            compiled(tg.tensor(at))


HELD: list[Any] = []
DEEP: dict[str, Any] = {"a": [HELD]}


def test_after_a_refusal_nothing_of_the_traced_run_is_in_lists():
    def collect(x: Any, items: Any) -> Any:
        HELD.append(x * 2)
        DEEP["a"].append(x * 3)
        DEEP["b"] = x
        items.append(x)
        return float(x.sum())

    items: list[Any] = []
    with pytest.raises(CompileError):
        tg.compile(collect, backend="numpy")(tg.ones(2), items)
    assert (HELD, DEEP, items) == ([], {"a": [HELD]}, [])


@pytest.mark.parametrize("backend", BACKENDS)
def test_factors_that_are_tensors_are_read_in_each_call(backend: str):
    def step(p: Any, steps: Any, factor: Any, x: Any) -> Any:
        steps.add_(1)
        p.addcdiv_(x, x + 1, value=-0.1 / (1 - 0.9**steps)).addcmul_(x, x, value=factor)
        return p.add(x, alpha=factor)

    states = [(tg.ones(2), tg.tensor(0.0)) for _ in range(2)]
    compiled = tg.compile(step, backend=backend)
    for k in range(5):
        factor, x = tg.tensor(k / 2), tg.rand(2)
        result, expected = (f(*s, factor, x) for f, s in zip((compiled, step), states, strict=True))
        tg.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


def test_an_op_that_reads_numbers_is_named():
    scalar_erf = tg.op(np.vectorize(math.erf), name="scalar_erf", domain=(real,))
    with pytest.raises(CompileError, match="the op scalar_erf reads the value"):
        tg.compile(scalar_erf, backend="numpy")(tg.ones(3))
