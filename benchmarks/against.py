"""The eager speed of this working tree against that of another commit.

    python benchmarks/step.py --against REV [--rounds N]

Two processes, one for each, take turns to time training steps and single calls, in an order that is
shuffled every round. A ratio is the median of the ratios within rounds: below 1, this tree is
faster.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import one_thread  # noqa: F401  before NumPy

# isort: split
from contestants import ROWS, pytorch_style

import tinygrad_fc as tg

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
SECONDS = 0.02  # for each turn


def measured() -> dict[str, Callable[[], object]]:
    """Return what is timed, by name: the rows of `step.py`, and calls that record one node."""
    x, functional = tg.rand(8, 8).requires_grad_(), tg.nn.functional
    calls: dict[str, Callable[[], object]] = {
        "x.sum()": x.sum,
        "x.sum(axis=0)": lambda: x.sum(axis=0),
        "x.mean(dim=1)": lambda: x.mean(dim=1),
        "softmax(x, -1)": lambda: functional.softmax(x, -1),
        "leaky_relu(x, 0.1)": lambda: functional.leaky_relu(x, 0.1),
        "x.clamp(min=0)": lambda: x.clamp(min=0),
    }
    steps = {str(row): pytorch_style(row, tg).step for row in ROWS}
    return {**steps, **calls}


def seconds_of(function: Callable[[], object], repeats: int) -> float:
    """Return the mean time of a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def serve() -> None:
    """Time what is named on each line of the input, and print its seconds."""
    functions, repeats = measured(), dict[str, int]()
    print(json.dumps([*functions]), flush=True)
    for line in sys.stdin:
        name = line.rstrip("\n")
        if name not in repeats:
            once = min(seconds_of(functions[name], 3) for _ in range(5))
            repeats[name] = max(1, round(SECONDS / once))
        print(seconds_of(functions[name], repeats[name]), flush=True)


class Worker:
    """A process that times the library of one working tree."""

    def __init__(self, tree: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process: Any = subprocess.Popen([sys.executable, __file__], env=environment, **pipes)  # noqa: S603
        self.names: list[str] = json.loads(self._line())

    def _line(self) -> str:
        line: str = self.process.stdout.readline()
        return line or sys.exit("a process ended: its error is above")

    def seconds(self, name: str) -> float:
        """Return the time of what has this name."""
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return float(self._line())


def ratios(revision: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Return by name the microseconds now, and the ratio to those at `revision`."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)  # noqa: S603
        workers = [Worker(ROOT), Worker(tree)]
        try:
            times: dict[str, list[list[float]]] = {name: [[], []] for name in workers[0].names}
            for _ in range(rounds):
                for name, lists in times.items():
                    for k in random.sample((0, 1), 2):
                        lists[k].append(workers[k].seconds(name))
        finally:
            for worker in workers:
                worker.process.kill()
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)  # noqa: S603
    return {
        name: (
            statistics.median(now) * 1e6,
            statistics.median(a / b for a, b in zip(now, then, strict=True)),
        )
        for name, (now, then) in times.items()
    }


def report(revision: str, rounds: int) -> None:
    """Print the ratios."""
    print(f"{'':30}{'µs now':>10}{'now / ' + revision:>24}")
    for name, (now, ratio) in ratios(revision, rounds).items():
        print(f"{name:30}{now:10.2f}{ratio:24.3f}")


if __name__ == "__main__":
    serve()
