"""A training step of the document's network as a program: the formulas derived by hand.

The step is traced once, and its NumPy program is printed: the lines of each layer cite the formulas
of the document. Then the document's whole experiment, 25,000 steps, runs as one call of that
program (as native code where Numba is installed), and is timed against the document's own program,
which computes sample by sample.
"""

import time

import numpy as np
import numpy.typing as npt
from cosine import BATCH_SIZE, LEARNING_RATE, TRAINED, as_columns, handderived, make_model, points
from rich.console import Console
from rich.syntax import Syntax
from terminal import parser, results

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.compiler import Compiled

BY_HAND = 100  # steps of the program by hand that are timed: all of them would take a minute

criterion = nn.MSELoss(reduction="batchmean")  # formula (6)


class TwoLayers(nn.Module):
    """A network of two layers, of sizes 2-3-1."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Linear(2, 3)
        self.layer2 = nn.Linear(3, 1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """Compute formula (4), layer by layer."""
        return tg.sigmoid(self.layer2(tg.sigmoid(self.layer1(x))))


def main() -> None:
    """Show the program of a small network, then run the document's experiment."""
    options = parser("The document's experiment as one compiled program.", epochs=5000).parse_args()
    console = Console(width=max(Console().width, 104))  # the program's lines are that long
    step = compiled(TwoLayers(), backend="numpy")
    step(tg.rand(8, 2), tg.rand(8, 1))
    console.print(Syntax(step.source, "python", background_color="default"))

    model = make_model(options.seed)
    x, y = points(TRAINED, 200, lambda x: (np.cos(x) + 1) / 2)
    batches = np.concatenate(
        [tg.randperm(len(x)).numpy().reshape(-1, BATCH_SIZE) for _ in range(options.epochs)]
    )
    by_hand = seconds_by_hand(model, x, y, batches[:BY_HAND]) / BY_HAND

    step = compiled(model)
    # The first calls trace the step and, with Numba, translate it.
    step.epoch(batches[:BY_HAND], tg.tensor(x), tg.tensor(y))
    started = time.perf_counter()
    losses = step.epoch(batches, tg.tensor(x), tg.tensor(y))
    seconds = (time.perf_counter() - started) / len(batches)
    rows = {
        "error in the last epoch": f"{losses[-len(x) // BATCH_SIZE :].mean().item():.4f}",
        "a step by hand, sample by sample": f"{by_hand * 1e6:.1f} µs",
        "a compiled step": f"{seconds * 1e6:.2f} µs",
        "faster by": f"{by_hand / seconds:.0f}",
    }
    console.print(results(f"{len(batches):,} steps in one call, seed {options.seed}", rows))


def compiled(
    model: nn.Module, backend: str | None = None
) -> Compiled[[tg.Tensor, tg.Tensor], tg.Tensor]:
    """Return the training step of `model`, to be traced at its first call."""
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)

    @tg.compile(backend=backend)
    def step(x: tg.Tensor, target: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss: tg.Tensor = criterion(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    return step


def seconds_by_hand(
    model: nn.Sequential,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    batches: npt.NDArray[np.int64],
) -> float:
    """Return how long the steps over `batches` take the document's program."""
    network, samples = handderived(model), as_columns(x, y)
    started = time.perf_counter()
    for batch in batches.tolist():
        network.update_batch([samples[i] for i in batch], LEARNING_RATE)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
