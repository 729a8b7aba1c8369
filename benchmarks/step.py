"""How long a training step takes: here eager and compiled, in hand-written NumPy, and elsewhere.

One step is forward, backward and SGD for a sigmoid network under MSELoss; who takes part is in
`contestants.py`. Contestants take turns in an order that is shuffled every round, so that a machine
that slows down slows them all; a ratio is the median of the ratios within rounds, and of several
processes, since where memory happens to lie is worth a few percent. They first have to reach the
same parameters from the same start: how fast a wrong step is means nothing. Beyond that: the
document's whole experiment as one call, what an import costs, and whether a long chain of
operations costs time and memory in proportion to its length.

    python benchmarks/step.py [--rounds N] [--processes N] [--quick] [--torch-compile] [--json]
    python benchmarks/step.py --against REV     this working tree against another commit
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import one_thread  # noqa: F401  before NumPy

# isort: split
import against
import history
import numpy as np
from contestants import RATIOS, ROWS, Contestant, Row, characters, contestants, installed
from experiment import experiment
from rich.console import Console
from rich.table import Table

import tinygrad_fc

if TYPE_CHECKING:
    from types import ModuleType

    Figures = dict[str, Any]

IMPORT_LIMIT = 25.0  # ms beyond NumPy's
CHAINS = (10**4, 10**5, 10**6)
CHARACTERS_LIMIT = 0.8  # eager, of PyTorch's time
CHARACTERS_DIFFERENCE = 1e-3  # in a parameter of float32, after 20 steps
EXPERIMENT_LIMIT = 500.0  # times as fast as the document's program
EPOCH_LIMIT = 1.6  # of the time of the same steps in C by hand


def disagreement(row: Row, entered: dict[str, Contestant], steps: int = 20) -> float:
    """Return the largest difference in a parameter from hand-written NumPy, as part of its change.

    Exits where the difference is more than rounding: a step that is wrong has no speed.
    """
    for contestant in entered.values():
        for _ in range(steps):
            contestant.step()
    largest = 0.0
    expected = entered["hand-written NumPy"].parameters()
    for name, contestant in entered.items():
        reached = zip(contestant.parameters(), expected, row.start()[0], strict=True)
        # np.max, as max loses a NaN
        difference = float(np.max([abs(p - q).max() / abs(q - s).max() for p, q, s in reached]))
        largest = max(largest, difference)
        if not difference <= (1e-9 if row.dtype == "float64" else 1e-2):
            sys.exit(
                f"{row}: {name} and hand-written NumPy differ by {difference:.1e} "
                f"after {steps} steps"
            )
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
    contestant.restart()
    step = contestant.step
    step()  # what restarts has other arrays in the caches
    start = time.perf_counter()
    for _ in range(contestant.repeats):
        step()
    return (time.perf_counter() - start) / contestant.repeats


def measure(row: Row, entered: dict[str, Contestant], rounds: int, seconds: float) -> Figures:
    """Return one row's figures: microseconds a step, and the ratios that have a limit."""
    difference = disagreement(row, entered)
    race(entered, rounds, seconds)
    times = {name: statistics.median(c.seconds) for name, c in entered.items()}
    ratios = {}
    for heading, (ours, rival) in RATIOS.items():
        best = min((name for name in ours if name in entered), key=times.__getitem__, default=None)
        if best is not None and rival in entered:
            pairs = zip(entered[best].seconds, entered[rival].seconds, strict=True)
            ratios[heading] = statistics.median(mine / theirs for mine, theirs in pairs)
    return {
        "row": str(row),
        "difference": difference,
        "us": {name: seconds * 1e6 for name, seconds in times.items()},
        "ratios": ratios,
    }


def rows(options: argparse.Namespace) -> list[Figures]:
    """Return the figures of all rows, measured here."""
    libraries = installed()
    rounds, seconds = (min(options.rounds, 7), 0.005) if options.quick else (options.rounds, 0.02)
    found = []
    for row in ROWS:
        entered = contestants(row, libraries, slow=options.torch_compile)
        found.append(measure(row, entered, rounds, seconds))
    return found


def characters_ratio(rounds: int) -> dict[str, float]:
    """Return the microseconds of a step of `characters`, and the ratio where PyTorch is there."""
    libraries = installed()
    entered = {"eager": characters(tinygrad_fc)}
    if "torch" in libraries:
        entered["PyTorch eager"] = characters(libraries["torch"])
        for contestant in entered.values():
            for _ in range(20):
                contestant.step()
        pairs = zip(*(contestant.parameters() for contestant in entered.values()), strict=True)
        if not max(float(abs(p - q).max()) for p, q in pairs) < CHARACTERS_DIFFERENCE:
            sys.exit("characters: eager and PyTorch eager differ after 20 steps")
    race(entered, rounds, 0.02)
    found = {name: statistics.median(c.seconds) * 1e6 for name, c in entered.items()}
    if "PyTorch eager" in entered:
        times = zip(entered["eager"].seconds, entered["PyTorch eager"].seconds, strict=True)
        found["ratio"] = statistics.median(mine / theirs for mine, theirs in times)
    return found


