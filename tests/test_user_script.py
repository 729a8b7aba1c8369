"""A user's script with types: mypy --strict and pyright check it without an annotation of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tinygrad_fc as tg
from tinygrad_fc import Tensor, nn, optim
from tinygrad_fc.nn import functional as F
from tinygrad_fc.utils.data import DataLoader, TensorDataset, random_split

if TYPE_CHECKING:
    from pathlib import Path


class NonNegative(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight.abs(), self.bias)


class Classifier(nn.Module):
    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.output = NonNegative(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm(self.hidden(x)))
        return self.output(F.dropout(h, 0.1, self.training))


def accuracy(model: nn.Module, loader: DataLoader) -> float:
    model.eval()
    right = total = 0
    with tg.no_grad():
        for x, y in loader:
            right += int((model(x).argmax(dim=1) == y).sum())
            total += y.size(0)
    model.train()
    return right / total


def train(model: nn.Module, loader: DataLoader, epochs: int) -> list[float]:
    optimizer = optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)
    losses: list[float] = []
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
    return losses


def main(folder: Path) -> float:
    tg.manual_seed(0)
    x = tg.randn(200, 4)
    y = (x.sum(dim=1) > 0).long()
    learned, held_out = random_split(TensorDataset(x, y), [160, 40])
    model = Classifier(4, 16, 2)
    losses = train(model, DataLoader(learned, batch_size=16, shuffle=True), epochs=10)
    path = folder / "checkpoint.safetensors"
    tg.save({"model": model.state_dict(), "losses": losses}, path)
    restored = Classifier(4, 16, 2)
    restored.load_state_dict(tg.load(path)["model"])
    norm: float = (restored.hidden.weight**2).sum().sqrt().item()
    assert 0 < norm < tg.inf
    return accuracy(restored, DataLoader(held_out, batch_size=40))


def test_script(tmp_path: Path) -> None:
    assert main(tmp_path) > 0.8
