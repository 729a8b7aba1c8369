"""How long a training step takes: here, in hand-written NumPy, and in PyTorch eager.

One step is forward, backward and SGD for a sigmoid network under MSELoss. Contestants take turns in
an order that is shuffled every round, so that a machine that slows down slows them all; a ratio is
the median of the ratios within rounds. They first have to reach the same parameters from the same
start: how fast a wrong step is means nothing. Beyond that, what an import costs, and whether a long
chain of operations costs time and memory in proportion to its length.

    python benchmarks/step.py [--rounds N] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

# BLAS reads these once, at import. One thread each: two thread pools on a few cores would measure
# each other.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import tinygrad_fc  # noqa: E402
from tinygrad_fc.handderived import NeuralNetwork  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Figures = dict[str, Any]

LEARNING_RATE = 1.0
IMPORT_LIMIT = 30.0  # ms beyond NumPy's
CHAINS = (10**4, 10**5, 10**6)


@dataclass(frozen=True)
class Row:
    """A network, its batch and dtype, and the most that ours may take of each rival's time."""

    sizes: tuple[int, ...]
    batch: int
    dtype: str
    limits: dict[str, float]
    document: bool = False  # whether the document's program, sample by sample, joins

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, {self.batch}, {self.dtype}"

    def start(self) -> tuple[list[Array], Array, Array]:
        """Weight and bias of every layer in turn, inputs and targets: the same at every call."""
        rng = np.random.default_rng(0)
        parameters = []
        for n_in, n_out in pairwise(self.sizes):
            parameters.append(rng.standard_normal((n_out, n_in)) / n_in**0.5)
            parameters.append(rng.standard_normal(n_out))
        x, target = (rng.random((self.batch, n)) for n in (self.sizes[0], self.sizes[-1]))
        arrays = [array.astype(self.dtype) for array in (*parameters, x, target)]
        return arrays[:-2], arrays[-2], arrays[-1]


ROWS = (
    Row((1, 8, 5, 3, 1), 40, "float64", {"numpy": 1.8, "torch": 0.3}, document=True),
    Row((8, 16, 1), 32, "float64", {"numpy": 1.9, "torch": 0.3}),
    Row((784, 128, 64, 10), 64, "float32", {"numpy": 1.15, "torch": 0.65}),
    Row((784, 512, 512, 10), 256, "float32", {"numpy": 1.08, "torch": 1.08}),
)


@dataclass
class Contestant:
    """A way to take a training step, and to see the parameters that it has reached."""

    step: Callable[[], object]
    parameters: Callable[[], list[Array]]
    repeats: int = 1
    seconds: list[float] = field(default_factory=list)


def handwritten(row: Row) -> Contestant:
    """The yardstick: whole batches, sums over columns, parameters updated in place."""
    parameters, x, target = row.start()
    weights, biases = parameters[::2], parameters[1::2]

    def step() -> float:
        ys = [x]
        for weight, bias in zip(weights, biases, strict=True):
            ys.append(1 / (1 + np.exp(-(ys[-1] @ weight.T + bias))))
        error = ys[-1] - target
        loss = np.vdot(error, error) / error.size
        d = 2 / error.size * error
        for layer in range(len(weights) - 1, -1, -1):
            y = ys[layer + 1]
            d *= y * (1 - y)
            weight_gradient, bias_gradient = d.T @ ys[layer], d.sum(axis=0)
            if layer:
                d = d @ weights[layer]
            weight_gradient *= LEARNING_RATE
            weights[layer] -= weight_gradient
            bias_gradient *= LEARNING_RATE
            biases[layer] -= bias_gradient
        return float(loss)

    return Contestant(step, lambda: parameters)


