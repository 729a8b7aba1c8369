"""Models, losses and data for the tests of `parallel`, which workers import."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn import functional as F


def data(seed: int, rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4)), rng.normal(size=(rows, 3))


def network(seed: int, *layers: nn.Module) -> nn.Sequential:
    tg.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Sigmoid(), *layers, nn.Linear(5, 3))


def mean(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return F.mse_loss(model(x), y)


def total(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return F.mse_loss(model(x), y, reduction="sum")


def batchmean(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return nn.MSELoss(reduction="batchmean")(model(x), y)


def weighted(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    """Class weights, and a class that is ignored."""
    weight = tg.tensor([0.5, 2.0, 1.0])
    labels = y.argmax(1)
    ignored = tg.where(labels == 2, -100, labels)
    loss = F.cross_entropy(model(x), ignored, weight=weight)
    return loss, (weight[labels] * (labels != 2)).sum()


def ignoring(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return F.cross_entropy(model(x), y, ignore_index=2)


def class_weighted(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return F.cross_entropy(model(x), y, weight=tg.tensor([0.5, 2.0, 1.0]))


class Centred(nn.Module):
    """Subtracts the mean over the rows in training, as a batch norm of the user's own."""

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x - x.mean(0) if self.training else x


def of_noisy_rows(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    noise = tg.randn_like(x) * F.dropout(tg.ones_like(x), 0.5, training=True)
    return F.mse_loss(model(x + noise * tg.rand(len(x), 1)), y)


def total_of_noisy_rows(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return of_noisy_rows(model, x, y) * len(x)


def over_the_batch(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return (model(x) - y).std()


counts: list[int] = []


def counted(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """Count the rows of each call that is recorded, in this process."""
    if tg.is_grad_enabled():
        counts.append(len(x))
    return mean(model, x, y)


def interrupted(by: int, folder: Path, model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """Send the first worker with the last rows a signal, then be `mean`; name a file by its pid."""
    if len(x) == 1 and not any(folder.iterdir()):
        (folder / f"{os.getpid()}").touch()
        os.kill(os.getpid(), by)
    return mean(model, x, y)


def deadly(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """Kill every worker that gets the last row."""
    if len(x) == 1:
        time.sleep(0.05)  # other chunks wait on the same worker
        os.kill(os.getpid(), signal.SIGKILL)
    return mean(model, x, y)


def slow(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    time.sleep(1.5)
    return mean(model, x, y)


def recursive(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    return recursive(model, x, y)


def raising(model: nn.Module, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    if len(x) == 1:
        raise KeyError("the user's mistake")
    return mean(model, x, y)


def gradients(model: nn.Module) -> list[Any]:
    return [p.grad.numpy().copy() for p in model.parameters() if p.grad is not None]


def state(model: nn.Module) -> list[bytes]:
    """Return the bits of parameters, buffers and gradients."""
    tensors = [t.detach().numpy() for t in (*model.parameters(), *model.buffers())]
    return [array.tobytes() for array in (*tensors, *gradients(model))]
