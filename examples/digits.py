"""A fully connected sigmoid network learns to read handwritten digits.

The data are scikit-learn's 1,797 pictures of 8 by 8 pixels, a quarter of them held out. `Linear`,
`Sigmoid`, `MSELoss` and `SGD` alone classify 97 of 100 held-out digits correctly. The picture shows
the others, many of which are ambiguous to people as well.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from terminal import follow, parser, results

import tinygrad_fc as tg
from tinygrad_fc import nn, optim

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

SIDE = 8  # pixels
DIGITS = 10
HIDDEN = 64
BATCH_SIZE = 32
LEARNING_RATE = 0.5
SHOWN = 12  # mistakes in the picture


def main() -> None:
    """Train, then show the accuracy and the mistakes on the held-out quarter."""
    options = parser(
        "Train a sigmoid network on handwritten digits.", epochs=200, output="digits.png"
    ).parse_args()
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    tg.manual_seed(options.seed)
    images, labels = load_digits(return_X_y=True)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images / images.max(), labels, test_size=0.25, stratify=labels, random_state=options.seed
    )
    model = make_model()
    console = Console()

    started = time.perf_counter()
    training = train(model, train_images, train_labels, options.epochs)
    follow(training, epochs=options.epochs, console=console)
    seconds = time.perf_counter() - started

    outputs = predict(model, test_images)
    read = outputs.argmax(axis=1)
    learned = predict(model, train_images).argmax(axis=1) == train_labels
    rows = {
        f"accuracy on {len(train_labels)} training images": f"{learned.mean():.1%}",
        f"accuracy on {len(test_labels)} held-out images": f"{np.mean(read == test_labels):.1%}",
        "mistakes": f"{np.sum(read != test_labels)}",
        "seconds of training": f"{seconds:.1f}",
    }
    title = f"handwritten digits, {options.epochs} epochs, seed {options.seed}"
    console.print(results(title, rows))
    if not options.no_plot:
        plot(test_images, test_labels, outputs, options.output)
        console.print(f"picture: {options.output}")


def make_model() -> nn.Sequential:
    """Make the network; its weights start as Glorot and Bengio (2010) advise for sigmoids."""
    model = nn.Sequential(
        nn.Linear(SIDE * SIDE, HIDDEN),
        nn.Sigmoid(),
        nn.Linear(HIDDEN, DIGITS),
        nn.Sigmoid(),
    )
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            nn.init.xavier_normal_(parameter, gain=4)
        else:
            nn.init.zeros_(parameter)
    return model


def train(model: nn.Module, images: Array, labels: Labels, epochs: int) -> Iterator[float]:
    """Train `model`; yield the mean error of each epoch's batches."""
    inputs = tg.tensor(images)
    targets = tg.eye(DIGITS)[tg.tensor(labels)]  # a 1 at the digit, 0 elsewhere
    criterion = nn.MSELoss(reduction="batchmean")
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        errors = []
        for batch in tg.randperm(len(inputs)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = criterion(model(inputs[batch]), targets[batch])
            loss.backward()
            optimizer.step()
            errors.append(loss.item())
        yield float(np.mean(errors))


def predict(model: nn.Module, images: Array) -> Array:
    """Return the ten outputs for every image, each in (0, 1): the digit is the largest one's."""
    with tg.no_grad():
        outputs: Array = model(tg.tensor(images)).numpy()
    return outputs


def plot(images: Array, labels: Labels, outputs: Array, path: Path) -> None:
    """Draw the mistakes of which the network was surest, the surest first."""
    from matplotlib.figure import Figure

    read = outputs.argmax(axis=1)
    mistakes = np.flatnonzero(read != labels)
    surest = mistakes[np.argsort(-outputs.max(axis=1)[mistakes])][:SHOWN]

    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(
        f"{len(mistakes)} of {len(labels)} held-out digits are misread, the surest mistakes first"
    )
    for place, i in enumerate(surest, start=1):
        axes = figure.add_subplot(2, SHOWN // 2, place, xticks=[], yticks=[])
        axes.imshow(images[i].reshape(SIDE, SIDE), cmap="gray_r")
        axes.spines[:].set_color("0.8")
        axes.set_xlabel(f"a {labels[i]}, read as {read[i]}")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
