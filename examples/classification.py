"""Handwritten digits with regularisation, early stopping and checkpoints.

The data are scikit-learn's 1,797 pictures of 8 by 8 pixels, a quarter of them held out and a part
of the others used for validation. It shows cross entropy, dropout, batch norm and Adam; a learning
rate that is reduced when the validation loss stops decreasing; early stopping, which restores the
parameters of the best epoch; and a checkpoint of the whole run, from which `--resume` continues
with the same result. It classifies 98 of 100 held-out digits correctly.
"""

import argparse
import copy
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from terminal import follow, parser, results

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.nn.summary import summary
from tinygrad_fc.optim.lr_scheduler import ReduceLROnPlateau
from tinygrad_fc.utils.data import DataLoader, Subset, TensorDataset, random_split

Part = Subset[Any] | TensorDataset

PIXELS, HIDDEN, DIGITS = 64, 128, 10
BATCH_SIZE = 64
LEARNING_RATE = 0.003
SMOOTHING = 0.1  # of each label: the other digits share it, lest the network be too sure
SLOWER_AFTER = 7  # epochs without a better validation loss
STOP_AFTER = 20


class Epoch(NamedTuple):
    """What an epoch ended with; the losses are in nats, the accuracies in [0, 1]."""

    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float


def main() -> None:
    """Train, then show how many digits the best model reads, and how it came to that."""
    options = parse()
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    random = tg.manual_seed(options.seed)
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(
        images / images.max(), labels, test_size=0.25, stratify=labels, random_state=options.seed
    )
    learn_images, test_images, learn_labels, test_labels = map(tg.tensor, split)
    training, validation = random_split(TensorDataset(learn_images, learn_labels), [0.85, 0.15])
    run = Run(options.seed, random)
    if options.resume:
        run.load(options.checkpoint)
    console = Console()
    console.print(summary(run.model, (BATCH_SIZE, PIXELS)), highlight=False)

    started = time.perf_counter()
    epochs = run.train(training, validation, options.epochs, options.checkpoint)
    done = len(run.epochs)
    follow(epochs, epochs=options.epochs, console=console, done=done, what="validation loss")
    seconds = time.perf_counter() - started

    best = run.best_epoch
    run.model.load_state_dict(tg.load(options.checkpoint)["best model"])
    parts: dict[str, Part] = {
        "training": training,
        "validation": validation,
        "held-out": TensorDataset(test_images, test_labels),
    }
    rows = {
        f"accuracy on {len(part)} {kind} images": f"{evaluate(run.model, part)[1]:.1%}"
        for kind, part in parts.items()
    }
    rows |= {
        "epochs": f"{len(run.epochs)}",
        "the best of them": f"{best + 1}",
        "learning rate at the end": f"{run.epochs[-1].learning_rate:.2g}",
        "seconds of training": f"{seconds:.1f}",
    }
    console.print(results(f"handwritten digits, seed {options.seed}", rows))
    console.print(f"checkpoint: {options.checkpoint}")
    if not options.no_plot:
        plot(run.epochs, best, options.output)
        console.print(f"picture: {options.output}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    options = parser(
        "Train a network on handwritten digits, with all that keeps it from overfitting.",
        epochs=200,
        output="classification.png",
        checkpoint="classification.safetensors",
    )
    options.add_argument(
        "--resume", action="store_true", help="go on where the checkpoint's run was interrupted"
    )
    chosen = options.parse_args()
    if chosen.resume and not chosen.checkpoint.exists():
        options.error(f"--resume: there is no '{chosen.checkpoint}'; train without --resume first")
    return chosen