def pytorch_style(row: Row, library: ModuleType) -> Contestant:
    """The loop that users write, letter for letter the same for both libraries."""
    nn, optim = library.nn, library.optim
    parameters, x, target = row.start()
    layers: list[Any] = []
    for n_in, n_out in pairwise(row.sizes):
        layers += [nn.Linear(n_in, n_out, dtype=getattr(library, row.dtype)), nn.Sigmoid()]
    model = nn.Sequential(*layers)
    with library.no_grad():
        for parameter, array in zip(model.parameters(), parameters, strict=True):
            parameter.copy_(library.from_numpy(array))
    inputs, targets = library.from_numpy(x), library.from_numpy(target)
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> object:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    return Contestant(step, lambda: [p.detach().numpy() for p in model.parameters()])


def document(row: Row) -> Contestant:
    """The document's program. With one output, formula (6) is the mean that MSELoss takes."""
    parameters, x, target = row.start()
    network = NeuralNetwork(row.sizes)
    network.weights = parameters[::2]
    network.biases = [bias[:, None] for bias in parameters[1::2]]
    batch = [(x_i[:, None], t_i[:, None]) for x_i, t_i in zip(x, target, strict=True)]

    def reached() -> list[Array]:
        pairs = zip(network.weights, network.biases, strict=True)
        return [p for weight, bias in pairs for p in (weight, bias[:, 0])]

    return Contestant(lambda: network.update_batch(batch, LEARNING_RATE), reached)


def contestants(row: Row, libraries: dict[str, ModuleType]) -> dict[str, Contestant]:
    """Return all that can take part in a row, by name."""
    entered = {"numpy": handwritten(row)}
    for name, library in libraries.items():
        entered[name] = pytorch_style(row, library)
    if row.document:
        entered["document"] = document(row)
    return entered


def disagreement(row: Row, entered: dict[str, Contestant], steps: int = 20) -> float:
    """Return the largest difference in a parameter from NumPy's, in units of how far it moved.

    Exits where the difference is more than rounding: a step that is wrong has no speed.
    """
    for contestant in entered.values():
        for _ in range(steps):
            contestant.step()
    largest = 0.0
    expected = entered["numpy"].parameters()
    for name, contestant in entered.items():
        reached = zip(contestant.parameters(), expected, row.start()[0], strict=True)
        # np.max, as max loses a NaN
        difference = float(np.max([abs(p - q).max() / abs(q - s).max() for p, q, s in reached]))
        largest = max(largest, difference)
        if not difference <= (1e-9 if row.dtype == "float64" else 1e-2):
            sys.exit(f"{row}: {name} and numpy differ by {difference:.1e} after {steps} steps")
    return largest


def race(entered: dict[str, Contestant], rounds: int, seconds: float) -> None:
    """Time all contestants, round by round, each for about as many seconds a round."""
    for contestant in entered.values():
        once = min(timed(contestant) for _ in range(5))
        contestant.repeats = max(1, round(seconds / once))
    order = list(entered.values())
    for _ in range(rounds):
        random.shuffle(order)
        for contestant in order:
            contestant.seconds.append(timed(contestant))


def timed(contestant: Contestant) -> float:
    """Return the seconds that one step takes, as the mean of as many as a round has."""
    step = contestant.step
    start = time.perf_counter()
    for _ in range(contestant.repeats):
        step()
    return (time.perf_counter() - start) / contestant.repeats


def measure(row: Row, libraries: dict[str, ModuleType], rounds: int, seconds: float) -> Figures:
    """Return one row's figures: microseconds a step, and the ratios of ours."""
    entered = contestants(row, libraries)
    difference = disagreement(row, entered)
    race(entered, rounds, seconds)
    figures: Figures = {"row": str(row), "difference": difference, "ratios": {}}
    figures["us"] = {name: statistics.median(c.seconds) * 1e6 for name, c in entered.items()}
    for rival in entered.keys() - {"ours"}:
        pairs = zip(entered["ours"].seconds, entered[rival].seconds, strict=True)
        figures["ratios"][rival] = statistics.median(ours / theirs for ours, theirs in pairs)
    return figures


