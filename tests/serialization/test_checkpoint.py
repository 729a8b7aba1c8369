"""Training resumes exactly from a checkpoint file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.optim import lr_scheduler as lrs
from tinygrad_fc.serialization import load, save
from tinygrad_fc.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from pathlib import Path

OPTIMIZERS = [name for name in tg.optim.__all__ if name not in ("Optimizer", "lr_scheduler")]
# Options other than the defaults.
OPTIONS: dict[str, Any] = {
    "SGD": {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    "AdamW": {"lr": 0.01, "amsgrad": True},
    "RMSprop": {"lr": 0.01, "centered": True, "momentum": 0.9},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.1},
    "LBFGS": {"max_iter": 3, "history_size": 4},
}
SCHEDULERS: dict[str, Any] = {
    "StepLR": lambda o: lrs.StepLR(o, 2),
    "MultiStepLR": lambda o: lrs.MultiStepLR(o, [2, 4, 4]),
    "ExponentialLR": lambda o: lrs.ExponentialLR(o, 0.9),
    "ConstantLR": lambda o: lrs.ConstantLR(o, 0.5),
    "LinearLR": lrs.LinearLR,
    "PolynomialLR": lambda o: lrs.PolynomialLR(o, 8, 2),
    "LambdaLR": lambda o: lrs.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: lrs.MultiplicativeLR(o, lambda _: 0.9),
    "CosineAnnealingLR": lambda o: lrs.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, 2, 2),
    "CyclicLR": lambda o: lrs.CyclicLR(o, 0.01, 0.1, 2),
    "OneCycleLR": lambda o: lrs.OneCycleLR(o, 0.1, 20),
    "ReduceLROnPlateau": lambda o: lrs.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda o: lrs.SequentialLR(
        o, [lrs.ConstantLR(o, 0.1), lrs.ExponentialLR(o, 0.9)], [2]
    ),
    "ChainedScheduler": lambda o: lrs.ChainedScheduler([lrs.StepLR(o, 2), lrs.LinearLR(o)]),
}


class Training:
    """A training with model, optimizer, scheduler and generator."""

    def __init__(self, optimizer: str, scheduler: str) -> None:
        self.generator = tg.Generator().manual_seed(1)
        tg.manual_seed(0)
        self.model = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.Tanh(), tg.nn.Linear(4, 1))
        make = getattr(tg.optim, optimizer)
        self.optimizer = make(self.model.parameters(), **OPTIONS.get(optimizer, {}))
        self.scheduler = SCHEDULERS[scheduler](self.optimizer)

    def epochs(self, count: int) -> list[bytes]:
        x = np.sin(np.arange(30.0)).reshape(10, 3)
        data = TensorDataset(x, x.sum(axis=1, keepdims=True))
        loader = DataLoader(data, batch_size=4, shuffle=True, generator=self.generator)
        criterion = tg.nn.MSELoss()
        for _ in range(count):
            for batch in loader:

                def closure(batch: Any = batch) -> Any:
                    self.optimizer.zero_grad()
                    loss = criterion(self.model(batch[0]), batch[1])
                    loss.backward()
                    return loss

                loss = self.optimizer.step(closure)
            if isinstance(self.scheduler, lrs.ReduceLROnPlateau):
                self.scheduler.step(loss.item())
            else:
                self.scheduler.step()
        return [p.numpy().tobytes() for p in self.model.parameters()]

    def checkpoint(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "generator": self.generator.get_state(),
            "epoch": 3,
        }

    def resume(self, checkpoint: dict[str, Any]) -> None:
        self.model.load_state_dict(checkpoint["model"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.scheduler.load_state_dict(checkpoint["scheduler"])
        self.generator.set_state(checkpoint["generator"])


def assert_resumes(optimizer: str, scheduler: str, path: Path) -> None:
    original = Training(optimizer, scheduler)
    original.epochs(3)
    save(original.checkpoint(), path)
    expected = original.epochs(3)
    resumed = Training(optimizer, scheduler)
    tg.manual_seed(5)
    checkpoint = load(path)
    assert checkpoint["epoch"] == 3
    resumed.resume(checkpoint)
    assert resumed.epochs(3) == expected
    rates = [[g["lr"] for g in run.optimizer.param_groups] for run in (original, resumed)]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_resumes_with_every_optimizer(optimizer: str, tmp_path: Path):
    assert_resumes(optimizer, "StepLR", tmp_path / "checkpoint")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_training_resumes_with_every_scheduler(scheduler: str, tmp_path: Path):
    assert_resumes("SGD", scheduler, tmp_path / "checkpoint")
    assert_resumes("Adam", scheduler, tmp_path / "checkpoint")


def test_all_schedulers_are_tested():
    assert {*SCHEDULERS, "LRScheduler"} == set(lrs.__all__)
