"""Train, compile, save and show a network with the wheel alone: no extra, no file of the checkout.

python -W error -OO .ci/alone.py
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.nn import functional as F

EXTRAS = ("dask", "hypothesis", "matplotlib", "numba", "torch")


def expect(right: object, expected: str) -> None:
    """Exit if `right` is false; unlike an assertion, also under -O."""
    if not right:
        sys.exit(f"expected {expected}")


def main() -> None:
    """Run all that needs NumPy alone, and what says which extra is missing."""
    expect(not any(map(find_spec, EXTRAS)), "an environment without extras")
    expect("site-packages" in Path(tg.__file__).parts, "the installed package")
    tg.manual_seed(0)
    x = tg.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = tg.tensor([[0.0], [1.0], [1.0], [0.0]])
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.1)

    @tg.compile
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(x, y).item() for _ in range(100)]
    expect(10 * losses[-1] < losses[0], f"a loss that falls, got {losses[0]} to {losses[-1]}")
    with TemporaryDirectory() as name:
        folder = Path(name)
        tg.save(model.state_dict(), folder / "model.safetensors")
        model.load_state_dict(tg.load(folder / "model.safetensors"))
        tg.viz.page(step, x, y, folder / "page.html")
        expect((folder / "page.html").read_text("utf-8").endswith("</html>\n"), "a whole page")
    message = ""
    try:
        tg.compile(step.__wrapped__, backend="numba")(x, y)
    except tg.compiler.CompileError as error:
        message = str(error)
    expect("tinygrad-fc[compile]" in message, "an error that names the extra of Numba")


if __name__ == "__main__":
    main()
