"""What an epoch of batches costs: a DataLoader here, NumPy's own indexing, and PyTorch's loader.

The yardstick draws a permutation and slices it: `x[order[i : i + batch]]`, and the same for y.
Contestants take turns in an order that is shuffled every round, and a ratio is the median of the
ratios within rounds. First they have to yield the same rows.

    python benchmarks/data.py [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import random
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import one_thread  # noqa: F401  before NumPy

# isort: split

import numpy as np
from rich.console import Console
from rich.table import Table

from tinygrad_fc.utils.data import DataLoader, TensorDataset, random_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Epoch = Callable[[], Iterable[Any]]

LIMIT = 1.5  # ours / NumPy
SECONDS = 0.05  # the least that a turn takes


@dataclass(frozen=True)
class Row:
    """A data set, and how it is read."""

    samples: int
    features: int
    dtype: str
    batch: int

    def __str__(self) -> str:
        return f"{self.samples:,} x {self.features} {self.dtype}, {self.batch}"

    def data(self) -> tuple[Any, Any]:
        """Inputs and labels; a label is the number of its row."""
        x = np.random.default_rng(0).random((self.samples, self.features)).astype(self.dtype)
        return x, np.arange(self.samples)


ROWS = (
    Row(20_000, 784, "float32", 64),
    Row(20_000, 784, "float32", 256),
    Row(1_797, 64, "float64", 32),
    Row(20_000, 16, "float64", 32),
    Row(20_000, 16, "float64", 128),
)


def contestants(row: Row) -> dict[str, Epoch]:
    """Return the ways to read the data in batches in random order, an epoch a call."""
    x, y = row.data()
    rng = np.random.default_rng(0)

    def plain() -> Iterable[Any]:
        order = rng.permutation(len(x))
        for start in range(0, len(x), row.batch):
            at = order[start : start + row.batch]
            yield x[at], y[at]

    dataset = TensorDataset(x, y)
    (split,) = random_split(dataset, [row.samples])
    entered: dict[str, Epoch] = {
        "numpy": plain,
        "ours": DataLoader(dataset, batch_size=row.batch, shuffle=True).__iter__,
        "split": DataLoader(split, batch_size=row.batch, shuffle=True).__iter__,
    }
    with contextlib.suppress(ModuleNotFoundError):
        torch, data = (importlib.import_module(name) for name in ("torch", "torch.utils.data"))
        torch.set_num_threads(1)
        theirs = data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
        entered["torch"] = data.DataLoader(theirs, batch_size=row.batch, shuffle=True).__iter__
    for name, epoch in entered.items():
        seen = np.concatenate([np.asarray(labels) for _, labels in epoch()])
        if sorted(seen.tolist()) != y.tolist():
            sys.exit(f"{row}: {name} does not yield every row once")
        inputs, labels = next(iter(epoch()))
        np.testing.assert_array_equal(np.asarray(inputs), x[np.asarray(labels)])
    return entered


def timed(epoch: Epoch, repeats: int) -> float:
    """Return the seconds that an epoch takes, as the mean of a few."""
    start = time.perf_counter()
    for _ in range(repeats):
        for _inputs, _labels in epoch():
            pass
    return (time.perf_counter() - start) / repeats


def measure(row: Row, rounds: int) -> dict[str, Any]:
    """Return microseconds a batch, and the ratios to NumPy's."""
    entered = contestants(row)
    repeats = {name: max(1, round(SECONDS / timed(epoch, 1))) for name, epoch in entered.items()}
    seconds: dict[str, list[float]] = {name: [] for name in entered}
    order = list(entered)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            seconds[name].append(timed(entered[name], repeats[name]))
    batches = -(-row.samples // row.batch)
    pairs = {name: zip(times, seconds["numpy"], strict=True) for name, times in seconds.items()}
    return {
        "row": str(row),
        "us": {name: statistics.median(times) / batches * 1e6 for name, times in seconds.items()},
        "ratios": {name: statistics.median(a / b for a, b in pair) for name, pair in pairs.items()},
    }


def report(results: list[dict[str, Any]], console: Console) -> None:
    """Print all figures as a table."""
    table = Table(title="A batch of inputs and labels, µs", title_justify="left")
    table.add_column("data, batch")
    for heading in ("NumPy", "ours", "a split", "PyTorch", "ours / NumPy", "a split / NumPy"):
        table.add_column(heading, justify="right")
    for figures in results:
        us, ratio = figures["us"], figures["ratios"]
        cells = [f"{us[name]:.1f}" if name in us else "-" for name in ("numpy", "ours", "split")]
        cells.append(f"{us['torch']:.0f}" if "torch" in us else "-")
        color = "green" if ratio["ours"] <= LIMIT else "red"
        cells += [f"[{color}]{ratio['ours']:.2f}[/] (≤ {LIMIT})", f"{ratio['split']:.2f}"]
        table.add_row(figures["row"], *cells)
    console.print(table)


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description="Time batches against plain indexing.")
    parser.add_argument("--rounds", type=int, default=11, help="how often each takes its turn")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    results = [measure(row, options.rounds) for row in ROWS]
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        report(results, Console(width=None if sys.stdout.isatty() else 130))


if __name__ == "__main__":
    main()
