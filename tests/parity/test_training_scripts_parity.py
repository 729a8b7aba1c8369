"""Training scripts as PyTorch's tutorials write them: one changed import, the same printed numbers.

Parameters are drawn with NumPy, as the libraries draw other random numbers.
"""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

pytest.importorskip("torch")

COMMON = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(0)
X = rng.standard_normal((64, 4))
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)


def drawn(model):
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    values = {name: rng.standard_normal(shape) / 2 for name, shape in shapes.items()}
    model.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    return model
"""

QUICKSTART = """
class Points(Dataset):
    def __init__(self, x, y, transform=None):
        self.x, self.y, self.transform = x, y, transform

    def __len__(self):
        return len(self.x)

    def __getitem__(self, idx):
        x = torch.from_numpy(self.x[idx])
        if self.transform:
            x = self.transform(x)
        return x, self.y[idx]


training_data = Points(X[:48], Y[:48], transform=lambda x: 2 * x)
test_data = Points(X[48:], Y[48:], transform=lambda x: 2 * x)
train_dataloader = DataLoader(training_data, batch_size=16)
test_dataloader = DataLoader(test_data, batch_size=16)
device = "cuda" if torch.cuda.is_available() else "cpu"


class NeuralNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x):
        return self.linear_relu_stack(self.flatten(x))


def train(dataloader, model, loss_fn, optimizer):
    size = len(dataloader.dataset)
    model.train()
    for batch, (X, y) in enumerate(dataloader):
        X, y = X.to(device), y.to(device)
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss, current = loss.item(), (batch + 1) * len(X)
        print(f"loss: {loss:>7f}  [{current:>5d}/{size:>5d}]")


def test(dataloader, model, loss_fn):
    model.eval()
    test_loss, correct = 0, 0
    with torch.no_grad():
        for X, y in dataloader:
            pred = model(X.to(device))
            test_loss += loss_fn(pred, y).item()
            correct += (pred.argmax(1) == y).float().sum().item()
    print(f"{100 * correct / len(dataloader.dataset):>0.1f}%, {test_loss / len(dataloader):>8f}")


model = drawn(NeuralNetwork().to(device))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
for t in range(3):
    print(f"Epoch {t + 1}")
    train(train_dataloader, model, nn.CrossEntropyLoss(), optimizer)
    test(test_dataloader, model, nn.CrossEntropyLoss())
"""

TRAINING = """
from torch.optim import lr_scheduler

parts = random_split(TensorDataset(torch.tensor(X), torch.tensor(Y)), [48, 16])
print([len(part) for part in parts], sum(len(b[0]) for b in DataLoader(parts[0], 7, shuffle=True)))
x, y = torch.from_numpy(X), torch.from_numpy(Y).double().unsqueeze(1)
sampler = torch.utils.data.WeightedRandomSampler([0.0] * 63 + [1.0], 5)
((inputs, _),) = DataLoader(TensorDataset(x, y), batch_size=5, sampler=sampler)
print(float((inputs - x[-1]).abs().max()))
model = drawn(nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 1)))
groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.02}]
optimizer = torch.optim.AdamW(groups, lr=0.01)
warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=3)
decay = lr_scheduler.CosineAnnealingLR(optimizer, T_max=5)
scheduler = lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[3])
loss_fn = nn.BCEWithLogitsLoss()
for epoch in range(8):
    running_loss = 0.0
    for inputs, labels in DataLoader(TensorDataset(x, y), batch_size=20, drop_last=True):
        optimizer.zero_grad()
        loss = loss_fn(model(inputs), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.5)
        optimizer.step()
        running_loss += loss.item()
    scheduler.step()
    print(epoch, running_loss, scheduler.get_last_lr(), [g["lr"] for g in optimizer.param_groups])
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "checkpoint")
loaded = torch.load("checkpoint", weights_only=True)
other = torch.optim.AdamW([{"params": model[0].parameters()}, {"params": model[2].parameters()}])
other.load_state_dict(loaded["optimizer"])
print([g["lr"] for g in other.param_groups], other.param_groups[0]["betas"])
"""


def printed(script: str, library: str) -> list[float]:
    """Return the numbers that `script` prints, with `torch` replaced by `library`."""
    source = re.sub(r"^from torch\b", f"from {library}", COMMON + script, flags=re.MULTILINE)
    source = source.replace("import torch\n", f"import {library} as torch\n")
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(source, f"<{library}>", "exec"), {"__name__": "__main__"})  # noqa: S102
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", out.getvalue())]


@pytest.mark.parametrize("script", [QUICKSTART, TRAINING])
def test_a_script_prints_the_same_numbers(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    ours: Any = printed(script, "tinygrad_fc")
    theirs: Any = printed(script, "torch")
    assert len(ours) > 5
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


PAGE = Path(__file__).parents[2] / "docs/howto/interop.md"


def test_the_blocks_of_the_interop_page_run_one_after_another() -> None:
    pytest.importorskip("pandas")
    mpl.use("agg")
    names: dict[str, object] = {}
    blocks = r"^```(?:python|\{code-cell\})\n(.*?)^```"
    for block in re.findall(blocks, PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        if "xarray" not in block:
            exec(block, names)  # noqa: S102  the code of the page
