"""A network of sizes 1-8-5-3-1 learns (cos x + 1) / 2 from 200 points: the document's experiment.

It shows a model, a loss and an optimizer in PyTorch's spelling; that the gradients of autograd are
those derived by hand, formulas (13) to (38); and that the network does not extrapolate beyond its
training range. `--engine handderived` trains with the gradients derived by hand, from the same
start with the same batches, to the same result, only slower.

About one start in four is still far from the curve after 5000 epochs; try another `--seed` then.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from terminal import follow, parser, results

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, viz
from tinygrad_fc.handderived import NeuralNetwork

Array = npt.NDArray[np.float64]

SIZES = [1, 8, 5, 3, 1]
BATCH_SIZE = 40
LEARNING_RATE = 0.1
TRAINED = 7  # the training range is [-7, 7]
TESTED = 9  # and the tested one [-9, 9]: a part of it was never seen

TARGETS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "cos": ("(cos x + 1) / 2", lambda x: (np.cos(x) + 1) / 2),
    "sin": ("(sin x + 1) / 2", lambda x: (np.sin(x) + 1) / 2),
    "tan": ("tan(x) / 2", lambda x: np.tan(x) / 2),
}

criterion = nn.MSELoss(reduction="batchmean")  # formula (6)


def main() -> None:
    """Train, then show the errors, the two kinds of gradients, and the curve."""
    options = parse()
    formula, target = TARGETS[options.target]
    model = make_model(options.seed)
    x, y = points(TRAINED, 200, target)
    test_x, test_y = points(TESTED, 120, target)
    console = Console()

    started = time.perf_counter()
    if options.history:
        training = train_by_autograd(model, x, y, options.epochs, history=options.history)
    else:
        training = ENGINES[options.engine](model, x, y, options.epochs)
    follow(training, epochs=options.epochs, console=console)
    seconds = time.perf_counter() - started

    difference, largest = compare_gradients(model, x, y)
    rows = {
        f"train error, 200 points over [-{TRAINED}, {TRAINED}]": f"{error(model, x, y):.4f}",
        f"test error, 120 points over [-{TESTED}, {TESTED}]": f"{error(model, test_x, test_y):.4f}",
        "seconds of training": f"{seconds:.1f}",
        "largest gradient": f"{largest:.1e}",
        "its largest difference, by hand and by autograd": f"{difference:.1e}",
    }
    title = f"{formula}, {options.epochs} epochs, {options.engine}, seed {options.seed}"
    console.print(results(title, rows))
    if not options.no_plot:
        plot(model, options.target, options.output)
        console.print(f"picture: {options.output}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    options = parser(
        "Train a network of sizes 1-8-5-3-1 on a curve.", epochs=5000, output="cosine.png"
    )
    options.add_argument(
        "--target",
        choices=TARGETS,
        default="cos",
        help="the curve; tan leaves (0, 1), where no sigmoid can follow (default: %(default)s)",
    )
    options.add_argument(
        "--engine",
        choices=ENGINES,
        default="autograd",
        help="computes the gradients; handderived takes about a minute (default: %(default)s)",
    )
    options.add_argument(
        "--history",
        type=Path,
        help="draw loss, gradient norms and saturated units of the training here (by autograd)",
    )
    return options.parse_args()


def make_model(seed: int) -> nn.Sequential:
    """Make the network, its weights and biases drawn from the standard normal distribution."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(SIZES):
        layers += [nn.Linear(inputs, outputs), nn.Sigmoid()]
    model = nn.Sequential(*layers)
    tg.manual_seed(seed)  # here, as the layers have drawn numbers of their own, which go unused
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def points(reach: int, count: int, target: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Return `count` points over [-reach, reach] and the curve there, both (count, 1)."""
    x = np.linspace(-reach, reach, count)[:, np.newaxis]
    return x, target(x)


def error(model: nn.Module, x: Array, y: Array) -> float:
    """Return the cost of formula (6) over all samples."""
    with tg.no_grad():
        return float(criterion(model(tg.tensor(x)), tg.tensor(y)))


def train_by_autograd(
    model: nn.Sequential, x: Array, y: Array, epochs: int, *, history: Path | None = None
) -> Iterator[float]:
    """Train `model`; yield its error after every epoch, and draw the `history` in the end."""
    inputs, targets = tg.tensor(x), tg.tensor(y)
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)
    monitor = viz.History(model, criterion, optimizer) if history else None
    for _ in range(epochs):
        for batch in tg.randperm(len(x)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = criterion(model(inputs[batch]), targets[batch])
            loss.backward()
            optimizer.step()
        yield error(model, x, y)
    if history and monitor:
        monitor.close()
        monitor.plot().savefig(history, dpi=150)


def train_by_hand(model: nn.Sequential, x: Array, y: Array, epochs: int) -> Iterator[float]:
    """Train as `train_by_autograd` does, over the same batches, by formulas (13) to (38)."""
    network = handderived(model)
    samples = as_columns(x, y)
    for _ in range(epochs):
        for batch in tg.randperm(len(x)).split(BATCH_SIZE):
            network.update_batch([samples[i] for i in batch.tolist()], LEARNING_RATE)
        yield float(np.mean((network.feedforward(x.T) - y.T) ** 2))
    with tg.no_grad():
        arrays = network.weights + network.biases
        for parameter, array in zip(weights_then_biases(model), arrays, strict=True):
            parameter.copy_(tg.tensor(array.reshape(parameter.shape)))


ENGINES = {"autograd": train_by_autograd, "handderived": train_by_hand}


def compare_gradients(model: nn.Sequential, x: Array, y: Array) -> tuple[float, float]:
    """Find the gradient of formula (6) both ways; return the largest difference and entry."""
    parameters = weights_then_biases(model)
    by_autograd = tg.autograd.grad(criterion(model(tg.tensor(x)), tg.tensor(y)), parameters)
    network = handderived(model)
    derived = [network.backprop(*sample) for sample in as_columns(x, y)]
    samples = [weights + biases for weights, biases in derived]
    by_hand = [np.mean(gradients, axis=0) for gradients in zip(*samples, strict=True)]
    difference = max(
        np.abs(hand.reshape(auto.shape) - auto.numpy()).max()
        for hand, auto in zip(by_hand, by_autograd, strict=True)
    )
    return difference, max(np.abs(hand).max() for hand in by_hand)


def weights_then_biases(model: nn.Sequential) -> list[nn.Parameter]:
    """Return the parameters in the order of the document's network."""
    parameters = list(model.parameters())
    return parameters[0::2] + parameters[1::2]


def handderived(model: nn.Sequential) -> NeuralNetwork:
    """Return the document's network with the parameters of `model`, a bias being a column."""
    network = NeuralNetwork(SIZES)
    arrays = [parameter.numpy().copy() for parameter in weights_then_biases(model)]
    layers = len(network.weights)
    network.weights = arrays[:layers]
    network.biases = [bias[:, np.newaxis] for bias in arrays[layers:]]
    return network


def as_columns(x: Array, y: Array) -> list[tuple[Array, Array]]:
    """Return the rows of `x` and `y` as the column vectors that the document works with."""
    return list(zip(x[:, :, np.newaxis], y[:, :, np.newaxis], strict=True))


def plot(model: nn.Sequential, name: str, path: Path) -> None:
    """Draw the curve as a line, the network's predictions as stars."""
    from matplotlib.figure import Figure

    formula, target = TARGETS[name]
    curve_x, curve_y = points(TESTED, 1000, target)
    # A line from one branch of tan to the next would be no part of the curve.
    curve_y[np.append(False, np.diff(curve_y[:, 0]) < -1)] = np.nan
    x, _ = points(TESTED, 120, target)
    with tg.no_grad():
        predictions = model(tg.tensor(x)).numpy()

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for start, end, label in (
        (-TESTED, -TRAINED, "outside the training range"),
        (TRAINED, TESTED, None),
    ):
        axes.axvspan(start, end, color="0.92", label=label)
    axes.plot(curve_x, curve_y, color="tab:red", label=f"target, {formula}")
    axes.plot(
        x, predictions, "*", color="tab:blue", markersize=8, markeredgewidth=0, label="prediction"
    )
    axes.set(
        xlabel="x",
        ylabel="y",
        xlim=(-TESTED, TESTED),
        ylim=(-0.6, 1.6) if name == "tan" else (-0.1, 1.1),
    )
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
