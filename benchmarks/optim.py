"""How long an optimizer's step takes: here, and in PyTorch, one parameter after the other.

Only `optimizer.step()` is timed, on gradients that stay the same. Both start from the same
parameters and first have to reach the same: how fast a wrong step is means nothing. They take
turns in an order that is shuffled every round, so that a machine that slows down slows both; the
ratio is the median of the ratios within rounds. PyTorch runs on one thread, with `foreach=False`.

    python benchmarks/optim.py [--rounds N] [NAME ...]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import one_thread  # noqa: F401  before NumPy

# isort: split

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import tinygrad_fc

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

LARGE, SMALL = (784, 512, 512, 10), (8, 16, 16, 16, 16, 1)
LIMIT = 1.3  # of PyTorch's time, for Adam on the large network


@dataclass(frozen=True)
class Row:
    """An optimizer with options, the layers whose parameters it changes, and their dtype."""

    name: str
    sizes: tuple[int, ...] = LARGE
    dtype: str = "float32"
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = ", ".join(f"{option}={value}" for option, value in self.options.items())
        return f"{self.name}({given}), {'-'.join(map(str, self.sizes))}, {self.dtype}"


ROWS = (
    Row("Adam"),
    Row("Adam", dtype="float64"),
    Row("Adam", SMALL),
    Row("Adam", options={"amsgrad": True, "weight_decay": 0.01}),
    Row("AdamW"),
    Row("SGD"),
    Row("SGD", options={"momentum": 0.9}),
    Row("SGD", SMALL, options={"momentum": 0.9}),
    *(Row(name) for name in ("RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam")),
    *(Row(name) for name in ("Rprop", "ASGD")),
)


@dataclass
class Contestant:
    """One library's optimizer, and the parameters that it changes."""

    step: Callable[[], object]
    parameters: list[Any]
    seconds: list[float] = field(default_factory=list)


def enter(library: ModuleType, row: Row) -> Contestant:
    """Return an optimizer on parameters with gradients, the same at every call."""
    rng = np.random.default_rng(0)
    parameters = []
    for n_in, n_out in pairwise(row.sizes):
        for shape in ((n_out, n_in), (n_out,)):
            values = rng.standard_normal((2, *shape)).astype(row.dtype)
            parameter = library.tensor(values[0], requires_grad=True)
            parameter.grad = library.tensor(values[1] * np.asarray(0.01, row.dtype))
            parameters.append(parameter)
    others = {"foreach": False} if library is torch else {}
    optimizer = getattr(library.optim, row.name)(parameters, **row.options, **others)
    return Contestant(optimizer.step, parameters)


def timed(contestant: Contestant, repeats: int) -> float:
    """Return the seconds that one step takes, as the mean of `repeats`."""
    start = time.perf_counter()
    for _ in range(repeats):
        contestant.step()
    return (time.perf_counter() - start) / repeats


def measure(row: Row, rounds: int) -> tuple[float, float, float]:
    """Return our microseconds a step, PyTorch's, and the ratio of the two."""
    ours, theirs = enter(tinygrad_fc, row), enter(torch, row)
    repeats = max(1, round(0.005 / min(timed(theirs, 1) for _ in range(5))))
    for _ in range(5):
        ours.step()
    tolerance = 1e-9 if row.dtype == "float64" else 1e-4
    for mine, yours in zip(ours.parameters, theirs.parameters, strict=True):
        np.testing.assert_allclose(mine.numpy(), yours.detach().numpy(), tolerance, tolerance)
    order = [ours, theirs]
    for _ in range(rounds):
        random.shuffle(order)
        for contestant in order:
            contestant.seconds.append(timed(contestant, repeats))
    pairs = zip(ours.seconds, theirs.seconds, strict=True)
    ratio = statistics.median(mine / yours for mine, yours in pairs)
    microseconds = [statistics.median(c.seconds) * 1e6 for c in (ours, theirs)]
    return microseconds[0], microseconds[1], ratio


def main() -> None:
    """Measure the rows whose optimizer was asked for, or all."""
    parser = argparse.ArgumentParser(description="Time an optimizer's step against PyTorch's.")
    parser.add_argument("names", nargs="*", help="optimizers, such as Adam; all by default")
    parser.add_argument("--rounds", type=int, default=51, help="how often each takes its turn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title="One optimizer step, µs", title_justify="left")
    table.add_column("optimizer, layers, dtype")
    for heading in ("ours", "PyTorch", "ours / PyTorch"):
        table.add_column(heading, justify="right")
    for row in ROWS:
        if options.names and row.name not in options.names:
            continue
        ours, theirs, ratio = measure(row, options.rounds)
        limit = f" (≤ {LIMIT})" if row == ROWS[0] else ""
        table.add_row(str(row), f"{ours:.0f}", f"{theirs:.0f}", f"{ratio:.2f}{limit}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
