"""Run the tests of the kit repeatedly, each time with another random seed.

    python -m tests.repeat [--times 1000] [--jobs 2] [--seed 0] [--log FILE] [files …]

No test of the kit may be flaky: one failure in a thousand runs is one a week. The seed of
a run that fails is printed, with the command that repeats it. A thousand runs take hours; runs in
the log are skipped, so that they can be divided into several calls.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import multiprocessing
import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

TESTS = Path(__file__).parent
SAME = {"test_example.py"}  # its draws do not depend on the seed
SUITE = [str(path) for path in sorted(TESTS.glob("testing/*.py")) if path.name not in SAME]
FRESH = 32
"""Number of runs after which a process is replaced by a new one, with empty caches."""


class Drawing:
    """Skips tests that drew nothing in an earlier run of this process: their result is known."""

    constant: ClassVar[set[str]] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep tests that draw."""
        items[:] = [item for item in items if item.nodeid not in self.constant]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Record whether the test draws anything."""
        from hypothesis.statistics import collector  # noqa: PLC0415  after pytest has loaded it

        drawn: list[Any] = []
        with collector.with_value(drawn.append):
            yield
        if not drawn and "hypothesis" not in item.keywords:
            self.constant.add(item.nodeid)


def call(seed: int, files: list[str]) -> list[str]:
    """Return the arguments of pytest for a seed."""
    return ["-n0", "-q", "--no-header", f"--hypothesis-seed={seed}", *files]


def run(seed: int, files: list[str]) -> tuple[int, str]:
    """Return the seed and the failures, an empty string if all tests passed."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        status = pytest.main(call(seed, files), plugins=[Drawing()])
    lines = output.getvalue().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return seed, "\n".join(failed or lines[-40:]) if status else ""


def logged(log: Path | None) -> dict[int, str]:
    """Return the outcomes of logged runs, by seed."""
    if log is None or not log.exists():
        return {}
    with log.open(newline="") as lines:
        return {int(seed): failed for seed, failed in csv.reader(lines)}


def main() -> None:
    """Print each failure, and the number of runs that failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.repeat")
    parser.add_argument("--times", type=int, default=1000, help="number of runs")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--log", type=Path, help="file of outcomes; logged runs are skipped")
    parser.add_argument("files", nargs="*", help="tests to run, by default the kit's own")
    options = parser.parse_args()
    files = options.files or SUITE
    seeds = range(options.seed, options.seed + options.times)
    outcomes = {seed: failed for seed, failed in logged(options.log).items() if seed in seeds}
    started = time.perf_counter()
    todo = [seed for seed in seeds if seed not in outcomes]
    fresh = multiprocessing.get_context("spawn")
    with fresh.Pool(options.jobs, maxtasksperchild=FRESH) as pool:
        for seed, failed in pool.imap_unordered(partial(run, files=files), todo):
            outcomes[seed] = failed
            if options.log:
                with options.log.open("a", newline="") as log:
                    csv.writer(log).writerow((seed, failed))
            if failed:
                again = shlex.join([sys.executable, "-m", "pytest", *call(seed, files)])
                print(f"{failed}\n  again: {again}", flush=True)  # noqa: T201
    bad = sum(map(bool, outcomes.values()))
    seconds = time.perf_counter() - started
    print(f"{bad} of {len(outcomes)} runs failed, {len(todo)} of them now, in {seconds:.0f} s")  # noqa: T201
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