def import_milliseconds(repeats: int) -> float:
    """Return what `import tinygrad_fc` takes in a fresh process that has imported NumPy."""
    code = (
        "import time, numpy; start = time.perf_counter(); import tinygrad_fc; "
        "print(time.perf_counter() - start)"
    )
    # Users have byte code from their second import on, so it is written by a first run.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    runs = [
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, check=True, env=environment
        )
        for _ in range(repeats + 1)
    ]
    return statistics.median(float(run.stdout) for run in runs[1:]) * 1e3


def run_chain(library: ModuleType, length: int) -> None:
    """Record, walk and drop a chain of multiplications."""
    factor = 1 + 1e-7
    x = library.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(length):
        y = y * factor
    y.backward()
    if not math.isclose(x.grad.item(), factor**length):
        sys.exit(f"a chain of {length} operations has the wrong gradient, {x.grad.item()}")


def chain_cost(library: ModuleType, length: int) -> dict[str, float]:
    """Return a chain's microseconds and bytes for each of its operations."""
    start = time.perf_counter()
    run_chain(library, length)
    seconds = time.perf_counter() - start
    tracemalloc.start()  # in a run of its own: it slows what it watches
    run_chain(library, length)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"length": length, "us": seconds / length * 1e6, "bytes": peak / length}


def ratio_cell(ratio: float | None, limit: float) -> str:
    """Write a ratio beside its limit, red where it is above."""
    if ratio is None:
        return "-"
    return f"[{'green' if ratio <= limit else 'red'}]{ratio:.2f}[/] (≤ {limit:.2f})"


def report(results: Figures, console: Console) -> None:
    """Print all figures as tables."""
    names = {"numpy": "NumPy", "ours": "ours", "torch": "PyTorch", "document": "document"}
    table = Table(title="One training step, µs", title_justify="left")
    table.add_column("network, batch, dtype")
    for heading in [*names.values(), "ours / NumPy", "ours / PyTorch", "differ by"]:
        table.add_column(heading, justify="right")
    for row, figures in zip(ROWS, results["steps"], strict=True):
        times = [f"{figures['us'][name]:.0f}" if name in figures["us"] else "-" for name in names]
        ratios = [ratio_cell(figures["ratios"].get(k), limit) for k, limit in row.limits.items()]
        table.add_row(figures["row"], *times, *ratios, f"{figures['difference']:.0e}")
    console.print(table)
    milliseconds = results["import_ms"]
    verdict = "green" if milliseconds <= IMPORT_LIMIT else "red"
    console.print(
        f"import, beyond NumPy's: [{verdict}]{milliseconds:.1f} ms[/] (≤ {IMPORT_LIMIT:.0f})"
    )
    for cost in results["chains"]:
        console.print(
            f"chain of {cost['length']:>9,} operations: {cost['us']:.2f} µs and "
            f"{cost['bytes']:.0f} bytes for each"
        )


def installed() -> dict[str, ModuleType]:
    """Return the libraries that the same loop runs on: ours, and PyTorch where it is there."""
    libraries = {"ours": tinygrad_fc}
    with contextlib.suppress(ModuleNotFoundError):
        libraries["torch"] = importlib.import_module("torch")
        libraries["torch"].set_num_threads(1)
    return libraries


def main() -> None:
    """Measure what the options ask for, and report it."""
    parser = argparse.ArgumentParser(description="Time a training step against its rivals.")
    parser.add_argument("--rounds", type=int, default=51, help="how often each takes its turn")
    parser.add_argument("--quick", action="store_true", help="a rough answer in seconds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    libraries = installed()
    rounds, seconds = (min(options.rounds, 7), 0.005) if options.quick else (options.rounds, 0.02)
    lengths = CHAINS[:2] if options.quick else CHAINS
    results: Figures = {
        "steps": [measure(row, libraries, rounds, seconds) for row in ROWS],
        "import_ms": import_milliseconds(3 if options.quick else 9),
        "chains": [chain_cost(tinygrad_fc, length) for length in lengths],
    }
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        report(results, Console(width=None if sys.stdout.isatty() else 130))


if __name__ == "__main__":
    main()
