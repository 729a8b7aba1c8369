"""Libraries that are written for PyTorch run on this package."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "libraries.md"
ALIAS = """import sys
from tinygrad_fc import torch
sys.modules["torch"] = torch
"""
PROGRAMS = {
    "skorch": re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0],
    "torchinfo": ALIAS
    + """import torchinfo
model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
print(torchinfo.summary(model, (5, 3), verbose=0).total_params == 41)
""",
    "torchdiffeq": ALIAS
    + """import torchdiffeq
w = torch.nn.Parameter(torch.tensor([-0.5]))
class Decay(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = w
    def forward(self, t, y):
        return self.w * y
y, grads = torch.tensor([2.0]), []
for solve in (torchdiffeq.odeint, torchdiffeq.odeint_adjoint):
    w.grad = None
    out = solve(Decay(), y, torch.tensor([0.0, 1.0]), rtol=1e-9, atol=1e-11, method="dopri5")
    out[-1].sum().backward()
    grads += [w.grad.item() / 2 / torch.exp(w).item(), out[-1].item() / 2 / torch.exp(w).item()]
print(all(abs(value - 1) < 1e-7 for value in grads))
""",
    "schedulefree": ALIAS
    + """import schedulefree
w = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
optimizer = schedulefree.AdamWScheduleFree([w], lr=0.1)
optimizer.train()
for _ in range(100):
    optimizer.zero_grad()
    (w * w).sum().backward()
    optimizer.step()
optimizer.eval()
print(float((w * w).sum()) < 0.1)
""",
}


@pytest.mark.parametrize("library", PROGRAMS)
def test_a_library_runs_under_the_name_torch(library: str) -> None:
    pytest.importorskip(library)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAMS[library]]
    done = subprocess.run(  # noqa: S603  a script of this test
        command, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr
