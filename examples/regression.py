"""The progression of diabetes within a year: a tabular regression with standardised inputs.

The data are scikit-learn's: ten measurements of each of 442 patients, in years, mmHg, mg/dl and so
on, and a number for the disease's progression, from 25 to 346. It shows a model that standardises
its inputs with buffers, which are saved with it, so that the file alone predicts from raw
measurements; AdamW and early stopping; and a comparison with a linear model, which is about as
good here.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from terminal import follow, parser, results

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.utils.data import DataLoader, TensorDataset

Array = npt.NDArray[np.float64]

MEASUREMENTS, HIDDEN = 10, 64
BATCH_SIZE = 32
LEARNING_RATE = 0.001
STOP_AFTER = 60  # epochs without a better validation error


class Progression(nn.Module):
    """Predicts from measurements `(N, 10)` the progression `(N, 1)`, in its own unit."""

    measurement_mean: tg.Tensor
    measurement_std: tg.Tensor
    progression_mean: tg.Tensor
    progression_std: tg.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("measurement_mean", tg.zeros(MEASUREMENTS))
        self.register_buffer("measurement_std", tg.ones(MEASUREMENTS))
        self.register_buffer("progression_mean", tg.zeros(1))
        self.register_buffer("progression_std", tg.ones(1))
        self.layers = nn.Sequential(
            nn.Linear(MEASUREMENTS, HIDDEN), nn.SiLU(), nn.Dropout(0.3), nn.Linear(HIDDEN, 1)
        )

    def standardise_by(self, measurements: tg.Tensor, progressions: tg.Tensor) -> None:
        """Set means and standard deviations to those of the training data."""
        self.measurement_mean.copy_(measurements.mean(0))
        self.measurement_std.copy_(measurements.std(0))
        self.progression_mean.copy_(progressions.mean(0))
        self.progression_std.copy_(progressions.std(0))

    def forward(self, measurements: tg.Tensor) -> tg.Tensor:
        """Let the layers see, and predict, numbers around 0 of a size around 1."""
        standardised = (measurements - self.measurement_mean) / self.measurement_std
        output: tg.Tensor = self.layers(standardised)
        return output * self.progression_std + self.progression_mean


def main() -> None:
    """Train, then compare with a linear model on the patients held out."""
    options = parser(
        "Train a network to predict how far diabetes progresses.",
        epochs=500,
        output="regression.png",
        checkpoint="regression.safetensors",
    ).parse_args()
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score, root_mean_squared_error
    from sklearn.model_selection import train_test_split

    tg.manual_seed(options.seed)
    x, y = load_diabetes(return_X_y=True, scaled=False)
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.25, random_state=options.seed)
    learn_x, watch_x, learn_y, watch_y = train_test_split(
        x, y, test_size=0.2, random_state=options.seed
    )
    console = Console()

    started = time.perf_counter()
    curves: list[tuple[float, float]] = []
    training = train(
        (learn_x, learn_y), (watch_x, watch_y), options.epochs, curves, options.checkpoint
    )
    follow(training, epochs=options.epochs, console=console, what="validation RMSE")
    seconds = time.perf_counter() - started

    model = Progression()
    model.load_state_dict(tg.load(options.checkpoint))
    linear = LinearRegression().fit(x, y)  # it needs no watching: it gets all but those held out
    predictions = {"network": predict(model, test_x), "linear model": linear.predict(test_x)}
    rows: dict[str, list[str]] = {
        f"R², {len(test_y)} held out": [f"{r2_score(test_y, p):.3f}" for p in predictions.values()],
        f"RMSE, {len(test_y)} held out": [
            f"{root_mean_squared_error(test_y, p):.1f}" for p in predictions.values()
        ],
        "parameters": [
            f"{sum(p.numel() for p in model.parameters()):,}",
            f"{linear.coef_.size + 1}",
        ],
    }
    best = 1 + int(np.argmin([unseen for _, unseen in curves]))
    rows |= {
        "epochs, the best of them": [f"{len(curves)}, {best}", ""],
        "seconds of training": [f"{seconds:.1f}", ""],
    }
    title = f"progression of diabetes, seed {options.seed}"
    console.print(results(title, rows, columns=list(predictions)))
    console.print(f"checkpoint: {options.checkpoint}")
    if not options.no_plot:
        plot(curves, test_y, predictions, options.output)
        console.print(f"picture: {options.output}")


def train(
    learned: tuple[Array, Array],
    watched: tuple[Array, Array],
    epochs: int,
    curves: list[tuple[float, float]],
    checkpoint: Path,
) -> Iterator[float]:
    """Train a model on `learned` until the error on `watched` stops decreasing.

    Save the best model; append both errors to `curves` after each epoch, and yield the second.
    """
    from sklearn.metrics import root_mean_squared_error

    x, y = tg.tensor(learned[0]), tg.tensor(learned[1]).unsqueeze(1)
    model = Progression()
    model.standardise_by(x, y)
    batches: DataLoader[Any] = DataLoader(TensorDataset(x, y), BATCH_SIZE, shuffle=True)
    optimizer = optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    criterion = nn.MSELoss()
    scale = model.progression_std
    least, best = float("inf"), 0
    while len(curves) < min(epochs, best + STOP_AFTER):
        model.train()
        for inputs, targets in batches:
            optimizer.zero_grad()
            loss = criterion(model(inputs) / scale, targets / scale)
            loss.backward()
            optimizer.step()
        errors = [
            float(root_mean_squared_error(v, predict(model, u))) for u, v in (learned, watched)
        ]
        curves.append((errors[0], errors[1]))
        if errors[1] < least:
            least, best = errors[1], len(curves)
            tg.save(model.state_dict(), checkpoint)
        yield errors[1]


def predict(model: nn.Module, measurements: Array) -> Array:
    """Return the progressions, one for each row of `measurements`."""
    model.eval()
    with tg.no_grad():
        progressions: Array = model(tg.tensor(measurements)).squeeze(1).numpy()
    return progressions


def plot(
    curves: list[tuple[float, float]], true: Array, predictions: dict[str, Array], path: Path
) -> None:
    """Draw the learning curves, and the predictions against the true values."""
    from matplotlib.figure import Figure

    seen, unseen = np.transpose(curves)
    best = int(unseen.argmin())
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    numbers = np.arange(1, len(curves) + 1)
    left.plot(numbers, seen, color="tab:blue", label="training")
    left.plot(numbers, unseen, color="tab:orange", label="validation")
    left.plot(best + 1, unseen[best], "o", color="tab:orange", label=f"best: epoch {best + 1}")
    left.set(xlabel="epoch", ylabel="RMSE of the progression")

    everything = [true, *predictions.values()]
    ends = [min(map(np.min, everything)) - 10, max(map(np.max, everything)) + 10]
    right.plot(ends, ends, color="0.75", linestyle="--", label="prediction = truth")
    for (name, values), marker, color in zip(
        predictions.items(), "ox", ("tab:blue", "tab:red"), strict=True
    ):
        right.plot(true, values, marker, color=color, label=name, markersize=5, alpha=0.7)
    right.set(
        xlabel="true progression, held out", ylabel="predicted progression", xlim=ends, ylim=ends
    )
    right.set_aspect("equal")
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
