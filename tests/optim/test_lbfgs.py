"""L-BFGS: known minima, the number of calls of the closure, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import seeds
from hypothesis import given
from hypothesis import strategies as st
from optimizers import few, one_of, parameter

import tinygrad_fc as tg
from tinygrad_fc import optim

w = parameter(2)


def quadratic(seed: int, size: int) -> tuple[Any, Any, Any]:
    """Return a positive definite matrix, a vector, and the minimum of their quadratic form."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((size, size))
    matrix, vector = root @ root.T + np.eye(size), rng.standard_normal(size)
    return matrix, vector, np.linalg.solve(matrix, vector)


@few
@given(seeds, st.integers(1, 6), one_of(1, 2, 100), st.booleans())
def test_lbfgs_finds_the_optimum_of_a_quadratic(seed: int, size: int, history: int, maximize: bool):
    matrix, vector, minimum = quadratic(seed, size)
    x = parameter(size, seed=seed)
    optimizer = optim.LBFGS(
        [x],
        max_iter=500,
        max_eval=2000,
        tolerance_change=0,
        history_size=history,
        line_search_fn="strong_wolfe",
        maximize=maximize,
    )
    losses = []

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = 0.5 * (x @ tg.tensor(matrix) @ x) - tg.tensor(vector) @ x
        loss = -loss if maximize else loss
        loss.backward()
        losses.append(loss.item())
        return loss

    with tg.no_grad():  # the closure is called with grad enabled
        first = optimizer.step(closure)
    assert first.item() == losses[0]
    assert optimizer.state[x]["func_evals"] == len(losses)
    np.testing.assert_allclose(x.numpy(), minimum, rtol=1e-4, atol=1e-6)


def rosenbrock(p: tg.Tensor) -> tg.Tensor:
    return 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2


def test_step_ends_after_max_eval_calls():
    p = tg.tensor([-1.2, 1.0], requires_grad=True)
    calls = []
    optimizer = optim.LBFGS([p], max_iter=50, max_eval=7, line_search_fn="strong_wolfe")

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = rosenbrock(p)
        loss.backward()
        calls.append(p.tolist())
        return loss

    optimizer.step(closure)
    # A line search may exceed the limit by one or two calls.
    assert 7 <= len(calls) <= 9
    assert optimizer.state[p]["func_evals"] == len(calls)
    assert optimizer.defaults["max_eval"] == 7
    assert optim.LBFGS([p], max_iter=8).defaults["max_eval"] == 10


def test_step_at_a_minimum_and_with_an_unused_parameter():
    used, unused = parameter(2), parameter(3)
    before = unused.tolist()
    optimizer = optim.LBFGS([used, unused])

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = (used * used).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    np.testing.assert_allclose(used.numpy(), 0, atol=1e-7)
    assert unused.tolist() == before
    count = optimizer.state[used]["n_iter"]
    optimizer.step(closure)
    assert optimizer.state[used]["n_iter"] == count


def test_parameters_are_restored_if_the_closure_raises():
    p = parameter(2)
    before = p.tolist()
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")

    def closure() -> tg.Tensor:
        if p.tolist() != before:
            raise ArithmeticError
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with pytest.raises(ArithmeticError):
        optimizer.step(closure)
    assert p.tolist() == before


def test_invalid_arguments():
    with pytest.raises(
        TypeError, match=r"LBFGS computes the loss several times .* step\(closure\)"
    ):
        optim.LBFGS([w]).step()
    with pytest.raises(ValueError, match="LBFGS has one direction for all parameters: pass them"):
        optim.LBFGS([{"params": [w]}, {"params": [parameter(1)]}])
