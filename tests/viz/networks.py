"""Networks and programs over scalars that the tests of viz draw."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
seeds = st.integers(0, 2**32 - 1)
widths = st.lists(st.integers(1, 5), min_size=2, max_size=5)


def network(sizes: list[int], activation: str, seed: int) -> tuple[Any, Any, Any]:
    """Return a model, inputs and targets."""
    tg.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers), tg.randn(4, sizes[0]), tg.rand(4, sizes[-1])


def scalars(seed: int, count: int) -> tuple[list[Any], Any]:
    """Return leaves and the result of a random program over scalars."""
    rng = np.random.default_rng(seed)
    leaves = [tg.tensor(float(x), requires_grad=True) for x in rng.uniform(0.5, 1.5, 3)]
    values = list(leaves)
    for _ in range(count):
        a, b = (values[k] for k in rng.integers(0, len(values), 2))
        values.append([a + b, a * b, a - b, a.tanh(), a.sin()][rng.integers(5)])
    return leaves, sum(values[3:], values[0] * 2)
