"""Compiled training steps do what eager ones do: networks, losses, layers, on both backends."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc import nn, optim

from .networks import (
    ACTIVATIONS,
    LOSSES,
    OPTIMIZERS,
    OTHERS,
    batch,
    dtypes,
    losses,
    momentum,
    networks,
    optimizers,
    perceptron,
    seeds,
    training_of,
)
from .twins import Training, Twins, native, near, quickly, share

DEFAULTS = {"Adam": optim.Adam, "SGD": momentum, "RMSprop": optim.RMSprop}


def train(data: st.DataObject, dtype: str, backend: str, steps: int, n: int) -> None:
    """Draw a network, a loss and an optimizer, and train them on drawn batches."""
    create = data.draw(networks(dtype))
    kind, loss = data.draw(losses())
    optimizer = data.draw(st.sampled_from(sorted(DEFAULTS)))
    twins = Twins(lambda: training_of(create(), DEFAULTS[optimizer], loss()), backend=backend)
    seed = data.draw(seeds)
    with np.errstate(all="ignore"):
        for k in range(steps):
            twins.step(*batch(seed + k, n, dtype, kind))


@share(25)
@given(data=st.data(), dtype=dtypes, n=st.integers(2, 7))
def test_drawn_networks(data: st.DataObject, dtype: str, n: int):
    train(data, dtype, "numpy", 4, n)


@native
@quickly(5)
@given(data=st.data())
def test_drawn_networks_in_native_code(data: st.DataObject):
    train(data, "float64", "numba", 4, 6)


@pytest.mark.parametrize("name", [*ACTIVATIONS, *OTHERS])
def test_each_layer(name: str):
    def create() -> Training:
        layer = OTHERS[name](4) if name in OTHERS else getattr(nn, name)()
        model = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 3))
        for p in model.parameters():
            nn.init.normal_(p)
        return training_of(model)

    twins = Twins(create)
    for k in range(2):
        twins.step(*batch(k))


@pytest.mark.parametrize("name", LOSSES)
@share(5)
@given(data=st.data(), seed=seeds, dtype=dtypes)
def test_each_loss(name: str, data: st.DataObject, seed: int, dtype: str):
    kind, loss = data.draw(losses(name))
    twins = Twins(lambda: perceptron(loss=loss(), dtype=dtype))
    with np.errstate(all="ignore"):
        for k in range(2):
            twins.step(*batch(seed + k, 5, dtype, kind))


@pytest.mark.parametrize("name", OPTIMIZERS)
@share(5)
@given(data=st.data(), seed=seeds, dtype=dtypes)
def test_each_optimizer(name: str, data: st.DataObject, seed: int, dtype: str):
    optimizer = data.draw(optimizers(name))
    twins = Twins(lambda: perceptron(optimizer, dtype=dtype))
    for _ in range(8):
        twins.step(*batch(seed, dtype=dtype))
    if name not in ("RAdam", "ASGD"):  # they take another path later
        assert len(twins.compiled.sources) == 1


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "Rprop"])
def test_a_tensor_as_learning_rate_is_an_input(name: str):
    def optimizer(parameters: Any) -> Any:
        return getattr(optim, name)(parameters, lr=tg.tensor(0.1))

    twins = Twins(lambda: perceptron(optimizer))
    for k in range(3):
        twins.step(*batch(k))
    programs = len(twins.compiled.sources)
    twins.both(lambda t: t.optimizer.param_groups[0]["lr"].mul_(0.5))
    twins.step(*batch(3))
    assert len(twins.compiled.sources) == programs
    twins.both(lambda t: t.optimizer.param_groups[0].update(lr=0.01))
    twins.step(*batch(4))


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_large_networks_agree_within_rounding(dtype: Any):
    def create() -> Training:
        model = nn.Sequential(
            *(nn.Linear(600, 128), nn.Sigmoid(), nn.Linear(128, 200), nn.ReLU()),
            *(nn.Linear(200, 1), nn.Tanh(), nn.Linear(1, 3)),
        )
        return training_of(model.to(dtype), momentum)

    twins = Twins(create)
    twins.agree = near  # large layers may be computed transposed, or in pieces
    x, y = tg.randn(96, 600, dtype=dtype), tg.randn(96, 3, dtype=dtype)
    for _ in range(3):
        twins.step(x, y)
