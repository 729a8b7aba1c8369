"""L-BFGS: known minima, the number of calls of the closure, errors."""

from __future__ import annotations

import numpy as np
import pytest
from optimizers import parameter

import tinygrad_fc as tg
from tinygrad_fc import optim

w = parameter(2)


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
