"""Errors of the network derived by hand, which change nothing."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tinygrad_fc.handderived import NeuralNetwork

if TYPE_CHECKING:
    from tinygrad_fc.handderived import Array

COLUMN = [[0.5]]
GOOD = (COLUMN, COLUMN)
NAN = ([[math.nan]], COLUMN)

BAD_NETWORKS: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"sizes": [3]},
        ValueError,
        r"sizes must name at least two layers, got \[3\]; add the outputs",
    ),
    ({"sizes": 3}, TypeError, r"not iterable"),
    ({"sizes": [3, 0]}, ValueError, r"sizes\[1\] must be at least 1, got 0; pass a larger"),
    ({"sizes": [3, 1.0]}, TypeError, r"interpreted as an integer"),
    ({"sizes": [1, 1], "act": np.tanh}, ValueError, r"got one of act and act_derivative"),
    ({"sizes": [1, 1], "act_derivative": np.cos}, ValueError, r"expected both; pass the other"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_NETWORKS)
def test_invalid_arguments_of_the_constructor(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        NeuralNetwork(**arguments)


BAD_UPDATES: list[tuple[object, object, type[Exception], str]] = [
    ([GOOD], -0.1, ValueError, r"learning_rate must be finite and at least 0, got -0.1; pass"),
    ([GOOD], math.nan, ValueError, r"learning_rate must be finite and at least 0, got nan"),
    ([GOOD], math.inf, ValueError, r"learning_rate must be finite and at least 0, got inf"),
    ([], 0.1, ValueError, r"must hold at least one pair \(x, y\), got none; check"),
    ([GOOD, COLUMN], 0.1, ValueError, r"not enough values to unpack"),
    ([GOOD, NAN], 0.1, ValueError, r"x of \w+\[1\] must be finite, got \[\[nan\]\]; leave"),
    ([GOOD, NAN[::-1]], 0.1, ValueError, r"y of \w+\[1\] must be finite"),
    (
        [(COLUMN, [[0.5], [0.5]])],
        0.1,
        ValueError,
        r"y of \w+\[0\] must have shape \(1, 1\), as sizes\[2\] is 1, got \(2, 1\); reshape",
    ),
    ([([["a"]], COLUMN)], 0.1, ValueError, r"could not convert string to float"),
]


@pytest.mark.parametrize(("batch", "rate", "error", "message"), BAD_UPDATES)
@pytest.mark.parametrize("method", ["update_batch", "SGD"])
def test_invalid_batches_and_learning_rates(
    method: str, batch: object, rate: object, error: type[Exception], message: str
) -> None:
    network = NeuralNetwork([1, 2, 1], rng=0)
    arguments = (batch, rate) if method == "update_batch" else (batch, 1, 1, rate)
    assert_error(network, method, arguments, error, message)


def test_an_update_that_overflows_changes_nothing() -> None:
    network = NeuralNetwork([1, 1], lambda z: z, np.ones_like, rng=0)
    batch = [([[1e200]], [[0.0]])]
    with np.errstate(over="ignore", invalid="ignore"):
        message = r"learning_rate=1.0 gives parameters that are not finite, .* smaller"
        assert_error(network, "update_batch", (batch, 1.0), FloatingPointError, message)


def test_an_update_that_raises_changes_nothing() -> None:
    calls: list[int] = []

    def failing(y: Array, target: Array) -> Array:
        calls.append(1)
        if len(calls) == 2:
            raise ArithmeticError("second sample")
        return y - target

    network = NeuralNetwork([1, 2, 1], cost_derivative=failing, rng=0)
    assert_error(network, "update_batch", ([GOOD, GOOD], 1), ArithmeticError, "second sample")


def assert_error(
    network: NeuralNetwork,
    method: str,
    arguments: tuple[object, ...],
    error: type[Exception],
    message: str,
) -> None:
    before = copy.deepcopy(network.weights + network.biases)
    state = network.rng.bit_generator.state
    with pytest.raises(error, match=message):
        getattr(network, method)(*arguments)
    assert network.rng.bit_generator.state == state
    for old, new in zip(before, network.weights + network.biases, strict=True):
        np.testing.assert_array_equal(old, new)