class Run:
    """A training run: everything that changes from epoch to epoch, and that a checkpoint holds."""

    def __init__(self, seed: int, random: tg.Generator) -> None:
        self.seed = seed
        self.random = random
        self.model = make_model()
        self.optimizer = optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.schedule = ReduceLROnPlateau(self.optimizer, factor=0.3, patience=SLOWER_AFTER)
        self.epochs: list[Epoch] = []
        self.best_model: dict[str, Any] = {}

    @property
    def best_epoch(self) -> int:
        """The epoch with the least validation loss, counted from 0."""
        losses = [epoch.validation_loss for epoch in self.epochs]
        return losses.index(min(losses)) if losses else -1

    def train(
        self, training: Part, validation: Part, last: int, checkpoint: Path
    ) -> Iterator[float]:
        """Train up to epoch `last`, or till it no longer helps; yield the validation losses."""
        criterion = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
        while len(self.epochs) < min(last, self.best_epoch + 1 + STOP_AFTER):
            self.model.train()
            for images, labels in DataLoader(training, BATCH_SIZE, shuffle=True):
                self.optimizer.zero_grad()
                loss = criterion(self.model(images), labels)
                loss.backward()
                self.optimizer.step()
            epoch = Epoch(
                *evaluate(self.model, training),
                *evaluate(self.model, validation),
                self.optimizer.param_groups[0]["lr"],
            )
            self.epochs.append(epoch)
            self.schedule.step(epoch.validation_loss)
            if self.best_epoch == len(self.epochs) - 1:
                self.best_model = copy.deepcopy(self.model.state_dict())
            self.save(checkpoint)
            yield epoch.validation_loss

    def save(self, path: Path) -> None:
        """Write the whole run to a file."""
        state = {
            "seed": self.seed,
            "model": self.model.state_dict(),
            "best model": self.best_model,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "epochs": [list(epoch) for epoch in self.epochs],
            "random": self.random.get_state(),
        }
        tg.save(state, path)

    def load(self, path: Path) -> None:
        """Load the run that `save` wrote to a file."""
        state = tg.load(path)
        if state.get("seed") != self.seed:
            raise SystemExit(
                f"'{path}' is not of a run with --seed {self.seed}, and other seeds hold out other "
                "digits: resume with the seed that it was begun with"
            )
        self.model.load_state_dict(state["model"])
        self.best_model = state["best model"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.epochs = [Epoch(*epoch) for epoch in state["epochs"]]
        self.random.set_state(state["random"])


def make_model() -> nn.Sequential:
    """Make the network: dropout hides pixels and features, lest it lean on a few of them."""
    layers: list[nn.Module] = [nn.Dropout(0.1)]
    for inputs in (PIXELS, HIDDEN):
        layers += [nn.Linear(inputs, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(HIDDEN, DIGITS))


def evaluate(model: nn.Module, part: Part) -> tuple[float, float]:
    """Return loss and accuracy on a part of the data, without dropout."""
    model.eval()
    ((images, labels),) = DataLoader(part, batch_size=len(part))
    with tg.no_grad():
        scores = model(images)
        loss = nn.functional.cross_entropy(scores, labels)
        right = scores.argmax(1) == labels
    return loss.item(), right.double().mean().item()


def plot(epochs: list[Epoch], best: int, path: Path) -> None:
    """Draw the learning curves, the best epoch and the reductions of the learning rate."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter

    losses, accuracies, validation_losses, validation_accuracies, rates = zip(*epochs, strict=True)
    numbers = range(1, len(epochs) + 1)
    fall = "learning rate falls"
    falls = [n + 0.5 for n, (rate, after) in enumerate(pairwise(rates), 1) if after < rate]

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, seen, unseen in (
        (left, losses, validation_losses),
        (right, accuracies, validation_accuracies),
    ):
        axes.plot(numbers, seen, color="tab:blue", label="training")
        axes.plot(numbers, unseen, color="tab:orange", label="validation")
        axes.plot(best + 1, unseen[best], "o", color="tab:orange", label=f"best: epoch {best + 1}")
        if falls:
            axes.vlines(falls, 0, 1, "0.75", ":", transform=axes.get_xaxis_transform(), label=fall)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("cross entropy, nats")
    left.set_yscale("log", subs=[])
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    right.set_ylabel("accuracy")
    right.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