def rows_of_processes(options: argparse.Namespace) -> list[Figures]:
    """Return the figures of all rows, as the medians of several processes."""
    command = [sys.executable, __file__, "--rows", "--rounds", str(options.rounds)]
    command += ["--torch-compile"] * options.torch_compile
    runs = []
    for _ in range(options.processes):
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
        runs.append(json.loads(done.stdout))
    return [merged(list(each)) for each in zip(*runs, strict=True)]


def merged(runs: list[Figures]) -> Figures:
    """Return the medians of one row's figures in several processes."""
    first = runs[0]
    return {
        "row": first["row"],
        "difference": max(run["difference"] for run in runs),
        **{
            kind: {name: statistics.median(run[kind][name] for run in runs) for name in first[kind]}
            for kind in ("us", "ratios")
        },
    }


def import_milliseconds(repeats: int) -> float:
    """Return the CPU time of `import tinygrad_fc` in fresh processes that have imported NumPy."""
    code = (
        "import time, numpy; start = time.process_time(); import tinygrad_fc; "
        "print(time.process_time() - start)"
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
    console.print(times_table(results["steps"]))
    console.print(ratios_table(results["steps"]))
    step = results["characters"]
    console.print(
        f"embedding, batch norm and cross entropy: {step['eager']:.0f} µs per eager step; "
        f"eager / PyTorch eager: {ratio_cell(step.get('ratio'), CHARACTERS_LIMIT)}"
    )
    found = results["experiment"]
    faster = found["document"] / found["compiled"]
    verdict = "green" if faster >= EXPERIMENT_LIMIT else "red"
    console.print(
        f"{found['steps']:,} steps of 1-8-5-3-1: {found['compiled']:.3f} s in one call of "
        f"step.epoch; handderived.py takes [{verdict}]{faster:.0f}[/] times as long "
        f"(≥ {EXPERIMENT_LIMIT:.0f}); step.epoch / C by hand: "
        f"{ratio_cell(found.get('of C'), EPOCH_LIMIT)}"
    )
    milliseconds = results["import_ms"]
    verdict = "green" if milliseconds <= IMPORT_LIMIT else "red"
    console.print(
        f"import, CPU time in addition to NumPy: [{verdict}]{milliseconds:.1f} ms[/] "
        f"(≤ {IMPORT_LIMIT:.0f})"
    )
    for cost in results["chains"]:
        console.print(
            f"chain of {cost['length']:>9,} ops: {cost['us']:.2f} µs and "
            f"{cost['bytes']:.0f} bytes per op"
        )


def times_table(steps: list[Figures]) -> Table:
    """Return the time of a step of each contestant."""
    table = Table(title="One training step, µs", title_justify="left")
    table.add_column("")
    for figures in steps:
        table.add_column(figures["row"], justify="right")
    for name in dict.fromkeys(name for figures in steps for name in figures["us"]):
        cells = [figures["us"].get(name) for figures in steps]
        table.add_row(name, *("-" if us is None else f"{us:.4g}" for us in cells))
    table.add_row("largest difference", *(f"{figures['difference']:.0e}" for figures in steps))
    return table


def ratios_table(steps: list[Figures]) -> Table:
    """Return the ratios, each with its limit."""
    table = Table(title="Ratios of times, and their limits", title_justify="left")
    table.add_column("")
    for figures in steps:
        table.add_column(figures["row"], justify="right")
    for heading in RATIOS:
        pairs = zip(steps, ROWS, strict=True)
        table.add_row(
            heading,
            *(ratio_cell(f["ratios"].get(heading), row.limits.get(heading, 0)) for f, row in pairs),
        )
    return table


def main() -> None:
    """Measure what the options ask for, and report it."""
    parser = argparse.ArgumentParser(description="Time a training step against its rivals.")
    parser.add_argument("--rounds", type=int, default=21, help="how often each takes its turn")
    parser.add_argument("--processes", type=int, default=5, help="in how many processes")
    parser.add_argument("--quick", action="store_true", help="a rough answer in seconds")
    parser.add_argument("--torch-compile", action="store_true", help="torch.compile too: minutes")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--rows", action="store_true", help="those of training steps alone, as JSON"
    )
    parser.add_argument("--against", metavar="REV", help="eager steps and calls, here and at REV")
    options = parser.parse_args()
    for name in ("rounds", "processes"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if options.against:
        against.report(options.against, options.rounds)
        return
    if options.rows:
        print(json.dumps(rows(options)))
        return
    lengths = CHAINS[:2] if options.quick else CHAINS
    alone = options.quick or options.processes == 1
    results: Figures = {
        "steps": rows(options) if alone else rows_of_processes(options),
        "characters": characters_ratio(7 if options.quick else options.rounds),
        "experiment": experiment(sample=20 if options.quick else 200),
        "import_ms": import_milliseconds(3 if options.quick else 20),
        "chains": [chain_cost(tinygrad_fc, length) for length in lengths],
    }
    if not options.quick:
        ratios = {
            f"{f['row']}: {name}": x for f in results["steps"] for name, x in f["ratios"].items()
        }
        history.record("step", {name: x for name, x in ratios.items() if x is not None})
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        report(results, Console(width=None if sys.stdout.isatty() else 130))


if __name__ == "__main__":
    main()
