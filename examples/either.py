"""One script for two libraries: the same training under PyTorch and under this one.

`--library` selects the import; the rest of the script does not depend on it. Both libraries start
from the same parameters, drawn with NumPy by the names in `state_dict`, and see the same batches in
float64, so they print the same numbers. It classifies scikit-learn's 178 wines, from three growers,
by 13 measurements. Random numbers of the libraries (dropout, shuffling) are left out: their
distributions are the same, but not the numbers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from terminal import parser, results

if TYPE_CHECKING:  # to a type checker it is this library always
    import argparse
    from collections.abc import Iterator
    from types import ModuleType

    from tinygrad_fc import Tensor
    from tinygrad_fc.nn import Module

MEASUREMENTS, HIDDEN, GROWERS = 13, 16, 3
BATCH_SIZE = 32
LEARNING_RATE = 0.01
LARGEST_NORM = 0.5  # of the gradient of all parameters


def main() -> None:
    """Train under the chosen library; show, with all digits, how it went."""
    options, torch = parse()
    from sklearn.datasets import load_wine
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(options.seed)
    model = make_model(torch, rng)
    split = train_test_split(*load_wine(return_X_y=True), test_size=0.25, random_state=options.seed)
    scaler = StandardScaler().fit(split[0])
    learned, held_out = (
        (torch.tensor(scaler.transform(measurements)), torch.tensor(growers))
        for measurements, growers in (split[::2], split[1::2])
    )

    rows = {}
    training = train(torch, model, *learned, options.epochs, rng)
    for epoch, losses in enumerate(training, start=1):
        loss, accuracy = evaluate(torch, model, *held_out)
        rows[str(epoch)] = [f"{np.mean(losses):.12f}", f"{loss:.12f}", f"{accuracy:.1%}"]
    columns = ["loss, learned from", "loss, held out", "classified right"]
    title = f"wines, by {torch.__name__}, seed {options.seed}"
    Console().print(results(title, rows, columns=columns))


def parse() -> tuple[argparse.Namespace, ModuleType]:
    """Read the command line; return the options and the library."""
    options = parser("Train under PyTorch or under this library.", epochs=20)
    options.add_argument(
        "--library",
        choices=["tinygrad_fc", "torch"],
        default="tinygrad_fc",
        help="what to import (default: %(default)s)",
    )
    chosen = options.parse_args()
    try:
        return chosen, import_module(chosen.library)
    except ImportError as error:
        options.error(f"--library: {error}; install {chosen.library}, or leave the option out")


def make_model(torch: ModuleType, rng: np.random.Generator) -> Module:
    """Make a network with a block of either's own definition, its parameters drawn by `rng`."""
    nn = torch.nn

    class Residual(nn.Module):  # type: ignore[misc, name-defined]
        """Adds to its input what its layers make of it: He et al. (2015)."""

        def __init__(self, *layers: Module) -> None:
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            added: Tensor = self.layers(x)
            return x + added

    model: Module = nn.Sequential(
        nn.Linear(MEASUREMENTS, HIDDEN),
        Residual(nn.BatchNorm1d(HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN)),
        Residual(nn.LayerNorm(HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN)),
        nn.Linear(HIDDEN, GROWERS),
    ).double()
    drawn = {
        name: torch.tensor(rng.normal(0, HIDDEN**-0.5, tuple(parameter.shape)))
        for name, parameter in model.named_parameters()
    }
    model.load_state_dict(drawn, strict=False)  # batch norm's statistics are as they always start
    return model


def train(
    torch: ModuleType,
    model: Module,
    inputs: Tensor,
    targets: Tensor,
    epochs: int,
    rng: np.random.Generator,
) -> Iterator[list[float]]:
    """Train `model`; yield the losses of each epoch's batches."""
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        model.train()
        losses = []
        for batch in torch.tensor(rng.permutation(len(inputs))).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = criterion(model(inputs[batch]), targets[batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_NORM)
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        yield losses


def evaluate(
    torch: ModuleType, model: Module, inputs: Tensor, targets: Tensor
) -> tuple[float, float]:
    """Return loss and accuracy on data that nothing was learned from."""
    model.eval()
    with torch.no_grad():
        scores = model(inputs)
        loss = torch.nn.functional.cross_entropy(scores, targets)
        right = scores.argmax(dim=1) == targets
    return loss.item(), right.double().mean().item()


if __name__ == "__main__":
    main()
