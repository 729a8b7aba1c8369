"""The document's whole experiment, 5000 epochs of five batches, as one compiled call.

It is compared to the document's own program, sample by sample, of which a part is timed, since the
whole takes a minute, and to the same steps by hand in C.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import in_c
import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.handderived import NeuralNetwork

SIZES = (1, 8, 5, 3, 1)
EPOCHS, BATCH, LEARNING_RATE = 5000, 40, 0.1


def experiment(sample: int) -> dict[str, float]:
    """Return the seconds of all, and how far two are apart after the first `sample` steps."""
    rng = np.random.default_rng(0)
    x = np.linspace(-7, 7, 200)[:, None]
    target = (np.cos(x) + 1) / 2
    order = np.concatenate([rng.permutation(200).reshape(-1, BATCH) for _ in range(EPOCHS)])
    network = NeuralNetwork(SIZES, rng=0)
    model, step = compiled(network)
    step.epoch(order[:sample], tg.from_numpy(x), tg.from_numpy(target))

    samples = [(x_i[:, None], t_i[:, None]) for x_i, t_i in zip(x, target, strict=True)]
    start = time.perf_counter()
    for batch in order[:sample].tolist():
        network.update_batch([samples[i] for i in batch], LEARNING_RATE)
    document = (time.perf_counter() - start) * len(order) / sample
    weights = [p.numpy() for name, p in model.state_dict().items() if name.endswith("weight")]
    apart = max(float(abs(a - b).max()) for a, b in zip(weights, network.weights, strict=True))

    start = time.perf_counter()
    step.epoch(order, tg.from_numpy(x), tg.from_numpy(target))
    seconds = time.perf_counter() - start
    times = {"steps": len(order), "compiled": seconds, "document": document, "apart": apart}
    if in_c.COMPILER:
        arrays = [p.numpy().copy() for p in model.parameters()]
        epoch = in_c.training_epoch(SIZES, LEARNING_RATE, arrays, x, target)
        start = time.perf_counter()
        epoch(order)
        times["of C"] = seconds / (time.perf_counter() - start)
    return times


def compiled(network: NeuralNetwork) -> tuple[Any, Any]:
    """Return a model with the parameters of `network`, and its training step, compiled."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(SIZES):
        layers += [nn.Linear(n_in, n_out, dtype=tg.float64), nn.Sigmoid()]
    model = nn.Sequential(*layers)
    arrays = [a for pair in zip(network.weights, network.biases, strict=True) for a in pair]
    with tg.no_grad():
        for parameter, array in zip(model.parameters(), arrays, strict=True):
            parameter.copy_(tg.from_numpy(array.reshape(parameter.shape).copy()))
    criterion = nn.MSELoss(reduction="batchmean")  # formula (6)
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)

    @tg.compile
    def step(x: tg.Tensor, target: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    return model, step
